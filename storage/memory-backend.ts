import { assert } from "../raft/assert.ts";
import type { Backend, BackendSize, BackendSnapshot, Bucket } from "./backend.ts";
import { lowerBound } from "./mvcc/lower-bound.ts";
import { type Layer, LayeredView, Overlay, type Rows } from "./overlay.ts";
import { BUCKETS } from "./schema.ts";

/**
 * The state store without a disk, for simulation: what was flushed survives `crash`, what was staged does not.
 */
export interface MemoryBackendOptions {
  /** Awaited by a flush before its batch becomes durable: it may be slow, hang, or reject (then nothing is durable). */
  readonly beforeDurable?: () => Promise<void>;
  /** Awaited after the batch became durable: a crash in here finds all of it, although the flush never resolved. */
  readonly afterDurable?: () => Promise<void>;
}

export interface MemoryBackend extends Backend {
  /** The process dies and starts again: this backend is of no use any more, the answer holds what was durable. */
  crash(options?: MemoryBackendOptions): MemoryBackend;
}

export function createMemoryBackend(options: MemoryBackendOptions = {}): MemoryBackend {
  return new MemoryStore(options, new Map());
}

/** Rows of each bucket that are durable. */
type Durable = Map<Bucket, DurableBucket>;

interface DurableBucket {
  readonly rows: Map<string, Uint8Array>;
  /** Of all keys and values. */
  readonly bytes: number;
  /** Sorted when first walked. */
  keys: readonly string[] | undefined;
  /** A snapshot reads it: a flush leaves it as it is and makes its own. */
  shared: boolean;
}

const RANGE_BYTES = 1024 * 1024;

class MemoryStore implements MemoryBackend {
  readonly #options: MemoryBackendOptions;
  readonly #overlay = new Overlay();
  readonly #durable: Durable;
  #state: "open" | "crashed" | "closed" = "open";
  #failure: Error | undefined;
  #deletedRows = 0;

  constructor(options: MemoryBackendOptions, durable: Durable) {
    this.#options = options;
    this.#durable = durable;
  }

  get(bucket: Bucket, key: string): Uint8Array | undefined {
    this.#checkOpen();
    const staged = this.#overlay.get(bucket, key);
    if (staged !== undefined) return staged ?? undefined;
    return this.#durable.get(bucket)?.rows.get(key);
  }

  async getMany(bucket: Bucket, keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    return keys.map((key) => this.get(bucket, key));
  }

  put(bucket: Bucket, key: string, value: Uint8Array): void {
    this.#checkOpen();
    this.#overlay.set(bucket, key, value);
  }

  putAppliedIndex(index: number): void {
    this.#checkOpen();
    this.#overlay.setAppliedIndex(index);
  }

  delete(bucket: Bucket, key: string): void {
    this.#checkOpen();
    this.#overlay.set(bucket, key, null);
    this.#deletedRows++;
  }

  get stagedBytes(): number {
    return this.#overlay.bytes;
  }

  async flush(): Promise<void> {
    this.#checkOpen();
    if (this.#failure !== undefined) throw this.#failure;
    assert(!this.#overlay.isFlushing, "a flush was started while another one runs");
    const layers = this.#overlay.beginFlush();
    if (layers.length === 0) return;
    try {
      await this.#options.beforeDurable?.();
      // Whoever crashed meanwhile is gone; its flush must neither answer nor reach what its successor holds.
      if (this.#state === "crashed") return await new Promise<never>(() => undefined);
      apply(layers, this.#durable);
      await this.#options.afterDurable?.();
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      throw this.#failure;
    }
    this.#overlay.flushed();
  }

  snapshot(): BackendSnapshot {
    this.#checkOpen();
    for (const bucket of this.#durable.values()) bucket.shared = true;
    return new MemorySnapshot(new Map(this.#durable), this.#overlay.freeze());
  }

  size(): BackendSize {
    let total = 0;
    for (const { bytes } of this.#durable.values()) total += bytes;
    return { total, inUse: total };
  }

  get inUseBytes(): number {
    return this.size().inUse;
  }

  async measure(): Promise<BackendSize> {
    return this.size();
  }

  get deletedRows(): number {
    return this.#deletedRows;
  }

  /** What is deleted is gone at once. */
  async compact(): Promise<void> {
    this.#checkOpen();
    this.#deletedRows = 0;
  }

  async verify(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#checkOpen();
  }

  async close(): Promise<void> {
    this.#state = "closed";
  }

  crash(options: MemoryBackendOptions = this.#options): MemoryBackend {
    this.#state = "crashed";
    return new MemoryStore(options, this.#durable);
  }

  #checkOpen(): void {
    assert(this.#state === "open", `the memory backend is ${this.#state}`);
  }
}

function apply(layers: readonly Layer[], durable: Durable): void {
  for (const bucket of BUCKETS) {
    if (layers.every((layer) => layer.rows[bucket].size === 0)) continue;
    const before = durable.get(bucket);
    const rows = before === undefined || before.shared ? new Map(before?.rows) : before.rows;
    let bytes = before?.bytes ?? 0;
    for (const layer of layers) {
      for (const [key, value] of layer.rows[bucket].entries()) {
        const replaced = rows.get(key);
        if (replaced !== undefined) bytes -= key.length + replaced.length;
        if (value === null) {
          rows.delete(key);
          continue;
        }
        rows.set(key, value);
        bytes += key.length + value.length;
      }
    }
    durable.set(bucket, { rows, bytes, keys: undefined, shared: false });
  }
}

class MemorySnapshot implements BackendSnapshot {
  readonly #durable: Durable;
  readonly #view: LayeredView;
  #closed = false;

  /** `durable` is shared: nobody writes into it any more. */
  constructor(durable: Durable, layers: readonly Layer[]) {
    this.#durable = durable;
    this.#view = new LayeredView(layers, async (bucket, from, to, limit) => this.#rows(bucket, from, to, limit));
  }

  async range(bucket: Bucket, from: string, to: string | undefined, limit: number): Promise<Rows> {
    assert(!this.#closed, "a closed snapshot was read");
    return this.#view.range(bucket, from, to, limit);
  }

  #rows(bucket: Bucket, from: string, to: string | undefined, limit: number): Rows {
    const durable = this.#durable.get(bucket);
    if (durable === undefined) return [];
    durable.keys ??= [...durable.rows.keys()].sort((a, b) => (a < b ? -1 : 1));
    const rows: (readonly [string, Uint8Array])[] = [];
    let bytes = 0;
    for (let at = lowerBound(durable.keys, from); at < durable.keys.length && rows.length < limit; at++) {
      const key = durable.keys[at] as string;
      if (bytes > RANGE_BYTES || (to !== undefined && key >= to)) break;
      const value = durable.rows.get(key) as Uint8Array;
      bytes += key.length + value.length;
      rows.push([key, value]);
    }
    return rows;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }
}
