/**
 * Reading a log back: every segment front to back, every record checked, in bounded memory. What the end of the last
 * segment may look like, and how a torn write is told from damage, is written down at the top of wal-tail.ts.
 *
 * Checked of each file: it begins with a crc record that goes on from the file before, then the metadata, equal in all
 * files. Of each entry: its index follows (an index that was there before replaces that entry and all behind it, which
 * must not be committed), its term does not fall. Of each hard state: neither term nor commit fall. The checks are also
 * what finds a record whose type turned into another one.
 */
import { DecodeError, decode } from "../proto/codec.ts";
import { Metadata } from "../proto/generated/etcdserverpb.ts";
import * as raftpb from "../proto/generated/raftpb.ts";
import * as walpb from "../proto/generated/walpb.ts";
import type { Entry, EntryType, HardState } from "../raft/types.ts";
import type { DiskFile } from "./disk.ts";
import type { LogPoint, WalMetadata } from "./wal.ts";
import { WalIndex } from "./wal-index.ts";
import { CRC, ENTRY, type Frame, HARD_STATE, METADATA, parseFrame, SNAPSHOT } from "./wal-record.ts";
import { entryFault, hardStateFault, placeFault } from "./wal-rules.ts";
import { damaged, endOfContent, type SegmentName, Window } from "./wal-segment.ts";
import { checksum, expectedAt, judgeTail, mendRecord, SECTOR_BYTES, type Tail } from "./wal-tail.ts";

const CHUNK_BYTES = 1 << 20;

/** What the records of a log amount to. */
export interface LogContent {
  readonly metadata: WalMetadata;
  readonly metadataBytes: Buffer;
  readonly hardState: HardState;
  readonly start: LogPoint;
  readonly index: WalIndex;
  /** The term is unknown where a log was cut. */
  readonly before: { readonly index: number; readonly term: number | undefined };
  readonly entries: readonly Entry[];
}

export interface SegmentEnd {
  /** The segment of the newest snapshot record so far. */
  readonly startSegment: number;
  /** Where the next record goes, and the rolling checksum there. */
  readonly offset: number;
  readonly crc: number;
  /** The last record is a settled mark. */
  readonly marked: boolean;
  /** Bytes of a torn write from `offset` on. */
  readonly tornBytes: number;
  /** Bytes that a torn write lost and that the rest of it tells; to be written back. */
  readonly mends: readonly { readonly offset: number; readonly bytes: Buffer }[];
}

/** Gathers the content of a log; one for all its segments. */
export class Replay {
  readonly #keepAfter: number;
  #metadataBytes: Buffer | undefined;
  #metadata: WalMetadata = { nodeID: 0n, clusterID: 0n };
  #hardState: HardState = { term: 0, vote: 0n, commit: 0 };
  #start: LogPoint = { index: 0, term: 0 };
  #startSegment = 0;
  #index: WalIndex | undefined;
  #entries: Entry[] = [];
  /** Rolling checksum; undefined until the first file says where it goes on from. */
  #crc: number | undefined;

  constructor(keepAfter: number) {
    this.#keepAfter = keepAfter;
  }

  /** The newest snapshot record. */
  get start(): LogPoint {
    return this.#start;
  }

