/** What all loads have in common; each one's file says what it does. */
import type { Measured, Meter } from "./meter.ts";

export interface Load {
  readonly meter: Meter;
  /** Asks nothing more; resolves when all that was asked is answered, or too late. What is missing is a fault. */
  stop(): Promise<void>;
}

/** Measures one stretch of a running load. */
export interface Stretch {
  begin(): void;
  end(): Measured;
}

/** An answer that takes longer counts as none. */
export const ANSWER_TIMEOUT_MS = 30_000;
/** After a call that failed, so that a server that refuses is not asked in a tight loop. */
export const AFTER_FAILURE_MS = 100;
/** With so many faults nothing more can be learnt. */
export const MAX_FAULTS = 1_000;

/** False when it was not so in time. */
export async function inTime(condition: () => boolean, timeoutMs = ANSWER_TIMEOUT_MS): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return true;
}
