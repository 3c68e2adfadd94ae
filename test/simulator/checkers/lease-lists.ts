import type { History } from "../history.ts";
import { inOrderOfReturn, lifeThroughout, Rising } from "./lives.ts";
import type { Truth } from "./truth.ts";
import { Findings, show, type Verdict } from "./verdict.ts";

/** A lease comes or goes. The first one is neither: the beginning. */
interface Change {
  /** When it first was so somewhere; 0: always. */
  readonly seq: number;
  /** Revisions of the store from then until the next change. */
  readonly from: number;
  readonly until: number;
  readonly granted: bigint | undefined;
  readonly ended: bigint | undefined;
}

/**
 * L-7: a list of leases may be old, but it is a prefix: the leases that there were after some entry of the log which
 * somebody had applied, at the revision that the header names; and a member does not go back in its life.
 */
export function checkLeaseLists(history: History, truth: Truth): Verdict {
  const findings = new Findings("lease-lists", ["lists", "lists in order"]);
  const changes = changesOf(truth);
  const positions = new Rising();
  for (const operation of inOrderOfReturn(history)) {
    const { outcome, member, invoked, returned } = operation;
    if (outcome.kind !== "ok" || outcome.response.kind !== "leaseLeases" || returned === undefined) continue;
    findings.count("lists");
    const { ids, revision } = outcome.response;
    const life = lifeThroughout(history, operation);
    const floor = (life && positions.floor(life, operation)) ?? 0;
    if (floor > 0) findings.count("lists in order");
    const position = positionOf(ids, revision, floor, returned.seq);
    if (position === undefined) {
      const when = floor > 0 ? ` from change ${floor} of the leases on, which it had told before` : "";
      findings.report(
        `member ${member} lists leases ${show(ids)} at revision ${revision}: never so${when}`,
        invoked.at,
      );
    } else if (life !== undefined) positions.told(life, operation, position);
  }
  return findings.verdict();

  /** The first change, from `floor` on, after which these were the leases; 0: before all. */
  function positionOf(ids: readonly bigint[], revision: number, floor: number, seq: number): number | undefined {
    const live = new Set<bigint>();
    for (const [position, change] of changes.entries()) {
      const { from, until, granted, ended } = change;
      if (change.seq > seq) return undefined;
      if (granted !== undefined) live.add(granted);
      if (ended !== undefined) live.delete(ended);
      if (position < floor || live.size !== ids.length || revision < from || revision > until) continue;
      if (isSame(ids, live)) return position;
    }
    return undefined;
  }
}

function isSame(ids: readonly bigint[], live: ReadonlySet<bigint>): boolean {
  return new Set(ids).size === live.size && ids.every((id) => live.has(id));
}

function changesOf({ steps }: Truth): readonly Change[] {
  const beginning = { seq: 0, from: 1, until: 1, granted: undefined, ended: undefined };
  const changes: {
    seq: number;
    from: number;
    until: number;
    granted: bigint | undefined;
    ended: bigint | undefined;
  }[] = [beginning];
  for (const { command, result, revision, applied } of steps) {
    const isChange = result.kind === "ok" && (command.kind === "leaseGrant" || command.kind === "leaseRevoke");
    const latest = changes.at(-1) ?? beginning;
    if (!isChange) {
      latest.until = revision;
      continue;
    }
    const granted = command.kind === "leaseGrant" ? command.id : undefined;
    const ended = command.kind === "leaseRevoke" ? command.id : undefined;
    changes.push({ seq: applied.seq, from: revision, until: revision, granted, ended });
  }
  return changes;
}
