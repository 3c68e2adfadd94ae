import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundle } from "./bundle.ts";
import { type Hunt, hunt } from "./hunt.ts";
import type { Checker, Mutant } from "./mutant.ts";
import type { Finding } from "./report.ts";
import { mutants } from "./table.ts";

export interface MutantsOptions {
  /** Empty: all. */
  readonly names: readonly string[];
  readonly firstSeed: number;
  /** Seeds that a mutant gets at most. */
  readonly maxSeeds: number;
  readonly jobs: number;
  /** Somebody ends it: the table so far is told. */
  readonly ended: AbortSignal;
  readonly say: (line: string) => void;
}

interface Row {
  readonly mutant: Mutant;
  readonly hunted: Hunt;
}

const ENTRY = "test/simulator/mutants/child.ts";

/**
 * Looks for every mutant, each in a process of its own, and prints how many seeds it took. A seed counts only if it
 * passes on the tree as it is. True when all were found.
 */
export async function runMutants(options: MutantsOptions): Promise<boolean> {
  const { names, say, jobs } = options;
  const chosen = names.length === 0 ? mutants : names.map(byName);
  const directory = await mkdtemp(join(tmpdir(), "quorate-mutants-"));
  try {
    const original = join(directory, "original.cjs");
    await bundle(ENTRY, undefined, original);
    const control = createControl(original, options);
    const rows: Row[] = [];
    const waiting = [...chosen];
    const work = async (): Promise<void> => {
      for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
        const row = { mutant, hunted: await huntFor(mutant, control, directory, options) };
        if (options.ended.aborted) return;
        rows.push(row);
        say(`${String(rows.length).padStart(3)}/${chosen.length} ${describe(row)}`);
      }
    };
    await Promise.all(Array.from({ length: Math.max(1, jobs) }, work));
    return report(chosen, rows, say);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function byName(name: string): Mutant {
  const found = mutants.find((mutant) => mutant.name === name);
  if (found === undefined)
    throw new Error(`there is no mutant ${name}; there are ${mutants.map((m) => m.name).join()}`);
  return found;
}

/** Whether a seed passes on the tree as it is; each is run once. */
type Control = (seed: number) => Promise<boolean>;

function createControl(original: string, { say, ended }: MutantsOptions): Control {
  const known = new Map<number, Promise<boolean>>();
  const run = async (seed: number): Promise<boolean> => {
    const { found } = await hunt(original, seed, 1, ended);
    if (found === undefined || ended.aborted) return true;
    say(`    seed ${seed} fails without a mutant, too, and does not count: ${summary(found.finding)}`);
    return false;
  };
  return (seed) => {
    const passes = known.get(seed) ?? run(seed);
    known.set(seed, passes);
    return passes;
  };
}

async function huntFor(mutant: Mutant, control: Control, directory: string, options: MutantsOptions): Promise<Hunt> {
  const { firstSeed, maxSeeds, say, ended } = options;
  const path = join(directory, `${mutant.name}.cjs`);
  await bundle(ENTRY, mutant, path);
  let seeds = 0;
  let simulatedMs = 0;
  while (seeds < maxSeeds) {
    const part = await hunt(path, firstSeed + seeds, maxSeeds - seeds, ended);
    seeds += part.seeds;
    simulatedMs += part.simulatedMs;
    if (part.found === undefined || ended.aborted) break;
    if (!(await control(part.found.seed))) continue;
    if (!isExpected(mutant, part.found.finding.checker)) {
      say(`    ${mutant.name}: seed ${part.found.seed} fails for another reason: ${summary(part.found.finding)}`);
      continue;
    }
    await rm(path);
    return { found: part.found, seeds, simulatedMs };
  }
  await rm(path);
  return { found: undefined, seeds, simulatedMs };
}

/** Names under which the same thing may be seen, too. */
const ALSO: Readonly<Partial<Record<Checker, readonly string[]>>> = {
  durability: ["commit"],
  linearizability: ["general-linearizability"],
  liveness: ["progress"],
  member: ["uncaught", "internal error", "process", "hang"],
};

function isExpected({ seenBy }: Mutant, checker: string): boolean {
  return seenBy.some((expected) => expected === checker || ALSO[expected]?.includes(checker) === true);
}

function describe({ mutant, hunted: { found, seeds, simulatedMs } }: Row): string {
  const hours = (simulatedMs / 3_600_000).toFixed(2);
  if (found === undefined) return `${mutant.name}: SURVIVED ${seeds} seeds (${hours} simulated hours)`;
  return `${mutant.name}: ${seeds} seeds, seed ${found.seed}, ${summary(found.finding)}`;
}

function summary({ checker, message }: Finding): string {
  const [line = ""] = message.split("\n");
  return `${checker}: ${line.slice(0, 200)}`;
}

function report(chosen: readonly Mutant[], rows: readonly Row[], say: (line: string) => void): boolean {
  const byMutant = new Map(rows.map((row) => [row.mutant, row]));
  say("\n| mutant | file | seeds to find it | seen by |\n|---|---|---|---|");
  let survivors = 0;
  for (const mutant of chosen) {
    const hunted = byMutant.get(mutant)?.hunted;
    const found = hunted?.found;
    if (found === undefined) survivors++;
    const seeds = hunted === undefined ? "not hunted" : `${found === undefined ? "survived " : ""}${hunted.seeds}`;
    say(`| ${mutant.name} | ${mutant.file} | ${seeds} | ${found?.finding.checker ?? ""} |`);
  }
  say(`\n${chosen.length - survivors} of ${chosen.length} mutants found`);
  return survivors === 0;
}
