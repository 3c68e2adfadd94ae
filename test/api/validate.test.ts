import { describe, expect, test } from "vitest";
import { encode } from "../../proto/codec.ts";
import {
  AlarmRequest,
  Compare,
  InternalRaftRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
} from "../../proto/generated/etcdserverpb.ts";
import { type ApiError, errors } from "../../src/api/errors.ts";
import { validateAlarm, validateDeleteRange, validatePut, validateRange, validateTxn } from "../../src/api/validate.ts";
import { op, putRequest } from "../state/harness.ts";

function errorOf(run: () => void): ApiError | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return error as ApiError;
  }
}

function txnError(request: Partial<TxnRequest>, maxTxnOps = 128): ApiError | undefined {
  return errorOf(() => validateTxn(TxnRequest.create(request), maxTxnOps));
}

/** Where a checked op may stand. */
const places: readonly [string, (inside: RequestOp) => Partial<TxnRequest>][] = [
  ["success", (inside) => ({ success: [inside] })],
  ["failure", (inside) => ({ failure: [op.put("k"), inside] })],
  ["nested success", (inside) => ({ success: [op.txn({ success: [inside] })] })],
  ["nested failure of failure", (inside) => ({ failure: [op.txn({ failure: [op.txn({ failure: [inside] })] })] })],
];

describe("single requests", () => {
  const range = (request: Partial<RangeRequest>) =>
    errorOf(() => validateRange(RangeRequest.create({ key: "k", ...request })));

  test("G-1: an empty key is refused", () => {
    expect(range({ key: "" })).toBe(errors.emptyKey);
    expect(errorOf(() => validatePut(putRequest("")))).toBe(errors.emptyKey);
    expect(errorOf(() => validateDeleteRange({ key: "", rangeEnd: "\0", prevKv: false }))).toBe(errors.emptyKey);
    expect(range({})).toBeUndefined();
    expect(range({ key: "\0", rangeEnd: "\0" })).toBeUndefined();
  });

  test("R-11: sort enums must be known numbers; the key is looked at first", () => {
    for (const sortOrder of [0, 1, 2]) {
      for (const sortTarget of [0, 1, 2, 3, 4]) expect(range({ sortOrder, sortTarget })).toBeUndefined();
    }
    for (const bad of [-1, 3, 2 ** 31 - 1]) expect(range({ sortOrder: bad })).toBe(errors.invalidSortOption);
    for (const bad of [-1, 5, 2 ** 31 - 1]) expect(range({ sortTarget: bad })).toBe(errors.invalidSortOption);
    expect(range({ key: "", sortOrder: 9 })).toBe(errors.emptyKey);
  });

  test("P-2: what is ignored must not be given; the value is looked at before the lease", () => {
    expect(errorOf(() => validatePut(putRequest("k", "v", { ignoreValue: true })))).toBe(errors.valueProvided);
    expect(errorOf(() => validatePut(putRequest("k", "v", { ignoreLease: true, lease: 1n })))).toBe(
      errors.leaseProvided,
    );
    expect(errorOf(() => validatePut(putRequest("k", "v", { ignoreValue: true, ignoreLease: true, lease: 1n })))).toBe(
      errors.valueProvided,
    );
    expect(errorOf(() => validatePut(putRequest("k", "", { ignoreValue: true, ignoreLease: true })))).toBeUndefined();
    expect(errorOf(() => validatePut(putRequest("k", "", { ignoreValue: true, lease: -1n })))).toBeUndefined();
  });

  test("N-10: an alarm action must be known", () => {
    for (const action of [0, 1, 2])
      expect(errorOf(() => validateAlarm(AlarmRequest.create({ action })))).toBeUndefined();
    for (const action of [-1, 3]) {
      expect(errorOf(() => validateAlarm(AlarmRequest.create({ action })))).toBe(errors.unknownAlarmAction);
    }
  });
});

