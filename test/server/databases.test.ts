import { createHash } from "node:crypto";
import { beforeEach, describe, expect, test } from "vitest";
import { errors } from "../../src/api/errors.ts";
import { limits } from "../../src/config.ts";
import { type DatabaseFile, Databases } from "../../src/server/databases.ts";
import type { Backend, BackendSnapshot } from "../../storage/backend.ts";
import { checkBolt } from "../../storage/bbolt/check.ts";
import { openBolt } from "../../storage/bbolt/reader.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import { revisionKey } from "../../storage/schema.ts";
import { boltFile, rowsOf } from "../storage/bolt-files.ts";

const ROWS = 300;
const NEVER = new AbortController().signal;

let backend: Backend;
let databases: Databases;
let opened: number;
let closed: number;
/** Called before each read of the store. */
let onRead: () => void | Promise<void>;

beforeEach(() => {
  const store = createMemoryBackend();
  opened = 0;
  closed = 0;
  onRead = () => undefined;
  const counted = (snapshot: BackendSnapshot): BackendSnapshot => {
    opened++;
    return {
      range: async (...args) => {
        await onRead();
        return snapshot.range(...args);
      },
      close: async () => {
        closed++;
        await snapshot.close();
      },
    };
  };
  backend = Object.assign(Object.create(store) as Backend, {
    put: store.put.bind(store),
    verify: () => store.verify(),
    snapshot: () => counted(store.snapshot()),
  });
  for (let i = 0; i < ROWS; i++) backend.put("key", revisionKey(i + 2, 0), Buffer.alloc(1_000, i));
  databases = new Databases(backend);
});

async function readAll(file: DatabaseFile) {
  const all: Buffer[] = [];
  const remaining: number[] = [];
  for (let piece = await file.next(); piece !== undefined; piece = await file.next()) {
    all.push(Buffer.from(piece.bytes));
    remaining.push(piece.remainingBytes);
  }
  return { pieces: all, remaining };
}

describe("N-7: the store as a database file", () => {
  test("pieces of 32768 bytes and what is left after each, then the SHA-256 of all; the store as of the call", async () => {
    const file = await databases.open(NEVER);
    backend.put("key", revisionKey(ROWS + 2, 0), Buffer.from("later"));
    const { pieces, remaining } = await readAll(file);
    await file.close();
    const digest = pieces.at(-1);
    const data = Buffer.concat(pieces.slice(0, -1));
    expect(digest).toEqual(createHash("sha256").update(data).digest());
    expect(pieces.slice(0, -2).every(({ length }) => length === 32_768)).toBe(true);
    let left = data.length;
    expect(remaining).toEqual([...pieces.slice(0, -1).map(({ length }) => (left -= length)), 0]);
    const bolt = boltFile(data);
    await checkBolt(bolt);
    expect(await rowsOf(await openBolt(bolt), "key")).toHaveLength(ROWS);
    expect([opened, closed]).toEqual([1, 1]);
  });

  test("only so many at a time; one that is closed half-way makes room", async () => {
    const files = await Promise.all(Array.from({ length: limits.openDatabases }, () => databases.open(NEVER)));
    await files[0]?.next();
    await expect(databases.open(NEVER)).rejects.toBe(errors.tooManyRequests);
    await Promise.all([files[0]?.close(), files[0]?.close()]);
    const next = await databases.open(NEVER);
    await Promise.all([next, ...files].map((file) => file.close()));
    expect(closed).toBe(opened);
  });

  test("a caller that is gone while the store is read for the first time leaves nothing open", async () => {
    const gone = new AbortController();
    onRead = () => gone.abort(errors.canceled);
    await expect(databases.open(gone.signal)).rejects.toBe(errors.canceled);
    expect([opened, closed]).toEqual([1, 1]);
  });

  test("a read that fails is told, and leaves nothing open", async () => {
    onRead = () => Promise.reject(new Error("the disk"));
    await expect(databases.open(NEVER)).rejects.toThrow("the disk");
    onRead = () => undefined;
    const file = await databases.open(NEVER);
    onRead = () => Promise.reject(new Error("the disk"));
    await expect(readAll(file)).rejects.toThrow("the disk");
    await file.close();
    expect([opened, closed]).toEqual([2, 2]);
  });

  test("a stop closes what is open, and whoever reads on hears of it", async () => {
    const file = await databases.open(NEVER);
    await file.next();
    let isFirst = true;
    let release = (): void => undefined;
    onRead = () =>
      new Promise<void>((resolve) => {
        if (isFirst) release = resolve;
        else resolve();
        isFirst = false;
      });
    const opening = databases.open(NEVER).catch((error: Error) => error);
    // The read is under way.
    while (isFirst) await new Promise((resolve) => setImmediate(resolve));
    const stopping = databases.stop();
    await new Promise((resolve) => setImmediate(resolve));
    expect(closed).toBe(1);
    release();
    await stopping;
    expect([opened, closed]).toEqual([2, 2]);
    expect(await opening).toBe(errors.stopped);
    await expect(file.next()).rejects.toBe(errors.stopped);
    await expect(databases.open(NEVER)).rejects.toBe(errors.stopped);
  });
});
