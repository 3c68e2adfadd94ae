import { putLatin1 } from "../proto/codec.ts";
import type { Bucket } from "./backend.ts";
import { BUCKETS } from "./schema.ts";

/**
 * How a store lays out its rows; each format does all that the one before it does.
 *
 *   quorate 1  values as they are, buckets in the order of their names
 *   quorate 2  each row with a checksum (level-rows.ts)
 *   quorate 3  no rows of `meta`: it is a mark on the last row of `key` (level-writer.ts)
 *   quorate 4  `key` behind all other buckets
 *
 * The last two are for LevelDB's tables. Revisions ascend: what a flush writes lies behind all that is there, if nothing
 * that it writes (the consistent index) and nothing that is there (a member) lies behind it. Then no table overlaps
 * another, and LevelDB moves tables down as they are. Else each is merged with the last one of the next level: with a row
 * of `meta` in each flush every pair was written three times, with `members` behind `key` twice. A flush that also writes in
 * front of the pairs (a lease, deletes of a compaction) still makes a table that is merged: rows that are just there do not.
 */
export const FORMATS = ["quorate 1", "quorate 2", "quorate 3", "quorate 4"] as const;
export type LevelFormat = 1 | 2 | 3 | 4;

const SCRATCH_KEY_BYTES = 32;

const BY_NAME: readonly Bucket[] = BUCKETS;
const KEY_LAST: readonly Bucket[] = [...BUCKETS.filter((bucket) => bucket !== "key"), "key"];

/**
 * Where rows are in LevelDB: a byte for the bucket and then the bucket's key, so buckets are contiguous. Byte 0 is no
 * bucket: it holds the format.
 */
export class LevelLayout {
  /** Rows carry their own checksums. */
  readonly isSealed: boolean;
  /** `meta` has no rows. */
  readonly hasMarks: boolean;
  readonly #buckets: readonly Bucket[];
  readonly #bytes: Readonly<Record<Bucket, number>>;
  /** By length. */
  readonly #scratch: readonly Buffer[] = Array.from({ length: SCRATCH_KEY_BYTES + 1 }, (_, length) =>
    Buffer.alloc(length),
  );

  constructor(format: LevelFormat) {
    this.isSealed = format >= 2;
    this.hasMarks = format >= 3;
    this.#buckets = format >= 4 ? KEY_LAST : BY_NAME;
    this.#bytes = Object.fromEntries(this.#buckets.map((bucket, i) => [bucket, i + 1])) as Record<Bucket, number>;
  }

  /** Whether it has rows of that bucket. */
  hasRowsOf(bucket: Bucket): boolean {
    return bucket !== "meta" || !this.hasMarks;
  }

  keyOf(bucket: Bucket, key: string): Buffer {
    return this.#written(Buffer.allocUnsafe(key.length + 1), bucket, key);
  }

  /** For calls that are done with it when they return: the next one of that length takes its place. */
  scratchKeyOf(bucket: Bucket, key: string): Buffer {
    const out = this.#scratch[key.length + 1];
    return out === undefined ? this.keyOf(bucket, key) : this.#written(out, bucket, key);
  }

  #written(out: Buffer, bucket: Bucket, key: string): Buffer {
    out[0] = this.#bytes[bucket];
    putLatin1(key, out, 1);
    return out;
  }

  /** Behind every row of the bucket, and not behind those of the next one. */
  endOf(bucket: Bucket): Buffer {
    return Buffer.from([this.#bytes[bucket] + 1]);
  }

  /** Behind every row. */
  get end(): Buffer {
    return Buffer.from([this.#buckets.length + 1]);
  }

  bucketAt(levelKey: Buffer): Bucket | undefined {
    return this.#buckets[(levelKey[0] as number) - 1];
  }
}

/** The key within its bucket. */
export function bucketKeyAt(levelKey: Buffer): string {
  return levelKey.toString("latin1", 1);
}
