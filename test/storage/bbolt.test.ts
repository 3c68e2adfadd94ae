import { describe, expect, test } from "vitest";
import { AssertionError } from "../../raft/assert.ts";
import type { RowSource } from "../../storage/backend.ts";
import { checkBolt } from "../../storage/bbolt/check.ts";
import {
  BoltError,
  BRANCH_PAGE,
  ELEMENT_BYTES,
  HEADER_BYTES,
  readHeader,
  readUint64,
} from "../../storage/bbolt/format.ts";
import { openBolt } from "../../storage/bbolt/reader.ts";
import { planBolt, writeBolt } from "../../storage/bbolt/writer.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import { withRows } from "../../storage/overlay.ts";
import { BUCKETS, revisionKey } from "../../storage/schema.ts";
import {
  boltFile,
  branchPage,
  bucketsPage,
  contentOf,
  expected,
  fileOf,
  freelistPage,
  leafPage,
  type Row,
  rowsOf,
  sourceOf,
  writtenFile,
} from "./bolt-files.ts";
import { createRandom, type Random } from "./random.ts";

type Content = Record<string, readonly Row[]>;

/** Writes the content, reads it again, checks the file. */
async function roundTrip(content: Content, most?: number): Promise<{ file: Buffer; pages: number }> {
  const file = await writtenFile(sourceOf(content, most));
  expect(await contentOf(file)).toEqual(expected(content));
  const { pages, freePages, rows } = await checkBolt(boltFile(file));
  expect(pages * 4096).toBe(file.length);
  expect(freePages).toBe(0);
  for (let id = 4; id < pages; id++) {
    const branch = childrenOf(file, id);
    if (branch !== undefined) expect(branch.length, `children of page ${id}`).toBeGreaterThan(1);
  }
  expect(Object.fromEntries(rows)).toEqual(
    Object.fromEntries(BUCKETS.map((bucket) => [bucket, content[bucket]?.length ?? 0])),
  );
  return { file, pages };
}

/** Undefined if the page is no branch. */
function childrenOf(file: Buffer, id: number): number[] | undefined {
  const { id: found, flags, count } = readHeader(file, id * 4096);
  if (found !== id || flags !== BRANCH_PAGE) return undefined;
  return Array.from({ length: count }, (_, i) => readUint64(file, id * 4096 + HEADER_BYTES + i * ELEMENT_BYTES + 8));
}

