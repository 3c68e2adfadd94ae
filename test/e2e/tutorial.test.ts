import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cluster, startCluster } from "./cluster.ts";
import { EtcdctlSession, etcdctl, hasEtcdctl, run } from "./etcdctl.ts";

/** As etcdctl prints lease ids. */
const hex = (id: number): string => id.toString(16).padStart(16, "0");

if (!hasEtcdctl) console.warn("SKIPPED: etcdctl is not on PATH, so the tutorial session cannot be typed");

describe.skipIf(!hasEtcdctl)("the etcd tutorial, typed with the stock etcdctl against three endpoints", () => {
  let cluster: Cluster;
  const ctl = (...args: string[]): Promise<string> => etcdctl(cluster.endpoints, ...args);

  beforeAll(async () => {
    cluster = await startCluster(3);
  });
  afterAll(() => cluster?.destroy());

  test("put and get of a JSON value", async () => {
    const value = '{"host":"10.0.0.7","port":8080,"tags":["a","ü"]}';
    expect(await ctl("put", "/services/web/1", value)).toBe("OK\n");
    expect(await ctl("get", "/services/web/1")).toBe(`/services/web/1\n${value}\n`);
    expect(await ctl("get", "/services/web/1", "--print-value-only")).toBe(`${value}\n`);
    const json = JSON.parse(await ctl("get", "/services/web/1", "--write-out=json")) as {
      header: Record<string, number>;
      kvs: Record<string, unknown>[];
      count: number;
    };
    expect(json.count).toBe(1);
    expect(json.kvs[0]).toMatchObject({
      key: Buffer.from("/services/web/1").toString("base64"),
      version: 1,
      value: Buffer.from(value).toString("base64"),
    });
    expect(Object.keys(json.header).sort()).toEqual(["cluster_id", "member_id", "raft_term", "revision"]);
  });

  test("get --prefix, --keys-only, --limit, --sort-by", async () => {
    for (const [key, value] of [
      ["/app/b", "2"],
      ["/app/a", "1"],
      ["/app/c", "3"],
      ["/apq", "no"],
    ] as const) {
      await ctl("put", key, value);
    }
    expect(await ctl("get", "--prefix", "/app/")).toBe("/app/a\n1\n/app/b\n2\n/app/c\n3\n");
    expect(await ctl("get", "--prefix", "/app/", "--keys-only")).toBe("/app/a\n\n/app/b\n\n/app/c\n\n");
    expect(await ctl("get", "--prefix", "/app/", "--limit=2")).toBe("/app/a\n1\n/app/b\n2\n");
    expect(await ctl("get", "--prefix", "/app/", "--sort-by=MODIFY", "--order=DESCEND", "--print-value-only")).toBe(
      "3\n1\n2\n",
    );
    expect(await ctl("get", "--prefix", "/app/", "--count-only", "--write-out=fields")).toContain('"Count" : 3');
    expect(await ctl("get", "/app/b", "/app/d")).toBe("/app/b\n2\n/app/c\n3\n");
    expect(await ctl("get", "--from-key", "/app/c")).toMatch(/^\/app\/c\n3\n\/apq\nno\n/);
  });

  test("del says how many", async () => {
    expect(await ctl("del", "/app/a")).toBe("1\n");
    expect(await ctl("del", "/app/a")).toBe("0\n");
    expect(await ctl("del", "--prefix", "/app/")).toBe("2\n");
    expect(await ctl("get", "--prefix", "/app/")).toBe("");
    await ctl("put", "/gone", "x");
    expect(await ctl("del", "/gone", "--prev-kv")).toBe("1\n/gone\nx\n");
  });

  test("a lease: grant, put, keep-alive, and the key is gone after its end", async () => {
    const granted = await ctl("lease", "grant", "2", "--write-out=json");
    const { ID, TTL } = JSON.parse(granted) as { ID: number; TTL: number };
    expect(TTL).toBe(2);
    expect(Number.isSafeInteger(ID)).toBe(true);
    // As the tutorial types it: etcdctl lease grant 10 --write-out=json | jq .ID
    const jq = await run("sh", ["-c", `command -v jq >/dev/null || exit 42; printf '%s' '${granted.trim()}' | jq .ID`]);
    if (jq.code === 42) console.warn("SKIPPED: jq is not on PATH; the id was read by JSON.parse alone");
    else expect(jq.stdout).toBe(`${ID}\n`);
    const id = hex(ID);

    expect(await ctl("put", "session", "alive", `--lease=${id}`)).toBe("OK\n");
    const keepAlive = new EtcdctlSession(cluster.endpoints, "lease", "keep-alive", id);
    try {
      // Three renewals of a lease of 2 s take longer than its time-to-live.
      await keepAlive.until(/(keepalived with TTL\(2\)[\s\S]*){4}/);
      expect(await ctl("get", "session", "--print-value-only")).toBe("alive\n");
      expect(await ctl("lease", "timetolive", id, "--keys")).toMatch(
        new RegExp(`^lease ${id} granted with TTL\\(2s\\), remaining\\([0-2]s\\), attached keys\\(\\[session\\]\\)\n$`),
      );
      expect(await ctl("lease", "list")).toBe(`found 1 leases\n${id}\n`);
    } finally {
      await keepAlive.stop();
    }
    const watch = new EtcdctlSession(cluster.endpoints, "watch", "session", "--rev=1");
    try {
      await watch.until("DELETE\nsession\n");
    } finally {
      await watch.stop();
    }
    expect(await ctl("get", "session")).toBe("");
    expect(await ctl("lease", "timetolive", id)).toBe(`lease ${id} already expired\n`);
    expect(await ctl("lease", "list")).toBe("found 0 leases\n");
  });

  test("lease revoke deletes its keys", async () => {
    const { ID } = JSON.parse(await ctl("lease", "grant", "600", "--write-out=json")) as { ID: number };
    const id = hex(ID);
    await ctl("put", "held/1", "x", `--lease=${id}`);
    await ctl("put", "held/2", "x", `--lease=${id}`);
    expect(await ctl("lease", "keep-alive", "--once", id)).toBe(`lease ${id} keepalived with TTL(600)\n`);
    expect(await ctl("lease", "revoke", id)).toBe(`lease ${id} revoked\n`);
    expect(await ctl("get", "--prefix", "held/")).toBe("");
  });

  test("a transaction changes a key only if its value is the old one", async () => {
    const compareAndSwap = async (old: string, next: string): Promise<string> => {
      const session = new EtcdctlSession(cluster.endpoints, "txn");
      session.type(`value("owner") = "${old}"\n\nput owner ${next}\n\nget owner\n\n`);
      await session.ended;
      return session.output;
    };
    await ctl("put", "owner", "ann");
    expect(await compareAndSwap("ann", "bob")).toBe("SUCCESS\n\nOK\n");
    expect(await compareAndSwap("ann", "carl")).toBe("FAILURE\n\nowner\nbob\n");
    expect(await ctl("get", "owner", "--print-value-only")).toBe("bob\n");
  });

  test("a watch sees puts and deletes live and from an old revision", async () => {
    const first = JSON.parse(await ctl("put", "/w/a", "1", "--write-out=json")) as { header: { revision: number } };
    const live = new EtcdctlSession(cluster.endpoints, "watch", "--prefix", "/w/", "--prev-kv");
    try {
      // A watch says nothing before its first event: write until it shows one.
      for (let n = 0; !live.output.includes("/w/probe"); n++) {
        if (n > 100) throw new Error(`the watch saw nothing: ${live.output}`);
        await ctl("put", "/w/probe", String(n));
      }
      await ctl("put", "/w/a", "2");
      await ctl("del", "/w/a");
      await live.until("PUT\n/w/a\n1\n/w/a\n2\n");
      await live.until("DELETE\n/w/a\n2\n/w/a\n\n");
    } finally {
      await live.stop();
    }
    const old = new EtcdctlSession(cluster.endpoints, "watch", "/w/a", `--rev=${first.header.revision}`);
    try {
      await old.until("PUT\n/w/a\n1\nPUT\n/w/a\n2\nDELETE\n/w/a\n\n");
    } finally {
      await old.stop();
    }
  });

  test("old revisions and compaction", async () => {
    const put = async (value: string): Promise<number> =>
      (JSON.parse(await ctl("put", "doc", value, "--write-out=json")) as { header: { revision: number } }).header
        .revision;
    const one = await put("one");
    const two = await put("two");
    expect(await ctl("get", "doc", `--rev=${one}`, "--print-value-only")).toBe("one\n");
    expect(await ctl("compaction", String(two))).toBe(`compacted revision ${two}\n`);
    await expect(ctl("get", "doc", `--rev=${one}`)).rejects.toThrow(
      "etcdserver: mvcc: required revision has been compacted",
    );
    expect(await ctl("get", "doc", `--rev=${two}`, "--print-value-only")).toBe("two\n");
    await expect(ctl("compaction", String(one))).rejects.toThrow("required revision has been compacted");
  });

  test("member list, endpoint status, health and hashkv", async () => {
    const list = await ctl("member", "list");
    expect(list.trim().split("\n")).toHaveLength(3);
    for (const member of cluster.members) expect(list).toContain(`started, ${member.name}, `);
    const status = JSON.parse(await ctl("endpoint", "status", "--write-out=json")) as {
      Status: { version: string; raftAppliedIndex: number; leader: number };
    }[];
    expect(status.map(({ Status }) => Status.version)).toEqual(["3.6.14", "3.6.14", "3.6.14"]);
    expect(new Set(status.map(({ Status }) => Status.leader)).size).toBe(1);
    expect(await ctl("endpoint", "status", "--write-out=table")).toContain("3.6.14");
    const health = await ctl("endpoint", "health", "--cluster");
    expect(health.match(/is healthy: successfully committed proposal/g) ?? []).toHaveLength(3);
    const hashes = (await ctl("endpoint", "hashkv"))
      .trim()
      .split("\n")
      .map((line) => line.split(", ")[1]);
    expect(hashes).toHaveLength(3);
    expect(new Set(hashes).size).toBe(1);
  });

  test("lock and elect, which etcdctl builds from leases, transactions and watches", async () => {
    const lock = new EtcdctlSession(cluster.endpoints, "lock", "mutex", "echo", "held");
    await lock.ended;
    expect(lock.output).toBe("held\n");
    const elect = new EtcdctlSession(cluster.endpoints, "elect", "president", "me");
    try {
      await elect.until(/president\/[0-9a-f]+\nme\n/);
    } finally {
      await elect.stop();
    }
  });

  test("every endpoint alone serves reads and writes", async () => {
    for (const endpoint of cluster.endpoints) {
      expect(await etcdctl([endpoint], "put", "via", endpoint)).toBe("OK\n");
      for (const other of cluster.endpoints) {
        expect(await etcdctl([other], "get", "via", "--print-value-only")).toBe(`${endpoint}\n`);
      }
    }
  });
});
