import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { type Cluster, type MemberProcess, memberAt, quorate, startCluster } from "./cluster.ts";
import { hasEtcdctl, run } from "./etcdctl.ts";
import { Load, readAll } from "./load.ts";
import { addMember } from "./reconfigure.ts";
import { until } from "./until.ts";

/** The log is cut every few hundred puts, and tables are written soon. */
const SHORT_LOG = [
  "--max-wals=1",
  "--wal-segment-bytes=65536",
  "--snapshot-catchup-entries=20",
  "--backend-batch-interval=20ms",
];

let cluster: Cluster;
afterEach(() => cluster?.destroy());

const others = (member: MemberProcess): MemberProcess[] => cluster.members.filter((other) => other !== member);

/** The same process with more flags. */
function withFlags(member: MemberProcess, ...flags: string[]): MemberProcess {
  return new (member.constructor as typeof MemberProcess)(
    member.name,
    member.dataDir,
    member.clientPort,
    member.peerPort,
    [...member.flags, ...flags],
  );
}

async function inspect(members: readonly MemberProcess[], ...flags: string[]) {
  return await run(quorate, ["inspect", ...flags, ...members.map(({ dataDir }) => dataDir)], { timeoutMs: 120_000 });
}

async function expectAgreement(): Promise<void> {
  const [first] = cluster.members;
  const { header } = await cluster.client(first as MemberProcess).put("agreement", "now");
  const hashes = new Set<number>();
  for (const member of cluster.members) {
    await cluster.client(member).get("agreement");
    hashes.add((await cluster.client(member).hashKv(header?.revision ?? 0)).hash);
  }
  expect(hashes.size).toBe(1);
}

describe("quorum lost", () => {
  test.skipIf(!hasEtcdctl).each([
    ["a whole log", []],
    ["a log that was cut", SHORT_LOG],
  ])(
    "under load, two of three are gone for good: the one left goes on with all it has, and grows back (%s)",
    async (_, flags) => {
      cluster = await startCluster(3, flags);
      const survivor = await cluster.leader();
      const load = new Load([cluster.client(survivor)], 8, "load", 2_000);
      await load.progress(1_500, 120_000);
      // Whom the leader has answered, has its entry on the leader's own disk too: followers can be ahead of nobody here.
      await Promise.all(cluster.members.map((member) => member.kill()));
      await load.stop();
      const told = await inspect(cluster.members);
      expect(told.stdout.split("\n").every((line) => line.length <= 80 || line.includes("/"))).toBe(true);
      expect(told.stdout).toContain("without");
      const lost = others(survivor);
      for (const { dataDir } of lost) rmSync(dataDir, { recursive: true });

      const told1 = await inspect([survivor]);
      expect([told1.code, told1.stderr]).toEqual([0, ""]);
      expect(told1.stdout.replaceAll(/\s+/g, " ")).toContain("start this one with --force-new-cluster");
      const json = JSON.parse((await inspect([survivor], "--json")).stdout);
      expect(json).toMatchObject({ best: survivor.dataDir, hasQuorum: false });
      expect(json.members[0].members).toHaveLength(3);

      const forced = withFlags(survivor, "--force-new-cluster");
      for (const member of cluster.members) cluster.exclude(member);
      cluster.include(forced);
      forced.start();
      await cluster.ready([forced]);
      expect(forced.log).toMatch(
        /writes acknowledged after entry \d+ \(term \d+, revision \d+\) by members that are gone/,
      );
      const client = cluster.client(forced);
      const stored = await readAll(client, "load/");
      const missing = load.acknowledged.filter(({ key, value }) => stored.get(key)?.value.toString() !== value);
      expect(missing).toEqual([]);
      expect(load.acknowledged.length).toBeGreaterThanOrEqual(1_500);
      const busy = await inspect([forced]);
      expect([busy.code, busy.stdout]).toEqual([1, expect.stringContaining(`by process ${forced.pid}`)]);

      // Again with the flag, and then without it.
      await forced.kill();
      forced.start();
      await cluster.ready([forced]);
      expect(forced.log).toContain("a cluster of one already");
      await forced.kill("SIGTERM");
      cluster.exclude(forced);
      const plain = withFlags(survivor);
      cluster.include(plain);
      plain.start();
      await cluster.ready([plain]);
      await addMember(cluster, "new1", { extraFlags: flags });
      await cluster.ready();
      await addMember(cluster, "new2", { extraFlags: flags });
      await cluster.ready();
      await cluster.client(cluster.member(2)).put("grown", "back");
      await expectAgreement();
      for (const member of cluster.members) {
        await cluster.client(member).get("grown");
        expect((await readAll(cluster.client(member), "load/")).size).toBe(stored.size);
      }
    },
  );

  test("an old member that comes back is turned away, and disturbs nobody", async () => {
    cluster = await startCluster(3);
    const survivor = await cluster.leader();
    await cluster.client(survivor).put("before", "1");
    await Promise.all(cluster.members.map((member) => member.kill()));
    const [back] = others(survivor) as [MemberProcess];
    const forced = withFlags(survivor, "--force-new-cluster");
    forced.start();
    await cluster.ready([forced]).catch(() => undefined);
    await forced.ready();
    const client = cluster.client(survivor);
    await client.connected();
    await client.put("after", "2");
    const { raftTerm } = await client.status();
    back.start();
    expect(await back.exited()).toEqual({ code: 0, signal: null });
    await client.put("after", "3");
    expect((await client.status()).raftTerm).toBe(raftTerm);
    await forced.kill();
  });

  test("while the others run the flag is refused", async () => {
    cluster = await startCluster(3);
    const [member] = (await cluster.followers()) as [MemberProcess];
    await member.kill();
    const forced = withFlags(member, "--force-new-cluster");
    forced.start();
    expect(await forced.exited()).toEqual({ code: 1, signal: null });
    expect(forced.log).toContain("the quorum is not lost");
    const fresh = memberAt(cluster.directory, { name: "m9", client: 1, peer: 2 }, "m9=http://127.0.0.1:2", [
      "--force-new-cluster",
    ]);
    fresh.start();
    expect((await fresh.exited()).code).toBe(1);
    expect(readdirSync(cluster.directory)).not.toContain("m9");
    member.start();
    await cluster.ready([member]);
  });
});

