/** What the figures are held against. */
import { limits } from "../../src/config.ts";
import { grpcJsDefaults } from "../../src/rpc/grpc-js-server.ts";
import type { Spread } from "./figures.ts";
import { mib, spread } from "./report.ts";

/** What a member keeps for a stream that nobody reads. */
const STREAM_BYTES = limits.watchStreamBytes + grpcJsDefaults.streamQueueBytes;
/** Twice that: once so much went past it, it cannot have all. */
export const STALL_BYTES = 2 * STREAM_BYTES;

/** The heap grows before it is swept. */
const HEAP_SLACK_BYTES = 256 << 20;
/** A lease, its deadline, its key and the record of both in the log's window, in memory. */
const LEASE_BYTES = 4 << 10;

/**
 * More than it took when it was idle a member may take for its log window, what waits for the disk, and streams that
 * nobody reads; none of that grows with time.
 */
export function memoryBound(idleBytes: number, stalledStreams: number, leases: number): number {
  const buffers = limits.windowBytes + limits.stagedBytes + stalledStreams * STREAM_BYTES;
  return idleBytes + buffers + leases * LEASE_BYTES + HEAP_SLACK_BYTES;
}

/** Members under the same load do not grow alike to the byte. */
const UNLIKE_BYTES = 48 << 20;
/** Who has a stalled stream may grow by this more than those who have none: their logs and heaps grow with the load, too. */
export const STALLED_GROWTH_BYTES = STREAM_BYTES + UNLIKE_BYTES;
/**
 * What has to go past the stalled stream for that bound to be surely broken by a member that keeps all of it. Its watches
 * share the bytes of an event: in memory it was half of what they would send.
 */
export const TELLING_BYTES = 4 * STALLED_GROWTH_BYTES;

/** By member, in order. Where there is no /proc nothing is measured, and nothing judged. */
export type Peaks = readonly (number | undefined)[];

export function judgeMemory(idle: Peaks, peaks: Peaks, stalledStreams: number, leases: number): string[] {
  return peaks.flatMap((peak, i) => {
    const before = idle[i];
    if (peak === undefined || before === undefined) return [];
    const bound = memoryBound(before, stalledStreams, leases);
    return peak > bound ? [`m${i + 1} took ${mib(peak)}, more than ${mib(bound)}`] : [];
  });
}

/** `stalledAt`: the position of the member that has the stalled stream. */
export function judgeGrowth(before: Peaks, after: Peaks, stalledAt: number): string[] {
  const growths = after.flatMap((peak, i) => {
    const first = before[i];
    return peak === undefined || first === undefined ? [] : [peak - first];
  });
  const own = growths[stalledAt];
  if (own === undefined || growths.length < after.length || growths.length < 2) return [];
  const others = Math.max(...growths.filter((_, i) => i !== stalledAt));
  if (own - others <= STALLED_GROWTH_BYTES) return [];
  return [
    `m${stalledAt + 1} grew by ${mib(own)} beside a stalled stream, the others by ${mib(others)} at most; ` +
      `${mib(STALLED_GROWTH_BYTES)} more are allowed`,
  ];
}

export function unmeasured(peaks: Peaks): string[] {
  return peaks.includes(undefined) ? ["memory not measured: there is no /proc to ask"] : [];
}

/** Of one put: its record in the window and on its way to disk, and its place in the index; those of the first two end. */
const PUT_BYTES = 1_536;
const INDEXED_PUT_BYTES = 512;
const LIVE_SLACK_BYTES = 32 << 20;

/** What a member may have more in use after so many puts, whatever was sent to watches meanwhile. */
export function liveGrowthBound(puts: number): number {
  const recent = Math.min(puts * PUT_BYTES, limits.windowBytes + limits.stagedBytes);
  return recent + puts * INDEXED_PUT_BYTES + STREAM_BYTES + LIVE_SLACK_BYTES;
}

