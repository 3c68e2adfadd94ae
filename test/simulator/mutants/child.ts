/**
 * One seed after the other until one fails: what a bundle with a mutant in it runs. Each line on stdout is a Report.
 *
 *     node BUNDLE FIRST COUNT      seeds "FIRST", "FIRST + 1", ...
 */
import { runPlan } from "../run.ts";
import { drawPlan } from "../swarm.ts";
import type { Report } from "./report.ts";

async function main(first: number, count: number): Promise<void> {
  for (let seed = first; seed < first + count; seed++) {
    say({ kind: "begin", seed });
    const { failure, simulatedMs } = await runPlan(drawPlan(String(seed)));
    say({ kind: "end", seed, simulatedMs, failure });
    if (failure !== undefined) return;
  }
}

function say(report: Report): void {
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

main(Number(process.argv[2]), Number(process.argv[3])).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
});