describe("TX-8: both branches, at any depth", () => {
  test.each(places)("%s: every op is checked", (_, place) => {
    expect(txnError(place(op.put("")))).toBe(errors.emptyKey);
    expect(txnError(place(op.del("")))).toBe(errors.emptyKey);
    expect(txnError(place(op.range("")))).toBe(errors.emptyKey);
    expect(txnError(place(op.range("x", { sortOrder: 7 })))).toBe(errors.invalidSortOption);
    expect(txnError(place(op.put("x", "v", { ignoreValue: true })))).toBe(errors.valueProvided);
    expect(txnError(place(op.put("x", "", { ignoreLease: true, lease: 3n })))).toBe(errors.leaseProvided);
    expect(txnError(place(op.none))).toBe(errors.keyNotFound);
    expect(txnError(place(op.put("x", "v")))).toBeUndefined();
  });

  test("a compare needs a key, also inside", () => {
    const compare = [Compare.create()];
    expect(txnError({ compare })).toBe(errors.emptyKey);
    expect(txnError({ failure: [op.txn({ compare })] })).toBe(errors.emptyKey);
  });

  test("TX-5: unknown compare numbers are let through", () => {
    expect(txnError({ compare: [Compare.create({ key: "k", result: 9, target: 9 })] })).toBeUndefined();
  });

  test("order: size, compares, success, failure, then duplicates", () => {
    const duplicate = [op.put("a"), op.put("a")];
    expect(txnError({ compare: [Compare.create()], success: [op.none], failure: duplicate })).toBe(errors.emptyKey);
    expect(txnError({ success: [op.none], failure: [op.put("")] })).toBe(errors.keyNotFound);
    expect(txnError({ success: duplicate, failure: [op.put("")] })).toBe(errors.emptyKey);
    expect(txnError({ success: duplicate })).toBe(errors.duplicateKey);
    expect(txnError({ compare: [Compare.create(), Compare.create()], success: [op.none] }, 1)).toBe(errors.tooManyOps);
  });

  test("an empty txn is fine", () => {
    expect(txnError({})).toBeUndefined();
    expect(txnError({}, 0)).toBeUndefined();
  });
});

describe("TX-10: the op limit", () => {
  const puts = (count: number, from = 0) => Array.from({ length: count }, (_, i) => op.put(`key${from + i}`));
  const compares = (count: number) => Array.from({ length: count }, () => Compare.create({ key: "k" }));

  test("the longest of the three lists counts", () => {
    expect(txnError({ compare: compares(128), success: puts(128), failure: puts(128) })).toBeUndefined();
    expect(txnError({ compare: compares(129) })).toBe(errors.tooManyOps);
    expect(txnError({ success: puts(129) })).toBe(errors.tooManyOps);
    expect(txnError({ failure: puts(129) })).toBe(errors.tooManyOps);
    expect(txnError({ success: puts(129) }, 129)).toBeUndefined();
  });

  test("an inner txn has what the level around it leaves: 1 and 127 pass, 1 and 128 do not", () => {
    expect(txnError({ success: [op.txn({ success: puts(127) })] })).toBeUndefined();
    expect(txnError({ success: [op.txn({ success: puts(128) })] })).toBe(errors.tooManyOps);
    expect(txnError({ failure: [op.txn({ compare: compares(128) })] })).toBe(errors.tooManyOps);
    expect(txnError({ compare: compares(100), success: [op.txn({ success: puts(29) })] })).toBe(errors.tooManyOps);
  });

  test("each sibling has the whole rest", () => {
    const siblings = [op.txn({ success: puts(126) }), op.txn({ success: puts(126, 126) })];
    expect(txnError({ success: siblings })).toBeUndefined();
  });
});

