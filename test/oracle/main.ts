/**
 * npm run oracle -- [--seeds N] [--from S] [--ops M] [--members 1|3] [--jobs J] [--json]
 *
 * Asks a real etcd and Quorate the same, seed by seed, and compares every answer, error and watch event. On a difference
 * it prints the shortest sequence that shows it, and exits with 1.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { etcdBinary } from "../e2e/etcdctl.ts";
import { type Difference, explain, findDifference, lastStep, replay, shrink } from "./difference.ts";
import type { Operation } from "./operation.ts";
import { withPair } from "./pair.ts";

const SHRINK_TRIES = 150;

type Counts = [seeds: number, ops: number, members: number, jobs: number];

async function main(words: readonly string[]): Promise<number> {
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
    return 1;
  }
  const [seeds, ops, members, jobs] = [values.seeds, values.ops, values.members, values.jobs].map(count) as Counts;
  const first = values.from === undefined ? randomInt(2 ** 40) : count(values.from);
  const counts: Record<string, number> = {};
  const differing: { readonly seed: string; readonly difference: Difference }[] = [];
  let begun = 0;
  let ended = 0;
  const work = async (): Promise<void> => {
    while (begun < seeds) {
      const seed = String(first + begun++);
      const difference = await differs(seed, ops, members, counts).catch((error: unknown) => {
        // The other seeds that are under way take their servers down; none is begun.
        begun = seeds;
        throw error;
      });
      if (difference !== undefined) {
        differing.push({ seed, difference });
        process.stderr.write(`\nseed ${seed} differs:\n${explain(difference)}\n\n`);
      }
      process.stderr.write(`${++ended} of ${seeds} seeds, ${differing.length} differ\n`);
    }
  };
  // Most of the time goes into waiting for disks and for watches to catch up.
  await Promise.all(Array.from({ length: jobs }, work));
  if (values.json)
    process.stdout.write(`${JSON.stringify({ seeds, first, ops, members, counts, differing: differing.length })}\n`);
  else {
    const rows = Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [name, times] of rows) process.stdout.write(`${name.padEnd(28)} ${times}\n`);
    process.stdout.write(`${seeds} seeds of ${ops} operations, ${differing.length} differ\n`);
  }
  return differing.length > 0 ? 1 : 0;
}

/** The shortest sequence that shows it. */
async function differs(
  seed: string,
  ops: number,
  members: number,
  counts: Record<string, number>,
): Promise<Difference | undefined> {
  const found = await withPair(members, (pair) => findDifference(pair, seed, ops, members, counts));
  if (found === undefined) return undefined;
  process.stderr.write(
    `seed ${seed} differs at operation ${found.at + 1}:\n${lastStep(found)}\nlooking for fewer ...\n`,
  );
  const again = (operations: readonly Operation[]): Promise<Difference | undefined> =>
    withPair(members, (pair) => replay(pair, operations));
  return await shrink(found, again, SHRINK_TRIES);
}

function count(word: string): number {
  const number = Number(word);
  if (!Number.isSafeInteger(number) || number < 1) throw new Error(`not a count: ${word}`);
  return number;
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = 2;
  },
);
