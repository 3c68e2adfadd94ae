import { closeSync, constants, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Disk, DiskFile } from "../../storage/disk.ts";
import { createRandom } from "./random.ts";

const BLOCK = 4096;
/** Of the engine's memory, but such that the file system minds where it begins, if it minds anything. */
class Unaligned {
  readonly buffer = unalignedMemory();
}

let root: string;

beforeEach(async () => {
  root = await fs.mkdtemp(join(tmpdir(), "quorate-synced-"));
});

afterEach(async () => {
  vi.unstubAllGlobals();
  vi.resetModules();
  await fs.rm(root, { recursive: true, force: true });
});

/** The disk as a process has it whose engine has this memory to give. */
async function diskWith(memory: unknown): Promise<Disk> {
  if (memory !== "the engine's") vi.stubGlobal("WebAssembly", memory);
  vi.resetModules();
  return (await import("../../storage/node-disk.ts")).nodeDisk;
}

function openDirect(): number | undefined {
  const path = join(root, "probe");
  writeFileSync(path, "");
  try {
    return openSync(path, constants.O_RDWR | constants.O_DIRECT);
  } catch {
    return undefined;
  }
}

function isRefused(fd: number, memory: ArrayBuffer): boolean {
  try {
    writeSync(fd, Buffer.from(memory), 0, BLOCK, 0);
    return false;
  } catch (error) {
    expect(error).toMatchObject({ code: "EINVAL" });
    return true;
  }
}

