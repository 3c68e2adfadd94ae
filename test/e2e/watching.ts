import { decode } from "../../proto/codec.ts";
import { WatchCreateRequest, type WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import { Event, EventEventType, KeyValue } from "../../proto/generated/mvccpb.ts";
import type { ApiClient } from "./client.ts";

const PATIENCE_MS = 30_000;

/** One watch on a stream of its own, and what came of it. */
export interface Watching {
  readonly responses: readonly WatchResponse[];
  /** "key=value" of each event, "-key" of a delete. */
  readonly events: readonly string[];
  /** What ended the stream, if anything did. */
  readonly ended: readonly unknown[];
  until(isEnough: () => boolean): Promise<void>;
  close(): void;
}

export function startWatch(client: ApiClient, request: Partial<WatchCreateRequest>): Watching {
  const responses: WatchResponse[] = [];
  const events: string[] = [];
  const ended: unknown[] = [];
  let look = (): void => undefined;
  const stream = client.watch();
  stream.on("data", (response: WatchResponse) => {
    responses.push(response);
    for (const bytes of response.events) {
      const event = decode(Event, bytes);
      const { key, value } = decode(KeyValue, event.kv);
      events.push(event.type === EventEventType.DELETE ? `-${key}` : `${key}=${value.toString()}`);
    }
    look();
  });
  const end = (what: unknown): void => {
    ended.push(what);
    look();
  };
  stream.on("error", end).on("end", () => end("end"));
  stream.write({ requestUnion: { kind: "createRequest", value: WatchCreateRequest.create(request) } });
  return {
    responses,
    events,
    ended,
    until: (isEnough) =>
      new Promise((resolve, reject) => {
        const giveUp = (): void => reject(new Error(`the watch has ${events.join()}; ended: ${ended.join()}`));
        const timer = setTimeout(giveUp, PATIENCE_MS);
        look = () => {
          const enough = isEnough();
          if (!enough && ended.length === 0) return;
          clearTimeout(timer);
          if (enough) resolve();
          else giveUp();
        };
        look();
      }),
    close: () => stream.cancel(),
  };
}
