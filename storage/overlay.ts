import { assert } from "../raft/assert.ts";
import type { Bucket, RowSource } from "./backend.ts";
import { lowerBound } from "./mvcc/lower-bound.ts";
import { BUCKETS, CONSISTENT_INDEX, encodeUint64, successor } from "./schema.ts";
import { AscendingRows, HashedRows, type OpenRows, type StagedRows } from "./staged-rows.ts";

/**
 * What a backend staged and has not made durable: a stack of layers, oldest first. Only the newest is written to.
 *
 *   layers:  [ being flushed ... ][ frozen by a snapshot ... ][ open ]
 *
 * Freezing closes the open layer, so a flush or a snapshot takes the layers as they are and copies nothing.
 */
export interface Layer {
  readonly rows: Readonly<Record<Bucket, StagedRows>>;
  readonly bytes: number;
}

interface OpenLayer extends Layer {
  readonly rows: Record<Bucket, OpenRows>;
  bytes: number;
  /** CONSISTENT_INDEX of `meta`, which is not among the rows before the layer is closed: every entry sets it. */
  appliedIndex: number | undefined;
}

const INDEX_ROW_BYTES = rowBytes(CONSISTENT_INDEX, encodeUint64(0));

/** Beyond this many closed layers a snapshot's freeze merges them, so reads never probe a long stack. */
const MAX_FROZEN_LAYERS = 4;

export class Overlay {
  /** Oldest first; the first #flushing of them are in a flush. */
  #closed: Layer[] = [];
  #flushing = 0;
  #open: OpenLayer = openLayer();
  #closedBytes = 0;

  get bytes(): number {
    return this.#closedBytes + this.#open.bytes;
  }

  get isFlushing(): boolean {
    return this.#flushing > 0;
  }

  /** null: deleted; undefined: nothing staged about the key. */
  get(bucket: Bucket, key: string): Uint8Array | null | undefined {
    const { rows, appliedIndex } = this.#open;
    if (bucket === "meta" && key === CONSISTENT_INDEX && appliedIndex !== undefined) return encodeUint64(appliedIndex);
    const value = rows[bucket].get(key);
    if (value !== undefined) return value;
    for (let i = this.#closed.length - 1; i >= 0; i--) {
      const older = (this.#closed[i] as Layer).rows[bucket].get(key);
      if (older !== undefined) return older;
    }
    return undefined;
  }

  set(bucket: Bucket, key: string, value: Uint8Array | null): void {
    const open = this.#open;
    if (bucket === "meta" && key === CONSISTENT_INDEX && open.appliedIndex !== undefined) {
      open.appliedIndex = undefined;
      open.bytes -= INDEX_ROW_BYTES;
    }
    const before = open.rows[bucket].set(key, value);
    if (before !== undefined) open.bytes -= rowBytes(key, before);
    open.bytes += rowBytes(key, value);
  }

  /** What `set` of CONSISTENT_INDEX does. */
  setAppliedIndex(index: number): void {
    const open = this.#open;
    if (open.appliedIndex === undefined) open.bytes += INDEX_ROW_BYTES;
    open.appliedIndex = index;
  }

  /** Everything staged now, oldest first. Later writes are not in it. */
  freeze(): readonly Layer[] {
    this.#close();
    if (this.#closed.length - this.#flushing > MAX_FROZEN_LAYERS) this.#mergeFrozen();
    return this.#closed.slice();
  }

  /** Everything staged now, to be made durable; it stays readable until flushed() says it is. */
  beginFlush(): readonly Layer[] {
    assert(!this.isFlushing, "a flush was started while another one runs");
    this.#close();
    this.#flushing = this.#closed.length;
    return this.#closed.slice();
  }

  flushed(): void {
    for (const layer of this.#closed.splice(0, this.#flushing)) this.#closedBytes -= layer.bytes;
    this.#flushing = 0;
  }

  #close(): void {
    const open = this.#open;
    if (open.bytes === 0) return;
    if (open.appliedIndex !== undefined) open.rows.meta.set(CONSISTENT_INDEX, encodeUint64(open.appliedIndex));
    this.#closed.push(open);
    this.#closedBytes += open.bytes;
    this.#open = openLayer();
  }

  #mergeFrozen(): void {
    const frozen = this.#closed.splice(this.#flushing);
    const merged = openLayer();
    for (const layer of frozen) this.#closedBytes -= layer.bytes;
    for (const bucket of BUCKETS) {
      for (const [key, value] of mergeRows(frozen, bucket).entries()) {
        merged.rows[bucket].set(key, value);
        merged.bytes += rowBytes(key, value);
      }
    }
    this.#closed.push(merged);
    this.#closedBytes += merged.bytes;
  }
}

/** A frozen source with these rows instead of its own; null: without the row. */
export function withRows(source: RowSource, rows: Readonly<Partial<Record<Bucket, StagedRows>>>): RowSource {
  const layer: Layer = { rows: { ...openLayer().rows, ...rows }, bytes: 0 };
  return new LayeredView([layer], (bucket, from, to, limit) => source.range(bucket, from, to, limit));
}

function openLayer(): OpenLayer {
  return {
    rows: {
      alarm: new HashedRows(),
      auth: new HashedRows(),
      authRoles: new HashedRows(),
      authUsers: new HashedRows(),
      cluster: new HashedRows(),
      key: new AscendingRows(),
      lease: new HashedRows(),
      members: new HashedRows(),
      members_removed: new HashedRows(),
      meta: new HashedRows(),
    },
    bytes: 0,
    appliedIndex: undefined,
  };
}

/** Never 0, so a layer without bytes is an empty one. */
function rowBytes(key: string, value: Uint8Array | null): number {
  return 1 + key.length + (value === null ? 0 : value.length);
}

/** What the layers (oldest first) together say about the bucket. */
export function mergeRows(layers: readonly Layer[], bucket: Bucket): StagedRows {
  const merged = new Map<string, Uint8Array | null>();
  for (const layer of layers) {
    for (const [key, value] of layer.rows[bucket].entries()) merged.set(key, value);
  }
  return merged;
}

export type Rows = readonly (readonly [key: string, value: Uint8Array])[];

/** Durable rows with from <= key < to, ascending: `limit` of them or, if they are large, fewer; none only at the end. */
export type ReadDurable = (bucket: Bucket, from: string, to: string | undefined, limit: number) => Promise<Rows>;

/** A frozen view: layers over the durable rows of the same moment. */
export class LayeredView {
  readonly #layers: readonly Layer[];
  readonly #read: ReadDurable;
  /** Made when a bucket is first walked. */
  readonly #sorted = new Map<Bucket, SortedRows>();

