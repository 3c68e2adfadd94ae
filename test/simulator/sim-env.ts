import type { Env } from "../../src/env.ts";
import type { Random } from "./random.ts";
import type { Owner, World } from "./world.ts";

/** 2026-01-01: where the wall clocks start. */
const EPOCH_MS = 1_767_225_600_000;

/** The clocks of one machine. */
export interface Clock {
  /** What one turn of its members' event loop takes. */
  readonly turnMs: number;
  /** What it takes longer because others have the processor. */
  starvedMs: number;
  /** Milliseconds of the machine for each one of the world. */
  readonly rate: number;
  /** What the wall clock is wrong by; jumps change it. The monotonic clock never jumps. */
  wallOffsetMs: number;
}

/** The outside world of one life of a member. After its end no callback of it comes any more. */
export function createSimEnv(world: World, owner: Owner, clock: Clock, random: Random): Env {
  const startedAt = world.now;
  // A monotonic clock starts anywhere.
  const base = random.below(1_000_000);
  return {
    now: () => base + (world.now - startedAt) * clock.rate,
    wallClock: () => Math.floor(EPOCH_MS + world.now * clock.rate + clock.wallOffsetMs),
    random: (n) => random.below(n),
    setTimer: (callback, delayMs) =>
      world.schedule(owner, Math.max(1, Math.floor(delayMs)) / clock.rate, "timer", callback),
    nextTurn: (callback) => {
      world.schedule(owner, clock.turnMs + clock.starvedMs, "turn", callback);
    },
  };
}
