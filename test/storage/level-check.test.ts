import { mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openLevelBackend } from "../../storage/level-backend.ts";
import { checkLevelFiles, LevelDamagedError } from "../../storage/level-check.ts";
import { snappyDecode } from "../../storage/snappy.ts";
import { chooser } from "./wal-fixtures.ts";

let path: string;
const choose = chooser(7);

beforeEach(async () => {
  path = mkdtempSync(join(tmpdir(), "quorate-level-"));
  // Text that compresses, and bytes that do not, in a table; and a log of two flushes.
  await fill(0, 40);
  await fill(40, 50);
});
afterEach(() => rmSync(path, { recursive: true }));

async function fill(from: number, to: number): Promise<void> {
  const backend = await openLevelBackend(path);
  for (let i = from; i < to; i++) {
    const text = `value ${i} `.repeat(30);
    const noise = Buffer.from(Array.from({ length: 200 }, () => choose(255)));
    backend.put("key", `k${i}`, i % 2 === 0 ? Buffer.from(text) : noise);
    if (i % 10 === 0) await backend.flush();
  }
  await backend.flush();
  await backend.close();
}

const one = (ending: string): string => {
  const name = readdirSync(path).find((file) => file.includes(ending));
  if (name === undefined) throw new Error(`no ${ending} among ${readdirSync(path)}`);
  return join(path, name);
};

/** How many of these bytes can each have a bit turned without being noticed. */
async function unnoticed(file: string, to = readFileSync(file).length, step = 1): Promise<number[]> {
  const bytes = readFileSync(file);
  const silent: number[] = [];
  for (let at = choose(step - 1); at < to; at += at < to - 300 ? step : 1) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] as number) ^ (1 << choose(7));
    writeFileSync(file, damaged);
    try {
      await checkLevelFiles(path);
      silent.push(at);
    } catch (error) {
      if (!(error instanceof LevelDamagedError)) throw error;
    }
  }
  writeFileSync(file, bytes);
  return silent;
}

describe("what LevelDB does not look at itself", () => {
  test("a store that is whole, and one that does not exist", async () => {
    const files = await checkLevelFiles(path);
    expect(files?.tables.length).toBe(1);
    expect(files?.logs.length).toBe(1);
    expect(await checkLevelFiles(join(path, "nowhere"))).toBeUndefined();
  });

  test("any byte of a table, footer and all", async () => {
    expect(await unnoticed(one(".ldb"), undefined, 9)).toEqual([]);
  });

  test("any byte of its log before the last record, which may be torn", async () => {
    const file = one(".log");
    const bytes = readFileSync(file);
    const first = 7 + bytes.readUInt16LE(4);
    expect(first).toBeLessThan(bytes.length);
    expect(await unnoticed(file, first)).toEqual([]);
    for (const end of [first, first + 3, first + 7, bytes.length - 1]) {
      writeFileSync(file, bytes.subarray(0, end));
      await checkLevelFiles(path);
    }
  });

  test("a missing table, a missing CURRENT: nothing is begun anew over what is left", async () => {
    unlinkSync(one(".ldb"));
    await expect(openLevelBackend(path)).rejects.toThrow(/\d+\.ldb: the file is missing/);
    unlinkSync(join(path, "CURRENT"));
    const left = readdirSync(path).sort();
    await expect(openLevelBackend(path)).rejects.toThrow(/CURRENT: the file is missing/);
    expect(readdirSync(path).sort()).toEqual(left);
  });

  test("the error names file and offset, and the command that heals it", async () => {
    const file = one(".ldb");
    const bytes = readFileSync(file);
    bytes[100] = (bytes[100] as number) ^ 1;
    writeFileSync(file, bytes);
    const name = file.slice(path.length + 1);
    await expect(openLevelBackend(path)).rejects.toThrow(
      new RegExp(`${name} at offset 0: block checksum mismatch.*quorate rebuild`),
    );
  });
});

test("snappy: literals and copies of every form, and nothing beyond the end", () => {
  const decode = (...bytes: number[]): string | undefined => snappyDecode(Buffer.from(bytes))?.toString("latin1");
  expect(decode(3, 2 << 2, 0x61, 0x62, 0x63)).toBe("abc");
  expect(decode(3, 60 << 2, 2, 0x61, 0x62, 0x63)).toBe("abc");
  // Copies with one, two and four bytes of offset; the first reaches into itself.
  expect(decode(7, 0, 0x61, ((6 - 4) << 2) | 1, 1)).toBe("aaaaaaa");
  expect(decode(4, 1 << 2, 0x61, 0x62, ((2 - 1) << 2) | 2, 2, 0)).toBe("abab");
  expect(decode(4, 1 << 2, 0x61, 0x62, ((2 - 1) << 2) | 3, 2, 0, 0, 0)).toBe("abab");
  for (const bad of [
    [],
    [4, 0, 0x61],
    [1, 1 << 2, 0x61],
    [4, 1 << 2, 0x61, 0x62, 6, 3, 0],
    [2, 0, 0x61, 2, 0, 0],
    [0xff],
  ]) {
    expect(decode(...bad)).toBeUndefined();
  }
});
