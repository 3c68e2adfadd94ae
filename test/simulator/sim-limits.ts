import { limits } from "../../src/config.ts";
import type { Plan } from "./swarm.ts";

type Limits = { -readonly [Name in keyof typeof limits]: number };

/** The product reads this one record wherever a limit counts; nothing but a simulation ever writes into it. */
const writable: Limits = limits;
const PRODUCTION: Limits = { ...limits };

/** A store that takes longer for its few entries at a time would hold the cluster up for good. */
const QUICK_STORE_MS = 20;

const TINY_EXPIRIES = 5;

export function expiriesPerSecond({ tinyLimits }: Plan): number {
  const perScan = tinyLimits ? TINY_EXPIRIES : PRODUCTION.leaseExpiriesPerScan;
  return (perScan * 1000) / PRODUCTION.leaseScanMs;
}

const SLOW_APPLY = {
  raftCommittedBytes: 1,
  applyTurnMs: 0,
  flushAtBytes: 500,
  stagedBytes: 2_000,
} satisfies Partial<Limits>;

/** Whether a store that hangs holds up soon what is to be applied. */
export function stallsApply({ tinyLimits, membership, storeFlushMs }: Plan): boolean {
  return tinyLimits || (membership?.slowApply === true && storeFlushMs <= QUICK_STORE_MS);
}

/** "Tiny" puts every bound where a small workload crosses it. They are the same on all members of a run. */
export function setLimits(plan: Plan): void {
  Object.assign(writable, PRODUCTION);
  if (stallsApply(plan)) Object.assign(writable, SLOW_APPLY);
  if (!plan.tinyLimits) return;
  Object.assign(writable, {
    raftMessageBytes: 1,
    raftInflight: 1,
    raftInflightBytes: 400,
    // What all members may have submitted fits in: beyond it forwarded proposals are dropped, and their callers wait in vain.
    raftUncommittedBytes: 12_000,
    windowBytes: 1_000,
    backlogEntries: 20,
    pendingProposals: 10,
    submittedProposalBytes: 1_000,
    pendingReads: 10,
    pendingHashes: 2,
    watchStreamBytes: 1_000,
    watchStreamResponses: 6,
    watchMergeFromResponses: 2,
    watchMergedBytes: 600,
    watchQueuedBytes: 3_000,
    watchSliceRevisions: 2,
    watchSliceBytes: 300,
    watchSliceWatchers: 2,
    // With the tiny requests of cluster.ts: fragments of 400 bytes.
    watchFragmentOverheadBytes: -2_600,
    leaseExpiriesPerScan: TINY_EXPIRIES,
    leaseRevokesInFlight: 1,
  } satisfies Partial<Limits>);
}

export function restoreLimits(): void {
  Object.assign(writable, PRODUCTION);
}
