/** Data moves between Quorate and etcd, with etcd's own tools and with ours, and nothing is lost or changed on the way. */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rpcs } from "../../proto/generated/services.ts";
import { openLevelBackend } from "../../storage/level-backend.ts";
import { AUTH_ENABLED, type AUTH_REVISION, roleKey, userKey } from "../../storage/schema.ts";
import { rowsOf } from "../storage/bolt-files.ts";
import type { ApiClient } from "./client.ts";
import { type Cluster, createCluster, type MemberProcess, quorate, startCluster } from "./cluster.ts";
import { etcdBinary, etcdctl, hasEtcdctl, hasEtcdutl, run } from "./etcdctl.ts";
import { Load, readAll } from "./load.ts";
import { addMember } from "./reconfigure.ts";
import { until } from "./until.ts";

const PATIENCE = { timeoutMs: 60_000 };
const ALL = { key: "\0", rangeEnd: "\0" };
const LONG_TTL = 100_000;
const NOSPACE = 1;
const ACTIVATE = 1;

const canRun = hasEtcdctl && hasEtcdutl && etcdBinary !== undefined;
if (!canRun) console.warn("SKIPPED: without etcd, etcdctl and etcdutl on PATH no data moves between Quorate and etcd");

const clusters: Cluster[] = [];
afterAll(async () => {
  await Promise.all(clusters.map((cluster) => cluster.destroy()));
});

async function started(count: number, binary?: string, flags: readonly string[] = []): Promise<Cluster> {
  const cluster = await startCluster(count, flags, binary);
  clusters.push(cluster);
  return cluster;
}

async function created(count: number, binary?: string): Promise<Cluster> {
  const cluster = await createCluster(count, [], binary);
  clusters.push(cluster);
  return cluster;
}

/** What a restore is told about a member: the same flags that it is started with. */
function restoreFlags(member: MemberProcess): string[] {
  return member.flags.filter((flag) =>
    /^--(name|data-dir|initial-(cluster|advertise-peer-urls|cluster-token))=/.test(flag),
  );
}

async function succeed(command: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await run(command, args, { timeoutMs: 110_000 });
  if (code !== 0) throw new Error(`${command} ${args.join(" ")}: exit ${code}\n${stdout}${stderr}`);
  return { stdout, stderr };
}

async function startAll(cluster: Cluster): Promise<ApiClient> {
  for (const member of cluster.members) member.start();
  await cluster.ready();
  return cluster.client(cluster.member(0));
}

/** Puts, deletes, transactions, leases and a compaction, and more of it behind that. */
async function load(client: ApiClient): Promise<void> {
  for (let i = 0; i < 20; i++) await client.unary(rpcs.LeaseLeaseGrant, { ID: BigInt(i + 1), TTL: LONG_TTL }, PATIENCE);
  const change = async (i: number): Promise<void> => {
    const key = `key/${(i * 7) % 90}`;
    if (i % 11 === 3) await client.unary(rpcs.KVDeleteRange, { key }, PATIENCE);
    else
      await client.put(key, `${i}`.repeat(1 + (i % 400)), { lease: i % 5 === 0 ? BigInt(1 + (i % 20)) : 0n }, 60_000);
    if (i % 50 !== 9) return;
    const put = (name: string) => ({
      request: { kind: "requestPut", value: rpcs.KVPut.request.create({ key: name, value: Buffer.from(`${i}`) }) },
    });
    const success = [put(`txn/${i}/a`), put(`txn/${i}/b`)] as never;
    await client.unary(rpcs.KVTxn, { compare: [], success, failure: [] }, PATIENCE);
  };
  for (let i = 0; i < 300; i++) await change(i);
  const { header } = await client.put("marker", "1", {}, 60_000);
  await client.unary(rpcs.KVCompact, { revision: (header?.revision ?? 0) - 20, physical: true }, PATIENCE);
  await client.unary(rpcs.LeaseLeaseRevoke, { ID: 7n }, PATIENCE);
  for (let i = 300; i < 350; i++) await change(i);
}

async function contentOf(client: ApiClient) {
  const { kvs, header } = await client.range(ALL, PATIENCE.timeoutMs);
  const revision = header?.revision ?? 0;
  const hash = await client.hashKv(revision);
  const { leases } = await client.unary(rpcs.LeaseLeaseLeases, {}, PATIENCE);
  const ids = leases.map(({ ID }) => ID).sort((a, b) => Number(a - b));
  const attached = [];
  for (const ID of ids) {
    const lease = await client.unary(rpcs.LeaseLeaseTimeToLive, { ID, keys: true }, PATIENCE);
    attached.push({ ID, ttl: lease.grantedTTL, keys: [...lease.keys].sort() });
  }
  return {
    revision,
    kvs: kvs.map((kv) => Buffer.from(kv).toString("hex")),
    hash: hash.hash,
    compactRevision: hash.compactRevision,
    attached,
  };
}

