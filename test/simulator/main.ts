/**
 * npm run simulate -- --seed S [--trace] | --seeds N [--from S] [--jobs J] [--minutes M] | --mutants [NAME]
 *                     [--check-replay] [--json] [--report FILE]
 */
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync, renameSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, constants, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Campaign, type Seeds } from "./campaign.ts";
import { bundle } from "./mutants/bundle.ts";
import { type Answer, describe, shortfall } from "./summary.ts";
import { OPERATION_KINDS } from "./swarm.ts";

/** Two kinds of the plan are ranges to a client. */
const EXPECTED_KINDS = OPERATION_KINDS.filter((kind) => kind !== "serializableRange" && kind !== "oldRange");
const DEFAULT_SEEDS = 20;
const DEFAULT_SEEDS_FOR_A_MUTANT = 300;
const PROGRESS_MS = 5_000;
const REPORT_MS = 60_000;
/** The dearest seeds take half a minute. */
const SEED_LIMIT_MS = 600_000;
const LAST_LINES = 40;

const USAGE = `usage: npm run simulate -- [options]
  --seed S          one seed; with --trace every event of it
  --seeds N         N seeds, fresh ones unless --from says where they begin (${DEFAULT_SEEDS})
  --from S          the first seed, a number
  --minutes M       as many seeds as fit
  --jobs J          processes (one for each core)
  --check-replay    every seed twice: the traces must be the same
  --mutants [NAME]  plant the known mistakes one by one and look for each;
                    --seeds: as many for one at most
  --json            the summary as JSON
  --report FILE     the summary so far as JSON, every minute and at the end
Ctrl-C or SIGTERM ends a run with the summary so far.
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
      report: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  refuseContradictions(values);
  if (values.mutants) {
    const { runMutants } = await import("./mutants/run.ts");
    const options = {
      names: positionals,
      firstSeed: firstSeedOf(values.from),
      maxSeeds: countOf("--seeds", values.seeds, DEFAULT_SEEDS_FOR_A_MUTANT),
      jobs: countOf("--jobs", values.jobs, availableParallelism()),
      say: (line: string) => process.stdout.write(`${line}\n`),
    };
    let allFound = false;
    const endedBy = await untilEnded(async (ended) => {
      allFound = await runMutants({ ...options, ended });
    });
    return endedBy !== 0 ? endedBy : allFound ? 0 : 1;
  }
  if (positionals.length > 0) throw new Error(`what is ${positionals.join(" ")}?`);
  const { report: reportFile } = values;
  if (reportFile !== undefined && existsSync(reportFile) && !statSync(reportFile).isFile()) {
    throw new Error(`--report ${reportFile}: not a file`);
  }
  const folder = await mkdtemp(join(tmpdir(), "quorate-simulate-"));
  try {
    const file = join(folder, "worker.cjs");
    await bundle("test/simulator/worker.ts", undefined, file);
    if (values.trace) return await trace(file, required(values.seed, "--trace needs --seed"));
    const twice = values["check-replay"] ? ["--twice"] : [];
    const seeds = seedsOf(values);
    const jobs = Math.min(countOf("--jobs", values.jobs, availableParallelism()), seeds.count);
    const until = Date.now() + minutesOf(values.minutes) * 60_000;
    const campaign = new Campaign({
      file,
      words: twice,
      seeds,
      jobs,
      until,
      seedLimitMs: SEED_LIMIT_MS,
      onFailure: tellFailure,
    });
    const firstSeed = seeds.at(0);
    process.stderr.write(`seeds from ${firstSeed}\n`);
    let unwritten: unknown;
    const endedBy = await runAll(campaign, (state) => {
      if (reportFile === undefined) return;
      try {
        writeReport(reportFile, campaign, state, firstSeed);
        unwritten = undefined;
      } catch (error) {
        // The run is worth more than the report: it goes on, and its end says so.
        if (unwritten === undefined) process.stderr.write(`--report: ${String(error)}\n`);
        unwritten = error;
      }
    });
    const { summary } = campaign;
    const short = shortfall(summary, EXPECTED_KINDS);
    if (values.json) process.stdout.write(`${JSON.stringify({ ...summary, shortfall: short }, undefined, 2)}\n`);
    else process.stdout.write(`${describe(summary, replayOf)}\n`);
    if (short !== undefined) process.stderr.write(`too little was checked: ${short}\n`);
    if (summary.failures.length > 0) return 1;
    if (endedBy !== 0) return endedBy;
    if (unwritten !== undefined) return 2;
    return short === undefined ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Words that would be ignored beside each other. */
const CONTRADICTIONS = [
  ["seed", ["seeds", "from", "minutes", "mutants"]],
  ["trace", ["seeds", "json", "report", "check-replay", "mutants"]],
  ["mutants", ["minutes", "json", "report", "check-replay"]],
] as const;

function refuseContradictions(values: Readonly<Record<string, string | boolean | undefined>>): void {
  const isGiven = (name: string): boolean => values[name] !== undefined && values[name] !== false;
  for (const [name, others] of CONTRADICTIONS) {
    const other = isGiven(name) ? others.find(isGiven) : undefined;
    if (other !== undefined) throw new Error(`--${name} and --${other} do not go together`);
  }
}

function seedsOf(values: { seed?: string; seeds?: string; from?: string; minutes?: string }): Seeds {
  const { seed } = values;
  if (seed !== undefined) {
    if (!/^[^\r\n]+$/.test(seed)) throw new Error("--seed: a word of one line");
    return { count: 1, at: () => seed };
  }
  const first = firstSeedOf(values.from);
  const fallback = values.minutes === undefined ? DEFAULT_SEEDS : Number.MAX_SAFE_INTEGER - first;
  const count = countOf("--seeds", values.seeds, fallback);
  if (!Number.isSafeInteger(first + count)) throw new Error(`--from: ${first} leaves no room for ${count} seeds`);
  return { count, at: (position) => String(first + position) };
}

/** Until it is done, or somebody ends it: then with the signal's exit code. */
async function untilEnded(work: (ended: AbortSignal) => Promise<void>): Promise<number> {
  let code = 0;
  const ended = new AbortController();
  const end = (signal: NodeJS.Signals): void => {
    code = 128 + constants.signals[signal];
    ended.abort();
  };
  process.once("SIGINT", end);
  process.once("SIGTERM", end);
  try {
    await work(ended.signal);
  } finally {
    process.removeListener("SIGINT", end);
    process.removeListener("SIGTERM", end);
  }
  return code;
}

async function runAll(campaign: Campaign, report: (state: string) => void): Promise<number> {
  report("running");
  const progress = setInterval(() => process.stderr.write(`${campaign.progress()}\n`), PROGRESS_MS);
  const reporting = setInterval(() => report("running"), REPORT_MS);
  const code = await untilEnded(async (ended) => {
    ended.addEventListener("abort", () => campaign.end());
    await campaign.run();
  }).finally(() => {
    clearInterval(progress);
    clearInterval(reporting);
  });
  report(code === 0 ? "complete" : "ended early");
  return code;
}

/** Whoever reads the file finds the last report whole, whenever the run dies. */
function writeReport(file: string, campaign: Campaign, state: string, firstSeed: string): void {
  const { summary, elapsedMs } = campaign;
  const { simulatedMs, cpuMs } = summary;
  const figures = {
    state,
    firstSeed,
    elapsedMs,
    simulatedHours: simulatedMs / 3_600_000,
    simulatedSecondsInCpuSecond: cpuMs === 0 ? 0 : simulatedMs / cpuMs,
    shortfall: shortfall(summary, EXPECTED_KINDS) ?? null,
    ...summary,
  };
  writeFileSync(`${file}.new`, `${JSON.stringify(figures, undefined, 2)}\n`);
  renameSync(`${file}.new`, file);
}

function replayOf(seed: string): string {
  return `npm run simulate -- --seed ${seed} --trace`;
}

function tellFailure(seed: string, what: Answer | string): void {
  if (typeof what === "string") {
    process.stderr.write(`\nseed ${seed} failed: ${what}\n  ${replayOf(seed)}\n\n`);
    return;
  }
  const { failure, plan, lastLines } = what.result;
  process.stderr.write(
    `\nseed ${seed} failed at ${failure?.at.toFixed(3)} ms: ${failure?.checker}\n  ${replayOf(seed)}\n` +
      `${failure?.message}\n\n${plan}\n\n${lastLines.slice(-LAST_LINES).join("\n")}\n\n`,
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

function countOf(flag: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(Number(text)) || Number(text) === 0) {
    throw new Error(`${flag}: a whole number from 1 on, not ${text}`);
  }
  return Number(text);
}

function firstSeedOf(text: string | undefined): number {
  if (text === undefined) return randomInt(2 ** 40);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(Number(text)))
    throw new Error(`--from: a whole number, not ${text}`);
  return Number(text);
}

/** Infinity when there is no end to it. */
function minutesOf(text: string | undefined): number {
  if (text === undefined) return Infinity;
  const value = Number(text);
  if (text === "" || !(value > 0 && value < Infinity)) throw new Error(`--minutes: a number above 0, not ${text}`);
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
