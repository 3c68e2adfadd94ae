import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createNodeEnv } from "../../src/node-env.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const DAY_MS = 24 * 3_600_000;

test("a timer longer than Node's longest runs once, at its time", () => {
  let runs = 0;
  createNodeEnv().setTimer(() => runs++, 60 * DAY_MS);
  vi.advanceTimersByTime(60 * DAY_MS - 1);
  expect(runs).toBe(0);
  vi.advanceTimersByTime(1);
  expect(runs).toBe(1);
  vi.advanceTimersByTime(100 * DAY_MS);
  expect(runs).toBe(1);
});

test("and can be cancelled in its second part", () => {
  let runs = 0;
  const timer = createNodeEnv().setTimer(() => runs++, 60 * DAY_MS);
  vi.advanceTimersByTime(30 * DAY_MS);
  timer.cancel();
  vi.advanceTimersByTime(60 * DAY_MS);
  expect(runs).toBe(0);
});
