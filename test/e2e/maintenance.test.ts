import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { afterEach, describe, expect, test } from "vitest";
import { AlarmRequestAlarmAction, AlarmType } from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { markOf, sealed, sealedWithMark, unsealed } from "../../storage/level-rows.ts";
import type { ApiClient, ServiceError } from "./client.ts";
import { type Cluster, type MemberProcess, quorate, startCluster } from "./cluster.ts";
import { etcdctl, hasEtcdctl, run, tryEtcdctl } from "./etcdctl.ts";
import { until } from "./until.ts";

let cluster: Cluster;
afterEach(() => cluster?.destroy());

const QUOTA = 16 << 20;
const NO_SPACE = { code: 8, details: "etcdserver: mvcc: database space exceeded" };
const CORRUPT = { code: 15, details: "etcdserver: corrupt cluster" };

const clients = (): ApiClient[] => cluster.members.map((member) => cluster.client(member));
const outcome = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => "done",
    ({ code, details }: ServiceError) => ({ code, details }),
  );

async function health(member: MemberProcess, query = ""): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://${member.endpoint}/health${query}`);
  return { status: response.status, body: (await response.text()).trim() };
}

/** Puts of random bytes, which no compression makes smaller, by several writers, until one is refused; how many were not. */
async function fill(client: ApiClient, valueBytes: number, writers = 8): Promise<{ done: number; error: unknown }> {
  let done = 0;
  let error: unknown;
  const write = async (writer: number): Promise<void> => {
    for (let n = 0; error === undefined; n++) {
      const value = randomBytes(valueBytes);
      const result = await outcome(client.put(`fill/${writer}/${n}`, "", { value }));
      if (result === "done") done++;
      else error = result;
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  return { done, error };
}

const deleteAll = (client: ApiClient): Promise<unknown> =>
  client.unary(rpcs.KVDeleteRange, { key: "fill/", rangeEnd: "fill0" });

const isSmall = async (): Promise<boolean> => {
  const sizes = await Promise.all(clients().map(async (client) => (await client.status()).dbSize));
  return sizes.every((size) => size < QUOTA / 4);
};

describe("N-11, N-12: a quota that is reached", () => {
  test("refuses what takes room, on all members, until compaction made room and the alarm was taken back", async () => {
    cluster = await startCluster(3, [`--quota-backend-bytes=${QUOTA}`]);
    const [first, second, third] = clients() as [ApiClient, ApiClient, ApiClient];
    const { done, error } = await fill(first, 64 << 10);
    expect(error).toEqual(NO_SPACE);
    // Neither long before nor long after the limit.
    expect(done * (64 << 10)).toBeGreaterThan(QUOTA * 0.8);
    expect(done * (64 << 10)).toBeLessThan(QUOTA * 1.1);
    const status = await first.status();
    expect(status.dbSizeQuota).toBe(QUOTA);
    expect(status.errors.join()).toMatch(/memberID:\d+ alarm:NOSPACE /);
    // The files of a compaction that LevelDB is in the midst of are there twice, its input and its output.
    expect(status.dbSize).toBeLessThan(QUOTA * 2);
    await until("nothing is there twice", async () => (await first.status()).dbSize < QUOTA * 1.3);

    for (const client of [first, second, third]) {
      expect(await outcome(client.put("small", "x"))).toEqual(NO_SPACE);
      expect(await outcome(client.unary(rpcs.LeaseLeaseGrant, { TTL: 60 }))).toEqual(NO_SPACE);
      expect(await outcome(client.range({ key: "fill/0/0" }))).toBe("done");
    }
    for (const member of cluster.members) {
      expect(await health(member)).toEqual({ status: 503, body: '{"health":"false","reason":"ALARM NOSPACE"}' });
      expect((await health(member, "?exclude=NOSPACE")).status).toBe(200);
    }
    const deletion = { kind: "requestDeleteRange" as const, value: { key: "fill/0/0", rangeEnd: "", prevKv: false } };
    expect(await outcome(second.unary(rpcs.KVTxn, { success: [{ request: deletion }] }))).toBe("done");
    await deleteAll(third);
    const { revision = 0 } = (await first.range({ key: "x" })).header ?? {};
    await first.unary(rpcs.KVCompact, { revision, physical: true }, { timeoutMs: 30_000 });
    // Whoever waited for it may use it at once: nothing is restarted, nothing defragmented.
    await first.unary(rpcs.MaintenanceAlarm, {
      action: AlarmRequestAlarmAction.DEACTIVATE,
      memberID: (await first.status()).header?.memberId ?? 0n,
      alarm: AlarmType.NOSPACE,
    });
    await until("all members give the space back", isSmall);
    const alarms = await first.unary(rpcs.MaintenanceAlarm, {});
    for (const alarm of alarms.alarms) {
      await first.unary(rpcs.MaintenanceAlarm, { action: AlarmRequestAlarmAction.DEACTIVATE, ...alarm });
    }
    for (const client of [first, second, third]) expect(await outcome(client.put("small", "x"))).toBe("done");
    for (const member of cluster.members) expect((await health(member)).status).toBe(200);
    const hashes = await Promise.all(clients().map(async (client) => (await client.hashKv()).hash));
    expect(new Set(hashes).size).toBe(1);
  });

  test("what compresses well is not refused for what it was before", async () => {
    cluster = await startCluster(1, [`--quota-backend-bytes=${QUOTA}`]);
    const [client] = clients() as [ApiClient];
    for (let n = 0; n < 500; n++) await client.put(`text/${n}`, "all work and no play ".repeat(3_000));
    const { dbSize, errors } = await client.status();
    expect(errors).toEqual([]);
    expect(dbSize).toBeLessThan(QUOTA);
  });

  test("--auto-disarm-nospace takes the alarm back by itself", async () => {
    cluster = await startCluster(1, [`--quota-backend-bytes=${QUOTA}`, "--auto-disarm-nospace"]);
    const [client] = clients() as [ApiClient];
    expect((await fill(client, 256 << 10)).error).toEqual(NO_SPACE);
    expect((await client.status()).errors).toHaveLength(1);
    await deleteAll(client);
    const { revision = 0 } = (await client.range({ key: "x" })).header ?? {};
    await client.unary(rpcs.KVCompact, { revision });
    await until("a put is served again", async () => (await outcome(client.put("small", "x"))) === "done");
    expect((await client.status()).errors).toEqual([]);
  });

  test.skipIf(!hasEtcdctl)(
    "etcdctl: compaction, defrag, alarm disarm, as etcd's maintenance guide has it",
    async () => {
      cluster = await startCluster(3, [`--quota-backend-bytes=${QUOTA}`]);
      const all = cluster.endpoints;
      expect((await fill(cluster.client(cluster.member(0)), 128 << 10)).error).toEqual(NO_SPACE);
      expect(await etcdctl(all, "alarm", "list")).toMatch(/^(memberID:\d+ alarm:NOSPACE \n){1,3}$/);
      expect((await tryEtcdctl(all, "put", "a", "1")).stderr).toContain("database space exceeded");
      await etcdctl(all, "del", "--prefix", "fill/");
      const status = JSON.parse(await etcdctl(all, "endpoint", "status", "--write-out=json")) as {
        Status: { header: { revision: number } };
      }[];
      await etcdctl(all, "compaction", String(status[0]?.Status.header.revision));
      expect(await etcdctl(all, "defrag")).toMatch(/^(Finished defragmenting etcd member\[[\d.:]+\].*\n){3}$/);
      expect(await isSmall()).toBe(true);
      expect(await etcdctl(all, "alarm", "disarm")).toMatch(/^(memberID:\d+ alarm:NOSPACE \n){1,3}$/);
      expect(await etcdctl(all, "put", "a", "1")).toBe("OK\n");
      expect(await etcdctl(all, "alarm", "list")).toBe("");
    },
  );
});

test("N-3: Defragment shrinks this member's store, and reads and writes go on meanwhile", async () => {
  cluster = await startCluster(3);
  const [first, second] = clients() as [ApiClient, ApiClient];
  const value = randomBytes(100_000);
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    for (let n = 0; n < 40; n++)
      await first.put(`fill/${writer}/${n}`, "", { value: Buffer.concat([randomBytes(8), value]) });
  });
  await Promise.all(writers);
  await deleteAll(first);
  const { revision = 0 } = (await first.range({ key: "x" })).header ?? {};
  await first.unary(rpcs.KVCompact, { revision, physical: true }, { timeoutMs: 30_000 });
  let isDone = false;
  let slowestMs = 0;
  let calls = 0;
  const load = async (call: () => Promise<unknown>): Promise<void> => {
    while (!isDone) {
      const startedAt = performance.now();
      await call();
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
      calls++;
    }
  };
  const loads = [load(() => first.put("a", "1")), load(() => first.range({ key: "a" }))];
  await Promise.all([1, 2, 3].map(() => first.unary(rpcs.MaintenanceDefragment, {}, { timeoutMs: 30_000 })));
  isDone = true;
  await Promise.all(loads);
  expect(slowestMs).toBeLessThan(1_000);
  expect(calls).toBeGreaterThan(0);
  const { dbSize, dbSizeInUse } = await first.status();
  expect(dbSize).toBeLessThan(8 << 20);
  expect(dbSizeInUse).toBeLessThanOrEqual(dbSize);
  expect(await outcome(second.put("b", "1"))).toBe("done");
  // G-14: it is local; no majority is needed.
  await Promise.all(cluster.members.slice(1).map((member) => member.kill()));
  await first.unary(rpcs.MaintenanceDefragment, {}, { timeoutMs: 30_000 });
});

