/**
 * The log as it is written.
 *
 * One write and one sync are in flight at a time. What arrives meanwhile waits and goes out together: group commit
 * without a timer. A write goes to one segment only, at the end of what is there; nothing is ever written over.
 *
 * A segment is in the log once its name is on the disk, and gets its name only with a synced head: crc record, metadata,
 * the hard state so far, settled mark (wal-tail.ts). All before it is synced by then, so only the last segment has a tail
 * that a crash can tear.
 */
import { posix } from "node:path";
import { encode } from "../proto/codec.ts";
import { Metadata } from "../proto/generated/etcdserverpb.ts";
import * as walpb from "../proto/generated/walpb.ts";
import { assert } from "../raft/assert.ts";
import type { Entry, HardState } from "../raft/types.ts";
import type { Disk, DiskFile } from "./disk.ts";
import type { CreateWal, OpenWal, Wal, WalBatch, WalMetadata, WalOptions } from "./wal.ts";
import { batchBound, checkBatch, needsSync, writeBatch } from "./wal-batch.ts";
import { WalIndex } from "./wal-index.ts";
import { beforeKept, mismatchOf, replaySegments } from "./wal-look.ts";
import { WalReader } from "./wal-reader.ts";
import { CRC_FRAME_BYTES, RecordWriter } from "./wal-record.ts";
import { Replay, type SegmentEnd } from "./wal-replay.ts";
import { foreign, PREPARED_NAME, type SegmentName, segmentPath, segmentsAmong } from "./wal-segment.ts";

/** Waiting batches go out together up to this size; a single one may be larger. */
const MAX_WRITE_BYTES = 4 << 20;
const ZEROS = Buffer.alloc(64 * 1024);
/** After a next segment could not be prepared, this part of a segment is written before it is tried again. */
const RETRY_PARTS = 16;

export const createWal: CreateWal = async (disk, directory, metadata, first, options) => {
  assert(segmentsAmong(directory, await disk.list(directory)).length === 0, `there is a WAL in ${directory}`);
  const index = new WalIndex(first.snapshot?.index ?? 0, first.snapshot?.term ?? 0);
  const { hardState } = checkBatch(first, NO_HARD_STATE, 1, 0);
  const path = segmentPath(directory, 0, 0);
  const metadataBytes = encode(Metadata, metadata);

  const writer = new RecordWriter(0);
  writer.seed();
  writer.metadata(metadataBytes);
  writer.snapshot(encode(walpb.Snapshot, walpb.Snapshot.create()));
  writeBatch(writer, first, index, 0, 0);
  writer.seed();

  // The segment gets its name last: either the whole first batch is there or no WAL is.
  await disk.makeDirectory(directory);
  const file = await prepareSegment(disk, directory, options.segmentBytes);
  try {
    await file.write(writer.bytes, 0);
    await file.sync();
    await disk.rename(posix.join(directory, PREPARED_NAME), path);
    await disk.syncDirectory(directory);
  } catch (error) {
    await Promise.allSettled([file.close()]);
    throw error;
  }

  const segment = { sequence: 0, index: 0, path };
  const tail: Tail = {
    segment,
    file,
    offset: writer.length,
    headEnd: writer.length,
    synced: true,
    marked: true,
  };
  return new Log(
    disk,
    directory,
    options,
    { metadata, metadataBytes, hardState, index, tail, crc: writer.crc },
    [segment],
    0,
  );
};

