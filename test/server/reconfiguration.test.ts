import { describe, expect, test } from "vitest";
import { errors } from "../../src/api/errors.ts";
import { refusalOfAdd, refusalOfPromotion, refusalOfRemoval, type View } from "../../src/server/reconfiguration.ts";

/**
 * A cluster in letters, one a member: A active, U up but not for long, D down (all started), N never started (and not
 * connected), L an active learner. Ids count from 1; this member is one of the active ones.
 */
function view(letters: string): View {
  const all = [...letters].map((letter, at) => ({ letter, id: BigInt(at + 1) }));
  const of = (id: bigint): string | undefined => all.find((each) => each.id === id)?.letter;
  return {
    members: all.map(({ letter, id }) => ({
      id,
      name: letter === "N" ? "" : `m${id}`,
      peerURLs: [`http://m${id}:1`],
      clientURLs: [],
      isLearner: letter === "L",
    })),
    isActive: (id) => of(id) === "A" || of(id) === "L",
    isReachable: (id) => ["A", "U", "L"].includes(of(id) ?? ""),
  };
}

const { notEnoughStartedMembers: notStarted, unhealthy } = errors;

describe("M-4: adding", () => {
  test.each([
    ["A", undefined],
    // Of two voters both must have started, and be there.
    ["AN", notStarted],
    ["AA", undefined],
    ["AD", unhealthy],
    ["AU", unhealthy],
    // Three need all three: four have a majority of three.
    ["AAA", undefined],
    ["AAD", unhealthy],
    ["AAU", unhealthy],
    ["AAN", notStarted],
    ["AAAD", undefined],
    ["AAAN", undefined],
    ["AADD", unhealthy],
    ["AAANN", notStarted],
    ["AAAAD", undefined],
    ["AAADD", unhealthy],
    ["AL", undefined],
  ])("a voter to %s", (letters, error) => {
    expect(refusalOfAdd(view(letters), false)).toBe(error);
  });

  test.each([
    ["A", undefined],
    ["AA", undefined],
    ["AN", unhealthy],
    ["AAD", unhealthy],
    ["AAAN", undefined],
    ["AAANN", unhealthy],
  ])("a learner to %s: how many have started does not matter", (letters, error) => {
    expect(refusalOfAdd(view(letters), true)).toBe(error);
  });
});

describe("M-4: removing", () => {
  test.each([
    ["A", 1n, notStarted],
    ["AL", 1n, notStarted],
    ["AL", 2n, undefined],
    ["AA", 1n, undefined],
    ["AN", 1n, notStarted],
    ["AN", 2n, undefined],
    ["AD", 2n, undefined],
    // This member goes, and what is left is down.
    ["AD", 1n, unhealthy],
    ["AAA", 1n, undefined],
    ["AAD", 3n, undefined],
    ["AAD", 2n, unhealthy],
    ["AAU", 2n, unhealthy],
    ["AAAN", 1n, undefined],
    ["AANN", 1n, notStarted],
    ["AANN", 4n, undefined],
    ["AAADD", 5n, undefined],
    ["AAADD", 1n, unhealthy],
    ["AAA", 99n, undefined],
    ["A", 99n, undefined],
  ])("from %s member %i", (letters, id, error) => {
    expect(refusalOfRemoval(view(letters), id)).toBe(error);
  });
});

test.each([
  ["AL", undefined],
  ["NL", notStarted],
  ["ANL", undefined],
  ["NNL", notStarted],
  ["AAANNL", undefined],
  ["AANNNL", notStarted],
  ["ANNNL", notStarted],
])("M-4: promoting the learner of %s", (letters, error) => {
  expect(refusalOfPromotion(view(letters))).toBe(error);
});
