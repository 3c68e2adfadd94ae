/**
 * What goes to disk, and what follows when it is there.
 *
 * Writes are done in order, so one that is done vouches for all before it; several may be on their way. What a write
 * vouches for is told in log.ts (`Write.through`).
 */

import { assert } from "./assert.ts";
import { onOwnVotePersisted } from "./election.ts";
import { appliedTo, commitPersisted, entriesBetween, lastConfChangeBetween, lastIndex } from "./log.ts";
import { onOwnProgress } from "./replication.ts";
import type { Raft } from "./state.ts";
import type { Message, Persist } from "./types.ts";

const NO_MESSAGES: readonly Message[] = [];

/** The next write. Messages that need not wait for one (all is on disk already) go to the outbox instead. */
export function takePersist(raft: Raft): Persist | undefined {
  const { log, term, vote, toldHardState: told } = raft;
  const entries = entriesBetween(log, log.taken + 1, lastIndex(log), Number.POSITIVE_INFINITY);
  const snapshot = raft.receivedSnapshot;
  const voted = term !== told.term || vote !== told.vote;
  // See commitInForce.
  const changed = lastConfChangeBetween(log, told.commit + 1, log.commit) > 0;
  // A majority tells the commit index again, so it goes along with what is written anyway, or with a tick.
  const isDue = raft.commitDue || changed || entries.length > 0 || snapshot !== undefined;
  raft.commitDue = false;
  const moved = voted || (isDue && log.commit !== told.commit);
  if (!moved && entries.length === 0 && snapshot === undefined) {
    if (raft.afterPersist.length === 0) return undefined;
    if (log.writes.length === 0) {
      raft.outbox.push(...takeMessages(raft));
      return undefined;
    }
    // Nothing to write, but something to send once what is being written is there.
  }
  raft.lastSeq++;
  if (moved) raft.toldHardState = { term, vote, commit: log.commit };
  raft.receivedSnapshot = undefined;
  log.taken = lastIndex(log);
  log.writes.push({
    seq: raft.lastSeq,
    through: log.taken,
    term,
    vote,
    snapshotIndex: snapshot?.metadata.index ?? 0,
    commit: log.commit,
  });
  return {
    seq: raft.lastSeq,
    hardState: moved ? raft.toldHardState : undefined,
    entries,
    snapshot,
    mustSync: voted || changed || entries.length > 0 || snapshot !== undefined,
    thenSend: takeMessages(raft),
  };
}

function takeMessages(raft: Raft): readonly Message[] {
  const messages = raft.afterPersist;
  if (messages.length === 0) return NO_MESSAGES;
  raft.afterPersist = [];
  return messages;
}

/** The leader's own match and the candidate's own vote count from here on, not before. */
export function onPersisted(raft: Raft, seq: number): void {
  const { log } = raft;
  assert(seq <= raft.lastSeq, `write ${seq} is said to be done, but the last was ${raft.lastSeq}`);
  let done = log.writes[0];
  while (done !== undefined && done.seq <= seq) {
    log.writes.shift();
    log.stable = Math.max(log.stable, done.through);
    commitPersisted(log, done.commit);
    appliedTo(log, done.snapshotIndex);
    onOwnVotePersisted(raft, done.term, done.vote);
    done = log.writes[0];
  }
  if (raft.leadership !== undefined) onOwnProgress(raft, raft.leadership);
}
