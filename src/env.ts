/** The outside world as the server sees it: time and chance. Injected, so that a simulator can be both. */
export interface Env {
  /** Monotonic milliseconds (fractions allowed); for durations and deadlines. */
  now(): number;
  /** Wall-clock milliseconds since 1970; for names and ids only, never for ordering. */
  wallClock(): number;
  /** An integer in [0, n), n < 2^48. */
  random(n: number): number;
  setTimer(callback: () => void, delayMs: number): Timer;
  /** Runs the callback after pending I/O had a turn. */
  nextTurn(callback: () => void): void;
}

export interface Timer {
  cancel(): void;
}
