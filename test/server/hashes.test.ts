import { beforeEach, describe, expect, test } from "vitest";
import { errors } from "../../src/api/errors.ts";
import { Compactor } from "../../src/server/compactor.ts";
import { KvHashes } from "../../src/server/kv-hashes.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import type { Mvcc } from "../../storage/mvcc/mvcc.ts";
import { createMvccRestore } from "../../storage/mvcc/store.ts";
import { FakeEnv } from "./fake-env.ts";

let env: FakeEnv;
let mvcc: Mvcc;
let asked: string[];
let verified: number;
let finishers: ((hash: number) => void)[];
let hashes: KvHashes;

/** A walk that ends when the test says so, or the signal. */
function walk(name: string, signal: AbortSignal): Promise<number> {
  asked.push(name);
  return new Promise((resolve, reject) => {
    finishers.push(resolve);
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

function put(count: number): void {
  for (let n = 0; n < count; n++) {
    mvcc.beginChange();
    mvcc.put("key", Buffer.from(String(n)), 0n);
    mvcc.endChange();
  }
}

beforeEach(() => {
  env = new FakeEnv();
  mvcc = createMvccRestore(createMemoryBackend()).finish().mvcc;
  asked = [];
  verified = 0;
  finishers = [];
  hashes = new KvHashes({
    mvcc,
    verify: async () => {
      verified++;
    },
    hash: (revision, compactRevision, signal) => walk(`${revision}/${compactRevision}`, signal),
    hashCompaction: (target, previous, signal) => walk(`compaction ${target}/${previous}`, signal),
    hashStore: (signal) => walk("store", signal),
  });
  put(10);
});

async function finish(hash: number): Promise<void> {
  await env.settle();
  finishers.shift()?.(hash);
  await env.settle();
}

describe("N-4: HashKV on request", () => {
  test("at a negative revision it is that of nothing, whatever was compacted", async () => {
    mvcc.compact(5);
    expect(await hashes.ask(-1)).toEqual({ hash: 1084519789, compactRevision: 5, hashRevision: -1 });
    await expect(hashes.ask(4)).rejects.toBe(errors.compacted);
    expect(asked).toEqual([]);
  });

  test("one walk at a time; callers of one revision share it", async () => {
    const all = Promise.all([hashes.ask(5), hashes.ask(5), hashes.ask(7)]);
    await env.settle();
    expect(asked).toEqual(["5/-1"]);
    await finish(55);
    expect(asked).toEqual(["5/-1", "7/-1"]);
    await finish(77);
    expect((await all).map(({ hash, hashRevision }) => [hash, hashRevision])).toEqual([
      [55, 5],
      [55, 5],
      [77, 7],
    ]);
  });

  test("who wants the files verified first does not share a walk before which they were not", async () => {
    const all = Promise.all([hashes.ask(5), hashes.ask(5, true), hashes.ask(5, true)]);
    await finish(55);
    expect(verified).toBe(1);
    await finish(56);
    expect((await all).map(({ hash }) => hash)).toEqual([55, 56, 56]);
    expect(asked).toEqual(["5/-1", "5/-1"]);
  });

  test("bad revisions are refused at once", async () => {
    mvcc.compact(4);
    await expect(hashes.ask(3)).rejects.toBe(errors.compacted);
    await expect(hashes.ask(12)).rejects.toBe(errors.futureRevision);
    expect(asked).toEqual([]);
  });

  test("a compaction that overtakes one in the queue: an old revision is refused, the current one asked for anew", async () => {
    const first = hashes.ask(5);
    const old = hashes.ask(6);
    const current = hashes.ask(0);
    const refused = expect(old).rejects.toBe(errors.compacted);
    await env.settle();
    put(5);
    mvcc.compact(14);
    await finish(55);
    await first;
    await refused;
    await finish(99);
    expect(await current).toEqual({ hash: 99, compactRevision: 14, hashRevision: 16 });
  });

  test("the queue is bounded", async () => {
    put(100);
    const calls = Array.from({ length: 70 }, (_, n) => hashes.ask(n + 2).catch((error: Error) => error));
    await env.settle();
    await hashes.stop();
    const outcomes = await Promise.all(calls);
    expect(outcomes.filter((outcome) => outcome === errors.tooManyRequests)).toHaveLength(6);
    expect(outcomes.filter((outcome) => outcome === errors.stopped)).toHaveLength(64);
  });
});

describe("N-6: Hash of the whole store", () => {
  test("waits for its turn; who asks before it has begun shares it, who asks later does not", async () => {
    const kv = hashes.ask(5);
    const early = Promise.all([hashes.askStore(), hashes.askStore()]);
    await env.settle();
    expect(asked).toEqual(["5/-1"]);
    await finish(55);
    const late = hashes.askStore();
    await finish(1);
    expect(await early).toEqual([1, 1]);
    await finish(2);
    expect([await late, (await kv).hash]).toEqual([2, 55]);
    expect(asked).toEqual(["5/-1", "store", "store"]);
  });

  test("at a stop, those that run and those that wait hear of it", async () => {
    const calls = [hashes.askStore().catch((error: Error) => error)];
    await env.settle();
    calls.push(hashes.askStore().catch((error: Error) => error));
    await hashes.stop();
    expect(await Promise.all(calls)).toEqual([errors.stopped, errors.stopped]);
  });
});

describe("C-3, N-5: removal", () => {
  function compactor(): { readonly work: Compactor; readonly faults: unknown[]; readonly batchesAt: number[] } {
    const faults: unknown[] = [];
    const batchesAt: number[] = [];
    const work = new Compactor({
      env,
      mvcc,
      batchKeys: 10,
      pauseMs: 10,
      storeHash: (target, previous) => hashes.store(target, previous),
      onStaged: () => batchesAt.push(env.now()),
      onFinished: () => undefined,
      onFatal: (error) => faults.push(error),
    });
    return { work, faults, batchesAt };
  }

  test("N-5: nothing is removed before the hash is taken, and HashKV of that revision is then the stored one", async () => {
    const { work } = compactor();
    mvcc.compact(8);
    work.accepted(8, -1);
    await env.advance(1_000);
    expect(mvcc.pendingCompaction).toBe(8);
    await finish(808);
    await env.advance(1_000);
    expect(mvcc.pendingCompaction).toBeUndefined();
    expect(await hashes.ask(8)).toEqual({ hash: 808, compactRevision: -1, hashRevision: 8 });
  });

  test("N-5: what a compaction left is answered when later ones have left its revision behind, too", async () => {
    const { work } = compactor();
    mvcc.compact(5);
    work.accepted(5, -1);
    await finish(505);
    await env.advance(100);
    mvcc.compact(8);
    work.accepted(8, 5);
    await finish(808);
    await env.advance(100);
    expect(await hashes.ask(5)).toEqual({ hash: 505, compactRevision: -1, hashRevision: 5 });
    expect(await hashes.ask(8)).toEqual({ hash: 808, compactRevision: 5, hashRevision: 8 });
    await expect(hashes.ask(6)).rejects.toBe(errors.compacted);
  });

  test("N-5: one that comes while another is being removed leaves a hash, too, and nothing is removed meanwhile", async () => {
    const { work, batchesAt } = compactor();
    put(30);
    mvcc.compact(37);
    work.accepted(37, -1);
    await finish(3_737);
    await env.advance(5);
    expect(batchesAt).toHaveLength(1);
    mvcc.compact(40);
    work.accepted(40, 37);
    await env.advance(1_000);
    expect([batchesAt.length, mvcc.pendingCompaction]).toEqual([1, 40]);
    await finish(4_040);
    await env.advance(1_000);
    expect(mvcc.pendingCompaction).toBeUndefined();
    expect(await hashes.ask(37)).toEqual({ hash: 3_737, compactRevision: -1, hashRevision: 37 });
    expect(await hashes.ask(40)).toEqual({ hash: 4_040, compactRevision: 37, hashRevision: 40 });
  });

  test("C-1: the hash that a first compaction to 0 leaves is not taken for that of the current revision", async () => {
    const { work } = compactor();
    mvcc.compact(0);
    work.accepted(0, -1);
    await finish(1);
    await env.advance(100);
    const current = hashes.ask(0);
    await finish(11);
    expect(await current).toEqual({ hash: 11, compactRevision: 0, hashRevision: 11 });
    put(1);
    const next = hashes.ask(0);
    await finish(12);
    expect(await next).toEqual({ hash: 12, compactRevision: 0, hashRevision: 12 });
  });

  test("C-3: it goes in batches, with a pause after each in which reads and writes have their turn", async () => {
    const { work, batchesAt } = compactor();
    put(30);
    mvcc.compact(37);
    const accepted = env.now();
    work.accepted(37, -1);
    let finished = false;
    void work.finished().then(() => {
      finished = true;
    });
    await finish(1);
    await env.advance(25);
    expect(batchesAt.map((at) => at - accepted)).toEqual([0, 10, 20]);
    expect([finished, mvcc.pendingCompaction]).toEqual([false, 37]);
    put(1);
    await env.advance(1_000);
    expect(batchesAt.map((at) => at - accepted)).toEqual([0, 10, 20, 30]);
    expect([finished, mvcc.pendingCompaction, mvcc.currentRevision]).toEqual([true, undefined, 42]);
  });

  test("a pin of an older revision holds the removal up, one of a newer does not", async () => {
    const { work } = compactor();
    const pin = mvcc.pin(7);
    mvcc.compact(8);
    work.accepted(8, -1);
    await finish(1);
    await env.advance(1_000);
    expect(mvcc.pendingCompaction).toBe(8);
    mvcc.pin(8);
    pin.release();
    await env.advance(100);
    expect(mvcc.pendingCompaction).toBeUndefined();
  });

  test("a stop ends a running hash, is no fault, and says that the removal is not finished", async () => {
    const { work, faults } = compactor();
    mvcc.compact(8);
    work.accepted(8, -1);
    await env.settle();
    const waiting = expect(work.finished()).rejects.toBe(errors.stopped);
    await Promise.all([hashes.stop(), work.stop()]);
    await waiting;
    expect(faults).toEqual([]);
    expect(mvcc.pendingCompaction).toBe(8);
  });
});
