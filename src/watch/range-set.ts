import { IntervalTree } from "./interval-tree.ts";

/** Above every key: keys are latin1 strings. */
export const END_OF_KEYS = "\u0100";

/** What a watcher watches: one key (`end` undefined), or start <= key < end. */
export interface KeyRange {
  readonly start: string;
  readonly end: string | undefined;
}

/** The API's key and range_end of a watch (W-3); undefined when the range is empty (W-4). */
export function watchedRange(key: string, rangeEnd: string): KeyRange | undefined {
  const start = key === "" ? "\0" : key;
  if (rangeEnd === "") return { start, end: undefined };
  if (rangeEnd === "\0") return { start, end: END_OF_KEYS };
  return start < rangeEnd ? { start, end: rangeEnd } : undefined;
}

/**
 * Which watchers does a key concern? Watchers of a single key are found by one Map lookup, however many there are of
 * other keys; watchers of ranges by an interval tree.
 */
export class RangeSet<T extends { readonly range: KeyRange }> {
  readonly #exact = new Map<string, Set<T>>();
  readonly #ranges = new IntervalTree<T>();

  add(member: T): void {
    const { start, end } = member.range;
    if (end !== undefined) {
      this.#ranges.add(start, end, member);
      return;
    }
    const members = this.#exact.get(start);
    if (members === undefined) this.#exact.set(start, new Set([member]));
    else members.add(member);
  }

  delete(member: T): void {
    const { start, end } = member.range;
    if (end !== undefined) {
      this.#ranges.delete(start, end, member);
      return;
    }
    const members = this.#exact.get(start);
    if (members === undefined) return;
    members.delete(member);
    if (members.size === 0) this.#exact.delete(start);
  }

  /** Every member that watches the key, once. The visitor must not change the set. */
  visit(key: string, visitor: (member: T) => void): void {
    const members = this.#exact.get(key);
    if (members !== undefined) for (const member of members) visitor(member);
    this.#ranges.visit(key, visitor);
  }
}