/** Of every file below the directory. */
async function digestOf(directory: string): Promise<string> {
  const hash = createHash("sha256");
  for (const name of (await readdir(directory, { recursive: true })).sort()) {
    const path = join(directory, name);
    if ((await stat(path)).isFile()) hash.update(`${path}\0`).update(await readFile(path));
  }
  return hash.digest("hex");
}

describe.skipIf(!canRun)("from Quorate to etcd", () => {
  test("N-7, N-9: snapshot save, snapshot status, snapshot restore: an etcd has every key, lease and the hash", async () => {
    const cluster = await started(3);
    const client = cluster.client(cluster.member(0));
    await load(client);
    const known = await contentOf(client);
    expect(known.kvs.length).toBeGreaterThan(80);
    const file = join(cluster.directory, "saved.db");
    await etcdctl(cluster.endpoints.slice(1, 2), "snapshot", "save", file);
    const status = JSON.parse((await succeed("etcdutl", "snapshot", "status", file, "--write-out=json")).stdout);
    expect(status.revision).toBe(known.revision);

    const there = await created(1, etcdBinary);
    await succeed("etcdutl", "snapshot", "restore", file, ...restoreFlags(there.member(0)));
    expect(await contentOf(await startAll(there))).toEqual(known);

    // And back, from what etcd keeps.
    await there.member(0).kill("SIGTERM");
    const back = await created(1);
    const database = join(there.member(0).dataDir, "member", "snap", "db");
    await succeed(quorate, "restore", database, "--skip-hash-check", ...restoreFlags(back.member(0)));
    expect(await contentOf(await startAll(back))).toEqual(known);
  });

  test("N-6: members say the same Hash when they have applied the same", async () => {
    const [cluster] = clusters;
    if (cluster === undefined) throw new Error("no cluster");
    await until("the hashes agree", async () => {
      const answers = await Promise.all(
        cluster.members.map((member) => cluster.client(member).unary(rpcs.MaintenanceHash, {}, PATIENCE)),
      );
      return new Set(answers.map(({ hash }) => hash)).size === 1;
    });
  });

  test("N-7: a member that stops ends a snapshot that nobody reads, and one that is given up costs nothing", async () => {
    const cluster = await started(1);
    const member = cluster.member(0);
    const client = cluster.client(member);
    for (let i = 0; i < 40; i++) await client.put(`large/${i}`, "x".repeat(1_000_000), {}, 60_000);
    // A large file, at full speed: etcdctl pings all the while.
    const file = join(cluster.directory, "large.db");
    for (let round = 0; round < 3; round++) await etcdctl(cluster.endpoints, "snapshot", "save", file);
    for (let round = 0; round < 5; round++) {
      const given = client.stream(rpcs.MaintenanceSnapshot, {});
      given.on("error", () => undefined);
      await new Promise((resolve) => given.once("data", resolve));
      given.cancel();
      await new Promise((resolve) => given.once("close", resolve));
    }
    const stream = client.stream(rpcs.MaintenanceSnapshot, {});
    const ended = new Promise<Error>((resolve) => stream.on("error", resolve));
    await new Promise((resolve) => stream.once("data", resolve));
    stream.pause();
    const stopped = member.kill("SIGTERM");
    stream.resume();
    expect(String(await ended)).toMatch(/server stopped|UNAVAILABLE/);
    await stopped;
    expect(member.log).not.toMatch(/cannot go on/);
  });
});

