import { beforeEach, describe, expect, test } from "vitest";
import { decode, encode } from "../../proto/codec.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { createMemoryBackend, type MemoryBackend } from "../../storage/memory-backend.ts";
import type { KeyEvent, Mvcc } from "../../storage/mvcc/mvcc.ts";
import { createMvccRestore } from "../../storage/mvcc/store.ts";
import { restoreMvcc } from "../../storage/mvcc-walk.ts";
import {
  decodeRevision,
  encodeRevision,
  FINISHED_COMPACT_REVISION,
  revisionKey,
  SCHEDULED_COMPACT_REVISION,
  tombstoneKey,
} from "../../storage/schema.ts";

let backend: MemoryBackend;
let mvcc: Mvcc;

beforeEach(() => {
  backend = createMemoryBackend();
  mvcc = createMvccRestore(backend).finish().mvcc;
});

function put(key: string, value: string, lease = 0n): readonly KeyEvent[] {
  mvcc.beginChange();
  mvcc.put(key, Buffer.from(value), lease);
  return mvcc.endChange().events;
}

function del(key: string, end = ""): readonly KeyEvent[] {
  mvcc.beginChange();
  mvcc.deleteRange(key, end);
  return mvcc.endChange().events;
}

function compactFully(revision: number): void {
  mvcc.compact(revision);
  while (!mvcc.compactSlice(100));
}

function keys(key: string, end: string, revision = mvcc.currentRevision): string[] {
  const found: string[] = [];
  mvcc.visit(key, end, revision, (version) => found.push(version.key) > 0);
  return found;
}

function at(key: string, revision: number): KeyValue | undefined {
  const version = mvcc.get(key, revision);
  if (version === undefined) return undefined;
  const kv = decode(KeyValue, mvcc.value(version));
  expect(kv).toMatchObject({
    key,
    modRevision: version.mod.main,
    createRevision: version.createRevision,
    version: version.version,
  });
  return kv;
}

/** Rows that the backend holds for revisions up to the current one, as "main.sub" with t for tombstones. */
function storedRows(): string[] {
  const rows: string[] = [];
  for (let main = 0; main <= mvcc.currentRevision; main++) {
    for (let sub = 0; sub < 10; sub++) {
      if (backend.get("key", revisionKey(main, sub)) !== undefined) rows.push(`${main}.${sub}`);
      if (backend.get("key", tombstoneKey(main, sub)) !== undefined) rows.push(`${main}.${sub}t`);
    }
  }
  return rows;
}

function describeEvents(events: readonly KeyEvent[]): string[] {
  return events.map(({ type, key, revision: { main, sub } }) => `${main}.${sub} ${type} ${key}`);
}

async function restart(): Promise<ReadonlyMap<string, bigint>> {
  await backend.flush();
  backend = backend.crash();
  const restored = await restoreMvcc(backend);
  mvcc = restored.mvcc;
  return restored.leased;
}

