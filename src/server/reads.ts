import type { ReadPoint } from "../../raft/types.ts";
import { errors } from "../api/errors.ts";
import { limits } from "../config.ts";
import type { Env, Timer } from "../env.ts";
import { type CallLimits, PATIENT } from "./call-limits.ts";
import { promised, type Waiter } from "./waiter.ts";

interface Reader {
  readonly limits: CallLimits;
  readonly expiresAt: number;
  readonly waiter: Waiter<void>;
}

interface Round {
  /** Hex of the 8-byte id under which raft was asked last. */
  key: string;
  readonly readers: Reader[];
  askedAt: number;
}

interface ConfirmedRound {
  readonly index: number;
  readonly readers: readonly Reader[];
}

/**
 * Linearizable reads: all callers of a turn share one read round.
 *
 * A round confirms by quorum that its leader still led *after* the round began, and names a commit index; a reader that
 * waits until that index is applied here cannot miss a write acknowledged before it asked. A reader therefore joins
 * only a round that has not started yet; one round is under way at a time.
 */
export class Reads {
  readonly #env: Env;
  readonly #requestTimeoutMs: number;
  readonly #ask: (id: Uint8Array) => void;
  readonly #appliedIndex: () => number;
  #nextId = 0n;
  #waiting: Reader[] = [];
  #round: Round | undefined;
  /** Rounds that have their index and wait for it to be applied; not in order of index. */
  #confirmed: ConfirmedRound[] = [];
  #count = 0;
  #startScheduled = false;
  /** For all who wait patiently for the round that comes next. */
  #shared: Promise<void> | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(env: Env, requestTimeoutMs: number, ask: (id: Uint8Array) => void, appliedIndex: () => number) {
    this.#env = env;
    this.#requestTimeoutMs = requestTimeoutMs;
    this.#ask = ask;
    this.#appliedIndex = appliedIndex;
    // Ids of this life must not meet those of an earlier one that are still on their way.
    this.#nextId = (BigInt(env.wallClock()) << 20n) | BigInt(env.random(1 << 20));
  }

  /** An ApiError that is known at once is thrown. */
  wait(callLimits: CallLimits, waiter: Waiter<void>): void {
    if (this.#stopped) throw errors.stopped;
    if (this.#count >= limits.pendingReads) throw errors.tooManyRequests;
    this.#count++;
    const expiresAt = this.#env.now() + this.#requestTimeoutMs;
    this.#waiting.push({ limits: callLimits, expiresAt, waiter });
    this.#scheduleStart();
  }

  barrier(callLimits: CallLimits): Promise<void> {
    return promised((waiter) => this.wait(callLimits, waiter));
  }

  /** As `barrier`, for any number of callers that never give up: those that join the same round get the same promise. */
  sharedBarrier(): Promise<void> {
    if (this.#shared !== undefined) return this.#shared;
    const shared = this.barrier(PATIENT);
    this.#shared = shared;
    // What could not begin, or has waited too long, is nothing to join.
    shared.catch(() => {
      if (this.#shared === shared) this.#shared = undefined;
    });
    return shared;
  }

  /** Answers from raft. */
  points(points: readonly ReadPoint[]): void {
    for (const point of points) {
      const round = this.#round;
      if (round === undefined || keyOf(point.id) !== round.key) continue;
      this.#round = undefined;
      if (point.index <= this.#appliedIndex()) this.#resolve(round.readers);
      else this.#confirmed.push({ index: point.index, readers: round.readers });
      if (this.#waiting.length > 0) this.#scheduleStart();
    }
  }

  applied(index: number): void {
    if (this.#confirmed.length === 0) return;
    const left: ConfirmedRound[] = [];
    for (const round of this.#confirmed) {
      if (round.index <= index) this.#resolve(round.readers);
      else left.push(round);
    }
    this.#confirmed = left;
  }

  /** A new leader is known: a question to the old one may be lost, so it is asked again. */
  leaderChanged(): void {
    if (this.#round !== undefined) this.#askAgain(this.#round);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    const all = [...this.#waiting, ...(this.#round?.readers ?? []), ...this.#confirmed.flatMap((r) => r.readers)];
    this.#waiting = [];
    this.#shared = undefined;
    this.#round = undefined;
    this.#confirmed = [];
    for (const { waiter } of all) waiter.fail(errors.stopped);
  }

  #scheduleStart(): void {
    if (this.#startScheduled || this.#round !== undefined) return;
    this.#startScheduled = true;
    this.#env.nextTurn(() => {
      this.#startScheduled = false;
      if (this.#stopped || this.#round !== undefined || this.#waiting.length === 0) return;
      this.#round = { key: "", readers: this.#waiting, askedAt: 0 };
      this.#waiting = [];
      this.#shared = undefined;
      this.#askAgain(this.#round);
      this.#watchTime();
    });
  }

  #askAgain(round: Round): void {
    const id = new Uint8Array(8);
    this.#nextId = BigInt.asUintN(64, this.#nextId + 1n);
    new DataView(id.buffer).setBigUint64(0, this.#nextId);
    round.key = keyOf(id);
    round.askedAt = this.#env.now();
    this.#ask(id);
  }

  #watchTime(): void {
    if (this.#timer !== undefined) return;
    this.#timer = this.#env.setTimer(() => {
      this.#timer = undefined;
      const now = this.#env.now();
      if (this.#round !== undefined && now - this.#round.askedAt >= limits.readRetryMs) this.#askAgain(this.#round);
      this.#waiting = this.#waiting.filter((reader) => !this.#expired(reader, now));
      this.#confirmed = this.#confirmed
        .map(({ index, readers }) => ({ index, readers: readers.filter((reader) => !this.#expired(reader, now)) }))
        .filter(({ readers }) => readers.length > 0);
      if (this.#round !== undefined) {
        const readers = this.#round.readers.filter((reader) => !this.#expired(reader, now));
        this.#round = readers.length === 0 ? undefined : { ...this.#round, readers };
        if (this.#round === undefined && this.#waiting.length > 0) this.#scheduleStart();
      }
      if (this.#count > 0) this.#watchTime();
    }, 100);
  }

  #expired(reader: Reader, now: number): boolean {
    const error = reader.limits.aborted
      ? errors.canceled
      : reader.limits.deadline !== undefined && now >= reader.limits.deadline
        ? errors.deadlineExceeded
        : now >= reader.expiresAt
          ? errors.timeout
          : undefined;
    if (error === undefined) return false;
    this.#count--;
    reader.waiter.fail(error);
    return true;
  }

  #resolve(readers: readonly Reader[]): void {
    this.#count -= readers.length;
    // Behind the turn of the driver that brings the news: what it has to send and to write goes first.
    queueMicrotask(() => {
      for (const { waiter } of readers) waiter.succeed();
    });
  }
}

function keyOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("hex");
}
