/**
 * npm run oracle -- [--seeds N] [--from S] [--ops M] [--members 1|3] [--jobs J] [--json]
 *
 * Asks a real etcd and Quorate the same, seed by seed, and compares every answer, error and watch event. On a difference
 * it prints the shortest sequence that shows it. Exit code 1: they differ; 2: that could not be found out (wrong words, no
 * etcd, one that failed, or a signal, which ends all servers first).
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { etcdBinary, etcdVersion } from "../e2e/etcdctl.ts";
import {
  type Difference,
  explain,
  type Finding,
  findDifference,
  isSame,
  lastStep,
  list,
  replay,
  shrink,
} from "./difference.ts";
import type { Operation } from "./operation.ts";
import { HASTY, PATIENT, withPair } from "./pair.ts";
import type { Patience } from "./target.ts";

const SHRINK_TRIES = 150;
/** So many seeds whose servers did not start, and none will. */
const NOT_RUN = 3;

type Counts = [seeds: number, ops: number, members: number, jobs: number];

const ALIKE = 0;
const DIFFER = 1;
const UNKNOWN = 2;

async function main(words: readonly string[], signal: AbortSignal): Promise<number> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      seeds: { type: "string", default: "20" },
      from: { type: "string" },
      ops: { type: "string", default: "1000" },
      members: { type: "string", default: "1" },
      jobs: { type: "string", default: "2" },
      json: { type: "boolean", default: false },
    },
  });
  if (etcdBinary === undefined) {
    process.stderr.write("there is no etcd to compare with: have one on PATH, or name it in ETCD_BIN\n");
    return UNKNOWN;
  }
  process.stderr.write(`compared with etcd ${etcdVersion}, ${etcdBinary}\n`);
  const [seeds, ops, members, jobs] = [values.seeds, values.ops, values.members, values.jobs].map(count) as Counts;
  const first = values.from === undefined ? randomInt(2 ** 40) : count(values.from);
  process.stderr.write(`${seeds} seeds from ${first}, ${ops} operations each, ${members} member(s)\n`);
  const counts: Record<string, number> = {};
  let differing = 0;
  let unjudged = 0;
  let notRun = 0;
  let begun = 0;
  let ended = 0;
  const work = async (): Promise<void> => {
    while (begun < seeds) {
      const seed = String(first + begun++);
      const found = await smallest(seed, ops, members, counts, signal).catch((error: unknown): Finding => {
        if (signal.aborted || ++notRun === NOT_RUN) {
          // The other seeds that are under way take their servers down; none is begun.
          begun = seeds;
          throw error;
        }
        return { kind: "unjudged", operations: [], why: String(error) };
      });
      if (found.kind === "differs") {
        differing++;
        process.stderr.write(`\nseed ${seed} differs:\n${explain(found.difference)}\n\n`);
      } else if (found.kind === "unjudged") {
        unjudged++;
        process.stderr.write(`\nseed ${seed}: not judged:\n${list(found.operations)}\n      ${found.why}\n\n`);
      }
      process.stderr.write(`${++ended} of ${seeds} seeds, ${summary(differing, unjudged)}\n`);
    }
  };
  // Most of the time goes into waiting for disks and for watches to catch up.
  const workers = await Promise.allSettled(Array.from({ length: jobs }, work));
  const failed = workers.find((worker) => worker.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  if (values.json) {
    const report = { etcd: etcdVersion, seeds, first, ops, members, counts, differing, unjudged };
    process.stdout.write(`${JSON.stringify(report)}\n`);
  } else {
    const rows = Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [name, times] of rows) process.stdout.write(`${name.padEnd(28)} ${times}\n`);
    process.stdout.write(`${seeds} seeds of ${ops} operations, ${summary(differing, unjudged)}\n`);
  }
  if (differing > 0) return DIFFER;
  return unjudged > 0 ? UNKNOWN : ALIKE;
}

function summary(differing: number, unjudged: number): string {
  return `${differing} differ${unjudged === 0 ? "" : `, ${unjudged} not judged`}`;
}

/** A difference by the shortest sequence that shows it. */
async function smallest(
  seed: string,
  ops: number,
  members: number,
  counts: Record<string, number>,
  signal: AbortSignal,
): Promise<Finding> {
  const found = await withPair(members, (pair) => findDifference(pair, seed, ops, members, counts), signal);
  if (found.kind !== "differs") return found;
  const { difference } = found;
  process.stderr.write(
    `seed ${seed} differs at operation ${difference.at + 1}:\n${lastStep(difference)}\nlooking for fewer ...\n`,
  );
  const replayed = async (operations: readonly Operation[], patience: Patience): Promise<Difference | undefined> => {
    const smaller = await withPair(members, (pair) => replay(pair, operations), signal, patience);
    return smaller.kind === "differs" ? smaller.difference : undefined;
  };
  const again: Parameters<typeof shrink>[1] = async (operations) => {
    try {
      return await replayed(operations, HASTY);
    } catch (error) {
      process.stderr.write(`seed ${seed}: no longer looking for fewer: ${error}\n`);
      throw error;
    }
  };
  const smaller = await shrink(difference, again, SHRINK_TRIES);
  // What was found in haste may only have been slow.
  const isCertain = await replayed(smaller.operations, PATIENT).then(
    (confirmed) => confirmed !== undefined && isSame(confirmed, smaller),
    () => true,
  );
  if (isCertain) return { kind: "differs", difference: smaller };
  process.stderr.write(`seed ${seed}: the few do not show it to one who waits; all there were:\n`);
  return {
    kind: "differs",
    difference: { ...difference, operations: difference.operations.slice(0, difference.at + 1) },
  };
}

function count(word: string): number {
  const number = Number(word);
  if (!Number.isSafeInteger(number) || number < 1) throw new Error(`not a count: ${word}`);
  return number;
}

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => interrupted.abort(new Error(`ended by ${signal}`)));
}
main(process.argv.slice(2), interrupted.signal).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const text = error instanceof Error && error !== interrupted.signal.reason ? error.stack : String(error);
    process.stderr.write(`${text}\n`);
    process.exitCode = UNKNOWN;
  },
);
