import { ENTRY_OVERHEAD_BYTES, STATIC_TABLE } from "./hpack-tables.ts";
import { INITIAL } from "./protocol.ts";

export interface Field {
  readonly name: string;
  /** One char a byte. */
  readonly value: string;
  /** To be remembered by the peer, so that it takes one byte from the next time on. */
  readonly indexed: boolean;
}

/** A block, and whether the same fields will always be encoded so while `setMaxSize` is not called. */
export interface EncodedBlock {
  readonly bytes: Buffer;
  readonly isStable: boolean;
}

interface Entry {
  readonly name: string;
  readonly value: string;
}

const staticNames: ReadonlyMap<string, number> = new Map(
  STATIC_TABLE.map(([name], at) => [name, at + 1] as const).reverse(),
);
const staticFields: ReadonlyMap<string, number> = new Map(
  STATIC_TABLE.map(([name, value], at) => [`${name}\0${value}`, at + 1] as const).reverse(),
);

/**
 * RFC 7541's encoder for few different fields: what has room is remembered, nothing is evicted for something newer,
 * strings go out as they are.
 */
export class HpackEncoder {
  /** Newest first. */
  #entries: Entry[] = [];
  #size = 0;
  #maxSize: number = INITIAL.headerTableBytes;
  /** Smallest size since the last block, which must be told before the present one (§4.2). */
  #smallestSize: number | undefined;
  /** What the decoder at the other end takes for the maximum. */
  #toldSize: number = INITIAL.headerTableBytes;

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setMaxSize(peerSize: number): void {
    const size = Math.min(peerSize, INITIAL.headerTableBytes);
    this.#smallestSize = Math.min(size, this.#smallestSize ?? this.#maxSize);
    this.#maxSize = size;
    while (this.#size > size) {
      const oldest = this.#entries.pop();
      if (oldest === undefined) throw new Error("the size of an empty table is not 0");
      this.#size -= sizeOf(oldest);
    }
  }

  encode(fields: readonly Field[]): EncodedBlock {
    const out: number[] = [];
    let isStable = !this.#tellSize(out);
    for (const { name, value, indexed } of fields) {
      const index = this.#indexOf(name, value);
      if (index !== undefined) {
        writeInteger(out, 0x80, 0x7f, index);
        continue;
      }
      const nameIndex = staticNames.get(name) ?? 0;
      const isRemembered = indexed && this.#remember({ name, value });
      if (isRemembered) writeInteger(out, 0x40, 0x3f, nameIndex);
      else writeInteger(out, 0x00, 0x0f, nameIndex);
      if (isRemembered) isStable = false;
      if (nameIndex === 0) writeString(out, name);
      writeString(out, value);
    }
    return { bytes: Buffer.from(out), isStable };
  }

  #tellSize(out: number[]): boolean {
    const smallest = this.#smallestSize;
    this.#smallestSize = undefined;
    if (smallest === undefined || (smallest >= this.#toldSize && this.#maxSize === this.#toldSize)) return false;
    if (smallest < this.#maxSize && smallest < this.#toldSize) writeInteger(out, 0x20, 0x1f, smallest);
    writeInteger(out, 0x20, 0x1f, this.#maxSize);
    this.#toldSize = this.#maxSize;
    return true;
  }

  #indexOf(name: string, value: string): number | undefined {
    const fixed = staticFields.get(`${name}\0${value}`);
    if (fixed !== undefined) return fixed;
    const age = this.#entries.findIndex((entry) => entry.name === name && entry.value === value);
    return age < 0 ? undefined : STATIC_TABLE.length + 1 + age;
  }

  #remember(entry: Entry): boolean {
    const size = sizeOf(entry);
    if (this.#size + size > this.#maxSize) return false;
    this.#entries.unshift(entry);
    this.#size += size;
    return true;
  }
}

function sizeOf({ name, value }: Entry): number {
  return name.length + value.length + ENTRY_OVERHEAD_BYTES;
}

/** §5.1; `mask` is the prefix with all its bits set. */
function writeInteger(out: number[], pattern: number, mask: number, value: number): void {
  if (value < mask) {
    out.push(pattern | value);
    return;
  }
  out.push(pattern | mask);
  let rest = value - mask;
  while (rest >= 0x80) {
    out.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  out.push(rest);
}

function writeString(out: number[], text: string): void {
  writeInteger(out, 0x00, 0x7f, text.length);
  for (let at = 0; at < text.length; at++) out.push(text.charCodeAt(at) & 0xff);
}
