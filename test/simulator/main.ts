/**
 * npm run simulate -- --seed S [--trace] | --seeds N [--from S] [--jobs J] [--minutes M] | --mutants [NAME]
 *                     [--check-replay] [--json] [--report FILE]
 */
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
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
    const { report } = values;
    const endedBy = await runAll(campaign, (state) => {
      if (report !== undefined) writeReport(report, campaign, state, firstSeed);
    });
    const { summary } = campaign;
    const isSingle = values.seed !== undefined;
    const short = isSingle ? undefined : shortfall(summary, EXPECTED_KINDS);
    if (values.json) process.stdout.write(`${JSON.stringify({ ...summary, shortfall: short }, undefined, 2)}\n`);
    else process.stdout.write(`${describe(summary, replayOf)}\n`);
    if (short !== undefined) process.stderr.write(`too little was checked: ${short}\n`);
    if (summary.failures.length > 0) return 1;
    if (endedBy !== 0) return endedBy;
    return short === undefined ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function seedsOf(values: { seed?: string; seeds?: string; from?: string; minutes?: string }): Seeds {
  const { seed } = values;
  if (seed !== undefined) return { count: 1, at: () => seed };
  const first = numberOf(values.from, randomInt(2 ** 40));
  const fallback = values.minutes === undefined ? DEFAULT_SEEDS : Number.MAX_SAFE_INTEGER;
  return { count: numberOf(values.seeds, fallback), at: (position) => String(first + position) };
}

/** Until all is done, or somebody ends it: then with the signal's exit code. */
async function runAll(campaign: Campaign, report: (state: string) => void): Promise<number> {
  let code = 0;
  const end = (signal: NodeJS.Signals): void => {
    code = 128 + constants.signals[signal];
    campaign.end();
  };
  process.once("SIGINT", end);
  process.once("SIGTERM", end);
  const progress = setInterval(() => process.stderr.write(`${campaign.progress()}\n`), PROGRESS_MS);
  const reporting = setInterval(() => report("running"), REPORT_MS);
  try {
    await campaign.run();
  } finally {
    clearInterval(progress);
    clearInterval(reporting);
    process.removeListener("SIGINT", end);
    process.removeListener("SIGTERM", end);
  }
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
