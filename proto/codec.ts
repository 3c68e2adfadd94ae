/**
 * Protobuf primitives that the generated codecs are made of.
 *
 * Contracts:
 * - Decoded `bytes` fields are *views* of the input, never copies. Whoever keeps one longer than the input copies it.
 * - Fields marked (as)="key" are latin1 strings: one char a byte, so `<` is byte order.
 * - An int64 held as `number` is clamped to the safe integers (every comparison against a real revision, limit or TTL
 *   comes out the same); a uint64 held as `number` (term, index) must be a safe integer or decoding fails.
 * - Decoding never recurses deeper than MAX_DEPTH messages, so no input can exhaust the stack.
 */

export const EMPTY: Buffer = Buffer.alloc(0);

/** Splits a 64-bit integer in two words and back: arithmetic of bigints takes an allocation a step. */
const words = new DataView(new ArrayBuffer(8));

export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

/** Messages inside messages that a decoder follows; a nested txn takes two levels (TxnRequest, RequestOp). */
export const MAX_DEPTH = 1_000;

export interface Codec<T> {
  /** A message with every field at its default, save those given. */
  create(init?: Partial<T>): T;
  /** Bytes that `write` takes. */
  size(message: T): number;
  /** Writes the message at `at`; returns the position after it. */
  write(message: T, out: Buffer, at: number): number;
  /** Reads fields until `end`. */
  read(reader: Reader, end: number): T;
}

/** In memory of its own, or cut from `slabs`. */
export function encode<T>(codec: Codec<T>, message: T, slabs?: Slabs): Buffer {
  const size = codec.size(message);
  const out = slabs === undefined ? Buffer.allocUnsafeSlow(size) : slabs.allocate(size);
  codec.write(message, out, 0);
  return out;
}

/** Throws DecodeError; unknown fields are skipped. */
export function decode<T>(codec: Codec<T>, input: Uint8Array): T {
  const reader = new Reader(input);
  return codec.read(reader, reader.end);
}

/** A memory block of its own costs about a microsecond, most of it in the garbage collector. */
const SLAB_BYTES = 64 << 10;
/** What is longer is worth a block, and would pin too much of a slab. */
const SLICED_BYTES = 4 << 10;

/**
 * Bytes to be written by whoever asked, and nobody else. Short ones are cut from a block that they share with what is
 * allocated before and after; so each kind of thing that lives for long has slabs of its own, or one entry of the log
 * would keep a block of answers that are long gone.
 */
export class Slabs {
  #slab = EMPTY;
  #at = 0;

  allocate(bytes: number): Buffer {
    if (bytes > SLICED_BYTES) return Buffer.allocUnsafeSlow(bytes);
    if (this.#at + bytes > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#at = 0;
    }
    const start = this.#at;
    this.#at += bytes;
    return this.#slab.subarray(start, this.#at);
  }
}

export class Reader {
  readonly #buffer: Buffer;
  #depth = 0;
  position = 0;
  readonly end: number;

  constructor(input: Uint8Array) {
    this.#buffer = Buffer.isBuffer(input) ? input : Buffer.from(input.buffer, input.byteOffset, input.byteLength);
    this.end = input.byteLength;
  }

  /** The next tag below `end`; a tag that is no legal field number is an error. */
  tag(end: number): number {
    const tag = this.uint32();
    if (tag >>> 3 === 0) throw new DecodeError(`proto: illegal tag ${tag >>> 3} (wire type ${tag & 7})`);
    if (this.position > end) throw new DecodeError("unexpected EOF");
    return tag;
  }

  expect(tag: number, wireType: number): void {
    if ((tag & 7) !== wireType) {
      throw new DecodeError(`proto: wrong wireType = ${tag & 7} for field ${tag >>> 3}`);
    }
  }

  /** End position of a length-delimited field that starts here; it never passes the input's end. */
  limit(): number {
    const length = this.uint64();
    const end = this.position + length;
    if (end > this.end) throw new DecodeError("unexpected EOF");
    return end;
  }