describe("a damaged state store", () => {
  const tableOf = (member: MemberProcess): string => {
    const state = join(member.dataDir, "member", "state");
    const name = readdirSync(state)
      .filter((file) => file.endsWith(".ldb"))
      .sort()[0];
    if (name === undefined) throw new Error(`no table in ${readdirSync(state)}`);
    return join(state, name);
  };
  const flip = (file: string): void => {
    const bytes = readFileSync(file);
    const at = Math.floor(bytes.length / 3);
    bytes[at] = (bytes[at] as number) ^ 0x10;
    writeFileSync(file, bytes);
  };
  const rebuild = (member: MemberProcess, ...endpoints: string[]) =>
    run(
      quorate,
      ["rebuild", `--data-dir=${member.dataDir}`, `--endpoints=${endpoints.join()}`, "--wal-segment-bytes=65536"],
      {
        timeoutMs: 120_000,
      },
    );

  test.each([
    ["at once", false],
    ["when its log is behind all that the others have", true],
  ])("a flipped byte is told with its file, and rebuild heals it, under load (%s)", async (_, late) => {
    cluster = await startCluster(3, SHORT_LOG);
    const [member, other] = (await cluster.followers()) as [MemberProcess, MemberProcess];
    const load = new Load([cluster.client(other)], 6, "load");
    await load.progress(500);
    // A start turns what is in LevelDB's log into a table.
    await member.kill("SIGTERM");
    member.start();
    await cluster.ready([member]);
    await load.progress(200);
    await member.kill("SIGTERM");
    const file = tableOf(member);
    flip(file);
    member.start();
    expect(await member.exited()).toEqual({ code: 1, signal: null });
    expect(member.log).toContain(`${file.split("/").at(-1)} has a wrong checksum at offset`);
    expect(member.log).toContain("quorate rebuild --data-dir");
    const told = await inspect([member]);
    expect(told.stdout.replaceAll(/\s+/g, " ")).toContain("DAMAGE the state store");

    if (late) {
      const wal = join(other.dataDir, "member", "wal");
      const newest = (): string =>
        readdirSync(wal)
          .filter((name) => name.endsWith(".wal"))
          .sort()[0] ?? "";
      const before = newest();
      await until("the others cut their logs", () => newest() > before);
      await load.progress(1_000);
    }
    expect((await rebuild(member, "127.0.0.1:1")).stderr).toContain("no endpoint has the state");
    const healed = await rebuild(member, "127.0.0.1:1", `http://${other.endpoint}`);
    expect([healed.code, healed.stdout]).toEqual([0, expect.stringContaining("Start it as ever.")]);
    expect(healed.stdout).toContain("state.damaged-");
    member.start();
    await cluster.ready([member]);
    await load.stop();
    await expectAgreement();
    const stored = await readAll(cluster.client(member), "load/");
    expect(load.acknowledged.filter(({ key, value }) => stored.get(key)?.value.toString() !== value)).toEqual([]);
    expect((await rebuild(member, `http://${other.endpoint}`)).stderr).toContain(`process ${member.pid} holds it`);
  });

  test("a state store that is gone under a log that was cut: said at the start, and healed the same way", async () => {
    cluster = await startCluster(3, SHORT_LOG);
    const [member, other] = (await cluster.followers()) as [MemberProcess, MemberProcess];
    const load = new Load([cluster.client(other)], 6, "load");
    const wal = join(member.dataDir, "member", "wal");
    await until("the log is cut", () => !readdirSync(wal).some((name) => name.startsWith("0000000000000000-")));
    await member.kill();
    rmSync(join(member.dataDir, "member", "state"), { recursive: true });
    member.start();
    expect(await member.exited()).toEqual({ code: 1, signal: null });
    expect(member.log).toMatch(/begins at entry \d+, and the state store is missing or new. The log is sound/);
    expect(member.log).not.toContain("no command heals");
    expect(existsSync(join(member.dataDir, "member", "state"))).toBe(false);
    expect(member.log).toContain("quorate rebuild");
    expect((await rebuild(member, other.endpoint)).code).toBe(0);
    member.start();
    await cluster.ready([member]);
    await load.stop();
    await expectAgreement();
  });
});
