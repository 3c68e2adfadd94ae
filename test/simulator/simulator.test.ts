import { describe, expect, test } from "vitest";
import type { RunResult } from "./run.ts";
import { runPlan } from "./run.ts";
import { addTo, createSummary, describe as describeSummary, shortfall } from "./summary.ts";
import { drawPlan, FAULT_CLASSES, OPERATION_KINDS } from "./swarm.ts";

/** Chosen so that every fault class and every operation comes up, and that they fit in about two minutes. */
const SEEDS = Array.from({ length: 24 }, (_, i) => `fixed ${i + 1}`);
const REPLAYED = SEEDS.slice(0, 4);

const summary = createSummary();
const faultsDrawn = new Set<string>();

function tell({ seed, failure, plan, lastLines }: RunResult): string {
  return failure === undefined
    ? ""
    : `seed "${seed}" at ${failure.at} ms: ${failure.checker}: ${failure.message}\n${plan}\n${lastLines.slice(-30).join("\n")}`;
}

describe("clusters under simulated faults", () => {
  test.each(SEEDS)("seed %s", async (seed) => {
    const plan = drawPlan(seed);
    const result = await runPlan(plan);
    addTo(summary, { result, again: undefined });
    for (const fault of plan.faults) faultsDrawn.add(fault);
    expect(tell(result)).toBe("");
    if (!REPLAYED.includes(seed)) return;
    const again = await runPlan(plan);
    expect(again.traceHash).toBe(result.traceHash);
    expect(again.checked).toEqual(result.checked);
  });

  test("enough was checked, and every fault class was drawn", () => {
    expect(shortfall(summary, [])).toBeUndefined();
    expect([...faultsDrawn].sort()).toEqual([...FAULT_CLASSES].sort());
    expect(summary.operations["put"]).toBeGreaterThan(1_000);
    expect(summary.operations["range"]).toBeGreaterThan(1_000);
    expect(describeSummary(summary, (seed) => seed)).toContain("operations");
    expect(OPERATION_KINDS.length).toBeGreaterThan(10);
  });
});
