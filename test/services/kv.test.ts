import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { encode } from "../../proto/codec.ts";
import {
  CompareCompareResult,
  CompareCompareTarget,
  RangeRequestSortOrder as Order,
  RangeRequestSortTarget as Target,
  type TxnResponse,
} from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { Code, errors } from "../../src/api/errors.ts";
import { createNodeEnv } from "../../src/node-env.ts";
import { type AnyHandler, answerOf, EncodedResponse } from "../../src/rpc/rpc.ts";
import { kvService } from "../../src/services/kv.ts";
import { ReadBudget } from "../../src/services/read-budget.ts";
import { compare, keys, op, pairs } from "../state/harness.ts";
import { context, FakeServer, fullHeader, invoke } from "./fake-server.ts";

const { KVRange, KVPut, KVDeleteRange, KVTxn, KVCompact } = rpcs;
const nodeEnv = createNodeEnv();
let turns = 0;
const env = {
  ...nodeEnv,
  nextTurn: (callback: () => void) => {
    turns++;
    nodeEnv.nextTurn(callback);
  },
};

let fake: FakeServer;
let kv: AnyHandler[];
beforeEach(async () => {
  fake = await FakeServer.open();
  turns = 0;
  kv = kvService(fake.server, { env, maxTxnOps: 128, slice: { keys: 10, bytes: 1_000 } });
});