describe("changes", () => {
  test("G-2: an empty store is at revision 1, the first change gets 2", () => {
    expect(mvcc.currentRevision).toBe(1);
    expect(mvcc.compactRevision).toBe(-1);
    put("a", "1");
    expect(mvcc.currentRevision).toBe(2);
  });

  test("V-2: the stored pair, byte for byte", () => {
    mvcc.beginChange();
    const stored = mvcc.put("a", Buffer.from("1"), 0n);
    const { events } = mvcc.endChange();
    expect(Buffer.from(stored).toString("hex")).toBe("0a01611002180220012a0131");
    const row = backend.get("key", Buffer.from("00000000000000025f0000000000000000", "hex").toString("latin1"));
    expect(row).toEqual(stored);
    expect(events).toEqual([{ type: "put", key: "a", revision: { main: 2, sub: 0 }, kv: stored }]);
  });

  test("G-3: subs count changes in execution order, deletes go in key order", () => {
    for (const key of ["b", "a", "c"]) put(key, "");
    mvcc.beginChange();
    mvcc.put("x", Buffer.from(""), 0n);
    expect(mvcc.deleteRange("a", "c")).toEqual(["a", "b"]);
    mvcc.put("y", Buffer.from(""), 0n);
    const { revision, events } = mvcc.endChange();
    expect(revision).toBe(5);
    expect(describeEvents(events)).toEqual(["5.0 put x", "5.1 delete a", "5.2 delete b", "5.3 put y"]);
  });

  test("G-4: create_revision is kept while the key lives, version counts its puts", () => {
    put("a", "1");
    put("a", "2", 7n);
    expect(at("a", 3)).toMatchObject({ createRevision: 2, modRevision: 3, version: 2, lease: 7n });
    del("a");
    put("a", "3");
    expect(at("a", 5)).toMatchObject({ createRevision: 5, modRevision: 5, version: 1, lease: 0n });
    expect(at("a", 2)).toMatchObject({ createRevision: 2, version: 1 });
    expect(at("a", 4)).toBeUndefined();
  });

  test("P-4: an empty value and an identical one make revisions", () => {
    put("a", "");
    expect(put("a", "")).toHaveLength(1);
    expect(mvcc.currentRevision).toBe(3);
    expect(at("a", 3)).toMatchObject({ version: 2, value: Buffer.alloc(0) });
  });

  test("D-1, TX-12: what changes nothing makes no revision and no events", () => {
    expect(del("a", "\0")).toEqual([]);
    mvcc.beginChange();
    expect(mvcc.endChange()).toEqual({ revision: 1, events: [] });
    put("a", "");
    del("a");
    expect(del("a")).toEqual([]);
    expect(mvcc.currentRevision).toBe(3);
  });

  test("D-2, W-9: a tombstone row has only the key, its event also mod_revision", () => {
    put("a", "1", 5n);
    const [event] = del("a");
    expect(event?.kv).toEqual(encode(KeyValue, KeyValue.create({ key: "a", modRevision: 3 })));
    expect(backend.get("key", tombstoneKey(3, 0))).toEqual(encode(KeyValue, KeyValue.create({ key: "a" })));
  });

  test("TX-6: inside a change the next revision shows what it did, the current one what was before", () => {
    put("a", "old");
    mvcc.beginChange();
    mvcc.put("a", Buffer.from("new"), 0n);
    mvcc.put("b", Buffer.from("new"), 0n);
    expect(keys("a", "\0", 3)).toEqual(["a", "b"]);
    expect(keys("a", "\0", 2)).toEqual(["a"]);
    expect(at("a", 3)?.version).toBe(2);
    expect(at("a", 2)?.version).toBe(1);
    mvcc.deleteRange("b", "");
    expect(keys("a", "\0", 3)).toEqual(["a"]);
    expect(mvcc.count("a", "\0", 3)).toBe(1);
    mvcc.endChange();
  });

  test("TX-9: a key put and deleted in one change was never there", () => {
    mvcc.beginChange();
    mvcc.put("a", Buffer.from("1"), 0n);
    mvcc.deleteRange("a", "");
    const { events } = mvcc.endChange();
    expect(describeEvents(events)).toEqual(["2.0 put a", "2.1 delete a"]);
    expect(mvcc.get("a", 2)).toBeUndefined();
    expect(mvcc.keyCount).toBe(0);
  });

  test("writing outside a change, or opening two, is a bug", () => {
    expect(() => mvcc.put("a", Buffer.from(""), 0n)).toThrow("outside a change");
    expect(() => mvcc.deleteRange("a", "")).toThrow("outside a change");
    expect(() => mvcc.endChange()).toThrow("outside a change");
    mvcc.beginChange();
    expect(() => mvcc.beginChange()).toThrow("inside another one");
  });
});

