/**
 * npm run simulate -- --seed S [--trace] | --seeds N [--from S] [--jobs J] [--minutes M] | --mutants [NAME]
 *                     [--check-replay] [--json]
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { bundle } from "./mutants/bundle.ts";
import { type Answer, addTo, createSummary, describe, type Summary, shortfall } from "./summary.ts";
import { OPERATION_KINDS } from "./swarm.ts";

/** Two kinds of the plan are ranges to a client. */
const EXPECTED_KINDS = OPERATION_KINDS.filter((kind) => kind !== "serializableRange" && kind !== "oldRange");
const DEFAULT_SEEDS = 20;
const DEFAULT_SEEDS_FOR_A_MUTANT = 300;
const PROGRESS_MS = 5_000;
const LAST_LINES = 40;

const USAGE = `usage: npm run simulate -- [options]
  --seed S          one seed; with --trace every event of it
  --seeds N         N seeds, fresh ones unless --from says where they begin (${DEFAULT_SEEDS})
  --from S          the first seed, a number
  --minutes M       as many seeds as fit
  --jobs J          processes (one for each core)
  --check-replay    every seed twice: the traces must be the same
  --mutants [NAME]  plant the known mistakes one by one and look for each; --seeds: as many for one at most
  --json            the summary as JSON
`;

async function main(words: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      seed: { type: "string" },
      seeds: { type: "string" },
      from: { type: "string" },
      minutes: { type: "string" },
      jobs: { type: "string" },
      trace: { type: "boolean", default: false },
      "check-replay": { type: "boolean", default: false },
      mutants: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (values.mutants) {
    const { runMutants } = await import("./mutants/run.ts");
    const allFound = await runMutants({
      names: positionals,
      firstSeed: numberOf(values.from, randomInt(2 ** 40)),
      maxSeeds: numberOf(values.seeds, DEFAULT_SEEDS_FOR_A_MUTANT),
      jobs: numberOf(values.jobs, availableParallelism()),
      say: (line) => process.stdout.write(`${line}\n`),
    });
    return allFound ? 0 : 1;
  }
  if (positionals.length > 0) throw new Error(`what is ${positionals.join(" ")}?`);
  const folder = await mkdtemp(join(tmpdir(), "quorate-simulate-"));
  try {
    const file = join(folder, "worker.cjs");
    await bundle("test/simulator/worker.ts", undefined, file);
    if (values.trace) return await trace(file, required(values.seed, "--trace needs --seed"));
    const twice = values["check-replay"] ? ["--twice"] : [];
    const seeds = seedsOf(values);
    const jobs = Math.min(numberOf(values.jobs, availableParallelism()), seeds.count);
    const until = values.minutes === undefined ? Infinity : Date.now() + numberOf(values.minutes, 0) * 60_000;
    const summary = await runAll(file, twice, seeds, jobs, until);
    const isSingle = values.seed !== undefined;
    const short = isSingle ? undefined : shortfall(summary, EXPECTED_KINDS);
    if (values.json) process.stdout.write(`${JSON.stringify({ ...summary, shortfall: short }, undefined, 2)}\n`);
    else process.stdout.write(`${describe(summary, (seed) => `npm run simulate -- --seed ${seed} --trace`)}\n`);
    if (short !== undefined) process.stderr.write(`too little was checked: ${short}\n`);
    return summary.failures.length > 0 || short !== undefined ? 1 : 0;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Seeds {
  readonly count: number;
  readonly at: (position: number) => string;
}

function seedsOf(values: { seed?: string; seeds?: string; from?: string; minutes?: string }): Seeds {
  const { seed } = values;
  if (seed !== undefined) return { count: 1, at: () => seed };
  const first = numberOf(values.from, randomInt(2 ** 40));
  const fallback = values.minutes === undefined ? DEFAULT_SEEDS : Number.MAX_SAFE_INTEGER;
  return { count: numberOf(values.seeds, fallback), at: (position) => String(first + position) };
}

/** Every worker has one seed at a time. */
async function runAll(
  file: string,
  words: readonly string[],
  seeds: Seeds,
  jobs: number,
  until: number,
): Promise<Summary> {
  const summary = createSummary();
  let next = 0;
  const progress = setInterval(() => {
    const { seeds: done, simulatedMs, failures } = summary;
    const hours = (simulatedMs / 3_600_000).toFixed(2);
    process.stderr.write(`${done} seeds, ${hours} h of simulated time, ${failures.length} failures\n`);
  }, PROGRESS_MS);
  const work = async (): Promise<void> => {
    const worker = startWorker(file, words);
    try {
      while (next < seeds.count && Date.now() < until) {
        const seed = seeds.at(next++);
        const answer = await worker.run(seed);
        addTo(summary, answer);
        if (answer.result.failure !== undefined) tellFailure(answer);
      }
    } finally {
      worker.end();
    }
  };
  try {
    await Promise.all(Array.from({ length: jobs }, work));
  } finally {
    clearInterval(progress);
  }
  return summary;
}

function startWorker(file: string, words: readonly string[]): { run(seed: string): Promise<Answer>; end(): void } {
  const child: ChildProcess = spawn(process.execPath, ["--enable-source-maps", file, ...words], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("a worker without pipes");
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  return {
    run: async (seed) => {
      stdin.write(`${seed}\n`);
      const line = await lines.next();
      if (line.done === true) throw new Error(`the worker died while it ran seed ${seed}`);
      return JSON.parse(line.value) as Answer;
    },
    end: () => stdin.end(),
  };
}

function tellFailure({ result }: Answer): void {
  const { seed, failure, plan, lastLines } = result;
  process.stderr.write(
    `\nseed ${seed} failed at ${failure?.at.toFixed(3)} ms: ${failure?.checker}\n${failure?.message}\n\n${plan}\n\n` +
      `${lastLines.slice(-LAST_LINES).join("\n")}\n\n`,
  );
}

/** Straight to stdout, as it comes. */
async function trace(file: string, seed: string): Promise<number> {
  const child = spawn(process.execPath, ["--enable-source-maps", file, "--trace"], {
    stdio: ["pipe", "inherit", "inherit"],
  });
  child.stdin.end(`${seed}\n`);
  return await new Promise((resolve) => {
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

function numberOf(text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text === "" || !Number.isFinite(value) || value < 0) throw new Error(`not a number: ${text}`);
  return value;
}

function required(value: string | undefined, complaint: string): string {
  if (value === undefined) throw new Error(complaint);
  return value;
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exitCode = 2;
  },
);
