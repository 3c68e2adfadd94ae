import { putUint32LE } from "../proto/codec.ts";
import { crc32c } from "./crc32c.ts";

/**
 * What stands in LevelDB for a value: the value, then the CRC-32C of key and value. LevelDB checks its blocks when it is
 * told to, but not those that its compactions read, and the binding has no way to tell it: what has rotted in a block is
 * written anew, with a right checksum, and is found by none of its checks from then on. A row's own checksum goes along.
 *
 * A row may carry a mark: bytes that are no part of its value. Then behind the value stand the mark and its length, and
 * the checksum is of all that and changed by a constant, which says that there is one. Another constant says that there is
 * nothing but the mark: no row at all.
 */
const CHECK_BYTES = 4;
const MARK_LENGTH_BYTES = 4;
const WITH_MARK = 0x6b72616d;
const MARK_ONLY = 0x796c6e6f;

/** What `unsealed` finds where there is only a mark. */
export const NO_ROW = null;

export function sealed(key: Uint8Array, value: Uint8Array): Buffer {
  return sealedIn(Buffer.allocUnsafe(sealedBytes(value)), key, value);
}

export function sealedBytes(value: Uint8Array): number {
  return value.length + CHECK_BYTES;
}

/** `sealed` in memory of sealedBytes. */
export function sealedIn(out: Buffer, key: Uint8Array, value: Uint8Array): Buffer {
  out.set(value);
  putUint32LE(crc32c(out, crc32c(key), value.length), out, value.length);
  return out;
}

/** NO_ROW for the value: the mark stands alone. */
export function sealedWithMark(key: Uint8Array, value: Uint8Array | typeof NO_ROW, mark: Uint8Array): Buffer {
  const valueBytes = value?.length ?? 0;
  const end = valueBytes + mark.length + MARK_LENGTH_BYTES;
  const out = Buffer.allocUnsafe(end + CHECK_BYTES);
  if (value !== NO_ROW) out.set(value);
  out.set(mark, valueBytes);
  out.writeUInt32LE(mark.length, valueBytes + mark.length);
  const check = crc32c(out.subarray(0, end), crc32c(key)) ^ (value === NO_ROW ? MARK_ONLY : WITH_MARK);
  out.writeUInt32LE(check >>> 0, end);
  return out;
}

/** The value (a view), or NO_ROW; undefined when these are not the key and value that were put. */
export function unsealed(key: Uint8Array, stored: Buffer): Buffer | typeof NO_ROW | undefined {
  const end = stored.length - CHECK_BYTES;
  if (end < 0) return undefined;
  const content = stored.subarray(0, end);
  const difference = differenceOf(key, content, stored);
  if (difference === 0) return content;
  const valueBytes = markStart(content);
  if (valueBytes < 0) return undefined;
  if (difference === WITH_MARK) return content.subarray(0, valueBytes);
  return difference === MARK_ONLY ? NO_ROW : undefined;
}

/** The mark that it carries (a view); undefined when it has none, or is not what was put. */
export function markOf(key: Uint8Array, stored: Buffer): Buffer | undefined {
  const end = stored.length - CHECK_BYTES;
  if (end < 0) return undefined;
  const content = stored.subarray(0, end);
  const difference = differenceOf(key, content, stored);
  if (difference !== WITH_MARK && difference !== MARK_ONLY) return undefined;
  const start = markStart(content);
  return start < 0 ? undefined : content.subarray(start, end - MARK_LENGTH_BYTES);
}

/** Between what the checksum is and what it would be of a row without a mark. */
function differenceOf(key: Uint8Array, content: Buffer, stored: Buffer): number {
  return (crc32c(content, crc32c(key)) ^ stored.readUInt32LE(content.length)) >>> 0;
}

function markStart(content: Buffer): number {
  const end = content.length - MARK_LENGTH_BYTES;
  return end < 0 ? -1 : end - content.readUInt32LE(end);
}
