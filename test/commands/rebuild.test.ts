import { expect, test } from "vitest";
import type { CommandDeps } from "../../src/commands/commands.ts";
import { rebuild } from "../../src/commands/rebuild.ts";

test("https:// endpoints are refused, however they are spelled", async () => {
  for (const endpoint of ["https://a.example:1", "HTTPS://a.example:1", " Https://a.example:1"]) {
    let err = "";
    const deps = {
      err: (text: string) => {
        err += text;
      },
    } as CommandDeps;
    expect(await rebuild(["--data-dir=x", `--endpoints=127.0.0.1:1,${endpoint}`], deps)).toBe(2);
    expect(err).toContain("https:// is not supported yet");
  }
});
