// Made by scripts/generate-wire.ts from proto/*.proto. Do not edit.
import type { Codec, Reader } from "../codec.ts";
import { sizeBytes, sizeUint, writeBytes, writeUint, EMPTY } from "../codec.ts";

export interface Snapshot {
  readonly crc: number;
  readonly data: Uint8Array;
}
export function sizeSnapshot(m: Snapshot): number {
  let size = 0;
  size += 1 + sizeUint(m.crc);
  if (m.data.length > 0) size += 1 + sizeBytes(m.data);
  return size;
}
export function writeSnapshot(m: Snapshot, out: Buffer, start: number): number {
  let at = start;
  out[at++] = 8;
  at = writeUint(m.crc, out, at);
  if (m.data.length > 0) {
    out[at++] = 18;
    at = writeBytes(m.data, out, at);
  }
  return at;
}
export function readSnapshot(reader: Reader, end: number): Snapshot {
  let crc: number = 0;
  let data: Uint8Array = EMPTY;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        crc = reader.uint32();
        break;
      case 2:
        reader.expect(tag, 2);
        data = reader.bytes();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { crc, data };
}
export const Snapshot: Codec<Snapshot> = {
  create: (init = {}) => ({ crc: 0, data: EMPTY, ...init }),
  size: sizeSnapshot,
  write: writeSnapshot,
  read: readSnapshot,
};
