/** Medians of several runs, Quorate's divided by etcd's, and what of that was promised. */
import type { Run } from "./measure.ts";
import type { Maker } from "./servers.ts";
import type { Targets, Workload } from "./workloads.ts";

/** All runs of one workload, in the order in which they were made. */
export interface Result {
  readonly workload: Workload;
  readonly runs: readonly { readonly maker: Maker; readonly run: Run }[];
}

/** Each figure is the median of its own: together they need not be of one run. Microseconds and bytes. */
export interface Medians {
  readonly perSecond: number | undefined;
  readonly p50: number | undefined;
  readonly p99: number | undefined;
  readonly max: number | undefined;
  readonly othersP50: number | undefined;
  readonly othersP99: number | undefined;
  readonly othersMax: number | undefined;
  readonly cpuOfLeader: number | undefined;
  readonly cpuOfAll: number | undefined;
  readonly memoryOfLeader: number | undefined;
  readonly memoryOfAll: number | undefined;
  readonly generatorShare: number | undefined;
  /** Of the rates: by how much the furthest is off the median, as a share of it. */
  readonly scatter: number | undefined;
}

export type Measure = keyof Targets;

export interface Verdict {
  readonly measure: Measure;
  /** Undefined when one side has no figure. */
  readonly ratio: number | undefined;
  readonly target: number | undefined;
  /** Undefined when nothing was promised. */
  readonly isMet: boolean | undefined;
}

export const MEASURES: readonly Measure[] = ["throughput", "p99", "cpu", "memory"];

export function median(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  const middle = known.length >> 1;
  const upper = known[middle];
  const lower = known[known.length % 2 === 1 ? middle : middle - 1];
  return upper === undefined || lower === undefined ? undefined : (upper + lower) / 2;
}

export function mediansOf(runs: readonly Run[]): Medians {
  const of = (pick: (run: Run) => number | undefined): number | undefined => median(runs.map(pick));
  const perSecond = of((run) => run.perSecond);
  const off = runs.map((run) => Math.abs(run.perSecond / (perSecond ?? 1) - 1));
  return {
    perSecond,
    p50: of((run) => run.p50),
    p99: of((run) => run.p99),
    max: of((run) => run.max),
    othersP50: of((run) => run.others?.p50),
    othersP99: of((run) => run.others?.p99),
    othersMax: of((run) => run.others?.max),
    cpuOfLeader: of((run) => run.cpuOfLeader),
    cpuOfAll: of((run) => run.cpuOfAll),
    memoryOfLeader: of((run) => run.memory?.[0]),
    memoryOfAll: of((run) => run.memory?.reduce((sum, bytes) => sum + bytes, 0)),
    generatorShare: of((run) => run.generatorShare),
    scatter: runs.length < 2 ? undefined : Math.max(...off),
  };
}

export function runsOf(result: Result, maker: Maker): Run[] {
  return result.runs.filter((one) => one.maker === maker).map(({ run }) => run);
}

/** Of throughput, the more the better; of the others, the less. CPU and memory are those of all members together. */
export function verdictsOf(result: Result): Verdict[] {
  const { targets } = result.workload;
  const ours = mediansOf(runsOf(result, "quorate"));
  const theirs = mediansOf(runsOf(result, "etcd"));
  return MEASURES.map((measure) => {
    const ratio = ratioOf(figureOf(ours, measure), figureOf(theirs, measure));
    const target = targets[measure];
    if (target === undefined) return { measure, ratio, target, isMet: undefined };
    const isMet = ratio !== undefined && (measure === "throughput" ? ratio >= target : ratio <= target);
    return { measure, ratio, target, isMet };
  });
}

function figureOf(medians: Medians, measure: Measure): number | undefined {
  switch (measure) {
    case "throughput":
      return medians.perSecond;
    case "p99":
      return medians.p99;
    case "cpu":
      return medians.cpuOfAll;
    case "memory":
      return medians.memoryOfAll;
  }
}

export function ratioOf(ours: number | undefined, theirs: number | undefined): number | undefined {
  return ours === undefined || theirs === undefined || theirs === 0 ? undefined : ours / theirs;
}

/** What makes the whole worth nothing: in words, with where it happened. */
export function faultsOf(results: readonly Result[]): string[] {
  return results.flatMap(({ workload, runs }) =>
    runs.flatMap(({ maker, run }) => run.faults.map((fault) => `${workload.name}, ${maker}: ${fault}`)),
  );
}

/** Of the workloads that were measured on both. */
export function missedOf(results: readonly Result[]): string[] {
  const hasBoth = (result: Result): boolean =>
    runsOf(result, "quorate").length > 0 && runsOf(result, "etcd").length > 0;
  return results.filter(hasBoth).flatMap((result) =>
    verdictsOf(result)
      .filter(({ isMet }) => isMet === false)
      .map(
        ({ measure, ratio, target }) =>
          `${result.workload.name}: ${measure} ${ratio?.toFixed(2) ?? "?"}, not ${target}`,
      ),
  );
}
