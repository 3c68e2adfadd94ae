/** One watch stream on a connection of its own, and the checks of its watches. */
import { decode } from "../../proto/codec.ts";
import { WatchCreateRequest, type WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import { Event, EventEventType, KeyValue } from "../../proto/generated/mvccpb.ts";
import { ApiClient } from "../e2e/client.ts";
import { now } from "./clock.ts";
import { endOf, readStamp } from "./stamped-value.ts";
import { WatchCheck } from "./watch-check.ts";

export interface StreamOrder {
  readonly name: string;
  readonly endpoint: string;
  /** One watch each. */
  readonly prefixes: readonly string[];
  readonly startRevision: number;
  /** Each watch has all that is written in its range. */
  readonly everyRevision: boolean;
  /** Read nothing more as soon as the watches are there. */
  readonly stalled: boolean;
}

/** A watch that was told that its next events are compacted. */
export interface Overtaken {
  readonly compactRevision: number;
  readonly headerRevision: number;
  readonly reason: string;
}

export interface Watch {
  readonly prefix: string;
  readonly check: WatchCheck;
  overtaken: Overtaken | undefined;
}

const CREATE_TIMEOUT_MS = 30_000;

export class WatchedStream {
  readonly watches: readonly Watch[];
  readonly problems: string[] = [];
  /** Resolves when every watch is there. */
  readonly created: Promise<void>;
  readonly #client: ApiClient;
  readonly #stream: ReturnType<ApiClient["watch"]>;
  readonly #onDelay: (milliseconds: number) => void;
  readonly #stalled: boolean;
  #uncreated: number;
  #onCreated: () => void = () => undefined;
  #closed = false;

  constructor(order: StreamOrder, onDelay: (milliseconds: number) => void) {
    const { name, endpoint, prefixes, startRevision, everyRevision } = order;
    this.#onDelay = onDelay;
    this.#stalled = order.stalled;
    this.watches = prefixes.map((prefix, i) => ({
      prefix,
      check: new WatchCheck(`${name}, watch ${i}`, startRevision, everyRevision),
      overtaken: undefined,
    }));
    this.#uncreated = prefixes.length;
    this.created = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${name}: not all watches came to be`)), CREATE_TIMEOUT_MS);
      this.#onCreated = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#client = new ApiClient(endpoint);
    this.#stream = this.#client.watch();
    this.#stream.on("data", (response: WatchResponse) => this.#take(response));
    this.#stream.on("error", (error) => this.#ended(`${name}: the stream failed: ${error}`));
    this.#stream.on("end", () => this.#ended(`${name}: the stream ended`));
    for (const key of prefixes) {
      const value = WatchCreateRequest.create({ key, rangeEnd: endOf(key), startRevision, prevKv: true });
      this.#stream.write({ requestUnion: { kind: "createRequest", value } });
    }
  }

  #ended(what: string): void {
    if (!this.#closed) this.problems.push(what);
  }

  #take(response: WatchResponse): void {
    const arrivedAt = now();
    // The stream numbers its watches from 0, in the order of their creation.
    const watch = this.watches[Number(response.watchId)];
    if (watch === undefined) {
      this.problems.push(`a response for watch ${response.watchId}`);
      return;
    }
    const { check } = watch;
    if (watch.overtaken !== undefined) check.problem("a response after the last one");
    if (response.created) {
      this.#uncreated--;
      if (this.#uncreated === 0) {
        if (this.#stalled) this.#stream.pause();
        this.#onCreated();
      }
    }
    for (const bytes of response.events) {
      const { type, kv, prevKv } = decode(Event, bytes);
      if (type !== EventEventType.PUT) check.problem("a delete that nobody sent");
      const pair = decode(KeyValue, kv);
      check.put({ kv: pair, prevKv: prevKv.length === 0 ? undefined : decode(KeyValue, prevKv) });
      this.#onDelay(arrivedAt - readStamp(pair.value).sentAt);
    }
    if (!response.canceled) return;
    const { compactRevision, cancelReason, header } = response;
    watch.overtaken = { compactRevision, headerRevision: header?.revision ?? 0, reason: cancelReason };
  }

  resume(): void {
    this.#stream.resume();
  }

  close(): void {
    this.#closed = true;
    this.#stream.cancel();
    this.#client.close();
  }
}
