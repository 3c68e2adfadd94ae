import { sizeBits } from "../../proto/codec.ts";
import { WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import { type EventBatch, eventFieldBytes } from "./batches.ts";
import type { Watcher } from "./stream.ts";

/** The watch_id of replies that belong to no watch (W-4, W-11). */
const NO_WATCH = -1n;

/** A whole header on the wire at most: tag and length, two ids of ten bytes, revision and term of eight, their tags. */
const HEADER_BYTES = 2 + 2 * 11 + 2 * 9;

/** Headers carry the revision alone; the service, which knows the member and the term, fills in the rest. */
function response(revision: number, fields: Partial<WatchResponse>): WatchResponse {
  return WatchResponse.create({ header: { clusterId: 0n, memberId: 0n, revision, raftTerm: 0 }, ...fields });
}

export function createdResponse(id: bigint, revision: number): WatchResponse {
  return response(revision, { watchId: id, created: true });
}

export function refusedResponse(reason: string, revision: number): WatchResponse {
  return response(revision, { watchId: NO_WATCH, created: true, canceled: true, cancelReason: reason });
}

export function canceledResponse(id: bigint, revision: number): WatchResponse {
  return response(revision, { watchId: id, canceled: true });
}

/** No reason and revision 0 (W-6, H-3): clients go by compact_revision. */
export function compactedResponse(id: bigint, compactRevision: number): WatchResponse {
  return response(0, { watchId: id, canceled: true, compactRevision });
}

export function progressReply(revision: number): WatchResponse {
  return response(revision, { watchId: NO_WATCH });
}

export function progressNotice(id: bigint, revision: number): WatchResponse {
  return response(revision, { watchId: id });
}

/**
 * The batch as one response, or as fragments when the watch asked for them and the whole would reach `fragmentBytes`
 * (W-13): every fragment stays below that, except that it always carries one event.
 */
export function eventResponses(
  watcher: Watcher,
  revision: number,
  batch: EventBatch,
  fragmentBytes: number,
): readonly { readonly response: WatchResponse; readonly eventBytes: number }[] {
  const fixedBytes = HEADER_BYTES + 1 + sizeBits(watcher.id);
  const whole = { watchId: watcher.id, events: batch.events };
  if (!watcher.fragment || batch.events.length < 2 || fixedBytes + batch.bytes < fragmentBytes) {
    return [{ response: response(revision, whole), eventBytes: batch.bytes }];
  }
  const parts: { events: Uint8Array[]; eventBytes: number }[] = [];
  const flagBytes = 2;
  let part: { events: Uint8Array[]; eventBytes: number } = { events: [], eventBytes: 0 };
  for (const event of batch.events) {
    const bytes = eventFieldBytes(event);
    if (part.events.length > 0 && fixedBytes + flagBytes + part.eventBytes + bytes >= fragmentBytes) {
      parts.push(part);
      part = { events: [], eventBytes: 0 };
    }
    part.events.push(event);
    part.eventBytes += bytes;
  }
  parts.push(part);
  return parts.map(({ events, eventBytes }, i) => ({
    response: response(revision, { ...whole, events, fragment: i < parts.length - 1 }),
    eventBytes,
  }));
}
