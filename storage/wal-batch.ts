/** One batch of the log: whether it may be written, how much room it takes, and its records. */
import { encode } from "../proto/codec.ts";
import * as walpb from "../proto/generated/walpb.ts";
import { assert, fail } from "../raft/assert.ts";
import type { HardState } from "../raft/types.ts";
import type { WalBatch } from "./wal.ts";
import type { WalIndex } from "./wal-index.ts";
import { entryFrameBound, HARD_STATE_FRAME_BOUND, type RecordWriter, SNAPSHOT_FRAME_BOUND } from "./wal-record.ts";
import { entryFault, hardStateFault, placeFault } from "./wal-rules.ts";

export function needsSync({ mustSync, entries, snapshot }: WalBatch): boolean {
  return mustSync || entries.length > 0 || snapshot !== undefined;
}

/**
 * Writes the records, and notes in `index` where each entry will be: in `segment`, from `offset`, where the writer's first
 * byte will be. The hard state last: with only a part of it on the disk, a batch must not have committed what is not there.
 */
export function writeBatch(
  writer: RecordWriter,
  batch: WalBatch,
  index: WalIndex,
  segment: number,
  offset: number,
): void {
  if (batch.snapshot !== undefined) writer.snapshot(encode(walpb.Snapshot, walpb.Snapshot.create(batch.snapshot)));
  for (const entry of batch.entries) {
    index.append(entry.index, entry.term, { segment, offset: offset + writer.length, crc: writer.crc });
    writer.entry(entry);
  }
  if (batch.hardState !== undefined) writer.hardState(batch.hardState);
}

/** An upper bound of the bytes that it takes. */
export function batchBound(batch: WalBatch): number {
  let bytes = batch.hardState === undefined ? 0 : HARD_STATE_FRAME_BOUND;
  if (batch.snapshot !== undefined) bytes += SNAPSHOT_FRAME_BOUND;
  for (const entry of batch.entries) bytes += entryFrameBound(entry);
  return bytes;
}

/** What replay would refuse is refused before it is written. The hard state and the last index after the batch. */
export function checkBatch(
  batch: WalBatch,
  before: HardState,
  first: number,
  last: number,
): { readonly hardState: HardState; readonly last: number } {
  const { entries, hardState, snapshot } = batch;
  assert(
    snapshot === undefined || snapshot.index > before.commit,
    `a snapshot at ${snapshot?.index} of a log that is committed to ${before.commit}`,
  );
  let end = snapshot?.index ?? last;
  let term = snapshot?.term ?? 0;
  const begin = (snapshot?.index ?? first - 1) + 1;
  let mayReplace = snapshot === undefined;
  for (const entry of entries) {
    const fault = entryFault(entry) ?? placeFault(entry.index, begin, end, before.commit);
    if (fault !== undefined) fail(fault);
    if (!mayReplace && entry.index !== end + 1) fail(`entry ${entry.index} behind entry ${end}`);
    if (entry.term < term) fail(`term ${entry.term} of entry ${entry.index} after term ${term}`);
    mayReplace = false;
    end = entry.index;
    term = entry.term;
  }
  if (hardState === undefined) return { hardState: before, last: end };
  const fault = hardStateFault(before, hardState, end);
  assert(fault === undefined, `${fault}`);
  return { hardState, last: end };
}
