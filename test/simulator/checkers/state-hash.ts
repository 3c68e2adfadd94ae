import type { History, LogEntry, Probe, ProbeChecker, Stamp } from "../history.ts";

interface Agreed {
  readonly value: number;
  readonly member: number;
  readonly life: number;
}

/**
 * Members are equal at equal applied index, however they came there: by applying, by replay after a restart, or from a
 * snapshot. Each life applies every index once, in order, from where it started; the same entry at the same index; to the
 * same revision; and whatever hash of the state a probe takes is the same as everybody else's at that index.
 */
export function createStateHash(history: Pick<History, "report">): ProbeChecker {
  const name = "state-hash";
  const entries: (LogEntry & { readonly member: number })[] = [];
  const revisions: (Agreed | undefined)[] = [];
  const hashes = new Map<string, Map<number, Agreed>>();
  const appliedOf = new Map<number, number>();
  let appliedSeen = 0;
  let hashesSeen = 0;
  let hashesCompared = 0;

  const agree = (before: Agreed, own: Agreed, what: string, index: number, { at }: Stamp): void => {
    if (before.value === own.value) return;
    history.report(
      name,
      `${what} at applied index ${index} is ${before.value} on member ${before.member} (life ${before.life}) and ${own.value} on member ${own.member} (life ${own.life})`,
      at,
    );
  };

  const applied = (probe: Probe & { readonly kind: "applied" }, stamp: Stamp): void => {
    appliedSeen++;
    const { member, life, entry, revision } = probe;
    const { index } = entry;
    const last = appliedOf.get(member);
    if (last !== undefined && index !== last + 1) {
      history.report(name, `member ${member} (life ${life}) applies ${index} after ${last}`, stamp.at);
    }
    appliedOf.set(member, index);
    const same = entries[index];
    if (same === undefined) {
      entries[index] = { ...entry, member };
    } else if (same.term !== entry.term || same.hash !== entry.hash) {
      history.report(
        name,
        `at index ${index} member ${same.member} applied an entry of term ${same.term}, member ${member} another of term ${entry.term}`,
        stamp.at,
      );
    }
    const own: Agreed = { value: revision, member, life };
    const before = revisions[index];
    if (before === undefined) revisions[index] = own;
    else agree(before, own, "the revision", index, stamp);
  };

  const state = (probe: Probe & { readonly kind: "state" }, stamp: Stamp): void => {
    hashesSeen++;
    const { member, life, what, appliedIndex, hash } = probe;
    let ofKind = hashes.get(what);
    if (ofKind === undefined) {
      ofKind = new Map();
      hashes.set(what, ofKind);
    }
    const own: Agreed = { value: hash, member, life };
    const before = ofKind.get(appliedIndex);
    if (before === undefined) {
      ofKind.set(appliedIndex, own);
      return;
    }
    if (before.member !== member || before.life !== life) hashesCompared++;
    agree(before, own, what, appliedIndex, stamp);
  };

  return {
    name,
    probe(probe: Probe, stamp: Stamp) {
      if (probe.kind === "applied") applied(probe, stamp);
      else if (probe.kind === "state") state(probe, stamp);
      else if (probe.kind === "started") appliedOf.set(probe.member, probe.appliedIndex);
      else if (probe.kind === "installed") appliedOf.set(probe.member, probe.index);
    },
    counts: () => ({ applied: appliedSeen, hashes: hashesSeen, "hashes compared": hashesCompared }),
  };
}
