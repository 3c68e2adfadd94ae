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
import { writeAll } from "./file-writes.ts";

/** What nearly every disk and file system is content with; one that asks for more answers EINVAL. */
export const BLOCK_BYTES = 4096;
/** No position: what the area holds is not the block before any. */
const NOWHERE = -1;

export class DirectFile {
  readonly #handle: FileHandle;
  readonly #reading: FileHandle;
  /** Undefined: closed. */
  #area: Buffer | undefined;
  /** Where the last write ended. */
  #end = NOWHERE;
  /** Where in the area the block lies that `#end` is in. */
  #endBlockAt = 0;
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
   * zeros or nothing: up to the end of the block it does afterwards. One write at a time; what is longer than the memory
   * goes out in pieces, in order. EINVAL: the file system takes no such writes, or not these; whatever is written of
   * `from` is as it should be.
   */
  write(from: Uint8Array, position: number): Promise<void> {
    const area = must(this.#area, "a write to a closed file");
    assert(!this.#isWriting, "two writes to one file at the same time");
    if (from.length === 0) return Promise.resolve();
    this.#isWriting = true;
    const isOnePiece = this.#isLoaded(position) && (position % BLOCK_BYTES) + from.length <= area.length;
    const writing = isOnePiece ? this.#writePiece(area, from, position) : this.#writePieces(area, from, position);
    return writing.then(
      () => {
        this.#isWriting = false;
        this.#end = position + from.length;
      },
      (error: unknown) => {
        this.#isWriting = false;
        throw error;
      },
    );
  }

  /** Whether the area has what the block holds before this position. */
  #isLoaded(position: number): boolean {
    return position % BLOCK_BYTES === 0 || position === this.#end;
  }

  async #writePieces(area: Buffer, from: Uint8Array, position: number): Promise<void> {
    if (!this.#isLoaded(position)) await this.#load(area, position);
    for (let done = 0; done < from.length; ) {
      const at = position + done;
      const piece = from.subarray(done, done + area.length - (at % BLOCK_BYTES));
      await this.#writePiece(area, piece, at);
      done += piece.length;
    }
  }

  /** The area has what is before it in its block, and room for it. */
  #writePiece(area: Buffer, piece: Uint8Array, position: number): Promise<void> {
    this.#end = NOWHERE;
    const head = position % BLOCK_BYTES;
    if (head > 0) area.copyWithin(0, this.#endBlockAt, this.#endBlockAt + head);
    area.set(piece, head);
    const filled = head + piece.length;
    this.#endBlockAt = filled - (filled % BLOCK_BYTES);
    const blocks = area.subarray(0, Math.ceil(filled / BLOCK_BYTES) * BLOCK_BYTES);
    blocks.fill(0, filled);
    return writeAll(this.#handle.fd, blocks, position - head, BLOCK_BYTES);
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

  /** What the block holds before this position. */
  async #load(area: Buffer, position: number): Promise<void> {
    this.#end = NOWHERE;
    const bytes = position % BLOCK_BYTES;
    const start = position - bytes;
    for (let done = 0; done < bytes; ) {
      const { bytesRead } = await this.#reading.read(area, done, bytes - done, start + done);
      if (bytesRead === 0) throw new Error(`the file ends at ${start + done}, before what is to be written`);
      done += bytesRead;
    }
    this.#end = position;
    this.#endBlockAt = 0;
  }
}
