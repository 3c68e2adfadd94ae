/**
 * Getting the leader's log into the others.
 *
 * A leader never sends at the moment something changes: `flushAppends`, once a Ready, gives each follower whatever it
 * may have by then. So all proposals of a turn travel in one MsgApp, and news of a commit travels with entries when
 * there are any.
 */

import type { Log } from "./log.ts";
import {
  commitInForce,
  commitTo,
  entriesBetween,
  entryBytes,
  lastIndex,
  lastWithTermUpTo,
  merge,
  termAt,
} from "./log.ts";
import type { Progress } from "./progress.ts";
import {
  becomeProbe,
  becomeReplicate,
  isWindowFull,
  onAcknowledged,
  onAlive,
  onAppendSent,
  onRejected,
} from "./progress.ts";
import { majorityIndex } from "./quorum.ts";
import { sendSnapshot } from "./snapshot.ts";
import type { Leadership, Raft } from "./state.ts";
import { acknowledge, progressOf } from "./state.ts";
import type { Entry, Input, Message, NodeId } from "./types.ts";

const NO_CONTEXT = new Uint8Array(0);

// Leader: what it knows to be committed.

/** Its own disk caught up. */
export function onOwnProgress(raft: Raft, leadership: Leadership): void {
  const own = progressOf(leadership, raft.id);
  if (own === undefined) return;
  onAcknowledged(own, raft.log.stable);
  advanceCommit(raft, leadership);
}

/**
 * Commits what a majority of voters holds. Only entries of the own term are counted: one of an older term on a majority
 * can still be replaced (figure 8 of the Raft paper), and is committed with the first that cannot.
 */
export function advanceCommit(raft: Raft, leadership: Leadership): void {
  const { log } = raft;
  const matches: number[] = [];
  for (const pr of leadership.progress) if (!pr.learner) matches.push(pr.match);
  const index = majorityIndex(matches);
  if (index <= log.commit || termAt(log, index) !== raft.term) return;
  commitTo(log, index);
}

// Leader: out.

export function broadcastHeartbeat(raft: Raft, leadership: Leadership): void {
  const context = leadership.readRound?.context ?? NO_CONTEXT;
  for (const pr of leadership.progress) {
    if (pr.id === raft.id) continue;
    pr.matchAtBeat = pr.match;
    sendHeartbeat(raft, pr, context);
  }
}

/** Never tells a follower of a commit beyond what it is known to hold: it may have something else there. */
export function sendHeartbeat(raft: Raft, pr: Progress, context: Uint8Array): void {
  const commit = Math.min(pr.match, commitInForce(raft.log));
  raft.outbox.push({ type: "MsgHeartbeat", from: raft.id, to: pr.id, term: raft.term, commit, context });
}

export function flushAppends(raft: Raft, leadership: Leadership): void {
  for (const pr of leadership.progress) {
    if (pr.id === raft.id) continue;
    while (sendAppend(raft, leadership, pr)) {
      // One MsgApp a round, until the window is full or the log is at its end.
    }
  }
  leadership.tellsCommit = false;
}

/** Whether a follower could be told now of a later commit than it was. */
export function isCommitUntold(raft: Raft): boolean {
  return raft.leadership?.progress.some((pr) => pr.id !== raft.id && hasNews(raft, pr) && !isFull(raft, pr)) ?? false;
}

function isFull({ config }: Raft, pr: Progress): boolean {
  return isWindowFull(pr, config.maxInflight, config.maxInflightBytes);
}

function hasNews({ log }: Raft, pr: Progress): boolean {
  return pr.state === "replicate" && pr.sentCommit < Math.min(commitInForce(log), pr.next - 1);
}

/**
 * News of a commit alone are a message and its answer, for every batch of a busy leader once more: they travel with the
 * next entries, or when the driver says so. At once only if somebody waits at that member, or if a change of the
 * membership may be among it, after which the member may be nobody's peer: then even past a full window.
 */
function isNewsUrgent({ tellsCommit, pendingConfIndex }: Leadership, pr: Progress): boolean {
  return tellsCommit || pr.awaited > pr.sentCommit || pendingConfIndex > pr.sentCommit;
}

