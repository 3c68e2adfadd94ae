import type { Entry, HardState } from "../raft/types.ts";

/**
 * What may stand in a log. Checked before it is written and again when it is read: a log that breaks a rule either has a
 * bug behind it or is damaged, and in both cases this member must not go on. Each gives what is wrong, if anything.
 */

type Content = Pick<Entry, "data"> & { readonly type: number };

/** What a proposal may be made of; also asked before one is taken from a peer. */
export function contentFault({ type, data }: Content): string | undefined {
  if (type !== 0 && type !== 1 && type !== 2) return `of type ${type}`;
  if (type !== 0 && data.length === 0) return `of type ${type} without data`;
  return undefined;
}

/** An entry by itself; also asked before one is taken from a peer. */
export function entryFault(entry: Pick<Entry, "term" | "index"> & Content): string | undefined {
  const { term, index } = entry;
  const fault = contentFault(entry);
  if (fault !== undefined) return `entry ${index} ${fault}`;
  if (index === 0 || term === 0) return `an entry with term ${term} and index ${index}`;
  return undefined;
}

/** The entry's place in a log of first..last of which everything up to `commit` is for good. */
export function placeFault(index: number, first: number, last: number, commit: number): string | undefined {
  if (index < first || index > last + 1) return `entry ${index} for a log of ${first}..${last}`;
  if (index <= last && index <= commit) return `entry ${index} in place of a committed one (commit ${commit})`;
  return undefined;
}

/** `last`: where the log ends, if that is known. */
export function hardStateFault(before: HardState, next: HardState, last: number | undefined): string | undefined {
  const { term, vote, commit } = next;
  if (term === 0) return "a hard state of term 0";
  if (term < before.term) return `a hard state of term ${term} after term ${before.term}`;
  if (term === before.term && before.vote !== 0n && vote !== before.vote) {
    return `a vote for ${vote} in term ${term} after one for ${before.vote}`;
  }
  if (commit < before.commit) return `a commit of ${commit} after ${before.commit}`;
  if (last !== undefined && commit > last) return `a commit of ${commit} in a log that ends at ${last}`;
  return undefined;
}
