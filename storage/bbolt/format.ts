import { assert } from "../../raft/assert.ts";

/**
 * The bytes of a bbolt file, etcd's backend format: little-endian pages, of which the first two are metas.
 *
 *   page:   header, then by kind: a meta | elements, then the keys and values they point to | ids of free pages
 *   header: id u64, flags u16, count u16, overflow u32 (how many pages more belong to this one)
 *   branch: an element a child: pos u32, ksize u32, child u64. Its key is at most the child's first key.
 *   leaf:   an element a row: flags u32, pos u32, ksize u32, vsize u32. The value is right behind the key.
 *   bucket: the value of a row with BUCKET_ELEMENT: root u64, sequence u64; root 0: a leaf page follows in the value
 *
 * `pos` counts from the element itself.
 */
export const META_PAGE = 0x04;
export const BRANCH_PAGE = 0x01;
export const LEAF_PAGE = 0x02;
export const FREELIST_PAGE = 0x10;

export const HEADER_BYTES = 16;
/** Of a branch's or leaf's element. */
export const ELEMENT_BYTES = 16;
export const BUCKET_BYTES = 16;
export const BUCKET_ELEMENT = 1;
/** Header and meta. */
export const META_PAGE_BYTES = 80;
/** A freelist page with this count says in its first id how many follow. */
export const COUNT_IS_ELSEWHERE = 0xffff;

/** What bbolt accepts. */
export const MAX_KEY_BYTES = 32 * 1024;
export const MAX_VALUE_BYTES = 2 ** 31 - 2;

/** bbolt takes the page size of the machine; none has larger ones. */
export const MIN_PAGE_BYTES = 1024;
export const MAX_PAGE_BYTES = 64 * 1024;

const MAGIC = 0xed0c_daed;
const VERSION = 2;
const META_BYTES_SUMMED = 56;
const TWO_32 = 0x1_0000_0000;

/** A bbolt file that cannot be read, or rows that no bbolt file can hold. `message` says what to do. */
export class BoltError extends Error {
  override readonly name = "BoltError";
  /** The damaged page, if it is a page. */
  readonly page: number | undefined;

  constructor(message: string, page?: number) {
    super(message);
    this.page = page;
  }
}

export function damaged(page: number, what: string): BoltError {
  return new BoltError(`the database file is damaged: page ${page} ${what}: use another copy of it`, page);
}

export interface PageHeader {
  readonly id: number;
  readonly flags: number;
  readonly count: number;
  readonly overflow: number;
}

export function writeHeader(into: Buffer, at: number, { id, flags, count, overflow }: PageHeader): void {
  writeUint64(into, id, at);
  into.writeUInt16LE(flags, at + 8);
  into.writeUInt16LE(count, at + 10);
  into.writeUInt32LE(overflow, at + 12);
}

export function readHeader(bytes: Buffer, at: number): PageHeader {
  return {
    id: readUint64(bytes, at),
    flags: bytes.readUInt16LE(at + 8),
    count: bytes.readUInt16LE(at + 10),
    overflow: bytes.readUInt32LE(at + 12),
  };
}

export interface Meta {
  readonly pageBytes: number;
  /** Page of the leaf or branch that holds the buckets. */
  readonly root: number;
  /** Undefined: the file does not keep its free pages; they are all that nothing refers to. */
  readonly freelist: number | undefined;
  /** Pages of the file; those behind are not part of it. */
  readonly highWater: number;
  /** Of the two metas, the one with the higher number counts. */
  readonly transaction: number;
}

/** A whole meta page, `meta.pageBytes` long. */
export function metaPage(id: 0 | 1, meta: Meta): Buffer {
  const page = Buffer.alloc(meta.pageBytes);
  writeHeader(page, 0, { id, flags: META_PAGE, count: 0, overflow: 0 });
  const at = HEADER_BYTES;
  page.writeUInt32LE(MAGIC, at);
  page.writeUInt32LE(VERSION, at + 4);
  page.writeUInt32LE(meta.pageBytes, at + 8);
  // flags (u32) and the sequence of the root bucket (u64, at + 24) stay 0
  writeUint64(page, meta.root, at + 16);
  if (meta.freelist === undefined) page.fill(0xff, at + 32, at + 40);
  else writeUint64(page, meta.freelist, at + 32);
  writeUint64(page, meta.highWater, at + 40);
  writeUint64(page, meta.transaction, at + 48);
  page.writeBigUInt64LE(fnv1a64(page.subarray(at, at + META_BYTES_SUMMED)), at + META_BYTES_SUMMED);
  return page;
}

/** The meta in the first META_PAGE_BYTES of a page, or why it is none. */
export function readMeta(page: Buffer): Meta | string {
  const at = HEADER_BYTES;
  const magic = page.readUInt32LE(at);
  if (magic !== MAGIC) return `begins with ${hex(magic)}, not with bbolt's ${hex(MAGIC)}`;
  const version = page.readUInt32LE(at + 4);
  if (version !== VERSION) return `has version ${version}, not ${VERSION}`;
  if (page.readBigUInt64LE(at + META_BYTES_SUMMED) !== fnv1a64(page.subarray(at, at + META_BYTES_SUMMED))) {
    return "does not have the checksum that it should";
  }
  const pageBytes = page.readUInt32LE(at + 8);
  if (pageBytes < MIN_PAGE_BYTES || pageBytes > MAX_PAGE_BYTES || (pageBytes & (pageBytes - 1)) !== 0) {
    return `has a page size of ${pageBytes}, not a power of two between ${MIN_PAGE_BYTES} and ${MAX_PAGE_BYTES}`;
  }
  const isFreelistKept = page.readUInt32LE(at + 32) !== TWO_32 - 1 || page.readUInt32LE(at + 36) !== TWO_32 - 1;
  return {
    pageBytes,
    root: readUint64(page, at + 16),
    freelist: isFreelistKept ? readUint64(page, at + 32) : undefined,
    highWater: readUint64(page, at + 40),
    transaction: readUint64(page, at + 48),
  };
}

export function writeUint64(into: Buffer, value: number, at: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "a page number is no safe integer");
  into.writeUInt32LE(value % TWO_32, at);
  into.writeUInt32LE(Math.floor(value / TWO_32), at + 4);
}

/** Beyond the safe integers only roughly, which is enough to see that it is no page of any file. */
export function readUint64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * TWO_32 + bytes.readUInt32LE(at);
}

function fnv1a64(bytes: Uint8Array): bigint {
  let hash = 0xcbf2_9ce4_8422_2325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100_0000_01b3n);
  return hash;
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}
