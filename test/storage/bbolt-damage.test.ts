import { describe, expect, test } from "vitest";
import { checkBolt } from "../../storage/bbolt/check.ts";
import { BoltError, HEADER_BYTES, writeHeader } from "../../storage/bbolt/format.ts";
import type { BoltFile } from "../../storage/bbolt/page-file.ts";
import { openBolt } from "../../storage/bbolt/reader.ts";
import {
  boltFile,
  branchPage,
  bucketsPage,
  fileOf,
  freelistPage,
  leafPage,
  type Row,
  rowsOf,
  sourceOf,
  writtenFile,
} from "./bolt-files.ts";
import { createRandom } from "./random.ts";

const row = (key: string, length = 3): Row => [key, Buffer.alloc(length, key)];

/** A tree of two leaves in bucket `key`, with pages to replace. */
function treeWith(
  pages: Readonly<Record<number, Buffer>>,
  { free = [], highWater = 7 }: { free?: readonly number[]; highWater?: number } = {},
): Buffer {
  return fileOf({
    highWater,
    pages: {
      2: freelistPage(2, free),
      3: bucketsPage(3, { key: 4, meta: [row("inline")] }),
      4: branchPage(4, [
        ["b", 5],
        ["m", 6],
      ]),
      5: leafPage(5, [row("b"), row("c"), row("d")]),
      6: leafPage(6, [row("m"), row("n")]),
      ...pages,
    },
  });
}

function changed(page: Buffer, change: (page: Buffer) => void): Buffer {
  change(page);
  return page;
}

const element = (i: number): number => HEADER_BYTES + 16 * i;

/** What a check says of the file: its message; undefined if it is whole. */
async function verdict(file: Buffer): Promise<string | undefined> {
  try {
    await checkBolt(boltFile(file));
    return undefined;
  } catch (error) {
    if (!(error instanceof BoltError)) throw error;
    return error.message;
  }
}

async function readAll(file: BoltFile): Promise<number> {
  const reader = await openBolt(file);
  let rows = 0;
  for (const bucket of reader.buckets) rows += (await rowsOf(reader, bucket, 100)).length;
  return rows;
}

test("the tree that is damaged below is whole", async () => {
  expect(await verdict(treeWith({}))).toBeUndefined();
  expect(await readAll(boltFile(treeWith({})))).toBe(6);
});

