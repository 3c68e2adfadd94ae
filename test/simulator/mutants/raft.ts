import type { Mutant } from "./mutant.ts";

/** Elections, votes, replication, commit, reads: the consensus core. */
export const raftMutants: readonly Mutant[] = [
  // Elections and votes.
  {
    name: "vote-answered-before-disk",
    file: "raft/election.ts",
    from: `raft.afterPersist.push({
    type: "MsgVoteResp",`,
    to: `raft.outbox.push({
    type: "MsgVoteResp",`,
    why: "A voter that crashes before its vote is on disk comes back and votes for somebody else in the same term.",
    seenBy: ["leader-per-term", "durability"],
  },
  {
    name: "vote-request-before-disk",
    file: "raft/election.ts",
    from: `raft.afterPersist.push(voteRequest(raft, "MsgVote", to, transfer));`,
    to: `raft.outbox.push(voteRequest(raft, "MsgVote", to, transfer));`,
    why:
      "A candidate wins with the votes of others before its own term is on disk; after a crash it stands in that very " +
      "term again, its voters repeat their votes, and it writes another entry at an index it has used.",
    seenBy: ["leader-per-term", "log-matching", "durability"],
  },
  {
    name: "vote-without-sync",
    file: "raft/persist.ts",
    from: `mustSync: voted || changed || entries.length > 0 || snapshot !== undefined,`,
    to: `mustSync: changed || entries.length > 0 || snapshot !== undefined,`,
    why: "Term and vote are written but not synced before the vote is answered: a power cut takes them back.",
    seenBy: ["leader-per-term", "durability"],
  },
  {
    name: "vote-not-replayed",
    file: "storage/wal-replay.ts",
    from: `this.#hardState = { term: state.term, vote: state.vote, commit: state.commit };`,
    to: `this.#hardState = { term: state.term, vote: 0n, commit: state.commit };`,
    why: "After a restart a member does not know whom it voted for, and votes again in the same term.",
    seenBy: ["leader-per-term", "durability"],
  },
  {
    name: "votes-for-whoever-asks",
    file: "raft/election.ts",
    from: `const free = raft.vote === from || (raft.vote === NONE && raft.leader === NONE) || future;`,
    to: `const free = raft.leader === NONE || future;`,
    why: "A member that has voted votes for the next candidate of the term, too.",
    seenBy: ["leader-per-term", "member", "durability"],
  },
  {
    name: "vote-without-looking-at-the-log",
    file: "raft/election.ts",
    from: `const granted = free && isUpToDate(raft.log, message.index, message.logTerm);`,
    to: `const granted = free;`,
    why: "A member without the committed entries is elected and replaces them.",
    seenBy: ["durability", "log-matching", "member"],
  },
  {
    name: "up-to-date-by-length",
    file: "raft/log.ts",
    from: `return term > own || (term === own && index >= lastIndex(log));`,
    to: `return index >= lastIndex(log);`,
    why: "A long log of an old term, never committed, wins over a shorter one of a newer term that was.",
    seenBy: ["durability", "log-matching", "member"],
  },
  {
    name: "up-to-date-by-term",
    file: "raft/log.ts",
    from: `return term > own || (term === own && index >= lastIndex(log));`,
    to: `return term >= own;`,
    why: "A member that lacks the last committed entries of the term is elected.",
    seenBy: ["durability", "log-matching", "member"],
  },
  {
    name: "prevotes-counted-as-votes",
    file: "raft/state.ts",
    from: `  raft.votes.clear();\n`,
    to: "",
    why: "The answers to the pre-vote are still there when the candidate counts: it wins as soon as its own vote is written.",
    seenBy: ["leader-per-term", "log-matching", "member"],
  },
  {
    name: "vote-outlives-its-term",
    file: "raft/state.ts",
    from: `  raft.vote = NONE;\n`,
    to: "",
    why: "The vote of an old term binds in the new one: members that voted for different candidates elect nobody any more.",
    seenBy: ["liveness"],
  },
  {
    name: "older-term-heard",
    file: "raft/messages.ts",
    from: `  if (message.term < raft.term) {
    answerFromThePast(raft, message);
    return false;
  }
  return true;`,
    to: `  return true;`,
    why: "A deposed leader's entries are taken, and old acknowledgements counted.",
    seenBy: ["log-matching", "durability", "member", "liveness"],
  },
  {
    name: "no-answer-to-an-older-term",
    file: "raft/messages.ts",
    from: `if (!raft.config.checkQuorum && !raft.config.preVote) return;`,
    to: `if (raft.config.checkQuorum || raft.config.preVote) return;`,
    why:
      "A member whose term went ahead (it stood while it was cut off) ignores the leader, and the others, under the " +
      "leader's lease, ignore it: it never comes back.",
    seenBy: ["liveness"],
  },
  {
    name: "check-quorum-never-forgets",
    file: "raft/election.ts",
    from: `    pr.recentActive = false;\n`,
    to: "",
    why:
      "A leader that hears nobody any more keeps its office. Cut off in one direction only, it goes on silencing a " +
      "quorum that could elect another.",
    seenBy: ["liveness"],
  },

  // Replication.
  {
    name: "previous-term-not-compared",
    file: "raft/replication.ts",
    from: `if (termAt(log, index) !== logTerm) {`,
    to: `if (termAt(log, index) === undefined) {`,
    why: "Entries are put behind one of another term: two logs agree at an index and not before it.",
    seenBy: ["log-matching", "state-hash", "durability", "member"],
  },
  {
    name: "conflicting-entry-kept",
    file: "raft/log.ts",
    from: `if (term === entry.term) continue;`,
    to: `if (term !== undefined) continue;`,
    why: "What a deposed leader left in the log stays there, and is committed with the new leader's index.",
    seenBy: ["log-matching", "state-hash", "durability", "member"],
  },
  {
    name: "old-append-truncates",
    file: "raft/log.ts",
    from: `    if (term === entry.term) continue;\n`,
    to: "",
    why: "A MsgApp that was overtaken by a longer one cuts off what the follower has acknowledged since.",
    seenBy: ["durability", "log-matching", "liveness", "member"],
  },
  {
    name: "acknowledged-before-disk",
    file: "raft/state.ts",
    from: `  raft.afterPersist.push({
    type: "MsgAppResp",
    from: raft.id,
    to,
    term: raft.term,
    index: furthest,`,
    to: `  raft.outbox.push({
    type: "MsgAppResp",
    from: raft.id,
    to,
    term: raft.term,
    index: furthest,`,
    why: "A follower acknowledges entries that a power cut can still take from it.",
    seenBy: ["durability", "member", "log-matching"],
  },
  // "min(commit, lastIndex)" and an acknowledgement of lastIndex would be no mistakes here: the first MsgApp of a leader that
  // a follower accepts begins where their logs part, so nothing of an older leader is left behind its entries.
  {
    name: "commit-not-bounded-by-the-message",
    file: "raft/replication.ts",
    from: `commitTo(log, Math.min(message.commit, last));`,
    to: `commitTo(log, message.commit);`,
    why: "A follower that catches up in pieces is told of commits that it does not hold yet.",
    seenBy: ["member", "log-matching"],
  },
  {
    name: "heartbeat-commit-not-bounded",
    file: "raft/replication.ts",
    from: `const commit = Math.min(pr.match, commitInForce(raft.log));`,
    to: `const commit = commitInForce(raft.log);`,
    why: "A heartbeat commits entries that the follower has from an old leader and that were replaced elsewhere.",
    seenBy: ["log-matching", "state-hash", "durability", "member", "liveness"],
  },
  {
    name: "lost-probe-never-repeated",
    file: "raft/progress.ts",
    from: `if (pr.state === "probe") pr.probeSent = false;`,
    to: "",
    why: "A probe that gets lost is the last MsgApp that this leader sends to the follower.",
    seenBy: ["liveness"],
  },
  {
    name: "lost-append-unnoticed",
    file: "raft/progress.ts",
    from: `if (pr.state === "replicate" && pr.match < lastIndex && pr.match === matchAtBeat) pr.nudge = true;`,
    to: "",
    why: "The last MsgApp before silence gets lost: nobody finds out, and the follower stays behind.",
    seenBy: ["liveness"],
  },
  {
    name: "window-keeps-its-last",
    file: "raft/progress.ts",
    from: `if (message.last > index) break;`,
    to: `if (message.last >= index) break;`,
    why: "The last message of the window counts as unacknowledged: a window of one is full for ever.",
    seenBy: ["liveness"],
  },
  {
    name: "replaced-bytes-still-counted",
    file: "raft/log.ts",
    from: `log.unappliedBytes -= sumBytes(log.entries.splice(index - log.before.index - 1));`,
    to: `log.entries.splice(index - log.before.index - 1);`,
    why: "Every replaced entry takes its bytes from the limit for good, until this member, leading, takes no proposals.",
    seenBy: ["member", "liveness"],
  },
  {
    name: "transfer-never-given-up",
    file: "raft/election.ts",
    from: `    leadership.transferee = NONE;
  }
  if (raft.heartbeatElapsed`,
    to: `  }
  if (raft.heartbeatElapsed`,
    why: "A leader that was to hand over to a member which is not there refuses proposals for the rest of its term.",
    seenBy: ["liveness"],
  },

  // Commit and durability.
  {
    name: "commits-older-terms-by-count",
    file: "raft/replication.ts",
    from: `if (index <= log.commit || termAt(log, index) !== raft.term) return;`,
    to: `if (index <= log.commit) return;`,
    why: "An entry of an older term on a majority can still be replaced (figure 8 of the Raft paper).",
    seenBy: ["log-matching", "durability", "member"],
  },
  {
    name: "commits-what-its-own-disk-has",
    file: "raft/replication.ts",
    from: `const index = majorityIndex(matches);`,
    to: `const index = progressOf(leadership, raft.id)?.match ?? majorityIndex(matches);`,
    why: "The leader answers before a quorum holds the write.",
    seenBy: ["durability", "log-matching", "member"],
  },
  {
    name: "leader-counts-itself-before-disk",
    file: "raft/replication.ts",
    from: `onAcknowledged(own, raft.log.stable);`,
    to: `onAcknowledged(own, lastIndex(raft.log));`,
    why: "With one follower an entry counts as committed while the leader's own write is still under way, and can be lost.",
    seenBy: ["durability", "log-matching", "member"],
  },
  {
    name: "persisted-covers-later-writes",
    file: "raft/persist.ts",
    from: `log.stable = Math.max(log.stable, done.through);`,
    to: `log.stable = Math.max(log.stable, log.taken);`,
    why: "One write that is done vouches for those that were begun after it.",
    seenBy: ["durability", "log-matching", "member"],
  },
  {
    name: "claims-survive-replacement",
    file: "raft/log.ts",
    from: `for (const write of log.writes) write.through = Math.min(write.through, through);`,
    to: "",
    why:
      "A write that was under way when its entries were replaced vouches for the ones that replaced them (the ABA " +
      "schedule at the top of log.ts).",
    seenBy: ["durability", "member"],
  },
  {
    name: "applies-before-its-own-disk",
    file: "raft/log.ts",
    from: `const entries = entriesBetween(log, log.handed + 1, Math.min(commitInForce(log), log.stable), maxBytes);`,
    to: `const entries = entriesBetween(log, log.handed + 1, commitInForce(log), maxBytes);`,
    why: "The state store gets ahead of the log that it is recovered from.",
    seenBy: ["durability", "member"],
  },
  {
    name: "promises-sent-with-the-write",
    file: "src/server/node.ts",
    from: `    this.#deps.wal
      .append(`,
    to: `    if (persist.thenSend.length > 0) this.#deps.send(persist.thenSend);
    this.#deps.wal
      .append(`,
    why: "Votes and acknowledgements leave while what they promise is still being written.",
    seenBy: ["durability", "leader-per-term"],
  },

  // Reads.
  {
    name: "read-index-without-quorum",
    file: "raft/read-index.ts",
    from: `  if (!isMajority(confirmed, raft.voters.length)) return;\n`,
    to: "",
    why: "A leader that was deposed without knowing it answers reads.",
    seenBy: ["linearizability"],
  },
  {
    name: "read-index-before-own-commit",
    file: "raft/read-index.ts",
    from: `  if (termAt(log, log.commit) !== raft.term) return;\n`,
    to: "",
    why: "A new leader's commit index may be behind what its predecessor acknowledged.",
    seenBy: ["linearizability"],
  },
  {
    name: "read-confirmed-by-any-heartbeat",
    file: "raft/read-index.ts",
    from: `if (round === undefined || !isSame(round.context, context)) return;`,
    to: `if (round === undefined) return;`,
    why: "An answer to a heartbeat from before the round says nothing about who leads now.",
    seenBy: ["linearizability"],
  },
];
