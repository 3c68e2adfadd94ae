import type { History } from "../history.ts";
import { readKind, readProblem, refusalProblem } from "./reads.ts";
import type { Truth } from "./truth.ts";
import { Findings, type Verdict } from "./verdict.ts";

/**
 * a serializable read may be old, but it is a prefix: all of it is the state as of one revision, the one that its
 * header names, and which somebody had reached when it returned.
 */
export function checkSerializable(history: History, truth: Truth): Verdict {
  const findings = new Findings("serializable", ["reads"]);
  for (const operation of history.operations) {
    if (readKind(operation) !== "serializable") continue;
    if (operation.outcome.kind === "ok") findings.count("reads");
    const problem = readProblem(truth, operation) ?? refusalProblem(truth, operation, false);
    if (problem === undefined) continue;
    findings.report(`client ${operation.client} at member ${operation.member}: ${problem}`, operation.invoked.at);
  }
  return findings.verdict();
}
