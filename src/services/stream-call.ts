import { type ApiError, errors } from "../api/errors.ts";
import type { CallContext, RequestReceiver, ResponseStream } from "../rpc/rpc.ts";
import type { LeaderGuard } from "./leader-guard.ts";
import { NOBODY, StreamLife } from "./stream-life.ts";

/** The calls of one streaming method: refused or ended when there is no leader (W-15) or the member stops. */
export interface StreamCalls {
  /**
   * `begin` gets `end`, to be called instead of `responses.end` and not before `begin` returned. What it returns receives
   * the requests; its `closed` is called once at the end of the call, whoever ended it, and nothing is called after it.
   */
  open<Request, Response>(
    responses: ResponseStream<Response>,
    context: CallContext,
    begin: (end: (error?: Error) => void) => RequestReceiver<Request>,
  ): RequestReceiver<Request>;
}

/**
 * At a stop, streams end with "server stopped", which is Unavailable: etcd's clients then go on with another member, or
 * with this one when it is back. They would take any other code for the end of their watch.
 */
export function createStreamCalls(guard: LeaderGuard, stopping: AbortSignal): StreamCalls {
  const ends = new Set<(error?: Error) => void>();
  stopping.addEventListener("abort", () => {
    for (const end of [...ends]) end(errors.stopped);
  });
  return {
    open(responses, context, begin) {
      const refusal: ApiError | undefined = stopping.aborted ? errors.stopped : guard.refusal(context);
      if (refusal !== undefined) {
        responses.end(refusal);
        return NOBODY;
      }
      const life = new StreamLife(() => {
        ends.delete(end);
        unfollow();
      });
      const end = (error?: Error): void => {
        if (life.isOver) return;
        responses.end(error);
        life.over();
      };
      const receiver = life.around(begin(end));
      const unfollow = guard.follow(context, end);
      ends.add(end);
      return receiver;
    },
  };
}
