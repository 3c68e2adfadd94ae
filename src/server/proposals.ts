import { encode } from "../../proto/codec.ts";
import { ConfChange } from "../../proto/generated/raftpb.ts";
import { ENTRY_CONF_CHANGE, ENTRY_NORMAL, type Proposal, type SoftState } from "../../raft/types.ts";
import { type ApiError, errors } from "../api/errors.ts";
import { limits } from "../config.ts";
import type { Env } from "../env.ts";
import { encodeCommand } from "../state/entry.ts";
import type { Applied, Command } from "../state/machine.ts";
import type { CallLimits } from "./call-limits.ts";
import type { Waiter } from "./waiter.ts";

/** What the driver takes proposals from. */
export interface HeldProposals {
  /** Not yet given to raft: no leader was known, or it was full. */
  readonly heldCount: number;
  /** Submitted, their entry not yet applied. */
  readonly waitingCount: number;
  /** Whether a caller waits for the request of this id. */
  isWaiting(id: bigint): boolean;
  /**
   * The next held proposals in order, about maxBytes; those whose caller has given up are skipped. Empty while as much
   * as may be is under way: a burst then waits here instead of being dropped on its way to the leader.
   */
  takeHeld(maxBytes: number, state: SoftState): readonly Proposal[];
}

interface Pending {
  readonly id: bigint;
  readonly proposal: Proposal;
  readonly limits: CallLimits;
  readonly expiresAt: number;
  /** Only for this member to append as the leader of this term; 0: for whoever leads. */
  readonly leaderTerm: number;
  readonly waiter: Waiter<Applied>;
  /** Term in which raft took it; 0 while it is held. */
  term: number;
  /** Its caller has heard. */
  isOver: boolean;
}

export interface ProposalOptions {
  readonly memberId: bigint;
  readonly maxRequestBytes: number;
  readonly requestTimeoutMs: number;
}

const SWEEP_MS = 100;

/**
 * Commands on their way through the log, each with the one caller that waits for it.
 *
 * A command is held until a leader is known, then given to raft exactly once (G-7: it is never proposed again, so it is
 * applied at most once). While held its failure is certain; once submitted, an error means that the outcome is unknown.
 */
export class Proposals implements HeldProposals {
  readonly #env: Env;
  readonly #options: ProposalOptions;
  readonly #wake: () => void;
  /** By the low half of the id (`keyOf`): every entry is looked up here on every member, and bigints hash slowly. */
  readonly #pending = new Map<number, Pending>();
  #held: Pending[] = [];
  #bytes = 0;
  /** Of what raft took and is not applied. */
  #submittedBytes = 0;
  #nextId: bigint;
  #sweeping = false;
  #stopped = false;

  constructor(env: Env, options: ProposalOptions, wake: () => void) {
    this.#env = env;
    this.#options = options;
    this.#wake = wake;
    // G-15: member, time of start, count. Two lives of a member cannot meet unless one made 256 a millisecond.
    this.#nextId = ((options.memberId & 0xffffn) << 48n) | ((BigInt(env.wallClock()) & 0xffffffffffn) << 8n);
  }

  get heldCount(): number {
    return this.#held.length;
  }

  get waitingCount(): number {
    return this.#pending.size;
  }

  isWaiting(id: bigint): boolean {
    return this.#find(id) !== undefined;
  }

