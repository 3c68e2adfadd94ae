import type { Spread } from "./figures.ts";

export interface Report {
  readonly title: string;
  /** What was measured, for people: at most 46 characters a value. */
  readonly rows: readonly (readonly [label: string, value: string])[];
  /** Broken promises. */
  readonly problems: readonly string[];
  /** What keeps the figures from being what was asked for. */
  readonly notes: readonly string[];
  /** The load was so far from what was asked for that nothing is known of that. */
  readonly isFarFromRate: boolean;
  /** The same, for programs. */
  readonly figures: Readonly<Record<string, unknown>>;
}

/** Of a run that an error ended: what it had found by then is not lost. */
export function brokenOff(
  title: string,
  problems: readonly string[],
  error: unknown,
  figures: Report["figures"],
): Report {
  const why = error instanceof Error ? error.message : String(error);
  return {
    title,
    rows: [],
    problems: [...problems, `the run broke off: ${why}`],
    notes: [],
    isFarFromRate: false,
    figures,
  };
}

/** Says how far a run is. */
export type Say = (line: string) => void;

const LABEL_WIDTH = 32;
const WIDTH = 80;

export function describe({ title, rows, problems, notes, isFarFromRate }: Report): string {
  const lines = [title, ...rows.map(([label, value]) => `  ${label.padEnd(LABEL_WIDTH)}${value}`)];
  for (const note of notes) lines.push(...wrapped(`note: ${note}`));
  const kept = isFarFromRate
    ? "  NOT JUDGED AT THE WANTED RATE; at this one every promise kept"
    : "  every promise kept";
  lines.push(problems.length === 0 ? kept : `  BROKEN: ${problems.length}`);
  for (const problem of problems) lines.push(...wrapped(problem));
  return lines.join("\n");
}

function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = " ";
  for (const word of text.split(" ")) {
    if (line.length + 1 + word.length > WIDTH && line.trim() !== "") {
      lines.push(line);
      line = "   ";
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

export function ms(value: number): string {
  return value < 10_000 ? `${count(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
}

export function spread({ p50, p99, max }: Spread): string {
  return `p50 ${ms(p50)}, p99 ${ms(p99)}, max ${ms(max)}`;
}

export function mib(bytes: number | undefined): string {
  return bytes === undefined ? "?" : `${count(bytes / (1 << 20))} MiB`;
}
