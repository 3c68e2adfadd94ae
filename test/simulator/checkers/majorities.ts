import type { LogEntry, Probe, Stamp } from "../history.ts";

interface Holders {
  readonly term: number;
  /** Members that had the entry on their disks, once, by number. */
  readonly members: Set<number>;
}

interface Configuration {
  readonly index: number;
  readonly term: number;
  readonly voters: readonly number[];
  readonly learners: readonly number[];
}

/**
 * Whether what is committed was on the disks of a majority of the voters, when the first member wrote that it is.
 *
 * The leader that commits an entry counts by the membership that it has applied. That is the newest one made below the
 * entry; or the one before, if that leader had not applied the newest when the entry first was in a log: two changes
 * below an entry that are both not applied there cannot be. Entries of term 1 are the founding; nobody commits them.
 */
export function createMajorities(report: (message: string, at: number) => void): {
  readonly probe: (probe: Probe, stamp: Stamp) => void;
  /** A member takes this entry, and all before it, for committed. */
  readonly commit: (member: number, entry: LogEntry, stamp: Stamp) => void;
  readonly maxCommitted: () => number;
  /** Of the newest membership; everybody, as long as nothing is known of it. */
  readonly isMember: (member: number) => boolean;
  readonly seen: () => number;
} {
  const holders: Holders[][] = [];
  /** When an entry of the index and term was first handed to a log. */
  const begun = new Map<number, { readonly term: number; readonly seq: number }[]>();
  const configurations: Configuration[] = [];
  /** When each member applied which membership, in its present life. */
  const applied = new Map<number, { readonly index: number; readonly seq: number }[]>();
  const leaders: { readonly member: number; readonly term: number }[] = [];
  let maxCommitted = 0;
  let seen = 0;

  const hold = (member: number, { index, term }: LogEntry): void => {
    holders[index] ??= [];
    const list = holders[index] as Holders[];
    const found = list.find((other) => other.term === term);
    if (found === undefined) list.push({ term, members: new Set([member]) });
    else found.members.add(member);
  };

  const begin = ({ index, term }: LogEntry, seq: number): void => {
    const list = begun.get(index) ?? [];
    if (list.some((other) => other.term === term)) return;
    list.push({ term, seq });
    begun.set(index, list);
  };

  const configure = (probe: Probe & { readonly kind: "members" }, { seq }: Stamp): void => {
    const { member, index, term, voters, learners } = probe;
    if (probe.list.length === 0) return;
    const last = configurations.at(-1);
    const isNew = last === undefined || !isSame(last.voters, voters) || !isSame(last.learners, learners);
    if (index > (last?.index ?? 0) && isNew) {
      // The founding is there in one piece.
      if (last !== undefined && last.term <= 1 && term <= 1) configurations.pop();
      configurations.push({ index, term, voters, learners });
    }
    const own = applied.get(member) ?? [];
    applied.set(member, own);
    const before = own.at(-1)?.index ?? -1;
    if (configurations.some((each) => each.index > before && each.index <= index)) own.push({ index, seq });
  };

  const commit = (member: number, entry: LogEntry, { at }: Stamp): void => {
    const { index, term } = entry;
    if (index <= maxCommitted) return;
    maxCommitted = index;
    const newest = configurations.findLastIndex((configuration) => configuration.index < index);
    const now = configurations[newest];
    if (term <= 1 || now === undefined) return;
    seen++;
    const on = holders[index]?.find((other) => other.term === term)?.members ?? new Set<number>();
    if (isMajority(now.voters, on)) return;
    const before = configurations[newest - 1];
    if (before !== undefined && isMajority(before.voters, on) && mayNotGoBy(now, entry)) return;
    report(
      `entry ${index} of term ${term} is committed by member ${member}'s account, on the disks of ${[...on].join()}, ` +
        `where ${now.voters.join()} are voters`,
      at,
    );
  };

  /** A leader that may have committed the entry had not applied the newest membership when the entry was begun. */
  const mayNotGoBy = (now: Configuration, { index, term }: LogEntry): boolean => {
    const since = begun.get(index)?.find((other) => other.term === term)?.seq ?? 0;
    return leaders.some((leader) => {
      if (leader.term < term) return false;
      const when = applied.get(leader.member)?.find((each) => each.index >= now.index)?.seq;
      return when === undefined || when > since;
    });
  };

  return {
    probe(probe, stamp) {
      switch (probe.kind) {
        case "started":
          for (const entry of probe.log) hold(probe.member, entry);
          applied.set(probe.member, []);
          break;
        case "persist":
          for (const entry of probe.entries) begin(entry, stamp.seq);
          break;
        case "synced":
          for (const entry of probe.entries) hold(probe.member, entry);
          break;
        case "members":
          configure(probe, stamp);
          break;
        case "leader":
          leaders.push({ member: probe.member, term: probe.term });
          break;
        case "committed":
          commit(probe.member, probe.entry, stamp);
          break;
        default:
          break;
      }
    },
    commit,
    maxCommitted: () => maxCommitted,
    isMember: (member) => {
      const now = configurations.at(-1);
      return now === undefined || now.voters.includes(member) || now.learners.includes(member);
    },
    seen: () => seen,
  };
}

function isMajority(voters: readonly number[], on: ReadonlySet<number>): boolean {
  return 2 * voters.filter((voter) => on.has(voter)).length > voters.length;
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((member) => b.includes(member));
}