/** Bytes that differ everywhere, so that shifted ones are noticed. */
function value(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

function counted(count: number, bytesOf: (i: number) => Uint8Array): Row[] {
  return Array.from({ length: count }, (_, i) => [revisionKey(i + 2, 0), bytesOf(i)] as const);
}

const MIB = 1024 * 1024;

describe("what is written is read", () => {
  test("N-8: of an empty store, all buckets, on four pages", async () => {
    const { file, pages } = await roundTrip({});
    expect(pages).toBe(4);
    expect((await openBolt(boltFile(file))).buckets).toEqual([...BUCKETS]);
    expect(BUCKETS).toEqual([...BUCKETS].sort());
  });

  test("a row in every bucket", async () => {
    await roundTrip(Object.fromEntries(BUCKETS.map((bucket) => [bucket, [["k", Buffer.from(bucket)] as const]])));
  });

  test.each([0, 1, 4046, 4047, 4048, 4049, 4095, 4096, 4097, 8192, 65_535, 65_536, 1.5 * MIB])(
    "a value of %d bytes, alone and between small ones",
    async (length) => {
      await roundTrip({ key: [["k", value(length)]] });
      await roundTrip({ key: counted(31, (i) => value(i === 15 ? length : 20, i)) });
      await roundTrip({ key: counted(9, (i) => value(length, i)) });
    },
  );

  test("a value of 70 MiB, in chunks of 1 MiB at most, and not copied", async () => {
    const large = Buffer.alloc(70 * MIB, value(1_000_003));
    const content = { key: counted(5, (i) => (i === 2 ? large : value(10, i))) };
    await roundTrip(content);
    const source = sourceOf(content);
    let shared = 0;
    for await (const chunk of writeBolt(await planBolt(source), source)) {
      expect(chunk.length).toBeLessThanOrEqual(MIB);
      if (chunk.buffer === large.buffer) shared += chunk.length;
    }
    expect(shared).toBe(large.length);
  });

  test("a bucket of exactly one full page, and of a byte less or more", async () => {
    // 16 for the page, 4 * (16 + 17) for elements and keys
    const rest = 4096 - 16 - 4 * 33 - 3 * 1000;
    for (const [last, pages] of [
      [rest - 1, 5],
      [rest, 5],
      // Room enough for a row is left on the first page, so the leaf goes on into a second one.
      [rest + 1, 6],
    ] as const) {
      const { pages: found } = await roundTrip({ key: counted(4, (i) => value(i === 3 ? last : 1000, i)) });
      expect(found).toBe(pages);
    }
  });

  test("every number of rows from one leaf to many, so that each way to end a level occurs", async () => {
    // Long keys: few children a branch.
    const key = (i: number): string => String(i).padStart(4, "0").repeat(250);
    const all: Row[] = Array.from({ length: 80 }, (_, i) => [key(i), value(2_500, i)] as const);
    for (let rows = 1; rows <= all.length; rows++) await roundTrip({ lease: all.slice(0, rows) });
  });

  test("branches on four levels and more, none with a single child", async () => {
    const rows: Row[] = Array.from({ length: 3_000 }, (_, i) => [String(i).padStart(5, "0").repeat(240), value(9, i)]);
    const { file, pages } = await roundTrip({ key: rows });
    let deepest = 0;
    const depth = (id: number): number => {
      const children = childrenOf(file, id);
      if (children === undefined) return 0;
      const depths = new Set(children.map(depth));
      expect(depths.size).toBe(1);
      return 1 + (depths.values().next().value as number);
    };
    for (let id = 4; id < pages; id++) deepest = Math.max(deepest, depth(id));
    expect(deepest).toBeGreaterThanOrEqual(4);
  });

  test("keys of 32 KiB, and of every byte", async () => {
    const long: Row[] = Array.from({ length: 40 }, (_, i) => [
      String.fromCharCode(i + 1).padEnd(32 * 1024, "x"),
      value(i % 3 === 0 ? 5_000 : 3, i),
    ]);
    await roundTrip({ key: long });
    const bytes: Row[] = Array.from({ length: 256 }, (_, i) => [String.fromCharCode(i), value(100, i)]);
    await roundTrip({ authUsers: bytes, auth: bytes.map(([key, v]) => [key + key, v]) });
  });

  test("leaves are filled: 1 KiB and 3 KiB values take less than a sixth more than their bytes", async () => {
    for (const length of [1024, 1500, 2100, 3000]) {
      const rows = counted(2_000, (i) => value(length, i));
      const { file } = await roundTrip({ key: rows });
      expect(file.length).toBeLessThan(((length + 33) * rows.length * 7) / 6);
    }
  });

  test("random rows in all buckets, from sources that give few or many at a time", async () => {
    const random = createRandom(20_260_801);
    for (let round = 0; round < 60; round++) {
      const content = Object.fromEntries(BUCKETS.map((bucket) => [bucket, randomRows(random)]));
      await roundTrip(content, random.pick([1, 7, 500, 1_000_000]));
    }
  });

  test("a backend's snapshot is a source, and the file is the same every time", async () => {
    const backend = createMemoryBackend();
    for (let i = 0; i < 3_000; i++) backend.put("key", revisionKey(i, 0), value(700, i));
    await backend.flush();
    for (let i = 1_000; i < 1_500; i++) backend.delete("key", revisionKey(i, 0));
    backend.put("meta", "term", value(8));
    const snapshot = backend.snapshot();
    const file = await writtenFile(snapshot);
    expect(await contentOf(file)).toEqual(expected({ key: await rowsOf(snapshot, "key"), meta: [["term", value(8)]] }));
    expect((await writtenFile(snapshot)).equals(file)).toBe(true);
    await snapshot.close();
    await backend.close();
  });

  test("rows laid over a source are written instead of its own", async () => {
    const source = sourceOf({
      meta: [
        ["a", value(1)],
        ["b", value(2)],
      ],
      members: [["c", value(3)]],
    });
    const changed = withRows(source, {
      meta: new Map([
        ["b", value(20, 2)],
        ["z", value(4)],
      ]),
      members: new Map([["c", null]]),
    });
    expect(await contentOf(await writtenFile(changed))).toEqual(
      expected({
        meta: [
          ["a", value(1)],
          ["b", value(20, 2)],
          ["z", value(4)],
        ],
      }),
    );
  });
});

function randomRows(random: Random): Row[] {
  const rows = new Map<string, Buffer>();
  const count = random.pick([0, 0, 1, 2, 10, 50, 300]);
  const keyBytes = random.pick([1, 8, 17, 300, 3_000]);
  const valueBytes = random.pick([1, 40, 400, 2_000, 5_000]);
  for (let i = 0; i < count; i++) {
    const length = 1 + random.below(keyBytes);
    const key = Array.from({ length }, () => String.fromCharCode(random.below(256))).join("");
    rows.set(key, value(random.chance(0.02) ? random.below(200_000) : random.below(valueBytes), i));
  }
  return [...rows];
}

describe("planning and writing", () => {
  const content: Content = { key: counted(5_000, (i) => value(i % 700, i)), lease: counted(100, (i) => value(9, i)) };

  test.each([
    ["a value is longer", (rows: Row[]) => rows.splice(77, 1, [revisionKey(79, 0), value(900)])],
    ["a value is longer, and another one shorter", (rows: Row[]) => rows.splice(10, 2, ...shifted(rows.slice(10, 12)))],
    ["a row is missing at the end", (rows: Row[]) => rows.pop()],
    ["there are more rows", (rows: Row[]) => rows.push(...counted(6_000, () => value(800)).slice(5_000))],
    ["there is none", (rows: Row[]) => rows.splice(0)],
  ])("a source that changed between the two is noticed: %s", async (_, change) => {
    const plan = await planBolt(sourceOf(content));
    const rows = [...(content["key"] as Row[])];
    change(rows);
    let bytes = 0;
    const writing = async (): Promise<void> => {
      for await (const chunk of writeBolt(plan, sourceOf({ ...content, key: rows }))) bytes += chunk.length;
    };
    await expect(writing()).rejects.toThrow("the rows of bucket key changed between planning and writing");
    expect(bytes).toBeLessThan(plan.bytes);
  });

  function shifted(rows: readonly Row[]): Row[] {
    const [[a, first], [b, second]] = rows as [Row, Row];
    return [
      [a, value(first.length + 1)],
      [b, value(second.length - 1)],
    ];
  }

  test("keys that do not ascend, and sizes that bbolt does not take", async () => {
    const unordered: RowSource = {
      range: async (_, from) =>
        from === ""
          ? [
              ["b", value(1)],
              ["a", value(1)],
            ]
          : [],
    };
    await expect(planBolt(unordered)).rejects.toThrow(AssertionError);
    await expect(planBolt(sourceOf({ key: [["", value(1)]] }))).rejects.toThrow(BoltError);
    await expect(planBolt(sourceOf({ authRoles: [["x".repeat(32 * 1024 + 1), value(1)]] }))).rejects.toThrow(
      "bucket authRoles has a key of 32769 bytes, and a bbolt file takes 1 to 32768: delete it first",
    );
  });

  test("a failing source fails both, and a signal ends planning", async () => {
    const plan = await planBolt(sourceOf(content));
    const failing: RowSource = { range: () => Promise.reject(new Error("disk is gone")) };
    await expect(planBolt(failing)).rejects.toThrow("disk is gone");
    await expect(writeBolt(plan, failing).next()).rejects.toThrow("disk is gone");
    await expect(planBolt(sourceOf(content), AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  });

  test("rows are taken from the source as chunks are taken from the writer", async () => {
    const source = sourceOf({ key: counted(20_000, () => value(1_000)) });
    let asked = 0;
    const counting: RowSource = {
      range: (...words) => {
        asked++;
        return source.range(...words);
      },
    };
    const plan = await planBolt(source);
    const chunks = writeBolt(plan, counting);
    await chunks.next();
    expect(asked).toBeLessThan(10);
    await chunks.return();
  });
});

describe("reading", () => {
  test("ranges: from, to, limit, as a backend's snapshot answers them", async () => {
    const random = createRandom(7);
    const keys = [...new Set(Array.from({ length: 900 }, () => String(random.below(100_000))))].sort();
    const rows = keys.map((key, i): Row => [key, value(i % 300, i)]);
    const reader = await openBolt(boltFile(await writtenFile(sourceOf({ key: rows }))));
    for (let round = 0; round < 500; round++) {
      const bound = (): string => (random.chance(0.5) ? random.pick(keys) : String(random.below(100_000)));
      const from = random.chance(0.1) ? "" : bound();
      const to = random.chance(0.3) ? undefined : bound();
      const limit = 1 + random.below(random.pick([1, 10, 1_000]));
      const all = rows.filter(([key]) => key >= from && (to === undefined || key < to)).slice(0, limit);
      const found = await reader.range("key", from, to, limit);
      expect(found.map(([key, bytes]) => [key, bytes.toString("hex")])).toEqual(
        all.map(([key, bytes]) => [key, Buffer.from(bytes).toString("hex")]),
      );
    }
    expect(await reader.range("no such bucket", "", undefined, 10)).toEqual([]);
    await expect(reader.range("key", "", undefined, 0)).rejects.toThrow(AssertionError);
  });

  test("an answer holds about 1 MiB at most, however many rows are asked for", async () => {
    const file = await writtenFile(sourceOf({ key: counted(4_000, () => value(1_000)) }));
    const reader = await openBolt(boltFile(file));
    const rows = await reader.range("key", "", undefined, 1_000_000);
    expect(rows.length).toBeGreaterThan(1_000);
    expect(rows.length).toBeLessThan(1_100);
  });

  test("a walk reads the file about once", async () => {
    const bytes = await writtenFile(sourceOf({ key: counted(30_000, () => value(300)) }));
    const file = boltFile(bytes);
    const reader = await openBolt(file);
    await rowsOf(reader, "key", 50);
    expect(file.bytesRead).toBeLessThan(bytes.length * 1.2);
  });

  test("walks side by side do not disturb each other", async () => {
    const content = { key: counted(9_000, (i) => value(300, i)), lease: counted(9_000, (i) => value(200, i)) };
    const reader = await openBolt(boltFile(await writtenFile(sourceOf(content))));
    const [a, b, c] = await Promise.all([
      rowsOf(reader, "key"),
      rowsOf(reader, "lease", 77),
      rowsOf(reader, "key", 13),
    ]);
    expect(expected({ key: a, lease: b })).toEqual(expected(content));
    expect(expected({ key: c })).toEqual(expected({ key: content.key }));
  });

  test.each([1024, 4096, 16_384, 65_536])("pages of %d bytes, inline buckets, free pages", async (pageBytes) => {
    const rows: Row[] = [
      ["a", value(100)],
      ["b", value(0)],
    ];
    const page = { pageBytes };
    const file = fileOf({
      meta: { pageBytes },
      highWater: 8,
      pages: {
        2: freelistPage(2, [5, 6]).subarray(0, 1024),
        3: bucketsPage(3, { alarm: [], key: 4, meta: rows }, page),
        4: leafPage(4, rows, page),
        7: Buffer.alloc(0),
      },
    });
    expect(await contentOf(file)).toEqual(summaryOf({ alarm: [], key: rows, meta: rows }));
    await expect(checkBolt(boltFile(file))).rejects.toThrow("page 7 is neither used nor free");
    freelistPage(2, [5, 6, 7]).copy(file, 2 * pageBytes, 0, 1024);
    const { freePages } = await checkBolt(boltFile(file));
    expect(freePages).toBe(3);
  });

  function summaryOf(content: Content): Record<string, unknown[]> {
    const all = expected(content);
    return Object.fromEntries(Object.keys(content).map((bucket) => [bucket, all[bucket] as unknown[]]));
  }

  test("a freelist that is not kept, one with its count in the first id, and one over more pages", async () => {
    const pages = { 3: bucketsPage(3, { key: [] }), 2: leafPage(2, []) };
    expect((await checkBolt(boltFile(fileOf({ meta: { freelist: undefined }, pages, highWater: 9 })))).freePages).toBe(
      6,
    );
    const counted = freelistPage(2, [5, 4, 5, 6, 7, 8], { count: 0xffff });
    expect((await checkBolt(boltFile(fileOf({ pages: { ...pages, 2: counted }, highWater: 9 })))).freePages).toBe(5);
    const free = Array.from({ length: 1_000 }, (_, i) => i + 6);
    const large = Buffer.alloc(3 * 4096);
    freelistPage(2, [], { count: 1_000 }).copy(large);
    large.writeUInt32LE(2, 12);
    for (const [i, id] of free.entries()) large.writeUInt32LE(id, 16 + 8 * i);
    const file = fileOf({ meta: { root: 5 }, pages: { 2: large, 5: bucketsPage(5, {}) }, highWater: 1_006 });
    expect((await checkBolt(boltFile(file))).freePages).toBe(1_000);
  });

  test("the newer of two good metas counts, or the one that is good", async () => {
    const old = bucketsPage(3, { key: [["k", Buffer.from("old")]] });
    const recent = bucketsPage(4, { key: [["k", Buffer.from("new")]] });
    const pages = { 2: freelistPage(2, []), 3: old, 4: recent };
    const read = async (file: Buffer): Promise<string> => {
      const [row] = await (await openBolt(boltFile(file))).range("key", "", undefined, 1);
      return (row as [string, Buffer])[1].toString();
    };
    const metas = (first: number, second: number): Buffer => {
      const file = fileOf({ meta: { root: 3, transaction: first }, pages, highWater: 5 });
      const other = fileOf({ meta: { root: 4, transaction: second }, pages, highWater: 5 });
      other.copy(file, 4096, 0, 4096);
      return file;
    };
    expect(await read(metas(4, 3))).toBe("old");
    expect(await read(metas(4, 5))).toBe("new");
    const firstTorn = metas(6, 5);
    firstTorn[40] = 99;
    expect(await read(firstTorn)).toBe("new");
    const secondTorn = metas(4, 5);
    secondTorn[4096 + 40] = 99;
    expect(await read(secondTorn)).toBe("old");
  });

  test("the second meta is found without the first at any page size", async () => {
    for (const pageBytes of [1024, 8192, 65_536]) {
      const file = fileOf({
        meta: { pageBytes },
        pages: { 3: bucketsPage(3, { key: [] }, { pageBytes }), 2: freelistPage(2, []).subarray(0, 1024) },
        highWater: 4,
      });
      file.fill(0, 0, 100);
      expect((await openBolt(boltFile(file))).buckets).toEqual(["key"]);
    }
  });

  test("a tail behind the last page is no part of the file, as the digest of a saved snapshot", async () => {
    const content = { key: counted(10, (i) => value(10, i)) };
    const file = Buffer.concat([await writtenFile(sourceOf(content)), value(32)]);
    expect(await contentOf(file)).toEqual(expected(content));
    await checkBolt(boltFile(file));
  });

  test("separators below the first key of their page, as deletes leave them", async () => {
    const pages = {
      2: freelistPage(2, []),
      3: bucketsPage(3, { key: 4 }),
      4: branchPage(4, [
        ["b", 5],
        ["m", 6],
      ]),
      5: leafPage(5, [
        ["c", value(1)],
        ["d", value(2)],
      ]),
      6: leafPage(6, [["p", value(3)]]),
    };
    const file = fileOf({ pages, highWater: 7 });
    await checkBolt(boltFile(file));
    const reader = await openBolt(boltFile(file));
    const keys = async (from: string): Promise<string[]> =>
      (await reader.range("key", from, undefined, 10)).map(([key]) => key);
    expect(await keys("")).toEqual(["c", "d", "p"]);
    expect(await keys("e")).toEqual(["p"]);
    expect(await keys("m")).toEqual(["p"]);
    expect(await keys("q")).toEqual([]);
  });
});
