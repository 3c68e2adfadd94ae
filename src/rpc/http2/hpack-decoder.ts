import { ENTRY_OVERHEAD_BYTES, STATIC_TABLE } from "./hpack-tables.ts";
import { decodedBound, decodeHuffman } from "./huffman.ts";
import { ConnectionError, ErrorCode } from "./protocol.ts";

/** Name, value, name, value, ...; one char a byte. */
export type HeaderList = readonly string[];

const STATIC_ENTRIES = STATIC_TABLE.length;
/** Integers need no more (RFC 7541 §5.1): no length or index of ours is larger. */
const MAX_INTEGER = 2 ** 28;

/** Where Huffman strings are decoded to; one for all connections, since nothing is left in it. */
let scratch: Buffer = Buffer.allocUnsafeSlow(4_096);

/** RFC 7541's decoder. Whatever it throws is a ConnectionError: its state is lost then. */
export class HpackDecoder {
  readonly #announcedSize: number;
  /** A ring: entry i (0 is the newest) lies at (#newest - i) & #mask. */
  readonly #names: string[];
  readonly #values: string[];
  readonly #mask: number;
  #newest = -1;
  #count = 0;
  #size = 0;
  #maxSize: number;
  #version = 0;
  // Of the block that is being decoded.
  #block: Buffer = scratch;
  #at = 0;
  #end = 0;

  /** `announcedSize` is our SETTINGS_HEADER_TABLE_SIZE. */
  constructor(announcedSize: number) {
    this.#announcedSize = announcedSize;
    this.#maxSize = announcedSize;
    const slots = 2 ** Math.ceil(Math.log2(Math.max(1, announcedSize / ENTRY_OVERHEAD_BYTES)));
    this.#mask = slots - 1;
    this.#names = Array.from({ length: slots }, () => "");
    this.#values = Array.from({ length: slots }, () => "");
  }

  /** Changes whenever the dynamic table does: equal blocks mean the same while it stays. */
  get version(): number {
    return this.#version;
  }

  /**
   * Decodes one whole block. Undefined when the list is longer than `maxListBytes` (RFC 9113 §6.5.2); the table is as it
   * has to be even then.
   */
  decode(block: Buffer, start: number, end: number, maxListBytes: number): HeaderList | undefined {
    this.#block = block;
    this.#at = start;
    this.#end = end;
    const list: string[] = [];
    let listBytes = 0;
    let fieldSeen = false;
    while (this.#at < end) {
      const first = block[this.#at] as number;
      if ((first & 0xe0) === 0x20) {
        // §4.2
        if (fieldSeen) throw malformed("a table size update behind a field");
        this.#resize(this.#integer(0x1f));
        continue;
      }
      fieldSeen = true;
      let name: string;
      let value: string;
      if ((first & 0x80) !== 0) {
        const index = this.#integer(0x7f);
        name = this.#nameAt(index);
        value = this.#valueAt(index);
      } else {
        const indexing = (first & 0x40) !== 0;
        const index = this.#integer(indexing ? 0x3f : 0x0f);
        name = index === 0 ? this.#string() : this.#nameAt(index);
        value = this.#string();
        if (indexing) this.#insert(name, value);
      }
      listBytes += name.length + value.length + ENTRY_OVERHEAD_BYTES;
      if (listBytes <= maxListBytes) list.push(name, value);
    }
    return listBytes <= maxListBytes ? list : undefined;
  }

  /** §5.1; `mask` is the prefix with all its bits set. */
  #integer(mask: number): number {
    const block = this.#block;
    let value = (block[this.#at++] as number) & mask;
    if (value < mask) return value;
    for (let factor = 1; ; factor *= 128) {
      if (this.#at >= this.#end) throw malformed("an integer is cut off");
      const byte = block[this.#at++] as number;
      value += (byte & 0x7f) * factor;
      // Also ends an endless one, of zeros.
      if (value > MAX_INTEGER || factor > MAX_INTEGER) throw malformed("an integer is too large");
      if (byte < 0x80) return value;
    }
  }

  /** §5.2 */
  #string(): string {
    if (this.#at >= this.#end) throw malformed("a string is cut off");
    const block = this.#block;
    const isHuffman = ((block[this.#at] as number) & 0x80) !== 0;
    const length = this.#integer(0x7f);
    const start = this.#at;
    const end = start + length;
    if (end > this.#end) throw malformed("a string is cut off");
    this.#at = end;
    if (!isHuffman) return block.toString("latin1", start, end);
    const bound = decodedBound(length);
    if (scratch.length < bound) scratch = Buffer.allocUnsafeSlow(bound);
    return scratch.toString("latin1", 0, decodeHuffman(block, start, end, scratch));
  }

  #nameAt(index: number): string {
    const fixed = STATIC_TABLE[index - 1];
    if (fixed !== undefined) return fixed[0];
    return this.#names[this.#slotOf(index)] as string;
  }

  #valueAt(index: number): string {
    const fixed = STATIC_TABLE[index - 1];
    if (fixed !== undefined) return fixed[1];
    return this.#values[this.#slotOf(index)] as string;
  }

  #slotOf(index: number): number {
    const age = index - 1 - STATIC_ENTRIES;
    if (age < 0 || age >= this.#count) throw malformed("an index points at nothing");
    return (this.#newest - age) & this.#mask;
  }

  /** §4.4: what is larger than the table empties it. */
  #insert(name: string, value: string): void {
    const size = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    this.#version++;
    this.#evictTo(this.#maxSize - size);
    if (size > this.#maxSize) return;
    this.#newest = (this.#newest + 1) & this.#mask;
    this.#names[this.#newest] = name;
    this.#values[this.#newest] = value;
    this.#count++;
    this.#size += size;
  }

  #resize(maxSize: number): void {
    if (maxSize > this.#announcedSize) throw malformed("the table is to be larger than announced");
    this.#maxSize = maxSize;
    this.#version++;
    this.#evictTo(maxSize);
  }

  #evictTo(size: number): void {
    while (this.#size > size && this.#count > 0) {
      const oldest = (this.#newest - this.#count + 1) & this.#mask;
      this.#size -= (this.#names[oldest] as string).length + (this.#values[oldest] as string).length;
      this.#size -= ENTRY_OVERHEAD_BYTES;
      this.#names[oldest] = "";
      this.#values[oldest] = "";
      this.#count--;
    }
  }
}

function malformed(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.compressionError, message);
}
