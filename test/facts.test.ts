import { describe, expect, test } from "vitest";
import { factCoverage, factIds, isOpen, testFiles, testNames } from "../scripts/fact-coverage.ts";

describe("docs/facts.md", () => {
  const facts = factCoverage();

  test("every fact has a test that names it, or the reason why there is none", () => {
    expect(facts.filter(isOpen).map(({ id, about }) => `${id} ${about}`)).toEqual([]);
  });

  test("no fact is listed twice, and numbers in names of tests are of the list where it has their section", () => {
    const listed = new Set(facts.map(({ id }) => id));
    expect(listed.size).toBe(facts.length);
    expect(listed.size).toBeGreaterThan(90);
    const sections = new Set(facts.map(({ id }) => id.replace(/-.*/, "")).filter((section) => section !== "P"));
    const named = testFiles().flatMap(({ source }) => testNames(source).flatMap(factIds));
    expect(named.filter((id) => sections.has(id.replace(/-.*/, "")) && !listed.has(id))).toEqual([]);
  });
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
