import { mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openLevelBackend, openLevelShadow } from "../../storage/level-backend.ts";
import { LevelDamagedError, levelFiles } from "../../storage/level-manifest.ts";

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
      await expect(levelFiles(path), `byte ${at}, bit ${bit}`).rejects.toThrow(LevelDamagedError);
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
