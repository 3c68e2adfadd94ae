import type { History } from "../history.ts";
import { answered, Rising } from "./answers.ts";
import { lifeThroughout } from "./lives.ts";
import type { Step, Truth } from "./truth.ts";
import { Findings, type Verdict } from "./verdict.ts";

/**
 * N-1, H-1: Status is true of the member that gives it. Its applied index is one that somebody had reached, not above its
 * committed index; revision and term of the header are those of the log up to there; neither index falls in its life.
 * Whom it names as the leader is a member, and won the election of just that term.
 */
export function checkStatus(history: History, truth: Truth): Verdict {
  const findings = new Findings("status", ["answers", "leaders named", "in order"]);
  const applied = new Rising();
  const committed = new Rising();
  const numbers = numbersOf(history);
  const members = new Set(history.members.flatMap(({ list }) => list.map(({ id }) => id)));
  for (const answer of answered(history)) {
    const { outcome, member, invoked, returned } = answer;
    const { response, header } = outcome;
    if (response.kind !== "status") continue;
    findings.count("answers");
    const { appliedIndex, commitIndex, leader, term, revision } = response;
    const complain = (what: string): void => findings.report(`status of member ${member}: ${what}`, invoked.at);
    if (appliedIndex > commitIndex) complain(`applied ${appliedIndex}, and committed only ${commitIndex}`);
    const entry = history.log[appliedIndex];
    if (appliedIndex > 0 && (entry === undefined || entry.applied.seq > returned.seq)) {
      complain(`applied ${appliedIndex}, which nobody had`);
    }
    const appliedTerm = entry?.entry.term ?? 0;
    if (header?.term !== appliedTerm)
      complain(`header of term ${header?.term} at index ${appliedIndex}@${appliedTerm}`);
    const expected = revisionAfter(truth.steps, appliedIndex);
    if (revision !== expected) complain(`revision ${revision} at index ${appliedIndex}, which makes ${expected}`);
    if (leader !== 0n) judgeLeader(leader, term, returned.seq, complain);
    const life = lifeThroughout(history, answer);
    if (life === undefined) continue;
    for (const [name, rising, value] of [
      ["applied", applied, appliedIndex],
      ["committed", committed, commitIndex],
    ] as const) {
      const floor = rising.floor(life, invoked);
      if (floor !== undefined) findings.count("in order");
      if (floor !== undefined && value < floor) complain(`${name} falls from ${floor} to ${value}`);
      rising.tell(life, returned, value);
    }
  }
  return findings.verdict();

  /** Who won and lost in one turn is seen by others and not by the probe; then nobody else won that term. */
  function judgeLeader(leader: bigint, term: number, seq: number, complain: (what: string) => void): void {
    if (!members.has(leader)) complain(`names ${leader} the leader, who is no member`);
    const number = numbers.get(leader);
    // Nobody has ever had an answer of it.
    if (number === undefined) return;
    findings.count("leaders named");
    const known = history.leaders.find((one) => one.term === term && one.seq < seq);
    const candidate = history.candidates.some((one) => one.term === term && one.member === number && one.seq < seq);
    if (known === undefined ? !candidate : known.member !== number) {
      complain(
        `names ${number} the leader of term ${term}, ${known === undefined ? "who never stood" : `won by ${known.member}`}`,
      );
    }
  }
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