describe("a page that does not fit its place is named", () => {
  const leaf = (): Buffer => leafPage(5, [row("b"), row("c"), row("d")]);
  const cases: readonly (readonly [string, Buffer, RegExp])[] = [
    ["another page's number", treeWith({ 5: leafPage(9, [row("b")]) }), /page 5 says that it is page 9/],
    ["a page that was never written", treeWith({ 5: Buffer.alloc(4096) }), /page 5 says that it is page 0/],
    [
      "another kind of page",
      treeWith({ 5: changed(leaf(), (page) => page.writeUInt16LE(0x10, 8)) }),
      /page 5 is neither branch nor leaf \(flags 16\)/,
    ],
    [
      "both kinds at once",
      treeWith({ 5: changed(leaf(), (page) => page.writeUInt16LE(3, 8)) }),
      /page 5 is neither branch nor leaf \(flags 3\)/,
    ],
    [
      "running over the end of the file",
      treeWith({ 5: changed(leaf(), (page) => page.writeUInt32LE(2, 12)) }),
      /page 5 says that it goes on for 2 pages, beyond the 7 of the file/,
    ],
    [
      "running over by all that 32 bits can say",
      treeWith({ 5: changed(leaf(), (page) => page.writeUInt32LE(0xffff_ffff, 12)) }),
      /page 5 says that it goes on for 4294967295 pages/,
    ],
    [
      "running over the page behind it",
      treeWith({ 5: changed(leaf(), (page) => page.writeUInt32LE(1, 12)) }),
      /page 6 is used twice, now from page 4/,
    ],
    [
      "more elements than fit",
      treeWith({ 5: changed(leaf(), (page) => page.writeUInt16LE(0xffff, 10)) }),
      /page 5 has 65535 elements, which do not fit its 4096 bytes/,
    ],
    [
      "elements that are not there",
      treeWith({ 5: changed(leaf(), (page) => page.writeUInt16LE(4, 10)) }),
      /page 5 has an element 0 that overlaps what is before it/,
    ],
    [
      "an element behind the page",
      treeWith({ 5: changed(leaf(), (page) => page.writeUInt32LE(4090, element(2) + 4)) }),
      /page 5 has an element 2 that reaches beyond the page's 4096 bytes/,
    ],
    [
      "a value that goes on behind the page",
      treeWith({ 5: changed(leaf(), (page) => page.writeUInt32LE(4090, element(2) + 12)) }),
      /page 5 has an element 2 that reaches beyond/,
    ],
    [
      "a value of 4 GiB",
      treeWith({ 5: changed(leaf(), (page) => page.writeUInt32LE(0xffff_ffff, element(0) + 12)) }),
      /page 5 has an element 0 with a value of 4294967295 bytes/,
    ],
    [
      "elements that share their bytes",
      treeWith({ 5: changed(leaf(), (page) => page.writeUInt32LE(48 - 16 + 1, element(1) + 4)) }),
      /page 5 has an element 1 that overlaps what is before it/,
    ],
    [
      "a key without bytes",
      treeWith({ 5: changed(leaf(), (page) => page.writeUInt32LE(0, element(0) + 8)) }),
      /page 5 has an element 0 with a key of 0 bytes/,
    ],
    [
      "a key that is too long",
      treeWith({ 5: changed(leaf(), (page) => page.writeUInt32LE(40_000, element(0) + 8)) }),
      /page 5 has an element 0 with a key of 40000 bytes/,
    ],
    [
      "keys out of order",
      treeWith({ 5: leafPage(5, [row("c"), row("b")]) }),
      /page 5 has keys that do not ascend, at el/,
    ],
    [
      "a key twice",
      treeWith({ 5: leafPage(5, [row("b"), row("b")]) }),
      /page 5 has keys that do not ascend, at element 1/,
    ],
    [
      "keys below its parent's",
      treeWith({ 6: leafPage(6, [row("l")]) }),
      /page 6 has keys below those that its parent 4/,
    ],
    ["keys above its parent's", treeWith({ 5: leafPage(5, [row("b"), row("m")]) }), /page 5 has keys above those/],
    ["no rows, below a branch", treeWith({ 5: leafPage(5, []) }), /page 5 is an empty leaf below a branch/],
    ["a branch without children", treeWith({ 4: branchPage(4, []) }), /page 4 is a branch without children/],
    [
      "a bucket within a bucket",
      treeWith({ 5: leafPage(5, [row("b", 16)], { flags: 1 }) }),
      /page 5 has an element 0 with flags 1 where rows belong/,
    ],
    [
      "a row among the buckets",
      treeWith({ 3: leafPage(3, [row("key", 16)]) }),
      /page 3 has an element 0 with flags 0 where buckets belong/,
    ],
    [
      "a bucket too short to be one",
      treeWith({ 3: leafPage(3, [row("key", 15)], { flags: 1 }) }),
      /page 3 says of bucket "key" that it is of 15 bytes/,
    ],
    [
      "an inline bucket without a page",
      treeWith({ 3: leafPage(3, [["key", Buffer.alloc(20)]], { flags: 1 }) }),
      /page 3 says of bucket "key" that it is inline, without room for a page/,
    ],
    [
      "an inline bucket that is no leaf",
      treeWith({ 3: leafPage(3, [["key", Buffer.alloc(40)]], { flags: 1 }) }),
      /page 3 says of bucket "key" that it is inline, in what is no leaf page/,
    ],
    [
      "a root that is not in the file",
      treeWith({ 3: bucketsPage(3, { key: 7 }) }),
      /page 3 says of bucket "key" that its root is page 7, which is not in the file/,
    ],
    [
      "a child that is not in the file",
      treeWith({
        4: branchPage(4, [
          ["b", 5],
          ["m", 2 ** 52],
        ]),
      }),
      /page 4 refers to page 4503599627370496, which is not in the file/,
    ],
    [
      "a child that is a meta",
      treeWith({
        4: branchPage(4, [
          ["b", 1],
          ["m", 6],
        ]),
      }),
      /page 4 refers to page 1, which/,
    ],
    [
      "one leaf under two branches' elements",
      treeWith({
        4: branchPage(4, [
          ["b", 5],
          ["m", 5],
        ]),
      }),
      /page 5 has keys below those that its parent 4 says/,
    ],
    [
      "its own child",
      treeWith({
        4: branchPage(4, [
          ["b", 4],
          ["m", 6],
        ]),
      }),
      /page 4 has keys above those that its parent/,
    ],
    [
      "a ring of branches with a single child",
      treeWith({ 4: branchPage(4, [["b", 5]]), 5: branchPage(5, [["b", 4]]) }),
      /page 4 is used twice, now from page 5/,
    ],
    ["one root for two buckets", treeWith({ 3: bucketsPage(3, { key: 4, lease: 4 }) }), /page 4 is used twice/],
    ["a used page among the free", treeWith({}, { free: [6] }), /page 6 is used, and listed as free on page 2/],
    ["a free page twice", treeWith({}, { free: [7, 7], highWater: 8 }), /page 7 is listed as free twice, on page 2/],
    [
      "a free page behind the file",
      treeWith({}, { free: [7] }),
      /page 2 lists page 7 as free, which is not in the file/,
    ],
    ["a page that nobody knows", treeWith({}, { highWater: 8 }), /page 7 is neither used nor free/],
    ["no list of free pages", treeWith({ 2: leafPage(2, []) }), /page 2 should hold the free pages, and has flags 2/],
    [
      "more free pages than its page can list",
      treeWith({ 2: freelistPage(2, [2 ** 50], { count: 0xffff }) }),
      /page 2 says that it lists 1125899906842624 free pages in 4096 bytes/,
    ],
  ];

  test.each(cases)("%s", async (_, file, message) => {
    expect(await verdict(file)).toMatch(message);
    expect(await verdict(file)).toMatch(/^the database file is damaged: page \d+ .*: use another copy of it$/);
    await readAll(boltFile(file)).catch((error: unknown) => expect(error).toBeInstanceOf(BoltError));
  });

  test("reading ends in a ring of branches, too", async () => {
    const file = treeWith({ 4: branchPage(4, [["b", 5]]), 5: branchPage(5, [["b", 4]]) });
    await expect(readAll(boltFile(file))).rejects.toThrow(/page \d is a branch 65 levels below the root/);
  });

  test("the page is in the error", async () => {
    await expect(checkBolt(boltFile(treeWith({ 5: Buffer.alloc(4096) })))).rejects.toMatchObject({ page: 5 });
  });
});