export const openWal: OpenWal = async (disk, directory, keepAfter, options) => {
  const names = await disk.list(directory);
  const segments = segmentsAmong(directory, names);
  const last = segments.at(-1);
  if (last === undefined) return undefined;

  const replay = new Replay(keepAfter.index);
  const { file, size, end } = await replaySegments(disk, segments, replay, options);
  const content = replay.content();
  assert(content !== undefined, "a replayed log without metadata");
  const mismatch = mismatchOf(content.index, keepAfter, end.tornBytes);
  if (mismatch !== undefined) {
    await file.close();
    throw foreign(directory, mismatch);
  }

  // From here on the disk is changed: everything was read and found good.
  await repair(file, size, end, options.segmentBytes);
  if (names.includes(PREPARED_NAME)) await disk.remove(posix.join(directory, PREPARED_NAME));
  // The process that made these names may have been killed before it could sync them.
  await disk.syncDirectory(directory);
  await disk.syncDirectory(posix.dirname(directory));
  let offset = end.offset;
  if (!end.marked) {
    // Only now: the mark says that all before it is on the disk.
    const writer = new RecordWriter(end.crc);
    writer.seed();
    await file.write(writer.bytes, offset);
    await file.sync();
    offset += writer.length;
  }

  const { metadata, metadataBytes, hardState, start, index, entries } = content;
  const tail: Tail = { segment: last, file, offset, headEnd: 0, synced: true, marked: true };
  const state = { metadata, metadataBytes, hardState, index, tail, crc: end.crc };
  const wal = new Log(disk, directory, options, state, segments, end.startSegment);
  return { wal, hardState, start, before: beforeKept(content, keepAfter), entries, tornBytes: end.tornBytes };
};

/** Cuts a torn write off: zero from where the log ends, on the disk, before anything is written there. */
async function repair(file: DiskFile, size: number, end: SegmentEnd, segmentBytes: number): Promise<void> {
  for (const mend of end.mends) await file.write(mend.bytes, mend.offset);
  const tornEnd = end.offset + end.tornBytes;
  for (let at = end.offset; at < tornEnd; at += ZEROS.length) {
    await file.write(ZEROS.subarray(0, Math.min(ZEROS.length, tornEnd - at)), at);
  }
  // What was replayed may have been written by a process that was killed before its sync.
  await file.sync();
  if (size < segmentBytes) await file.allocate(segmentBytes);
}

interface Tail {
  readonly segment: SegmentName;
  readonly file: DiskFile;
  /** Where the next record goes. */
  offset: number;
  /** End of the head; a segment that has only that is not cut again. */
  readonly headEnd: number;
  /** Everything before offset is on the disk. */
  synced: boolean;
  /** The last record is a settled mark. */
  marked: boolean;
}

interface LogState {
  readonly metadata: WalMetadata;
  readonly metadataBytes: Buffer;
  readonly hardState: HardState;
  readonly index: WalIndex;
  readonly tail: Tail;
  readonly crc: number;
}

interface Waiting {
  readonly batch: WalBatch;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

class Log implements Wal {
  readonly metadata: WalMetadata;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #options: WalOptions;
  readonly #metadataBytes: Buffer;
  readonly #index: WalIndex;
  readonly #reader: WalReader;
  readonly #writer: RecordWriter;
  readonly #segments: SegmentName[];
  /** The segment of the newest snapshot record: what is before it tells nothing any more. */
  #startSegment: number;
  #hardState: HardState;
  #tail: Tail;
  /** The next segment; undefined as long as there is none or when it could not be made. */
  #prepared: Promise<DiskFile> | undefined;
  /** From this size of the tail on the next segment is prepared. */
  #prepareFrom: number;
  #queue: Waiting[] = [];
  /** The beginning and the end of the log when all that waits is written. */
  #first: number;
  #appended: number;
  #promised: HardState;
  #durable: number;
  #draining: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #closed = false;

  constructor(
    disk: Disk,
    directory: string,
    options: WalOptions,
    state: LogState,
    segments: readonly SegmentName[],
    startSegment: number,
  ) {
    this.metadata = state.metadata;
    this.#disk = disk;
    this.#directory = directory;
    this.#options = options;
    this.#metadataBytes = state.metadataBytes;
    this.#hardState = state.hardState;
    this.#index = state.index;
    this.#tail = state.tail;
    this.#segments = [...segments];
    this.#startSegment = startSegment;
    this.#writer = new RecordWriter(state.crc);
    this.#reader = new WalReader(disk, state.index, (sequence) => this.#segments.find((s) => s.sequence === sequence));
    this.#prepareFrom = options.segmentBytes / 2;
    this.#first = state.index.first;
    this.#appended = state.index.last;
    this.#promised = state.hardState;
    this.#durable = state.index.last;
  }

  get firstIndex(): number {
    return this.#index.firstReadable;
  }

  get lastIndex(): number {
    return this.#durable;
  }

