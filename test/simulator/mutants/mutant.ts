/**
 * A planted mistake: one place of the product rewritten as an engineer could have got it wrong. The simulator has to find
 * each of them, which is how we know that a green run means something.
 */
export interface Mutant {
  readonly name: string;
  /** From the root of the tree. */
  readonly file: string;
  /** Exactly as it stands in the file, and there exactly once. */
  readonly from: string;
  readonly to: string;
  /** What the mistake breaks, and where it is not plain to see, the schedule that shows it. */
  readonly why: string;
  /** Who can see it. What another checker says is not taken for it. */
  readonly seenBy: readonly Checker[];
}

/** Names of checkers, as they stand in a failure; `member`: one ended itself, and no fault had given it a reason. */
export type Checker =
  | "leader-per-term"
  | "log-matching"
  | "commit"
  | "durability"
  | "state-hash"
  | "revisions"
  | "linearizability"
  | "serializable"
  | "watch"
  | "leases"
  | "lease-lists"
  | "headers"
  | "status"
  | "hash-kv"
  | "members"
  | "liveness"
  | "progress"
  | "second life"
  | "damaged log"
  | "member";
