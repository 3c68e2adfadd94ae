/**
 * HPACK (RFC 7541), as a client that makes load needs it: all of decoding, and of encoding just what gives every request
 * after the first of its kind the same few bytes.
 */

export interface Field {
  readonly name: string;
  readonly value: string;
}

export class HpackError extends Error {
  override readonly name = "HpackError";
}

/** Octets that an entry of a dynamic table counts beside its text (4.1). */
const ENTRY_OVERHEAD = 32;
/** SETTINGS_HEADER_TABLE_SIZE where nobody says another. */
export const DEFAULT_TABLE_SIZE = 4_096;
/** Longer than any length or index that is right here; keeps the arithmetic in 32 bits. */
const MAX_INTEGER = 1 << 24;
/** What a block may unfold to: the dynamic table lets few bytes stand for many. */
const MAX_FIELDS = 1_000;

/** Appendix A. */
const STATIC: readonly Field[] = [
  ":authority",
  ":method GET",
  ":method POST",
  ":path /",
  ":path /index.html",
  ":scheme http",
  ":scheme https",
  ":status 200",
  ":status 204",
  ":status 206",
  ":status 304",
  ":status 400",
  ":status 404",
  ":status 500",
  "accept-charset",
  "accept-encoding gzip, deflate",
  "accept-language",
  "accept-ranges",
  "accept",
  "access-control-allow-origin",
  "age",
  "allow",
  "authorization",
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-length",
  "content-location",
  "content-range",
  "content-type",
  "cookie",
  "date",
  "etag",
  "expect",
  "expires",
  "from",
  "host",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "last-modified",
  "link",
  "location",
  "max-forwards",
  "proxy-authenticate",
  "proxy-authorization",
  "range",
  "referer",
  "refresh",
  "retry-after",
  "server",
  "set-cookie",
  "strict-transport-security",
  "transfer-encoding",
  "user-agent",
  "vary",
  "via",
  "www-authenticate",
].map((line) => {
  const at = line.indexOf(" ");
  return at < 0 ? { name: line, value: "" } : { name: line.slice(0, at), value: line.slice(at + 1) };
});

/** Bits of each octet's code and of the end's (Appendix B). The code is canonical, so this is all of it. */
const CODE_BITS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26, 30,
];
const END_OF_STRING = 256;
const LEAF = 1 << 16;

/** A binary tree: two slots a node, each the first slot of another node, or a leaf. */
const CODE_TREE = codeTree();

function codeTree(): Int32Array {
  const tree = new Int32Array(2 * CODE_BITS.length);
  const byLength = [...CODE_BITS.keys()].sort((a, b) => (CODE_BITS[a] as number) - (CODE_BITS[b] as number) || a - b);
  let nodes = 2;
  let code = 0;
  let length = 0;
  for (const symbol of byLength) {
    const bits = CODE_BITS[symbol] as number;
    code <<= bits - length;
    length = bits;
    let node = 0;
    for (let bit = bits - 1; bit > 0; bit--) {
      const slot = node + ((code >>> bit) & 1);
      if (tree[slot] === 0) {
        tree[slot] = nodes;
        nodes += 2;
      }
      node = tree[slot] as number;
    }
    tree[node + (code & 1)] = LEAF | symbol;
    code++;
  }
  return tree;
}

/** The text, one character an octet. */
export function decodeHuffman(input: Uint8Array, start: number, end: number): string {
  let text = "";
  let node = 0;
  let depth = 0;
  let areOnes = true;
  for (let at = start; at < end; at++) {
    const octet = input[at] as number;
    for (let bit = 7; bit >= 0; bit--) {
      const one = (octet >>> bit) & 1;
      const next = CODE_TREE[node + one] as number;
      depth++;
      areOnes &&= one === 1;
      if (next < LEAF) {
        node = next;
        continue;
      }
      const symbol = next & (LEAF - 1);
      if (symbol === END_OF_STRING) throw new HpackError("a string holds its own end");
      text += String.fromCharCode(symbol);
      node = 0;
      depth = 0;
      areOnes = true;
    }
  }
  if (depth > 7 || !areOnes) throw new HpackError("a string is padded wrongly");
  return text;
}

/** Decodes the header blocks of one connection, in the order in which they come. */
export class HpackDecoder {
  readonly #limit: number;
  /** Newest first. */
  readonly #table: Field[] = [];
  #capacity: number;
  #size = 0;
  #tableChanges = 0;
  #input: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;

  /** `limit`: the size of the dynamic table that the other side was allowed. */
  constructor(limit = DEFAULT_TABLE_SIZE) {
    this.#limit = limit;
    this.#capacity = limit;
  }

  /** Rises with whatever may give an index another meaning. */
  get tableChanges(): number {
    return this.#tableChanges;
  }

