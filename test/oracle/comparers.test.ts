/** What compares must tell apart what differs, and only that. No server is needed for this. */
import { describe, expect, test } from "vitest";
import {
  CompactionRequest,
  HashKVRequest,
  PutRequest,
  RangeRequest,
  TxnRequest,
} from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { anyOrder, chosenIds, ownFigures, repeatedProgress, secondsLeft, times } from "../e2e/etcdctl/masks.ts";
import { wireText } from "../e2e/etcdctl/wire-text.ts";
import { type Difference, differenceOf, explain, firstDifference, shrink } from "./difference.ts";
import { ending, isUnfair, KINDS, lastWords, learn, nothingKnown } from "./draw.ts";
import { abridged, CHOSEN_BY_SERVER, type Operation, type Outcome, show } from "./operation.ts";
import { withoutTies } from "./ties.ts";

const LONG = "x".repeat(60);

describe("show", () => {
  const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

  test.each<[string, unknown, unknown]>([
    ["the ends of long texts", `${LONG}a`, `${LONG}b`],
    ["the middles of long texts", `${LONG}a${LONG}`, `${LONG}b${LONG}`],
    ["the ends of long values", { value: bytes(`${LONG}a`) }, { value: bytes(`${LONG}b`) }],
    ["long values of one length", bytes(`${LONG.repeat(100)}a`), bytes(`${LONG.repeat(100)}b`)],
    ["long values", bytes(LONG.repeat(100)), bytes(`${LONG.repeat(100)}x`)],
    ["error texts", { kind: "error", message: `${LONG} compacted` }, { kind: "error", message: `${LONG} too large` }],
    ["bytes that are no text", bytes("\xff"), bytes("\xfe")],
    ["a quote and a quoted quote", '"', '\\"'],
    ["one and two", ["a", "b"], ["a, b"]],
    ["the order of a list", ["a", "b"], ["b", "a"]],
    ["a list and its element", ["a"], "a"],
    ["zeros in a list", [0], [0, 0]],
    ["an absent pair and an empty one", { prevKv: undefined }, { prevKv: {} }],
    ["fields", { more: true }, { count: 1 }],
    ["a number and a text", { TTL: 600 }, { TTL: "600" }],
    ["large ids", { ID: 2n ** 62n }, { ID: 2n ** 62n + 1n }],
  ])("tells apart: %s", (_what, one, other) => {
    expect(show(one)).not.toBe(show(other));
    expect(show({ answer: [one] })).not.toBe(show({ answer: [other] }));
  });

  test.each<[string, unknown, unknown]>([
    ["a field at its default and none", { limit: 0, key: "", keysOnly: false, kvs: [] }, {}],
    ["bytes in another buffer", bytes(LONG), new Uint8Array(bytes(LONG))],
  ])("is the same for: %s", (_what, one, other) => {
    expect(show(one)).toBe(show(other));
  });
});

describe("differenceOf", () => {
  const left = (secondsLeft: number, grantedTTL = 3_600): Outcome => {
    return { kind: "ok", revision: 1, answer: { grantedTTL }, secondsLeft };
  };
  const unknown: Outcome = { kind: "ok", revision: 1, answer: { grantedTTL: 3_600, TTL: -1 } };

  test("seconds that are left of a lease may be apart a little, what was granted not at all", () => {
    expect(differenceOf(left(3_600), left(3_596))).toBeUndefined();
    expect(differenceOf(left(3_596), left(3_600))).toBeUndefined();
    expect(differenceOf(left(3_600), left(3_590))).toBeDefined();
    expect(differenceOf(left(3_600), left(3_600, 3_601))).toBeDefined();
    expect(differenceOf(left(1), unknown)).toBeDefined();
    expect(differenceOf(unknown, left(0))).toBeDefined();
  });

  test("codes, texts, revisions and answers are compared in full", () => {
    const refused: Outcome = { kind: "error", code: 3, message: "etcdserver: key is not provided" };
    expect(differenceOf(refused, refused)).toBeUndefined();
    expect(differenceOf(refused, { ...refused, code: 5 })).toBeDefined();
    expect(differenceOf(refused, { ...refused, message: "etcdserver: key is not provides" })).toBeDefined();
    const answered: Outcome = { kind: "ok", revision: 7, answer: { count: 1 } };
    expect(differenceOf(answered, { ...answered, revision: 8 })).toBeDefined();
    expect(differenceOf(answered, { ...answered, answer: { count: 2 } })).toBeDefined();
  });
});

