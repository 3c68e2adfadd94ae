/**
 * Where a log ends: a write that a crash tore, or damage.
 *
 * What a crash can leave. Nothing is written behind a sync that has not returned, save commit indexes that nobody waits
 * for; so what is not on the disk for certain is one stretch, the tail, from the end of the last sync on. A file is
 * zero-filled before it is used and disks write sectors of 512 bytes whole. Hence each sector of the tail is either as
 * written or as before: zero from where the tail (or the write in it) begins. A file that was extended or copied may
 * also just end, and a copy may be zero from any byte to its end. Nothing else is a torn write.
 *
 * What proves damage. The first write after a sync begins with a crc record in the middle of the file: a *settled mark*.
 * It changes nothing for the checksum, etcd reads over it, and it says: everything before was on the disk. A segment's
 * head ends with one, too. So, with the first record that cannot be read at G, in the last segment:
 *
 *   1. A settled mark behind G: damage. Before G's own first mark (a log that etcd wrote): any record behind G.
 *   2. G's length is zero, and so is everything behind it: the log ends here, cleanly.
 *   3. G's length is zero up to the end of its sector, and content follows in later sectors: torn.
 *   4. G's length is zero and content follows in the same sector: damage.
 *   5. The file ends within the record: torn.
 *   6. The record is not what its length or checksum says, and
 *      a. one changed byte explains that: damage, even in a place where it could have been a tear;
 *      b. a whole sector behind G's first is zero and the bytes missed are in it: torn;
 *      c. everything from a byte within the record to the end of the file is zero: torn;
 *      d. otherwise: damage.
 *   7. A record that is whole but impossible (wrong index, term, content): damage, always.
 *   8. Anything in a segment that is not the last: damage. The first two records of any segment: damage; a file gets its
 *      name only after its head was synced.
 *
 * Two tears cost so few bytes that the rest tells what they were. They are put back rather than judged, since either
 * verdict could be wrong and the whole record cannot be: a sector of which only the 8 bytes of a length field belong to
 * the tail, and a sector of which only the last 8 bytes of a record are, all but one of them zero anyway.
 *
 * What no rule can see: whole sectors of the very last write turned to zero after it was acknowledged, and the last
 * segment missing altogether.
 */
import { crc32c, oneByteApart } from "./crc32c.ts";
import { CRC, CRC_FRAME_BYTES, type Frame, parseFrame, RecordWriter, sizeOfRecord } from "./wal-record.ts";

export const SECTOR_BYTES = 512;

export interface Tail {
  /** From the record at G on, as far as there is content and as far as that record goes, and a sector more. */
  readonly bytes: Buffer;
  /** File offset of G. */
  readonly offset: number;
  /** Content ends here, relative to G; zeros follow. */
  readonly contentEnd: number;
  /** The file ends here, relative to G. */
  readonly fileEnd: number;
  /** Rolling checksum before G. */
  readonly crc: number;
  /** Whether the segment has a settled mark before G. */
  readonly marked: boolean;
}

/** Undefined: torn, and everything from G on may be cut off. Otherwise what is wrong. */
export function judgeTail(tail: Tail): string | undefined {
  const { bytes, contentEnd, fileEnd } = tail;
  const frame = parseFrame(bytes, 0, Math.min(bytes.length, fileEnd));
  switch (frame.kind) {
    case "end": {
      const sectorEnd = nextSector(tail, 0);
      if (!isZero(bytes, 8, sectorEnd)) return "the record's length is zero, but content follows it";
      return settledBehind(tail, sectorEnd);
    }
    case "short":
      return undefined;
    case "malformed": {
      const expected = expectedAt(bytes, frame);
      if (differsInOneByte(bytes, markFrame(tail.crc), contentEnd)) return expected;
      if (contentEnd <= frame.at) return undefined;
      const sector = sectorOf(tail, frame.at);
      if (sector > 0 && isZero(bytes, sector, sector + SECTOR_BYTES)) return settledBehind(tail, sector + SECTOR_BYTES);
      return expected;
    }
    case "record": {
      const actual = checksum(bytes, frame, tail.crc);
      const expected = `its checksum is ${hex(frame.crc)}, its content gives ${hex(actual)}`;
      if (frame.type === CRC) return expected;
      if (!lacksSector(tail, frame.end) && contentEnd >= frame.dataEnd) return expected;
      if (oneByteExplains(frame, actual)) return `${expected}, as after a change of one byte`;
      return settledBehind(tail, frame.end);
    }
  }
}

/**
 * The record at G with the few bytes put back that a lost sector cost it; see above. `replaced` is where they are,
 * relative to G. The record is whole and its checksum is right.
 */
