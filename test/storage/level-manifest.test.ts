import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Bucket } from "../../storage/backend.ts";
import { openLevelBackend, openLevelShadow } from "../../storage/level-backend.ts";
import { LevelDamagedError, levelFiles } from "../../storage/level-manifest.ts";
import { sealed, sealedWithMark } from "../../storage/level-rows.ts";
import { BUCKETS, revisionKey } from "../../storage/schema.ts";

let path: string;

beforeEach(async () => {
  path = mkdtempSync(join(tmpdir(), "quorate-level-"));
  // Each opening turns what is in LevelDB's log into a table.
  await fill(0, 40);
  await fill(40, 50);
  await fill(50, 60);
});
afterEach(() => rmSync(path, { recursive: true }));

async function fill(from: number, to: number): Promise<void> {
  const backend = await openLevelBackend(path);
  for (let i = from; i < to; i++) backend.put("key", `k${i}`, Buffer.alloc(200, i));
  await backend.flush();
  await backend.close();
}

const fingerprint = (): string[] =>
  readdirSync(path)
    .sort()
    .map((name) => `${name} ${readFileSync(join(path, name)).toString("base64")}`);

test("what the store consists of: no less, and nothing that was left", async () => {
  const all = readdirSync(path);
  writeFileSync(join(path, "000999.ldb"), "left by a crash");
  const files = await levelFiles(path);
  expect(files?.tables).toEqual(all.filter((name) => name.endsWith(".ldb")).sort());
  expect(files?.logs).toEqual(all.filter((name) => name.endsWith(".log")));
  expect(all).toContain(files?.manifest);
  expect(await levelFiles(join(path, "nowhere"))).toBeUndefined();
});

test("a missing table, a missing CURRENT: nothing is begun anew over what is left", async () => {
  unlinkSync(join(path, (await levelFiles(path))?.tables[0] ?? "none"));
  const before = fingerprint();
  await expect(openLevelBackend(path)).rejects.toThrow(/\d+\.ldb: the file is missing.*quorate rebuild/);
  expect(fingerprint()).toEqual(before);
  unlinkSync(join(path, "CURRENT"));
  const left = fingerprint();
  await expect(openLevelBackend(path)).rejects.toThrow(/CURRENT: the file is missing/);
  expect(fingerprint()).toEqual(left);
});

test("any byte of the MANIFEST but those of its last record", async () => {
  const manifest = join(path, (await levelFiles(path))?.manifest ?? "none");
  const bytes = readFileSync(manifest);
  let last = 0;
  for (let at = 0; at < bytes.length; at += 7 + bytes.readUInt16LE(at + 4)) last = at;
  for (let at = 0; at < last; at++) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
    writeFileSync(manifest, damaged);
    await expect(levelFiles(path), String(at)).rejects.toThrow(LevelDamagedError);
  }
});

test("a look at a store gives its rows and leaves it as it is, also what a crash left", async () => {
  writeFileSync(join(path, "000999.ldb"), "left by a crash");
  const before = fingerprint();
  const shadow = await openLevelShadow(path);
  for (let i = 0; i < 60; i++) expect(shadow?.get("key", `k${i}`)).toEqual(Buffer.alloc(200, i));
  shadow?.put("key", "k0", Buffer.from("changed"));
  await shadow?.flush();
  await shadow?.close();
  expect(fingerprint()).toEqual(before);
  expect(await openLevelShadow(join(path, "nowhere"))).toBeUndefined();
});

test("a last record of the MANIFEST that rotted is told from one that is torn: what it replaced is gone", async () => {
  const manifest = join(path, (await levelFiles(path))?.manifest ?? "none");
  const bytes = readFileSync(manifest);
  let last = 0;
  for (let at = 0; at < bytes.length; at += 7 + bytes.readUInt16LE(at + 4)) last = at;
  const before = fingerprint().length;
  for (let at = last; at < bytes.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] as number) ^ (1 << bit);
      writeFileSync(manifest, damaged);
      const looked = levelFiles(path);
      await expect(looked, `byte ${at}, bit ${bit}`).rejects.toThrow(LevelDamagedError);
      await expect(looked, `byte ${at}, bit ${bit}`).rejects.toThrow(/^MANIFEST-\d+ at offset \d+: /);
    }
  }
  writeFileSync(manifest, bytes.subarray(0, last));
  await expect(openLevelBackend(path)).rejects.toThrow(/quorate rebuild/);
  expect(fingerprint().length).toBe(before);
});

test("verify: a byte that changes in a table under an open store is found, and is this store's failure", async () => {
  const failures: string[] = [];
  const backend = await openLevelBackend(path, { onFailure: (error) => failures.push(error.message) });
  await backend.verify();
  const stop = new AbortController();
  const stopped = expect(backend.verify(stop.signal)).rejects.toThrow("enough");
  stop.abort(new Error("enough"));
  await stopped;
  await expect(backend.verify(stop.signal)).rejects.toThrow("enough");
  writeFileSync(join(path, "000999.ldb"), "being written");
  await backend.verify();
  const table = join(path, (await levelFiles(path))?.tables[0] ?? "none");
  const bytes = readFileSync(table);
  bytes[20] = (bytes[20] as number) ^ 1;
  writeFileSync(table, bytes);
  await expect(backend.verify()).rejects.toThrow(
    /is damaged \(\d+\.ldb has a wrong checksum at offset 0\).*quorate rebuild/,
  );
  expect(failures).toHaveLength(1);
  await backend.close();
});