describe("withoutTies", () => {
  const pairs = (...versions: readonly number[]): KeyValue[] =>
    versions.map((version, i) => KeyValue.create({ key: String.fromCharCode(97 + versions.length - i), version }));
  const byVersion = RangeRequest.create({ sortTarget: 1 });
  const keys = (of: readonly unknown[]): string => of.map((pair) => (pair as KeyValue).key ?? "?").join("");

  test("of a dozen, and by key, the order is certain", () => {
    expect(keys(withoutTies(pairs(1, 1, 2), false, 12, byVersion))).toBe("dcb");
    expect(keys(withoutTies(pairs(1, 1, 2), false, 13, RangeRequest.create()))).toBe("dcb");
  });

  test("of more, those that are equal come by key", () => {
    expect(keys(withoutTies(pairs(1, 1, 2, 3, 3), false, 13, byVersion))).toBe("efdbc");
  });

  test("those that a limit cut through are counted", () => {
    expect(keys(withoutTies(pairs(1, 1, 2, 3, 3), true, 13, byVersion))).toBe("efd??");
  });
});

describe("abridged, for people", () => {
  test("short texts as they are", () => {
    expect(abridged(`${LONG}a`, `${LONG}b`)).toEqual([`${LONG}a`, `${LONG}b`]);
  });

  test.each([
    ["in the middle", `${LONG.repeat(100)}a${LONG.repeat(100)}`, `${LONG.repeat(100)}b${LONG.repeat(100)}`],
    ["one goes on", LONG.repeat(100), `${LONG.repeat(100)}b`],
    ["both end differently", `${LONG.repeat(100)}a`, `${LONG.repeat(100)}b`],
  ])("of long ones the place where they part: %s", (_what, one, other) => {
    const [a, b] = abridged(one, other);
    expect(a).not.toBe(b);
    expect(Math.max(a.length, b.length)).toBeLessThan(500);
  });
});

describe("firstDifference", () => {
  const logs = (...rows: readonly (readonly string[])[]): Map<bigint, readonly string[]> =>
    new Map(rows.map((row, id) => [BigInt(id), row]));

  test("nothing where both said the same, in whatever order the watches came", () => {
    const reversed = new Map([...logs(["created"], ["created", "put a"])].reverse());
    expect(firstDifference(logs(["created"], ["created", "put a"]), reversed)).toBeUndefined();
    expect(firstDifference(new Map(), new Map())).toBeUndefined();
  });

  test.each([
    ["another", ["created", "put a"], ["created", "put b"], "watch 1 2: put a", "put b"],
    ["one too few", ["created", "put a"], ["created"], "watch 1 2: put a", "nothing more"],
    ["one too many", ["created"], ["created", "put a"], "watch 1 2: nothing more", "put a"],
    ["twice", ["created", "put a"], ["created", "put a", "put a"], "watch 1 3: nothing more", "put a"],
    ["the end of a long one", [`${LONG}a`], [`${LONG}b`], `watch 1 1: ${LONG}a`, `${LONG}b`],
  ])("%s", (_what, theirs, ours, expected, found) => {
    expect(firstDifference(logs(["created"], theirs), logs(["created"], ours))).toEqual({ expected, found });
  });

  test("a watch that only one side has", () => {
    expect(firstDifference(logs([]), logs([], ["created"]))).toEqual({
      expected: "watch 1 1: nothing more",
      found: "created",
    });
  });
});

const put = (key: string): Operation => ({ kind: "put", member: 0, request: PutRequest.create({ key }) });
const range: Operation = { kind: "range", member: 0, request: RangeRequest.create({ key: "a" }) };
const hash: Operation = { kind: "hashKv", member: 0, request: HashKVRequest.create() };

function differing(operations: readonly Operation[], failed = false): Difference {
  return { operations, at: operations.length - 1, expected: "x", found: "y", failed };
}

