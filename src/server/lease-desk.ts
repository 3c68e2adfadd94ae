import { DecodeError, decode, encode } from "../../proto/codec.ts";
import {
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseTimeToLiveRequest,
} from "../../proto/generated/etcdserverpb.ts";
import { LeaseInternalRequest, LeaseInternalResponse } from "../../proto/generated/leasepb.ts";
import type { SoftState } from "../../raft/types.ts";
import { ApiError, errors } from "../api/errors.ts";
import type { Env } from "../env.ts";
import { PeerCallError, type PeerTransport } from "../peer/transport.ts";
import type { Leases } from "../state/machine.ts";
import { waitUntilApplied } from "./applied-wait.ts";
import type { CallLimits } from "./call-limits.ts";
import type { LeaseClock } from "./lease-clock.ts";
import { promised, type Waiter } from "./waiter.ts";

export interface LeaseDeskDeps {
  readonly env: Env;
  readonly clock: LeaseClock;
  readonly leases: Leases;
  readonly transport: Pick<PeerTransport, "request">;
  readonly softState: () => SoftState;
  readonly confirmLeadership: () => Promise<void>;
  readonly commitIndex: () => number;
  readonly appliedIndex: () => number;
  readonly requestTimeoutMs: number;
}

export interface LeaseTime {
  readonly remainingSeconds: number;
  readonly grantedSeconds: number;
  readonly keys: readonly string[];
}

const RETRY_MS = 50;
/** For one question to one leader, so that a hung one leaves time to ask its successor. */
const ATTEMPT_MS = 3_000;

/** Keep-alives and remaining times are the leader's to say: asked here, answered there (G-13, P-36). */
export class LeaseDesk {
  readonly #deps: LeaseDeskDeps;

  constructor(deps: LeaseDeskDeps) {
    this.#deps = deps;
  }

  /** Effective time-to-live in seconds, 0 when the lease is unknown or gone. */
  keepAlive(id: bigint, limits: CallLimits, waiter: Waiter<number>): void {
    const { softState, clock, commitIndex, appliedIndex } = this.#deps;
    const end = this.#endOf(limits);
    if (softState().role === "leader" && clock.leading && commitIndex() <= appliedIndex()) {
      clock.renew(id, new FirstAttempt(waiter, () => this.#keepAlive(id, limits, end)));
    } else tell(waiter, this.#keepAlive(id, limits, end));
  }

  #keepAlive(id: bigint, limits: CallLimits, end: number): Promise<number> {
    return this.#ask(
      limits,
      end,
      () => this.renewHere(id),
      async (leader, timeoutMs) => {
        const body = encode(LeaseKeepAliveRequest, LeaseKeepAliveRequest.create({ ID: id }));
        const answer = await this.#deps.transport.request(leader, { method: "POST", path: "/leases", body, timeoutMs });
        if (answer.status === 404) return 0;
        if (answer.status !== 200) throw errors.notLeader;
        return decode(LeaseKeepAliveResponse, answer.body).TTL;
      },
    );
  }

  timeToLive(id: bigint, withKeys: boolean, limits: CallLimits): Promise<LeaseTime | undefined> {
    return this.#ask(
      limits,
      this.#endOf(limits),
      () => this.timeToLiveHere(id, withKeys),
      async (leader, timeoutMs) => {
        const leaseTimeToLiveRequest = LeaseTimeToLiveRequest.create({ ID: id, keys: withKeys });
        const body = encode(LeaseInternalRequest, LeaseInternalRequest.create({ leaseTimeToLiveRequest }));
        const path = "/leases/internal";
        const answer = await this.#deps.transport.request(leader, { method: "POST", path, body, timeoutMs });
        if (answer.status === 404) return undefined;
        if (answer.status !== 200) throw errors.notLeader;
        const found = decode(LeaseInternalResponse, answer.body).leaseTimeToLiveResponse;
        if (found === undefined) throw errors.notLeader;
        return { remainingSeconds: found.TTL, grantedSeconds: found.grantedTTL, keys: found.keys };
      },
    );
  }

  /** The leader's own part; rejects with errors.notLeader elsewhere. */
  async renewHere(id: bigint): Promise<number> {
    await this.#ready();
    return await promised((waiter) => this.#deps.clock.renew(id, waiter));
  }

  async timeToLiveHere(id: bigint, withKeys: boolean): Promise<LeaseTime | undefined> {
    const { clock, leases } = this.#deps;
    await this.#ready();
    await this.#deps.confirmLeadership();
    const lease = leases.get(id);
    if (lease === undefined) return undefined;
    const remainingSeconds = clock.remainingSeconds(id);
    if (remainingSeconds === undefined) throw errors.notLeader;
    return { remainingSeconds, grantedSeconds: lease.ttlSeconds, keys: withKeys ? [...lease.keys].sort() : [] };
  }

  /** L-13: a leader that is far behind with applying says so soon; whether the lease is there is still in its queue. */
  async #ready(): Promise<void> {
    const { clock, env, commitIndex, appliedIndex } = this.#deps;
    if (!clock.leading) throw errors.notLeader;
    await waitUntilApplied(env, commitIndex(), appliedIndex);
  }

  #endOf(limits: CallLimits): number {
    return Math.min(this.#deps.env.now() + this.#deps.requestTimeoutMs, limits.deadline ?? Number.POSITIVE_INFINITY);
  }

  /** Asks whoever leads until somebody answers or the caller's time is over; both questions may be asked twice. */
  async #ask<T>(
    limits: CallLimits,
    end: number,
    here: () => Promise<T>,
    there: (leader: bigint, timeoutMs: number) => Promise<T>,
  ): Promise<T> {
    const { env } = this.#deps;
    for (;;) {
      if (limits.aborted) throw errors.canceled;
      const { role, leader } = this.#deps.softState();
      try {
        if (role === "leader") return await here();
        if (leader !== 0n) return await there(leader, Math.max(1, Math.min(end - env.now(), ATTEMPT_MS)));
      } catch (error) {
        if (isFinal(error)) throw error;
      }
      if (limits.aborted) throw errors.canceled;
      if (env.now() + RETRY_MS >= end) {
        if (limits.deadline !== undefined && end === limits.deadline) throw errors.deadlineExceeded;
        throw this.#deps.softState().leader === 0n ? errors.noLeader : errors.timeout;
      }
      await new Promise<void>((resolve) => {
        env.setTimer(resolve, RETRY_MS);
      });
    }
  }
}

/** By the leader itself, without a promise; what is not final leads to the longer way. */
class FirstAttempt implements Waiter<number> {
  readonly #waiter: Waiter<number>;
  readonly #again: () => Promise<number>;

  constructor(waiter: Waiter<number>, again: () => Promise<number>) {
    this.#waiter = waiter;
    this.#again = again;
  }

  succeed(ttlSeconds: number): void {
    this.#waiter.succeed(ttlSeconds);
  }

  fail(error: unknown): void {
    if (isFinal(error)) this.#waiter.fail(error);
    else tell(this.#waiter, this.#again());
  }
}

function tell<T>(waiter: Waiter<T>, outcome: Promise<T>): void {
  outcome.then(
    (value) => waiter.succeed(value),
    (error: unknown) => waiter.fail(error),
  );
}

/**
 * A stop of this member, a bug, and that the leader has too much to apply (L-13). A leader that cannot be reached, answers
 * nonsense or no longer leads is asked again, or its successor is.
 */
function isFinal(error: unknown): boolean {
  const isAnswer = error instanceof ApiError || error instanceof PeerCallError || error instanceof DecodeError;
  return !isAnswer || error === errors.stopped || error === errors.timeoutWaitApplied;
}
