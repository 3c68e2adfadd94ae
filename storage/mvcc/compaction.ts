import type { Backend } from "../backend.ts";
import { revisionKey, tombstoneKey } from "../schema.ts";
import { compactKey, isCompactable, type KeyIndex } from "./key-index.ts";
import type { TreeIndex } from "./tree-index.ts";

/**
 * One walk over the index that drops what a compaction to `target` does not keep (C-2), in bounded slices.
 *
 * Writes may go on between slices: a key that is put or deleted behind the walk gets revisions above `target` only, so
 * the walk never has to come back. A restart simply walks again from the first key.
 */
export class Compaction {
  readonly target: number;
  readonly #tree: TreeIndex<KeyIndex>;
  readonly #backend: Backend;
  /** Everything below it is done; undefined once everything is. */
  #from: string | undefined = "";
  #highestSubAtTarget = -1;

  constructor(target: number, tree: TreeIndex<KeyIndex>, backend: Backend) {
    this.target = target;
    this.#tree = tree;
    this.#backend = backend;
  }

  /** Highest sub-revision that was dropped at exactly `target`, or -1. */
  get highestSubAtTarget(): number {
    return this.#highestSubAtTarget;
  }

  /** Looks at up to `maxKeys` keys and drops up to `maxKeys` rows; true when the walk is over. */
  slice(maxKeys: number): boolean {
    let left = maxKeys;
    for (const key of this.#nextCompactable(maxKeys)) {
      left -= this.#compact(key, left);
      if (left === 0) {
        this.#from = key;
        return false;
      }
    }
    return this.#from === undefined;
  }

  #nextCompactable(maxKeys: number): readonly string[] {
    const from = this.#from;
    const found: string[] = [];
    if (from === undefined) return found;
    let seen = 0;
    let next: string | undefined;
    this.#tree.visit(from, undefined, (key, index) => {
      if (seen === maxKeys) {
        next = key;
        return false;
      }
      seen++;
      if (isCompactable(index, this.target)) found.push(key);
      return true;
    });
    this.#from = next;
    return found;
  }

  /** Rows dropped. */
  #compact(key: string, limit: number): number {
    let rows = 0;
    const before = this.#tree.get(key);
    if (before === undefined) return rows;
    const after = compactKey(before, this.target, limit, (main, sub, isTombstone) => {
      this.#backend.delete("key", isTombstone ? tombstoneKey(main, sub) : revisionKey(main, sub));
      if (main === this.target) this.#highestSubAtTarget = Math.max(this.#highestSubAtTarget, sub);
      rows++;
    });
    if (after === undefined) this.#tree.delete(key);
    else if (after !== before) this.#tree.update(key, () => after);
    return rows;
  }
}
