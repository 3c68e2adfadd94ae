import { readFileSync } from "node:fs";

/** What the first line of bin/quorate tells the engine, behind `#!/usr/bin/env -S node`: for whoever starts it by `node`. */
export function engineFlags(program: string): string[] {
  const [firstLine = ""] = readFileSync(program, "utf8").split("\n");
  return firstLine.split(" ").filter((word) => word.startsWith("--"));
}
