import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cluster, startCluster } from "./cluster.ts";
import { checkSection, table } from "./compatibility.ts";
import { type Answer, FORMATS, type Format, isPanic, isUnsupported, type Subcommand, type } from "./etcdctl/command.ts";
import { kv, watch } from "./etcdctl/kv-cases.ts";
import { notYet } from "./etcdctl/not-yet.ts";
import { hashes, lease, maintenance, member, recipes } from "./etcdctl/other-cases.ts";
import { findSite, Side } from "./etcdctl/side.ts";
import { EtcdctlSession, etcdBinary, etcdctl, etcdVersion, hasEtcdctl, run } from "./etcdctl.ts";
import { until } from "./until.ts";

const subcommands: readonly Subcommand[] = [...kv, watch, hashes, ...lease, ...recipes, ...member, ...maintenance];

const canCompare = hasEtcdctl && etcdBinary !== undefined;
if (!canCompare) console.warn("SKIPPED: without etcdctl and etcd on PATH the matrix of etcdctl is not made");

type Answers = ReadonlyMap<Format, readonly Answer[]>;

/** Every case in every format, one after the other. */
async function answers(side: Side, { cases, hasTable }: Subcommand): Promise<Answers> {
  const all = new Map<Format, Answer[]>();
  for (const format of FORMATS) {
    const some: Answer[] = [];
    const typed = cases.filter(({ formats }) => formats?.includes(format) ?? true);
    for (const each of format === "table" && hasTable !== true ? typed.slice(0, 1) : typed) {
      await each.before?.(side);
      some.push(await type(side, format, each));
    }
    all.set(format, some);
  }
  return all;
}

/** What stands in the table. */
function verdict(ours: readonly Answer[] = [], theirs: readonly Answer[] = []): string {
  if (ours.length === 0 || JSON.stringify(ours) !== JSON.stringify(theirs)) return "DIFFERS";
  if (theirs.every(isUnsupported)) return "-";
  return theirs.every(isPanic) ? "panics" : "same";
}

describe.skipIf(!canCompare)("every subcommand of etcdctl, typed to a real etcd and to Quorate", () => {
  const theirs = new Map<string, Answers>();
  const rows: string[][] = [];
  const others: string[][] = [];
  let side: Side;

  beforeAll(async () => {
    const site = await findSite();
    const etcd = await Side.start(site, etcdBinary);
    try {
      for (const subcommand of subcommands) theirs.set(subcommand.name, await answers(etcd, subcommand));
    } finally {
      await etcd.end();
    }
    side = await Side.start(site);
  }, 300_000);
  afterAll(() => side?.end());

  for (const subcommand of subcommands) {
    test(subcommand.name, async () => {
      const { name, cases } = subcommand;
      const ours = await answers(side, subcommand);
      const expected = theirs.get(name);
      const cells = FORMATS.map((format) => verdict(ours.get(format), expected?.get(format)));
      rows.push([name, String(cases.length), ...cells]);
      expect(ours).toEqual(expected);
    });
  }

  test("make-mirror, from Quorate to an etcd and back", async () => {
    const other: Cluster = await startCluster(1, [], etcdBinary);
    const there = side.endpoints[0] ?? "";
    const here = other.endpoints[0] ?? "";
    const values = (endpoint: string, prefix: string) =>
      etcdctl([endpoint], "get", prefix, "--prefix", "--print-value-only");
    try {
      await side.put("mirror/a=1", "mirror/b=2");
      const out = new EtcdctlSession([there], "make-mirror", "--prefix=mirror/", here);
      const back = new EtcdctlSession([here], "make-mirror", "--prefix=mirror/", "--dest-prefix=back/", there);
      try {
        await until("what was there has come back", async () => (await values(there, "back/")) === "1\n2\n");
        await side.put("mirror/a=3", "mirror/c=4");
        await etcdctl([there], "del", "mirror/b");
        await until("what came has come back", async () => (await values(there, "back/")) === "3\n4\n");
        expect(await values(here, "mirror/")).toBe("3\n4\n");
      } finally {
        await Promise.all([out.stop(), back.stop()]);
      }
    } finally {
      await other.destroy();
    }
    others.push(["make-mirror", "works", "from Quorate to an etcd and back, what is there and what comes"]);
  });

  test("what is not served yet says so", async () => {
    for (const { name, words } of notYet) {
      const { code, out, err } = await type(side, "simple", { words, input: "secret\n" });
      const refused = /code = Unimplemented desc = quorate: (method \w+ of service \S+ is not implemented yet)/;
      const [, said = `${out}${err}`] = refused.exec(`${out}${err}`) ?? [];
      expect([name, code === 0, said.endsWith("is not implemented yet")]).toEqual([name, false, true]);
      others.push([name, "not yet", said]);
    }
  });

  test("docs/compatibility.md says so", async () => {
    const version = (text: string): string => /\d+\.\d+\.\d+/.exec(text)?.[0] ?? text;
    const client = version((await run("etcdctl", ["version"])).stdout);
    checkSection(
      "etcdctl",
      `etcdctl ${client}, compared with etcd ${etcdVersion}.`,
      `${table(["subcommand", "ways", ...FORMATS], rows)}\n${table(["subcommand", "", "what was seen"], others)}`,
    );
  });
});