describe("TX-9: duplicates", () => {
  const dup = (...success: RequestOp[]) => {
    const inSuccess = txnError({ success });
    expect(txnError({ failure: success })).toBe(inSuccess);
    expect(txnError({ success: [op.txn({ failure: success })] })).toBe(inSuccess);
    return inSuccess === errors.duplicateKey;
  };

  test("one key put twice at one level", () => {
    expect(dup(op.put("a"), op.put("a"))).toBe(true);
    expect(dup(op.put("a"), op.put("b"))).toBe(false);
  });

  test("a put inside a delete, in either order", () => {
    expect(dup(op.put("a"), op.del("a"))).toBe(true);
    expect(dup(op.del("a"), op.put("a"))).toBe(true);
    expect(dup(op.del("a", "c"), op.put("b"))).toBe(true);
    expect(dup(op.del("a", "c"), op.put("a"))).toBe(true);
    expect(dup(op.del("a", "c"), op.put("c"))).toBe(false);
    expect(dup(op.del("b"), op.put("b\0"))).toBe(false);
    expect(dup(op.del("c", "a"), op.put("b"))).toBe(false);
  });

  test("deletes may overlap, and a range may overlap anything", () => {
    expect(dup(op.del("a", "z"), op.del("b"), op.del("b", "c"))).toBe(false);
    expect(dup(op.range("a", { rangeEnd: "z" }), op.put("b"), op.range("b"), op.del("x", "z"))).toBe(false);
  });

  test("a nested put against this level's puts and deletes", () => {
    expect(dup(op.put("a"), op.txn({ success: [op.put("a")] }))).toBe(true);
    expect(dup(op.put("a"), op.txn({ failure: [op.put("a")] }))).toBe(true);
    expect(dup(op.del("a", "c"), op.txn({ failure: [op.put("b")] }))).toBe(true);
    expect(dup(op.txn({ success: [op.put("b")] }), op.del("a", "c"))).toBe(true);
    expect(dup(op.put("b"), op.txn({ success: [op.del("a", "c")] }))).toBe(true);
    expect(dup(op.put("b"), op.txn({ failure: [op.txn({ success: [op.del("a", "c")] })] }))).toBe(true);
  });

  test("the two sides of one nested txn may share keys, two nested txns may not", () => {
    expect(dup(op.txn({ success: [op.put("a")], failure: [op.put("a")] }))).toBe(false);
    expect(dup(op.txn({ success: [op.put("a")], failure: [op.del("a")] }))).toBe(false);
    expect(dup(op.txn({ success: [op.put("a")] }), op.txn({ success: [op.put("a")] }))).toBe(true);
    expect(dup(op.txn({ success: [op.put("a")] }), op.txn({ failure: [op.put("a")] }))).toBe(true);
    const both = op.txn({ success: [op.put("a")], failure: [op.put("a")] });
    expect(dup(both, op.put("a"))).toBe(true);
  });

  test("order quirk: sibling put, then sibling delete passes; the delete first does not", () => {
    const put = op.txn({ success: [op.put("a")] });
    const del = op.txn({ success: [op.del("a")] });
    expect(dup(put, del)).toBe(false);
    expect(dup(del, put)).toBe(true);
    const delEither = op.txn({ failure: [op.del("a", "b")] });
    expect(dup(put, delEither)).toBe(false);
    expect(dup(delEither, put)).toBe(true);
  });

  test("the two branches of the outermost txn are independent", () => {
    expect(txnError({ success: [op.put("a")], failure: [op.put("a"), op.del("b")] })).toBeUndefined();
  });

  test("an open-ended delete conflicts with no put", () => {
    expect(dup(op.del("a", "\0"), op.put("b"))).toBe(false);
    expect(dup(op.del("\0", "\0"), op.put("b"))).toBe(false);
    expect(dup(op.txn({ success: [op.del("a", "\0")] }), op.put("b"))).toBe(false);
  });
});

describe("hostile shapes", () => {
  function nested(levels: number): TxnRequest {
    let request = TxnRequest.create({ success: [op.put("k")] });
    for (let i = 1; i < levels; i++) request = TxnRequest.create({ success: [op.txn(request)] });
    return request;
  }

  test("what is accepted at the deepest can be encoded as a command of the log; deeper is too many operations", () => {
    expect(errorOf(() => validateTxn(nested(400), 1_000_000))).toBeUndefined();
    expect(errorOf(() => validateTxn(nested(401), 1_000_000))).toBe(errors.tooManyOps);
    expect(encode(InternalRaftRequest, InternalRaftRequest.create({ txn: nested(400) })).length).toBeGreaterThan(800);
  });

  test("a hundred thousand deletes and puts, in the worst orders, are checked in a moment", () => {
    const started = performance.now();
    const count = 50_000;
    const name = (i: number) => String((i * 7919) % count).padStart(6, "0");
    const flat = Array.from({ length: count }, (_, i) => [op.del(`d${name(i)}`), op.put(`p${name(i)}`)]).flat();
    expect(txnError({ success: flat }, 1_000_000)).toBeUndefined();
    expect(txnError({ success: [...flat, op.put(`d${name(5)}`)] }, 1_000_000)).toBe(errors.duplicateKey);
    // Every inner put is checked against the deletes of all inner txns before it.
    const siblings = flat.map((inner) => op.txn({ success: [inner] }));
    expect(txnError({ success: siblings }, 1_000_000)).toBeUndefined();
    expect(performance.now() - started).toBeLessThan(15_000);
  });
});
