/** npm run bench -- [options]: see USAGE. */
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { root } from "../test/e2e/cluster.ts";
import { etcdBinary } from "../test/e2e/etcdctl.ts";
import { hasH2load, isForH2load } from "./h2load.ts";
import { faultsOf, mediansOf, missedOf, type Result, runsOf, verdictsOf } from "./judge.ts";
import { machine } from "./machine.ts";
import { svgOf } from "./plot.ts";
import { progress } from "./progress.ts";
import { markdownOf, type Setting, terminalText } from "./report.ts";
import { type BenchOptions, runBench, stepsOf } from "./run-bench.ts";
import { MIN_VALUE_BYTES } from "./values.ts";
import { CALL_KEYS, memoryWorkload, VALUE_BYTES, type Workload, workloads } from "./workloads.ts";

const USAGE = `usage: npm run bench -- [options]
Quorate and a real etcd in turn, each with new members on this machine, under
the same load; a process of its own makes the load and checks the answers.
  --workload NAME[,...]  of: ${workloads
    .slice(0, 6)
    .map(({ name }) => name)
    .join(" ")}
                         ${workloads
                           .slice(6)
                           .map(({ name }) => name)
                           .join(" ")} memory
                         (all but memory)
  --memory               with the workload memory, too
  --seconds S            of measuring (10)
  --warm-up S            before (12)
  --rounds N             (3)
  --members 1|3          (3)
  --servers NAME[,NAME]  quorate, etcd (both)
  --against URL[,URL]    servers that run already, instead of these
  --target leader|all    where clients connect (leader)
  --client raw|grpc-js   what makes single calls (raw)
  --generator own|h2load (own)
  --value-bytes N        (${VALUE_BYTES})
  --memory-keys N, --big-range-keys N   (1000000, 100000)
  --quorate-flags "..."  for the members of Quorate
  --etcd-flags "..."     for those of etcd
  --data-dir DIR         where data directories lie while it runs (${tmpdir()})
  --cpu-prof DIR         members of Quorate leave CPU profiles there
  --out DIR              where results.md and ratios.svg go; without it they
                         go to bench/ when all was measured of both
  --json                 everything as JSON on stdout instead of tables
  --judge                exit code 1 when a target is missed
Exit code 2: a call failed, an answer was wrong, wrong words, or a signal.
`;
const MISSED = 1;
const UNKNOWN = 2;

async function main(words: readonly string[], signal: AbortSignal): Promise<number> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      workload: { type: "string", multiple: true },
      memory: { type: "boolean", default: false },
      seconds: { type: "string", default: "10" },
      "warm-up": { type: "string", default: "12" },
      rounds: { type: "string", default: "3" },
      members: { type: "string", default: "3" },
      servers: { type: "string", default: "quorate,etcd" },
      against: { type: "string" },
      target: { type: "string", default: "leader" },
      client: { type: "string", default: "raw" },
      generator: { type: "string", default: "own" },
      "value-bytes": { type: "string", default: String(VALUE_BYTES) },
      "memory-keys": { type: "string" },
      "big-range-keys": { type: "string" },
      "quorate-flags": { type: "string", default: "" },
      "etcd-flags": { type: "string", default: "" },
      "data-dir": { type: "string", default: tmpdir() },
      "cpu-prof": { type: "string" },
      out: { type: "string" },
      json: { type: "boolean", default: false },
      judge: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const generator = oneOf(values.generator, ["own", "h2load"] as const);
  const wanted = sized(chosen(values.workload, values.memory), {
    memory: values["memory-keys"],
    "big-range": values["big-range-keys"],
  });
  const options: BenchOptions = {
    workloads: generator === "h2load" ? wanted.filter(({ shape }) => isForH2load(shape)) : wanted,
    rounds: numberOf(values.rounds),
    seconds: numberOf(values.seconds),
    warmUpSeconds: numberOf(values["warm-up"]),
    makers: values.servers.split(",").map((name) => oneOf(name, ["quorate", "etcd"] as const)),
    against: values.against?.split(",") ?? [],
    client: oneOf(values.client, ["raw", "grpc-js"] as const),
    generator,
    target: oneOf(values.target, ["leader", "all"] as const),
    valueBytes: numberOf(values["value-bytes"], MIN_VALUE_BYTES),
    callKeys: CALL_KEYS,
    start: {
      members: Number(oneOf(values.members, ["1", "3"] as const)),
      dataDirectory: resolve(values["data-dir"]),
      cpuProfile: values["cpu-prof"] === undefined ? undefined : resolve(values["cpu-prof"]),
    },
    flags: { quorate: flagsOf(values["quorate-flags"]), etcd: flagsOf(values["etcd-flags"]) },
  };
  const comparesAll = options.against.length === 0 && options.makers.length === 2 && options.makers.includes("etcd");
  if (options.against.length === 0 && options.makers.includes("etcd") && etcdBinary === undefined) {
    throw new Error("there is no etcd to compare with: have one on PATH, or name it in ETCD_BIN; or --servers quorate");
  }
  if (generator === "h2load" && !hasH2load) {
    process.stderr.write("SKIPPED: h2load (of nghttp2) is not installed here\n");
    return 0;
  }
  if (options.workloads.length === 0) throw new Error("h2load can make the load of none of these");
  if (values.judge && !comparesAll) throw new Error("without Quorate and etcd there is nothing to judge");

  const setting = settingOf(
    options,
    ["npm run bench", ...(words.length > 0 ? ["--", ...words.map(quoted)] : [])].join(" "),
  );
  const shown = progress(stepsOf(options));
  let results: Result[];
  try {
    results = await runBench(options, shown, signal);
  } finally {
    shown.clear();
  }
  const isWhole =
    comparesAll && values.workload === undefined && generator === "own" && values["cpu-prof"] === undefined;
  const out = values.out ?? (isWhole ? join(root, "bench") : undefined);
  if (out !== undefined) write(resolve(out), setting, results, comparesAll);
  process.stdout.write(
    values.json ? `${JSON.stringify(jsonOf(setting, results), undefined, 2)}\n` : terminalText(results),
  );
  if (faultsOf(results).length > 0) return UNKNOWN;
  return values.judge && missedOf(results).length > 0 ? MISSED : 0;
}

