/**
 * Who leads.
 *
 * A member that hears no leader for a random [n, 2n) ticks asks around whether it could win (pre-vote: no term changes,
 * so a member that was cut off disturbs nobody), and if a majority thinks so, stands in a new term. Voters that hear a
 * leader ignore both questions (the lease), unless that leader itself hands over. A leader that does not hear a
 * majority within an election timeout steps down (check-quorum), which is what makes the lease safe to rely on.
 */

import { must } from "./assert.ts";
import { commitInForce, commitTo, isUpToDate, lastConfChangeBetween, lastIndex, lastTerm, termAt } from "./log.ts";
import { appendProposals } from "./proposals.ts";
import { isMajority, tally } from "./quorum.ts";
import { broadcastHeartbeat, onOwnProgress, tickLogReads } from "./replication.ts";
import type { Leadership, Raft } from "./state.ts";
import {
  assumeLeadership,
  becomeCandidate,
  becomeFollower,
  becomePrecandidate,
  isVoter,
  progressOf,
  restartElectionTimer,
} from "./state.ts";
import type { Message, NodeId } from "./types.ts";
import { ENTRY_NORMAL, NONE } from "./types.ts";

const NO_DATA = new Uint8Array(0);

export function tick(raft: Raft): void {
  const told = raft.toldHardState.commit;
  raft.commitDue = told === raft.commitAtTick;
  raft.commitAtTick = told;
  if (raft.leadership === undefined) tickFollower(raft);
  else tickLeader(raft, raft.leadership);
}

/**
 * Who waits for its disk stands when that is done. A request for votes would wait behind the same writes; only the new
 * term would be out, in refused pre-votes, and put off those who can be elected: again and again while a disk hangs.
 */
function tickFollower(raft: Raft): void {
  raft.electionElapsed++;
  if (raft.electionElapsed < raft.electionTimeoutTicks || !isVoter(raft, raft.id)) return;
  if (raft.log.writes.length > 0) return;
  raft.yields = false;
  restartElectionTimer(raft);
  campaign(raft, false);
}

/** Ticks between two voters that stand because they lost the same leader at the same time. */
const STAGGER_TICKS = 3;

/**
 * The leader's process has ended: waiting for the rest of the election timeout would not bring it back. Its voters
 * forget it (so that they answer pre-votes) and stand one after the other by their ids; all of them noticed at once, and
 * would split the vote. Nothing that makes elections safe is touched: term, vote and log stay, and a majority still has
 * to have lost this leader for anybody to win. A leader that is there after all is followed again at its next message.
 * Without pre-vote a false alarm would raise the term, and depose the leader: then the time-out decides as ever.
 */
export function leaderGone(raft: Raft, node: NodeId): void {
  if (!raft.config.preVote || raft.role !== "follower" || node === NONE || raft.leader !== node || node === raft.id)
    return;
  const rank = raft.voters.filter((voter) => voter !== node && voter < raft.id).length;
  raft.leader = NONE;
  raft.electionElapsed = 0;
  raft.electionTimeoutTicks = Math.min(1 + STAGGER_TICKS * rank, raft.config.electionTicks);
}

function tickLeader(raft: Raft, leadership: Leadership): void {
  raft.electionElapsed++;
  raft.heartbeatElapsed++;
  tickLogReads(raft, leadership);
  if (raft.electionElapsed >= raft.config.electionTicks) {
    raft.electionElapsed = 0;
    if (raft.config.checkQuorum && !wasMajorityActive(raft, leadership)) {
      becomeFollower(raft, raft.term, NONE);
      return;
    }
    // A transfer starts this clock anew, so it has had its one election timeout.
    leadership.transferee = NONE;
  }
  if (raft.heartbeatElapsed >= raft.config.heartbeatTicks) {
    raft.heartbeatElapsed = 0;
    broadcastHeartbeat(raft, leadership);
  }
}

/** Looks at who was heard since the last look. */
function wasMajorityActive(raft: Raft, leadership: Leadership): boolean {
  let active = 0;
  for (const pr of leadership.progress) {
    if (!pr.learner && (pr.recentActive || pr.id === raft.id)) active++;
    pr.recentActive = false;
  }
  return isMajority(active, raft.voters.length);
}

// Standing.

/** A transfer skips the pre-vote: the leader has said that it gives way. */
export function campaign(raft: Raft, transfer: boolean): void {
  if (!mayCampaign(raft)) return;
  if (raft.config.preVote && !transfer) askForPrevotes(raft);
  else standForElection(raft, transfer);
}

