import type { History } from "../history.ts";
import { type Answered, answered, Rising } from "./answers.ts";
import { lifeThroughout } from "./lives.ts";
import type { Truth } from "./truth.ts";
import { Findings, show, type Verdict } from "./verdict.ts";

/** A lease comes or goes. The first one is neither: the beginning. */
interface Change {
  /** When it first was so somewhere; 0: always. */
  readonly seq: number;
  /** Revisions of the store from then until the next change. */
  readonly from: number;
  until: number;
  readonly granted: bigint | undefined;
  readonly ended: bigint | undefined;
}

/**
 * L-7: a list of leases may be old, but it is that of a prefix of the log: the leases that there were after some entry
 * which somebody had applied, at the revision that the header names. And a member knows in its life what it has told:
 * no list goes behind one before it, nor behind a grant or a revoke that it had answered. Their order, by expiry, is not
 * judged.
 */
export function checkLeaseLists(history: History, truth: Truth): Verdict {
  const findings = new Findings("lease-lists", ["lists", "lists in order"]);
  const changes = changesOf(truth);
  const positions = new Rising();
  for (const answer of answered(history)) {
    const { outcome, member, invoked, returned } = answer;
    const { response } = outcome;
    const life = lifeThroughout(history, answer);
    if (response.kind !== "leaseLeases") {
      const position = changeBy(answer);
      if (life !== undefined && position > 0) positions.tell(life, returned, position);
      continue;
    }
    findings.count("lists");
    const { ids, revision } = response;
    const floor = (life && positions.floor(life, invoked)) ?? 0;
    if (floor > 0) findings.count("lists in order");
    const position = positionOf(ids, revision, floor, returned.seq);
    if (position === undefined) {
      const when = floor > 0 ? ` from change ${floor} of the leases on, which it had told before` : "";
      findings.report(
        `member ${member} lists leases ${show(ids)} at revision ${revision}: never so${when}`,
        invoked.at,
      );
    } else if (life !== undefined) positions.tell(life, returned, position);
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

  /** The first one that a grant or revoke can have been: its member had applied that when it answered. 0: none. */
  function changeBy({ request, outcome: { response }, invoked }: Answered): number {
    const isOwn = ({ seq, granted, ended }: Change): boolean => {
      if (seq <= invoked.seq) return false;
      if (response.kind === "leaseGrant") return granted === response.id;
      return request.kind === "leaseRevoke" && ended === request.id;
    };
    return Math.max(0, changes.findIndex(isOwn));
  }
}

function isSame(ids: readonly bigint[], live: ReadonlySet<bigint>): boolean {
  return new Set(ids).size === live.size && ids.every((id) => live.has(id));
}

function changesOf({ steps }: Truth): readonly Change[] {
  let latest: Change = { seq: 0, from: 1, until: 1, granted: undefined, ended: undefined };
  const changes = [latest];
  for (const { command, result, revision, applied } of steps) {
    const isChange = result.kind === "ok" && (command.kind === "leaseGrant" || command.kind === "leaseRevoke");
    if (!isChange) {
      latest.until = revision;
      continue;
    }
    const granted = command.kind === "leaseGrant" ? command.id : undefined;
    const ended = command.kind === "leaseRevoke" ? command.id : undefined;
    latest = { seq: applied.seq, from: revision, until: revision, granted, ended };
    changes.push(latest);
  }
  return changes;
}
