import { EtcdError, EtcdLeaseInvalidError, GRPCNotImplementedError, GRPCOutOfRangeError } from "etcd3";
import { expect } from "vitest";
import type { Feature } from "./feature.ts";

/** What the package sends as single requests: key-value, namespaces, transactions, and the clients without builders. */
export const requests: readonly Feature[] = [
  {
    name: "put, get",
    shown: "text, number, JSON, bytes, empty, absent; previous pair; touch",
    async run(stage) {
      const client = stage.connect();
      expect(await client.get("kv/none")).toBeNull();
      expect(await client.get("kv/none").exists()).toBe(false);
      await client.put("kv/text").value("grün");
      await client.put("kv/number").value(42);
      await client.put("kv/json").value(JSON.stringify({ a: [1, 2] }));
      const bytes = Buffer.from([0, 255, 128, 10]);
      await client.put(Buffer.from([0x6b, 0x76, 0x2f, 0xff])).value(bytes);
      await client.put("kv/empty").value("");
      expect(await client.get("kv/text")).toBe("grün");
      expect(await client.get("kv/number").number()).toBe(42);
      expect(await client.get("kv/json").json()).toEqual({ a: [1, 2] });
      expect(await client.get(Buffer.from([0x6b, 0x76, 0x2f, 0xff])).buffer()).toEqual(bytes);
      expect(await client.get("kv/empty")).toBe("");
      expect(await client.get("kv/text").serializable(false)).toBe("grün");
      const previous = await client.put("kv/number").value(43).getPrevious();
      expect({ value: previous.value.toString(), version: previous.version }).toEqual({ value: "42", version: "1" });
      await client.put("kv/number").touch();
      const { kvs } = await client.get("kv/number").exec();
      expect(kvs.map(({ value, version }) => ({ value: value.toString(), version }))).toEqual([
        { value: "43", version: "3" },
      ]);
    },
  },
  {
    name: "getAll",
    shown: "prefix, range, limit, sort, count, keys, old revisions, revision filters",
    async run(stage) {
      const client = stage.connect();
      const revisions: string[] = [];
      for (const [key, value] of [
        ["all/b", 3],
        ["all/a", 1],
        ["all/c", 2],
        ["alm", 9],
      ] as const) {
        const { header } = await client.put(key).value(value);
        revisions.push(header.revision);
      }
      const [first = "", second = "", third = ""] = revisions;
      const all = () => client.getAll().prefix("all/");
      expect(await all().numbers()).toEqual({ "all/a": 1, "all/b": 3, "all/c": 2 });
      expect(await all().keys()).toEqual(["all/a", "all/b", "all/c"]);
      expect(await all().limit(2).keys()).toEqual(["all/a", "all/b"]);
      expect(await all().count()).toBe(3);
      expect(await all().sort("Key", "Descend").keys()).toEqual(["all/c", "all/b", "all/a"]);
      expect(await all().sort("Value", "Ascend").keys()).toEqual(["all/a", "all/c", "all/b"]);
      expect(await all().sort("Mod", "Descend").limit(1).keys()).toEqual(["all/c"]);
      expect(await all().revision(second).keys()).toEqual(["all/a", "all/b"]);
      expect(await all().minModRevision(second).keys()).toEqual(["all/a", "all/c"]);
      expect(await all().maxCreateRevision(first).keys()).toEqual(["all/b"]);
      expect(await client.getAll().inRange({ start: "all/b", end: "alm" }).keys()).toEqual(["all/b", "all/c"]);
      const { more, count } = await all().limit(1).exec();
      expect({ more, count }).toEqual({ more: true, count: "3" });
      const future = String(BigInt(third) + 1_000_000n);
      await expect(all().revision(future).keys()).rejects.toBeInstanceOf(GRPCOutOfRangeError);
    },
  },
  {
    name: "delete",
    shown: "key, prefix, range, all of a namespace; previous pairs",
    async run(stage) {
      const client = stage.connect();
      for (const name of ["a", "b", "c", "d", "e"]) await client.put(`del/${name}`).value(name);
      expect((await client.delete().key("del/a")).deleted).toBe("1");
      expect((await client.delete().key("del/a")).deleted).toBe("0");
      const previous = await client.delete().inRange({ start: "del/b", end: "del/d" }).getPrevious();
      expect(previous.map(({ key, value }) => `${key}=${value}`)).toEqual(["del/b=b", "del/c=c"]);
      expect((await client.delete().prefix("del/d")).deleted).toBe("1");
      expect((await client.namespace("del/").delete().all()).deleted).toBe("1");
      expect(await client.getAll().prefix("del/").count()).toBe(0);
    },
  },
  {
    name: "namespace",
    shown: "nested; reads, writes, transactions, watches, leases, locks stay inside",
    async run(stage) {
      const client = stage.connect();
      const outer = client.namespace("ns/");
      const inner = outer.namespace("in/");
      await client.put("in/x").value("outside");
      const watcher = await inner.watch().prefix("").create();
      const seen: string[] = [];
      const seenThree = new Promise<void>((resolve, reject) => {
        watcher.on("error", reject);
        watcher.on("put", ({ key }) => {
          seen.push(key.toString());
          if (seen.length === 3) resolve();
        });
      });
      await inner.put("x").value("1");
      await inner.if("x", "Value", "==", "1").then(inner.put("y").value("2")).commit();
      const lease = inner.lease(60);
      await lease.put("z").value("3");
      await seenThree;
      expect(seen).toEqual(["x", "y", "z"]);
      await watcher.cancel();
      expect(await inner.getAll().strings()).toEqual({ x: "1", y: "2", z: "3" });
      expect(await client.getAll().prefix("ns/").keys()).toEqual(["ns/in/x", "ns/in/y", "ns/in/z"]);
      await inner.lock("l").do(async () => expect(await client.get("ns/in/l").exists()).toBe(true));
      await outer.delete().all();
      expect(await client.getAll().prefix("ns/").count()).toBe(0);
      expect(await client.get("in/x")).toBe("outside");
      await lease.revoke();
    },
  },
  {
    name: "if, then, else",
    shown: "every column with ==, !=, <, >; gets, puts, deletes in both branches",
    async run(stage) {
      const client = stage.connect();
      const { header } = await client.put("txn/a").value("1");
      const lease = client.lease(60);
      await lease.put("txn/leased").value("l");
      const id = await lease.grant();
      const holds = await client
        .if("txn/a", "Value", "==", "1")
        .and("txn/a", "Version", "==", 1)
        .and("txn/a", "Create", "==", header.revision)
        .and("txn/a", "Mod", "<", Number(header.revision) + 1)
        .and("txn/a", "Value", "!=", "2")
        .and("txn/a", "Version", ">", 0)
        .and("txn/leased", "Lease", "==", id)
        .and("txn/none", "Create", "==", 0)
        .then(client.put("txn/b").value("yes"), client.get("txn/b"), client.delete().key("txn/a"))
        .else(client.put("txn/b").value("no"))
        .commit();
      expect(holds.succeeded).toBe(true);
      const [, got, deleted] = holds.responses;
      expect(got?.response_range?.kvs.map(({ value }) => value.toString())).toEqual(["yes"]);
      expect(deleted?.response_delete_range?.deleted).toBe("1");
      const fails = await client
        .if("txn/a", "Value", "==", "1")
        .then(client.put("txn/b").value("no"))
        .else(client.get("txn/b"), client.getAll().prefix("txn/"))
        .commit();
      expect(fails.succeeded).toBe(false);
      expect(fails.responses.map(({ response_range }) => response_range?.count)).toEqual(["1", "2"]);
      await lease.revoke();
      expect(await client.getAll().prefix("txn/").strings()).toEqual({ "txn/b": "yes" });
    },
  },
  {
    name: "error classes",
    shown: "unknown lease, compacted revision, what is not implemented",
    async run(stage) {
      const client = stage.connect();
      await expect(client.put("err").value("x").lease("4242").exec()).rejects.toBeInstanceOf(EtcdLeaseInvalidError);
      const { header: old } = await client.put("err").value("1");
      const { header } = await client.put("err").value("2");
      await client.kv.compact({ revision: header.revision, physical: true });
      await expect(client.get("err").revision(old.revision).exec()).rejects.toBeInstanceOf(GRPCOutOfRangeError);
      const watcher = client.watch().key("err").startRevision(old.revision).watcher();
      const failure = await new Promise<Error>((resolve) => watcher.on("error", resolve));
      expect(failure).toBeInstanceOf(EtcdError);
      await expect(client.getRoles()).rejects.toBeInstanceOf(GRPCNotImplementedError);
    },
  },
  {
    name: "cluster, maintenance, leases",
    shown: "memberList, status, alarm (GET), moveLeader; leaseLeases, leaseTimeToLive",
    async run(stage) {
      const leader = await stage.cluster.leader();
      const client = stage.connect([leader.endpoint]);
      const { members } = await client.cluster.memberList({});
      expect(members.map(({ name }) => name).sort()).toEqual(["m1", "m2", "m3"]);
      const status = await client.maintenance.status();
      expect(stage.memberOf({ member_id: status.leader })).toBe(leader);
      expect((await client.maintenance.alarm({ action: "Get", memberID: "0", alarm: "None" })).alarms).toEqual([]);
      const other = members.find(({ ID }) => ID !== status.leader);
      await client.maintenance.moveLeader({ targetID: other?.ID ?? "" });
      expect(await stage.cluster.leader()).toBe(stage.memberOf({ member_id: other?.ID ?? "" }));
      const lease = client.lease(60);
      const id = await lease.grant();
      expect((await client.leaseClient.leaseLeases()).leases.map(({ ID }) => ID)).toContain(id);
      const { TTL, grantedTTL } = await client.leaseClient.leaseTimeToLive({ ID: id, keys: true });
      expect(grantedTTL).toBe("60");
      expect(Number(TTL)).toBeGreaterThan(30);
      await lease.revoke();
    },
  },
];
