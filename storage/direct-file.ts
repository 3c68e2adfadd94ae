/**
 * Writes past the page cache (O_DIRECT). A log is not read again while its member runs, so pages of it in the cache are
 * memory and copying for nothing: a synced write of 100 KB takes half the CPU without, and there is no second copy of what
 * was filled with zeros beforehand.
 *
 * Such a write is of whole blocks, from memory that begins at a page. The block that a write begins in is written again with
 * what it had, as the page cache would do; the rest of the block that it ends in is written as zeros.
 */
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import { assert } from "../raft/assert.ts";
import { giveAreaBack, takeArea } from "./aligned-memory.ts";
import { writeSome } from "./file-writes.ts";

/** No disk or file system in use asks for more. */
export const BLOCK_BYTES = 4096;
/** No position: what the area holds is not the block before any. */
const NOWHERE = -1;

export class DirectFile {
  readonly #handle: FileHandle;
  readonly #reading: FileHandle;
  readonly #area: Buffer;
  /** Where the last write ended; the area begins with the block that this is in. */
  #end = NOWHERE;
  #isWriting = false;
  #isProven = false;

  private constructor(handle: FileHandle, reading: FileHandle, area: Buffer) {
    this.#handle = handle;
    this.#reading = reading;
    this.#area = area;
  }

  /**
   * The file of an open handle once more, whatever it is called by now; `flags` beside O_RDWR. Undefined where this system,
   * or the file system by what it says now, has no such writes.
   */
  static async open(file: FileHandle, flags: number): Promise<DirectFile | undefined> {
    if (process.platform !== "linux") return undefined;
    const area = takeArea();
    if (area === undefined) return undefined;
    try {
      const handle = await open(`/proc/self/fd/${file.fd}`, constants.O_RDWR | constants.O_DIRECT | flags);
      return new DirectFile(handle, file, area);
    } catch {
      // Environment: no /proc, or a file system without. The caller has another way.
      giveAreaBack(area);
      return undefined;
    }
  }

  /** A write went well: EINVAL from here on is a fault, before it says that the file system takes no such writes. */
  get isProven(): boolean {
    return this.#isProven;
  }

  /**
   * All of `from`. Behind its end the file has to hold zeros or nothing: up to the end of the block it does afterwards. One
   * write at a time. Long ones go out in pieces, in order.
   */
  async write(from: Uint8Array, position: number): Promise<void> {
    assert(!this.#isWriting, "two writes to one file at the same time");
    this.#isWriting = true;
    const area = this.#area;
    for (let done = 0; done < from.length; ) {
      const at = position + done;
      const head = at % BLOCK_BYTES;
      if (head > 0 && at !== this.#end) await this.#load(at - head);
      const length = Math.min(from.length - done, area.length - head);
      const filled = head + length;
      area.set(from.subarray(done, done + length), head);
      const blocks = area.subarray(0, Math.ceil(filled / BLOCK_BYTES) * BLOCK_BYTES);
      blocks.fill(0, filled);
      this.#end = NOWHERE;
      await writeBlocks(this.#handle.fd, blocks, at - head);
      this.#isProven = true;
      if (filled % BLOCK_BYTES > 0) area.copyWithin(0, blocks.length - BLOCK_BYTES, blocks.length);
      this.#end = at + length;
      done += length;
    }
    this.#isWriting = false;
  }

  /** The file is written by another way, too: what a block holds has to be looked up again. */
  forget(): void {
    this.#end = NOWHERE;
  }

  async close(): Promise<void> {
    await this.#handle.close();
    // A write that failed or is under way may still read its memory.
    if (!this.#isWriting) giveAreaBack(this.#area);
  }

  async #load(position: number): Promise<void> {
    const { bytesRead } = await this.#reading.read(this.#area, 0, BLOCK_BYTES, position);
    this.#area.fill(0, bytesRead, BLOCK_BYTES);
  }
}

/** What was written of a block that is not whole is written again: from its beginning. */
async function writeBlocks(fd: number, blocks: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < blocks.length; ) {
    const bytes = await writeSome(fd, blocks, done, position + done);
    const whole = bytes - (bytes % BLOCK_BYTES);
    if (whole === 0) throw new Error(`wrote ${done + bytes} of ${blocks.length} bytes`);
    done += whole;
  }
}