/** An allocation begins at a disk's block by chance, sometimes. */
function unalignedMemory(): ArrayBuffer {
  const fd = openDirect();
  const tried = Array.from({ length: 32 }, (_, i) => new ArrayBuffer((1 << 20) + 16 * i));
  try {
    return tried.find((memory) => fd !== undefined && isRefused(fd, memory)) ?? (tried[0] as ArrayBuffer);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Whether the file system takes writes past the page cache, and from memory like this. */
function takesDirectWrites(memory: "aligned" | "unaligned"): boolean {
  if (process.platform !== "linux") return false;
  const fd = openDirect();
  if (fd === undefined) return false;
  try {
    return memory === "aligned" || !isRefused(fd, unalignedMemory());
  } finally {
    closeSync(fd);
  }
}

/** Of each time that this process has the file open. */
async function openFlags(path: string): Promise<number[]> {
  const flags: number[] = [];
  for (const fd of await fs.readdir("/proc/self/fd")) {
    const target = await fs.readlink(`/proc/self/fd/${fd}`).catch(() => undefined);
    if (target !== path) continue;
    const info = await fs.readFile(`/proc/self/fdinfo/${fd}`, "utf8");
    flags.push(Number.parseInt(/^flags:\s*(\d+)/m.exec(info)?.[1] ?? "", 8));
  }
  return flags;
}

describe.each([
  { name: "aligned memory", memory: "the engine's", kind: "aligned" as const },
  { name: "memory that is not aligned", memory: { Memory: Unaligned }, kind: "unaligned" as const },
  { name: "no such memory", memory: undefined, kind: undefined },
])("synced writes with $name", ({ memory, kind }) => {
  test.each([1, 2, 3])("the file is what was written, however it was cut (seed %i)", async (seed) => {
    const random = createRandom(seed);
    const disk = await diskWith(memory);
    const path = join(root, "log");
    const allocated = (16 << 20) + random.below(2) * 777;
    let file = await disk.create(path);
    await file.allocate(allocated);
    const written: Buffer[] = [];
    let end = 0;
    for (let step = 0; step < 60; step++) {
      const longest = step % 20 === 19 ? 5 << 20 : random.below(4) === 0 ? 5 * BLOCK : 300;
      const rest = BLOCK - (end % BLOCK);
      const length = random.below(6) === 0 ? rest : 1 + random.below(longest);
      const bytes = Buffer.alloc(length, 1 + random.below(255));
      if (random.below(5) === 0) {
        await file.write(bytes, end);
        await file.sync();
      } else await file.writeSynced(bytes, end);
      written.push(bytes);
      end += length;
      if (random.below(12) === 0) {
        await file.close();
        file = (await disk.open(path)) as DiskFile;
      }
      if (step % 5 === 4) {
        const content = await fs.readFile(path);
        expect(content.subarray(0, end).equals(Buffer.concat(written))).toBe(true);
        expect(content.subarray(end).every((byte) => byte === 0)).toBe(true);
        expect(end).toBeLessThanOrEqual(allocated);
        expect(content.length).toBeGreaterThanOrEqual(allocated);
        expect(content.length).toBeLessThan(allocated + BLOCK);
      }
    }
    await file.close();
  });

  test("go past the page cache where that is possible, and through O_DSYNC otherwise", async ({ skip }) => {
    skip(process.platform !== "linux", "there is no O_DIRECT");
    const disk = await diskWith(memory);
    const path = join(root, "log");
    const file = await disk.create(path);
    await file.allocate(BLOCK);
    await file.writeSynced(Buffer.from("record"), 3);
    const synced = (await openFlags(path)).filter((flags) => (flags & constants.O_DSYNC) !== 0);
    const isDirect = kind !== undefined && takesDirectWrites(kind);
    expect(synced.map((flags) => (flags & constants.O_DIRECT) !== 0)).toEqual([isDirect]);
    await file.close();
    expect(await openFlags(path)).toEqual([]);
  });
});

test("files one after the other share memory", async () => {
  const asked = vi.fn();
  const Engine = (globalThis as unknown as { WebAssembly: { Memory: new (size: object) => object } }).WebAssembly;
  class Counted extends Engine.Memory {
    constructor(size: object) {
      super(size);
      asked();
    }
  }
  const disk = await diskWith({ Memory: Counted });
  for (let i = 0; i < 20; i++) {
    const file = await disk.create(join(root, `${i}`));
    await file.allocate(BLOCK);
    await file.writeSynced(Buffer.from("record"), 0);
    await file.close();
  }
  expect(asked).toHaveBeenCalledTimes(process.platform === "linux" ? 1 : 0);
});

test("two at the same time are refused, the first two as well, and the other is not harmed", async () => {
  const disk = await diskWith("the engine's");
  const file = await disk.create(join(root, "log"));
  await file.allocate(BLOCK);
  for (const [position, byte] of ["a", "b"].entries()) {
    const first = file.writeSynced(Buffer.from(byte), position);
    await expect(file.writeSynced(Buffer.from("x"), position + 1)).rejects.toThrow(/same time/);
    await first;
  }
  await file.close();
  expect((await fs.readFile(join(root, "log"))).subarray(0, 3).toString()).toBe("ab\0");
});

test("what another write changed within a block stays", async () => {
  const disk = await diskWith("the engine's");
  const file = await disk.create(join(root, "log"));
  await file.allocate(BLOCK);
  await file.writeSynced(Buffer.from("0123456789"), 0);
  await file.write(Buffer.from("xyz"), 2);
  await file.sync();
  await file.writeSynced(Buffer.from("abc"), 10);
  await file.close();
  expect((await fs.readFile(join(root, "log"))).subarray(0, 14).toString()).toBe("01xyz56789abc\0");
});

test("a write of nothing says nothing of the block that it would be in", async () => {
  const disk = await diskWith("the engine's");
  const file = await disk.create(join(root, "log"));
  await file.allocate(2 * BLOCK);
  await file.write(Buffer.alloc(50, "b"), BLOCK);
  await file.sync();
  await file.writeSynced(Buffer.alloc(50, "a"), 0);
  await file.writeSynced(Buffer.alloc(0), BLOCK + 50);
  await file.writeSynced(Buffer.from("c"), BLOCK + 50);
  await file.close();
  expect((await fs.readFile(join(root, "log"))).subarray(BLOCK, BLOCK + 52).toString()).toBe(`${"b".repeat(50)}c\0`);
});

test("a write that is refused beyond the end leaves nothing of it for the next", async () => {
  const disk = await diskWith("the engine's");
  const file = await disk.create(join(root, "log"));
  await file.write(Buffer.alloc(3 * BLOCK + 200, "z"), 0);
  await file.sync();
  await file.write(Buffer.alloc(3 * BLOCK + 200), 0);
  await file.sync();
  await file.writeSynced(Buffer.alloc(100, "a"), 0);
  if (takesDirectWrites("aligned")) {
    await expect(file.writeSynced(Buffer.from("b"), 3 * BLOCK + 500)).rejects.toThrow("the file ends at");
  }
  await file.writeSynced(Buffer.from("c"), 100);
  await file.close();
  expect((await fs.readFile(join(root, "log"))).subarray(0, 102).toString()).toBe(`${"a".repeat(100)}c\0`);
});

test("a file that is closed twice gives its memory back once", async () => {
  const disk = await diskWith("the engine's");
  const [a, b, closed] = await Promise.all(["a", "b", "c"].map((name) => disk.create(join(root, name))));
  await closed?.allocate(BLOCK);
  await closed?.writeSynced(Buffer.from("c"), 0);
  await closed?.close();
  await closed?.close();
  for (const [name, file] of Object.entries({ a, b })) {
    await file?.allocate(3 * BLOCK);
    await file?.writeSynced(Buffer.from(name.repeat(100)), 0);
  }
  await a?.writeSynced(Buffer.from("a".repeat(5)), 100);
  await b?.writeSynced(Buffer.from("b".repeat(5)), 100);
  for (const file of [a, b]) await file?.close();
  for (const name of ["a", "b"]) {
    expect((await fs.readFile(join(root, name))).subarray(0, 106).toString()).toBe(`${name.repeat(105)}\0`);
  }
});

describe("a system that", () => {
  interface Written {
    readonly fd: number;
    readonly length: number;
  }

  /** The disk of a process whose writes go through `interfere`: it says how many bytes one may take, or throws. */
  async function diskThat(interfere: (write: Written, isDirect: boolean) => number): Promise<Disk> {
    vi.resetModules();
    const real = await vi.importActual<typeof import("node:fs")>("node:fs");
    const isDirect = (fd: number): boolean => {
      const info = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
      return (Number.parseInt(/^flags:\s*(\d+)/m.exec(info)?.[1] ?? "", 8) & constants.O_DIRECT) !== 0;
    };
    type Told = (error: unknown, bytes: number) => void;
    const write = (
      fd: number,
      from: Uint8Array,
      offset: number,
      wanted: number,
      position: number,
      told: Told,
    ): void => {
      let length = 0;
      try {
        length = Math.min(wanted, interfere({ fd, length: wanted }, isDirect(fd)));
      } catch (error) {
        queueMicrotask(() => told(error, 0));
        return;
      }
      real.write(fd, from, offset, length, position, told);
    };
    vi.doMock("node:fs", () => ({ ...real, write }));
    return (await import("../../storage/node-disk.ts")).nodeDisk;
  }

  afterEach(() => {
    vi.doUnmock("node:fs");
  });

  function refusal(): Error {
    return Object.assign(new Error("EINVAL: invalid argument, write"), { code: "EINVAL" });
  }

  test.skipIf(process.platform !== "linux")(
    "takes a part of a write, and not of whole blocks, gets the rest",
    async () => {
      let cut = false;
      const disk = await diskThat((_, isDirect) => {
        if (!isDirect || cut) return Number.POSITIVE_INFINITY;
        cut = true;
        // The system itself cuts at whole sectors only.
        return 2 * BLOCK + 512;
      });
      const file = await disk.create(join(root, "log"));
      const bytes = Buffer.from(Array.from({ length: 5 * BLOCK }, (_, i) => i % 251));
      await file.allocate(8 * BLOCK);
      cut = false;
      await file.writeSynced(bytes, 77);
      await file.close();
      expect((await fs.readFile(join(root, "log"))).subarray(77, 77 + bytes.length).equals(bytes)).toBe(true);
    },
  );

  test.skipIf(process.platform !== "linux")(
    "has larger blocks than ours is written another way, whenever it says so",
    async () => {
      const disk = await diskThat(({ length }, isDirect) => {
        if (isDirect && length % (4 * BLOCK) > 0) throw refusal();
        return Number.POSITIVE_INFINITY;
      });
      const file = await disk.create(join(root, "log"));
      const size = (4 << 20) + 9 * BLOCK;
      await file.allocate(size);
      expect((await fs.stat(join(root, "log"))).blocks * 512).toBeGreaterThanOrEqual(size);
      const written: Buffer[] = [];
      let end = 0;
      for (const length of [4 * BLOCK - 10, 100, 3 * BLOCK, 1]) {
        const bytes = Buffer.alloc(length, written.length + 1);
        await file.writeSynced(bytes, end);
        written.push(bytes);
        end += length;
      }
      await file.close();
      expect((await fs.readFile(join(root, "log"))).subarray(0, end).equals(Buffer.concat(written))).toBe(true);
    },
  );

  test("fails a write is not tried another way", async () => {
    const disk = await diskThat(() => {
      throw Object.assign(new Error("EIO: i/o error, write"), { code: "EIO" });
    });
    const file = await disk.create(join(root, "log"));
    await expect(file.writeSynced(Buffer.from("a"), 0)).rejects.toMatchObject({ code: "EIO" });
    await file.close();
  });

  test("has no way to open a file again gets a write and a sync", async () => {
    const real = await import("node:fs/promises");
    const syncs = vi.fn();
    vi.resetModules();
    vi.doMock("node:fs/promises", () => ({
      ...real,
      open: async (path: string, ...rest: [string, number]) => {
        if (path.startsWith("/proc/")) throw new Error("ENOENT");
        const handle = await real.open(path, ...rest);
        const datasync = handle.datasync.bind(handle);
        handle.datasync = () => {
          syncs();
          return datasync();
        };
        return handle;
      },
    }));
    try {
      const disk = (await import("../../storage/node-disk.ts")).nodeDisk;
      const file = await disk.create(join(root, "log"));
      await file.allocate(BLOCK);
      await file.writeSynced(Buffer.from("ab"), 0);
      await file.writeSynced(Buffer.from("c"), 2);
      expect(syncs).toHaveBeenCalledTimes(2);
      await file.close();
      expect((await fs.readFile(join(root, "log"))).subarray(0, 4).toString()).toBe("abc\0");
    } finally {
      vi.doUnmock("node:fs/promises");
    }
  });
});
