import { assert } from "../../raft/assert.ts";
import { lowerBound } from "../mvcc/lower-bound.ts";
import type { BoltFile } from "./page-file.ts";
import { openTrees } from "./tree-reader.ts";

/** A range answers with about this much at a time even if its limit allows more. */
const RANGE_BYTES = 1024 * 1024;

/**
 * A database file, read only, as it is at its newest transaction. Nobody may write to it meanwhile. Whoever opened the
 * file closes it.
 */
export interface BoltReader {
  /** Names of the buckets, ascending, as latin1 strings. */
  readonly buckets: readonly string[];
  /**
   * As BackendSnapshot.range; a bucket that the file does not have has no rows. Values of neighbours share memory.
   * Rejects with BoltError when it comes across damage, and with what the file's reads reject with.
   */
  range(
    bucket: string,
    from: string,
    to: string | undefined,
    limit: number,
  ): Promise<readonly (readonly [key: string, value: Buffer])[]>;
}

/**
 * Reads the metas and the names of the buckets; rows are read (and their pages checked) as ranges ask for them. Memory
 * is bounded (some MiB, and the largest value) whatever the file says. Rejects with BoltError if it is damaged.
 */
export async function openBolt(file: BoltFile): Promise<BoltReader> {
  const trees = await openTrees(file);
  const roots = await trees.buckets();
  return {
    buckets: [...roots.keys()],

    async range(bucket, from, to, limit) {
      assert(limit > 0, "a range of no rows was asked for");
      const rows: (readonly [string, Buffer])[] = [];
      const root = roots.get(bucket);
      if (root === undefined) return rows;
      let bytes = 0;
      let next: string | undefined = from;
      while (next !== undefined && (to === undefined || next < to) && rows.length < limit && bytes < RANGE_BYTES) {
        const { leaf, bounds } = await trees.leafFor(root, next, "rows");
        const first = lowerBound(leaf.keys, next);
        const end = to === undefined ? leaf.keys.length : lowerBound(leaf.keys, to);
        const until = Math.min(end, first + limit - rows.length);
        let at = first;
        while (at < until && bytes < RANGE_BYTES) {
          const values = await trees.values(leaf, at, until);
          // What the answer keeps in memory, which may be more than the values.
          bytes += (values[0] as Buffer).buffer.byteLength;
          for (const value of values) rows.push([leaf.keys[at++] as string, value]);
        }
        next = leaf.keys[at] ?? bounds.high;
      }
      return rows;
    },
  };
}
