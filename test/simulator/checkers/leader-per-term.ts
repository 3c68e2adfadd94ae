import type { History, Probe, ProbeChecker, Stamp } from "../history.ts";

/**
 * A term has at most one leader, because a member votes at most once in a term, whatever lives it has.
 *
 * A member whose disk was lost or whose log was damaged may have forgotten its vote: of its votes only those since then
 * are compared.
 */
export function createLeaderPerTerm(history: Pick<History, "report">): ProbeChecker {
  const name = "leader-per-term";
  const leaders = new Map<number, number>();
  const votes = new Map<number, Map<number, number>>();
  let leadersSeen = 0;
  let votesSeen = 0;

  const leader = (member: number, term: number, { at }: Stamp): void => {
    leadersSeen++;
    const other = leaders.get(term);
    if (other !== undefined && other !== member) {
      history.report(name, `term ${term} has two leaders: members ${other} and ${member}`, at);
    }
    leaders.set(term, member);
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
  };

  return {
    name,
    probe(probe: Probe, stamp: Stamp) {
      if (probe.kind === "leader") leader(probe.member, probe.term, stamp);
      else if (probe.kind === "voted") voted(probe.member, probe.term, probe.vote, stamp);
      else if (probe.kind === "damaged" && probe.what !== "state") votes.delete(probe.member);
    },
    counts: () => ({ leaders: leadersSeen, votes: votesSeen }),
  };
}
