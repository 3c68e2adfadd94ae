import { beforeEach, describe, expect, test } from "vitest";
import { encode } from "../../proto/codec.ts";
import {
  CompactionRequest,
  type Compare,
  type ResponseOp,
  CompareCompareResult as Result,
  CompareCompareTarget as Target,
  TxnRequest,
  TxnResponse,
} from "../../proto/generated/etcdserverpb.ts";
import { type ApiError, errors } from "../../src/api/errors.ts";
import { validateTxn } from "../../src/api/validate.ts";
import { AnswerBytes } from "../../src/state/answer.ts";
import { rangeValue } from "../../src/state/range.ts";
import { applyTxn, isReadTxn, planReadTxn } from "../../src/state/txn.ts";
import { compare, keys, op, pairs, Session } from "./harness.ts";

let session: Session;
beforeEach(async () => {
  session = await Session.open();
});

/** Refused whole: same error for a client whose request was validated, and nothing has changed. */
function refused(request: Partial<TxnRequest>): ApiError {
  validateTxn(TxnRequest.create(request), 128);
  return refusedByApply(request);
}

function refusedByApply(request: Partial<TxnRequest>): ApiError {
  const before = session.all();
  const error = session.error({ txn: TxnRequest.create(request) });
  expect(session.all()).toEqual(before);
  return error;
}

function holds(...compares: Compare[]): boolean {
  return session.txn({ compare: compares }).succeeded;
}

function revisions(response: TxnResponse): (number | undefined)[] {
  return response.responses.map(({ response: inner }) => inner?.value.header?.revision);
}

function rangeOf(response: ResponseOp | undefined): string[] {
  if (response?.response?.kind !== "responseRange") throw new Error("not a range response");
  return pairs(response.response.value.kvs);
}

const version = (value: number) => ({ kind: "version", value }) as const;
const created = (value: number) => ({ kind: "createRevision", value }) as const;
const modified = (value: number) => ({ kind: "modRevision", value }) as const;
const leased = (value: bigint) => ({ kind: "lease", value }) as const;
const valued = (value: string) => ({ kind: "value", value: Buffer.from(value) }) as const;

