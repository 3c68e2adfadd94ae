import type { ResponseHeader, WatchRequest, WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { unreachable } from "../../raft/assert.ts";
import { errors } from "../api/errors.ts";
import type { Env, Timer } from "../env.ts";
import { type AnyHandler, type RequestReceiver, type ResponseStream, stream } from "../rpc/rpc.ts";
import type { Server } from "../server/server.ts";
import { createLeaderGuard } from "./leader-guard.ts";
import { createStreamCalls } from "./stream-call.ts";

export interface WatchServiceOptions {
  readonly env: Env;
  readonly electionMs: number;
  /** W-12; up to a tenth is added each time, so that members and clients do not fall into step. */
  readonly progressNotifyMs: number;
  /** Aborted when the member begins to stop. */
  readonly stopping: AbortSignal;
  /** Replies that a client may leave unread while it goes on asking; more end its stream. */
  readonly maxQueuedReplies?: number;
}

/** Handed to the transport at a time; it says in between whether it wants more. */
const TAKE_BYTES = 256 << 10;
const DEFAULT_MAX_QUEUED_REPLIES = 16_384;
const MIN_PROGRESS_NOTIFY_MS = 100;

export function watchService(server: Server, options: WatchServiceOptions): AnyHandler[] {
  const guard = createLeaderGuard(server, options.env, options.electionMs);
  const calls = createStreamCalls(guard, options.stopping);
  const notifier = createNotifier(server, options);
  return [
    stream(rpcs.WatchWatch, (responses, context) =>
      calls.open(responses, context, (end) => {
        notifier.add();
        return openWatch(
          server,
          responses,
          options.maxQueuedReplies ?? DEFAULT_MAX_QUEUED_REPLIES,
          end,
          notifier.remove,
        );
      }),
    ),
  ];
}

/** One call: requests go to the hub's stream at once, responses come from it whenever the transport wants some. */
function openWatch(
  server: Server,
  responses: ResponseStream<WatchResponse>,
  maxQueuedReplies: number,
  end: (error: Error) => void,
  onClosed: () => void,
): RequestReceiver<WatchRequest> {
  let isScheduled = false;
  let isOver = false;
  // After the publishing turn, so that what one batch of entries brings leaves together.
  const wake = (): void => {
    if (isScheduled) return;
    isScheduled = true;
    queueMicrotask(() => {
      isScheduled = false;
      pump();
    });
  };
  const watch = server.watch.openStream(wake);
  const pump = (): void => {
    let header: ResponseHeader | undefined;
    while (!isOver && responses.writable) {
      const taken = watch.take(TAKE_BYTES);
      if (taken.length === 0) return;
      for (const response of taken) {
        const revision = response.header?.revision ?? 0;
        if (header?.revision !== revision) header = server.header(revision);
        complete(response, header);
        responses.send(response);
      }
    }
  };

  return {
    request({ requestUnion }) {
      if (requestUnion === undefined) return;
      switch (requestUnion.kind) {
        case "createRequest":
          watch.create(requestUnion.value);
          break;
        case "cancelRequest":
          watch.cancel(requestUnion.value.watchId);
          break;
        case "progressRequest":
          watch.requestProgress();
          break;
        default:
          unreachable(requestUnion);
      }
      if (watch.queuedReplies <= maxQueuedReplies) return;
      // Requests may come faster than turns: a client that reads is not to blame for that.
      pump();
      if (watch.queuedReplies > maxQueuedReplies) end(errors.tooManyRequests);
    },
    // W-14: the watches go on.
    halfClosed: () => undefined,
    drained: pump,
    closed() {
      isOver = true;
      watch.close();
      onClosed();
    },
  };
}

/** In place: it is this stream's alone, and a copy for each watcher of each event takes longer than to encode it. */
function complete(
  response: { -readonly [Name in keyof WatchResponse]: WatchResponse[Name] },
  header: ResponseHeader,
): void {
  response.header = header;
}

/** Progress notifications while there are streams (W-12). */
function createNotifier(server: Server, options: WatchServiceOptions): { add: () => void; remove: () => void } {
  const { env } = options;
  const intervalMs = Math.max(MIN_PROGRESS_NOTIFY_MS, options.progressNotifyMs);
  let streams = 0;
  let timer: Timer | undefined;
  const schedule = (): void => {
    timer = env.setTimer(
      () => {
        server.watch.notifyProgress();
        schedule();
      },
      intervalMs + env.random(Math.ceil(intervalMs / 10) + 1),
    );
  };
  return {
    add() {
      if (streams++ === 0) schedule();
    },
    remove() {
      if (--streams === 0) timer?.cancel();
    },
  };
}
