import { randomInt } from "node:crypto";
import type { Env } from "./env.ts";

/** The real clock and the real dice. */
export function createNodeEnv(): Env {
  return {
    now: () => performance.now(),
    wallClock: () => Date.now(),
    random: (n) => randomInt(n),
    setTimer: (callback, delayMs) => {
      const timer = setTimeout(callback, delayMs);
      return { cancel: () => clearTimeout(timer) };
    },
    nextTurn: (callback) => {
      setImmediate(callback);
    },
  };
}
