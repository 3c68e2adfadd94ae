import type { Mvcc } from "../../storage/mvcc/mvcc.ts";
import { errors } from "../api/errors.ts";
import type { Env } from "../env.ts";

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
 * removal and leaves no hash: the state it would be taken over depends on how far this member is.
 */
export class Compactor {
  readonly #deps: CompactorDeps;
  #job: Promise<void> | undefined;
  #stopped = false;

  constructor(deps: CompactorDeps) {
    this.#deps = deps;
  }

  /** At start: a removal that a crash interrupted goes on (C-4); its hash can no longer be taken. */
  resume(): void {
    if (this.#deps.mvcc.pendingCompaction !== undefined) this.#start(() => Promise.resolve());
  }

  /** The state machine accepted a compaction to `target`; the one before was to `previous`. */
  accepted(target: number, previous: number): void {
    this.#start(() => this.#deps.storeHash(target, previous));
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

  #start(before: () => Promise<void>): void {
    if (this.#job !== undefined || this.#stopped) return;
    this.#job = this.#work(before)
      .catch((error: unknown) => {
        if (error !== errors.stopped) this.#deps.onFatal(error);
      })
      .then(() => {
        this.#job = undefined;
      });
  }

  async #work(before: () => Promise<void>): Promise<void> {
    const { env, mvcc } = this.#deps;
    const startedAt = env.now();
    await before();
    await this.#remove();
    if (!this.#stopped) this.#deps.onFinished(mvcc.compactRevision, env.now() - startedAt);
  }

  async #remove(): Promise<void> {
    const { env, mvcc, batchKeys, pauseMs } = this.#deps;
    while (!this.#stopped && mvcc.pendingCompaction !== undefined) {
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