/** By member, in order, at two moments with so many puts between them. */
export function judgeLive(before: readonly number[], after: readonly number[], puts: number): string[] {
  const bound = liveGrowthBound(puts);
  return after.flatMap((bytes, i) => {
    const growth = bytes - (before[i] ?? bytes);
    if (growth <= bound) return [];
    return [`m${i + 1} has ${mib(growth)} more in use after ${puts} puts; ${mib(bound)} more are allowed`];
  });
}

/**
 * A stream that is read has not to suffer from one that is not; how much of it is chance a busy machine decides. The
 * slowest hundredth may be late by what the programs that measure stood still themselves.
 */
export function suffers(alone: Spread, beside: Spread, ownPauseMs: number): boolean {
  return beside.p50 > 3 * alone.p50 + 100 || beside.p99 > 3 * alone.p99 + 500 + ownPauseMs;
}

/** Of two members under the same load, the delays at one may be longer by the place that it has in the cluster. */
export function lagsBehind(own: Spread, others: Spread, ownPauseMs: number): boolean {
  return own.p50 > 2 * others.p50 + 250 || own.p99 > 2 * others.p99 + 500 + ownPauseMs;
}

/** The delays of one phase, by member. */
export type Delays = readonly Spread[];

/**
 * `stalledAt`: the position of the member that has the stalled stream: those who read there suffer first, and only there
 * their delays can be told from those of a machine that became busy meanwhile.
 */
export function judgeDelays(
  phase: string,
  alone: Delays,
  beside: Delays,
  stalledAt: number,
  ownPauseMs: number,
): string[] {
  const problems: string[] = [];
  for (const [i, delays] of beside.entries()) {
    const before = alone[i];
    if (delays.count === 0 || before === undefined || before.count === 0) {
      problems.push(`m${i + 1} sent no events in a phase (${phase}): nothing is known of its delays`);
    } else if (suffers(before, delays, ownPauseMs)) {
      problems.push(`other streams of m${i + 1} were affected (${phase}): ${spread(delays)}, before ${spread(before)}`);
    }
  }
  const own = beside[stalledAt];
  const others = beside.filter((delays, i) => i !== stalledAt && delays.count > 0);
  if (own !== undefined && own.count > 0 && others.length > 0) {
    const worst = {
      ...own,
      p50: Math.max(...others.map(({ p50 }) => p50)),
      p99: Math.max(...others.map(({ p99 }) => p99)),
    };
    if (lagsBehind(own, worst, ownPauseMs)) {
      problems.push(`other streams of m${stalledAt + 1} lag behind those of other members (${phase}): ${spread(own)}`);
    }
  }
  return problems;
}

/** L-8: 500 every 500 ms; twice the time for a busy machine, and some seconds for the scan and the revokes themselves. */
export function expiryBoundMs(leases: number): number {
  return 2 * (leases / limits.leaseExpiriesPerScan) * limits.leaseScanMs + 5_000;
}

/** L-9: a new leader lets so many end in one second. */
const SPREAD_PER_SECOND = 750;

/** After the next leader served: the election time-out on top of each time-to-live, and the spread. */
export function succeededExpiryBoundMs(leases: number): number {
  return 1_000 + (leases / SPREAD_PER_SECOND) * 1_000 + expiryBoundMs(leases);
}

/** A rate that is missed by less is the rate. */
const REACHED_SHARE = 0.97;
/** Below that what was seen says nothing of the wanted rate. */
const JUDGED_SHARE = 0.9;

export function isFarFrom(rate: number, wanted: number): boolean {
  return rate < wanted * JUDGED_SHARE;
}

/** What to say when the load did not come to its rate: the figures are then of less than was asked for. */
export function shortOf(rate: number, wanted: number): string[] {
  if (rate >= wanted * REACHED_SHARE) return [];
  return [`the load came to ${Math.round(rate)} puts/s, not to the wanted ${wanted}`];
}
