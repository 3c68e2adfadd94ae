import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { root } from "./cluster.ts";
import { run } from "./etcdctl.ts";

/** The commands behind `<!-- test: NAME -->` in the README. */
export function commandsOf(name: string): string {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const commands = new RegExp(`<!-- test: ${name} -->\\n\`\`\`sh\\n([\\s\\S]*?)\`\`\``).exec(readme)?.[1];
  if (commands === undefined) throw new Error(`README.md has no commands for ${name}`);
  return commands;
}

/** Types the README's session, with the client ports of quorate1, 2 and 3 in place of its own, and checks what it says. */
export async function typeSession([first, second, third]: readonly [number, number, number]): Promise<void> {
  let script = commandsOf("session").replaceAll("32379", "#3").replaceAll("22379", "#2").replaceAll(":2379", ":#1");
  script = script.replaceAll("#1", `${first}`).replaceAll("#2", `${second}`).replaceAll("#3", `${third}`);
  const jq = await run("sh", ["-c", "command -v jq"]);
  if (jq.code !== 0) {
    console.warn("SKIPPED: jq is not on PATH; the session's lease id is read by node instead");
    script = script.replaceAll("jq .ID", `node -pe 'JSON.parse(require("fs").readFileSync(0)).ID'`);
  }
  const result = await run("bash", ["-eu", "-o", "pipefail", "-c", script], { timeoutMs: 120_000 });
  expect(result.code, `${result.stdout}\n${result.stderr}`).toBe(0);
  const output = result.stdout;
  const expected = [
    'OK\n/services/web\n{"host":"10.0.0.7","port":8080}\n/services/web\n\nOK\nOK\n2\nOK\n',
    "keepalived with TTL(10)",
    "granted with TTL(10s), remaining(",
    "attached keys([/alive])",
    " revoked\nOK\nSUCCESS\n\nOK\n",
    "PUT\nowner\nann\nPUT\nowner\nbob\n",
    "3.6.14",
    '{"health":"true","reason":""}',
    '"etcdserver":"3.6.14"',
  ];
  for (const text of expected) expect(output).toContain(text);
  // Releases of etcdctl draw their tables differently.
  expect(output).toMatch(/ started . quorate1 ./);
  expect(`${output}${result.stderr}`.match(/is healthy/g)).toHaveLength(3);
}
