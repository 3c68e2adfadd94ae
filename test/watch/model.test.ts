import { expect, test } from "vitest";
import type { WatchCreateRequest } from "../../proto/generated/etcdserverpb.ts";
import type { WatchLimits } from "../../src/watch/watch-hub.ts";
import { type Client, createBench, type Seen, type SeenEvent } from "./harness.ts";
import { random } from "./random.ts";

/**
 * Random schedules against a model. The model is the plain list of all events; for each watch it knows which of them it
 * must get. Responses are checked in the order the client takes them, so every check is one a client could make.
 */
interface Watch {
  readonly id: bigint;
  readonly request: WatchCreateRequest;
  /** First revision that it is to see. */
  readonly from: number;
  readonly expected: (event: SeenEvent) => boolean;
  got: number;
  lastRevision: number;
  /** Events of an unfinished row of fragments. */
  fragments: SeenEvent[];
  state: "live" | "cancelling" | "over";
}

interface Side {
  readonly client: Client;
  readonly watches: Map<bigint, Watch>;
  /** Requests that wait for their created reply, in order. */
  readonly asked: Partial<WatchCreateRequest>[];
}

function run(seed: number, steps: number): { events: number; compactedWatches: number; progress: number } {
  const next = random(seed);
  const chance = (percent: number): boolean => next(100) < percent;
  const limits: Partial<WatchLimits> = {
    maxStreamBytes: [2_000, 20_000, 4 << 20][next(3)] ?? 0,
    maxStreamResponses: [3, 20, 1_000][next(3)] ?? 0,
    mergeFromResponses: [0, 3, 1_000][next(3)] ?? 0,
    mergedBytes: 100 + next(2_000),
    maxQueuedBytes: chance(30) ? 10_000 : 1 << 28,
    sliceRevisions: 1 + next(chance(50) ? 3 : 30),
    sliceBytes: chance(50) ? 300 : 1 << 20,
    sliceWatchers: 1 + next(8),
    fragmentBytes: 150 + next(400),
  };
  const bench = createBench(limits);
  const { store, hub } = bench;
  const sides: Side[] = [];
  const log: SeenEvent[] = [];
  const live = new Map<string, string>();
  const tally = { events: 0, compactedWatches: 0, progress: 0 };
  const key = (): string => "abcdefgh"[next(8)] ?? "a";
  let values = 0;

  const change = (): void => {
    bench.change((s) => {
      const rev = s.currentRevision + 1;
      const before = new Map(live);
      const touched = new Set<string>();
      for (let ops = chance(70) ? 1 : 1 + next(6); ops > 0; ops--) {
        const k = key();
        const put = chance(65);
        const keys = put ? [k] : [...live.keys()].filter((x) => x >= k && x < "g").sort();
        if (keys.some((x) => touched.has(x)) || (!put && k >= "g")) continue;
        if (put) {
          const value = `v${values++}`.padEnd(next(120), ".");
          s.put(k, Buffer.from(value), 0n);
          log.push({ type: "put", key: k, value, rev, prev: before.get(k) });
          live.set(k, value);
        } else {
          expect(s.deleteRange(k, "g")).toEqual(keys);
          for (const x of keys) {
            log.push({ type: "delete", key: x, value: "", rev, prev: before.get(x) });
            live.delete(x);
          }
        }
        for (const x of keys) touched.add(x);
      }
    });
  };

  const create = (side: Side): void => {
    const current = store.currentRevision;
    const startRevision = [0, current, current + 1 + next(5), 1 + next(current), 1 + next(current)][next(5)] ?? 0;
    const request: Partial<WatchCreateRequest> = {
      key: key(),
      rangeEnd: ["", "e", "\0", "zz"][next(4)] ?? "",
      startRevision,
      filters: chance(80) ? [] : [next(2)],
      prevKv: chance(40),
      fragment: chance(30),
      progressNotify: chance(30),
      watchId: 0n,
    };
    side.asked.push(request);
    side.client.create(request);
  };

  const onCreated = (side: Side, seen: Seen): void => {
    const asked = side.asked.shift();
    if (asked === undefined) throw new Error("created, but not asked for");
    if (seen.canceled) {
      expect(seen.reason).toBe("mvcc: watcher range is empty");
      return;
    }
    const { key: start = "", rangeEnd = "", startRevision = 0, filters = [] } = asked;
    const from = startRevision === 0 ? seen.rev + 1 : startRevision;
    const inRange = (k: string): boolean =>
      rangeEnd === "" ? k === start : k >= start && (rangeEnd === "\0" || k < rangeEnd);
    expect(side.watches.get(seen.id)?.state ?? "over").toBe("over");
    side.watches.set(seen.id, {
      id: seen.id,
      request: asked as WatchCreateRequest,
      from,
      expected: (e) => e.rev >= from && inRange(e.key) && !filters.includes(e.type === "put" ? 0 : 1),
      got: 0,
      lastRevision: 0,
      fragments: [],
      state: "live",
    });
  };

  /** Everything the watch must have got when somebody says that it has everything up to `revision`. */
  const due = (watch: Watch, revision: number): number =>
    log.reduce((n, e) => (e.rev <= revision && watch.expected(e) ? n + 1 : n), 0);

  const onEvents = (watch: Watch, seen: Seen): void => {
    watch.fragments.push(...seen.events);
    if (seen.fragment) {
      expect(watch.request.fragment).toBe(true);
      return;
    }
    const got = watch.fragments;
    watch.fragments = [];
    const first = got[0];
    const last = got.at(-1);
    if (first === undefined || last === undefined) throw new Error("a response without events");
    expect(first.rev, "a revision in two responses").toBeGreaterThan(watch.lastRevision);
    expect(seen.rev).toBeGreaterThanOrEqual(last.rev);
    const wanted = log.filter(watch.expected).slice(watch.got, watch.got + got.length);
    for (const [i, event] of got.entries()) {
      const { prev, ...rest } = event;
      const { prev: truePrev, ...trueRest } = wanted[i] ?? { prev: undefined };
      expect(rest).toEqual(trueRest);
      if (!watch.request.prevKv) expect(prev).toBeUndefined();
      else if (prev !== truePrev) {
        expect(prev).toBeUndefined();
        expect(event.rev - 1).toBeLessThan(store.compactRevision);
      }
    }
    watch.got += got.length;
    watch.lastRevision = last.rev;
    tally.events += got.length;
    expect(watch.got, "a revision was split").toBe(due(watch, last.rev));
  };

  const onSeen = (side: Side, seen: Seen): void => {
    if (seen.created) onCreated(side, seen);
    else if (seen.id === -1n) {
      tally.progress++;
      for (const watch of side.watches.values()) {
        // A watch that is being cancelled may already be gone on the server.
        if (watch.state === "live") expect(watch.got, "progress lied").toBe(due(watch, seen.rev));
      }
    } else {
      const watch = side.watches.get(seen.id);
      if (watch === undefined || watch.state === "over") throw new Error(`response of no watch: ${seen.id}`);
      if (seen.events.length > 0) onEvents(watch, seen);
      else onEmpty(watch, seen);
    }
  };

  const onEmpty = (watch: Watch, seen: Seen): void => {
    expect(watch.fragments).toEqual([]);
    if (!seen.canceled) {
      tally.progress++;
      expect(watch.request.progressNotify).toBe(true);
      expect(watch.got, "a notification lied").toBe(due(watch, seen.rev));
      return;
    }
    if (seen.compact > 0) {
      tally.compactedWatches++;
      expect(seen.rev).toBe(0);
      expect(seen.compact).toBeGreaterThan(Math.max(watch.from, watch.lastRevision + 1));
      // A cancel that is under way is still answered: the id was taken until then.
      if (watch.state === "live") watch.state = "over";
      return;
    }
    expect(watch.state).toBe("cancelling");
    watch.state = "over";
  };

  const takeSome = (side: Side, maxBytes: number): number => {
    const got = side.client.take(maxBytes);
    for (const seen of got) onSeen(side, seen);
    return got.length;
  };

  for (let i = 0; i < 1 + next(4); i++) {
    sides.push({ client: bench.open(), watches: new Map(), asked: [] });
  }
  for (let step = 0; step < steps; step++) {
    const side = sides[next(sides.length)];
    if (side === undefined) throw new Error("no stream");
    const action = next(100);
    if (action < 40) change();
    else if (action < 50) create(side);
    else if (action < 65) hub.catchUp();
    else if (action < 85) takeSome(side, next(1_000));
    else if (action < 89) side.client.stream.requestProgress();
    else if (action < 91) hub.notifyProgress();
    else if (action < 94) {
      const watch = [...side.watches.values()].filter((w) => w.state === "live")[next(4)];
      if (watch !== undefined) {
        watch.state = "cancelling";
        side.client.stream.cancel(watch.id);
      }
    } else if (action < 96 && store.currentRevision > 20) {
      const target = store.currentRevision - next(20);
      if (target > store.compactRevision) {
        while (store.pendingCompaction !== undefined) store.compactSlice(100);
        store.compact(target);
      }
    } else if (store.pendingCompaction !== undefined) store.compactSlice(1 + next(4));
  }
  for (let quiet = 0; quiet < 2; ) {
    quiet = sides.reduce((n, side) => n + takeSome(side, 10_000), 0) === 0 && !hub.catchUp() ? quiet + 1 : 0;
  }
  for (const side of sides) {
    expect(side.asked).toEqual([]);
    for (const watch of side.watches.values()) {
      if (watch.state === "live") expect(watch.got, "events are missing").toBe(due(watch, store.currentRevision));
      expect(watch.state).not.toBe("cancelling");
    }
  }
  expect(hub.unsyncedCount).toBe(0);
  return tally;
}

test("W-2, W-3, W-6, W-7, W-8, W-10, W-11, W-12, W-13: every watch gets exactly its events, in order, once, whole revisions, and progress never lies", () => {
  const sum = { events: 0, compactedWatches: 0, progress: 0 };
  for (let seed = 1; seed <= 300; seed++) {
    try {
      const tally = run(seed, 400);
      sum.events += tally.events;
      sum.compactedWatches += tally.compactedWatches;
      sum.progress += tally.progress;
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  // The schedules reach what they are about.
  expect(sum.events).toBeGreaterThan(10_000);
  expect(sum.compactedWatches).toBeGreaterThan(100);
  expect(sum.progress).toBeGreaterThan(500);
});
