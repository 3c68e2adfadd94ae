import { expect, test } from "vitest";
import { isMajority, majorityIndex } from "../../raft/quorum.ts";

test("the index that a majority holds: the highest that enough voters reach, whatever their order", () => {
  expect(majorityIndex([])).toBe(0);
  // All matches of up to five voters, each in 0..3.
  for (let voters = 1; voters <= 5; voters++) {
    for (let drawn = 0; drawn < 4 ** voters; drawn++) {
      const matches = Array.from({ length: voters }, (_, i) => Math.floor(drawn / 4 ** i) % 4);
      const isHeld = (index: number): boolean => isMajority(matches.filter((match) => match >= index).length, voters);
      const highest = [3, 2, 1, 0].find(isHeld);
      expect(majorityIndex([...matches]), `${matches}`).toBe(highest);
    }
  }
});
