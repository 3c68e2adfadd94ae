/** npm run stress -- [watch|leases|data] [options]: see USAGE. */
import { parseArgs } from "node:util";
import { now } from "./clock.ts";
import { runData } from "./data-run.ts";
import { runLeases } from "./lease-run.ts";
import { describe, type Report } from "./report.ts";
import { runWatch } from "./watch-run.ts";

const USAGE = `usage: npm run stress -- [watch|leases|data] [options]
  watch                 watchers under a steady load, a stream that stalls, a
                        compaction that overtakes it
  leases                very many leases, very many that end together, and a
                        leader that is lost meanwhile; both without a word
  data                  backup, restore and catching up with much data, beside
                        a real etcd (etcd, etcdctl, etcdutl on PATH)
  --watchers N          (1000)
  --puts-per-second N   (2000 for watch, 500 beside the leases)
  --seconds S           of watching (120)
  --leases N            alive together; a fifth of them ends together (100000)
  --mebibytes N         of data (1024)
  --value-bytes N       of each value (10240)
  --json                the figures as JSON
Exit code 1: something was lost, came twice or out of order, grew without
bound, or a lease ended early or stayed too long. 2: wrong words, a signal, or
a load that came to less than 90 % of the wanted rate.
`;
const BROKEN = 1;
const UNKNOWN = 2;

const PROGRESS_WIDTH = 79;
/** Where lines stay, only some of them. */
const LINE_EVERY_MS = 5_000;

let saidAt = 0;

let interrupted: NodeJS.Signals | undefined;

/** A run says something all the time: that is where a signal ends it, so that it takes its members down. */
function say(line: string): void {
  if (interrupted !== undefined) throw new Error(`ended by ${interrupted}`);
  const text = line.slice(0, PROGRESS_WIDTH);
  if (process.stderr.isTTY) process.stderr.write(`\r${text.padEnd(PROGRESS_WIDTH)}`);
  else if (now() - saidAt >= LINE_EVERY_MS) {
    saidAt = now();
    process.stderr.write(`${text}\n`);
  }
}

async function main(words: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      watchers: { type: "string", default: "1000" },
      "puts-per-second": { type: "string" },
      seconds: { type: "string", default: "120" },
      leases: { type: "string", default: "100000" },
      mebibytes: { type: "string", default: "1024" },
      "value-bytes": { type: "string", default: "10240" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const wanted = positionals.length === 0 ? ["watch", "leases"] : positionals;
  const unknown = wanted.find((word) => !["watch", "leases", "data"].includes(word));
  if (unknown !== undefined) throw new Error(`what is ${unknown}?\n${USAGE}`);
  const rate = values["puts-per-second"];
  const reports: Report[] = [];
  if (wanted.includes("watch")) {
    const putsPerSecond = numberOf(rate ?? "2000");
    const scale = {
      watchers: numberOf(values.watchers),
      putsPerSecond,
      seconds: numberOf(values.seconds),
      judgesFigures: true,
    };
    reports.push(await told(runWatch(scale, say), values.json));
  }
  if (wanted.includes("leases") && interrupted === undefined) {
    const scale = { leases: numberOf(values.leases), putsPerSecond: numberOf(rate ?? "500"), shortTtlSeconds: 15 };
    reports.push(await told(runLeases(scale, say), values.json));
  }
  if (wanted.includes("data")) {
    const scale = { mebibytes: numberOf(values.mebibytes), valueBytes: numberOf(values["value-bytes"]) };
    reports.push(await told(runData(scale, say), values.json));
  }
  if (values.json) process.stdout.write(`${JSON.stringify(reports, undefined, 2)}\n`);
  if (interrupted !== undefined) return UNKNOWN;
  if (reports.some(({ problems }) => problems.length > 0)) return BROKEN;
  return reports.some(({ isFarFromRate }) => isFarFromRate) ? UNKNOWN : 0;
}

async function told(run: Promise<Report>, isJson: boolean): Promise<Report> {
  const report = await run;
  if (process.stderr.isTTY) process.stderr.write(`\r${"".padEnd(PROGRESS_WIDTH)}\r`);
  if (!isJson) process.stdout.write(`${describe(report)}\n\n`);
  return report;
}

function numberOf(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`not a whole number above 0: ${text}`);
  return value;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => (interrupted = signal));
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`\n${error instanceof Error ? error.message : error}\n`);
  process.exitCode = UNKNOWN;
}
