/**
 * CRC-32C (Castagnoli, reflected 0x82f63b78), sixteen bytes a step over tables.
 *
 * crc32c(b, crc32c(a)) = crc32c(a + b): the value is final after each call and also the seed of the next one. `length`:
 * of so many bytes from the first on.
 */
const TABLES = makeTables();
/** Which table entry has this top byte; a CRC's table has each exactly once, which is what makes a step reversible. */
const BY_TOP_BYTE = makeInverse();
const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;
/** Below this a view of words costs more than it saves. */
const WORDS_FROM_BYTES = 128;

export function crc32c(bytes: Uint8Array, seed = 0, length = bytes.length): number {
  return length >= WORDS_FROM_BYTES && LITTLE_ENDIAN ? byWords(bytes, seed, length) : byBytes(bytes, 0, ~seed, length);
}

const KEPT_BYTES = 1 << 20;
/** Of the block of memory that was looked at last: what is checked in a row often lies in one, and a view costs 100 ns. */
let lastWords: Int32Array = new Int32Array(0);

function wordsOf(memory: ArrayBufferLike): Int32Array {
  if (lastWords.buffer === memory) return lastWords;
  const words = new Int32Array(memory, 0, memory.byteLength >>> 2);
  // It keeps the block alive.
  if (memory.byteLength <= KEPT_BYTES) lastWords = words;
  return words;
}

function byWords(bytes: Uint8Array, seed: number, length: number): number {
  const t = TABLES;
  let crc = ~seed;
  let at = 0;
  while (((bytes.byteOffset + at) & 3) !== 0) crc = (t[(crc ^ (bytes[at++] as number)) & 0xff] as number) ^ (crc >>> 8);
  const words = wordsOf(bytes.buffer);
  const first = (bytes.byteOffset + at) >>> 2;
  const blockWords = ((length - at) >>> 2) & ~3;
  for (let i = first; i < first + blockWords; i += 4) {
    const a = crc ^ (words[i] as number);
    const b = words[i + 1] as number;
    const c = words[i + 2] as number;
    const d = words[i + 3] as number;
    crc =
      (t[3840 | (a & 0xff)] as number) ^
      (t[3584 | ((a >>> 8) & 0xff)] as number) ^
      (t[3328 | ((a >>> 16) & 0xff)] as number) ^
      (t[3072 | (a >>> 24)] as number) ^
      (t[2816 | (b & 0xff)] as number) ^
      (t[2560 | ((b >>> 8) & 0xff)] as number) ^
      (t[2304 | ((b >>> 16) & 0xff)] as number) ^
      (t[2048 | (b >>> 24)] as number) ^
      (t[1792 | (c & 0xff)] as number) ^
      (t[1536 | ((c >>> 8) & 0xff)] as number) ^
      (t[1280 | ((c >>> 16) & 0xff)] as number) ^
      (t[1024 | (c >>> 24)] as number) ^
      (t[768 | (d & 0xff)] as number) ^
      (t[512 | ((d >>> 8) & 0xff)] as number) ^
      (t[256 | ((d >>> 16) & 0xff)] as number) ^
      (t[d >>> 24] as number);
  }
  return byBytes(bytes, at + blockWords * 4, crc, length);
}

function byBytes(bytes: Uint8Array, start: number, inverted: number, length: number): number {
  const t = TABLES;
  const blocksEnd = length - 15;
  let crc = inverted;
  let at = start;
  while (at < blocksEnd) {
    const a =
      crc ^
      ((bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24));
    crc =
      (t[3840 | (a & 0xff)] as number) ^
      (t[3584 | ((a >>> 8) & 0xff)] as number) ^
      (t[3328 | ((a >>> 16) & 0xff)] as number) ^
      (t[3072 | (a >>> 24)] as number) ^
      (t[2816 | (bytes[at + 4] as number)] as number) ^
      (t[2560 | (bytes[at + 5] as number)] as number) ^
      (t[2304 | (bytes[at + 6] as number)] as number) ^
      (t[2048 | (bytes[at + 7] as number)] as number) ^
      (t[1792 | (bytes[at + 8] as number)] as number) ^
      (t[1536 | (bytes[at + 9] as number)] as number) ^
      (t[1280 | (bytes[at + 10] as number)] as number) ^
      (t[1024 | (bytes[at + 11] as number)] as number) ^
      (t[768 | (bytes[at + 12] as number)] as number) ^
      (t[512 | (bytes[at + 13] as number)] as number) ^
      (t[256 | (bytes[at + 14] as number)] as number) ^
      (t[bytes[at + 15] as number] as number);
    at += 16;
  }
  while (at < length) crc = (t[(crc ^ (bytes[at++] as number)) & 0xff] as number) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/**
 * Whether one changed byte among `length` turned the checksum `expected` into `actual`: its distance from the end (1 is
 * the last byte) and what to xor it with. Of all pairs of checksums about length * 255 / 2^32 have an answer by chance.
 *
 * A difference of d before a byte is a difference of table[d & 0xff] ^ (d >>> 8) after it, whatever the byte is, so the
 * difference at the end can be walked back to where it was a difference of one byte.
 */
export function oneByteApart(
  expected: number,
  actual: number,
  length: number,
): { readonly fromEnd: number; readonly xor: number } | undefined {
  let difference = (expected ^ actual) >>> 0;
  if (difference === 0) return undefined;
  for (let fromEnd = 1; fromEnd <= length; fromEnd++) {
    const low = BY_TOP_BYTE[difference >>> 24] as number;
    difference = (((difference ^ (TABLES[low] as number)) << 8) | low) >>> 0;
    if (difference < 0x100) return { fromEnd, xor: difference };
  }
  return undefined;
}

function makeTables(): Int32Array {
  const tables = new Int32Array(16 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
    tables[byte] = crc;
  }
  for (let at = 256; at < tables.length; at++) {
    const before = tables[at - 256] as number;
    tables[at] = (before >>> 8) ^ (tables[before & 0xff] as number);
  }
  return tables;
}

function makeInverse(): Uint8Array {
  const inverse = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) inverse[(TABLES[byte] as number) >>> 24] = byte;
  return inverse;
}