describe("branches and compares", () => {
  test("TX-1: AND of all compares; none is true; one branch runs, in order", () => {
    session.put("a", "1");
    const yes = compare("a", Target.VERSION, Result.EQUAL, version(1));
    const no = compare("a", Target.VERSION, Result.EQUAL, version(2));
    expect([holds(), holds(yes), holds(yes, yes), holds(yes, no), holds(no, yes)]).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
    session.txn({ compare: [no], success: [op.put("s")], failure: [op.put("f", "1"), op.del("a")] });
    expect(session.all()).toEqual(["f=1"]);
  });

  test("TX-3: VERSION, CREATE, MOD and LEASE on a missing key use 0", () => {
    for (const [target, union] of [
      [Target.VERSION, version],
      [Target.CREATE, created],
      [Target.MOD, modified],
    ] as const) {
      expect(holds(compare("x", target, Result.EQUAL, union(0)))).toBe(true);
      expect(holds(compare("x", target, Result.NOT_EQUAL, union(0)))).toBe(false);
      expect(holds(compare("x", target, Result.LESS, union(1)))).toBe(true);
      expect(holds(compare("x", target, Result.GREATER, union(-1)))).toBe(true);
      expect(holds(compare("x", target, Result.GREATER, union(0)))).toBe(false);
    }
    expect(holds(compare("x", Target.LEASE, Result.EQUAL, leased(0n)))).toBe(true);
    expect(holds(compare("x", Target.LEASE, Result.LESS, leased(1n)))).toBe(true);
    expect(holds(compare("x", Target.LEASE, Result.GREATER, leased(-1n)))).toBe(true);
  });

  test("TX-3: VALUE on a missing key is false even for NOT_EQUAL", () => {
    for (const result of [Result.EQUAL, Result.NOT_EQUAL, Result.LESS, Result.GREATER, 77]) {
      expect(holds(compare("x", Target.VALUE, result, valued("")))).toBe(false);
    }
  });

  test("TX-3: a missing union, or one of another kind, is 0 or empty", () => {
    session.put("a", "1");
    session.put("empty", "");
    expect(holds(compare("a", Target.VERSION, Result.GREATER, undefined))).toBe(true);
    expect(holds(compare("a", Target.MOD, Result.GREATER, version(100)))).toBe(true);
    expect(holds(compare("x", Target.CREATE, Result.EQUAL, version(100)))).toBe(true);
    expect(holds(compare("empty", Target.VALUE, Result.EQUAL, undefined))).toBe(true);
    expect(holds(compare("a", Target.VALUE, Result.GREATER, version(3)))).toBe(true);
    expect(holds(compare("a", Target.LEASE, Result.EQUAL, valued("9")))).toBe(true);
  });

  test("each target on a key that is there", () => {
    session.grant(-7n);
    session.put("a", "b");
    session.put("a", "c", { lease: -7n });
    expect(holds(compare("a", Target.VERSION, Result.EQUAL, version(2)))).toBe(true);
    expect(holds(compare("a", Target.CREATE, Result.EQUAL, created(2)))).toBe(true);
    expect(holds(compare("a", Target.MOD, Result.EQUAL, modified(3)))).toBe(true);
    expect(holds(compare("a", Target.MOD, Result.LESS, modified(3)))).toBe(false);
    expect(holds(compare("a", Target.LEASE, Result.EQUAL, leased(-7n)))).toBe(true);
    expect(holds(compare("a", Target.LEASE, Result.LESS, leased(0n)))).toBe(true);
    expect(holds(compare("a", Target.VALUE, Result.GREATER, valued("bz")))).toBe(true);
    expect(holds(compare("a", Target.VALUE, Result.LESS, valued("c\0")))).toBe(true);
    expect(holds(compare("a", Target.VALUE, Result.NOT_EQUAL, valued("c")))).toBe(false);
  });

  test("TX-4: a range compare is true of every key; an empty range is one zero KeyValue", () => {
    session.put("a1", "x");
    session.put("a2", "x");
    session.put("a2", "x");
    const over = (result: number, value: number, end = "b") =>
      holds(compare("a", Target.VERSION, result, version(value), end));
    expect(over(Result.GREATER, 0)).toBe(true);
    expect(over(Result.EQUAL, 1)).toBe(false);
    expect(over(Result.LESS, 3, "\0")).toBe(true);
    expect(holds(compare("a", Target.VALUE, Result.EQUAL, valued("x"), "b"))).toBe(true);
    expect(holds(compare("c", Target.VERSION, Result.EQUAL, version(0), "d"))).toBe(true);
    expect(holds(compare("c", Target.VERSION, Result.GREATER, version(0), "d"))).toBe(false);
    expect(holds(compare("c", Target.VALUE, Result.NOT_EQUAL, valued("x"), "d"))).toBe(false);
    expect(holds(compare("b", Target.VERSION, Result.EQUAL, version(0), "a"))).toBe(true);
  });

  test("TX-5: an unknown result is true, an unknown target compares as equal", () => {
    session.put("a");
    for (const key of ["a", "x"]) {
      expect(holds(compare(key, Target.VERSION, 9, version(5)))).toBe(true);
      expect(holds(compare(key, 9, Result.EQUAL, version(5)))).toBe(true);
      expect(holds(compare(key, 9, Result.NOT_EQUAL, version(5)))).toBe(false);
      expect(holds(compare(key, -1, Result.GREATER, undefined))).toBe(false);
    }
  });

  test("TX-2: nested compares see the state before the txn", () => {
    const absent = compare("a", Target.VERSION, Result.EQUAL, version(0));
    const response = session.txn({
      success: [
        op.put("a"),
        op.txn({ compare: [absent], success: [op.put("was-absent")], failure: [op.put("was-there")] }),
      ],
    });
    expect(session.all()).toEqual(["a=", "was-absent="]);
    const inner = response.responses[1]?.response;
    expect(inner?.kind === "responseTxn" && inner.value.succeeded).toBe(true);
    session.txn({
      success: [op.del("a"), op.txn({ compare: [absent], success: [op.put("x")], failure: [op.put("y")] })],
    });
    expect(session.all()).toEqual(["was-absent=", "y="]);
  });
});

