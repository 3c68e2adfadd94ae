import { assert } from "../../raft/assert.ts";
import type { KeyVersion } from "./mvcc.ts";

/**
 * The revisions of one key.
 *
 * A generation is a life of the key: from the put that created it to the tombstone that ended it (closed), or until now
 * (open). Each put in it has the version after the one before, so versions need not be stored. Generations hang on each
 * other from the newest to the oldest. Worked example, key "a" (t: tombstone):
 *
 *   put 2, put 4.1, delete 5, put 8       [8] -> [2, 4.1, 5t]
 *   as of 4: 4.1, version 2, created 2    as of 5, 6 and 7: not there    as of 8: 8, version 1, created 8
 *
 *   compact(3)    [8] -> [2, 4.1, 5t]     2 is what a read as of 3 finds
 *   compact(4)    [8] -> [4.1, 5t]        the first version of that generation is now 2
 *   compact(5)    [8] -> [5t]             a tombstone at exactly the compact revision stays (C-2)
 *   compact(6)    [8]
 *   delete 9      [8, 9t]
 *   compact(10)   nothing: the key leaves the index
 *
 * Most keys have been put once since the last compaction: those are an OnlyVersion, without arrays.
 *
 * Functions that take an index may write into it; the one they return replaces it.
 */
export type KeyIndex = OnlyVersion | Generation;

interface OnlyVersion {
  readonly revisions?: undefined;
  readonly main: number;
  readonly sub: number;
  readonly createRevision: number;
  readonly version: number;
}

interface Generation {
  readonly createRevision: number;
  /** Of revisions[0]. */
  firstVersion: number;
  /**
   * main, sub, main, sub, ...: ascending, never empty. When closed, the last is the tombstone. Each array here was made
   * with a length and then filled, by one() or extended(); slice() and push() keep what that gives. The engine knows an
   * array from a literal as another kind, and throws code that it optimised for one kind away when that meets the other.
   */
  revisions: number[];
  closed: boolean;
  older: Generation | undefined;
}

export function isLive(index: KeyIndex): boolean {
  return index.revisions === undefined || !index.closed;
}

/** createRevision and version of a live key. */
export function latest(index: KeyIndex): { readonly createRevision: number; readonly version: number } {
  if (index.revisions === undefined) return index;
  assert(!index.closed, "the latest version of a deleted key was asked for");
  return { createRevision: index.createRevision, version: index.firstVersion + index.revisions.length / 2 - 1 };
}

export function put(index: KeyIndex | undefined, main: number, sub: number): KeyIndex {
  if (index === undefined) return { main, sub, createRevision: main, version: 1 };
  if (isLive(index)) {
    const generation = asGeneration(index);
    append(generation, main, sub);
    return generation;
  }
  return {
    createRevision: main,
    firstVersion: 1,
    revisions: one(main, sub),
    closed: false,
    older: asGeneration(index),
  };
}

export function tombstone(index: KeyIndex | undefined, main: number, sub: number): KeyIndex {
  assert(index !== undefined && isLive(index), "a key was deleted that is not there");
  const generation = asGeneration(index);
  append(generation, main, sub);
  generation.closed = true;
  return generation;
}

/** A stored put; what was before it may have been compacted away. */
export function restorePut(
  index: KeyIndex | undefined,
  main: number,
  sub: number,
  createRevision: number,
  version: number,
): KeyIndex {
  if (index === undefined) return { main, sub, createRevision, version };
  if (isLive(index)) {
    const before = latest(index);
    if (before.createRevision === createRevision && before.version === version - 1) {
      const generation = asGeneration(index);
      append(generation, main, sub);
      return generation;
    }
  }
  return {
    createRevision,
    firstVersion: version,
    revisions: one(main, sub),
    closed: false,
    older: asGeneration(index),
  };
}

/** A stored tombstone; what was before it may have been compacted away. */
export function restoreTombstone(index: KeyIndex | undefined, main: number, sub: number): KeyIndex {
  if (index !== undefined && isLive(index)) return tombstone(index, main, sub);
  return {
    createRevision: 0,
    firstVersion: 1,
    revisions: one(main, sub),
    closed: true,
    older: index === undefined ? undefined : asGeneration(index),
  };
}

/** The version that a read as of `revision` finds. */
export function versionAt(index: KeyIndex, key: string, revision: number): KeyVersion | undefined {
  if (index.revisions === undefined) {
    if (index.main > revision) return undefined;
    const { main, sub, createRevision, version } = index;
    return { key, mod: { main, sub }, createRevision, version };
  }
  const generation = visibleGeneration(index, revision);
  if (generation === undefined) return undefined;
  const { revisions } = generation;
  const at = newestUpTo(revisions, revision);
  return {
    key,
    mod: { main: revisions[at * 2] as number, sub: revisions[at * 2 + 1] as number },
    createRevision: generation.createRevision,
    version: generation.firstVersion + at,
  };
}

export function isVisible(index: KeyIndex, revision: number): boolean {
  if (index.revisions === undefined) return index.main <= revision;
  return visibleGeneration(index, revision) !== undefined;
}

