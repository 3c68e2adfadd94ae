import type { Header, History, Life, Stamp } from "../history.ts";
import { type Answered, answered, Rising } from "./answers.ts";
import { lifeThroughout } from "./lives.ts";
import { revisionAt, type Truth } from "./truth.ts";
import { Findings, type Verdict } from "./verdict.ts";

/**
 * H-1: every answer, and every message of a watch, names the cluster, which is the same everywhere and always, and the
 * member that was asked, which no other member calls itself. Its term is that of an entry that somebody had applied, and
 * never falls in a life of the member. Nor does the revision (H-2), which somebody had reached.
 */
export function checkHeaders(history: History, truth: Truth): Verdict {
  const findings = new Findings("headers", ["answers", "of watches", "terms in order", "revisions in order"]);
  const ids = new Map<number, bigint>();
  const numbers = new Map<bigint, number>();
  const terms = new Rising();
  const revisions = new Rising();
  const appliedFrom = termsApplied(history);
  let cluster: bigint | undefined;

  for (const answer of answered(history)) {
    const { outcome, member, invoked, returned, request } = answer;
    const { header } = outcome;
    // H-4
    if (request.kind === "moveLeader") continue;
    findings.count("answers");
    look(header, request.kind, member, invoked, returned);
    const life = lifeThroughout(history, answer);
    if (life === undefined) continue;
    if (header !== undefined) terms.tell(life, returned, header.term);
    // H-3
    if (request.kind !== "members") judgeRevision(answer, life);
  }
  for (const { records, member, opened } of history.streams) {
    for (const record of records) {
      if (record.kind !== "response") continue;
      findings.count("of watches");
      look(record.response.header, "watch", member, opened, record);
    }
  }
  return findings.verdict();

  function judgeRevision({ outcome, request, member, invoked, returned }: Answered, life: Life): void {
    const { revision } = outcome.response;
    const floor = revisions.floor(life, invoked);
    if (floor !== undefined) findings.count("revisions in order");
    const known = revisionAt(truth, returned.seq);
    if (revision > known || (floor !== undefined && revision < floor)) {
      const from = floor === undefined ? "" : `from ${floor} on `;
      findings.report(
        `member ${member}: ${request.kind} names revision ${revision}, not one ${from}up to ${known}`,
        returned.at,
      );
    }
    revisions.tell(life, returned, revision);
  }

  function look(header: Header | undefined, what: string, member: number, invoked: Stamp, returned: Stamp): void {
    const complain = (problem: string): void => findings.report(`member ${member}: ${what} ${problem}`, returned.at);
    if (header === undefined) {
      complain("answered without a header");
      return;
    }
    cluster ??= header.cluster;
    if (header.cluster !== cluster || cluster === 0n) complain(`of cluster ${header.cluster}, others of ${cluster}`);
    const id = ids.get(member) ?? header.member;
    const number = numbers.get(header.member) ?? member;
    ids.set(member, id);
    numbers.set(header.member, number);
    if (header.member !== id || number !== member || id === 0n) complain(`answered as ${header.member}, being ${id}`);
    if ((appliedFrom.get(header.term) ?? Number.POSITIVE_INFINITY) > returned.seq) {
      complain(`answered in term ${header.term}, of which nobody has applied anything`);
    }
    const life = lifeThroughout(history, { member, invoked, returned });
    if (life === undefined) return;
    const floor = terms.floor(life, invoked);
    if (floor !== undefined) findings.count("terms in order");
    if (floor !== undefined && header.term < floor) complain(`falls back from term ${floor} to ${header.term}`);
  }
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