  content(): LogContent | undefined {
    if (this.#metadataBytes === undefined) return undefined;
    const index = this.#index ?? new WalIndex(0, 0);
    const beforeIndex = Math.max(Math.min(this.#keepAfter, index.last), index.first - 1);
    const lastTerm = index.termAt(index.last) ?? 0;
    // A torn write may have left entries of a term and lost the hard state behind them. Nothing was promised in that
    // term: a vote or an acknowledgement would have waited for the sync.
    const hardState =
      lastTerm > this.#hardState.term ? { term: lastTerm, vote: 0n, commit: this.#hardState.commit } : this.#hardState;
    return {
      metadata: this.#metadata,
      metadataBytes: this.#metadataBytes,
      hardState,
      start: this.#start,
      index,
      before: { index: beforeIndex, term: index.termAt(beforeIndex) },
      entries: this.#entries,
    };
  }

  /** Reads one segment to its end. Throws WalDamagedError. */
  async segment(name: SegmentName, file: DiskFile, size: number, isLast: boolean): Promise<SegmentEnd> {
    const window = new Window(file, size, { chunkBytes: CHUNK_BYTES, keep: false });
    const mends: { readonly offset: number; readonly bytes: Buffer }[] = [];
    let offset = 0;
    let record = 0;
    let lastType = 0;
    let marked = false;
    for (;;) {
      let bytes = window.bytes;
      const at = offset - window.start;
      let frame = parseFrame(bytes, at, window.length);
      if (frame.kind === "short" && offset + frame.bytes <= size) {
        await window.load(offset, frame.bytes);
        continue;
      }
      if (frame.kind === "record" && record === 0 && frame.type === CRC) this.#crc ??= frame.crc;
      const crc = this.#crc ?? 0;
      if (frame.kind !== "record" || checksum(bytes, frame, crc) !== frame.crc) {
        const contentEnd = await endOfContent(file, offset, size);
        const clean = contentEnd === offset && record >= 2;
        if (clean) return this.#end(offset, crc, lastType === CRC && record > 2, 0, mends);
        if (!isLast || record < 2) throw damaged(name.path, offset, record, describe(bytes, frame, crc));
        const tail = await loadTail(file, offset, contentEnd, size, crc, marked);
        const mended = mendRecord(tail);
        if (mended === undefined) {
          const reason = judgeTail(tail);
          if (reason !== undefined) throw damaged(name.path, offset, record, reason);
          return this.#end(offset, crc, lastType === CRC && record > 2, contentEnd - offset, mends);
        }
        const { start, end } = mended.replaced;
        mends.push({ offset: offset + start, bytes: mended.bytes.subarray(start, end) });
        bytes = mended.bytes;
        frame = parseFrame(bytes, 0, bytes.length);
        if (frame.kind !== "record") throw damaged(name.path, offset, record, describe(bytes, frame, crc));
      }
      const data = bytes.subarray(frame.dataStart, frame.dataEnd);
      const wrong = this.#accept(name, offset, record, frame, data);
      if (wrong !== undefined) throw damaged(name.path, offset, record, wrong);
      this.#crc = frame.crc;
      marked ||= frame.type === CRC && record > 0;
      lastType = frame.type;
      offset += frame.end - (bytes === window.bytes ? at : 0);
      record++;
    }
  }

  #end(offset: number, crc: number, marked: boolean, tornBytes: number, mends: SegmentEnd["mends"]): SegmentEnd {
    return { startSegment: this.#startSegment, offset, crc, marked, tornBytes, mends };
  }

  /** What is wrong with the record, if anything; its checksum is right. */
  #accept(
    name: SegmentName,
    offset: number,
    record: number,
    frame: Extract<Frame, { kind: "record" }>,
    data: Buffer,
  ): string | undefined {
    if (record === 0 && (frame.type !== CRC || (name.sequence === 0 && frame.crc !== 0))) {
      return name.sequence === 0 ? "expected a crc record of 0" : "expected a crc record";
    }
    if (record === 1 && frame.type !== METADATA) return "expected the metadata";
    try {
      switch (frame.type) {
        case CRC:
          return undefined;
        case METADATA:
          return this.#acceptMetadata(data);
        case ENTRY:
          return this.#acceptEntry(decode(raftpb.Entry, data), { segment: name.sequence, offset, crc: this.#crc ?? 0 });
        case HARD_STATE:
          return this.#acceptHardState(decode(raftpb.HardState, data), data.length);
        case SNAPSHOT:
          return this.#acceptSnapshot(decode(walpb.Snapshot, data), name.sequence);
        default:
          return `a record of type ${frame.type}`;
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw damaged(name.path, offset, record, `the record of type ${frame.type} cannot be decoded`, error);
    }
  }

  #acceptMetadata(data: Buffer): string | undefined {
    if (this.#metadataBytes === undefined) {
      this.#metadata = decode(Metadata, data);
      this.#metadataBytes = Buffer.from(data);
      return undefined;
    }
    return data.equals(this.#metadataBytes) ? undefined : "the metadata is not that of the record before";
  }

  #acceptEntry(
    entry: raftpb.Entry,
    place: { readonly segment: number; readonly offset: number; readonly crc: number },
  ): string | undefined {
    const wrong = entryFault(entry);
    if (wrong !== undefined) return wrong;
    const { term, index } = entry;
    // The first segments of a log may be gone; then the first entry says where it begins, and so does one that replaces
    // it and goes further back, as long as nothing of that was committed.
    this.#index ??= place.segment === 0 ? new WalIndex(0, 0) : new WalIndex(index - 1, undefined);
    if (this.#isBeginningUnknown(index)) {
      this.#index = new WalIndex(index - 1, undefined);
      this.#entries = [];
    }
    const log = this.#index;
    const misplaced = placeFault(index, log.first, log.last, this.#hardState.commit);
    if (misplaced !== undefined) return misplaced;
    const termBefore = log.termAt(index - 1);
    if (termBefore !== undefined && term < termBefore)
      return `entry ${index} of term ${term} follows term ${termBefore}`;
    log.append(index, term, place);
    // Entries kept so far run up to the one before, or further when this one replaces some of them.
    const kept = index - 1 - Math.max(this.#keepAfter, log.first - 1);
    if (kept < this.#entries.length) this.#entries.length = Math.max(kept, 0);
    if (index > this.#keepAfter) {
      this.#entries.push({ type: entry.type as EntryType, term, index, data: Buffer.from(entry.data) });
    }
    return undefined;
  }

  #isBeginningUnknown(index: number): boolean {
    const log = this.#index;
    return log !== undefined && log.firstReadable > log.first && index < log.first && index > this.#hardState.commit;
  }

  #acceptHardState(state: raftpb.HardState, bytes: number): string | undefined {
    if (bytes > raftpb.sizeHardState(state)) return "a hard state with more than its fields";
    const wrong = hardStateFault(this.#hardState, state, this.#index?.last);
    if (wrong !== undefined) return wrong;
    this.#hardState = { term: state.term, vote: state.vote, commit: state.commit };
    return undefined;
  }

  /** A snapshot of this log's own entries, or one received in place of entries that this member never had. */
  #acceptSnapshot(snapshot: walpb.Snapshot, segment: number): string | undefined {
    const { index, term } = snapshot;
    if (index < this.#start.index) return `a snapshot at ${index} after one at ${this.#start.index}`;
    this.#start = { index, term };
    this.#startSegment = segment;
    const log = this.#index;
    const known = log?.termAt(index);
    if (log === undefined || index > log.last || (known !== undefined && known !== term)) {
      this.#index = new WalIndex(index, term);
      this.#entries = [];
    }
    return undefined;
  }
}

async function loadTail(
  file: DiskFile,
  offset: number,
  contentEnd: number,
  size: number,
  crc: number,
  marked: boolean,
): Promise<Tail> {
  let length = Math.min(contentEnd + SECTOR_BYTES, size) - offset;
  for (;;) {
    const bytes = Buffer.alloc(length);
    await file.read(bytes, offset);
    const frame = parseFrame(bytes, 0, length);
    // Zeros at the end of the record at G are part of it.
    if (frame.kind === "short" && offset + length < size && frame.bytes > length) {
      length = Math.min(frame.bytes, size - offset);
      continue;
    }
    return { bytes, offset, contentEnd: contentEnd - offset, fileEnd: size - offset, crc, marked };
  }
}

function describe(bytes: Buffer, frame: Frame, crc: number): string {
  switch (frame.kind) {
    case "end":
      return "the record's length is zero";
    case "short":
      return "the file ends within the record";
    case "malformed":
      return expectedAt(bytes, frame);
    case "record":
      return `its checksum is ${frame.crc.toString(16)}, its content gives ${checksum(bytes, frame, crc).toString(16)}`;
  }
}
