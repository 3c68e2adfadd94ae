import { posix } from "node:path";
import type { DiskFile } from "./disk.ts";
import { WalDamagedError } from "./wal.ts";

/** A file of the log. `index` is that of the first entry that was still to come when the file was begun. */
export interface SegmentName {
  readonly sequence: number;
  readonly index: number;
  readonly path: string;
}

/** The next segment before it gets its name; whatever is left of it after a crash is of no use. */
export const PREPARED_NAME = "0.tmp";

export function segmentPath(directory: string, sequence: number, index: number): string {
  return posix.join(directory, `${hex16(sequence)}-${hex16(index)}.wal`);
}

/** The segments among the names of a directory, ascending; other files are not the log's. */
export function segmentsAmong(directory: string, names: readonly string[]): SegmentName[] {
  const segments: SegmentName[] = [];
  for (const name of names) {
    const parts = /^([0-9a-f]{16})-([0-9a-f]{16})\.wal$/.exec(name);
    if (parts === null) continue;
    const sequence = Number.parseInt(parts[1] as string, 16);
    const index = Number.parseInt(parts[2] as string, 16);
    const path = posix.join(directory, name);
    if (!Number.isSafeInteger(sequence) || !Number.isSafeInteger(index)) {
      throw new WalDamagedError(`WAL segment ${path} has a name out of range. ${WHAT_TO_DO}`);
    }
    segments.push({ sequence, index, path });
  }
  segments.sort((a, b) => a.sequence - b.sequence);
  for (const [i, segment] of segments.entries()) {
    const before = segments[i - 1];
    if (before !== undefined && segment.sequence !== before.sequence + 1) {
      throw new WalDamagedError(
        `The WAL has ${before.path} and ${segment.path}, but not exactly what belongs between them. ${WHAT_TO_DO}`,
      );
    }
  }
  return segments;
}

const WHAT_TO_DO =
  "The log was not changed. A member must not go on with a log that lost what it promised, and no command heals one: " +
  "bring its files back as they were, or replace the member (etcdctl member remove ID, etcdctl member add NAME, and a " +
  "start with an empty data directory). Until then the cluster goes on without it, as long as most of the others run.";

/** A sound log, but not the one that belongs to the state store. */
export function foreign(directory: string, { what, isStoreLost }: Mismatch): WalDamagedError {
  const whatToDo = isStoreLost
    ? "The log is sound. What came before was cut off it because a state store had it on the disk: give that one back, or " +
      "get the state from another member that runs (quorate rebuild --data-dir DATA-DIR --endpoints CLIENT-URL[,CLIENT-URL])"
    : `Give this member its own log back (--wal-dir). ${WHAT_TO_DO}`;
  return new WalDamagedError(
    `The state store and the log in ${directory} do not belong together: ${what}. ${whatToDo}`,
  );
}

/** Why a log is not the one whose entries a state store has. */
export interface Mismatch {
  readonly what: string;
  /** It is the store that is missing or too old; nothing is wrong with the log. */
  readonly isStoreLost: boolean;
}

/** `record` counts from 0 in its file. */
export function damaged(
  path: string,
  offset: number,
  record: number | undefined,
  what: string,
  cause?: unknown,
): WalDamagedError {
  const where = record === undefined ? `offset ${offset}` : `offset ${offset} (record ${record})`;
  return new WalDamagedError(
    `WAL segment ${path} is damaged at ${where}: ${what}. ${WHAT_TO_DO}`,
    cause === undefined ? undefined : { cause },
  );
}

/** Bytes of a file around a position that moves forward. */
export class Window {
  readonly #file: DiskFile;
  readonly #chunkBytes: number;
  readonly #keep: boolean;
  readonly size: number;
  #buffer: Buffer;
  #start = 0;
  #length = 0;

  /** keep: views of the bytes stay valid after the window has moved on. */
  constructor(file: DiskFile, size: number, options: { readonly chunkBytes: number; readonly keep: boolean }) {
    this.#file = file;
    this.size = size;
    this.#chunkBytes = options.chunkBytes;
    this.#keep = options.keep;
    this.#buffer = Buffer.alloc(0);
  }

  get bytes(): Buffer {
    return this.#buffer;
  }

  /** File offset of bytes[0]. */
  get start(): number {
    return this.#start;
  }

  /** How much of `bytes` is content. */
  get length(): number {
    return this.#length;
  }

  /** Bytes from `offset` on: at least this many, as far as the file goes. */
  async load(offset: number, bytes: number): Promise<void> {
    const wanted = Math.min(bytes, this.size - offset);
    if (offset >= this.#start && offset + wanted <= this.#start + this.#length) return;
    const length = Math.min(Math.max(bytes, this.#chunkBytes), this.size - offset);
    if (this.#keep || this.#buffer.length < length) this.#buffer = Buffer.allocUnsafeSlow(length);
    this.#start = offset;
    this.#length = await this.#file.read(this.#buffer.subarray(0, length), offset);
    if (this.#length < length) throw new Error(`a file of ${this.size} bytes ended at ${offset + this.#length}`);
  }
}

/** The position after the last byte from `start` on that is not zero; `start` when all are. */
export async function endOfContent(file: DiskFile, start: number, size: number): Promise<number> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(1 << 20, Math.max(size - start, 0)));
  const zeros = Buffer.alloc(buffer.length);
  let end = start;
  for (let at = start; at < size; at += buffer.length) {
    const length = await file.read(buffer.subarray(0, Math.min(buffer.length, size - at)), at);
    if (length === 0) break;
    if (buffer.compare(zeros, 0, length, 0, length) === 0) continue;
    let last = length - 1;
    while (buffer[last] === 0) last--;
    end = at + last + 1;
  }
  return end;
}

function hex16(value: number): string {
  return value.toString(16).padStart(16, "0");
}
