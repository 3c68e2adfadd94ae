import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Campaign, type CampaignOptions } from "./campaign.ts";
import type { RunResult } from "./run.ts";

const RESULT: RunResult = {
  seed: "",
  traceHash: "aa",
  simulatedMs: 3_600_000,
  faultyMs: 0,
  cpuMs: 1,
  events: 1,
  operations: {},
  checked: {},
  faults: {},
  failure: undefined,
  plan: "",
  lastLines: [],
};

/** Answers every seed with success, but dies of "die" and never comes back from "hang". */
const WORKER = `
require("node:readline").createInterface({ input: process.stdin }).on("line", (seed) => {
  if (seed === "die") process.exit(3);
  if (seed === "hang") return;
  console.log(JSON.stringify({ result: { ...${JSON.stringify(RESULT)}, seed } }));
});
`;

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-campaign-"));
  await writeFile(join(folder, "worker.cjs"), WORKER);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function campaign(seeds: readonly string[], change: Partial<CampaignOptions> = {}): Campaign {
  return new Campaign({
    file: join(folder, "worker.cjs"),
    words: [],
    seeds: { count: seeds.length, at: (position) => seeds[position] ?? "" },
    jobs: 1,
    until: Infinity,
    seedLimitMs: 60_000,
    onFailure: () => undefined,
    ...change,
  });
}

test("every seed is run once, on all processes together", async () => {
  const all = campaign(["1", "2", "3", "4", "5"], { jobs: 2 });
  await all.run();
  expect(all.summary).toMatchObject({ seeds: 5, simulatedMs: 5 * 3_600_000, failures: [] });
  expect(all.progress()).toMatch(/^5 of 5 seeds, 5\.00 h, \d+ s a second, 0 failures, 0\.0 min left$/);
});

test("a seed that its process dies of, or hangs in, has failed; the others go on", async () => {
  const failed: string[] = [];
  const all = campaign(["1", "die", "hang", "4"], { seedLimitMs: 1_500, onFailure: (seed) => failed.push(seed) });
  await all.run();
  expect(failed).toEqual(["die", "hang"]);
  expect(all.summary.seeds).toBe(4);
  expect(all.summary.failures).toEqual([
    { seed: "die", checker: "worker", message: "its process died" },
    { seed: "hang", checker: "worker", message: "it took more than 1500 ms" },
  ]);
});

test("an end leaves what was done so far, and seeds under way count for nothing", async () => {
  const all = campaign(["1", "hang", "3"]);
  const running = all.run();
  while (all.summary.seeds === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  all.end();
  await running;
  expect(all.summary).toMatchObject({ seeds: 1, failures: [] });
});

test("after its time no seed begins", async () => {
  const all = campaign(["1"], { until: Date.now() - 1 });
  await all.run();
  expect(all.summary.seeds).toBe(0);
});
