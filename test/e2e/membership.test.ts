import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { rpcs } from "../../proto/generated/services.ts";
import { type Cluster, type MemberProcess, startCluster } from "./cluster.ts";
import { etcdctl, hasEtcdctl } from "./etcdctl.ts";
import { Load, RetriedLoad, readAll } from "./load.ts";
import { addMember, endpointsOf, idOf, patiently, removeMember, SHORT_LOG } from "./reconfigure.ts";

if (!hasEtcdctl) console.warn("SKIPPED: no etcdctl on PATH");

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function grow(cluster: Cluster, name: string, extraFlags: readonly string[] = []): Promise<MemberProcess> {
  const member = await addMember(cluster, name, { extraFlags });
  await cluster.ready([member]);
  return member;
}

/** Every acknowledged put is on every member, with its revision or (having been sent twice) a later one. */
async function checkLoad(cluster: Cluster, load: Load | RetriedLoad, prefix: string): Promise<void> {
  const acknowledged = [...load.acknowledged];
  expect(acknowledged.length).toBeGreaterThan(100);
  for (const member of cluster.members) {
    await cluster.client(member).get("a linearizable read first");
    const stored = await readAll(cluster.client(member), prefix);
    const wrong = acknowledged.filter(({ key, value, revision }) => {
      const kv = stored.get(key);
      return kv === undefined || kv.modRevision < revision || Buffer.from(kv.value).toString() !== value;
    });
    expect({ member: member.name, wrong }).toEqual({ member: member.name, wrong: [] });
  }
}

/** All members tell the same members, and have the same state. */
async function checkAgreement(cluster: Cluster): Promise<void> {
  const lists = await Promise.all(
    cluster.members.map(async (member) => {
      const { members } = await cluster.client(member).unary(rpcs.ClusterMemberList, { linearizable: true });
      return members.map(({ name, peerURLs, clientURLs, isLearner }) => ({ name, peerURLs, clientURLs, isLearner }));
    }),
  );
  for (const list of lists) expect(list).toEqual(lists[0]);
  expect(new Set(lists[0]?.map(({ name }) => name))).toEqual(new Set(cluster.members.map(({ name }) => name)));
  const { header } = await cluster.client(cluster.member(0)).put("agreement", "now");
  const hashes = await Promise.all(
    cluster.members.map(async (member) => {
      await cluster.client(member).get("agreement");
      return (await cluster.client(member).hashKv(header?.revision ?? 0)).hash;
    }),
  );
  expect(new Set(hashes).size).toBe(1);
}

describe.skipIf(!hasEtcdctl)("growing and shrinking", () => {
  let cluster: Cluster;
  let load: RetriedLoad;

  beforeAll(async () => {
    cluster = await startCluster(1, SHORT_LOG);
    load = new RetriedLoad(cluster, 4, "grow");
  });
  afterAll(() => cluster?.destroy());

  test("1 -> 3 -> 5 -> 3 under load: no failure that a client does not retry", async () => {
    // The log no longer begins at its beginning: who joins needs the state.
    await load.progress(1_000);
    for (const name of ["m2", "m3", "m4", "m5"]) {
      const member = await grow(cluster, name, SHORT_LOG);
      expect(member.log).toContain("applied snapshot");
      await load.progress(50);
    }
    expect(cluster.members).toHaveLength(5);
    await checkAgreement(cluster);
    // A follower, then whoever leads.
    const [follower] = await cluster.followers();
    const ends = [await removeMember(cluster, follower as MemberProcess)];
    await load.progress(50);
    const since = performance.now();
    ends.push(await removeMember(cluster, await cluster.leader()));
    await load.progress(50);
    const gap = Math.round(load.longestGap(since));
    expect(ends).toEqual(Array(2).fill({ code: 0, signal: null }));
    await load.stop();
    expect(load.problems).toEqual([]);
    await checkLoad(cluster, load, "grow/");
    await checkAgreement(cluster);
    // The lead was handed over first.
    expect(cluster.members.some(({ log }) => log.includes("asking for the leadership"))).toBe(true);
    console.log(
      `membership: ${load.acknowledged.length} puts while growing and shrinking, ${load.retries} sent again; ` +
        `longest time without an answer while the leader was removed: ${gap} ms`,
    );
  }, 300_000);

  test("the members are the same after all of them were killed at once", async () => {
    const before = await etcdctl(endpointsOf(cluster), "member", "list");
    await Promise.all(cluster.members.map((member) => member.kill()));
    for (const member of cluster.members) member.start();
    await cluster.ready();
    expect(await etcdctl(endpointsOf(cluster), "member", "list")).toBe(before);
    await checkLoad(cluster, load, "grow/");
    await checkAgreement(cluster);
  });

  test("3 -> 1, the leader first each time; the last one stays", async () => {
    for (const left of [2, 1]) {
      expect(await removeMember(cluster, await cluster.leader())).toEqual({ code: 0, signal: null });
      const last = cluster.member(0);
      await cluster.client(last).put("still", `${left}`);
      expect(cluster.members).toHaveLength(left);
    }
    const id = await idOf(cluster, cluster.member(0));
    await expect(etcdctl(endpointsOf(cluster), "member", "remove", id)).rejects.toThrow(
      "etcdserver: re-configuration failed due to not enough started members",
    );
    await checkLoad(cluster, load, "grow/");
  });
});

