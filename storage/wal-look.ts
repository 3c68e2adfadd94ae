/** A log as it is read: nothing of it is changed. */
import { assert } from "../raft/assert.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { type LogPoint, WalDamagedError, type WalOptions, type WalReplay } from "./wal.ts";
import type { WalIndex } from "./wal-index.ts";
import { type LogContent, Replay, type SegmentEnd } from "./wal-replay.ts";
import { damaged, foreign, type Mismatch, type SegmentName, segmentsAmong } from "./wal-segment.ts";

/**
 * As openWal, of a log that somebody else wrote and that stays as it is, also when its end is torn. Nobody may write to it
 * meanwhile.
 */
export async function readWal(
  disk: Disk,
  directory: string,
  keepAfter: LogPoint,
  options: WalOptions,
): Promise<Omit<WalReplay, "wal"> | undefined> {
  const segments = segmentsAmong(directory, await disk.list(directory));
  if (segments.length === 0) return undefined;
  const replay = new Replay(keepAfter.index);
  const { file, end } = await replaySegments(disk, segments, replay, options);
  await file.close();
  const content = replay.content();
  assert(content !== undefined, "a replayed log without metadata");
  const mismatch = mismatchOf(content.index, keepAfter, end.tornBytes);
  if (mismatch !== undefined) throw foreign(directory, mismatch);
  const { hardState, start, entries } = content;
  return { hardState, start, before: beforeKept(content, keepAfter), entries, tornBytes: end.tornBytes };
}

/** Of a log that was cut just there, only the state store knows the term. */
export function beforeKept({ before }: LogContent, keepAfter: LogPoint): LogPoint {
  const { index, term } = before;
  if (term !== undefined) return { index, term };
  assert(index === keepAfter.index, `the term of entry ${index} is not known`);
  return keepAfter;
}

/**
 * The newest snapshot from another member that the log in the directory starts from; {0,0}: none, or no log. Reads the
 * whole log. Throws WalDamagedError.
 */
export async function readWalStart(disk: Disk, directory: string, options: WalOptions): Promise<LogPoint> {
  const segments = segmentsAmong(directory, await disk.list(directory));
  if (segments.length === 0) return { index: 0, term: 0 };
  const replay = new Replay(Number.POSITIVE_INFINITY);
  const { file } = await replaySegments(disk, segments, replay, options);
  try {
    // What was read may have been written by a process that was killed before its sync, and is acted upon now.
    await file.sync();
  } finally {
    await file.close();
  }
  return replay.start;
}

/** A log as it is, whatever that is; nothing is changed. */
export interface WalLook {
  /** What could be read of it; undefined: not even its beginning, or there is none. */
  readonly content: LogContent | undefined;
  /** Bytes of a torn last write, which the next start cuts off. */
  readonly tornBytes: number;
  /** Where it is damaged; `content` is what comes before. */
  readonly damage: WalDamagedError | undefined;
}

/** Only reads. Nobody may write to the log meanwhile. The content has the entries above `keepAfter`. */
export async function lookAtWal(disk: Disk, directory: string, keepAfter: number): Promise<WalLook | undefined> {
  const replay = new Replay(keepAfter);
  try {
    const segments = segmentsAmong(directory, await disk.list(directory));
    if (segments.length === 0) return undefined;
    const { file, end } = await replaySegments(disk, segments, replay, { segmentBytes: 0 });
    await file.close();
    return { content: replay.content(), tornBytes: end.tornBytes, damage: undefined };
  } catch (error) {
    if (!(error instanceof WalDamagedError)) throw error;
    return { content: replay.content(), tornBytes: 0, damage: error };
  }
}

/**
 * Why this cannot be the log whose entries the state store applied, if it cannot. An entry is applied only when it is
 * durable here; so one that the store has and the log lost was acknowledged, however much its remains look like a torn
 * write.
 */
export function mismatchOf(index: WalIndex, applied: LogPoint, tornBytes: number): Mismatch | undefined {
  const torn = tornBytes > 0 ? `, followed by ${tornBytes} bytes of a write that cannot be read` : "";
  if (index.last < applied.index) return { what: `it ends at entry ${index.last}${torn}`, isStoreLost: false };
  if (index.first > applied.index + 1) {
    const store = applied.index === 0 ? "is missing or new" : `ends at entry ${applied.index}`;
    return { what: `it begins at entry ${index.first}, and the state store ${store}`, isStoreLost: true };
  }
  const term = index.termAt(applied.index);
  if (term === undefined || term === applied.term) return undefined;
  const what = `its entry ${applied.index} is of term ${term}, that of the state store of term ${applied.term}`;
  return { what, isStoreLost: false };
}

/** The last segment, left open, and how it ends. */
export async function replaySegments(
  disk: Disk,
  segments: readonly SegmentName[],
  replay: Replay,
  options: WalOptions,
): Promise<{ readonly file: DiskFile; readonly size: number; readonly end: SegmentEnd }> {
  const sizes: number[] = [];
  for (const segment of segments) {
    const file = await openSegment(disk, segment);
    sizes.push(await file.size());
    await file.close();
  }
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let done = 0;
  for (const [i, segment] of segments.entries()) {
    const size = sizes[i] as number;
    const isLast = i === segments.length - 1;
    const file = await openSegment(disk, segment);
    try {
      const end = await replay.segment(segment, file, size, isLast);
      done += size;
      options.onProgress?.(done, total);
      if (isLast) return { file, size, end };
      await file.close();
    } catch (error) {
      await file.close();
      throw error;
    }
  }
  throw new Error("no segments");
}

async function openSegment(disk: Disk, segment: SegmentName): Promise<DiskFile> {
  const file = await disk.open(segment.path);
  if (file === undefined) throw damaged(segment.path, 0, undefined, "the file has vanished");
  return file;
}
