import { setImmediate } from "node:timers/promises";
import type { ClassicLevel } from "classic-level";
import { assert } from "../raft/assert.ts";
import type { Bucket } from "./backend.ts";
import { bucketKeyAt, type LevelLayout } from "./level-layout.ts";
import { markOf, NO_ROW, sealedBytes, sealedIn, sealedWithMark, unsealed } from "./level-rows.ts";
import type { Layer } from "./overlay.ts";
import { BUCKETS } from "./schema.ts";

export type Level = ClassicLevel<Buffer, Buffer>;
type Batch = ReturnType<Level["batch"]>;

/** Rows put into the batch of a flush in one turn of the event loop: about a millisecond. */
const FILL_ROWS = 256;
/** Behind a key and before every other key that is behind it, as long as no key of the bucket ends so. */
const MARK_SUFFIX = "\xff";

/** What the bucket `meta` holds; replaced, not changed, by each flush. */
export type MetaRows = ReadonlyMap<string, Uint8Array>;

/**
 * Makes flushes of layers, and knows what of the store is no row: the bucket `meta` (from format 3 on).
 *
 * Invariant of such a store, after each batch: the last row of `key` that LevelDB has (or a mark alone behind it) carries all
 * of `meta`, as of that batch. Older rows may carry older marks; nobody looks at them. So a flush puts the mark on its
 * last new row if that is behind all rows that there ever were, and else alone behind that place: the row there may be
 * one that it deletes.
 */
export class LevelWriter {
  readonly #db: Level;
  readonly #layout: LevelLayout;
  #row = Buffer.alloc(0);
  #meta: MetaRows = new Map();
  /** Of `key`, the greatest that was ever put. */
  #greatest = "";
  /** The key of a mark that stands alone. */
  #loose: string | undefined;

  constructor(db: Level, layout: LevelLayout) {
    this.#db = db;
    this.#layout = layout;
  }

  /** As of the last flush that is durable. Empty in a format that has it as rows. */
  get meta(): MetaRows {
    return this.#meta;
  }

