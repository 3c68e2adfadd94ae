import { describe, expect, test } from "vitest";
import { etcdBinary } from "../e2e/etcdctl.ts";
import { explain, findDifference } from "./difference.ts";
import { withPair } from "./pair.ts";

/** Fixed, so that a run of the tests says the same each time; `npm run oracle` draws fresh ones. */
const RUNS = [
  { members: 1, seed: "1", operations: 250 },
  { members: 1, seed: "2", operations: 250 },
  { members: 3, seed: "3", operations: 250 },
] as const;

const TIMEOUT_MS = 180_000;

describe.skipIf(etcdBinary === undefined)("the same, asked of a real etcd (skipped where there is none)", () => {
  for (const { members, seed, operations } of RUNS) {
    test(`${operations} operations of seed ${seed}, ${members} member(s)`, { timeout: TIMEOUT_MS }, async () => {
      const counts: Record<string, number> = {};
      const found = await withPair(members, (pair) => findDifference(pair, seed, operations, members, counts));
      expect(found && explain(found)).toBeUndefined();
      const asked = Object.values(counts).reduce((sum, count) => sum + count, 0);
      expect(asked).toBe(operations);
    });
  }
});