describe("shrink", () => {
  const keys = (operations: readonly Operation[]): string[] =>
    operations.map((operation) => (operation.kind === "put" ? operation.request.key : operation.kind));
  const found = differing([..."abcdefgh"].map(put).concat(range));

  test("keeps only what the difference needs, and cuts off what comes after it", async () => {
    const again = async (operations: readonly Operation[]): Promise<Difference | undefined> =>
      ["c", "f", "range"].every((key) => keys(operations).includes(key)) ? differing(operations) : undefined;
    expect(keys((await shrink({ ...found }, again, 100)).operations)).toEqual(["c", "f", "range"]);
    const longer = { ...found, operations: [...found.operations, hash] };
    expect(keys((await shrink(longer, again, 100)).operations)).toEqual(["c", "f", "range"]);
  });

  test("does not end at a difference of another operation, nor at one where ours does not answer", async () => {
    const other = async (operations: readonly Operation[]) => differing([...operations.slice(0, 1), hash]);
    expect(await shrink(found, other, 100)).toEqual(found);
    expect(await shrink(found, async (operations) => differing(operations, true), 100)).toEqual(found);
  });

  test("an error leaves what was found so far", async () => {
    let tries = 0;
    const again = async (operations: readonly Operation[]): Promise<Difference> => {
      if (tries++ > 0) throw new Error("no server starts");
      return differing(operations);
    };
    expect(keys((await shrink(found, again, 100)).operations)).toEqual(["f", "g", "h", "range"]);
    const never = () => Promise.reject(new Error("no server starts"));
    expect(await shrink(found, never, 100)).toEqual(found);
    expect(explain(found).split("\n").length).toBe(found.operations.length + 2);
  });

  test("gives up after so many tries", async () => {
    let tries = 0;
    const again = async (): Promise<undefined> => {
      tries++;
      return undefined;
    };
    expect(await shrink(found, again, 5)).toEqual(found);
    expect(tries).toBe(5);
  });
});

describe("what is asked", () => {
  test("nothing that etcd cannot stand or answers by the moment, also when it is replayed", () => {
    const compact = (revision: number): Operation => {
      return { kind: "compact", member: 0, request: CompactionRequest.create({ revision }) };
    };
    const hashOf = (revision: number): Operation => {
      return { kind: "hashKv", member: 0, request: HashKVRequest.create({ revision }) };
    };
    const knowledge = { ...nothingKnown(), mixed: new Set([7]) };
    expect([0, 6, 7].map((revision) => isUnfair(knowledge, compact(revision)))).toEqual([true, false, true]);
    expect(isUnfair(knowledge, hash)).toBe(false);
    expect(isUnfair({ ...knowledge, revision: 7 }, hash)).toBe(true);
    expect([6, 7].map((revision) => isUnfair(knowledge, hashOf(revision)))).toEqual([false, true]);
    expect(isUnfair({ ...knowledge, tainted: true }, hash)).toBe(true);
    expect(isUnfair({ ...knowledge, tainted: true }, range)).toBe(false);
    expect(isUnfair({ ...knowledge, compactRevision: 3 }, compact(0))).toBe(false);
  });

  test("hashes only where keys have no lease whose id the server chose", () => {
    const knowledge = nothingKnown();
    const withLease = PutRequest.create({ key: "a", lease: CHOSEN_BY_SERVER });
    learn(knowledge, { kind: "put", member: 0, request: withLease }, { kind: "ok", revision: 2, answer: {} });
    expect(knowledge.tainted).toBe(true);
    const nested: Operation = {
      kind: "txn",
      member: 0,
      request: TxnRequest.create({
        failure: [
          {
            request: {
              kind: "requestTxn",
              value: TxnRequest.create({ success: [{ request: { kind: "requestPut", value: withLease } }] }),
            },
          },
        ],
      }),
    };
    const other = nothingKnown();
    learn(other, nested, { kind: "ok", revision: 2, answer: {} });
    expect(other.tainted).toBe(true);
  });

  test("in the end a physical compaction of all there is, every member's hashes, every stream's progress", () => {
    const last = ending({ ...nothingKnown(), revision: 41, mixed: new Set([41]) }, 3);
    const hashes = Array.from({ length: 6 }, () => "hashKv");
    expect(last.map(({ kind }) => kind)).toEqual(["put", "compact", ...hashes]);
    expect(lastWords(3).map(({ kind }) => kind)).toEqual([
      ...["watchProgress", "watchProgress", "watchProgress"],
      "settle",
    ]);
    expect(last[1]).toMatchObject({ request: { revision: 42, physical: true } });
    expect(new Set(KINDS).size).toBe(KINDS.length);
  });
});

