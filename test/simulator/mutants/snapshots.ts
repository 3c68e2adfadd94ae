import type { Mutant } from "./mutant.ts";

/** Cutting the log, and a state that travels from member to member. */
export const snapshotMutants: readonly Mutant[] = [
  {
    name: "log-cut-to-what-is-applied",
    file: "src/server/log-cutter.ts",
    from: `Math.min(through, windowStart(), floor())`,
    to: `Math.max(through, windowStart(), this.#deps.point().index)`,
    why: "What was applied and not flushed is gone with the power, and the log that had it begins behind it.",
    seenBy: ["member", "durability"],
  },
  {
    name: "cut-log-not-told-of-after-a-restart",
    file: "src/server/log-cutter.ts",
    from: `if (this.#deps.wal.firstIndex > 1) this.tell();`,
    to: `if (this.#stopped) this.tell();`,
    why: "A leader that starts with a cut log knows of no snapshot to send: who is behind stays behind.",
    seenBy: ["liveness", "progress"],
  },
  {
    name: "log-does-not-start-from-the-snapshot",
    file: "storage/wal-replay.ts",
    from: `    if (log === undefined || index > log.last || (known !== undefined && known !== term)) {`,
    to: `    if (log === undefined || (known !== undefined && known !== term)) {`,
    why: "After a restart the log is still that of before, and the state does not belong to it.",
    seenBy: ["member", "durability"],
  },
  {
    name: "state-put-in-place-undecided",
    file: "src/server/state-files.ts",
    from: `const decided = start && received.find((name) => name === nameOf(start));`,
    to: `const decided = start && received.at(-1);`,
    why: "A crash came before the log was to start from it: the state is ahead of its own log.",
    seenBy: ["member", "durability"],
  },
  {
    name: "state-removed-that-was-decided-for",
    file: "src/server/snapshot-receiver.ts",
    from: `this.#taken = await onReceived(taken);`,
    to: `await onReceived(taken);`,
    why: "The log starts from a state that is not there.",
    seenBy: ["member", "durability"],
  },
  {
    name: "bucket-left-out-of-the-copy",
    file: "src/server/store-file.ts",
    from: `    await copyBucket(bolt, bucket, backend,`,
    to: `    if (bucket !== "lease") await copyBucket(bolt, bucket, backend,`,
    why: "Keys hang on leases that the member does not know.",
    seenBy: ["state-hash", "leases", "lease-lists", "hash-kv", "member", "linearizability"],
  },
  {
    name: "failed-snapshot-not-reported",
    file: "src/server/snapshot-sender.ts",
    from: `    else this.#failed(to);`,
    to: ``,
    why: "Raft waits for ever for a snapshot that broke off, and sends the follower nothing.",
    seenBy: ["liveness", "progress"],
  },
];
