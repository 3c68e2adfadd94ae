import type { Mvcc } from "../../storage/mvcc/mvcc.ts";
import { errors } from "../api/errors.ts";
import type { Env } from "../env.ts";

export interface KvHash {
  readonly hash: number;
  readonly compactRevision: number;
  readonly hashRevision: number;
}

export interface CompactorDeps {
  readonly env: Env;
  readonly mvcc: Mvcc;
  readonly batchKeys: number;
  readonly pauseMs: number;
  /** HashKV (N-4) of a readable revision. */
  readonly hash: (revision: number, compactRevision: number) => Promise<number>;
  /** The hash that a compaction leaves behind (N-5); asked for before anything of it is removed. */
  readonly hashCompaction: (target: number, previous: number) => Promise<number>;
  /** A slice staged deletes. */
  readonly onStaged: () => void;
  readonly onFinished: (target: number, milliseconds: number) => void;
  readonly onFatal: (error: unknown) => void;
}

/** N-5 keeps this many. */
const STORED_HASHES = 10;

/**
 * Removes what accepted compactions made unreadable, in slices between which the member goes on working (C-3), and
 * answers HashKV.
 *
 * Before anything of a compaction is removed its hash is taken and stored (N-5); later HashKV requests for exactly that
 * revision get the stored one, so members that are at different points of their removal still agree. A compaction that
 * comes while an earlier one is still being removed joins its removal and leaves no hash: the state it would be taken
 * over depends on how far this member is.
 */
export class Compactor {
  readonly #deps: CompactorDeps;
  readonly #stored: KvHash[] = [];
  #running = false;
  #stopped = false;
  #idleWaiters: (() => void)[] = [];

  constructor(deps: CompactorDeps) {
    this.#deps = deps;
  }

  /** At start: a removal that a crash interrupted goes on (C-4); its hash can no longer be taken. */
  resume(): void {
    if (this.#deps.mvcc.pendingCompaction !== undefined) this.#start(() => Promise.resolve());
  }

  /** The state machine accepted a compaction to `target`; the one before was to `previous`. */
  accepted(target: number, previous: number): void {
    this.#start(() => this.#storeHash(target, previous));
  }

  get idle(): boolean {
    return !this.#running;
  }

  finished(): Promise<void> {
    if (this.idle || this.#stopped) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  stop(): void {
    this.#stopped = true;
    this.#wakeWaiters();
  }

  /** 0 = the current revision. Rejects with errors.futureRevision or errors.compacted (N-4). */
  async hashKv(asked: number): Promise<KvHash> {
    const { mvcc } = this.#deps;
    const revision = asked === 0 ? mvcc.currentRevision : asked;
    if (revision > mvcc.currentRevision) throw errors.futureRevision;
    if (revision < mvcc.compactRevision) throw errors.compacted;
    const stored = asked === 0 ? undefined : this.#stored.find((hash) => hash.hashRevision === revision);
    if (stored !== undefined) return stored;
    const compactRevision = mvcc.compactRevision;
    const hash = await this.#deps.hash(revision, compactRevision);
    return { hash, compactRevision, hashRevision: revision };
  }

  #start(before: () => Promise<void>): void {
    if (this.#running || this.#stopped) return;
    this.#running = true;
    this.#work(before).catch((error: unknown) => this.#deps.onFatal(error));
  }

  async #work(before: () => Promise<void>): Promise<void> {
    const { env, mvcc } = this.#deps;
    const startedAt = env.now();
    await before();
    await this.#remove();
    this.#running = false;
    if (!this.#stopped) this.#deps.onFinished(mvcc.compactRevision, env.now() - startedAt);
    this.#wakeWaiters();
  }

  async #storeHash(target: number, previous: number): Promise<void> {
    const hash = await this.#deps.hashCompaction(target, previous);
    this.#stored.push({ hash, compactRevision: previous, hashRevision: target });
    if (this.#stored.length > STORED_HASHES) this.#stored.shift();
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

  #wakeWaiters(): void {
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const wake of waiters) wake();
  }
}