describe.skipIf(!canRun)("from etcd to Quorate: snapshot save, quorate restore", () => {
  let from: Cluster;
  let client: ApiClient;
  let known: Awaited<ReturnType<typeof contentOf>>;
  let file: string;
  let cluster: Cluster;

  beforeAll(async () => {
    from = await started(1, etcdBinary);
    client = from.client(from.member(0));
    await load(client);
    known = await contentOf(client);
    file = join(from.directory, "saved.db");
    await etcdctl(from.endpoints, "snapshot", "save", file);
  });

  test("three members restored from one file are one cluster, with every key, lease and the hash", async () => {
    cluster = await created(3);
    for (const member of cluster.members) {
      const { stdout } = await succeed(quorate, "restore", file, ...restoreFlags(member));
      expect(stdout).toContain(`revision ${known.revision}, ${known.kvs.length} keys, ${known.attached.length} leases`);
    }
    await startAll(cluster);
    for (const member of cluster.members) expect(await contentOf(cluster.client(member))).toEqual(known);
    const first = cluster.client(cluster.member(0));
    const { header } = await first.put("after", "the restore", {}, 60_000);
    expect(header?.revision).toBe(known.revision + 1);
    await Promise.all(cluster.members.map((member) => member.kill("SIGKILL")));
    await startAll(cluster);
    expect(Buffer.from((await first.get("after"))?.value ?? []).toString()).toBe("the restore");
  });

  test("a member that joins later has all of it, too", async () => {
    const member = await addMember(cluster, "late");
    await cluster.ready([member]);
    await cluster.client(member).get("a linearizable read first");
    const [late, other] = await Promise.all([member, cluster.member(0)].map((m) => contentOf(cluster.client(m))));
    expect(late).toEqual(other);
    expect(late?.kvs).toHaveLength(known.kvs.length + 1);
  });

  test("a member restored from another file, and one that was not restored, are not let in", async () => {
    await client.put("later", "than the file", {}, 60_000);
    const other = join(from.directory, "other.db");
    await etcdctl(from.endpoints, "snapshot", "save", other);
    const mixed = await created(3);
    const [one, two, three] = mixed.members as [MemberProcess, MemberProcess, MemberProcess];
    await succeed(quorate, "restore", file, ...restoreFlags(one));
    await succeed(quorate, "restore", other, ...restoreFlags(two));
    for (const member of mixed.members) member.start();
    await Promise.all([one, two, three].map((member) => member.logged("ID mismatch")));
    for (const member of mixed.members) expect(member.log).not.toContain("ready to serve client requests");
  });

  test("users, roles, the switch of authentication and alarms are in the store, and are told of", async () => {
    await client.unary(rpcs.AuthRoleAdd, { name: "root" });
    await client.unary(rpcs.AuthRoleAdd, { name: "reader" });
    for (const name of ["root", "ann"]) {
      await client.unary(rpcs.AuthUserAdd, { name, password: "secret" }, PATIENCE);
      await client.unary(rpcs.AuthUserGrantRole, { user: name, role: name === "root" ? "root" : "reader" }, PATIENCE);
    }
    const { header } = await client.status();
    await client.unary(rpcs.MaintenanceAlarm, { action: ACTIVATE, memberID: header?.memberId ?? 0n, alarm: NOSPACE });
    await client.unary(rpcs.AuthAuthEnable, {}, PATIENCE);
    const withAuth = join(from.directory, "auth.db");
    await etcdctl(from.endpoints, "--user=root:secret", "snapshot", "save", withAuth);
    const there = await created(1);
    const member = there.member(0);
    const { stderr } = await succeed(quorate, "restore", withAuth, ...restoreFlags(member));
    expect(stderr).toMatch(/warning: 1 alarm came along.*\n.*warning: authentication was enabled/);
    const backend = await openLevelBackend(join(member.dataDir, "member", "state"));
    const snapshot = backend.snapshot();
    try {
      expect((await rowsOf(snapshot, "authUsers")).map(([key]) => key)).toEqual([userKey("ann"), userKey("root")]);
      expect((await rowsOf(snapshot, "authRoles")).map(([key]) => key)).toEqual([roleKey("reader"), roleKey("root")]);
      const auth = new Map(await rowsOf(snapshot, "auth"));
      expect([...(auth.get(AUTH_ENABLED) ?? [])]).toEqual([1]);
      expect(auth.get("authRevision" satisfies typeof AUTH_REVISION)?.at(-1)).toBeGreaterThan(1);
      expect(await rowsOf(snapshot, "members_removed")).toEqual([]);
    } finally {
      await snapshot.close();
      await backend.close();
    }
    const restored = await startAll(there);
    const { alarms } = await restored.unary(rpcs.MaintenanceAlarm, {}, PATIENCE);
    expect(alarms.map(({ alarm }) => alarm)).toEqual([NOSPACE]);
  });

  test("--bump-revision: as etcdutl's, also where etcdutl did it; clients that waited for later revisions notice", async () => {
    const bump = ["--bump-revision=1000", "--mark-compacted"];
    const theirs = await created(1, etcdBinary);
    await succeed("etcdutl", "snapshot", "restore", file, ...bump, ...restoreFlags(theirs.member(0)));
    const again = await created(1);
    const database = join(theirs.member(0).dataDir, "member", "snap", "db");
    await succeed(quorate, "restore", database, "--skip-hash-check", ...restoreFlags(again.member(0)));
    const ours = await created(1);
    await succeed(quorate, "restore", file, ...bump, ...restoreFlags(ours.member(0)));
    const contents = [];
    for (const each of [theirs, again, ours]) {
      const there = await startAll(each);
      const before = await contentOf(there);
      expect(before.revision).toBe(known.revision + 1000);
      const { header } = await there.put("behind", "the bump", {}, 60_000);
      expect(header?.revision).toBe(known.revision + 1001);
      await expect(there.range({ ...ALL, revision: known.revision })).rejects.toThrow("compacted");
      contents.push({ before: before.kvs, after: await contentOf(there) });
    }
    expect(contents[1]).toEqual(contents[0]);
    expect(contents[2]).toEqual(contents[0]);
  });
});

