import { beforeEach, describe, expect, test } from "vitest";
import { encode } from "../../proto/codec.ts";
import {
  type AlarmMember,
  AlarmRequest,
  type AlarmResponse,
  AuthRoleAddRequest,
  CompactionRequest,
  DeleteRangeRequest,
  InternalRaftRequest,
  RangeRequest,
  Request,
  RequestHeader,
  TxnRequest,
} from "../../proto/generated/etcdserverpb.ts";
import { ConfChange, ConfChangeType } from "../../proto/generated/raftpb.ts";
import { AssertionError } from "../../raft/assert.ts";
import { errors } from "../../src/api/errors.ts";
import { CONSISTENT_INDEX, decodeUint64, encodeUint64, TERM } from "../../storage/schema.ts";
import { compare, dump, op, putRequest, Session } from "./harness.ts";

let session: Session;
beforeEach(async () => {
  session = await Session.open();
});

function addMember(id: bigint): void {
  const context = Buffer.from(`{"id":${id},"peerURLs":["http://m${id}:1"]}`);
  session.confChange({ type: ConfChangeType.ConfChangeAddNode, nodeId: id, context });
}

function storedPoint(): (number | undefined)[] {
  return [CONSISTENT_INDEX, TERM].map((key) => {
    const value = session.backend.get("meta", key);
    return value && decodeUint64(value);
  });
}

describe("every entry", () => {
  test("P-20: an empty one is a leader's first", () => {
    expect(session.apply(new Uint8Array())).toEqual({
      index: 1,
      requestId: 0n,
      result: { kind: "none" },
      revision: 1,
      events: [],
      confChange: undefined,
      leaderEntry: true,
      leases: [],
    });
    expect(session.command({ put: putRequest("a") }).leaderEntry).toBe(false);
  });

  test("P-27, X-2: index and term are staged with each, whatever it holds or comes to", () => {
    const apply = (data: Uint8Array, type: 0 | 1, term: number) => {
      const index = session.machine.appliedIndex + 1;
      session.machine.apply({ index, term, type, data }, () => false);
      expect(storedPoint()).toEqual([index, term]);
      expect([session.machine.appliedIndex, session.machine.appliedTerm]).toEqual([index, term]);
    };
    apply(new Uint8Array(), 0, 1);
    apply(encode(InternalRaftRequest, InternalRaftRequest.create({ put: putRequest("a") })), 0, 2);
    apply(Buffer.from("rubbish"), 0, 2);
    apply(encode(ConfChange, ConfChange.create({ type: 1, nodeId: 5n })), 1, 3);
    apply(new Uint8Array(), 1, 7);
  });

  test("P-21: proposers wait on header.ID, or on ID where that is set; for a ConfChange on its id", () => {
    const put = putRequest("a");
    const header = RequestHeader.create({ ID: 2n ** 64n - 1n });
    const id = (request: Partial<InternalRaftRequest>) =>
      session.apply(encode(InternalRaftRequest, InternalRaftRequest.create({ put, ...request }))).requestId;
    expect(id({ header })).toBe(2n ** 64n - 1n);
    expect(id({ header, ID: 5n })).toBe(5n);
    expect(id({})).toBe(0n);
    expect(session.confChange({ id: 9n, type: 1 }).requestId).toBe(9n);
    expect(session.apply(encode(InternalRaftRequest, InternalRaftRequest.create({ header }))).requestId).toBe(
      2n ** 64n - 1n,
    );
  });

  test("an entry that was applied has no effect when it comes again", async () => {
    const first = session.entry(encode(InternalRaftRequest, InternalRaftRequest.create({ put: putRequest("a") })));
    session.machine.apply(first, () => true);
    addMember(1n);
    const before = await dump(session.backend);
    expect(session.machine.apply(first, () => true)).toEqual({
      index: 1,
      requestId: 0n,
      result: { kind: "none" },
      revision: 2,
      events: [],
      confChange: undefined,
      leaderEntry: false,
      leases: [],
    });
    const again = session.machine.apply({ ...first, index: 2, type: 1 }, () => true);
    expect([again.confChange, again.result]).toEqual([{ kind: "none" }, { kind: "none" }]);
    expect(session.machine.apply({ ...first, data: new Uint8Array() }, () => true).leaderEntry).toBe(false);
    expect(await dump(session.backend)).toEqual(before);
  });

  test("a gap in the log is a bug of this member", () => {
    const entry = session.entry(new Uint8Array());
    expect(() => session.machine.apply({ ...entry, index: 2 }, () => true)).toThrow(AssertionError);
  });

  test("a stored point that no etcd writes is an error at the start, not a guess", async () => {
    session.apply(new Uint8Array());
    session.backend.put("meta", CONSISTENT_INDEX, encodeUint64(5).subarray(1));
    await expect(session.reopen()).rejects.toThrow("7 bytes, not 8");
  });
});

