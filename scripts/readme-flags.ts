/** Writes the list of flags in README.md from src/flags.ts. With --check it only says whether that is needed. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { flags } from "../src/flags.ts";

const START = "<!-- flags: made by scripts/readme-flags.ts -->\n";
const END = "<!-- end of flags -->";
const path = fileURLToPath(new URL("../README.md", import.meta.url));

const rows = flags.map(
  ({ name, fallback, help }) => `| \`--${name}\` | ${fallback === "" ? "" : `\`${fallback}\``} | ${help} |`,
);
const table = ["| flag | default | |", "|---|---|---|", ...rows, ""].join("\n");
const before = readFileSync(path, "utf8");
const from = before.indexOf(START);
const to = before.indexOf(END);
if (from < 0 || to < from) throw new Error("README.md has lost its marks for the list of flags");
const after = before.slice(0, from + START.length) + table + before.slice(to);
if (process.argv.includes("--check")) {
  if (after !== before) {
    console.error("README.md: the list of flags is stale: run npm run generate");
    process.exit(1);
  }
} else writeFileSync(path, after);