describe("answers", () => {
  test("V-5: headers of {range x; put x; range x; del missing; put y; range x..z} at revision 8", () => {
    for (let i = 2; i <= 8; i++) session.put("other", String(i));
    const response = session.txn({
      success: [
        op.range("x"),
        op.put("x"),
        op.range("x"),
        op.del("missing"),
        op.put("y"),
        op.range("x", { rangeEnd: "z" }),
      ],
    });
    expect(response.header?.revision).toBe(9);
    expect(revisions(response)).toEqual([8, 9, 9, 9, 9, 9]);
  });

  test("H-2: a delete that hits nothing before any change has the current revision", () => {
    session.put("a");
    expect(revisions(session.txn({ success: [op.del("x"), op.range("a"), op.put("b"), op.del("x")] }))).toEqual([
      2, 2, 3, 3,
    ]);
    expect(session.txn({ success: [op.del("x")] }).header?.revision).toBe(3);
  });

  test("G-5: response_range is there even if empty; a nested txn has an empty header", () => {
    const response = session.txn({
      success: [op.range("x"), op.txn({ success: [op.put("a"), op.txn({})] }), op.txn({ failure: [op.put("z")] })],
    });
    expect(response.responses[0]?.response?.kind).toBe("responseRange");
    const nested = response.responses[1]?.response;
    if (nested?.kind !== "responseTxn") throw new Error("not a txn response");
    const empty = { clusterId: 0n, memberId: 0n, revision: 0, raftTerm: 0 };
    expect(nested.value.header).toEqual(empty);
    expect(nested.value.responses[0]?.response?.value.header).toEqual({ ...empty, revision: 2 });
    expect(nested.value.responses[1]?.response).toMatchObject({
      kind: "responseTxn",
      value: { header: empty, succeeded: true, responses: [] },
    });
    expect(response.responses[2]?.response).toMatchObject({ value: { succeeded: true, responses: [] } });
    expect(response.header?.revision).toBe(2);
  });

  test("TX-6: a range sees what the same txn did before it, also at depth, but not in the past", () => {
    session.put("a", "0");
    const response = session.txn({
      success: [
        op.put("a", "1"),
        op.range("a"),
        op.range("a", { revision: 2 }),
        op.del("a"),
        op.range("a"),
        op.txn({ success: [op.put("b", "2")] }),
        op.range("a", { rangeEnd: "z", countOnly: true }),
        op.range("b"),
      ],
    });
    const [, first, past, , second, , counted, third] = response.responses;
    expect([first, past, second, third].map(rangeOf)).toEqual([["a=1"], ["a=0"], [], ["b=2"]]);
    expect(counted?.response?.value).toMatchObject({ count: 1 });
  });

  test("prev_kv and deleted inside a txn are of the moment", () => {
    session.put("a", "0");
    const response = session.txn({
      success: [op.put("a", "1", { prevKv: true }), op.del("a", "", true), op.put("a", "2", { prevKv: true })],
    });
    const [put, del, again] = response.responses.map(({ response: inner }) => inner);
    if (put?.kind !== "responsePut" || del?.kind !== "responseDeleteRange" || again?.kind !== "responsePut") {
      throw new Error("wrong kinds of responses");
    }
    expect(pairs([put.value.prevKv])).toEqual(["a=0"]);
    expect(pairs(del.value.prevKvs)).toEqual(["a=1"]);
    expect(again.value.prevKv.length).toBe(0);
    expect(session.kv("a")).toMatchObject({ createRevision: 3, version: 1 });
  });

  test("TX-11: a txn that only reads answers at the current revision, without a change being opened", () => {
    session.put("a", "1");
    const { mvcc, leases } = session.machine;
    const request = TxnRequest.create({ success: [op.range("a"), op.range("x")] });
    // As inside a change of someone else: opening another would be an assertion.
    mvcc.beginChange();
    const outcome = applyTxn(
      { mvcc, lessor: leases as Parameters<typeof applyTxn>[0]["lessor"] },
      request,
      new AnswerBytes(),
    );
    mvcc.endChange();
    expect(outcome).toMatchObject({ kind: "done", events: [], response: { header: { revision: 2 } } });
    expect(session.revision).toBe(2);
  });

  test("TX-11: planned for reading in pieces, it comes to the same; a nested txn or a write is no read", () => {
    session.put("a", "1");
    session.put("b", "2");
    const reads = { success: [op.range("a", { rangeEnd: "z", limit: 1 }), op.range("x")], failure: [op.range("b")] };
    for (const [succeeded, count] of [
      [true, 2],
      [false, 1],
    ] as const) {
      const request = TxnRequest.create({
        ...reads,
        compare: [compare("a", Target.VERSION, succeeded ? Result.EQUAL : Result.GREATER, version(1))],
      });
      expect(isReadTxn(request)).toBe(true);
      const plan = planReadTxn(session.machine.mvcc, request);
      if (plan.kind === "error") throw plan.error;
      expect([plan.succeeded, plan.ranges.length, plan.revision]).toEqual([succeeded, count, 3]);
      const values = plan.ranges.map(({ request: range, result }) =>
        pairs(result.versions.map((found) => rangeValue(session.machine.mvcc, range, found))),
      );
      expect(session.txn(request).responses.map(rangeOf)).toEqual(values);
    }
    const late = TxnRequest.create({ success: [op.range("a", { revision: 9 })] });
    expect(planReadTxn(session.machine.mvcc, late)).toEqual({ kind: "error", error: errors.futureRevision });
    expect(isReadTxn(TxnRequest.create())).toBe(true);
    for (const other of [op.put("a"), op.del("a"), op.txn({}), op.none]) {
      expect(isReadTxn(TxnRequest.create({ success: [op.range("a")], failure: [other] }))).toBe(false);
    }
  });

  test("TX-12: a write txn that changes nothing keeps the revision and has no events", () => {
    session.put("a");
    const { result, events, revision } = session.command({
      txn: TxnRequest.create({ success: [op.del("x"), op.del("y", "\0"), op.txn({ success: [op.range("a")] })] }),
    });
    expect([events.length, revision]).toEqual([0, 2]);
    expect(result).toMatchObject({ response: { header: { revision: 2 } } });
  });

  test("TX-13, G-3: one revision for all events, sub-revisions in op order", () => {
    session.put("a");
    session.put("b");
    const { events } = session.command({
      txn: TxnRequest.create({ success: [op.put("z"), op.txn({ success: [op.del("a", "c")] }), op.put("c")] }),
    });
    expect(events.map(({ type, key, revision: { main, sub } }) => `${type} ${key} ${main}.${sub}`)).toEqual([
      "put z 4.0",
      "delete a 4.1",
      "delete b 4.2",
      "put c 4.3",
    ]);
  });
});

