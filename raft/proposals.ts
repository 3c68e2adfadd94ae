/** How proposals get into the log. */

import { append, lastIndex } from "./log.ts";
import type { Leadership, Raft } from "./state.ts";
import { isMember } from "./state.ts";
import type { Proposal } from "./types.ts";
import { ENTRY_NORMAL, NONE } from "./types.ts";

/** Whether a proposal handed in now would find its way into a log, as far as this member can tell. */
export function canPropose(raft: Raft): boolean {
  const { leadership } = raft;
  if (leadership === undefined) return raft.leader !== NONE;
  return (
    isMember(raft, raft.id) &&
    leadership.transferee === NONE &&
    raft.log.unappliedBytes < raft.config.maxUncommittedBytes
  );
}

/** Dropped when nothing may be proposed: the driver asked `canPropose`, and a forwarded one may always be lost. */
export function propose(raft: Raft, proposals: readonly Proposal[]): void {
  if (!canPropose(raft)) return;
  if (raft.leadership !== undefined) appendProposals(raft, raft.leadership, proposals);
  else raft.outbox.push({ type: "MsgProp", from: raft.id, to: raft.leader, term: 0, entries: proposals });
}

/** Membership changes that wait for the one before them. Beyond it they are dropped, as any forwarded proposal may be. */
const MAX_WAITING_CHANGES = 16;

export function appendProposals(raft: Raft, leadership: Leadership, proposals: readonly Proposal[]): void {
  for (const proposal of proposals) {
    if (proposal.type === ENTRY_NORMAL) {
      appendOne(raft, proposal);
    } else if (leadership.waitingChanges.length < MAX_WAITING_CHANGES) {
      leadership.waitingChanges.push(proposal);
      flushChange(raft, leadership);
    }
  }
}

/**
 * One membership change at a time: while one is not applied here, the next waits, for two unapplied changes could make
 * majorities that do not meet. (etcd makes it an empty entry, whose proposer never hears of it.) It waits no longer than
 * this leader is in office.
 */
export function flushChange(raft: Raft, leadership: Leadership): void {
  const [next] = leadership.waitingChanges;
  if (next === undefined || leadership.pendingConfIndex > raft.log.applied || !canPropose(raft)) return;
  leadership.waitingChanges.shift();
  appendOne(raft, next);
  leadership.pendingConfIndex = lastIndex(raft.log);
}

function appendOne({ log, term }: Raft, { type, data }: Proposal): void {
  append(log, { type, term, index: lastIndex(log) + 1, data });
}
