import { DecodeError, decode, encode, Reader } from "../../proto/codec.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";

/** The stored forms of a pair (contract N-8): a put's row is the whole KeyValue, a tombstone's row has only the key. */

const KEY_TAG = 10;

export function encodeTombstone(key: string): Uint8Array {
  return encode(KeyValue, KeyValue.create({ key }));
}

/** What watchers get for a delete (W-9). */
export function encodeDeleted(key: string, modRevision: number): Uint8Array {
  return encode(KeyValue, KeyValue.create({ key, modRevision }));
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
