import type { History, LogEntry, Probe, ProbeChecker, Stamp } from "../history.ts";
import { createMajorities } from "./majorities.ts";
import { MemberLog } from "./member-log.ts";

/** What a member has promised to others, which its disk has to remember from life to life. */
interface Promises {
  readonly log: MemberLog;
  /** Everything up to here was acknowledged, and not replaced since. */
  acknowledged: number;
  term: number;
  /** The vote in `term`, 0 for none. */
  vote: number;
  /** As its log was last told. */
  writtenTerm: number;
  /** Everything up to here was acknowledged in that term. */
  sameTerm: number;
  /** A fault took or changed what was synced: until its next start nothing binds. */
  isDamaged: boolean;
  runs: boolean;
}

/**
 * What was acknowledged is never lost.
 *
 * Of an entry: when anybody hands it out as committed, it was on the disks of a majority of the voters in force.
 *
 * Of a member: what it started with holds every entry that it acknowledged, and a term and vote not older than those it
 * spoke of, however its last life ended. And what it acknowledged to the leader of a term nobody makes it replace in that
 * term, for that leader goes on counting it. Of the cluster: an entry that anybody applied is applied, at the same place, by
 * every member that runs in the end (log-matching sees to it that it is the same entry).
 */
export function createDurability(history: Pick<History, "report" | "facts">): ProbeChecker {
  const name = "durability";
  const members = new Map<number, Promises>();
  const applied = new Map<number, number>();
  const majorities = createMajorities((message, at) => history.report(name, message, at));
  const firstApplied: { readonly index: number; readonly at: number }[] = [];
  let acknowledgements = 0;
  let restarts = 0;
  let entriesFound = 0;
  let finalMembers = 0;

  const of = (member: number): Promises => {
    let promises = members.get(member);
    if (promises === undefined) {
      promises = {
        log: new MemberLog(),
        acknowledged: 0,
        term: 0,
        vote: 0,
        writtenTerm: 0,
        sameTerm: 0,
        isDamaged: false,
        runs: false,
      };
      members.set(member, promises);
    }
    return promises;
  };

  const spoke = (promises: Promises, term: number, vote: number): void => {
    if (term < promises.term) return;
    if (term > promises.term) promises.vote = 0;
    promises.term = term;
    if (vote !== 0) promises.vote = vote;
  };

  const started = (probe: Probe & { readonly kind: "started" }, { at }: Stamp): void => {
    const { member, life } = probe;
    const promises = of(member);
    promises.runs = true;
    const before = `member ${member} starts life ${life}`;
    const lost = promises.isDamaged ? undefined : firstLost(promises, probe);
    if (life > 1) restarts++;
    if (lost !== undefined) {
      history.report(name, `${before} without entry ${lost.index} of term ${lost.term}, which it acknowledged`, at);
    }
    if (!promises.isDamaged && probe.term < promises.term) {
      history.report(name, `${before} in term ${probe.term}, having spoken in term ${promises.term}`, at);
    }
    if (!promises.isDamaged && probe.term === promises.term && promises.vote !== 0 && probe.vote !== promises.vote) {
      history.report(
        name,
        `${before} with a vote for ${probe.vote} in term ${probe.term}, having voted for ${promises.vote}`,
        at,
      );
    }
    if (promises.isDamaged) {
      promises.term = probe.term;
      promises.vote = probe.vote;
    }
    if (promises.isDamaged || promises.writtenTerm !== probe.term) promises.sameTerm = 0;
    promises.writtenTerm = probe.term;
    promises.isDamaged = false;
    promises.log.reset(probe.firstIndex - 1, probe.log);
    // What it read from the disk is on the disk.
    promises.acknowledged = promises.log.lastIndex;
    applied.set(member, probe.appliedIndex);
  };

  const firstLost = (promises: Promises, probe: Probe & { readonly kind: "started" }): LogEntry | undefined => {
    for (let index = Math.max(promises.log.firstIndex, probe.firstIndex); index <= promises.acknowledged; index++) {
      const entry = promises.log.at(index);
      const found = probe.log[index - probe.firstIndex];
      if (entry === undefined) continue;
      if (found === undefined || found.term !== entry.term || found.hash !== entry.hash) return entry;
      entriesFound++;
    }
    return undefined;
  };

  /**
   * Of a write that was replaced while it was under way, the acknowledgement leaves all the same: it is of an older term
   * than what now stands there.
   */
  const acknowledge = (
    promises: Promises,
    { member, index, term }: Probe & { readonly kind: "acknowledged" },
    { at }: Stamp,
  ): void => {
    spoke(promises, term, 0);
    if (term === promises.writtenTerm) promises.sameTerm = Math.max(promises.sameTerm, index);
    const { log } = promises;
    let through = Math.min(index, log.lastIndex);
    while (through > promises.acknowledged && (log.at(through)?.term ?? 0) > term) through--;
    promises.acknowledged = Math.max(promises.acknowledged, through);
    if (index > log.lastIndex && (log.at(log.lastIndex)?.term ?? 0) <= term) {
      history.report(name, `member ${member} acknowledges index ${index}, its log ends at ${log.lastIndex}`, at);
    }
  };

  const replace = (promises: Promises, probe: Probe & { readonly kind: "persist" }, { at }: Stamp): void => {
    const { member, hardState, entries } = probe;
    if (hardState !== undefined && hardState.term !== promises.writtenTerm) {
      promises.writtenTerm = hardState.term;
      promises.sameTerm = 0;
    }
    const [first] = entries;
    if (first === undefined) return;
    if (first.index <= promises.sameTerm) {
      history.report(
        name,
        `member ${member} replaces its log from index ${first.index} on, having acknowledged ${promises.sameTerm} in the same term ${promises.writtenTerm}`,
        at,
      );
    }
    // While a replacing write is under way, the disk may hold the old entries or the new ones.
    promises.acknowledged = Math.min(promises.acknowledged, first.index - 1);
    if (!promises.log.append(entries)) promises.log.reset(first.index - 1, entries);
  };

  /** The leader, first of all, writes what it takes for committed. */
  const commits = (
    promises: Promises,
    { member, hardState }: Probe & { readonly kind: "persist" },
    stamp: Stamp,
  ): void => {
    for (let index = majorities.maxCommitted() + 1; index <= (hardState?.commit ?? 0); index++) {
      const entry = promises.log.at(index);
      if (entry !== undefined) majorities.commit(member, entry, stamp);
    }
  };

  /** What was applied this long before the end, everybody has applied. */
  const settled = ({ at }: Stamp): void => {
    const before = at - 2 * history.facts.electionMs;
    const highest = firstApplied.findLast((first) => first.at <= before)?.index ?? 0;
    for (const [member, promises] of members) {
      if (!promises.runs || !majorities.isMember(member)) continue;
      finalMembers++;
      const own = applied.get(member) ?? 0;
      if (own >= highest) continue;
      history.report(name, `in the end member ${member} has applied ${own}, others have long applied ${highest}`, at);
    }
  };

  return {
    name,
    probe(probe: Probe, stamp: Stamp) {
      majorities.probe(probe, stamp);
      const promises = of(probe.member);
      switch (probe.kind) {
        case "started":
          started(probe, stamp);
          break;
        case "persist":
          replace(promises, probe, stamp);
          commits(promises, probe, stamp);
          break;
        case "installed":
          promises.log.reset(probe.index, []);
          promises.acknowledged = probe.index;
          applied.set(probe.member, Math.max(applied.get(probe.member) ?? 0, probe.index));
          break;
        case "acknowledged":
          acknowledgements++;
          // 0 is no acknowledgement of anything: so it answers what is older than its term.
          if (probe.index > 0) acknowledge(promises, probe, stamp);
          break;
        case "committed":
          // Handed out only from the own disk: so a leader, too, shows what it counts itself for.
          if (promises.log.at(probe.entry.index)?.hash === probe.entry.hash) {
            promises.acknowledged = Math.max(promises.acknowledged, probe.entry.index);
          }
          break;
        case "voted":
          spoke(promises, probe.term, probe.vote);
          break;
        case "damaged":
          if (probe.what !== "state") promises.isDamaged = true;
          break;
        case "ended":
          promises.runs = false;
          break;
        case "applied":
          applied.set(probe.member, probe.entry.index);
          if (probe.entry.index > (firstApplied.at(-1)?.index ?? 0)) {
            firstApplied.push({ index: probe.entry.index, at: stamp.at });
          }
          break;
        default:
          break;
      }
    },
    world(event, stamp) {
      if (event.kind === "settled") settled(stamp);
    },
    counts: () => ({
      acknowledgements,
      restarts,
      "entries found again": entriesFound,
      "members in the end": finalMembers,
      "majorities of disks": majorities.seen(),
    }),
  };
}
