import { closeSync, constants, openSync, writeFileSync, writeSync } from "node:fs";
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
    const allocated = 3 * BLOCK * 50 + random.below(2) * 777;
    let file = await disk.create(path);
    await file.allocate(allocated);
    const written: Buffer[] = [];
    let end = 0;
    for (let step = 0; step < 60; step++) {
      const longest = step % 20 === 19 ? 3 << 20 : random.below(4) === 0 ? 5 * BLOCK : 300;
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
        expect(content.length).toBeGreaterThanOrEqual(Math.max(end, allocated));
        expect(content.length).toBeLessThan(Math.max(end, allocated) + BLOCK);
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

test("two at the same time are refused, and the first is not harmed", async () => {
  const disk = await diskWith("the engine's");
  const isDirect = takesDirectWrites("aligned");
  const file = await disk.create(join(root, "log"));
  await file.allocate(BLOCK);
  await file.writeSynced(Buffer.from("a"), 0);
  const first = file.writeSynced(Buffer.from("b"), 1);
  if (isDirect) await expect(file.writeSynced(Buffer.from("c"), 2)).rejects.toThrow(/same time/);
  await first;
  await file.close();
  expect((await fs.readFile(join(root, "log"))).subarray(0, 3).toString()).toBe("ab\0");
});
