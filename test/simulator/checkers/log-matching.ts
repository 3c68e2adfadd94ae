import type { History, LogEntry, Probe, ProbeChecker, Stamp } from "../history.ts";
import { MemberLog } from "./member-log.ts";

interface Seen {
  readonly hash: number;
  readonly prevTerm: number;
  readonly member: number;
}

/**
 * Raft's promises about logs (Raft paper, figure 3).
 *
 * - Log matching: two entries of one index and term are the same entry, and so are all before them (by induction: the
 *   term of the entry before is compared, too).
 * - Leader append-only: a leader never replaces an entry of its own log.
 * - Leader completeness: a new leader's log holds every entry that is known to be committed.
 * - One change of the membership at a time: a leader writes the next when it knows that the one before is committed.
 * - Committed entries are the same on all members, and never replaced by a member that knows that they are.
 */
export function createLogMatching(history: Pick<History, "report">): ProbeChecker {
  const name = "log-matching";
  const logs = new Map<number, MemberLog>();
  const leading = new Set<number>();
  /** By term, then index. */
  const seen = new Map<number, Map<number, Seen>>();
  const committed: (LogEntry | undefined)[] = [];
  const committedBy: number[] = [];
  /** What each member itself knows to be committed; that is on its disk. */
  const ownCommit = new Map<number, number>();
  /** The last committed entry that each member's core handed out in its present life, whatever happens to its disk. */
  const handedOut = new Map<number, number>();
  let maxCommitted = 0;
  let entriesSeen = 0;
  let commitsSeen = 0;
  let electionsSeen = 0;
  let changesSeen = 0;

  const logOf = (member: number): MemberLog => {
    let log = logs.get(member);
    if (log === undefined) {
      log = new MemberLog();
      logs.set(member, log);
    }
    return log;
  };

  const compare = (member: number, entry: LogEntry, prevTerm: number | undefined, at: number): void => {
    entriesSeen++;
    let ofTerm = seen.get(entry.term);
    if (ofTerm === undefined) {
      ofTerm = new Map();
      seen.set(entry.term, ofTerm);
    }
    const other = ofTerm.get(entry.index);
    if (other === undefined) {
      if (prevTerm !== undefined) ofTerm.set(entry.index, { hash: entry.hash, prevTerm, member });
      return;
    }
    if (other.hash !== entry.hash) {
      history.report(
        name,
        `members ${other.member} and ${member} have different entries of index ${entry.index}, term ${entry.term}`,
        at,
      );
    } else if (prevTerm !== undefined && other.prevTerm !== prevTerm) {
      history.report(
        name,
        `entry ${entry.index} of term ${entry.term} stands behind one of term ${other.prevTerm} on member ${other.member} and behind one of term ${prevTerm} on member ${member}`,
        at,
      );
    }
  };

  const compareAll = (member: number, log: MemberLog, entries: readonly LogEntry[], at: number): void => {
    for (const entry of entries) {
      const before = log.at(entry.index - 1)?.term ?? (entry.index === 1 ? 0 : undefined);
      compare(member, entry, before, at);
    }
  };

  const persist = (member: number, entries: readonly LogEntry[], { at }: Stamp): void => {
    const [first] = entries;
    if (first === undefined) return;
    const log = logOf(member);
    if (leading.has(member) && first.index <= log.lastIndex) {
      history.report(name, `leader ${member} replaces its own log from index ${first.index} on`, at);
    }
    const own = ownCommit.get(member) ?? 0;
    if (first.index <= own) {
      history.report(
        name,
        `member ${member} replaces its log from index ${first.index} on, and knows that ${own} is committed`,
        at,
      );
    }
    for (const entry of entries) {
      if (entry.isChange !== true || !leading.has(member)) continue;
      changesSeen++;
      const before = lastChange(log, entry.index - 1, entries);
      if (before <= (handedOut.get(member) ?? 0)) continue;
      const why = `while change ${before} is not committed as far as it knows`;
      history.report(
        name,
        `leader ${member} begins change ${entry.index} of the membership in term ${entry.term} ${why}`,
        at,
      );
    }
    if (!log.append(entries)) {
      history.report(name, `member ${member} has a log to ${log.lastIndex} and writes index ${first.index}`, at);
      log.reset(first.index - 1, entries);
    }
    compareAll(member, log, entries, at);
  };

  /** The last change up to an index, in the log or in what is added to it; 0: there is none. */
  const lastChange = (log: MemberLog, through: number, added: readonly LogEntry[]): number => {
    const [first] = added;
    for (let index = through; index > 0; index--) {
      const entry = index >= (first?.index ?? 0) ? added[index - (first?.index ?? 0)] : log.at(index);
      if (entry?.isChange === true) return index;
    }
    return 0;
  };

  const commit = (member: number, entry: LogEntry, { at }: Stamp): void => {
    commitsSeen++;
    ownCommit.set(member, Math.max(ownCommit.get(member) ?? 0, entry.index));
    handedOut.set(member, entry.index);
    const other = committed[entry.index];
    if (other === undefined) {
      committed[entry.index] = entry;
      committedBy[entry.index] = member;
      maxCommitted = Math.max(maxCommitted, entry.index);
    } else if (other.term !== entry.term || other.hash !== entry.hash) {
      history.report(
        name,
        `index ${entry.index} was committed in term ${other.term} by member ${committedBy[entry.index]}, and as another entry of term ${entry.term} by member ${member}`,
        at,
      );
    }
  };

  const elected = (member: number, term: number, { at }: Stamp): void => {
    electionsSeen++;
    leading.add(member);
    const last = committed[maxCommitted];
    if (last === undefined || last.term >= term) return;
    const log = logOf(member);
    if (log.firstIndex > maxCommitted) return;
    const own = log.at(maxCommitted);
    if (own?.term === last.term && own.hash === last.hash) return;
    history.report(
      name,
      `member ${member} leads term ${term} without entry ${maxCommitted} of term ${last.term}, committed by member ${committedBy[maxCommitted]}`,
      at,
    );
  };

  return {
    name,
    probe(probe: Probe, stamp: Stamp) {
      const { member } = probe;
      switch (probe.kind) {
        case "started": {
          const log = logOf(member);
          leading.delete(member);
          log.reset(probe.firstIndex - 1, probe.log);
          handedOut.set(member, probe.appliedIndex);
          compareAll(member, log, probe.log, stamp.at);
          break;
        }
        case "damaged":
          if (probe.what !== "state") ownCommit.delete(member);
          break;
        case "installed":
          logOf(member).reset(probe.index, []);
          break;
        case "persist":
          persist(member, probe.entries, stamp);
          break;
        case "committed":
          commit(member, probe.entry, stamp);
          break;
        case "leader":
          elected(member, probe.term, stamp);
          break;
        case "deposed":
        case "ended":
          leading.delete(member);
          break;
        default:
          break;
      }
    },
    counts: () => ({
      "log entries": entriesSeen,
      commits: commitsSeen,
      elections: electionsSeen,
      changes: changesSeen,
    }),
  };
}