describe.skipIf(!hasEtcdctl)("members come and go", () => {
  let cluster: Cluster | undefined;
  afterEach(async () => {
    await cluster?.destroy();
    cluster = undefined;
  });

  test.each([
    { log: "whole logs", flags: [] },
    { log: "logs that are cut", flags: SHORT_LOG },
  ])(
    "every member replaced, one by one, under load, $log: no acknowledged write is lost",
    async ({ flags }) => {
      cluster = await startCluster(3, flags);
      const load = new RetriedLoad(cluster, 4, "replace");
      const first = [...cluster.members];
      await load.progress(100);
      for (const [position, old] of first.entries()) {
        await grow(cluster, `new${position + 1}`, flags);
        await load.progress(50);
        expect(await removeMember(cluster, old)).toEqual({ code: 0, signal: null });
        await load.progress(50);
      }
      await load.stop();
      expect(load.problems).toEqual([]);
      expect(cluster.members.map(({ name }) => name)).toEqual(["new1", "new2", "new3"]);
      await checkLoad(cluster, load, "replace/");
      await checkAgreement(cluster);
      console.log(`membership: ${load.acknowledged.length} puts while replacing all, ${load.retries} sent again`);
    },
    300_000,
  );

  test("a learner is killed over and over while it gets a long log, catches up, is promoted, and counts", async () => {
    const three = await startCluster(3);
    cluster = three;
    const members = [...three.members];
    const load = new Load(
      members.map((member) => three.client(member)),
      8,
      "learn",
    );
    await load.progress(3_000);
    const learner = await addMember(cluster, "learner", { learner: true });
    // Not even its own addition is in its log yet, or just so: it finds its way back into the cluster.
    for (const pause of [0, 200, 500, 900]) {
      await sleep(pause);
      await learner.kill();
      learner.start();
    }
    await cluster.ready([learner]);
    await load.stop();
    expect(load.failures).toBe(0);
    const id = await idOf(cluster, learner);
    // Of the voters one: a learner serves no such call.
    await etcdctl(
      members.map(({ endpoint }) => endpoint),
      "member",
      "promote",
      id,
    );
    await checkLoad(cluster, load, "learn/");
    await checkAgreement(cluster);

    // Four voters; with two of the first ones gone the promoted one is needed for everything.
    const [a, b] = members as [MemberProcess, MemberProcess];
    await removeMember(cluster, a);
    await removeMember(cluster, b);
    await cluster.client(learner).put("promoted", "yes");
    const other = members[2] as MemberProcess;
    expect(Buffer.from((await cluster.client(other).get("promoted"))?.value ?? []).toString()).toBe("yes");
  });

  test("peer URLs are updated, and the others find the member at its new place", async () => {
    cluster = await startCluster(3);
    const [follower] = await cluster.followers();
    if (follower === undefined) throw new Error("no follower");
    const id = await idOf(cluster, follower);
    const moved = `http://localhost:${follower.peerPort}`;
    await etcdctl(endpointsOf(cluster), "member", "update", id, `--peer-urls=${moved}`);
    expect(await etcdctl(endpointsOf(cluster), "member", "list")).toContain(moved);
    await follower.kill();
    follower.start();
    await cluster.ready([follower]);
    await cluster.client(follower).put("moved", "yes");
  });

  test("a removed member's data does not come back, nor does its id; its address may", async () => {
    cluster = await startCluster(3);
    const [follower] = await cluster.followers();
    if (follower === undefined) throw new Error("no follower");
    const id = await idOf(cluster, follower);
    await removeMember(cluster, follower);
    follower.start();
    expect((await follower.exited()).code).toBe(0);
    expect(follower.log).toContain("the member has been permanently removed from the cluster");
    expect(follower.log).not.toContain("ready to serve client requests");

    const words = ["member", "add", "again", `--peer-urls=${follower.peerUrl}`];
    const added = await patiently(endpointsOf(cluster), ...words);
    // etcdctl pads ids to 16 places with blanks.
    const newId = /Member +([0-9a-f]+) added/.exec(added)?.[1];
    expect(newId).toBeDefined();
    expect(newId).not.toBe(id);
    await expect(etcdctl(endpointsOf(cluster), "member", "remove", id)).rejects.toThrow("member not found");
  });
});
