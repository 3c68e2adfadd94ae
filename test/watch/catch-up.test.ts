import { expect, test } from "vitest";
import type { WatchLimits } from "../../src/watch/watch-hub.ts";
import { type Bench, type Client, createBench, type Seen } from "./harness.ts";

function revisions(responses: readonly Seen[], id: bigint): number[] {
  return responses.filter((r) => r.id === id).flatMap((r) => r.events.map((e) => e.rev));
}

function range(from: number, through: number): number[] {
  return Array.from({ length: through - from + 1 }, (_, i) => from + i);
}

/** A bench that notes which slices of history were read. */
function spyBench(limits: Partial<WatchLimits> = {}): { bench: Bench; reads: [from: number, next: number][] } {
  const reads: [number, number][] = [];
  const bench = createBench(limits, (store) => ({
    get currentRevision() {
      return store.currentRevision;
    },
    get compactRevision() {
      return store.compactRevision;
    },
    previous: (event) => store.previous(event),
    history(...args) {
      const slice = store.history(...args);
      reads.push([args[0], slice.next]);
      return slice;
    },
  }));
  return { bench, reads };
}

test("W-5 W-7 history comes in batches of at most 1000 revisions that carry the current revision", () => {
  const bench = createBench();
  for (let i = 0; i < 2_500; i++) bench.put("a");
  const client = bench.open();
  client.create({ key: "a", startRevision: 2 });
  expect(bench.settle()).toBe(3);
  const got = client.drain().slice(1);
  expect(got.map((r) => [r.events.length, r.rev])).toEqual([
    [1_000, 2_501],
    [1_000, 2_501],
    [500, 2_501],
  ]);
  expect(revisions(got, 0n)).toEqual(range(2, 2_501));
});

test("W-7 a slice that ends exactly at the current revision, with an event before and one after it", () => {
  const bench = createBench({ sliceRevisions: 2 });
  for (let i = 0; i < 4; i++) bench.put("a");
  const client = bench.open();
  client.create({ key: "a", startRevision: 2 });
  expect(bench.hub.catchUp()).toBe(true);
  bench.put("a");
  expect(bench.hub.catchUp()).toBe(true);
  bench.put("a");
  expect(bench.hub.catchUp()).toBe(false);
  expect(bench.hub.unsyncedCount).toBe(0);
  bench.put("a");
  expect(bench.hub.catchUp()).toBe(false);
  expect(revisions(client.drain(), 0n)).toEqual(range(2, 8));
});

test("W-6 compaction overtakes a watch in the middle of catching up; one at the compact revision goes on", () => {
  const bench = createBench({ sliceRevisions: 2 });
  for (let i = 0; i < 9; i++) bench.put("a");
  const client = bench.open();
  client.create({ key: "a", startRevision: 2 });
  bench.hub.catchUp();
  client.create({ key: "a", startRevision: 6 });
  bench.store.compact(6);
  bench.settle();
  const got = client.drain();
  expect(revisions(got, 0n)).toEqual([2, 3]);
  expect(got.find((r) => r.canceled)).toEqual({
    id: 0n,
    rev: 0,
    created: false,
    canceled: true,
    compact: 6,
    reason: "",
    fragment: false,
    events: [],
  });
  expect(revisions(got, 1n)).toEqual(range(6, 10));
  bench.put("a");
  expect(client.drain().map((r) => r.id)).toEqual([1n]);
});

test("a watch whose position is at the compact revision after all its slices is not overtaken", () => {
  const bench = createBench({ sliceRevisions: 2 });
  for (let i = 0; i < 5; i++) bench.put("a");
  const client = bench.open();
  client.create({ key: "a", startRevision: 2 });
  bench.hub.catchUp();
  bench.store.compact(4);
  bench.settle();
  expect(revisions(client.drain(), 0n)).toEqual(range(2, 6));
});

