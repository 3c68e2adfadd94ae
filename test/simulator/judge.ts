/** Every checker, joined. */
import { createDurability } from "./checkers/durability.ts";
import { createLeaderPerTerm } from "./checkers/leader-per-term.ts";
import { createLogMatching } from "./checkers/log-matching.ts";
import { createStateHash } from "./checkers/state-hash.ts";
import type { Counts, History, Violation } from "./history.ts";

export interface Checked {
  readonly counts: Counts;
  readonly violation: Violation | undefined;
}

/** Before the first probe. */
export function attachProbeCheckers(history: History): void {
  history.attach(createLeaderPerTerm(history));
  history.attach(createLogMatching(history));
  history.attach(createDurability(history));
  history.attach(createStateHash(history));
}

/** After the run. */
export function checkHistory(history: History): Checked {
  const counts: Record<string, number> = {};
  for (const checker of history.probeCheckers) {
    for (const [name, count] of Object.entries(checker.counts())) counts[`${checker.name}: ${name}`] = count;
  }
  return { counts, violation: history.violations[0] };
}
