import type { LogEntry } from "../history.ts";

/** What a member's log holds, as far as probes told. Entries at and below `base` are behind a snapshot. */
export class MemberLog {
  #base = 0;
  #entries: LogEntry[] = [];

  get lastIndex(): number {
    return this.#base + this.#entries.length;
  }

  /** Lowest index that `at` knows. */
  get firstIndex(): number {
    return this.#base + 1;
  }

  at(index: number): LogEntry | undefined {
    return this.#entries[index - this.#base - 1];
  }

  /** Replaces everything from the first entry on. Entries that leave a hole behind the last are refused: false. */
  append(entries: readonly LogEntry[]): boolean {
    const [first] = entries;
    if (first === undefined) return true;
    if (first.index > this.lastIndex + 1 || first.index <= this.#base) return false;
    this.#entries.length = first.index - this.#base - 1;
    for (const entry of entries) this.#entries.push(entry);
    return true;
  }

  /** All of it anew. */
  reset(base: number, entries: readonly LogEntry[]): void {
    this.#base = base;
    this.#entries = [...entries];
  }
}
