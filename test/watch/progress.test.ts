import { expect, test } from "vitest";
import { brief, createBench, type Seen } from "./harness.ts";

const PROGRESS = { created: false, canceled: false, compact: 0, reason: "", fragment: false, events: [] };

function progress(rev: number, id = -1n): Seen {
  return { ...PROGRESS, id, rev };
}

test("W-11 a progress reply stands behind every event it speaks of", () => {
  const bench = createBench();
  const client = bench.open();
  client.create({ key: "a" });
  bench.put("a");
  bench.put("b");
  client.stream.requestProgress();
  bench.put("a");
  client.stream.requestProgress();
  expect(
    client
      .drain()
      .slice(1)
      .map((r) => (r.events.length > 0 ? brief([r]) : r)),
  ).toEqual([["put a@2"], progress(3), ["put a@4"], progress(4)]);
});

test("W-11 silence: no watch, a watch that is not caught up, a start in the future", () => {
  const bench = createBench();
  bench.put("a");
  const client = bench.open();
  client.stream.requestProgress();
  client.create({ key: "b" });
  client.create({ key: "a", startRevision: 2 });
  client.stream.requestProgress();
  expect(client.drain().map((r) => r.created)).toEqual([true, true]);
  bench.settle();
  client.stream.requestProgress();
  expect(client.drain().slice(1)).toEqual([progress(2)]);

  client.create({ key: "a", startRevision: 4 });
  client.drain();
  client.stream.requestProgress();
  bench.put("c");
  client.stream.requestProgress();
  expect(client.drain()).toEqual([]);
  bench.put("c");
  client.stream.requestProgress();
  expect(client.drain()).toEqual([progress(4)]);
});

test("W-11 dead watches are ignored, and alone they are no watch", () => {
  const bench = createBench();
  for (let i = 0; i < 4; i++) bench.put("a");
  bench.store.compact(4);
  const client = bench.open();
  client.create({ key: "a", startRevision: 2 });
  client.drain();
  client.stream.requestProgress();
  expect(client.drain()).toEqual([]);
  client.create({ key: "a" });
  client.drain();
  client.stream.requestProgress();
  expect(client.drain()).toEqual([progress(5)]);
});

test("W-11 W-17 requests of a client that does not read are not hoarded", () => {
  const bench = createBench({ maxStreamResponses: 10 });
  const client = bench.open();
  client.create({ key: "a" });
  for (let i = 0; i < 1_000; i++) client.stream.requestProgress();
  expect(client.drain().length).toBe(10);
  client.stream.requestProgress();
  expect(client.drain()).toEqual([progress(1)]);
});

test("W-12 a notification for each watch that asked, is caught up and had no event since the last one", () => {
  const bench = createBench();
  bench.put("a");
  const client = bench.open();
  client.create({ key: "a", progressNotify: true });
  client.create({ key: "b", progressNotify: true });
  client.create({ key: "a" });
  client.create({ key: "a", progressNotify: true, startRevision: 2 });
  client.create({ key: "a", progressNotify: true, startRevision: 9 });
  client.drain();
  bench.hub.notifyProgress();
  expect(client.drain()).toEqual([progress(2, 0n), progress(2, 1n)]);
  bench.settle();
  client.drain();
  bench.put("a");
  client.drain();
  bench.hub.notifyProgress();
  expect(client.drain()).toEqual([progress(3, 1n)]);
  bench.hub.notifyProgress();
  expect(client.drain()).toEqual([progress(3, 0n), progress(3, 1n), progress(3, 3n)]);
  client.stream.cancel(0n);
  client.drain();
  bench.hub.notifyProgress();
  expect(client.drain()).toEqual([progress(3, 1n), progress(3, 3n)]);
});

test("W-12 W-17 a client that does not read is owed one notification a watch, not one an interval", () => {
  const bench = createBench();
  const client = bench.open();
  client.create({ key: "a", progressNotify: true });
  client.drain();
  for (let i = 0; i < 50; i++) bench.hub.notifyProgress();
  expect(client.drain()).toEqual([progress(1, 0n)]);
  bench.hub.notifyProgress();
  expect(client.drain()).toEqual([progress(1, 0n)]);
});
