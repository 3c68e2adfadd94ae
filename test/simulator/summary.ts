/** What many seeds came to. */
import type { RunResult } from "./run.ts";

/** Of a worker: the result of a seed, and the trace hash of a second run if there was one. */
export interface Answer {
  readonly result: RunResult;
  readonly again: string | undefined;
}

export interface Summary {
  seeds: number;
  simulatedMs: number;
  /** Of the simulated time, what was spent with faults free to strike. */
  faultyMs: number;
  events: number;
  /** Of all workers together. */
  cpuMs: number;
  readonly operations: Record<string, number>;
  readonly checked: Record<string, number>;
  readonly faults: Record<string, number>;
  readonly failures: { readonly seed: string; readonly checker: string; readonly message: string }[];
  replayed: number;
}

/** Operations answered with success, a seed on the average: less, and the clients did not get through. */
const MIN_OPERATIONS_PER_SEED = 50;
/** From so many seeds on every kind of operation and every look of a checker must have come up. */
const SEEDS_FOR_EVERYTHING = 50;

export function createSummary(): Summary {
  return {
    seeds: 0,
    simulatedMs: 0,
    faultyMs: 0,
    events: 0,
    cpuMs: 0,
    operations: {},
    checked: {},
    faults: {},
    failures: [],
    replayed: 0,
  };
}

export function addTo(summary: Summary, { result, again }: Answer): void {
  summary.seeds++;
  summary.simulatedMs += result.simulatedMs;
  summary.faultyMs += result.faultyMs;
  summary.events += result.events;
  summary.cpuMs += result.cpuMs;
  for (const name of ["operations", "checked", "faults"] as const) {
    const sums = summary[name];
    for (const [key, count] of Object.entries(result[name])) sums[key] = (sums[key] ?? 0) + count;
  }
  const { seed, failure } = result;
  if (failure !== undefined) summary.failures.push({ seed, checker: failure.checker, message: failure.message });
  if (again === undefined) return;
  summary.replayed++;
  if (again === result.traceHash) return;
  const message = `two runs of it differ: ${result.traceHash} and ${again}`;
  summary.failures.push({ seed, checker: "replay", message });
}

/** Why a run without failures still proves too little; undefined: it does not. */
export function shortfall(summary: Summary, expectedKinds: readonly string[]): string | undefined {
  const total = sum(summary.operations);
  if (summary.seeds === 0) return "no seed was run";
  if (total < MIN_OPERATIONS_PER_SEED * summary.seeds) {
    return `only ${total} operations were answered in ${summary.seeds} seeds`;
  }
  if (summary.seeds < SEEDS_FOR_EVERYTHING) return undefined;
  const missing = expectedKinds.filter((kind) => (summary.operations[kind] ?? 0) === 0);
  if (missing.length > 0) return `no operation of these kinds was answered: ${missing.join(", ")}`;
  const idle = Object.keys(summary.checked).filter((name) => summary.checked[name] === 0);
  if (idle.length > 0) return `checkers had nothing to look at: ${idle.join(", ")}`;
  return undefined;
}

export function describe(summary: Summary, replay: (seed: string) => string): string {
  const { seeds, simulatedMs, faultyMs, events, cpuMs, operations, checked, faults, failures, replayed } = summary;
  const each = (total: number): string => (total / seeds).toFixed(0);
  const lines = [
    row("seeds", `${seeds}${replayed > 0 ? `, ${replayed} of them run twice` : ""}`),
    row("simulated time", `${hours(simulatedMs)}, ${each(simulatedMs / 1_000)} s a seed`),
    row("  while faults could strike", `${hours(faultyMs)} (${((100 * faultyMs) / simulatedMs).toFixed(0)} %)`),
    row("events", `${events}, ${each(events)} a seed`),
    row("speed", `${(simulatedMs / cpuMs).toFixed(1)} simulated seconds a CPU second`),
    "",
    row("operations", `${sum(operations)} succeeded, ${each(sum(operations))} a seed`),
    ...rows(operations),
    "",
    row("checked", ""),
    ...rows(checked),
    "",
    row("faults injected", String(sum(faults))),
    ...rows(faults),
    "",
    row("failing seeds", String(failures.length)),
  ];
  for (const { seed, checker, message } of failures) {
    lines.push(`  ${seed}  ${checker}: ${message.split("\n")[0]}`, `      ${replay(seed)}`);
  }
  return lines.join("\n");
}

function rows(counts: Readonly<Record<string, number>>): string[] {
  return Object.entries(counts)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => row(`  ${name}`, String(count)));
}

function hours(milliseconds: number): string {
  return `${(milliseconds / 3_600_000).toFixed(2)} h`;
}

function row(name: string, value: string): string {
  return `${name.padEnd(42)} ${value}`.trimEnd();
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
