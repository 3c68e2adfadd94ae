import type { RowSource } from "../../storage/backend.ts";
import {
  BRANCH_PAGE,
  BUCKET_BYTES,
  BUCKET_ELEMENT,
  ELEMENT_BYTES,
  FREELIST_PAGE,
  HEADER_BYTES,
  LEAF_PAGE,
  type Meta,
  metaPage,
  writeHeader,
  writeUint64,
} from "../../storage/bbolt/format.ts";
import type { BoltFile } from "../../storage/bbolt/page-file.ts";
import { openBolt } from "../../storage/bbolt/reader.ts";
import { planBolt, writeBolt } from "../../storage/bbolt/writer.ts";
import { BUCKETS, successor } from "../../storage/schema.ts";

/** A file in memory, which counts what is read of it. */
export interface MemoryBoltFile extends BoltFile {
  readonly bytesRead: number;
}

export function boltFile(bytes: Buffer): MemoryBoltFile {
  let bytesRead = 0;
  return {
    get bytesRead() {
      return bytesRead;
    },
    size: async () => bytes.length,
    async read(into, position) {
      const found = bytes.subarray(position, position + into.length);
      into.set(found);
      bytesRead += found.length;
      return found.length;
    },
  };
}

export type Row = readonly [key: string, value: Uint8Array];

/** A source with these rows, in any order. It gives `most` rows at a time at most. */
export function sourceOf(rows: Readonly<Record<string, readonly Row[]>>, most = Number.POSITIVE_INFINITY): RowSource {
  const sorted = new Map(
    Object.entries(rows).map(([bucket, list]) => [bucket, [...list].sort(([a], [b]) => (a < b ? -1 : 1))]),
  );
  return {
    async range(bucket, from, to, limit) {
      const list = sorted.get(bucket) ?? [];
      let low = 0;
      for (let high = list.length; low < high; ) {
        const middle = (low + high) >>> 1;
        if ((list[middle] as Row)[0] < from) low = middle + 1;
        else high = middle;
      }
      return list.slice(low, low + Math.min(limit, most)).filter(([key]) => to === undefined || key < to);
    },
  };
}

