import { randomInt } from "node:crypto";
import type { Env } from "./env.ts";

/** Node takes a longer time-out for one of 1 ms. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

/** The real clock and the real dice. */
export function createNodeEnv(): Env {
  return {
    now: () => performance.now(),
    wallClock: () => Date.now(),
    random: (n) => randomInt(n),
    setTimer: (callback, delayMs) => {
      let timer: NodeJS.Timeout;
      const wait = (leftMs: number): void => {
        timer =
          leftMs > LONGEST_TIMEOUT_MS
            ? setTimeout(() => wait(leftMs - LONGEST_TIMEOUT_MS), LONGEST_TIMEOUT_MS)
            : setTimeout(callback, leftMs);
      };
      wait(delayMs);
      return { cancel: () => clearTimeout(timer) };
    },
    nextTurn: (callback) => {
      setImmediate(callback);
    },
  };
}
