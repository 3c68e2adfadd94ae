import { decode, encode } from "../../proto/codec.ts";
import { type RangeRequest, RangeResponse, ResponseHeader } from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import type { KeyVersion, Mvcc } from "../../storage/mvcc/mvcc.ts";
import type { Env } from "../env.ts";
import { type CallContext, EncodedResponse } from "../rpc/rpc.ts";
import { PAIR_CHARGE_BYTES } from "../state/answer.ts";
import {
  type RangeResult,
  type RangeSelection,
  rangeValue,
  upToLimit,
  valueOrder,
  withoutValue,
} from "../state/range.ts";
import type { ReadBudget, ReadShare } from "./read-budget.ts";

/** How much of a result is read in one turn of the event loop. */
export interface ReadSlice {
  readonly keys: number;
  readonly bytes: number;
}

/** Two milliseconds of work: to ask for a pair, to check it and to encode it takes 3 to 5 us. */
export const DEFAULT_SLICE: ReadSlice = { keys: 512, bytes: 512 << 10 };

/** Nobody knows how long values are before the first have come; then as many are asked for as the longest allows. */
const FIRST_FETCH_KEYS = 16;
const FETCH_KEYS = 256;
/** Of all reads at a time: each takes a thread of the pool, in which the log has its writes done, too. */
const FETCHES = 2;

/** Keys of the index that are looked at in the time in which one pair is read. */
const SELECTED_PER_KEY = 4;

/** Steps of a merge that take about as long as fetching one key. */
const MERGE_STEPS_PER_KEY = 16;

export interface SelectedRange {
  readonly request: RangeRequest;
  readonly result: RangeResult;
}

const NO_PAIRS: readonly Uint8Array[] = [];

export type FetchValues = (versions: readonly KeyVersion[]) => Promise<readonly Uint8Array[]>;

/** Of the rows that a read has met. */
interface Longest {
  bytes: number;
}

interface Valued {
  readonly version: KeyVersion;
  readonly value: Uint8Array;
  readonly rowBytes: number;
}

/**
 * Reads what ranges select, a slice each turn of the event loop, and of all reads together one slice a turn. What is
 * selected are versions, which do not change; a pin keeps them while the store goes on, so an answer is of one revision
 * however long it takes. What running reads hold is bounded by the budget that they share.
 */
export class SlicedReader {
  readonly #mvcc: Mvcc;
  readonly #fetchValues: FetchValues;
  readonly #slice: ReadSlice;
  readonly #budget: ReadBudget;
  readonly #turns: Turns;
  readonly #fetches = new Gate(FETCHES);

  constructor(mvcc: Mvcc, fetchValues: FetchValues, env: Env, slice: ReadSlice, budget: ReadBudget) {
    this.#mvcc = mvcc;
    this.#fetchValues = fetchValues;
    this.#slice = slice;
    this.#budget = budget;
    this.#turns = new Turns(env);
  }

  /** The first slice of a selection, which is all of most. */
  selectNow(selection: RangeSelection): RangeResult | undefined {
    return selection.advance(this.#selectedKeys);
  }

  get #selectedKeys(): number {
    return this.#slice.keys * SELECTED_PER_KEY;
  }

  /** The answer at once when it has one pair or none, as most have; undefined otherwise. */
  readNow({ request, result }: SelectedRange, header: ResponseHeader): RangeResponse | undefined {
    const { versions, more, count, byValue } = result;
    const [version] = versions;
    if (versions.length > 1 || (byValue && version !== undefined)) return undefined;
    const kvs = version === undefined ? NO_PAIRS : [rangeValue(this.#mvcc, request, version)];
    return { header, kvs, more, count };
  }

  /** One range, to be called in the turn of its first slice, with what that gave. More than a slice comes encoded. */
  readRange(
    selection: RangeSelection,
    first: RangeResult | undefined,
    header: ResponseHeader,
    context: CallContext,
  ): Promise<RangeResponse | EncodedResponse> {
    return this.#held(selection.revision, context, async (pace, share) => {
      const result = first ?? (await this.#select(selection, pace, share));
      if (first !== undefined) share.take(first.versions.length * PAIR_CHARGE_BYTES);
      const pairs = new PairSlices();
      const { more } = await this.#readOne({ request: selection.request, result }, pace, share, (kvs) =>
        pairs.add(kvs),
      );
      return pairs.answer({ header, more, count: result.count });
    });
  }