describe("the masks of etcdctl's output", () => {
  const side = { isKnown: (id: string) => id === "8211f1d0f64f3269" };

  test.each([
    ["remaining", secondsLeft, "granted with TTL(600s), remaining(599s)", "granted with TTL(600s), remaining(597s)"],
    ["remaining, JSON", secondsLeft, '"ttl":598,"granted-ttl":600', '"ttl":600,"granted-ttl":600'],
    ["remaining, fields", secondsLeft, '"TTL" : 598\n"GrantedTTL" : 600', '"TTL" : 591\n"GrantedTTL" : 600'],
    ["a lease's id", chosenIds, "lease 694da215ddcb4003 granted", "lease 694da215ddcb4005 granted"],
    ["versions", ownFigures, '"version":"3.5.30"', '"version":"3.6.0"'],
    ["sizes", ownFigures, "x, 20 kB, false", "x, 1.5 MB, false"],
    ["durations", times, "took = 1.5ms", "took = 988.5µs"],
    ["order", anyOrder, "b\na", "a\nb"],
    ["notices", repeatedProgress, "progress notify: 7\nprogress notify: 7\n", "progress notify: 7\n"],
  ])("hide what chance decides: %s", (_what, mask, one, other) => {
    expect(mask(one, side)).toBe(mask(other, side));
  });

  test.each([
    ["granted", secondsLeft, "granted with TTL(600s), remaining(599s)", "granted with TTL(599s), remaining(599s)"],
    ["granted, JSON", secondsLeft, '"ttl":599,"granted-ttl":600', '"ttl":599,"granted-ttl":599'],
    ["granted, fields", secondsLeft, '"TTL" : 599\n"GrantedTTL" : 600', '"TTL" : 599\n"GrantedTTL" : 599'],
    ["less than is left", secondsLeft, "remaining(599s)", "remaining(499s)"],
    ["more than was granted", secondsLeft, "remaining(599s)", "remaining(601s)"],
    ["an id of the cluster", chosenIds, "8211f1d0f64f3269, started", "694da215ddcb4003, started"],
    ["a revision", chosenIds, '"revision":7', '"revision":8'],
    ["the leader", ownFigures, "3.5.30, 20 kB, true, 6", "3.5.30, 20 kB, false, 6"],
    ["the term", ownFigures, '"raftTerm":6', '"raftTerm":7'],
    ["health", times, "is healthy: took = 1ms", "is unhealthy: took = 1ms"],
    ["one more", anyOrder, "a\nb\nb", "a\nb"],
    ["the revision of a notice", repeatedProgress, "progress notify: 7\n", "progress notify: 8\n"],
    ["a repeated event", repeatedProgress, "PUT\na\n1\nPUT\na\n1\n", "PUT\na\n1\n"],
  ])("leave what does not hang on it: %s", (_what, mask, one, other) => {
    expect(mask(one, side)).not.toBe(mask(other, side));
  });
});

describe("wireText", () => {
  const of = (hex: string): string | undefined => wireText(Buffer.from(hex, "hex"));

  test("fields, nested messages, texts, bytes", () => {
    expect(of("0801")).toBe("1: 1");
    expect(of("0a020801")).toBe("1: { 1: 1 }");
    expect(of("0a0161")).toBe('1: "a"');
    expect(of("0a02ff00")).toBe("1: 0xff00");
    expect(of("")).toBe("");
  });

  test("what is no message is none", () => {
    expect(["08", "0a05", "00", "0b", "0a"].map(of)).toEqual(Array.from({ length: 5 }, () => undefined));
  });

  test.each([
    ["values", "0801", "0802"],
    ["numbers of fields", "0801", "1001"],
    ["kinds", "0801", "0a0101"],
    ["order", "08011001", "10010801"],
    ["one too many", "0801", "08010801"],
    ["large values", "08ffffffffffffffff7f", "08feffffffffffffff7f"],
    ["an empty text and none", "0a00", ""],
    ["texts", "0a0161", "0a0162"],
    ["bytes", "0a02ff00", "0a02ff01"],
    ["a text and a number", "0a0131", "0801"],
    ["what is nested", "0a020801", "0a020802"],
  ])("tells apart: %s", (_what, one, other) => {
    expect(of(one)).toBeDefined();
    expect(of(one)).not.toBe(of(other));
  });
});
