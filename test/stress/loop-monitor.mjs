/**
 * Preloaded into a member: SIGUSR2 writes the longest pause of its event loop since the last such signal to a file
 * named by its pid, and begins anew. Where a file `<pid>.sweep` asks for it, the heap is swept then, and what is left of it
 * written, too; that pause is not counted. Without the signal it does nothing but count.
 */
import { existsSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** What is in use, and not only not swept yet: on the heap, and beside it in buffers. */
function liveBytes() {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const directory = process.env.QUORATE_STRESS_PAUSES;
if (directory !== undefined) {
  const resolution = 10;
  const pauses = monitorEventLoopDelay({ resolution });
  pauses.enable();
  process.on("SIGUSR2", () => {
    const file = join(directory, `${process.pid}.json`);
    // The histogram holds the times between two ticks of its timer, the interval itself included.
    const told = { longestMs: Math.max(0, pauses.max / 1e6 - resolution) };
    pauses.disable();
    if (existsSync(join(directory, `${process.pid}.sweep`))) told.liveBytes = liveBytes();
    writeFileSync(`${file}.new`, JSON.stringify(told));
    renameSync(`${file}.new`, file);
    pauses.reset();
    pauses.enable();
  });
}
