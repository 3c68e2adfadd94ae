/**
 * Preloaded into a member: SIGUSR2 writes the longest pause of its event loop since the last such signal to a file
 * named by its pid, and begins anew. Without the signal it does nothing but count.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";

const directory = process.env.QUORATE_STRESS_PAUSES;
if (directory !== undefined) {
  const resolution = 10;
  const pauses = monitorEventLoopDelay({ resolution });
  pauses.enable();
  process.on("SIGUSR2", () => {
    const file = join(directory, `${process.pid}.json`);
    // The histogram holds the times between two ticks of its timer, the interval itself included.
    writeFileSync(`${file}.new`, JSON.stringify({ longestMs: Math.max(0, pauses.max / 1e6 - resolution) }));
    renameSync(`${file}.new`, file);
    pauses.reset();
  });
}
