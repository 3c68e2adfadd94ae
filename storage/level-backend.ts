import { copyFile, mkdtemp, readdir, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { ClassicLevel } from "classic-level";
import { assert } from "../raft/assert.ts";
import type { Backend, BackendSize, BackendSnapshot, Bucket } from "./backend.ts";
import { checkLevelFiles, type Damage } from "./level-files.ts";
import { FORMATS, type LevelFormat, LevelLayout } from "./level-layout.ts";
import { damageInUse, LevelDamagedError, type LevelFiles, levelFiles } from "./level-manifest.ts";
import { NO_ROW, unsealed } from "./level-rows.ts";
import { LevelSnapshot } from "./level-snapshot.ts";
import { type Level, LevelWriter } from "./level-writer.ts";
import { Overlay } from "./overlay.ts";
import { RowCache } from "./row-cache.ts";
import { revisionKey } from "./schema.ts";

/** The state store in LevelDB; level-layout.ts says where its rows are. */
const FORMAT_KEY = Buffer.from("\0format", "latin1");
/** A store made anew, as by a snapshot or a rebuild, is of this one; others go on as they are. */
const NEWEST: LevelFormat = 4;

/** The directory is measured at most this often; what was flushed since is added in between. */
const MEASURE_INTERVAL_MS = 1_000;
/** A hot pair is asked for again and again, and a look into LevelDB takes 2 to 5 us (and finds the row as it was). */
const CACHE_BYTES = 16 << 20;
/** What a store of this format cannot look like, whatever crashed. */
const UNMARKED = "its last row does not say which entry it is at";
/** A compaction goes over the store in steps of about this much, so that a stop never waits for more than one of them. */
const COMPACTION_STEP_BYTES = 64 * 1024 * 1024;
/** LevelDB keeps what an open snapshot may still read: a compaction waits this long for those that are open. */
const SNAPSHOT_WAIT_MS = 10_000;

/** The store cannot be opened, read or written. `message` says what to do. */
export class BackendError extends Error {
  override readonly name = "BackendError";
}

export interface LevelBackendOptions {
  /**
   * Called once, with the first failure of any operation on the open store, whoever asked for it; the operation rejects
   * (or throws) with it, too. A member whose own disk fails must stop before it answers from what is left.
   */
  readonly onFailure?: (error: BackendError) => void;
}

/** Creates the store when the directory has none. Reads and checks all of it first. Throws BackendError. */
export async function openLevelBackend(path: string, options: LevelBackendOptions = {}): Promise<Backend> {
  await checkedFiles(path);
  const db: Level = new ClassicLevel(path, { keyEncoding: "buffer", valueEncoding: "buffer" });
  try {
    await db.open();
    const backend = new LevelBackend(db, path, await formatOf(db, path), options);
    await backend.start();
    return backend;
  } catch (error) {
    await db.close();
    throw openError(error, path);
  }
}

/**
 * The store as it is on the disk, to be looked at; undefined when there is none. LevelDB changes the files of what it opens,
 * so it gets a directory of its own: with links to the tables, which it never changes (and only those of the store's
 * newest version: it writes over others), and copies of the rest. Throws BackendError.
 */
export async function openLevelShadow(path: string): Promise<Backend | undefined> {
  const files = await checkedFiles(path);
  if (files === undefined) return undefined;
  const shadow = await mkdtemp(join(tmpdir(), "quorate-shadow-"));
  const remove = (): Promise<void> => rm(shadow, { recursive: true, force: true });
  try {
    for (const name of files.tables) await symlink(resolve(path, name), join(shadow, name));
    for (const name of ["CURRENT", files.manifest, ...files.logs]) await copyFile(join(path, name), join(shadow, name));
    const backend = await openLevelBackend(shadow);
    const close = backend.close.bind(backend);
    backend.close = () => close().finally(remove);
    return backend;
  } catch (error) {
    await remove();
    throw openError(error, path);
  }
}

/** Before LevelDB opens it: it would change a store that is damaged. Undefined when there is none. */
async function checkedFiles(path: string): Promise<LevelFiles | undefined> {
  let files: LevelFiles | undefined;
  try {
    files = await levelFiles(path);
  } catch (error) {
    throw openError(error, path);
  }
  const { log, tables } = await checkLevelFiles(path, files?.logs);
  // What a crash left half written is not part of the store, and goes when that is opened.
  const damage = log ?? tables.find(({ file }) => files?.tables.includes(file));
  if (damage !== undefined) throw new BackendError(damaged(path, misread(damage)));
  return files;
}

async function formatOf(db: Level, path: string): Promise<LevelFormat> {
  const marker = db.getSync(FORMAT_KEY);
  if (marker !== undefined) {
    const name = marker.toString("latin1");
    const known = (FORMATS as readonly string[]).indexOf(name);
    if (known >= 0) return (known + 1) as LevelFormat;
    throw new BackendError(
      `the state store ${path} has format ${JSON.stringify(name)}, this program knows ${JSON.stringify(FORMATS.at(-1))}: ` +
        "run the version that wrote it, or let this member join again with an empty data directory",
    );
  }
  const keys = db.keys({ limit: 1 });
  const foreign = await keys.next();
  await keys.close();
  if (foreign !== undefined) {
    throw new BackendError(`${path} holds a LevelDB that is no state store of Quorate: choose another data directory`);
  }
  const value = Buffer.from(FORMATS[NEWEST - 1] as string);
  await db.batch([{ type: "put", key: FORMAT_KEY, value }], { sync: true });
  return NEWEST;
}

function openError(error: unknown, path: string): unknown {
  if (error instanceof BackendError) return error;
  const cause = rootCause(error);
  if (cause instanceof LevelDamagedError) return new BackendError(damaged(path, cause), { cause });
  switch (codeOf(cause)) {
    case "LEVEL_LOCKED":
      return new BackendError(
        `the state store ${path} is in use by another process: stop that one, or give this one its own data directory`,
        { cause },
      );
    case "LEVEL_CORRUPTION":
      return new BackendError(damaged(path, cause), { cause });
    default:
      return new BackendError(
        `the state store ${path} cannot be opened (${cause.message}): check that the directory exists, belongs to this ` +
          "user, and that its disk is writable and not full",
        { cause },
      );
  }
}

function misread({ file, offset }: Damage): Error {
  return new Error(`${file} has a wrong checksum at offset ${offset}`);
}

function damaged(path: string, cause: Error): string {
  return (
    `the state store ${path} is damaged (${cause.message}): it was left as it is. The log is another thing, and if that ` +
    "is sound this member can get its state anew from one that runs: " +
    "quorate rebuild --data-dir DATA-DIR --endpoints CLIENT-URL[,CLIENT-URL]"
  );
}

function rootCause(error: unknown): Error {
  const here = error instanceof Error ? error : new Error(String(error));
  return here.cause instanceof Error ? rootCause(here.cause) : here;
}

function codeOf(error: Error): unknown {
  return "code" in error ? error.code : undefined;
}

/** Node and LevelDB both say EMFILE in these words; behind ENFILE, "in system" follows. */
function adviceFor(cause: Error): string {
  const tooMany = /too many open files(?! in system)/i.test(cause.message);
  return tooMany ? "raise the limit of open files (ulimit -n)" : "check its disk";
}

class LevelBackend implements Backend {
  readonly #db: Level;
  readonly #path: string;
  readonly #layout: LevelLayout;
  readonly #writer: LevelWriter;
  readonly #overlay = new Overlay();
  /** Pairs by revision. */
  readonly #cache = new RowCache(CACHE_BYTES);
  #flush: Promise<void> | undefined;
  #measuring: Promise<BackendSize> | undefined;
  #measuredAtMs = 0;
  #total = 0;
  #inUse = 0;
  #flushedSinceMeasured = 0;
  #deletedRows = 0;
  readonly #snapshots = new Set<LevelSnapshot>();
  #compaction: Promise<void> | undefined;
  /** For those who asked while one runs. */
  #nextCompaction: Promise<void> | undefined;
  /** Of a flush, or of what goes on behind it: no later flush is tried. */
  #failure: BackendError | undefined;
  readonly #onFailure: ((error: BackendError) => void) | undefined;
  #isFailureReported = false;
  #verifying: Promise<void> | undefined;
  #isClosed = false;

  constructor(db: Level, path: string, format: LevelFormat, options: LevelBackendOptions) {
    this.#db = db;
    this.#path = path;
    this.#layout = new LevelLayout(format);
    this.#writer = new LevelWriter(db, this.#layout);
    this.#onFailure = options.onFailure;
  }

  /** Before anything else. */
  async start(): Promise<void> {
    if (!(await this.#writer.start())) throw new BackendError(damaged(this.#path, new Error(UNMARKED)));
    await this.measure();
  }

  get(bucket: Bucket, key: string): Uint8Array | undefined {
    const staged = this.#overlay.get(bucket, key);
    if (staged !== undefined) return staged ?? undefined;
    if (!this.#layout.hasRowsOf(bucket)) return this.#writer.meta.get(key);
    const cached = bucket === "key" ? this.#cache.get(key) : undefined;
    if (cached !== undefined) return cached;
    try {
      const at = this.#layout.scratchKeyOf(bucket, key);
      const stored = this.#db.getSync(at);
      const value = stored && this.#unseal(at, stored);
      if (value !== undefined && bucket === "key") this.#cache.set(key, value);
      return value;
    } catch (error) {
      throw this.#fault(error);
    }
  }

  /**
   * The layers of the overlay are looked at and LevelDB takes its snapshot in the same turn, before anything is awaited.
   * A layer leaves the overlay only when its batch is durable, so what is in none of them is in LevelDB, or nowhere: a
   * flush that is under way is of rows that LevelDB is not asked for, and what comes later (deletes of a compaction as
   * well) is not in its snapshot. A close waits for the reads that LevelDB has begun.
   *
   * The cache is looked at but not filled: a scan would wash out what is hot.
   */
  async getMany(bucket: Bucket, keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    const values: (Uint8Array | undefined)[] = [];
    const missing: number[] = [];
    const levelKeys: Buffer[] = [];
    for (const key of keys) {
      const staged = this.#overlay.get(bucket, key);
      const known = staged === undefined ? this.#known(bucket, key) : staged;
      if (known === undefined) {
        missing.push(values.length);
        levelKeys.push(this.#layout.keyOf(bucket, key));
      }
      values.push(known ?? undefined);
    }
    if (missing.length === 0) return values;
    try {
      const stored = await this.#db.getMany(levelKeys);
      for (const [i, at] of missing.entries()) {
        const row = stored[i];
        values[at] = row && this.#unseal(levelKeys[i] as Buffer, row);
      }
    } catch (error) {
      throw this.#fault(error);
    }
    return values;
  }

  /** Of what is flushed; null: it is known that there is none. */
  #known(bucket: Bucket, key: string): Uint8Array | null | undefined {
    if (bucket === "key") return this.#cache.get(key);
    return this.#layout.hasRowsOf(bucket) ? undefined : (this.#writer.meta.get(key) ?? null);
  }

  /** Undefined where there is a mark and no row. */
  #unseal(key: Buffer, stored: Buffer): Buffer | undefined {
    if (!this.#layout.isSealed) return stored;
    const value = unsealed(key, stored);
    if (value === NO_ROW) return undefined;
    if (value !== undefined) return value;
    const bucket = this.#layout.bucketAt(key);
    throw new BackendError(
      damaged(
        this.#path,
        new Error(`the row ${key.toString("hex", 1)} of the bucket ${bucket} is not what was written`),
      ),
    );
  }

  put(bucket: Bucket, key: string, value: Uint8Array): void {
    if (bucket === "key") this.#cache.delete(key);
    this.#overlay.set(bucket, key, value);
  }

  putAppliedIndex(index: number): void {
    this.#overlay.setAppliedIndex(index);
  }

  delete(bucket: Bucket, key: string): void {
    if (bucket === "key") this.#cache.delete(key);
    this.#overlay.set(bucket, key, null);
    this.#deletedRows++;
  }

  get stagedBytes(): number {
    return this.#overlay.bytes;
  }

  async flush(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    assert(this.#flush === undefined, "a flush was started while another one runs");
    const layers = this.#overlay.beginFlush();
    if (layers.length === 0) return;
    this.#flush = this.#writer.write(layers);
    try {
      await this.#flush;
    } catch (error) {
      this.#failure = this.#fault(error);
      throw this.#failure;
    } finally {
      this.#flush = undefined;
    }
    for (const layer of layers) this.#flushedSinceMeasured += layer.bytes;
    this.#overlay.flushed();
    this.#measureIfDue();
  }

  /** The error to throw for it; reported when it is the first. */
  #fault(error: unknown): BackendError {
    if (error instanceof BackendError) return this.#report(error);
    const cause = rootCause(error);
    // Whoever comes after the end is late; that says nothing about the disk.
    if (this.#isClosed && String(codeOf(cause)).endsWith("_NOT_OPEN")) {
      return new BackendError(`the state store ${this.#path} is closed`, { cause });
    }
    const fault =
      codeOf(cause) === "LEVEL_CORRUPTION"
        ? new BackendError(damaged(this.#path, cause), { cause })
        : new BackendError(`the state store ${this.#path} failed (${cause.message}): ${adviceFor(cause)}`, { cause });
    return this.#report(fault);
  }

  #report(fault: BackendError): BackendError {
    if (!this.#isFailureReported) {
      this.#isFailureReported = true;
      this.#onFailure?.(fault);
    }
    return fault;
  }

  async verify(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#verifying ??= this.#verify().finally(() => {
      this.#verifying = undefined;
    });
    // Others may wait for the same; who is gone just hears no more of it.
    await (signal === undefined ? this.#verifying : unlessAborted(this.#verifying, signal));
  }

  async #verify(): Promise<void> {
    const damage = await damageInUse(this.#path, () => !this.#isClosed);
    if (damage === undefined || this.#isClosed) return;
    throw this.#report(new BackendError(damaged(this.#path, misread(damage))));
  }

  snapshot(): BackendSnapshot {
    const snapshot = new LevelSnapshot(
      this.#db,
      this.#layout,
      this.#overlay.freeze(),
      this.#layout.hasMarks ? this.#writer.meta : undefined,
      (key, stored) => this.#unseal(key, stored),
      (error) => this.#fault(error),
      () => this.#snapshots.delete(snapshot),
    );
    this.#snapshots.add(snapshot);
    return snapshot;
  }

  /**
   * `inUse` are the tables and LevelDB's log. It cannot tell how much of a table is overwritten or deleted, so this falls
   * when a compaction drops it. What was flushed since the last look counts uncompressed.
   */
  size(): BackendSize {
    this.#measureIfDue();
    return {
      total: this.#total + this.#flushedSinceMeasured,
      inUse: this.inUseBytes,
    };
  }

  get inUseBytes(): number {
    return this.#inUse + this.#flushedSinceMeasured;
  }

  get deletedRows(): number {
    return this.#deletedRows;
  }

  compact(): Promise<void> {
    if (this.#compaction === undefined) return this.#startCompaction();
    this.#nextCompaction ??= this.#compaction
      .catch(() => undefined)
      .then(() => {
        this.#nextCompaction = undefined;
        return this.#startCompaction();
      });
    return this.#nextCompaction;
  }

  #startCompaction(): Promise<void> {
    this.#deletedRows = 0;
    this.#compaction = this.#compactAll()
      .catch((error: unknown) => {
        throw this.#fault(error);
      })
      .finally(() => {
        this.#compaction = undefined;
      });
    return this.#compaction;
  }

  /** In LevelDB's own thread; the loop waits for nothing. */
  async #compactAll(): Promise<void> {
    // A compaction reads what has rotted as well as what has not, and nobody could tell it from a whole table any more.
    await this.#verify();
    const open = Promise.all([...this.#snapshots].map((snapshot) => snapshot.closed));
    await Promise.race([open, setTimeout(SNAPSHOT_WAIT_MS, undefined, { ref: false })]);
    let from: Buffer = Buffer.from([0]);
    for (const to of await this.#compactionSteps()) {
      if (this.#isClosed) return;
      await this.#db.compactRange(from, to);
      from = to;
    }
    if (!this.#isClosed) await this.measure();
  }

  /** Ends of the steps, ascending: revisions fill the bucket `key` about evenly. */
  async #compactionSteps(): Promise<Buffer[]> {
    const { end } = this.#layout;
    const steps = Math.ceil(this.#inUse / COMPACTION_STEP_BYTES);
    const bucket = { gte: this.#layout.keyOf("key", ""), lt: this.#layout.endOf("key"), limit: 1 };
    const [[first], [last]] = await Promise.all([
      this.#db.keys(bucket).all(),
      this.#db.keys({ ...bucket, reverse: true }).all(),
    ]);
    if (first === undefined || last === undefined || first.length < 9 || last.length < 9) return [end];
    const low = Number(first.readBigUInt64BE(1));
    const width = Number(last.readBigUInt64BE(1)) - low;
    const ends = Array.from({ length: Math.max(0, steps - 1) }, (_, i) =>
      this.#layout.keyOf("key", revisionKey(low + Math.floor((width * (i + 1)) / steps), 0)),
    );
    return [...ends, end];
  }

  #measureIfDue(): void {
    if (this.#isClosed || this.#measuring !== undefined) return;
    if (performance.now() - this.#measuredAtMs < MEASURE_INTERVAL_MS) return;
    this.measure().catch((error: unknown) => {
      this.#failure = this.#fault(error);
    });
  }

  async measure(): Promise<BackendSize> {
    while (this.#measuring !== undefined) await this.#measuring;
    this.#measuring = this.#look().finally(() => {
      this.#measuring = undefined;
    });
    return this.#measuring;
  }

  async #look(): Promise<BackendSize> {
    this.#measuredAtMs = performance.now();
    const before = this.#flushedSinceMeasured;
    let total = 0;
    let logs = 0;
    for (const name of await readdir(this.#path)) {
      const bytes = await sizeOf(join(this.#path, name));
      total += bytes;
      if (name.endsWith(".log")) logs += bytes;
    }
    const tables = await this.#db.approximateSize(Buffer.from([0]), this.#layout.end);
    this.#total = total;
    this.#inUse = Math.min(total, tables + logs);
    this.#flushedSinceMeasured -= before;
    return { total: this.#total + this.#flushedSinceMeasured, inUse: this.#inUse + this.#flushedSinceMeasured };
  }

  /** What was not flushed is left to the log. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled([this.#flush, this.#measuring, this.#compaction, this.#verifying]);
    await this.#db.close();
  }
}

async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort);
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Files come and go while LevelDB compacts. */
async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if (error instanceof Error && codeOf(error) === "ENOENT") return 0;
    throw error;
  }
}
