import type { Env } from "../env.ts";

export interface DepartureDeps {
  readonly env: Env;
  readonly electionMs: number;
  readonly isStopping: () => boolean;
  /** Nobody takes its proposals any more: callers had better ask another member than wait for their time-out. */
  readonly turnCallersAway: () => void;
  /** It has stayed as long as others may need it. */
  readonly onGone: () => void;
}

/** Election time-outs that a removed member stays for: so long others may need its answers (raft/README.md). */
const LINGER_ELECTIONS = 3;

/** A member that was removed from the cluster, on its way out. */
export class Departure {
  readonly #deps: DepartureDeps;
  #isLeaving = false;

  constructor(deps: DepartureDeps) {
    this.#deps = deps;
  }

  /** For good: there is no way back under this id. */
  get isLeaving(): boolean {
    return this.#isLeaving;
  }

  /** Others may refuse it while the entry that says why is still on its way to its own disk. */
  leave(because: "applied" | "refused"): void {
    const { env, electionMs, isStopping, turnCallersAway, onGone } = this.#deps;
    if (isStopping()) return;
    // The one who asked for the removal may be among the callers, and gets the answer first.
    if (because === "applied") env.nextTurn(turnCallersAway);
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    if (because === "refused") env.setTimer(turnCallersAway, electionMs);
    env.setTimer(() => {
      if (!isStopping()) onGone();
    }, LINGER_ELECTIONS * electionMs);
  }
}
