/** The results as text that reads well in a terminal and as Markdown, at most 80 columns wide. */
import {
  faultsOf,
  type Measure,
  type Medians,
  mediansOf,
  missedOf,
  type Result,
  runsOf,
  type Verdict,
  verdictsOf,
} from "./judge.ts";
import type { Machine } from "./machine.ts";
import type { Maker } from "./servers.ts";

export interface Setting {
  /** The command line, for whoever wants the same again. */
  readonly command: string;
  readonly machine: Machine;
  readonly members: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly client: string;
  readonly generator: string;
  readonly target: "leader" | "all";
  readonly valueBytes: number;
  readonly quorateFlags: readonly string[];
  readonly etcdFlags: readonly string[];
}

const WIDTH = 80;

export function markdownOf(setting: Setting, results: readonly Result[], plot: string | undefined): string {
  const isComparison = results.some(({ runs }) => runs.some(({ maker }) => maker === "etcd"));
  return [
    "# Quorate and etcd, measured",
    wrapped(howOf(setting)),
    plot === undefined ? [] : [`![Quorate's figures divided by etcd's](${plot})`],
    isComparison ? ["## Beside etcd", wrapped(RATIOS_TEXT), ratioTable(results)] : [],
    ["## Rates and latencies", "Medians; latencies in milliseconds.", rateTable(results)],
    othersTable(results),
    ["## CPU and memory", wrapped(CPU_TEXT), costTable(results)],
    ["## What was asked", results.map(({ workload }) => `- \`${workload.name}\`: ${workload.about}`).join("\n")],
    faults(results),
    ["## The machine", machineTable(setting), `\`\`\`sh\n${setting.command}\n\`\`\``],
  ]
    .flat()
    .map((part) => `${part}\n`)
    .join("\n");
}

/** The tables alone. */
export function terminalText(results: readonly Result[]): string {
  const isComparison = results.some(({ runs }) => runs.some(({ maker }) => maker === "etcd"));
  return [
    rateTable(results),
    othersTable(results),
    costTable(results),
    isComparison ? ratioTable(results) : [],
    faults(results),
  ]
    .flat()
    .map((part) => `${part}\n`)
    .join("\n");
}

function howOf(setting: Setting): string {
  const { members, rounds, seconds, warmUpSeconds, client, generator, target, valueBytes } = setting;
  const flags = [
    setting.quorateFlags.length > 0 ? `Quorate with ${setting.quorateFlags.join(" ")}` : "",
    setting.etcdFlags.length > 0 ? `etcd with ${setting.etcdFlags.join(" ")}` : "",
  ].filter((text) => text !== "");
  return [
    `Each figure is ${rounds === 1 ? "of one run" : `the median of ${rounds} runs`} of ${seconds} s after a warm-up of ${warmUpSeconds} s,`,
    "the servers in turn on the same machine and disk.",
    `Each run has a cluster of its own of ${members === 1 ? "one member" : `${members} members`}, new and empty,`,
    "and nothing else is alive then: so a run meets neither what the one before left behind",
    "nor the heartbeats and flushes of the other product.",
    "Both as they come, durable: a write is answered when a majority has it on the disk (fdatasync).",
    flags.length > 0 ? `With other flags than by default: ${flags.join("; ")}.` : "",
    `Values have ${valueBytes} bytes. ${target === "leader" ? "Clients are connected to the leader." : "Clients are spread over the members."}`,
    generator === "h2load"
      ? "h2load makes the load, on the same machine."
      : `The load is made by a process of its own on the same machine (${client === "raw" ? "HTTP/2 over plain sockets" : client}), which also checks the answers.`,
  ].join(" ");
}

const RATIOS_TEXT =
  "Quorate's median divided by etcd's, and what is promised of it. Throughput: more is better. p99, CPU per operation " +
  "and memory (of all members together): less is better. What was promised is met, or stands behind the ratio that " +
  "misses it.";
const CPU_TEXT =
  "User and system time of the servers per operation, in microseconds; resident memory at the end of a run; and how much " +
  "of one core the process took that made the load.";

const NAMES: Readonly<Record<Maker, string>> = { quorate: "Quorate", etcd: "etcd", other: "server" };

interface Row {
  readonly workload: string;
  readonly maker: Maker;
  readonly medians: Medians;
}

function rowsOf(results: readonly Result[]): Row[] {
  return results.flatMap((result) => {
    const makers = [...new Set(result.runs.map(({ maker }) => maker))];
    return makers.map((maker) => ({
      workload: result.workload.name,
      maker,
      medians: mediansOf(runsOf(result, maker)),
    }));
  });
}