describe("Range", () => {
  it("R-10: asks for a read barrier unless serializable", async () => {
    await invoke(kv, KVRange, { key: "a" });
    expect(fake.asked).toEqual(["readBarrier"]);
    fake.barrierError = errors.timeout;
    await expect(invoke(kv, KVRange, { key: "a" })).rejects.toBe(errors.timeout);
    expect((await invoke(kv, KVRange, { key: "a", serializable: true })).count).toBe(0);
    expect(fake.asked).toEqual(["readBarrier", "readBarrier"]);
  });

  it("H-1, H-2: the header is this member's, with the store's revision and not the one asked for", async () => {
    for (const value of ["1", "2", "3"]) fake.session.put("a", value);
    const response = await invoke(kv, KVRange, { key: "a", revision: 2 });
    expect(response.header).toEqual(fullHeader(4));
    expect(pairs(response.kvs)).toEqual(["a=1"]);
  });

  it("is validated before the barrier", async () => {
    await expect(invoke(kv, KVRange, { key: "" })).rejects.toBe(errors.emptyKey);
    await expect(invoke(kv, KVRange, { key: "a", sortOrder: 3 })).rejects.toBe(errors.invalidSortOption);
    expect(fake.asked).toEqual([]);
  });

  it("R-4: refuses revisions of the future and compacted ones", async () => {
    for (const value of ["1", "2", "3"]) fake.session.put("a", value);
    await invoke(kv, KVCompact, { revision: 3 });
    await expect(invoke(kv, KVRange, { key: "a", revision: 5 })).rejects.toBe(errors.futureRevision);
    await expect(invoke(kv, KVRange, { key: "a", revision: 2 })).rejects.toBe(errors.compacted);
    expect(pairs((await invoke(kv, KVRange, { key: "a", revision: 3 })).kvs)).toEqual(["a=2"]);
  });

  it("R-5: limit, more, count", async () => {
    for (let i = 0; i < 30; i++) fake.session.put(`k${String(i).padStart(2, "0")}`);
    const response = await invoke(kv, KVRange, { key: "k", rangeEnd: "l", limit: 25 });
    expect([response.kvs.length, response.more, response.count]).toEqual([25, true, 30]);
  });

  it("fetches a large result in slices, of one revision, and keeps old versions for as long", async () => {
    for (let i = 0; i < 95; i++) fake.session.put(`k${String(i).padStart(2, "0")}`, "old");
    const { mvcc } = fake.session.machine;
    const reading = invoke(kv, KVRange, { key: "k", rangeEnd: "l", serializable: true });
    await new Promise((resolve) => setImmediate(resolve));
    expect(mvcc.oldestPin).toBeDefined();
    for (let i = 0; i < 95; i++) fake.session.put(`k${String(i).padStart(2, "0")}`, "new");
    fake.session.delete("k", "l");
    const response = await reading;
    // Two for the rest of the selection, then ten slices of pairs.
    expect(turns).toBe(12);
    expect(response.header?.revision).toBe(96);
    expect(new Set(pairs(response.kvs).map((pair) => pair.slice(4)))).toEqual(new Set(["old"]));
    expect(response.kvs.length).toBe(95);
    expect(mvcc.oldestPin).toBeUndefined();
  });

  it("a put, a delete and a compaction between two slices of a selection change nothing; the pieces are the codec's bytes", async () => {
    for (let i = 0; i < 95; i++) fake.session.put(`k${String(i).padStart(2, "0")}`, "old");
    const { mvcc } = fake.session.machine;
    const request = KVRange.request.create({ key: "k", rangeEnd: "l", serializable: true, limit: 90 });
    const expected = fake.session.range("k", request);
    const handler = kv.find(({ rpc }) => rpc.path === KVRange.path);
    if (handler?.kind !== "unary") throw new Error("no handler");
    const reading: Promise<unknown> = answerOf(handler, request, context());
    fake.session.put("k00\0", "new");
    fake.session.delete("k5", "k9");
    mvcc.compact(mvcc.currentRevision);
    expect(mvcc.oldestPin).toBe(96);
    expect(() => mvcc.compactSlice(1_000)).toThrow("while a read held them");
    const response = await reading;
    if (!(response instanceof EncodedResponse)) throw new Error("not in pieces");
    expect(Buffer.concat(response.pieces)).toEqual(encode(KVRange.response, { ...expected, header: fullHeader(96) }));
    expect(response.bytes).toBe(Buffer.concat(response.pieces).length);
    expect(mvcc.oldestPin).toBeUndefined();
  });

  it("ends a slice by bytes as well", async () => {
    for (let i = 0; i < 5; i++) fake.session.put(`k${i}`, "x".repeat(1_000));
    expect((await invoke(kv, KVRange, { key: "k", rangeEnd: "l" })).kvs.length).toBe(5);
    expect(turns).toBe(4);
  });

  it("stops fetching for a client that is gone, and unpins", async () => {
    for (let i = 0; i < 95; i++) fake.session.put(`k${String(i).padStart(2, "0")}`);
    const gone = new AbortController();
    const reading = invoke(kv, KVRange, { key: "k", rangeEnd: "l", serializable: true }, context({}, gone.signal));
    const failed = expect(reading).rejects.toBe(errors.canceled);
    gone.abort(errors.canceled);
    await failed;
    expect(turns).toBe(1);
    expect(fake.session.machine.mvcc.oldestPin).toBeUndefined();
  });

  it("R-8: keys only", async () => {
    fake.session.put("a", "value");
    expect(pairs((await invoke(kv, KVRange, { key: "a", keysOnly: true })).kvs)).toEqual(["a="]);
  });
});