describe.skipIf(!canRun)("from etcd to Quorate: quorate import", () => {
  test("of an etcd that was killed in the middle of load, three times: every acknowledged put, and the hash", async () => {
    const from = await started(1, etcdBinary, ["--snapshot-count=300"]);
    const member = from.member(0);
    await load(from.client(member));
    for (let round = 0; round < 3; round++) {
      const writers = new Load([from.client(member)], 8, `import/${round}`, 5_000);
      await writers.progress(300 + 170 * round);
      const running = await run(quorate, ["import", member.dataDir, `--data-dir=${from.directory}/running`]);
      expect([running.code, running.stderr]).toEqual([1, expect.stringMatching(/an etcd runs on .*: stop it first/)]);
      await member.kill("SIGKILL");
      await writers.stop();
      const before = await digestOf(member.dataDir);
      const to = await created(1);
      const { stderr } = await succeed(quorate, "import", member.dataDir, ...restoreFlags(to.member(0)));
      console.log(`import: ${writers.acknowledged.length} puts acknowledged; ${stderr.trim()}`);
      expect(await digestOf(member.dataDir)).toBe(before);
      const client = await startAll(to);
      const stored = await readAll(client, `import/${round}/`);
      const missing = writers.acknowledged.filter(
        ({ key, value, revision }) =>
          stored.get(key)?.modRevision !== revision || Buffer.from(stored.get(key)?.value ?? []).toString() !== value,
      );
      expect(missing).toEqual([]);
      const content = await contentOf(client);
      await to.member(0).kill();
      member.start();
      await from.ready();
      await from.client(member).connected();
      expect(await contentOf(from.client(member))).toEqual(content);
    }
    expect(await readdir(from.directory)).not.toContain("running");
  });

  test("of an etcd whose database is far behind when it is killed: its log has the rest; users and roles are refused", async () => {
    const lazy = ["--backend-batch-interval=1h", "--backend-batch-limit=1000000"];
    const from = await started(1, etcdBinary, lazy);
    const member = from.member(0);
    const there = from.client(member);
    await load(there);
    const known = await contentOf(there);
    await member.kill("SIGKILL");
    const to = await created(1);
    const { stderr } = await succeed(quorate, "import", member.dataDir, ...restoreFlags(to.member(0)));
    expect(Number(/; (\d+) more came from the log/.exec(stderr)?.[1])).toBeGreaterThan(40);
    expect(await contentOf(await startAll(to))).toEqual(known);

    member.start();
    await from.ready();
    await there.unary(rpcs.AuthRoleAdd, { name: "reader" }, PATIENCE);
    await member.kill("SIGKILL");
    const next = await created(1);
    const refused = await run(quorate, ["import", member.dataDir, ...restoreFlags(next.member(0))]);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/cannot apply its entry \d+ \(it changes users or roles.*stop it in order \(SIGTERM\)/),
    ]);
    expect(await readdir(next.directory)).toEqual([]);
    member.start();
    await from.ready();
    await member.kill("SIGTERM");
    await succeed(quorate, "import", member.dataDir, ...restoreFlags(next.member(0)));
    expect(await contentOf(await startAll(next))).toEqual(known);
  });

  test("what is no data directory of an etcd is refused", async () => {
    const cluster = await created(1);
    const into = `--data-dir=${cluster.directory}/into`;
    const nothing = await run(quorate, ["import", cluster.directory, into]);
    expect([nothing.code, nothing.stderr]).toEqual([1, expect.stringContaining("is no data directory of an etcd")]);
    const own = await started(1);
    const ours = await run(quorate, ["import", own.member(0).dataDir, into]);
    expect([ours.code, ours.stderr]).toEqual([1, expect.stringContaining("is a data directory of Quorate")]);
    expect(await readdir(cluster.directory)).toEqual([]);
  });
});
