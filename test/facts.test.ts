import { describe, expect, test } from "vitest";
import {
  compareNumbering,
  factCoverage,
  factIds,
  isOpen,
  sectionOf,
  testFiles,
  testNames,
} from "../scripts/fact-coverage.ts";

/** Numbers below the highest of their section that nobody has. */
function gaps(ids: readonly string[]): string[] {
  const has = new Set(ids);
  return [...new Set(ids.map(sectionOf))].flatMap((section) => {
    const numbers = ids.filter((id) => sectionOf(id) === section).map((id) => Number(id.slice(section.length + 1)));
    return Array.from({ length: Math.max(...numbers) }, (_, i) => `${section}-${i + 1}`).filter((id) => !has.has(id));
  });
}

describe("docs/facts.md", () => {
  const facts = factCoverage();

  test("every fact has a test that names it, or the reason why there is none", () => {
    expect(facts.filter(isOpen).map(({ id, about }) => `${id} ${about}`)).toEqual([]);
  });

  test("every section is numbered from 1 without a gap", () => {
    expect(new Set(facts.map(({ id }) => sectionOf(id))).size).toBeGreaterThan(5);
    expect(gaps(facts.map(({ id }) => id))).toEqual([]);
  });

  test("no fact is listed twice, and numbers in names of tests are of the list where it has their section", () => {
    const listed = new Set(facts.map(({ id }) => id));
    expect(listed.size).toBe(facts.length);
    // The peer protocol has other numbers under P.
    const sections = new Set(facts.map(({ id }) => sectionOf(id)).filter((section) => section !== "P"));
    const named = testFiles().flatMap(({ source }) => testNames(source).flatMap(factIds));
    expect(named.filter((id) => sections.has(sectionOf(id)) && !listed.has(id))).toEqual([]);
  });
});

test("a list and the numbering of a text differ by what only one of them has; sections not promised are named once", () => {
  const text = "- W-1 One.\n- W-3 See W-9.\n W-4 no fact\n- X-1 Other.\n- X-2 Other.\n";
  expect(compareNumbering(["W-1", "W-2"], text)).toEqual({ unlisted: ["W-3"], unknown: ["W-2"], elsewhere: ["X"] });
  expect(compareNumbering(["W-1", "W-3"], text)).toEqual({ unlisted: [], unknown: [], elsewhere: ["X"] });
});

test("a gap is found wherever it is", () => {
  expect(gaps(["W-1", "W-2", "X-1"])).toEqual([]);
  expect(gaps(["W-2", "W-4", "X-1", "X-3"])).toEqual(["W-1", "W-3", "X-2"]);
});

describe("names of tests", () => {
  test("are found however the test is written; comments and tests that are left out have none", () => {
    const source = [
      'test("plain R-1", () => {',
      '  it.each([[1, "no name"], [f(x)]])("each `%i`", () => {});',
      "test.each([",
      '  ["a", 1],',
      '])("over lines", () => {});',
      'describe.skipIf(no)("group \\" quoted", () => {',
      "  it(",
      "    `template $" + "{x}`,",
      '// test("comment", () => {',
      'test.skip("left out", () => {',
      'test.todo("to do");',
      'contest("x"); const test = "y";',
    ].join("\n");
    expect(testNames(source)).toEqual([
      "plain R-1",
      "each `%i`",
      "over lines",
      'group \\" quoted',
      "template $" + "{x}",
    ]);
  });

  test("are found in every file, as many as there are calls that have a text for a name", () => {
    for (const { file, source } of testFiles()) {
      const calls = source.match(/^[ \t]*(test|it|describe)(\((?!\w+[,.])|\.(each|skipIf|runIf)\b)/gm) ?? [];
      expect(testNames(source).length, file).toBe(calls.length);
    }
  });

  test("ids count where they are written out", () => {
    expect(factIds("W-3 to W-6, TX-11: HTTP-2, O-1")).toEqual(["W-3", "W-6", "TX-11", "O-1"]);
  });
});
