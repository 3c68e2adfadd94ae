/** Clients that each ask one thing at a time, the next as soon as the last is answered. */
import { setTimeout as pause } from "node:timers/promises";
import { OK, type Receiver } from "./connection.ts";
import type { Lane } from "./lane.ts";
import { AFTER_FAILURE_MS, ANSWER_TIMEOUT_MS, inTime, type Load, MAX_FAULTS } from "./load.ts";
import { Meter, nowUs } from "./meter.ts";
import { type Ask, type Asker, askEach, type Question } from "./questions.ts";

/** Of so many answers of a client one is decoded and compared; the status of every one is looked at. */
const CHECK_EVERY = 16;

export interface LoopOptions {
  readonly lanes: readonly Lane[];
  readonly clientsPerLane: number;
  readonly ask: Ask;
  readonly meter?: Meter;
  /** So many questions in all; without it they go on until the load is stopped. */
  readonly total?: number;
  readonly checkEvery?: number;
}

export interface Loop extends Load {
  /** Resolves when `total` were answered, or asking more made no sense. */
  readonly done: Promise<void>;
  readonly answered: () => number;
}

export function startLoop(options: LoopOptions): Loop {
  const { lanes, clientsPerLane, ask, total = Number.POSITIVE_INFINITY, checkEvery = CHECK_EVERY } = options;
  const meter = options.meter ?? new Meter();
  const resting = new Set<NodeJS.Timeout>();
  let isStopped = false;
  let asked = 0;
  let answered = 0;
  let open = 0;
  let finish: () => void = () => undefined;
  const done = new Promise<void>((resolve) => (finish = resolve));

  const startClient = (lane: Lane): void => {
    const asker: Asker = { asked: 0, key: 0, revision: 0 };
    let question: Question | undefined;
    let sentUs = 0;
    let messages = 0;

    /** `atUs`: when the last was answered. What this process takes until the next is sent counts as its delay. */
    const next = (atUs: number): void => {
      if (isStopped || asked >= total || meter.faultCount >= MAX_FAULTS || lane.failure !== undefined) {
        if (open === 0 && resting.size === 0) finish();
        return;
      }
      asked++;
      open++;
      messages = 0;
      question = ask(asker);
      sentUs = atUs;
      lane.unary(question.path, question.message, receiver);
    };
    const receiver: Receiver = {
      message(bytes, start, end) {
        messages++;
        if (asker.asked % checkEvery !== 0) return;
        const problem = problemWith(bytes.subarray(start, end));
        if (problem !== undefined) meter.problem(problem);
      },
      ended(status, detail, atUs) {
        open--;
        asker.asked++;
        if (status === OK && messages === 1) {
          answered++;
          meter.latency.record(atUs - sentUs);
          next(atUs);
          return;
        }
        if (status === OK) meter.problem(`a call is answered with ${messages} messages`);
        else meter.failed(status, detail);
        const timer = setTimeout(() => {
          resting.delete(timer);
          next(nowUs());
        }, AFTER_FAILURE_MS);
        resting.add(timer);
      },
    };
    const problemWith = (body: Buffer): string | undefined => {
      try {
        return question?.check(body, asker);
      } catch (error) {
        return `an answer cannot be decoded: ${error}`;
      }
    };
    next(nowUs());
  };

  for (let i = 0; i < clientsPerLane; i++) for (const lane of lanes) startClient(lane);
  return {
    meter,
    done,
    answered: () => answered,
    async stop() {
      isStopped = true;
      for (const timer of resting) clearTimeout(timer);
      resting.clear();
      if (!(await inTime(() => open === 0))) meter.failed("no answer in time", "");
    },
  };
}

const FILL_CLIENTS = 200;

/** Puts keys 0 to `keys` - 1, each once; rejects when one of the puts failed or was answered wrongly. */
export async function fill(lanes: readonly Lane[], keys: number, valueBytes: number): Promise<void> {
  const clientsPerLane = Math.ceil(FILL_CLIENTS / lanes.length);
  const loop = startLoop({ lanes, clientsPerLane, ask: askEach(valueBytes), total: keys });
  await finished(loop);
  await loop.stop();
  if (loop.answered() < keys || loop.meter.faultCount > 0) {
    throw new Error(`of ${keys} keys ${loop.answered()} were put: ${told(loop.meter)}`);
  }
}

/** Resolves when a loop of a given number of questions is done, or when nothing is answered any more. */
export async function finished(loop: Loop): Promise<void> {
  for (let before = -1; loop.answered() > before; ) {
    before = loop.answered();
    const stalled = pause(ANSWER_TIMEOUT_MS, true, { ref: false });
    if (!(await Promise.race([stalled, loop.done.then(() => false)]))) return;
  }
}

export function told(meter: Meter): string {
  const { failures, problems } = meter.faults();
  const failed = Object.entries(failures).map(([status, count]) => `${count} x ${status}`);
  return [...failed, ...problems].join("; ");
}
