/**
 * Changes of the membership, one member at a time, in force on each member when it has applied the entry.
 *
 * Why applying (rather than appending, as in the paper) is safe: a leader appends a change only when the one before is
 * applied there, hence committed, and every MsgApp carries the commit index. So whoever has the second change in its
 * log knows that the first is committed, and does not stand before it has applied it (election.ts). Two members that
 * count votes at the same time are thus at most one change apart, and majorities one change apart meet.
 */

import { lastIndex } from "./log.ts";
import type { Progress } from "./progress.ts";
import { newProgress } from "./progress.ts";
import { finishRound } from "./read-index.ts";
import { advanceCommit } from "./replication.ts";
import type { Leadership, Raft } from "./state.ts";
import { ascending, becomeFollower, isVoter, progressOf } from "./state.ts";
import type { ConfChange, NodeId } from "./types.ts";
import { NONE } from "./types.ts";

/** To be called before the entry is reported as applied. */
export function applyConfChange(raft: Raft, change: ConfChange): void {
  if (change.kind === "none" || change.node === NONE) return;
  const { node } = change;
  const voters = raft.voters.filter((id) => id !== node);
  const learners = raft.learners.filter((id) => id !== node);
  if (change.kind === "addVoter") voters.push(node);
  if (change.kind === "addLearner") learners.push(node);
  raft.voters = ascending(voters);
  raft.learners = ascending(learners);

  if (raft.role !== "follower" && !isVoter(raft, raft.id)) becomeFollower(raft, raft.term, NONE);
  if (raft.leadership !== undefined) adjustLeadership(raft, raft.leadership);
}

/** A smaller majority may have been reached already. */
function adjustLeadership(raft: Raft, leadership: Leadership): void {
  const learners = new Set(raft.learners);
  leadership.progress = ascending([...raft.voters, ...learners]).map((id) => {
    const pr = progressOf(leadership, id) ?? newcomer(raft, id);
    pr.learner = learners.has(id);
    return pr;
  });
  const { transferee } = leadership;
  if (transferee !== NONE && !isVoter(raft, transferee)) leadership.transferee = NONE;
  advanceCommit(raft, leadership);
  finishRound(raft, leadership);
}

/** Counts as active at first: check-quorum must not fell a leader for a member that had no time to speak. */
function newcomer(raft: Raft, id: NodeId): Progress {
  const pr = newProgress(id, false, lastIndex(raft.log) + 1);
  pr.recentActive = true;
  return pr;
}