describe("ranges", () => {
  beforeEach(() => {
    for (const key of ["a", "a\0", "ab", "b", "\x80", "\xff", "\xff\xff"]) put(key, key);
  });

  test("R-1, R-3: single key, half-open range, everything from a key on", () => {
    expect(keys("a", "")).toEqual(["a"]);
    expect(keys("a", "b")).toEqual(["a", "a\0", "ab"]);
    expect(keys("b", "\0")).toEqual(["b", "\x80", "\xff", "\xff\xff"]);
    expect(keys("\0", "\0")).toHaveLength(7);
    expect(keys("\xff", "\0")).toEqual(["\xff", "\xff\xff"]);
  });

  test("R-2: an inverted or empty range has nothing", () => {
    expect(keys("b", "a")).toEqual([]);
    expect(keys("b", "b")).toEqual([]);
    expect(mvcc.count("b", "a", 8)).toBe(0);
  });

  test("R-4: a range at an old revision", () => {
    del("a", "b");
    expect(keys("a", "c", 8)).toEqual(["a", "a\0", "ab", "b"]);
    expect(keys("a", "c", 3)).toEqual(["a", "a\0"]);
    expect(keys("a", "c", 9)).toEqual(["b"]);
    expect(mvcc.count("a", "c", 9)).toBe(1);
    expect(mvcc.count("a", "c", 3)).toBe(2);
    expect(mvcc.count("a", "", 9)).toBe(0);
  });

  test("R-5: a visitor stops the walk", () => {
    const seen: string[] = [];
    mvcc.visit("a", "\0", 8, ({ key }) => seen.push(key) < 2);
    expect(seen).toEqual(["a", "a\0"]);
  });

  test("keyCount counts live keys", async () => {
    expect(mvcc.keyCount).toBe(7);
    del("a", "b");
    put("a", "again");
    expect(mvcc.keyCount).toBe(5);
    await restart();
    expect(mvcc.keyCount).toBe(5);
  });
});

describe("history", () => {
  beforeEach(() => {
    put("a", "1");
    put("b", "1");
    mvcc.beginChange();
    mvcc.put("c", Buffer.from("1"), 0n);
    mvcc.deleteRange("a", "c");
    mvcc.put("d", Buffer.from("1"), 0n);
    mvcc.endChange();
    put("d", "2");
  });

  const whole = ["2.0 put a", "3.0 put b", "4.0 put c", "4.1 delete a", "4.2 delete b", "4.3 put d", "5.0 put d"];

  test.each([false, true])(
    "W-7: all events, in order, as they were published (after restart: %s)",
    async (restarted) => {
      if (restarted) await restart();
      const { events, next } = mvcc.history(1, 5, 1_000, 1_000_000);
      expect(describeEvents(events)).toEqual(whole);
      expect(next).toBe(6);
      expect(events[3]?.kv).toEqual(encode(KeyValue, KeyValue.create({ key: "a", modRevision: 4 })));
      expect(decode(KeyValue, events[6]?.kv as Uint8Array)).toMatchObject({ key: "d", version: 2, createRevision: 4 });
    },
  );

  test("W-7: slices hold whole revisions, at least one", () => {
    const first = mvcc.history(2, 5, 2, 1_000_000);
    expect(describeEvents(first.events)).toEqual(whole.slice(0, 2));
    expect(first.next).toBe(4);
    const second = mvcc.history(4, 5, 1_000, 1);
    expect(describeEvents(second.events)).toEqual(whole.slice(2, 6));
    expect(second.next).toBe(5);
    expect(mvcc.history(3, 3, 10, 1_000_000).next).toBe(4);
    expect(mvcc.history(6, 5, 10, 1_000_000)).toEqual({ events: [], next: 6 });
  });

  test("W-6: from exactly the compact revision on is served, below is a bug", () => {
    compactFully(4);
    expect(describeEvents(mvcc.history(4, 5, 10, 1_000_000).events)).toEqual(whole.slice(2));
    expect(() => mvcc.history(3, 5, 10, 1_000_000)).toThrow("compacted");
    expect(() => mvcc.history(4, 6, 10, 1_000_000)).toThrow("beyond");
  });

  test.each([false, true])(
    "W-6: a put and delete in one change, compacted to it (after restart: %s)",
    async (restarted) => {
      mvcc.beginChange();
      mvcc.put("x", Buffer.from("1"), 0n);
      mvcc.put("y", Buffer.from("1"), 0n);
      mvcc.deleteRange("x", "z");
      mvcc.put("z", Buffer.from("1"), 0n);
      mvcc.endChange();
      compactFully(6);
      expect(storedRows().filter((row) => row.startsWith("6"))).toEqual(["6.2t", "6.3t", "6.4"]);
      if (restarted) await restart();
      const { events } = mvcc.history(6, 6, 10, 1_000_000);
      expect(describeEvents(events)).toEqual(["6.2 delete x", "6.3 delete y", "6.4 put z"]);
    },
  );

  test("revisions older than the recent ones are found by probing", () => {
    for (let i = 0; i < 20_000; i++) put("hot", `${i}`);
    expect(describeEvents(mvcc.history(2, 5, 10, 1_000_000).events)).toEqual(whole);
  });

  test("W-8: the pair before an event", () => {
    const { events } = mvcc.history(2, 5, 10, 1_000_000);
    const pairBefore = (i: number) => {
      const kv = mvcc.previous(events[i] as KeyEvent);
      return kv && decode(KeyValue, kv);
    };
    expect(pairBefore(0)).toBeUndefined();
    expect(pairBefore(3)).toMatchObject({ key: "a", modRevision: 2 });
    expect(pairBefore(5)).toBeUndefined();
    expect(pairBefore(6)).toMatchObject({ key: "d", modRevision: 4 });
    mvcc.compact(4);
    expect(pairBefore(3)).toBeUndefined();
    expect(pairBefore(6)).toMatchObject({ key: "d", modRevision: 4 });
  });
});

