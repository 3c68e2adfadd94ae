/** Writes of a file that are on the disk when they are over, by the cheapest way that the system offers. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { assert } from "../raft/assert.ts";
import { BLOCK_BYTES, DirectFile } from "./direct-file.ts";
import { writeAll } from "./file-writes.ts";

const ZEROS = Buffer.alloc(1 << 20);

export class SyncedWrites {
  readonly #handle: FileHandle;
  #way: DirectFile | DsyncFile | "write, then sync" | undefined;
  #isWriting = false;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** What DiskFile.writeSynced says. */
  write(from: Uint8Array, position: number): Promise<void> {
    assert(!this.#isWriting, "two synced writes to one file at the same time");
    if (!(this.#way instanceof DirectFile)) return this.#writeOtherwise(from, position);
    return this.#way.write(from, position).catch((error: unknown) => {
      if (!isRefusal(error)) throw error;
      return this.#writeOtherwise(from, position);
    });
  }

  /** Not, or no longer, directly; or nobody knows yet. */
  async #writeOtherwise(from: Uint8Array, position: number): Promise<void> {
    this.#isWriting = true;
    try {
      if (this.#way === undefined) {
        this.#way = await DirectFile.open(this.#handle, constants.O_DSYNC);
        if (this.#way !== undefined && (await writtenDirectly(this.#way, from, position))) return;
      }
      if (this.#way === undefined || this.#way instanceof DirectFile) {
        await this.#way?.close();
        this.#way = await openCached(this.#handle);
      }
      if (this.#way instanceof DsyncFile) return await this.#way.write(from, position);
      await writeAll(this.#handle.fd, from, position);
      await this.#handle.datasync();
    } finally {
      this.#isWriting = false;
    }
  }

  /** Something else was written to the file. */
  forget(): void {
    if (this.#way instanceof DirectFile) this.#way.forget();
  }

  async close(): Promise<void> {
    if (this.#way !== "write, then sync") await this.#way?.close();
  }
}

/** Zeros from `start` to `end`. */
export async function writeZeros(handle: FileHandle, start: number, end: number): Promise<void> {
  for (let at = await writeBlocksOfZeros(handle, start, end); at < end; at += ZEROS.length) {
    await writeAll(handle.fd, ZEROS.subarray(0, Math.min(ZEROS.length, end - at)), at);
  }
}

/** As far as whole blocks go and the file system takes them; resolves to where they end. */
async function writeBlocksOfZeros(handle: FileHandle, start: number, end: number): Promise<number> {
  const direct = await DirectFile.open(handle, 0);
  if (direct === undefined) return start;
  const blocksEnd = end - (end % BLOCK_BYTES);
  let at = start;
  try {
    while (at < blocksEnd) {
      const length = Math.min(ZEROS.length, blocksEnd - at);
      if (!(await writtenDirectly(direct, ZEROS.subarray(0, length), at))) break;
      at += length;
    }
  } finally {
    await direct.close();
  }
  return at;
}

/**
 * False when the file system refuses: some say so when they are asked for the file, some at the first write, and one with
 * larger blocks than ours at whichever write is not of whole ones. Then all of `from` has to be written another way.
 */
async function writtenDirectly(file: DirectFile, from: Uint8Array, position: number): Promise<boolean> {
  try {
    await file.write(from, position);
    return true;
  } catch (error) {
    if (isRefusal(error)) return false;
    throw error;
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EINVAL";
}

/**
 * The file once more, opened with O_DSYNC: this saves the hop through the thread pool that fdatasync takes, which is 50 us
 * of CPU, and as much of the time that one client waits.
 */
class DsyncFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  write(from: Uint8Array, position: number): Promise<void> {
    return writeAll(this.#handle.fd, from, position);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Whatever the file is called by now. */
async function openCached(handle: FileHandle): Promise<DsyncFile | "write, then sync"> {
  // Elsewhere O_DSYNC may leave the data in the disk's own cache.
  if (process.platform !== "linux") return "write, then sync";
  try {
    return new DsyncFile(await open(`/proc/self/fd/${handle.fd}`, constants.O_RDWR | constants.O_DSYNC));
  } catch {
    // Environment: without /proc the longer way is as good.
    return "write, then sync";
  }
}
