import { decode, encode } from "../../proto/codec.ts";
import { WatchCreateRequest, WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import { Event, KeyValue } from "../../proto/generated/mvccpb.ts";
import { watchLimits } from "../../src/server/watch-limits.ts";
import type { WatchHub, WatchStream } from "../../src/watch/hub.ts";
import { createWatchHub, type WatchLimits, type WatchSource } from "../../src/watch/watch-hub.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import type { Mvcc } from "../../storage/mvcc/mvcc.ts";
import { createMvccRestore } from "../../storage/mvcc/store.ts";

/** A store with a hub on top, as the driver holds them: every change is published at once. */
export interface Bench {
  readonly store: Mvcc;
  readonly hub: WatchHub;
  /** Calls of onWork. */
  workCalls: number;
  /** One revision made of all the changes in the callback. */
  change(edit: (store: Mvcc) => void): number;
  put(key: string, value?: string | Uint8Array): number;
  del(key: string, end?: string): number;
  /** Calls catchUp until it has nothing to do; returns the number of calls. */
  settle(): number;
  open(): Client;
}

export function createBench(
  changed: Partial<WatchLimits> = {},
  watched: (store: Mvcc) => WatchSource = (store) => store,
): Bench {
  const store = createMvccRestore(createMemoryBackend()).finish().mvcc;
  const hub = createWatchHub(watched(store), { ...watchLimits(1_572_864), ...changed }, () => bench.workCalls++);
  const bench: Bench = {
    store,
    hub,
    workCalls: 0,
    change(edit) {
      store.beginChange();
      edit(store);
      const { revision, events } = store.endChange();
      hub.publish(revision, events);
      return revision;
    },
    put: (key, value = "v") =>
      bench.change((s) => s.put(key, typeof value === "string" ? Buffer.from(value) : value, 0n)),
    del: (key, end = "") => bench.change((s) => s.deleteRange(key, end)),
    settle() {
      let calls = 1;
      while (hub.catchUp()) {
        calls++;
        if (calls > 100_000) throw new Error("catchUp spins");
      }
      return calls;
    },
    open: () => createClient(hub),
  };
  return bench;
}

export interface SeenEvent {
  readonly type: "put" | "delete";
  readonly key: string;
  readonly value: string;
  readonly rev: number;
  readonly prev: string | undefined;
}

/** A response as tests look at it; it went through the wire codec once. */
export interface Seen {
  readonly id: bigint;
  readonly rev: number;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compact: number;
  readonly reason: string;
  readonly fragment: boolean;
  readonly events: readonly SeenEvent[];
}

export interface Client {
  readonly stream: WatchStream;
  wakes: number;
  create(request: Partial<WatchCreateRequest>): void;
  /** One take. */
  take(maxBytes?: number): Seen[];
  /** Takes until nothing is left. */
  drain(): Seen[];
}

function createClient(hub: WatchHub): Client {
  const client: Client = {
    stream: hub.openStream(() => client.wakes++),
    wakes: 0,
    create: (request) => client.stream.create(WatchCreateRequest.create(request)),
    take: (maxBytes = 1 << 20) => client.stream.take(maxBytes).map(seen),
    drain() {
      const all: Seen[] = [];
      for (let got = client.take(); got.length > 0; got = client.take()) all.push(...got);
      return all;
    },
  };
  return client;
}

function seen(response: WatchResponse): Seen {
  const r = decode(WatchResponse, encode(WatchResponse, response));
  return {
    id: r.watchId,
    rev: r.header?.revision ?? -1,
    created: r.created,
    canceled: r.canceled,
    compact: r.compactRevision,
    reason: r.cancelReason,
    fragment: r.fragment,
    events: r.events.map(seenEvent),
  };
}

function seenEvent(bytes: Uint8Array): SeenEvent {
  const event = decode(Event, bytes);
  const kv = decode(KeyValue, event.kv);
  return {
    type: event.type === 0 ? "put" : "delete",
    key: kv.key,
    value: Buffer.from(kv.value).toString(),
    rev: kv.modRevision,
    prev: event.prevKv.length === 0 ? undefined : Buffer.from(decode(KeyValue, event.prevKv).value).toString(),
  };
}

/** "put a@2" for every event. */
export function brief(responses: readonly Seen[]): string[] {
  return responses.flatMap((r) => r.events.map((e) => `${e.type} ${e.key}@${e.rev}`));
}
