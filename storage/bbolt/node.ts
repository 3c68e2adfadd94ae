import {
  BUCKET_ELEMENT,
  damaged,
  ELEMENT_BYTES,
  HEADER_BYTES,
  MAX_KEY_BYTES,
  MAX_VALUE_BYTES,
  readUint64,
} from "./format.ts";

/**
 * A branch or leaf, decoded and checked for all that one page shows: elements within the page, none inside another, keys
 * of legal sizes that ascend. So a page holds no more than its bytes, whatever its elements say.
 */
export type Node = Branch | Leaf;

export interface Branch {
  readonly kind: "branch";
  readonly id: number;
  readonly pages: number;
  readonly keys: readonly string[];
  readonly children: readonly number[];
}

export interface Leaf {
  readonly kind: "leaf";
  readonly id: number;
  readonly pages: number;
  readonly keys: readonly string[];
  readonly spans: readonly Span[];
  /** The page; undefined if it is large: values are to be read one by one. */
  readonly bytes: Buffer | undefined;
}

/** Where key and value of an element are, from the start of its page; the value is behind the key. */
export interface Span {
  readonly keyAt: number;
  readonly keyBytes: number;
  readonly valueAt: number;
  readonly valueBytes: number;
}

/** Of rows, or of the buckets themselves. */
export type LeafContent = "rows" | "buckets";

/** Of a leaf's elements; `table` is the beginning of the page, at least as far as these go. */
export function leafSpans(
  table: Buffer,
  count: number,
  pageBytes: number,
  content: LeafContent,
  page: number,
): readonly Span[] {
  const flags = content === "buckets" ? BUCKET_ELEMENT : 0;
  const spans: Span[] = [];
  let end = tableBytes(count, pageBytes, page);
  for (let i = 0; i < count; i++) {
    const at = HEADER_BYTES + i * ELEMENT_BYTES;
    const found = table.readUInt32LE(at);
    if (found !== flags) throw damaged(page, `has an element ${i} with flags ${found} where ${content} belong`);
    const keyAt = at + table.readUInt32LE(at + 4);
    const keyBytes = table.readUInt32LE(at + 8);
    const valueBytes = table.readUInt32LE(at + 12);
    if (valueBytes > MAX_VALUE_BYTES) throw damaged(page, `has an element ${i} with a value of ${valueBytes} bytes`);
    end = elementEnd({ i, keyAt, keyBytes, valueBytes, from: end, pageBytes, page });
    spans.push({ keyAt, keyBytes, valueAt: keyAt + keyBytes, valueBytes });
  }
  return spans;
}

/** `bytes`: the whole page. */
export function leafKeys(spans: readonly Span[], bytes: Buffer, page: number): readonly string[] {
  const keys = spans.map(({ keyAt, keyBytes }) => bytes.toString("latin1", keyAt, keyAt + keyBytes));
  checkAscending(keys, page);
  return keys;
}

export function branchOf(bytes: Buffer, count: number, pages: number, page: number): Branch {
  if (count === 0) throw damaged(page, "is a branch without children");
  const keys: string[] = [];
  const children: number[] = [];
  let end = tableBytes(count, bytes.length, page);
  for (let i = 0; i < count; i++) {
    const at = HEADER_BYTES + i * ELEMENT_BYTES;
    const keyAt = at + bytes.readUInt32LE(at);
    const keyBytes = bytes.readUInt32LE(at + 4);
    end = elementEnd({ i, keyAt, keyBytes, valueBytes: 0, from: end, pageBytes: bytes.length, page });
    keys.push(bytes.toString("latin1", keyAt, keyAt + keyBytes));
    children.push(readUint64(bytes, at + 8));
  }
  checkAscending(keys, page);
  return { kind: "branch", id: page, pages, keys, children };
}

function tableBytes(count: number, pageBytes: number, page: number): number {
  const bytes = HEADER_BYTES + count * ELEMENT_BYTES;
  if (bytes > pageBytes) throw damaged(page, `has ${count} elements, which do not fit its ${pageBytes} bytes`);
  return bytes;
}

function elementEnd(element: {
  readonly i: number;
  readonly keyAt: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  /** Where the element before ends. */
  readonly from: number;
  readonly pageBytes: number;
  readonly page: number;
}): number {
  const { i, keyAt, keyBytes, valueBytes, from, pageBytes, page } = element;
  if (keyBytes === 0 || keyBytes > MAX_KEY_BYTES)
    throw damaged(page, `has an element ${i} with a key of ${keyBytes} bytes`);
  if (keyAt < from) throw damaged(page, `has an element ${i} that overlaps what is before it`);
  const end = keyAt + keyBytes + valueBytes;
  if (end > pageBytes) throw damaged(page, `has an element ${i} that reaches beyond the page's ${pageBytes} bytes`);
  return end;
}

export function checkAscending(keys: readonly string[], page: number): void {
  for (let i = 1; i < keys.length; i++) {
    if ((keys[i] as string) <= (keys[i - 1] as string)) {
      throw damaged(page, `has keys that do not ascend, at element ${i}`);
    }
  }
}