  /** The answers have headers with the revision alone, as ranges in a transaction have (G-5). */
  read(ranges: readonly SelectedRange[], context: CallContext): Promise<RangeResponse[]> {
    const revisions = ranges.map(({ request, result }) => (request.revision > 0 ? request.revision : result.revision));
    return this.#held(Math.min(...revisions), context, async (pace, share) => {
      for (const { result } of ranges) share.take(result.versions.length * PAIR_CHARGE_BYTES);
      const responses: RangeResponse[] = [];
      for (const range of ranges) {
        const kvs: Uint8Array[] = [];
        const { more } = await this.#readOne(range, pace, share, (slice) => {
          for (const kv of slice) kvs.push(kv);
        });
        const { revision, count } = range.result;
        responses.push({ header: ResponseHeader.create({ revision }), kvs, more, count });
      }
      return responses;
    });
  }

  /** What it holds is given back as the answer goes to the transport, which counts what it holds itself. */
  async #held<T>(
    revision: number,
    context: CallContext,
    read: (pace: Pace, share: ReadShare) => Promise<T>,
  ): Promise<T> {
    const pin = this.#mvcc.pin(revision);
    const share = this.#budget.open();
    try {
      return await read(new Pace(this.#turns, this.#slice, context), share);
    } finally {
      share.close();
      pin.release();
    }
  }

  async #select(selection: RangeSelection, pace: Pace, share: ReadShare): Promise<RangeResult> {
    let counted = 0;
    for (;;) {
      share.take((selection.selected - counted) * PAIR_CHARGE_BYTES);
      counted = selection.selected;
      await pace.nextTurn();
      const result = selection.advance(this.#selectedKeys);
      if (result === undefined) continue;
      share.take((selection.selected - counted) * PAIR_CHARGE_BYTES);
      pace.spent(this.#slice.keys, 0);
      return result;
    }
  }

  async #readOne(
    { request, result }: SelectedRange,
    pace: Pace,
    share: ReadShare,
    take: (kvs: readonly Uint8Array[]) => void,
  ): Promise<{ readonly more: boolean }> {
    let { versions, more } = result;
    if (result.byValue) {
      const values: Valued[] = [];
      await this.#eachSlice(versions, pace, share, (rows, at) => {
        for (const [i, row] of rows.entries()) {
          const version = versions[at + i] as KeyVersion;
          values.push({ version, value: decode(KeyValue, row).value, rowBytes: row.length });
        }
      });
      const sorted = await sortInSlices(values, valueOrder(request), this.#slice.keys, pace);
      const { kept, more: isCut } = upToLimit(request, sorted);
      versions = kept.map(({ version }) => version);
      more = isCut;
      for (const { rowBytes } of values) share.give(rowBytes);
    }
    await this.#eachSlice(versions, pace, share, (rows) => {
      if (!request.keysOnly) {
        take(rows);
        return;
      }
      const kvs = rows.map(withoutValue);
      for (const row of rows) share.give(row.length);
      for (const kv of kvs) share.take(kv.length);
      take(kvs);
    });
    return { more };
  }

  /** The rows of the versions, in order; they are counted, and stay so until whoever takes them gives them back. */
  async #eachSlice(
    versions: readonly KeyVersion[],
    pace: Pace,
    share: ReadShare,
    take: (rows: readonly Uint8Array[], at: number) => void,
  ): Promise<void> {
    if (versions.length > this.#slice.keys) return this.#fetchSlices(versions, pace, share, take);
    // So few are looked up faster than they are fetched.
    let rows: Uint8Array[] = [];
    let at = 0;
    for (const version of versions) {
      if (pace.isOver) {
        if (rows.length > 0) take(rows, at);
        at += rows.length;
        rows = [];
        await pace.nextTurn();
      }
      const row = this.#mvcc.value(version);
      share.take(row.length);
      pace.spent(1, row.length);
      rows.push(row);
    }
    if (rows.length > 0) take(rows, at);
  }

  /** While one slice is taken, the next one is fetched. */
  async #fetchSlices(
    versions: readonly KeyVersion[],
    pace: Pace,
    share: ReadShare,
    take: (rows: readonly Uint8Array[], at: number) => void,
  ): Promise<void> {
    const longest: Longest = { bytes: 0 };
    let ahead = this.#fetch(versions, 0, pace, share, longest);
    try {
      for (let at = 0; at < versions.length; ) {
        const { rows, bytes } = await ahead;
        if (pace.isOver) await pace.nextTurn();
        const next = at + rows.length;
        if (next < versions.length) ahead = this.#fetch(versions, next, pace, share, longest);
        // What comes of it is looked at when its turn is there.
        ahead.catch(nothing);
        take(rows, at);
        pace.spent(rows.length, bytes);
        at = next;
      }
    } finally {
      // A fetch must not take of a share that is closed.
      await ahead.catch(nothing);
    }
  }

  async #fetch(
    versions: readonly KeyVersion[],
    start: number,
    pace: Pace,
    share: ReadShare,
    longest: Longest,
  ): Promise<{ readonly rows: readonly Uint8Array[]; readonly bytes: number }> {
    const end = Math.min(versions.length, start + this.#slice.keys);
    const rows: Uint8Array[] = [];
    let bytes = 0;
    for (let at = start; at < end && bytes < this.#slice.bytes; ) {
      const fitting = longest.bytes === 0 ? FIRST_FETCH_KEYS : Math.ceil((this.#slice.bytes - bytes) / longest.bytes);
      const wanted = versions.slice(at, Math.min(end, at + Math.min(FETCH_KEYS, fitting)));
      await this.#fetches.enter();
      // Counted before they are held, as if all were as long as the longest so far.
      const expected = wanted.length * longest.bytes;
      try {
        pace.throwIfAborted();
        share.take(expected);
        let held = 0;
        for (const row of await this.#fetchValues(wanted)) {
          held += row.length;
          longest.bytes = Math.max(longest.bytes, row.length);
          rows.push(row);
        }
        bytes += held;
        if (held > expected) share.take(held - expected);
        else share.give(expected - held);
      } finally {
        this.#fetches.leave();
      }
      at += wanted.length;
    }
    return { rows, bytes };
  }
}

/** The pairs of an answer as they come. All but the first slice are encoded at once, and that when there is a second. */
class PairSlices {
  #first: readonly Uint8Array[] | undefined;
  readonly #pieces: Buffer[] = [];

  add(kvs: readonly Uint8Array[]): void {
    if (this.#first === undefined) {
      this.#first = kvs;
      return;
    }
    if (this.#pieces.length === 0) this.#pieces.push(pairsAlone(this.#first));
    this.#pieces.push(pairsAlone(kvs));
  }

  /** Fields are written in the order of their numbers, so pieces with some of them each make the whole message. */
  answer(rest: Omit<RangeResponse, "kvs">): RangeResponse | EncodedResponse {
    if (this.#pieces.length === 0) return { ...rest, kvs: this.#first ?? NO_PAIRS };
    const head = encode(RangeResponse, RangeResponse.create({ header: rest.header }));
    const tail = encode(RangeResponse, RangeResponse.create({ more: rest.more, count: rest.count }));
    return new EncodedResponse([head, ...this.#pieces, tail]);
  }
}

function pairsAlone(kvs: readonly Uint8Array[]): Buffer {
  return encode(RangeResponse, RangeResponse.create({ kvs }));
}

function nothing(): void {
  // Told elsewhere.
}

/** Who waits for a turn of the event loop, of which each gets one for itself: many reads must not fill a single turn. */
class Turns {
  readonly #env: Env;
  #waiting: (() => void)[] = [];
  #isDue = false;

  constructor(env: Env) {
    this.#env = env;
  }

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isDue || this.#waiting.length === 0) return;
    this.#isDue = true;
    this.#env.nextTurn(() => {
      this.#isDue = false;
      this.#waiting.shift()?.();
      this.#schedule();
    });
  }
}

/** What is left of the slice of this turn. */
class Pace {
  readonly #turns: Turns;
  readonly #slice: ReadSlice;
  readonly #context: CallContext;
  #keysLeft: number;
  #bytesLeft: number;

  constructor(turns: Turns, slice: ReadSlice, context: CallContext) {
    this.#turns = turns;
    this.#slice = slice;
    this.#context = context;
    this.#keysLeft = slice.keys;
    this.#bytesLeft = slice.bytes;
  }

  get isOver(): boolean {
    return this.#keysLeft <= 0 || this.#bytesLeft <= 0;
  }

  spent(keys: number, bytes: number): void {
    this.#keysLeft -= keys;
    this.#bytesLeft -= bytes;
  }

  /** Throws what the call was aborted with; a signal is made for that alone. */
  throwIfAborted(): void {
    if (this.#context.aborted) this.#context.signal.throwIfAborted();
  }

  /** As throwIfAborted. */
  async nextTurn(): Promise<void> {
    await this.#turns.next();
    this.throwIfAborted();
    this.#keysLeft = this.#slice.keys;
    this.#bytesLeft = this.#slice.bytes;
  }
}

/** A stable merge sort by value: runs of `runLength`, each sorted in one go, merged pair by pair. */
async function sortInSlices(
  values: readonly Valued[],
  order: (a: Valued, b: Valued) => number,
  runLength: number,
  pace: Pace,
): Promise<Valued[]> {
  let from: Valued[] = [];
  for (let start = 0; start < values.length; start += runLength) {
    if (pace.isOver) await pace.nextTurn();
    const run = values.slice(start, start + runLength).sort(order);
    for (const item of run) from.push(item);
    pace.spent(run.length, 0);
  }
  for (let length = runLength; length < from.length; length *= 2) {
    const to: Valued[] = [];
    for (let start = 0; start < from.length; start += 2 * length) {
      const middle = Math.min(start + length, from.length);
      const end = Math.min(middle + length, from.length);
      let left = start;
      let right = middle;
      while (left < middle || right < end) {
        if (pace.isOver) await pace.nextTurn();
        const isLeft = right === end || (left < middle && order(from[left] as Valued, from[right] as Valued) <= 0);
        to.push(from[isLeft ? left++ : right++] as Valued);
        pace.spent(1 / MERGE_STEPS_PER_KEY, 0);
      }
    }
    from = to;
  }
  return from;
}

/** So many are in at a time, the others wait for their turn. */
class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  async enter(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Its place goes to the one that waits longest. */
  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
