import { describe, expect, test } from "vitest";
import {
  isFarFrom,
  judgeDelays,
  judgeGrowth,
  judgeLive,
  judgeMemory,
  STALLED_GROWTH_BYTES,
  suffers,
  TELLING_BYTES,
  unmeasured,
} from "./bounds.ts";
import { becomes } from "./clock.ts";
import { type Expected, judge } from "./departure-check.ts";
import type { Departure } from "./lease-times.ts";
import { brokenOff, describe as describeReport } from "./report.ts";
import { groupCount, spreadWatches } from "./spread-watches.ts";
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

describe("the plan of the watches", () => {
  test.each([1, 2, 60, 999, 1_000, 1_001])("%i watches: both of the same keys are at different members", (watchers) => {
    const streams = spreadWatches(watchers, 3);
    const members = Array.from({ length: groupCount(watchers) }, (): number[] => []);
    for (const { member, groups } of streams) for (const group of groups) members[group]?.push(member);
    expect(members.flat().length).toBe(watchers);
    expect(members.filter((of) => new Set(of).size < of.length)).toEqual([]);
    // As many at one member as at another, but for one or two.
    const each = [0, 1, 2].map((member) => members.flat().filter((of) => of === member).length);
    expect(Math.max(...each) - Math.min(...each)).toBeLessThanOrEqual(2);
  });

  test("with one member there are no two to see a put through", () => {
    expect(() => spreadWatches(4, 1)).toThrow(/both watches of group 0/);
  });
});

describe("the judgement of memory and delays", () => {
  const MIB = 1 << 20;
  const before = [200 * MIB, 210 * MIB, 190 * MIB];

  test("a member that keeps what goes past a stalled stream grows by more than the others do", () => {
    // All of them by 80 MiB, as on a slow machine.
    const grown = (more: number) => [280 * MIB, 290 * MIB, 270 * MIB + more];
    expect(judgeGrowth(before, grown(STALLED_GROWTH_BYTES), 2)).toEqual([]);
    expect(judgeGrowth(before, grown(TELLING_BYTES / 2), 2).join()).toMatch(/^m3 grew by 186 MiB .* others by 80 MiB/);
    expect(judgeGrowth(before, grown(TELLING_BYTES / 2), 0)).toEqual([]);
  });

  test("more than the limits of all that a member may hold", () => {
    expect(judgeMemory([70 * MIB], [300 * MIB], 2, 0)).toEqual([]);
    expect(judgeMemory([70 * MIB], [700 * MIB], 2, 0).join()).toMatch(/^m1 took 700 MiB/);
    expect(judgeMemory([70 * MIB], [700 * MIB], 0, 100_000)).toEqual([]);
  });

  test("what was not measured is said, and not judged", () => {
    expect(judgeGrowth([undefined, 1], [undefined, 1 << 30], 1)).toEqual([]);
    expect(judgeMemory([undefined], [undefined], 2, 0)).toEqual([]);
    expect(unmeasured([undefined]).join()).toMatch(/memory not measured/);
    expect(unmeasured([1])).toEqual([]);
  });

  test("streams suffer in the median, or in their slowest hundredth beyond what the reader itself stood still", () => {
    const of = (p50: number, p99: number) => ({ count: 1_000, p50, p99, max: p99 });
    expect(suffers(of(100, 300), of(390, 900), 0)).toBe(false);
    expect(suffers(of(100, 300), of(410, 900), 0)).toBe(true);
    expect(suffers(of(100, 300), of(100, 1_500), 0)).toBe(true);
    expect(suffers(of(100, 300), of(100, 1_500), 200)).toBe(false);
  });
});

describe("the judgement of each member's delays", () => {
  const of = (p50: number, p99: number, count = 1_000) => ({ count, p50, p99, max: p99 });
  const alone = [of(100, 300), of(120, 320), of(90, 280)];

  test("as before the stall, or all later alike on a busier machine", () => {
    expect(judgeDelays("x", alone, alone, 0, 0)).toEqual([]);
    expect(judgeDelays("x", alone, [of(390, 1_200), of(420, 1_300), of(350, 1_100)], 0, 0)).toEqual([]);
  });

  test("one member's, though those of all together are well", () => {
    const [, second, third] = alone as [object, ReturnType<typeof of>, ReturnType<typeof of>];
    expect(judgeDelays("x", alone, [of(100, 3_100), second, third], 0, 0).join()).toMatch(/m1 were affected.*m1 lag/);
    expect(judgeDelays("x", alone, [second, of(100, 3_100), third], 0, 0).join()).toMatch(/^other streams of m2 were/);
  });

  test("beside the stalled stream, where everything was late before", () => {
    const late = [of(1_200, 3_900), of(1_200, 3_900), of(1_200, 3_900)];
    const found = judgeDelays("x", late, [of(3_300, 4_500), of(500, 2_000), of(500, 2_000)], 0, 500);
    expect(found).toEqual([expect.stringMatching(/^other streams of m1 lag behind/)]);
  });

  test("a phase without events", () => {
    expect(judgeDelays("x", alone, [of(0, 0, 0), ...alone.slice(1)], 0, 0).join()).toMatch(/^m1 sent no events/);
    expect(judgeDelays("x", [of(0, 0, 0), ...alone.slice(1)], alone, 0, 0).join()).toMatch(/^m1 sent no events/);
  });
});

describe("the judgement of what is in use", () => {
  const MIB = 1 << 20;

  test("grows with the puts, by a record and its index each", () => {
    expect(judgeLive([60 * MIB], [60 * MIB + 24_000 * 1_500], 24_000)).toEqual([]);
    expect(judgeLive([60 * MIB], [60 * MIB], 0)).toEqual([]);
  });

  test("8 KiB kept of each response, two of three puts at a member", () => {
    const leaking = (puts: number) => 60 * MIB + puts * 1_000 + (puts * 2 * 8_192) / 3;
    for (const puts of [20_000, 50_000, 90_000]) {
      expect(judgeLive([60 * MIB, 60 * MIB], [60 * MIB, leaking(puts)], puts).join()).toMatch(/^m2 has .* more in use/);
    }
  });
});

describe("a run", () => {
  test("whose load was far from its rate says that it was not judged there", () => {
    expect([isFarFrom(900, 1_000), isFarFrom(899, 1_000)]).toEqual([false, true]);
    const report = { title: "A run", rows: [], problems: [], notes: [], isFarFromRate: true, figures: {} };
    expect(describeReport(report)).toMatch(/NOT JUDGED AT THE WANTED RATE/);
    expect(describeReport({ ...report, isFarFromRate: false })).toBe("A run\n  every promise kept");
  });

  test("that an error ends tells what it had found", () => {
    const report = brokenOff("A run", ["something is lost"], new Error("m1 is gone"), {});
    expect(describeReport(report).split("\n")).toEqual([
      "A run",
      "  BROKEN: 2",
      "  something is lost",
      "  the run broke off: m1 is gone",
    ]);
  });

  test("waits in vain without an error; errors of what it asks pass", async () => {
    expect(await becomes(() => true, 0)).toBe(true);
    expect(await becomes(() => false, 1)).toBe(false);
    await expect(becomes(() => Promise.reject(new Error("gone")), 60_000)).rejects.toThrow("gone");
  });
});
