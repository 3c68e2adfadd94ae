import { expect, test } from "vitest";
import type { Backend, BackendSnapshot, Bucket } from "../../storage/backend.ts";
import { BUCKETS, CONSISTENT_INDEX, encodeUint64, successor } from "../../storage/schema.ts";
import { createRandom } from "./random.ts";

/** What every Backend must do. `reopen` closes the backend and opens what it made durable. */
export interface BackendFixture {
  open(): Promise<Backend>;
  reopen(backend: Backend): Promise<Backend>;
}

export function backendSuite(fixture: BackendFixture): void {
  test("what is staged is visible at once, to get and to a snapshot", async () => {
    const backend = await fixture.open();
    backend.put("meta", "a", bytes("1"));
    backend.put("meta", "b", bytes(""));
    expect(text(backend.get("meta", "a"))).toBe("1");
    expect(text(backend.get("meta", "b"))).toBe("");
    expect(backend.get("meta", "c")).toBeUndefined();
    expect(await all(backend, "meta")).toEqual([
      ["a", "1"],
      ["b", ""],
    ]);
    await backend.close();
  });

  test("buckets do not see each other's keys", async () => {
    const backend = await fixture.open();
    for (const bucket of BUCKETS) backend.put(bucket, "k", bytes(bucket));
    backend.put("key", "", bytes("empty key"));
    backend.put("key", "\xff\xff", bytes("last key"));
    await backend.flush();
    for (const bucket of BUCKETS) {
      expect(text(backend.get(bucket, "k"))).toBe(bucket);
      if (bucket !== "key") expect(await all(backend, bucket)).toEqual([["k", bucket]]);
    }
    expect(await all(backend, "key")).toEqual([
      ["", "empty key"],
      ["k", "key"],
      ["\xff\xff", "last key"],
    ]);
    await backend.close();
  });

  test("a deleted row is gone, staged or durable", async () => {
    const backend = await fixture.open();
    backend.put("lease", "staged", bytes("x"));
    backend.delete("lease", "staged");
    backend.put("lease", "durable", bytes("x"));
    await backend.flush();
    backend.delete("lease", "durable");
    backend.delete("lease", "never there");
    expect(backend.get("lease", "staged")).toBeUndefined();
    expect(backend.get("lease", "durable")).toBeUndefined();
    expect(await all(backend, "lease")).toEqual([]);
    await backend.flush();
    expect(backend.get("lease", "durable")).toBeUndefined();
    const again = await fixture.reopen(backend);
    expect(await all(again, "lease")).toEqual([]);
    await again.close();
  });

  test("getMany is as of the call: a flush, a put and a delete before its answer change nothing", async () => {
    const backend = await fixture.open();
    for (const key of ["durable", "overwritten", "gone"]) backend.put("key", key, bytes("1"));
    await backend.flush();
    backend.put("key", "overwritten", bytes("2"));
    backend.put("key", "staged", bytes("2"));
    backend.delete("key", "gone");
    const keys = ["staged", "gone", "durable", "never", "overwritten"];
    const asked = backend.getMany("key", keys);
    backend.delete("key", "durable");
    backend.put("key", "overwritten", bytes("3"));
    await backend.flush();
    expect((await asked).map(text)).toEqual(["2", undefined, "1", undefined, "2"]);
    expect((await backend.getMany("key", keys)).map(text)).toEqual(["2", undefined, undefined, undefined, "3"]);
    await backend.close();
  });

  test("flushed rows survive, staged ones do not", async () => {
    const backend = await fixture.open();
    backend.put("key", "durable", bytes("1"));
    backend.put("key", "overwritten", bytes("old"));
    await backend.flush();
    backend.put("key", "staged", bytes("2"));
    backend.put("key", "overwritten", bytes("new"));
    expect(text(backend.get("key", "overwritten"))).toBe("new");
    const again = await fixture.reopen(backend);
    expect(await all(again, "key")).toEqual([
      ["durable", "1"],
      ["overwritten", "old"],
    ]);
    await again.close();
  });

  test("a flush takes what was staged when it was called; later writes wait for the next", async () => {
    const backend = await fixture.open();
    backend.put("key", "a", bytes("1"));
    const flushing = backend.flush();
    backend.put("key", "a", bytes("2"));
    backend.put("key", "b", bytes("2"));
    expect(text(backend.get("key", "a"))).toBe("2");
    await flushing;
    expect(text(backend.get("key", "a"))).toBe("2");
    const again = await fixture.reopen(backend);
    expect(await all(again, "key")).toEqual([["a", "1"]]);
    await again.close();
  });

  test("a second flush while one runs is a bug, an empty one is not", async () => {
    const backend = await fixture.open();
    await backend.flush();
    backend.put("key", "a", bytes("1"));
    const flushing = backend.flush();
    await expect(backend.flush()).rejects.toThrow("a flush was started while another one runs");
    await flushing;
    await backend.close();
  });

  test("stagedBytes counts what is not durable, also what is being flushed", async () => {
    const backend = await fixture.open();
    expect(backend.stagedBytes).toBe(0);
    backend.put("key", "a", new Uint8Array(1_000));
    backend.put("key", "a", new Uint8Array(2_000));
    backend.putAppliedIndex(1);
    const once = backend.stagedBytes;
    for (let index = 2; index < 1_000; index++) backend.putAppliedIndex(index);
    expect(backend.stagedBytes).toBe(once);
    expect(backend.stagedBytes).toBeGreaterThanOrEqual(2_000);
    expect(backend.stagedBytes).toBeLessThan(2_100);
    const flushing = backend.flush();
    expect(backend.stagedBytes).toBeGreaterThanOrEqual(2_000);
    backend.put("key", "b", new Uint8Array(500));
    expect(backend.stagedBytes).toBeGreaterThanOrEqual(2_500);
    await flushing;
    expect(backend.stagedBytes).toBeGreaterThanOrEqual(500);
    expect(backend.stagedBytes).toBeLessThan(600);
    await backend.flush();
    expect(backend.stagedBytes).toBe(0);
    await backend.close();
  });

  test("a snapshot does not change, whatever is staged, flushed or deleted after it", async () => {
    const backend = await fixture.open();
    backend.put("key", "a", bytes("durable"));
    backend.put("key", "b", bytes("durable"));
    await backend.flush();
    backend.put("key", "b", bytes("flushing"));
    backend.put("key", "c", bytes("flushing"));
    const flushing = backend.flush();
    backend.put("key", "d", bytes("staged"));
    const snapshot = backend.snapshot();
    backend.put("key", "d", bytes("later"));
    backend.put("key", "e", bytes("later"));
    backend.delete("key", "a");
    await flushing;
    await backend.flush();
    expect(await rowsOf(snapshot, "key")).toEqual([
      ["a", "durable"],
      ["b", "flushing"],
      ["c", "flushing"],
      ["d", "staged"],
    ]);
    expect(await all(backend, "key")).toEqual([
      ["b", "flushing"],
      ["c", "flushing"],
      ["d", "later"],
      ["e", "later"],
    ]);
    await snapshot.close();
    await backend.close();
  });

  test("a range is half-open, limited and ascending by bytes", async () => {
    const backend = await fixture.open();
    for (const key of ["b", "\x80", "a", "\xff", "c", "a\0"]) backend.put("key", key, bytes(key));
    await backend.flush();
    backend.put("key", "bb", bytes("bb"));
    const snapshot = backend.snapshot();
    const keys = async (from: string, to: string | undefined, limit: number) =>
      (await snapshot.range("key", from, to, limit)).map(([key]) => key);
    expect(await keys("a", "c", 2)).toEqual(["a", "a\0"]);
    expect(await keys("a\0", "b", 10)).toEqual(["a\0"]);
    expect(await keys("b", undefined, 1)).toEqual(["b"]);
    expect(await keys("c", "c", 10)).toEqual([]);
    expect(await keys("d", "a", 10)).toEqual([]);
    expect((await rowsOf(snapshot, "key")).map(([key]) => key)).toEqual(["a", "a\0", "b", "bb", "c", "\x80", "\xff"]);
    await snapshot.close();
    await backend.close();
  });

  test("large rows come in bounded slices, none lost", async () => {
    const backend = await fixture.open();
    for (let i = 0; i < 30; i++) backend.put("key", `k${String(i).padStart(2, "0")}`, new Uint8Array(200_000).fill(i));
    await backend.flush();
    const snapshot = backend.snapshot();
    const first = await snapshot.range("key", "", undefined, 1_000);
    expect(first.length).toBeLessThan(30);
    const keys: string[] = [];
    let from = "";
    for (;;) {
      const slice = await snapshot.range("key", from, undefined, 1_000);
      if (slice.length === 0) break;
      keys.push(...slice.map(([key]) => key));
      from = successor(keys.at(-1) as string);
    }
    expect(keys).toHaveLength(30);
    await snapshot.close();
    await backend.close();
  });

  test("values may be views; what is handed out keeps its content", async () => {
    const backend = await fixture.open();
    const whole = Buffer.from("__value__");
    backend.put("key", "view", whole.subarray(2, 7));
    await backend.flush();
    const first = backend.get("key", "view");
    backend.put("key", "other", bytes("xxxxx"));
    await backend.flush();
    backend.get("key", "other");
    expect(text(first)).toBe("value");
    await backend.close();
  });

  test("size grows with what is flushed", async () => {
    const backend = await fixture.open();
    const before = backend.size();
    backend.put("key", "a", new Uint8Array(300_000));
    await backend.flush();
    const after = backend.size();
    expect(after.total).toBeGreaterThanOrEqual(before.total + 300_000);
    expect(after.inUse).toBeGreaterThan(before.inUse);
    expect(after.inUse).toBeLessThanOrEqual(after.total);
    await backend.close();
  });

  test.each([1, 2, 3])(
    "random writes, flushes, snapshots and restarts agree with plain maps (seed %i)",
    async (seed) => {
      const random = createRandom(seed);
      const buckets: readonly Bucket[] = ["key", "lease", "meta"];
      const keys = ["", "a", "a\0", "ab", "b", CONSISTENT_INDEX, "\x7f", "\x80", "\xff", "\xff\xff"];
      let backend = await fixture.open();
      let live: Model = new Map();
      let durable: Model = new Map();
      const snapshots: { readonly snapshot: BackendSnapshot; readonly content: Model }[] = [];
      for (let step = 0; step < 1_500; step++) {
        const bucket = random.pick(buckets);
        const key = random.pick(keys);
        const drawn = random.below(100);
        if (drawn < 5) {
          backend.putAppliedIndex(step);
          live.set(`meta/${CONSISTENT_INDEX}`, text(encodeUint64(step)) as string);
        } else if (drawn < 60) {
          backend.put(bucket, key, bytes(`${step}`));
          live.set(`${bucket}/${key}`, `${step}`);
        } else if (drawn < 85) {
          backend.delete(bucket, key);
          live.delete(`${bucket}/${key}`);
        } else if (drawn < 90) {
          await backend.flush();
          durable = new Map(live);
        } else if (drawn < 96) {
          snapshots.push({ snapshot: backend.snapshot(), content: new Map(live) });
        } else if (drawn < 97) {
          for (const { snapshot } of snapshots.splice(0)) await snapshot.close();
          backend = await fixture.reopen(backend);
          live = new Map(durable);
        } else {
          const taken = snapshots.shift();
          if (taken === undefined) continue;
          for (const each of buckets) {
            const limit = 1 + random.below(4);
            expect(await rowsOf(taken.snapshot, each, limit)).toEqual(modelRows(taken.content, each));
          }
          await taken.snapshot.close();
        }
        expect(text(backend.get(bucket, key))).toBe(live.get(`${bucket}/${key}`));
      }
      for (const { snapshot } of snapshots) await snapshot.close();
      for (const bucket of buckets) expect(await all(backend, bucket)).toEqual(modelRows(live, bucket));
      await backend.close();
    },
  );
}

