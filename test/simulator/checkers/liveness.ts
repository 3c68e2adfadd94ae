import type { History, Operation, Probe, ProbeChecker, Stamp } from "../history.ts";
import { lifeThroughout } from "./lives.ts";
import type { Truth } from "./truth.ts";
import { Findings, type Verdict } from "./verdict.ts";

/** The bound: election timeouts from the moment that a quorum is connected. */
const ELECTIONS_TO_A_LEADER = 5;

/** While a quorum is connected, no span of five election timeouts passes without a leader in it. */
export function createLeaderLiveness(history: Pick<History, "report" | "facts">): ProbeChecker {
  const name = "liveness";
  const { electionMs, maxDrift } = history.facts;
  const boundMs = (ELECTIONS_TO_A_LEADER * electionMs) / (1 - maxDrift);
  const leading = new Set<number>();
  let quorum: readonly number[] = [];
  /** The latest moment that the quorum had a leader or began to be one. */
  let since = 0;
  let spans = 0;
  let reported = false;

  const look = ({ at }: Stamp): void => {
    if (quorum.length === 0) return;
    if (quorum.some((member) => leading.has(member))) {
      if (since < at) spans++;
      since = at;
      reported = false;
    } else if (at - since > boundMs && !reported) {
      reported = true;
      history.report(name, `members ${quorum.join(", ")} reach a quorum since ${since}, and no one of them leads`, at);
    }
  };

  return {
    name,
    probe(probe: Probe, stamp: Stamp) {
      if (probe.kind !== "leader" && probe.kind !== "deposed" && probe.kind !== "ended") return;
      look(stamp);
      if (probe.kind === "leader") leading.add(probe.member);
      else leading.delete(probe.member);
      look(stamp);
    },
    world(event, stamp) {
      look(stamp);
      if (event.kind !== "quorum") return;
      quorum = event.members;
      since = stamp.at;
      look(stamp);
    },
    tick: look,
    counts: () => ({ "looks at a quorum with a leader": spans }),
  };
}

/** L-4: who waits for the end of a lease hears of it, by way of the leader. */
const LEASE_WORD_MS = 3_000;

/** G-6. */
function requestTimeoutMs(electionMs: number): number {
  return 5_000 + 2 * electionMs;
}

/**
 * Once faults have ended and the cluster has recovered (which the run bounds), every request to a member that runs, and
 * was not removed, is answered, and in time. What was asked while leadership or membership was being changed on purpose may still hear that nobody knows.
 */
export function checkProgress(history: History, truth: Truth): Verdict {
  const findings = new Findings("progress", ["answered after healing"]);
  const recovered = history.worldEvents.find(({ event }) => event.kind === "recovered");
  const settled = history.worldEvents.find(({ event }) => event.kind === "settled");
  if (recovered === undefined || settled === undefined) return findings.verdict();
  const { electionMs, maxDrift } = history.facts;
  const timeoutMs = requestTimeoutMs(electionMs) / (1 - maxDrift);
  const upheavals = history.operations.filter(
    ({ request }) => request.kind === "moveLeader" || request.kind === "members",
  );

  for (const operation of history.operations) {
    const { invoked, returned, outcome, request, client, member } = operation;
    if (invoked.seq < recovered.seq || lifeThroughout(history, operation, returned ?? settled) === undefined) continue;
    if (!isMember(history, member)) continue;
    if (outcome.kind !== "unknown") {
      findings.count("answered after healing");
      continue;
    }
    const goneAt = endOfLease(truth, operation);
    if (goneAt !== undefined && (returned ?? settled).at - goneAt > LEASE_WORD_MS / (1 - maxDrift)) {
      findings.report(
        `client ${client}: the lease that a keep-alive at ${invoked.at} waits for ended at ${goneAt}, and nobody told it`,
        invoked.at,
      );
    }
    if (returned === undefined && invoked.at + timeoutMs > settled.at) continue;
    if (returned !== undefined && returned.at - invoked.at < timeoutMs && isImpatience(outcome.reason)) continue;
    // It takes as long as there are keys, a pause between two slices (C-3).
    if (request.kind === "compact" && request.physical) continue;
    if (upheavals.some((other) => overlap(operation, other))) continue;
    if (waitedForARevoke(history, truth, operation)) continue;
    findings.report(
      `client ${client} asked member ${member} for ${request.kind} at ${invoked.at}, long after faults had ended: ${outcome.reason}`,
      invoked.at,
    );
  }
  return findings.verdict();
}

/** When the lease of a keep-alive ended that was under way then. */
function endOfLease({ leases }: Truth, { request, invoked, returned }: Operation): number | undefined {
  if (request.kind !== "leaseKeepAlive") return undefined;
  const until = returned?.seq ?? Number.POSITIVE_INFINITY;
  const own = leases.filter(({ id, granted }) => id === request.id && granted.applied.seq < until);
  // An id that came again may have been renewed anew.
  const [only] = own;
  if (only?.ended === undefined || own.length > 1) return undefined;
  const { seq, at } = only.ended.applied;
  return seq > invoked.seq && seq < until ? at : undefined;
}

/**
 * L-4, L-8: a keep-alive of a lease that is due waits for its end, and those that are due wait for each other. So soon
 * after the answer as all that were there can take in a row, it must have come.
 */
function waitedForARevoke({ facts }: History, { leases }: Truth, { request, invoked, returned }: Operation): boolean {
  if (request.kind !== "leaseKeepAlive" || returned === undefined) return false;
  const there = leases.filter(({ granted, ended }) => {
    return granted.applied.seq < invoked.seq && (ended === undefined || ended.applied.seq > returned.seq);
  });
  const queueMs = (1_000 * there.length) / facts.expiriesPerSecond / (1 - facts.maxDrift);
  return there.some(
    ({ id, ended }) => id === request.id && ended !== undefined && ended.applied.at - returned.at <= queueMs,
  );
}

/** The client gave up by itself, on its side or by the deadline that it sent along. */
function isImpatience(reason: string): boolean {
  return /client|context deadline/.test(reason);
}

/** In the end. */
function isMember(history: History, member: number): boolean {
  const last = history.members.at(-1);
  return last === undefined || last.voters.includes(member) || last.learners.includes(member);
}

function overlap(a: Operation, b: Operation): boolean {
  const endA = a.returned?.seq ?? Number.POSITIVE_INFINITY;
  const endB = b.returned?.seq ?? Number.POSITIVE_INFINITY;
  return a.invoked.seq < endB && b.invoked.seq < endA;
}
