import type { Counts, Violation } from "../history.ts";

/** What a checker of a whole history came to. */
export interface Verdict {
  readonly violations: readonly Violation[];
  readonly counts: Counts;
}

/** A broken run breaks thousands of operations; the first few tell all there is to tell. */
const MAX_VIOLATIONS = 5;

/** Gathers a verdict: counts of what was looked at, and the first violations. */
export class Findings {
  readonly #checker: string;
  readonly #violations: Violation[] = [];
  readonly #counts: Record<string, number> = {};

  /** Every count that the checker can ever make, so that one which stayed 0 is seen. */
  constructor(checker: string, counts: readonly string[]) {
    this.#checker = checker;
    for (const name of counts) this.#counts[name] = 0;
  }

  count(name: string, by = 1): void {
    this.#counts[name] = (this.#counts[name] ?? 0) + by;
  }

  report(message: string, at: number): void {
    if (this.#violations.length < MAX_VIOLATIONS) this.#violations.push({ checker: this.#checker, message, at });
  }

  verdict(): Verdict {
    return { violations: this.#violations, counts: this.#counts };
  }
}

/** For messages: any record of the history, short. */
export function show(value: unknown): string {
  const text = JSON.stringify(value, (_key, field: unknown) => (typeof field === "bigint" ? `${field}n` : field)) ?? "";
  return text.length > 600 ? `${text.slice(0, 600)}...` : text;
}
