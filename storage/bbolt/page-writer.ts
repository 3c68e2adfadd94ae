import { assert } from "../../raft/assert.ts";
import {
  BRANCH_PAGE,
  BUCKET_BYTES,
  BUCKET_ELEMENT,
  ELEMENT_BYTES,
  HEADER_BYTES,
  LEAF_PAGE,
  writeHeader,
  writeUint64,
} from "./format.ts";
import { type BranchPage, type LeafPage, PAGE_BYTES, type TreePage } from "./tree-layout.ts";

const CHUNK_BYTES = 256 * 1024;
/** A value this large is handed on as it is; smaller ones are copied, once. */
const UNCOPIED_BYTES = 64 * 1024;
const MAX_PIECE_BYTES = 1024 * 1024;

/** Lays bytes one behind the other into chunks of at most MAX_PIECE_BYTES. */
export class PageWriter {
  #chunk: Buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  /** What was taken already, and what is written in all. */
  #start = 0;
  #end = 0;
  #ready: Buffer[] = [];

  page(page: TreePage): void {
    if (page.kind === "leaf") this.#leaf(page);
    else this.#branch(page);
  }

  /** The leaf page of the root bucket: names, ascending, and the root page of each (0: it has no rows). */
  buckets(id: number, buckets: readonly { readonly name: string; readonly root: number }[]): void {
    const values = buckets.map(({ root }) => bucketValue(root));
    const bytes = buckets.reduce(
      (sum, { name }, i) => sum + ELEMENT_BYTES + name.length + (values[i] as Buffer).length,
      HEADER_BYTES,
    );
    assert(bytes <= PAGE_BYTES, "the names of the buckets do not fit a page");
    this.#leaf({ kind: "leaf", id, pages: 1, keys: buckets.map(({ name }) => name), values }, BUCKET_ELEMENT);
  }

  /** A whole page, or some. */
  bytes(bytes: Buffer): void {
    const at = this.#room(bytes.length);
    bytes.copy(this.#chunk, at);
  }

  /** The full chunks so far; with `isEnd`, all that is left. */
  take(isEnd: boolean): readonly Buffer[] {
    if (isEnd) this.#seal();
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }

  #leaf({ id, pages, keys, values }: LeafPage, flags = 0): void {
    const count = keys.length;
    const tableBytes = HEADER_BYTES + count * ELEMENT_BYTES;
    let at = this.#room(tableBytes);
    const table = this.#chunk;
    writeHeader(table, at, { id, flags: LEAF_PAGE, count, overflow: pages - 1 });
    at += HEADER_BYTES;
    let written = tableBytes;
    for (let i = 0; i < count; i++) {
      const keyBytes = (keys[i] as string).length;
      const valueBytes = (values[i] as Uint8Array).length;
      table.writeUInt32LE(flags, at);
      table.writeUInt32LE(written - (HEADER_BYTES + i * ELEMENT_BYTES), at + 4);
      table.writeUInt32LE(keyBytes, at + 8);
      table.writeUInt32LE(valueBytes, at + 12);
      at += ELEMENT_BYTES;
      written += keyBytes + valueBytes;
    }
    for (let i = 0; i < count; i++) {
      const key = keys[i] as string;
      const value = values[i] as Uint8Array;
      if (value.length >= UNCOPIED_BYTES) {
        this.#key(key);
        this.#pass(value);
      } else {
        at = this.#room(key.length + value.length);
        this.#chunk.write(key, at, "latin1");
        this.#chunk.set(value, at + key.length);
      }
    }
    this.#fill(pages * PAGE_BYTES - written);
  }

  #branch({ id, pages, keys, children }: BranchPage): void {
    const count = keys.length;
    const tableBytes = HEADER_BYTES + count * ELEMENT_BYTES;
    let at = this.#room(tableBytes);
    const table = this.#chunk;
    writeHeader(table, at, { id, flags: BRANCH_PAGE, count, overflow: pages - 1 });
    at += HEADER_BYTES;
    let written = tableBytes;
    for (let i = 0; i < count; i++) {
      const keyBytes = (keys[i] as string).length;
      table.writeUInt32LE(written - (HEADER_BYTES + i * ELEMENT_BYTES), at);
      table.writeUInt32LE(keyBytes, at + 4);
      writeUint64(table, children[i] as number, at + 8);
      at += ELEMENT_BYTES;
      written += keyBytes;
    }
    for (const key of keys) this.#key(key);
    this.#fill(pages * PAGE_BYTES - written);
  }

  #key(key: string): void {
    const at = this.#room(key.length);
    this.#chunk.write(key, at, "latin1");
  }

  #fill(zeros: number): void {
    assert(zeros >= 0 && zeros < PAGE_BYTES, "a page has another size than it was laid out for");
    const at = this.#room(zeros);
    this.#chunk.fill(0, at, at + zeros);
  }

  /** Where in #chunk the next so many bytes belong; whatever they held before, all of them have to be written. */
  #room(bytes: number): number {
    assert(bytes <= CHUNK_BYTES, "a piece does not fit a chunk");
    if (this.#end + bytes > this.#chunk.length) {
      this.#seal();
      this.#chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
      this.#start = 0;
      this.#end = 0;
    }
    const at = this.#end;
    this.#end += bytes;
    return at;
  }

  #pass(value: Uint8Array): void {
    this.#seal();
    for (let at = 0; at < value.length; at += MAX_PIECE_BYTES) {
      const length = Math.min(MAX_PIECE_BYTES, value.length - at);
      this.#ready.push(Buffer.from(value.buffer, value.byteOffset + at, length));
    }
  }

  #seal(): void {
    if (this.#end > this.#start) this.#ready.push(this.#chunk.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }
}

function bucketValue(root: number): Buffer {
  const value = Buffer.alloc(root === 0 ? BUCKET_BYTES + HEADER_BYTES : BUCKET_BYTES);
  writeUint64(value, root, 0);
  if (root === 0) writeHeader(value, BUCKET_BYTES, { id: 0, flags: LEAF_PAGE, count: 0, overflow: 0 });
  return value;
}
