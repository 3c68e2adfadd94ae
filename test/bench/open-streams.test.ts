import { expect, test } from "vitest";
import { OpenStreams } from "../../bench/open-streams.ts";
import { drawer } from "../../bench/values.ts";

test("streams are found by their ids, few or many of them, and however long some stay", () => {
  const draw = drawer(11);
  const streams = new OpenStreams<{ readonly id: number }>();
  const model = new Map<number, { readonly id: number }>();
  let next = 1;
  for (let round = 0; round < 30_000; round++) {
    // Up to three thousand are open in the middle, and a dozen at the end.
    const most = round < 10_000 ? 20 : round < 20_000 ? 3_000 : 12;
    if (model.size < most) {
      const stream = { id: next };
      next += 2;
      streams.add(stream);
      model.set(stream.id, stream);
    }
    while (model.size >= most || (model.size > 0 && draw(4) === 0)) {
      // Mostly an old one; the very first stay for long.
      const ids = [...model.keys()];
      const id = ids[Math.min(ids.length - 1, 5 + draw(10))] as number;
      expect(streams.delete(id)).toBe(model.delete(id));
      if (model.size < most) break;
    }
    const id = 1 + 2 * draw((next + 10) >> 1);
    expect(streams.get(id)).toBe(model.get(id));
    expect(streams.get(id + 1)).toBeUndefined();
    if (!model.has(id)) expect(streams.delete(id)).toBe(false);
    if (round % 500 === 0) expect(streams.all()).toEqual([...model.values()]);
  }
});
