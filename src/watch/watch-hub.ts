import type { ResponseHeader, WatchCreateRequest, WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import { assert, fail } from "../../raft/assert.ts";
import type { KeyEvent, Mvcc } from "../../storage/mvcc/mvcc.ts";
import { errors } from "../api/errors.ts";
import { collect, collectOne, type EventBatch } from "./batches.ts";
import type { WatchHub, WatchStream } from "./hub.ts";
import { type KeyRange, RangeSet, watchedRange } from "./range-set.ts";
import {
  canceledResponse,
  compactedResponse,
  createdResponse,
  eventResponse,
  headerOf,
  isSplit,
  progressNotice,
  progressReply,
  refusedResponse,
  split,
} from "./responses.ts";
import {
  keyBytes,
  NO_DELETE,
  NO_PUT,
  type QueueBudget,
  type StreamLimits,
  StreamState,
  type Watcher,
} from "./stream.ts";

/**
 * What the hub needs of the store. It must always speak for the store of the moment: after a snapshot was installed, of
 * the new one.
 */
export type WatchSource = Pick<Mvcc, "currentRevision" | "compactRevision" | "history" | "previous">;

export interface WatchLimits extends StreamLimits {
  /** What waits in all streams together; above it, each stream may go on only within its equal share of it. */
  readonly maxQueuedBytes: number;
  /** Watches of all streams, and the bytes of their keys; further creates are refused. */
  readonly maxWatchers: number;
  readonly maxWatcherKeyBytes: number;
  /** One slice of catching up, of sliceRevisions: bytes read, watchers served. */
  readonly sliceBytes: number;
  readonly sliceWatchers: number;
  /** Responses from this size on are split for watches that asked for fragments (W-13). */
  readonly fragmentBytes: number;
}

/**
 * `onWork` is called when `catchUp` has something to do after it had nothing: at the start, or after it returned false.
 * It must only schedule; then `catchUp` is to be called until it returns false.
 */
export function createWatchHub(source: WatchSource, limits: WatchLimits, onWork: () => void): WatchHub {
  return new Hub(source, limits, onWork);
}

/** What becomes of a create request (W-4). */
type Admission =
  | { readonly kind: "admitted"; readonly id: bigint; readonly range: KeyRange }
  | { readonly kind: "refused"; readonly reason: string };

/**
 * The invariant that everything rests on, for each live watcher W and revision r it should see:
 * r is queued on W's stream (or already taken) iff r <= #current and (W is synced ? true : r < W.next).
 * `publish` and one slice of `catchUp` each move W over whole revisions, and only together with queueing them, so
 * nothing is lost, nothing comes twice and no revision is split, whenever a stream blocks.
 */
class Hub implements WatchHub {
  readonly #source: WatchSource;
  readonly #limits: WatchLimits;
  readonly #onWork: () => void;
  readonly #budget: QueueBudget;
  readonly #streams = new Set<StreamState>();
  readonly #synced = new RangeSet<Watcher>();
  /** Unsynced watchers of streams that were not blocked when last looked at; the one that waits longest is first. */
  readonly #ready = new Set<Watcher>();
  readonly #progressWatchers = new Set<Watcher>();
  /** The last revision published: the hub never speaks of anything later, though the store may already be there. */
  #current: number;
  #live = 0;
  #held = 0;
  #heldKeyBytes = 0;
  #unsynced = 0;
  #armed = false;
  #sweep = false;

  constructor(source: WatchSource, limits: WatchLimits, onWork: () => void) {
    this.#source = source;
    this.#limits = limits;
    this.#onWork = onWork;
    this.#budget = { queuedBytes: 0, streams: 0, maxBytes: limits.maxQueuedBytes };
    this.#current = source.currentRevision;
  }

  get watcherCount(): number {
    return this.#live;
  }

  get unsyncedCount(): number {
    return this.#unsynced;
  }

  openStream(wake: () => void): WatchStream {
    const stream = new StreamState(this.#limits, this.#budget, wake);
    this.#streams.add(stream);
    this.#budget.streams = this.#streams.size;
    return {
      create: (request) => this.#create(stream, request),
      cancel: (watchId) => this.#cancel(stream, watchId),
      requestProgress: () => this.#requestProgress(stream),
      take: (maxBytes) => this.#take(stream, maxBytes),
      get queuedReplies() {
        return stream.queuedReplies;
      },
      close: () => this.#close(stream),
    };
  }

  publish(revision: number, events: readonly KeyEvent[]): void {
    if (events.length === 0) return;
    if (revision !== this.#current + 1) fail(`revision ${revision} is published after ${this.#current}`);
    this.#current = revision;
    if (this.#live === this.#unsynced) return;
    const header = headerOf(revision);
    // Whoever falls behind leaves the set that is gone through.
    const behind: Watcher[] = [];
    const give = (watcher: Watcher, batch: EventBatch): void => {
      if (!this.#deliver(watcher, batch, header)) behind.push(watcher);
    };
    const [only] = events;
    if (events.length === 1 && only !== undefined) collectOne(this.#source, only, this.#synced, give);
    else {
      const { batches } = collect(this.#source, events, this.#synced, Number.POSITIVE_INFINITY);
      for (const [watcher, batch] of batches) give(watcher, batch);
    }
    for (const watcher of behind) this.#fallBehind(watcher, revision);
    this.#arm();
  }

  catchUp(): boolean {
    const lead = this.#chooseLead();
    if (lead !== undefined) this.#serveSlice(lead);
    this.#armed = this.#ready.size > 0;
    return this.#armed;
  }

  notifyProgress(): void {
    for (const watcher of this.#progressWatchers) {
      if (watcher.quiet && !watcher.notified && this.#isCurrent(watcher)) {
        watcher.notified = true;
        watcher.stream.tell(progressNotice(watcher.id, this.#current), watcher);
      }
      watcher.quiet = true;
    }
  }

  #create(stream: StreamState, request: WatchCreateRequest): void {
    if (stream.closed) return;
    const admission = this.#admit(stream, request);
    if (admission.kind === "refused") {
      stream.reply(refusedResponse(admission.reason, this.#current));
      return;
    }
    const { id, range } = admission;
    const { startRevision } = request;
    const watcher: Watcher = {
      id,
      stream,
      range,
      startRevision,
      noPut: request.filters.includes(NO_PUT),
      noDelete: request.filters.includes(NO_DELETE),
      prevKv: request.prevKv,
      fragment: request.fragment,
      progressNotify: request.progressNotify,
      next: startRevision === 0 ? this.#current + 1 : startRevision,
      state: "synced",
      quiet: true,
      notified: false,
      waiting: undefined,
    };
    stream.watchers.set(id, watcher);
    if (watcher.progressNotify) this.#progressWatchers.add(watcher);
    this.#live++;
    this.#held++;
    this.#heldKeyBytes += keyBytes(watcher);
    this.#synced.add(watcher);
    stream.reply(createdResponse(id, this.#current));
    if (watcher.next < this.#source.compactRevision) this.#kill(watcher);
    else if (watcher.next <= this.#current) this.#fallBehind(watcher, watcher.next);
    this.#arm();
  }

  #admit(stream: StreamState, request: WatchCreateRequest): Admission {
    if (request.startRevision < 0) return { kind: "refused", reason: errors.compacted.message };
    const range = watchedRange(request.key, request.rangeEnd);
    if (range === undefined) return { kind: "refused", reason: "mvcc: watcher range is empty" };
    if (this.#held >= this.#limits.maxWatchers || this.#heldKeyBytes >= this.#limits.maxWatcherKeyBytes) {
      return { kind: "refused", reason: errors.tooManyRequests.message };
    }
    const id = stream.allocateId(request.watchId);
    if (id === undefined) return { kind: "refused", reason: "mvcc: duplicate watch ID provided on the WatchStream" };
    return { kind: "admitted", id, range };
  }

  #cancel(stream: StreamState, watchId: bigint): void {
    const watcher = stream.watchers.get(watchId);
    if (watcher === undefined) return;
    this.#forget(watcher);
    stream.watchers.delete(watchId);
    stream.reply(canceledResponse(watchId, this.#current));
  }

  /**
   * Silence when the stream is full: the reply would be one more thing to hold for a client that does not read, and a
   * client asks again. The dead do not count (an improvement over etcd, W-11).
   */
  #requestProgress(stream: StreamState): void {
    let live = 0;
    for (const watcher of stream.watchers.values()) {
      if (watcher.state === "dead") continue;
      if (!this.#isCurrent(watcher)) return;
      live++;
    }
    if (live > 0 && stream.accepts) stream.tell(progressReply(this.#current));
  }

  #take(stream: StreamState, maxBytes: number): readonly WatchResponse[] {
    const taken = stream.take(maxBytes);
    if (stream.recovered) {
      stream.blocked = false;
      for (const watcher of stream.parked) this.#ready.add(watcher);
      stream.parked.clear();
      this.#arm();
    }
    return taken;
  }

  #close(stream: StreamState): void {
    if (!this.#streams.delete(stream)) return;
    for (const watcher of stream.watchers.values()) this.#forget(watcher);
    stream.close();
    this.#budget.streams = this.#streams.size;
  }

  /** Everything up to the current revision is queued, and the watch has begun: it may speak for that revision. */
  #isCurrent(watcher: Watcher): boolean {
    return watcher.state === "synced" && watcher.startRevision <= this.#current;
  }

  #arm(): void {
    if (this.#armed || this.#ready.size === 0) return;
    this.#armed = true;
    this.#onWork();
  }

  /** Queues the batch; false, and the stream is blocked, if there is no room. */
  #deliver(watcher: Watcher, batch: EventBatch, header: ResponseHeader): boolean {
    const { stream } = watcher;
    if (!stream.accepts) {
      stream.blocked = true;
      return false;
    }
    const { fragmentBytes } = this.#limits;
    if (isSplit(watcher, batch, fragmentBytes)) {
      const parts = split(watcher, batch, fragmentBytes);
      for (const [i, { events, bytes }] of parts.entries()) {
        stream.push(eventResponse(watcher.id, header, events, i < parts.length - 1), bytes);
      }
    } else stream.pushEvents(watcher, batch, header);
    watcher.quiet = false;
    return true;
  }

  /** A synced watcher goes on from history, at `next`. */
  #fallBehind(watcher: Watcher, next: number): void {
    this.#synced.delete(watcher);
    watcher.state = "unsynced";
    watcher.next = next;
    this.#unsynced++;
    if (watcher.stream.blocked) watcher.stream.parked.add(watcher);
    else this.#ready.add(watcher);
  }

  /** Removes a live watcher from whatever its state keeps it in. */
  #detach(watcher: Watcher): void {
    if (watcher.state === "synced") this.#synced.delete(watcher);
    if (watcher.state === "unsynced") {
      this.#ready.delete(watcher);
      watcher.stream.parked.delete(watcher);
      this.#unsynced--;
    }
    if (watcher.state !== "dead") this.#live--;
    this.#progressWatchers.delete(watcher);
  }

  /** Overtaken by compaction (W-6). */
  #kill(watcher: Watcher): void {
    this.#detach(watcher);
    watcher.state = "dead";
    watcher.stream.tell(compactedResponse(watcher.id, this.#source.compactRevision));
  }

  #forget(watcher: Watcher): void {
    this.#detach(watcher);
    this.#held--;
    this.#heldKeyBytes -= keyBytes(watcher);
  }

  /**
   * Whose position the next slice of history starts at. By turns the watcher that is furthest behind, and the one that
   * waits longest. The first way alone reads each revision about once for all watchers, because the last one sweeps
   * forward and takes along whom it meets, but one far behind would keep all that need only the newest few revisions
   * waiting; the second alone gives everybody their turn but would read history anew for each position.
   *
   * On the way it sends away who was overtaken by compaction, and parks who has no room.
   */
  #chooseLead(): Watcher | undefined {
    const { compactRevision } = this.#source;
    let first: Watcher | undefined;
    let furthest: Watcher | undefined;
    for (const watcher of this.#ready) {
      if (watcher.stream.blocked) this.#park(watcher);
      else if (watcher.next < compactRevision) this.#kill(watcher);
      else {
        first ??= watcher;
        if (furthest === undefined || watcher.next < furthest.next) furthest = watcher;
      }
    }
    this.#sweep = !this.#sweep;
    return this.#sweep ? furthest : first;
  }

  #park(watcher: Watcher): void {
    this.#ready.delete(watcher);
    watcher.stream.parked.add(watcher);
  }

  /** Reads one slice of history from the lead's position and serves everybody whose position lies in it. */
  #serveSlice(lead: Watcher): void {
    const { sliceRevisions, sliceBytes, sliceWatchers } = this.#limits;
    const slice = this.#source.history(lead.next, this.#current, sliceRevisions, sliceBytes);
    assert(slice.next > lead.next, `history from ${lead.next} made no step`);
    const group = [lead];
    for (const watcher of this.#ready) {
      if (group.length >= sliceWatchers) break;
      if (watcher !== lead && watcher.next >= lead.next && watcher.next < slice.next) group.push(watcher);
    }
    const set = new RangeSet<Watcher>();
    for (const watcher of group) set.add(watcher);
    const { batches, stoppedBefore } = collect(this.#source, slice.events, set, sliceBytes);
    const end = stoppedBefore ?? slice.next;
    const header = headerOf(this.#current);
    for (const watcher of group) this.#advance(watcher, batches.get(watcher), end, header);
  }

  /** The watcher has got `batch` and now stands at `end`; or, without room, stands where it was. */
  #advance(watcher: Watcher, batch: EventBatch | undefined, end: number, header: ResponseHeader): void {
    if (batch !== undefined && !this.#deliver(watcher, batch, header)) {
      this.#park(watcher);
      return;
    }
    this.#ready.delete(watcher);
    watcher.next = Math.max(watcher.next, end);
    if (watcher.next <= this.#current) {
      this.#ready.add(watcher);
      return;
    }
    watcher.state = "synced";
    this.#unsynced--;
    this.#synced.add(watcher);
  }
}
