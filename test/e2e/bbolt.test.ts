/** Database files, both ways: etcd's tools take ours, and we read what a running, stopped or killed etcd leaves. */
import { createHash } from "node:crypto";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decode, encode } from "../../proto/codec.ts";
import * as authpb from "../../proto/generated/authpb.ts";
import * as leasepb from "../../proto/generated/leasepb.ts";
import * as mvccpb from "../../proto/generated/mvccpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import type { Backend, RowSource } from "../../storage/backend.ts";
import { type BoltCheck, checkBolt } from "../../storage/bbolt/check.ts";
import { type BoltReader, openBolt } from "../../storage/bbolt/reader.ts";
import { planBolt, writeBolt } from "../../storage/bbolt/writer.ts";
import { crc32c } from "../../storage/crc32c.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import type { Mvcc } from "../../storage/mvcc/mvcc.ts";
import { createMvccRestore } from "../../storage/mvcc/store.ts";
import { hashKv, hashStore, restoreMvcc } from "../../storage/mvcc-walk.ts";
import { nodeDisk } from "../../storage/node-disk.ts";
import {
  ALARM_VALUE,
  AUTH_ENABLED,
  AUTH_REVISION,
  alarmKey,
  BUCKETS,
  CLUSTER_VERSION,
  CONF_STATE,
  CONSISTENT_INDEX,
  encodeUint64,
  leaseKey,
  memberKey,
  REMOVED_MEMBER,
  roleKey,
  TERM,
  userKey,
} from "../../storage/schema.ts";
import { memberJson } from "../../storage/stored-json.ts";
import { rowsOf } from "../storage/bolt-files.ts";
import { createRandom, type Random } from "../storage/random.ts";
import type { ApiClient } from "./client.ts";
import { type Cluster, createCluster, type MemberProcess, startCluster } from "./cluster.ts";
import { etcdBinary, etcdctl, hasEtcdctl, hasEtcdutl, run } from "./etcdctl.ts";

const ALL = { key: "\0", rangeEnd: "\0" };
const PATIENCE = { timeoutMs: 60_000 };
const NOSPACE = 1;
const ACTIVATE = 1;
const DEACTIVATE = 2;
const LONG_TTL = 100_000;

async function withFile<T>(path: string, work: (reader: BoltReader, check: () => Promise<BoltCheck>) => Promise<T>) {
  const file = await nodeDisk.open(path);
  if (file === undefined) throw new Error(`there is no ${path}`);
  try {
    return await work(await openBolt(file), () => checkBolt(file));
  } finally {
    await file.close();
  }
}

async function writeTo(path: string, source: RowSource, tail: "sha256" | "nothing"): Promise<number> {
  const plan = await planBolt(source);
  const hash = createHash("sha256");
  const file = await open(path, "wx");
  for await (const chunk of writeBolt(plan, source)) {
    await file.write(chunk);
    hash.update(chunk);
  }
  if (tail === "sha256") await file.write(hash.digest());
  await file.close();
  return plan.bytes;
}

async function etcdutl(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run("etcdutl", args, PATIENCE);
  if (code !== 0) throw new Error(`etcdutl ${args.join(" ")}: exit ${code}\n${stdout}${stderr}`);
  return stdout;
}

interface Status {
  readonly hash: number;
  readonly revision: number;
  readonly totalKey: number;
  readonly totalSize: number;
}

async function statusOf(path: string): Promise<Status> {
  return JSON.parse(await etcdutl("snapshot", "status", path, "--write-out=json"));
}

/** What `snapshot status` prints: a checksum of everything, and the number of rows. */
async function digestOf(source: RowSource): Promise<{ readonly hash: number; readonly totalKey: number }> {
  let hash = 0;
  let totalKey = 0;
  for (const bucket of BUCKETS) {
    hash = crc32c(Buffer.from(bucket), hash);
    for (const [key, value] of await rowsOf(source, bucket)) {
      hash = crc32c(value, crc32c(Buffer.from(key, "latin1"), hash));
      totalKey++;
    }
  }
  return { hash, totalKey };
}

