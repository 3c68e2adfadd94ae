import { beforeAll, describe, expect, test } from "vitest";
import { decode } from "../../proto/codec.ts";
import {
  CompactionRequest,
  RangeRequestSortOrder as Order,
  RangeRequest,
  RangeRequestSortTarget as Target,
} from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { errors } from "../../src/api/errors.ts";
import { rangeValue, rangeVersions } from "../../src/state/range.ts";
import type { Mvcc } from "../../storage/mvcc/mvcc.ts";
import { keys, pairs, Session, text } from "./harness.ts";

/** Revisions: a 2, b 3, c 4, a 5, "b" deleted 6, "b" again 7, d 8, c 9. */
async function store(): Promise<Session> {
  const session = await Session.open();
  session.put("a", "9");
  session.put("b", "5");
  session.put("c", "1");
  session.put("a", "7");
  session.delete("b");
  session.put("b", "5");
  session.put("d", "8");
  session.put("c", "3");
  return session;
}

describe("Range", () => {
  let session: Session;
  beforeAll(async () => {
    session = await store();
  });
  const everything = { rangeEnd: "\0" };
  const all = (options: Partial<RangeRequest> = {}) => session.range("a", { ...everything, ...options });

  test("R-1: single key, half-open range, open end, everything", () => {
    expect(pairs(session.range("a").kvs)).toEqual(["a=7"]);
    expect(keys(session.range("a", { rangeEnd: "c" }).kvs)).toBe("a b");
    expect(keys(session.range("b", everything).kvs)).toBe("b c d");
    expect(keys(session.range("\0", everything).kvs)).toBe("a b c d");
    expect(session.range("aa").count).toBe(0);
  });

  test("R-2: key >= range_end is empty and fine", () => {
    for (const [key, rangeEnd] of [
      ["c", "a"],
      ["b", "b"],
      ["d", "a"],
    ] as const) {
      const { kvs, count, more } = session.range(key, { rangeEnd, limit: 1 });
      expect({ kvs, count, more }).toEqual({ kvs: [], count: 0, more: false });
    }
  });

  test("R-3: bytes compare unsigned", async () => {
    const bytes = await Session.open();
    for (const key of ["\xff", "a", "\x80", "a\0", "\x7f"]) bytes.put(key);
    expect(bytes.all()).toEqual(["a=", "a\0=", "\x7f=", "\x80=", "\xff="]);
    expect(keys(bytes.range("a", { rangeEnd: "\x80" }).kvs)).toBe("a a\0 \x7f");
  });

  test("R-4: at a revision; <= 0 is the latest; beyond the current one is an error", () => {
    expect(pairs(all({ revision: 4 }).kvs)).toEqual(["a=9", "b=5", "c=1"]);
    expect(pairs(all({ revision: 6 }).kvs)).toEqual(["a=7", "c=1"]);
    expect(pairs(all({ revision: -3 }).kvs)).toEqual(["a=7", "b=5", "c=3", "d=8"]);
    expect(keys(all({ revision: 9 }).kvs)).toBe("a b c d");
    expect(all({ revision: 1 }).count).toBe(0);
    expect(() => all({ revision: 10 })).toThrow(errors.futureRevision);
    expect(() => all({ revision: 10, countOnly: true })).toThrow(errors.futureRevision);
  });

  test("R-4: below the compact revision is an error, the compact revision itself is not", async () => {
    const compacted = await store();
    compacted.answer({ compaction: CompactionRequest.create({ revision: 6 }) });
    expect(() => compacted.range("a", { revision: 5 })).toThrow(errors.compacted);
    expect(() => compacted.range("a", { revision: 5, countOnly: true })).toThrow(errors.compacted);
    expect(pairs(compacted.range("a", { revision: 6, ...everything }).kvs)).toEqual(["a=7", "c=1"]);
    expect(() => compacted.range("a", { revision: 10 })).toThrow(errors.futureRevision);
  });

  test("H-2: the header has the current revision, not the one asked for", () => {
    expect(all({ revision: 3 }).header?.revision).toBe(9);
    expect(session.range("nothing").header?.revision).toBe(9);
  });

  test("R-5: limit, more, and a count that ignores both limit and filters", () => {
    for (const [limit, found, more] of [
      [1, "a", true],
      [3, "a b c", true],
      [4, "a b c d", false],
      [5, "a b c d", false],
      [0, "a b c d", false],
      [-1, "a b c d", false],
    ] as const) {
      const response = all({ limit });
      expect([keys(response.kvs), response.more, response.count], `limit ${limit}`).toEqual([found, more, 4]);
    }
    const filtered = all({ limit: 1, minModRevision: 7 });
    expect([keys(filtered.kvs), filtered.more, filtered.count]).toEqual(["b", true, 4]);
    const last = all({ limit: 1, minModRevision: 9 });
    expect([keys(last.kvs), last.more, last.count]).toEqual(["c", false, 4]);
    expect(all({ limit: 2, revision: 6 })).toMatchObject({ more: false, count: 2 });
  });

  test("R-6: filters are inclusive, 0 is off, and they combine", () => {
    const found = (options: Partial<RangeRequest>) => keys(all(options).kvs);
    expect(found({ minModRevision: 7 })).toBe("b c d");
    expect(found({ maxModRevision: 7 })).toBe("a b");
    expect(found({ minModRevision: 7, maxModRevision: 8 })).toBe("b d");
    expect(found({ minCreateRevision: 4 })).toBe("b c d");
    expect(found({ maxCreateRevision: 4 })).toBe("a c");
    expect(found({ maxCreateRevision: 4, minModRevision: 9 })).toBe("c");
    expect(found({ minModRevision: -5 })).toBe("a b c d");
    expect(found({ maxModRevision: -5 })).toBe("");
  });

  test("R-6: filters and sort come before the limit", () => {
    const found = (options: Partial<RangeRequest>) => keys(all({ sortOrder: Order.DESCEND, ...options }).kvs);
    expect(found({ limit: 2 })).toBe("d c");
    expect(found({ limit: 1, sortTarget: Target.CREATE })).toBe("d");
    expect(found({ limit: 1, sortTarget: Target.CREATE, maxModRevision: 7 })).toBe("b");
    expect(found({ limit: 1, sortTarget: Target.VALUE, sortOrder: Order.ASCEND })).toBe("c");
    expect(all({ limit: 2, sortOrder: Order.DESCEND, minModRevision: 8 }).more).toBe(false);
  });

  test("R-7: a target without an order sorts the first pairs only, one more than the limit, as etcd does", () => {
    const first = { sortTarget: Target.VALUE, sortOrder: Order.NONE, limit: 1 };
    expect(all(first)).toMatchObject({ more: true, count: 4 });
    expect(keys(all(first).kvs)).toBe("b");
    expect(keys(all({ ...first, limit: 3 }).kvs)).toBe("c b a");
    expect(keys(all({ ...first, sortTarget: Target.MOD }).kvs)).toBe("a");
    // A filter has all of them looked at.
    expect(keys(all({ ...first, minModRevision: 1 }).kvs)).toBe("c");
  });

  test("R-7: order by key, version, create, mod, value; NONE sorts ascending for all but the key", () => {
    const expected: [number, string][] = [
      [Target.KEY, "a b c d"],
      [Target.CREATE, "a c b d"],
      [Target.MOD, "a b d c"],
      [Target.VALUE, "c b a d"],
    ];
    for (const [sortTarget, ascending] of expected) {
      const found = (sortOrder: number) => keys(all({ sortTarget, sortOrder }).kvs);
      expect(found(Order.ASCEND)).toBe(ascending);
      expect(found(Order.NONE)).toBe(ascending);
      expect(found(Order.DESCEND)).toBe(ascending.split(" ").reverse().join(" "));
    }
    const versions = (sortOrder: number) =>
      all({ sortTarget: Target.VERSION, sortOrder }).kvs.map((kv) => {
        const { key, version } = decode(KeyValue, kv);
        return `${key}${version}`;
      });
    // Ties stay in the order of the keys, as etcd leaves them.
    expect(versions(Order.ASCEND)).toEqual(["b1", "d1", "a2", "c2"]);
    expect(versions(Order.DESCEND)).toEqual(["a2", "c2", "b1", "d1"]);
  });

  test("R-8: count_only has no pairs and no more, whatever the limit and filters", () => {
    const { kvs, more, count } = all({ countOnly: true, limit: 1, minModRevision: 100 });
    expect({ kvs, more, count }).toEqual({ kvs: [], more: false, count: 4 });
    expect(all({ countOnly: true, revision: 6 }).count).toBe(2);
    expect(session.range("b", { countOnly: true, revision: 6 }).count).toBe(0);
  });

  test("R-8: keys_only clears the value and keeps the rest", async () => {
    const leased = await Session.open();
    leased.grant(7n);
    leased.put("k", "old");
    leased.put("k", "value", { lease: 7n });
    const [kv] = leased.range("k", { keysOnly: true }).kvs.map((bytes) => decode(KeyValue, bytes));
    expect(kv).toMatchObject({ key: "k", createRevision: 2, modRevision: 3, version: 2, lease: 7n });
    expect(kv?.value.length).toBe(0);
    expect(text(leased.kv("k")?.value ?? new Uint8Array())).toBe("value");
    const byValue = all({ keysOnly: true, sortTarget: Target.VALUE, sortOrder: Order.DESCEND });
    expect(keys(byValue.kvs)).toBe("d a b c");
  });

  test("R-9: sorting and filtering look at every key of the range, a mere limit at one more than it gives", () => {
    const { mvcc } = session.machine;
    const looked = (options: Partial<RangeRequest>): number => {
      let keysSeen = 0;
      const counting: Pick<Mvcc, "currentRevision" | "compactRevision" | "countSlice" | "visit"> = {
        currentRevision: mvcc.currentRevision,
        compactRevision: mvcc.compactRevision,
        countSlice: (...slice) => mvcc.countSlice(...slice),
        visit: (key, end, revision, visitor) =>
          mvcc.visit(key, end, revision, (version) => {
            keysSeen++;
            return visitor(version);
          }),
      };
      rangeVersions(counting as Mvcc, RangeRequest.create({ key: "a", ...everything, limit: 1, ...options }));
      return keysSeen;
    };
    expect([looked({}), looked({ limit: 0 }), looked({ countOnly: true })]).toEqual([2, 4, 0]);
    expect(looked({ sortTarget: Target.MOD, sortOrder: Order.ASCEND })).toBe(4);
    // Without an order, the first pairs only.
    expect(looked({ sortTarget: Target.MOD })).toBe(3);
    expect(looked({ sortOrder: Order.DESCEND })).toBe(4);
    expect(looked({ minModRevision: 1 })).toBe(4);
  });

  test("versions and values apart come to the same as both at once", () => {
    const request = RangeRequest.create({ key: "a", rangeEnd: "\0", limit: 3, keysOnly: true });
    const outcome = rangeVersions(session.machine.mvcc, request);
    if (outcome.kind === "error") throw outcome.error;
    const { kvs, count, more } = session.range("a", request);
    expect(outcome).toMatchObject({ count, more, revision: 9 });
    expect(outcome.versions.map((version) => rangeValue(session.machine.mvcc, request, version))).toEqual(kvs);
  });
});
