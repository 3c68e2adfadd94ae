import { expect, test } from "vitest";
import { END_OF_KEYS, type KeyRange, RangeSet, watchedRange } from "../../src/watch/range-set.ts";
import { random } from "./random.ts";

interface Member {
  readonly range: KeyRange;
}

function matching(set: RangeSet<Member>, key: string): Member[] {
  const found: Member[] = [];
  set.visit(key, (member) => found.push(member));
  return found;
}

test("G-1 W-3 the range of a watch; its key may be empty", () => {
  expect(watchedRange("a", "")).toEqual({ start: "a", end: undefined });
  expect(watchedRange("", "")).toEqual({ start: "\0", end: undefined });
  expect(watchedRange("", "\0")).toEqual({ start: "\0", end: END_OF_KEYS });
  expect(watchedRange("a", "\0")).toEqual({ start: "a", end: END_OF_KEYS });
  expect(watchedRange("a", "b")).toEqual({ start: "a", end: "b" });
  expect(watchedRange("a", "a")).toBeUndefined();
  expect(watchedRange("b", "a")).toBeUndefined();
});

test("everything from a key on includes the greatest keys", () => {
  const set = new RangeSet<Member>();
  const all = { range: { start: "\0", end: END_OF_KEYS } };
  set.add(all);
  expect(matching(set, "\xff\xff\xff")).toEqual([all]);
  expect(matching(set, "\0")).toEqual([all]);
});

test("a key is found in exactly the ranges that a plain search finds, through adds and deletes", () => {
  const next = random(7);
  const key = (): string => String.fromCharCode(...Array.from({ length: 1 + next(2) }, () => 97 + next(6)));
  const set = new RangeSet<Member>();
  const members: Member[] = [];
  for (let step = 0; step < 4_000; step++) {
    if (members.length > 0 && next(100) < (step < 2_000 ? 30 : 55)) {
      const [gone] = members.splice(next(members.length), 1);
      if (gone !== undefined) set.delete(gone);
    } else {
      const rangeEnd = [key(), key(), key(), "", "\0"][next(5)] ?? "";
      const range = watchedRange(key(), rangeEnd);
      if (range === undefined) continue;
      const member = { range };
      members.push(member);
      set.add(member);
    }
    const probe = key();
    const expected = members.filter(({ range }) =>
      range.end === undefined ? range.start === probe : range.start <= probe && probe < range.end,
    );
    const found = matching(set, probe);
    expect(found.length).toBe(expected.length);
    const distinct = new Set(found);
    expect(expected.every((member) => distinct.has(member))).toBe(true);
  }
});

test("ten thousand ranges: a lookup visits only what lies near, in ascending, descending and random order of adding", () => {
  const next = random(3);
  const name = (i: number): string => `/pods/${String(i).padStart(6, "0")}/`;
  for (const order of ["ascending", "descending", "random"]) {
    const indexes = Array.from({ length: 10_000 }, (_, i) => i);
    if (order === "descending") indexes.reverse();
    if (order === "random") indexes.sort(() => next(3) - 1);
    const set = new RangeSet<Member>();
    for (const i of indexes) set.add({ range: { start: name(i), end: `${name(i)}\xff` } });
    const started = performance.now();
    let found = 0;
    for (let i = 0; i < 10_000; i++) set.visit(`${name(i)}x`, () => found++);
    expect(found).toBe(10_000);
    // A search through all of them would take 10^8 comparisons: seconds.
    expect(performance.now() - started).toBeLessThan(1_000);
  }
});
