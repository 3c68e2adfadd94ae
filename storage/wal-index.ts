import { assert, fail } from "../raft/assert.ts";

/** Where a record starts, and the rolling checksum before it. */
export interface Place {
  readonly segment: number;
  readonly offset: number;
  readonly crc: number;
}

interface Point extends Place {
  readonly index: number;
}

const POINT_EVERY_ENTRIES = 512;
const POINT_EVERY_BYTES = 64 * 1024;

/**
 * Where each entry lies and its term, in little memory: a point for some entries, and one pair for each run of a term.
 *
 * A log file also holds entries that later ones replaced. Invariant: from a point, reading forward within its segment,
 * the entries come contiguous and valid until the next point's index; there reading goes on at the next point's place.
 * Each entry that does not follow its predecessor in the file (first of a segment, first after a replacement) is a point.
 */
export class WalIndex {
  #points: Point[] = [];
  /** Each term with the first index of its run; ascending in both. The first is that of the entry before the log. */
  #terms: { readonly index: number; readonly term: number | undefined }[];
  #first: number;
  #last: number;

  /** An empty log behind the entry `index`; its term may be unknown. */
  constructor(index: number, term: number | undefined) {
    this.#terms = [{ index, term }];
    this.#first = index + 1;
    this.#last = index;
  }

  /** First index that has an entry, or would have. */
  get first(): number {
    return this.#first;
  }

  get last(): number {
    return this.#last;
  }

  /** First index whose predecessor's term is known, too: of a log that was cut the one after the first. */
  get firstReadable(): number {
    return this.termAt(this.#first - 1) === undefined ? this.#first + 1 : this.#first;
  }

  /** Of an entry in the log or the one just before it. */
  termAt(index: number): number | undefined {
    if (index < this.#first - 1 || index > this.#last) return undefined;
    return this.#terms[lastUpTo(this.#terms, index)]?.term;
  }

  /** The entry replaces whatever the log has from its index on. */
  append(index: number, term: number, place: Place): void {
    if (index < this.#first || index > this.#last + 1) fail(`entry ${index} of a log that ends at ${this.#last}`);
    const replaces = index <= this.#last;
    if (replaces) this.#truncate(index);
    const termBefore = this.termAt(index - 1);
    if (termBefore !== undefined && termBefore > term) {
      fail(`term ${term} of entry ${index} after term ${termBefore}`);
    }
    if (termBefore !== term) this.#terms.push({ index, term });
    this.#last = index;
    const point = this.#points.at(-1);
    if (
      replaces ||
      point === undefined ||
      point.segment !== place.segment ||
      index - point.index >= POINT_EVERY_ENTRIES ||
      place.offset - point.offset >= POINT_EVERY_BYTES
    ) {
      this.#points.push({ index, segment: place.segment, offset: place.offset, crc: place.crc });
    }
  }

  /** The log starts anew behind this entry. */
  restart(index: number, term: number): void {
    this.#points = [];
    this.#terms = [{ index, term }];
    this.#first = index + 1;
    this.#last = index;
  }

  /** The lowest index of which an entry lies in this segment or a later one. */
  firstIn(segment: number): number | undefined {
    return this.#points.find((point) => point.segment >= segment)?.index;
  }

  /** What is before `first`, of which an entry is the first in its segment, is gone. */
  cut(first: number): void {
    assert(
      first > this.#first && first <= this.#last,
      `a cut before ${first} of a log of ${this.#first}..${this.#last}`,
    );
    this.#points.splice(0, lastUpTo(this.#points, first));
    assert(this.#points[0]?.index === first, `entry ${first} is not the first of its segment`);
    this.#terms.splice(0, lastUpTo(this.#terms, first - 1));
    this.#first = first;
  }

  /** Where to start reading for this entry, and the index before which to stop there. */
  find(index: number): { readonly place: Place; readonly from: number; readonly until: number } {
    assert(index >= this.#first && index <= this.#last, `entry ${index} of ${this.#first}..${this.#last}`);
    const at = lastUpTo(this.#points, index);
    const point = this.#points[at];
    assert(point !== undefined, `no place for entry ${index}`);
    return { place: point, from: point.index, until: this.#points[at + 1]?.index ?? this.#last + 1 };
  }

  #truncate(index: number): void {
    this.#points.length = lastUpTo(this.#points, index - 1) + 1;
    // The pair of the entry before the log stays: every index of the log is behind it.
    this.#terms.length = lastUpTo(this.#terms, index - 1) + 1;
    this.#last = index - 1;
  }
}

/** Position of the last element with an index of at most this; -1 when there is none. */
function lastUpTo(sorted: readonly { readonly index: number }[], index: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle]?.index as number) <= index) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
