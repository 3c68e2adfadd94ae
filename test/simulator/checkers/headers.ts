import type { History } from "../history.ts";
import { inOrderOfReturn, lifeThroughout, Rising } from "./lives.ts";
import { Findings, type Verdict } from "./verdict.ts";

/**
 * H-1: every answer names the cluster, which is the same everywhere and always, and the member that was asked, which no
 * other member calls itself; its term is that of an entry that somebody had applied, and never falls while the member lives.
 */
export function checkHeaders(history: History): Verdict {
  const findings = new Findings("headers", ["answers", "terms in order"]);
  const ids = new Map<number, bigint>();
  const numbers = new Map<bigint, number>();
  const terms = new Rising();
  const appliedFrom = termsApplied(history);
  let cluster: bigint | undefined;
  for (const operation of inOrderOfReturn(history)) {
    const { outcome, member, invoked, returned, request } = operation;
    if (outcome.kind !== "ok" || outcome.header === undefined) continue;
    const { header } = outcome;
    findings.count("answers");
    cluster ??= header.cluster;
    const id = ids.get(member) ?? header.member;
    const number = numbers.get(header.member) ?? member;
    ids.set(member, id);
    numbers.set(header.member, number);
    if (header.cluster !== cluster || header.cluster === 0n) {
      findings.report(`member ${member} is of cluster ${header.cluster}, others are of ${cluster}`, invoked.at);
    }
    if (header.member !== id || number !== member || id === 0n) {
      findings.report(`member ${member}, which is ${id}, answered a ${request.kind} as ${header.member}`, invoked.at);
    }
    if ((appliedFrom.get(header.term) ?? Number.POSITIVE_INFINITY) > (returned?.seq ?? 0)) {
      findings.report(
        `member ${member} answers in term ${header.term}, of which nobody has applied anything`,
        invoked.at,
      );
    }
    const life = lifeThroughout(history, operation);
    if (life === undefined) continue;
    const floor = terms.floor(life, operation);
    if (floor !== undefined) findings.count("terms in order");
    if (floor !== undefined && header.term < floor) {
      findings.report(`member ${member} falls back from term ${floor} to ${header.term}`, invoked.at);
    }
    terms.told(life, operation, header.term);
  }
  return findings.verdict();
}

/** When an entry of each term was first applied. */
function termsApplied({ log }: History): ReadonlyMap<number, number> {
  const first = new Map<number, number>();
  for (const one of log) {
    if (one === undefined) continue;
    const { entry, applied } = one;
    first.set(entry.term, Math.min(first.get(entry.term) ?? Number.POSITIVE_INFINITY, applied.seq));
  }
  return first;
}
