import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Cluster, type MemberProcess, startCluster } from "./cluster.ts";
import { EtcdctlSession, hasEtcdctl } from "./etcdctl.ts";
import { RetriedLoad, readAll } from "./load.ts";
import { addMember, SHORT_LOG } from "./reconfigure.ts";
import { until } from "./until.ts";

// Many starts of a member that has much to read, under load.
vi.setConfig({ testTimeout: 300_000 });

const APPLIED = "applied snapshot";

async function segmentsOf(member: MemberProcess): Promise<string[]> {
  return (await readdir(join(member.dataDir, "member", "wal"))).filter((name) => name.endsWith(".wal")).sort();
}

/** Resolves when the logs of these members no longer hold anything of what they hold now. */
async function cutAnew(members: readonly MemberProcess[]): Promise<void> {
  await Promise.all(
    members.map(async (member) => {
      const newest = (await segmentsOf(member)).at(-1) ?? "";
      await until(`${member.name} cuts its log`, async () => ((await segmentsOf(member))[0] ?? "") > newest);
    }),
  );
}

describe("logs that are cut while the cluster works", () => {
  let cluster: Cluster;
  let load: RetriedLoad;

  beforeAll(async () => {
    cluster = await startCluster(3, SHORT_LOG);
    load = new RetriedLoad(cluster, 6, "cut");
  });
  afterAll(() => cluster?.destroy());

  async function check(): Promise<void> {
    expect(load.problems).toEqual([]);
    const acknowledged = [...load.acknowledged];
    for (const member of cluster.members) {
      await cluster.client(member).get("a linearizable read first");
      const stored = await readAll(cluster.client(member), "cut/");
      const wrong = acknowledged.filter(({ key, value, revision }) => {
        const kv = stored.get(key);
        return kv === undefined || kv.modRevision < revision || Buffer.from(kv.value).toString() !== value;
      });
      expect({ member: member.name, wrong }).toEqual({ member: member.name, wrong: [] });
    }
    const { header } = await cluster.client(cluster.member(0)).put("agreement", "now");
    const hashes = new Set<number>();
    for (const member of cluster.members) {
      await cluster.client(member).get("agreement");
      hashes.add((await cluster.client(member).hashKv(header?.revision ?? 0)).hash);
    }
    expect(hashes.size).toBe(1);
  }

  test("X-6, P-11: a follower that was away for longer than the log goes back gets a snapshot, under load", async () => {
    const [follower] = await cluster.followers();
    if (follower === undefined) throw new Error("no follower");
    await follower.kill();
    const others = cluster.members.filter((member) => member !== follower);
    await cutAnew(others);
    follower.start();
    await follower.logged(APPLIED);
    await follower.logged("ready to serve client requests");
    await cluster.ready([follower]);
    await load.progress(200);
    await check();
    expect((await segmentsOf(follower)).length).toBeLessThanOrEqual(3);
  });

  test.skipIf(!hasEtcdctl)(
    "W-18: a client's watch goes on over the snapshot that its member takes, and misses nothing",
    async () => {
      const [follower] = await cluster.followers();
      if (follower === undefined) throw new Error("no follower");
      const session = new EtcdctlSession([follower.endpoint], "watch", "--prefix", "seen/");
      const client = cluster.client(await cluster.leader());
      // Until the watch is there, puts come to nothing.
      for (let i = 0; !session.output.includes("before"); i++) {
        await client.put("seen/before", `${i}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      follower.signal("SIGSTOP");
      const others = cluster.members.filter((member) => member !== follower);
      for (let i = 0; i < 20; i++) await client.put(`seen/${i}`, "away");
      await cutAnew(others);
      follower.signal("SIGCONT");
      await follower.logged(APPLIED);
      await client.put("seen/after", "the snapshot");
      const output = await session.until("seen/after", 60_000);
      await session.stop();
      const seen = [...output.matchAll(/^seen\/(\d+)$/gm)].map(([, i]) => Number(i));
      expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => i));
      await cluster.ready([follower]);
    },
  );

  test("its log keeps its promises over restarts of all members", async () => {
    await Promise.all(cluster.members.map((member) => member.kill()));
    for (const member of cluster.members) member.start();
    await cluster.ready();
    await load.progress(200);
    await check();
  });

  test("a follower that is killed again and again while it takes a snapshot starts each time, and gets there", async () => {
    const [follower] = await cluster.followers();
    if (follower === undefined) throw new Error("no follower");
    const others = cluster.members.filter((member) => member !== follower);
    for (let round = 0; round < 8; round++) {
      await follower.kill();
      await cutAnew(others);
      follower.start();
      await follower.logged("receiving database snapshot");
      // The moments from the first byte of the file to the restart and the first entry behind it.
      await new Promise((resolve) => setTimeout(resolve, round * 20));
    }
    await cluster.ready([follower]);
    await load.progress(200);
    await check();
    const left = await readdir(join(follower.dataDir, "member"));
    expect(left.filter((name) => name !== "state" && name !== "wal" && !name.startsWith("lock"))).toEqual([]);
  });

  test.skipIf(!hasEtcdctl)("a fresh member joins by a snapshot", async () => {
    const member = await addMember(cluster, "fresh", { extraFlags: SHORT_LOG });
    await member.logged(APPLIED);
    await cluster.ready([member]);
    await load.progress(200);
    await load.stop();
    await check();
    console.log(`snapshot: ${load.acknowledged.length} puts acknowledged and found, ${load.retries} retries`);
  });
});
