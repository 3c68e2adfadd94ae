import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32c } from "./crc32c.ts";

/**
 * Checks the files of a LevelDB against their checksums, which LevelDB itself only does when it is told to, and the
 * binding has no way to tell it. Measured with one bit flipped: of its tables nine of ten flips were never noticed (the
 * rows were other ones or missing), and of its log all of them: it left out what it could not read and went on.
 *
 * The formats are LevelDB's: doc/table_format.md and doc/log_format.md of its sources.
 */
export interface Damage {
  readonly file: string;
  readonly offset: number;
}

export interface FileCheck {
  /** Of the log: nothing of it may be read. */
  readonly log: Damage | undefined;
  /** Tables. One that is not part of the store (a crash left it half written) goes when the store is opened. */
  readonly tables: readonly Damage[];
}

/** `counted`: the logs that are part of the store; without it all are. */
export async function checkLevelFiles(path: string, counted?: readonly string[]): Promise<FileCheck> {
  const names = (await levelNames(path)).sort();
  const logs = names.filter((name) => name.endsWith(".log") && counted?.includes(name) !== false);
  const tables: Damage[] = [];
  for (const file of names.filter((name) => /\.(ldb|sst)$/.test(name))) {
    const offset = damageOfTable(await readFile(join(path, file)));
    if (offset !== undefined) tables.push({ file, offset });
  }
  // A crash in the middle of an opening leaves a log behind the last one that has nothing in it yet.
  let isNewest = true;
  let log: Damage | undefined;
  for (const file of logs.toReversed()) {
    const bytes = await readFile(join(path, file));
    const offset = damageOfLog(bytes, isNewest);
    if (offset !== undefined) log = { file, offset };
    if (bytes.length > 0) isNewest = false;
  }
  return { log, tables };
}

