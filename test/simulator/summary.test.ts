import { expect, test } from "vitest";
import type { RunResult } from "./run.ts";
import { addTo, createSummary, describe, type Summary, shortfall } from "./summary.ts";

const GOOD: RunResult = {
  seed: "7",
  traceHash: "aa",
  simulatedMs: 60_000,
  faultyMs: 45_000,
  cpuMs: 500,
  events: 10,
  operations: { put: 60, range: 40 },
  checked: { "watch: events": 5 },
  faults: { kill: 2 },
  failure: undefined,
  plan: "",
  lastLines: [],
};

function summaryOf(count: number, change: Partial<RunResult> = {}, again?: string): Summary {
  const summary = createSummary();
  for (let i = 0; i < count; i++) addTo(summary, { result: { ...GOOD, ...change }, again });
  return summary;
}

const LOOKS = { "watch: events": 4, "watch: fragments": 0 };
const LOOKED = { checked: { "watch: events": 5, "watch: fragments": 1 } };

test("enough of everything is enough", () => {
  expect(shortfall(summaryOf(60, LOOKED), ["put", "range"], LOOKS)).toBeUndefined();
  expect(shortfall(summaryOf(1), ["put", "range", "txn"])).toBeUndefined();
});

test("a run without failures that checked too little fails", () => {
  expect(shortfall(createSummary(), [])).toBe("no seed was run");
  expect(shortfall(summaryOf(10, { operations: { put: 10 } }), [])).toBe(
    "only 100 operations were answered in 10 seeds",
  );
  expect(shortfall(summaryOf(1, { operations: {} }), [])).toBe("no operation was answered");
  expect(shortfall(summaryOf(60, LOOKED), ["put", "txn"], LOOKS)).toBe("no operation of these kinds was answered: txn");
});

test("a checker that is gone, or sees next to nothing, is no checker", () => {
  const few = "checkers had too little to look at: watch: events";
  expect(shortfall(summaryOf(20, { checked: {} }), [], LOOKS)).toBe(few);
  expect(shortfall(summaryOf(20, { checked: { "watch: events": 3 } }), [], LOOKS)).toBe(few);
  expect(shortfall(summaryOf(20), [], LOOKS)).toBeUndefined();
  expect(shortfall(summaryOf(60), [], LOOKS)).toBe("checkers had nothing to look at: watch: fragments");
});

test("a second run with another trace is a failure", () => {
  expect(summaryOf(1, {}, "aa").failures).toEqual([]);
  expect(summaryOf(1, {}, "bb").failures).toEqual([
    { seed: "7", checker: "replay", message: "two runs of it differ: aa and bb" },
  ]);
});

test("the table adds up, and says how to replay what failed", () => {
  const failure = { checker: "watch", message: "an event is missing\nmore", at: 5 };
  const text = describe(summaryOf(2, { failure }), (seed) => `again ${seed}`);
  expect(text).toMatch(/^simulated time +0\.03 h, 60 s a seed$/m);
  expect(text).toMatch(/^ {2}while faults could strike +0\.03 h \(75 %\)$/m);
  expect(text).toMatch(/^events +20, 10 a seed$/m);
  expect(text).toMatch(/^trace hash +0{16}$/m);
  expect(text).toMatch(/^speed +120\.0 simulated seconds/m);
  expect(text).toMatch(/^ {2}put +120$/m);
  expect(text).toMatch(/^ {2}kill +4$/m);
  expect(text).toContain("7  watch: an event is missing\n      again 7");
});
