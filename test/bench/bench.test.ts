/** `npm run bench` at a scale that fits between the other suites: what it measures, and that it believes no server. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { beginLoad } from "../../bench/begin-load.ts";
import { hasH2load } from "../../bench/h2load.ts";
import { type Result, runsOf } from "../../bench/judge.ts";
import type { ClientKind } from "../../bench/lane.ts";
import type { Faults } from "../../bench/meter.ts";
import type { Progress } from "../../bench/progress.ts";
import { type BenchOptions, runBench } from "../../bench/run-bench.ts";
import { memoryWorkload, type Shape, type Workload, workloads } from "../../bench/workloads.ts";
import { root } from "../e2e/cluster.ts";
import { etcdBinary, run } from "../e2e/etcdctl.ts";
import { until } from "../e2e/until.ts";
import { type FakeServer, type Fault, startFakeServer } from "./fake-server.ts";

const TIMEOUT_MS = 600_000;
/** Of a load, before its server is told to fail. */
const SOUND_OPERATIONS = 20;
const silent: Progress = { begin: () => undefined, end: () => undefined, clear: () => undefined };

/** With fewer clients and keys. */
function smaller(shape: Shape): Shape {
  switch (shape.kind) {
    case "calls":
      return { ...shape, connections: Math.min(shape.connections, 5) };
    case "watch":
      return { ...shape, connections: 3, watchers: 20 };
    case "keep-alive":
      return { ...shape, connections: 3, streamsPerConnection: 5 };
    case "big-range":
    case "memory":
      return { ...shape, keys: 1_000 };
  }
}

const small: readonly Workload[] = [...workloads, memoryWorkload].map((workload) => ({
  ...workload,
  shape: smaller(workload.shape),
}));

function workloadOf(name: string): Workload {
  const found = small.find((workload) => workload.name === name);
  if (found === undefined) throw new Error(`no workload ${name}`);
  return found;
}

const base: Omit<BenchOptions, "workloads"> = {
  rounds: 1,
  seconds: 2,
  warmUpSeconds: 0.2,
  makers: ["quorate"],
  against: [],
  client: "raw",
  generator: "own",
  target: "leader",
  valueBytes: 256,
  callKeys: 100,
  start: { members: 1, dataDirectory: tmpdir(), cpuProfile: undefined },
  flags: { quorate: [], etcd: [] },
};

function bench(options: Partial<BenchOptions> & Pick<BenchOptions, "workloads">): Promise<Result[]> {
  return runBench({ ...base, ...options }, silent, new AbortController().signal);
}

function expectSound(result: Result, maker: "quorate" | "etcd"): void {
  const runs = runsOf(result, maker);
  expect(runs.length).toBe(1);
  for (const one of runs) {
    expect([result.workload.name, one.faults]).toEqual([result.workload.name, []]);
    expect(one.operations).toBeGreaterThan(0);
    expect(one.perSecond).toBeCloseTo(one.operations / one.seconds, 3);
    expect(one.p50).toBeGreaterThan(0);
    expect(one.p99).toBeGreaterThanOrEqual(one.p50 ?? 0);
    expect(one.max).toBeGreaterThanOrEqual(one.p99 ?? 0);
    if (process.platform !== "linux") continue;
    expect(one.cpuOfLeader).toBeGreaterThan(0);
    expect(one.cpuOfAll).toBeGreaterThanOrEqual(one.cpuOfLeader ?? Number.POSITIVE_INFINITY);
    expect(one.memory?.[0]).toBeGreaterThan(1 << 20);
  }
}

test("every workload, on one member of Quorate", { timeout: TIMEOUT_MS }, async () => {
  const results = await bench({ workloads: small });
  expect(results.length).toBe(small.length);
  for (const result of results) expectSound(result, "quorate");
  const beside = runsOf(results.find(({ workload }) => workload.name === "big-range") as Result, "quorate");
  expect(beside[0]?.others?.count).toBeGreaterThan(20);
});

