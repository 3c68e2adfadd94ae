import { MemoryDisk } from "../storage/memory-disk.ts";
import type { Life } from "./member-life.ts";
import type { Random } from "./random.ts";
import type { DiskState } from "./sim-disk.ts";
import type { Clock } from "./sim-env.ts";
import { SimStores } from "./sim-stores.ts";

/** One machine: what stays when the process on it ends. */
export interface Machine {
  readonly number: number;
  /** Its member was there from the beginning; others are added, and join. */
  readonly isFounder: boolean;
  readonly clock: Clock;
  readonly diskState: DiskState;
  readonly random: Random;
  disk: MemoryDisk;
  readonly stores: SimStores;
  /** Lives so far. */
  lives: number;
  life: Life | undefined;
  /** Its member has had a log: it has founded the cluster or joined it. */
  hasJoined: boolean;
  /** What a fault took or changed of what was synced; such machines are a minority. */
  damage: "none" | "log" | "state" | "lost";
  /** The damage may look like the torn end of the log. */
  damagedTail: boolean;
  /** What is on the disk for certain, as far as its log said so. */
  durable: { readonly lastIndex: number; readonly term: number; readonly vote: bigint };
  /** It stays down for good. */
  retired: boolean;
}

export function createMachine(
  number: number,
  isFounder: boolean,
  clock: Clock,
  diskState: DiskState,
  random: Random,
): Machine {
  return {
    number,
    isFounder,
    clock,
    diskState,
    random,
    disk: new MemoryDisk(),
    stores: new SimStores(),
    lives: 0,
    life: undefined,
    hasJoined: false,
    damage: "none",
    damagedTail: false,
    durable: { lastIndex: 0, term: 0, vote: 0n },
    retired: false,
  };
}
