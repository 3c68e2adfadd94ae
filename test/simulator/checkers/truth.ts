import type { AppliedEntry, Command, History, Stamp } from "../history.ts";
import { type Change, Model, minTtlSeconds, type Result } from "./model.ts";
import type { ModelStore } from "./model-store.ts";

/** One command of the log, and what it had to come to. */
export interface Step {
  readonly index: number;
  readonly command: Command;
  readonly result: Result;
  /** After the command. */
  readonly revision: number;
  /** What the member that applied it first said. */
  readonly saidRevision: number;
  /** When the command took effect: from here on somebody can see it, before nobody can. */
  readonly applied: Stamp;
}

export interface LeaseLife {
  readonly id: bigint;
  readonly ttlSeconds: number;
  readonly granted: Step;
  readonly ended: Step | undefined;
}

/**
 * The log that the members agreed on, executed by the model.
 *
 * Its order is only a witness. What clients saw is compared with what the model says, and their order in time with the
 * order of the log; a history that passes both is linearizable whoever named the order, and one that does not pass is
 * either not linearizable or answered by members that do not follow their own log.
 */
export interface Truth {
  readonly steps: readonly Step[];
  readonly store: ModelStore;
  /** changes[revision]; undefined for 0 and 1. */
  readonly changes: readonly (readonly Change[] | undefined)[];
  /** When each revision first came to be somewhere; [1] is the beginning of time. */
  readonly revisionApplied: readonly Stamp[];
  readonly revision: number;
  readonly compactions: readonly Step[];
  readonly leases: readonly LeaseLife[];
  readonly minTtlSeconds: number;
}

const BEGINNING: Stamp = { at: 0, seq: 0 };

export function buildTruth(history: History): Truth {
  const ttl = minTtlSeconds(history.facts);
  const model = new Model(ttl);
  const steps: Step[] = [];
  const changesOf: (readonly Change[] | undefined)[] = [undefined, undefined];
  const revisionApplied: Stamp[] = [BEGINNING, BEGINNING];
  const compactions: Step[] = [];
  const leases: { id: bigint; ttlSeconds: number; granted: Step; ended: Step | undefined }[] = [];
  const live = new Map<bigint, (typeof leases)[number]>();
  let latest = BEGINNING;

  for (const applied of entriesInOrder(history)) {
    const { command, entry, revision: saidRevision } = applied;
    if (command === undefined) continue;
    // Somebody may apply index 8 for the first time before anybody is seen to apply 7 (behind a snapshot of the state).
    if (applied.applied.seq > latest.seq) latest = applied.applied;
    const { result, changes } = model.execute(command);
    const { revision } = model;
    const step: Step = { index: entry.index, command, result, revision, saidRevision, applied: latest };
    steps.push(step);
    if (changes.length > 0) {
      changesOf.push(changes);
      revisionApplied.push(latest);
    }
    if (result.kind === "refused") continue;
    if (command.kind === "compact") compactions.push(step);
    if (command.kind === "leaseGrant") {
      const { ttlSeconds = 0 } = model.leases.get(command.id) ?? {};
      const life = { id: command.id, ttlSeconds, granted: step, ended: undefined };
      leases.push(life);
      live.set(command.id, life);
    }
    if (command.kind === "leaseRevoke") {
      const life = live.get(command.id);
      if (life !== undefined) life.ended = step;
      live.delete(command.id);
    }
  }
  return {
    steps,
    store: model.store,
    changes: changesOf,
    revisionApplied,
    revision: model.revision,
    compactions,
    leases,
    minTtlSeconds: ttl,
  };
}

/** Ascending, without what nobody applied. */
export function entriesInOrder(history: History): readonly AppliedEntry[] {
  return history.log.filter((entry) => entry !== undefined);
}

/** The highest revision that had come to be when `seq` was stamped. */
export function revisionAt(truth: Truth, seq: number): number {
  let low = 1;
  let high = truth.revisionApplied.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((truth.revisionApplied[middle] as Stamp).seq <= seq) low = middle;
    else high = middle;
  }
  return low;
}

/** The highest compact revision that had come to be when `seq` was stamped; -1 when there was none. */
export function compactRevisionAt(truth: Truth, seq: number): number {
  let found = -1;
  for (const step of truth.compactions) {
    if (step.applied.seq > seq) break;
    if (step.command.kind === "compact") found = step.command.revision;
  }
  return found;
}
