import { randomBytes } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openLevelBackend } from "../../storage/level-backend.ts";
import { checkLevelFiles, damageOfLog, damageOfTable } from "../../storage/level-files.ts";
import { revisionKey } from "../../storage/schema.ts";
import { createRandom } from "./random.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "quorate-level-files-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const values = {
  "that do not compress": () => randomBytes(300),
  "that compress": (n: number) =>
    Buffer.from(JSON.stringify({ name: `service-${n}`, host: `10.0.0.${n % 255}`, tags: "lorem ipsum ".repeat(20) })),
};

/** Ten batches of a hundred rows. */
async function store(name: string, value: (n: number) => Buffer, compact: boolean): Promise<string> {
  const path = join(root, name);
  const backend = await openLevelBackend(path);
  for (let batch = 0; batch < 10; batch++) {
    for (let n = 0; n < 100; n++) backend.put("key", revisionKey(batch * 100 + n + 2, 0), value(n));
    await backend.flush();
  }
  if (compact) await backend.compact();
  await backend.close();
  return path;
}

async function largest(path: string, ending: string): Promise<string> {
  const files = (await readdir(path)).filter((name) => name.endsWith(ending));
  const sizes = await Promise.all(
    files.map(async (name) => ({ name, size: (await readFile(join(path, name))).length })),
  );
  return join(path, sizes.sort((a, b) => b.size - a.size)[0]?.name ?? "none");
}

describe.each(Object.entries(values))("tables of values %s", (name, value) => {
  test("are sound as LevelDB wrote them, and no bit of them flips unseen", async () => {
    const path = await store(`tables ${name}`, value, true);
    expect(await checkLevelFiles(path)).toEqual({ log: undefined, tables: [] });
    const bytes = await readFile(await largest(path, ".ldb"));
    expect(damageOfTable(bytes)).toBeUndefined();
    const random = createRandom(7);
    const unseen: number[] = [];
    // But for the padding of the footer, which says nothing.
    for (let times = 0; times < 500; times++) {
      const at = random.below(bytes.length - 48);
      const before = bytes[at] as number;
      bytes[at] = before ^ (1 << random.below(8));
      const offset = damageOfTable(bytes);
      if (offset === undefined || offset > at) unseen.push(at);
      bytes[at] = before;
    }
    expect(unseen).toEqual([]);
  });

  test("that were cut off are damaged; one that is not part of the store does no harm", async () => {
    const path = await store(`cut tables ${name}`, value, true);
    const file = await largest(path, ".ldb");
    const bytes = await readFile(file);
    for (const length of [0, 10, 48, 1_000, bytes.length - 1]) {
      expect(damageOfTable(bytes.subarray(0, length))).toBeDefined();
    }
    await writeFile(join(path, "987654.ldb"), bytes.subarray(0, 1_000));
    await (await openLevelBackend(path)).close();
    await writeFile(file, bytes.subarray(0, -1));
    await expect(openLevelBackend(path)).rejects.toThrow(/is damaged \(\d+\.ldb has a wrong checksum at offset \d+\)/);
  });
});

describe("LevelDB's log", () => {
  test("is sound as it was written; a flipped bit in any batch but the last is seen", async () => {
    const path = await store("log", values["that do not compress"], false);
    const bytes = await readFile(await largest(path, ".log"));
    expect(damageOfLog(bytes, true)).toBeUndefined();
    const random = createRandom(8);
    const lastBatch = bytes.length - 34_000;
    for (let times = 0; times < 300; times++) {
      const at = random.below(lastBatch);
      const before = bytes[at] as number;
      bytes[at] = before ^ (1 << random.below(8));
      expect(damageOfLog(bytes, true)).toBeLessThanOrEqual(at);
      bytes[at] = before;
    }
  });

  test("torn, and behind it an empty one of an opening that was cut short: the store opens", async () => {
    const path = await store("torn twice", values["that do not compress"], false);
    const log = await largest(path, ".log");
    await writeFile(log, (await readFile(log)).subarray(0, -5_000));
    await writeFile(join(path, "000777.log"), "");
    expect((await checkLevelFiles(path)).log).toBeUndefined();
    await (await openLevelBackend(path)).close();
  });

  test("may end anywhere in its last batch, whatever is there; an older one must be whole", async () => {
    const path = await store("torn log", values["that do not compress"], false);
    const bytes = await readFile(await largest(path, ".log"));
    const lastBatch = bytes.length - 30_000;
    for (const length of [bytes.length - 1, bytes.length - 5_000, lastBatch]) {
      expect(damageOfLog(bytes.subarray(0, length), true)).toBeUndefined();
      expect(damageOfLog(bytes.subarray(0, length), false)).toBeDefined();
      // Space that the file system gave and nobody wrote to.
      expect(damageOfLog(Buffer.concat([bytes.subarray(0, length), Buffer.alloc(100_000)]), true)).toBeUndefined();
    }
    // A later piece of the batch got to the disk, an earlier one did not.
    const holed = Buffer.from(bytes).fill(0, lastBatch, lastBatch + 512);
    expect(damageOfLog(holed, true)).toBeUndefined();
    expect(damageOfLog(Buffer.alloc(0), true)).toBeUndefined();
  });

  test("that is damaged is not opened, and not touched", async () => {
    const path = await store("damaged log", values["that do not compress"], false);
    const file = await largest(path, ".log");
    const bytes = await readFile(file);
    bytes[100_000] = (bytes[100_000] as number) ^ 1;
    await writeFile(file, bytes);
    const copy = join(root, "copy");
    await mkdir(copy);
    for (const name of await readdir(path)) await copyFile(join(path, name), join(copy, name));
    await expect(openLevelBackend(path)).rejects.toThrow(
      /\.log has a wrong checksum at offset \d+\): .*quorate rebuild/,
    );
    for (const name of await readdir(copy)) {
      expect((await readFile(join(path, name))).equals(await readFile(join(copy, name))), name).toBe(true);
    }
  });
});
