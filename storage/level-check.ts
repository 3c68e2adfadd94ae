/**
 * Are LevelDB's files what LevelDB wrote? It does not ask so itself: it reads a block without looking at its checksum,
 * and steps over a piece of its log that it cannot read. A flipped bit would be a wrong value that this member then
 * serves. So every file that an open is about to use is read once before it, all checksums are compared, and the blocks
 * of a table must fill it without a gap.
 *
 * Tables: data blocks, filter, list of filters, index of the data blocks, footer. Each block is followed by a byte for
 * its compression and a masked CRC-32C. MANIFEST and log: records in blocks of 32 KiB, each with its masked CRC-32C. The
 * last record may be torn: a flush that did not return promised nothing, and the member's own log has what it held. An
 * unreadable record with readable ones behind it is no tear.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32c } from "./crc32c.ts";
import { snappyDecode } from "./snappy.ts";

/** What is wrong with which file. */
export class LevelDamagedError extends Error {
  override readonly name = "LevelDamagedError";

  constructor(file: string, offset: number | undefined, what: string) {
    super(`${file}${offset === undefined ? "" : ` at offset ${offset}`}: ${what}`);
  }
}

/** Files of a store that an open uses. */
export interface LevelFiles {
  readonly manifest: string;
  readonly tables: readonly string[];
  readonly logs: readonly string[];
}

const BLOCK_TRAILER_BYTES = 5;
const FOOTER_BYTES = 48;
const FOOTER_HANDLES_BYTES = 40;
const MAGIC = Buffer.from("57fb808b247547db", "hex");

const LOG_BLOCK_BYTES = 32 * 1024;
const LOG_HEADER_BYTES = 7;
const FULL = 1;
const FIRST = 2;
const LAST = 4;

/** Undefined when there is no store in the directory yet. Throws LevelDamagedError; changes nothing. */
export async function checkLevelFiles(directory: string): Promise<LevelFiles | undefined> {
  const files = await levelFiles(directory);
  if (files === undefined) return undefined;
  for (const name of files.tables) checkTable(name, await read(directory, name));
  for (const name of files.logs) readRecords(name, await read(directory, name));
  return files;
}

/** As checkLevelFiles, but of tables and logs only the names are looked at. */
export async function levelFiles(directory: string): Promise<LevelFiles | undefined> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  const contents = names.filter((name) => /^\d+\.(ldb|sst|log)$/.test(name)).sort();
  if (!names.includes("CURRENT")) {
    // LevelDB would begin a new store here, and delete what is left of this one.
    if (contents.length > 0) throw new LevelDamagedError("CURRENT", undefined, "the file is missing");
    return undefined;
  }
  const manifest = (await read(directory, "CURRENT")).toString("latin1").trimEnd();
  if (!/^MANIFEST-\d+$/.test(manifest)) throw new LevelDamagedError("CURRENT", 0, "it names no MANIFEST");
  if (!names.includes(manifest)) throw new LevelDamagedError(manifest, undefined, "the file is missing");
  const version = readManifest(manifest, await read(directory, manifest));
  const numberOf = (name: string): number => Number.parseInt(name, 10);
  const tables = contents.filter((name) => !name.endsWith(".log") && version.tables.has(numberOf(name)));
  for (const number of version.tables) {
    if (tables.some((name) => numberOf(name) === number)) continue;
    throw new LevelDamagedError(`${String(number).padStart(6, "0")}.ldb`, undefined, "the file is missing");
  }
  const logs = contents.filter(
    (name) => name.endsWith(".log") && (numberOf(name) >= version.log || numberOf(name) === version.previousLog),
  );
  return { manifest, tables, logs };
}

function read(directory: string, name: string): Promise<Buffer> {
  return readFile(join(directory, name));
}

// Tables.

interface Handle {
  readonly offset: number;
  readonly bytes: number;
}

function checkTable(file: string, table: Buffer): void {
  const footerAt = table.length - FOOTER_BYTES;
  if (footerAt < 0) throw new LevelDamagedError(file, 0, `a table of ${table.length} bytes`);
  const fault = (offset: number, what: string): LevelDamagedError => new LevelDamagedError(file, offset, what);
  if (!table.subarray(footerAt + FOOTER_HANDLES_BYTES).equals(MAGIC)) throw fault(footerAt, "the footer is damaged");
  const footer = new Cursor(table, footerAt, footerAt + FOOTER_HANDLES_BYTES);
  const filters = readHandle(footer);
  const index = readHandle(footer);
  const padding = table.subarray(footer.at, footerAt + FOOTER_HANDLES_BYTES);
  if (filters === undefined || index === undefined || padding.some((byte) => byte !== 0)) {
    throw fault(footerAt, "the footer is damaged");
  }

  let end = 0;
  const block = ({ offset, bytes }: Handle): void => {
    if (offset !== end) throw fault(end, `a block is expected here, and the next one is at ${offset}`);
    end = offset + bytes + BLOCK_TRAILER_BYTES;
    if (end > footerAt) throw fault(offset, "a block reaches beyond the end");
    const checked = crc32c(table.subarray(offset, offset + bytes + 1));
    if (table.readUInt32LE(offset + bytes + 1) !== masked(checked)) throw fault(offset, "block checksum mismatch");
  };
  const handlesIn = (holder: Handle): readonly Handle[] => {
    const handles = blockHandles(table, holder);
    if (handles === undefined) throw fault(holder.offset, "an index of blocks cannot be read");
    return handles;
  };
  // The index is looked into before it is its turn to be checked; what it says is believed only as far as it fits.
  for (const handle of handlesIn(index)) block(handle);
  for (const handle of handlesIn(filters)) block(handle);
  block(filters);
  block(index);
  if (end !== footerAt) throw fault(end, "there is something between the blocks and the footer");
}

