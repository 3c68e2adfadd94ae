/**
 * Frames of the log, as etcd writes them (P-40).
 *
 *     8 bytes, little endian   low 56 bits: size of the record; top byte: 0x80 | padding, or 0 when there is none
 *     size bytes               walpb.Record: 08 type, 10 crc, [1a length data]
 *     padding                  zeros up to a multiple of 8
 *
 * `crc` is the CRC-32C of the data of all records so far, across files. It does not cover length, type and padding, so
 * parsing is strict: exactly the bytes that the encoder makes, or malformed. With that, no byte of a frame can change
 * unnoticed. A type that turned into another one is left to the checks of the content (wal-replay.ts).
 */
import { putUint32LE, sizeUint, writeUint } from "../proto/codec.ts";
import { writeHardState } from "../proto/generated/raftpb.ts";
import type { Entry, HardState } from "../raft/types.ts";
import { crc32c } from "./crc32c.ts";

export const METADATA = 1;
export const ENTRY = 2;
export const HARD_STATE = 3;
export const CRC = 4;
export const SNAPSHOT = 5;

/** A crc record has no data: 8 bytes of length, 4 to 8 of record, padded. */
export const CRC_FRAME_BYTES = 16;
/** Length field, type, crc, and the length of the data at most. */
const MAX_HEADER_BYTES = 8 + 2 + 6 + 8;

/** What stands at a position. `at` and all positions are in the buffer that was parsed. */
export type Frame =
  | {
      readonly kind: "record";
      readonly type: number;
      readonly crc: number;
      readonly dataStart: number;
      readonly dataEnd: number;
      readonly end: number;
    }
  /** A length of zero: nothing was written here. */
  | { readonly kind: "end" }
  /** The buffer ends too early; at least `bytes` from the frame's start are needed to say more. */
  | { readonly kind: "short"; readonly bytes: number }
  /** The byte at `at` is not what has to be there. */
  | { readonly kind: "malformed"; readonly at: number; readonly expected: string };

export function parseFrame(buffer: Buffer, start: number, end: number): Frame {
  if (end - start < 8) return { kind: "short", bytes: 8 };
  const low = buffer.readUInt32LE(start);
  const high = buffer.readUInt32LE(start + 4);
  if (low === 0 && high === 0) return { kind: "end" };
  const padding = -low & 7;
  if (high >>> 24 !== (padding === 0 ? 0 : 0x80 | padding)) {
    return { kind: "malformed", at: start + 7, expected: "a padding that fits the length" };
  }
  const upper = high & 0xffffff;
  // A product makes a double of the sum, however small.
  const size = upper === 0 ? low : upper * 0x1_0000_0000 + low;
  const dataLimit = start + 8 + size;

  // The header is looked at before `size` is believed: it holds the length a second time.
  const header = parseHeader(buffer, start + 8, Math.min(end, dataLimit));
  if (header.kind === "malformed") return header;
  if (header.kind === "short") {
    if (end < dataLimit) return { kind: "short", bytes: Math.min(MAX_HEADER_BYTES, 8 + size, end - start + 8) };
    return { kind: "malformed", at: dataLimit - 1, expected: "a whole record in the length given" };
  }
  if (header.dataEnd !== dataLimit) {
    return { kind: "malformed", at: header.dataStart - 1, expected: `a record of ${size} bytes` };
  }
  if (end < dataLimit + padding) return { kind: "short", bytes: 8 + size + padding };
  for (let at = dataLimit; at < dataLimit + padding; at++) {
    if (buffer[at] !== 0) return { kind: "malformed", at, expected: "zeros as padding" };
  }
  const { type, crc, dataStart, dataEnd } = header;
  return { kind: "record", type, crc, dataStart, dataEnd, end: dataLimit + padding };
}

/** The record at `start` without its length field: what the length field must have been. */
export function sizeOfRecord(buffer: Buffer, start: number, end: number): number | undefined {
  const header = parseHeader(buffer, start, end);
  return header.kind === "header" ? header.dataEnd - start : undefined;
}

type Header =
  | {
      readonly kind: "header";
      readonly type: number;
      readonly crc: number;
      readonly dataStart: number;
      readonly dataEnd: number;
    }
  | { readonly kind: "short" }
  | { readonly kind: "malformed"; readonly at: number; readonly expected: string };

function parseHeader(buffer: Buffer, start: number, end: number): Header {
  const short: Header = { kind: "short" };
  const malformed = (at: number, expected: string): Header => ({ kind: "malformed", at, expected });
  if (start >= end) return short;
  if (buffer[start] !== 0x08) return malformed(start, "a record's type (08)");
  if (start + 1 >= end) return short;
  const type = buffer[start + 1] as number;
  if (type < METADATA || type > SNAPSHOT) return malformed(start + 1, "a record type of 1 to 5");
  if (start + 2 >= end) return short;
  if (buffer[start + 2] !== 0x10) return malformed(start + 2, "a record's crc (10)");
  const crc = parseVarint(buffer, start + 3, end, 5);
  if (crc.kind === "short") return short;
  if (crc.kind === "malformed" || crc.value > 0xffff_ffff) return malformed(crc.at, "a crc of 32 bits");
  if (type === CRC) return { kind: "header", type, crc: crc.value, dataStart: crc.at, dataEnd: crc.at };
  if (crc.at >= end) return short;
  if (buffer[crc.at] !== 0x1a) return malformed(crc.at, "a record's data (1a)");
  const length = parseVarint(buffer, crc.at + 1, end, 7);
  if (length.kind === "short") return short;
  if (length.kind === "malformed" || length.value === 0) return malformed(length.at, "the length of the data");
  return { kind: "header", type, crc: crc.value, dataStart: length.at, dataEnd: length.at + length.value };
}

