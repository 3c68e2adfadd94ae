import { CompactionRequest } from "../../proto/generated/etcdserverpb.ts";
import { errors } from "../api/errors.ts";
import type { Env, Timer } from "../env.ts";
import type { AutoCompactionConfig } from "../flag-values.ts";
import type { Logger } from "../log.ts";
import type { Command } from "../state/machine.ts";

export interface AutoCompactionDeps {
  readonly env: Env;
  readonly log: Logger;
  readonly config: AutoCompactionConfig;
  readonly isLeader: () => boolean;
  readonly currentRevision: () => number;
  readonly compactRevision: () => number;
  readonly propose: (command: Command) => Promise<unknown>;
}

const HOUR_MS = 3_600_000;
const SAMPLES_PER_INTERVAL = 10;
const REVISION_INTERVAL_MS = 300_000;

/**
 * Compacts the history by itself (C-6). The schedule is etcd's: every member looks at its revision, so that a new leader
 * knows those of the time before it led, and only the leader compacts.
 */
export class AutoCompaction {
  readonly #deps: AutoCompactionDeps;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(deps: AutoCompactionDeps) {
    this.#deps = deps;
  }

  start(): void {
    const { config } = this.#deps;
    if (config.mode === "periodic") this.#startPeriodic(config.periodMs);
    else if (config.mode === "revision") this.#startRevision(config.revisions);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /**
   * The revision is looked at ten times an interval, which is the period or an hour, whichever is shorter. The first
   * compaction comes when a whole period has passed, then one an interval, each to what the revision was a period ago.
   */
  #startPeriodic(periodMs: number): void {
    const { env, isLeader, currentRevision } = this.#deps;
    const intervalMs = Math.min(periodMs, HOUR_MS);
    const sampleMs = intervalMs / SAMPLES_PER_INTERVAL;
    const kept = Math.floor(periodMs / sampleMs) + 1;
    const samples: number[] = [];
    // A tenth of a sample is forgiven: timers do not add up to the millisecond.
    let dueAt = env.now() + periodMs - sampleMs / 10;
    const sample = (): void => {
      samples.push(currentRevision());
      if (samples.length > kept) samples.shift();
    };
    sample();
    this.#every(sampleMs, async () => {
      const [oldest = 0] = samples;
      if (isLeader() && env.now() >= dueAt && (await this.#compact(oldest, "periodic"))) {
        dueAt = env.now() + intervalMs - sampleMs / 10;
      }
      sample();
    });
  }

  #startRevision(revisions: number): void {
    const { isLeader, currentRevision } = this.#deps;
    this.#every(REVISION_INTERVAL_MS, async () => {
      if (isLeader()) await this.#compact(currentRevision() - revisions, "revision");
    });
  }

  #every(intervalMs: number, work: () => Promise<void>): void {
    this.#timer = this.#deps.env.setTimer(() => {
      void work().finally(() => {
        if (!this.#stopped) this.#every(intervalMs, work);
      });
    }, intervalMs);
  }

  /** False: to be tried again. */
  async #compact(revision: number, mode: string): Promise<boolean> {
    const { log, compactRevision } = this.#deps;
    // Compacted already, by this or by somebody else, or nothing there.
    if (revision <= Math.max(0, compactRevision())) return false;
    log.info({ revision }, `starting auto ${mode} compaction`);
    try {
      await this.#deps.propose({ compaction: CompactionRequest.create({ revision }) });
    } catch (error) {
      if (error !== errors.compacted) {
        log.warn({ revision, error: String(error) }, `failed auto ${mode} compaction`);
        return false;
      }
    }
    log.info({ revision }, `completed auto ${mode} compaction`);
    return true;
  }
}
