import { Random } from "../simulator/random.ts";
import {
  type Drawing,
  drawNext,
  ending,
  isBulky,
  isUnfair,
  type Knowledge,
  lastWords,
  learn,
  nothingKnown,
  STREAMS,
} from "./draw.ts";
import { abridged, describe, type Operation, type Outcome, show } from "./operation.ts";
import type { Target } from "./target.ts";
import { type Created, NOTHING_TO_ASK, NOTHING_TO_CANCEL, type WatchLog } from "./watch-stream.ts";

/** Where two servers that were asked the same said something else. */
export interface Difference {
  readonly operations: readonly Operation[];
  /** Position of the operation. */
  readonly at: number;
  readonly expected: string;
  readonly found: string;
  /** Ours did not answer at all. */
  readonly failed: boolean;
}

export type Finding =
  | { readonly kind: "alike" }
  | { readonly kind: "differs"; readonly difference: Difference }
  /** The one that is right did not answer: nothing can be said. */
  | { readonly kind: "unjudged"; readonly operations: readonly Operation[]; readonly why: string };

export interface Pair {
  /** The one that is right. */
  readonly judge: Target;
  readonly judged: Target;
}

const POLL_MS = 10;
/** What is left of a lease may differ by as much: the two were granted, and are asked, one after the other. */
const SECONDS_APART = 5;
/** What comes though everything has come, comes by then. */
const QUIET_MS = 100;

/** So many at the end, after the last hash, that may give keys the leases whose ids the server chose. */
const TAINTED = 30;

/** Asks both for `count` operations drawn from the seed, or until they differ. `counts` says what was asked. */
export function findDifference(
  pair: Pair,
  seed: string,
  count: number,
  members: number,
  counts: Record<string, number>,
): Promise<Finding> {
  const drawing: Drawing = { random: new Random(seed), members, planned: [], mayTaint: false };
  const last = lastWords(members);
  const judgedAt = Math.max(0, count - TAINTED - last.length - ending(nothingKnown(), members).length);
  const next = (knowledge: Knowledge, at: number): Operation | undefined => {
    if (at === judgedAt) drawing.planned = ending(knowledge, members).map((operation) => () => operation);
    if (at === count - TAINTED - last.length) drawing.mayTaint = true;
    if (at >= count - last.length) return last[at - count + last.length];
    return drawNext(drawing, knowledge);
  };
  return askAll(pair, next, (operation, outcome) => {
    const name = cameTo(operation, outcome);
    counts[name] = (counts[name] ?? 0) + 1;
  });
}

/** The same operations again, as far as they are still fair. */
export function replay(pair: Pair, operations: readonly Operation[]): Promise<Finding> {
  return askAll(pair, (knowledge, at) => {
    const operation = operations[at];
    return operation === undefined || isUnfair(knowledge, operation) ? undefined : operation;
  });
}

async function askAll(
  pair: Pair,
  next: (knowledge: Knowledge, at: number) => Operation | undefined,
  asked: (operation: Operation, outcome: Outcome) => void = () => undefined,
): Promise<Finding> {
  const knowledge = nothingKnown();
  const operations: Operation[] = [];
  for (let at = 0; ; at++) {
    const operation = next(knowledge, at);
    if (operation === undefined) return { kind: "alike" };
    operations.push(operation);
    const step = await compareOne(pair, operation, knowledge);
    if (step.kind === "unjudged") return { kind: "unjudged", operations, why: step.why };
    if (step.kind === "differs") return { kind: "differs", difference: { operations, at, ...step.said } };
    asked(operation, step.outcome);
    learn(knowledge, operation, step.outcome);
  }
}

/** What it is counted as: by its kind alone when the server did what was asked. */
function cameTo({ kind }: Operation, outcome: Outcome): string {
  if (outcome.kind === "error") return `${kind} refused`;
  if (kind === "watchCreate" && !(outcome.answer as Created).isAlive) return `${kind} refused`;
  const isIdle = outcome.answer === NOTHING_TO_ASK || outcome.answer === NOTHING_TO_CANCEL;
  return isIdle ? `${kind} idle` : kind;
}

/**
 * Takes out whatever is not needed for the two to differ in the same operation. `again` replays on two fresh servers; when
 * it fails, what was found so far has to do.
 */
export async function shrink(
  found: Difference,
  again: (operations: readonly Operation[]) => Promise<Difference | undefined>,
  tries: number,
): Promise<Difference> {
  let best: Difference = { ...found, operations: found.operations.slice(0, found.at + 1) };
  let size = Math.ceil(best.operations.length / 2);
  for (let left = tries; size >= 1 && left > 0; ) {
    let cut = false;
    for (let from = 0; from < best.operations.length - 1 && left > 0; left--) {
      const without = [...best.operations.slice(0, from), ...best.operations.slice(from + size)];
      let smaller: Difference | undefined;
      try {
        smaller = without.length === 0 ? undefined : await again(without);
      } catch {
        // Environment: servers that do not start, or a signal. The sequence as it is shows the difference, too.
        return best;
      }
      if (smaller === undefined || !isSame(smaller, best)) {
        from += size;
      } else {
        best = { ...smaller, operations: smaller.operations.slice(0, smaller.at + 1) };
        cut = true;
      }
    }
    if (!cut || size > 1) size = size === 1 && !cut ? 0 : Math.max(1, Math.floor(size / 2));
  }
  return best;
}

/** Another difference that turns up on the way is not the one that is looked for. */
export function isSame(one: Difference, other: Difference): boolean {
  return one.failed === other.failed && one.operations[one.at]?.kind === other.operations[other.at]?.kind;
}

export function explain(difference: Difference): string {
  return `${list(difference.operations)}\n${said(difference)}`;
}

