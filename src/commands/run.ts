import type { Backend } from "../../storage/backend.ts";
import type { Disk } from "../../storage/disk.ts";
import { ConfigError } from "../config.ts";
import { type Arguments, type CommandName, parseArguments, UsageError } from "./command-line.ts";
import { importCommand, importEtcd } from "./import.ts";
import { type Made, resultOf } from "./new-member.ts";
import { createProgress } from "./progress.ts";
import { restore, restoreCommand, type SourceDeps } from "./restore.ts";

export interface CommandDeps {
  readonly disk: Disk;
  readonly readOnlyDisk: Disk;
  readonly openBackend: (path: string) => Promise<Backend>;
  readonly now: () => number;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Aborted when whoever typed the command wants no more of it. */
  readonly signal: AbortSignal;
}

interface Command {
  readonly about: CommandName;
  readonly run: (args: Arguments, deps: SourceDeps) => Promise<Made>;
}

const commands: ReadonlyMap<string, Command> = new Map([
  ["restore", { about: restoreCommand, run: restore }],
  ["import", { about: importCommand, run: importEtcd }],
]);

export function isCommand(word: string | undefined): word is string {
  return word !== undefined && commands.has(word);
}

/** Carries out what was typed, whose first word is a command, to its end. Resolves with the exit code. */
export async function runCommand([word = "", ...words]: readonly string[], deps: CommandDeps): Promise<number> {
  const command = commands.get(word);
  if (command === undefined) throw new Error(`no command ${word}`);
  try {
    const parsed = parseArguments(command.about, words);
    if (parsed.kind === "help") {
      deps.out(`${parsed.text}\n`);
      return 0;
    }
    const { disk, readOnlyDisk: sourceDisk, openBackend, signal } = deps;
    const progress = createProgress(deps.err, deps.now);
    const made = await command.run(parsed.args, { disk, sourceDisk, openBackend, progress, signal });
    const [result = "", ...warnings] = resultOf(made, parsed.args.config);
    for (const warning of warnings) deps.err(`${warning}\n`);
    deps.out(`${result}\n`);
    return 0;
  } catch (error) {
    deps.err(`Error: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof UsageError || error instanceof ConfigError ? error.exitCode : 1;
  }
}
