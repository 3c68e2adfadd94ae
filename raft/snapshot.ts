/**
 * Snapshots as the core sees them: a point (index, term, membership). The state itself is the driver's to build, move
 * and install.
 *
 * A leader that has to send one names the point that it knows; the driver may send a newer state with newer metadata,
 * since the follower's acknowledgement says where it really is.
 */

import { assert } from "./assert.ts";
import { commitTo, resetToSnapshot, termAt } from "./log.ts";
import type { Progress } from "./progress.ts";
import { becomeProbe, becomeSnapshot, leaveSnapshot } from "./progress.ts";
import type { Raft } from "./state.ts";
import { acknowledge, ascending, progressOf } from "./state.ts";
import type { Message, NodeId, Snapshot, SnapshotMetadata } from "./types.ts";

const NO_DATA = new Uint8Array(0);

export function onSnapshotAvailable(raft: Raft, metadata: SnapshotMetadata, storedFrom: number): void {
  assert(metadata.index <= raft.log.applied, `a snapshot at ${metadata.index} of a state at ${raft.log.applied}`);
  assert(storedFrom <= metadata.index + 1, `the stored log starts at ${storedFrom}, after snapshot ${metadata.index}`);
  const known = raft.snapshotAvailable;
  if (known === undefined || known.index <= metadata.index) raft.snapshotAvailable = metadata;
  raft.log.storedFrom = Math.max(raft.log.storedFrom, storedFrom);
}

/**
 * For a follower that needs entries which no longer exist. One that was not heard of lately gets none (building and
 * sending one to a dead member is dear); then, and while there is no snapshot, it stays in probe and the question comes
 * up again with its next answer to a heartbeat.
 */
export function sendSnapshot(raft: Raft, pr: Progress): void {
  const metadata = raft.snapshotAvailable;
  const helps = metadata !== undefined && metadata.index >= pr.next && metadata.index + 1 >= raft.log.storedFrom;
  if (!helps || !pr.recentActive) {
    if (pr.state === "replicate") becomeProbe(pr);
    pr.probeSent = true;
    return;
  }
  becomeSnapshot(pr, metadata.index);
  const snapshot: Snapshot = { metadata, data: NO_DATA };
  raft.outbox.push({ type: "MsgSnap", from: raft.id, to: pr.id, term: raft.term, snapshot });
}

export function onSnapshotReport(raft: Raft, to: NodeId, ok: boolean, index = 0): void {
  const pr = raft.leadership && progressOf(raft.leadership, to);
  if (pr?.state === "snapshot") leaveSnapshot(pr, ok, Math.min(index, raft.log.applied));
}

/** A follower takes a snapshot that is ahead of what it knows to be committed; any other tells the leader where it is. */
export function handleSnapshot(raft: Raft, message: Message & { readonly type: "MsgSnap" }): void {
  const { log } = raft;
  const { index, term, confState } = message.snapshot.metadata;
  if (term > message.term) return;
  if (index > log.commit) {
    if (termAt(log, index) === term) {
      // The entries are all here: committing them is cheaper than replacing the state.
      commitTo(log, index);
    } else {
      resetToSnapshot(log, index, term);
      raft.voters = ascending(confState.voters);
      raft.learners = ascending(confState.learners);
      raft.receivedSnapshot = message.snapshot;
      raft.snapshotAvailable = { index, term, confState: { voters: raft.voters, learners: raft.learners } };
    }
  }
  acknowledge(raft, message.from, log.commit);
}