/**
 * Voters only, as far as this member knows. Not while it knows of a committed membership change that it has not
 * applied: it would count votes by a membership that may be two changes behind the real one, and such majorities need
 * not meet. Not while a snapshot is on its way to disk: its membership is that of a state not there yet.
 */
function mayCampaign(raft: Raft): boolean {
  const { log } = raft;
  return (
    raft.role !== "leader" &&
    isVoter(raft, raft.id) &&
    log.applied >= log.before.index &&
    lastConfChangeBetween(log, log.applied + 1, log.commit) === 0
  );
}

function askForPrevotes(raft: Raft): void {
  becomePrecandidate(raft);
  raft.votes.set(raft.id, true);
  for (const to of raft.voters) if (to !== raft.id) raft.outbox.push(voteRequest(raft, "MsgPreVote", to, false));
  settle(raft);
}

/**
 * The requests wait until term and vote are on disk, and so does the own vote. Otherwise a crash could make this member
 * stand, and win, in the same term a second time with another log.
 */
function standForElection(raft: Raft, transfer: boolean): void {
  becomeCandidate(raft);
  for (const to of raft.voters) if (to !== raft.id) raft.afterPersist.push(voteRequest(raft, "MsgVote", to, transfer));
}

function voteRequest(raft: Raft, type: "MsgPreVote" | "MsgVote", to: NodeId, transfer: boolean): Message {
  const term = type === "MsgPreVote" ? raft.term + 1 : raft.term;
  const { log } = raft;
  return { type, from: raft.id, to, term, index: lastIndex(log), logTerm: lastTerm(log), transfer };
}

/** The term and the vote are on disk. The others are asked now, and have from now on the time to answer. */
export function onOwnVotePersisted(raft: Raft, term: number, vote: NodeId): void {
  if (raft.role !== "candidate" || term !== raft.term || vote !== raft.id) return;
  if (raft.votes.has(raft.id)) return;
  raft.electionElapsed = 0;
  raft.votes.set(raft.id, true);
  settle(raft);
}

type VoteResponse = Message & { readonly type: "MsgPreVoteResp" | "MsgVoteResp" };

/** A granted pre-vote carries the term it was asked for, the next one; everything else the term of the voter. */
export function handleVoteResponse(raft: Raft, message: VoteResponse): void {
  const { type, reject, from, term } = message;
  learnCommit(raft, message);
  const role = type === "MsgPreVoteResp" ? "precandidate" : "candidate";
  const expected = type === "MsgPreVoteResp" && !reject ? raft.term + 1 : raft.term;
  if (raft.role !== role || term !== expected || !isVoter(raft, from)) return;
  // The first answer stands: a repeated or contradicting one does not change a vote.
  if (raft.votes.has(from)) return;
  raft.votes.set(from, !reject);
  settle(raft);
}

/**
 * Who is asked for a vote says what it knows to be committed, and that can settle what an election cannot. Of two voters,
 * one of which has taken itself out, the other may not have heard that it is now alone; and the one that is out may have
 * more entries, so that it must refuse for ever. Or one is removed of four, and a second one is lost: of the two that are
 * left, a majority of three, one knows of the removal and has the shorter log, so that it cannot win; the other counts
 * four, and has the vote of the first alone. An election by a membership that turns out to be over is given up.
 */
function learnCommit(raft: Raft, { commit, logTerm }: VoteResponse): void {
  const { log } = raft;
  if (raft.role === "leader" || termAt(log, commit) !== logTerm) return;
  commitTo(log, commit);
  if (raft.role !== "follower" && lastConfChangeBetween(log, log.applied + 1, log.commit) !== 0) {
    becomeFollower(raft, raft.term, NONE);
  }
}

function settle(raft: Raft): void {
  switch (tally(raft.voters, raft.votes)) {
    case "open":
      return;
    case "lost":
      becomeFollower(raft, raft.term, NONE);
      return;
    case "won":
      if (raft.role === "precandidate") standForElection(raft, false);
      else becomeLeader(raft);
  }
}

/** The empty entry commits, once it is on a majority, everything the terms before have left in the log. */
function becomeLeader(raft: Raft): void {
  const { log } = raft;
  const pendingConfIndex = lastConfChangeBetween(log, log.applied + 1, lastIndex(log));
  const leadership = assumeLeadership(raft, pendingConfIndex);
  appendProposals(raft, leadership, [{ type: ENTRY_NORMAL, data: NO_DATA }]);
  onOwnProgress(raft, leadership);
}

