import { expect, test } from "vitest";
import { KeyIntervals } from "../../src/api/key-intervals.ts";
import { createRandom } from "../storage/random.ts";

test("a key is in the set exactly when it lies in one of the ranges, however they were added", () => {
  const alphabet = ["\0", "a", "b", "c", "\xff"];
  for (let seed = 0; seed < 300; seed++) {
    const random = createRandom(seed);
    const key = () => Array.from({ length: 1 + random.below(2) }, () => random.pick(alphabet)).join("");
    const ranges: [string, string][] = [];
    const set = new KeyIntervals();
    const draw = (into: KeyIntervals) => {
      const range: [string, string] = [key(), random.pick(["", "\0", key(), key(), key()])];
      ranges.push(range);
      into.add(...range);
    };
    for (let i = random.below(20); i > 0; i--) draw(set);
    const other = new KeyIntervals();
    for (let i = random.below(20); i > 0; i--) draw(other);
    set.addAll(other);
    for (let i = random.below(5); i > 0; i--) draw(set);

    const keys = alphabet.flatMap((a) => [a, ...alphabet.map((b) => a + b), `${a}a\0`]);
    for (const k of keys) {
      const expected = ranges.some(([from, to]) => (to === "" ? k === from : k >= from && (to === "\0" || k < to)));
      expect(set.has(k), `seed ${seed} key ${JSON.stringify(k)} of ${JSON.stringify(ranges)}`).toBe(expected);
    }
    expect(set.isEmpty).toBe(ranges.every(([from, to]) => to !== "" && to !== "\0" && from >= to));
  }
});
