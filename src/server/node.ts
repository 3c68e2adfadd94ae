import { assert } from "../../raft/assert.ts";
import { canPropose, isCommitUntold, type Raft, step, takeReady } from "../../raft/raft.ts";
import type {
  Entry,
  Input,
  LogRead,
  Message,
  Persist,
  ReadPoint,
  Ready,
  Snapshot,
  SoftState,
} from "../../raft/types.ts";
import type { Backend } from "../../storage/backend.ts";
import type { LogPoint, Wal } from "../../storage/wal.ts";
import { errors } from "../api/errors.ts";
import { limits } from "../config.ts";
import type { Env, Timer } from "../env.ts";
import type { Applied, StateMachine } from "../state/machine.ts";
import type { HeldProposals } from "./proposals.ts";
import { createWindow } from "./window.ts";

export interface NodeOptions {
  readonly heartbeatMs: number;
  readonly backendFlushMs: number;
  readonly windowEntries: number;
}

/** What the driver drives. Callbacks must not throw and must not call back into the node except through `enqueue`. */
export interface NodeDeps {
  readonly raft: Raft;
  readonly wal: Wal;
  readonly machine: StateMachine;
  readonly backend: Backend;
  readonly env: Env;
  readonly proposals: HeldProposals;
  readonly send: (messages: readonly Message[]) => void;
  readonly onApplied: (applied: Applied, entry: Entry) => void;
  /** The state machine now holds everything up to this index; called once per batch, after its onApplied calls. */
  readonly onAppliedIndex: (index: number) => void;
  readonly onReads: (points: readonly ReadPoint[]) => void;
  readonly onSoftState: (state: SoftState) => void;
  /** The state machine was at this index when it was flushed: up to there it is on the disk. */
  readonly onFlushed: (index: number) => void;
  /** An entry is asked for that the log can no longer give: raft is to know of a state that can take its place. */
  readonly onEntriesGone: () => void;
  /** A snapshot that a leader sends: not for the message lanes, for it takes the whole state along. */
  readonly sendSnapshot: (message: Message & { readonly type: "MsgSnap" }) => void;
  /**
   * The log on the disk now starts from a snapshot, and the state machine here is of no use any more. The node does
   * nothing from here on; the member is to be started anew from its disk.
   */
  readonly onReplaced: () => void;
  /** This member can no longer keep its promises (its disk failed, or it has a bug): the process must end. */
  readonly onFatal: (error: unknown) => void;
}

/**
 * THE driver: one queue, one drain per turn of the event loop.
 *
 * Durability of a write, step by step: its entry goes to the followers while `wal.append` writes it here; `persisted` is
 * stepped only after its sync, so the leader counts itself late or never; followers' acknowledgements wait in
 * `thenSend` for their own sync. Commit therefore means a quorum of synced disks. `committed` holds only entries
 * that are on this member's disk too, so the state store never gets ahead of the log it is recovered from.
 */
export class Node {
  readonly #deps: NodeDeps;
  readonly #options: NodeOptions;
  readonly #window: ReturnType<typeof createWindow>;
  #inputs: Input[] = [];
  #toApply: Entry[] = [];
  #toApplyHead = 0;
  #scheduled = false;
  #soft: SoftState = { role: "follower", term: 0, leader: 0n };
  #tickTimer: Timer | undefined;
  #flushTimer: Timer | undefined;
  #tellTimer: Timer | undefined;
  /** Since when the followers lack the news of a commit (env.now()). */
  #untoldSince: number | undefined;
  #gatherTimer: Timer | undefined;
  #flushing: Promise<void> | undefined;
  /**
   * Of the time and the bytes that may gather before the next flush. Drawn anew for each: members that apply the same
   * entries, and were started together, would all flush at once, and a write has to wait for a quorum of them.
   */
  #flushShare: number;
  /** When each append under way began (env.now()), oldest first: they end in this order, or the node has failed. */
  readonly #appendsSince: number[] = [];
  /** Called when none is under way any more. */
  #allAppended: () => void = () => undefined;
  #logReads = new Set<Promise<void>>();
  #isInstalling = false;
  /** Called at the end of the turn. */
  #turned: ((isInstalling: boolean) => void)[] = [];
  #state: "new" | "running" | "stopping" | "stopped" | "replaced" | "failed" = "new";

