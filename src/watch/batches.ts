import { encode, sizeDelimited } from "../../proto/codec.ts";
import { Event, EventEventType } from "../../proto/generated/mvccpb.ts";
import type { KeyEvent, Mvcc } from "../../storage/mvcc/mvcc.ts";
import type { RangeSet } from "./range-set.ts";
import type { Watcher } from "./stream.ts";

/** Encoded events for one watcher, in revision and sub order. */
export interface EventBatch {
  readonly events: Uint8Array[];
  /** What they take in a response. */
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
  const batches = new Map<Watcher, EventBatch>();
  let encodedBytes = 0;
  let revision = -1;
  for (const event of events) {
    if (event.revision.main !== revision) {
      revision = event.revision.main;
      if (encodedBytes >= maxBytes) return { batches, stoppedBefore: revision };
    }
    let plain: Uint8Array | undefined;
    let withPrevious: Uint8Array | undefined;
    const encodePlain = (): Uint8Array => {
      const encoded = encodeEvent(event, undefined);
      encodedBytes += encoded.length;
      return encoded;
    };
    const encodeWithPrevious = (): Uint8Array => {
      const previous = source.previous(event);
      if (previous === undefined) {
        plain ??= encodePlain();
        return plain;
      }
      const encoded = encodeEvent(event, previous);
      encodedBytes += encoded.length;
      return encoded;
    };
    watchers.visit(event.key, (watcher) => {
      if (event.revision.main < watcher.next) return;
      if (event.type === "put" ? watcher.noPut : watcher.noDelete) return;
      let encoded: Uint8Array;
      if (watcher.prevKv) {
        withPrevious ??= encodeWithPrevious();
        encoded = withPrevious;
      } else {
        plain ??= encodePlain();
        encoded = plain;
      }
      const batch = batches.get(watcher);
      if (batch === undefined) batches.set(watcher, { events: [encoded], bytes: eventFieldBytes(encoded) });
      else {
        batch.events.push(encoded);
        batch.bytes += eventFieldBytes(encoded);
      }
    });
  }
  return { batches, stoppedBefore: undefined };
}

function encodeEvent(event: KeyEvent, previous: Uint8Array | undefined): Uint8Array {
  return encode(Event, {
    type: event.type === "put" ? EventEventType.PUT : EventEventType.DELETE,
    kv: event.kv,
    prevKv: previous ?? NOTHING,
  });
}

/** An encoded event as a field of the response. */
export function eventFieldBytes(event: Uint8Array): number {
  return 1 + sizeDelimited(event.length);
}
