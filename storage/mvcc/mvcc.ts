/**
 * What the state machine, the reads and the watchers see of the multi-version store (G-2..G-4, R-1..R-4, C-1..C-4).
 *
 * Every change-set has one main revision; each key it touches takes the next sub-revision. Ranges are given as in the
 * API: end "" is the single key, end "\0" is everything >= key, otherwise key <= k < end.
 * All of it is synchronous; values are the stored bytes of mvccpb.KeyValue, never to be written into.
 */
export interface Revision {
  readonly main: number;
  readonly sub: number;
}

/** One live version of one key, from the index alone. */
export interface KeyVersion {
  readonly key: string;
  readonly mod: Revision;
  readonly createRevision: number;
  readonly version: number;
}

/** A change of one key as watchers see it. */
export interface KeyEvent {
  readonly type: "put" | "delete";
  readonly key: string;
  readonly revision: Revision;
  /** Encoded mvccpb.KeyValue: the whole pair for a put; key and mod_revision alone for a delete (W-9). */
  readonly kv: Uint8Array;
}

export interface Mvcc {
  /** Revision of the last finished change-set; 1 when there was none. */
  readonly currentRevision: number;
  /** Reads below it are refused; -1 when never compacted. */
  readonly compactRevision: number;

  /**
   * Live keys of the range as of `revision`, ascending; the visitor returns false to stop. Inside an open change,
   * currentRevision + 1 shows what it did so far. Looks at `maxEntries` keys of the index, live or not; the answer is the
   * key to go on with, undefined when the visit is over. Between two slices of a visit anything may happen to the store,
   * as long as `revision` is pinned: keys that come in are not visible as of it, those that go were not.
   */
  visit(
    key: string,
    end: string,
    revision: number,
    visitor: (version: KeyVersion) => boolean,
    maxEntries?: number,
  ): string | undefined;
  count(key: string, end: string, revision: number): number;
  /** The same in slices, as `visit`: what a slice counted, and the key to go on with. */
  countSlice(
    key: string,
    end: string,
    revision: number,
    maxEntries: number,
  ): { readonly count: number; readonly next: string | undefined };
  get(key: string, revision: number): KeyVersion | undefined;
  /** Encoded KeyValue of a version that visit or get gave. */
  value(version: KeyVersion): Uint8Array;

  /** Opens the change-set currentRevision + 1. At most one is open; whatever fails inside is a bug of this member. */
  beginChange(): void;
  /** Returns the stored KeyValue. */
  put(key: string, value: Uint8Array, lease: bigint): Uint8Array;
  /** Deletes the live keys of the range in key order; returns them. */
  deleteRange(key: string, end: string): readonly string[];
  /** Closes the change-set; nothing written: no new revision, no events (TX-12). */
  endChange(): { readonly revision: number; readonly events: readonly KeyEvent[] };

  /**
   * All events of revisions from..through (compactRevision <= from, through <= currentRevision), whole revisions only,
   * at least one revision, at most maxRevisions and about maxBytes. `next` is where to go on: through + 1 when done.
   */
  history(
    from: number,
    through: number,
    maxRevisions: number,
    maxBytes: number,
  ): { readonly events: readonly KeyEvent[]; readonly next: number };
  /**
   * The pair before the event (W-8): as of revision.main - 1; undefined if there was none, it is compacted, or the same
   * change deleted it and the event creates the key anew.
   */
  previous(event: KeyEvent): Uint8Array | undefined;

  /** Accepts a compaction (bounds already checked): reads below fail from now on; stages scheduledCompactRev (C-4). */
  compact(revision: number): void;
  /** Target of the unfinished compaction, if any. */
  readonly pendingCompaction: number | undefined;
  /**
   * Drops superseded versions of up to maxKeys index keys, from the index and from the backend; true when the pending
   * compaction is finished (finishedCompactRev is then staged). Must not be called while
   * a revision below the target is pinned.
   */
  compactSlice(maxKeys: number): boolean;
  /**
   * Keeps what a read as of `revision` sees, while it runs over several turns of the event loop. A compaction drops
   * nothing that such a read needs unless its target is above `revision`: so only reads that began before it was
   * accepted hold it up, and however many come after them do not.
   */
  pin(revision: number): { release(): void };
  /** Lowest pinned revision. */
  readonly oldestPin: number | undefined;

  readonly keyCount: number;
}

/** Feeds rows of the `key` bucket in ascending order into an empty store; `finish` restores revisions from meta (C-4). */
export interface MvccRestore {
  row(key: string, value: Uint8Array): void;
  /** Also yields every live key that carries a lease, for the lessor (L-11). */
  finish(): { readonly mvcc: Mvcc; readonly leased: ReadonlyMap<string, bigint> };
}
