import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { runScript } from "./interpreter.ts";

/** UPDATE_SCRIPTS=1 records what the members do now; the `expect` lines must hold all the same. */
const update = process.env["UPDATE_SCRIPTS"] === "1";

const folder = new URL("scripts/", import.meta.url);

for (const name of readdirSync(folder)
  .filter((each) => each.endsWith(".txt"))
  .sort()) {
  test(name.slice(0, -".txt".length).replaceAll("-", " "), () => {
    const file = new URL(name, folder);
    const source = readFileSync(file, "utf8");
    const result = runScript(source);
    if (update) writeFileSync(file, result);
    else expect(result).toBe(source);
  });
}
