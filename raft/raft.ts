/**
 * Raft, pure: `step` takes a fact, `takeReady` gives what follows from all facts so far. Nothing here waits, reads a
 * clock, draws a number of its own or touches the world. README.md tells the protocol in prose.
 *
 * A driver's duties:
 * - send Ready.messages at any time, Persist.thenSend only once that write and all before it are on disk; losing,
 *   repeating or reordering messages is harmless;
 * - do the writes in order (within one: snapshot, entries, hard state), and report each by `persisted`, or a later one
 *   for all before it;
 * - apply Ready.committed in order; for a membership change step `confChange` first, then `applied`;
 * - take Readys until there is none, after any number of steps.
 */

import { assert, unreachable } from "./assert.ts";
import { campaign, flushTransfer, leaderGone, tick, transferLeader } from "./election.ts";
import { appliedTo, entriesBetween, lastIndex, takeCommitted, trim } from "./log.ts";
import { applyConfChange } from "./membership.ts";
import { stepMessage } from "./messages.ts";
import { onPersisted, takePersist } from "./persist.ts";
import type { ProgressState } from "./progress.ts";
import { onUnreachable } from "./progress.ts";
import { flushChange, propose } from "./proposals.ts";
import { flushReads, requestRead } from "./read-index.ts";
import { flushAppends, onLogRead } from "./replication.ts";
import { onSnapshotAvailable, onSnapshotReport } from "./snapshot.ts";
import type { Raft } from "./state.ts";
import { newState, progressOf } from "./state.ts";
import type { ConfState, Entry, Input, NodeId, RaftConfig, Ready, Restored, Role, SoftState } from "./types.ts";
import { NONE } from "./types.ts";

export { canPropose } from "./proposals.ts";
export { isCommitUntold } from "./replication.ts";
export type { Raft } from "./state.ts";

export function createRaft(config: RaftConfig, restored: Restored): Raft {
  return newState(config, restored);
}

export function step(raft: Raft, input: Input): void {
  switch (input.kind) {
    case "tick":
      tick(raft);
      return;
    case "message":
      stepMessage(raft, input.message);
      return;
    case "propose":
      propose(raft, input.proposals);
      return;
    case "readIndex":
      requestRead(raft, input.id);
      return;
    case "persisted":
      onPersisted(raft, input.seq);
      return;
    case "applied":
      onApplied(raft, input.index);
      return;
    case "confChange":
      applyConfChange(raft, input.change);
      return;
    case "logRead":
      onLogRead(raft, input);
      return;
    case "trim":
      trim(raft.log, input.index);
      return;
    case "snapshotAvailable":
      onSnapshotAvailable(raft, input.metadata, input.storedFrom);
      return;
    case "snapshotReport":
      onSnapshotReport(raft, input.to, input.ok, input.index);
      return;
    case "unreachable": {
      const pr = raft.leadership && progressOf(raft.leadership, input.node);
      if (pr !== undefined) onUnreachable(pr);
      return;
    }
    case "gone":
      leaderGone(raft, input.node);
      return;
    case "transferLeader":
      transferLeader(raft, input.to);
      return;
    case "tellCommit":
      if (raft.leadership !== undefined) raft.leadership.tellsCommit = true;
      return;
    case "campaign":
      campaign(raft, false);
      return;
    default:
      unreachable(input);
  }
}

/** What there is to do now; undefined when there is nothing. */
export function takeReady(raft: Raft): Ready | undefined {
  const { leadership } = raft;
  if (leadership !== undefined) {
    flushChange(raft, leadership);
    flushTransfer(raft, leadership);
    flushReads(raft, leadership);
    flushAppends(raft, leadership);
  }
  const persist = takePersist(raft);
  const committed = takeCommitted(raft.log, raft.config.maxCommittedBytes);
  const softState = takeSoftState(raft);
  const { outbox: messages, readPoints: reads, logReads } = raft;
  const nothing =
    persist === undefined &&
    messages.length === 0 &&
    committed.length === 0 &&
    reads.length === 0 &&
    logReads.length === 0 &&
    softState === undefined;
  if (nothing) return undefined;
  raft.outbox = [];
  raft.readPoints = [];
  raft.logReads = [];
  return { messages, persist, committed, reads, logReads, softState };
}

function takeSoftState(raft: Raft): SoftState | undefined {
  const { role, term, leader, toldSoftState: told } = raft;
  if (role === told.role && term === told.term && leader === told.leader) return undefined;
  raft.toldSoftState = { role, term, leader };
  return raft.toldSoftState;
}

/** As in `status`, without making one: for every proposal. */
export function commitIndex(raft: Raft): number {
  return raft.log.commit;
}

/** What a leader knows of a member's log; undefined: it does not lead, or that is no member. */
export function matchOf(raft: Raft, id: NodeId): number | undefined {
  return raft.leadership && progressOf(raft.leadership, id)?.match;
}

/** The last index before what is in memory. */
export function windowStart(raft: Raft): number {
  return raft.log.before.index;
}

/** What the log holds above the state machine: it may come to be applied, or be replaced. */
export function unapplied(raft: Raft): readonly Entry[] {
  const { log } = raft;
  return entriesBetween(log, log.applied + 1, lastIndex(log), Number.POSITIVE_INFINITY);
}

export interface Status {
  readonly id: NodeId;
  readonly role: Role;
  readonly term: number;
  readonly vote: NodeId;
  readonly leader: NodeId;
  readonly commit: number;
  readonly applied: number;
  readonly lastIndex: number;
  readonly confState: ConfState;
  readonly transferee: NodeId;
  /** By ascending id; empty unless this member leads. */
  readonly progress: readonly ProgressStatus[];
}

export interface ProgressStatus {
  readonly id: NodeId;
  readonly match: number;
  readonly next: number;
  readonly state: ProgressState;
  readonly learner: boolean;
  readonly recentActive: boolean;
  /** MsgApps sent and not acknowledged. */
  readonly inflight: number;
}

export function status(raft: Raft): Status {
  const { id, role, term, vote, leader, log, leadership } = raft;
  return {
    id,
    role,
    term,
    vote,
    leader,
    commit: log.commit,
    applied: log.applied,
    lastIndex: lastIndex(log),
    confState: { voters: raft.voters, learners: raft.learners },
    transferee: leadership?.transferee ?? NONE,
    progress: (leadership?.progress ?? []).map((pr) => ({
      id: pr.id,
      match: pr.match,
      next: pr.next,
      state: pr.state,
      learner: pr.learner,
      recentActive: pr.recentActive || pr.id === id,
      inflight: pr.inflight.length,
    })),
  };
}

function onApplied(raft: Raft, index: number): void {
  const { log } = raft;
  assert(index <= log.handed, `entry ${index} is said to be applied, but only ${log.handed} was handed out`);
  appliedTo(log, index);
}
