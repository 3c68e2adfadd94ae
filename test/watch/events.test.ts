import { expect, test } from "vitest";
import { brief, createBench } from "./harness.ts";

test("W-7 one response for one revision, in sub order; W-5 a live response carries the event's revision", () => {
  const bench = createBench();
  const client = bench.open();
  client.create({ key: "a", rangeEnd: "z" });
  client.drain();
  bench.change((s) => {
    s.put("c", Buffer.from("1"), 0n);
    s.put("a", Buffer.from("2"), 0n);
    s.put("0", Buffer.from("unseen"), 0n);
    s.deleteRange("c", "");
  });
  bench.put("b");
  const got = client.drain();
  expect(got.map((r) => [r.rev, brief([r])])).toEqual([
    [2, ["put c@2", "put a@2", "delete c@2"]],
    [3, ["put b@3"]],
  ]);
});

test("W-8 NOPUT and NODELETE; nothing is sent if nothing is left; unknown filters mean nothing", () => {
  const bench = createBench();
  const client = bench.open();
  for (const filters of [[0], [1], [0, 1], [7]]) client.create({ key: "a", filters });
  client.drain();
  bench.put("a");
  bench.del("a");
  const got = client.drain();
  const of = (id: bigint): string[] => brief(got.filter((r) => r.id === id));
  expect(of(0n)).toEqual(["delete a@3"]);
  expect(of(1n)).toEqual(["put a@2"]);
  expect(of(3n)).toEqual(["put a@2", "delete a@3"]);
  expect(got.every((r) => r.events.length > 0)).toBe(true);
  expect(got.some((r) => r.id === 2n)).toBe(false);
});

test("W-8 prev_kv is the value before the revision, live and from history; absent on create and below compaction", () => {
  const bench = createBench();
  const live = bench.open();
  live.create({ key: "a", prevKv: true });
  live.create({ key: "a" });
  bench.put("a", "one");
  bench.put("a", "two");
  bench.del("a");
  bench.put("a", "three");
  const prevs = (id: bigint): (string | undefined)[] =>
    seen.filter((r) => r.id === id).flatMap((r) => r.events.map((e) => e.prev));
  let seen = live.drain();
  expect(prevs(0n)).toEqual([undefined, "one", "two", undefined]);
  expect(prevs(1n)).toEqual([undefined, undefined, undefined, undefined]);
  const late = bench.open();
  late.create({ key: "a", prevKv: true, startRevision: 2 });
  bench.settle();
  seen = late.drain();
  expect(prevs(0n)).toEqual([undefined, "one", "two", undefined]);
  bench.store.compact(4);
  late.create({ key: "a", prevKv: true, startRevision: 4 });
  bench.settle();
  seen = late.drain();
  expect(brief(seen)).toEqual(["delete a@4", "put a@5"]);
  expect(prevs(1n)).toEqual([undefined, undefined]);
});

test("W-9 a put event has the whole pair, a delete event key and mod_revision", () => {
  const bench = createBench();
  const client = bench.open();
  client.create({ key: "a" });
  client.drain();
  bench.put("a", "value");
  bench.del("a");
  expect(client.drain().flatMap((r) => r.events)).toEqual([
    { type: "put", key: "a", value: "value", rev: 2, prev: undefined },
    { type: "delete", key: "a", value: "", rev: 3, prev: undefined },
  ]);
});

test("an event is encoded once for all watchers, and once more for those that want the pair before it", () => {
  const bench = createBench();
  bench.put("a", "old");
  const client = bench.open();
  for (let i = 0; i < 20; i++) client.create({ key: "a", prevKv: i % 2 === 0 });
  client.drain();
  bench.put("a", "new");
  const events = new Set(client.stream.take(1 << 20).flatMap((r) => r.events));
  expect(events.size).toBe(2);
});

function bigHistory(): ReturnType<typeof createBench> {
  const bench = createBench();
  for (let i = 0; i < 5; i++) {
    bench.change((s) => {
      for (const key of ["p1", "p2", "p3"]) s.put(key, Buffer.alloc(400_000, 120), 0n);
    });
  }
  return bench;
}

