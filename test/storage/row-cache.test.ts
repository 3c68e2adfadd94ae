import { expect, test } from "vitest";
import { RowCache } from "../../storage/row-cache.ts";

const row = (bytes: number): Buffer => Buffer.alloc(bytes, 7);
const keys = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${prefix}${n}`);

test("what is asked for again stays, what is not goes, and all of it is within the limit", () => {
  const cache = new RowCache(100_000);
  const hot = row(1_000);
  cache.set("hot", hot);
  for (const key of keys("cold", 1_000)) {
    cache.set(key, row(1_000));
    expect(cache.get("hot")).toBe(hot);
  }
  const left = keys("cold", 1_000).filter((key) => cache.get(key) !== undefined);
  expect(left.length).toBeGreaterThan(30);
  expect(left.length * 1_000).toBeLessThan(100_000);
});

test("a row that is deleted is in neither generation", () => {
  const cache = new RowCache(10_000);
  cache.set("old", row(10));
  for (const key of keys("more", 40)) cache.set(key, row(100));
  cache.set("young", row(10));
  cache.delete("old");
  cache.delete("young");
  expect([cache.get("old"), cache.get("young")]).toEqual([undefined, undefined]);
});

test("one that is larger than a generation is not kept", () => {
  const cache = new RowCache(10_000);
  cache.set("large", row(6_000));
  expect(cache.get("large")).toBeUndefined();
});