  /** Reads what the store says about itself; before anything is written. False when the last row carries no mark. */
  async start(): Promise<boolean> {
    if (!this.#layout.hasMarks) return true;
    const end = { gte: this.#layout.keyOf("key", ""), lt: this.#layout.endOf("key"), reverse: true, limit: 1 };
    const [last] = await this.#db.iterator(end).all();
    if (last === undefined) return true;
    const [at, stored] = last;
    const mark = markOf(at, stored);
    if (mark === undefined) return false;
    const key = bucketKeyAt(at);
    const isLoose = unsealed(at, stored) === NO_ROW;
    this.#meta = decodeMeta(mark);
    this.#greatest = isLoose ? key.slice(0, -MARK_SUFFIX.length) : key;
    this.#loose = isLoose ? key : undefined;
    return true;
  }

  /** Resolves when the layers are durable, as one batch. */
  async write(layers: readonly Layer[]): Promise<void> {
    const batch = this.#db.batch();
    let marked: Marked | undefined;
    // First: a row may take its place.
    if (this.#loose !== undefined && layers.some(({ rows }) => rows.key.size > 0)) {
      batch.del(this.#layout.keyOf("key", this.#loose));
    }
    for (const [i, layer] of layers.entries()) {
      for (const bucket of BUCKETS) {
        const rows = layer.rows[bucket];
        if (rows.size === 0 || !this.#layout.hasRowsOf(bucket)) continue;
        const held = this.#layout.hasMarks && bucket === "key" ? new LastRow(this.#greatest) : undefined;
        const left = rows.entries();
        for (let done = 0; done < rows.size; done += FILL_ROWS) {
          if (done > 0) await setImmediate();
          this.#fill(batch, bucket, left, held);
        }
        if (held?.value === undefined) continue;
        this.#greatest = held.key;
        // What a later layer says of the row has to come after it.
        if (i === layers.length - 1) marked = { key: held.key, value: held.value };
        else this.#put(batch, "key", held.key, held.value);
      }
    }
    const meta = this.#layout.hasMarks ? withRowsOf(this.#meta, layers) : this.#meta;
    if (this.#layout.hasMarks) this.#putMark(batch, encodeMeta(meta), marked);
    await batch.write({ sync: true });
    this.#meta = meta;
  }

  /** Not within `write`: what is optimised around a suspension is slower. */
  #fill(
    batch: Batch,
    bucket: Bucket,
    rows: Iterator<[string, Uint8Array | null], undefined>,
    held: LastRow | undefined,
  ): void {
    for (let i = 0; i < FILL_ROWS; i++) {
      const { value: row } = rows.next();
      if (row === undefined) return;
      const [key, value] = row;
      if (value === null) batch.del(this.#layout.scratchKeyOf(bucket, key));
      else if (held === undefined || key <= held.key) this.#put(batch, bucket, key, value);
      else {
        if (held.value !== undefined) this.#put(batch, bucket, held.key, held.value);
        held.key = key;
        held.value = value;
      }
    }
  }

  /** The batch has copied key and value when `put` returns. */
  #put(batch: Batch, bucket: Bucket, key: string, value: Uint8Array): void {
    const at = this.#layout.scratchKeyOf(bucket, key);
    batch.put(at, this.#layout.isSealed ? sealedIn(this.#scratchRow(sealedBytes(value)), at, value) : asBuffer(value));
  }

  /** Rows of one flush are often of one length, and memory of its own for each costs more than to fill it. */
  #scratchRow(bytes: number): Buffer {
    if (this.#row.length !== bytes) this.#row = Buffer.allocUnsafe(bytes);
    return this.#row;
  }

  #putMark(batch: Batch, mark: Buffer, row: Marked | undefined): void {
    const key = row?.key ?? this.#greatest + MARK_SUFFIX;
    const at = this.#layout.keyOf("key", key);
    batch.put(at, sealedWithMark(at, row === undefined ? NO_ROW : row.value, mark));
    this.#loose = row === undefined ? key : undefined;
  }
}

interface Marked {
  readonly key: string;
  readonly value: Uint8Array;
}

/** The greatest row of a layer so far that is behind all that were there before; not in the batch yet. */
class LastRow {
  key: string;
  value: Uint8Array | undefined;

  constructor(before: string) {
    this.key = before;
  }
}

function withRowsOf(meta: MetaRows, layers: readonly Layer[]): MetaRows {
  const merged = new Map(meta);
  for (const layer of layers) {
    for (const [key, value] of layer.rows.meta.entries()) {
      if (value === null) merged.delete(key);
      else merged.set(key, value);
    }
  }
  return merged;
}

/** For each row the lengths of key (2 bytes) and value (4 bytes), then both. */
const META_ROW_BYTES = 6;

function encodeMeta(meta: MetaRows): Buffer {
  let bytes = 0;
  for (const [key, value] of meta) bytes += META_ROW_BYTES + key.length + value.length;
  const out = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const [key, value] of meta) {
    at = out.writeUInt16LE(key.length, at);
    at = out.writeUInt32LE(value.length, at);
    at += out.write(key, at, "latin1");
    out.set(value, at);
    at += value.length;
  }
  return out;
}

/** Its checksum was right: only a bug makes it anything else. */
function decodeMeta(mark: Buffer): MetaRows {
  const meta = new Map<string, Uint8Array>();
  for (let at = 0; at < mark.length; ) {
    const valueAt = at + META_ROW_BYTES + mark.readUInt16LE(at);
    const end = valueAt + mark.readUInt32LE(at + 2);
    assert(end <= mark.length, "a mark of the state store ends within a row");
    meta.set(mark.toString("latin1", at + META_ROW_BYTES, valueAt), mark.subarray(valueAt, end));
    at = end;
  }
  return meta;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
