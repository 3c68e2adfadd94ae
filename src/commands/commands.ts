import type { Backend } from "../../storage/backend.ts";
import type { Disk } from "../../storage/disk.ts";
import type { StateSource } from "../server/rebuild.ts";

/** What commands work with. */
export interface CommandDeps {
  readonly disk: Disk;
  readonly readOnlyDisk: Disk;
  readonly openBackend: (path: string) => Promise<Backend>;
  /** A running member at its client URL. */
  readonly openSource: (endpoint: string) => StateSource;
  /** Milliseconds, for progress. */
  readonly now: () => number;
  /** As ISO 8601 has it. */
  readonly wallTime: () => string;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /**
   * Aborted when whoever typed the command wants no more of it, for commands that have to clean up then. A process that
   * did not ask for it is ended by the signal as any other.
   */
  readonly interruption: () => AbortSignal;
}

/** Carries out what was typed behind the command's name. Resolves with the exit code, having said why. */
export type Run = (words: readonly string[], deps: CommandDeps) => Promise<number>;

/** By the first word of the command line. Loaded when one is typed: a member needs none of them. */
export const commands: ReadonlyMap<string, () => Promise<Run>> = new Map([
  ["restore", async (): Promise<Run> => (await import("./restore.ts")).restore],
  ["import", async (): Promise<Run> => (await import("./import.ts")).importEtcd],
  ["inspect", async (): Promise<Run> => (await import("./inspect.ts")).inspect],
  ["rebuild", async (): Promise<Run> => (await import("./rebuild.ts")).rebuild],
]);
