import type { Bucket, RowSource } from "./backend.ts";
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