/** Into a store of ours, as a restore would. */
async function restored(reader: BoltReader): Promise<{ backend: Backend; mvcc: Mvcc }> {
  const backend = createMemoryBackend();
  for (const bucket of BUCKETS)
    for (const [key, value] of await rowsOf(reader, bucket)) backend.put(bucket, key, value);
  await backend.flush();
  return { backend, mvcc: (await restoreMvcc(backend)).mvcc };
}

async function liveOn(client: ApiClient): Promise<string[]> {
  const { kvs } = await client.range(ALL, PATIENCE.timeoutMs);
  return kvs.map((kv) => Buffer.from(kv).toString("hex"));
}

function liveIn(mvcc: Mvcc): string[] {
  const found: string[] = [];
  mvcc.visit("", "\0", mvcc.currentRevision, (version) => {
    found.push(Buffer.from(mvcc.value(version)).toString("hex"));
    return true;
  });
  return found;
}

function text(random: Random, bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, () => random.below(256)));
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const left = items.values();
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      for (const item of left) await work(item);
    }),
  );
}

/** Names so long that few fit a page: deep trees. */
const longName = (prefix: string, i: number): string => `${prefix}${String(i).padStart(5, "0")}`.padEnd(900, "-");

describe.skipIf(!hasEtcdutl || etcdBinary === undefined)("a file of ours (skipped without etcd and etcdutl)", () => {
  const random = createRandom(31);
  const backend = createMemoryBackend();
  const leases = Array.from({ length: 2_000 }, (_, i) => BigInt(i * 7_919 + 1) << 20n);
  const users = Array.from({ length: 400 }, (_, i) => longName("user", i));
  let mvcc: Mvcc;
  let cluster: Cluster;
  let member: MemberProcess;
  let client: ApiClient;
  let path: string;
  let bytes: number;

  beforeAll(async () => {
    mvcc = createMvccRestore(backend).finish().mvcc;
    const keys = Array.from({ length: 3_000 }, (_, i) => `key/${i}`.padEnd(10 + random.below(200), "k"));
    for (let change = 0; change < 12_000; change++) {
      mvcc.beginChange();
      for (let ops = 1 + (random.chance(0.05) ? random.below(20) : 0); ops > 0; ops--) {
        const key = random.pick(keys);
        if (random.chance(0.15)) mvcc.deleteRange(key, "");
        else
          mvcc.put(
            key,
            text(random, random.below(random.pick([10, 400, 3_000]))),
            random.chance(0.2) ? random.pick(leases) : 0n,
          );
      }
      mvcc.endChange();
      if (change === 5_000) {
        mvcc.compact(mvcc.currentRevision - 700);
        while (!mvcc.compactSlice(500));
      }
    }
    for (let i = 0; i < 5; i++) {
      mvcc.beginChange();
      mvcc.put(`large/${i}`, Buffer.alloc(300_000 * i, text(random, 997)), 0n);
      mvcc.endChange();
    }
    for (const ID of leases) {
      backend.put("lease", leaseKey(ID), encode(leasepb.Lease, { ID, TTL: LONG_TTL, remainingTTL: 0 }));
    }
    backend.put("meta", CONSISTENT_INDEX, encodeUint64(123_456));
    backend.put("meta", TERM, encodeUint64(7));
    backend.put("meta", CONF_STATE, Buffer.from('{"voters":[1],"auto_leave":false}'));
    backend.put("cluster", CLUSTER_VERSION, Buffer.from("3.5.0"));
    backend.put("auth", AUTH_ENABLED, Buffer.of(0));
    backend.put("auth", AUTH_REVISION, encodeUint64(9));
    for (const name of users) {
      const user = { name: Buffer.from(name), password: Buffer.alloc(0), roles: ["reader"], options: undefined };
      backend.put("authUsers", userKey(name), encode(authpb.User, user));
    }
    const keyPermission = { permType: 0, key: "a", rangeEnd: "b" };
    const role = { name: Buffer.from("reader"), keyPermission: [keyPermission] };
    backend.put("authRoles", roleKey("reader"), encode(authpb.Role, role));
    const record = { id: 1n, name: "gone", peerURLs: ["http://127.0.0.1:1"], clientURLs: [], isLearner: false };
    backend.put("members", memberKey(1n), Buffer.from(memberJson(record)));
    backend.put("members_removed", memberKey(2n), REMOVED_MEMBER);
    backend.put("alarm", alarmKey(1n, NOSPACE), ALARM_VALUE);

    cluster = await createCluster(1, [], etcdBinary);
    member = cluster.member(0);
    path = join(cluster.directory, "ours.db");
    const snapshot = backend.snapshot();
    bytes = await writeTo(path, snapshot, "sha256");
    await snapshot.close();
  });
  afterAll(() => cluster?.destroy());

  test("etcdutl snapshot status: the rows, the revision, the checksum of everything", async () => {
    const snapshot = backend.snapshot();
    const plain = join(cluster.directory, "plain.db");
    await writeTo(plain, snapshot, "nothing");
    const { hash, totalKey } = await digestOf(snapshot);
    await snapshot.close();
    expect(await statusOf(plain)).toMatchObject({ hash, totalKey, revision: mvcc.currentRevision, totalSize: bytes });
    const saved = await statusOf(path);
    expect(saved).toMatchObject({ hash, totalKey, revision: mvcc.currentRevision });
    const empty = join(cluster.directory, "empty.db");
    await writeTo(empty, createMemoryBackend().snapshot(), "nothing");
    expect(await statusOf(empty)).toMatchObject({ totalKey: 0, revision: 0, totalSize: 4 * 4096 });
  });

  test("etcdutl snapshot status refuses what our check refuses: it does check", async () => {
    const file = await open(path, "r");
    const whole = Buffer.alloc(bytes);
    await file.read(whole, 0, bytes, 0);
    await file.close();
    // The freelist claims page 4, which is in use.
    whole.writeUInt16LE(1, 2 * 4096 + 10);
    whole.writeUInt32LE(4, 2 * 4096 + 16);
    const damaged = join(cluster.directory, "damaged.db");
    await writeFile(damaged, whole);
    const { code, stderr } = await run("etcdutl", ["snapshot", "status", damaged]);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/integrity check failed/);
    await withFile(damaged, (_, check) =>
      expect(check()).rejects.toThrow("page 4 is used, and listed as free on page 2"),
    );
  });

  test("etcdutl snapshot restore checks the digest, and etcd serves everything with our HashKV", async () => {
    const flags = member.flags.filter((flag) =>
      /^--(name|data-dir|initial-(cluster|advertise-peer-urls|cluster-token))=/.test(flag),
    );
    await etcdutl("snapshot", "restore", path, ...flags);
    member.start();
    await cluster.ready();
    client = cluster.client(member);
    const answer = await client.hashKv();
    expect(answer.header?.revision).toBe(mvcc.currentRevision);
    expect(answer.compactRevision).toBe(mvcc.compactRevision);
    expect(answer.hash).toBe(await hashKv(backend, mvcc, mvcc.currentRevision, mvcc.compactRevision));
    const live = await liveOn(client);
    expect(live.length).toBeGreaterThan(1_000);
    expect(live).toEqual(liveIn(mvcc));
    const found = await client.unary(rpcs.LeaseLeaseLeases, {}, PATIENCE);
    expect(found.leases.map(({ ID }) => ID).sort()).toEqual([...leases].sort());
    const [[ID, keys]] = [...attachedKeys()] as [[bigint, string[]]];
    const lease = await client.unary(rpcs.LeaseLeaseTimeToLive, { ID, keys: true }, PATIENCE);
    expect(lease.grantedTTL).toBe(LONG_TTL);
    expect([...lease.keys].sort()).toEqual(keys.sort());
    expect((await client.unary(rpcs.AuthUserList, {}, PATIENCE)).users).toEqual(users);
    const [permission] = (await client.unary(rpcs.AuthRoleGet, { role: "reader" }, PATIENCE)).perm;
    expect(permission).toEqual({ permType: 0, key: "a", rangeEnd: "b" });
    const { alarms } = await client.unary(rpcs.MaintenanceAlarm, {}, PATIENCE);
    expect(alarms).toEqual([{ memberID: 1n, alarm: NOSPACE }]);
  });

  function attachedKeys(): Map<bigint, string[]> {
    const attached = new Map<bigint, string[]>();
    mvcc.visit("", "\0", mvcc.currentRevision, (version) => {
      const { key, lease } = decode(mvccpb.KeyValue, mvcc.value(version));
      if (lease !== 0n) attached.set(lease, [...(attached.get(lease) ?? []), key]);
      return true;
    });
    return attached;
  }

  test("etcd deletes and writes in it, deep trees and all, and what it leaves is whole", async () => {
    await client.unary(rpcs.MaintenanceAlarm, { action: DEACTIVATE, memberID: 1n, alarm: NOSPACE }, PATIENCE);
    // All but a few, from both ends and from the middle: leaves and branches are merged.
    const gone = users.filter((_, i) => i % 50 !== 17);
    for (const name of [...gone.slice(0, 150), ...gone.slice(250).reverse(), ...gone.slice(150, 250)]) {
      await client.unary(rpcs.AuthUserDelete, { name }, PATIENCE);
    }
    await inParallel(leases.slice(100), (ID) => client.unary(rpcs.LeaseLeaseRevoke, { ID }, PATIENCE));
    await client.unary(rpcs.KVDeleteRange, { key: "key/1", rangeEnd: "key/7" }, PATIENCE);
    await inParallel(
      Array.from({ length: 500 }, (_, i) => `new/${i}`),
      (key) => client.put(key, "x".repeat(900)),
    );
    const { header } = await client.put("last", "1");
    await client.unary(rpcs.KVCompact, { revision: header?.revision ?? 0, physical: true }, PATIENCE);
    const hash = await client.hashKv();
    const live = await liveOn(client);
    await member.kill("SIGTERM");
    await withFile(join(member.dataDir, "member", "snap", "db"), async (reader, check) => {
      const { rows } = await check();
      expect(rows.get("authUsers")).toBe(users.length - gone.length);
      expect(rows.get("lease")).toBe(100);
      const ours = await restored(reader);
      expect(liveIn(ours.mvcc)).toEqual(live);
      const { currentRevision, compactRevision } = ours.mvcc;
      expect(await hashKv(ours.backend, ours.mvcc, currentRevision, compactRevision)).toBe(hash.hash);
    });
    member.start();
    await cluster.ready();
    expect((await client.hashKv()).hash).toBe(hash.hash);
  });
});