test("what has rotted is found by row, too, when a compaction has given it a right checksum before anybody looked", async () => {
  const failures: string[] = [];
  const rotten = join(path, "rotten");
  const first = await openLevelBackend(rotten);
  for (let i = 0; i < 200; i++) first.put("key", revisionKey(i + 2, 0), randomBytes(2_000));
  await first.flush();
  await first.compact();
  await first.close();
  const db = new ClassicLevel<Buffer, Buffer>(rotten, { keyEncoding: "buffer", valueEncoding: "buffer" });
  await db.open();
  const table = join(rotten, (await levelFiles(rotten))?.tables[0] ?? "none");
  const bytes = readFileSync(table);
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] as number) ^ 1;
  writeFileSync(table, bytes);
  // LevelDB's own compactions look at no checksum, and need nobody to call for them.
  const ends = [Buffer.from([0]), Buffer.from([BUCKETS.length + 1])] as const;
  for (const end of ends) await db.put(end, Buffer.alloc(0));
  await db.compactRange(...ends);
  for (const end of ends) await db.del(end);
  await db.close();

  const backend = await openLevelBackend(rotten, { onFailure: (error) => failures.push(error.message) });
  await backend.verify();
  const snapshot = backend.snapshot();
  const why = /is damaged \(the row [0-9a-f]{34} of the bucket key is not what was written\).*quorate rebuild/;
  await expect(snapshot.range("key", "", undefined, 1_000)).rejects.toThrow(why);
  await snapshot.close();
  expect(failures).toEqual([expect.stringMatching(why)]);
  const wrong = Buffer.from(/row ([0-9a-f]+) /.exec(failures[0] as string)?.[1] as string, "hex").toString("latin1");
  expect(() => backend.get("key", wrong)).toThrow(why);
  expect(backend.get("key", revisionKey(2, 0))).toHaveLength(2_000);
  await backend.close();
});

test("a compaction that is asked for finds what has rotted before it reads it", async () => {
  const backend = await openLevelBackend(path);
  const table = join(path, (await levelFiles(path))?.tables[0] ?? "none");
  const bytes = readFileSync(table);
  bytes[20] = (bytes[20] as number) ^ 1;
  writeFileSync(table, bytes);
  await expect(backend.compact()).rejects.toThrow(/\d+\.ldb has a wrong checksum at offset 0/);
  expect(readFileSync(table).equals(bytes)).toBe(true);
  await backend.close();
});

test.each(["quorate 1", "quorate 2"])("a store of the format %s goes on as it is", async (format) => {
  const former = join(path, format);
  const db = new ClassicLevel<Buffer, Buffer>(former, { keyEncoding: "buffer", valueEncoding: "buffer" });
  const row = Buffer.concat([Buffer.from([BUCKETS.indexOf("meta") + 1]), Buffer.from("a")]);
  await db.put(Buffer.from("\0format", "latin1"), Buffer.from(format));
  const asStored = (value: string): Buffer =>
    format === "quorate 1" ? Buffer.from(value) : sealed(row, Buffer.from(value));
  await db.put(row, asStored("as ever"));
  await db.close();
  for (const expected of ["as ever", "new"]) {
    const backend = await openLevelBackend(former);
    expect(String(backend.get("meta", "a"))).toBe(expected);
    backend.put("meta", "a", Buffer.from("new"));
    await backend.flush();
    await backend.close();
  }
  const again = new ClassicLevel<Buffer, Buffer>(former, { keyEncoding: "buffer", valueEncoding: "buffer" });
  expect(await again.get(row)).toEqual(asStored("new"));
  await again.close();
});

test("a store of the format quorate 3 goes on as it is", async () => {
  const former = join(path, "quorate 3");
  const raw = { keyEncoding: "buffer", valueEncoding: "buffer" } as const;
  const at = (bucket: Bucket, key: string): Buffer =>
    Buffer.concat([Buffer.from([BUCKETS.indexOf(bucket) + 1]), Buffer.from(key, "latin1")]);
  const [pair, member] = [at("key", revisionKey(2, 0)), at("members", "a")];
  // A row of `meta`: lengths of key and value, then both.
  const mark = Buffer.from([1, 0, 2, 0, 0, 0, ...Buffer.from("a" + "m1")]);
  const db = new ClassicLevel<Buffer, Buffer>(former, raw);
  await db.put(Buffer.from("\0format", "latin1"), Buffer.from("quorate 3"));
  await db.put(pair, sealedWithMark(pair, Buffer.from("two"), mark));
  await db.put(member, sealed(member, Buffer.from("one")));
  await db.close();

  for (const [meta, newer] of [
    ["m1", undefined],
    ["m2", "three"],
  ] as const) {
    const backend = await openLevelBackend(former);
    expect(String(backend.get("meta", "a"))).toBe(meta);
    expect(String(backend.get("members", "a"))).toBe("one");
    const snapshot = backend.snapshot();
    const rows = (await snapshot.range("key", "", undefined, 9)).map(([key, value]) => [key, String(value)]);
    expect(rows).toEqual([[revisionKey(2, 0), "two"], ...(newer === undefined ? [] : [[revisionKey(3, 0), newer]])]);
    await snapshot.close();
    backend.put("meta", "a", Buffer.from("m2"));
    backend.put("key", revisionKey(3, 0), Buffer.from("three"));
    await backend.flush();
    await backend.compact();
    await backend.close();
  }
  const again = new ClassicLevel<Buffer, Buffer>(former, raw);
  expect(await again.keys().all()).toEqual([
    Buffer.from("\0format", "latin1"),
    pair,
    at("key", revisionKey(3, 0)),
    // The last flush wrote no newer row: its mark stands alone.
    at("key", `${revisionKey(3, 0)}\xff`),
    member,
  ]);
  await again.close();
});
