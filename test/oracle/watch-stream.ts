import { decode } from "../../proto/codec.ts";
import type { WatchCreateRequest, WatchRequest, WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import * as mvccpb from "../../proto/generated/mvccpb.ts";
import type { ApiClient } from "../e2e/client.ts";
import { show } from "./operation.ts";

/**
 * What one watch has said, from its creation to its end, in order, with the revision of the header that it came under:
 * nobody writes while a watch reads history, so that this is certain there, too. Where a response ends is left to each
 * server, unless it is a fragment of one revision: history is read in slices, and each server has its own measure of them.
 */
export type WatchLog = readonly string[];

export interface Created {
  readonly watchId: bigint;
  readonly isAlive: boolean;
  readonly cancelReason: string;
  readonly revision: number;
}

/** Said here, and not by the server. */
export const NOTHING_TO_CANCEL = "nothing to cancel";
export const NOTHING_TO_ASK = "nothing to ask";

/** From that size on responses are split for watches that asked for fragments (W-13): the default of both servers. */
const FRAGMENT_BYTES = 1_572_864 + 524_288;
const AGAIN_MS = 120;

/** A stream of watches whose answers are waited for one by one, and whose events are collected. */
export class WatchStream {
  readonly #stream: ReturnType<ApiClient["watch"]>;
  /** How long an answer may take. */
  readonly #limitMs: number;
  /** Of a lease, by its id: what both servers can be compared by. */
  readonly #standIn: (id: bigint) => bigint;
  /** By watch id; a watch id that is used again goes on with the record of the first. */
  readonly #records = new Map<bigint, string[]>();
  /** Where the living ones began. */
  readonly #alive = new Map<bigint, number>();
  readonly #responses: WatchResponse[] = [];
  /** The last that was to be created. */
  #asked: WatchCreateRequest | undefined;
  /** Those that asked for fragments, and those of them that have one yet to come. */
  readonly #fragmented = new Set<bigint>();
  readonly #goingOn = new Set<bigint>();
  /** Those that began in the past. */
  readonly #historic = new Set<bigint>();
  /** Events out of order, or of revisions of which everything had been told. */
  readonly violations: string[] = [];
  readonly #lastRevision = new Map<bigint, number>();
  /** Of those that live: a progress answer said that everything up to there was sent (W-11). */
  readonly #complete = new Map<bigint, number>();
  #ended: Error | undefined;
  #closed = false;
  #wake: (() => void)[] = [];

  constructor(client: ApiClient, limitMs: number, standIn: (id: bigint) => bigint) {
    this.#limitMs = limitMs;
    this.#standIn = standIn;
    this.#stream = client.watch();
    this.#stream.on("data", (response: WatchResponse) => this.#take(response));
    this.#stream.on("error", (error: Error) => this.#end(error));
    this.#stream.on("end", () => this.#end(new Error("the server ended a watch stream")));
  }

  close(): void {
    this.#closed = true;
    this.#stream.cancel();
  }

  #end(error: Error): void {
    if (!this.#closed) this.#ended ??= error;
    this.#woken();
  }

  /** Why it ended, though nobody closed it. */
  get ended(): Error | undefined {
    return this.#ended;
  }

  /** Everything that was said so far. */
  get records(): ReadonlyMap<bigint, WatchLog> {
    return this.#records;
  }

  /** What the server says to its creation; one that begins in the past has caught up when this resolves. */
  async create(request: WatchCreateRequest): Promise<Created> {
    this.#asked = request;
    this.#send({ requestUnion: { kind: "createRequest", value: request } });
    const { watchId, canceled, cancelReason, header } = await this.#next((response) => response.created);
    const revision = header?.revision ?? 0;
    if (!canceled) {
      this.#alive.set(watchId, request.startRevision);
      const isHistory = request.startRevision > 0 && request.startRevision <= revision;
      // The next compaction would overtake it on one side and not on the other.
      if (isHistory) await this.#progressed(revision, () => this.#alive.has(watchId));
    }
    return { watchId, isAlive: !canceled, cancelReason, revision };
  }

  /** An unknown id gets no answer (W-10). */
  async cancel(watchId: bigint): Promise<string> {
    const isAlive = this.#alive.has(watchId);
    this.#send({ requestUnion: { kind: "cancelRequest", value: { watchId } } });
    if (!isAlive) return NOTHING_TO_CANCEL;
    const { cancelReason, header } = await this.#next((response) => response.canceled && response.watchId === watchId);
    return show({ cancelReason, revision: header?.revision });
  }

  /** Asks for progress until it has come as far as the store, which nobody changes meanwhile. */
  async progress(revision: number): Promise<string> {
    // A watch that begins in the future holds back the progress of its stream (W-11).
    if (this.#alive.size === 0 || [...this.#alive.values()].some((start) => start > revision)) return NOTHING_TO_ASK;
    return (await this.#progressed(revision, () => true)) ? "progress" : "no progress";
  }

  async #progressed(revision: number, goesOn: () => boolean): Promise<boolean> {
    for (const deadline = Date.now() + this.#limitMs; Date.now() < deadline && goesOn(); ) {
      this.#send({ requestUnion: { kind: "progressRequest", value: {} } });
      const reply = await this.#maybe(
        ({ watchId, created, header }) => watchId === -1n && !created && (header?.revision ?? 0) >= revision,
        AGAIN_MS,
      );
      if (reply?.header?.revision === revision) return true;
      if (reply !== undefined) return false;
    }
    return false;
  }

  #send(request: WatchRequest): void {
    this.#stream.write(request);
  }

  #take(response: WatchResponse): void {
    const { watchId, created, canceled, compactRevision, cancelReason, events, fragment, header } = response;
    const revision = header?.revision ?? 0;
    if (watchId !== -1n) {
      const record = this.#records.get(watchId) ?? [];
      this.#records.set(watchId, record);
      if (created) {
        record.push(`created at ${revision}`);
        this.#lastRevision.set(watchId, 0);
        this.#complete.set(watchId, 0);
        const { fragment: isFragmented = false, startRevision = 0 } = this.#asked ?? {};
        mark(this.#fragmented, watchId, isFragmented);
        mark(this.#historic, watchId, startRevision > 0 && startRevision <= revision);
      }
      this.#pieces(response);
      for (const [i, bytes] of events.entries()) {
        const isCut = fragment && i === events.length - 1 && !this.#historic.has(watchId);
        const goesOn = isCut ? ", goes on" : "";
        record.push(`${this.#event(watchId, decode(mvccpb.Event, bytes))} under ${revision}${goesOn}`);
      }
      if (canceled) {
        record.push(show({ canceled, compactRevision, cancelReason, revision }));
        // etcd waits for a dead watch when it is asked for progress, until its client lets go of it, too (W-11).
        if (compactRevision > 0) this.#send({ requestUnion: { kind: "cancelRequest", value: { watchId } } });
        this.#alive.delete(watchId);
        this.#complete.delete(watchId);
      }
      if (!created && !canceled && events.length === 0) record.push(`nothing under ${revision}`);
    } else if (!created) {
      for (const id of this.#complete.keys()) this.#complete.set(id, revision);
    }
    this.#responses.push(response);
    this.#woken();
  }

  /** Whole where that was asked for; otherwise small enough, or a single event, and after a piece the next. */
  #pieces({ watchId, events, fragment }: WatchResponse): void {
    const bytes = events.reduce((sum, event) => sum + event.length, 0);
    const isFragmented = this.#fragmented.has(watchId);
    if (fragment && !isFragmented) this.violations.push(`watch ${watchId}: a fragment, for which it did not ask`);
    if (isFragmented && events.length > 1 && bytes >= FRAGMENT_BYTES) {
      this.violations.push(`watch ${watchId}: ${events.length} events of ${bytes} bytes in one piece`);
    }
    if (this.#goingOn.has(watchId) && events.length === 0) {
      this.violations.push(`watch ${watchId}: it goes on with nothing`);
    }
    mark(this.#goingOn, watchId, fragment);
  }

  /** What it says, once it is known to come in its turn. */
  #event(watchId: bigint, { type, kv, prevKv }: mvccpb.Event): string {
    const pair = decode(mvccpb.KeyValue, kv);
    const last = this.#lastRevision.get(watchId) ?? 0;
    if (pair.modRevision < last) this.violations.push(`watch ${watchId}: ${pair.modRevision} after ${last}`);
    this.#lastRevision.set(watchId, pair.modRevision);
    const complete = this.#complete.get(watchId);
    if (complete === undefined) this.violations.push(`watch ${watchId}: ${pair.modRevision} after its end`);
    else if (pair.modRevision <= complete) {
      this.violations.push(`watch ${watchId}: ${pair.modRevision} after the progress to ${complete}`);
    }
    const shown = (of: mvccpb.KeyValue): string => show({ ...of, lease: this.#standIn(of.lease) });
    const before = prevKv === undefined ? "" : ` was ${shown(decode(mvccpb.KeyValue, prevKv))}`;
    return `${type === 0 ? "put" : "delete"} ${shown(pair)}${before}`;
  }

  async #next(wanted: (response: WatchResponse) => boolean): Promise<WatchResponse> {
    const found = await this.#maybe(wanted, this.#limitMs);
    if (found === undefined) throw new Error(`a watch stream did not answer within ${this.#limitMs} ms`);
    return found;
  }

  /** The first such response that nobody has waited for. */
  async #maybe(wanted: (response: WatchResponse) => boolean, limitMs: number): Promise<WatchResponse | undefined> {
    const deadline = Date.now() + limitMs;
    for (;;) {
      const at = this.#responses.findIndex(wanted);
      if (at >= 0) return this.#responses.splice(0, at + 1).at(-1);
      if (this.#ended !== undefined) throw this.#ended;
      const left = deadline - Date.now();
      if (left <= 0) return undefined;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #woken(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

function mark(set: Set<bigint>, id: bigint, isIn: boolean): void {
  if (isIn) set.add(id);
  else set.delete(id);
}