describe("TX-7: refused whole", () => {
  beforeEach(() => {
    session.put("k", "1");
  });
  const write = op.put("first", "written?");
  const ignoring = (key: string) => op.put(key, "", { ignoreValue: true });

  test("an unknown lease, at any depth of the chosen path", () => {
    const bad = op.put("x", "", { lease: 9n });
    expect(refused({ success: [write, bad] })).toBe(errors.leaseNotFound);
    expect(refused({ success: [write, op.txn({ success: [op.txn({ success: [bad] })] })] })).toBe(errors.leaseNotFound);
    session.txn({ success: [op.put("fine")], failure: [bad] });
    session.txn({ success: [op.txn({ success: [op.put("fine2")], failure: [bad] })] });
  });

  test("ignore_value and ignore_lease on a key that is not there, or only put earlier in the same txn", () => {
    expect(refused({ success: [write, ignoring("x")] })).toBe(errors.keyNotFound);
    expect(refused({ success: [write, op.put("x", "", { ignoreLease: true })] })).toBe(errors.keyNotFound);
    expect(refused({ success: [write, op.txn({ success: [ignoring("x")] })] })).toBe(errors.keyNotFound);
    // Validation forbids the double put; a log entry may still have it.
    expect(refusedByApply({ success: [op.put("x", "1"), ignoring("x")] })).toBe(errors.keyNotFound);
  });

  test("etcd's order: the key before the lease, every put before any range", () => {
    const both = op.put("x", "", { ignoreValue: true, lease: 9n });
    expect(refused({ success: [both] })).toBe(errors.keyNotFound);
    expect(refused({ success: [op.range("k", { revision: 99 }), ignoring("x")] })).toBe(errors.keyNotFound);
    expect(refused({ success: [op.put("y", "", { lease: 9n }), ignoring("x")] })).toBe(errors.leaseNotFound);
  });

  test("TX-6: range revisions are checked against the state before, and negative ones are not the latest", () => {
    expect(refused({ success: [write, op.range("k", { revision: 3 })] })).toBe(errors.futureRevision);
    session.txn({ success: [op.range("k", { revision: -1 }), op.put("k", "2")] });
    session.answer({ compaction: CompactionRequest.create({ revision: 3 }) });
    expect(refused({ success: [write, op.range("k", { revision: 2 })] })).toBe(errors.compacted);
    expect(refused({ success: [write, op.range("k", { revision: -1 })] })).toBe(errors.compacted);
    expect(refused({ success: [write, op.txn({ success: [op.range("k", { revision: -1 })] })] })).toBe(
      errors.compacted,
    );
    expect(refused({ success: [op.range("k", { revision: -1 })] })).toBe(errors.compacted);
    expect(rangeOf(session.txn({ success: [op.put("x"), op.range("k", { revision: 3 })] }).responses[1])).toEqual([
      "k=2",
    ]);
  });

  test.each([
    ["del --from-key k, then put k", [op.del("k", "\0"), ignoring("k")]],
    ["del --from-key of a smaller key", [op.del("a", "\0"), ignoring("k")]],
    ["del of everything", [op.del("\0", "\0"), ignoring("k")]],
    ["ignore_lease", [op.del("k", "\0"), op.put("k", "v", { ignoreLease: true })]],
    ["the delete is nested", [op.txn({ success: [op.del("k", "\0")] }), ignoring("k")]],
    ["the put is nested", [op.del("k", "\0"), op.txn({ success: [op.txn({ success: [ignoring("k")] })] })]],
    ["both are nested, in siblings", [op.txn({ success: [op.del("k", "\0")] }), op.txn({ success: [ignoring("k")] })]],
    ["a second delete takes it", [op.del("l", "\0"), op.del("j", "\0"), ignoring("k")]],
  ])("a put that needs a key which the same txn has deleted before: %s", (_, ops) => {
    expect(refused({ success: [write, ...ops] })).toBe(errors.keyNotFound);
    expect(session.revision).toBe(2);
    session.put("k", "still usable");
  });

  test.each([
    ["closed range", [op.del("j", "l"), ignoring("k")]],
    ["single key", [op.del("k"), ignoring("k")]],
    ["put again in between, then deleted again", [op.del("k"), op.put("k", "2"), op.del("k"), ignoring("k")]],
    ["put before the delete", [op.put("k", "2"), op.del("a", "\0"), ignoring("k")]],
  ])("the same from a log entry that nobody validated: %s", (_, ops) => {
    expect(refusedByApply({ success: [write, ...ops] })).toBe(errors.keyNotFound);
  });

  test("the delete comes after, or leaves the key alone, or is in the branch not taken: that is fine", () => {
    session.txn({ success: [ignoring("k"), op.del("l", "\0")] });
    session.txn({ success: [op.del("l", "\0"), ignoring("k")] });
    session.txn({ success: [op.del("z", "a"), ignoring("k")] });
    session.txn({ success: [op.txn({ failure: [op.del("a", "\0")] }), ignoring("k")] });
    expect(session.kv("k")?.version).toBe(5);
    session.txn({ success: [ignoring("k"), op.del("a", "\0")] });
    expect(session.all()).toEqual([]);
  });

  test("a key that is there, deleted and put again in between is there for the put that needs it", () => {
    session.txn({ success: [op.del("k"), op.put("k", "2"), op.put("k", "", { ignoreValue: true })] });
    expect(session.all()).toEqual(["k=2"]);
    expect(session.kv("k")).toMatchObject({ createRevision: 3, version: 2 });
  });
});

