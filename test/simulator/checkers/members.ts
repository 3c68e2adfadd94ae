import type { History, ListedMember, MembersRequest, MembersStep, Operation } from "../history.ts";
import { Findings, show, type Verdict } from "./verdict.ts";

/** Positions of the steps that made a list, by its text. */
type Positions = ReadonlyMap<string, readonly number[]>;

type Change = Exclude<MembersRequest, { readonly change: "list" }>;

/** What a step of the log did to the list, as far as an operator can ask for it. */
interface Done {
  readonly step: MembersStep;
  /** The same as the request of whoever asked for it, with the id of an added member. */
  readonly change: Change;
  readonly id: bigint;
}

/**
 * The list of members, linearizable by the order of the log, as keys are.
 *
 * Every list that a client got is one that the members agreed on, and not one of the future; one that was asked for
 * linearizably, or came as the answer to a change, is not older than what somebody had applied when it was asked for.
 * Every change in the log was asked for, by a request that was not refused, and done once; every change that was answered
 * with success was done while its caller waited. An id that was removed never comes back. A learner that is promoted has
 * nine tenths of what had been applied when that was asked for (M-5).
 */
export function checkMembers(history: History): Verdict {
  const findings = new Findings("members", ["lists", "linearizable lists", "changes", "promotions"]);
  const { members: steps } = history;
  const positions = positionsOf(steps);
  const operations = history.operations.filter(({ request }) => request.kind === "members");

  for (const operation of operations) {
    const { request, outcome, invoked, returned, client, member } = operation;
    if (request.kind !== "members" || outcome.kind !== "ok" || outcome.response.kind !== "members") continue;
    if (returned === undefined) continue;
    findings.count("lists");
    const isFresh = request.change !== "list" || request.linearizable;
    if (isFresh) findings.count("linearizable lists");
    const oldest = isFresh ? lastBefore(steps, invoked.seq) : 0;
    const newest = lastBefore(steps, returned.seq);
    const { list } = outcome.response;
    const found = positions.get(textOf(list)) ?? [];
    if (found.some((at) => at >= oldest && at <= newest)) continue;
    const other = found.at(-1);
    const known = other === undefined ? "which nobody ever had" : `which is that of index ${steps[other]?.index}`;
    findings.report(
      `client ${client} at member ${member}: ${show(request)} answered ${show(list)}, ${known}, where index ` +
        `${steps[oldest]?.index} had been applied: ${show(steps[oldest]?.list)}`,
      invoked.at,
    );
  }

  const open = new Map<string, Operation[]>();
  for (const operation of operations) {
    const { request } = operation;
    if (request.kind !== "members" || request.change === "list" || operation.outcome.kind === "refused") continue;
    const key = keyOf(request);
    open.set(key, [...(open.get(key) ?? []), operation]);
  }
  const removed = new Set<bigint>();
  for (const done of changesOf(steps)) {
    findings.count("changes");
    const { step, change, id } = done;
    const key = keyOf(change);
    const waiting = open.get(key) ?? [];
    const asked = waiting.filter((operation) => isFor(operation, done));
    const best = asked.find(({ outcome }) => outcome.kind === "ok") ?? asked[0];
    if (change.change === "add" && removed.has(id)) {
      findings.report(`index ${step.index}: ${id} is added, and was removed before`, step.applied.at);
    }
    if (change.change === "remove") removed.add(id);
    if (change.change === "promote") checkReadiness(findings, history, done, best);
    open.set(
      key,
      waiting.filter((operation) => operation !== best),
    );
    if (best === undefined)
      findings.report(`index ${step.index}: ${show(change)} was done, and nobody waits for it`, step.applied.at);
  }
  for (const { outcome, request, invoked, client, member } of [...open.values()].flat()) {
    if (outcome.kind !== "ok") continue;
    findings.report(`client ${client} at member ${member}: ${show(request)} was answered, and not done`, invoked.at);
  }
  return findings.verdict();
}

const READY_PART = 0.9;

function checkReadiness(findings: Findings, history: History, { step }: Done, asked: Operation | undefined): void {
  const before = history.members[lastBefore(history.members, step.applied.seq)];
  const number = before?.learners.find((learner) => step.voters.includes(learner));
  if (asked === undefined || number === undefined) return;
  findings.count("promotions");
  const applied = history.log.findLast((entry) => entry !== undefined && entry.applied.seq < asked.invoked.seq);
  const own = step.logs.get(number) ?? 0;
  const other = applied?.entry.index ?? 0;
  if (own >= READY_PART * other) return;
  findings.report(
    `index ${step.index}: member ${number} is promoted with a log to ${own}, where ${other} had been applied`,
    step.applied.at,
  );
}

/** Of requests of the same key. */
function isFor({ request, outcome, invoked, returned }: Operation, { step, id }: Done): boolean {
  if (request.kind !== "members" || invoked.seq > step.applied.seq) return false;
  if (outcome.kind !== "ok") return true;
  if (returned !== undefined && returned.seq < step.applied.seq) return false;
  return request.change !== "add" || (outcome.response.kind === "members" && outcome.response.added === id);
}

function keyOf(change: Change): string {
  switch (change.change) {
    case "add":
      return `add ${change.isLearner} ${change.peerURL}`;
    case "update":
      return `update ${change.id} ${change.peerURL}`;
    case "promote":
    case "remove":
      return `${change.change} ${change.id}`;
  }
}

function positionsOf(steps: readonly MembersStep[]): Positions {
  const positions = new Map<string, number[]>();
  for (const [at, { list }] of steps.entries()) {
    const text = textOf(list);
    const found = positions.get(text);
    if (found === undefined) positions.set(text, [at]);
    else found.push(at);
  }
  return positions;
}

/** The last step that somebody had applied when `seq` was stamped; -1: there was none. */
function lastBefore(steps: readonly MembersStep[], seq: number): number {
  let low = -1;
  let high = steps.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((steps[middle] as MembersStep).applied.seq < seq) low = middle;
    else high = middle;
  }
  return low;
}

/** From list to list. What members say of themselves, name and client URLs, nobody asks for. The founding neither. */
function changesOf(steps: readonly MembersStep[]): readonly Done[] {
  const done: Done[] = [];
  let before = new Map<bigint, ListedMember>();
  for (const step of steps) {
    const now = new Map(step.list.map((member) => [member.id, member]));
    if (step.term > 1) {
      for (const [id, member] of now) {
        const change = changeOf(id, before.get(id), member);
        if (change !== undefined) done.push({ step, change, id });
      }
      for (const id of before.keys()) {
        if (!now.has(id)) done.push({ step, change: { kind: "members", change: "remove", id }, id });
      }
    }
    before = now;
  }
  return done;
}

function changeOf(id: bigint, before: ListedMember | undefined, now: ListedMember): Change | undefined {
  const peerURL = now.peerURLs.join();
  if (before === undefined) return { kind: "members", change: "add", peerURL, isLearner: now.isLearner };
  if (before.isLearner && !now.isLearner) return { kind: "members", change: "promote", id };
  if (before.peerURLs.join() !== peerURL) return { kind: "members", change: "update", id, peerURL };
  return undefined;
}

function textOf(list: readonly ListedMember[]): string {
  const rows = list.map(({ id, name, peerURLs, clientURLs, isLearner }) =>
    [id, name, peerURLs.join(), clientURLs.join(), isLearner].join("|"),
  );
  return rows.join(";");
}
