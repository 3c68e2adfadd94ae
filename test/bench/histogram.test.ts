import { describe, expect, test } from "vitest";
import { Histogram, RELATIVE_ERROR } from "../../bench/histogram.ts";
import { drawer } from "../../bench/values.ts";

const SHARES = [0, 0.01, 0.5, 0.9, 0.99, 0.999, 1];

function filled(values: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

function exactQuantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
}

describe("a quantile", () => {
  test.each([
    ["below the first doubling", 8],
    ["of milliseconds", 20],
    ["up to an hour", 32],
  ])("%s is never below the true one, and above it by less than one part in 128", (_, bits) => {
    const draw = drawer(bits);
    const values = Array.from({ length: 20_000 }, () => Math.floor(2 ** (draw(bits * 1_000) / 1_000)));
    const histogram = filled(values);
    for (const share of SHARES) {
      const exact = exactQuantile(values, share);
      expect(histogram.quantile(share)).toBeGreaterThanOrEqual(exact);
      expect(histogram.quantile(share)).toBeLessThanOrEqual(exact * (1 + RELATIVE_ERROR));
    }
  });

  test("is exact below 256 microseconds", () => {
    const values = Array.from({ length: 256 }, (_, i) => i);
    for (const share of SHARES) expect(filled(values).quantile(share)).toBe(exactQuantile(values, share));
  });

  test("of nothing is 0", () => {
    expect(new Histogram().spread()).toEqual({ count: 0, p50: 0, p99: 0, max: 0 });
  });
});

test("every value around every power of two has a bucket that holds it", () => {
  for (let bits = 0; bits < 32; bits++) {
    for (const value of [2 ** bits - 1, 2 ** bits, 2 ** bits + 1]) {
      // A larger one beside it, so that the answer is the bucket's and not the largest value.
      const at = filled([value, 2 ** 32 - 1]).quantile(0.5);
      expect(at).toBeGreaterThanOrEqual(value);
      expect(at).toBeLessThanOrEqual(value * (1 + RELATIVE_ERROR));
    }
  }
});

test("the largest is kept exactly; what is out of bounds counts as the bound; nothing is left after clear", () => {
  const histogram = filled([1_000_001, 5]);
  expect(histogram.spread()).toEqual({ count: 2, p50: 5, p99: 1_000_001, max: 1_000_001 });
  histogram.record(-3);
  histogram.record(2 ** 40);
  expect(histogram.quantile(0)).toBe(0);
  expect(histogram.spread().max).toBe(2 ** 32 - 1);
  histogram.clear();
  expect(histogram.spread()).toEqual({ count: 0, p50: 0, p99: 0, max: 0 });
});
