import type { Input, SnapshotMetadata } from "../../raft/types.ts";
import type { Wal } from "../../storage/wal.ts";

export interface LogCutterDeps {
  readonly wal: Pick<Wal, "cut" | "segmentCount" | "firstIndex">;
  /** Segments that are kept though nobody on this member needs them, for followers that were away. */
  readonly keepSegments: number;
  /** Entries above this are in memory; the log on disk must reach as far back. */
  readonly windowStart: () => number;
  /** Entries above this are needed by followers that are being sent a snapshot. */
  readonly floor: () => number;
  /** Where the state machine stands: a snapshot can be made there. */
  readonly point: () => SnapshotMetadata;
  readonly enqueue: (input: Input) => void;
  readonly onFatal: (error: unknown) => void;
}

/** Gives back the disk of log entries that the state store has made superfluous. */
export class LogCutter {
  readonly #deps: LogCutterDeps;
  #cutting: Promise<void> | undefined;
  #flushed = 0;
  #stopped = false;

  constructor(deps: LogCutterDeps) {
    this.#deps = deps;
  }

  /** At a start: raft has to know that there is no more of the log than this. */
  start(): void {
    if (this.#deps.wal.firstIndex > 1) this.tell();
  }

  /**
   * The state store holds everything up to `index` on the disk. The log still keeps what the last flush holds: should that
   * rot, the store cannot tell it from a write that a crash tore, and comes up as it was before.
   */
  flushed(index: number): void {
    const through = this.#flushed;
    this.#flushed = index;
    const { wal, keepSegments, windowStart, floor, onFatal } = this.#deps;
    if (this.#stopped || this.#cutting !== undefined || keepSegments === 0 || wal.segmentCount <= keepSegments) return;
    const before = wal.firstIndex;
    this.#cutting = wal
      .cut(Math.min(through, windowStart(), floor()), keepSegments)
      .then(() => {
        this.#cutting = undefined;
        if (wal.firstIndex > before && !this.#stopped) this.tell();
      })
      .catch(onFatal);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#cutting;
  }

  /** Raft is to know how far back the log goes now, and of the state of this moment. */
  tell(): void {
    const { wal, windowStart, point, enqueue } = this.#deps;
    // A snapshot has just taken the place of all that; the member starts anew from it.
    if (windowStart() > point().index) return;
    // Right behind a cut the term before the first entry may be unknown; whoever asks there gets a snapshot.
    const storedFrom = Math.min(wal.firstIndex, windowStart() + 1);
    enqueue({ kind: "snapshotAvailable", metadata: point(), storedFrom });
  }
}