describe("the pair before an event", () => {
  test("W-8: none for a put that creates, though the same change deleted the key", () => {
    put("a", "1");
    mvcc.beginChange();
    mvcc.deleteRange("a", "");
    mvcc.put("a", Buffer.from("2"), 0n);
    mvcc.put("a", Buffer.from("3"), 0n);
    mvcc.endChange();
    const { events } = mvcc.history(3, 3, 10, 1_000_000);
    expect(describeEvents(events)).toEqual(["3.0 delete a", "3.1 put a", "3.2 put a"]);
    const before = events.map((event) => mvcc.previous(event));
    expect(before.map((kv) => kv && decode(KeyValue, kv).modRevision)).toEqual([2, undefined, undefined]);
  });
});

describe("compaction", () => {
  test("C-2: keeps the newest version of each key and whatever is newer than the revision", () => {
    put("a", "1");
    put("a", "2");
    put("b", "1");
    put("a", "3");
    compactFully(4);
    expect(storedRows()).toEqual(["3.0", "4.0", "5.0"]);
    expect(at("a", 4)).toMatchObject({ version: 2, createRevision: 2 });
    expect(at("a", 5)?.version).toBe(3);
    compactFully(5);
    expect(storedRows()).toEqual(["4.0", "5.0"]);
    put("a", "4");
    expect(at("a", 6)).toMatchObject({ version: 4, createRevision: 2 });
  });

  test("C-2: a tombstone at exactly the revision stays, an older one goes", async () => {
    put("a", "1");
    del("a");
    compactFully(3);
    expect(storedRows()).toEqual(["3.0t"]);
    await restart();
    expect(mvcc.get("a", 3)).toBeUndefined();
    expect(describeEvents(mvcc.history(3, 3, 10, 1_000).events)).toEqual(["3.0 delete a"]);
    put("b", "1");
    compactFully(4);
    expect(storedRows()).toEqual(["4.0"]);
    put("a", "again");
    expect(at("a", 5)).toMatchObject({ createRevision: 5, version: 1 });
  });

  test("C-2: a generation that goes on beyond the revision keeps what a read there finds", () => {
    put("a", "1");
    put("a", "2");
    put("b", "");
    del("a");
    put("a", "3");
    compactFully(4);
    expect(storedRows()).toEqual(["3.0", "4.0", "5.0t", "6.0"]);
    expect(at("a", 4)?.version).toBe(2);
    compactFully(5);
    expect(storedRows()).toEqual(["4.0", "5.0t", "6.0"]);
    compactFully(6);
    expect(storedRows()).toEqual(["4.0", "6.0"]);
  });

  test("C-1: bounds are checked; a first compaction to 0 drops nothing", () => {
    put("a", "1");
    compactFully(0);
    expect(mvcc.compactRevision).toBe(0);
    expect(storedRows()).toEqual(["2.0"]);
    expect(() => mvcc.compact(0)).toThrow("not within");
    expect(() => mvcc.compact(3)).toThrow("not within");
    compactFully(2);
    expect(() => mvcc.compact(2)).toThrow("not within");
  });

  test("C-4: scheduled on accept, finished at the end, both in meta", () => {
    put("a", "1");
    put("a", "2");
    mvcc.compact(3);
    expect(mvcc.pendingCompaction).toBe(3);
    expect(mvcc.compactRevision).toBe(3);
    expect(decodeRevision(backend.get("meta", SCHEDULED_COMPACT_REVISION) as Uint8Array)).toBe(3);
    expect(backend.get("meta", FINISHED_COMPACT_REVISION)).toBeUndefined();
    expect(mvcc.compactSlice(10)).toBe(true);
    expect(mvcc.pendingCompaction).toBeUndefined();
    expect(decodeRevision(backend.get("meta", FINISHED_COMPACT_REVISION) as Uint8Array)).toBe(3);
    expect(mvcc.compactSlice(10)).toBe(true);
  });

  test("C-4: a compaction cut short resumes after a restart, whatever slice was the last to be durable", async () => {
    const build = () => {
      for (let round = 0; round < 3; round++) for (let i = 0; i < 40; i++) put(`k${i}`, `${round}`);
      del("k1", "k2");
      put("k15", "again");
    };
    build();
    const target = mvcc.currentRevision - 1;
    compactFully(target);
    const expected = storedRows();
    for (let slices = 0; slices < 40; slices++) {
      backend = createMemoryBackend();
      mvcc = createMvccRestore(backend).finish().mvcc;
      build();
      mvcc.compact(target);
      await backend.flush();
      let over = false;
      for (let i = 0; i < slices && !over; i++) {
        over = mvcc.compactSlice(7);
        await backend.flush();
      }
      mvcc.compactSlice(7);
      backend = backend.crash();
      mvcc = (await restoreMvcc(backend)).mvcc;
      expect(mvcc.pendingCompaction).toBe(over ? undefined : target);
      expect(mvcc.compactRevision).toBe(target);
      expect(mvcc.get("k1", target)).toBeUndefined();
      expect(at("k15", target + 1)).toMatchObject({ version: 1 });
      expect(at("k2", target)).toMatchObject({ version: 3, createRevision: 4 });
      while (!mvcc.compactSlice(7));
      expect(storedRows()).toEqual(expected);
    }
  });

  test("C-4: a later compaction takes over an unfinished one", () => {
    for (let i = 0; i < 10; i++) put("a", `${i}`);
    put("b", "");
    mvcc.compact(5);
    mvcc.compactSlice(1);
    compactFully(11);
    expect(storedRows()).toEqual(["11.0", "12.0"]);
  });

  test("C-4: the current revision never falls behind a compaction", async () => {
    backend.put("meta", SCHEDULED_COMPACT_REVISION, encodeRevision(9));
    await restart();
    expect(mvcc.currentRevision).toBe(9);
    expect(mvcc.compactRevision).toBe(9);
    expect(mvcc.pendingCompaction).toBe(9);
    backend.put("meta", FINISHED_COMPACT_REVISION, encodeRevision(9));
    backend.put("meta", SCHEDULED_COMPACT_REVISION, encodeRevision(4));
    await restart();
    expect(mvcc.compactRevision).toBe(9);
    expect(mvcc.pendingCompaction).toBeUndefined();
    expect(put("a", "")[0]?.revision.main).toBe(10);
  });

  test("C-3: a slice drops at most so many rows, also of one key", () => {
    for (let i = 0; i < 100; i++) put("a", `${i}`);
    mvcc.compact(101);
    let rows = storedRows().length;
    let slices = 0;
    for (let over = false; !over; slices++) {
      over = mvcc.compactSlice(10);
      const left = storedRows().length;
      expect(rows - left).toBeLessThanOrEqual(10);
      expect(at("a", 101)?.version).toBe(100);
      rows = left;
    }
    expect(rows).toBe(1);
    expect(slices).toBeGreaterThanOrEqual(10);
  });

  test("C-2: writes between slices neither get lost nor keep old versions alive", () => {
    for (let i = 0; i < 50; i++) {
      put(`k${i}`, "1");
      put(`k${i}`, "2");
    }
    mvcc.compact(101);
    for (let i = 0; !mvcc.compactSlice(3); i++) {
      put(`k${i % 50}`, "3");
      if (i % 5 === 0) del(`k${(i * 7) % 50}`);
      put(`new${i}`, "");
    }
    const old = storedRows().filter((row) => Number.parseInt(row, 10) <= 101);
    expect(old).toHaveLength(50);
  });

  test("a pin keeps old versions readable, and a slice under a pin is a bug", () => {
    put("a", "1");
    put("a", "2");
    const pin = mvcc.pin(2);
    const second = mvcc.pin(2);
    mvcc.compact(3);
    expect(() => mvcc.compactSlice(10)).toThrow("while a read held them");
    expect(at("a", 2)?.version).toBe(1);
    second.release();
    expect(mvcc.oldestPin).toBe(2);
    pin.release();
    expect(mvcc.oldestPin).toBeUndefined();
    expect(() => pin.release()).toThrow("twice");
    mvcc.compactSlice(10);
    expect(() => mvcc.get("a", 2)).toThrow("came after a compaction to 3");
  });

  test("reads of the compact revision or later do not hold a compaction up, and lose nothing by it", () => {
    put("a", "1");
    put("a", "2");
    put("a", "3");
    const held = mvcc.get("a", 3);
    mvcc.compact(3);
    const pins = [mvcc.pin(3), mvcc.pin(4)];
    expect(mvcc.compactSlice(10)).toBe(true);
    expect(mvcc.value(held as NonNullable<typeof held>)).toBeDefined();
    for (const pin of pins) pin.release();
  });
});