  decode(input: Uint8Array, start: number, end: number): Field[] {
    this.#input = input;
    this.#at = start;
    this.#end = end;
    const fields: Field[] = [];
    while (this.#at < end) {
      const first = input[this.#at] as number;
      if ((first & 0x80) !== 0) fields.push(this.#entry(this.#integer(7)));
      else if ((first & 0x40) !== 0) {
        const field = this.#literal(6);
        this.#insert(field);
        fields.push(field);
      } else if ((first & 0x20) !== 0) {
        if (fields.length > 0) throw new HpackError("a table changes its size in the middle of a block");
        this.#resize(this.#integer(5));
      } else fields.push(this.#literal(4));
      if (fields.length > MAX_FIELDS) throw new HpackError(`a block of more than ${MAX_FIELDS} fields`);
    }
    return fields;
  }

  #literal(prefixBits: number): Field {
    const index = this.#integer(prefixBits);
    const name = index === 0 ? this.#string() : this.#entry(index).name;
    return { name, value: this.#string() };
  }

  #entry(index: number): Field {
    const entry = index <= STATIC.length ? STATIC[index - 1] : this.#table[index - STATIC.length - 1];
    if (entry === undefined) throw new HpackError(`there is no field ${index}`);
    return entry;
  }

  #insert(field: Field): void {
    this.#tableChanges++;
    this.#table.unshift(field);
    this.#size += sizeOf(field);
    this.#evict();
  }

  #resize(capacity: number): void {
    if (capacity > this.#limit) throw new HpackError(`a table of ${capacity} octets was not allowed`);
    this.#tableChanges++;
    this.#capacity = capacity;
    this.#evict();
  }

  #evict(): void {
    while (this.#size > this.#capacity) this.#size -= sizeOf(this.#table.pop() as Field);
  }

  #octet(): number {
    if (this.#at >= this.#end) throw new HpackError("a header block ends too early");
    return this.#input[this.#at++] as number;
  }

  #integer(prefixBits: number): number {
    const full = (1 << prefixBits) - 1;
    let value = this.#octet() & full;
    if (value < full) return value;
    for (let shift = 0; ; shift += 7) {
      const octet = this.#octet();
      value += (octet & 0x7f) * 2 ** shift;
      if (value > MAX_INTEGER || shift > 28) throw new HpackError("an integer is too large");
      if ((octet & 0x80) === 0) return value;
    }
  }

  #string(): string {
    const isHuffman = ((this.#input[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const start = this.#at;
    const end = start + length;
    if (end > this.#end) throw new HpackError("a string ends behind its block");
    this.#at = end;
    if (isHuffman) return decodeHuffman(this.#input, start, end);
    let text = "";
    for (let at = start; at < end; at++) text += String.fromCharCode(this.#input[at] as number);
    return text;
  }
}

function sizeOf({ name, value }: Field): number {
  return name.length + value.length + ENTRY_OVERHEAD;
}

/**
 * The header blocks of the requests of one connection. The first request of a path carries its fields in full and leaves
 * them in the other side's table; those after it are indexes only, and the same bytes each time.
 */
export class RequestHeaders {
  readonly #authority: string;
  readonly #tableSize: number;
  readonly #blocks = new Map<string, Buffer>();
  /** What the other side's table holds, newest first. */
  readonly #table: Field[] = [];
  #size = 0;
  #saidSize = false;

  /** `tableSize`: what the other side's settings allow. */
  constructor(authority: string, tableSize: number) {
    this.#authority = authority;
    this.#tableSize = Math.min(tableSize, DEFAULT_TABLE_SIZE);
  }

  /** To be sent at once and once: the other side's table is taken for changed by it. */
  block(path: string): Buffer {
    const known = this.#blocks.get(path);
    if (known !== undefined) return known;
    const fields: Field[] = [
      { name: ":method", value: "POST" },
      { name: ":scheme", value: "http" },
      { name: ":path", value: path },
      { name: ":authority", value: this.#authority },
      { name: "content-type", value: "application/grpc" },
      { name: "te", value: "trailers" },
    ];
    const out: number[] = [];
    let isRepeatable = this.#saidSize;
    if (!this.#saidSize && this.#tableSize < DEFAULT_TABLE_SIZE) putInteger(out, 0x20, 5, this.#tableSize);
    this.#saidSize = true;
    for (const field of fields) isRepeatable = this.#put(out, field) && isRepeatable;
    const block = Buffer.from(out);
    // Whatever was inserted moved all that was there before.
    if (!isRepeatable) this.#blocks.clear();
    else this.#blocks.set(path, block);
    return block;
  }

  /** True when the same bytes mean the same the next time. */
  #put(out: number[], field: Field): boolean {
    const isField = (entry: Field): boolean => entry.name === field.name && entry.value === field.value;
    const inStatic = STATIC.findIndex(isField);
    const inTable = this.#table.findIndex(isField);
    if (inStatic >= 0 || inTable >= 0) {
      putInteger(out, 0x80, 7, inStatic >= 0 ? inStatic + 1 : STATIC.length + inTable + 1);
      return true;
    }
    const name = STATIC.findIndex((entry) => entry.name === field.name) + 1;
    const fits = this.#size + sizeOf(field) <= this.#tableSize;
    if (fits) putInteger(out, 0x40, 6, name);
    else putInteger(out, 0, 4, name);
    if (name === 0) putString(out, field.name);
    putString(out, field.value);
    if (!fits) return true;
    this.#table.unshift(field);
    this.#size += sizeOf(field);
    return false;
  }
}

function putInteger(out: number[], pattern: number, prefixBits: number, value: number): void {
  const full = (1 << prefixBits) - 1;
  if (value < full) {
    out.push(pattern | value);
    return;
  }
  out.push(pattern | full);
  let rest = value - full;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) out.push((rest & 0x7f) | 0x80);
  out.push(rest);
}

function putString(out: number[], text: string): void {
  putInteger(out, 0, 7, text.length);
  out.push(...Buffer.from(text, "latin1"));
}
