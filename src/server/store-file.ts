/** A member's state as a database file (bbolt): as it goes to other members, into backups, and back. */
import { assert, must } from "../../raft/assert.ts";
import type { SnapshotMetadata } from "../../raft/types.ts";
import type { Backend, BackendSnapshot, Bucket } from "../../storage/backend.ts";
import { checkBolt } from "../../storage/bbolt/check.ts";
import { BoltError } from "../../storage/bbolt/format.ts";
import type { BoltFile } from "../../storage/bbolt/page-file.ts";
import { type BoltReader, openBolt } from "../../storage/bbolt/reader.ts";
import { planBolt, writeBolt } from "../../storage/bbolt/writer.ts";
import { decodeRow } from "../../storage/mvcc/stored-pair.ts";
import { copyBucket } from "../../storage/row-slices.ts";
import { BUCKETS, CONF_STATE, CONSISTENT_INDEX, decodeUint64, isRevisionKey, TERM } from "../../storage/schema.ts";
import { parseConfStateJson } from "../../storage/stored-json.ts";
import { limits } from "../config.ts";
import { checkRowsBesideKeys, rowsBesideKeys } from "./restored-machine.ts";

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
      await this.#backend.verify(signal);
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

/** What is wrong with a file that is to become the state of a member: nothing that this one did or has. */
export class StoreFileError extends Error {
  override readonly name = "StoreFileError";
}

/**
 * Reads the whole file before a row of it is believed. Rejects with BoltError, and with what `onPage` throws, which is
 * called all the while.
 */
export async function openStoreFile(file: BoltFile, onPage?: () => void): Promise<BoltReader> {
  await checkBolt(file, onPage);
  return await openBolt(file);
}

/**
 * Fills an empty store with all that the file holds, and flushes it. `onSlice` gets the rows of each slice, and ends the
 * work with what it throws.
 */
export async function fillStore(
  bolt: BoltReader,
  backend: Backend,
  onSlice: (rows: Rows, bucket: Bucket) => void,
): Promise<void> {
  for (const bucket of BUCKETS) {
    await copyBucket(bolt, bucket, backend, limits.flushAtBytes, (rows) => onSlice(rows, bucket));
  }
  await backend.flush();
}

type Rows = readonly (readonly [key: string, value: Uint8Array])[];

/**
 * Fills an empty store with the state of a member that runs, for one that is to go on from it as it is. Rejects with
 * StoreFileError when no member could start with it, as far as that can be told without an index of all the keys: the log
 * must not give up what it has for that. `onSlice`: as fillStore.
 */
export async function adoptStore(bolt: BoltReader, backend: Backend, onSlice: () => void): Promise<void> {
  await fillStore(bolt, backend, (rows, bucket) => {
    onSlice();
    if (bucket === "key") orStoreFileError(() => checkPairs(rows));
  });
  const rows = await rowsBesideKeys(backend);
  orStoreFileError(() => checkRowsBesideKeys(rows));
}

function checkPairs(rows: Rows): void {
  for (const [key, value] of rows) {
    if (!isRevisionKey(key)) throw new StoreFileError(`the key ${Buffer.from(key, "latin1").toString("hex")}`);
    decodeRow(value);
  }
}

/** `check` only looks at what came from the file. */
function orStoreFileError<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw new StoreFileError(`no member could start from it: ${error instanceof Error ? error.message : error}`);
  }
}

/** Where the state in the file stands, and the membership of that moment. Rejects with StoreFileError. */
export async function pointOfFile(bolt: BoltReader): Promise<SnapshotMetadata> {
  const meta = new Map(await bolt.range("meta", "", undefined, 100));
  return orStoreFileError(() => {
    const value = (key: string): Buffer => must(meta.get(key), `there is no ${key}`);
    const index = decodeUint64(value(CONSISTENT_INDEX));
    const term = decodeUint64(value(TERM));
    const confState = parseConfStateJson(value(CONF_STATE).toString("utf8"));
    const ids = [...confState.voters, ...confState.learners];
    assert(index > 0 && term > 0, `it stands at entry ${index} of term ${term}`);
    assert(
      confState.voters.length > 0 && !ids.includes(0n) && new Set(ids).size === ids.length,
      "its members are no possible membership",
    );
    return { index, term, confState };
  });
}

/** Whether it is the file that this says something bad of. */
export function isOfFile(error: unknown): error is BoltError | StoreFileError {
  return error instanceof StoreFileError || error instanceof BoltError;
}