test("a member that is profiled leaves its profile", { timeout: TIMEOUT_MS }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "quorate-bench-profile-"));
  try {
    const start = { ...base.start, cpuProfile: directory };
    const [result] = await bench({ workloads: [workloadOf("put-1")], seconds: 1, start });
    expectSound(result as Result, "quorate");
    expect((await readdir(directory)).map((file) => extname(file))).toEqual([".cpuprofile"]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

if (!hasH2load) console.warn("SKIPPED: no h2load on PATH to measure with");
test.skipIf(!hasH2load)("by h2load, which leaves nothing behind", { timeout: TIMEOUT_MS }, async () => {
  const leftovers = async (): Promise<string[]> =>
    (await readdir(tmpdir())).filter((name) => name.startsWith("quorate-h2load-"));
  const before = await leftovers();
  // It takes whole seconds only.
  const times = { seconds: 1, warmUpSeconds: 1 };
  const wanted = ["put-100", "range-ser"].map(workloadOf);
  const results = await bench({ workloads: wanted, generator: "h2load", ...times });
  for (const result of results) {
    const [one] = runsOf(result, "quorate");
    expect([result.workload.name, one?.faults]).toEqual([result.workload.name, []]);
    expect(one?.p50).toBeGreaterThan(0);
    expect(one?.p99).toBeGreaterThanOrEqual(one?.p50 ?? Number.POSITIVE_INFINITY);
    expect(one?.max).toBeGreaterThanOrEqual(one?.p99 ?? Number.POSITIVE_INFINITY);
  }
  expect((await leftovers()).filter((name) => !before.includes(name))).toEqual([]);
});

if (etcdBinary === undefined) console.warn("SKIPPED: no etcd on PATH or in ETCD_BIN to measure beside Quorate");
test.skipIf(etcdBinary === undefined)("beside etcd, three members each, in turn", { timeout: TIMEOUT_MS }, async () => {
  const wanted = ["put-100", "range-ser", "watch", "keep-alive"].map(workloadOf);
  const start = { ...base.start, members: 3 };
  const results = await bench({ workloads: wanted, makers: ["quorate", "etcd"], start, target: "all" });
  for (const result of results) {
    expect(result.runs.map(({ maker }) => maker)).toEqual(["quorate", "etcd"]);
    expectSound(result, "quorate");
    expectSound(result, "etcd");
    expect(runsOf(result, "etcd")[0]?.memory?.length).toBe(3);
  }
});

describe("what a load makes of a server", () => {
  /** Faults of a load that was sound for some operations, and that the server then failed as it is told to. */
  const faultsWith = async (name: string, fault?: Fault, client: ClientKind = "raw"): Promise<Faults> => {
    const server = await startFakeServer();
    try {
      const { shape } = workloadOf(name);
      const endpoints = [new URL(server.url).host];
      const { load, close } = await beginLoad({ shape, endpoints, client, valueBytes: 256, callKeys: 100 });
      const { meter } = load;
      await until(`${name} is under way`, () => meter.latency.count >= SOUND_OPERATIONS);
      expect(meter.faults()).toEqual({ failures: {}, problems: [] });
      if (fault !== undefined) {
        server.misbehave(fault);
        await until("a fault is found", () => meter.faultCount > 0);
      }
      await load.stop();
      close();
      return meter.faults();
    } finally {
      await server.close();
    }
  };

  test.each(workloads.map(({ name }) => name))("%s: nothing, of one that does as it should", async (name) => {
    expect(await faultsWith(name)).toEqual({ failures: {}, problems: [] });
  });

  test.each<[string, Fault, string]>([
    ["put-100", "refuses puts", "8 etcdserver: mvcc: database space exceeded"],
    ["put-100", "answers puts with nothing", "a call is answered with 0 messages"],
    ["put-100", "answers puts twice", "a call is answered with 2 messages"],
    ["put-100", "gives revisions again", "of a write after one of"],
    ["put-100", "breaks connections", "the connection was closed"],
    ["range-lin", "gives other values", "has a value that nobody wrote"],
    ["range-ser", "gives no values", "is there 0 times"],
    ["range-lin", "goes back when it reads", "a read of revision"],
    ["mixed", "gives other values", "has a value that nobody wrote"],
    ["txn", "denies comparisons", "a comparison that holds was answered with no"],
    ["watch", "tells an event twice", "more events than there are watchers"],
    ["watch", "tells other events", "has a value that nobody wrote"],
    ["watch", "ends watches", "of a watch"],
    ["keep-alive", "renews other leases", "is renewed for"],
    ["keep-alive", "renews for a moment", "is renewed for 1 s"],
    ["big-range", "leaves one key out", "all keys came in"],
  ])("%s: a fault, of one that %s", async (name, fault, found) => {
    expect(JSON.stringify(await faultsWith(name, fault))).toContain(found);
  });

  test("the same through grpc-js", async () => {
    expect(await faultsWith("put-100", undefined, "grpc-js")).toEqual({ failures: {}, problems: [] });
    const { failures } = await faultsWith("put-100", "refuses puts", "grpc-js");
    expect(Object.keys(failures)).toEqual(["8 etcdserver: mvcc: database space exceeded"]);
  });

  test("keys that cannot be put, and one of all that is missing from the beginning", async () => {
    const server = await startFakeServer();
    const begin = (name: string) => {
      const endpoints = [new URL(server.url).host];
      return beginLoad({ shape: workloadOf(name).shape, endpoints, client: "raw", valueBytes: 256, callKeys: 100 });
    };
    server.misbehave("leaves one key out");
    const { load, close } = await begin("big-range");
    await until("a fault is found", () => load.meter.faultCount > 0);
    await load.stop();
    close();
    expect(load.meter.faults().problems[0]).toContain("999 of 1000 keys came");
    server.misbehave("refuses puts");
    await expect(begin("range-lin")).rejects.toThrow("of 100 keys 0 were put");
    await server.close();
  });
});

describe("the command", () => {
  let good: FakeServer;
  let bad: FakeServer;
  let out: string;
  beforeAll(async () => {
    good = await startFakeServer();
    bad = await startFakeServer();
    bad.misbehave("renews for a moment");
    out = await mkdtemp(join(tmpdir(), "quorate-bench-out-"));
  });
  afterAll(async () => {
    await Promise.all([good.close(), bad.close()]);
    await rm(out, { recursive: true, force: true });
  });
  const command = (...words: string[]) =>
    run(process.execPath, ["--import", "tsx", "bench/main.ts", "--rounds=1", "--seconds=1", "--warm-up=1", ...words], {
      cwd: root,
      timeoutMs: 60_000,
    });

  test("exit code 0, a table, and results.md where it is told, at most 80 columns wide", async () => {
    const { code, stdout, stderr } = await command("--workload=keep-alive", `--against=${good.url}`, `--out=${out}`);
    expect(stderr).toContain("1/1 keep-alive, other, round 1 of 1");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\| keep-alive +\| server +\| +[\d,]+ \|/m);
    const written = await readFile(join(out, "results.md"), "utf8");
    const wide = written.split("\n").filter((line) => line.length > 80 && !line.includes("npm run bench"));
    expect(wide).toEqual([]);
  });

  test("exit code 2 where an answer was wrong, and the figures are called not valid", async () => {
    const { code, stdout } = await command("--workload=keep-alive", `--against=${bad.url}`);
    expect(code).toBe(2);
    expect(stdout).toContain("NOT VALID");
  });

  test("--json is for programs", async () => {
    const { code, stdout } = await command("--workload=watch,keep-alive", `--against=${good.url}`, "--json");
    expect(code).toBe(0);
    const { results, faults } = JSON.parse(stdout) as { results: { medians: object }[]; faults: string[] };
    expect(faults).toEqual([]);
    expect(results.map(({ medians }) => Object.keys(medians))).toEqual([["other"], ["other"]]);
  });

  test.each([
    [["--workload=swim"], "what is the workload swim"],
    [["--rounds=0"], "not a whole number"],
    [["--members=2"], "2 is none of 1, 3"],
    [["--against=127.0.0.1"], "not http://HOST:PORT"],
    [["--against=127.0.0.1:1", "--judge"], "nothing to judge"],
    [["--generator=h2load", "--workload=watch", "--against=127.0.0.1:1"], /of none of these|not installed/],
  ])("%j is refused, or left out, with a word why", async (words, why) => {
    const { stderr } = await command(...words);
    expect(stderr).toMatch(why);
  });
});