describe("what running reads hold", () => {
  const VALUE = "x".repeat(872);
  /** A pair costs a little more than 1000 bytes; at most 10 fit in one read, 20 in all. */
  const budget = new ReadBudget(21_000);
  const all = { key: "k", rangeEnd: "l", serializable: true };
  const tooLarge = { code: Code.ResourceExhausted, message: expect.stringContaining("read it in pieces") };
  const tooMuch = { code: Code.ResourceExhausted, message: expect.stringContaining("try again later") };
  const fill = (count: number): void => {
    for (let i = 0; i < count; i++) fake.session.put(`k${i}`, VALUE);
  };
  const start = (request = {}) => invoke(kv, KVRange, { ...all, ...request });
  beforeEach(() => {
    kv = kvService(fake.server, { env, maxTxnOps: 128, slice: { keys: 2, bytes: 10_000 }, budget });
  });
  afterEach(() => {
    expect(budget.heldBytes).toBe(0);
    expect(fake.session.machine.mvcc.oldestPin).toBeUndefined();
  });

  it("a single one takes at most half of what is there for all", async () => {
    fill(11);
    await expect(start()).rejects.toMatchObject(tooLarge);
    await expect(
      invoke(kv, KVTxn, { success: [op.range("k", { ...all, limit: 6 }), op.range("k", all)] }),
    ).rejects.toMatchObject(tooLarge);
    expect((await start({ limit: 10 })).kvs.length).toBe(10);
    expect((await start({ keysOnly: true })).kvs.length).toBe(11);
  });

  it("the one that would pass the sum fails, the others go on, and later there is room again", async () => {
    fill(9);
    const reads = await Promise.allSettled([start(), start(), start()]);
    expect(reads.map(({ status }) => status).sort()).toEqual(["fulfilled", "fulfilled", "rejected"]);
    expect(reads.find(({ status }) => status === "rejected")).toMatchObject({ reason: tooMuch });
    expect((await start()).kvs.length).toBe(9);
  });

  it("what a client that is gone held is given back", async () => {
    fill(9);
    const gone = new AbortController();
    const reading = invoke(kv, KVRange, all, context({}, gone.signal));
    expect(budget.heldBytes).toBeGreaterThan(0);
    gone.abort(errors.canceled);
    await expect(reading).rejects.toBe(errors.canceled);
  });

  it("many keys cost something before any value is read", async () => {
    for (let i = 0; i < 100; i++) fake.session.put(`k${i}`);
    await expect(start()).rejects.toMatchObject(tooLarge);
    // The selection goes in slices, and ends where the charges for its pairs do.
    expect(turns).toBe(10);
    expect((await start({ countOnly: true })).count).toBe(100);
  });

  it("values that are read for sorting count while they are held", async () => {
    fill(11);
    await expect(start({ sortTarget: Target.VALUE, sortOrder: Order.ASCEND, limit: 1 })).rejects.toMatchObject(
      tooLarge,
    );
    fake.session.delete("k0");
    expect((await start({ sortTarget: Target.VALUE, sortOrder: Order.ASCEND, limit: 1 })).kvs.length).toBe(1);
  });
});

describe("sort by value", () => {
  const sorts = [Order.NONE, Order.ASCEND, Order.DESCEND].flatMap((sortOrder) =>
    [0, 1, 7, 100].map((limit) => ({ sortOrder, limit, sortTarget: Target.VALUE })),
  );

  it.each([0, 1, 9, 10, 11, 35, 64])("R-7: in slices it comes to the same as at once, %i keys", async (count) => {
    for (let i = 0; i < count; i++) fake.session.put(`k${String(i).padStart(2, "0")}`, `${(i * 7) % 5}`);
    const sortedBy = (order: number, limit: number): string[] => {
      const sign = order === Order.DESCEND ? -1 : 1;
      const all = fake.session.all();
      // Without an order: the first pairs only, one more than the limit.
      const sorted = (order === Order.NONE && limit > 0 ? all.slice(0, limit + 1) : all).sort(
        (a, b) => sign * (a.slice(4) < b.slice(4) ? -1 : a.slice(4) > b.slice(4) ? 1 : 0),
      );
      return limit === 0 ? sorted : sorted.slice(0, limit);
    };
    for (const sort of sorts) {
      const response = await invoke(kv, KVRange, { key: "k", rangeEnd: "l", ...sort });
      expect(pairs(response.kvs)).toEqual(sortedBy(sort.sortOrder, sort.limit));
      expect([response.count, response.more]).toEqual([count, sort.limit > 0 && sort.limit < count]);
      expect(response.kvs).toEqual(fake.session.range("k", { rangeEnd: "l", ...sort }).kvs);
    }
    const txn = await invoke(kv, KVTxn, {
      success: [op.range("k", { rangeEnd: "l", sortTarget: Target.VALUE, sortOrder: Order.DESCEND, limit: 3 })],
    });
    const [range] = txn.responses;
    expect(range?.response?.kind === "responseRange" && pairs(range.response.value.kvs)).toEqual(
      sortedBy(Order.DESCEND, 3),
    );
  });

  it("lets others have their turn while it fetches, sorts and merges", async () => {
    for (let i = 0; i < 95; i++) fake.session.put(`k${i}`, `${(i * 37) % 95}`);
    const { mvcc } = fake.session.machine;
    const reading = invoke(kv, KVRange, { key: "k", rangeEnd: "l", serializable: true, sortTarget: Target.VALUE });
    await new Promise((resolve) => setImmediate(resolve));
    expect(mvcc.oldestPin).toBeDefined();
    fake.session.delete("k", "l");
    const values = pairs((await reading).kvs).map((pair) => pair.split("=")[1]);
    expect(values).toEqual([...values].sort());
    expect(values.length).toBe(95);
    // 95 keys in slices of ten: fetched for the sort, sorted in runs, merged in four passes, fetched for the answer.
    expect(turns).toBeGreaterThanOrEqual(30);
    expect(mvcc.oldestPin).toBeUndefined();
  });
});