describe("restore", () => {
  test("L-11: keys hang on the lease of their newest version", async () => {
    put("a", "1", 5n);
    put("b", "1", 5n);
    put("b", "2", -9n);
    put("c", "1", 5n);
    put("c", "2");
    put("d", "1", 5n);
    del("d");
    expect(await restart()).toEqual(
      new Map([
        ["a", 5n],
        ["b", -9n],
      ]),
    );
  });

  test("progress counts rows", async () => {
    for (let i = 0; i < 1_200; i++) put(`k${i}`, "");
    await backend.flush();
    const progress: number[] = [];
    await restoreMvcc(backend, (rows) => progress.push(rows));
    expect(progress.at(-1)).toBe(1_200);
    expect(progress.length).toBeGreaterThan(1);
  });

  test("rows out of order, foreign rows and damaged ones are refused", () => {
    const restore = createMvccRestore(backend);
    const kv = encode(KeyValue, KeyValue.create({ key: "a", createRevision: 3, modRevision: 3, version: 1 }));
    restore.row(revisionKey(3, 0), kv);
    expect(() => restore.row(revisionKey(3, 0), kv)).toThrow("do not ascend");
    expect(() => restore.row(revisionKey(2, 0), kv)).toThrow("do not ascend");
    expect(() => restore.row("\xffsomething", kv)).toThrow("no revision");
    expect(() => restore.row(revisionKey(4, 0), kv.subarray(0, 2))).toThrow("damaged");
  });

  test("a new life whose predecessor's tombstone is lost: stored versions hold, and a compaction drops the old life", async () => {
    const row = (main: number, createRevision: number, version: number) => {
      const kv = encode(KeyValue, KeyValue.create({ key: "a", createRevision, modRevision: main, version }));
      backend.put("key", revisionKey(main, 0), kv);
    };
    row(2, 2, 1);
    row(3, 2, 2);
    row(5, 5, 1);
    await restart();
    expect(at("a", 4)).toMatchObject({ modRevision: 3, version: 2, createRevision: 2 });
    expect(at("a", 5)).toMatchObject({ modRevision: 5, version: 1, createRevision: 5 });
    put("a", "");
    compactFully(5);
    expect(storedRows()).toEqual(["5.0", "6.0"]);
    expect(at("a", 6)).toMatchObject({ version: 2, createRevision: 5 });
  });

  test("a store whose revision was bumped by etcdutl: history steps over the gap, the bump row is no event", async () => {
    put("a", "1");
    const bumped = 1_000_000_000;
    backend.put("key", revisionKey(bumped, 0), new Uint8Array(0));
    await restart();
    expect(mvcc.currentRevision).toBe(bumped);
    put("a", "2");
    const { events, next } = mvcc.history(2, bumped + 1, 100, 1_000);
    expect(describeEvents(events)).toEqual(["2.0 put a", `${bumped + 1}.0 put a`]);
    expect(next).toBe(bumped + 2);
    expect(mvcc.history(3, 500, 100, 1_000)).toEqual({ events: [], next: 501 });
    expect(keys("\0", "\0")).toEqual(["a"]);
  });
});
