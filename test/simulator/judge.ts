/** Every checker, joined. */
import { createCommit } from "./checkers/commit.ts";
import { createDurability } from "./checkers/durability.ts";
import { checkGeneral } from "./checkers/general.ts";
import { checkHashKv } from "./checkers/hash-kv.ts";
import { checkHeaders } from "./checkers/headers.ts";
import { createLeaderPerTerm } from "./checkers/leader-per-term.ts";
import { checkLeaseLists } from "./checkers/lease-lists.ts";
import { checkLeases } from "./checkers/leases.ts";
import { checkLinearizability } from "./checkers/linearizability.ts";
import { checkProgress, createLeaderLiveness } from "./checkers/liveness.ts";
import { createLogMatching } from "./checkers/log-matching.ts";
import { checkMembers } from "./checkers/members.ts";
import { placeOperations } from "./checkers/placement.ts";
import { checkRevisions } from "./checkers/revisions.ts";
import { checkSerializable } from "./checkers/serializable.ts";
import { createStateHash } from "./checkers/state-hash.ts";
import { checkStatus } from "./checkers/status.ts";
import { buildTruth } from "./checkers/truth.ts";
import type { Verdict } from "./checkers/verdict.ts";
import { checkWatches } from "./checkers/watch.ts";
import type { Counts, History, Violation } from "./history.ts";

export interface Checked {
  readonly counts: Counts;
  readonly violation: Violation | undefined;
}

/** Before the first probe. */
export function attachProbeCheckers(history: History): void {
  history.attach(createLeaderPerTerm(history));
  history.attach(createLogMatching(history));
  history.attach(createCommit(history));
  history.attach(createDurability(history));
  history.attach(createStateHash(history));
  history.attach(createLeaderLiveness(history));
}

/** After the run. What a probe saw comes first: it is nearer to the cause. */
export function checkHistory(history: History): Checked {
  const counts: Record<string, number> = {};
  const violations = [...history.violations];
  for (const checker of history.probeCheckers) {
    for (const [name, count] of Object.entries(checker.counts())) counts[`${checker.name}: ${name}`] = count;
  }
  for (const [checker, verdict] of verdicts(history)) {
    for (const [name, count] of Object.entries(verdict.counts)) counts[`${checker}: ${name}`] = count;
    violations.push(...verdict.violations);
  }
  return { counts, violation: violations[0] };
}

function verdicts(history: History): readonly (readonly [string, Verdict])[] {
  const truth = buildTruth(history);
  const placement = placeOperations(history, truth);
  return [
    ["revisions", checkRevisions(history, truth)],
    ["linearizability", checkLinearizability(history, truth, placement)],
    ["serializable", checkSerializable(history, truth)],
    ["hash-kv", checkHashKv(history, truth)],
    ["watch", checkWatches(history, truth)],
    ["leases", checkLeases(history, truth, placement)],
    ["lease-lists", checkLeaseLists(history, truth)],
    ["headers", checkHeaders(history, truth)],
    ["status", checkStatus(history, truth)],
    ["members", checkMembers(history)],
    ["general-linearizability", checkGeneral(history)],
    ["progress", checkProgress(history, truth)],
  ];
}