// Voting.

type VoteRequest = Message & { readonly type: "MsgPreVote" | "MsgVote" };

/** Heard a leader lately: whoever asks for votes has merely lost touch. */
export function isLeaseHeld(raft: Raft, message: VoteRequest): boolean {
  const { checkQuorum, electionTicks } = raft.config;
  return checkQuorum && !message.transfer && raft.leader !== NONE && raft.electionElapsed < electionTicks;
}

/**
 * Anyone may ask, member or not (the asker may know of a membership change that has not come here), and learners answer
 * too: the asker knows whom it takes for a voter.
 */
export function handleVoteRequest(raft: Raft, message: VoteRequest): void {
  lookAtRival(raft, message);
  const { from, term } = message;
  const future = message.type === "MsgPreVote" && term > raft.term;
  const free = raft.vote === from || (raft.vote === NONE && raft.leader === NONE) || future;
  const granted = free && isUpToDate(raft.log, message.index, message.logTerm);
  if (message.type === "MsgPreVote") {
    answerPrevote(raft, message, granted);
    return;
  }
  if (granted) {
    raft.vote = from;
    raft.electionElapsed = 0;
  }
  raft.afterPersist.push({
    type: "MsgVoteResp",
    from: raft.id,
    to: from,
    term: raft.term,
    ...verdict(raft, granted),
  });
}

/**
 * Two that lost the same leader at the same moment split the votes, and may draw the same time-out again and again: there
 * are only as many as ticks in an election time-out. So a candidate that is asked for its vote by one of a lower number,
 * for the same term and with a log that can win, leaves the next time-out to that one: it stands when the longest is over.
 * Nothing else changes; if the other fails it has only waited.
 *
 * A pre-vote is not enough: a member that is heard and hears nobody asks for those for ever. Two others that both leave
 * the next time-out to it stand in the same moment when that is over, each time.
 */
function lookAtRival(raft: Raft, { type, from, term, index, logTerm }: VoteRequest): void {
  if (type !== "MsgVote" || raft.role !== "candidate" || term !== raft.term) return;
  if (from >= raft.id || !isUpToDate(raft.log, index, logTerm)) return;
  raft.yields = true;
  raft.electionTimeoutTicks = 2 * raft.config.electionTicks;
}

/**
 * Promises nothing, so it needs no write. But a vote would wait for those that are under way, and so does the word that
 * it would be given: who counts on a member whose disk hangs stands in vain, and puts off others by its term.
 */
export function answerPrevote(raft: Raft, message: VoteRequest, granted: boolean): void {
  const term = granted ? message.term : raft.term;
  const answers = granted ? raft.afterPersist : raft.outbox;
  answers.push({ type: "MsgPreVoteResp", from: raft.id, to: message.from, term, ...verdict(raft, granted) });
}

function verdict({ log }: Raft, granted: boolean): Pick<VoteResponse, "reject" | "commit" | "logTerm"> {
  const commit = commitInForce(log);
  return { reject: !granted, commit, logTerm: must(termAt(log, commit), "committed entries have terms") };
}

// Handing over.

/** On a follower it is a question to the leader, and the one who asks names itself. */
export function transferLeader(raft: Raft, to: NodeId): void {
  const { leadership } = raft;
  if (leadership === undefined && raft.leader !== NONE && to === raft.id) {
    raft.outbox.push({ type: "MsgTransferLeader", from: raft.id, to: raft.leader, term: 0 });
  }
  const pr = leadership && progressOf(leadership, to);
  if (leadership === undefined || pr === undefined || pr.learner || to === raft.id) return;
  if (leadership.transferee === to) return;
  leadership.transferee = to;
  leadership.timeoutNowSent = false;
  raft.electionElapsed = 0;
}

/** The transferee is told to stand once it has the whole log; nothing is proposed meanwhile, so that comes soon. */
export function flushTransfer(raft: Raft, leadership: Leadership): void {
  const { transferee: to } = leadership;
  if (to === NONE || leadership.timeoutNowSent) return;
  if (progressOf(leadership, to)?.match !== lastIndex(raft.log)) return;
  leadership.timeoutNowSent = true;
  raft.outbox.push({ type: "MsgTimeoutNow", from: raft.id, to, term: raft.term });
}
