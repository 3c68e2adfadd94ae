import { Random } from "../simulator/random.ts";
import { drawOperation, type Knowledge, learn, STREAMS } from "./draw.ts";
import { describe, type Operation, type Outcome, show } from "./operation.ts";
import type { Target } from "./target.ts";

/** Where two servers that were asked the same said something else. */
export interface Difference {
  readonly operations: readonly Operation[];
  /** Position of the operation. */
  readonly at: number;
  readonly expected: string;
  readonly found: string;
}

export interface Pair {
  /** The one that is right. */
  readonly judge: Target;
  readonly judged: Target;
}

const SETTLE_MS = 10_000;
const POLL_MS = 10;

/** Asks both for `count` operations drawn from the seed, or until they differ. `counts` says what was asked. */
export async function findDifference(
  pair: Pair,
  seed: string,
  count: number,
  members: number,
  counts: Record<string, number>,
): Promise<Difference | undefined> {
  const random = new Random(seed);
  const knowledge: Knowledge = {
    revision: 1,
    compactRevision: 0,
    leases: [],
    granted: 0,
    watches: [],
    compacting: false,
    mixed: new Set(),
  };
  const operations: Operation[] = [];
  for (let at = 0; at < count; at++) {
    const operation: Operation =
      at === count - 1 ? { kind: "settle", member: 0 } : drawOperation(random, knowledge, members);
    operations.push(operation);
    const { difference, outcome } = await compareOne(pair, operation, knowledge.revision);
    if (difference !== undefined) return { operations, at, ...difference };
    const name = outcome.kind === "ok" ? operation.kind : `${operation.kind} refused`;
    counts[name] = (counts[name] ?? 0) + 1;
    learn(knowledge, operation, outcome);
  }
  return undefined;
}

/** The same operations again. */
export async function replay(pair: Pair, operations: readonly Operation[]): Promise<Difference | undefined> {
  let revision = 1;
  for (const [at, operation] of operations.entries()) {
    const { difference, outcome } = await compareOne(pair, operation, revision);
    if (difference !== undefined) return { operations, at, ...difference };
    if (outcome.kind === "ok") revision = Math.max(revision, outcome.revision ?? 0);
  }
  return undefined;
}

/** Takes out whatever is not needed for the two to differ. `again` replays on two fresh servers. */
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
      const smaller = without.length === 0 ? undefined : await again(without);
      if (smaller === undefined) {
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

export function explain(difference: Difference): string {
  const steps = difference.operations.map((operation, at) => `${String(at + 1).padStart(4)}  ${describe(operation)}`);
  return `${steps.join("\n")}\n${said(difference)}`;
}

function said({ expected, found }: Difference): string {
  return `      etcd     ${expected}\n      quorate  ${found}`;
}

/** Where they differ, without what led to it. */
export function lastStep(difference: Difference): string {
  return `${describe(difference.operations[difference.at] as Operation)}\n${said(difference)}`;
}

type Said = Pick<Difference, "expected" | "found">;

async function compareOne(
  { judge, judged }: Pair,
  operation: Operation,
  revision: number,
): Promise<{ readonly difference: Said | undefined; readonly outcome: Outcome }> {
  const [outcome, ours] = await Promise.all([judge.ask(operation, revision), judged.ask(operation, revision)]);
  const [expected, found] = [show(outcome), show(ours)];
  if (expected !== found) return { difference: { expected, found }, outcome };
  return { difference: operation.kind === "settle" ? await settled(judge, judged) : undefined, outcome };
}

/** Waits until the watches on both sides have shown the same. */
async function settled(judge: Target, judged: Target): Promise<Said | undefined> {
  for (let stream = 0; stream < STREAMS; stream++) {
    const [theirs, ours] = [judge.stream(stream), judged.stream(stream)];
    for (const deadline = Date.now() + SETTLE_MS; theirs.said !== ours.said && Date.now() < deadline; ) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    if (theirs.said !== ours.said) return firstDifference(theirs.said, ours.said, stream);
    if (ours.violations.length > 0) return { expected: "events in order", found: ours.violations.join("; ") };
  }
  return undefined;
}

function firstDifference(theirs: string, ours: string, stream: number): Said {
  const [a, b] = [theirs.split("\n"), ours.split("\n")];
  const at = a.findIndex((line, i) => line !== b[i]);
  return { expected: `stream ${stream} ${a[at]}`, found: `stream ${stream} ${b[at] ?? b.at(-1)}` };
}
