import { encode, Slabs } from "../../proto/codec.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { AssertionError, assert, fail, must } from "../../raft/assert.ts";
import type { Backend } from "../backend.ts";
import {
  decodeRevision,
  encodeRevision,
  FINISHED_COMPACT_REVISION,
  isRevisionKey,
  isTombstoneKey,
  mainOf,
  revisionKey,
  SCHEDULED_COMPACT_REVISION,
  subOf,
  tombstoneKey,
} from "../schema.ts";
import { Compaction } from "./compaction.ts";
import { RecentChanges, readRevision } from "./history.ts";
import {
  isLive,
  isVisible,
  type KeyIndex,
  latest,
  put,
  restorePut,
  restoreTombstone,
  tombstone,
  versionAt,
} from "./key-index.ts";
import type { KeyEvent, KeyVersion, Mvcc, MvccRestore } from "./mvcc.ts";
import { DeleteEncoder, decodeRow } from "./stored-pair.ts";
import { TreeIndex } from "./tree-index.ts";

/** A fresh store is a restore without rows. */
export function createMvccRestore(backend: Backend): MvccRestore {
  return new Restore(backend);
}

/**
 * Revisions that never were, between `after` and `before`: a store has them only where `etcdutl snapshot restore
 * --bump-revision` jumped over a billion or so. History steps over them.
 */
interface Gap {
  readonly after: number;
  readonly before: number;
}

interface Restored {
  readonly tree: TreeIndex<KeyIndex>;
  readonly recent: RecentChanges;
  readonly gaps: readonly Gap[];
  readonly liveCount: number;
  readonly currentRevision: number;
  readonly compactRevision: number;
  readonly pendingCompaction: number | undefined;
  readonly highestSubAtCompactRevision: number;
}

class Restore implements MvccRestore {
  readonly #backend: Backend;
  readonly #scheduled: number;
  readonly #finished: number;
  readonly #tree = new TreeIndex<KeyIndex>();
  readonly #recent = new RecentChanges();
  readonly #gaps: Gap[] = [];
  readonly #leased = new Map<string, bigint>();
  #lastKey = "";
  #lastMain = 1;
  #liveCount = 0;
  #highestSubAtCompactRevision = -1;
  #isFinished = false;

  constructor(backend: Backend) {
    this.#backend = backend;
    this.#scheduled = storedRevision(backend, SCHEDULED_COMPACT_REVISION);
    this.#finished = storedRevision(backend, FINISHED_COMPACT_REVISION);
  }

  row(rowKey: string, value: Uint8Array): void {
    assert(!this.#isFinished, "a row came after the restore was finished");
    if (!isRevisionKey(rowKey)) fail(`a stored row has no revision for a key: ${JSON.stringify(rowKey)}`);
    assert(rowKey > this.#lastKey, "restored rows do not ascend");
    this.#lastKey = rowKey;
    const main = mainOf(rowKey);
    const sub = subOf(rowKey);
    this.#noteRevision(main, sub);
    const pair = decodeRow(value);
    const { key } = pair;
    const restore = isTombstoneKey(rowKey)
      ? (before: KeyIndex | undefined) => restoreTombstone(before, main, sub)
      : (before: KeyIndex | undefined) => restorePut(before, main, sub, pair.createRevision, pair.version);
    let wasLive = false;
    const index = this.#tree.update(key, (before) => {
      wasLive = before !== undefined && isLive(before);
      return restore(before);
    });
    this.#liveCount += Number(isLive(index)) - Number(wasLive);
    if (pair.lease !== 0n && isLive(index)) this.#leased.set(key, pair.lease);
    else this.#leased.delete(key);
  }

