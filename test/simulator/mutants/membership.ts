import type { Mutant } from "./mutant.ts";

/** Changes of the membership. */
export const membershipMutants: readonly Mutant[] = [
  {
    name: "half-is-a-majority",
    file: "raft/quorum.ts",
    from: `return Math.floor(voters / 2) + 1;`,
    to: `return Math.ceil(voters / 2);`,
    why: "Right for every odd number. While members are changed there are even ones, and two halves need not meet.",
    seenBy: ["leader-per-term", "log-matching", "durability"],
    needs: "membership",
  },
  {
    name: "learner-counts-for-commit",
    file: "raft/replication.ts",
    from: `for (const pr of leadership.progress) if (!pr.learner) matches.push(pr.match);`,
    to: `for (const pr of leadership.progress) matches.push(pr.match);`,
    why: "An entry on the leader and a learner may be on a minority of the voters.",
    seenBy: ["durability", "log-matching"],
    needs: "membership",
  },
  {
    name: "two-changes-at-once",
    file: "raft/proposals.ts",
    from: `leadership.pendingConfIndex > raft.log.applied`,
    to: `leadership.pendingConfIndex > lastIndex(raft.log)`,
    why: "Two unapplied changes make majorities that do not meet.",
    seenBy: ["leader-per-term", "log-matching", "durability"],
    needs: "membership",
  },
  {
    name: "stands-before-applying-the-change",
    file: "raft/election.ts",
    from: ` &&\n    lastConfChangeBetween(log, log.applied + 1, log.commit) === 0`,
    to: "",
    why: "A candidate counts votes by a membership that is two changes behind the real one.",
    seenBy: ["leader-per-term", "durability"],
    needs: "membership",
  },
  {
    name: "removed-leader-goes-on",
    file: "raft/membership.ts",
    from: `if (raft.role !== "follower" && !isVoter(raft, raft.id)) becomeFollower(raft, raft.term, NONE);`,
    to: "",
    why: "A leader that applied its own removal takes proposals no more, and keeps everybody from electing another.",
    seenBy: ["liveness"],
    needs: "membership",
  },
];
