import { decode } from "../../proto/codec.ts";
import { Entry } from "../../proto/generated/raftpb.ts";
import { CRC, ENTRY, parseFrame } from "../../storage/wal-record.ts";
import type { Machine } from "./machine.ts";
import type { Random } from "./random.ts";

export interface Flip {
  readonly description: string;
  /** It may look like a write that a crash tore, for nothing behind it says that it was synced. */
  readonly isTail: boolean;
}

/** Of the log's entries; a flip aimed at them hits one of them. */
export interface Entries {
  readonly from: number;
  readonly through: number;
}

const HEADER_BYTES = 64;
const TAIL_BYTES = 200;
/** The state store may have applied all but the last few synced writes, and a start notices when those are gone. */
const LATE_WRITES = 8;

/**
 * Turns one bit of the machine's log: anywhere while it is down, in what is synced for certain while its member runs.
 * Undefined: there is no such place.
 */
export function flipBit(machine: Machine, random: Random, entries?: Entries): Flip | undefined {
  if (entries !== undefined) return flipEntry(machine, random, entries);
  const { disk } = machine;
  const all = disk.paths().filter((path) => path.endsWith(".wal"));
  const last = all.at(-1);
  if (last === undefined) return undefined;
  const where = random.pick(["header", "middle", "tail", "late", "late"] as const);
  const path = where === "tail" || where === "late" ? last : random.pick(all);
  const content = disk.peek(path);
  const marks = marksOf(content);
  const lastMark = marks.at(-1) ?? 0;
  const used = machine.life !== undefined && path === last ? lastMark : usedBytes(content);
  const [start, end] = place(where, used, marks, random);
  if (start >= end) return undefined;
  const offset = start + random.below(end - start);
  disk.flip(path, offset, random.below(8));
  return { description: `${where} of ${path}: byte ${offset} of ${used}`, isTail: path === last && offset >= lastMark };
}

/** One of the entries of a running member, in what is synced for certain: before the last mark of the last segment. */
function flipEntry({ disk }: Machine, random: Random, { from, through }: Entries): Flip | undefined {
  const places: { readonly path: string; readonly start: number; readonly end: number; readonly index: number }[] = [];
  const paths = disk.paths().filter((path) => path.endsWith(".wal"));
  for (const path of paths) {
    const content = disk.peek(path);
    const limit = path === paths.at(-1) ? (marksOf(content).at(-1) ?? 0) : content.length;
    for (let at = 0; ; ) {
      const frame = parseFrame(content, at, limit);
      if (frame.kind !== "record") break;
      at = frame.end;
      if (frame.type !== ENTRY) continue;
      const { dataStart: start, dataEnd: end } = frame;
      const { index } = decode(Entry, content.subarray(start, end));
      if (index >= from && index <= through) places.push({ path, start, end, index });
    }
  }
  if (places.length === 0) return undefined;
  const { path, start, end, index } = random.pick(places);
  const offset = start + random.below(end - start);
  disk.flip(path, offset, random.below(8));
  return { description: `entry ${index} in ${path}: byte ${offset}`, isTail: false };
}

/** Where the settled marks begin (storage/wal-tail.ts): what is before one says of itself that it was synced. */
function marksOf(segment: Buffer): number[] {
  const marks: number[] = [];
  for (let at = 0; ; ) {
    const frame = parseFrame(segment, at, segment.length);
    if (frame.kind !== "record") return marks;
    if (frame.type === CRC) marks.push(at);
    at = frame.end;
  }
}

function usedBytes(content: Buffer): number {
  let used = content.length;
  while (used > 0 && content[used - 1] === 0) used--;
  return used;
}

/** From and to which byte. */
function place(
  where: "header" | "middle" | "tail" | "late",
  used: number,
  marks: readonly number[],
  random: Random,
): readonly [number, number] {
  switch (where) {
    case "header":
      return [0, Math.min(used, HEADER_BYTES)];
    case "middle":
      return [0, used];
    case "tail":
      return [Math.max(0, used - TAIL_BYTES), used];
    case "late": {
      const at = Math.max(0, marks.length - 1 - random.between(1, LATE_WRITES));
      return [marks[at] ?? 0, marks[at + 1] ?? 0];
    }
  }
}
