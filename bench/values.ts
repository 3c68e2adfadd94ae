/** Keys and values of a fixed length that say themselves what they are, so that an answer can be checked without a memory. */

const KEY_PREFIX = "bench/";
const KEY_DIGITS = 10;
const NUMBER_DIGITS = 12;
export const KEY_BYTES = KEY_PREFIX.length + KEY_DIGITS;
/** Key, number, and at least something that is neither. */
export const MIN_VALUE_BYTES = KEY_BYTES + NUMBER_DIGITS + 4;

/** What fills the values: not to be compressed, and the same in every run. */
const POOL = noise(64 << 10);
const POOL_STEP = 251;

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
  const fill = bytes - KEY_BYTES - NUMBER_DIGITS;
  const from = (number * POOL_STEP) % (POOL.length - fill);
  POOL.copy(out, at + KEY_BYTES + NUMBER_DIGITS, from, from + fill);
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
  let rest = value;
  for (let place = at + digits - 1; place >= at; place--) {
    const tenth = Math.floor(rest / 10);
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
