import { describe, expect, test } from "vitest";
import { TreeIndex } from "../../storage/mvcc/tree-index.ts";
import { createRandom } from "./random.ts";

describe("tree index", () => {
  test("an empty tree has nothing", () => {
    const tree = new TreeIndex<number>();
    expect(tree.get("a")).toBeUndefined();
    expect(tree.delete("a")).toBe(false);
    expect(pairs(tree, "")).toEqual([]);
  });

  test("update sees the value there is and replaces it", () => {
    const tree = new TreeIndex<number>();
    expect(tree.update("a", (before) => (before ?? 0) + 1)).toBe(1);
    expect(tree.update("a", (before) => (before ?? 0) + 1)).toBe(2);
    expect(tree.get("a")).toBe(2);
    expect(tree.size).toBe(1);
  });

  test("a visit stops when told to", () => {
    const tree = filled(1_000);
    const seen: string[] = [];
    tree.visit(keyOf(500), undefined, (key) => seen.push(key) < 3);
    expect(seen).toEqual([500, 501, 502].map(keyOf));
  });

  test.each(["ascending", "descending", "shuffled"])("5,000 keys inserted and deleted %s", (order) => {
    const random = createRandom(7);
    const numbers = Array.from({ length: 5_000 }, (_, i) => (order === "descending" ? 4_999 - i : i));
    if (order === "shuffled") shuffle(numbers, random.below);
    const tree = new TreeIndex<number>();
    for (const n of numbers) tree.update(keyOf(n), () => n);
    expect(pairs(tree, "").map(([, n]) => n)).toEqual(Array.from({ length: 5_000 }, (_, i) => i));
    if (order === "shuffled") shuffle(numbers, random.below);
    const left = new Set(numbers);
    for (const [i, n] of numbers.entries()) {
      expect(tree.delete(keyOf(n))).toBe(true);
      left.delete(n);
      if (i % 500 === 0) expect(pairs(tree, "").map(([, m]) => m)).toEqual([...left].sort((a, b) => a - b));
    }
    expect(tree.size).toBe(0);
    expect(pairs(tree, "")).toEqual([]);
    tree.update("again", () => 1);
    expect(pairs(tree, "")).toEqual([["again", 1]]);
  });

  test.each([1, 2, 3, 4])("random changes agree with a sorted array (seed %i)", (seed) => {
    const random = createRandom(seed);
    const tree = new TreeIndex<number>();
    const model = new Map<string, number>();
    const randomKey = () => String.fromCharCode(...Array.from({ length: random.below(3) }, () => random.below(256)));
    for (let phase = 0; phase < 6; phase++) {
      const growing = phase % 2 === 0;
      for (let step = 0; step < 4_000; step++) {
        const key = randomKey();
        if (random.chance(growing ? 0.9 : 0.1)) {
          tree.update(key, () => step);
          model.set(key, step);
        } else {
          const some = model.has(key) ? key : lowest(tree, key);
          expect(tree.delete(some)).toBe(model.delete(some));
        }
        expect(tree.size).toBe(model.size);
      }
      const sorted = [...model].sort(([a], [b]) => (a < b ? -1 : 1));
      expect(pairs(tree, "")).toEqual(sorted);
      for (let i = 0; i < 50; i++) {
        const from = randomKey();
        expect(tree.get(from)).toBe(model.get(from));
        expect(pairs(tree, from)).toEqual(sorted.filter(([key]) => key >= from));
        const to = randomKey();
        expect(pairs(tree, from, to)).toEqual(sorted.filter(([key]) => key >= from && key < to));
      }
    }
  });
});

function lowest(tree: TreeIndex<number>, from: string): string {
  let found = from;
  tree.visit(from, undefined, (key) => {
    found = key;
    return false;
  });
  return found;
}

function keyOf(n: number): string {
  return `key${String(n).padStart(6, "0")}`;
}

function filled(count: number): TreeIndex<number> {
  const tree = new TreeIndex<number>();
  for (let n = 0; n < count; n++) tree.update(keyOf(n), () => n);
  return tree;
}

function pairs(tree: TreeIndex<number>, from: string, to?: string): [string, number][] {
  const found: [string, number][] = [];
  tree.visit(from, to, (key, value) => {
    found.push([key, value]);
    return true;
  });
  return found;
}

function shuffle(items: number[], below: (n: number) => number): void {
  for (let i = items.length - 1; i > 0; i--) {
    const j = below(i + 1);
    const item = items[i] as number;
    items[i] = items[j] as number;
    items[j] = item;
  }
}
