/**
 * The state store: etcd's buckets as ordered maps from bytes to bytes (N-8).
 *
 * Writes are staged in memory and are visible to every read at once. `flush` makes all that was staged when it was
 * called durable in ONE atomic batch, off the event loop; the driver calls it between entries only, so what is on disk
 * is always the state after some whole entry, and the consistent index staged with it says which. The WAL covers
 * whatever is not flushed yet.
 *
 * Bucket keys are latin1 strings (one char a byte, so string order is byte order). Values are owned by the backend once
 * staged: nobody writes into them again. Values handed out are never written into either.
 */
export type Bucket =
  | "key"
  | "meta"
  | "lease"
  | "alarm"
  | "cluster"
  | "members"
  | "members_removed"
  | "auth"
  | "authUsers"
  | "authRoles";

export interface Backend {
  /** Synchronous. */
  get(bucket: Bucket, key: string): Uint8Array | undefined;
  /**
   * The same for many keys, in their order, off the event loop where they are not in memory. All are as of the moment of
   * the call, whatever is staged, deleted or flushed before the answer comes. The caller bounds how many it asks for.
   */
  getMany(bucket: Bucket, keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]>;
  put(bucket: Bucket, key: string, value: Uint8Array): void;
  /** `put` of CONSISTENT_INDEX in `meta`, at next to no cost: each entry does it. */
  putAppliedIndex(index: number): void;
  delete(bucket: Bucket, key: string): void;

  /** Bytes staged and not yet durable; the driver flushes before they pass a limit. */
  readonly stagedBytes: number;
  /** Resolves when durable (synced). One at a time. A rejection is final: the member stops. */
  flush(): Promise<void>;

  /** A frozen view of everything staged or durable at the moment of the call. Close it. */
  snapshot(): BackendSnapshot;

  /** What the store takes, as last measured and with what was flushed since. */
  size(): BackendSize;
  /** `size().inUse`, for every request. */
  readonly inUseBytes: number;
  /** The same, looked up now; `size` goes on from there. */
  measure(): Promise<BackendSize>;

  /** Rows deleted since the store was opened or `compact` last began: what there may be to gain by it. */
  readonly deletedRows: number;
  /**
   * Gives back the space of what was overwritten or deleted and is flushed, beside reads and writes; resolves when `size`
   * tells. One runs at a time: who asks meanwhile shares the next, which takes in what came since.
   */
  compact(): Promise<void>;

  /**
   * Reads the whole store for damage that no read of it would notice, beside everything else. Resolves when what was there
   * is sound; damage is a failure of the store as any other: it rejects, and the member stops before its store gets
   * anywhere else. Rejects with the signal's reason when that is aborted.
   */
  verify(signal?: AbortSignal): Promise<void>;

  close(): Promise<void>;
}

export interface BackendSize {
  /** Bytes of all files of the store (Status.dbSize). */
  readonly total: number;
  /** Without files that are only waiting to be deleted (Status.dbSizeInUse): what the quota counts. */
  readonly inUse: number;
}

export interface BackendSnapshot {
  /**
   * Up to `limit` pairs of the bucket with from <= key < to, ascending (`to` undefined: to the end of the bucket). There
   * may be fewer before the end (large pairs come a few at a time): only an empty answer means that there are no more.
   * Asynchronous, for whole-store walks: restore, hashes, backups.
   */
  range(
    bucket: Bucket,
    from: string,
    to: string | undefined,
    limit: number,
  ): Promise<readonly (readonly [key: string, value: Uint8Array])[]>;
  close(): Promise<void>;
}

/** What a walk over rows needs of a snapshot. A database file is such a source, too (bbolt/reader.ts). */
export type RowSource = Pick<BackendSnapshot, "range">;
