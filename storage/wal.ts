import type { Entry, HardState } from "../raft/types.ts";
import type { Disk } from "./disk.ts";

/**
 * The write-ahead log: what this member promised. Format: P-40 (etcd's records in preallocated segments).
 */
export interface WalMetadata {
  readonly nodeID: bigint;
  readonly clusterID: bigint;
}

/** A point of the log: an entry's index and its term. */
export interface LogPoint {
  readonly index: number;
  readonly term: number;
}

export interface WalBatch {
  /** The state machine's state at this point came from another member: the log starts anew behind it. */
  readonly snapshot?: LogPoint;
  readonly hardState: HardState | undefined;
  readonly entries: readonly Entry[];
  readonly mustSync: boolean;
}

export interface WalOptions {
  readonly segmentBytes: number;
  /** Called after each sync with its duration, for metrics. */
  readonly onSync?: (milliseconds: number) => void;
  /** Progress of replay, bytes read of all. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Wal {
  readonly metadata: WalMetadata;
  /** First and last index that `read` can give; last = first - 1 while the log is empty. */
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** Files of the log. */
  readonly segmentCount: number;
  /**
   * One write and, when mustSync, entries or a snapshot are present, one fdatasync. Resolves when durable. Calls may
   * overlap; they are carried out in order, and those that wait while a sync is in flight share the next one.
   * Rejects once and for good: after a failed write or sync every later append rejects with the same error.
   */
  append(batch: WalBatch): Promise<void>;
  /**
   * Committed entries from..through (both within firstIndex..lastIndex) as far as maxBytes of entry data go, at least
   * one, and the term of the entry before the first. Undefined when `from` or the entry before it is cut off.
   */
  read(
    from: number,
    through: number,
    maxBytes: number,
  ): Promise<{ readonly prevTerm: number; readonly entries: readonly Entry[] } | undefined>;
  /**
   * Gives files back to the disk, oldest first, as long as more than `keepSegments` are left and all that a file holds
   * is at or below `through`, which the state store must hold on the disk: it is what the log starts from then. Not while
   * another cut runs. Rejects when the disk fails.
   */
  cut(through: number, keepSegments: number): Promise<void>;
  close(): Promise<void>;
}

export interface WalReplay {
  readonly wal: Wal;
  readonly hardState: HardState;
  /** The newest snapshot that another member sent; {0,0}: none. */
  readonly start: LogPoint;
  /** Index and term before `entries`. */
  readonly before: LogPoint;
  /** Entries after `keepAfter.index`, contiguous. */
  readonly entries: readonly Entry[];
  /** Bytes of a torn last write that were cut off; 0 when the log ended cleanly. */
  readonly tornBytes: number;
}

/**
 * A log that is damaged, or that is not the one the state store was made from. `message` says where and what to do;
 * nothing was changed on disk.
 */
export class WalDamagedError extends Error {
  override readonly name = "WalDamagedError";
}

export type CreateWal = (
  disk: Disk,
  directory: string,
  metadata: WalMetadata,
  /**
   * Durable together with the log itself: either the whole first batch is there or no WAL is. With a snapshot the log
   * begins behind it: the state at that point was restored.
   */
  first: WalBatch,
  options: WalOptions,
) => Promise<Wal>;

/** Undefined when there is no WAL in the directory. Throws WalDamagedError. */
export type OpenWal = (
  disk: Disk,
  directory: string,
  /**
   * The last entry that the state store has applied ({0,0}: none). Entries with a higher index come back in memory; the
   * others stay on disk. A log that ends before it, begins behind it, or has another entry there is refused.
   */
  keepAfter: LogPoint,
  options: WalOptions,
) => Promise<WalReplay | undefined>;
