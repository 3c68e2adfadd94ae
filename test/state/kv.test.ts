import { describe, expect, test } from "vitest";
import { decode, encode } from "../../proto/codec.ts";
import {
  AlarmRequest,
  CompactionRequest,
  DeleteRangeRequest,
  LeaseRevokeRequest,
  RangeRequest,
} from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { errors } from "../../src/api/errors.ts";
import { revisionKey } from "../../storage/schema.ts";
import { bucketRows, op, pairs, putRequest, Session, text } from "./harness.ts";

describe("revisions", () => {
  test("G-2: an empty store is at 1, the first change makes 2, and what changes nothing makes none", async () => {
    const session = await Session.open();
    expect(session.revision).toBe(1);
    session.put("a");
    expect(session.revision).toBe(2);
    session.delete("nothing");
    session.grant(5n);
    session.apply(new Uint8Array());
    expect(session.revision).toBe(2);
  });

  test("G-2: each change-set adds one, however many keys it changes; leases, alarms, members, compactions none", async () => {
    const session = await Session.open();
    session.grant(5n);
    const adds = (expected: number, change: () => unknown): void => {
      const before = session.revision;
      change();
      expect(session.revision - before, String(change)).toBe(expected);
    };
    adds(1, () => session.put("a", "1", { lease: 5n }));
    adds(1, () => session.put("b", "1", { lease: 5n }));
    adds(1, () => session.txn({ success: [op.put("c"), op.put("d"), op.del("c")] }));
    adds(1, () => session.delete("c", "z"));
    adds(1, () => session.answer({ leaseRevoke: LeaseRevokeRequest.create({ ID: 5n }) }));
    adds(0, () => session.grant(6n));
    adds(0, () => session.answer({ leaseCheckpoint: { checkpoints: [{ ID: 6n, remainingTTL: 9 }] } }));
    adds(0, () => session.answer({ leaseRevoke: LeaseRevokeRequest.create({ ID: 6n }) }));
    adds(0, () => session.answer({ alarm: AlarmRequest.create({ action: 1, memberID: 1n, alarm: 1 }) }));
    adds(0, () => session.answer({ clusterVersionSet: { ver: "3.6.0" } }));
    adds(0, () => session.confChange({ nodeId: 9n, context: Buffer.from('{"id":9,"peerURLs":["http://a:1"]}') }));
    adds(0, () => session.answer({ compaction: CompactionRequest.create({ revision: session.revision }) }));
    adds(0, () => session.delete("nothing"));
    adds(0, () => session.txn({ success: [op.del("nothing")] }));
    expect(session.machine.cluster.member(9n)).toBeDefined();
  });

  test("G-3: the keys of a change-set have sub-revisions from 0, in order", async () => {
    const session = await Session.open();
    for (const key of ["c", "a", "b"]) session.put(key);
    const { events, revision } = session.command({
      deleteRange: DeleteRangeRequest.create({ key: "a", rangeEnd: "z" }),
    });
    expect(revision).toBe(5);
    expect(events.map(({ type, key, revision: at }) => [type, key, at.main, at.sub])).toEqual([
      ["delete", "a", 5, 0],
      ["delete", "b", 5, 1],
      ["delete", "c", 5, 2],
    ]);
  });

  test("G-4: create and mod revision, version, and a new generation after a delete", async () => {
    const session = await Session.open();
    session.put("k", "1");
    session.put("k", "2");
    expect(session.kv("k")).toMatchObject({ createRevision: 2, modRevision: 3, version: 2, lease: 0n });
    session.delete("k");
    session.put("k", "3");
    expect(session.kv("k")).toMatchObject({ createRevision: 5, modRevision: 5, version: 1 });
    expect(session.kv("k", 3)).toMatchObject({ createRevision: 2, modRevision: 3, version: 2 });
    expect(session.kv("k", 4)).toBeUndefined();
  });

  test("V-2: the stored form of `put a 1` at revision 2", async () => {
    const session = await Session.open();
    session.put("a", "1");
    const stored = session.backend.get("key", revisionKey(2, 0));
    expect(Buffer.from(stored ?? []).toString("hex")).toBe("0a01611002180220012a0131");
  });
});

