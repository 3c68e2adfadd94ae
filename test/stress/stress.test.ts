/** The code of `npm run stress` at a scale that fits between the other suites; the figures are its own business. */
import { describe, expect, test } from "vitest";
import { runLeases } from "./lease-run.ts";
import { runWatch } from "./watch-run.ts";

/** A minute and more where others use the machine, too. */
const TIMEOUT_MS = 300_000;

const silent = (): void => undefined;

describe("stress, small", () => {
  test("W-6, W-7, W-17: a stream that stalls and is overtaken by a compaction; others miss nothing", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const scale = { watchers: 60, putsPerSecond: 200, seconds: 3, judgesFigures: false };
    const { problems, figures } = await runWatch(scale, silent);
    expect(problems).toEqual([]);
    expect(figures["cancelledWatches"]).toBe(figures["stalledWatches"]);
  });

  test("L-4, L-8, L-9: leases that end together, some kept alive, and a leader that is lost", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const scale = { leases: 1_000, putsPerSecond: 50, shortTtlSeconds: 3 };
    const { problems, figures } = await runLeases(scale, silent);
    expect(problems).toEqual([]);
    expect(figures["alive"]).toBeGreaterThan(900);
  });
});
