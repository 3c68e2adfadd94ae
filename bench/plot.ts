/** The ratios as a picture: a bar for each, from 1 (alike) to the side that it is on, and a mark at what was promised. */
import { type Measure, type Result, type Verdict, verdictsOf } from "./judge.ts";

interface Panel {
  readonly measure: Measure;
  readonly title: string;
  readonly better: "more" | "less";
}

const PANELS: readonly Panel[] = [
  { measure: "throughput", title: "Throughput", better: "more" },
  { measure: "p99", title: "p99 latency", better: "less" },
  { measure: "cpu", title: "Server CPU per operation", better: "less" },
  { measure: "memory", title: "Resident memory", better: "less" },
];

const WIDTH = 760;
const LEFT = 110;
const RIGHT = 90;
const ROW = 22;
const BAR = 12;
const PANEL_HEAD = 52;
const PANEL_GAP = 24;
const TOP = 44;
const COLOURS = { good: "#2b7a4b", bad: "#b5482d", line: "#555555", grid: "#d9d9d9", mark: "#1a1a1a", text: "#1a1a1a" };

export function svgOf(results: readonly Result[]): string {
  const parts: string[] = [];
  let y = TOP;
  for (const panel of PANELS) {
    const rows = results
      .map((result) => ({
        name: result.workload.name,
        verdict: verdictsOf(result).find(({ measure }) => measure === panel.measure),
      }))
      .filter((row): row is Row => row.verdict?.ratio !== undefined && row.verdict.ratio > 0)
      .filter(({ verdict }) => panel.measure !== "memory" || verdict.target !== undefined);
    if (rows.length === 0) continue;
    parts.push(panelOf(panel, rows, y));
    y += PANEL_HEAD + rows.length * ROW + PANEL_GAP;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}"`,
    `  font-family="system-ui, sans-serif" font-size="12" fill="${COLOURS.text}" role="img">`,
    "<title>Quorate's figures divided by etcd's</title>",
    `<rect width="${WIDTH}" height="${y}" fill="#ffffff"/>`,
    text(LEFT, 26, "Quorate divided by etcd: 1 is alike, | is what was promised", 'font-size="14" font-weight="600"'),
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

interface Row {
  readonly name: string;
  readonly verdict: Verdict & { readonly ratio: number };
}

function panelOf({ title, better }: Panel, rows: readonly Row[], top: number): string {
  const figures = rows.flatMap(({ verdict }) => [verdict.ratio, verdict.target ?? 1]);
  const low = Math.floor(Math.log2(Math.min(0.5, ...figures)));
  const high = Math.ceil(Math.log2(Math.max(2, ...figures)));
  const x = (ratio: number): number => LEFT + ((Math.log2(ratio) - low) / (high - low)) * (WIDTH - LEFT - RIGHT);
  const first = top + PANEL_HEAD;
  const bottom = first + rows.length * ROW;
  const parts = [text(LEFT, top + 16, `${title} (${better} is better)`, 'font-weight="600"')];
  for (let power = low; power <= high; power++) {
    const at = x(2 ** power);
    const colour = power === 0 ? COLOURS.line : COLOURS.grid;
    parts.push(`<path d="M${round(at)} ${first - 4}V${bottom}" stroke="${colour}"/>`);
    parts.push(text(at, first - 10, String(2 ** power), `text-anchor="middle" fill="${COLOURS.line}"`));
  }
  for (const [i, { name, verdict }] of rows.entries()) {
    const middle = first + i * ROW + ROW / 2;
    const from = Math.min(x(1), x(verdict.ratio));
    const isGood = verdict.isMet ?? (better === "more" ? verdict.ratio >= 1 : verdict.ratio <= 1);
    const width = Math.max(1, Math.abs(x(verdict.ratio) - x(1)));
    parts.push(text(LEFT - 10, middle + 4, name, 'text-anchor="end"'));
    parts.push(
      `<rect x="${round(from)}" y="${middle - BAR / 2}" width="${round(width)}" height="${BAR}" fill="${isGood ? COLOURS.good : COLOURS.bad}"/>`,
    );
    if (verdict.target !== undefined) {
      const at = round(x(verdict.target));
      parts.push(
        `<path d="M${at} ${middle - ROW / 2 + 2}V${middle + ROW / 2 - 2}" stroke="${COLOURS.mark}" stroke-width="2"/>`,
      );
    }
    parts.push(
      text(WIDTH - RIGHT + 12, middle + 4, `${verdict.ratio.toFixed(2)}${verdict.isMet === false ? " missed" : ""}`),
    );
  }
  return parts.join("\n");
}

function text(x: number, y: number, words: string, attributes = ""): string {
  const escaped = words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${round(x)}" y="${y}"${attributes === "" ? "" : ` ${attributes}`}>${escaped}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