describe("files that are none", () => {
  test.each([
    [
      "nothing",
      Buffer.alloc(0),
      "the file of 0 bytes is no bbolt database, or its begin is damaged: page 0 is cut short",
    ],
    [
      "zeros",
      Buffer.alloc(20_000),
      "page 0 begins with 0x00000000, not with bbolt's 0xed0cdaed; page 1 (at 4096) begins",
    ],
    ["text", Buffer.from("SQLite format 3\0".repeat(2_000)), "no bbolt database"],
    [
      "another version",
      changed(treeWith({}), (file) => {
        for (const at of [20, 4116]) file.writeUInt32LE(3, at);
      }),
      "page 0 has version 3, not 2; page 1 (at 4096) has version 3, not 2",
    ],
    [
      "both metas torn",
      changed(treeWith({}), (file) => {
        for (const at of [60, 4156]) file[at] = 1;
      }),
      "page 0 does not have the checksum that it should; page 1 (at 4096) does not have the checksum that it should",
    ],
    ["pages of no bytes", fileOf({ meta: { pageBytes: 4096, root: 3 }, pages: {}, highWater: 2 }), "on page 3 of 2"],
    [
      "free pages listed outside",
      fileOf({ meta: { freelist: 9 }, pages: {}, highWater: 5 }),
      "says that the free pages are on page 9 of 5",
    ],
    [
      "the end is missing",
      treeWith({}).subarray(0, 6 * 4096),
      "the database file is cut short: it has 24576 bytes, and its 7 pages take 28672",
    ],
  ])("%s", async (_, file, message) => {
    await expect(openBolt(boltFile(file))).rejects.toThrow(BoltError);
    await expect(openBolt(boltFile(file))).rejects.toThrow(message);
  });

  test("a file that shrinks while it is read, and one whose reads fail", async () => {
    const bytes = await writtenFile(
      sourceOf({ key: Array.from({ length: 900 }, (_, i) => row(String(1_000 + i), 900)) }),
    );
    const file = boltFile(bytes);
    const shrunk: BoltFile = {
      size: file.size,
      read: async (into, position) => Math.max(0, Math.min(await file.read(into, position), 400_000 - position)),
    };
    await expect(readAll(shrunk)).rejects.toThrow(
      /the database file has \d+ bytes at most, and had \d+ when it was opened/,
    );
    let reads = 0;
    const failing: BoltFile = {
      size: file.size,
      read: (into, position) => (++reads === 2 ? Promise.reject(new Error("EIO")) : file.read(into, position)),
    };
    const reader = await openBolt(failing);
    await expect(rowsOf(reader, "key")).rejects.toThrow("EIO");
    expect((await rowsOf(reader, "key")).length).toBe(900);
  });

  test("more buckets than any etcd has", async () => {
    const names = Array.from({ length: 60 }, (_, page) =>
      Array.from({ length: 20 }, (_, i) => `${String(100 + page)}-${String(10 + i)}`),
    );
    const pages = names.map((list, i) =>
      bucketsPage(4 + i, Object.fromEntries(list.map((name) => [name, []])), { pageBytes: 4096 }),
    );
    const file = fileOf({
      highWater: 64,
      pages: {
        2: freelistPage(2, []),
        3: branchPage(
          3,
          names.map((list, i) => [list[0] as string, 4 + i]),
        ),
        ...Object.fromEntries(pages.map((page, i) => [4 + i, page])),
      },
    });
    await expect(openBolt(boltFile(file))).rejects.toThrow("more than 1000 buckets");
  });

  test("a large leaf made of nothing but keys is not taken into memory", async () => {
    const count = 60;
    const pages = 1 + Math.ceil((16 + count * (16 + 32_768)) / 4096);
    const rows = Array.from({ length: count }, (_, i) => row(String(10 + i).padEnd(32_768, "x"), 0));
    const large = leafPage(4, rows, { overflow: pages - 1 });
    const file = fileOf({
      highWater: 4 + pages,
      pages: { 2: freelistPage(2, []), 3: bucketsPage(3, { key: 4 }), 4: large },
    });
    await expect(readAll(boltFile(file))).rejects.toThrow("page 4 is a leaf with keys of 1966080 bytes");
    const branch = changed(Buffer.alloc(300 * 4096), (page) =>
      writeHeader(page, 0, { id: 4, flags: 1, count: 1, overflow: 299 }),
    );
    const other = fileOf({
      highWater: 304,
      pages: { 2: freelistPage(2, []), 3: bucketsPage(3, { key: 4 }), 4: branch },
    });
    await expect(readAll(boltFile(other))).rejects.toThrow("page 4 is a branch of 1228800 bytes");
  });
});

