import type { History } from "../history.ts";
import { entriesInOrder, type Truth } from "./truth.ts";
import { Findings, type Verdict } from "./verdict.ts";

/**
 * G-2: a change-set raises the revision by exactly one, and nothing else moves it. From entry to entry of the log the
 * members' revision stays or rises by one; where it rises the model says that something changed, and where it stays that
 * nothing did.
 */
export function checkRevisions(history: History, truth: Truth): Verdict {
  const findings = new Findings("revisions", ["entries", "changes"]);
  const expected = new Map(truth.steps.map((step) => [step.index, step.revision]));
  let before = 1;
  let model = 1;
  for (const { entry, revision, applied } of entriesInOrder(history)) {
    findings.count("entries");
    if (revision === before + 1) findings.count("changes");
    else if (revision !== before) {
      findings.report(`index ${entry.index} takes the revision from ${before} to ${revision}`, applied.at);
    }
    before = revision;
    model = expected.get(entry.index) ?? model;
    if (revision !== model) {
      findings.report(`after index ${entry.index} the revision is ${revision} and should be ${model}`, applied.at);
    }
  }
  return findings.verdict();
}