export function list(operations: readonly Operation[]): string {
  return operations.map((operation, at) => `${String(at + 1).padStart(4)}  ${describe(operation)}`).join("\n");
}

function said(difference: Difference): string {
  const [expected, found] = abridged(difference.expected, difference.found);
  return `      etcd     ${expected}\n      quorate  ${found}`;
}

/** Where they differ, without what led to it. */
export function lastStep(difference: Difference): string {
  return `${describe(difference.operations[difference.at] as Operation)}\n${said(difference)}`;
}

type Said = Pick<Difference, "expected" | "found" | "failed">;

type Step =
  | { readonly kind: "alike"; readonly outcome: Outcome }
  | { readonly kind: "differs"; readonly said: Said }
  | { readonly kind: "unjudged"; readonly why: string };

const differs = (expected: string, found: string, failed = false): Step => ({
  kind: "differs",
  said: { expected, found, failed },
});

async function compareOne({ judge, judged }: Pair, operation: Operation, knowledge: Knowledge): Promise<Step> {
  const both = <T>(ask: (target: Target) => Promise<T>) => Promise.allSettled([ask(judge), ask(judged)]);
  // What HashKV says of the revision of a compaction depends on whether that has come to its end.
  if (operation.kind === "hashKv" && knowledge.compacting) {
    const [theirs, ours] = await both((target) => target.compacted(knowledge.compactRevision));
    if (theirs.status === "rejected") return { kind: "unjudged", why: String(theirs.reason) };
    if (ours.status === "rejected") return differs("a compaction that comes to its end", String(ours.reason), true);
  }
  // A server may tell the end of a watch before events that wait to be sent, and never send them.
  if (operation.kind === "watchCancel") {
    await both((target) => target.stream(operation.stream).progress(knowledge.revision));
    const unsettled = await settled(judge, judged, 0);
    if (unsettled !== undefined) return unsettled;
  }
  const [theirs, ours] = await both((target) => target.ask(operation, knowledge.revision));
  if (theirs.status === "rejected") return { kind: "unjudged", why: String(theirs.reason) };
  const outcome = theirs.value;
  if (ours.status === "rejected") return differs(show(outcome), `no answer: ${ours.reason}`, true);
  const difference = differenceOf(outcome, ours.value);
  if (difference !== undefined) return differs(...difference);
  if (operation.kind !== "settle" && !isBulky(operation)) return { kind: "alike", outcome };
  // Whether progress is told is asked by operations of its own; here it tells that nothing is on its way any more.
  const revision = Math.max(knowledge.revision, (outcome.kind === "ok" && outcome.revision) || 0);
  for (let stream = 0; stream < STREAMS; stream++) await both((target) => target.stream(stream).progress(revision));
  return (await settled(judge, judged, QUIET_MS)) ?? { kind: "alike", outcome };
}

/** Of answers: what the one that is right said, and what was found. */
export function differenceOf(theirs: Outcome, ours: Outcome): readonly [expected: string, found: string] | undefined {
  const exact = (outcome: Outcome): string =>
    show(
      outcome.kind === "ok" ? { ...outcome, secondsLeft: outcome.secondsLeft === undefined ? "" : "some" } : outcome,
    );
  const isNear = Math.abs(secondsOf(theirs) - secondsOf(ours)) <= SECONDS_APART;
  return isNear && exact(theirs) === exact(ours) ? undefined : [show(theirs), show(ours)];
}

function secondsOf(outcome: Outcome): number {
  return outcome.kind === "ok" ? (outcome.secondsLeft ?? 0) : 0;
}

/** Waits until the watches on both sides have shown the same, and a little longer. */
async function settled(judge: Target, judged: Target, quietMs: number): Promise<Step | undefined> {
  const streams = Array.from(
    { length: STREAMS },
    (_, stream) => [judge.stream(stream), judged.stream(stream)] as const,
  );
  const difference = (): ReturnType<typeof firstDifference> => {
    for (const [stream, [theirs, ours]] of streams.entries()) {
      const found = firstDifference(theirs.records, ours.records);
      if (found !== undefined) return { expected: `stream ${stream} ${found.expected}`, found: found.found };
    }
    return undefined;
  };
  // Both may have said the same because neither has said all of it yet.
  for (const deadline = Date.now() + judge.patience.watchMs; Date.now() < deadline; await pause(POLL_MS)) {
    if (difference() !== undefined) continue;
    await pause(quietMs);
    if (difference() === undefined) break;
  }
  for (const [theirs, ours] of streams) {
    if (theirs.ended !== undefined) return { kind: "unjudged", why: String(theirs.ended) };
    if (ours.ended !== undefined) return differs("a watch stream that goes on", String(ours.ended), true);
    if (ours.violations.length > 0) return differs("events in order", ours.violations.join("; "));
  }
  const found = difference();
  return found === undefined ? undefined : differs(found.expected, found.found);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Where what watches said parts; also when one side said more. */
export function firstDifference(
  theirs: ReadonlyMap<bigint, WatchLog>,
  ours: ReadonlyMap<bigint, WatchLog>,
): Pick<Difference, "expected" | "found"> | undefined {
  const ids = [...new Set([...theirs.keys(), ...ours.keys()])].sort((a, b) => (a < b ? -1 : 1));
  for (const id of ids) {
    const [a, b] = [theirs.get(id) ?? [], ours.get(id) ?? []];
    const length = Math.max(a.length, b.length);
    for (let i = 0; i < length; i++) {
      if (a[i] === b[i]) continue;
      return { expected: `watch ${id} ${i + 1}: ${a[i] ?? NO_MORE}`, found: b[i] ?? NO_MORE };
    }
  }
  return undefined;
}

const NO_MORE = "nothing more";
