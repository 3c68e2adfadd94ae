/**
 * What Raft promises, looked at from outside after every step:
 *
 * - election safety: one leader a term;
 * - log matching: an index and a term name one entry with one predecessor, wherever it is written;
 * - leader completeness: a leader holds all that was committed before;
 * - state machine safety: what is committed at an index, is applied there, everywhere, for ever, and in order;
 * - durability: what a core takes for stable, and what it hands out, is on its own disk;
 * - linearizable reads: a read point covers all that was known to be committed when the read was asked for.
 */

import { must } from "../../raft/assert.ts";
import { entryBytes, lastIndex, termAt } from "../../raft/log.ts";
import type { Entry, NodeId, ReadPoint } from "../../raft/types.ts";
import type { Event, Image, Member } from "./cluster.ts";
import { type Cluster, decodeText, memberOf } from "./cluster.ts";

export interface Checker {
  readonly leaderOf: Map<number, NodeId>;
  /** By "index@term": the entry and the term before it. */
  readonly written: Map<string, { readonly previousTerm: number | undefined; readonly data: string }>;
  /** committed[i] is the entry at index i + 1. */
  readonly committed: { readonly term: number; readonly data: string | undefined }[];
  /** How far each member's commit index was compared. */
  readonly seenCommit: Map<NodeId, number>;
  /** What was committed when the read was asked for. */
  readonly reads: Map<string, number>;
  answeredReads: number;
}

export function newChecker(): Checker {
  return {
    leaderOf: new Map(),
    written: new Map(),
    committed: [],
    seenCommit: new Map(),
    reads: new Map(),
    answeredReads: 0,
  };
}

export class Violation extends Error {
  override readonly name = "Violation";
}

function check(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Violation(message());
}

function show({ type, data }: Entry): string {
  return `${type}${decodeText(data)}`;
}

export function checkEvent(checker: Checker, cluster: Cluster, event: Event): void {
  switch (event.kind) {
    case "writing":
      checkLogMatching(checker, memberOf(cluster, event.id), event.persist.entries);
      return;
    case "applied":
      checkApplied(checker, memberOf(cluster, event.id), event.entry);
      return;
    case "installed":
      checkInstalled(checker, event.id, event.image);
      return;
    case "read":
      checkRead(checker, event.id, event.point);
      return;
  }
}

function checkLogMatching(checker: Checker, member: Member, entries: readonly Entry[]): void {
  const log = must(member.raft, "a member that is down writes").log;
  const first = entries[0];
  let previousTerm = first === undefined ? undefined : termAt(log, first.index - 1);
  for (const entry of entries) {
    const key = `${entry.index}@${entry.term}`;
    const data = show(entry);
    const known = checker.written.get(key);
    if (known === undefined) checker.written.set(key, { previousTerm, data });
    else check(known.data === data && known.previousTerm === previousTerm, () => `two entries ${key} at ${member.id}`);
    previousTerm = entry.term;
  }
}

function checkApplied(checker: Checker, member: Member, entry: Entry): void {
  const { index, term } = entry;
  // Commit and apply may come in one step.
  checkCommit(checker, member);
  const known = must(checker.committed[index - 1], `${index} applied before it was seen committed`);
  check(known.term === term && known.data === show(entry), () => `${member.id} applies another entry at ${index}`);
  const { disk } = member;
  const onDisk = index === disk.start.index ? disk.start.term : disk.entries[index - disk.start.index - 1]?.term;
  check(onDisk === term, () => `${member.id} applies ${index}@${term}, and has ${onDisk} on disk`);
}

function checkInstalled(checker: Checker, id: NodeId, image: Image): void {
  const commands: string[] = [];
  for (const { data } of checker.committed.slice(0, image.index)) {
    if (data?.startsWith("0") && data.length > 1) commands.push(data.slice(1));
  }
  check(commands.join() === image.commands.join(), () => `the snapshot that ${id} installs has another history`);
}

function checkRead(checker: Checker, id: NodeId, point: ReadPoint): void {
  const name = decodeText(point.id);
  const floor = must(checker.reads.get(name), `nobody asked for read ${name}`);
  check(point.index >= floor, () => `${id} may read ${name} at ${point.index}, but ${floor} was committed before`);
  checker.answeredReads++;
}

/** After each step of a member. */
export function checkMember(checker: Checker, member: Member): void {
  const { raft, id } = member;
  if (raft === undefined) return;
  const { log } = raft;
  if (raft.role === "leader") {
    const leader = checker.leaderOf.get(raft.term);
    check(leader === undefined || leader === id, () => `${leader} and ${id} lead term ${raft.term}`);
    if (leader === undefined) {
      checker.leaderOf.set(raft.term, id);
      checkCompleteness(checker, member);
    }
  }
  checkCommit(checker, member);
  check(log.applied <= log.handed, () => `${id}: applied ${log.applied} > handed ${log.handed}`);
  check(log.commit <= lastIndex(log), () => `${id}: commit ${log.commit} > last ${lastIndex(log)}`);
  const unapplied = log.entries.reduce((sum, entry) => sum + (entry.index > log.applied ? entryBytes(entry) : 0), 0);
  check(log.unappliedBytes === unapplied, () => `${id}: counts ${log.unappliedBytes} bytes to apply of ${unapplied}`);
  check(log.handed <= log.commit, () => `${id}: handed ${log.handed} > commit ${log.commit}`);
}

function checkCompleteness(checker: Checker, { raft, id }: Member): void {
  const { log, term } = must(raft, "it leads");
  const last = checker.committed.length;
  if (last <= log.before.index) return;
  const has = termAt(log, last);
  check(has === checker.committed[last - 1]?.term, () => `${id} leads term ${term} without committed entry ${last}`);
}

function checkCommit(checker: Checker, { raft, id }: Member): void {
  const { log } = must(raft, "it runs");
  const seen = checker.seenCommit.get(id) ?? 0;
  for (let index = Math.max(seen, log.before.index) + 1; index <= log.commit; index++) {
    const entry = must(log.entries[index - log.before.index - 1], `entry ${index} is in the window`);
    const known = checker.committed[index - 1];
    if (known === undefined) {
      check(index === checker.committed.length + 1, () => `${id} commits ${index} out of order`);
      checker.committed.push({ term: entry.term, data: show(entry) });
    } else {
      check(known.term === entry.term && known.data === show(entry), () => `${id} commits another entry at ${index}`);
    }
  }
  checker.seenCommit.set(id, Math.max(seen, log.commit));
}

/** After a write: what the core takes for stable must be on disk as it is in memory. */
export function checkStable({ raft, disk, id }: Member): void {
  if (raft === undefined) return;
  const { log } = raft;
  for (const entry of log.entries) {
    if (entry.index > log.stable) return;
    if (entry.index <= disk.start.index) continue;
    const onDisk = disk.entries[entry.index - disk.start.index - 1]?.term;
    check(onDisk === entry.term, () => `${id} takes ${entry.index}@${entry.term} for stable, the disk has ${onDisk}`);
  }
}

/** Forget how far a member was compared: it has restarted, and may say anything. */
export function forget(checker: Checker, id: NodeId): void {
  checker.seenCommit.delete(id);
}
