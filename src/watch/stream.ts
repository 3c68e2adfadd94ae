import type { ResponseHeader, WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import type { EventBatch } from "./batches.ts";
import type { KeyRange } from "./range-set.ts";
import { eventResponse } from "./responses.ts";

/** EventFilter numbers of a create request that have a meaning; others are ignored. */
export const NO_PUT = 0;
export const NO_DELETE = 1;

/**
 * One watch of one stream.
 *
 * - `synced`: every event below the hub's current revision + 1 (and from `next` on) is queued; it gets new ones as they
 *   are published.
 * - `unsynced`: every event below `next` is queued, none from `next` on; history has the rest.
 * - `dead`: overtaken by compaction and told so; it keeps its id until the client cancels it, and nothing else.
 */
export interface Watcher {
  readonly id: bigint;
  readonly stream: StreamState;
  readonly range: KeyRange;
  /** As asked for: 0 is "from the next revision". */
  readonly startRevision: number;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
  next: number;
  state: "synced" | "unsynced" | "dead";
  /** No event was queued since the last round of progress notifications (W-12). */
  quiet: boolean;
  /** A progress notification is queued and not yet taken: one at a time bounds what a silent client costs. */
  notified: boolean;
  /** Its last response with events that is queued, and that the next may be added to. */
  waiting: Queued | undefined;
}

/** Bytes of keys that a watcher keeps. */
export function keyBytes(watcher: Watcher): number {
  return watcher.range.start.length + (watcher.range.end?.length ?? 0);
}

/** What a response costs in memory beside its events. */
const RESPONSE_OVERHEAD_BYTES = 256;

/** Queued bytes of all streams together. Once they are too many, no stream may hold more than its equal share. */
export interface QueueBudget {
  queuedBytes: number;
  streams: number;
  readonly maxBytes: number;
}

export interface StreamLimits {
  readonly maxStreamBytes: number;
  readonly maxStreamResponses: number;
  /** While so many responses wait, what is the same watcher's goes into one, up to mergedBytes and sliceRevisions. */
  readonly mergeFromResponses: number;
  readonly mergedBytes: number;
  /** Revisions in one response, of history or merged (W-7). */
  readonly sliceRevisions: number;
}

/** A response that waits, and is its stream's alone. */
export interface Queued {
  readonly response: { -readonly [Name in keyof WatchResponse]: WatchResponse[Name] };
  bytes: number;
  readonly isReply: boolean;
  /** Whose progress notification this is. */
  readonly notice: Watcher | undefined;
  /** Whose events these are, if more may be added. */
  readonly watcher: Watcher | undefined;
  /** StreamState.#era as it was queued. */
  readonly era: number;
  /** No other response has its list of events. */
  hasOwnEvents: boolean;
}

/**
 * One stream: its watch ids and the responses that wait for `take`, in the one order that the client sees.
 *
 * Because everything goes through this one queue, a progress reply stands behind every event it speaks of (W-11) and a
 * created reply before every event of its watch (W-2).
 *
 * Events are accepted until the queue is over a limit; the response that crosses it may be as large as one slice of
 * history or one revision. Then the stream is `blocked`, until half of it was taken: without that distance a slow
 * client would make its watchers change state with every response.
 */
export class StreamState {
  readonly watchers = new Map<bigint, Watcher>();
  /** Unsynced watchers that wait for room. */
  readonly parked = new Set<Watcher>();
  blocked = false;
  closed = false;
  readonly #limits: StreamLimits;
  readonly #budget: QueueBudget;
  readonly #wake: () => void;
  #queue: Queued[] = [];
  #bytes = 0;
  #replies = 0;
  /** Counts what is no event: a reply, or what speaks for a revision. No event goes past one. */
  #era = 0;
  #nextId = 0n;

  constructor(limits: StreamLimits, budget: QueueBudget, wake: () => void) {
    this.#limits = limits;
    this.#budget = budget;
    this.#wake = wake;
  }

  /** The id of a new watch (W-2), or undefined when the wanted one is taken. 0 leaves the choice to the stream. */
  allocateId(wanted: bigint): bigint | undefined {
    if (wanted !== 0n) return this.watchers.has(wanted) ? undefined : wanted;
    while (this.watchers.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  /**
   * May events be queued? A stream that holds nothing always may, whatever the others hold: so a stream that is refused
   * has something to take, and that `take` is what lets it go on.
   */
  get accepts(): boolean {
    if (this.blocked) return false;
    if (this.#queue.length === 0) return true;
    return this.#bytes < this.#byteLimit() && this.#queue.length < this.#limits.maxStreamResponses;
  }

  get queuedReplies(): number {
    return this.#replies;
  }

  /** The answer to a create or a cancel. */
  reply(response: WatchResponse): void {
    this.#replies++;
    this.#era++;
    this.#push(response, 0, { isReply: true });
  }

  /** What speaks for a revision, or ends a watch; `notice`: whose progress notification it is. */
  tell(response: WatchResponse, notice?: Watcher): void {
    this.#era++;
    this.#push(response, 0, { notice });
  }

  /** A response with events, and nobody adds to it. */
  push(response: WatchResponse, eventBytes: number): void {
    this.#push(response, eventBytes, {});
  }

  /**
   * Whole revisions of a watcher: in a response of their own, or, when many responses wait, with those of it that do (W-5,
   * W-7). The headers of one watch ascend; those of several on one stream need not, since what is merged goes ahead.
   */
  pushEvents(watcher: Watcher, { events, bytes }: EventBatch, header: ResponseHeader): void {
    const { waiting } = watcher;
    if (waiting !== undefined && this.#mayAdd(waiting, events.length, bytes)) {
      const { response } = waiting;
      const own = waiting.hasOwnEvents ? (response.events as Uint8Array[]) : [...response.events];
      for (const event of events) own.push(event);
      waiting.hasOwnEvents = true;
      response.events = own;
      response.header = header;
      waiting.bytes += bytes;
      this.#change(bytes);
    } else this.#push(eventResponse(watcher.id, header, events, false), bytes, { watcher });
  }

  #mayAdd(waiting: Queued, events: number, bytes: number): boolean {
    const { mergeFromResponses, mergedBytes, sliceRevisions } = this.#limits;
    return (
      this.#queue.length >= mergeFromResponses &&
      waiting.era === this.#era &&
      waiting.bytes + bytes <= mergedBytes &&
      waiting.response.events.length + events <= sliceRevisions
    );
  }

  #push(
    response: WatchResponse,
    eventBytes: number,
    { isReply = false, notice, watcher }: Partial<Pick<Queued, "isReply" | "notice" | "watcher">>,
  ): void {
    const bytes = RESPONSE_OVERHEAD_BYTES + eventBytes;
    const queued = { response, bytes, isReply, notice, watcher, era: this.#era, hasOwnEvents: false };
    this.#queue.push(queued);
    this.#change(bytes);
    // Fragments are of one revision's making (W-13).
    if (watcher !== undefined && !watcher.fragment) watcher.waiting = queued;
    if (this.#queue.length === 1) this.#wake();
  }

  #change(bytes: number): void {
    this.#bytes += bytes;
    this.#budget.queuedBytes += bytes;
  }

  /** At least one response if there is any. */
  take(maxBytes: number): readonly WatchResponse[] {
    const taken: WatchResponse[] = [];
    let bytes = 0;
    for (const queued of this.#queue) {
      if (taken.length > 0 && bytes + queued.bytes > maxBytes) break;
      bytes += queued.bytes;
      taken.push(queued.response);
      if (queued.isReply) this.#replies--;
      if (queued.notice !== undefined) queued.notice.notified = false;
      if (queued.watcher?.waiting === queued) queued.watcher.waiting = undefined;
    }
    if (taken.length === this.#queue.length) this.#queue = [];
    else this.#queue.splice(0, taken.length);
    this.#change(-bytes);
    return taken;
  }

  /** A blocked stream has room again. */
  get recovered(): boolean {
    if (!this.blocked) return false;
    if (this.#queue.length === 0) return true;
    return this.#bytes <= this.#byteLimit() / 2 && this.#queue.length <= this.#limits.maxStreamResponses / 2;
  }

  #byteLimit(): number {
    const { maxStreamBytes } = this.#limits;
    const { queuedBytes, maxBytes, streams } = this.#budget;
    return queuedBytes < maxBytes ? maxStreamBytes : Math.min(maxStreamBytes, maxBytes / streams);
  }

  close(): void {
    this.closed = true;
    this.#budget.queuedBytes -= this.#bytes;
    this.#bytes = 0;
    this.#replies = 0;
    this.#queue = [];
    this.watchers.clear();
    this.parked.clear();
  }
}