describe("what validation would not let through", () => {
  test("a key put twice, empty keys, unknown numbers and empty ops have an effect or none, but never throw", () => {
    const response = session.txn({
      success: [
        op.put("a", "1"),
        op.none,
        op.put("a", "2"),
        op.put("", "empty key"),
        op.range("a", { sortOrder: 9, sortTarget: 9 }),
        op.del("a"),
        op.put("a", "3"),
      ],
    });
    expect(response.responses.length).toBe(7);
    expect(response.responses[1]?.response).toBeUndefined();
    expect(rangeOf(response.responses[4])).toEqual(["a=2"]);
    expect(session.kv("a")).toMatchObject({ createRevision: 2, modRevision: 2, version: 1 });
    expect(keys(session.range("", { rangeEnd: "\0" }).kvs)).toBe(" a");
  });

  test("... and the store is the same after a restart", async () => {
    session.txn({ success: [op.put("a", "1"), op.put("a", "2"), op.put(""), op.del("a"), op.put("a", "3")] });
    session.txn({ success: [op.put("b"), op.del("b")] });
    const before = [session.all(), session.kv("a"), session.revision];
    await session.reopen();
    expect([session.all(), session.kv("a"), session.revision]).toEqual(before);
  });

  test("txns nested as deep as validation lets through run and answer; deeper ones are no entry at all", () => {
    const nested = (levels: number): TxnRequest => {
      let request = TxnRequest.create({ success: [op.put(`level${levels}`), op.range("k")] });
      for (let i = 1; i < levels; i++) request = TxnRequest.create({ success: [op.txn(request)] });
      return request;
    };
    validateTxn(nested(400), 1_000);
    const response = session.txn(nested(400));
    expect(encode(TxnResponse, response).length).toBeGreaterThan(1_600);
    expect(session.all()).toEqual(["level400="]);
    expect(session.error({ txn: nested(600) })).toBe(errors.malformedEntry);
  });

  test("a txn of many deletes and of puts that need their keys is checked in a moment", () => {
    const count = 20_000;
    const ops = Array.from({ length: count }, (_, i) => {
      const key = String((i * 7919) % count).padStart(5, "0");
      session.put(`p${key}`);
      return [op.del(`d${key}`, `d${key}~`), op.put(`p${key}`, "", { ignoreValue: true })];
    }).flat();
    const started = performance.now();
    session.txn({ success: ops });
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(session.revision).toBe(count + 2);
  });
});
