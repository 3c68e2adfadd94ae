import { beforeEach, describe, expect, test } from "vitest";
import type { Bucket } from "../../storage/backend.ts";
import { crc32c } from "../../storage/crc32c.ts";
import { createMemoryBackend, type MemoryBackend } from "../../storage/memory-backend.ts";
import type { Mvcc } from "../../storage/mvcc/mvcc.ts";
import { createMvccRestore } from "../../storage/mvcc/store.ts";
import { hashCompaction, hashKv, hashStore, restoreMvcc } from "../../storage/mvcc-walk.ts";
import { BUCKETS } from "../../storage/schema.ts";

let backend: MemoryBackend;
let mvcc: Mvcc;

beforeEach(() => {
  backend = createMemoryBackend();
  mvcc = createMvccRestore(backend).finish().mvcc;
});

function put(key: string, value: string): void {
  mvcc.beginChange();
  mvcc.put(key, Buffer.from(value), 0n);
  mvcc.endChange();
}

function del(key: string): void {
  mvcc.beginChange();
  mvcc.deleteRange(key, "");
  mvcc.endChange();
}

function finishCompaction(): void {
  while (!mvcc.compactSlice(1));
}

function hash(revision = mvcc.currentRevision): Promise<number> {
  return hashKv(backend, mvcc, revision, mvcc.compactRevision);
}

/** Accepts a compaction and answers the hash it stores. */
async function compact(revision: number): Promise<number> {
  const previous = mvcc.compactRevision;
  mvcc.compact(revision);
  const stored = await hashCompaction(backend, mvcc, revision, previous);
  finishCompaction();
  return stored;
}

describe("HashKV", () => {
  test("V-1: the sums seen live, through puts, a delete, compactions and a stored hash", async () => {
    expect(await hash()).toBe(1084519789);
    put("a", "1");
    expect(await hash()).toBe(2587454935);
    put("a", "2");
    put("b", "x");
    expect(await hash()).toBe(1523780942);
    del("a");
    expect(await hash()).toBe(3909293975);
    expect(await compact(4)).toBe(1523780942);
    expect(mvcc.compactRevision).toBe(4);
    expect(await hash()).toBe(3373979763);
    expect(await compact(5)).toBe(3373979763);
    expect(await hash()).toBe(3966414695);
  });

  test("V-1: the same sums from disk", async () => {
    put("a", "1");
    put("a", "2");
    put("b", "x");
    del("a");
    await compact(4);
    await backend.flush();
    backend = backend.crash();
    mvcc = (await restoreMvcc(backend)).mvcc;
    expect(await hash()).toBe(3373979763);
    expect(await compact(5)).toBe(3373979763);
    expect(await hash()).toBe(3966414695);
  });

  test("N-4: an old revision hashes to what it hashed to when it was the current one", async () => {
    const sums: number[] = [];
    for (const [key, value] of ["a1", "b1", "a2", "c1", "b2"]) {
      put(key as string, value as string);
      sums.push(await hash());
    }
    for (const [i, sum] of sums.entries()) expect(await hash(i + 2)).toBe(sum);
  });

  test("N-4: the sum does not depend on how far a compaction has come", async () => {
    for (let round = 0; round < 3; round++) for (let i = 0; i < 20; i++) put(`k${i}`, `${round}`);
    for (let i = 0; i < 5; i++) del(`k${i}`);
    put("k2", "again");
    mvcc.compact(mvcc.currentRevision - 3);
    const sums = new Set<number>([await hash()]);
    while (!mvcc.compactSlice(3)) sums.add(await hash());
    sums.add(await hash());
    expect(sums.size).toBe(1);
  });

  test("N-4: with no key left alive, whatever the compaction leaves is hashed", async () => {
    put("a", "1");
    put("b", "1");
    put("a", "2");
    mvcc.compact(4);
    del("a");
    del("b");
    const early = await hash();
    finishCompaction();
    expect(await hash()).toBe(early);
    // Not the empty keep-set's rows skipped: b at 3 and a at 4 are still there.
    const rows = [...(await rowsOf())];
    expect(rows).toHaveLength(4);
    expect(early).toBe(rows.reduce((sum, bytes) => crc32c(bytes, sum), crc32c(Buffer.from("key"))));
    expect(await compact(5)).not.toBe(1084519789);
  });

  test("N-5: a tombstone at exactly the target keeps the keep-set of its compaction from being empty", async () => {
    put("a", "1");
    await compact(2);
    del("a");
    const rows = await rowsOf();
    expect(rows).toHaveLength(2);
    const key = crc32c(Buffer.from("key"));
    // HashKV has nothing to keep and skips nothing; the compaction keeps the tombstone and skips the put at 2.
    expect(await hash()).toBe(crc32c(rows[1] as Buffer, crc32c(rows[0] as Buffer, key)));
    expect(await compact(3)).toBe(crc32c(rows[1] as Buffer, key));
    // (b): the tombstone at the compact revision is skipped
    expect(await hash()).toBe(key);
  });

  test("writes, and a compaction accepted, while the hash runs do not change it", async () => {
    for (let i = 0; i < 1_300; i++) put(`k${i % 400}`, `${i}`);
    const at = mvcc.currentRevision;
    const alone = await hash();
    const running = hash(at);
    expect(mvcc.oldestPin).toBeDefined();
    for (let i = 0; i < 500; i++) put(`k${i}`, "later");
    for (let i = 0; i < 400; i++) del(`k${i}`);
    mvcc.compact(mvcc.currentRevision);
    await backend.flush();
    expect(await running).toBe(alone);
    expect(mvcc.oldestPin).toBeUndefined();
  });

  test("a failed walk releases its pin", async () => {
    put("a", "1");
    const failing = createMemoryBackend();
    failing.snapshot = () => ({
      range: () => Promise.reject(new Error("disk is gone")),
      close: () => Promise.resolve(),
    });
    await expect(hashKv(failing, mvcc, 2, -1)).rejects.toThrow("disk is gone");
    expect(mvcc.oldestPin).toBeUndefined();
  });
});