  get segmentCount(): number {
    return this.#segments.length;
  }

  append(batch: WalBatch): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure.error;
      assert(!this.#closed, "append to a closed log");
      const checked = checkBatch(batch, this.#promised, this.#first, this.#appended);
      this.#promised = checked.hardState;
      this.#appended = checked.last;
      if (batch.snapshot !== undefined) this.#first = batch.snapshot.index + 1;
      this.#queue.push({ batch, bytes: batchBound(batch), resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  async read(
    from: number,
    through: number,
    maxBytes: number,
  ): Promise<{ readonly prevTerm: number; readonly entries: readonly Entry[] } | undefined> {
    if (from < this.firstIndex) return undefined;
    assert(from <= through && through <= this.#durable, `read ${from}..${through} of a log to ${this.#durable}`);
    return await this.#reader.read(from, through, maxBytes);
  }

  async cut(through: number, keepSegments: number): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    const count = this.#removable(through, keepSegments);
    if (count === 0) return;
    const removed = this.#segments.slice(0, count);
    const kept = this.#segments[count] as SegmentName;
    await this.#reader.between(async () => {
      // Between the look and here a snapshot may have replaced all that there was.
      const first = this.#index.firstIn(kept.sequence);
      if (first !== undefined && first > this.#index.first) this.#index.cut(first);
      this.#segments.splice(0, count);
      for (const { sequence } of removed) await this.#reader.forget(sequence);
    });
    this.#first = Math.max(this.#first, this.#index.first);
    // Each removal is on the disk before the next: a log with a gap in it would be refused.
    for (const { path } of removed) {
      await this.#disk.remove(path);
      await this.#disk.syncDirectory(this.#directory);
    }
  }

