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
  },
  {
    name: "learner-counts-for-commit",
    file: "raft/replication.ts",
    from: `for (const pr of leadership.progress) if (!pr.learner) matches.push(pr.match);`,
    to: `for (const pr of leadership.progress) matches.push(pr.match);`,
    why: "An entry on the leader and a learner may be on a minority of the voters.",
    seenBy: ["durability", "log-matching"],
  },
  {
    name: "two-changes-at-once",
    file: "raft/proposals.ts",
    from: `leadership.pendingConfIndex > raft.log.applied`,
    to: `leadership.pendingConfIndex > lastIndex(raft.log)`,
    why: "Two unapplied changes make majorities that do not meet.",
    seenBy: ["leader-per-term", "log-matching", "durability"],
  },
  {
    name: "stands-before-applying-the-change",
    file: "raft/election.ts",
    from: ` &&\n    lastConfChangeBetween(log, log.applied + 1, log.commit) === 0`,
    to: "",
    why: "A candidate counts votes by a membership that is two changes behind the real one.",
    seenBy: ["leader-per-term", "durability"],
  },
  {
    name: "removed-leader-goes-on",
    file: "raft/membership.ts",
    from: `if (raft.role !== "follower" && !isVoter(raft, raft.id)) becomeFollower(raft, raft.term, NONE);`,
    to: "",
    why: "A leader that applied its own removal takes proposals no more, and keeps everybody from electing another.",
    seenBy: ["leader-per-term", "liveness"],
  },
  {
    name: "learner-taken-for-a-voter",
    file: "raft/state.ts",
    from: `export function isVoter(raft: Raft, id: NodeId): boolean {
  return raft.voters.includes(id);`,
    to: `export function isVoter(raft: Raft, id: NodeId): boolean {
  return isMember(raft, id);`,
    why: "A learner that hears no leader stands, and the voters elect it.",
    seenBy: ["leader-per-term", "liveness"],
  },
  {
    name: "promoted-learner-stays-one",
    file: "raft/membership.ts",
    from: `const learners = raft.learners.filter((id) => id !== node);`,
    to: `const learners = [...raft.learners];`,
    why: "It votes, and the leader leaves it out when it counts who has an entry: two majorities that need not meet.",
    seenBy: ["durability", "log-matching", "leader-per-term"],
  },
  {
    name: "configuration-not-stored",
    file: "src/state/apply.ts",
    from: `      this.#backend.put("meta", CONF_STATE, Buffer.from(confStateJson(confState)));\n`,
    to: `      if (this.#point.index === 0) this.#backend.put("meta", CONF_STATE, Buffer.from(confStateJson(confState)));\n`,
    why: "After a restart a member counts votes by the membership of long ago, which it takes for that of its applied index.",
    seenBy: ["leader-per-term", "durability", "liveness", "member", "log-matching"],
  },
  {
    name: "learner-promoted-far-behind",
    file: "src/server/membership.ts",
    from: `    if (match < leaderMatch * READY_PART) throw errors.learnerNotReady;\n`,
    to: "",
    why: "A voter that has next to nothing counts in every majority, and can give none (M-5).",
    seenBy: ["members"],
  },
  {
    name: "removed-id-accepted-again",
    file: "src/state/cluster.ts",
    from: `    if (this.#removed.has(id)) return refused(errors.memberNotFound);\n`,
    to: "",
    why: "Within one second the same URL gets the same id again, and nobody talks to a member that was removed.",
    seenBy: ["members"],
  },
  {
    name: "removed-member-stays",
    file: "src/server/departure.ts",
    from: `    if (this.#isLeaving) return;
    this.#isLeaving = true;`,
    to: `    if (this.#isLeaving) return;
    this.#isLeaving = true;
    if (because === "applied") return;`,
    why: "A member that applied its own removal takes it for dealt with, whoever tells it, and never ends.",
    seenBy: ["liveness"],
  },
  {
    name: "change-in-force-before-its-commit-is-stored",
    file: "raft/log.ts",
    from: `return log.unsettledChange === 0 ? log.commit : log.unsettledChange - 1;`,
    to: `return log.commit;`,
    why:
      "Of two members one is removed and ends; the other loses its power before its disk knows that the change is " +
      "committed, comes back with the votes of both to count, and never leads again.",
    seenBy: ["liveness", "progress", "members"],
  },
];
