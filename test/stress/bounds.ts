/** What the figures are held against. */
import { limits } from "../../src/config.ts";
import { grpcJsDefaults } from "../../src/rpc/grpc-js-server.ts";
import type { Spread } from "./figures.ts";

/** Twice what a member keeps for a stream that nobody reads: once so much went past it, it cannot have all. */
export const STALL_BYTES = 2 * (limits.watchStreamBytes + grpcJsDefaults.streamQueueBytes);

/** The heap grows before it is swept. */
const HEAP_SLACK_BYTES = 256 << 20;
/** A lease, its deadline, its key and the record of both in the log's window, in memory. */
const LEASE_BYTES = 4 << 10;

/**
 * More than it took when it was idle a member may take for its log window, what waits for the disk, and streams that
 * nobody reads; none of that grows with time.
 */
export function memoryBound(idleBytes: number, stalledStreams: number, leases: number): number {
  const buffers = limits.windowBytes + limits.stagedBytes + stalledStreams * STALL_BYTES;
  return idleBytes + buffers + leases * LEASE_BYTES + HEAP_SLACK_BYTES;
}

/** A stream that is read has not to suffer from one that is not; how much of it is chance a busy machine decides. */
export function suffers(alone: Spread, beside: Spread): boolean {
  return beside.p50 > 3 * alone.p50 + 100;
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

/** What to say when the load did not come to its rate: the figures are then of less than was asked for. */
export function shortOf(rate: number, wanted: number): string[] {
  if (rate >= wanted * REACHED_SHARE) return [];
  return [`the load came to ${Math.round(rate)} puts/s, not to the wanted ${wanted}`];
}