/** Of the files in the directory of a store; none when there is no such directory. */
export async function levelNames(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

const LOG_BLOCK_BYTES = 32_768;
const LOG_HEADER_BYTES = 7;
const [ZERO, FULL, FIRST, LAST] = [0, 1, 2, 4] as const;

/**
 * Offset of the first record that is damaged rather than torn. A batch is synced before the next one is written, so a bad
 * record which the beginning of another batch follows was whole once; the last batch of the newest log may be torn, and
 * is then no loss: nobody was told that it is durable.
 */
export function damageOfLog(bytes: Buffer, isNewest: boolean): number | undefined {
  let bad: number | undefined;
  for (let at = 0; at < bytes.length; ) {
    const left = LOG_BLOCK_BYTES - (at % LOG_BLOCK_BYTES);
    if (left < LOG_HEADER_BYTES) {
      at += left;
      continue;
    }
    const end = recordEnd(bytes, at, left);
    if (end === undefined) {
      bad ??= at;
      // Where the next one begins is anybody's guess, but for the beginnings of blocks: byte by byte up to there.
      at = nextRecord(bytes, at + 1, at + left);
      continue;
    }
    const type = bytes[at + 6];
    if (bad !== undefined && (type === FULL || type === FIRST)) return bad;
    at = end;
  }
  return isNewest ? undefined : bad;
}

/** The records of a log that has none that is damaged, put together from their parts, and where they end: one is torn there. */
export function logRecords(bytes: Buffer): {
  readonly records: { readonly offset: number; readonly data: Buffer }[];
  readonly end: number;
} {
  const records: { readonly offset: number; readonly data: Buffer }[] = [];
  let parts: Buffer[] = [];
  let offset = 0;
  let whole = 0;
  for (let at = 0; at < bytes.length; ) {
    const left = LOG_BLOCK_BYTES - (at % LOG_BLOCK_BYTES);
    if (left < LOG_HEADER_BYTES) {
      at += left;
      continue;
    }
    const end = recordEnd(bytes, at, left);
    if (end === undefined) break;
    const type = bytes[at + 6];
    if (type === FULL || type === FIRST) {
      parts = [];
      offset = at;
    }
    parts.push(bytes.subarray(at + LOG_HEADER_BYTES, end));
    at = end;
    if (type !== FULL && type !== LAST) continue;
    records.push({ offset, data: Buffer.concat(parts) });
    whole = end;
  }
  return { records, end: whole };
}

/** End of the valid record at this place, whose block has `left` bytes from there on. */
function recordEnd(bytes: Buffer, at: number, left: number): number | undefined {
  if (at + LOG_HEADER_BYTES > bytes.length) return undefined;
  const length = bytes.readUInt16LE(at + 4);
  const type = bytes[at + 6] ?? 0;
  const end = at + LOG_HEADER_BYTES + length;
  if (type === ZERO || type > LAST || LOG_HEADER_BYTES + length > left || end > bytes.length) return undefined;
  return masked(crc32c(bytes.subarray(at + 6, end))) === bytes.readUInt32LE(at) ? end : undefined;
}

function nextRecord(bytes: Buffer, from: number, blockEnd: number): number {
  for (let at = from; at < blockEnd - LOG_HEADER_BYTES && at < bytes.length; at++) {
    if (recordEnd(bytes, at, blockEnd - at) !== undefined) return at;
  }
  return blockEnd;
}

const FOOTER_BYTES = 48;
const MAGIC = 0xdb4775248b80fb57n;
/** Kind of compression and checksum behind each block. */
const TRAILER_BYTES = 5;
const [PLAIN, SNAPPY] = [0, 1] as const;

/** Offset of the first block that is not what was written. */
export function damageOfTable(bytes: Buffer): number | undefined {
  const footer = bytes.length - FOOTER_BYTES;
  if (footer < 0 || bytes.readBigUInt64LE(bytes.length - 8) !== MAGIC) return Math.max(0, footer);
  const reader = new Reader(bytes, footer);
  const metaIndex = reader.handle();
  const index = reader.handle();
  const blocks: Handle[] = [metaIndex, index];
  for (const { offset, size } of [index, metaIndex]) {
    if (!isWhole(bytes, { offset, size }, footer)) return offset;
    const content = contentOf(bytes, { offset, size });
    const handles = content && handlesOf(content);
    if (handles === undefined) return offset;
    blocks.push(...handles);
  }
  blocks.sort((a, b) => a.offset - b.offset);
  // One after the other, with nothing in between: so every byte of the file belongs to a checksum.
  let at = 0;
  for (const block of blocks) {
    if (block.offset !== at || !isWhole(bytes, block, footer)) return at;
    at += block.size + TRAILER_BYTES;
  }
  return at === footer ? undefined : at;
}

interface Handle {
  readonly offset: number;
  readonly size: number;
}

function isWhole(bytes: Buffer, { offset, size }: Handle, footer: number): boolean {
  const end = offset + size;
  if (end + TRAILER_BYTES > footer) return false;
  return masked(crc32c(bytes.subarray(offset, end + 1))) === bytes.readUInt32LE(end + 1);
}

function contentOf(bytes: Buffer, { offset, size }: Handle): Buffer | undefined {
  const content = bytes.subarray(offset, offset + size);
  switch (bytes[offset + size]) {
    case PLAIN:
      return content;
    case SNAPPY:
      return unsnappy(content);
    default:
      return undefined;
  }
}

/** The values of an index block. */
function handlesOf(block: Buffer): Handle[] | undefined {
  if (block.length < 4) return undefined;
  const end = block.length - 4 - 4 * block.readUInt32LE(block.length - 4);
  const reader = new Reader(block, 0);
  const handles: Handle[] = [];
  while (reader.at < end) {
    reader.varint();
    const keyBytes = reader.varint();
    const valueBytes = reader.varint();
    reader.at += keyBytes;
    const next = reader.at + valueBytes;
    handles.push(reader.handle());
    reader.at = next;
  }
  return reader.at === end ? handles : undefined;
}

class Reader {
  at: number;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  handle(): Handle {
    return { offset: this.varint(), size: this.varint() };
  }
}

/** Snappy's format_description.txt. Undefined for what is none. */
function unsnappy(bytes: Buffer): Buffer | undefined {
  const reader = new Reader(bytes, 0);
  const out = Buffer.alloc(reader.varint());
  let to = 0;
  let at = reader.at;
  while (at < bytes.length) {
    const tag = bytes[at++] ?? 0;
    const kind = tag & 3;
    if (kind === 0) {
      let length = (tag >> 2) + 1;
      if (length > 60) {
        const width = length - 60;
        if (at + width > bytes.length) return undefined;
        length = bytes.readUIntLE(at, width) + 1;
        at += width;
      }
      if (at + length > bytes.length || to + length > out.length) return undefined;
      bytes.copy(out, to, at, at + length);
      at += length;
      to += length;
      continue;
    }
    const width = kind === 3 ? 4 : kind;
    if (at + width > bytes.length) return undefined;
    const length = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
    const offset = bytes.readUIntLE(at, width) + (kind === 1 ? (tag >> 5) << 8 : 0);
    at += width;
    if (offset === 0 || offset > to || to + length > out.length) return undefined;
    // Byte by byte: a copy may reach into what it has just made.
    for (let n = 0; n < length; n++, to++) out[to] = out[to - offset] ?? 0;
  }
  return to === out.length ? out : undefined;
}

/** LevelDB stores checksums in disguise, since checksums of what holds checksums are weak. */
function masked(crc: number): number {
  return ((((crc >>> 15) | (crc << 17)) >>> 0) + 0xa282ead8) >>> 0;
}
