import { monitorEventLoopDelay } from "node:perf_hooks";

const RESOLUTION_MS = 10;

/** The longest time that this process itself did not come to look: no delay that it measured is surer than that. */
export function watchOwnPauses(): () => number {
  const pauses = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  pauses.enable();
  return () => Math.max(0, pauses.max / 1e6 - RESOLUTION_MS);
}