  /** How many of the oldest segments hold nothing above `through`. */
  #removable(through: number, keepSegments: number): number {
    let count = 0;
    for (const { sequence } of this.#segments.slice(1)) {
      if (this.#segments.length - count <= Math.max(keepSegments, 1)) break;
      // Without an entry (or a snapshot) in what is left, nothing would say where the log begins.
      const first = this.#index.firstIn(sequence);
      const isBehindStart = sequence <= this.#startSegment;
      if (!isBehindStart && (first === undefined || first > through + 1 || first > this.#durable)) break;
      count++;
    }
    return count;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#draining;
    const results = await Promise.allSettled([this.#reader.close(), this.#tail.file.close(), this.#dropPrepared()]);
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  /** Never rejects: a failure is handed to everyone who waits, now and later. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#commit(group);
        for (const { resolve } of group) resolve();
      } catch (error) {
        // After a failed write or sync nobody knows what is on the disk: it is not for this process to write again.
        this.#failure = { error };
        for (const { reject } of [...group, ...this.#queue]) reject(error);
        this.#queue = [];
      }
    }
    this.#draining = undefined;
  }

  #takeGroup(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const waiting of this.#queue) {
      bytes += waiting.bytes;
      if (count > 0 && bytes > MAX_WRITE_BYTES) break;
      count++;
    }
    const group = this.#queue;
    this.#queue = group.splice(count);
    return group;
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    let bound = CRC_FRAME_BYTES;
    let mustSync = false;
    let startsAnew = false;
    for (const { batch, bytes } of group) {
      bound += bytes;
      mustSync ||= needsSync(batch);
      startsAnew ||= batch.snapshot !== undefined;
    }
    if (this.#tail.offset + bound > this.#options.segmentBytes && this.#tail.offset > this.#tail.headEnd) {
      await this.#roll();
    }
    const { segment, file, offset, synced, marked } = this.#tail;
    const writer = this.#writer;
    writer.start();
    if (synced && !marked && bound > CRC_FRAME_BYTES) writer.seed();
    for (const { batch } of group) {
      const { snapshot } = batch;
      if (snapshot !== undefined) {
        await this.#reader.between(() => this.#index.restart(snapshot.index, snapshot.term));
      }
      const replaced = batch.entries[0]?.index ?? this.#durable + 1;
      this.#durable = snapshot === undefined ? Math.min(this.#durable, replaced - 1) : snapshot.index;
      writeBatch(writer, batch, this.#index, segment.sequence, offset);
      this.#hardState = batch.hardState ?? this.#hardState;
    }
    if (writer.length > 0) {
      // A batch that is larger than a segment makes the file longer.
      const inOneGo = mustSync && synced && offset + writer.length <= this.#options.segmentBytes;
      if (inOneGo) {
        const started = this.#syncStarts();
        await file.writeSynced(writer.bytes, offset);
        this.#syncEnded(started);
      } else {
        await file.write(writer.bytes, offset);
      }
      this.#tail.offset = offset + writer.length;
      this.#tail.synced = inOneGo;
      this.#tail.marked = false;
    }
    if (mustSync) await this.#sync();
    this.#durable = this.#index.last;
    if (startsAnew) this.#startSegment = segment.sequence;
    if (this.#tail.offset > this.#prepareFrom) this.#prepare();
  }

  async #sync(): Promise<void> {
    if (this.#tail.synced) return;
    const started = this.#syncStarts();
    await this.#tail.file.sync();
    this.#syncEnded(started);
    this.#tail.synced = true;
  }

  /** Only for who wants to know: a log under simulated time must not meet the real clock. */
  #syncStarts(): number {
    return this.#options.onSync === undefined ? 0 : performance.now();
  }

  #syncEnded(started: number): void {
    this.#options.onSync?.(performance.now() - started);
  }

  async #roll(): Promise<void> {
    await this.#sync();
    const file = await this.#nextSegment();
    const writer = this.#writer;
    writer.start();
    writer.seed();
    writer.metadata(this.#metadataBytes);
    if (this.#hardState.term > 0) writer.hardState(this.#hardState);
    writer.seed();
    await file.write(writer.bytes, 0);
    await file.sync();
    const sequence = this.#tail.segment.sequence + 1;
    const index = this.#index.last + 1;
    const path = segmentPath(this.#directory, sequence, index);
    await this.#disk.rename(posix.join(this.#directory, PREPARED_NAME), path);
    await this.#disk.syncDirectory(this.#directory);
    this.#prepared = undefined;
    this.#prepareFrom = this.#options.segmentBytes / 2;
    const full = this.#tail.file;
    const segment = { sequence, index, path };
    this.#segments.push(segment);
    this.#tail = { segment, file, offset: writer.length, headEnd: writer.length, synced: true, marked: true };
    await full.close();
  }

  async #nextSegment(): Promise<DiskFile> {
    // What was prepared early may have met a disk that was full for a moment; only now is the segment needed.
    const early = await this.#prepared?.catch(() => undefined);
    return early ?? (await this.#prepare());
  }

  /** The next segment, made while this one still has room, so that a cut need not wait for all its zeros. */
  #prepare(): Promise<DiskFile> {
    if (this.#prepared !== undefined) return this.#prepared;
    const preparing = prepareSegment(this.#disk, this.#directory, this.#options.segmentBytes);
    this.#prepared = preparing;
    preparing.catch(() => {
      // Not lost: until the cut the log has all the space it needs, and a cut that gets no segment fails its append.
      this.#prepared = undefined;
      this.#prepareFrom = this.#tail.offset + this.#options.segmentBytes / RETRY_PARTS;
    });
    return preparing;
  }

  async #dropPrepared(): Promise<void> {
    const file = await this.#prepared?.catch(() => undefined);
    if (file === undefined) return;
    await file.close();
    if (this.#failure === undefined) await this.#disk.remove(posix.join(this.#directory, PREPARED_NAME));
  }
}

/** A segment without a name yet, filled with zeros. A failure gives its space back, as far as the disk lets it. */
async function prepareSegment(disk: Disk, directory: string, bytes: number): Promise<DiskFile> {
  const path = posix.join(directory, PREPARED_NAME);
  if ((await disk.list(directory)).includes(PREPARED_NAME)) await disk.remove(path);
  const file = await disk.create(path);
  try {
    await file.allocate(bytes);
    return file;
  } catch (error) {
    // The first failure is the one to tell; what stays behind is removed by the next attempt or start.
    await Promise.allSettled([file.close(), disk.remove(path)]);
    throw error;
  }
}

const NO_HARD_STATE: HardState = { term: 0, vote: 0n, commit: 0 };
