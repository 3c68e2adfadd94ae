import type { Entry, HardState } from "../../raft/types.ts";
import type { Disk } from "../../storage/disk.ts";
import type { WalBatch, WalOptions, WalReplay } from "../../storage/wal.ts";
import { openWal } from "../../storage/wal-log.ts";

export const METADATA = { nodeID: 0x1122334455667788n, clusterID: 0xcdf818194e3a8c32n };
export const WAL = "/data/member/wal";
export const SMALL: WalOptions = { segmentBytes: 4096 };

export function entry(index: number, term: number, data: Uint8Array | string): Entry {
  return { type: 0, term, index, data: Buffer.from(data) };
}

/** Entries of `count` indexes with data that tells them apart. */
export function entries(from: number, count: number, term: number, bytes = 20): Entry[] {
  return Array.from({ length: count }, (_, i) =>
    entry(from + i, term, Buffer.alloc(bytes, `entry ${from + i} of term ${term};`)),
  );
}

export function batch(list: readonly Entry[], hardState?: HardState, mustSync = true): WalBatch {
  return { entries: list, hardState, mustSync };
}

export function state(term: number, commit: number, vote = 0n): HardState {
  return { term, vote, commit };
}

export const NOTHING_APPLIED = { index: 0, term: 0 };

export async function open(
  disk: Disk,
  options: WalOptions = SMALL,
  keepAfter: { readonly index: number; readonly term: number } = NOTHING_APPLIED,
): Promise<WalReplay> {
  const replay = await openWal(disk, WAL, keepAfter, options);
  if (replay === undefined) throw new Error("no WAL");
  return replay;
}

/** What the log says, in a form that can be compared. */
export function told(replay: Pick<WalReplay, "hardState" | "entries">): unknown {
  const { term, vote, commit } = replay.hardState;
  return {
    hardState: `${term} ${vote} ${commit}`,
    entries: replay.entries.map((e) => `${e.index}@${e.term} ${e.type} ${Buffer.from(e.data).toString("hex")}`),
  };
}

/** A seeded generator of integers in 0..n. */
export function chooser(seed: number): (n: number) => number {
  let a = seed >>> 0;
  return (n) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000) * (n + 1));
  };
}

/** What a log says after records were written one after another. */
export class Model {
  entries: Entry[] = [];
  hardState: HardState = state(0, 0);

  apply(record: Entry | HardState): void {
    if ("index" in record) {
      this.entries.length = record.index - 1;
      this.entries.push(record);
    } else {
      this.hardState = record;
    }
  }

  told(): unknown {
    const lastTerm = this.entries.at(-1)?.term ?? 0;
    const hardState =
      lastTerm > this.hardState.term ? { term: lastTerm, vote: 0n, commit: this.hardState.commit } : this.hardState;
    return told({ entries: this.entries, hardState });
  }
}

export function recordsOf(batch: WalBatch): (Entry | HardState)[] {
  return [...batch.entries, ...(batch.hardState === undefined ? [] : [batch.hardState])];
}