test("C-6: a period after a write what came before it is compacted away, whoever leads", async () => {
  cluster = await startCluster(3, ["--auto-compaction-mode=periodic", "--auto-compaction-retention=2s"]);
  const [client] = clients() as [ApiClient];
  for (let n = 0; n < 5; n++) await client.put("a", String(n));
  const isCompacted = (revision: number) => async (): Promise<boolean> => {
    // The clock of the schedule goes on; what is new is what makes it compact.
    await client.put("b", "x");
    return (await outcome(client.range({ key: "a", revision }))) !== "done";
  };
  await until("the first revisions are gone", isCompacted(3), 15_000);
  const leader = await cluster.leader();
  await leader.kill();
  const left = cluster.client((await cluster.followers())[0] ?? cluster.member(1));
  const { revision = 0 } = (await left.put("a", "x")).header ?? {};
  await left.put("a", "y");
  const gone = async (): Promise<boolean> => {
    await left.put("b", "x");
    return (await outcome(left.range({ key: "a", revision }))) !== "done";
  };
  await until("also under the next leader", gone, 20_000);
});

describe("N-13: a member whose store is not what it was", () => {
  const stateOf = (member: MemberProcess): string => join(member.dataDir, "member", "state");
  /** A value to look for, in a table of every member. */
  async function putMarked(): Promise<{ readonly mark: Buffer; readonly value: Buffer }> {
    const mark = randomBytes(16);
    const value = Buffer.concat([mark, randomBytes(2_000)]);
    await cluster.client(cluster.member(0)).put("damaged", "", { value });
    for (const each of clients()) await each.unary(rpcs.MaintenanceDefragment, {});
    return { mark, value };
  }

  test("because a bit of a file flipped: it does not start, and names the file; it heals as its error advises", async () => {
    cluster = await startCluster(3, ["--backend-batch-interval=20ms"]);
    const { mark, value } = await putMarked();
    const [victim] = await cluster.followers();
    if (victim === undefined) throw new Error("no follower");
    for (const ending of [".ldb", ".log"]) {
      // What is put now is in LevelDB's log: the first of two batches, for the last one of a log may be torn.
      if (ending === ".log") {
        for (const n of [1, 2]) {
          await cluster.client(victim).put(`log${n}`, "", { value: mark });
          await new Promise((resolve) => setTimeout(resolve, 300));
        }
      }
      await victim.kill("SIGTERM");
      const files = readdirSync(stateOf(victim)).filter((name) => name.endsWith(ending));
      const found = files.map((name) => join(stateOf(victim), name)).find((path) => readFileSync(path).includes(mark));
      if (found === undefined) throw new Error(`no ${ending} of ${victim.name} holds the value`);
      const bytes = readFileSync(found);
      const at = bytes.indexOf(mark) + 5;
      bytes[at] = (bytes[at] as number) ^ 1;
      writeFileSync(found, bytes);
      victim.start();
      expect(await victim.exited()).toEqual({ code: 1, signal: null });
      expect(victim.log).toMatch(/\d+\.(ldb|log) has a wrong checksum at offset \d+\): it was left as it is/);
      expect(victim.log).toContain("quorate rebuild --data-dir DATA-DIR --endpoints CLIENT-URL");
      const others = cluster.members.filter((member) => member !== victim);
      const endpoints = others.map((member) => `http://${member.endpoint}`).join();
      const words = ["rebuild", "--data-dir", victim.dataDir, "--endpoints", endpoints];
      expect((await run(quorate, words, { timeoutMs: 60_000 })).code).toBe(0);
      victim.start();
      await cluster.ready([victim]);
      expect((await cluster.client(victim).get("damaged", { serializable: true }))?.value).toEqual(value);
    }
  });

  test("though its files are sound: it is found by comparison, named, and answers no more; the others serve reads", async () => {
    cluster = await startCluster(3, ["--corrupt-check-time=1s"]);
    const { mark, value } = await putMarked();
    const [victim] = await cluster.followers();
    if (victim === undefined) throw new Error("no follower");
    const victimId = (await cluster.client(victim).status()).header?.memberId ?? 0n;
    await victim.kill("SIGTERM");
    const db = new ClassicLevel<Buffer, Buffer>(stateOf(victim), { keyEncoding: "buffer", valueEncoding: "buffer" });
    const rows = (await db.iterator().all()).filter(([, row]) => row.includes(mark));
    expect(rows).toHaveLength(1);
    for (const [key, row] of rows) {
      const value = Buffer.from(unsealed(key, row) as Buffer);
      const at = value.indexOf(mark) + 5;
      value[at] = (value[at] as number) ^ 1;
      // The last row says which entry the store is at.
      const stated = markOf(key, row);
      await db.put(key, stated === undefined ? sealed(key, value) : sealedWithMark(key, value, stated));
    }
    await db.close();
    victim.start();
    await cluster.ready([victim]);
    const others = cluster.members.filter((member) => member !== victim);
    const alarm = { memberID: victimId, alarm: AlarmType.CORRUPT };
    const list = async () => (await cluster.client(others[0] as MemberProcess).unary(rpcs.MaintenanceAlarm, {})).alarms;
    await until("the alarm names it", async () => (await list()).length > 0, 20_000);
    expect(await list()).toEqual([alarm]);
    const leader = await cluster.leader();
    expect(leader.log).toContain(`"corrupt-member-id":"${victimId.toString(16)}"`);
    await victim.logged("it answers no reads");

    const broken = cluster.client(victim);
    for (const serializable of [false, true]) {
      expect(await outcome(broken.range({ key: "damaged", serializable }))).toEqual(CORRUPT);
    }
    expect(await health(victim)).toEqual({ status: 503, body: '{"health":"false","reason":"ALARM CORRUPT"}' });
    expect((await broken.status()).errors).toEqual([`memberID:${victimId} alarm:CORRUPT `]);
    for (const member of others) {
      expect((await cluster.client(member).get("damaged"))?.value).toEqual(value);
      expect(await outcome(cluster.client(member).put("a", "1"))).toEqual(CORRUPT);
    }
    // As it stays in the next life, until it is replaced and the alarm taken back.
    await victim.kill("SIGTERM");
    victim.start();
    await cluster.ready([victim]);
    expect(await outcome(broken.range({ key: "a", serializable: true }))).toEqual(CORRUPT);
  });
});
