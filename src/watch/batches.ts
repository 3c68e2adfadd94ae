import { encode, sizeDelimited } from "../../proto/codec.ts";
import { Event, EventEventType } from "../../proto/generated/mvccpb.ts";
import type { KeyEvent, Mvcc } from "../../storage/mvcc/mvcc.ts";
import type { RangeSet } from "./range-set.ts";
import type { Watcher } from "./stream.ts";

/** Encoded events, in revision and sub order. */
export interface EventBatch {
  readonly events: readonly Uint8Array[];
  /** What they take in a response. */
  readonly bytes: number;
}

interface OpenBatch extends EventBatch {
  readonly events: Uint8Array[];
  bytes: number;
}

export interface Collected {
  readonly batches: ReadonlyMap<Watcher, EventBatch>;
  /** The revision before which collecting stopped because enough was encoded; undefined: all events were looked at. */
  readonly stoppedBefore: number | undefined;
}

const NOTHING: Uint8Array = new Uint8Array(0);

/**
 * What each watcher of the set gets of the events: those in its range, from its `next` on, that no filter drops.
 *
 * An event is encoded when the first watcher wants it, once with and once without the pair before it, and the bytes are
 * shared by all. Collecting stops between two revisions once `maxBytes` are encoded: pairs before the events (W-8) may
 * be a thousand times larger than the events, so a bound on the history read does not bound the responses.
 */
export function collect(
  source: Pick<Mvcc, "previous">,
  events: readonly KeyEvent[],
  watchers: RangeSet<Watcher>,
  maxBytes: number,
): Collected {
  const batches = new Map<Watcher, OpenBatch>();
  const first = events[0];
  if (first === undefined) return { batches, stoppedBefore: undefined };
  let shared = new SharedEvent(source, first);
  const give = (watcher: Watcher): void => {
    if (!wants(watcher, shared.event)) return;
    const encoded = watcher.prevKv ? shared.withPrevious() : shared.plain();
    const bytes = eventFieldBytes(encoded);
    const batch = batches.get(watcher);
    if (batch === undefined) batches.set(watcher, { events: [encoded], bytes });
    else {
      batch.events.push(encoded);
      batch.bytes += bytes;
    }
  };
  let encodedBytes = 0;
  let revision = first.revision.main;
  for (const event of events) {
    if (event.revision.main !== revision) {
      revision = event.revision.main;
      if (encodedBytes >= maxBytes) return { batches, stoppedBefore: revision };
    }
    shared = new SharedEvent(source, event);
    watchers.visit(event.key, give);
    encodedBytes += shared.encodedBytes;
  }
  return { batches, stoppedBefore: undefined };
}

function wants(watcher: Watcher, event: KeyEvent): boolean {
  return event.revision.main >= watcher.next && !(event.type === "put" ? watcher.noPut : watcher.noDelete);
}

/** `collect` of one event, which most revisions have: all watchers share two batches, and no more is made for each. */
export function collectOne(
  source: Pick<Mvcc, "previous">,
  event: KeyEvent,
  watchers: RangeSet<Watcher>,
  give: (watcher: Watcher, batch: EventBatch) => void,
): void {
  const shared = new SharedEvent(source, event);
  let plain: EventBatch | undefined;
  let withPrevious: EventBatch | undefined;
  watchers.visit(event.key, (watcher) => {
    if (!wants(watcher, event)) return;
    if (watcher.prevKv) {
      withPrevious ??= batchOf(shared.withPrevious());
      give(watcher, withPrevious);
    } else {
      plain ??= batchOf(shared.plain());
      give(watcher, plain);
    }
  });
}

function batchOf(event: Uint8Array): EventBatch {
  return { events: [event], bytes: eventFieldBytes(event) };
}

/** An event and its encoded forms, each made when first wanted. */
class SharedEvent {
  readonly event: KeyEvent;
  encodedBytes = 0;
  readonly #source: Pick<Mvcc, "previous">;
  #plain: Uint8Array | undefined;
  #withPrevious: Uint8Array | undefined;

  constructor(source: Pick<Mvcc, "previous">, event: KeyEvent) {
    this.#source = source;
    this.event = event;
  }

  plain(): Uint8Array {
    this.#plain ??= this.#encode(undefined);
    return this.#plain;
  }

  withPrevious(): Uint8Array {
    if (this.#withPrevious === undefined) {
      const previous = this.#source.previous(this.event);
      this.#withPrevious = previous === undefined ? this.plain() : this.#encode(previous);
    }
    return this.#withPrevious;
  }

  #encode(previous: Uint8Array | undefined): Uint8Array {
    const { type, kv } = this.event;
    const encoded = encode(Event, {
      type: type === "put" ? EventEventType.PUT : EventEventType.DELETE,
      kv,
      prevKv: previous ?? NOTHING,
    });
    this.encodedBytes += encoded.length;
    return encoded;
  }
}

/** An encoded event as a field of the response. */
export function eventFieldBytes(event: Uint8Array): number {
  return 1 + sizeDelimited(event.length);
}