describe("P-22: the forms of an entry", () => {
  const v2 = (method: string, path: string, val: string) => Request.create({ ID: 55n, method, path, val });

  beforeEach(() => addMember(0xabcn));

  test.each([
    ["bare", (request: Request) => encode(Request, request)],
    ["wrapped", (request: Request) => encode(InternalRaftRequest, InternalRaftRequest.create({ v2: request }))],
  ])("v2 requests, %s: attributes and version", (_, bytes) => {
    const attributes = '{"name":"n1","clientURLs":["http://c:1"]}';
    const applied = session.apply(bytes(v2("PUT", "/0/members/abc/attributes", attributes)));
    expect([applied.requestId, applied.result.kind]).toEqual([55n, "response"]);
    expect(session.machine.cluster.member(0xabcn)).toMatchObject({ name: "n1", clientURLs: ["http://c:1"] });
    expect(session.apply(bytes(v2("PUT", "/0/version", "3.5.0"))).result.kind).toBe("response");
    expect(session.machine.cluster.version).toBe("3.5.0");
    for (const [method, path, val] of [
      ["DELETE", "/0/version", ""],
      ["QGET", "/0/version", ""],
      ["SYNC", "", ""],
      ["PUT", "/1/key", "v"],
      ["PUT", "/0/members/abc/attributes", "{"],
      ["PUT", "/0/members/abcdef0123456789a/attributes", attributes],
      ["PUT", "/0/version", "three"],
    ] as const) {
      const { requestId, result } = session.apply(bytes(v2(method, path, val)));
      expect([requestId, result]).toEqual([55n, { kind: "error", error: errors.malformedEntry }]);
    }
    const unknown = session.apply(bytes(v2("PUT", "/0/members/9/attributes", attributes)));
    expect(unknown.result).toEqual({ kind: "error", error: errors.memberNotFound });
  });

  test("a bare v2 request with all of its fields on the wire, as proto2 writes them", () => {
    const data = Buffer.from(
      "088182f5a7e8c1d4f40612035055541a0a2f302f76657273696f6e2205332e352e302800320038004800500058006000680070007800800100",
      "hex",
    );
    expect(session.apply(data).result.kind).toBe("response");
    expect(session.machine.cluster.version).toBe("3.5.0");
  });

  test("what is neither is a deterministic error without effect", async () => {
    const before = (await dump(session.backend)).filter((line) => !line.startsWith("meta"));
    for (const hex of ["ff", "00", "0a", "2203", "220a0a01", "12035055", `1a${"80".repeat(12)}`]) {
      const { result, requestId } = session.apply(Buffer.from(hex, "hex"));
      expect([result, requestId]).toEqual([{ kind: "error", error: errors.malformedEntry }, 0n]);
    }
    expect((await dump(session.backend)).filter((line) => !line.startsWith("meta"))).toEqual(before);
  });

  test("a command without a payload, and those of a later version of this server", () => {
    expect(session.error({})).toBe(errors.unsupportedCommand);
    expect(session.error({ authRoleAdd: AuthRoleAddRequest.create({ name: "r" }) })).toBe(errors.unsupportedCommand);
    expect(session.error({ authEnable: {} })).toBe(errors.unsupportedCommand);
  });

  test("a range that came through the log is answered", () => {
    session.put("a", "1");
    expect(session.answer({ range: RangeRequest.create({ key: "a" }) })).toMatchObject({ count: 1 });
    expect(session.error({ range: RangeRequest.create({ key: "a", revision: 9 }) })).toBe(errors.futureRevision);
  });
});

describe("Compact", () => {
  const compact = (revision: number) => ({ compaction: CompactionRequest.create({ revision }) });

  test("C-1, C-5: above the compact revision, up to the current one; the first may be 0", () => {
    expect(session.error(compact(-1))).toBe(errors.compacted);
    expect(session.error(compact(2))).toBe(errors.futureRevision);
    expect(session.answer(compact(0))).toMatchObject({ header: { revision: 1 } });
    expect(session.error(compact(0))).toBe(errors.compacted);
    for (const value of ["1", "2", "3"]) session.put("a", value);
    expect(session.answer(compact(3))).toMatchObject({ header: { revision: 4 } });
    expect(session.machine.mvcc.compactRevision).toBe(3);
    for (const revision of [3, 2, 0, -1]) expect(session.error(compact(revision))).toBe(errors.compacted);
    expect(session.error(compact(5))).toBe(errors.futureRevision);
    session.answer(compact(4));
  });

  test("C-2, C-4: it holds from the reply on, and after a restart", async () => {
    session.put("a", "1");
    session.put("a", "2");
    session.answer(compact(3));
    expect(() => session.range("a", { revision: 2 })).toThrow(errors.compacted);
    await session.reopen();
    expect(() => session.range("a", { revision: 2 })).toThrow(errors.compacted);
    expect(session.all()).toEqual(["a=2"]);
  });
});

