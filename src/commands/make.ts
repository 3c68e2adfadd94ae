import type { Disk } from "../../storage/disk.ts";
import { ConfigError } from "../flag-values.ts";
import { type Arguments, type CommandName, parseArguments, UsageError } from "./command-line.ts";
import type { Run } from "./commands.ts";
import { type Made, type MakeDeps, resultOf } from "./new-member.ts";
import { createProgress } from "./progress.ts";

/** Where what is read is found; nothing of it is changed. */
export interface SourceDeps extends MakeDeps {
  readonly sourceDisk: Disk;
}

/** The command that makes a member's directory by `make`. */
export function makerCommand(name: CommandName, make: (args: Arguments, deps: SourceDeps) => Promise<Made>): Run {
  return async (words, deps) => {
    try {
      const parsed = parseArguments(name, words);
      if (parsed.kind === "help") {
        deps.out(`${parsed.text}\n`);
        return 0;
      }
      const { disk, readOnlyDisk: sourceDisk, openBackend } = deps;
      const progress = createProgress(deps.err, deps.now);
      const made = await make(parsed.args, { disk, sourceDisk, openBackend, progress, signal: deps.interruption() });
      const [result = "", ...warnings] = resultOf(made, parsed.args.config);
      for (const warning of warnings) deps.err(`${warning}\n`);
      deps.out(`${result}\n`);
      return 0;
    } catch (error) {
      deps.err(`Error: ${error instanceof Error ? error.message : String(error)}\n`);
      return error instanceof UsageError || error instanceof ConfigError ? error.exitCode : 1;
    }
  };
}
