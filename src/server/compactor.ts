import type { Mvcc } from "../../storage/mvcc/mvcc.ts";
import { errors } from "../api/errors.ts";
import type { Env } from "../env.ts";
import { STORED_HASHES } from "./kv-hashes.ts";

export interface CompactorDeps {
  readonly env: Env;
  readonly mvcc: Mvcc;
  readonly batchKeys: number;
  readonly pauseMs: number;
  /** Takes and keeps the hash of a compaction (N-5). */
  readonly storeHash: (target: number, previous: number) => Promise<void>;
  /** A slice staged deletes. */
  readonly onStaged: () => void;
  readonly onFinished: (target: number, milliseconds: number) => void;
  readonly onFatal: (error: unknown) => void;
}

/**
 * Removes what accepted compactions made unreadable, in slices between which the member goes on working (C-3).
 *
 * Before anything of a compaction is removed its hash is taken (N-5): members that are at different points of their
 * removal then still answer the same. A compaction that comes while an earlier one is still being removed joins its
 * removal, which waits for the hash: what the earlier one takes is not in it, taken or not.
 */
export class Compactor {
  readonly #deps: CompactorDeps;
  /** Accepted, and their hashes not taken; oldest first, no more than are kept. */
  readonly #unhashed: { readonly target: number; readonly previous: number }[] = [];
  #job: Promise<void> | undefined;
  #stopped = false;

  constructor(deps: CompactorDeps) {
    this.#deps = deps;
  }

  /** At start: a removal that a crash interrupted goes on (C-4); its hash can no longer be taken. */
  resume(): void {
    if (this.#deps.mvcc.pendingCompaction !== undefined) this.#start();
  }

  /** The state machine accepted a compaction to `target`; the one before was to `previous`. */
  accepted(target: number, previous: number): void {
    this.#unhashed.push({ target, previous });
    if (this.#unhashed.length > STORED_HASHES) this.#unhashed.shift();
    this.#start();
  }

  /** Resolves when everything accepted so far is removed; rejects with errors.stopped if that will not be. */
  async finished(): Promise<void> {
    await this.#job;
    if (this.#deps.mvcc.pendingCompaction !== undefined) throw errors.stopped;
  }

  /** Resolves when it touches the store no more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#job;
  }

  #start(): void {
    if (this.#job !== undefined || this.#stopped) return;
    this.#job = this.#work()
      .catch((error: unknown) => {
        if (error !== errors.stopped) this.#deps.onFatal(error);
      })
      .then(() => {
        this.#job = undefined;
      });
  }

  async #work(): Promise<void> {
    const { env, mvcc } = this.#deps;
    const startedAt = env.now();
    await this.#remove();
    if (!this.#stopped) this.#deps.onFinished(mvcc.compactRevision, env.now() - startedAt);
  }

  async #remove(): Promise<void> {
    const { env, mvcc, batchKeys, pauseMs } = this.#deps;
    while (!this.#stopped && mvcc.pendingCompaction !== undefined) {
      // Between this look and the slice nothing is awaited: no compaction can come whose hash is not taken.
      const unhashed = this.#unhashed.shift();
      if (unhashed !== undefined) {
        await this.#deps.storeHash(unhashed.target, unhashed.previous);
        continue;
      }
      if ((mvcc.oldestPin ?? mvcc.pendingCompaction) >= mvcc.pendingCompaction) {
        const done = mvcc.compactSlice(batchKeys);
        this.#deps.onStaged();
        if (done && mvcc.pendingCompaction === undefined) return;
      }
      await new Promise<void>((resolve) => {
        env.setTimer(resolve, pauseMs);
      });
    }
  }
}