/** The file that is written for the source, and that it is as long as was planned. */
export async function writtenFile(source: RowSource): Promise<Buffer> {
  const plan = await planBolt(source);
  const chunks: Buffer[] = [];
  for await (const chunk of writeBolt(plan, source)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (bytes.length !== plan.bytes) throw new Error(`${plan.bytes} bytes were planned, and ${bytes.length} written`);
  if (bytes.length % 4096 !== 0) throw new Error(`${bytes.length} bytes are no whole pages`);
  return bytes;
}

/** All rows of the bucket, asked for `limit` at a time. */
export async function rowsOf<Name extends string>(
  source: { range(bucket: Name, from: string, to: undefined, limit: number): Promise<readonly Row[]> },
  bucket: Name,
  limit = 1_000,
): Promise<Row[]> {
  const all: Row[] = [];
  for (let from = ""; ; ) {
    const rows = await source.range(bucket, from, undefined, limit);
    const last = rows.at(-1);
    if (last === undefined) return all;
    if (rows.length > limit) throw new Error(`${rows.length} rows were answered, and ${limit} asked for`);
    all.push(...rows);
    from = successor(last[0]);
  }
}

/** Keys and digests of the values: what can be compared in one go, large values and all. */
export async function contentOf(file: Buffer, limit?: number): Promise<Record<string, unknown[]>> {
  const reader = await openBolt(boltFile(file));
  return summary(
    Object.fromEntries(await Promise.all(reader.buckets.map(async (b) => [b, await rowsOf(reader, b, limit)]))),
  );
}

export function summary(rows: Readonly<Record<string, readonly Row[]>>): Record<string, unknown[]> {
  return Object.fromEntries(
    Object.entries(rows).map(([bucket, list]) => [
      bucket,
      list.map(([key, value]) => [Buffer.from(key, "latin1").toString("hex"), value.length, digest(value)]),
    ]),
  );
}

/** As `summary`, with all buckets of a store, for rows in any order. */
export function expected(rows: Readonly<Record<string, readonly Row[]>>): Record<string, unknown[]> {
  return summary(
    Object.fromEntries(
      BUCKETS.map((bucket) => [bucket, [...(rows[bucket] ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))]),
    ),
  );
}

function digest(value: Uint8Array): string {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (bytes.length <= 64) return bytes.toString("hex");
  let hash = 0;
  for (let at = 0; at + 4 <= bytes.length; at += 4) hash = Math.imul(hash ^ bytes.readInt32LE(at), 0x0100_0193);
  return `${hash} ${bytes.subarray(-8).toString("hex")}`;
}

/** Files as no writer of ours makes them, page by page. */
export interface Pages {
  readonly meta?: Partial<Meta>;
  /** By number; those that are missing are zeros. */
  readonly pages: Readonly<Record<number, Buffer>>;
  readonly highWater: number;
}

export function fileOf({ meta, pages, highWater }: Pages): Buffer {
  const whole: Meta = { pageBytes: 4096, root: 3, freelist: 2, highWater, transaction: 8, ...meta };
  const bytes = Buffer.alloc(highWater * whole.pageBytes);
  metaPage(0, whole).copy(bytes, 0);
  metaPage(1, { ...whole, transaction: whole.transaction - 1 }).copy(bytes, whole.pageBytes);
  for (const [id, page] of Object.entries(pages)) page.copy(bytes, Number(id) * whole.pageBytes);
  return bytes;
}

export interface PageOptions {
  readonly overflow?: number;
  readonly pageBytes?: number;
  /** Of the elements of a leaf. */
  readonly flags?: number;
}

export function leafPage(id: number, rows: readonly Row[], options: PageOptions = {}): Buffer {
  const { overflow = 0, pageBytes = 4096, flags = 0 } = options;
  const page = Buffer.alloc((overflow + 1) * pageBytes);
  writeLeaf(page, id, rows, overflow, flags);
  return page;
}

export function branchPage(id: number, children: readonly (readonly [key: string, page: number])[]): Buffer {
  const page = Buffer.alloc(4096);
  writeHeader(page, 0, { id, flags: BRANCH_PAGE, count: children.length, overflow: 0 });
  let end = HEADER_BYTES + children.length * ELEMENT_BYTES;
  for (const [i, [key, child]] of children.entries()) {
    const at = HEADER_BYTES + i * ELEMENT_BYTES;
    page.writeUInt32LE(end - at, at);
    page.writeUInt32LE(key.length, at + 4);
    writeUint64(page, child, at + 8);
    end += page.write(key, end, "latin1");
  }
  return page;
}

export function bucketsPage(
  id: number,
  roots: Readonly<Record<string, number | readonly Row[]>>,
  options: PageOptions = {},
): Buffer {
  const rows = Object.entries(roots).map(([name, root]) => [name, bucketValue(root)] as const);
  return leafPage(id, rows, { flags: BUCKET_ELEMENT, ...options });
}

export function freelistPage(id: number, ids: readonly number[], options: { readonly count?: number } = {}): Buffer {
  const page = Buffer.alloc(4096);
  writeHeader(page, 0, { id, flags: FREELIST_PAGE, count: options.count ?? ids.length, overflow: 0 });
  for (const [i, free] of ids.entries()) writeUint64(page, free, HEADER_BYTES + 8 * i);
  return page;
}

function bucketValue(root: number | readonly Row[]): Buffer {
  if (typeof root === "number") {
    const value = Buffer.alloc(BUCKET_BYTES);
    writeUint64(value, root, 0);
    return value;
  }
  const size = root.reduce((sum, [key, value]) => sum + ELEMENT_BYTES + key.length + value.length, HEADER_BYTES);
  const value = Buffer.alloc(BUCKET_BYTES + size);
  writeLeaf(value.subarray(BUCKET_BYTES), 0, root, 0, 0);
  return value;
}

function writeLeaf(page: Buffer, id: number, rows: readonly Row[], overflow: number, flags: number): void {
  writeHeader(page, 0, { id, flags: LEAF_PAGE, count: rows.length, overflow });
  let end = HEADER_BYTES + rows.length * ELEMENT_BYTES;
  for (const [i, [key, value]] of rows.entries()) {
    const at = HEADER_BYTES + i * ELEMENT_BYTES;
    page.writeUInt32LE(flags, at);
    page.writeUInt32LE(end - at, at + 4);
    page.writeUInt32LE(key.length, at + 8);
    page.writeUInt32LE(value.length, at + 12);
    end += page.write(key, end, "latin1");
    page.set(value, end);
    end += value.length;
  }
}
