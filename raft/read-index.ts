/**
 * Linearizable reads without writing to the log.
 *
 * A leader notes its commit index, and asks everyone whether it still leads: a heartbeat whose context is the number of
 * the round. When a majority has answered, no later leader had committed anything when the round began, so a state
 * that holds everything up to the noted index is fresh enough for whoever asked before that.
 *
 * - One round is on its way at a time; reads that come meanwhile share the next.
 * - A round begins only when an entry of the leader's own term is committed: before, its commit index may be behind
 *   what an earlier leader has acknowledged.
 * - A round whose heartbeats were lost is carried again by the regular ones; one whose leader fell is forgotten, and
 *   the askers ask again.
 */

import { termAt } from "./log.ts";
import { isMajority } from "./quorum.ts";
import { sendHeartbeat } from "./replication.ts";
import type { Leadership, Raft, ReadRound } from "./state.ts";
import { progressOf } from "./state.ts";
import type { NodeId } from "./types.ts";
import { NONE } from "./types.ts";

/** Beyond it requests are dropped, which askers must expect anyway. */
const MAX_WAITING_READS = 4_096;

/** Asked for by this member's driver. */
export function requestRead(raft: Raft, id: Uint8Array): void {
  if (raft.leadership !== undefined) {
    enqueueRead(raft.leadership, raft.id, id);
  } else if (raft.leader !== NONE) {
    raft.outbox.push({ type: "MsgReadIndex", from: raft.id, to: raft.leader, term: 0, id });
  }
}

export function enqueueRead(leadership: Leadership, from: NodeId, id: Uint8Array): void {
  if (leadership.waitingReads.length < MAX_WAITING_READS) leadership.waitingReads.push({ from, id });
}

/** Begins the next round, if there is a need and no other. */
export function flushReads(raft: Raft, leadership: Leadership): void {
  const { log } = raft;
  if (leadership.readRound !== undefined || leadership.waitingReads.length === 0) return;
  if (termAt(log, log.commit) !== raft.term) return;
  leadership.readRounds++;
  const round: ReadRound = {
    context: contextOf(leadership.readRounds),
    index: log.commit,
    requests: leadership.waitingReads,
    confirmedBy: new Set([raft.id]),
  };
  leadership.readRound = round;
  leadership.waitingReads = [];
  for (const pr of leadership.progress) if (!pr.learner && pr.id !== raft.id) sendHeartbeat(raft, pr, round.context);
  finishRound(raft, leadership);
}

/** A heartbeat of this term was answered. */
export function confirmRead(raft: Raft, leadership: Leadership, from: NodeId, context: Uint8Array): void {
  const round = leadership.readRound;
  if (round === undefined || !isSame(round.context, context)) return;
  round.confirmedBy.add(from);
  finishRound(raft, leadership);
}

/** Answers the round if it has its majority; also asked when the membership changed. */
export function finishRound(raft: Raft, leadership: Leadership): void {
  const round = leadership.readRound;
  if (round === undefined) return;
  const confirmed = raft.voters.filter((voter) => round.confirmedBy.has(voter)).length;
  if (!isMajority(confirmed, raft.voters.length)) return;
  leadership.readRound = undefined;
  const { index } = round;
  for (const { from: to, id } of round.requests) {
    if (to === raft.id) raft.readPoints.push({ id, index });
    else {
      raft.outbox.push({ type: "MsgReadIndexResp", from: raft.id, to, term: raft.term, id, index });
      const pr = progressOf(leadership, to);
      if (pr !== undefined) pr.awaited = Math.max(pr.awaited, index);
    }
  }
}

/** Unique within a term, which is all it takes: answers of other terms are not heard. */
function contextOf(round: number): Uint8Array {
  const context = new Uint8Array(8);
  new DataView(context.buffer).setBigUint64(0, BigInt(round));
  return context;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, at) => byte === b[at]);
}
