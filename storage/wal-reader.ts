import { decode } from "../proto/codec.ts";
import * as raftpb from "../proto/generated/raftpb.ts";
import { assert } from "../raft/assert.ts";
import type { Entry, EntryType } from "../raft/types.ts";
import type { Disk, DiskFile } from "./disk.ts";
import type { WalIndex } from "./wal-index.ts";
import { ENTRY, parseFrame } from "./wal-record.ts";
import { damaged, type SegmentName, Window } from "./wal-segment.ts";
import { checksum } from "./wal-tail.ts";

const CHUNK_BYTES = 128 * 1024;
const MAX_OPEN_FILES = 4;

/** Reads committed entries back from the segments while others are appended. One read at a time; the others wait. */
export class WalReader {
  readonly #disk: Disk;
  readonly #index: WalIndex;
  readonly #segment: (sequence: number) => SegmentName | undefined;
  /** Least recently used first. */
  readonly #files = new Map<number, DiskFile>();
  #reading: Promise<unknown> = Promise.resolve();

  constructor(disk: Disk, index: WalIndex, segment: (sequence: number) => SegmentName | undefined) {
    this.#disk = disk;
    this.#index = index;
    this.#segment = segment;
  }

  /**
   * As many of from..through as maxBytes of data allow, at least one, and the term of the entry before; undefined when
   * that is no longer, or was never, known here.
   */
  read(
    from: number,
    through: number,
    maxBytes: number,
  ): Promise<{ readonly prevTerm: number; readonly entries: readonly Entry[] } | undefined> {
    return this.between(async () => {
      if (from < this.#index.firstReadable || from > this.#index.last) return undefined;
      const prevTerm = this.#index.termAt(from - 1);
      assert(prevTerm !== undefined, `no term for entry ${from - 1}`);
      return { prevTerm, entries: await this.#read(from, through, maxBytes) };
    });
  }

  /** Does this while nothing is read. */
  between<T>(work: () => T | Promise<T>): Promise<T> {
    const result = this.#reading.then(work);
    this.#reading = result.catch(() => undefined);
    return result;
  }

  /** Lets go of the file of a segment that is to be removed; within `between`. */
  async forget(sequence: number): Promise<void> {
    const file = this.#files.get(sequence);
    this.#files.delete(sequence);
    await file?.close();
  }

  async close(): Promise<void> {
    await this.#reading;
    for (const file of this.#files.values()) await file.close();
    this.#files.clear();
  }

  async #read(from: number, through: number, maxBytes: number): Promise<readonly Entry[]> {
    const entries: Entry[] = [];
    let room = maxBytes;
    while (from + entries.length <= through) {
      const next = from + entries.length;
      const { place, from: pointIndex, until } = this.#index.find(next);
      const stop = Math.min(until - 1, through);
      const segment = this.#segment(place.segment);
      if (segment === undefined) throw new Error(`no segment ${place.segment} for entry ${next}`);
      const file = await this.#open(segment);
      const window = new Window(file, await file.size(), { chunkBytes: CHUNK_BYTES, keep: true });
      let { offset, crc } = place;
      for (let index = pointIndex; index <= stop; ) {
        const at = offset - window.start;
        const bytes = window.bytes;
        const frame = parseFrame(bytes, at, window.length);
        if (frame.kind === "short" && offset + frame.bytes <= window.size) {
          await window.load(offset, frame.bytes);
          continue;
        }
        if (frame.kind !== "record" || checksum(bytes, frame, crc) !== frame.crc) {
          throw damaged(segment.path, offset, undefined, `entry ${index} was to be read from here`);
        }
        crc = frame.crc;
        offset += frame.end - at;
        if (frame.type !== ENTRY) continue;
        const entry = decode(raftpb.Entry, bytes.subarray(frame.dataStart, frame.dataEnd));
        if (entry.index !== index || entry.term !== this.#index.termAt(index)) {
          throw damaged(
            segment.path,
            offset,
            0,
            `found entry ${entry.index} of term ${entry.term} in place of ${index}`,
          );
        }
        index++;
        if (entry.index < next) continue;
        if (entries.length > 0 && entry.data.length > room) return entries;
        room -= entry.data.length;
        entries.push({ type: entry.type as EntryType, term: entry.term, index: entry.index, data: entry.data });
      }
    }
    return entries;
  }

  async #open(segment: SegmentName): Promise<DiskFile> {
    const { sequence, path } = segment;
    let file = this.#files.get(sequence);
    if (file === undefined) {
      file = await this.#disk.open(path);
      if (file === undefined) throw damaged(path, 0, undefined, "the file has vanished");
    }
    this.#files.delete(sequence);
    this.#files.set(sequence, file);
    for (const [oldest, unused] of this.#files) {
      if (this.#files.size <= MAX_OPEN_FILES) break;
      this.#files.delete(oldest);
      await unused.close();
    }
    return file;
  }
}
