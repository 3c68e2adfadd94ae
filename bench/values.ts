/** Keys and values of a fixed length that say themselves what they are, so that an answer can be checked without a memory. */

const KEY_PREFIX = "bench/";
const KEY_DIGITS = 10;
const NUMBER_DIGITS = 12;
export const KEY_BYTES = KEY_PREFIX.length + KEY_DIGITS;
const MAX_INT32 = 2 ** 31 - 1;
/** Made of the number, so that the digits of one value and the rest of another do not pass for a value. */
const SEAL_BYTES = 4;
const SEAL_FACTOR = 0x9e37_79b1;
/** Key, number, what fills it, seal. */
export const MIN_VALUE_BYTES = KEY_BYTES + NUMBER_DIGITS + SEAL_BYTES;

/** What fills the values is not to be compressed: so many in a row have each another fill, the same in every run. */
const FILLS = 512;
/** Between the beginnings of two in the noise that they are cut from; of the usual length, they do not overlap. */
const FILL_STEP = 251;
let fills: Buffer[] = [];
let fillBytes = 0;

export function keyOf(index: number): string {
  return KEY_PREFIX + String(index).padStart(KEY_DIGITS, "0");
}

/** The first key behind all of them. */
export const KEYS_END = "bench0";

export function valueFor(index: number, number: number, bytes: number): Buffer {
  const value = Buffer.allocUnsafe(bytes);
  value.write(KEY_PREFIX, 0, "latin1");
  writeValue(value, 0, bytes, index, number);
  return value;
}

/** Digits of a key that stands at `at`. */
export function writeKey(out: Buffer, at: number, index: number): void {
  writeDigits(out, at + KEY_PREFIX.length, KEY_DIGITS, index);
}

/** Over a value of that length, whose prefix is there already. */
export function writeValue(out: Buffer, at: number, bytes: number, index: number, number: number): void {
  writeKey(out, at, index);
  writeDigits(out, at + KEY_BYTES, NUMBER_DIGITS, number);
  out.set(fillOf(number, bytes - MIN_VALUE_BYTES), at + KEY_BYTES + NUMBER_DIGITS);
  const seal = Math.imul(number, SEAL_FACTOR);
  const sealAt = at + bytes - SEAL_BYTES;
  out[sealAt] = seal >>> 24;
  out[sealAt + 1] = seal >>> 16;
  out[sealAt + 2] = seal >>> 8;
  out[sealAt + 3] = seal;
}

/** Views that are made once: to make one takes longer than to copy what it shows. */
function fillOf(number: number, bytes: number): Buffer {
  if (fillBytes !== bytes) {
    fillBytes = bytes;
    const pool = noise(FILLS * FILL_STEP + bytes);
    fills = Array.from({ length: FILLS }, (_, i) => pool.subarray(i * FILL_STEP, i * FILL_STEP + bytes));
  }
  return fills[number % FILLS] as Buffer;
}

/** The number in a value that stands at `at`; NaN when there is none. */
export function numberIn(value: Buffer, at: number): number {
  return digitsIn(value, at + KEY_BYTES, NUMBER_DIGITS);
}

/** What is wrong with a value of a key; undefined when it is one that was made for it. */
export function problemOf(value: Uint8Array, index: number, bytes: number): string | undefined {
  const number = numberIn(Buffer.from(value.buffer, value.byteOffset, value.byteLength), 0);
  if (value.length === bytes && Number.isInteger(number) && valueFor(index, number, bytes).equals(value))
    return undefined;
  return `${keyOf(index)} has a value that nobody wrote (${value.length} bytes)`;
}

function writeDigits(out: Buffer, at: number, digits: number, value: number): void {
  let place = at + digits - 1;
  let large = value;
  for (; large > MAX_INT32 && place >= at; place--) {
    const tenth = Math.floor(large / 10);
    out[place] = 48 + large - tenth * 10;
    large = tenth;
  }
  // Divisions of 32 bits, which are but multiplications.
  for (let rest = large | 0; place >= at; place--) {
    const tenth = (rest / 10) | 0;
    out[place] = 48 + rest - tenth * 10;
    rest = tenth;
  }
}

function digitsIn(bytes: Buffer, at: number, digits: number): number {
  let value = 0;
  for (let place = at; place < at + digits; place++) {
    const digit = (bytes[place] ?? 0) - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}

/** Draws whole numbers below `below`, the same ones for the same seed. */
export function drawer(seed: number): (below: number) => number {
  let state = (seed * 2_654_435_761 + 1) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function noise(bytes: number): Buffer {
  const draw = drawer(1);
  return Buffer.from(Uint8Array.from({ length: bytes }, () => draw(256)));
}
