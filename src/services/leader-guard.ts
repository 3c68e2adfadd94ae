import { type ApiError, errors } from "../api/errors.ts";
import type { Env, Timer } from "../env.ts";
import type { CallContext } from "../rpc/rpc.ts";
import type { Server } from "../server/server.ts";

/** Election timeouts without a leader, seen at as many looks in a row, that end a stream which wants one (W-15). */
const LOOKS = 3;

/** What `hasleader: true` in a call's metadata means (W-15). */
export interface LeaderGuard {
  /** Why the call must not begin; undefined: it may. */
  refusal(context: CallContext): ApiError | undefined;
  /**
   * Calls `lost` once if the stream wants a leader and there was none for too long. Until then, or until the returned
   * function is called, the guard looks once an election timeout.
   */
  follow(context: CallContext, lost: (error: ApiError) => void): () => void;
}

export function createLeaderGuard(server: Pick<Server, "status">, env: Env, electionMs: number): LeaderGuard {
  const followers = new Set<(error: ApiError) => void>();
  let timer: Timer | undefined;
  let looksWithout = 0;

  const look = (): void => {
    looksWithout = server.status().leader === 0n ? looksWithout + 1 : 0;
    timer = env.setTimer(look, electionMs);
    if (looksWithout < LOOKS) return;
    for (const lost of [...followers]) {
      unfollow(lost);
      lost(errors.noLeader);
    }
  };
  const unfollow = (lost: (error: ApiError) => void): void => {
    if (!followers.delete(lost) || followers.size > 0) return;
    timer?.cancel();
    timer = undefined;
  };

  return {
    refusal: (context) => (wantsLeader(context) && server.status().leader === 0n ? errors.noLeader : undefined),
    follow(context, lost) {
      if (!wantsLeader(context)) return nothing;
      followers.add(lost);
      if (timer === undefined) {
        looksWithout = 0;
        timer = env.setTimer(look, electionMs);
      }
      return () => unfollow(lost);
    },
  };
}

function wantsLeader(context: CallContext): boolean {
  return context.metadata("hasleader") === "true";
}

function nothing(): void {
  // Nobody is followed.
}
