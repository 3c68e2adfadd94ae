import { CRC, parseFrame } from "../../storage/wal-record.ts";
import type { Machine } from "./machine.ts";
import type { Random } from "./random.ts";

export interface Flip {
  readonly description: string;
  /** It may look like a write that a crash tore, for nothing behind it says that it was synced. */
  readonly isTail: boolean;
}

const HEADER_BYTES = 64;

/**
 * Turns one bit of the machine's log: anywhere while it is down, in a segment that is full while its member runs.
 * Undefined: there is no such log.
 */
export function flipBit(machine: Machine, random: Random): Flip | undefined {
  const all = machine.disk.paths().filter((path) => path.endsWith(".wal"));
  const last = all.at(-1);
  const segments = machine.life === undefined ? all : all.slice(0, -1);
  if (last === undefined || segments.length === 0) return undefined;
  const where = random.pick(["header", "middle", "tail"] as const);
  const path = where === "tail" ? (segments.at(-1) ?? last) : random.pick(segments);
  const content = machine.disk.peek(path);
  let used = content.length;
  while (used > 0 && content[used - 1] === 0) used--;
  if (used === 0) return undefined;
  const offset = place(where, used, random);
  const bit = random.below(8);
  machine.disk.poke(path, (bytes) => {
    bytes[offset] = (bytes[offset] as number) ^ (1 << bit);
    return bytes;
  });
  const isTail = path === last && offset >= lastMark(content);
  return { description: `${where} of ${path}: byte ${offset} of ${used}`, isTail };
}

/** Where the last settled mark begins (storage/wal-tail.ts): what is before it says of itself that it was synced. */
function lastMark(segment: Buffer): number {
  let mark = 0;
  for (let at = 0; ; ) {
    const frame = parseFrame(segment, at, segment.length);
    if (frame.kind !== "record") return mark;
    if (frame.type === CRC) mark = at;
    at = frame.end;
  }
}

function place(where: "header" | "middle" | "tail", used: number, random: Random): number {
  switch (where) {
    case "header":
      return random.below(Math.min(used, HEADER_BYTES));
    case "middle":
      return random.below(used);
    case "tail":
      return used - 1 - random.below(Math.min(used, 200));
  }
}