describe("Put", () => {
  test("H-2: the header has the put's revision", async () => {
    const session = await Session.open();
    expect(session.put("a").header?.revision).toBe(2);
    expect(session.put("a").header?.revision).toBe(3);
  });

  test("P-1: the lease must exist; a put without one detaches", async () => {
    const session = await Session.open();
    session.grant(5n);
    expect(session.error({ put: putRequest("a", "1", { lease: 6n }) })).toBe(errors.leaseNotFound);
    session.put("a", "1", { lease: 5n });
    expect(session.kv("a")?.lease).toBe(5n);
    expect([...(session.machine.leases.get(5n)?.keys ?? [])]).toEqual(["a"]);
    session.put("a", "2");
    expect(session.kv("a")?.lease).toBe(0n);
    expect(session.machine.leases.get(5n)?.keys.size).toBe(0);
    expect(session.machine.leases.ofKey("a")).toBe(0n);
  });

  test("P-2: ignore_value and ignore_lease keep what was, and count as an update", async () => {
    const session = await Session.open();
    session.grant(5n);
    session.grant(6n);
    session.put("a", "value", { lease: 5n });
    session.put("a", "", { ignoreValue: true, lease: 6n });
    expect(session.kv("a")).toMatchObject({ modRevision: 3, version: 2, lease: 6n });
    expect(text(session.kv("a")?.value ?? new Uint8Array())).toBe("value");
    session.put("a", "other", { ignoreLease: true });
    expect(session.kv("a")).toMatchObject({ modRevision: 4, version: 3, lease: 6n });
    expect(session.all()).toEqual(["a=other"]);
    expect(session.machine.leases.ofKey("a")).toBe(6n);
    session.put("a", "", { ignoreValue: true });
    expect(session.kv("a")).toMatchObject({ version: 4, lease: 0n });
    expect(session.all()).toEqual(["a=other"]);
  });

  test("P-2: on an absent key they are an error; an unknown lease is seen first", async () => {
    const session = await Session.open();
    session.put("gone");
    session.delete("gone");
    for (const key of ["never", "gone"]) {
      expect(session.error({ put: putRequest(key, "", { ignoreValue: true }) })).toBe(errors.keyNotFound);
      expect(session.error({ put: putRequest(key, "", { ignoreLease: true }) })).toBe(errors.keyNotFound);
      expect(session.error({ put: putRequest(key, "", { ignoreValue: true, lease: 3n }) })).toBe(errors.leaseNotFound);
    }
  });

  test("P-3: prev_kv is the pair before, absent on create", async () => {
    const session = await Session.open();
    expect(session.put("a", "1", { prevKv: true }).prevKv.length).toBe(0);
    session.put("a", "2");
    const previous = decode(KeyValue, session.put("a", "3", { prevKv: true }).prevKv);
    expect(previous).toMatchObject({ createRevision: 2, modRevision: 3, version: 2 });
    expect(text(previous.value)).toBe("2");
    expect(session.put("a", "4").prevKv.length).toBe(0);
    expect(session.put("a", "", { ignoreValue: true }).prevKv.length).toBe(0);
    session.delete("a");
    expect(session.put("a", "5", { prevKv: true }).prevKv.length).toBe(0);
  });

  test("P-4: an empty value is legal, and the same value again is a change with an event", async () => {
    const session = await Session.open();
    session.put("a");
    const { events, revision } = session.command({ put: putRequest("a") });
    expect(revision).toBe(3);
    expect(events.map(({ type, kv }) => [type, decode(KeyValue, kv).version])).toEqual([["put", 2]]);
  });

  test("a stored pair does not change when the entry's buffer is used again", async () => {
    const session = await Session.open();
    const data = Buffer.from("22080a016b120361626300", "hex").subarray(0, 10);
    session.apply(data);
    data.fill(0xee);
    expect(session.all()).toEqual(["k=abc"]);
  });
});

