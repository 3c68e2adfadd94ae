import type { History, Probe, ProbeChecker, Stamp } from "../history.ts";

/** What a member has applied of the membership, and what it knows and has not applied. */
interface Knowledge {
  /** By the numbers of members; undefined while nothing of it is known. */
  voters: readonly number[] | undefined;
  votersSince: number;
  applied: number;
  /** The last commit index that it wrote. */
  commit: number;
  /** Changes of the membership in its log, as far as they matter. */
  changes: readonly number[];
  /** The term that it leads, 0 for none. */
  leads: number;
}

/**
 * A term has at most one leader, because a member votes at most once in a term, whatever lives it has, and a leader has
 * the votes of a majority.
 *
 * - One leader a term, one vote a member and term. A member whose disk was lost or whose log was damaged may have
 *   forgotten its vote: of its votes only those since then are compared.
 * - A leader has the votes of a majority of the voters, by the membership that it has applied.
 * - That is not one which it knows to be over: nobody wins while a change that it knows to be committed is not applied,
 *   for two changes later majorities need not meet.
 * - Who is no voter does not lead: it stepped down when it applied its removal.
 */
export function createLeaderPerTerm(history: Pick<History, "report">): ProbeChecker {
  const name = "leader-per-term";
  const leaders = new Map<number, number>();
  const votes = new Map<number, Map<number, number>>();
  /** Who got a vote may count it, whatever becomes of the voter's disk. */
  const given = new Set<string>();
  const members = new Map<number, Knowledge>();
  let leadersSeen = 0;
  let votesSeen = 0;
  let majoritiesSeen = 0;

  const of = (member: number): Knowledge => {
    let knowledge = members.get(member);
    if (knowledge === undefined) {
      knowledge = { voters: undefined, votersSince: 0, applied: 0, commit: 0, changes: [], leads: 0 };
      members.set(member, knowledge);
    }
    return knowledge;
  };

  const leader = (member: number, term: number, { at }: Stamp): void => {
    leadersSeen++;
    const other = leaders.get(term);
    if (other !== undefined && other !== member) {
      history.report(name, `term ${term} has two leaders: members ${other} and ${member}`, at);
    }
    leaders.set(term, member);
    const own = of(member);
    own.leads = term;
    if (own.voters === undefined) return;
    majoritiesSeen++;
    const granted = own.voters.filter((voter) => voter === member || given.has(`${voter} ${term} ${member}`));
    if (2 * granted.length <= own.voters.length) {
      const whose = `votes of ${granted.join()}, where ${own.voters.join()} are voters`;
      history.report(name, `member ${member} leads term ${term} with the ${whose}`, at);
    }
    const open = own.changes.find((index) => index > own.applied && index <= own.commit);
    if (open !== undefined) {
      const why = `knows that change ${open} of the membership is committed, and has applied ${own.applied}`;
      history.report(name, `member ${member} leads term ${term} though it ${why}`, at);
    }
  };

  const voted = (member: number, term: number, vote: number, { at }: Stamp): void => {
    votesSeen++;
    let own = votes.get(member);
    if (own === undefined) {
      own = new Map();
      votes.set(member, own);
    }
    const before = own.get(term);
    if (before !== undefined && before !== vote) {
      history.report(name, `member ${member} voted for ${before} and for ${vote} in term ${term}`, at);
    }
    own.set(term, vote);
    given.add(`${member} ${term} ${vote}`);
  };

  /** Applying a change and stepping down are one turn: whatever comes later finds it done. */
  const lookAtOffice = (member: number, own: Knowledge, { at }: Stamp): void => {
    if (own.leads === 0 || own.voters === undefined || own.voters.includes(member) || at <= own.votersSince) return;
    history.report(name, `member ${member} leads term ${own.leads}, and has applied that it is no voter`, at);
  };

  const wrote = (own: Knowledge, probe: Probe & { readonly kind: "started" | "persist" }): void => {
    const entries = probe.kind === "started" ? probe.log : probe.entries;
    const commit = probe.kind === "started" ? probe.commit : probe.hardState?.commit;
    const [first] = entries;
    if (probe.kind === "started") own.changes = [];
    else if (first !== undefined) own.changes = own.changes.filter((index) => index < first.index);
    const added = entries.filter(({ isChange, index }) => isChange === true && index > own.applied);
    if (added.length > 0) own.changes = [...own.changes, ...added.map(({ index }) => index)];
    own.commit = commit ?? own.commit;
  };

  return {
    name,
    probe(probe: Probe, stamp: Stamp) {
      const { member } = probe;
      const own = of(member);
      lookAtOffice(member, own, stamp);
      switch (probe.kind) {
        case "started":
          own.applied = probe.appliedIndex;
          own.leads = 0;
          own.voters = undefined;
          wrote(own, probe);
          break;
        case "persist":
          wrote(own, probe);
          break;
        case "applied":
          own.applied = probe.entry.index;
          if (probe.entry.isChange === true) own.changes = own.changes.filter((index) => index > own.applied);
          break;
        case "members":
          if (probe.list.length === 0) break;
          own.voters = probe.voters;
          own.votersSince = stamp.at;
          break;
        case "leader":
          leader(member, probe.term, stamp);
          break;
        case "deposed":
        case "ended":
          own.leads = 0;
          break;
        case "voted":
          voted(member, probe.term, probe.vote, stamp);
          break;
        case "damaged":
          if (probe.what !== "state") votes.delete(member);
          break;
        default:
          break;
      }
    },
    tick: (stamp) => {
      for (const [member, own] of members) lookAtOffice(member, own, stamp);
    },
    counts: () => ({ leaders: leadersSeen, votes: votesSeen, majorities: majoritiesSeen }),
  };
}