test("little rows on large pages do not make an answer large", async () => {
  // 1 MiB each, with two rows far apart.
  const sparse = (id: number): Buffer => {
    const page = leafPage(id, [row(`${id}a`), row(`${id}b`)], { overflow: 255 });
    // The second row, of 8 bytes as the first, goes to the end.
    page.copy(page, page.length - 8, element(2) + 8, element(2) + 16);
    page.writeUInt32LE(page.length - 8 - element(1), element(1) + 4);
    return page;
  };
  const ids = Array.from({ length: 9 }, (_, i) => 1_000 + 256 * i);
  const children = ids.map((id): [string, number] => [`${id}a`, id]);
  const file = fileOf({
    highWater: 1_000 + 256 * 9,
    meta: { freelist: undefined },
    pages: {
      3: bucketsPage(3, { key: 4 }),
      4: branchPage(4, children),
      ...Object.fromEntries(ids.map((id) => [id, sparse(id)])),
    },
  });
  expect((await checkBolt(boltFile(file))).rows.get("key")).toBe(18);
  const reader = await openBolt(boltFile(file));
  expect((await rowsOf(reader, "key")).length).toBe(18);
  expect((await reader.range("key", "", undefined, 1_000)).length).toBeLessThan(6);
});

test("a large leaf of many little rows is walked in one go", async () => {
  const rows = Array.from({ length: 40_000 }, (_, i) => row(String(100_000 + i)));
  const pages = Math.ceil((16 + rows.length * 25) / 4096) + 20;
  const file = fileOf({
    highWater: 4 + pages,
    meta: { freelist: undefined },
    pages: { 3: bucketsPage(3, { key: 4 }), 4: leafPage(4, rows, { overflow: pages - 1 }) },
  });
  const reader = await openBolt(boltFile(file));
  expect((await reader.range("key", "", undefined, 100_000)).length).toBe(rows.length);
});

