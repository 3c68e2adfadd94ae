import { decode } from "../../proto/codec.ts";
import { type RangeRequest, type RangeResponse, ResponseHeader } from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import type { KeyVersion, Mvcc } from "../../storage/mvcc/mvcc.ts";
import type { Env } from "../env.ts";
import type { CallContext } from "../rpc/rpc.ts";
import { PAIR_CHARGE_BYTES } from "../state/answer.ts";
import { type RangeResult, rangeValue, upToLimit, valueOrder } from "../state/range.ts";
import type { ReadBudget, ReadShare } from "./read-budget.ts";

/** How much of a result is read in one turn of the event loop. */
export interface ReadSlice {
  readonly keys: number;
  readonly bytes: number;
}

/** A millisecond or two of work. */
export const DEFAULT_SLICE: ReadSlice = { keys: 1_000, bytes: 1 << 20 };

/** Steps of a merge that take about as long as fetching one key. */
const MERGE_STEPS_PER_KEY = 16;

export interface SelectedRange {
  readonly request: RangeRequest;
  readonly result: RangeResult;
}

const NO_PAIRS: readonly Uint8Array[] = [];

interface Valued {
  readonly version: KeyVersion;
  readonly value: Uint8Array;
}

/**
 * Fetches the values of what ranges have selected, a slice each turn of the event loop. What was selected are versions,
 * which do not change; a pin keeps them while the store goes on, so an answer is of one revision however long it takes.
 * What running reads hold is bounded by the budget that they share.
 */
export class SlicedReader {
  readonly #mvcc: Mvcc;
  readonly #env: Env;
  readonly #slice: ReadSlice;
  readonly #budget: ReadBudget;

  constructor(mvcc: Mvcc, env: Env, slice: ReadSlice, budget: ReadBudget) {
    this.#mvcc = mvcc;
    this.#env = env;
    this.#slice = slice;
    this.#budget = budget;
  }

  /** The answer at once when it has one pair or none, as most have; undefined otherwise. */
  readNow({ request, result }: SelectedRange, header: ResponseHeader): RangeResponse | undefined {
    const { versions, more, count, byValue } = result;
    const [version] = versions;
    if (versions.length > 1 || (byValue && version !== undefined)) return undefined;
    const kvs = version === undefined ? NO_PAIRS : [rangeValue(this.#mvcc, request, version)];
    return { header, kvs, more, count };
  }

  /** The answers have headers with the revision alone, as ranges in a transaction have (G-5). */
  async read(ranges: readonly SelectedRange[], context: CallContext): Promise<RangeResponse[]> {
    const pin = this.#mvcc.pin(
      Math.min(...ranges.map(({ request, result }) => (request.revision > 0 ? request.revision : result.revision))),
    );
    // Given back as the answer goes to the transport, which counts what it holds itself.
    const share = this.#budget.open();
    try {
      for (const { result } of ranges) share.take(result.versions.length * PAIR_CHARGE_BYTES);
      const pace = new Pace(this.#env, this.#slice, context);
      const responses: RangeResponse[] = [];
      for (const range of ranges) responses.push(await this.#readOne(range, pace, share));
      return responses;
    } finally {
      share.close();
      pin.release();
    }
  }

  async #readOne({ request, result }: SelectedRange, pace: Pace, share: ReadShare): Promise<RangeResponse> {
    let { versions, more } = result;
    if (result.byValue) {
      const values = await this.#values(versions, pace, share);
      const sorted = await sortInSlices(values, valueOrder(request), this.#slice.keys, pace);
      const { kept, more: isCut } = upToLimit(request, sorted);
      versions = kept.map(({ version }) => version);
      more = isCut;
      for (const { value } of values) share.give(value.length);
    }
    const kvs: Uint8Array[] = [];
    for (const version of versions) {
      if (pace.isOver) await pace.nextTurn();
      const kv = rangeValue(this.#mvcc, request, version);
      share.take(kv.length);
      pace.spent(1, kv.length);
      kvs.push(kv);
    }
    return { header: ResponseHeader.create({ revision: result.revision }), kvs, more, count: result.count };
  }

  async #values(versions: readonly KeyVersion[], pace: Pace, share: ReadShare): Promise<Valued[]> {
    const values: Valued[] = [];
    for (const version of versions) {
      if (pace.isOver) await pace.nextTurn();
      const { value } = decode(KeyValue, this.#mvcc.value(version));
      share.take(value.length);
      pace.spent(1, value.length);
      values.push({ version, value });
    }
    return values;
  }
}

/** What is left of the slice of this turn. */
class Pace {
  readonly #env: Env;
  readonly #slice: ReadSlice;
  readonly #context: CallContext;
  #keysLeft: number;
  #bytesLeft: number;

  constructor(env: Env, slice: ReadSlice, context: CallContext) {
    this.#env = env;
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

  /** Throws what the call was aborted with. */
  async nextTurn(): Promise<void> {
    await new Promise<void>((resolve) => this.#env.nextTurn(resolve));
    this.#context.signal.throwIfAborted();
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
