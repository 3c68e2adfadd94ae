import { lowerBound } from "./mvcc/lower-bound.ts";

type Value = Uint8Array | null;

/** Rows of one bucket that wait to be made durable; null: deleted. */
export interface StagedRows {
  readonly size: number;
  get(key: string): Value | undefined;
  /** In no order that anybody may rely on. */
  entries(): IterableIterator<[string, Value]>;
}

/** Those that are still written to. */
export interface OpenRows extends StagedRows {
  /** Returns what was staged for the key before; undefined: nothing. */
  set(key: string, value: Value): Value | undefined;
}

export class HashedRows implements OpenRows {
  readonly #rows = new Map<string, Value>();

  get size(): number {
    return this.#rows.size;
  }

  get(key: string): Value | undefined {
    return this.#rows.get(key);
  }

  set(key: string, value: Value): Value | undefined {
    const before = this.#rows.get(key);
    this.#rows.set(key, value);
    return before;
  }

  entries(): IterableIterator<[string, Value]> {
    return this.#rows.entries();
  }
}

/**
 * For a bucket whose rows come in ascending order, as revisions do: two arrays. A hash table hashes each key, looks for it
 * twice, and is copied whenever it grows. What comes out of order (the deletes of a compaction) is kept aside.
 */
export class AscendingRows implements OpenRows {
  readonly #keys: string[] = [];
  readonly #values: Value[] = [];
  /** Each below the last of #keys, and not among them. */
  readonly #others = new Map<string, Value>();

  get size(): number {
    return this.#keys.length + this.#others.size;
  }

  get(key: string): Value | undefined {
    const at = this.#find(key);
    return at < 0 ? this.#others.get(key) : this.#values[at];
  }

  set(key: string, value: Value): Value | undefined {
    const count = this.#keys.length;
    if (count === 0 || key > (this.#keys[count - 1] as string)) {
      this.#keys.push(key);
      this.#values.push(value);
      return undefined;
    }
    const at = this.#find(key);
    const before = at < 0 ? this.#others.get(key) : this.#values[at];
    if (at < 0) this.#others.set(key, value);
    else this.#values[at] = value;
    return before;
  }

  entries(): IterableIterator<[string, Value]> {
    return new Cursor(this.#keys, this.#values, this.#others.entries());
  }

  #find(key: string): number {
    const keys = this.#keys;
    // Most look-ups are of rows that were flushed long ago.
    if (keys.length === 0 || key < (keys[0] as string)) return -1;
    const at = lowerBound(keys, key);
    return keys[at] === key ? at : -1;
  }
}

class Cursor implements IterableIterator<[string, Value]> {
  readonly #keys: readonly string[];
  readonly #values: readonly Value[];
  readonly #rest: Iterator<[string, Value]>;
  #at = 0;

  constructor(keys: readonly string[], values: readonly Value[], rest: Iterator<[string, Value]>) {
    this.#keys = keys;
    this.#values = values;
    this.#rest = rest;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<[string, Value], undefined> {
    const at = this.#at;
    if (at >= this.#keys.length) return this.#rest.next();
    this.#at = at + 1;
    return { done: false, value: [this.#keys[at] as string, this.#values[at] as Value] };
  }
}
