import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Backend, Bucket } from "../../storage/backend.ts";
import { openLevelBackend } from "../../storage/level-backend.ts";
import { FORMATS } from "../../storage/level-layout.ts";
import { markOf, NO_ROW, sealed, sealedWithMark, unsealed } from "../../storage/level-rows.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import { BUCKETS, revisionKey, tombstoneKey } from "../../storage/schema.ts";
import { createRandom } from "./random.ts";

let path: string;

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), "quorate-marks-"));
});

afterEach(async () => {
  await rm(path, { recursive: true, force: true });
});

async function rowsOf(backend: Backend, bucket: Bucket, page = 100): Promise<[string, string][]> {
  const snapshot = backend.snapshot();
  const found: [string, string][] = [];
  for (let from = ""; ; ) {
    const rows = await snapshot.range(bucket, from, undefined, page);
    const last = rows.at(-1);
    if (last === undefined) break;
    for (const [key, value] of rows) found.push([key, String(value)]);
    from = `${last[0]}\0`;
  }
  await snapshot.close();
  return found;
}

async function reopened(backend: Backend): Promise<Backend> {
  await backend.close();
  return openLevelBackend(path);
}

describe("a row with a mark", () => {
  const key = Buffer.from("key");
  const value = Buffer.from("value");
  const mark = Buffer.from("mark");

  test("has its value, and one without has no mark", () => {
    expect(unsealed(key, sealed(key, value))).toEqual(value);
    expect(markOf(key, sealed(key, value))).toBeUndefined();
    expect(unsealed(key, sealedWithMark(key, value, mark))).toEqual(value);
    expect(markOf(key, sealedWithMark(key, value, mark))).toEqual(mark);
    expect(unsealed(key, sealedWithMark(key, Buffer.alloc(0), mark))).toEqual(Buffer.alloc(0));
    expect(unsealed(key, sealedWithMark(key, NO_ROW, mark))).toBe(NO_ROW);
    expect(markOf(key, sealedWithMark(key, NO_ROW, Buffer.alloc(0)))).toEqual(Buffer.alloc(0));
  });

  test.each([
    ["plain", sealed(key, value)],
    ["marked", sealedWithMark(key, value, mark)],
    ["only a mark", sealedWithMark(key, NO_ROW, mark)],
  ])("that has rotted is none, %s", (_, row) => {
    for (let bit = 0; bit < row.length * 8; bit++) {
      const rotten = Buffer.from(row);
      rotten[bit >> 3] = (rotten[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(unsealed(key, rotten)).toBeUndefined();
      expect(markOf(key, rotten)).toBeUndefined();
    }
    for (let length = 0; length < row.length; length++) {
      expect(unsealed(key, row.subarray(0, length))).toBeUndefined();
    }
    expect(unsealed(Buffer.from("kez"), row)).toBeUndefined();
  });
});

test("meta is what the last flush said, whatever its rows were", async () => {
  let backend = await openLevelBackend(path);
  const flushes: [string, (backend: Backend) => void][] = [
    ["nothing else", () => undefined],
    ["new rows", (b) => [2, 3, 4].forEach((main) => void b.put("key", revisionKey(main, 0), Buffer.from(`v${main}`)))],
    ["no rows again", () => undefined],
    ["a tombstone behind them", (b) => b.put("key", tombstoneKey(5, 0), Buffer.from("gone"))],
    ["its own last row deleted", (b) => b.delete("key", tombstoneKey(5, 0))],
    ["an older row", (b) => b.put("key", revisionKey(3, 0), Buffer.from("v3"))],
    [
      "the last row put and deleted",
      (b) => {
        b.put("key", revisionKey(6, 0), Buffer.of(6));
        b.delete("key", revisionKey(6, 0));
      },
    ],
    ["a newer row", (b) => b.put("key", revisionKey(7, 1), Buffer.from("v7"))],
    ["other buckets", (b) => b.put("lease", "l", Buffer.from("1"))],
  ];
  for (const [what, stage] of flushes) {
    stage(backend);
    backend.put("meta", "at", Buffer.from(what));
    await backend.flush();
    expect(String(backend.get("meta", "at"))).toBe(what);
    backend = await reopened(backend);
    expect(String(backend.get("meta", "at"))).toBe(what);
    expect(await rowsOf(backend, "meta")).toEqual([["at", what]]);
  }
  const pairs = [2, 3, 4].map((main) => [revisionKey(main, 0), `v${main}`]);
  // One at a time, too: a page that holds nothing but a mark is not the end.
  for (const page of [100, 1]) {
    expect(await rowsOf(backend, "key", page)).toEqual([...pairs, [revisionKey(7, 1), "v7"]]);
  }
  backend.delete("meta", "at");
  await backend.flush();
  backend = await reopened(backend);
  expect(backend.get("meta", "at")).toBeUndefined();
  await backend.close();
});

test("a snapshot's meta is of its moment, also while a flush is on its way", async () => {
  const backend = await openLevelBackend(path);
  backend.put("meta", "at", Buffer.from("1"));
  backend.put("key", revisionKey(2, 0), Buffer.from("a"));
  await backend.flush();
  const first = backend.snapshot();
  backend.put("meta", "at", Buffer.from("2"));
  backend.put("key", revisionKey(3, 0), Buffer.from("b"));
  const flushing = backend.flush();
  const second = backend.snapshot();
  backend.put("meta", "at", Buffer.from("3"));
  await flushing;
  await backend.flush();
  for (const [snapshot, at] of [
    [first, "1"],
    [second, "2"],
  ] as const) {
    expect((await snapshot.range("meta", "", undefined, 9)).map(([key, value]) => [key, String(value)])).toEqual([
      ["at", at],
    ]);
    await snapshot.close();
  }
  await backend.close();
});

test.each(FORMATS)("any sequence of flushes, snapshots and openings is what it is in memory, in %s", async (format) => {
  const random = createRandom(20_261_126);
  const model = createMemoryBackend();
  const empty = new ClassicLevel(path);
  await empty.put("\0format", format);
  await empty.close();
  let backend = await openLevelBackend(path);
  let main = 1;
  for (let step = 0; step < 400; step++) {
    for (let n = random.below(4); n > 0; n--) {
      const kind = random.below(6);
      if (kind === 5) main++;
      const at = kind < 3 ? ++main : Math.max(1, main - random.below(5));
      const key = kind === 2 ? tombstoneKey(at, 0) : revisionKey(at, 0);
      for (const each of [model, backend]) {
        if (kind === 4) each.delete("key", key);
        else each.put("key", key, Buffer.from(`${step}.${n}`));
      }
    }
    for (const each of [model, backend]) {
      each.put("meta", `m${step % 3}`, Buffer.from(`${step}`));
      if (step % 7 === 0) each.delete("meta", `m${step % 2}`);
    }
    // A frozen layer: the flush has several.
    if (step % 5 === 1) await backend.snapshot().close();
    if (step % 3 !== 2) continue;
    if (step % 180 === 59) {
      // More than a flush puts into its batch in one turn.
      for (let n = 0; n < 300; n++) {
        main++;
        for (const each of [model, backend]) each.put("key", revisionKey(main, 0), Buffer.alloc(n % 7, `${n}`));
      }
    }
    for (const each of [model, backend]) each.put("lease", `l${step % 4}`, Buffer.from(`${step}`));
    const flushing = Promise.all([model.flush(), backend.flush()]);
    const during = revisionKey(main + 1, 1);
    for (const each of [model, backend]) each.put("key", during, Buffer.from("during"));
    await new Promise((resolve) => setImmediate(resolve));
    expect(backend.get("key", revisionKey(main, 0))).toEqual(model.get("key", revisionKey(main, 0)));
    for (const each of [model, backend]) each.delete("key", during);
    await flushing;
    if (step % 4 === 1) {
      for (const each of [model, backend]) await each.flush();
      backend = await reopened(backend);
    }
    for (const bucket of ["key", "meta", "lease"] as const) {
      expect(await rowsOf(backend, bucket, 1 + (step % 9) ** 3)).toEqual(await rowsOf(model, bucket));
    }
  }
  await backend.close();
});

test("what one flush writes lies behind all that is there: LevelDB writes no pair a second time", async () => {
  const backend = await openLevelBackend(path);
  const value = Buffer.alloc(8_000);
  // Every bucket has rows, as in a cluster that has members, a version, leases and users.
  for (const bucket of BUCKETS) backend.put(bucket, bucket === "key" ? revisionKey(1, 0) : "a", Buffer.from("1"));
  for (let main = 2; main < 4_002; main++) {
    value.writeUInt32LE((main * 2_654_435_761) >>> 0, (main * 4) % 7_996);
    backend.put("key", revisionKey(main, 0), Buffer.from(value));
    backend.put("meta", "consistent_index", Buffer.from(`${main}`));
    if (main % 50 === 0) await backend.flush();
  }
  await backend.flush();
  await backend.close();
  const log = await readFile(join(path, "LOG"), "utf8");
  expect(log).toMatch(/Level-0 table #\d+: \d+ bytes OK/);
  expect(log).not.toMatch(/Compacting [2-9]\d*@|Compacting 1@\d + [1-9]/);
});

test("a store whose last row says nothing is damaged", async () => {
  const backend = await openLevelBackend(path);
  backend.put("key", revisionKey(2, 0), Buffer.from("a"));
  await backend.flush();
  await backend.close();
  const db = new ClassicLevel<Buffer, Buffer>(path, { keyEncoding: "buffer", valueEncoding: "buffer" });
  const [last] = await db.keys({ reverse: true, limit: 1 }).all();
  const key = last as Buffer;
  await db.put(key, sealed(key, Buffer.from("a")));
  await db.close();
  await expect(openLevelBackend(path)).rejects.toThrow(
    /its last row does not say which entry it is at.*quorate rebuild/,
  );
});
