import { unreachable } from "../../raft/assert.ts";
import { errors } from "../api/errors.ts";
import { limits } from "../config.ts";
import type { Env, Timer } from "../env.ts";
import type { LeaseFact, Leases } from "../state/machine.ts";
import type { Waiter } from "./waiter.ts";

export interface LeaseClockDeps {
  readonly env: Env;
  readonly leases: Leases;
  readonly electionMs: number;
  /** Resolves when a quorum confirmed, after the call, that this member leads; rejects otherwise. */
  readonly confirmLeadership: () => Promise<void>;
  /**
   * Proposes LeaseRevoke as the leader of this term, and of no other; resolves when it was applied, rejects when it was
   * not (or nobody knows).
   */
  readonly revoke: (id: bigint, term: number) => Promise<void>;
  /** Proposes, likewise, that nothing of the lease's time has passed; resolves when it was applied. */
  readonly dropCheckpoint: (id: bigint, term: number) => Promise<void>;
  /** A revoke failed for a reason other than a lost leadership. */
  readonly onRevokeFailed: (id: bigint, error: unknown) => void;
}

interface Deadline {
  /** env.now() milliseconds. */
  expiresAt: number;
  /** While a revoke is under way or waits for its retry. */
  retryAt: number;
  waiters: (() => void)[];
}

interface Renewal {
  readonly id: bigint;
  /** env.now() when it came in. */
  readonly startedAt: number;
  readonly waiter: Waiter<number>;
}

interface Group {
  readonly confirmed: Promise<void>;
  readonly renewals: Renewal[];
}

/** From this many leases on, a new leader spreads their expiry (L-9). */
const SPREAD_FROM = 1000;
const SPREAD_PER_SECOND = 750;

/**
 * Time for leases: only the leader has it (L-8, L-9). It is replicated nowhere, but for what a checkpoint left of it, which
 * another kind of member may have written: a renewal drops that (L-10).
 *
 * Why a lease never ends early: the clock of a lease starts on a leader at its grant (applied), at a renewal (from the
 * moment the leader began to confirm itself), or at the leader's own election plus one election time-out. Suppose an
 * old leader A answers a renewal while B already leads. A answers only after a quorum confirmed A *after* the renewal
 * came in, so B was elected later than that, and B counts a full time-to-live from its election on.
 * Expiry, too, is proposed only after a confirmation that began after the lease was seen to be due. That alone would not
 * do: A confirms itself, is paused, and wakes up long after B has renewed the lease. In the turn in which A proposes the
 * revoke it hears of B, and would hand it on to B. So a revoke is an entry of A's own term or none at all: what A appends
 * there is committed only if it is in B's log, too, before B's first entry, and then B never renews that lease.
 */
export class LeaseClock {
  readonly #deps: LeaseClockDeps;
  /** Undefined while this member does not lead. */
  #deadlines: Map<bigint, Deadline> | undefined;
  /** The term that the deadlines belong to. */
  #term = 0;
  /** Renewals that wait for the confirmation that was asked for last. */
  #group: Group | undefined;
  #timer: Timer | undefined;
  #revoking = 0;
  /** Each is woken when a revoke has ended. */
  readonly #slotWaiters: (() => void)[] = [];
  #scanning = false;
  #stopped = false;

  constructor(deps: LeaseClockDeps) {
    this.#deps = deps;
  }

  get leading(): boolean {
    return this.#deadlines !== undefined;
  }

  /** The first entry of this member's term as leader was applied (L-9): its lease records are complete. */
  promote(term: number): void {
    const { env, leases, electionMs } = this.#deps;
    this.#term = term;
    const now = env.now();
    const ids = leases.ids();
    const deadlines = new Map<bigint, Deadline>();
    const due: { readonly id: bigint; at: number }[] = [];
    for (const id of ids) {
      const lease = leases.get(id);
      if (lease === undefined) continue;
      const seconds = lease.remainingSeconds > 0 ? lease.remainingSeconds : lease.ttlSeconds;
      due.push({ id, at: now + seconds * 1000 + electionMs });
    }
    if (due.length >= SPREAD_FROM) spread(due);
    for (const { id, at } of due) deadlines.set(id, { expiresAt: at, retryAt: 0, waiters: [] });
    this.#deadlines = deadlines;
    this.#scheduleScan();
  }

  demote(): void {
    const old = this.#deadlines;
    this.#deadlines = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (old !== undefined) for (const deadline of old.values()) wakeAll(deadline);
  }

  stop(): void {
    this.#stopped = true;
    this.demote();
  }

  applied(facts: readonly LeaseFact[]): void {
    const deadlines = this.#deadlines;
    if (deadlines === undefined) return;
    for (const fact of facts) {
      switch (fact.kind) {
        case "granted": {
          const expiresAt = this.#deps.env.now() + fact.ttlSeconds * 1000;
          deadlines.set(fact.id, { expiresAt, retryAt: 0, waiters: [] });
          break;
        }
        case "revoked": {
          const deadline = deadlines.get(fact.id);
          deadlines.delete(fact.id);
          if (deadline !== undefined) wakeAll(deadline);
          break;
        }
        case "checkpointed":
          // For the leaders to come: what was left when a leader proposed it. The deadline here is what it was taken from,
          // and a renewal may have put it off since (L-10).
          break;
        default:
          unreachable(fact);
      }
    }
  }