type Model = Map<string, string>;

function modelRows(model: Model, bucket: Bucket): [string, string][] {
  const rows: [string, string][] = [];
  for (const [path, value] of model) {
    if (path.startsWith(`${bucket}/`)) rows.push([path.slice(bucket.length + 1), value]);
  }
  return rows.sort(([a], [b]) => (a < b ? -1 : 1));
}

function bytes(content: string): Uint8Array {
  return Buffer.from(content, "latin1");
}

function text(content: Uint8Array | undefined): string | undefined {
  return content === undefined ? undefined : Buffer.from(content).toString("latin1");
}

async function all(backend: Backend, bucket: Bucket): Promise<[string, string][]> {
  const snapshot = backend.snapshot();
  const rows = await rowsOf(snapshot, bucket);
  await snapshot.close();
  return rows;
}

async function rowsOf(snapshot: BackendSnapshot, bucket: Bucket, limit = 3): Promise<[string, string][]> {
  const found: [string, string][] = [];
  let from = "";
  for (;;) {
    const rows = await snapshot.range(bucket, from, undefined, limit);
    expect(rows.length).toBeLessThanOrEqual(limit);
    const last = rows.at(-1);
    if (last === undefined) return found;
    for (const [key, value] of rows) found.push([key, text(value) as string]);
    from = successor(last[0]);
  }
}
