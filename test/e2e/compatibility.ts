import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { root } from "./cluster.ts";

const PATH = join(root, "docs", "compatibility.md");
const UPDATE = "UPDATE_COMPATIBILITY";

/**
 * docs/compatibility.md says what a run of the tests found, a section a suite. With UPDATE_COMPATIBILITY=1 the run writes
 * its section; otherwise it fails when the file says something else. `versions`: of what was run, the first line of the
 * section. What other versions do is reported, and not held against the file.
 */
export function checkSection(name: string, versions: string, found: string): void {
  const text = readFileSync(PATH, "utf8");
  const start = `<!-- ${name}: written by the tests -->\n`;
  const end = `<!-- end of ${name} -->`;
  const from = text.indexOf(start) + start.length;
  const to = text.indexOf(end);
  if (from < start.length || to < from) throw new Error(`docs/compatibility.md has no section ${name}`);
  const section = `${versions}\n\n${found}`;
  if (process.env[UPDATE] === "1") {
    writeFileSync(PATH, text.slice(0, from) + section + text.slice(to));
    return;
  }
  const written = text.slice(from, to);
  if (written.startsWith(`${versions}\n`)) {
    expect(section, `docs/compatibility.md is not what this run found; ${UPDATE}=1 rewrites it`).toBe(written);
  } else {
    console.warn(
      `NOT COMPARED with docs/compatibility.md, which is about other versions. This run: ${versions}\n${found}`,
    );
  }
}

/** A Markdown table whose columns line up. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |\n`;
  return line(head) + line(widths.map((width) => "-".repeat(width))) + rows.map(line).join("");
}
