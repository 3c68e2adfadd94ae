import { ApiError, Code } from "../api/errors.ts";

/**
 * What the answer to one entry may take, charges for its pairs included. Apply makes it in a single turn, on the one
 * member whose client waits, and whoever wrote the entry could not know the state it would meet: 64 MiB are little to
 * any member's memory, tenths of a second of work (a few seconds for pairs of a few bytes), and more than a
 * transaction that writes has a use for.
 */
export const ANSWER_BYTES = 64 << 20;

/** For every pair held, besides its bytes: the objects that lead to it. */
export const PAIR_CHARGE_BYTES = 128;

/** For every key looked at: it takes time, of which a single turn must not hold too much. */
export const VISIT_CHARGE_BYTES = 32;

/**
 * Counts the bytes of an answer while it is made. Once it is too large, nothing more is to be added or fetched: what the
 * entry does to the state is carried out as if nobody waited, and the client is told so.
 */
export class AnswerBytes {
  readonly #limit: number;
  #bytes = 0;

  constructor(limitBytes: number = ANSWER_BYTES) {
    this.#limit = limitBytes;
  }

  get isTooLarge(): boolean {
    return this.#bytes > this.#limit;
  }

  /** Takes into account that so many keys were looked at, whatever of them is in the answer. */
  addVisits(keys: number): boolean {
    this.#bytes += keys * VISIT_CHARGE_BYTES;
    return !this.isTooLarge;
  }

  /** Takes one more pair into account; false when that was too much. */
  addPair(pair: Uint8Array): boolean {
    this.#bytes += pair.length + PAIR_CHARGE_BYTES;
    return !this.isTooLarge;
  }
}

/** The entry has had its effect, here and everywhere; only this member says so. */
export const answerTooLarge = new ApiError(
  Code.ResourceExhausted,
  `quorate: the request was carried out, but its answer is too large (more than ${ANSWER_BYTES} bytes)`,
);