describe("alarms", () => {
  const [GET, ACTIVATE, DEACTIVATE] = [0, 1, 2];
  const [NONE, NOSPACE, CORRUPT] = [0, 1, 2];
  const alarm = (action: number, memberID: bigint, type: number) =>
    session.answer<AlarmResponse>({ alarm: AlarmRequest.create({ action, memberID, alarm: type }) });
  const list = (alarms: readonly AlarmMember[]) => alarms.map(({ memberID, alarm: type }) => `${memberID}:${type}`);

  test("N-10: activate, get by type or all, deactivate exactly; each survives a restart", async () => {
    expect(list(alarm(ACTIVATE, 2n ** 64n - 1n, NOSPACE).alarms)).toEqual([`${2n ** 64n - 1n}:1`]);
    expect(list(alarm(ACTIVATE, 1n, CORRUPT).alarms)).toEqual(["1:2"]);
    expect(list(alarm(ACTIVATE, 1n, NOSPACE).alarms)).toEqual(["1:1"]);
    expect(list(alarm(ACTIVATE, 1n, NOSPACE).alarms)).toEqual(["1:1"]);
    expect(list(alarm(ACTIVATE, 1n, NONE).alarms)).toEqual([]);
    await session.reopen();
    expect(list(alarm(GET, 77n, NONE).alarms)).toEqual(["1:1", `${2n ** 64n - 1n}:1`, "1:2"]);
    expect(list(alarm(GET, 77n, CORRUPT).alarms)).toEqual(["1:2"]);
    expect(list(alarm(DEACTIVATE, 0n, NOSPACE).alarms)).toEqual([]);
    expect(list(alarm(DEACTIVATE, 1n, NONE).alarms)).toEqual([]);
    expect(list(alarm(DEACTIVATE, 1n, NOSPACE).alarms)).toEqual(["1:1"]);
    await session.reopen();
    expect(list(session.machine.alarms.list(NONE))).toEqual([`${2n ** 64n - 1n}:1`, "1:2"]);
    expect(session.error({ alarm: AlarmRequest.create({ action: 3 }) })).toBe(errors.unknownAlarmAction);
  });

  test("H-2: the header has the current revision", () => {
    session.put("a");
    expect(alarm(GET, 0n, NONE).header?.revision).toBe(2);
  });

  test("N-11, N-12: NOSPACE refuses what may cost space, and nothing else", () => {
    session.put("a", "1");
    alarm(ACTIVATE, 1n, NOSPACE);
    expect(session.error({ put: putRequest("a") })).toBe(errors.noSpace);
    expect(session.error({ txn: TxnRequest.create({ success: [op.range("a")], failure: [op.put("a")] }) })).toBe(
      errors.noSpace,
    );
    session.txn({ success: [op.range("a")] });
    // The puts of inner txns cost nothing, in etcd neither.
    session.txn({ success: [op.txn({ success: [op.put("inner")] })] });
    session.txn({ success: [op.del("a")], compare: [compare("a", 0, 1, undefined)] });
    session.delete("inner");
    session.answer({ compaction: CompactionRequest.create({ revision: 3 }) });
    alarm(DEACTIVATE, 1n, NOSPACE);
    session.put("a");
  });

  test("N-13: CORRUPT refuses whatever touches keys or leases; alarms and members go on", () => {
    alarm(ACTIVATE, 1n, NOSPACE);
    alarm(ACTIVATE, 1n, CORRUPT);
    expect(session.error({ put: putRequest("a") })).toBe(errors.corrupt);
    expect(session.error({ deleteRange: DeleteRangeRequest.create({ key: "a" }) })).toBe(errors.corrupt);
    expect(session.error({ txn: TxnRequest.create() })).toBe(errors.corrupt);
    expect(session.error({ range: RangeRequest.create({ key: "a" }) })).toBe(errors.corrupt);
    expect(session.error({ compaction: CompactionRequest.create({ revision: 1 }) })).toBe(errors.corrupt);
    session.answer({ clusterVersionSet: { ver: "3.6.0" } });
    addMember(3n);
    expect(session.machine.cluster.member(3n)).toBeDefined();
    alarm(DEACTIVATE, 1n, CORRUPT);
    expect(session.error({ put: putRequest("a") })).toBe(errors.noSpace);
  });
});