/** True when there may be more to send. */
function sendAppend(raft: Raft, leadership: Leadership, pr: Progress): boolean {
  const { log, config } = raft;
  if (pr.reading !== undefined || !wantsAppend(raft, leadership, pr)) return false;
  const full = pr.state === "replicate" && isFull(raft, pr);
  const prevTerm = termAt(log, pr.next - 1);
  if (prevTerm === undefined) {
    // A nudge past a full window of which nothing is left in memory: look where the follower is, one at a time.
    if (full) becomeProbe(pr);
    fetchOlder(raft, pr);
    return false;
  }
  const entries = full ? [] : entriesBetween(log, pr.next, lastIndex(log), config.maxMessageBytes);
  sendEntries(raft, pr, prevTerm, entries);
  return pr.state === "replicate" && entries.length > 0;
}

function wantsAppend(raft: Raft, leadership: Leadership, pr: Progress): boolean {
  const { log } = raft;
  switch (pr.state) {
    case "snapshot":
      return false;
    case "probe":
      return !pr.probeSent;
    case "replicate": {
      if (pr.nudge) return true;
      const news = hasNews(raft, pr);
      if (isFull(raft, pr)) return news && leadership.pendingConfIndex > pr.sentCommit;
      return pr.next <= lastIndex(log) || (news && isNewsUrgent(leadership, pr));
    }
  }
}

function sendEntries(raft: Raft, pr: Progress, prevTerm: number, entries: readonly Entry[]): void {
  const commit = commitInForce(raft.log);
  const index = pr.next - 1;
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  raft.outbox.push({
    type: "MsgApp",
    from: raft.id,
    to: pr.id,
    term: raft.term,
    index,
    logTerm: prevTerm,
    entries,
    commit,
  });
  onAppendSent(pr, index + entries.length, bytes, commit);
}

// Leader: what is no longer in memory.

/** Everything below the window is applied here, so a read of it cannot be overtaken by a change of the log. */
function fetchOlder(raft: Raft, pr: Progress): void {
  const { log, config } = raft;
  if (pr.next < log.storedFrom) {
    sendSnapshot(raft, pr);
    return;
  }
  pr.reading = { from: pr.next, ticks: 0 };
  raft.logReads.push({ to: pr.id, from: pr.next, through: log.before.index, maxBytes: config.maxMessageBytes });
}

/**
 * An answer is good when it is the one the follower waits for. A late one (the question was asked again, or the leader
 * has been out of office in between) that fits is as good as any: committed entries do not change.
 */
export function onLogRead(raft: Raft, input: Input & { readonly kind: "logRead" }): void {
  const pr = raft.leadership && progressOf(raft.leadership, input.to);
  const reading = pr?.reading;
  if (pr === undefined || reading === undefined) return;
  const { result } = input;
  if (result.kind === "compacted") {
    pr.reading = undefined;
    if (pr.state !== "snapshot" && reading.from === pr.next) sendSnapshot(raft, pr);
    return;
  }
  if (result.entries[0]?.index !== reading.from) return;
  pr.reading = undefined;
  if (pr.state === "snapshot" || reading.from !== pr.next || (pr.state === "probe" && pr.probeSent)) return;
  sendEntries(raft, pr, result.prevTerm, result.entries);
}

/** A read whose answer never came is asked again; by then the driver has long given it up. */
export function tickLogReads(raft: Raft, leadership: Leadership): void {
  for (const pr of leadership.progress) {
    if (pr.reading === undefined) continue;
    pr.reading.ticks++;
    if (pr.reading.ticks >= raft.config.electionTicks) pr.reading = undefined;
  }
}

// Leader: in.

export function handleAppendResponse(
  raft: Raft,
  leadership: Leadership,
  message: Message & { readonly type: "MsgAppResp" },
): void {
  const { log } = raft;
  const pr = progressOf(leadership, message.from);
  if (pr === undefined || pr.id === raft.id) return;
  pr.recentActive = true;
  if (message.index > lastIndex(log)) return;
  if (message.reject) {
    onRejected(pr, message.index, probePoint(log, message.rejectHint, message.logTerm));
    return;
  }
  const advanced = onAcknowledged(pr, message.index);
  if (pr.state === "probe" && (advanced || message.index === pr.match)) becomeReplicate(pr);
  // A snapshot need not be the announced one, nor arrive at all: whatever connects to the stored log will do.
  if (pr.state === "snapshot" && advanced && pr.match + 1 >= log.storedFrom) becomeReplicate(pr);
  if (advanced) advanceCommit(raft, leadership);
}

