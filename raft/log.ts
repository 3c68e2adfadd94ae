/**
 * The log: a window of entries in memory, and marks that say how far each of its fates has come.
 *
 *     0 .. storedFrom .. before.index | entries ......................... lastIndex
 *          on disk only               | in memory
 *     applied <= handed <= min(commit, stable);  commit <= lastIndex;  stable <= taken <= lastIndex
 *
 * (While a received snapshot is on its way to disk, `applied` and `stable` lag behind `before.index`.)
 *
 * Invariants:
 * - entries[i].index = before.index + 1 + i; terms never fall.
 * - Nothing at or below commit is ever replaced.
 * - Disk and log agree up to `stable`, and will go on to agree whichever of the outstanding writes come through.
 *
 * Why a write carries a claim that shrinks (`Write.through`), and "the disk says it has 5@1, and I have 5@1" is not
 * enough (the ABA problem):
 *
 *   1. A leader of term 1 sends 5@1. Write #1 = [5@1] starts.
 *   2. A leader of term 2 replaces it. Write #2 = [5@2] starts.
 *   3. A leader of term 3 that has 5@1 replaces it back. Write #3 = [5@1 6@3] starts.
 *   4. Write #1 is done. By index and term 5@1 looks stable: it is in the log, and it is on disk.
 *   5. The entry is handed out as committed; write #2 is done; the member crashes. Its disk says 5@2 where its state
 *      machine has seen 5@1.
 *
 * So replacing entries from index k on lowers every outstanding claim to k - 1 at once: at step 2 write #1 is left
 * with the claim "up to 4", and that never rises again. Write #3 alone can make 5 stable. Nothing is compared, so
 * there is nothing that looks alike.
 */

import { assert, fail } from "./assert.ts";
import type { Entry, NodeId, Restored } from "./types.ts";

/** A Persist handed to the driver and not yet reported as done. */
export interface Write {
  readonly seq: number;
  /** Disk and log agree up to here once this and all before it are done. Lowered when entries are replaced. */
  through: number;
  /** Hard state on disk after it. */
  readonly term: number;
  readonly vote: NodeId;
  /** Index of the snapshot it installs, or 0. */
  readonly snapshotIndex: number;
  /** No membership change lies between the commit index on disk after it and this one. */
  readonly commit: number;
}

export interface Log {
  before: { readonly index: number; readonly term: number };
  readonly entries: Entry[];
  commit: number;
  /** The first committed membership change whose commit index is not on disk yet, or 0. See commitInForce. */
  unsettledChange: number;
  /** Last index handed out in Ready.committed. */
  handed: number;
  /** Last index that the state machine reported. */
  applied: number;
  /** Last index handed out in Ready.persist. */
  taken: number;
  /** Last index known to be on disk as it is here. */
  stable: number;
  /** First index that can be read back from disk. */
  storedFrom: number;
  /** Of the entries above `applied`. */
  unappliedBytes: number;
  /** Oldest first. */
  readonly writes: Write[];
}

/** What an entry takes besides its data, so that empty entries have a weight too and every byte limit bounds a count. */
const ENTRY_OVERHEAD_BYTES = 16;

export function entryBytes(entry: { readonly data: Uint8Array }): number {
  return entry.data.byteLength + ENTRY_OVERHEAD_BYTES;
}

/**
 * The commit of the hard state may be older than `applied`: it is written without a sync of its own, so a power cut
 * can lose it while the state machine's own files had it. It may also be older than a change of the membership that has
 * another one behind it. A leader begins the second when it has applied the first, and says with it that the first is
 * committed (membership.ts); but of the one write that holds the entry and, after it, the commit index, a power cut can
 * leave the entry alone. This member would then count votes by a membership that is two changes behind.
 */
export function restoreLog(restored: Restored): Log {
  const { before, entries, applied, hardState } = restored;
  const last = before.index + entries.length;
  const changes = entries.filter(({ type }) => type !== 0);
  const commit = Math.max(hardState.commit, applied, changes.at(-2)?.index ?? 0);
  let term = before.term;
  for (const [offset, entry] of entries.entries()) {
    assert(entry.index === before.index + 1 + offset, `restored log has a gap at ${entry.index}`);
    assert(entry.term >= term, `restored log falls back to term ${entry.term} at ${entry.index}`);
    term = entry.term;
  }
  assert(term <= hardState.term, `restored log ends in term ${term}, after the hard state's ${hardState.term}`);
  assert(applied >= before.index, `entries ${applied + 1} to ${before.index} are neither applied nor in memory`);
  assert(commit <= last, `the log ends at ${last}, before the commit index ${commit}`);
  assert(restored.storedFrom <= before.index + 1, `the stored log starts at ${restored.storedFrom}, behind the window`);
  return {
    before: { index: before.index, term: before.term },
    entries: [...entries],
    commit,
    unsettledChange: 0,
    handed: applied,
    applied,
    taken: last,
    stable: last,
    storedFrom: restored.storedFrom,
    unappliedBytes: sumBytes(entries.slice(applied - before.index)),
    writes: [],
  };
}

export function lastIndex(log: Log): number {
  return log.before.index + log.entries.length;
}

export function lastTerm(log: Log): number {
  return log.entries.at(-1)?.term ?? log.before.term;
}

/** Undefined above the last index and below the window. */
export function termAt(log: Log, index: number): number | undefined {
  return index === log.before.index ? log.before.term : log.entries[index - log.before.index - 1]?.term;
}

function entryAt(log: Log, index: number): Entry {
  return log.entries[index - log.before.index - 1] ?? fail(`entry ${index} is not in memory`);
}

const NO_ENTRIES: readonly Entry[] = [];

