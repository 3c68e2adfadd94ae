/** Majority arithmetic. No voters means no majority: nothing is elected, committed or confirmed. */

import type { NodeId } from "./types.ts";

export function majority(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

export function isMajority(count: number, voters: number): boolean {
  return voters > 0 && count >= majority(voters);
}

/** The highest index that a majority holds, given each voter's match. Reorders `matches`. */
export function majorityIndex(matches: number[]): number {
  // A handful, for each acknowledgement: sort() allocates several times what the message did that brought it.
  for (let i = 1; i < matches.length; i++) {
    const match = matches[i] as number;
    let at = i;
    for (; at > 0 && (matches[at - 1] as number) < match; at--) matches[at] = matches[at - 1] as number;
    matches[at] = match;
  }
  return matches[majority(matches.length) - 1] ?? 0;
}

export type Tally = "won" | "lost" | "open";

/** Only votes of voters count, whoever else may have sent one. */
export function tally(voters: readonly NodeId[], votes: ReadonlyMap<NodeId, boolean>): Tally {
  let granted = 0;
  let refused = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === true) granted++;
    else if (vote === false) refused++;
  }
  if (isMajority(granted, voters.length)) return "won";
  return isMajority(voters.length - refused, voters.length) ? "open" : "lost";
}
