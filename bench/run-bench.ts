/** All workloads, each for all servers in turn, round by round. */
import type { Result } from "./judge.ts";
import { type MeasureOptions, measure, type Run } from "./measure.ts";
import type { Progress } from "./progress.ts";
import { ms } from "./report.ts";
import { type Maker, otherServers, type Servers, type StartOptions, startServers } from "./servers.ts";
import type { Workload } from "./workloads.ts";

export interface BenchOptions extends MeasureOptions {
  readonly workloads: readonly Workload[];
  readonly rounds: number;
  readonly makers: readonly ("quorate" | "etcd")[];
  /** URLs of servers that run already; then none is started. */
  readonly against: readonly string[];
  readonly start: Omit<StartOptions, "flags">;
  readonly flags: Readonly<Record<"quorate" | "etcd", readonly string[]>>;
}

export function stepsOf({ workloads, rounds, makers, against }: BenchOptions): number {
  return workloads.length * rounds * (against.length > 0 ? 1 : makers.length);
}

/**
 * A cluster of its own for each measurement, and one at a time: two that are alive together would share cores, memory and
 * the disk's queue even when only one is loaded; and one that has served before would be measured with what that left.
 */
export async function runBench(options: BenchOptions, shown: Progress, signal: AbortSignal): Promise<Result[]> {
  const makers: readonly Maker[] = options.against.length > 0 ? ["other"] : options.makers;
  const results: Result[] = [];
  for (const workload of options.workloads) {
    const runs: { readonly maker: Maker; readonly run: Run }[] = [];
    for (let round = 1; round <= options.rounds; round++) {
      for (const maker of makers) {
        signal.throwIfAborted();
        shown.begin(`${workload.name}, ${maker}, round ${round} of ${options.rounds}`);
        const run = await once(maker, workload, options, signal);
        runs.push({ maker, run });
        shown.end(figureOf(run));
      }
    }
    results.push({ workload, runs });
  }
  return results;
}

async function once(maker: Maker, workload: Workload, options: BenchOptions, signal: AbortSignal): Promise<Run> {
  const servers = await serversOf(maker, options);
  try {
    return await measure(servers, workload, options, signal);
  } finally {
    await servers.end();
  }
}

async function serversOf(maker: Maker, { against, start, flags }: BenchOptions): Promise<Servers> {
  if (maker === "other") return otherServers(against);
  return startServers(maker, { ...start, flags: flags[maker] });
}

function figureOf({ perSecond, p99, faults }: Run): string {
  const rate = `${Math.round(perSecond).toLocaleString("en-US")}/s`;
  const latency = p99 === undefined ? "" : `, p99 ${ms(p99)} ms`;
  return `${rate}${latency}${faults.length === 0 ? "" : `, NOT VALID: ${faults[0]}`}`;
}
