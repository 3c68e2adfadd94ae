import * as fs from "node:fs/promises";
import { dirname } from "node:path";
import type { Disk, DiskFile } from "./disk.ts";
import { writeAll } from "./file-writes.ts";
import { lockPath } from "./node-lock.ts";
import { SyncedWrites, writeZeros } from "./synced-writes.ts";

/** A refusal of the file system; `code` is Node's (ENOSPC, EIO, ...), the message also names operation and path. */
export class DiskError extends Error {
  override readonly name = "DiskError";
  readonly code: string | undefined;

  constructor(operation: string, path: string, cause: unknown) {
    super(`${operation} ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.code = codeOf(cause);
  }
}

/** The file system of the machine. */
export const nodeDisk: Disk = {
  async makeDirectory(path) {
    await named("mkdir", path, async () => {
      const first = await makeWithParents(path);
      // Each name lives in the directory above it; one that is not new may have been made by a process that was killed.
      const top = dirname(first ?? path);
      for (let at = dirname(path); ; at = dirname(at)) {
        await syncDirectory(at);
        if (at === top || at === dirname(at)) return;
      }
    });
  },

  async list(path) {
    return named("list", path, async () => ((await unlessMissing(fs.readdir(path))) ?? []).sort(byCodeUnits));
  },

  async open(path) {
    return named("open", path, async () => {
      const handle = await unlessMissing(fs.open(path, "r+"));
      return handle && new NodeFile(path, handle);
    });
  },

  async create(path) {
    return named("create", path, async () => new NodeFile(path, await fs.open(path, "wx+", 0o600)));
  },

  async rename(from, to) {
    await named(`rename ${from} to`, to, () => fs.rename(from, to));
  },

  async remove(path) {
    await named("remove", path, () => fs.unlink(path));
  },

  async removeTree(path) {
    await named("remove", path, () => fs.rm(path, { recursive: true, force: true }));
  },

  async syncDirectory(path) {
    await named("fsync", path, () => syncDirectory(path));
  },

  async lock(path) {
    return named("lock", path, () => lockPath(path));
  },
};

const refused = (): never => {
  throw new Error("this is only read");
};

/** The same, for what belongs to somebody else: nothing is ever changed, and no right to change it is needed. */
export const readOnlyNodeDisk: Disk = {
  ...nodeDisk,
  async open(path) {
    return named("open", path, async () => {
      const handle = await unlessMissing(fs.open(path, "r"));
      return handle && new NodeFile(path, handle);
    });
  },
  makeDirectory: refused,
  create: refused,
  rename: refused,
  remove: refused,
  removeTree: refused,
  syncDirectory: refused,
  lock: refused,
};

class NodeFile implements DiskFile {
  readonly #path: string;
  readonly #handle: fs.FileHandle;
  readonly #synced: SyncedWrites;

  constructor(path: string, handle: fs.FileHandle) {
    this.#path = path;
    this.#handle = handle;
    this.#synced = new SyncedWrites(handle);
  }

  async size(): Promise<number> {
    return named("stat", this.#path, async () => (await this.#handle.stat()).size);
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    return named(`read at ${position} of`, this.#path, async () => {
      let done = 0;
      while (done < into.length) {
        const { bytesRead } = await this.#handle.read(into, done, into.length - done, position + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    });
  }

  async write(from: Uint8Array, position: number): Promise<void> {
    this.#synced.forget();
    await named(`write at ${position} of`, this.#path, () => writeAll(this.#handle.fd, from, position));
  }

  /** Without `named`: each batch of the log comes by, and what it waits for is a chain of promises. */
  async writeSynced(from: Uint8Array, position: number): Promise<void> {
    try {
      await this.#synced.write(from, position);
    } catch (error) {
      throw new DiskError(`write and sync at ${position} of`, this.#path, error);
    }
  }

  async allocate(size: number): Promise<void> {
    await named(`allocate ${size} bytes of`, this.#path, async () => {
      // Real zeros, not a hole or an unwritten extent: later writes neither need space nor change metadata.
      await writeZeros(this.#handle, (await this.#handle.stat()).size, size);
      await this.#handle.sync();
    });
  }

  async sync(): Promise<void> {
    await named("fdatasync", this.#path, () => this.#handle.datasync());
  }

  async close(): Promise<void> {
    await named("close", this.#path, async () => {
      try {
        await this.#synced.close();
      } finally {
        await this.#handle.close();
      }
    });
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await fs.open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function named<T>(operation: string, path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw new DiskError(operation, path, error);
  }
}

async function unlessMissing<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * The topmost directory that had to be made; undefined if all were there. (Node's own `recursive` asks for ever where
 * the parent is there and the child is still "not found", as below /proc.)
 */
async function makeWithParents(path: string): Promise<string | undefined> {
  try {
    await fs.mkdir(path, { mode: 0o700 });
    return path;
  } catch (error) {
    const code = codeOf(error);
    if (code === "EEXIST" && (await fs.stat(path)).isDirectory()) return undefined;
    const parent = dirname(path);
    if (code !== "ENOENT" || parent === path) throw error;
    const first = await makeWithParents(parent);
    await fs.mkdir(path, { mode: 0o700 });
    return first ?? path;
  }
}
