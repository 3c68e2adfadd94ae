/** One measurement: a fresh cluster, one workload, one stretch of time. */
import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Helper } from "../test/stress/helper.ts";
import type { Order } from "./begin-load.ts";
import type { Generated, GeneratorDesk } from "./generator.ts";
import { h2loadWords, isForH2load, latenciesOf, parseH2load, requestOf } from "./h2load.ts";
import type { Spread } from "./histogram.ts";
import type { ClientKind } from "./lane.ts";
import type { Faults } from "./meter.ts";
import { cpuMicroseconds, residentBytes } from "./process-costs.ts";
import type { Server, Servers } from "./servers.ts";
import type { Workload } from "./workloads.ts";

export interface MeasureOptions {
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly client: ClientKind;
  readonly generator: "own" | "h2load";
  /** Where connections go: to the leader alone, or to the members in turn. */
  readonly target: "leader" | "all";
  readonly valueBytes: number;
  /** Single calls choose from so many keys. */
  readonly callKeys: number;
}

/** What one measurement gave. Microseconds. */
export interface Run {
  readonly perSecond: number;
  readonly operations: number;
  readonly seconds: number;
  readonly p50?: number;
  readonly p99?: number;
  readonly max: number;
  readonly others?: Spread;
  /** CPU per operation. */
  readonly cpuOfLeader?: number;
  readonly cpuOfAll?: number;
  /** Resident bytes of each member at the end; the leader's first. */
  readonly memory?: readonly number[];
  /** Of one core. */
  readonly generatorShare?: number;
  readonly generatorPauseMs?: number;
  /** Calls that failed, and answers that were not true. */
  readonly faults: readonly string[];
  /** What makes the figures doubtful. */
  readonly notes: readonly string[];
}

/** What servers hold on to for a while after a load. */
const SETTLE_SECONDS = 5;
/** A generator that is busier than that may be what is measured. */
const BUSY_SHARE = 0.9;

export async function measure(
  servers: Servers,
  workload: Workload,
  options: MeasureOptions,
  signal: AbortSignal,
): Promise<Run> {
  const leader = await servers.leader();
  const run = await (options.generator === "h2load"
    ? withH2load(servers, leader, workload, options, signal)
    : withOwn(servers, leader, workload, options, signal));
  const after = await servers.leader();
  if (after.endpoint === leader.endpoint) return run;
  return { ...run, notes: [...run.notes, "the leader changed"] };
}

async function withOwn(
  servers: Servers,
  leader: Server,
  { shape }: Workload,
  options: MeasureOptions,
  signal: AbortSignal,
): Promise<Run> {
  const { members } = servers;
  const endpoints = options.target === "leader" ? [leader.endpoint] : members.map(({ endpoint }) => endpoint);
  const { client, valueBytes, callKeys } = options;
  const order: Order = { shape, endpoints, client, valueBytes, callKeys };
  const generator = new Helper<GeneratorDesk>("generator.ts", "bench");
  const unlessAborted = aborting(signal);
  try {
    if (shape.kind === "memory") {
      const before = cpuOf(members);
      const measured = await unlessAborted(generator.ask("fill", order));
      const cpu = since(before, cpuOf(members));
      await sleep(SETTLE_SECONDS * 1_000, undefined, { signal });
      return runOf(measured, measured, cpu, members, leader);
    }
    await unlessAborted(generator.ask("start", order));
    await sleep(options.warmUpSeconds * 1_000, undefined, { signal });
    await generator.ask("begin");
    const before = cpuOf(members);
    await sleep(options.seconds * 1_000, undefined, { signal });
    const measured = await generator.ask("end");
    const cpu = since(before, cpuOf(members));
    const memory = memoryOf(members, leader);
    const faults = await unlessAborted(generator.ask("stop"));
    return { ...runOf(measured, faults, cpu, members, leader), ...memory };
  } finally {
    await generator.end();
  }
}

function runOf(
  measured: Generated,
  faults: Faults,
  cpu: ReadonlyMap<Server, number> | undefined,
  members: readonly Server[],
  leader: Server,
): Run {
  const { operations, seconds, latencyUs, othersUs, generatorCpuUs, ownPauseMs } = measured;
  const share = generatorCpuUs / 1e6 / seconds;
  const texts = Object.entries(faults.failures).map(([status, count]) => `${count} calls ended with ${status}`);
  return {
    perSecond: operations / seconds,
    operations,
    seconds,
    p50: latencyUs.p50,
    p99: latencyUs.p99,
    max: latencyUs.max,
    ...(othersUs === undefined ? {} : { others: othersUs }),
    ...cpuPerOperation(cpu, leader, operations),
    ...memoryOf(members, leader),
    generatorShare: share,
    generatorPauseMs: ownPauseMs,
    faults: [...texts, ...faults.problems, ...(operations === 0 ? ["nothing was answered"] : [])],
    notes: share > BUSY_SHARE ? [`the generator took ${Math.round(share * 100)} % of a core`] : [],
  };
}

