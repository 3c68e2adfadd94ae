import { sizeBits } from "../../proto/codec.ts";
import type { ResponseHeader, WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import { type EventBatch, eventFieldBytes } from "./batches.ts";
import type { Watcher } from "./stream.ts";

/** The watch_id of replies that belong to no watch (W-4, W-11). */
const NO_WATCH = -1n;

/** A whole header on the wire at most: tag and length, two ids of ten bytes, revision and term of eight, their tags. */
const HEADER_BYTES = 2 + 2 * 11 + 2 * 9;

const NO_EVENTS: readonly Uint8Array[] = [];

/** Headers carry the revision alone; the service, which knows the member and the term, fills in the rest. */
export function headerOf(revision: number): ResponseHeader {
  return { clusterId: 0n, memberId: 0n, revision, raftTerm: 0 };
}

function empty(id: bigint, revision: number): WatchResponse {
  return eventResponse(id, headerOf(revision), NO_EVENTS, false);
}

export function createdResponse(id: bigint, revision: number): WatchResponse {
  return { ...empty(id, revision), created: true };
}

export function refusedResponse(reason: string, revision: number): WatchResponse {
  return { ...empty(NO_WATCH, revision), created: true, canceled: true, cancelReason: reason };
}

export function canceledResponse(id: bigint, revision: number): WatchResponse {
  return { ...empty(id, revision), canceled: true };
}

/** No reason and revision 0 (W-6, H-3): clients go by compact_revision. */
export function compactedResponse(id: bigint, compactRevision: number): WatchResponse {
  return { ...empty(id, 0), canceled: true, compactRevision };
}

export function progressReply(revision: number): WatchResponse {
  return empty(NO_WATCH, revision);
}

export function progressNotice(id: bigint, revision: number): WatchResponse {
  return empty(id, revision);
}

/** One response with these events. The header may be shared by all responses of one revision. */
export function eventResponse(
  id: bigint,
  header: ResponseHeader,
  events: readonly Uint8Array[],
  fragment: boolean,
): WatchResponse {
  return {
    header,
    watchId: id,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: "",
    fragment,
    events,
  };
}

/** Whether the batch is sent in fragments (W-13): the watch asked for them, and the whole would reach `fragmentBytes`. */
export function isSplit(watcher: Watcher, batch: EventBatch, fragmentBytes: number): boolean {
  return watcher.fragment && batch.events.length > 1 && fixedBytesOf(watcher) + batch.bytes >= fragmentBytes;
}

function fixedBytesOf({ id }: Watcher): number {
  return HEADER_BYTES + 1 + sizeBits(id);
}

/** The fragments: each stays below `fragmentBytes`, except that it always carries one event. */
export function split(watcher: Watcher, batch: EventBatch, fragmentBytes: number): readonly EventBatch[] {
  const fixedBytes = fixedBytesOf(watcher);
  const flagBytes = 2;
  const parts: EventBatch[] = [];
  let part: { events: Uint8Array[]; bytes: number } = { events: [], bytes: 0 };
  for (const event of batch.events) {
    const bytes = eventFieldBytes(event);
    if (part.events.length > 0 && fixedBytes + flagBytes + part.bytes + bytes >= fragmentBytes) {
      parts.push(part);
      part = { events: [], bytes: 0 };
    }
    part.events.push(event);
    part.bytes += bytes;
  }
  parts.push(part);
  return parts;
}