  #noteRevision(main: number, sub: number): void {
    const compacted = Math.max(this.#scheduled, this.#finished);
    const after = Math.max(this.#lastMain, compacted);
    if (main > after + 1) this.#gaps.push({ after, before: main });
    if (main === compacted) this.#highestSubAtCompactRevision = sub;
    this.#lastMain = main;
    this.#recent.set(main, sub + 1);
  }

  finish(): { readonly mvcc: Mvcc; readonly leased: ReadonlyMap<string, bigint> } {
    assert(!this.#isFinished, "a restore was finished twice");
    this.#isFinished = true;
    const compactRevision = Math.max(this.#scheduled, this.#finished);
    const mvcc = new Store(this.#backend, {
      tree: this.#tree,
      recent: this.#recent,
      gaps: this.#gaps,
      liveCount: this.#liveCount,
      currentRevision: Math.max(this.#lastMain, compactRevision),
      compactRevision,
      pendingCompaction: this.#scheduled > this.#finished ? this.#scheduled : undefined,
      highestSubAtCompactRevision: this.#highestSubAtCompactRevision,
    });
    return { mvcc, leased: this.#leased };
  }
}

/** -1 when there is none. */
function storedRevision(backend: Backend, metaKey: string): number {
  const value = backend.get("meta", metaKey);
  return value === undefined ? -1 : decodeRevision(value);
}

/** Upper bound of a range that is no single key. */
function boundOf(end: string): string | undefined {
  return end === "\0" ? undefined : end;
}

interface Change {
  readonly main: number;
  events: KeyEvent[];
}

/** Of a change that has none yet, and of no other: most have one, and what grows takes room for many. */
const NO_EVENTS = Object.freeze<KeyEvent[]>([]) as KeyEvent[];

function addEvent(change: Change, event: KeyEvent): void {
  if (change.events === NO_EVENTS) change.events = [event];
  else change.events.push(event);
}

/** The step of the index that a put is; one for all puts, since a closure for each costs as much as the step. */
class PutStep {
  main = 0;
  sub = 0;
  wasLive = false;

  readonly take = (before: KeyIndex | undefined): KeyIndex => {
    this.wasLive = before !== undefined && isLive(before);
    return put(before, this.main, this.sub);
  };
}

class Store implements Mvcc {
  readonly #backend: Backend;
  readonly #tree: TreeIndex<KeyIndex>;
  readonly #recent: RecentChanges;
  readonly #gaps: readonly Gap[];
  #liveCount: number;
  #currentRevision: number;
  #compactRevision: number;
  #pendingCompaction: number | undefined;
  #highestSubAtCompactRevision: number;
  #compaction: Compaction | undefined;
  /** What reads as of an older revision would find is no longer complete. */
  #trimmedTo = -1;
  #change: Change | undefined;
  /** Pairs stay in memory until they are flushed. */
  readonly #pairSlabs = new Slabs();
  readonly #putStep = new PutStep();
  readonly #pins = new Set<{ readonly revision: number }>();

  constructor(backend: Backend, restored: Restored) {
    this.#backend = backend;
    this.#tree = restored.tree;
    this.#recent = restored.recent;
    this.#gaps = restored.gaps;
    this.#liveCount = restored.liveCount;
    this.#currentRevision = restored.currentRevision;
    this.#compactRevision = restored.compactRevision;
    this.#pendingCompaction = restored.pendingCompaction;
    this.#highestSubAtCompactRevision = restored.highestSubAtCompactRevision;
    this.#trimmedTo = restored.compactRevision;
  }

  get currentRevision(): number {
    return this.#currentRevision;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  get keyCount(): number {
    return this.#liveCount;
  }

  visit(
    key: string,
    end: string,
    revision: number,
    visitor: (version: KeyVersion) => boolean,
    maxEntries: number = Number.POSITIVE_INFINITY,
  ): string | undefined {
    if (end === "") {
      const version = this.get(key, revision);
      if (version !== undefined) visitor(version);
      return undefined;
    }
    return this.#slice(key, end, revision, maxEntries, (found, index) => {
      const version = versionAt(index, found, revision);
      return version === undefined || visitor(version);
    });
  }

  /** Keys of the index, at most so many, until the visitor returns false; the key to go on with. */
  #slice(
    key: string,
    end: string,
    revision: number,
    maxEntries: number,
    visitor: (key: string, index: KeyIndex) => boolean,
  ): string | undefined {
    this.#checkReadable(revision);
    let seen = 0;
    let next: string | undefined;
    this.#tree.visit(key, boundOf(end), (found, index) => {
      if (seen++ < maxEntries) return visitor(found, index);
      next = found;
      return false;
    });
    return next;
  }

  count(key: string, end: string, revision: number): number {
    return this.countSlice(key, end, revision, Number.POSITIVE_INFINITY).count;
  }

  countSlice(
    key: string,
    end: string,
    revision: number,
    maxEntries: number,
  ): { readonly count: number; readonly next: string | undefined } {
    if (end === "") return { count: this.get(key, revision) === undefined ? 0 : 1, next: undefined };
    let count = 0;
    const next = this.#slice(key, end, revision, maxEntries, (_, index) => {
      if (isVisible(index, revision)) count++;
      return true;
    });
    return { count, next };
  }

  get(key: string, revision: number): KeyVersion | undefined {
    this.#checkReadable(revision);
    const index = this.#tree.get(key);
    return index === undefined ? undefined : versionAt(index, key, revision);
  }

  value({ key, mod: { main, sub } }: KeyVersion): Uint8Array {
    const pair = this.#backend.get("key", revisionKey(main, sub));
    if (pair !== undefined) return pair;
    throw new AssertionError(`the index has revision ${main}.${sub} of key ${JSON.stringify(key)}, the store has not`);
  }

  #checkReadable(revision: number): void {
    if (revision < this.#trimmedTo) {
      fail(
        `a read as of revision ${revision} came after a compaction to ${this.#trimmedTo} began to drop what it needs`,
      );
    }
  }

  beginChange(): void {
    assert(this.#change === undefined, "a change was begun inside another one");
    this.#change = { main: this.#currentRevision + 1, events: NO_EVENTS };
  }

  put(key: string, value: Uint8Array, lease: bigint): Uint8Array {
    const change = this.#openChange();
    const { main } = change;
    const sub = change.events.length;
    const step = this.#putStep;
    step.main = main;
    step.sub = sub;
    const index = this.#tree.update(key, step.take);
    if (!step.wasLive) this.#liveCount++;
    const { createRevision, version } = latest(index);
    const kv = encode(KeyValue, { key, createRevision, modRevision: main, version, value, lease }, this.#pairSlabs);
    this.#backend.put("key", revisionKey(main, sub), kv);
    addEvent(change, { type: "put", key, revision: { main, sub }, kv });
    return kv;
  }

  deleteRange(key: string, end: string): readonly string[] {
    const change = this.#openChange();
    const keys: string[] = [];
    if (end === "") {
      const index = this.#tree.get(key);
      if (index !== undefined && isLive(index)) keys.push(key);
    } else {
      this.#tree.visit(key, boundOf(end), (found, index) => {
        if (isLive(index)) keys.push(found);
        return true;
      });
    }
    const encoder = new DeleteEncoder(change.main, keys.length);
    for (const found of keys) this.#delete(found, change, encoder);
    return keys;
  }

  #delete(key: string, change: Change, encoder: DeleteEncoder): void {
    const { main } = change;
    const sub = change.events.length;
    this.#tree.update(key, (before) => tombstone(before, main, sub));
    this.#liveCount--;
    const { row, kv } = encoder.next(key);
    this.#backend.put("key", tombstoneKey(main, sub), row);
    addEvent(change, { type: "delete", key, revision: { main, sub }, kv });
  }

  endChange(): { readonly revision: number; readonly events: readonly KeyEvent[] } {
    const { main, events } = this.#openChange();
    this.#change = undefined;
    if (events.length > 0) {
      this.#currentRevision = main;
      this.#recent.set(main, events.length);
    }
    return { revision: this.#currentRevision, events };
  }

  #openChange(): Change {
    return must(this.#change, "the store was written to outside a change");
  }

  history(
    from: number,
    through: number,
    maxRevisions: number,
    maxBytes: number,
  ): { readonly events: readonly KeyEvent[]; readonly next: number } {
    assert(from >= this.#compactRevision, `history from ${from} is compacted to ${this.#compactRevision}`);
    assert(through <= this.#currentRevision, `history through ${through} is beyond ${this.#currentRevision}`);
    const events: KeyEvent[] = [];
    let next = from;
    let bytes = 0;
    for (let revisions = 0; next <= through; revisions++) {
      if (revisions > 0 && (revisions >= maxRevisions || bytes >= maxBytes)) break;
      const gap = this.#gaps.find(({ after, before }) => after < next && next < before);
      if (gap !== undefined) {
        next = Math.min(gap.before, through + 1);
        continue;
      }
      const holesThrough = next === this.#compactRevision ? this.#highestSubAtCompactRevision : -1;
      bytes += readRevision(this.#backend, next, this.#recent.get(next), holesThrough, events);
      next++;
    }
    return { events, next };
  }

  previous({ type, key, revision, kv }: KeyEvent): Uint8Array | undefined {
    const before = revision.main - 1;
    if (before < this.#compactRevision) return undefined;
    const version = this.get(key, before);
    if (version === undefined) return undefined;
    if (type === "put" && decodeRow(kv).createRevision === revision.main) return undefined;
    return this.value(version);
  }

  compact(revision: number): void {
    assert(this.#change === undefined, "a compaction was accepted inside a change");
    assert(
      revision > this.#compactRevision && revision <= this.#currentRevision,
      `a compaction to ${revision} is not within ${this.#compactRevision} and ${this.#currentRevision}`,
    );
    this.#compactRevision = revision;
    this.#pendingCompaction = revision;
    this.#compaction = undefined;
    this.#highestSubAtCompactRevision = -1;
    this.#backend.put("meta", SCHEDULED_COMPACT_REVISION, encodeRevision(revision));
  }

  get pendingCompaction(): number | undefined {
    return this.#pendingCompaction;
  }

  compactSlice(maxKeys: number): boolean {
    assert(this.#change === undefined, "a compaction ran inside a change");
    assert(maxKeys > 0, "a compaction slice of no keys was asked for");
    const target = this.#pendingCompaction;
    if (target === undefined) return true;
    assert((this.oldestPin ?? target) >= target, "a compaction dropped versions while a read held them");
    this.#trimmedTo = target;
    this.#compaction ??= new Compaction(target, this.#tree, this.#backend);
    const isOver = this.#compaction.slice(maxKeys);
    this.#highestSubAtCompactRevision = Math.max(
      this.#highestSubAtCompactRevision,
      this.#compaction.highestSubAtTarget,
    );
    if (!isOver) return false;
    this.#backend.put("meta", FINISHED_COMPACT_REVISION, encodeRevision(target));
    this.#compaction = undefined;
    this.#pendingCompaction = undefined;
    return true;
  }

  pin(revision: number): { release(): void } {
    const pin = { revision };
    this.#pins.add(pin);
    return {
      release: () => {
        assert(this.#pins.delete(pin), "a pin was released twice");
      },
    };
  }

  get oldestPin(): number | undefined {
    let oldest: number | undefined;
    for (const { revision } of this.#pins) oldest = Math.min(oldest ?? revision, revision);
    return oldest;
  }
}