  /**
   * Renews to the full time-to-live, in seconds; 0 for an unknown lease. A lease that is due is never renewed: its fate is
   * waited for (L-4). Fails with errors.notLeader when this member does not, or no longer, lead.
   */
  renew(id: bigint, waiter: Waiter<number>): void {
    const startedAt = this.#deps.env.now();
    const confirmed = this.#deps.confirmLeadership();
    if (this.#group?.confirmed !== confirmed) this.#group = this.#newGroup(confirmed);
    this.#group.renewals.push({ id, startedAt, waiter });
  }

  /** One look at a promise, however many renewals share its confirmation. */
  #newGroup(confirmed: Promise<void>): Group {
    const group: Group = { confirmed, renewals: [] };
    const ended = (tell: (renewal: Renewal) => void): void => {
      if (this.#group === group) this.#group = undefined;
      for (const renewal of group.renewals) tell(renewal);
    };
    confirmed.then(
      () => ended((renewal) => this.#renewConfirmed(renewal)),
      (error: unknown) => ended(({ waiter }) => waiter.fail(error)),
    );
    return group;
  }

  #renewConfirmed({ id, startedAt, waiter }: Renewal): void {
    const { env, leases } = this.#deps;
    const deadline = this.#deadlines?.get(id);
    const lease = leases.get(id);
    if (this.#deadlines === undefined) waiter.fail(errors.notLeader);
    else if (lease === undefined || deadline === undefined) waiter.succeed(0);
    else if (env.now() >= deadline.expiresAt) deadline.waiters.push(() => this.renew(id, waiter));
    else if (lease.remainingSeconds > 0) {
      // Otherwise the next leader would count what was left before this renewal.
      this.#deps.dropCheckpoint(id, this.#term).then(
        () => this.renew(id, waiter),
        (error: unknown) => waiter.fail(error),
      );
    } else {
      deadline.expiresAt = Math.max(deadline.expiresAt, startedAt + lease.ttlSeconds * 1000);
      waiter.succeed(lease.ttlSeconds);
    }
  }

  /** Those that end soonest come first (L-7); undefined while this member does not lead. */
  idsByExpiry(): readonly bigint[] | undefined {
    if (this.#deadlines === undefined) return undefined;
    return [...this.#deadlines].sort(([, a], [, b]) => a.expiresAt - b.expiresAt).map(([id]) => id);
  }

  /** Remaining whole seconds, at least 0 (L-6); undefined when this member does not lead or the lease is unknown. */
  remainingSeconds(id: bigint): number | undefined {
    const deadline = this.#deadlines?.get(id);
    if (deadline === undefined) return undefined;
    return Math.max(0, Math.trunc((deadline.expiresAt - this.#deps.env.now()) / 1000));
  }

  #scheduleScan(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    this.#timer = this.#deps.env.setTimer(() => {
      this.#timer = undefined;
      if (this.#deadlines === undefined) return;
      this.#scheduleScan();
      void this.#scan();
    }, limits.leaseScanMs);
  }

  async #scan(): Promise<void> {
    if (this.#scanning) return;
    this.#scanning = true;
    try {
      const seen = this.#deadlines;
      const due = this.#due();
      if (due.length === 0 || seen === undefined) return;
      try {
        await this.#deps.confirmLeadership();
      } catch {
        // Environment: leadership is not confirmed now; the leases stay, and the next scan asks again.
        return;
      }
      for (const id of due) {
        while (this.#revoking >= limits.leaseRevokesInFlight) {
          await new Promise<void>((resolve) => this.#slotWaiters.push(resolve));
        }
        // A renewal cannot have come in between: a due lease is not renewed. A new life as a leader can.
        if (this.#deadlines !== seen) return;
        const deadline = seen.get(id);
        if (deadline === undefined || this.#deps.env.now() < deadline.expiresAt) continue;
        deadline.retryAt = this.#deps.env.now() + limits.leaseRevokeRetryMs;
        this.#startRevoke(id);
      }
    } finally {
      this.#scanning = false;
    }
  }

  #due(): bigint[] {
    const now = this.#deps.env.now();
    const due: bigint[] = [];
    for (const [id, deadline] of this.#deadlines ?? []) {
      if (deadline.expiresAt > now || deadline.retryAt > now) continue;
      due.push(id);
      if (due.length >= limits.leaseExpiriesPerScan) break;
    }
    return due;
  }

  #startRevoke(id: bigint): void {
    this.#revoking++;
    this.#deps
      .revoke(id, this.#term)
      .catch((error: unknown) => {
        // Not found: somebody else revoked it. Not leader: it is the successor's now. Else: its retry is set already (L-8).
        if (error !== errors.leaseNotFound && error !== errors.notLeader) this.#deps.onRevokeFailed(id, error);
      })
      .finally(() => {
        this.#revoking--;
        this.#slotWaiters.shift()?.();
      });
  }
}

function wakeAll(deadline: Deadline): void {
  for (const wake of deadline.waiters) wake();
  deadline.waiters = [];
}

/** L-9: at most SPREAD_PER_SECOND leases of a new leader end in one second; later ones are only ever put off. */
function spread(due: { readonly id: bigint; at: number }[]): void {
  due.sort((a, b) => a.at - b.at);
  let second = 0;
  let inSecond = 0;
  for (const lease of due) {
    const own = Math.floor(lease.at / 1000);
    if (own > second) {
      second = own;
      inSecond = 0;
    }
    if (inSecond >= SPREAD_PER_SECOND) {
      second++;
      inSecond = 0;
    }
    inSecond++;
    lease.at += (second - own) * 1000;
  }
}
