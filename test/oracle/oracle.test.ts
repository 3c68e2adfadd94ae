import { describe, expect, test } from "vitest";
import { etcdBinary } from "../e2e/etcdctl.ts";
import { explain, type Finding, findDifference, list } from "./difference.ts";
import { KINDS } from "./draw.ts";
import { withPair } from "./pair.ts";

/** Fixed, so that a run of the tests says the same each time; `npm run oracle` draws fresh ones. */
const RUNS = [
  { members: 1, seed: "1", operations: 250 },
  { members: 1, seed: "2", operations: 250 },
  { members: 3, seed: "3", operations: 250 },
] as const;

const TIMEOUT_MS = 180_000;

if (etcdBinary === undefined) console.warn("SKIPPED: no etcd on PATH or in ETCD_BIN to compare with");

function problemOf(finding: Finding): string | undefined {
  if (finding.kind === "alike") return undefined;
  return finding.kind === "differs" ? explain(finding.difference) : `${list(finding.operations)}\n${finding.why}`;
}

describe.skipIf(etcdBinary === undefined)("the same, asked of a real etcd (skipped where there is none)", () => {
  const all: Record<string, number> = {};

  for (const { members, seed, operations } of RUNS) {
    test(`${operations} operations of seed ${seed}, ${members} member(s)`, { timeout: TIMEOUT_MS }, async () => {
      const counts: typeof all = {};
      const found = await withPair(members, (pair) => findDifference(pair, seed, operations, members, counts));
      expect(problemOf(found)).toBeUndefined();
      const asked = Object.values(counts).reduce((sum, count) => sum + count, 0);
      expect(asked).toBe(operations);
      for (const [name, count] of Object.entries(counts)) all[name] = (all[name] ?? 0) + count;
    });
  }

  test("every kind of operation was among them, and done", () => {
    expect(KINDS.filter((kind) => all[kind] === undefined)).toEqual([]);
  });
});
