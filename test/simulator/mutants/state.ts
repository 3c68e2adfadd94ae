import type { Mutant } from "./mutant.ts";

/** The replicated state machine: keys, transactions, leases, and what of it a restart brings back. */
export const stateMutants: readonly Mutant[] = [
  {
    name: "transaction-satisfied-by-any-compare",
    file: "src/state/txn.ts",
    from: `const succeeded = request.compare.every((compare) => holds(mvcc, compare));`,
    to: `const succeeded = request.compare.length === 0 || request.compare.some((compare) => holds(mvcc, compare));`,
    why: "Of several compares one is enough.",
    seenBy: ["linearizability", "revisions"],
  },
  {
    name: "transaction-does-not-see-itself",
    file: "src/state/txn.ts",
    from: `mvcc.currentRevision + (progress.changed ? 1 : 0), answer);`,
    to: `mvcc.currentRevision, answer);`,
    why: "A range behind a put of the same transaction finds what was there before.",
    seenBy: ["linearizability", "revisions"],
  },
  {
    name: "transaction-puts-to-a-lease-that-is-gone",
    file: "src/state/txn.ts",
    from: `          if (lease !== 0n && lessor.get(lease) === undefined) return errors.leaseNotFound;\n`,
    to: "",
    why: "The key stays for ever, although its lease is gone.",
    seenBy: ["leases", "linearizability", "revisions"],
  },
  {
    name: "count-stops-at-the-limit",
    file: "src/state/range.ts",
    from: `  if (more && !filtered) count = mvcc.count(key, rangeEnd, revision);\n`,
    to: "",
    why: "A range with a limit counts the keys that it looked at, not those in the range (R-5).",
    seenBy: ["linearizability", "serializable"],
  },
  {
    name: "descending-cut-first",
    file: "src/state/range.ts",
    from: `  if (sortOrder === RangeRequestSortOrder.DESCEND) sorted.reverse();
  return limit > 0 && sorted.length > limit
    ? { kept: sorted.slice(0, limit), more: true }`,
    to: `  const kept = limit > 0 ? sorted.slice(0, limit) : sorted;
  if (sortOrder === RangeRequestSortOrder.DESCEND) kept.reverse();
  return limit > 0 && sorted.length > limit
    ? { kept, more: true }`,
    why: "A descending range with a limit gives the smallest keys instead of the greatest.",
    seenBy: ["linearizability", "serializable"],
  },
  {
    name: "key-stays-on-its-old-lease",
    file: "src/state/lessor.ts",
    from: `    before?.keys.delete(key);\n`,
    to: "",
    why: "A key that was put again, without a lease or with another, is deleted with its former one.",
    seenBy: ["leases", "linearizability", "member", "revisions"],
  },
  {
    name: "grant-not-stored",
    file: "src/state/lessor.ts",
    from: `    this.#store(record);
    return record;`,
    to: `    return record;`,
    why: "After a restart the lease is unknown to that member, and its applies come out otherwise.",
    seenBy: ["state-hash", "leases", "member", "revisions", "linearizability"],
  },
  {
    name: "revoked-lease-comes-back",
    file: "src/state/lessor.ts",
    from: `    this.#backend.delete("lease", leaseKey(id));\n`,
    to: "",
    why: "After a restart a revoked lease is there again, on that member alone.",
    seenBy: ["state-hash", "leases", "member", "revisions", "linearizability"],
  },
  {
    name: "attachments-lost-at-restart",
    file: "src/state/lessor.ts",
    from: `    for (const [key, id] of leased) this.attach(key, id);\n`,
    to: "",
    why: "A restarted member knows the leases and not their keys: a revoke deletes nothing there.",
    seenBy: ["state-hash", "revisions", "leases", "hash-kv", "member", "linearizability"],
  },
  {
    name: "detachments-lost-at-restart",
    file: "storage/mvcc/store.ts",
    from: `    else this.#leased.delete(key);\n`,
    to: "",
    why: "A restarted member hangs keys on leases that they have left: a revoke deletes too much there, or finds no key.",
    seenBy: ["state-hash", "member", "hash-kv", "linearizability", "revisions"],
  },
  {
    name: "revoke-in-the-order-of-attaching",
    file: "src/state/apply.ts",
    from: `const keys = [...lease.keys].sort();`,
    to: `const keys = [...lease.keys];`,
    why: "The order of attaching is another one after a restart, and so are the sub-revisions of the deletes.",
    seenBy: ["state-hash", "watch", "hash-kv"],
  },
  {
    name: "members-not-stored-for-raft",
    file: "src/state/apply.ts",
    from: `      this.#backend.put("meta", CONF_STATE, Buffer.from(confStateJson(confState)));\n`,
    to: "",
    why: "A restarted member knows of no voters, and never votes or leads again.",
    seenBy: ["liveness", "member"],
  },
];
