/** The one record that everything here works on, and the few changes to it that more than one room makes. */

import { assert } from "./assert.ts";
import type { Log } from "./log.ts";
import { lastIndex, restoreLog } from "./log.ts";
import type { Progress } from "./progress.ts";
import { becomeReplicate, newProgress } from "./progress.ts";
import type {
  HardState,
  LogRead,
  Message,
  NodeId,
  Proposal,
  RaftConfig,
  ReadPoint,
  Restored,
  Role,
  Snapshot,
  SnapshotMetadata,
  SoftState,
} from "./types.ts";
import { NONE } from "./types.ts";

export interface Raft {
  readonly config: RaftConfig;
  readonly id: NodeId;
  term: number;
  vote: NodeId;
  role: Role;
  leader: NodeId;
  readonly log: Log;

  /** The membership as of the applied entries. Both ascending. */
  voters: readonly NodeId[];
  learners: readonly NodeId[];

  /** Ticks since the leader was heard or a vote granted; on a leader since the last look of check-quorum. */
  electionElapsed: number;
  heartbeatElapsed: number;
  /** Drawn anew from [electionTicks, 2 * electionTicks) for each wait; with `yields` the end of that range. */
  electionTimeoutTicks: number;
  /** It stood beside a voter that goes first: that one has the next time-out to itself. See election.ts. */
  yields: boolean;
  /** (Pre)candidate: the answers so far. */
  readonly votes: Map<NodeId, boolean>;
  /** Present exactly while role is leader. */
  leadership: Leadership | undefined;

  /** The latest point at which the state machine can give a snapshot. */
  snapshotAvailable: SnapshotMetadata | undefined;

  /** To be sent at once. */
  outbox: Message[];
  /** To be sent when all that this member holds now is on disk. */
  afterPersist: Message[];
  readPoints: ReadPoint[];
  logReads: LogRead[];
  /** Received, and not yet handed out in a Persist. */
  receivedSnapshot: Snapshot | undefined;
  lastSeq: number;
  /**
   * From tick to tick no commit index was handed out to be written: it is, even alone. Between two writes of entries it
   * would take a write of its own for what the next one says anyway.
   */
  commitDue: boolean;
  /** The commit index last handed out, as of the last tick. */
  commitAtTick: number;
  /** As last handed out. */
  toldHardState: HardState;
  toldSoftState: SoftState;
}

export interface Leadership {
  /** Every voter and learner (itself among them while it is one), by ascending id. */
  progress: Progress[];
  /** The last membership change in the log that may not be applied yet; the next may come when it is. */
  pendingConfIndex: number;
  /** Membership changes proposed meanwhile, oldest first. */
  readonly waitingChanges: Proposal[];
  /** Whom to hand over to, or NONE. */
  transferee: NodeId;
  timeoutNowSent: boolean;
  /** Reads that wait for a round, or for the first commit of the term. */
  waitingReads: ReadRequest[];
  /** The one round on its way. */
  readRound: ReadRound | undefined;
  /** Rounds begun in this term. */
  readRounds: number;
  /** The driver wants every follower to know the commit index. */
  tellsCommit: boolean;
}

export interface ReadRequest {
  readonly from: NodeId;
  readonly id: Uint8Array;
}

export interface ReadRound {
  readonly context: Uint8Array;
  readonly index: number;
  readonly requests: readonly ReadRequest[];
  readonly confirmedBy: Set<NodeId>;
}

export function newState(config: RaftConfig, restored: Restored): Raft {
  assert(config.id !== NONE, "a member needs an id");
  assert(
    config.electionTicks > config.heartbeatTicks && config.heartbeatTicks > 0,
    "electionTicks > heartbeatTicks > 0",
  );
  assert(config.maxInflight > 0 && config.maxInflightBytes > 0, "an empty in-flight window would stop replication");
  const { hardState, confState } = restored;
  const raft: Raft = {
    config,
    id: config.id,
    term: hardState.term,
    vote: hardState.vote,
    role: "follower",
    leader: NONE,
    log: restoreLog(restored),
    voters: ascending(confState.voters),
    learners: ascending(confState.learners),
    electionElapsed: 0,
    heartbeatElapsed: 0,
    electionTimeoutTicks: 0,
    yields: false,
    votes: new Map(),
    leadership: undefined,
    snapshotAvailable: undefined,
    outbox: [],
    afterPersist: [],
    readPoints: [],
    logReads: [],
    receivedSnapshot: undefined,
    lastSeq: 0,
    commitDue: false,
    commitAtTick: hardState.commit,
    toldHardState: hardState,
    toldSoftState: { role: "follower", term: hardState.term, leader: NONE },
  };
  restartElectionTimer(raft);
  return raft;
}

