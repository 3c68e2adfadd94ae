import { unreachable } from "../../raft/assert.ts";
import type { DiskOperation, MemoryDisk } from "../storage/memory-disk.ts";
import type { FaultCounts } from "./fault-counts.ts";
import type { Random } from "./random.ts";
import type { Owner, World } from "./world.ts";

/** What is wrong with a machine's disk at the moment; faults.ts changes it. */
export interface DiskState {
  /** Mean time of a sync; other operations take a tenth. */
  readonly syncMs: number;
  /** Mean time of a flush of the state store. */
  readonly storeFlushMs: number;
  slowFactor: number;
  /** World time until which nothing comes back. */
  stalledUntil: number;
  /** No space for new files and zeros; what has its blocks can be written. */
  full: boolean;
  /** The state store, which keeps nothing in reserve, meets the full disk too. */
  fullForStore: boolean;
  /** The next sync of a file fails, for good and all. */
  failSync: boolean;
  failStoreFlush: boolean;
  /** A flush of the state store takes longer by this: the log runs ahead of what a start need not read again. */
  storeDelayMs: number;
  /** No flush of the state store ends. */
  storeHangs: boolean;
  /** The machine stops at this operation, before it is carried out. */
  crashAt: { readonly kinds: readonly DiskOperation["kind"][]; left: number; readonly crash: () => void } | undefined;
  /** The content of what was not synced is unknown: a sync failed. */
  unknown: boolean;
}

/** A disk that nothing is done to. */
export const NO_FAULTS = {
  slowFactor: 1,
  stalledUntil: 0,
  full: false,
  fullForStore: false,
  failSync: false,
  failStoreFlush: false,
  storeDelayMs: 0,
  storeHangs: false,
  crashAt: undefined,
} as const;

export function createDiskState(syncMs: number, storeFlushMs: number): DiskState {
  return { syncMs, storeFlushMs, ...NO_FAULTS, unknown: false };
}

export interface DiskDeps {
  readonly world: World;
  /** The life that works with the disk. */
  readonly owner: Owner;
  readonly state: DiskState;
  readonly random: Random;
  readonly counts: FaultCounts;
}

/** What hangs or is slow looks this often whether it still is. */
const LOOK_MS = 30;

/** A new one each time: what waits for a promise lives as long as the promise. */
function never(): Promise<never> {
  return new Promise(() => undefined);
}

/** Makes every operation of the disk take its time and meet the faults of the moment. */
export function driveDisk(disk: MemoryDisk, deps: DiskDeps): void {
  const { owner, state, random, counts } = deps;
  disk.failedSync = (n) => tear(n, random);
  disk.before = async (operation) => {
    if (owner.dead) return await never();
    await work(deps, latency(operation.kind, state, random), "disk");
    const { crashAt } = state;
    if (crashAt?.kinds.includes(operation.kind) && --crashAt.left <= 0) {
      state.crashAt = undefined;
      counts.add(`crash at ${operation.kind}`);
      crashAt.crash();
      return await never();
    }
    if (state.failSync && operation.kind === "sync") {
      state.failSync = false;
      state.unknown = true;
      counts.add("failing fsync");
      throw diskError("EIO", operation.path);
    }
    if (state.full && (operation.kind === "allocate" || operation.kind === "create")) {
      counts.add("disk full");
      throw diskError("ENOSPC", operation.path);
    }
  };
}

/** Hooks for the state store of one life. */
export function storeHooks(deps: DiskDeps): {
  readonly beforeDurable: () => Promise<void>;
  readonly afterDurable: () => Promise<void>;
} {
  const { owner, state, random, counts } = deps;
  return {
    beforeDurable: async () => {
      if (owner.dead) return await never();
      await work(deps, state.storeFlushMs * (0.5 + random.fraction()), "flush");
      const since = deps.world.now;
      // Looked at again and again: the fault may end meanwhile.
      while (state.storeHangs || deps.world.now < since + state.storeDelayMs)
        await deps.world.delay(owner, LOOK_MS, "slow flush");
      if (state.failStoreFlush) {
        state.failStoreFlush = false;
        counts.add("failing flush of the store");
        throw diskError("EIO", "state");
      }
      if (state.fullForStore) {
        counts.add("disk full for the store");
        throw diskError("ENOSPC", "state");
      }
    },
    // A crash in here finds the batch on the disk, though the flush never came back.
    afterDurable: () => work(deps, latency("write", state, random), "flushed"),
  };
}

/** How many of n changes that were not synced happened: often all or nothing, which uniform choices hardly ever give. */
export function tear(n: number, random: Random): number {
  const kind = random.below(4);
  if (kind === 0) return 0;
  if (kind === 1) return n;
  return random.below(n + 1);
}

/** As long as the disk hangs or is slow, and no longer. */
async function work({ world, owner, state }: DiskDeps, milliseconds: number, kind: string): Promise<void> {
  let left = milliseconds;
  do {
    const { slowFactor } = state;
    const step = Math.min(left * slowFactor, LOOK_MS);
    if (state.stalledUntil > world.now) await world.delay(owner, LOOK_MS, "disk hangs");
    else {
      await world.delay(owner, step, kind);
      left -= step / slowFactor;
    }
  } while (left > 1e-6);
}

function latency(kind: DiskOperation["kind"], { syncMs }: DiskState, random: Random): number {
  return weight(kind) * syncMs * (0.5 + random.fraction());
}

function weight(kind: DiskOperation["kind"]): number {
  switch (kind) {
    case "sync":
    case "syncDirectory":
    case "allocate":
    case "makeDirectory":
      return 1;
    case "write":
    case "writeSynced":
    case "read":
    case "create":
    case "rename":
    case "remove":
    case "removeTree":
      return 0.1;
    case "list":
    case "open":
    case "size":
    case "close":
    case "lock":
      return 0.02;
    default:
      return unreachable(kind);
  }
}

function diskError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path} (simulated)`), { code });
}
