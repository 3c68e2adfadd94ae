import type { History, Operation, Stamp } from "../history.ts";
import type { Placement } from "./placement.ts";
import { type LeaseLife, revisionAt, type Truth } from "./truth.ts";
import { Findings, show, type Verdict } from "./verdict.ts";

/** Scan (500 ms), a revoke that got lost and its retry (3 s), and the time of both on a busy cluster. */
const EXPIRY_SLACK_MS = 6_000;

/** Revisions between call and return of a timeToLive up to which its keys are looked for. */
const MAX_KEY_REVISIONS = 64;

/**
 * What a lease promises (L-1..L-11).
 *
 * Never early: members end a lease by themselves no sooner than its time-to-live after its grant, and after the call of
 * any keep-alive that was answered with a time; nor sooner than a timeToLive said. What was answered is true: of a lease
 * that was there all the while nobody hears that it is unknown, and the other way round. Gone in bounded time: once faults
 * have ended and the cluster has recovered (before, its majority may hang on members that still read the log), a lease
 * that nobody renews ends a bounded time after its time-to-live (from the last leader's election on, for a new leader
 * counts anew). Its keys go with it, in one revision: that is the model's to say, and every reader's.
 */
export function checkLeases(history: History, truth: Truth, placement: Placement): Verdict {
  const findings = new Findings("leases", ["leases", "keep-alives", "times to live", "expired", "ended in time"]);
  const lives = new Map<bigint, LeaseLife[]>();
  for (const life of truth.leases) {
    findings.count("leases");
    const list = lives.get(life.id);
    if (list === undefined) lives.set(life.id, [life]);
    else list.push(life);
  }
  const expiries = new Set(placement.expiries);
  const notBefore = new Map<LeaseLife, { readonly at: number; readonly because: string }>();
  const lastRenewal = new Map<LeaseLife, number>();
  const promise = (life: LeaseLife, at: number, because: string): void => {
    const before = notBefore.get(life);
    if (before === undefined || before.at < at) notBefore.set(life, { at, because });
  };
  /** The shortest true time that a member's clock can make of so many seconds. */
  const shortest = (seconds: number): number => (seconds * 1000) / (1 + history.facts.maxDrift);

  for (const life of truth.leases) promise(life, life.granted.applied.at + shortest(life.ttlSeconds), "its grant");
  for (const operation of history.operations) {
    if (operation.request.kind === "leaseKeepAlive") keepAlive(operation);
    else if (operation.request.kind === "leaseTimeToLive") timeToLive(operation);
  }
  for (const life of truth.leases) {
    if (life.ended !== undefined && expiries.has(life.ended)) expired(life, life.ended.applied);
    endsInTime(life);
  }
  return findings.verdict();

  function keepAlive({ request, outcome, invoked, returned }: Operation): void {
    if (request.kind !== "leaseKeepAlive") return;
    const own = overlapping(lives.get(request.id) ?? [], invoked, returned);
    // Whatever was answered, it may have renewed as long as it was under way.
    const until = returned?.at ?? Number.POSITIVE_INFINITY;
    for (const life of own) lastRenewal.set(life, Math.max(lastRenewal.get(life) ?? 0, until));
    if (outcome.kind !== "ok" || outcome.response.kind !== "leaseKeepAlive" || returned === undefined) return;
    findings.count("keep-alives");
    const { ttlSeconds, id } = outcome.response;
    if (id !== request.id) {
      findings.report(`a keep-alive of lease ${request.id} was answered for lease ${id}`, invoked.at);
      return;
    }
    const [only] = own;
    if (ttlSeconds <= 0) {
      const there = own.find((life) => isThereAllTheWhile(life, invoked, returned));
      if (there !== undefined) findings.report(`a keep-alive heard that lease ${request.id} is unknown`, invoked.at);
    } else if (only === undefined) {
      findings.report(`a keep-alive renewed lease ${request.id}, which was not there`, invoked.at);
    } else if (own.length === 1) {
      if (ttlSeconds !== only.ttlSeconds) {
        findings.report(
          `a keep-alive gave lease ${only.id} ${ttlSeconds} s instead of ${only.ttlSeconds} s`,
          invoked.at,
        );
      }
      promise(only, invoked.at + shortest(ttlSeconds), `a keep-alive called at ${invoked.at}`);
    }
  }

  function timeToLive({ request, outcome, invoked, returned }: Operation): void {
    if (request.kind !== "leaseTimeToLive" || returned === undefined) return;
    if (outcome.kind !== "ok" || outcome.response.kind !== "leaseTimeToLive") return;
    findings.count("times to live");
    const own = overlapping(lives.get(request.id) ?? [], invoked, returned);
    const { ttlSeconds, grantedSeconds, keys } = outcome.response;
    const [only] = own;
    if (ttlSeconds < 0) {
      const there = own.find((life) => isThereAllTheWhile(life, invoked, returned));
      if (there !== undefined) findings.report(`timeToLive says that lease ${request.id} is unknown`, invoked.at);
      return;
    }
    if (only === undefined) {
      findings.report(`timeToLive gives lease ${request.id} ${ttlSeconds} s, and it was not there`, invoked.at);
      return;
    }
    if (own.length > 1) return;
    // A new leader adds an election timeout (L-9).
    const most = only.ttlSeconds + Math.ceil(history.facts.electionMs / 1000);
    // What the grant alone promised, by the fastest clock and in whole seconds.
    const leftMs = only.ttlSeconds * 1000 - (returned.at - only.granted.applied.at) * (1 + history.facts.maxDrift);
    if (grantedSeconds !== only.ttlSeconds || ttlSeconds > most || ttlSeconds < Math.trunc(leftMs / 1000) - 1) {
      findings.report(`timeToLive ${show(outcome.response)} of a lease of ${only.ttlSeconds} s`, invoked.at);
    }
    promise(only, invoked.at + shortest(ttlSeconds), `a timeToLive of ${ttlSeconds} s called at ${invoked.at}`);
    if (!areKeysOf(only.id, request.keys ? keys : undefined, invoked, returned)) {
      findings.report(`timeToLive says that lease ${only.id} holds ${show(keys)}`, invoked.at);
    }
  }

  /** Some revision between call and return has these keys on the lease; only asked for when the two are close. */
  function areKeysOf(id: bigint, keys: readonly string[] | undefined, invoked: Stamp, returned: Stamp): boolean {
    if (keys === undefined) return true;
    const first = revisionAt(truth, invoked.seq);
    const last = revisionAt(truth, returned.seq);
    if (last - first > MAX_KEY_REVISIONS) return true;
    const said = [...keys].sort().join("\n");
    for (let revision = first; revision <= last; revision++) {
      const held = truth.store.pairs("\0", "\0", revision).filter(({ lease }) => lease === id);
      if (held.map(({ key }) => key).join("\n") === said) return true;
    }
    return false;
  }

  function expired(life: LeaseLife, { at }: Stamp): void {
    findings.count("expired");
    const bound = notBefore.get(life);
    if (bound === undefined || at >= bound.at) return;
    const early = Math.ceil(bound.at - at);
    findings.report(
      `lease ${life.id} (${life.ttlSeconds} s) ends ${early} ms early, counted from ${bound.because}`,
      at,
    );
  }

  function endsInTime(life: LeaseLife): void {
    const recovered = history.worldEvents.find(({ event }) => event.kind === "recovered");
    const settled = history.worldEvents.find(({ event }) => event.kind === "settled");
    if (recovered === undefined || settled === undefined) return;
    const ended = life.ended?.applied.at ?? Number.POSITIVE_INFINITY;
    const { electionMs, maxDrift, expiriesPerSecond } = history.facts;
    const election = history.leaders.findLast(({ at }) => at <= Math.min(ended, settled.at))?.at ?? 0;
    const renewed = Math.max(lastRenewal.get(life) ?? 0, life.granted.applied.at);
    const from = Math.max(renewed, election, recovered.at);
    // All that were there at the time may be due at once.
    const queue = truth.leases.filter((other) => (other.ended?.applied.at ?? Number.POSITIVE_INFINITY) > from).length;
    const waitsMs = (1000 * queue) / expiriesPerSecond;
    const bound = from + (life.ttlSeconds * 1000 + 2 * electionMs + waitsMs) / (1 - maxDrift) + EXPIRY_SLACK_MS;
    if (bound > settled.at && ended > bound) return;
    findings.count("ended in time");
    if (ended <= bound) return;
    findings.report(
      `lease ${life.id} (${life.ttlSeconds} s), last renewed or counted anew at ${from}, is there after ${bound}`,
      Math.min(ended, settled.at),
    );
  }
}

function overlapping(lives: readonly LeaseLife[], invoked: Stamp, returned: Stamp | undefined): readonly LeaseLife[] {
  return lives.filter(
    ({ granted, ended }) =>
      granted.applied.seq < (returned?.seq ?? Number.POSITIVE_INFINITY) &&
      (ended === undefined || ended.applied.seq > invoked.seq),
  );
}

function isThereAllTheWhile({ granted, ended }: LeaseLife, invoked: Stamp, returned: Stamp): boolean {
  return granted.applied.seq < invoked.seq && (ended === undefined || ended.applied.seq > returned.seq);
}
