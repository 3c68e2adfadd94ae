import { describe, expect, test } from "vitest";
import { faultsOf, median, mediansOf, missedOf, type Result, verdictsOf } from "../../bench/judge.ts";
import type { Run } from "../../bench/measure.ts";
import { svgOf } from "../../bench/plot.ts";
import { markdownOf, type Setting, terminalText } from "../../bench/report.ts";
import type { Maker } from "../../bench/servers.ts";
import { memoryWorkload, workloads } from "../../bench/workloads.ts";

function runOf(perSecond: number, p99: number, cpuOfAll: number, memory: number): Run {
  return {
    perSecond,
    operations: perSecond * 10,
    seconds: 10,
    p50: p99 / 2,
    p99,
    max: p99 * 2,
    cpuOfLeader: cpuOfAll / 2,
    cpuOfAll,
    memory: [memory, memory, memory],
    generatorShare: 0.2,
    faults: [],
    notes: [],
  };
}

function resultOf(name: string, runs: readonly (readonly [Maker, Run])[]): Result {
  const workload = [...workloads, memoryWorkload].find((one) => one.name === name);
  if (workload === undefined) throw new Error(`no workload ${name}`);
  return { workload, runs: runs.map(([maker, run]) => ({ maker, run })) };
}

/** put-1000: 2.2 times as many, half the CPU, no worse p99. */
const met = resultOf("put-1000", [
  ["quorate", runOf(22_000, 90, 50, 1)],
  ["etcd", runOf(10_000, 90, 100, 1)],
]);
const missed = resultOf("put-1000", [
  ["quorate", runOf(21_999, 91, 51, 1)],
  ["etcd", runOf(10_000, 90, 100, 1)],
]);

const setting: Setting = {
  command: "npm run bench",
  machine: {
    cpu: "A processor of some kind with a long name @ 2.40GHz",
    cores: 2,
    memoryBytes: 2 ** 34,
    kernel: "Linux 6.1.0",
    fileSystem: "ext4",
    node: "v20.19.0",
    etcd: "3.5.30",
    commit: "abcdef1",
    date: "2026-01-01",
    load: 0.1,
  },
  members: 3,
  rounds: 3,
  seconds: 10,
  warmUpSeconds: 3,
  client: "raw",
  generator: "own",
  target: "leader",
  valueBytes: 256,
  quorateFlags: [],
  etcdFlags: [],
};

describe("a median", () => {
  test.each([
    [[3, 1, 2], 2],
    [[4, 1, 2, 100], 3],
    [[undefined, 7, undefined], 7],
    [[undefined], undefined],
    [[], undefined],
    [[10, 9, 100], 10],
  ])("of %j is %j", (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  test("of each figure is its own, and the scatter is that of the rates", () => {
    const medians = mediansOf([runOf(100, 5, 9, 10), runOf(200, 1, 8, 30), runOf(150, 3, 7, 20)]);
    expect(medians).toMatchObject({ perSecond: 150, p99: 3, cpuOfAll: 8, cpuOfLeader: 4, memoryOfLeader: 20 });
    expect(medians.memoryOfAll).toBe(60);
    expect(medians.scatter).toBeCloseTo(1 / 3);
  });
});

describe("a target", () => {
  test("that is just reached is met", () => {
    expect(verdictsOf(met).map(({ measure, isMet }) => [measure, isMet])).toEqual([
      ["throughput", true],
      ["p99", true],
      ["cpu", true],
      ["memory", undefined],
    ]);
    expect(missedOf([met])).toEqual([]);
  });

  test("that is just not reached is missed, each for itself", () => {
    expect(missedOf([missed])).toEqual([
      "put-1000: throughput 2.20, not 2.2",
      "put-1000: p99 1.01, not 1",
      "put-1000: cpu 0.51, not 0.5",
    ]);
  });

  test("is missed where a figure is missing, and of memory all members count", () => {
    const { cpuOfAll: _, ...unknown } = runOf(30_000, 1, 1, 1);
    const result = resultOf("put-1000", [
      ["quorate", unknown],
      ["etcd", runOf(10_000, 90, 100, 1)],
    ]);
    expect(missedOf([result])).toEqual(["put-1000: cpu ?, not 0.5"]);
    expect(missedOf([resultOf("put-1000", [["quorate", runOf(1, 1, 1, 1)]])])).toEqual([]);
    const memory = (bytes: number): Result =>
      resultOf("memory", [
        ["quorate", runOf(1, 1, 1, bytes)],
        ["etcd", runOf(1, 1, 1, 100)],
      ]);
    expect(missedOf([memory(130)])).toEqual([]);
    expect(missedOf([memory(131)])).toEqual(["memory: memory 1.31, not 1.3"]);
  });
});

describe("the report", () => {
  const faulty = resultOf("range-lin", [
    ["quorate", { ...runOf(123_456_789, 1e8, 123_456, 2 ** 33), faults: ["3 calls ended with 14"] }],
    ["etcd", runOf(98_765_432, 9e7, 98_765, 2 ** 33)],
  ]);

  test("keeps to 80 columns, and calls what is not valid so", () => {
    const text = markdownOf(setting, [met, missed, faulty], "ratios.svg");
    expect(text.split("\n").filter((line) => line.length > 80)).toEqual([]);
    expect(text).toContain("NOT VALID");
    expect(text).toContain("- range-lin, quorate: 3 calls ended with 14");
    expect(faultsOf([met, faulty])).toEqual(["range-lin, quorate: 3 calls ended with 14"]);
    expect(text).toContain("durable");
    expect(terminalText([met])).not.toContain("NOT VALID");
  });

  test("shows a ratio with its target where it is missed", () => {
    expect(terminalText([met])).toMatch(/put-1000 +\| +2\.20 met \| +1\.00 met \| +0\.50 met \|/);
    expect(terminalText([missed])).toMatch(/put-1000 +\| +2\.20 < 2\.2 \| +1\.01 > 1 \| +0\.51 > 0\.5/);
  });
});

test("the picture has a bar for each ratio, and a mark for each target", () => {
  const svg = svgOf([met, missed]);
  // The background is one, too.
  expect(svg.match(/<rect /g)?.length).toBe(1 + 6);
  expect(svg.match(/stroke-width="2"/g)?.length).toBe(6);
  expect(svg.match(/ missed</g)?.length).toBe(3);
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});
