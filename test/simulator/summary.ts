/** What many seeds came to. */
import { EXPECTED_LOOKS } from "./expected-looks.ts";
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
  /** Of all seeds together, whatever their order: the trace hashes, joined by exclusive or. */
  traceHash: string;
}

/** Operations answered with success, a seed on the average: less, and the clients did not get through. */
const MIN_OPERATIONS_PER_SEED = 50;
/** From so many seeds on the checkers' looks are counted. */
const SEEDS_FOR_LOOKS = 20;
/** From so many seeds on every kind of operation and of looks must have come up, however rare. */
const SEEDS_FOR_EVERYTHING = 50;

const HASH_DIGITS = 16;

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
    traceHash: "0".repeat(HASH_DIGITS),
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
  const { seed, failure, traceHash } = result;
  const joined = BigInt(`0x${summary.traceHash}`) ^ BigInt(`0x${traceHash}`);
  summary.traceHash = joined.toString(16).padStart(HASH_DIGITS, "0");
  if (failure !== undefined) summary.failures.push({ seed, checker: failure.checker, message: failure.message });
  if (again === undefined) return;
  summary.replayed++;
  if (again === traceHash) return;
  const message = `two runs of it differ: ${traceHash} and ${again}`;
  summary.failures.push({ seed, checker: "replay", message });
}

/**
 * Why a run without failures still proves too little; undefined: it does not. `looks`: what the checkers must have looked
 * at, see EXPECTED_LOOKS.
 */
export function shortfall(
  summary: Summary,
  expectedKinds: readonly string[],
  looks: Readonly<Record<string, number>> = EXPECTED_LOOKS,
): string | undefined {
  const total = sum(summary.operations);
  if (summary.seeds === 0) return "no seed was run";
  if (summary.seeds === 1) return total === 0 ? "no operation was answered" : undefined;
  if (total < MIN_OPERATIONS_PER_SEED * summary.seeds) {
    return `only ${total} operations were answered in ${summary.seeds} seeds`;
  }
  if (summary.seeds < SEEDS_FOR_LOOKS) return undefined;
  const few = Object.entries(looks).filter(([name, least]) => (summary.checked[name] ?? 0) < least * summary.seeds);
  if (few.length > 0) return `checkers had too little to look at: ${few.map(([name]) => name).join(", ")}`;
  if (summary.seeds < SEEDS_FOR_EVERYTHING) return undefined;
  const missing = expectedKinds.filter((kind) => (summary.operations[kind] ?? 0) === 0);
  if (missing.length > 0) return `no operation of these kinds was answered: ${missing.join(", ")}`;
  const idle = Object.keys(looks).filter((name) => (summary.checked[name] ?? 0) === 0);
  if (idle.length > 0) return `checkers had nothing to look at: ${idle.join(", ")}`;
  return undefined;
}

/** The whole message came when the seed failed. */
const MESSAGE_CHARS = 120;

export function describe(summary: Summary, replay: (seed: string) => string): string {
  const { seeds, simulatedMs, faultyMs, events, cpuMs, operations, checked, faults, failures, replayed } = summary;
  const each = (total: number): string => (total / Math.max(1, seeds)).toFixed(0);
  const share = simulatedMs === 0 ? 0 : (100 * faultyMs) / simulatedMs;
  const speed = cpuMs === 0 ? 0 : simulatedMs / cpuMs;
  const lines = [
    row("seeds", `${seeds}${replayed > 0 ? `, ${replayed} of them run twice` : ""}`),
    row("simulated time", `${hours(simulatedMs)}, ${each(simulatedMs / 1_000)} s a seed`),
    row("  while faults could strike", `${hours(faultyMs)} (${share.toFixed(0)} %)`),
    row("events", `${events}, ${each(events)} a seed`),
    row("trace hash", summary.traceHash),
    row("speed", `${speed.toFixed(1)} simulated seconds a CPU second`),
    "",
    row("operations", `${sum(operations)} succeeded, ${each(sum(operations))} a seed`),
    ...rows(operations),
    "",
    row("checked", seeds < SEEDS_FOR_LOOKS ? `whether this is enough is judged from ${SEEDS_FOR_LOOKS} seeds on` : ""),
    ...rows(checked),
    "",
    row("faults injected", String(sum(faults))),
    ...rows(faults),
    "",
    row("failing seeds", String(failures.length)),
  ];
  for (const { seed, checker, message } of failures) {
    const [what = ""] = message.split("\n");
    lines.push(`  ${seed}  ${checker}: ${what.slice(0, MESSAGE_CHARS)}`, `      ${replay(seed)}`);
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
