/**
 * What a message may do: first whether its sender's term counts, then what it says. A message that makes no sense (from
 * a broken peer, or from long ago) is ignored: none can stop this member.
 */

import { unreachable } from "./assert.ts";
import {
  answerPrevote,
  campaign,
  handleVoteRequest,
  handleVoteResponse,
  isLeaseHeld,
  transferLeader,
} from "./election.ts";
import { lastIndex } from "./log.ts";
import { propose } from "./proposals.ts";
import { confirmRead, enqueueRead } from "./read-index.ts";
import { handleAppend, handleAppendResponse, handleHeartbeat, handleHeartbeatResponse } from "./replication.ts";
import { handleSnapshot } from "./snapshot.ts";
import type { Leadership, Raft } from "./state.ts";
import { becomeFollower, isMember, isVoter, progressOf } from "./state.ts";
import type { Message, NodeId } from "./types.ts";
import { NONE } from "./types.ts";

/**
 * No honest member is this many elections ahead of another. A message that says so is nonsense, and believing it could
 * take the cluster to the last term that fits the wire: after that nobody could ever be elected again.
 */
const MAX_TERM_JUMP = 2 ** 40;

export function stepMessage(raft: Raft, message: Message): void {
  if (message.to !== raft.id || message.from === raft.id || message.from === NONE) return;
  switch (message.type) {
    case "MsgProp":
    case "MsgReadIndex":
    case "MsgTransferLeader":
      stepForwarded(raft, message);
      return;
    default:
      if (message.term > raft.term + MAX_TERM_JUMP) return;
      if (settleTerm(raft, message)) stepInTerm(raft, message);
  }
}

type Forwarded = Message & { readonly type: "MsgProp" | "MsgReadIndex" | "MsgTransferLeader" };

/**
 * For a leader; anyone else drops them. Passing them on to whom this member takes for the leader would save a few, but
 * two members that each take the other for it would pass one around for as long as they do, and a proposal that was
 * underway that long may be appended long after its proposer has given it up. And from members only: whoever was added,
 * this leader has added.
 */
function stepForwarded(raft: Raft, message: Forwarded): void {
  const { leadership } = raft;
  if (leadership === undefined || !isMember(raft, message.from)) return;
  switch (message.type) {
    case "MsgProp":
      propose(raft, message.entries);
      awaits(leadership, message.from, lastIndex(raft.log));
      return;
    case "MsgReadIndex":
      enqueueRead(leadership, message.from, message.id);
      return;
    case "MsgTransferLeader":
      transferLeader(raft, message.from);
      return;
    default:
      unreachable(message);
  }
}

function awaits(leadership: Leadership, id: NodeId, index: number): void {
  const pr = progressOf(leadership, id);
  if (pr !== undefined) pr.awaited = index;
}

type InTerm = Exclude<Message, Forwarded>;

/** Brings the terms of message and member together; false when the message has no say. */
function settleTerm(raft: Raft, message: InTerm): boolean {
  if (message.term > raft.term) return followTerm(raft, message);
  if (message.term < raft.term) {
    answerFromThePast(raft, message);
    return false;
  }
  return true;
}

function followTerm(raft: Raft, message: InTerm): boolean {
  const { type, term, from } = message;
  switch (type) {
    case "MsgPreVote":
      return !isLeaseHeld(raft, message);
    case "MsgVote":
      if (isLeaseHeld(raft, message)) return false;
      break;
    case "MsgPreVoteResp":
      // Granted for a term that this member has not entered, and may never.
      if (!message.reject) return true;
      break;
    case "MsgApp":
    case "MsgHeartbeat":
    case "MsgSnap":
      becomeFollower(raft, term, from);
      return true;
  }
  becomeFollower(raft, term, NONE);
  return true;
}

/**
 * A leader of an older term must learn that there is a newer one. Its followers may all be content with it; then only
 * the member that went ahead (it stood for election without pre-vote, or before it was cut off) can tell, and with
 * voters under a lease it would otherwise neither win an election nor follow anyone. Likewise a pre-candidate.
 */
function answerFromThePast(raft: Raft, message: InTerm): void {
  switch (message.type) {
    case "MsgApp":
    case "MsgHeartbeat":
      if (!raft.config.checkQuorum && !raft.config.preVote) return;
      raft.afterPersist.push({
        type: "MsgAppResp",
        from: raft.id,
        to: message.from,
        term: raft.term,
        index: 0,
        reject: false,
        rejectHint: 0,
        logTerm: 0,
      });
      return;
    case "MsgPreVote":
      answerPrevote(raft, message, false);
      return;
  }
}

function stepInTerm(raft: Raft, message: InTerm): void {
  const { leadership } = raft;
  switch (message.type) {
    case "MsgPreVote":
    case "MsgVote":
      handleVoteRequest(raft, message);
      return;
    case "MsgPreVoteResp":
    case "MsgVoteResp":
      handleVoteResponse(raft, message);
      return;
    case "MsgApp":
      if (follow(raft, message.from)) handleAppend(raft, message);
      return;
    case "MsgHeartbeat":
      if (follow(raft, message.from)) handleHeartbeat(raft, message);
      return;
    case "MsgSnap":
      if (follow(raft, message.from)) handleSnapshot(raft, message);
      return;
    case "MsgAppResp":
      if (leadership !== undefined) handleAppendResponse(raft, leadership, message);
      return;
    case "MsgHeartbeatResp":
      if (leadership === undefined) return;
      handleHeartbeatResponse(raft, leadership, message.from);
      if (isVoter(raft, message.from)) confirmRead(raft, leadership, message.from, message.context);
      return;
    case "MsgReadIndexResp":
      if (raft.leader === message.from) raft.readPoints.push({ id: message.id, index: message.index });
      return;
    case "MsgTimeoutNow":
      // Of a new term this follower may not have heard another word yet.
      if (raft.role === "follower" && (raft.leader === message.from || raft.leader === NONE)) campaign(raft, true);
      return;
    default:
      unreachable(message);
  }
}

/** The sender leads this term. False when this member does: then the sender is mistaken, and is not heard. */
function follow(raft: Raft, leader: NodeId): boolean {
  if (raft.role === "leader") return false;
  if (raft.role !== "follower" || raft.yields) becomeFollower(raft, raft.term, leader);
  raft.electionElapsed = 0;
  raft.leader = leader;
  return true;
}
