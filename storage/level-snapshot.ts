import { assert } from "../raft/assert.ts";
import type { BackendSnapshot, Bucket } from "./backend.ts";
import { bucketKeyAt, type LevelLayout } from "./level-layout.ts";
import type { Level, MetaRows } from "./level-writer.ts";
import { type Layer, LayeredView, type Rows } from "./overlay.ts";
import { successor } from "./schema.ts";

/** A range answers with about this much at a time even if its limit allows more. */
const RANGE_BYTES = 1024 * 1024;

/** What a page needs of LevelDB's iterators. */
interface RowIterator {
  nextv(limit: number): Promise<[Buffer, Buffer][]>;
  seek(target: Buffer): void;
}

/** A frozen view of a store in LevelDB: what was staged then, over LevelDB's own snapshot of the same moment. */
export class LevelSnapshot implements BackendSnapshot {
  readonly #db: Level;
  readonly #layout: LevelLayout;
  readonly #snapshot: ReturnType<Level["snapshot"]>;
  readonly #view: LayeredView;
  /** Undefined in a format that has it as rows. */
  readonly #meta: MetaRows | undefined;
  readonly #unseal: (key: Buffer, stored: Buffer) => Buffer | undefined;
  readonly #fault: (error: unknown) => Error;
  readonly #onClosed: () => void;
  readonly closed: Promise<void>;
  #isClosed: () => void = () => undefined;

  constructor(
    db: Level,
    layout: LevelLayout,
    layers: readonly Layer[],
    meta: MetaRows | undefined,
    unseal: (key: Buffer, stored: Buffer) => Buffer | undefined,
    fault: (error: unknown) => Error,
    onClosed: () => void,
  ) {
    this.#meta = meta;
    this.#unseal = unseal;
    this.#onClosed = onClosed;
    this.closed = new Promise((resolve) => {
      this.#isClosed = resolve;
    });
    this.#db = db;
    this.#layout = layout;
    this.#snapshot = db.snapshot();
    this.#view = new LayeredView(layers, (bucket, from, to, limit) => this.#durable(bucket, from, to, limit));
    this.#fault = fault;
  }

  range(bucket: Bucket, from: string, to: string | undefined, limit: number): Promise<Rows> {
    return this.#view.range(bucket, from, to, limit);
  }

  async #durable(bucket: Bucket, from: string, to: string | undefined, limit: number): Promise<Rows> {
    try {
      return await this.#read(bucket, from, to, limit);
    } catch (error) {
      throw this.#fault(error);
    }
  }

  async #read(bucket: Bucket, from: string, to: string | undefined, limit: number): Promise<Rows> {
    if (bucket === "meta" && this.#meta !== undefined) return rowsOf(this.#meta, from, to, limit);
    let start = from;
    for (;;) {
      const iterator = this.#db.iterator({
        gte: this.#layout.keyOf(bucket, start),
        lt: to === undefined ? this.#layout.endOf(bucket) : this.#layout.keyOf(bucket, to),
        snapshot: this.#snapshot,
        highWaterMarkBytes: RANGE_BYTES,
      });
      const stored = await this.#readAll(iterator, bucket, limit).finally(() => iterator.close());
      const rows: (readonly [string, Buffer])[] = [];
      for (const [at, row] of stored) {
        const value = this.#unseal(at, row);
        if (value !== undefined) rows.push([bucketKeyAt(at), value]);
      }
      const last = stored.at(-1);
      if (rows.length > 0 || last === undefined) return rows;
      // Nothing but a mark: there may be more behind it.
      start = successor(bucketKeyAt(last[0]));
    }
  }

  /**
   * LevelDB steps over a block that it cannot read, and its iterator owns up to that only at the end. So a page that ends
   * before is followed by a jump there: otherwise rows would be missing and nobody would know.
   */
  async #readAll(iterator: RowIterator, bucket: Bucket, limit: number): Promise<[Buffer, Buffer][]> {
    const rows = await iterator.nextv(limit);
    if (rows.length === 0) return rows;
    iterator.seek(this.#layout.endOf(bucket));
    const behind = await iterator.nextv(1);
    assert(behind.length === 0, "a range has rows behind its end");
    return rows;
  }

  async close(): Promise<void> {
    await this.#snapshot.close();
    this.#onClosed();
    this.#isClosed();
  }
}

function rowsOf(meta: MetaRows, from: string, to: string | undefined, limit: number): Rows {
  return [...meta]
    .filter(([key]) => key >= from && (to === undefined || key < to))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, limit);
}