test("W-7 two watches of one stream at different positions each get theirs once", () => {
  const bench = createBench({ sliceRevisions: 3 });
  for (let i = 0; i < 20; i++) bench.put("a");
  const client = bench.open();
  client.create({ key: "a", startRevision: 2 });
  client.create({ key: "a", startRevision: 15 });
  client.create({ key: "a" });
  bench.hub.catchUp();
  bench.put("a");
  bench.settle();
  const got = client.drain();
  expect(revisions(got, 0n)).toEqual(range(2, 22));
  expect(revisions(got, 1n)).toEqual(range(15, 22));
  expect(revisions(got, 2n)).toEqual([22]);
});

test("many watches at one position share each slice of history", () => {
  const { bench, reads } = spyBench();
  for (let i = 0; i < 3_000; i++) bench.put(`k${i % 500}`);
  const client = bench.open();
  for (let i = 0; i < 500; i++) client.create({ key: `k${i}`, startRevision: 2 });
  bench.settle();
  expect(reads).toEqual([
    [2, 1_002],
    [1_002, 2_002],
    [2_002, 3_002],
  ]);
  const got = client.drain();
  expect(revisions(got, 499n)).toEqual([501, 1_001, 1_501, 2_001, 2_501, 3_001]);
});

test("watches at many positions do not read history once for each; a near one does not wait for a far one", () => {
  const { bench, reads } = spyBench({ sliceRevisions: 100 });
  for (let i = 0; i < 10_000; i++) bench.put("a");
  const client = bench.open();
  for (let i = 0; i < 95; i++) client.create({ key: "b", startRevision: 2 + 100 * i });
  const near = bench.open();
  near.create({ key: "b", startRevision: 9_990 });
  let nearDone = 0;
  while (bench.hub.catchUp()) {
    near.stream.requestProgress();
    if (nearDone === 0 && near.drain().some((r) => r.id === -1n)) nearDone = reads.length;
  }
  expect(nearDone).toBeGreaterThan(0);
  expect(reads.length).toBeLessThan(300);
  // Alone: 95 watches of 50 slices each on average.
  expect(bench.hub.unsyncedCount).toBe(0);
});

test("W-8 pairs before small events bound a slice too: whole revisions, nothing lost", () => {
  const bench = createBench({ sliceBytes: 10_000 });
  for (let i = 0; i < 20; i++) {
    bench.put(`k${i}`, Buffer.alloc(4_000));
    bench.put("other");
  }
  const from = bench.store.currentRevision + 1;
  for (let i = 0; i < 20; i++) bench.del(`k${i}`);
  const client = bench.open();
  client.create({ key: "k", rangeEnd: "l", startRevision: from, prevKv: true });
  bench.settle();
  const got = client.drain().slice(1);
  expect(revisions(got, 0n)).toEqual(range(from, from + 19));
  expect(Math.max(...got.map((r) => r.events.length))).toBe(3);
});

function fill(client: Client, publish: () => void, bench: Bench): void {
  client.drain();
  while (bench.hub.unsyncedCount === 0) publish();
}

test("W-17 W-7 a stream that fills in the middle of a publish: no watch of it gets a revision twice or misses it", () => {
  const bench = createBench({ maxStreamResponses: 10 });
  const client = bench.open();
  for (let i = 0; i < 4; i++) client.create({ key: "a" });
  // 12 responses wanted, 10 fit: two watches have revision 4 and two have not.
  fill(client, () => bench.put("a"), bench);
  expect(bench.store.currentRevision).toBe(4);
  expect(bench.hub.unsyncedCount).toBe(2);
  client.stream.requestProgress();
  bench.put("a");
  expect(bench.hub.unsyncedCount).toBe(4);
  expect(bench.settle()).toBe(1);
  const got: Seen[] = [];
  for (let i = 0; i < 20; i++) {
    got.push(...client.take(2_000));
    bench.settle();
    if (i % 5 === 0) bench.put("a");
  }
  got.push(...client.drain());
  bench.settle();
  got.push(...client.drain());
  expect(got.some((r) => r.id === -1n)).toBe(false);
  for (const id of [0n, 1n, 2n, 3n]) expect(revisions(got, id)).toEqual(range(2, bench.store.currentRevision));
});

