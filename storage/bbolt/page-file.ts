import { BoltError } from "./format.ts";

/** What the reader asks of a file; a DiskFile is one. */
export interface BoltFile {
  size(): Promise<number>;
  /** Fills `into` from `position`; resolves to the bytes read, fewer only at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
}

/** Every page lies within one block, for both are powers of two. */
const BLOCK_BYTES = 256 * 1024;
const MAX_BLOCKS = 8;

/**
 * Reads through a few large blocks, because the pages of a walk mostly lie behind each other. Several reads may run at a
 * time. Every read rejects with BoltError when the file ends before.
 */
export class PageFile {
  readonly size: number;
  readonly #file: BoltFile;
  /** Least recently used first. */
  readonly #blocks = new Map<number, Promise<Buffer>>();

  constructor(file: BoltFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  /** To be looked at and forgotten: it may keep a whole block alive. */
  async view(position: number, bytes: number): Promise<Buffer> {
    const offset = position % BLOCK_BYTES;
    if (offset + bytes > BLOCK_BYTES) return this.read(position, bytes);
    const block = await this.#block(Math.floor(position / BLOCK_BYTES));
    if (offset + bytes > block.length) throw this.#ended(position);
    return block.subarray(offset, offset + bytes);
  }

  /** To be kept. */
  async read(position: number, bytes: number): Promise<Buffer> {
    const into = Buffer.allocUnsafeSlow(bytes);
    if (bytes >= BLOCK_BYTES) await this.#fill(into, position);
    else await this.#assemble(into, position);
    return into;
  }

  async #assemble(into: Buffer, position: number): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const at = position + done;
      const copied = (await this.#block(Math.floor(at / BLOCK_BYTES))).copy(into, done, at % BLOCK_BYTES);
      if (copied === 0) throw this.#ended(at);
      done += copied;
    }
  }

  #block(number: number): Promise<Buffer> {
    const found = this.#blocks.get(number);
    this.#blocks.delete(number);
    const block = found ?? this.#load(number);
    this.#blocks.set(number, block);
    for (const oldest of this.#blocks.keys()) {
      if (this.#blocks.size <= MAX_BLOCKS) break;
      this.#blocks.delete(oldest);
    }
    return block;
  }

  async #load(number: number): Promise<Buffer> {
    try {
      const start = number * BLOCK_BYTES;
      const block = Buffer.allocUnsafeSlow(Math.max(0, Math.min(BLOCK_BYTES, this.size - start)));
      await this.#fill(block, start);
      return block;
    } catch (error) {
      this.#blocks.delete(number);
      throw error;
    }
  }

  async #fill(into: Buffer, position: number): Promise<void> {
    const read = await this.#file.read(into, position);
    if (read < into.length) throw this.#ended(position + read);
  }

  #ended(at: number): BoltError {
    return new BoltError(
      `the database file has ${at} bytes at most, and had ${this.size} when it was opened: let nobody write to it ` +
        "meanwhile, or use another copy of it",
    );
  }
}
