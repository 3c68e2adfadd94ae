import { HASH_OF_NOTHING } from "../../storage/mvcc/hash.ts";
import type { Mvcc } from "../../storage/mvcc/mvcc.ts";
import { errors } from "../api/errors.ts";
import { limits } from "../config.ts";

export interface KvHash {
  readonly hash: number;
  readonly compactRevision: number;
  readonly hashRevision: number;
}

export interface KvHashesDeps {
  readonly mvcc: Mvcc;
  /** As Backend.verify: before a hash is to tell what this member has. */
  readonly verify: (signal: AbortSignal) => Promise<void>;
  /** HashKV (N-4) of a readable revision; rejects with the signal's reason when that is aborted. */
  readonly hash: (revision: number, compactRevision: number, signal: AbortSignal) => Promise<number>;
  /** The hash that a compaction leaves behind (N-5); asked for before anything of it is removed. */
  readonly hashCompaction: (target: number, previous: number, signal: AbortSignal) => Promise<number>;
  /** Hash (N-6) of the whole store as of the call. */
  readonly hashStore: (signal: AbortSignal) => Promise<number>;
}

/** N-5 keeps this many. */
export const STORED_HASHES = 10;

/**
 * Hashes of the key space: those that compactions left (N-5), and new ones on request (N-4); and of the whole store (N-6).
 *
 * A hash walks the whole store, so one is worked on at a time, callers of the same question share it, and the queue is
 * bounded: clients that ask often slow each other, not the member.
 */
export class KvHashes {
  readonly #deps: KvHashesDeps;
  readonly #stopping = new AbortController();
  readonly #stored: KvHash[] = [];
  /** By revision, and whether the files are verified before. */
  readonly #running = new Map<string, Promise<KvHash>>();
  #last: Promise<unknown> = Promise.resolve();
  /** A walk over the whole store that has not begun: whoever asks now is answered by it, too. */
  #nextOfStore: Promise<number> | undefined;

  constructor(deps: KvHashesDeps) {
    this.#deps = deps;
  }

  /** Of the last compactions, oldest first. */
  get stored(): readonly KvHash[] {
    return this.#stored;
  }

  /**
   * 0 = the current revision; `isFresh`: by reading the store, whatever is remembered. Rejects with ApiError: future,
   * compacted, too many requests, stopped.
   */
  async ask(asked: number, isFresh = false): Promise<KvHash> {
    const { mvcc } = this.#deps;
    const revision = asked === 0 ? mvcc.currentRevision : asked;
    if (revision > mvcc.currentRevision) throw errors.futureRevision;
    // As etcd has it: nothing was ever written at or below a negative revision, whatever was compacted.
    if (revision < 0) {
      return { hash: HASH_OF_NOTHING, compactRevision: mvcc.compactRevision, hashRevision: revision };
    }
    // Also of a compaction that later ones have left behind.
    const stored = asked === 0 || isFresh ? undefined : this.#stored.find((hash) => hash.hashRevision === revision);
    if (stored !== undefined) return stored;
    if (revision < mvcc.compactRevision) throw errors.compacted;
    const question = `${revision} ${isFresh}`;
    const shared = this.#running.get(question);
    if (shared !== undefined) return await shared;
    if (this.#running.size >= limits.pendingHashes) throw errors.tooManyRequests;
    const own = this.#inTurn(async (signal) => {
      if (isFresh) await this.#deps.verify(signal);
      // While it waited a compaction may have taken what it would have read.
      const { compactRevision } = mvcc;
      if (revision < compactRevision) throw errors.compacted;
      const hash = await this.#deps.hash(revision, compactRevision, signal);
      return { hash, compactRevision, hashRevision: revision };
    });
    this.#running.set(question, own);
    try {
      return await own;
    } catch (error) {
      if (asked !== 0 || error !== errors.compacted) throw error;
    } finally {
      this.#running.delete(question);
    }
    return await this.ask(0);
  }

  /** Of the store at some moment between the call and its answer. Rejects with ApiError: stopped. */
  askStore(): Promise<number> {
    this.#nextOfStore ??= this.#inTurn((signal) => {
      this.#nextOfStore = undefined;
      return this.#deps.hashStore(signal);
    });
    return this.#nextOfStore;
  }

  /** Before the first removal of a compaction. */
  async store(target: number, previous: number): Promise<void> {
    const hash = await this.#inTurn((signal) => this.#deps.hashCompaction(target, previous, signal));
    this.#stored.push({ hash, compactRevision: previous, hashRevision: target });
    if (this.#stored.length > STORED_HASHES) this.#stored.shift();
  }

  /** Resolves when nothing walks any more; everybody who waits hears that the server stops. */
  async stop(): Promise<void> {
    this.#stopping.abort(errors.stopped);
    await this.#last;
  }

  #inTurn<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal } = this.#stopping;
    const result = this.#last.then(() => {
      signal.throwIfAborted();
      return work(signal);
    });
    // Whoever asked hears of a failure; the next in the queue does not.
    this.#last = result.catch(() => undefined);
    return result;
  }
}