describe("writes", () => {
  it("Put: validated, proposed, answered with a full header", async () => {
    await expect(invoke(kv, KVPut, { key: "" })).rejects.toBe(errors.emptyKey);
    const value = Buffer.from("v");
    await expect(invoke(kv, KVPut, { key: "a", value, ignoreValue: true })).rejects.toBe(errors.valueProvided);
    expect(fake.asked).toEqual([]);
    expect((await invoke(kv, KVPut, { key: "a", value })).header).toEqual(fullHeader(2));
    const again = await invoke(kv, KVPut, { key: "a", prevKv: true });
    expect(again.header).toEqual(fullHeader(3));
    expect(pairs([again.prevKv])).toEqual(["a=v"]);
    expect(fake.asked).toEqual(["propose put", "propose put"]);
  });

  it("passes on what apply and propose refuse", async () => {
    await expect(invoke(kv, KVPut, { key: "a", lease: 9n })).rejects.toBe(errors.leaseNotFound);
    fake.proposeError = errors.deadlineExceeded;
    await expect(invoke(kv, KVPut, { key: "a" })).rejects.toBe(errors.deadlineExceeded);
    await expect(invoke(kv, KVDeleteRange, { key: "a" })).rejects.toBe(errors.deadlineExceeded);
    await expect(invoke(kv, KVCompact, { revision: 1 })).rejects.toBe(errors.deadlineExceeded);
  });

  it("DeleteRange: H-2, D-1", async () => {
    fake.session.put("a", "1");
    fake.session.put("b", "2");
    await expect(invoke(kv, KVDeleteRange, { key: "" })).rejects.toBe(errors.emptyKey);
    const hit = await invoke(kv, KVDeleteRange, { key: "a", rangeEnd: "c", prevKv: true });
    expect([hit.header, hit.deleted, pairs(hit.prevKvs)]).toEqual([fullHeader(4), 2, ["a=1", "b=2"]]);
    const missed = await invoke(kv, KVDeleteRange, { key: "a" });
    expect([missed.header, missed.deleted]).toEqual([fullHeader(4), 0]);
  });

  it("C-3, C-5: a physical compaction waits for the removal, another does not; the header is of the current revision", async () => {
    for (const value of ["1", "2", "3"]) fake.session.put("a", value);
    expect((await invoke(kv, KVCompact, { revision: 2 })).header).toEqual(fullHeader(4));
    await invoke(kv, KVCompact, { revision: 3, physical: true });
    expect(fake.asked).toEqual(["propose compaction", "propose compaction", "compactionFinished"]);
    await expect(invoke(kv, KVCompact, { revision: 3, physical: true })).rejects.toBe(errors.compacted);
    await expect(invoke(kv, KVCompact, { revision: 5 })).rejects.toBe(errors.futureRevision);
  });
});

