import { describe, expect, test } from "vitest";
import { type Expected, judge } from "./departure-check.ts";
import type { Departure } from "./lease-times.ts";
import { stamp } from "./stamped-value.ts";
import { type SeenPair, WatchCheck } from "./watch-check.ts";

/** The n-th put of a key at a revision; by default the one before was two revisions earlier, the first at 10. */
function put(key: string, n: number, modRevision: number, before = modRevision - 2): Parameters<WatchCheck["put"]>[0] {
  const pair = (of: number, revision: number): SeenPair => {
    return { key, value: Buffer.from(stamp(of)), createRevision: 10, modRevision: revision };
  };
  return { kv: pair(n, modRevision), prevKv: n === 1 ? undefined : pair(n - 1, before) };
}

function check(everyRevision: boolean, ...puts: readonly ReturnType<typeof put>[]): WatchCheck {
  const made = new WatchCheck("w", 10, everyRevision);
  for (const one of puts) made.put(one);
  return made;
}

describe("the check of a watch", () => {
  test("each put once, in order, with the pair before it", () => {
    const made = check(true, put("a", 1, 10), put("b", 1, 11), put("a", 2, 12), put("b", 2, 13));
    expect(made.problems).toEqual([]);
    expect(made.missing([{ key: "a", acknowledged: 2, sent: 2 }])).toBe(0);
    expect(made.missing([{ key: "b", acknowledged: 4, sent: 5 }])).toBe(2);
    expect(made.problems).toEqual([]);
  });

  test.each([
    ["lost between", check(false, put("a", 1, 10), put("a", 3, 12)), /some are lost/],
    ["lost of another key", check(true, put("a", 1, 10), put("a", 2, 12, 10)), /some between are lost/],
    ["twice", check(false, put("a", 1, 10), put("a", 1, 10)), /twice or out of order/],
    ["out of order", check(false, put("a", 1, 12), put("b", 1, 11)), /revision 11 after 12/],
    ["the wrong pair before", check(false, put("a", 1, 10), put("a", 2, 14)), /has a 1 at 12 before it/],
    ["no pair before", check(false, { ...put("a", 2, 12), prevKv: undefined }), /no pair before it/],
    ["a pair before the first", check(false, { ...put("a", 2, 12), kv: put("a", 1, 12).kv }), /1 has a pair/],
  ])("%s", (_what, made, problem) => {
    expect(made.problems.join()).toMatch(problem);
    expect(made.problemCount).toBeGreaterThan(0);
  });

  test("what was never sent", () => {
    const made = check(false, put("a", 1, 10));
    made.missing([{ key: "a", acknowledged: 0, sent: 0 }]);
    expect(made.problems.join()).toMatch(/never sent/);
  });
});

describe("the check of leases that end", () => {
  const expected: Expected = {
    name: "x",
    from: 1,
    count: 2,
    notBefore: ({ sentAt, ttlMs }) => sentAt + ttlMs,
    due: ({ answeredAt, ttlMs }) => answeredAt + ttlMs,
    boundMs: 1_000,
  };
  const gone = (id: number, goneAt: number): Departure => ({ id, goneAt, sentAt: 0, answeredAt: 10, ttlMs: 5_000 });

  test("in time", () => {
    const { problems, lagsMs, spanMs } = judge([gone(2, 5_000), gone(1, 5_510)], expected);
    expect(problems).toEqual([]);
    expect(lagsMs).toEqual([-10, 500]);
    expect(spanMs).toBe(500);
  });

  test.each([
    ["early", [gone(1, 4_990), gone(2, 5_500)], /1 leases ended early, by 10 ms/],
    ["late", [gone(1, 5_500), gone(2, 6_100)], /the last went 1090 ms after/],
    ["never", [gone(1, 5_500)], /1 leases stayed/],
    ["twice", [gone(1, 5_500), gone(2, 5_500), gone(2, 5_501)], /1 keys went twice/],
    ["nobody's", [gone(1, 5_500), gone(2, 5_500), gone(3, 5_500)], /1 keys that nobody attached/],
  ])("%s", (_what, departures, problem) => {
    expect(judge(departures, expected).problems.join()).toMatch(problem);
  });
});
