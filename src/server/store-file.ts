/** A member's state as a database file (bbolt): as it goes to other members, into backups, and back. */
import type { SnapshotMetadata } from "../../raft/types.ts";
import type { Backend, BackendSnapshot } from "../../storage/backend.ts";
import { checkBolt } from "../../storage/bbolt/check.ts";
import type { BoltFile } from "../../storage/bbolt/page-file.ts";
import { type BoltReader, openBolt } from "../../storage/bbolt/reader.ts";
import { planBolt, writeBolt } from "../../storage/bbolt/writer.ts";
import { copyBucket } from "../../storage/row-slices.ts";
import { BUCKETS, CONF_STATE, CONSISTENT_INDEX, decodeUint64, TERM } from "../../storage/schema.ts";
import { parseConfStateJson } from "../../storage/stored-json.ts";
import { limits } from "../config.ts";

/** The SHA-256 behind a file that leaves through the API (N-7). */
export const FILE_HASH_BYTES = 32;

/** The store as of its making, on its way out; the file is made while it is read, in bounded memory. */
export class OutgoingStore {
  readonly #backend: Backend;
  readonly #rows: BackendSnapshot;
  #planning: Promise<unknown> = Promise.resolve();
  #chunks: AsyncGenerator<Buffer, void, undefined> | undefined;

  constructor(backend: Backend) {
    this.#backend = backend;
    this.#rows = backend.snapshot();
  }

  /**
   * Once, before anything of it goes out: the files beneath are read and found sound, and then the store may still go
   * (`mayLeave` throws otherwise). Resolves with the file and its size; rejects as Backend.verify, with what `mayLeave`
   * throws, or with the signal's reason.
   */
  async prepare(
    signal: AbortSignal,
    mayLeave: () => void = () => undefined,
  ): Promise<{ readonly bytes: number; readonly chunks: AsyncIterable<Buffer> }> {
    const prepare = async () => {
      await this.#backend.verify();
      signal.throwIfAborted();
      mayLeave();
      const plan = await planBolt(this.#rows, signal);
      const chunks = writeBolt(plan, this.#rows);
      this.#chunks = chunks;
      return { bytes: plan.bytes, chunks };
    };
    const prepared = prepare();
    // A close waits for it, however it ends.
    this.#planning = prepared.catch(() => undefined);
    return await prepared;
  }

  /** Gives the store back, when nothing reads it any more. */
  async close(): Promise<void> {
    await this.#planning;
    await this.#chunks?.return();
    await this.#rows.close();
  }
}

/** Reads the whole file before a row of it is believed. Rejects with BoltError. */
export async function openStoreFile(file: BoltFile): Promise<BoltReader> {
  await checkBolt(file);
  return await openBolt(file);
}

/**
 * Fills an empty store with all that the file holds, and flushes it. `onCopied` gets the bytes of each slice, and ends
 * the work with what it throws.
 */
export async function fillStore(
  bolt: BoltReader,
  backend: Backend,
  onCopied: (bytes: number) => void = () => undefined,
): Promise<void> {
  for (const bucket of BUCKETS) {
    await copyBucket(bolt, bucket, backend, limits.flushAtBytes, (rows) => {
      onCopied(rows.reduce((bytes, [key, value]) => bytes + key.length + value.length, 0));
    });
  }
  await backend.flush();
}

/** What a member's file must have, and this one has not. */
export class StoreFileError extends Error {
  override readonly name = "StoreFileError";
}

/** Where the state in the file stands, and the membership of that moment. Rejects with StoreFileError. */
export async function pointOfFile(bolt: BoltReader): Promise<SnapshotMetadata> {
  const meta = new Map(await bolt.range("meta", "", undefined, 100));
  const value = (key: string): Buffer => {
    const found = meta.get(key);
    if (found === undefined) throw new StoreFileError(`the file has no ${key}`);
    return found;
  };
  return {
    index: decodeUint64(value(CONSISTENT_INDEX)),
    term: decodeUint64(value(TERM)),
    confState: parseConfStateJson(value(CONF_STATE).toString("utf8")),
  };
}
