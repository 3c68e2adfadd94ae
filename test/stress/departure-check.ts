/** Did each lease end when it should? Pure. */
import type { Departure } from "./lease-times.ts";

export interface Expected {
  readonly name: string;
  readonly from: number;
  readonly count: number;
  /** The moment before which a lease must not end. */
  notBefore(departure: Departure): number;
  /** The moment at which it is due at the latest by the promise itself; the lag counts from here. */
  due(departure: Departure): number;
  /** So long after the last one was due all must be gone. */
  readonly boundMs: number;
}

export interface Judged {
  readonly problems: string[];
  readonly lagsMs: number[];
  /** From the first that was due to the last that went. */
  readonly spanMs: number;
}

export function judge(departures: readonly Departure[], expected: Expected): Judged {
  const { name, from, count, boundMs } = expected;
  const problems: string[] = [];
  const seen = new Set<number>();
  let early = 0;
  let twice = 0;
  let foreign = 0;
  let earliest = 0;
  for (const departure of departures) {
    const { id, goneAt } = departure;
    if (seen.has(id)) twice++;
    if (!(id >= from && id < from + count)) foreign++;
    seen.add(id);
    const ahead = expected.notBefore(departure) - goneAt;
    if (!(ahead <= 0)) early++;
    earliest = Math.max(earliest, ahead);
  }
  const dues = departures.map((departure) => expected.due(departure));
  const lastDue = dues.reduce((latest, due) => Math.max(latest, due), Number.NEGATIVE_INFINITY);
  const lastGone = departures.reduce((latest, { goneAt }) => Math.max(latest, goneAt), Number.NEGATIVE_INFINITY);
  if (early > 0) problems.push(`${name}: ${early} leases ended early, by ${Math.ceil(earliest)} ms at most`);
  if (twice > 0) problems.push(`${name}: ${twice} keys went twice`);
  if (foreign > 0) problems.push(`${name}: ${foreign} keys that nobody attached`);
  if (seen.size < count) problems.push(`${name}: ${count - seen.size} leases stayed`);
  if (lastGone - lastDue > boundMs) {
    problems.push(
      `${name}: the last went ${Math.round(lastGone - lastDue)} ms after it was due, not within ${boundMs}`,
    );
  }
  const firstDue = dues.reduce((first, due) => Math.min(first, due), Number.POSITIVE_INFINITY);
  return {
    problems,
    lagsMs: departures.map((departure, i) => departure.goneAt - (dues[i] as number)),
    spanMs: departures.length === 0 ? 0 : lastGone - firstDue,
  };
}