describe("Txn", () => {
  const isNew = compare("a", CompareCompareTarget.CREATE, CompareCompareResult.EQUAL, {
    kind: "createRevision",
    value: 0,
  });
  const ranges = (response: TxnResponse): (readonly [number | undefined, string])[] =>
    response.responses.map(({ response: inner }) => {
      if (inner?.kind !== "responseRange") throw new Error("not a range");
      return [inner.value.header?.revision, keys(inner.value.kvs)] as const;
    });

  it("TX-8: is validated before anything else", async () => {
    await expect(invoke(kv, KVTxn, { success: [op.range("")] })).rejects.toBe(errors.emptyKey);
    await expect(invoke(kv, KVTxn, { success: [op.none] })).rejects.toBe(errors.keyNotFound);
    const many = Array.from({ length: 129 }, () => op.range("a"));
    await expect(invoke(kv, KVTxn, { failure: many })).rejects.toBe(errors.tooManyOps);
    expect(fake.asked).toEqual([]);
  });

  it("a write goes through the log, with a full outer header and inner ones of revision alone (G-5)", async () => {
    const response = await invoke(kv, KVTxn, { compare: [isNew], success: [op.put("a", "1"), op.range("a")] });
    expect(fake.asked).toEqual(["propose txn"]);
    expect(response.header).toEqual(fullHeader(2));
    expect(response.succeeded).toBe(true);
    const [, range] = response.responses;
    expect(range?.response?.value.header).toMatchObject({ revision: 2, memberId: 0n, clusterId: 0n, raftTerm: 0 });
  });

  it("TX-11: ranges alone never enter the log; they wait for the barrier unless all are serializable", async () => {
    fake.session.put("a", "1");
    fake.session.put("b", "2");
    const request = {
      compare: [isNew],
      success: [op.range("x")],
      failure: [op.range("a"), op.range("a", { rangeEnd: "c" })],
    };
    const response = await invoke(kv, KVTxn, request);
    expect(fake.asked).toEqual(["readBarrier"]);
    expect(response.header).toEqual(fullHeader(3));
    expect(response.succeeded).toBe(false);
    expect(ranges(response)).toEqual([
      [3, "a"],
      [3, "a b"],
    ]);
    expect(response.responses[0]?.response?.value.header).toMatchObject({ memberId: 0n, raftTerm: 0 });
    await invoke(kv, KVTxn, { success: [op.range("a", { serializable: true })] });
    expect(fake.asked).toEqual(["readBarrier"]);
    await invoke(kv, KVTxn, { success: [op.range("a", { serializable: true })], failure: [op.range("a")] });
    expect(fake.asked).toEqual(["readBarrier", "readBarrier"]);
  });

  it("TX-11: an empty transaction needs no quorum, one inside a transaction goes through the log", async () => {
    fake.barrierError = errors.timeout;
    const empty = await invoke(kv, KVTxn, { compare: [isNew] });
    expect([empty.header, empty.succeeded, empty.responses]).toEqual([fullHeader(1), true, []]);
    expect(fake.asked).toEqual([]);
    const nested = await invoke(kv, KVTxn, { success: [op.txn({ success: [op.range("a")] })] });
    expect(fake.asked).toEqual(["propose txn"]);
    expect(nested.header).toEqual(fullHeader(1));
  });

  it("TX-6, TX-7: revisions of read-only ranges are checked on the chosen branch", async () => {
    for (const value of ["1", "2", "3"]) fake.session.put("a", value);
    await invoke(kv, KVCompact, { revision: 3 });
    const at = (revision: number) => invoke(kv, KVTxn, { success: [op.range("a", { revision })] });
    await expect(at(2)).rejects.toBe(errors.compacted);
    await expect(at(5)).rejects.toBe(errors.futureRevision);
    await expect(at(-1)).rejects.toBe(errors.compacted);
    expect(ranges(await at(3))).toEqual([[4, "a"]]);
    const other = { compare: [isNew], success: [op.range("a", { revision: 99 })] };
    expect((await invoke(kv, KVTxn, other)).succeeded).toBe(false);
  });

  it("reads all ranges at one revision, in slices", async () => {
    for (let i = 0; i < 25; i++) fake.session.put(`k${String(i).padStart(2, "0")}`, "old");
    const all = op.range("k", { rangeEnd: "l", serializable: true });
    const reading = invoke(kv, KVTxn, { success: [all, all] });
    await new Promise((resolve) => setImmediate(resolve));
    fake.session.delete("k", "l");
    const response = await reading;
    expect(turns).toBe(4);
    for (const { response: inner } of response.responses) {
      expect(inner?.kind === "responseRange" && inner.value.kvs.length).toBe(25);
    }
  });
});
