import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Finding, Report } from "./report.ts";

export interface Hunt {
  /** The first seed that failed, and how. */
  readonly found: { readonly seed: number; readonly finding: Finding } | undefined;
  /** Seeds run, the failing one included. */
  readonly seeds: number;
  readonly simulatedMs: number;
}

/** A seed takes seconds. One that takes this long has a member that never gives its turn back. */
const HANG_MS = 180_000;
/** A mutant may eat memory without end. */
const NODE_OPTIONS = ["--enable-source-maps", "--max-old-space-size=1500"];

/** Runs a bundle of child.ts over the seeds until one fails, or somebody ends it: then what it says is worth nothing. */
export function hunt(bundlePath: string, first: number, count: number, ended: AbortSignal): Promise<Hunt> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...NODE_OPTIONS, bundlePath, String(first), String(count)], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let running: number | undefined;
    let seeds = 0;
    let simulatedMs = 0;
    let found: Hunt["found"];
    let complaints = "";
    const hang = setTimeout(() => {
      found = { seed: running ?? first, finding: { checker: "hang", message: `no end after ${HANG_MS} ms`, at: 0 } };
      child.kill("SIGKILL");
    }, HANG_MS);
    const end = (): void => void child.kill("SIGKILL");
    ended.addEventListener("abort", end);
    if (ended.aborted) end();
    const lines = createInterface(child.stdout);
    lines.on("line", (line) => {
      hang.refresh();
      const report = JSON.parse(line) as Report;
      if (report.kind === "begin") {
        running = report.seed;
        seeds++;
        return;
      }
      running = undefined;
      simulatedMs += report.simulatedMs;
      if (report.failure !== undefined) found = { seed: report.seed, finding: report.failure };
    });
    child.stderr.on("data", (chunk: Buffer) => {
      complaints = (complaints + chunk.toString("utf8")).slice(-2_000);
    });
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(hang);
      ended.removeEventListener("abort", end);
      if (found === undefined && running !== undefined) {
        const message = `the process ended with ${code}: ${complaints.trim()}`;
        found = { seed: running, finding: { checker: "process", message, at: 0 } };
      } else if (found === undefined && code !== 0 && !ended.aborted) {
        reject(new Error(`${bundlePath} ended with ${code}: ${complaints}`));
        return;
      }
      resolve({ found, seeds, simulatedMs });
    });
  });
}