describe("Hash", () => {
  async function store(signal?: AbortSignal): Promise<number> {
    const snapshot = backend.snapshot();
    try {
      return await hashStore(snapshot, signal);
    } finally {
      await snapshot.close();
    }
  }

  test("N-6: of an empty store, the names of all buckets", async () => {
    const names = "alarmauthauthRolesauthUsersclusterkeyleasemembersmembers_removedmeta";
    expect(await store()).toBe(crc32c(Buffer.from(names)));
  });

  test("N-6: every row of every bucket, but for three of meta", async () => {
    const rows: [Bucket, string, string][] = [
      ["alarm", "\x08\x01", ""],
      ["auth", "authRevision", "1"],
      ["key", "b\xff", "x".repeat(5_000)],
      ["key", "c".repeat(1_000), "y"],
      ["members_removed", "ab", "removed"],
      ["meta", "a", "z"],
      ["meta", "confState", "{}"],
      ["meta", "zz", "z"],
    ];
    for (const [bucket, key, value] of rows) backend.put(bucket, key, Buffer.from(value));
    const content = BUCKETS.flatMap((name) => [
      name,
      ...rows.filter(([bucket]) => bucket === name).map(([, key, value]) => key + value),
    ]).join("");
    const sum = crc32c(Buffer.from(content, "latin1"));
    expect(await store()).toBe(sum);
    for (const key of ["consistent_index", "term", "storageVersion"]) backend.put("meta", key, Buffer.from(key));
    expect(await store()).toBe(sum);
    for (const bucket of ["auth", "key"] as const) {
      backend.put(bucket, "term", Buffer.from("x"));
      expect(await store()).not.toBe(sum);
      backend.delete(bucket, "term");
    }
    expect(await store()).toBe(sum);
  });

  test("ends with the signal's reason", async () => {
    put("a", "1");
    await expect(store(AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  });
});

/** Key and value bytes of all rows of the `key` bucket. */
async function rowsOf(): Promise<Buffer[]> {
  const snapshot = backend.snapshot();
  const rows = await snapshot.range("key", "", undefined, 1_000);
  await snapshot.close();
  return rows.map(([key, value]) => Buffer.concat([Buffer.from(key, "latin1"), value]));
}