/** Undefined when one of the processes is not known. */
function cpuOf(members: readonly Server[]): ReadonlyMap<Server, number> | undefined {
  const all = new Map<Server, number>();
  for (const member of members) {
    const cpu = member.pid === undefined ? undefined : cpuMicroseconds(member.pid);
    if (cpu === undefined) return undefined;
    all.set(member, cpu);
  }
  return all;
}

type Cpu = ReadonlyMap<Server, number> | undefined;

function since(before: Cpu, after: Cpu): Cpu {
  if (before === undefined || after === undefined) return undefined;
  return new Map([...after].map(([server, cpu]) => [server, cpu - (before.get(server) ?? 0)]));
}

function cpuPerOperation(cpu: Cpu, leader: Server, operations: number): Pick<Run, "cpuOfLeader" | "cpuOfAll"> {
  if (cpu === undefined || operations === 0) return {};
  const all = [...cpu.values()].reduce((sum, one) => sum + one, 0);
  return { cpuOfLeader: (cpu.get(leader) ?? 0) / operations, cpuOfAll: all / operations };
}

function memoryOf(members: readonly Server[], leader: Server): Pick<Run, "memory"> {
  const leaderFirst = [...members].sort((a, b) => Number(b === leader) - Number(a === leader));
  const bytes = leaderFirst.map(({ pid }) => (pid === undefined ? undefined : residentBytes(pid)));
  return bytes.every((one) => one !== undefined) ? { memory: bytes } : {};
}

async function withH2load(
  servers: Servers,
  leader: Server,
  { name, shape }: Workload,
  options: MeasureOptions,
  signal: AbortSignal,
): Promise<Run> {
  if (!isForH2load(shape)) throw new Error(`h2load cannot make the load of ${name}`);
  const directory = await mkdtemp(join(tmpdir(), "quorate-h2load-"));
  const generator = new Helper<GeneratorDesk>("generator.ts", "bench");
  const { members } = servers;
  const { valueBytes, callKeys } = options;
  try {
    const { path, body } = requestOf(shape, valueBytes, callKeys);
    const file = join(directory, "request");
    const log = join(directory, "log");
    await writeFile(file, body);
    // The keys that are read or compared have to be there; ours puts them.
    const endpoints = [leader.endpoint];
    await generator.ask("fillKeys", { shape, endpoints, client: "raw", valueBytes, callKeys });
    const url = `http://${leader.endpoint}${path}`;
    await outputOf("h2load", h2loadWords(shape, options.warmUpSeconds, url, file), signal);
    const revisionBefore = await servers.revision();
    const before = cpuOf(members);
    const result = parseH2load(await outputOf("h2load", h2loadWords(shape, options.seconds, url, file, log), signal));
    const cpu = since(before, cpuOf(members));
    const memory = memoryOf(members, leader);
    const written = (await servers.revision()) - revisionBefore;
    const { count, p50, p99, max } = await latenciesOf(createReadStream(log, "latin1"));
    const faults: string[] = [];
    if (result.failed > 0) faults.push(`${result.failed} requests failed`);
    if (count !== result.succeeded) faults.push(`h2load logged ${count} requests of ${result.succeeded}`);
    if (result.succeeded === 0) faults.push("nothing was answered");
    if (shape.calls !== "range" && written < result.succeeded) {
      faults.push(`${result.succeeded} writes were answered and the revision rose by ${written}`);
    }
    return {
      perSecond: result.perSecond,
      operations: result.succeeded,
      seconds: result.seconds,
      p50,
      p99,
      max,
      ...cpuPerOperation(cpu, leader, result.succeeded),
      ...memory,
      faults,
      notes: [],
    };
  } finally {
    await generator.end();
    await rm(directory, { recursive: true, force: true });
  }
}

function outputOf(command: string, words: readonly string[], signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, { stdio: ["ignore", "pipe", "inherit"], signal });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve(output) : reject(new Error(`${command} ended with ${code}`))));
  });
}

/** Rejects when the signal comes; what was waited for is then of no interest. */
function aborting(signal: AbortSignal): <T>(work: Promise<T>) => Promise<T> {
  return (work) =>
    new Promise((resolve, reject) => {
      const abort = (): void => reject(signal.reason);
      if (signal.aborted) abort();
      signal.addEventListener("abort", abort);
      work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    });
}