describe.skipIf(!hasEtcdctl || !hasEtcdutl || etcdBinary === undefined)(
  "etcd's file (skipped without etcd, etcdctl and etcdutl)",
  () => {
    const random = createRandom(32);
    let cluster: Cluster;
    let member: MemberProcess;
    let client: ApiClient;
    const database = (): string => join(member.dataDir, "member", "snap", "db");

    beforeAll(async () => {
      cluster = await startCluster(1, ["--snapshot-count=500"], etcdBinary);
      member = cluster.member(0);
      client = cluster.client(member);
    });
    afterAll(() => cluster?.destroy());

    async function load(round: number): Promise<void> {
      const ids = Array.from({ length: 60 }, (_, i) => BigInt(round * 1_000 + i + 1));
      await inParallel(ids, (ID) => client.unary(rpcs.LeaseLeaseGrant, { ID, TTL: LONG_TTL }, PATIENCE));
      await inParallel(Array.from({ length: 2_500 }), async () => {
        const key = `key/${random.below(900)}`;
        const size = random.chance(0.004) ? random.below(1_000_000) : random.below(random.pick([5, 300, 5_000]));
        if (random.chance(0.2)) await client.unary(rpcs.KVDeleteRange, { key }, PATIENCE);
        else {
          const lease = random.chance(0.2) ? random.pick(ids) : 0n;
          await client.put(key, "v".repeat(size), { lease }, PATIENCE.timeoutMs);
        }
      });
      await client.unary(rpcs.KVDeleteRange, { key: "key/3", rangeEnd: "key/4" }, PATIENCE);
      const { header } = await client.put("last", String(round));
      await client.unary(rpcs.KVCompact, { revision: (header?.revision ?? 0) - 200, physical: true }, PATIENCE);
      await inParallel(ids.slice(40), (ID) => client.unary(rpcs.LeaseLeaseRevoke, { ID }, PATIENCE));
      await client.unary(rpcs.AuthRoleAdd, { name: `role${round}` });
      for (let i = 0; i < 30; i++) {
        const name = longName(`user${round}`, i);
        await client.unary(rpcs.AuthUserAdd, { name, options: { noPassword: true } }, PATIENCE);
        await client.unary(rpcs.AuthUserGrantRole, { user: name, role: `role${round}` }, PATIENCE);
      }
    }

    interface Known {
      readonly hashKv: number;
      readonly hash: number;
      readonly live: readonly string[];
      readonly leases: readonly bigint[];
      readonly users: readonly string[];
    }

    async function ask(): Promise<Known> {
      return {
        hashKv: (await client.hashKv()).hash,
        hash: (await client.unary(rpcs.MaintenanceHash, {}, PATIENCE)).hash,
        live: await liveOn(client),
        leases: (await client.unary(rpcs.LeaseLeaseLeases, {}, PATIENCE)).leases.map(({ ID }) => ID).sort(),
        users: [...(await client.unary(rpcs.AuthUserList, {}, PATIENCE)).users].sort(),
      };
    }

    /** What we read is what etcd said, and so is what is read of a file of ours with the same rows. */
    async function expectKnown(path: string, known: Known): Promise<BoltCheck> {
      return withFile(path, async (reader, check) => {
        expect([...reader.buckets]).toEqual(BUCKETS);
        const { backend, mvcc } = await restored(reader);
        expect(liveIn(mvcc)).toEqual(known.live);
        expect(await hashKv(backend, mvcc, mvcc.currentRevision, mvcc.compactRevision)).toBe(known.hashKv);
        expect(await hashStore(reader)).toBe(known.hash);
        const leases = (await rowsOf(reader, "lease")).map(([, value]) => decode(leasepb.Lease, value));
        expect(leases.map(({ ID }) => ID).sort()).toEqual(known.leases);
        expect(new Set(leases.map(({ TTL }) => TTL))).toEqual(new Set([LONG_TTL]));
        const users = (await rowsOf(reader, "authUsers")).map(([, value]) => decode(authpb.User, value));
        expect(users.map(({ name }) => Buffer.from(name).toString()).sort()).toEqual(known.users);
        const checked = await check();
        expect(await statusOf(path)).toMatchObject(await digestOf(reader));
        const copy = `${path}.copy-${Date.now()}`;
        await writeTo(copy, reader, "nothing");
        expect(await statusOf(copy)).toMatchObject(await digestOf(reader));
        return checked;
      });
    }

    test("after puts, deletes, compactions, leases, users, roles, an alarm and a defragmentation: a saved snapshot", async () => {
      await load(1);
      await client.unary(rpcs.MaintenanceDefragment, {}, PATIENCE);
      await load(2);
      const { header } = await client.status();
      const alarm = { action: ACTIVATE, memberID: header?.memberId ?? 0n, alarm: NOSPACE };
      await client.unary(rpcs.MaintenanceAlarm, alarm, PATIENCE);
      const saved = join(cluster.directory, "saved.db");
      await etcdctl(cluster.endpoints, "snapshot", "save", saved);
      await expectKnown(saved, await ask());
      await withFile(saved, async (reader) => {
        expect((await rowsOf(reader, "alarm")).map(([key]) => key)).toEqual([alarmKey(alarm.memberID, NOSPACE)]);
      });
      await client.unary(rpcs.MaintenanceAlarm, { ...alarm, action: DEACTIVATE }, PATIENCE);
    });

    test("the database of an etcd that was stopped", async () => {
      const known = await ask();
      await member.kill("SIGTERM");
      const { freePages } = await expectKnown(database(), known);
      expect(freePages).toBeGreaterThan(10);
      member.start();
      await cluster.ready();
    });

    test("the database of an etcd that was killed while it wrote, three times", async () => {
      for (let round = 3; round < 6; round++) {
        const loading = load(round).then(
          () => "done",
          () => "cut off",
        );
        const from = (await client.status()).header?.revision ?? 0;
        for (let at = from; at < from + 700; ) at = (await client.status()).header?.revision ?? at;
        await member.kill("SIGKILL");
        await loading;
        await withFile(database(), async (reader, check) => {
          await check();
          const { mvcc } = await restored(reader);
          expect(mvcc.currentRevision).toBeGreaterThan(1_000);
        });
        member.start();
        await cluster.ready();
      }
    });
  },
);
