/** A program: reads watch streams and checks what comes. */
import { type Spread, spreadOf } from "./figures.ts";
import { serve } from "./helper.ts";
import { watchOwnPauses } from "./own-pauses.ts";
import type { KeyEnd } from "./watch-check.ts";
import { type Overtaken, type StreamOrder, WatchedStream } from "./watched-stream.ts";

export interface ReaderState {
  readonly events: number;
  /** The latest revision that any watch has. */
  readonly revision: number;
  readonly problems: readonly string[];
  readonly problemCount: number;
}

export interface ReaderResult extends ReaderState {
  /** From the sending of a put to the arrival of its event, by phase: of all, and by the endpoint of the stream. */
  readonly delaysMs: Readonly<Record<string, Spread>>;
  readonly delaysAtMs: Readonly<Record<string, Readonly<Record<string, Spread>>>>;
  readonly ownPauseMs: number;
}

export interface WatchEnd {
  /** Of its last event. */
  readonly revision: number;
  readonly overtaken: Overtaken | undefined;
}

const streams = new Map<string, WatchedStream>();
/** By phase and endpoint. */
const delays = new Map<string, Map<string, number[]>>();
const ownPauseMs = watchOwnPauses();
let current = new Map<string, number[]>();

function stream(name: string): WatchedStream {
  const found = streams.get(name);
  if (found === undefined) throw new Error(`no stream ${name}`);
  return found;
}

function state(): ReaderState {
  const all = [...streams.values()];
  const checks = all.flatMap(({ watches }) => watches.map(({ check }) => check));
  const problems = [...all.flatMap((one) => one.problems), ...checks.flatMap((check) => check.problems)];
  return {
    events: checks.reduce((sum, { seen }) => sum + seen, 0),
    revision: checks.reduce((latest, { revision }) => Math.max(latest, revision), 0),
    problems: problems.slice(0, 10),
    problemCount: checks.reduce(
      (sum, check) => sum + check.problemCount,
      all.reduce((sum, one) => sum + one.problems.length, 0),
    ),
  };
}

const desk = {
  async open(order: StreamOrder): Promise<void> {
    const opened = new WatchedStream(order, (milliseconds) => {
      const at = current.get(order.endpoint);
      if (at === undefined) current.set(order.endpoint, [milliseconds]);
      else at.push(milliseconds);
    });
    streams.set(order.name, opened);
    await opened.created;
  },
  /** From now on delays belong to the phase of that name. */
  phase(name: string): void {
    current = delays.get(name) ?? new Map();
    delays.set(name, current);
  },
  resume: (name: string): void => stream(name).resume(),
  close: (name: string): void => stream(name).close(),
  ends: (name: string): WatchEnd[] =>
    stream(name).watches.map(({ check, overtaken }) => ({ revision: check.revision, overtaken })),
  state,
  /** How many events are still to come, given all puts there were. */
  missing(keys: readonly KeyEnd[]): number {
    const byGroup = new Map<string, KeyEnd[]>();
    for (const key of keys) {
      const group = byGroup.get(groupOf(key)) ?? [];
      group.push(key);
      byGroup.set(groupOf(key), group);
    }
    let missing = 0;
    for (const { watches } of streams.values()) {
      for (const { prefix, check } of watches) missing += check.missing(byGroup.get(prefix) ?? []);
    }
    return missing;
  },
  result: (): ReaderResult => ({
    ...state(),
    delaysMs: Object.fromEntries([...delays].map(([name, at]) => [name, spreadOf([...at.values()].flat())])),
    delaysAtMs: Object.fromEntries(
      [...delays].map(([name, at]) => [
        name,
        Object.fromEntries([...at].map(([endpoint, values]) => [endpoint, spreadOf(values)])),
      ]),
    ),
    ownPauseMs: ownPauseMs(),
  }),
};
export type WatchReaderDesk = typeof desk;

function groupOf({ key }: KeyEnd): string {
  return key.slice(0, key.lastIndexOf("/") + 1);
}

serve(desk);