  message<T>(read: (reader: Reader, end: number) => T): T {
    if (++this.#depth > MAX_DEPTH) throw new DecodeError(`proto: messages nested deeper than ${MAX_DEPTH}`);
    const end = this.limit();
    const value = read(this, end);
    if (this.position !== end) throw new DecodeError("unexpected EOF");
    this.#depth--;
    return value;
  }

  bytes(): Buffer {
    const end = this.limit();
    const view = this.#buffer.subarray(this.position, end);
    this.position = end;
    return view;
  }

  latin1(): string {
    const end = this.limit();
    const text = this.#buffer.toString("latin1", this.position, end);
    this.position = end;
    return text;
  }

  string(): string {
    const end = this.limit();
    const text = this.#buffer.toString("utf8", this.position, end);
    this.position = end;
    return text;
  }

  bool(): boolean {
    return this.uint64Bits() !== 0n;
  }

  /** Enum or int32: the low 32 bits, signed; unknown enum numbers are kept. */
  int32(): number {
    return this.uint32() | 0;
  }

  uint32(): number {
    const buffer = this.#buffer;
    let result = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.position >= this.end) throw new DecodeError("unexpected EOF");
      const byte = buffer[this.position++] as number;
      if (shift < 32) result |= (byte & 0x7f) << shift;
      if (byte < 0x80) return result >>> 0;
    }
    throw new DecodeError("proto: integer overflow");
  }

  /** A uint64 that must be a safe integer. */
  uint64(): number {
    const start = this.position;
    const fast = this.#short();
    if (fast >= 0) return fast;
    this.position = start;
    const value = this.uint64Bits();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new DecodeError(`proto: integer ${value} is out of range`);
    return Number(value);
  }

  /** An int64 clamped to the safe integers. */
  int64(): number {
    const start = this.position;
    const fast = this.#short();
    if (fast >= 0) return fast;
    this.position = start;
    const value = BigInt.asIntN(64, this.uint64Bits());
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) return Number.MAX_SAFE_INTEGER;
    if (value < BigInt(Number.MIN_SAFE_INTEGER)) return Number.MIN_SAFE_INTEGER;
    return Number(value);
  }

  int64Bits(): bigint {
    return BigInt.asIntN(64, this.uint64Bits());
  }

  uint64Bits(): bigint {
    const buffer = this.#buffer;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.position >= this.end) throw new DecodeError("unexpected EOF");
      const byte = buffer[this.position++] as number;
      const bits = byte & 0x7f;
      if (shift < 32) low |= bits << shift;
      // The fifth byte lies across the two.
      if (shift === 28) high |= bits >>> 4;
      else if (shift > 28) high |= bits << (shift - 32);
      if (byte < 0x80) {
        words.setInt32(0, high);
        words.setInt32(4, low);
        return words.getBigUint64(0);
      }
    }
    throw new DecodeError("proto: integer overflow");
  }

  /** A varint of up to seven bytes, or -1 if it is longer (the position is then of no use). */
  #short(): number {
    const buffer = this.#buffer;
    let result = 0;
    let factor = 1;
    for (let i = 0; i < 7; i++) {
      if (this.position >= this.end) throw new DecodeError("unexpected EOF");
      const byte = buffer[this.position++] as number;
      result += (byte & 0x7f) * factor;
      if (byte < 0x80) return result;
      factor *= 128;
    }
    return -1;
  }

  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.uint64Bits();
        return;
      case 1:
        this.position += 8;
        break;
      case 2:
        this.position = this.limit();
        return;
      case 5:
        this.position += 4;
        break;
      case 3:
        this.#skipGroup(tag >>> 3);
        return;
      default:
        throw new DecodeError(`proto: illegal wireType ${tag & 7}`);
    }
    if (this.position > this.end) throw new DecodeError("unexpected EOF");
  }

  #skipGroup(field: number): void {
    if (++this.#depth > MAX_DEPTH) throw new DecodeError(`proto: messages nested deeper than ${MAX_DEPTH}`);
    for (;;) {
      const tag = this.tag(this.end);
      if ((tag & 7) === 4) {
        if (tag >>> 3 !== field) throw new DecodeError("proto: unexpected end of group");
        this.#depth--;
        return;
      }
      this.skip(tag);
    }
  }
}

export function sizeUint(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  if (value < 0x10000000) return 4;
  if (value < 0x800000000) return 5;
  if (value < 0x40000000000) return 6;
  if (value < 0x2000000000000) return 7;
  return 8;
}

export function writeUint(value: number, out: Buffer, at: number): number {
  let rest = value;
  let position = at;
  while (rest >= 0x80) {
    if (rest < 0x80000000) {
      out[position++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    } else {
      out[position++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
  }
  out[position++] = rest;
  return position;
}

/** A signed number: negative ones take ten bytes, as in protobuf. */
export function sizeInt(value: number): number {
  return value < 0 ? 10 : sizeUint(value);
}

export function writeInt(value: number, out: Buffer, at: number): number {
  return value < 0 ? writeBits(BigInt(value), out, at) : writeUint(value, out, at);
}

export function sizeBits(value: bigint): number {
  words.setBigUint64(0, value);
  const high = words.getUint32(0);
  return high === 0 ? sizeUint(words.getUint32(4)) : Math.floor((70 - Math.clz32(high)) / 7);
}

export function writeBits(value: bigint, out: Buffer, at: number): number {
  words.setBigUint64(0, value);
  let high = words.getUint32(0);
  let low = words.getUint32(4);
  let position = at;
  while (high !== 0 || low >= 0x80) {
    out[position++] = (low & 0x7f) | 0x80;
    low = ((low >>> 7) | (high << 25)) >>> 0;
    high >>>= 7;
  }
  out[position++] = low;
  return position;
}

/** Length prefix and content. */
export function sizeBytes(value: Uint8Array): number {
  return sizeUint(value.length) + value.length;
}

export function writeBytes(value: Uint8Array, out: Buffer, at: number): number {
  const position = writeUint(value.length, out, at);
  out.set(value, position);
  return position + value.length;
}

export function sizeLatin1(value: string): number {
  return sizeUint(value.length) + value.length;
}

export function writeLatin1(value: string, out: Buffer, at: number): number {
  const position = writeUint(value.length, out, at);
  return putLatin1(value, out, position);
}

/** Up to here a loop is cheaper than a call into the engine. */
const LOOPED_CHARS = 48;

/** Without a length; returns the position after it. */
export function putLatin1(value: string, out: Buffer, at: number): number {
  const { length } = value;
  if (length > LOOPED_CHARS) return at + out.write(value, at, "latin1");
  for (let i = 0; i < length; i++) out[at + i] = value.charCodeAt(i);
  return at + length;
}

/** The low 32 bits; Buffer's own would check what callers know. Returns the position after them. */
export function putUint32LE(value: number, out: Buffer, at: number): number {
  out[at] = value;
  out[at + 1] = value >>> 8;
  out[at + 2] = value >>> 16;
  out[at + 3] = value >>> 24;
  return at + 4;
}

export function sizeString(value: string): number {
  const length = Buffer.byteLength(value, "utf8");
  return sizeUint(length) + length;
}

export function writeString(value: string, out: Buffer, at: number): number {
  const position = writeUint(Buffer.byteLength(value, "utf8"), out, at);
  return position + out.write(value, position, "utf8");
}

/** Length prefix of a sub-message whose size is known. */
export function sizeDelimited(size: number): number {
  return sizeUint(size) + size;
}