type Varint =
  /** `at`: the position after it. */
  | { readonly kind: "value"; readonly value: number; readonly at: number }
  | { readonly kind: "short" }
  | { readonly kind: "malformed"; readonly at: number };

function parseVarint(buffer: Buffer, start: number, end: number, maxBytes: number): Varint {
  let value = 0;
  let factor = 1;
  for (let at = start; at < start + maxBytes; at++) {
    if (at >= end) return { kind: "short" };
    const byte = buffer[at] as number;
    if (byte === 0 && at > start) return { kind: "malformed", at };
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { kind: "value", value, at: at + 1 };
    factor *= 128;
  }
  return { kind: "malformed", at: start + maxBytes - 1 };
}

/** An upper bound of the frame's bytes. */
export function entryFrameBound(entry: Entry): number {
  return entry.data.length + 72;
}

export const HARD_STATE_FRAME_BOUND = 64;
export const SNAPSHOT_FRAME_BOUND = 64;

/** Frames one after another in one buffer, with the rolling checksum. The buffer is used again after `start`. */
export class RecordWriter {
  #buffer = Buffer.alloc(0);
  #length = 0;
  #crc: number;

  constructor(crc: number) {
    this.#crc = crc;
  }

  get crc(): number {
    return this.#crc;
  }

  get length(): number {
    return this.#length;
  }

  /** What was written since `start`; valid until the next `start`. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  start(): void {
    this.#length = 0;
    // One giant entry is no reason to hold on to its size for good.
    if (this.#buffer.length > MAX_KEPT_BYTES) this.#buffer = Buffer.alloc(0);
  }

  /** Goes on from here with this checksum, and says so. */
  seed(): void {
    this.#header(CRC, -1);
    this.#pad();
  }

  metadata(data: Uint8Array): void {
    this.#record(METADATA, data);
  }

  snapshot(data: Uint8Array): void {
    this.#record(SNAPSHOT, data);
  }

  hardState(state: HardState): void {
    const length = writeHardState(state, SCRATCH, 0);
    this.#crc = crc32c(SCRATCH, this.#crc, length);
    this.#header(HARD_STATE, length);
    this.#appendScratch(length);
    this.#pad();
  }

  /** raftpb.Entry, written in place so that the data is copied once. */
  entry(entry: Entry): void {
    SCRATCH[0] = 0x08;
    SCRATCH[1] = entry.type;
    SCRATCH[2] = 0x10;
    let at = writeUint(entry.term, SCRATCH, 3);
    SCRATCH[at] = 0x18;
    at = writeUint(entry.index, SCRATCH, at + 1);
    if (entry.data.length > 0) {
      SCRATCH[at] = 0x22;
      at = writeUint(entry.data.length, SCRATCH, at + 1);
    }
    this.#crc = crc32c(entry.data, crc32c(SCRATCH, this.#crc, at));
    this.#header(ENTRY, at + entry.data.length);
    this.#appendScratch(at);
    this.#append(entry.data);
    this.#pad();
  }

  /** The first bytes of it; the buffer has room for them. */
  #appendScratch(length: number): void {
    const buffer = this.#buffer;
    let to = this.#length;
    for (let i = 0; i < length; i++) buffer[to++] = SCRATCH[i] as number;
    this.#length = to;
  }

  #record(type: number, data: Uint8Array): void {
    this.#crc = crc32c(data, this.#crc);
    this.#header(type, data.length);
    this.#append(data);
    this.#pad();
  }

  /** Length field and record up to its data; dataLength -1: a record without data. */
  #header(type: number, dataLength: number): void {
    const size = 3 + sizeUint(this.#crc) + (dataLength < 0 ? 0 : 1 + sizeUint(dataLength) + dataLength);
    const padding = -size & 7;
    this.#reserve(8 + size + padding);
    const buffer = this.#buffer;
    putUint32LE(size, buffer, this.#length);
    const high = ((padding === 0 ? 0 : 0x80 | padding) << 24) | Math.floor(size / 0x1_0000_0000);
    putUint32LE(high, buffer, this.#length + 4);
    buffer[this.#length + 8] = 0x08;
    buffer[this.#length + 9] = type;
    buffer[this.#length + 10] = 0x10;
    let at = writeUint(this.#crc, buffer, this.#length + 11);
    if (dataLength >= 0) {
      buffer[at] = 0x1a;
      at = writeUint(dataLength, buffer, at + 1);
    }
    this.#length = at;
  }

  #append(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #pad(): void {
    while ((this.#length & 7) !== 0) this.#buffer[this.#length++] = 0;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2, MIN_BUFFER_BYTES));
    larger.set(this.bytes);
    this.#buffer = larger;
  }
}

const MIN_BUFFER_BYTES = 4096;
const MAX_KEPT_BYTES = 8 << 20;
/** For what is written before it is known how long it is: an entry's fields before its data, a hard state. */
const SCRATCH = Buffer.alloc(64);
