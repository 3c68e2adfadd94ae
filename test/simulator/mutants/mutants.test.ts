import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { bundle, plant, ROOT } from "./bundle.ts";
import type { Mutant } from "./mutant.ts";
import { mutants } from "./table.ts";

const run = promisify(execFile);

test("there are enough mutants, each with a name and a reason of its own", () => {
  expect(mutants.length).toBeGreaterThanOrEqual(48);
  expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
  for (const { name, from, to, why, seenBy } of mutants) {
    expect(name).toMatch(/^[a-z]+(?:-[a-z]+)*$/);
    expect(from, name).not.toBe(to);
    expect(why.length, name).toBeGreaterThan(20);
    expect(seenBy, name).not.toEqual([]);
  }
});

test("each is planted at exactly one place of the tree", async () => {
  for (const mutant of mutants) {
    const text = await readFile(join(ROOT, mutant.file), "utf8");
    expect(plant(mutant, text, mutant.file)).not.toBe(text);
  }
});

test("a place that is gone, or there twice, is told", () => {
  const mutant = { name: "m", from: "ab", to: "c" };
  expect(plant(mutant, "xaby", "f.ts")).toBe("xcy");
  expect(() => plant(mutant, "xa", "f.ts")).toThrow("f.ts has no such place");
  expect(() => plant(mutant, "abab", "f.ts")).toThrow("f.ts has this place twice");
});

test("the tree with mutants in it still passes the type check", async () => {
  for (const round of await rounds(mutants)) {
    const tree = await mkdtemp(join(tmpdir(), "quorate-planted-"));
    try {
      for (const part of ["proto", "raft", "storage", "src"])
        await cp(join(ROOT, part), join(tree, part), { recursive: true });
      await cp(join(ROOT, "package.json"), join(tree, "package.json"));
      await symlink(join(ROOT, "node_modules"), join(tree, "node_modules"));
      for (const [file, places] of round) {
        let text = await readFile(join(ROOT, file), "utf8");
        for (const { mutant, start, end } of places) text = text.slice(0, start) + mutant.to + text.slice(end);
        await writeFile(join(tree, file), text);
      }
      const config = JSON.parse(await readFile(join(ROOT, "tsconfig.json"), "utf8")) as { compilerOptions: object };
      // A mistake may leave something unused: that is no mistake of its own.
      const compilerOptions = { ...config.compilerOptions, noUnusedLocals: false, noUnusedParameters: false };
      await writeFile(
        join(tree, "tsconfig.json"),
        JSON.stringify({ compilerOptions, include: ["proto", "raft", "storage", "src"] }),
      );
      const answer = await run(join(ROOT, "node_modules", ".bin", "tsc"), ["-p", tree]).catch(
        (error: unknown) => error,
      );
      expect((answer as { stdout: string }).stdout).toBe("");
    } finally {
      await rm(tree, { recursive: true, force: true });
    }
  }
});

interface Place {
  readonly mutant: Mutant;
  readonly start: number;
  readonly end: number;
}

/** Mutants that can stand in one tree together, by file: no two touch the same text, the last in the file first. */
async function rounds(all: readonly Mutant[]): Promise<Map<string, Place[]>[]> {
  const found: Map<string, Place[]>[] = [];
  for (const mutant of all) {
    const { file, from } = mutant;
    const start = (await readFile(join(ROOT, file), "utf8")).indexOf(from);
    const place = { mutant, start, end: start + from.length };
    const isFree = (other: Place): boolean => other.end <= place.start || place.end <= other.start;
    let round = found.find((candidate) => (candidate.get(file) ?? []).every(isFree));
    if (round === undefined) {
      round = new Map();
      found.push(round);
    }
    round.set(
      file,
      [...(round.get(file) ?? []), place].sort((a, b) => b.start - a.start),
    );
  }
  return found;
}

test("a bundle holds the mutant, and one whose file is no part of it is told", async () => {
  const directory = await mkdtemp(join(tmpdir(), "quorate-bundle-"));
  try {
    const [first] = mutants;
    const path = join(directory, "bundle.cjs");
    await bundle(
      "raft/raft.ts",
      { ...(first as Mutant), file: "raft/raft.ts", from: "onApplied(raft, input.index)", to: "planted()" },
      path,
    );
    expect(await readFile(path, "utf8")).toContain("planted()");
    await expect(bundle("raft/quorum.ts", first, path)).rejects.toThrow("is no part of");
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
