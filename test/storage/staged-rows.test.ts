import { expect, test } from "vitest";
import { revisionKey, tombstoneKey } from "../../storage/schema.ts";
import { AscendingRows } from "../../storage/staged-rows.ts";
import { createRandom } from "./random.ts";

test("rows that ascend, come again, or come late are those of a map", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = createRandom(seed);
    const rows = new AscendingRows();
    const model = new Map<string, Uint8Array | null>();
    let main = 10;
    for (let step = 0; step < 500; step++) {
      // Most are new; some fill a gap that was left behind, or are of before the first.
      if (random.below(4) > 0) main += 1 + random.below(3);
      const at = random.below(4) > 0 ? main : random.below(main + 1);
      const key = random.below(5) === 0 ? tombstoneKey(at, 0) : revisionKey(at, random.below(2));
      const value = random.below(4) === 0 ? null : Buffer.from(`${step}`);
      expect(rows.set(key, value)).toBe(model.get(key));
      model.set(key, value);
      const other = revisionKey(random.below(main + 3), 0);
      expect(rows.get(other)).toBe(model.get(other));
    }
    expect(rows.size).toBe(model.size);
    expect(new Map(rows.entries())).toEqual(model);
  }
});
