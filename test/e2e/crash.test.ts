import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cluster, startCluster } from "./cluster.ts";
import { Load, readAll } from "./load.ts";

describe("kill -9 under a steady load of puts through all endpoints", () => {
  let cluster: Cluster;
  let load: Load;

  beforeAll(async () => {
    cluster = await startCluster(3);
    load = new Load(
      cluster.members.map((member) => cluster.client(member)),
      4,
      "crash",
    );
  });
  afterAll(() => cluster?.destroy());

  /** Every acknowledged put is there with its revision on every member, nothing else is, and the hashes are equal. */
  async function check(): Promise<void> {
    const acknowledged = [...load.acknowledged];
    expect(acknowledged.length).toBeGreaterThan(100);
    for (const member of cluster.members) {
      const stored = await readAll(cluster.client(member), "crash/");
      const wrong = acknowledged.filter(({ key, value, revision }) => {
        const kv = stored.get(key);
        return kv === undefined || kv.modRevision !== revision || Buffer.from(kv.value).toString() !== value;
      });
      expect(wrong).toEqual([]);
      expect([...stored.keys()].filter((key) => !load.sent.has(key))).toEqual([]);
    }
    expect(new Set(acknowledged.map(({ revision }) => revision)).size).toBe(acknowledged.length);
  }

  test("the leader", async () => {
    await load.progress(200);
    const leader = await cluster.leader();
    await leader.kill();
    await load.progress(200);
    leader.start();
    await cluster.ready([leader]);
    await load.progress(100);
    await check();
  });

  test("a follower", async () => {
    const [follower] = await cluster.followers();
    if (follower === undefined) throw new Error("no follower");
    await follower.kill();
    await load.progress(200);
    follower.start();
    await cluster.ready([follower]);
    await load.progress(100);
    await check();
  });

  test("all three at once", async () => {
    await load.progress(100);
    await Promise.all(cluster.members.map((member) => member.kill()));
    for (const member of cluster.members) member.start();
    await cluster.ready();
    await load.progress(200);
    await check();
  });

  test("one after the other, twice round, each restarted while the next falls", async () => {
    for (let round = 0; round < 2; round++) {
      for (const member of cluster.members) {
        await member.kill();
        await load.progress(50);
        member.start();
        await cluster.ready([member]);
      }
    }
    await check();
  });

  test("at the end HashKV is equal on all members, and again after one more restart of all", async () => {
    await load.stop();
    await check();
    const hashes = async (): Promise<unknown[]> => {
      const revision = Math.max(...load.acknowledged.map((put) => put.revision));
      const all = await Promise.all(cluster.members.map((member) => cluster.client(member).hashKv(revision)));
      return all.map(({ hash, compactRevision, hashRevision }) => ({ hash, compactRevision, hashRevision }));
    };
    const before = await hashes();
    expect(before[1]).toEqual(before[0]);
    expect(before[2]).toEqual(before[0]);
    await Promise.all(cluster.members.map((member) => member.kill("SIGTERM")));
    for (const member of cluster.members) member.start();
    await cluster.ready();
    await check();
    expect(await hashes()).toEqual(before);
    console.log(
      `crash: ${load.acknowledged.length} puts acknowledged and found with their revisions, ` +
        `${load.failures} of unknown outcome, HashKV equal on 3 members`,
    );
  });
});
