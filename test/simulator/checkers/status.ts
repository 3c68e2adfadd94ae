import type { History } from "../history.ts";
import { inOrderOfReturn, lifeThroughout, Rising } from "./lives.ts";
import type { Step, Truth } from "./truth.ts";
import { Findings, type Verdict } from "./verdict.ts";

/**
 * N-1: Status is true of the member that gives it. Its applied index is one that somebody had reached, not above its
 * committed index, and the revision of its header is that of the log up to there; neither index falls in its life. Whom it
 * names as the leader was elected, in no later term than the one it names.
 */
export function checkStatus(history: History, truth: Truth): Verdict {
  const findings = new Findings("status", ["answers", "leaders named", "in order"]);
  const applied = new Rising();
  const committed = new Rising();
  const numbers = numbersOf(history);
  for (const operation of inOrderOfReturn(history)) {
    const { outcome, member, invoked, returned } = operation;
    if (outcome.kind !== "ok" || outcome.response.kind !== "status" || returned === undefined) continue;
    findings.count("answers");
    const { appliedIndex, commitIndex, leader, term, revision } = outcome.response;
    const complain = (what: string): void => findings.report(`status of member ${member}: ${what}`, invoked.at);
    if (appliedIndex > commitIndex) complain(`applied ${appliedIndex}, and committed only ${commitIndex}`);
    const known = history.log[appliedIndex];
    if (appliedIndex > 0 && (known === undefined || known.applied.seq > returned.seq)) {
      complain(`applied ${appliedIndex}, which nobody had`);
    }
    const expected = revisionAfter(truth.steps, appliedIndex);
    if (revision !== expected) complain(`revision ${revision} at index ${appliedIndex}, which makes ${expected}`);
    const number = numbers.get(leader);
    if (number !== undefined) {
      findings.count("leaders named");
      const elections = history.leaders.filter((one) => one.member === number && one.seq < returned.seq);
      if (!elections.some((one) => one.term <= term))
        complain(`names ${number} in term ${term}, who never led by then`);
    }
    const life = lifeThroughout(history, operation);
    if (life === undefined) continue;
    for (const [name, rising, value] of [
      ["applied", applied, appliedIndex],
      ["committed", committed, commitIndex],
    ] as const) {
      const floor = rising.floor(life, operation);
      if (floor !== undefined) findings.count("in order");
      if (floor !== undefined && value < floor) complain(`${name} falls from ${floor} to ${value}`);
      rising.told(life, operation, value);
    }
  }
  return findings.verdict();
}

/** Machines by the ids that their answers bear. */
function numbersOf({ operations }: History): ReadonlyMap<bigint, number> {
  const numbers = new Map<bigint, number>();
  for (const { outcome, member } of operations) {
    if (outcome.kind === "ok" && outcome.header !== undefined) numbers.set(outcome.header.member, member);
  }
  return numbers;
}

/** Steps are in the order of the log. */
function revisionAfter(steps: readonly Step[], index: number): number {
  let low = 0;
  let high = steps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((steps[middle] as Step).index <= index) low = middle + 1;
    else high = middle;
  }
  return steps[low - 1]?.revision ?? 1;
}