export function mendRecord(
  tail: Tail,
): { readonly bytes: Buffer; readonly replaced: { readonly start: number; readonly end: number } } | undefined {
  const { bytes, crc, fileEnd } = tail;
  const limit = Math.min(bytes.length, fileEnd);
  const frame = parseFrame(bytes, 0, limit);
  const copy = Buffer.from(bytes.subarray(0, limit));
  let replaced: { readonly start: number; readonly end: number };
  if (frame.kind === "end" && nextSector(tail, 0) === 8) {
    const size = sizeOfRecord(bytes, 8, limit);
    if (size === undefined) return undefined;
    const padding = -size & 7;
    copy.writeUIntLE(size, 0, 6);
    copy[7] = padding === 0 ? 0 : 0x80 | padding;
    replaced = { start: 0, end: 8 };
  } else if (frame.kind === "record" && frame.type !== CRC) {
    const sector = sectorOf(tail, frame.end - 1);
    if (sector <= 0 || frame.end - sector !== 8 || !isZero(bytes, sector, sector + SECTOR_BYTES)) return undefined;
    const change = oneByteApart(frame.crc, checksum(bytes, frame, crc), frame.dataEnd - sector);
    if (change === undefined) return undefined;
    const at = frame.dataEnd - change.fromEnd;
    copy[at] = change.xor;
    replaced = { start: at, end: at + 1 };
  } else {
    return undefined;
  }
  const mended = parseFrame(copy, 0, limit);
  if (mended.kind !== "record" || checksum(copy, mended, crc) !== mended.crc) return undefined;
  return { bytes: copy.subarray(0, mended.end), replaced };
}

/** What the record's crc has to be: a crc record itself has no data and repeats the one before. */
export function checksum(bytes: Buffer, frame: Extract<Frame, { kind: "record" }>, before: number): number {
  return crc32c(bytes.subarray(frame.dataStart, frame.dataEnd), before);
}

export function expectedAt(bytes: Buffer, frame: Extract<Frame, { kind: "malformed" }>): string {
  return `expected ${frame.expected}, found the byte ${(bytes[frame.at] ?? 0).toString(16).padStart(2, "0")}`;
}

function settledBehind(tail: Tail, start: number): string | undefined {
  for (let at = (start + 7) & ~7; at < tail.contentEnd; at += 8) {
    const frame = parseFrame(tail.bytes, at, tail.bytes.length);
    if (frame.kind !== "record" || (tail.marked && frame.type !== CRC)) continue;
    const what = tail.marked ? "a mark says that it was on the disk for certain" : "a whole record follows it";
    return `the record cannot be read, and ${what} (at offset ${tail.offset + at})`;
  }
  return undefined;
}

/** Whether a sector behind the first is zero in which the record has bytes. */
function lacksSector(tail: Tail, frameEnd: number): boolean {
  for (let at = nextSector(tail, 0); at < frameEnd; at += SECTOR_BYTES) {
    if (isZero(tail.bytes, at, at + SECTOR_BYTES)) return true;
  }
  return false;
}

/**
 * By chance true of a torn record in length * 255 / 2^32 of all cases, so for large ones only changes of one bit count:
 * a member that refuses to start after a power failure is not harmless either.
 */
function oneByteExplains(frame: Extract<Frame, { kind: "record" }>, actual: number): boolean {
  const length = frame.dataEnd - frame.dataStart;
  const change = oneByteApart(frame.crc, actual, length);
  if (change !== undefined && (length <= MAX_ANY_BYTE_BYTES || (change.xor & (change.xor - 1)) === 0)) return true;
  const expected = varint(actual);
  const found = varint(frame.crc);
  return found.length === expected.length && differsInOneByte(found, expected, found.length);
}

const MAX_ANY_BYTE_BYTES = 64 * 1024;

/** `content` counts as zero from contentEnd on. */
function differsInOneByte(content: ArrayLike<number>, expected: ArrayLike<number>, contentEnd: number): boolean {
  let differences = 0;
  for (let at = 0; at < expected.length; at++) {
    if ((at < contentEnd ? (content[at] ?? 0) : 0) !== expected[at]) differences++;
  }
  return differences === 1;
}

function markFrame(crc: number): Buffer {
  const writer = new RecordWriter(crc);
  writer.seed();
  return writer.bytes.subarray(0, CRC_FRAME_BYTES);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return bytes;
}

function nextSector(tail: Tail, at: number): number {
  return sectorOf(tail, at) + SECTOR_BYTES;
}

/** Start of the sector that `at` is in, relative to G: not positive for G's own. */
function sectorOf(tail: Tail, at: number): number {
  return at - ((tail.offset + at) % SECTOR_BYTES);
}

function isZero(bytes: Buffer, start: number, end: number): boolean {
  for (let at = Math.max(start, 0); at < Math.min(end, bytes.length); at++) if (bytes[at] !== 0) return false;
  return true;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}
