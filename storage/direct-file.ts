/**
 * Writes past the page cache (O_DIRECT). A log is read again only for followers that are far behind, so pages of it in the
 * cache are memory and copying for nothing: a synced write of 100 KB takes half the CPU without, and there is no second copy
 * of what was filled with zeros beforehand.
 *
 * Such a write is of whole blocks, from memory that begins at a page. The block that a write begins in is written again with
 * what it had, as the page cache would do; the rest of the block that it ends in is written as zeros.
 */
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import { assert, must } from "../raft/assert.ts";
import { giveAreaBack, takeArea } from "./aligned-memory.ts";
import { writeSome } from "./file-writes.ts";

/** What nearly every disk and file system is content with; one that asks for more answers EINVAL. */
export const BLOCK_BYTES = 4096;
/** No position: what the area holds is not the block before any. */
const NOWHERE = -1;

export class DirectFile {
  readonly #handle: FileHandle;
  readonly #reading: FileHandle;
  /** Undefined: closed. */
  #area: Buffer | undefined;
  /** Where the last write ended; the area begins with the block that this is in. */
  #end = NOWHERE;
  #isWriting = false;

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

  /**
   * All of `from`; a write that makes the file longer is not on the disk by itself. Behind its end the file has to hold
   * zeros or nothing: up to the end of the block it does afterwards. One write at a time; what is longer than the memory goes out in pieces, in order.
   * EINVAL: the file system takes no such writes, or not these; whatever is written of `from` is as it should be.
   */
  async write(from: Uint8Array, position: number): Promise<void> {
    const area = must(this.#area, "a write to a closed file");
    assert(!this.#isWriting, "two writes to one file at the same time");
    this.#isWriting = true;
    try {
      for (let done = 0; done < from.length; )
        done += await this.#writePiece(area, from.subarray(done), position + done);
    } finally {
      this.#isWriting = false;
    }
  }

  /** Resolves to how much of it was written. */
  async #writePiece(area: Buffer, from: Uint8Array, position: number): Promise<number> {
    const head = position % BLOCK_BYTES;
    const isLoaded = position === this.#end;
    this.#end = NOWHERE;
    if (head > 0 && !isLoaded) await this.#load(area, position - head, head);
    const length = Math.min(from.length, area.length - head);
    const filled = head + length;
    area.set(from.subarray(0, length), head);
    const blocks = area.subarray(0, Math.ceil(filled / BLOCK_BYTES) * BLOCK_BYTES);
    blocks.fill(0, filled);
    await writeBlocks(this.#handle.fd, blocks, position - head);
    if (filled % BLOCK_BYTES > 0) area.copyWithin(0, blocks.length - BLOCK_BYTES, blocks.length);
    this.#end = position + length;
    return length;
  }

  /** The file is written by another way, too: what a block holds has to be looked up again. */
  forget(): void {
    this.#end = NOWHERE;
  }

  async close(): Promise<void> {
    const area = this.#area;
    this.#area = undefined;
    await this.#handle.close();
    // A write that is under way still reads its memory.
    if (area !== undefined && !this.#isWriting) giveAreaBack(area);
  }

  /** The first `bytes` of a block. */
  async #load(area: Buffer, position: number, bytes: number): Promise<void> {
    for (let done = 0; done < bytes; ) {
      const { bytesRead } = await this.#reading.read(area, done, bytes - done, position + done);
      if (bytesRead === 0) throw new Error(`the file ends at ${position + done}, before what is to be written`);
      done += bytesRead;
    }
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
