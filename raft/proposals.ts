/** How proposals get into the log. */

import { append, lastIndex } from "./log.ts";
import type { Leadership, Raft } from "./state.ts";
import { isMember } from "./state.ts";
import type { Entry, Proposal } from "./types.ts";
import { ENTRY_NORMAL, NONE } from "./types.ts";

const NO_DATA = new Uint8Array(0);

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

/**
 * One membership change at a time: while one is not applied, another becomes an empty entry. (Its proposer learns
 * nothing and runs into its deadline, as in etcd.) Two unapplied changes could make majorities that do not meet.
 */
export function appendProposals(raft: Raft, leadership: Leadership, proposals: readonly Proposal[]): void {
  const { log } = raft;
  for (const { type, data } of proposals) {
    const index = lastIndex(log) + 1;
    const refused = type !== ENTRY_NORMAL && leadership.pendingConfIndex > log.applied;
    const entry: Entry = refused
      ? { type: ENTRY_NORMAL, term: raft.term, index, data: NO_DATA }
      : { type, term: raft.term, index, data };
    if (entry.type !== ENTRY_NORMAL) leadership.pendingConfIndex = index;
    append(log, entry);
  }
}