describe("whatever a byte is changed to", () => {
  /** Trees of one leaf, of a branch, and with a row over several pages. */
  async function subject(): Promise<Buffer> {
    const key = Array.from({ length: 9 }, (_, i) => row(`${i}`.repeat(1_300), 700));
    return writtenFile(sourceOf({ key, lease: [row("a", 5_000), row("b")], meta: [row("term", 8), row("x")] }));
  }

  /** Reading and checking end, with rows or with BoltError; what a check takes for whole can be read. */
  async function outcome(file: Buffer): Promise<"whole" | "damaged"> {
    const complaint = await verdict(file);
    try {
      await readAll(boltFile(file));
    } catch (error) {
      if (!(error instanceof BoltError) || complaint === undefined) throw error;
    }
    return complaint === undefined ? "whole" : "damaged";
  }

  test("each byte in turn", async () => {
    const file = await subject();
    const random = createRandom(42);
    const count = { whole: 0, damaged: 0 };
    for (let at = 0; at < file.length; at++) {
      const before = file[at] as number;
      // Of values and of what is left of pages, some will do.
      if (at > 0 && file[at - 1] === before && !random.chance(0.05)) continue;
      file[at] = before ^ (random.chance(0.5) ? 1 << random.below(8) : 1 + random.below(255));
      count[await outcome(file)]++;
      file[at] = before;
    }
    expect(await outcome(file)).toBe("whole");
    expect(count.damaged).toBeGreaterThan(300);
  });

  test("many bytes, a page over another one, or the end cut off", async () => {
    const whole = await subject();
    const random = createRandom(43);
    for (let round = 0; round < 1_500; round++) {
      const file = Buffer.from(whole);
      const pages = file.length / 4096;
      if (random.chance(0.3)) {
        const from = random.below(pages) * 4096;
        file.copy(file, (2 + random.below(pages - 2)) * 4096, from, from + 4096);
      }
      if (random.chance(0.5)) {
        // Headers and tables of elements are where the pages begin.
        for (let n = random.below(6); n > 0; n--)
          file[4096 * (2 + random.below(pages - 2)) + random.below(64)] = random.below(256);
      } else {
        for (let n = random.below(50); n > 0; n--) file[random.below(file.length)] = random.below(256);
      }
      await outcome(random.chance(0.1) ? file.subarray(0, random.below(file.length)) : file);
    }
  });
});
