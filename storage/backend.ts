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
  put(bucket: Bucket, key: string, value: Uint8Array): void;
  delete(bucket: Bucket, key: string): void;

  /** Bytes staged and not yet durable; the driver flushes before they pass a limit. */
  readonly stagedBytes: number;
  /** Resolves when durable (synced). One at a time. A rejection is final: the member stops. */
  flush(): Promise<void>;

  /** A frozen view of everything staged or durable at the moment of the call. Close it. */
  snapshot(): BackendSnapshot;

  /** Bytes the store takes on disk (Status.dbSize), and about what of it is live (dbSizeInUse). May be cached. */
  size(): { readonly total: number; readonly inUse: number };

  close(): Promise<void>;
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
