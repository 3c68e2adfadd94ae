import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const LIST = "docs/facts.md";

/** A promised fact, and the tests that name it as "file: name". */
export interface FactCoverage {
  readonly id: string;
  readonly about: string;
  /** What of it no test shows, and why; empty when tests show all of it. */
  readonly untested: string;
  readonly tests: readonly string[];
}

/** No test shows it, and nothing says why. */
export function isOpen({ tests, untested }: FactCoverage): boolean {
  return tests.length === 0 && untested === "";
}

export function factCoverage(): FactCoverage[] {
  const testsOf = new Map<string, string[]>();
  for (const { file, source } of testFiles()) {
    for (const name of testNames(source)) {
      for (const id of new Set(factIds(name))) {
        // The peer protocol has a numbering of its own under P.
        if (id.startsWith("P-") && file.startsWith("test/peer/")) continue;
        testsOf.set(id, [...(testsOf.get(id) ?? []), `${file}: ${name}`]);
      }
    }
  }
  const rows = readFileSync(join(root, LIST), "utf8").matchAll(/^\| ([A-Z]+-\d+) \| (.*?) \| ?(.*?) ?\|$/gm);
  return [...rows].map(([, id = "", about = "", untested = ""]) => ({
    id,
    about,
    untested,
    tests: testsOf.get(id) ?? [],
  }));
}

export function testFiles(): { readonly file: string; readonly source: string }[] {
  return readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts"))
    .sort()
    .map((name) => ({ file: `test/${name}`, source: readFileSync(join(root, "test", name), "utf8") }));
}

/** Names of tests and of groups of tests; those that are left out (skip, todo) have none. */
export function testNames(source: string): string[] {
  const calls = source.matchAll(
    /^[ \t]*(?:test|it|describe)(?!\.(?:skip|todo)\()(?:\.[\s\S]*?\))?\(\s*(["`'])((?:\\.|(?!\1)[^\\])*)\1/gm,
  );
  return [...calls].map(([, , name = ""]) => name);
}

/** Written out: "W-3 to W-6" are two. */
export function factIds(text: string): string[] {
  return [...text.matchAll(/\b[A-Z]{1,2}-\d+\b/g)].map(([id]) => id);
}

export interface NumberingDifference {
  /** In the text and not in the list. */
  readonly unlisted: readonly string[];
  /** In the list and not in the text. */
  readonly unknown: readonly string[];
  /** Sections of the text of which the list promises nothing. */
  readonly elsewhere: readonly string[];
}

/** Compares the ids of a list with those of a text whose facts begin their lines with "- ID ". */
export function compareNumbering(listed: readonly string[], text: string): NumberingDifference {
  const theirs = [...text.matchAll(/^- ([A-Z]+-\d+)\b/gm)].map(([, id = ""]) => id);
  const sections = new Set(listed.map(sectionOf));
  return {
    unlisted: theirs.filter((id) => sections.has(sectionOf(id)) && !listed.includes(id)),
    unknown: listed.filter((id) => !theirs.includes(id)),
    elsewhere: [...new Set(theirs.map(sectionOf))].filter((section) => !sections.has(section)),
  };
}

export function sectionOf(id: string): string {
  return id.replace(/-\d+$/, "");
}
