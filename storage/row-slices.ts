import type { Backend, Bucket, RowSource } from "./backend.ts";
import { successor } from "./schema.ts";

/** All rows of the bucket below `to` (undefined: to the end), at most `sliceRows` at a time. No slice is empty. */
export async function* slices(
  source: RowSource,
  bucket: Bucket,
  to: string | undefined,
  sliceRows: number,
): AsyncGenerator<readonly (readonly [key: string, value: Uint8Array])[], void, undefined> {
  let from = "";
  for (;;) {
    const rows = await source.range(bucket, from, to, sliceRows);
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows;
    from = successor(last[0]);
  }
}

const COPY_ROWS = 1_000;

/**
 * Copies all rows of the bucket into the backend, which is flushed whenever more than `flushAtBytes` are staged. `onRows`
 * gets the rows that were staged last, and ends the copy with what it throws.
 */
export async function copyBucket(
  source: RowSource,
  bucket: Bucket,
  backend: Backend,
  flushAtBytes: number,
  onRows: (rows: readonly (readonly [key: string, value: Uint8Array])[]) => void,
): Promise<void> {
  for await (const rows of slices(source, bucket, undefined, COPY_ROWS)) {
    for (const [key, value] of rows) backend.put(bucket, key, value);
    onRows(rows);
    if (backend.stagedBytes >= flushAtBytes) await backend.flush();
  }
}