  constructor(layers: readonly Layer[], read: ReadDurable) {
    this.#layers = layers;
    this.#read = read;
  }

  /** As BackendSnapshot.range. */
  async range(bucket: Bucket, from: string, to: string | undefined, limit: number): Promise<Rows> {
    assert(limit > 0, "a range of no rows was asked for");
    if (to !== undefined && from >= to) return [];
    const staged = this.#sortedRows(bucket);
    let start = from;
    for (;;) {
      const durable = await this.#read(bucket, start, to, limit);
      const last = durable.at(-1);
      if (last === undefined) return overlaid(durable, staged, start, to, limit);
      // `durable` may end early, so what is staged behind its last row has to wait for the next call.
      const end = successor(last[0]);
      const rows = overlaid(durable, staged, start, end, limit);
      if (rows.length > 0) return rows;
      start = end;
    }
  }

  #sortedRows(bucket: Bucket): SortedRows {
    let sorted = this.#sorted.get(bucket);
    if (sorted === undefined) {
      const only = this.#layers.length === 1 ? this.#layers[0] : undefined;
      const rows = only === undefined ? mergeRows(this.#layers, bucket) : only.rows[bucket];
      sorted = { rows, keys: Array.from(rows.entries(), ([key]) => key).sort(byBytes) };
      this.#sorted.set(bucket, sorted);
    }
    return sorted;
  }
}

interface SortedRows {
  readonly rows: StagedRows;
  readonly keys: readonly string[];
}

/** Lays what is staged over `durable`, which holds all durable rows with from <= key < to. */
function overlaid(durable: Rows, staged: SortedRows, from: string, to: string | undefined, limit: number): Rows {
  let at = lowerBound(staged.keys, from);
  const end = to === undefined ? staged.keys.length : lowerBound(staged.keys, to);
  if (at >= end) return durable;
  const merged: (readonly [string, Uint8Array])[] = [];
  let i = 0;
  while (merged.length < limit) {
    const row = durable[i];
    const key = at < end ? staged.keys[at] : undefined;
    if (key === undefined || (row !== undefined && row[0] < key)) {
      if (row === undefined) break;
      merged.push(row);
      i++;
      continue;
    }
    if (row !== undefined && row[0] === key) i++;
    at++;
    const value = staged.rows.get(key);
    if (value !== null && value !== undefined) merged.push([key, value]);
  }
  return merged;
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
