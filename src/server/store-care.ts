import type { BackendSize } from "../../storage/backend.ts";
import { errors } from "../api/errors.ts";
import type { Env } from "../env.ts";
import type { Logger } from "../log.ts";

export interface StoreCareDeps {
  readonly env: Env;
  readonly log: Logger;
  readonly quotaBytes: number | undefined;
  readonly size: () => BackendSize;
  readonly deletedRows: () => number;
  /** Of the index: about what is left of rows. */
  readonly keyCount: () => number;
  readonly isNospace: () => boolean;
  /** What compactions that were accepted remove is removed. */
  readonly removed: () => Promise<void>;
  readonly flushed: () => Promise<void>;
  readonly compact: () => Promise<void>;
}

/** Below this the store is left to LevelDB, unless the quota is near. */
const MIN_STORE_BYTES = 8 << 20;
const MIN_ROWS = 1_000;
/** With the quota near, also for a few rows; but not more often. */
const FEW_ROWS_EVERY_MS = 30_000;

/**
 * Space that deleted rows take is given back by rewriting the store beside its work (measured: a 400 MB store in 1.2 s,
 * in which a flush took up to 60 ms instead of 6; a put waits for no flush). That is worth it when a quarter was
 * deleted; the nearer the quota, the less has to be.
 */
export class StoreCare {
  readonly #deps: StoreCareDeps;
  #reclaiming: Promise<void> | undefined;
  #isAskedAgain = false;
  #reclaimedAt = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(deps: StoreCareDeps) {
    this.#deps = deps;
  }

  /** N-3: on request, whatever there is to gain. */
  async defragment(): Promise<void> {
    const { env, log } = this.#deps;
    const startedAt = env.now();
    const before = this.#deps.size().total;
    log.info({ "current-db-size-bytes": before }, "starting defragment");
    await this.#deps.removed();
    await this.#deps.flushed();
    try {
      await this.#deps.compact();
    } catch (error) {
      if (this.#stopped) throw errors.stopped;
      throw error;
    }
    log.info(
      {
        "current-db-size-bytes": this.#deps.size().total,
        "current-db-size-bytes-diff": this.#deps.size().total - before,
        took: `${Math.round(env.now() - startedAt)}ms`,
      },
      "finished defragment",
    );
  }

  /** After a compaction of the history, or when the quota is reached: in the background, if it is worth it. */
  consider(): void {
    if (this.#stopped || !this.#isWorthIt()) return;
    if (this.#reclaiming !== undefined) {
      this.#isAskedAgain = true;
      return;
    }
    this.#isAskedAgain = false;
    this.#reclaiming = this.#reclaim().finally(() => {
      this.#reclaiming = undefined;
      // Something was deleted that it may have missed.
      if (this.#isAskedAgain) this.consider();
    });
  }

  /** Resolves when nothing of the kind runs. */
  async idle(): Promise<void> {
    while (this.#reclaiming !== undefined) await this.#reclaiming;
  }

  stop(): void {
    this.#stopped = true;
  }

  #isWorthIt(): boolean {
    const { quotaBytes = Number.POSITIVE_INFINITY, keyCount, isNospace } = this.#deps;
    const deleted = this.#deps.deletedRows();
    const { inUse } = this.#deps.size();
    if (deleted === 0) return false;
    // Whoever is refused asks again and again; for a few rows the whole store is not rewritten each time.
    const isLong = this.#deps.env.now() >= this.#reclaimedAt + FEW_ROWS_EVERY_MS;
    if (isNospace() || inUse >= quotaBytes * 0.9) return deleted >= keyCount() / 100 || isLong;
    if (inUse >= quotaBytes * 0.5) return deleted >= keyCount() / 20;
    return inUse >= MIN_STORE_BYTES && deleted >= MIN_ROWS && deleted >= keyCount() / 4;
  }

  async #reclaim(): Promise<void> {
    const { env, log } = this.#deps;
    const startedAt = env.now();
    const before = this.#deps.size().inUse;
    this.#reclaimedAt = startedAt;
    try {
      await this.#deps.flushed();
      await this.#deps.compact();
    } catch (error) {
      // A stop, or a failed disk, of which the member hears elsewhere.
      log.debug({ error: String(error) }, "the space of deleted rows was not given back");
      return;
    }
    const { inUse } = this.#deps.size();
    log.info(
      { "store-bytes-before": before, "store-bytes": inUse, took: `${Math.round(env.now() - startedAt)}ms` },
      "gave the space of deleted rows back",
    );
  }
}
