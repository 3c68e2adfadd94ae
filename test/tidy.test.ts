import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.ts"], {
  cwd: root,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => /^(proto|raft|storage|src)\//.test(file));

interface Import {
  readonly file: string;
  /** A path from the root for relative imports, else the package's name. */
  readonly target: string;
  readonly typeOnly: boolean;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), "utf8");
  const found: Import[] = [];
  for (const match of text.matchAll(/^(import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"/gm)) {
    found.push({ file, target: resolve(file, match[3] as string), typeOnly: match[2] !== undefined });
  }
  for (const match of text.matchAll(/\bimport\(\s*"([^"]+)"\s*\)/g)) {
    found.push({ file, target: resolve(file, match[1] as string), typeOnly: true });
  }
  return found;
}

function resolve(file: string, target: string): string {
  return target.startsWith(".") ? normalize(join(dirname(file), target)) : target;
}

const all = files.flatMap(importsOf);

function violations(zone: RegExp, allowed: RegExp): string[] {
  return all
    .filter(({ file, target }) => zone.test(file) && !allowed.test(target))
    .map(({ file, target }) => `${file} imports ${target}`);
}

describe("who may import whom (docs/architecture.md)", () => {
  test("the walk sees the tree", () => {
    expect(files.length).toBeGreaterThan(60);
    expect(all.length).toBeGreaterThan(200);
  });

  test("1: proto/ and raft/ import nothing but themselves; storage/ adds raft's types, assert and proto", () => {
    expect(violations(/^proto\//, /^proto\//)).toEqual([]);
    expect(violations(/^raft\//, /^raft\//)).toEqual([]);
    expect(violations(/^storage\//, /^(storage|proto)\/|^raft\/(types|assert)\.ts$|^node:|^classic-level$/)).toEqual(
      [],
    );
  });

  test("2: mvcc sees only the backend's interface; state sees mvcc, backend, wire types and API errors", () => {
    expect(
      violations(
        /^storage\/mvcc\//,
        /^storage\/(mvcc\/|backend\.ts|schema\.ts|crc32c\.ts)|^raft\/(types|assert)\.ts$|^proto\//,
      ),
    ).toEqual([]);
    expect(
      violations(
        /^src\/state\//,
        /^src\/(state|api)\/|^storage\/(mvcc\/|backend\.ts|schema\.ts|stored-json\.ts)|^raft\/(types|assert)\.ts$|^proto\//,
      ),
    ).toEqual([]);
  });

  test("3: server sees raft, storage, state, watch and interfaces, never a transport or a service", () => {
    expect(violations(/^src\/server\//, /^(?!src\/(http|rpc|services)\/)/)).toEqual([]);
    expect(violations(/^src\/server\//, /^(?!src\/peer\/)|^src\/peer\/transport\.ts$/)).toEqual([]);
  });

  test("3: commands see what server sees, and server; nobody but main.ts sees a command", () => {
    const allowed =
      /^src\/(commands|server|state|api)\/|^src\/(config|flag-values|log)\.ts$|^storage\/|^raft\/(types|assert)\.ts$|^proto\/|^node:/;
    expect(violations(/^src\/commands\//, allowed)).toEqual([]);
    const users = all.filter(({ file, target }) => /^src\/commands\//.test(target) && !/^src\/commands\//.test(file));
    expect([...new Set(users.map(({ file }) => file))]).toEqual(["src/main.ts"]);
  });

  test("4: services never see a transport, raft or storage", () => {
    expect(
      violations(
        /^src\/services\//,
        /^src\/(services|server|api|state|watch)\/|^src\/rpc\/rpc\.ts$|^src\/(env|log|version)\.ts$|^proto\/|^raft\/(types|assert)\.ts$|^storage\/mvcc\/mvcc\.ts$/,
      ),
    ).toEqual([]);
  });

  test("5: transports see rpc.ts and codecs, never services; only main.ts joins them", () => {
    const transports = all.filter(({ file }) => /^src\/(rpc|http|peer)\//.test(file));
    expect(transports.filter(({ target }) => target.startsWith("src/services/"))).toEqual([]);
    const joined = all.filter(
      ({ file, target }) => target.startsWith("src/services/") && !file.startsWith("src/services/"),
    );
    expect([...new Set(joined.map(({ file }) => file))]).toEqual(["src/main.ts"]);
  });

  test("5: no cycles, no barrels", () => {
    const graph = new Map<string, string[]>();
    for (const { file, target, typeOnly } of all) {
      if (!typeOnly) graph.set(file, [...(graph.get(file) ?? []), target]);
    }
    const done = new Set<string>();
    const path: string[] = [];
    const cycles: string[] = [];
    const visit = (file: string): void => {
      if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
      if (done.has(file) || path.includes(file)) return;
      path.push(file);
      for (const next of graph.get(file) ?? []) visit(next);
      path.pop();
      done.add(file);
    };
    for (const file of files) visit(file);
    expect(cycles).toEqual([]);
    expect(files.filter((file) => /(^|\/)index\.ts$/.test(file))).toEqual([]);
  });

  test("6: pure zones hold no async, timer, chance, clock, logger or node: import", () => {
    const zone = /^(raft|storage\/mvcc|src\/state|src\/watch)\//;
    const pure = files.filter((file) => zone.test(file));
    expect(pure.length).toBeGreaterThan(20);
    expect(violations(zone, /^(?!node:)(?!src\/(log|log-pino|env|node-env)\.ts$)[a-z]+\/.*\.ts$/)).toEqual([]);
    const banned =
      /\basync\b|\bawait\b|\bPromise\b|\bDate\b|Math\.random|\bset(Timeout|Interval|Immediate)\b|\bprocess\.|performance\.|localeCompare/;
    const found = pure.flatMap((file) =>
      code(file).flatMap((line, number) => (banned.test(line) ? [`${file}:${number + 1}: ${line.trim()}`] : [])),
    );
    expect(found).toEqual([]);
  });
});

/** Lines with comments and the contents of strings taken out. */
function code(file: string): string[] {
  return readFileSync(join(root, file), "utf8")
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ""))
    .split("\n")
    .map((line) => line.replace(/"(?:[^"\\]|\\.)*"|`[^`]*`/g, '""').replace(/\/\/.*$/, ""));
}

describe("the rest of the house", () => {
  test("package-lock.json names no download address", () => {
    expect(readFileSync(join(root, "package-lock.json"), "utf8")).not.toMatch(/"resolved":\s*"https?:/);
  });
});
