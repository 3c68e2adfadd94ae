/**
 * h2load (of nghttp2) as a second generator that has nothing in common with ours. It sends one fixed request and knows
 * nothing of gRPC: it sees HTTP's status, not gRPC's. So it takes part in workloads of one repeated call only, and what it
 * wrote is checked by the revision of the store. It tells no percentiles, but logs what each request took.
 */
import { spawnSync } from "node:child_process";
import { Histogram, type Spread } from "./histogram.ts";
import { type Asker, questionsOf } from "./questions.ts";
import type { Shape } from "./workloads.ts";

export const hasH2load = spawnSync("h2load", ["--version"], { stdio: "ignore" }).status === 0;

export interface Calls {
  readonly connections: number;
  readonly clientsPerConnection: number;
}

export interface H2loadResult {
  readonly seconds: number;
  readonly perSecond: number;
  readonly done: number;
  readonly succeeded: number;
  /** Failed, errored or timed out, or answered with another status than 2xx. */
  readonly failed: number;
}

/** True when h2load can make this load. */
export function isForH2load(shape: Shape): shape is Extract<Shape, { kind: "calls" }> {
  return shape.kind === "calls" && shape.calls !== "mixed";
}

/** The path, and the body with gRPC's prefix, of the one request. */
export function requestOf(
  shape: Extract<Shape, { kind: "calls" }>,
  valueBytes: number,
  callKeys: number,
): { path: string; body: Buffer } {
  const { calls, serializable = false } = shape;
  const asker: Asker = { asked: 0, key: 0, revision: 0 };
  const ask = questionsOf({ kind: calls, keys: callKeys, valueBytes, serializable }, callKeys);
  const { path, message } = ask(asker);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return { path, body: Buffer.concat([prefix, message]) };
}

export function h2loadWords(
  { connections, clientsPerConnection }: Calls,
  seconds: number,
  url: string,
  bodyFile: string,
  logFile?: string,
): string[] {
  return [
    `--duration=${seconds}`,
    `--clients=${connections}`,
    `--max-concurrent-streams=${clientsPerConnection}`,
    "--threads=1",
    `--data=${bodyFile}`,
    ...(logFile === undefined ? [] : [`--log-file=${logFile}`]),
    "--header=content-type: application/grpc",
    "--header=te: trailers",
    url,
  ];
}

const UNITS_US: Readonly<Record<string, number>> = { us: 1, ms: 1e3, s: 1e6 };

/** Throws when the output is not what h2load prints at the end of a run. */
export function parseH2load(output: string): H2loadResult {
  const finished = match(output, /^finished in ([\d.]+)(us|ms|s), ([\d.]+) req\/s/m);
  const requests = match(
    output,
    /^requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/m,
  );
  const statuses = match(output, /^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/m);
  const bad = [5, 6, 7].reduce((sum, at) => sum + Number(requests[at]), 0);
  const wrong = [2, 3, 4].reduce((sum, at) => sum + Number(statuses[at]), 0);
  return {
    seconds: (Number(finished[1]) * (UNITS_US[finished[2] as string] as number)) / 1e6,
    perSecond: Number(finished[3]),
    done: Number(requests[3]),
    succeeded: Number(requests[4]),
    failed: Math.max(bad, wrong),
  };
}

function match(output: string, pattern: RegExp): RegExpExecArray {
  const found = pattern.exec(output);
  if (found === null) throw new Error(`h2load printed no line like ${pattern.source}:\n${output}`);
  return found;
}

/** When a request began, its HTTP status (-1: it failed), and the microseconds to the end of its answer; maybe more. */
const LOG_LINE = /^\d+\t(-1|\d{3})\t(\d+)(?:\t|$)/;
const MAX_LINE = 1_000;

/**
 * What those requests took that h2load counts as succeeded, by the text of its log, which comes in parts. The log holds
 * the requests that are in the summary and no others. Throws when it is not such a log.
 */
export async function latenciesOf(log: AsyncIterable<string>): Promise<Spread> {
  const histogram = new Histogram();
  let rest = "";
  for await (const text of log) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() as string;
    if (rest.length > MAX_LINE) break;
    for (const line of lines) {
      const found = LOG_LINE.exec(line);
      if (found === null) throw new Error(`h2load logged: ${line.slice(0, MAX_LINE)}`);
      if (isSuccess(Number(found[1]))) histogram.record(Number(found[2]));
    }
  }
  if (rest !== "") throw new Error(`h2load's log breaks off: ${rest.slice(0, MAX_LINE)}`);
  return histogram.spread();
}

/** As h2load has it. */
function isSuccess(status: number): boolean {
  return status >= 200 && status < 400;
}
