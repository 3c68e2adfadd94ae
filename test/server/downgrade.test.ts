import { beforeEach, expect, test } from "vitest";
import { errors } from "../../src/api/errors.ts";
import { limitsOf } from "../../src/server/call-limits.ts";
import { ClusterVersion } from "../../src/server/cluster-version.ts";
import { downgrade } from "../../src/server/downgrade.ts";
import type { Command } from "../../src/state/machine.ts";
import { FakeEnv } from "./fake-env.ts";

const patient = limitsOf(new AbortController().signal);
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const [VALIDATE, ENABLE, CANCEL] = [0, 1, 2];
let version: string | undefined;
let info: { enabled: boolean; targetVersion: string };
let asked: string[];

const cluster = {
  members: () => [1n, 2n].map((id) => ({ id, name: "", peerURLs: [], clientURLs: [], isLearner: false })),
  member: () => undefined,
  isRemoved: () => false,
  removed: () => [],
  get version() {
    return version;
  },
  get downgrade() {
    return info;
  },
};

async function propose({ downgradeInfoSet }: Command): Promise<void> {
  asked.push(`set ${downgradeInfoSet?.enabled} ${downgradeInfoSet?.ver}`);
  info = { enabled: downgradeInfoSet?.enabled ?? false, targetVersion: downgradeInfoSet?.ver ?? "" };
}

const ask = (action: number, target = ""): Promise<string> =>
  downgrade({ cluster, readBarrier: async () => void asked.push("barrier"), propose }, action, target, patient);

beforeEach(() => {
  version = "3.6.0";
  info = { enabled: false, targetVersion: "" };
  asked = [];
});

test("N-15: VALIDATE takes X.Y or X.Y.Z one minor below, and changes nothing", async () => {
  for (const target of ["3.5", "3.5.0", "3.5.30", "3.5.1-rc.2+build"]) expect(await ask(VALIDATE, target)).toBe("3.6");
  for (const target of ["3.4", "3.6", "3.7.0", "2.5"]) {
    await expect(ask(VALIDATE, target)).rejects.toBe(errors.downgradeInvalidTarget);
  }
  for (const target of ["", "3", "v3.5", "3.5.0.1", "3.5 ", "a.b"]) {
    await expect(ask(VALIDATE, target)).rejects.toBe(errors.downgradeWrongFormat);
  }
  version = undefined;
  await expect(ask(VALIDATE, "3.5")).rejects.toBe(errors.downgradeNoClusterVersion);
  expect(asked.filter((each) => each !== "barrier")).toEqual([]);
});

test("N-15: ENABLE begins one, once; CANCEL ends it, if there is one", async () => {
  await expect(ask(CANCEL)).rejects.toBe(errors.downgradeNotInflight);
  expect(await ask(ENABLE, "3.5.9")).toBe("3.6");
  expect(info).toEqual({ enabled: true, targetVersion: "3.5.0" });
  await expect(ask(ENABLE, "3.5")).rejects.toBe(errors.downgradeInProgress);
  await expect(ask(VALIDATE, "3.5")).rejects.toBe(errors.downgradeInProgress);
  await expect(ask(VALIDATE, "3.4")).rejects.toBe(errors.downgradeInvalidTarget);
  expect(await ask(CANCEL)).toBe("3.6");
  expect(info).toEqual({ enabled: false, targetVersion: "" });
});

test("N-15: an action that is none", async () => {
  await expect(ask(9)).rejects.toMatchObject({ code: 2, message: "etcdserver: unknown method" });
});

test("N-15: the leader cancels when every member runs the target", async () => {
  const env = new FakeEnv();
  let other = "3.6.14";
  const decider = new ClusterVersion({
    env,
    log: silent,
    memberId: 1n,
    serverVersion: "3.5.30",
    cluster,
    transport: {
      request: async () => ({ status: 200, headers: {}, body: Buffer.from(JSON.stringify({ etcdserver: other })) }),
    },
    pollMs: 4_000,
    propose,
  });
  version = "3.5.0";
  info = { enabled: true, targetVersion: "3.5.0" };
  decider.lead();
  await env.advance(10_000);
  expect(asked).toEqual([]);
  other = "3.5.1";
  await env.advance(4_000);
  expect(asked).toEqual(["set false "]);
  decider.stop();
});
