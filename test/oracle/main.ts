/**
 * npm run oracle -- [--seeds N] [--from S] [--ops M] [--members 1|3] [--json]
 *
 * Asks a real etcd and Quorate the same, seed by seed, and compares every answer, error and watch event. On a difference
 * it prints the shortest sequence that shows it, and exits with 1.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { etcdBinary } from "../e2e/etcdctl.ts";
import { type Difference, explain, findDifference, replay, shrink } from "./difference.ts";
import type { Operation } from "./operation.ts";
import { withPair } from "./pair.ts";

const SHRINK_TRIES = 150;

async function main(words: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      seeds: { type: "string", default: "20" },
      from: { type: "string" },
      ops: { type: "string", default: "1000" },
      members: { type: "string", default: "1" },
      json: { type: "boolean", default: false },
    },
  });
  if (etcdBinary === undefined) {
    process.stderr.write("there is no etcd to compare with: have one on PATH, or name it in ETCD_BIN\n");
    return 1;
  }
  const [seeds, ops, members] = [Number(values.seeds), Number(values.ops), Number(values.members)];
  const first = values.from === undefined ? randomInt(2 ** 40) : Number(values.from);
  const counts: Record<string, number> = {};
  const differing: { readonly seed: string; readonly difference: Difference }[] = [];
  for (let position = 0; position < seeds; position++) {
    const seed = String(first + position);
    const found = await withPair(members, (pair) => findDifference(pair, seed, ops, members, counts));
    if (found !== undefined) {
      const again = (operations: readonly Operation[]): Promise<Difference | undefined> =>
        withPair(members, (pair) => replay(pair, operations));
      const difference = await shrink(found, again, SHRINK_TRIES);
      differing.push({ seed, difference });
      process.stderr.write(`\nseed ${seed} differs:\n${explain(difference)}\n\n`);
    }
    process.stderr.write(`${position + 1} of ${seeds} seeds, ${differing.length} differ\n`);
  }
  if (values.json)
    process.stdout.write(`${JSON.stringify({ seeds, first, ops, members, counts, differing: differing.length })}\n`);
  else {
    const rows = Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [name, count] of rows) process.stdout.write(`${name.padEnd(28)} ${count}\n`);
    process.stdout.write(`${seeds} seeds of ${ops} operations, ${differing.length} differ\n`);
  }
  return differing.length > 0 ? 1 : 0;
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
