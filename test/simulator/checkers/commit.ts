import type { History, LogEntry, Probe, ProbeChecker, Stamp } from "../history.ts";
import { MemberLog } from "./member-log.ts";

interface Known {
  readonly log: MemberLog;
  /** What of it is on the disk, by index: the term. */
  readonly synced: Map<number, number>;
  /** As last written with the hard state. */
  commit: number;
  /** The term that it leads, 0: none. */
  leads: number;
  /** Written nothing yet since its election: what it knows to be committed it may still know from others. */
  isNew: boolean;
}

/**
 * How an entry comes to be committed.
 *
 * - A leader finds out by counting entries of its own term alone (figure 8 of the Raft paper): what it writes as its
 *   commit index is an entry of its term.
 * - A member hands an entry to its state machine when it is on its own synced disk, too.
 */
export function createCommit(history: Pick<History, "report">): ProbeChecker {
  const name = "commit";
  const members = new Map<number, Known>();
  let ownTerms = 0;
  let handedOut = 0;

  const of = (member: number): Known => {
    let known = members.get(member);
    if (known === undefined) {
      known = { log: new MemberLog(), synced: new Map(), commit: 0, leads: 0, isNew: false };
      members.set(member, known);
    }
    return known;
  };

  const sync = (known: Known, entries: readonly LogEntry[]): void => {
    for (const { index, term } of entries) known.synced.set(index, term);
  };

  const commit = (member: number, known: Known, index: number, { at }: Stamp): void => {
    const { log, leads } = known;
    if (index <= known.commit) return;
    known.commit = index;
    const last = log.at(index);
    if (leads === 0 || known.isNew || last === undefined) return;
    ownTerms++;
    if (last.term === leads) return;
    history.report(name, `leader ${member} of term ${leads} commits ${index}, which is of term ${last.term}`, at);
  };

  return {
    name,
    probe(probe: Probe, stamp: Stamp) {
      const { member } = probe;
      const known = of(member);
      switch (probe.kind) {
        case "started":
          known.log.reset(probe.firstIndex - 1, probe.log);
          known.commit = probe.commit;
          known.synced.clear();
          sync(known, probe.log);
          break;
        case "installed":
          known.log.reset(probe.index, []);
          known.commit = Math.max(known.commit, probe.index);
          break;
        case "persist":
          if (!known.log.append(probe.entries)) known.log.reset((probe.entries[0]?.index ?? 1) - 1, probe.entries);
          if (probe.hardState !== undefined) commit(member, known, probe.hardState.commit, stamp);
          known.isNew = false;
          break;
        case "synced":
          sync(known, probe.entries);
          break;
        case "leader":
          known.leads = probe.term;
          known.isNew = true;
          break;
        case "deposed":
        case "ended":
          known.leads = 0;
          break;
        case "committed": {
          const { index, term } = probe.entry;
          // What it started with may be below its log's first index.
          if (index < known.log.firstIndex) break;
          handedOut++;
          if (known.synced.get(index) === term) break;
          const text = `member ${member} hands out entry ${index} of term ${term} before it is on its own disk`;
          history.report(name, text, stamp.at);
          break;
        }
        default:
          break;
      }
    },
    counts: () => ({ "leaders' own": ownTerms, "handed out": handedOut }),
  };
}
