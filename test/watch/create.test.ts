import { expect, test } from "vitest";
import { brief, createBench, type Seen } from "./harness.ts";

function created(id: bigint, rev: number): Seen {
  return { id, rev, created: true, canceled: false, compact: 0, reason: "", fragment: false, events: [] };
}

function refused(reason: string, rev: number): Seen {
  return { ...created(-1n, rev), canceled: true, reason };
}

test("W-2 ids count up from 0 per stream and skip those in use; a given id is taken as it is", () => {
  const bench = createBench();
  const client = bench.open();
  for (const watchId of [0n, 2n, 0n, 0n, -7n, 1n << 62n]) client.create({ key: "a", watchId });
  expect(client.drain()).toEqual([0n, 2n, 1n, 3n, -7n, 1n << 62n].map((id) => created(id, 1)));
  const other = bench.open();
  other.create({ key: "a" });
  expect(other.drain()).toEqual([created(0n, 1)]);
});

test("W-2 the created reply carries the current revision and comes before every event of its watch", () => {
  const bench = createBench();
  bench.put("a");
  const client = bench.open();
  client.create({ key: "a", startRevision: 2 });
  client.create({ key: "a" });
  bench.put("a");
  bench.settle();
  const got = client.drain();
  expect(got.slice(0, 2)).toEqual([created(0n, 2), created(1n, 2)]);
  for (const id of [0n, 1n]) {
    const mine = got.filter((r) => r.id === id);
    expect(mine[0]?.created).toBe(true);
    expect(brief(mine)).toEqual(id === 0n ? ["put a@2", "put a@3"] : ["put a@3"]);
  }
});

test("W-4 refused: duplicate id, empty range, negative start; the stream goes on", () => {
  const bench = createBench();
  bench.put("a");
  const client = bench.open();
  client.create({ key: "a", watchId: 5n });
  client.create({ key: "a", watchId: 5n });
  client.create({ key: "b", rangeEnd: "a" });
  client.create({ key: "b", rangeEnd: "b" });
  client.create({ key: "b", startRevision: -1 });
  client.create({ key: "b" });
  expect(client.drain()).toEqual([
    created(5n, 2),
    refused("mvcc: duplicate watch ID provided on the WatchStream", 2),
    refused("mvcc: watcher range is empty", 2),
    refused("mvcc: watcher range is empty", 2),
    refused("etcdserver: mvcc: required revision has been compacted", 2),
    created(0n, 2),
  ]);
  bench.put("b");
  expect(brief(client.drain())).toEqual(["put b@3"]);
});

test("W-3 start 0 is the next revision; empty key with end \\0 is everything; a range, a single key, an open range", () => {
  const bench = createBench();
  bench.put("b");
  const client = bench.open();
  client.create({ key: "", rangeEnd: "\0" });
  client.create({ key: "b", rangeEnd: "d" });
  client.create({ key: "c" });
  client.create({ key: "c", rangeEnd: "\0" });
  client.drain();
  for (const key of ["a", "b", "c", "d", "\xff"]) bench.put(key);
  const got = client.drain();
  const keysOf = (id: bigint): string[] => got.filter((r) => r.id === id).flatMap((r) => r.events.map((e) => e.key));
  expect(keysOf(0n)).toEqual(["a", "b", "c", "d", "\xff"]);
  expect(keysOf(1n)).toEqual(["b", "c"]);
  expect(keysOf(2n)).toEqual(["c"]);
  expect(keysOf(3n)).toEqual(["c", "d", "\xff"]);
});

test("W-3 a start in the future filters out what is before it", () => {
  const bench = createBench();
  const client = bench.open();
  client.create({ key: "a", startRevision: 4 });
  for (let i = 0; i < 4; i++) bench.put("a");
  expect(bench.workCalls).toBe(0);
  expect(brief(client.drain())).toEqual(["put a@4", "put a@5"]);
});

test("W-3 a watch that starts at the very current revision gets it from history, and the next one live", () => {
  const bench = createBench();
  bench.put("a");
  const current = bench.put("a");
  const client = bench.open();
  client.create({ key: "a", startRevision: current });
  expect(bench.workCalls).toBe(1);
  bench.put("a");
  bench.settle();
  bench.put("a");
  expect(brief(client.drain())).toEqual(["put a@3", "put a@4", "put a@5"]);
});

