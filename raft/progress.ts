/**
 * What a leader knows of one member's log.
 *
 * - probe: where the logs agree is not known. One MsgApp at a time; the next goes out when it is answered, or when a
 *   heartbeat is.
 * - replicate: everything up to match is there; MsgApps are sent ahead (next runs in front of match) as far as the
 *   in-flight window allows.
 * - snapshot: a snapshot is on its way; no MsgApps until the member acknowledges or the driver reports its fate.
 *
 * match only rises while the leader stays in office, and next > match.
 */

import type { NodeId } from "./types.ts";

export type ProgressState = "probe" | "replicate" | "snapshot";

export interface Progress {
  readonly id: NodeId;
  learner: boolean;
  state: ProgressState;
  match: number;
  next: number;
  /** probe: a MsgApp is on its way. */
  probeSent: boolean;
  /** replicate: send a MsgApp even if it is empty; the gap that it shows reveals lost ones. */
  nudge: boolean;
  /**
   * match at the last regular heartbeat, until an answer to one has been looked at; then undefined. Rounds of reads may
   * come far more often than heartbeats, and their answers must not each cause a MsgApp.
   */
  matchAtBeat: number | undefined;
  /** snapshot: its index. */
  pendingSnapshot: number;
  /** Heard since the last look of check-quorum. */
  recentActive: boolean;
  /** The commit index that the MsgApps sent so far lead to. */
  sentCommit: number;
  /** The member waits for the commit of this index: it was asked to propose that, or answers a read of it. */
  awaited: number;
  /** A Ready.logReads not yet answered. */
  reading: { readonly from: number; ticks: number } | undefined;
  /** MsgApps with entries not yet acknowledged, oldest first. */
  readonly inflight: { readonly last: number; readonly bytes: number }[];
  inflightBytes: number;
}

export function newProgress(id: NodeId, learner: boolean, next: number): Progress {
  return {
    id,
    learner,
    state: "probe",
    match: 0,
    next,
    probeSent: false,
    nudge: false,
    matchAtBeat: undefined,
    pendingSnapshot: 0,
    recentActive: false,
    sentCommit: 0,
    awaited: 0,
    reading: undefined,
    inflight: [],
    inflightBytes: 0,
  };
}

function enter(pr: Progress, state: ProgressState, next: number): void {
  pr.state = state;
  pr.next = next;
  pr.probeSent = false;
  pr.nudge = false;
  pr.pendingSnapshot = 0;
  pr.sentCommit = 0;
  pr.inflight.length = 0;
  pr.inflightBytes = 0;
}

export function becomeProbe(pr: Progress): void {
  enter(pr, "probe", pr.match + 1);
}

export function becomeReplicate(pr: Progress): void {
  const told = pr.sentCommit;
  enter(pr, "replicate", pr.match + 1);
  pr.sentCommit = told;
}

export function becomeSnapshot(pr: Progress, index: number): void {
  enter(pr, "snapshot", index + 1);
  pr.pendingSnapshot = index;
}

/**
 * The snapshot arrived or was lost; either way the next MsgApp waits for a word from the member. `sent`: where it stood if
 * it was a newer one than the member was promised; what lies between may have left the log meanwhile.
 */
export function leaveSnapshot(pr: Progress, arrived: boolean, sent: number): void {
  const next = arrived ? Math.max(pr.match, pr.pendingSnapshot, sent) + 1 : pr.match + 1;
  enter(pr, "probe", next);
  pr.probeSent = true;
}

/**
 * A sign of life, looked at once a heartbeat: a probe can be repeated now, and if nothing was acknowledged since the
 * heartbeat though something is missing, a MsgApp was lost, or a nudge will do no harm.
 */
export function onAlive(pr: Progress, lastIndex: number): void {
  const { matchAtBeat } = pr;
  if (matchAtBeat === undefined) return;
  pr.matchAtBeat = undefined;
  if (pr.state === "probe") pr.probeSent = false;
  if (pr.state === "replicate" && pr.match < lastIndex && pr.match === matchAtBeat) pr.nudge = true;
}

/** A MsgApp was lost on the way. A new one now would be lost too: wait for a sign of life. */
export function onUnreachable(pr: Progress): void {
  if (pr.state !== "replicate") return;
  becomeProbe(pr);
  pr.probeSent = true;
}

/** The member holds everything up to `index`. False when that was known. */
export function onAcknowledged(pr: Progress, index: number): boolean {
  releaseInflight(pr, index);
  if (index <= pr.match) return false;
  pr.match = index;
  pr.next = Math.max(pr.next, index + 1);
  return true;
}

/**
 * The member refused a MsgApp that followed `index`; the logs agree at `hint` at the latest. A stale refusal changes
 * nothing, and neither does one that leads nowhere new (a member that lost what it had acknowledged would otherwise be
 * sent the same MsgApp as fast as it can refuse it; so it is once a heartbeat).
 */
export function onRejected(pr: Progress, index: number, hint: number): void {
  if (pr.state === "replicate") {
    if (index > pr.match) becomeProbe(pr);
    return;
  }
  if (pr.state !== "probe" || index !== pr.next - 1) return;
  const next = Math.max(Math.min(index, hint + 1), pr.match + 1);
  if (next === pr.next) return;
  pr.next = next;
  pr.probeSent = false;
}

export function isWindowFull(pr: Progress, maxCount: number, maxBytes: number): boolean {
  return pr.inflight.length >= maxCount || pr.inflightBytes >= maxBytes;
}

/** A MsgApp with entries up to `last` (none when bytes is 0) went out. */
export function onAppendSent(pr: Progress, last: number, bytes: number, commit: number): void {
  pr.sentCommit = Math.min(commit, last);
  pr.nudge = false;
  if (pr.state === "probe") {
    pr.probeSent = true;
    return;
  }
  if (bytes === 0) return;
  pr.next = last + 1;
  pr.inflight.push({ last, bytes });
  pr.inflightBytes += bytes;
}

function releaseInflight(pr: Progress, index: number): void {
  let count = 0;
  for (const message of pr.inflight) {
    if (message.last > index) break;
    pr.inflightBytes -= message.bytes;
    count++;
  }
  if (count > 0) pr.inflight.splice(0, count);
}
