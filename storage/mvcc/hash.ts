import { crc32c } from "../crc32c.ts";
import { isTombstoneKey, mainOf, REVISION_KEY_BYTES, subOf } from "../schema.ts";
import type { KeyVersion, Mvcc } from "./mvcc.ts";
import { storedKey } from "./stored-pair.ts";

/**
 * Checksums of the store, fed row by row in stored order. All members with the same content give the same sum, however
 * far each one's compaction has come.
 */
export interface KeyHash {
  /** Rows of the `key` bucket, ascending; rows above the revision do not count. */
  row(key: string, value: Uint8Array): void;
  sum(): number;
}

/** HashKV of no rows at all (V-1): the bucket's name. */
export const HASH_OF_NOTHING = crc32c(Buffer.from("key"));

/**
 * HashKV (N-4) of `revision`, where reads below `compactRevision` are refused. The index is asked about `revision`, and
 * about compactRevision: it must not be trimmed beyond either until the last row came (hold a pin).
 */
export function createHashKv(mvcc: Mvcc, revision: number, compactRevision: number): KeyHash {
  return new KvHash(mvcc, revision, compactRevision, false);
}

/**
 * The hash that a compaction to `target` stores (N-5), where `previous` is the compact revision before it (-1: none).
 * To be made before the first compactSlice; the row set differs from HashKV in one rule, see KvHash.
 */
export function createCompactionHash(mvcc: Mvcc, target: number, previous: number): KeyHash {
  return new KvHash(mvcc, target, previous, true);
}

/**
 * Which rows count, with keep-set = newest revision <= `revision` of every key that lives then:
 *
 * - main > compactRevision: all;
 * - main <= compactRevision: those of the keep-set; if the keep-set is empty, whatever a compaction leaves;
 * - a tombstone at exactly compactRevision: never.
 *
 * For a compaction's own hash, tombstones at exactly its target are in the keep-set too (they stay, C-2); that matters
 * only for whether it is empty.
 *
 * Whether the keep-set is empty shows only on the way, so two sums run side by side until the first kept row.
 */
class KvHash implements KeyHash {
  readonly #mvcc: Mvcc;
  readonly #revision: number;
  readonly #compactRevision: number;
  readonly #keepsTombstones: boolean;
  readonly #put = Buffer.alloc(REVISION_KEY_BYTES);
  readonly #tombstone = Buffer.alloc(REVISION_KEY_BYTES + 1);
  #sum = HASH_OF_NOTHING;
  /** As if the keep-set were empty; undefined once it is known not to be. */
  #sumIfNothingKept: number | undefined = this.#sum;

  constructor(mvcc: Mvcc, revision: number, compactRevision: number, keepsTombstones: boolean) {
    this.#mvcc = mvcc;
    this.#revision = revision;
    this.#compactRevision = compactRevision;
    this.#keepsTombstones = keepsTombstones;
  }

  row(rowKey: string, value: Uint8Array): void {
    const main = mainOf(rowKey);
    if (main > this.#revision) return;
    const isTombstone = isTombstoneKey(rowKey);
    if (main > this.#compactRevision) {
      if (this.#sumIfNothingKept !== undefined) this.#noteKept(rowKey, main, isTombstone, value);
      this.#sum = this.#add(this.#sum, rowKey, isTombstone, value);
      if (this.#sumIfNothingKept !== undefined) {
        this.#sumIfNothingKept = this.#add(this.#sumIfNothingKept, rowKey, isTombstone, value);
      }
      return;
    }
    if (isTombstone) return;
    const key = storedKey(value);
    if (isAt(this.#mvcc.get(key, this.#revision), rowKey)) {
      this.#sumIfNothingKept = undefined;
      this.#sum = this.#add(this.#sum, rowKey, false, value);
    } else if (this.#sumIfNothingKept !== undefined && isAt(this.#mvcc.get(key, this.#compactRevision), rowKey)) {
      this.#sumIfNothingKept = this.#add(this.#sumIfNothingKept, rowKey, false, value);
    }
  }

  #noteKept(rowKey: string, main: number, isTombstone: boolean, value: Uint8Array): void {
    const isKept = isTombstone
      ? this.#keepsTombstones && main === this.#revision
      : isAt(this.#mvcc.get(storedKey(value), this.#revision), rowKey);
    if (isKept) this.#sumIfNothingKept = undefined;
  }

  #add(sum: number, rowKey: string, isTombstone: boolean, value: Uint8Array): number {
    const bytes = isTombstone ? this.#tombstone : this.#put;
    bytes.write(rowKey, "latin1");
    return crc32c(value, crc32c(bytes, sum));
  }

  sum(): number {
    return this.#sumIfNothingKept ?? this.#sum;
  }
}

function isAt(version: KeyVersion | undefined, rowKey: string): boolean {
  return version !== undefined && version.mod.main === mainOf(rowKey) && version.mod.sub === subOf(rowKey);
}