  /** Of the entries of all that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  nextId(): bigint {
    this.#nextId = BigInt.asUintN(64, this.#nextId + 1n);
    return this.#nextId;
  }

  /**
   * `waiter` hears what this member's state machine made of the command, or an ApiError; one that is known at once is
   * thrown. With `leaderTerm` it goes into the log only if this member leads in that term when raft takes it; otherwise
   * it fails with notLeader.
   */
  propose(command: Command, callLimits: CallLimits, waiter: Waiter<Applied>, leaderTerm = 0): void {
    this.#checkOpen(callLimits);
    const id = this.nextId();
    const data = encodeCommand(command, id, this.#options.maxRequestBytes);
    if (data === undefined) throw errors.requestTooLarge;
    const expiresAt = this.#env.now() + this.#options.requestTimeoutMs;
    this.#submit(id, { type: ENTRY_NORMAL, data }, callLimits, expiresAt, leaderTerm, waiter);
  }

  /** Likewise a change of the membership, for which only the caller's own limits count (G-6). */
  proposeConfChange(change: Omit<ConfChange, "id">, callLimits: CallLimits, waiter: Waiter<Applied>): void {
    this.#checkOpen(callLimits);
    const id = this.nextId();
    const data = encode(ConfChange, { ...change, id });
    if (data.length > this.#options.maxRequestBytes) throw errors.requestTooLarge;
    this.#submit(id, { type: ENTRY_CONF_CHANGE, data }, callLimits, Number.POSITIVE_INFINITY, 0, waiter);
  }

  #checkOpen(callLimits: CallLimits): void {
    if (this.#stopped) throw errors.stopped;
    if (callLimits.aborted) throw errors.canceled;
  }

  #submit(
    id: bigint,
    proposal: Proposal,
    callLimits: CallLimits,
    expiresAt: number,
    leaderTerm: number,
    waiter: Waiter<Applied>,
  ): void {
    const size = proposal.data.length;
    if (this.#pending.size >= limits.pendingProposals || this.#bytes + size > limits.pendingProposalBytes) {
      throw errors.tooManyRequests;
    }
    // Every request makes one: written out, for a copy of some other object would cost more than all the rest.
    const pending: Pending = {
      id,
      proposal,
      limits: callLimits,
      expiresAt,
      leaderTerm,
      waiter,
      term: 0,
      isOver: false,
    };
    this.#pending.set(keyOf(id), pending);
    this.#held.push(pending);
    this.#bytes += size;
    this.#sweep();
    this.#wake();
  }

  takeHeld(maxBytes: number, { role, term }: SoftState): readonly Proposal[] {
    const batch: Proposal[] = [];
    let bytes = 0;
    let taken = 0;
    for (const pending of this.#held) {
      const size = pending.proposal.data.length;
      if (batch.length > 0 && bytes + size > maxBytes) break;
      if (this.#submittedBytes > 0 && this.#submittedBytes + size > limits.submittedProposalBytes) break;
      taken++;
      if (pending.isOver) continue;
      if (pending.limits.aborted) {
        this.#finish(pending, errors.canceled);
        continue;
      }
      if (pending.leaderTerm !== 0 && (role !== "leader" || pending.leaderTerm !== term)) {
        this.#finish(pending, errors.notLeader);
        continue;
      }
      pending.term = term;
      bytes += size;
      this.#submittedBytes += size;
      batch.push(pending.proposal);
    }
    this.#held = taken === this.#held.length ? [] : this.#held.slice(taken);
    return batch;
  }

  /** An entry was applied: its caller, if it is one of ours, has its answer. */
  applied(outcome: Applied): void {
    if (outcome.requestId === 0n) return;
    const pending = this.#find(outcome.requestId);
    if (pending === undefined) return;
    this.#forget(pending);
    pending.waiter.succeed(outcome);
  }

  /**
   * The first entry of a leader of `term` was applied. What raft took in an earlier term and is not applied by now was
   * lost with that term's leader (a copy still on its way is the reason why the answer is "unknown", not "no"): waiting
   * for the time-out would tell the caller nothing more.
   */
  leaderEntryApplied(term: number): void {
    for (const pending of this.#pending.values()) {
      if (pending.term !== 0 && pending.term < term) this.#finish(pending, errors.timeoutLeaderFailure);
    }
  }

  /** Every caller is told that the server stops. */
  stop(): void {
    this.#stopped = true;
    for (const pending of this.#pending.values()) this.#finish(pending, errors.stopped);
    this.#held = [];
  }

  /** The whole id counts: its low half may be that of another member's, or of an earlier life's. */
  #find(id: bigint): Pending | undefined {
    const pending = this.#pending.get(keyOf(id));
    return pending?.id === id ? pending : undefined;
  }

  #finish(pending: Pending, error: ApiError): void {
    this.#forget(pending);
    pending.waiter.fail(error);
  }

  #forget(pending: Pending): void {
    pending.isOver = true;
    this.#pending.delete(keyOf(pending.id));
    this.#bytes -= pending.proposal.data.length;
    if (pending.term === 0) return;
    this.#submittedBytes -= pending.proposal.data.length;
    if (this.#held.length > 0) this.#wake();
  }

  /** One coarse timer for all instead of one each: time-outs are seconds, and requests come by the ten thousand. */
  #sweep(): void {
    if (this.#sweeping) return;
    this.#sweeping = true;
    this.#env.setTimer(() => {
      this.#sweeping = false;
      const now = this.#env.now();
      for (const pending of this.#pending.values()) {
        if (pending.limits.aborted) {
          // A held one leaves for good; a submitted one may still be applied, nobody listens any more.
          this.#finish(pending, errors.canceled);
        } else if (pending.limits.deadline !== undefined && now >= pending.limits.deadline) {
          this.#finish(pending, errors.deadlineExceeded);
        } else if (now >= pending.expiresAt) {
          // G-14: without a leader the whole request time passed in the queue.
          this.#finish(pending, pending.term === 0 ? errors.deadlineExceeded : errors.timeout);
        }
      }
      this.#held = this.#held.filter((pending) => !pending.isOver);
      if (this.#pending.size > 0) this.#sweep();
    }, SWEEP_MS);
  }
}

const words = new DataView(new ArrayBuffer(8));

/**
 * The low 32 bits, as one of the engine's small integers. No two that wait here have the same: the ids of one life count
 * up, and nothing waits until four billion others have come.
 */
function keyOf(id: bigint): number {
  words.setBigUint64(0, id);
  return words.getInt32(4);
}
