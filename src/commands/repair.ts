import type { Backend } from "../../storage/backend.ts";
import type { Disk } from "../../storage/disk.ts";
import type { StateSource } from "../server/rebuild.ts";

/** What the commands for when things broke work with. */
export interface RepairDeps {
  readonly disk: Disk;
  readonly readOnlyDisk: Disk;
  readonly openBackend: (path: string) => Promise<Backend>;
  /** A running member at its client URL. */
  readonly openSource: (endpoint: string) => StateSource & { close(): void };
  /** Now, as ISO 8601 has it. */
  readonly time: () => string;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** Resolves with the exit code. */
type Repair = (words: readonly string[], deps: RepairDeps) => Promise<number>;

/** By the first word of the command line. */
export const repairs: ReadonlyMap<string, () => Promise<Repair>> = new Map([
  ["inspect", async (): Promise<Repair> => (await import("./inspect.ts")).inspect],
  ["rebuild", async (): Promise<Repair> => (await import("./rebuild.ts")).rebuild],
]);
