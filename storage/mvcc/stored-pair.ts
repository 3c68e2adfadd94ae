import { DecodeError, decode, EMPTY, encode, Reader, sizeLatin1 } from "../../proto/codec.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";

/** The stored forms of a pair (N-8): a put's row is the whole KeyValue, a tombstone's row has only the key. */

const KEY_TAG = 10;

/** What watchers get for a delete (W-9). */
export function encodeDeleted(key: string, modRevision: number): Uint8Array {
  return encode(KeyValue, KeyValue.create({ key, modRevision }));
}

/** Deletes of one range share buffers up to this size: a buffer of its own for each costs more than all the rest. */
const SHARED_BYTES = 16 << 10;

/**
 * Encodes `count` deletes of one change: the tombstone's row, which is the key alone, and encodeDeleted's form. The
 * former is the beginning of the latter, so they are one piece of memory.
 */
export class DeleteEncoder {
  readonly #modRevision: number;
  #left: number;
  #buffer = EMPTY;
  #at = 0;

  constructor(modRevision: number, count: number) {
    this.#modRevision = modRevision;
    this.#left = count;
  }

  next(key: string): { readonly row: Uint8Array; readonly kv: Uint8Array } {
    const pair = KeyValue.create({ key, modRevision: this.#modRevision });
    const rowSize = key === "" ? 0 : 1 + sizeLatin1(key);
    const size = KeyValue.size(pair);
    if (size > this.#buffer.length - this.#at) {
      this.#buffer = Buffer.allocUnsafeSlow(Math.max(size, Math.min(SHARED_BYTES, size * this.#left)));
      this.#at = 0;
    }
    this.#left--;
    const at = this.#at;
    this.#at = KeyValue.write(pair, this.#buffer, at);
    return { row: this.#buffer.subarray(at, at + rowSize), kv: this.#buffer.subarray(at, at + size) };
  }
}

/** The key of a stored row, without decoding the rest: it is the first field. */
export function storedKey(row: Uint8Array): string {
  if (row[0] !== KEY_TAG) return decodeRow(row).key;
  const reader = new Reader(row);
  reader.position = 1;
  return reader.latin1();
}

export function decodeRow(row: Uint8Array): KeyValue {
  try {
    return decode(KeyValue, row);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new Error("a stored key-value pair is damaged: restore this member from a snapshot or let it join again", {
      cause: error,
    });
  }
}