/** The values of an index block; undefined when it makes no sense. */
function blockHandles(table: Buffer, { offset, bytes }: Handle): Handle[] | undefined {
  if (offset + bytes + BLOCK_TRAILER_BYTES > table.length) return undefined;
  const stored = table.subarray(offset, offset + bytes);
  const content = table[offset + bytes] === 0 ? stored : snappyDecode(stored);
  if (content === undefined || content.length < 4) return undefined;
  const restarts = content.readUInt32LE(content.length - 4);
  const end = content.length - 4 - 4 * restarts;
  if (end < 0) return undefined;
  const handles: Handle[] = [];
  const cursor = new Cursor(content, 0, end);
  while (cursor.at < end) {
    const shared = cursor.varint();
    const unshared = cursor.varint();
    const valueBytes = cursor.varint();
    if (shared === undefined || unshared === undefined || valueBytes === undefined) return undefined;
    const valueAt = cursor.at + unshared;
    if (valueAt + valueBytes > end) return undefined;
    const handle = readHandle(new Cursor(content, valueAt, valueAt + valueBytes));
    if (handle === undefined) return undefined;
    handles.push(handle);
    cursor.at = valueAt + valueBytes;
  }
  return handles;
}

function readHandle(cursor: Cursor): Handle | undefined {
  const offset = cursor.varint();
  const bytes = cursor.varint();
  return offset === undefined || bytes === undefined ? undefined : { offset, bytes };
}

function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

// MANIFEST and log.

interface LogRecord {
  readonly type: number;
  readonly data: Buffer;
  readonly end: number;
}

/** The records of a file in LevelDB's log format, put together from their parts. */
function readRecords(file: string, bytes: Buffer): { readonly offset: number; readonly data: Buffer }[] {
  const records: { readonly offset: number; readonly data: Buffer }[] = [];
  let parts: Buffer[] = [];
  let start = 0;
  for (let at = 0; at + LOG_HEADER_BYTES <= bytes.length; ) {
    const left = LOG_BLOCK_BYTES - (at % LOG_BLOCK_BYTES);
    if (left < LOG_HEADER_BYTES) {
      at += left;
      continue;
    }
    const record = recordAt(bytes, at);
    if (record === undefined) {
      const behind = findRecord(bytes, at + 1);
      if (behind === undefined) break;
      throw new LevelDamagedError(file, at, `a record that cannot be read, before others (at ${behind}) that can`);
    }
    const begins = record.type === FULL || record.type === FIRST;
    if (begins !== (parts.length === 0)) throw new LevelDamagedError(file, at, "parts of records that do not fit");
    if (begins) start = at;
    parts.push(record.data);
    if (record.type === FULL || record.type === LAST) {
      records.push({ offset: start, data: Buffer.concat(parts) });
      parts = [];
    }
    at = record.end;
  }
  return records;
}

function recordAt(bytes: Buffer, at: number): LogRecord | undefined {
  const end = at + LOG_HEADER_BYTES + bytes.readUInt16LE(at + 4);
  const type = bytes[at + 6] as number;
  const blockEnd = at - (at % LOG_BLOCK_BYTES) + LOG_BLOCK_BYTES;
  if (type < FULL || type > LAST || end > Math.min(bytes.length, blockEnd)) return undefined;
  if (bytes.readUInt32LE(at) !== masked(crc32c(bytes.subarray(at + 6, end)))) return undefined;
  return { type, data: bytes.subarray(at + LOG_HEADER_BYTES, end), end };
}

/** Where the next readable record is, whatever is before it. */
function findRecord(bytes: Buffer, from: number): number | undefined {
  for (let at = from; at + LOG_HEADER_BYTES <= bytes.length; at++) {
    if (recordAt(bytes, at) !== undefined) return at;
  }
  return undefined;
}

interface Version {
  readonly tables: ReadonlySet<number>;
  readonly log: number;
  readonly previousLog: number;
}

/** What the changes that a MANIFEST lists come to. */
function readManifest(file: string, bytes: Buffer): Version {
  const tables = new Set<number>();
  let log = 0;
  let previousLog = 0;
  for (const { offset, data } of readRecords(file, bytes)) {
    const cursor = new Cursor(data, 0, data.length);
    const number = (): number => {
      const value = cursor.varint();
      if (value === undefined) throw new LevelDamagedError(file, offset, "a change that cannot be read");
      return value;
    };
    const skip = (): void => {
      const length = number();
      cursor.at += length;
    };
    while (cursor.at < data.length) {
      const tag = number();
      switch (tag) {
        case 1: // the comparator's name
          skip();
          break;
        case 2:
          log = number();
          break;
        case 3: // the next file's number
        case 4: // the last sequence
          number();
          break;
        case 5: // where a compaction stands
          number();
          skip();
          break;
        case 6:
          number();
          tables.delete(number());
          break;
        case 7: {
          number();
          tables.add(number());
          number();
          skip();
          skip();
          break;
        }
        case 9:
          previousLog = number();
          break;
        default:
          throw new LevelDamagedError(file, offset, `a change of the unknown kind ${tag}`);
      }
    }
  }
  return { tables, log, previousLog };
}

class Cursor {
  readonly #bytes: Buffer;
  readonly #end: number;
  at: number;

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes;
    this.at = at;
    this.#end = end;
  }

  /** Undefined when it does not end, or is beyond the safe integers. */
  varint(): number | undefined {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 49 && this.at < this.#end; factor *= 128) {
      const byte = this.#bytes[this.at++] as number;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return Number.isSafeInteger(value) ? value : undefined;
    }
    return undefined;
  }
}
