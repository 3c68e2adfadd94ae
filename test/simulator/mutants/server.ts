import type { Mutant } from "./mutant.ts";

/** Proposals, reads, lease time, first starts: what stands between clients and consensus. */
export const serverMutants: readonly Mutant[] = [
  {
    name: "proposed-again-under-a-new-leader",
    file: "src/server/proposals.ts",
    from: `    const batch: Proposal[] = [];
    let bytes = 0;
    let taken = 0;`,
    to: `    for (const pending of this.#pending.values()) {
      if (pending.term === 0 || pending.term >= term) continue;
      pending.term = 0;
      this.#submittedBytes -= pending.proposal.data.length;
      this.#held.push(pending);
    }
    const batch: Proposal[] = [];
    let bytes = 0;
    let taken = 0;`,
    why: "What an earlier leader took may still be committed: the command is carried out twice.",
    seenBy: ["linearizability", "revisions", "watch"],
  },
  {
    name: "read-joins-a-round-under-way",
    file: "src/server/reads.ts",
    from: `this.#waiting.push({ limits: callLimits, expiresAt, waiter });`,
    to: `(this.#round?.readers ?? this.#waiting).push({ limits: callLimits, expiresAt, waiter });`,
    why: "The round's index was noted before the read came, and so perhaps before a write that the reader knows of.",
    seenBy: ["linearizability"],
  },
  {
    name: "read-does-not-wait-for-apply",
    file: "src/server/reads.ts",
    from: `if (point.index <= this.#appliedIndex()) this.#resolve(round.readers);`,
    to: `if (point.index <= this.#appliedIndex() + 1) this.#resolve(round.readers);`,
    why: "Off by one: the last committed entry may be missing in what the reader sees.",
    seenBy: ["linearizability"],
  },
  {
    name: "next-read-round-not-begun",
    file: "src/server/reads.ts",
    from: `      if (this.#waiting.length > 0) this.#scheduleStart();
    }
  }`,
    to: `    }
  }`,
    why: "A lost wake-up: reads that came during a round wait until somebody else asks.",
    seenBy: ["progress", "liveness"],
  },
  {
    name: "read-transaction-without-round",
    file: "src/services/kv.ts",
    from: `    if (!isSerializable(request)) await server.readBarrier(context);\n`,
    to: "",
    why: "A transaction of reads alone answers with whatever this member has.",
    seenBy: ["linearizability"],
  },
  {
    name: "header-newer-than-its-pairs",
    file: "src/services/sliced-reader.ts",
    from: `return pairs.answer({ header, more, count: result.count });`,
    to: `return pairs.answer({ header: { ...header, revision: this.#mvcc.currentRevision }, more, count: result.count });`,
    why: "A range that took several turns claims to be of a later revision than the one that it shows.",
    seenBy: ["linearizability", "serializable"],
  },
  {
    name: "second-life-allowed",
    file: "src/server/join.ts",
    from: `if (!members.some((member) => member.id === id && member.clientURLs.length > 0)) return;`,
    to: `if (!members.some((member) => member.id === id && member.clientURLs.length > 99)) return;`,
    why: "A member that lost its disk comes back empty under its old id and has forgotten what it acknowledged.",
    seenBy: ["second life", "durability"],
  },

  // Lease time.
  {
    name: "expiry-by-a-deposed-leader",
    file: "src/server/proposals.ts",
    from: `if (pending.leaderTerm !== 0 && (role !== "leader" || pending.leaderTerm !== term)) {`,
    to: `if (pending.leaderTerm !== 0 && role !== "leader" && role !== "follower") {`,
    why:
      "A leader that was paused wakes up and finds a lease due that was renewed at its successor; it proposes the revoke " +
      "in the turn in which it learns of the successor, and the revoke goes there.",
    seenBy: ["leases"],
  },
  {
    name: "keep-alive-by-a-deposed-leader",
    file: "src/server/lease-clock.ts",
    from: `    const confirmed = this.#deps.confirmLeadership();
    if (this.#group`,
    to: `    const confirmed = Promise.resolve();
    if (this.#group`,
    why: "A leader that was paused acknowledges a renewal that its successor knows nothing of.",
    seenBy: ["leases"],
  },
  {
    name: "new-leader-counts-from-zero",
    file: "src/server/lease-clock.ts",
    from: `const seconds = lease.remainingSeconds > 0 ? lease.remainingSeconds : lease.ttlSeconds;`,
    to: `const seconds = lease.remainingSeconds;`,
    why: "Under a new leader every lease ends after an election timeout.",
    seenBy: ["leases"],
  },
  {
    name: "due-lease-renewed",
    file: "src/server/lease-clock.ts",
    from: `    else if (env.now() >= deadline.expiresAt) deadline`,
    to: `    else if (env.now() >= deadline.expiresAt && deadline.retryAt === 0) deadline`,
    why: "A renewal is acknowledged while the revoke of the lease is on its way through the log.",
    seenBy: ["leases"],
  },
  {
    name: "expiry-scan-stuck",
    file: "src/server/lease-clock.ts",
    from: `    } finally {
      this.#scanning = false;`,
    to: `    } finally {
      this.#scanning = this.#deadlines === undefined;`,
    why: "A scan that is interrupted by the loss of leadership is the last one of this member.",
    seenBy: ["leases"],
  },
  {
    name: "trouble-answered-as-lease-gone",
    file: "src/server/lease-desk.ts",
    from: `        if (answer.status === 404) return 0;
        if (answer.status !== 200) throw errors.notLeader;`,
    to: `        if (answer.status !== 200) return 0;`,
    why: "A client of a follower is told that its lease is gone when the leader has merely changed.",
    seenBy: ["leases"],
  },
  {
    name: "header-tells-the-term-of-the-election",
    file: "src/server/member.ts",
    from: `header.raftTerm = machine.appliedTerm;`,
    to: `header.raftTerm = raftStatus(raft).term;`,
    why: "H-1: the term of an answer is that of what was applied; a member may know of a term in which nothing ever was.",
    seenBy: ["headers"],
  },
  {
    name: "status-takes-committed-for-applied",
    file: "src/server/member.ts",
    from: `appliedIndex: machine.appliedIndex,
      dbSizeBytes`,
    to: `appliedIndex: state.commit,
      dbSizeBytes`,
    why: "Who waits for a member to catch up goes by it, and would read what is not there yet.",
    seenBy: ["status"],
  },
  {
    name: "lease-list-without-the-due",
    file: "src/server/lease-clock.ts",
    from: `[...this.#deadlines].sort(`,
    to: `[...this.#deadlines].filter(([, { expiresAt }]) => expiresAt > this.#deps.env.now()).sort(`,
    why: "A lease is there, and holds its keys, until it was revoked.",
    seenBy: ["lease-lists"],
  },
  {
    name: "revoke-wakes-nobody",
    file: "src/server/lease-clock.ts",
    from: `          if (deadline !== undefined) wakeAll(deadline);
          break;`,
    to: `          break;`,
    why: "L-4: a keep-alive that waits for the end of a lease that is due hears nothing of it until its client gives up.",
    seenBy: ["progress"],
  },
];