test("V-6 W-13 15 events of 400 000 bytes from history: 3 fragments of 5, or 1 message without fragment", () => {
  const bench = bigHistory();
  const client = bench.open();
  client.create({ key: "p", rangeEnd: "q", startRevision: 2, fragment: true });
  client.create({ key: "p", rangeEnd: "q", startRevision: 2 });
  bench.settle();
  const split = client.drain().filter((r) => r.id === 0n && !r.created);
  expect(split.map((r) => [r.events.length, r.fragment, r.rev])).toEqual([
    [5, true, 6],
    [5, true, 6],
    [5, false, 6],
  ]);
  // The first watch filled the stream; the second had to wait for the client.
  bench.settle();
  const whole = client.drain();
  expect(whole.map((r) => [r.id, r.events.length, r.fragment, r.rev])).toEqual([[1n, 15, false, 6]]);
});

test("W-13 a live revision is split too, an event as large as a fragment stands alone, and a small one stays whole", () => {
  const bench = createBench({ fragmentBytes: 1_000 });
  const client = bench.open();
  client.create({ key: "a", rangeEnd: "z", fragment: true });
  client.drain();
  bench.change((s) => {
    for (const [key, size] of [
      ["a", 300],
      ["b", 300],
      ["c", 300],
      ["d", 5_000],
      ["e", 10],
    ] as const) {
      s.put(key, Buffer.alloc(size), 0n);
    }
  });
  bench.put("b");
  const got = client.drain();
  expect(got.map((r) => [brief([r]), r.fragment, r.rev])).toEqual([
    [["put a@2", "put b@2"], true, 2],
    [["put c@2"], true, 2],
    [["put d@2"], true, 2],
    [["put e@2"], false, 2],
    [["put b@3"], false, 3],
  ]);
});

test("W-5, W-7, W-11: behind a full queue a watcher's revisions share a response, and none passes what speaks for one", () => {
  const bench = createBench({ mergeFromResponses: 2, mergedBytes: 1_000 });
  const client = bench.open();
  client.create({ key: "a" });
  client.create({ key: "a", prevKv: true });
  client.create({ key: "a", fragment: true });
  client.drain();
  for (const value of ["1", "2", "3"]) bench.put("a", value);
  client.stream.requestProgress();
  for (const value of ["4", "5"]) bench.put("a", value);
  bench.put("a", "x".repeat(800));
  bench.put("a", "7");
  const got = client.drain();
  const of = (id: bigint): unknown[] => got.filter((r) => r.id === id).map((r) => [r.rev, ...brief([r])]);
  // The large one has no room beside others.
  expect(of(0n)).toEqual([
    [4, "put a@2", "put a@3", "put a@4"],
    [6, "put a@5", "put a@6"],
    [7, "put a@7"],
    [8, "put a@8"],
  ]);
  expect(got.filter((r) => r.id === 1n).flatMap((r) => r.events.map((e) => e.prev?.slice(0, 1)))).toEqual([
    undefined,
    "1",
    "2",
    "3",
    "4",
    "5",
    "x",
  ]);
  expect(of(2n).length).toBe(7);
  const progress = got.findIndex((r) => r.id === -1n);
  expect(got[progress]?.rev).toBe(4);
  expect(got.slice(0, progress).every((r) => r.rev <= 4)).toBe(true);
  expect(got.slice(progress + 1).every((r) => r.rev > 4)).toBe(true);
});

test("W-7: at most sliceRevisions of them, from history and live", () => {
  const bench = createBench({ mergeFromResponses: 0, sliceRevisions: 3 });
  for (const value of ["1", "2", "3", "4", "5"]) bench.put("a", value);
  const client = bench.open();
  client.create({ key: "a", startRevision: 2 });
  bench.settle();
  for (const value of ["6", "7"]) bench.put("a", value);
  const got = client.drain().filter((r) => !r.created);
  expect(Math.max(...got.map((r) => r.events.length))).toBe(3);
  expect(brief(got)).toEqual([2, 3, 4, 5, 6, 7, 8].map((rev) => `put a@${rev}`));
});
