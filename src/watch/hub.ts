import type { WatchCreateRequest, WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import type { KeyEvent } from "../../storage/mvcc/mvcc.ts";

/**
 * All watchers of this member. Pure and synchronous: apply's events come in through `publish`, the driver gives slices
 * of time to `catchUp`, services pull responses out of their stream.
 *
 * A watcher is synced (it gets events as they are applied) or unsynced (it reads history in bounded slices until it has
 * caught up). A stream that holds more than its limit turns its watchers unsynced: they hold no memory then, only the
 * revision they go on from.
 */
export interface WatchHub {
  /** `wake` is called when `take` has something after it had nothing; it must only schedule, not take. */
  openStream(wake: () => void): WatchStream;
  /** The events of one applied entry (one revision), in sub order. */
  publish(revision: number, events: readonly KeyEvent[]): void;
  /**
   * One bounded slice of history for unsynced watchers, plus one step for each watcher that waits for its turn (a look at its
   * position); true while there is more to do.
   */
  catchUp(): boolean;
  /** Progress notifications are due (W-12): for every synced watcher that asked and had no event since the last call. */
  notifyProgress(): void;
  readonly watcherCount: number;
  readonly unsyncedCount: number;
}

export interface WatchStream {
  create(request: WatchCreateRequest): void;
  cancel(watchId: bigint): void;
  /**
   * Answered in order with the events (W-11), if every live watch of the stream has begun and caught up and the stream has
   * room; otherwise never, and whoever asked asks again.
   */
  requestProgress(): void;
  /** Next responses in order, about maxBytes of them; header carries revision only (0 where H-3 says so). */
  take(maxBytes: number): readonly WatchResponse[];
  /** Replies to create and cancel that wait for take: no limit of the hub holds them back, so whoever asks must stop. */
  readonly queuedReplies: number;
  close(): void;
}