export function ascending(ids: Iterable<NodeId>): readonly NodeId[] {
  return [...new Set(ids)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

export function isVoter(raft: Raft, id: NodeId): boolean {
  return raft.voters.includes(id);
}

export function isMember(raft: Raft, id: NodeId): boolean {
  return raft.voters.includes(id) || raft.learners.includes(id);
}

export function progressOf(leadership: Leadership, id: NodeId): Progress | undefined {
  return leadership.progress.find((pr) => pr.id === id);
}

export function restartElectionTimer(raft: Raft): void {
  const { electionTicks, random } = raft.config;
  raft.electionElapsed = 0;
  raft.electionTimeoutTicks = electionTicks + (raft.yields ? electionTicks : random(electionTicks));
}

/**
 * Votes and acknowledgements of an older term are for nobody any more. Dropping those that have not left yet keeps one
 * promise simple: an acknowledgement leaves with, or after, the write that holds what it acknowledges; a leader of a
 * newer term may be about to replace just that.
 */
function enterTerm(raft: Raft, term: number): void {
  assert(term >= raft.term, `term ${term} is behind ${raft.term}`);
  if (term === raft.term) return;
  raft.term = term;
  raft.vote = NONE;
  raft.afterPersist.length = 0;
}

/** Takes an office in a term; what belonged to the last one (votes, progress, waiting reads, a transfer) goes. */
function take(raft: Raft, role: Role, leader: NodeId): void {
  raft.role = role;
  raft.leader = leader;
  if (leader !== NONE) raft.yields = false;
  raft.votes.clear();
  raft.leadership = undefined;
  raft.heartbeatElapsed = 0;
  restartElectionTimer(raft);
}

export function becomeFollower(raft: Raft, term: number, leader: NodeId): void {
  enterTerm(raft, term);
  take(raft, "follower", leader);
}

/** Neither term nor vote changes: a precandidate only asks. */
export function becomePrecandidate(raft: Raft): void {
  take(raft, "precandidate", NONE);
}

export function becomeCandidate(raft: Raft): void {
  enterTerm(raft, raft.term + 1);
  take(raft, "candidate", NONE);
  raft.vote = raft.id;
}

/** The office only; its first entry is the caller's. */
export function assumeLeadership(raft: Raft, pendingConfIndex: number): Leadership {
  assert(raft.role === "candidate" || raft.role === "precandidate", `a ${raft.role} cannot become leader`);
  take(raft, "leader", raft.id);
  const next = lastIndex(raft.log) + 1;
  const learners = new Set(raft.learners);
  const progress = ascending([...raft.voters, ...learners]).map((id) => newProgress(id, learners.has(id), next));
  const own = progress.find((pr) => pr.id === raft.id);
  if (own !== undefined) becomeReplicate(own);
  const leadership: Leadership = {
    progress,
    pendingConfIndex,
    waitingChanges: [],
    transferee: NONE,
    timeoutNowSent: false,
    waitingReads: [],
    readRound: undefined,
    readRounds: 0,
    tellsCommit: false,
  };
  raft.leadership = leadership;
  return leadership;
}

/** One follower has one current acknowledgement: of several in a row the furthest is enough. */
export function acknowledge(raft: Raft, to: NodeId, index: number): void {
  const queued = raft.afterPersist.at(-1);
  const supersedes = queued?.type === "MsgAppResp" && !queued.reject && queued.to === to && queued.term === raft.term;
  const furthest = supersedes ? Math.max(queued.index, index) : index;
  if (supersedes) raft.afterPersist.pop();
  raft.afterPersist.push({
    type: "MsgAppResp",
    from: raft.id,
    to,
    term: raft.term,
    index: furthest,
    reject: false,
    rejectHint: 0,
    logTerm: 0,
  });
}
