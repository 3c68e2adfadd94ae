/**
 * Runs seeds, one a line from stdin, and answers each with a line of JSON; with `--trace` it prints every event instead.
 * Bundled before it runs (bundle.ts): what runs for hours should not go through a loader.
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { runPlan } from "./run.ts";
import type { Answer } from "./summary.ts";
import { drawPlan } from "./swarm.ts";

async function answer(seed: string, isTwice: boolean): Promise<Answer> {
  const result = await runPlan(drawPlan(seed));
  if (!isTwice) return { result, again: undefined };
  const { traceHash } = await runPlan(drawPlan(seed));
  return { result, again: traceHash };
}

/** Every event, and in the end what the seed came to, as without a trace. */
async function trace(seed: string): Promise<void> {
  const { failure, traceHash } = await runPlan(drawPlan(seed), { onLine: sayNow });
  if (failure === undefined) {
    process.stderr.write(`seed ${seed} passes, trace hash ${traceHash}\n`);
    return;
  }
  const { at, checker, message } = failure;
  process.stderr.write(`\nseed ${seed} failed at ${at.toFixed(3)} ms: ${checker}\n${message}\n`);
  process.exitCode = 1;
}

/** While simulated code runs, streams are out of reach. */
function sayNow(line: string): void {
  const bytes = Buffer.from(`${line}\n`);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      // The reader of a pipe is slow.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  }
}

async function main(words: readonly string[]): Promise<void> {
  const isTwice = words.includes("--twice");
  const isTrace = words.includes("--trace");
  // Ctrl-C reaches every process of a terminal. Who reads the answers ends this one.
  process.on("SIGINT", () => undefined);
  for await (const line of createInterface({ input: process.stdin })) {
    const seed = line.trim();
    if (isTrace) await trace(seed);
    else process.stdout.write(`${JSON.stringify(await answer(seed, isTwice))}\n`);
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
});