test("W-2 an event applied between create and the first take follows the created reply", () => {
  const bench = createBench();
  const client = bench.open();
  client.create({ key: "a" });
  bench.put("a");
  expect(client.wakes).toBe(1);
  const got = client.drain();
  expect(got.map((r) => r.created)).toEqual([true, false]);
  expect(brief(got)).toEqual(["put a@2"]);
});

test("W-6 a start below the compact revision: created, then canceled with compact_revision, no reason, revision 0", () => {
  const bench = createBench();
  for (let i = 0; i < 5; i++) bench.put("a");
  bench.store.compact(4);
  const client = bench.open();
  client.create({ key: "a", startRevision: 3 });
  client.create({ key: "a", startRevision: 4 });
  bench.settle();
  const got = client.drain();
  expect(got.slice(0, 2)).toEqual([created(0n, 6), { ...created(0n, 0), created: false, canceled: true, compact: 4 }]);
  expect(brief(got.filter((r) => r.id === 1n))).toEqual(["put a@4", "put a@5", "put a@6"]);
  expect(bench.hub.watcherCount).toBe(1);
});

test("W-10 cancel: one reply, nothing of the id after it; an unknown id: no reply; the id is free again", () => {
  const bench = createBench();
  const client = bench.open();
  client.create({ key: "a", watchId: 9n });
  bench.put("a");
  client.stream.cancel(9n);
  bench.put("a");
  client.stream.cancel(9n);
  client.stream.cancel(4n);
  const got = client.drain();
  expect(got.map((r) => [r.created, r.canceled, r.events.length])).toEqual([
    [true, false, 0],
    [false, false, 1],
    [false, true, 0],
  ]);
  expect(got[2]).toEqual({ ...created(9n, 2), created: false, canceled: true });
  client.create({ key: "a", watchId: 9n });
  expect(client.drain()).toEqual([created(9n, 3)]);
});

test("W-10 a watch that compaction ended keeps its id until the client cancels it", () => {
  const bench = createBench();
  for (let i = 0; i < 3; i++) bench.put("a");
  bench.store.compact(3);
  const client = bench.open();
  client.create({ key: "a", startRevision: 1, watchId: 5n });
  client.drain();
  client.create({ key: "a", watchId: 5n });
  client.stream.cancel(5n);
  client.create({ key: "a", watchId: 5n });
  expect(client.drain().map((r) => [r.id, r.created, r.canceled])).toEqual([
    [-1n, true, true],
    [5n, false, true],
    [5n, true, false],
  ]);
});

test("the number of watches and the bytes of their keys are limited over all streams; ended ones make room", () => {
  const bench = createBench({ maxWatchers: 2 });
  const client = bench.open();
  const other = bench.open();
  client.create({ key: "a" });
  other.create({ key: "a" });
  other.create({ key: "a" });
  expect(other.drain()).toEqual([created(0n, 1), refused("etcdserver: too many requests", 1)]);
  client.stream.close();
  other.create({ key: "a" });
  expect(other.drain()).toEqual([created(1n, 1)]);

  const small = createBench({ maxWatcherKeyBytes: 100 }).open();
  for (let i = 0; i < 3; i++) small.create({ key: "k".repeat(50) });
  expect(small.drain().map((r) => r.canceled)).toEqual([false, false, true]);
});

test("a closed stream costs nothing and takes nothing", () => {
  const bench = createBench();
  bench.put("a");
  const client = bench.open();
  client.create({ key: "a", startRevision: 2 });
  client.create({ key: "a" });
  client.stream.close();
  client.stream.close();
  client.create({ key: "a" });
  client.stream.cancel(0n);
  client.stream.requestProgress();
  bench.put("a");
  expect(bench.settle()).toBe(1);
  expect(client.drain()).toEqual([]);
  expect([bench.hub.watcherCount, bench.hub.unsyncedCount]).toEqual([0, 0]);
});