/** Entries from..through within the byte limit, but at least one if there is one. */
export function entriesBetween(log: Log, from: number, through: number, maxBytes: number): readonly Entry[] {
  if (from > through) return NO_ENTRIES;
  if (from <= log.before.index || through > lastIndex(log)) fail(`entries ${from} to ${through} are not in memory`);
  let end = from;
  let bytes = entryBytes(entryAt(log, from));
  while (end < through) {
    bytes += entryBytes(entryAt(log, end + 1));
    if (bytes > maxBytes) break;
    end++;
  }
  const offset = log.before.index + 1;
  return log.entries.slice(from - offset, end + 1 - offset);
}

function sumBytes(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  return bytes;
}

/** The last membership change in from..through, or 0; entries below the window are not looked at. */
export function lastConfChangeBetween(log: Log, from: number, through: number): number {
  for (let index = through; index >= from && index > log.before.index; index--) {
    if (entryAt(log, index).type !== 0) return index;
  }
  return 0;
}

/** True when a log that ends in index@term holds at least what this one holds, as elections compare them. */
export function isUpToDate(log: Log, index: number, term: number): boolean {
  const own = lastTerm(log);
  return term > own || (term === own && index >= lastIndex(log));
}

/** The highest index up to `index` and not below `floor` whose term is at most `term`; `floor` if there is none. */
export function lastWithTermUpTo(log: Log, index: number, term: number, floor: number): number {
  let at = index;
  while (at > floor && (termAt(log, at) ?? fail(`no term for ${at}`)) > term) at--;
  return at;
}

export function append(log: Log, entry: Entry): void {
  if (entry.index !== lastIndex(log) + 1) fail(`entry ${entry.index} does not follow ${lastIndex(log)}`);
  if (entry.term < lastTerm(log)) fail(`entry ${entry.index} falls back to term ${entry.term}`);
  log.entries.push(entry);
  log.unappliedBytes += entryBytes(entry);
}

/** Takes entries that follow something the log has; what the log has already stays, what conflicts is replaced. */
export function merge(log: Log, entries: readonly Entry[]): void {
  for (const entry of entries) {
    const term = termAt(log, entry.index);
    if (term === entry.term) continue;
    if (term !== undefined) truncateFrom(log, entry.index);
    append(log, entry);
  }
}

function truncateFrom(log: Log, index: number): void {
  assert(index > log.commit, `entry ${index} is committed (up to ${log.commit}) and must not be replaced`);
  log.unappliedBytes -= sumBytes(log.entries.splice(index - log.before.index - 1));
  log.taken = Math.min(log.taken, index - 1);
  lowerClaims(log, index - 1);
}

function lowerClaims(log: Log, through: number): void {
  log.stable = Math.min(log.stable, through);
  for (const write of log.writes) write.through = Math.min(write.through, through);
}

export function commitTo(log: Log, index: number): void {
  assert(index <= lastIndex(log), `commit ${index} is beyond the last entry ${lastIndex(log)}`);
  if (index <= log.commit) return;
  if (log.unsettledChange === 0) log.unsettledChange = firstConfChangeBetween(log, log.commit + 1, index);
  log.commit = index;
}

function firstConfChangeBetween(log: Log, from: number, through: number): number {
  for (let index = from; index <= through; index++) if (entryAt(log, index).type !== 0) return index;
  return 0;
}

/** The disk holds this commit index. */
export function commitPersisted(log: Log, index: number): void {
  if (log.unsettledChange === 0 || index < log.unsettledChange) return;
  log.unsettledChange = firstConfChangeBetween(log, index + 1, log.commit);
}

/**
 * How far the log may be applied, and told to be committed. A commit index can be lost with the power, for a majority
 * tells it again; but a change of the membership must not be in force before its commit index is on this disk. The
 * schedule: of two members one is removed, applies that and ends; the other has applied it, too, and loses its power
 * before disk or state store have it. It comes back with the votes of both to count, and never leads again.
 */
export function commitInForce(log: Log): number {
  return log.unsettledChange === 0 ? log.commit : log.unsettledChange - 1;
}

/** Committed entries that are on disk, in force, and were not handed out; marks them as handed out. */
export function takeCommitted(log: Log, maxBytes: number): readonly Entry[] {
  const entries = entriesBetween(log, log.handed + 1, Math.min(commitInForce(log), log.stable), maxBytes);
  log.handed += entries.length;
  return entries;
}

/** The state machine holds everything up to `index`. Below the window (a snapshot came) nothing is counted any more. */
export function appliedTo(log: Log, index: number): void {
  for (let at = Math.max(log.applied, log.before.index) + 1; at <= index; at++) {
    log.unappliedBytes -= entryBytes(entryAt(log, at));
  }
  log.applied = Math.max(log.applied, index);
  // Bytes that nobody takes back would in the end leave no room for any proposal.
  assert(log.applied < lastIndex(log) || log.unappliedBytes === 0, `${log.unappliedBytes} bytes of no entry`);
}

export function trim(log: Log, index: number): void {
  assert(index <= log.applied, `trim to ${index} would lose entries that are not applied (${log.applied})`);
  if (index <= log.before.index) return;
  const term = entryAt(log, index).term;
  log.entries.splice(0, index - log.before.index);
  log.before = { index, term };
}

/** The log of a member that has received a snapshot: nothing but the point where it ends. */
export function resetToSnapshot(log: Log, index: number, term: number): void {
  assert(index > log.commit, `snapshot ${index} is behind the commit index ${log.commit}`);
  // What is on disk agrees with the leader's log only as far as it is committed.
  lowerClaims(log, log.commit);
  log.entries.length = 0;
  log.unappliedBytes = 0;
  log.before = { index, term };
  log.commit = index;
  log.unsettledChange = 0;
  log.handed = index;
  log.taken = index;
  log.storedFrom = index + 1;
}