function visibleGeneration(newest: Generation, revision: number): Generation | undefined {
  let generation: Generation | undefined = newest;
  while (generation !== undefined && firstMain(generation) > revision) generation = generation.older;
  if (generation === undefined || (generation.closed && lastMain(generation) <= revision)) return undefined;
  return generation;
}

/** Whether a compaction to `target` has something to take from this key. */
export function isCompactable(index: KeyIndex, target: number): boolean {
  if (index.revisions === undefined) return false;
  let superseded = false;
  for (let generation: Generation | undefined = index; generation !== undefined; generation = generation.older) {
    if (firstMain(generation) > target) continue;
    if (keptFrom(generation, target, superseded) > 0) return true;
    superseded = true;
  }
  return false;
}

/**
 * Takes up to `limit` revisions away that a compaction to `target` drops. Whoever stops half way (a crash between two
 * slices) leaves a key that reads as before: inside a generation the oldest go first, so a tombstone goes last.
 */
export function compactKey(
  index: KeyIndex,
  target: number,
  limit: number,
  removed: (main: number, sub: number, isTombstone: boolean) => void,
): KeyIndex | undefined {
  if (index.revisions === undefined) return index;
  let head: Generation | undefined = index;
  let newer: Generation | undefined;
  let left = limit;
  let superseded = false;
  for (let generation: Generation | undefined = index; generation !== undefined; generation = generation.older) {
    if (firstMain(generation) > target) {
      newer = generation;
      continue;
    }
    const take = Math.min(left, keptFrom(generation, target, superseded));
    superseded = true;
    left -= take;
    const isEmpty = takeOldest(generation, take, removed);
    if (!isEmpty) newer = generation;
    else if (newer === undefined) head = generation.older;
    else newer.older = generation.older;
  }
  return head === undefined ? undefined : smallest(head);
}

/**
 * How many revisions of a generation, which starts at or below `target`, are dropped; all of them when a later
 * generation also starts there (`superseded`) or the key was gone by then.
 */
function keptFrom(generation: Generation, target: number, superseded: boolean): number {
  const count = generation.revisions.length / 2;
  if (generation.closed && lastMain(generation) === target) return count - 1;
  if (superseded || (generation.closed && lastMain(generation) < target)) return count;
  return newestUpTo(generation.revisions, target);
}

/** True when nothing is left. */
function takeOldest(
  generation: Generation,
  take: number,
  removed: (main: number, sub: number, isTombstone: boolean) => void,
): boolean {
  const { revisions, closed } = generation;
  const count = revisions.length / 2;
  for (let i = 0; i < take; i++) {
    removed(revisions[i * 2] as number, revisions[i * 2 + 1] as number, closed && i === count - 1);
  }
  if (take === count) return true;
  if (take > 0) {
    generation.revisions = revisions.slice(take * 2);
    generation.firstVersion += take;
  }
  return false;
}

/** The compact form, if this can be one. */
function smallest(generation: Generation): KeyIndex {
  const { revisions, closed, older } = generation;
  if (closed || older !== undefined || revisions.length > 2) return generation;
  return {
    main: revisions[0] as number,
    sub: revisions[1] as number,
    createRevision: generation.createRevision,
    version: generation.firstVersion,
  };
}

function asGeneration(index: KeyIndex): Generation {
  if (index.revisions !== undefined) return index;
  return {
    createRevision: index.createRevision,
    firstVersion: index.version,
    revisions: one(index.main, index.sub),
    closed: false,
    older: undefined,
  };
}

/** Arrays that push() made are a good deal larger than their content; short ones are made to measure. */
const MADE_TO_MEASURE = 16;

function append(generation: Generation, main: number, sub: number): void {
  const { revisions } = generation;
  const newest = lastMain(generation);
  const newestSub = revisions[revisions.length - 1] as number;
  assert(main > newest || (main === newest && sub > newestSub), "revisions of a key do not ascend");
  if (revisions.length < MADE_TO_MEASURE) generation.revisions = extended(revisions, main, sub);
  else revisions.push(main, sub);
}

function one(main: number, sub: number): number[] {
  const revisions = new Array<number>(2);
  revisions[0] = main;
  revisions[1] = sub;
  return revisions;
}

/** What concat() says, in a fifth of its time. */
function extended(revisions: readonly number[], main: number, sub: number): number[] {
  const { length } = revisions;
  const longer = new Array<number>(length + 2);
  for (let i = 0; i < length; i++) longer[i] = revisions[i] as number;
  longer[length] = main;
  longer[length + 1] = sub;
  return longer;
}

function firstMain(generation: Generation): number {
  return generation.revisions[0] as number;
}

function lastMain(generation: Generation): number {
  return generation.revisions[generation.revisions.length - 2] as number;
}

/** Position of the newest revision with main <= `revision`; there is one. */
function newestUpTo(revisions: readonly number[], revision: number): number {
  let low = 0;
  let high = revisions.length / 2 - 1;
  if ((revisions[high * 2] as number) <= revision) return high;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((revisions[middle * 2] as number) <= revision) low = middle;
    else high = middle - 1;
  }
  return low;
}
