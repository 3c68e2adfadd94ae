/**
 * The real clock, timers and dice, out of reach while simulated code runs: what touches one would make two runs of a
 * seed differ. Whoever does is told so at once, and the run fails.
 */
import { performance } from "node:perf_hooks";

export const realImmediate = setImmediate;

/** A name of an object as it can be written over. */
interface Slot {
  readonly owner: Record<string, unknown>;
  readonly name: string;
}

function slots(owner: object, ...names: readonly string[]): Slot[] {
  return names.map((name) => ({ owner: owner as Record<string, unknown>, name }));
}

const SLOTS: readonly Slot[] = [
  ...slots(globalThis, "setTimeout", "setInterval", "setImmediate", "Date", "fetch"),
  ...slots(Math, "random"),
  ...slots(Object.getPrototypeOf(performance) as object, "now"),
  ...slots(AbortSignal, "timeout"),
  ...slots(process, "hrtime", "nextTick", "uptime"),
  ...slots(process.getBuiltinModule("node:crypto"), "randomBytes", "randomInt", "randomUUID"),
  ...slots(Object.getPrototypeOf(globalThis.crypto) as object, "randomUUID", "getRandomValues"),
];

export interface RealWorldGuard {
  /** Between the two calls nothing of the real world can be reached. */
  close(): void;
  open(): void;
}

export function createRealWorldGuard(onReached: (what: string) => void): RealWorldGuard {
  const saved = SLOTS.map(({ owner, name }) => owner[name]);
  const refusals = SLOTS.map(({ name }) => {
    const refuse = function refused(): never {
      onReached(name);
      throw new Error(`simulated code reached the real ${name}`);
    };
    return name === "Date" ? Object.assign(refuse, { now: refuse }) : refuse;
  });
  return {
    close() {
      for (const [i, { owner, name }] of SLOTS.entries()) owner[name] = refusals[i];
    },
    open() {
      for (const [i, { owner, name }] of SLOTS.entries()) owner[name] = saved[i];
    },
  };
}