  readonly #isWaiting: (requestId: bigint) => boolean;

  constructor(deps: NodeDeps, options: NodeOptions) {
    this.#deps = deps;
    this.#isWaiting = (id) => deps.proposals.isWaiting(id);
    this.#options = options;
    this.#window = createWindow(options.windowEntries, limits.windowBytes);
    this.#flushShare = shareOf(deps.env);
  }

  get softState(): SoftState {
    return this.#soft;
  }

  start(): void {
    assert(this.#state === "new", "a node starts once");
    this.#state = "running";
    this.#tick();
    this.wake();
  }

  /** Takes an input for the next turn. After a stop or a failure it is dropped: nothing can become of it. */
  enqueue(input: Input): void {
    if (this.#state !== "running" && this.#state !== "stopping") return;
    this.#inputs.push(input);
    this.wake();
  }

  /** Resolves when everything that was enqueued so far was stepped, with whether the log is to start from a snapshot. */
  turned(): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.#state !== "running" && this.#state !== "stopping") return resolve(this.#isInstalling);
      this.#turned.push(resolve);
      this.wake();
    });
  }

  /** Makes sure that a turn comes: after enqueue, or when proposals are held. */
  wake(): void {
    if (this.#scheduled || (this.#state !== "running" && this.#state !== "stopping")) return;
    this.#scheduled = true;
    this.#deps.env.nextTurn(this.#onTurn);
  }

  readonly #onTurn = (): void => {
    this.#scheduled = false;
    this.#guard(() => this.#turn());
  };

  /**
   * Stops taking part; resolves when everything written is on disk and what was applied is flushed. After a failure
   * nothing is flushed any more: it may have struck in the middle of an entry.
   */
  async stop(): Promise<void> {
    if (this.#state === "running") this.#state = "stopping";
    else if (this.#state !== "replaced") return;
    this.#tickTimer?.cancel();
    this.#flushTimer?.cancel();
    this.#tellTimer?.cancel();
    this.#gatherTimer?.cancel();
    while (this.#appendsSince.length > 0 || this.#logReads.size > 0 || this.#flushing !== undefined) {
      await Promise.all([this.#appended(), ...this.#logReads, this.#flushing]);
    }
    if (this.#hasFailed() || this.#isReplaced()) return;
    this.#state = "stopped";
    this.#settleTurned();
    if (this.#deps.backend.stagedBytes > 0) await this.#deps.backend.flush();
  }

  #hasFailed(): boolean {
    return this.#state === "failed";
  }

  #isReplaced(): boolean {
    return this.#state === "replaced";
  }

  #tick(): void {
    this.#tickTimer = this.#deps.env.setTimer(() => {
      this.enqueue({ kind: "tick" });
      if (this.#state === "running") this.#tick();
    }, this.#options.heartbeatMs);
  }

  #guard(work: () => void): void {
    if (this.#state !== "running" && this.#state !== "stopping") return;
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#state === "failed") return;
    this.#state = "failed";
    this.#settleTurned();
    this.#tickTimer?.cancel();
    this.#flushTimer?.cancel();
    this.#tellTimer?.cancel();
    this.#gatherTimer?.cancel();
    this.#deps.onFatal(error);
  }

  #turn(): void {
    const { raft } = this.#deps;
    const inputs = this.#inputs;
    this.#inputs = [];
    for (const input of inputs) step(raft, input);
    this.#drainReady();
    this.#submitProposals();
    this.#applySome();
    this.#settleTurned();
    this.#tellCommitSoon();
  }

  /** Watchers and reads at the followers are to see what is committed though nothing follows it. */
  #tellCommitSoon(): void {
    if (!isCommitUntold(this.#deps.raft)) {
      this.#untoldSince = undefined;
      return;
    }
    this.#untoldSince ??= this.#deps.env.now();
    if (this.#tellTimer === undefined && this.#isRunning()) this.#tellIn(limits.commitNewsMs);
  }

  /** The timer is left to run when entries take the news along: what it meets then is of a later commit, and may wait. */
  #tellIn(ms: number): void {
    const { env } = this.#deps;
    this.#tellTimer = env.setTimer(() => {
      this.#tellTimer = undefined;
      if (this.#untoldSince === undefined) return;
      const leftMs = this.#untoldSince + limits.commitNewsMs - env.now();
      if (leftMs > 0) this.#tellIn(leftMs);
      else this.enqueue({ kind: "tellCommit" });
    }, ms);
  }

  /** At the end of a turn, and when there will be none any more. */
  #settleTurned(): void {
    if (this.#turned.length === 0) return;
    const turned = this.#turned;
    this.#turned = [];
    for (const resolve of turned) resolve(this.#isInstalling);
  }

  /** Held proposals enter raft only while they can be placed: behind a known leader and below the byte limit. */
  #submitProposals(): void {
    const { raft, proposals } = this.#deps;
    if (proposals.heldCount > 0 && this.#isGathering()) return;
    let proposed = false;
    while (proposals.heldCount > 0 && canPropose(raft)) {
      const batch = proposals.takeHeld(limits.raftMessageBytes, this.#soft);
      if (batch.length === 0) break;
      step(raft, { kind: "propose", proposals: batch });
      proposed = true;
    }
    if (proposed) this.#drainReady();
  }

  /**
   * While a leader writes a batch the next one gathers: what came one by one would go to the followers one by one, and
   * each message costs every member a wake-up. Not for long: the disks of others are enough for a commit, and a leader
   * whose own disk stands still must not stop them.
   */
  #isGathering(): boolean {
    const oldestAt = this.#appendsSince[0];
    if (oldestAt === undefined || this.#soft.role !== "leader" || !this.#isRunning()) return false;
    const leftMs = oldestAt + limits.gatherMs - this.#deps.env.now();
    if (leftMs <= 0) return false;
    this.#gatherTimer ??= this.#deps.env.setTimer(() => {
      this.#gatherTimer = undefined;
      this.wake();
    }, leftMs);
    return true;
  }

  #drainReady(): void {
    for (let ready = takeReady(this.#deps.raft); ready !== undefined; ready = takeReady(this.#deps.raft)) {
      this.#carryOut(ready);
    }
  }

  #carryOut(ready: Ready): void {
    if (ready.softState !== undefined) {
      this.#soft = ready.softState;
      this.#deps.onSoftState(ready.softState);
    }
    this.#send(ready.messages);
    if (ready.persist !== undefined) this.#persist(ready.persist);
    for (const entry of ready.committed) this.#toApply.push(entry);
    if (ready.reads.length > 0) this.#deps.onReads(ready.reads);
    for (const request of ready.logReads) this.#readLog(request);
  }

  #send(messages: readonly Message[]): void {
    if (messages.length === 0) return;
    const snapshots = messages.filter((message) => message.type === "MsgSnap");
    for (const message of snapshots) this.#deps.sendSnapshot(message);
    const others = snapshots.length === 0 ? messages : messages.filter((message) => message.type !== "MsgSnap");
    if (others.length > 0) this.#deps.send(others);
  }

  #persist(persist: Persist): void {
    const { hardState, entries, mustSync, snapshot } = persist;
    if (snapshot !== undefined) this.#isInstalling = true;
    this.#deps.wal
      .append({ hardState, entries, mustSync, ...(snapshot === undefined ? {} : { snapshot: pointOf(snapshot) }) })
      .then(
        () => {
          this.#appendEnded();
          this.#guard(() => this.#persisted(persist));
        },
        (error: unknown) => {
          this.#appendEnded();
          this.#fail(error);
        },
      );
    this.#appendsSince.push(this.#deps.env.now());
  }

  #appendEnded(): void {
    this.#appendsSince.shift();
    if (this.#appendsSince.length === 0) this.#allAppended();
  }

  /** For a stop alone. */
  #appended(): Promise<void> {
    if (this.#appendsSince.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#allAppended = resolve;
    });
  }

  #persisted({ seq, snapshot, thenSend }: Persist): void {
    this.#send(thenSend);
    if (snapshot === undefined) this.enqueue({ kind: "persisted", seq });
    else this.#replace();
  }

  #replace(): void {
    this.#state = "replaced";
    this.#settleTurned();
    this.#tickTimer?.cancel();
    this.#flushTimer?.cancel();
    this.#tellTimer?.cancel();
    this.#gatherTimer?.cancel();
    this.#deps.onReplaced();
  }

  #readLog(request: LogRead): void {
    const reading = this.#deps.wal
      .read(request.from, request.through, request.maxBytes)
      .then((found) => {
        this.#logReads.delete(reading);
        if (found === undefined) this.#deps.onEntriesGone();
        this.enqueue({
          kind: "logRead",
          to: request.to,
          result: found === undefined ? { kind: "compacted" } : { kind: "entries", ...found },
        });
      })
      .catch((error: unknown) => {
        this.#logReads.delete(reading);
        this.#fail(error);
      });
    this.#logReads.add(reading);
  }

  /**
   * Applies what is committed, for at most applyTurnMs. It waits for the state store when too much is staged; the flush
   * wakes it again.
   */
  #applySome(): void {
    const { machine, raft, backend, env } = this.#deps;
    if (this.#toApplyHead === this.#toApply.length) return;
    const until = env.now() + limits.applyTurnMs;
    let applied = 0;
    while (this.#toApplyHead < this.#toApply.length && backend.stagedBytes < limits.stagedBytes) {
      const entry = this.#toApply[this.#toApplyHead++] as Entry;
      const outcome = machine.apply(entry, this.#isWaiting);
      applied = entry.index;
      this.#window.applied(entry.index, entry.data.length);
      if (outcome.confChange !== undefined) step(raft, { kind: "confChange", change: outcome.confChange });
      this.#deps.onApplied(outcome, entry);
      if (env.now() >= until) break;
    }
    if (applied > 0) {
      step(raft, { kind: "applied", index: applied });
      const trim = this.#window.trimTo();
      if (trim !== undefined) step(raft, { kind: "trim", index: trim });
      this.#deps.onAppliedIndex(applied);
      this.#drainReady();
    }
    if (this.#toApplyHead === this.#toApply.length) {
      this.#toApply = [];
      this.#toApplyHead = 0;
    } else if (backend.stagedBytes < limits.stagedBytes) {
      this.wake();
    }
    this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    const staged = this.#deps.backend.stagedBytes;
    if (this.#flushing !== undefined || staged === 0) return;
    if (staged >= limits.flushAtBytes * this.#flushShare) {
      this.#flushTimer?.cancel();
      this.#flushTimer = undefined;
      this.#flush();
    } else {
      this.#flushTimer ??= this.#deps.env.setTimer(() => {
        this.#flushTimer = undefined;
        this.#flush();
      }, this.#options.backendFlushMs * this.#flushShare);
    }
  }

  #flush(): void {
    if (this.#flushing !== undefined || (this.#state !== "running" && this.#state !== "stopping")) return;
    const { machine, backend, onFlushed, env } = this.#deps;
    const index = machine.appliedIndex;
    this.#flushShare = shareOf(env);
    this.#flushing = backend
      .flush()
      .then(() => {
        if (this.#state === "running") onFlushed(index);
      })
      .catch((error: unknown) => this.#fail(error))
      .then(() => {
        this.#flushing = undefined;
        if (this.#state !== "running") return;
        this.#scheduleFlush();
        this.wake();
      });
  }

  /** Resolves when everything that is staged now is on disk; rejects when the disk failed. */
  async flushed(): Promise<void> {
    // A flush that is under way may have begun before.
    await this.#flushing;
    this.#flushTimer?.cancel();
    this.#flushTimer = undefined;
    this.#flush();
    await this.#flushing;
    if (!this.#isRunning()) throw errors.stopped;
  }

  #isRunning(): boolean {
    return this.#state === "running";
  }

  /** State staged outside apply (a compaction's deletes) also wants its flush. */
  staged(): void {
    this.#scheduleFlush();
  }
}

const SHARES = 1 << 16;

/** From 0.6 to 1. */
function shareOf(env: Env): number {
  return 0.6 + (0.4 * env.random(SHARES)) / SHARES;
}

function pointOf({ metadata: { index, term } }: Snapshot): LogPoint {
  return { index, term };
}
