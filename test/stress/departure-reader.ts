/** A program: watches keys with leases and notes when each goes. */
import { decode } from "../../proto/codec.ts";
import { WatchCreateRequest, type WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import { Event, EventEventType, KeyValue } from "../../proto/generated/mvccpb.ts";
import { ApiClient } from "../e2e/client.ts";
import { now } from "./clock.ts";
import { serve } from "./helper.ts";
import { type Departure, leaseOf, readTimes } from "./lease-times.ts";
import { endOf } from "./stamped-value.ts";

export interface DepartureOrder {
  readonly endpoint: string;
  readonly prefix: string;
}

interface Seen {
  readonly departures: Departure[];
  readonly problems: string[];
}

const byPrefix = new Map<string, Seen>();

function seen(prefix: string): Seen {
  const found = byPrefix.get(prefix);
  if (found === undefined) throw new Error(`nobody watches ${prefix}`);
  return found;
}

const desk = {
  async watch({ endpoint, prefix }: DepartureOrder): Promise<void> {
    const list: Seen = { departures: [], problems: [] };
    byPrefix.set(prefix, list);
    const stream = new ApiClient(endpoint).watch();
    const value = WatchCreateRequest.create({ key: prefix, rangeEnd: endOf(prefix), prevKv: true });
    stream.write({ requestUnion: { kind: "createRequest", value } });
    await new Promise<void>((resolve, reject) => {
      stream.on("data", (response: WatchResponse) => {
        const goneAt = now();
        if (response.created) resolve();
        if (response.canceled) list.problems.push(`the watch of ${prefix} was cancelled`);
        for (const bytes of response.events) note(prefix, bytes, goneAt, list);
      });
      stream.on("error", (error) => {
        list.problems.push(`the watch of ${prefix} failed: ${error}`);
        reject(error);
      });
    });
  },
  gone: (prefix: string): number => seen(prefix).departures.length,
  departures: (prefix: string): Seen => seen(prefix),
};
export type DepartureReaderDesk = typeof desk;

function note(prefix: string, bytes: Uint8Array, goneAt: number, { departures, problems }: Seen): void {
  const { type, kv, prevKv } = decode(Event, bytes);
  if (type !== EventEventType.DELETE) return;
  const { key } = decode(KeyValue, kv);
  if (prevKv.length === 0) problems.push(`${key} is gone without the pair before`);
  else departures.push({ id: leaseOf(prefix, key), goneAt, ...readTimes(decode(KeyValue, prevKv).value) });
}

serve(desk);