/**
 * Where to probe next, given that the follower has nothing of a term above `hintTerm` up to `hint`: neither may we, so
 * whole terms are skipped in one round trip. Terms below the window are not known; there the follower's hint is all.
 */
function probePoint(log: Log, hint: number, hintTerm: number): number {
  const floor = log.before.index;
  const from = Math.min(hint, lastIndex(log));
  if (hintTerm === 0 || from < floor) return from;
  const at = lastWithTermUpTo(log, from, hintTerm, floor);
  return at === floor && floor > 0 && log.before.term > hintTerm ? floor - 1 : at;
}

/** Whoever answers is there, so what was held back (or lost) can be tried (or found out) now. */
export function handleHeartbeatResponse(raft: Raft, leadership: Leadership, from: NodeId): void {
  const pr = progressOf(leadership, from);
  if (pr === undefined) return;
  pr.recentActive = true;
  onAlive(pr, lastIndex(raft.log));
}

// Follower.

/**
 * Committed entries are settled. A message that starts below the commit index is cut there; one that contradicts
 * what is settled is wrong, whoever sent it, and gets no answer at all: there is none that would help.
 */
export function handleAppend(raft: Raft, message: Message & { readonly type: "MsgApp" }): void {
  const { log } = raft;
  if (!isWellFormed(message)) return;
  let { index, logTerm, entries } = message;
  if (index <= log.commit) {
    if (contradicts(log, index, logTerm)) return;
    const settled = Math.min(log.commit - index, entries.length);
    for (const entry of entries.slice(0, settled)) if (contradicts(log, entry.index, entry.term)) return;
    if (index + settled < log.commit) {
      acknowledge(raft, message.from, log.commit);
      return;
    }
    logTerm = entries[settled - 1]?.term ?? logTerm;
    index = log.commit;
    entries = entries.slice(settled);
  }
  if (termAt(log, index) !== logTerm) {
    reject(raft, message.from, index, logTerm);
    return;
  }
  if (entries.length > 0 && isBehindWithApplying(raft)) return;
  merge(log, entries);
  const last = index + entries.length;
  commitTo(log, Math.min(message.commit, last));
  acknowledge(raft, message.from, last);
}

/**
 * Too much waits here for this member's own disk or state machine: entries are dropped, unanswered, and come again with
 * the leader's probes, one MsgApp a heartbeat. Everything else goes on, so nobody takes anybody for dead.
 *
 * Only while something committed waits. That becomes less without any help; entries that are not known to be committed
 * may need the next one to become so (figure 8), and refusing that would be for ever. They are bounded by the leader's
 * own limit. Twice that limit, so that a follower which is a little behind a busy leader does not stumble.
 */
function isBehindWithApplying({ log, config }: Raft): boolean {
  return log.commit > log.applied && log.unappliedBytes >= 2 * config.maxUncommittedBytes;
}

/** Entries are contiguous, and terms neither fall nor exceed the sender's. */
function isWellFormed(message: Message & { readonly type: "MsgApp" }): boolean {
  let { index, logTerm: term } = message;
  if (index < 0 || term > message.term) return false;
  for (const entry of message.entries) {
    if (entry.index !== index + 1 || entry.term < term || entry.term > message.term) return false;
    ({ index, term } = entry);
  }
  return true;
}

function contradicts(log: Log, index: number, term: number): boolean {
  const known = termAt(log, index);
  return known !== undefined && known !== term;
}

/** The hint skips what cannot match: entries of terms above the leader's at that point. The commit index always does. */
function reject(raft: Raft, to: NodeId, index: number, logTerm: number): void {
  const { log } = raft;
  const hint = lastWithTermUpTo(log, Math.min(index, lastIndex(log)), logTerm, log.commit);
  raft.afterPersist.push({
    type: "MsgAppResp",
    from: raft.id,
    to,
    term: raft.term,
    index,
    reject: true,
    rejectHint: hint,
    logTerm: termAt(log, hint) ?? 0,
  });
}

/** A commit index beyond the log's end would mean that acknowledged entries are gone: nothing to act upon. */
export function handleHeartbeat(raft: Raft, message: Message & { readonly type: "MsgHeartbeat" }): void {
  if (message.commit <= lastIndex(raft.log)) commitTo(raft.log, message.commit);
  raft.outbox.push({
    type: "MsgHeartbeatResp",
    from: raft.id,
    to: message.from,
    term: raft.term,
    context: message.context,
  });
}