describe("DeleteRange", () => {
  test("D-1: deleted counts, prev_kvs come in key order, H-2: header with the new revision", async () => {
    const session = await Session.open();
    for (const key of ["b", "a", "c"]) session.put(key, key.toUpperCase());
    const response = session.delete("a", "c", true);
    expect(response).toMatchObject({ deleted: 2, header: { revision: 5 } });
    expect(pairs(response.prevKvs)).toEqual(["a=A", "b=B"]);
    expect(session.delete("c").prevKvs).toEqual([]);
    expect(session.all()).toEqual([]);
  });

  test("D-1: nothing matched: no revision, no events, current revision in the header", async () => {
    const session = await Session.open();
    session.put("b");
    for (const [key, rangeEnd] of [
      ["a", ""],
      ["c", "\0"],
      ["c", "a"],
      ["b", "b"],
    ] as const) {
      const { result, events, revision } = session.command({
        deleteRange: DeleteRangeRequest.create({ key, rangeEnd }),
      });
      expect([events.length, revision]).toEqual([0, 2]);
      expect(result).toMatchObject({ response: { deleted: 0, header: { revision: 2 } } });
    }
  });

  test("D-2: the key leaves its lease, the event has key and mod_revision alone", async () => {
    const session = await Session.open();
    session.grant(5n);
    session.put("a", "1", { lease: 5n });
    const { events } = session.command({ deleteRange: DeleteRangeRequest.create({ key: "a" }) });
    expect(events.map(({ kv }) => decode(KeyValue, kv))).toEqual([KeyValue.create({ key: "a", modRevision: 3 })]);
    expect(session.machine.leases.get(5n)?.keys.size).toBe(0);
    session.put("a", "again");
    session.answer({ leaseRevoke: LeaseRevokeRequest.create({ ID: 5n }) });
    expect(session.all()).toEqual(["a=again"]);
  });

  test("R-1: an open end deletes everything from the key on", async () => {
    const session = await Session.open();
    for (const key of ["a", "b", "\xff\xff"]) session.put(key);
    expect(session.delete("b", "\0").deleted).toBe(2);
    expect(session.all()).toEqual(["a="]);
  });
});

test("P-26: what nobody waits for has no response, but the same effect", async () => {
  const [one, other] = [await Session.open(), await Session.open()];
  const commands = [
    { put: putRequest("a", "1", { prevKv: true }) },
    { put: putRequest("b", "1") },
    { deleteRange: DeleteRangeRequest.create({ key: "a", prevKv: true }) },
    { range: RangeRequest.create({ key: "a" }) },
  ];
  for (const command of commands) {
    const { result, ...rest } = one.command(command, true);
    expect(result.kind).toBe("response");
    expect(other.command(command, false)).toEqual({ ...rest, result: { kind: "none" } });
  }
  const refused = other.command({ put: putRequest("x", "", { ignoreValue: true }) }, false);
  expect(refused.result).toEqual({ kind: "error", error: errors.keyNotFound });
});

test("N-8, W-9: the rows and events of a delete of many keys, small and large", async () => {
  const session = await Session.open();
  const many = Array.from({ length: 2_000 }, (_, i) =>
    `k${i}`.padEnd(i % 500 === 0 ? 20_000 : (i * 7) % 40, "x"),
  ).sort();
  for (const key of many) session.put(key);
  const main = session.revision + 1;
  const { events } = session.command({ deleteRange: DeleteRangeRequest.create({ key: "k", rangeEnd: "l" }) });
  expect(events.map(({ key, kv }) => [key, decode(KeyValue, kv)])).toEqual(
    many.map((key) => [key, KeyValue.create({ key, modRevision: main })]),
  );
  const rows = (await bucketRows(session.backend, "key")).slice(-many.length);
  expect(rows.map(([, row]) => Buffer.from(row))).toEqual(
    many.map((key) => encode(KeyValue, KeyValue.create({ key }))),
  );
});