function rateTable(results: readonly Result[]): string {
  return table(
    ["workload", "server", "ops/s", "p50", "p99", "max", "off"],
    rowsOf(results).map(({ workload, maker, medians }) => [
      workload,
      NAMES[maker],
      number(medians.perSecond),
      ms(medians.p50),
      ms(medians.p99),
      ms(medians.max),
      percent(medians.scatter),
    ]),
  );
}

function othersTable(results: readonly Result[]): string[] {
  const rows = rowsOf(results).filter(({ medians }) => medians.othersMax !== undefined);
  if (rows.length === 0) return [];
  return [
    "Others that read one key meanwhile waited:",
    table(
      ["workload", "server", "p50", "p99", "max"],
      rows.map(({ workload, maker, medians }) => [
        workload,
        NAMES[maker],
        ms(medians.othersP50),
        ms(medians.othersP99),
        ms(medians.othersMax),
      ]),
    ),
  ];
}

function costTable(results: readonly Result[]): string {
  return table(
    ["workload", "server", "leader us", "all us", "leader MiB", "all MiB", "load"],
    rowsOf(results).map(({ workload, maker, medians }) => [
      workload,
      NAMES[maker],
      number(medians.cpuOfLeader),
      number(medians.cpuOfAll),
      mib(medians.memoryOfLeader),
      mib(medians.memoryOfAll),
      percent(medians.generatorShare),
    ]),
  );
}

function ratioTable(results: readonly Result[]): string {
  const rows = results.map((result) => {
    const verdicts = verdictsOf(result);
    const cell = (measure: Measure): string => verdictText(verdicts.find((one) => one.measure === measure));
    return [result.workload.name, cell("throughput"), cell("p99"), cell("cpu"), cell("memory")];
  });
  return table(["workload", "throughput", "p99", "CPU", "memory"], rows, 1);
}

/** A ratio; and, where one was promised, whether it is so, or the target that was missed. */
function verdictText(verdict: Verdict | undefined): string {
  if (verdict?.ratio === undefined) return verdict?.target === undefined ? "" : "?";
  const ratio = verdict.ratio.toFixed(2);
  if (verdict.isMet === undefined) return ratio;
  const sign = verdict.measure === "throughput" ? "<" : ">";
  return verdict.isMet ? `${ratio} met` : `${ratio} ${sign} ${verdict.target}`;
}

function faults(results: readonly Result[]): string[] {
  const all = faultsOf(results);
  const notes = results.flatMap(({ workload, runs }) =>
    runs.flatMap(({ maker, run }) => run.notes.map((note) => `${workload.name}, ${NAMES[maker]}: ${note}`)),
  );
  const missed = missedOf(results);
  return [
    ...section("## NOT VALID: calls failed, or were answered wrongly", all),
    ...section("## Targets missed", missed),
    ...section("## Doubts", [...new Set(notes)]),
  ];
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, lines.map((line) => wrapped(`- ${line}`, "  ")).join("\n")];
}

function machineTable({ machine }: Setting): string {
  return table(
    ["", ""],
    [
      ["CPU", `${machine.cpu}, ${machine.cores} cores`],
      ["memory", `${Math.round(machine.memoryBytes / 2 ** 30)} GiB`],
      ["kernel", machine.kernel],
      ["file system", machine.fileSystem],
      ["Node", machine.node],
      ["etcd", machine.etcd ?? "none"],
      ["Quorate", machine.commit ?? "unknown"],
      ["date", machine.date],
      ["load before", machine.load.toFixed(2)],
    ],
    0,
  );
}

/** `numbersFrom`: columns from this one on are aligned at the right; 0: none. */
function table(head: readonly string[], rows: readonly (readonly string[])[], numbersFrom = 2): string {
  const widths = head.map((title, i) => Math.max(3, title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const isRight = (i: number): boolean => numbersFrom > 0 && i >= numbersFrom;
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, i) => (isRight(i) ? (cells[i] ?? "").padStart(width) : (cells[i] ?? "").padEnd(width))).join(" | ")} |`;
  const rule = `|${widths.map((width, i) => `${"-".repeat(width + 1)}${isRight(i) ? ":" : "-"}`).join("|")}|`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}

function wrapped(text: string, indent = ""): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ").filter((part) => part !== "")) {
    if (line !== "" && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = `${indent}${word}`;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join("\n");
}

function number(value: number | undefined): string {
  if (value === undefined) return "";
  return value.toLocaleString("en-US", value < 100 ? { maximumSignificantDigits: 3 } : { maximumFractionDigits: 0 });
}

export function ms(microseconds: number | undefined): string {
  return number(microseconds === undefined ? undefined : microseconds / 1_000);
}

function mib(bytes: number | undefined): string {
  return bytes === undefined ? "" : number(Math.round(bytes / 2 ** 20));
}

function percent(share: number | undefined): string {
  return share === undefined ? "" : `${Math.round(share * 100)} %`;
}
