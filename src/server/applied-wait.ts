import { errors } from "../api/errors.ts";
import type { Env } from "../env.ts";

const WAIT_MS = 1_000;
const POLL_MS = 10;

/** Resolves when the state machine has got to `index`; rejects when that takes more than a second (L-13, M-5). */
export async function waitUntilApplied(env: Env, index: number, appliedIndex: () => number): Promise<void> {
  const end = env.now() + WAIT_MS;
  while (appliedIndex() < index) {
    if (env.now() >= end) throw errors.timeoutWaitApplied;
    await new Promise<void>((resolve) => {
      env.setTimer(resolve, POLL_MS);
    });
  }
}
