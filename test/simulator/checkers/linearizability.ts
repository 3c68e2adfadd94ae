import type { History, Operation } from "../history.ts";
import { isLogged, type Placement } from "./placement.ts";
import { readKind, readProblem, refusalProblem, revisionsRead } from "./reads.ts";
import { compactRevisionAt, revisionAt, type Step, type Truth } from "./truth.ts";
import { Findings, show, type Verdict } from "./verdict.ts";

/**
 * Linearizability by revision order: the log names an order, the model says what every operation had to answer in it, and
 * every operation took effect between its call and its return.
 *
 * Writes: each acknowledged one is exactly one step of the log, with the model's answer, and the step took effect while
 * it was under way; each step is an operation of some client; what was refused is no step that changed anything; what is
 * unknown is one step or none. Reads: the whole answer is the state as of the revision in its header, which no other
 * member had passed when the read was called and which somebody had reached when it returned.
 */
export function checkLinearizability(history: History, truth: Truth, placement: Placement): Verdict {
  const findings = new Findings("linearizability", [
    "writes",
    "txns",
    "reads",
    "reads at old revisions",
    "refused",
    "unknown, placed",
    "unknown, never happened",
  ]);
  findings.count("unknown, placed", placement.unknownPlaced);
  findings.count("unknown, never happened", placement.unknownAbsent);

  for (const operation of placement.unplaced) {
    findings.report(unplacedMessage(truth, operation), operation.invoked.at);
  }
  for (const step of placement.phantoms) {
    const what = step.result.kind === "ok" ? "took effect" : "was executed";
    findings.report(
      `index ${step.index}: ${show(step.command)} ${what} once more than clients asked for it, or after it was refused`,
      step.applied.at,
    );
  }
  for (const operation of history.operations) {
    if (isLogged(operation)) countWrite(findings, operation);
    else if (readKind(operation) === "linearizable") checkRead(findings, truth, operation);
  }
  return findings.verdict();
}

function countWrite(findings: Findings, { request, outcome }: Operation): void {
  if (outcome.kind === "refused") findings.count("refused");
  if (outcome.kind === "ok") findings.count(request.kind === "txn" ? "txns" : "writes");
}

function checkRead(findings: Findings, truth: Truth, operation: Operation): void {
  const { outcome, invoked, client, member, request } = operation;
  const who = `client ${client} at member ${member}`;
  if (outcome.kind === "refused") {
    findings.count("refused");
    const problem = refusalProblem(truth, operation, true);
    if (problem !== undefined) findings.report(`${who}: ${problem}`, invoked.at);
  }
  if (outcome.kind !== "ok") return;
  findings.count("reads");
  const known = revisionAt(truth, invoked.seq);
  const { revision } = outcome.response;
  if (revision < known) {
    findings.report(
      `${who}: stale read: ${show(request)} answered at revision ${revision}, when ${known} had been applied`,
      invoked.at,
    );
    return;
  }
  const asked = request.kind === "range" ? revisionsRead(operation) : [];
  if (asked.length > 0) {
    findings.count("reads at old revisions");
    const compacted = compactRevisionAt(truth, invoked.seq);
    if (asked.some((wanted) => wanted < compacted)) {
      findings.report(`${who}: ${show(request)} was answered below the compact revision ${compacted}`, invoked.at);
    }
  }
  const problem = readProblem(truth, operation);
  if (problem !== undefined) findings.report(`${who}: ${problem}`, invoked.at);
}

/** Says which step, if any, comes closest. */
function unplacedMessage(truth: Truth, operation: Operation): string {
  const { request, outcome, client, member, invoked, returned } = operation;
  const said = outcome.kind === "ok" ? show(outcome.response) : outcome.kind === "refused" ? outcome.reason : "";
  const during = truth.steps.filter(
    (step) =>
      step.command.kind === request.kind &&
      step.applied.seq > invoked.seq &&
      step.applied.seq < (returned?.seq ?? Number.POSITIVE_INFINITY) &&
      show(step.command) === show(request),
  );
  const candidates = during.length === 0 ? "no step of the log" : during.map(stepText).join("; ");
  return `client ${client} at member ${member}: ${show(request)} answered ${said}, which is explained by ${candidates}`;
}

function stepText({ index, revision, result }: Step): string {
  return `index ${index} at revision ${revision}, which comes to ${result.kind === "ok" ? show(result.response) : result.reasons}`;
}