function chosen(names: readonly string[] | undefined, withMemory: boolean): Workload[] {
  const all = [...workloads, memoryWorkload];
  if (names === undefined) return withMemory ? all : [...workloads];
  const wanted = names.flatMap((words) => words.split(","));
  const unknown = wanted.find((name) => !all.some((workload) => workload.name === name));
  if (unknown !== undefined) throw new Error(`what is the workload ${unknown}?\n${USAGE}`);
  return all.filter(({ name }) => wanted.includes(name) || (withMemory && name === memoryWorkload.name));
}

/** With other numbers of keys than by default, and words that say so. */
function sized(
  list: readonly Workload[],
  keys: Readonly<Record<"memory" | "big-range", string | undefined>>,
): Workload[] {
  return list.map((workload) => {
    const { shape, about } = workload;
    if (shape.kind !== "memory" && shape.kind !== "big-range") return workload;
    const text = keys[shape.kind];
    if (text === undefined) return workload;
    const count = numberOf(text);
    const [from, to] = [shape.keys, count].map((value) => value.toLocaleString("en-US")) as [string, string];
    return { ...workload, about: about.replace(from, to), shape: { ...shape, keys: count } };
  });
}

function settingOf(options: BenchOptions, command: string): Setting {
  return {
    command,
    machine: machine(options.start.dataDirectory),
    members: options.start.members,
    rounds: options.rounds,
    seconds: options.seconds,
    warmUpSeconds: options.warmUpSeconds,
    client: options.client,
    generator: options.generator,
    target: options.target,
    valueBytes: options.valueBytes,
    quorateFlags: options.flags.quorate,
    etcdFlags: options.flags.etcd,
  };
}

const RESULTS = "results.md";
const PLOT = "ratios.svg";

function write(directory: string, setting: Setting, results: readonly Result[], isComparison: boolean): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, RESULTS), markdownOf(setting, results, isComparison ? PLOT : undefined));
  if (isComparison) writeFileSync(join(directory, PLOT), svgOf(results));
  process.stderr.write(`written: ${join(directory, RESULTS)}${isComparison ? ` and ${PLOT}` : ""}\n`);
}

function jsonOf(setting: Setting, results: readonly Result[]): object {
  return {
    setting,
    faults: faultsOf(results),
    missed: missedOf(results),
    results: results.map((result) => ({
      ...result,
      medians: Object.fromEntries(
        [...new Set(result.runs.map(({ maker }) => maker))].map((maker) => [maker, mediansOf(runsOf(result, maker))]),
      ),
      verdicts: verdictsOf(result),
    })),
  };
}

function oneOf<T extends string>(word: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === word);
  if (found === undefined) throw new Error(`${word} is none of ${allowed.join(", ")}`);
  return found;
}

function numberOf(text: string, least = 1): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least) throw new Error(`not a whole number from ${least} on: ${text}`);
  return value;
}

function flagsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`;
}

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => interrupted.abort(new Error(`ended by ${signal}`)));
}
try {
  process.exitCode = await main(process.argv.slice(2), interrupted.signal);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = UNKNOWN;
}
