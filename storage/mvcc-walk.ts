import type { Backend, Bucket, RowSource } from "./backend.ts";
import { crc32c } from "./crc32c.ts";
import { createCompactionHash, createHashKv, type KeyHash } from "./mvcc/hash.ts";
import type { Mvcc } from "./mvcc/mvcc.ts";
import { createMvccRestore } from "./mvcc/store.ts";
import { slices } from "./row-slices.ts";
import { BUCKETS, CONSISTENT_INDEX, revisionKey, STORAGE_VERSION, TERM } from "./schema.ts";

/**
 * Walks over the whole store, a bounded slice a turn of the event loop. Each takes its snapshot (and its pin on the
 * index) before it first awaits, so it sees the store as of the call, whatever is applied meanwhile.
 */
const SLICE_ROWS = 500;

/** `onProgress` gets the rows read so far, after each slice. */
export async function restoreMvcc(
  backend: Backend,
  onProgress?: (rows: number) => void,
): Promise<{ readonly mvcc: Mvcc; readonly leased: ReadonlyMap<string, bigint> }> {
  const restore = createMvccRestore(backend);
  const snapshot = backend.snapshot();
  try {
    let rows = 0;
    await walk(
      snapshot,
      "key",
      undefined,
      (key, value) => restore.row(key, value),
      (count) => {
        rows += count;
        onProgress?.(rows);
      },
    );
  } finally {
    await snapshot.close();
  }
  return restore.finish();
}

/** HashKV (N-4) of a revision within compactRevision..currentRevision. Rejects with the signal's reason. */
export function hashKv(
  backend: Backend,
  mvcc: Mvcc,
  revision: number,
  compactRevision: number,
  signal?: AbortSignal,
): Promise<number> {
  return hashKeys(backend, mvcc, revision, compactRevision, createHashKv(mvcc, revision, compactRevision), signal);
}

/**
 * The hash to store for a compaction to `target` (N-5). Call it when the compaction was accepted and before its first
 * slice; `previous` is the compact revision it replaced. Not for a compaction that resumes after a restart: some of
 * what it would hash is removed.
 */
export function hashCompaction(
  backend: Backend,
  mvcc: Mvcc,
  target: number,
  previous: number,
  signal?: AbortSignal,
): Promise<number> {
  return hashKeys(backend, mvcc, target, previous, createCompactionHash(mvcc, target, previous), signal);
}

/**
 * Hash (N-6): of all rows of all buckets, except for those in which members of one cluster may differ. Of a frozen
 * source, which the caller closes. Rejects with the signal's reason.
 */
export async function hashStore(source: RowSource, signal?: AbortSignal): Promise<number> {
  let sum = 0;
  let scratch = Buffer.alloc(256);
  const addText = (text: string): void => {
    if (text.length > scratch.length) scratch = Buffer.alloc(text.length);
    sum = crc32c(scratch.subarray(0, scratch.write(text, "latin1")), sum);
  };
  for (const bucket of BUCKETS) {
    addText(bucket);
    await walk(
      source,
      bucket,
      undefined,
      (key, value) => {
        if (bucket === "meta" && NOT_HASHED.has(key)) return;
        addText(key);
        sum = crc32c(value, sum);
      },
      () => signal?.throwIfAborted(),
    );
  }
  return sum;
}

/** Rows of `meta`. */
const NOT_HASHED: ReadonlySet<string> = new Set([TERM, CONSISTENT_INDEX, STORAGE_VERSION]);

async function hashKeys(
  backend: Backend,
  mvcc: Mvcc,
  revision: number,
  compactRevision: number,
  hash: KeyHash,
  signal: AbortSignal | undefined,
): Promise<number> {
  const snapshot = backend.snapshot();
  const pin = mvcc.pin(Math.min(revision, compactRevision));
  try {
    await walk(
      snapshot,
      "key",
      revisionKey(revision + 1, 0),
      (key, value) => hash.row(key, value),
      () => signal?.throwIfAborted(),
    );
  } finally {
    pin.release();
    await snapshot.close();
  }
  return hash.sum();
}

async function walk(
  source: RowSource,
  bucket: Bucket,
  to: string | undefined,
  onRow: (key: string, value: Uint8Array) => void,
  onSlice?: (rows: number) => void,
): Promise<void> {
  for await (const rows of slices(source, bucket, to, SLICE_ROWS)) {
    for (const [key, value] of rows) onRow(key, value);
    onSlice?.(rows.length);
  }
}