test("W-17 the driver is not asked to spin for blocked streams; the take that makes room asks it again", () => {
  const bench = createBench({ maxStreamResponses: 4 });
  const client = bench.open();
  client.create({ key: "a" });
  fill(client, () => bench.put("a"), bench);
  expect(bench.workCalls).toBe(0);
  expect(bench.hub.catchUp()).toBe(false);
  for (let i = 0; i < 100; i++) bench.put("a");
  expect([bench.workCalls, bench.hub.catchUp()]).toEqual([0, false]);
  const got = client.take(1);
  expect([got.length, bench.workCalls]).toEqual([1, 0]);
  got.push(...client.take(1));
  expect(bench.workCalls).toBe(1);
  bench.settle();
  got.push(...client.drain());
  expect(revisions(got, 0n)).toEqual(range(2, bench.store.currentRevision));
  expect(bench.workCalls).toBe(1);
});

test("W-17 a client that never reads holds no more than its limit and one response; others go on", () => {
  const bench = createBench({ maxStreamBytes: 100_000, sliceBytes: 50_000 });
  const slow = bench.open();
  const quick = bench.open();
  for (const client of [slow, quick]) client.create({ key: "a", rangeEnd: "z" });
  const late = bench.open();
  late.create({ key: "a", startRevision: 1, rangeEnd: "z" });
  let quickGot = 0;
  for (let i = 0; i < 1_000; i++) {
    bench.put("a", Buffer.alloc(5_000));
    bench.hub.catchUp();
    quickGot += revisions(quick.drain(), 0n).length;
  }
  bench.settle();
  expect(quickGot).toBe(1_000);
  for (const client of [slow, late]) {
    const held = client.stream.take(Number.MAX_SAFE_INTEGER);
    const bytes = held.reduce((sum, r) => sum + r.events.reduce((s, e) => s + e.length, 0), 0);
    expect(bytes).toBeGreaterThan(50_000);
    expect(bytes).toBeLessThan(160_000);
  }
});

test("W-17 all streams together hold no more than the hub's limit, and a stream that is empty still gets its turn", () => {
  const bench = createBench({ maxQueuedBytes: 100_000 });
  const clients = Array.from({ length: 10 }, () => bench.open());
  for (const client of clients) {
    client.create({ key: "a" });
    client.drain();
  }
  for (let i = 0; i < 100; i++) bench.put("a", Buffer.alloc(5_000));
  bench.settle();
  const held = clients.map((client) => client.stream.take(Number.MAX_SAFE_INTEGER).length);
  expect(Math.min(...held)).toBeGreaterThan(0);
  expect(held.reduce((a, b) => a + b, 0)).toBeLessThan(40);
  // Only one of them reads from now on; it gets everything.
  const [first] = clients;
  if (first === undefined) throw new Error("no client");
  let last = held[0] ?? 0;
  for (let i = 0; i < 1_000 && last < 100; i++) {
    bench.settle();
    last += first.drain().reduce((sum, r) => sum + r.events.length, 0);
  }
  expect(last).toBe(100);
});

test("W-17 a blocked watch that is cancelled, or whose stream closes, is gone for good", () => {
  const bench = createBench({ maxStreamResponses: 4 });
  const client = bench.open();
  client.create({ key: "a" });
  client.create({ key: "a" });
  fill(client, () => bench.put("a"), bench);
  bench.put("a");
  expect(bench.hub.unsyncedCount).toBe(2);
  client.stream.cancel(1n);
  expect(bench.hub.unsyncedCount).toBe(1);
  const got = client.drain();
  bench.settle();
  got.push(...client.drain());
  expect(revisions(got, 0n)).toEqual(range(2, bench.store.currentRevision));
  const cancelAt = got.findIndex((r) => r.canceled);
  expect(got.slice(cancelAt + 1).every((r) => r.id === 0n)).toBe(true);
  fill(client, () => bench.put("a"), bench);
  client.stream.close();
  expect([bench.hub.watcherCount, bench.hub.unsyncedCount, bench.hub.catchUp()]).toEqual([0, 0, false]);
});
