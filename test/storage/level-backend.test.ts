import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Backend } from "../../storage/backend.ts";
import { BackendError, openLevelBackend } from "../../storage/level-backend.ts";
import { revisionKey } from "../../storage/schema.ts";
import { backendSuite } from "./backend-suite.ts";

let root: string;
let made = 0;
const paths = new WeakMap<Backend, string>();

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "quorate-level-"));
});

afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

async function open(path: string = join(root, `db${++made}`)): Promise<Backend> {
  const backend = await openLevelBackend(path);
  paths.set(backend, path);
  return backend;
}

async function reopen(backend: Backend): Promise<Backend> {
  await backend.close();
  return open(paths.get(backend));
}

describe("level backend", () => {
  backendSuite({ open: () => open(), reopen });

  test("a store that is open already says so", async () => {
    const path = join(root, "locked");
    const backend = await open(path);
    const failed = openLevelBackend(path);
    await expect(failed).rejects.toThrow(BackendError);
    await expect(failed).rejects.toThrow(/in use by another process/);
    await backend.close();
  });

  test("a damaged store says what to do", async () => {
    const path = join(root, "damaged");
    await (await open(path)).close();
    for (const name of await readdir(path)) {
      if (name.startsWith("MANIFEST")) await writeFile(join(path, name), "no manifest at all");
    }
    const failed = openLevelBackend(path);
    await expect(failed).rejects.toThrow(BackendError);
    await expect(failed).rejects.toThrow(/is damaged .*quorate rebuild --data-dir/);
  });

  test("a path that is a file cannot be opened", async () => {
    const path = join(root, "file");
    await writeFile(path, "");
    await expect(openLevelBackend(path)).rejects.toThrow(/cannot be opened .*: check that the directory/);
  });

  test("another program's LevelDB and an unknown format are refused and left alone", async () => {
    const foreign = join(root, "foreign");
    const db = new ClassicLevel(foreign);
    await db.put("a", "1");
    await db.close();
    await expect(openLevelBackend(foreign)).rejects.toThrow(/no state store of Quorate/);
    const path = join(root, "future");
    const future = new ClassicLevel(path);
    await future.put("\0format", "quorate 5");
    await future.close();
    await expect(openLevelBackend(path)).rejects.toThrow(/has format "quorate 5", this program knows "quorate 4"/);
    const again = new ClassicLevel(foreign);
    expect(await again.keys().all()).toEqual(["a"]);
    await again.close();
  });

  test("a failed flush is final, and what was staged stays readable", async () => {
    const path = join(root, "failing");
    const backend = await open(path);
    backend.put("key", "a", Buffer.from("1"));
    const flushing = backend.flush();
    const closing = backend.close();
    await flushing;
    await closing;
    backend.put("key", "b", Buffer.from("2"));
    const failed = backend.flush();
    await expect(failed).rejects.toThrow(BackendError);
    await expect(backend.flush()).rejects.toBe(await failed.catch((error: unknown) => error));
    expect(backend.get("key", "b")).toEqual(Buffer.from("2"));
    expect(backend.stagedBytes).toBeGreaterThan(0);
  });

  test("a flush of many rows is one batch, however many turns it takes to fill", async () => {
    const backend = await open();
    for (let i = 0; i < 5_000; i++) backend.put("key", `k${i}`, Buffer.from(`${i}`));
    let turns = 0;
    const counting = setInterval(() => turns++, 0);
    await backend.flush();
    clearInterval(counting);
    expect(turns).toBeGreaterThan(1);
    const again = await reopen(backend);
    for (let i = 0; i < 5_000; i += 7) expect(again.get("key", `k${i}`)).toEqual(Buffer.from(`${i}`));
    await again.close();
  });

  test("the first failure of a read or a range is reported, once", async () => {
    const path = join(root, "broken");
    const first = await open(path);
    for (let i = 0; i < 100; i++) first.put("key", `k${i}`, Buffer.alloc(1_000, i));
    await first.flush();
    await first.close();
    // Opening turns what is in LevelDB's log into a table.
    await (await open(path)).close();
    const failures: BackendError[] = [];
    const backend = await openLevelBackend(path, { onFailure: (error) => failures.push(error) });
    // Neither the first block, which opening has read, nor the filter behind the blocks.
    for (const name of await readdir(path)) {
      if (!name.endsWith(".ldb")) continue;
      const bytes = await readFile(join(path, name));
      await writeFile(join(path, name), bytes.fill(0xab, 600, 1_600));
    }
    const snapshot = backend.snapshot();
    await expect(snapshot.range("key", "", undefined, 80)).rejects.toThrow(BackendError);
    expect(failures).toHaveLength(1);
    expect(() => {
      for (let i = 0; i < 100; i++) backend.get("key", `k${i}`);
    }).toThrow(BackendError);
    expect(failures).toHaveLength(1);
    await snapshot.close();
    await backend.close();
  });

  test("N-3: compact gives back what was deleted, beside reads and writes; who asks meanwhile shares the next", async () => {
    const backend = await open();
    for (let n = 0; n < 8_000; n++) {
      backend.put("key", revisionKey(n + 2, 0), randomBytes(1_000));
      if (n % 1_000 === 999) await backend.flush();
    }
    const full = await backend.measure();
    expect(full.inUse).toBeGreaterThan(8_000_000);
    for (let n = 0; n < 7_900; n++) backend.delete("key", revisionKey(n + 2, 0));
    await backend.flush();
    expect(backend.deletedRows).toBe(7_900);
    // It keeps what an open snapshot reads only as long as that is open.
    const snapshot = backend.snapshot();
    const first = backend.compact();
    expect(backend.deletedRows).toBe(0);
    const second = backend.compact();
    expect(backend.compact()).toBe(second);
    expect(second).not.toBe(first);
    expect(await snapshot.range("key", revisionKey(7_901, 0), undefined, 1)).toHaveLength(1);
    await snapshot.close();
    for (let n = 0; n < 20; n++) {
      backend.put("key", revisionKey(9_000 + n, 0), Buffer.from("x"));
      await backend.flush();
      expect(backend.get("key", revisionKey(7_950, 0))).toHaveLength(1_000);
    }
    await Promise.all([first, second]);
    expect(backend.size().total).toBeLessThan(1_000_000);
    const again = await reopen(backend);
    expect(again.get("key", revisionKey(9_019, 0))).toEqual(Buffer.from("x"));
    expect(again.get("key", revisionKey(10, 0))).toBeUndefined();
    await again.close();
  });

  test("a close ends a compaction at its next step", async () => {
    const backend = await open();
    backend.put("key", revisionKey(2, 0), Buffer.from("x"));
    await backend.flush();
    const compaction = backend.compact();
    await backend.close();
    await compaction;
  });

  test("a read after the end is no failure of the disk", async () => {
    const failures: BackendError[] = [];
    const backend = await openLevelBackend(join(root, "ended"), { onFailure: (error) => failures.push(error) });
    const snapshot = backend.snapshot();
    await backend.close();
    expect(() => backend.get("key", "a")).toThrow("is closed");
    await expect(snapshot.range("key", "", undefined, 10)).rejects.toThrow("is closed");
    backend.put("key", "a", Buffer.from("1"));
    await expect(backend.flush()).rejects.toThrow("is closed");
    expect(failures).toEqual([]);
  });
});
