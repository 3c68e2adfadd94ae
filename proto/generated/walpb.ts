// Made by scripts/generate-wire.ts from proto/*.proto. Do not edit.
import type { Codec, Reader } from "../codec.ts";
import { sizeDelimited, sizeBytes, sizeUint, sizeInt, writeBytes, writeUint, writeInt, EMPTY } from "../codec.ts";
import * as raftpb from "./raftpb.ts";

export interface Record {
  readonly type: number;
  readonly crc: number;
  readonly data: Uint8Array;
}
export function sizeRecord(m: Record): number {
  let size = 0;
  size += 1 + sizeInt(m.type);
  size += 1 + sizeUint(m.crc);
  if (m.data.length > 0) size += 1 + sizeBytes(m.data);
  return size;
}
export function writeRecord(m: Record, out: Buffer, start: number): number {
  let at = start;
  out[at++] = 8;
  at = writeInt(m.type, out, at);
  out[at++] = 16;
  at = writeUint(m.crc, out, at);
  if (m.data.length > 0) {
    out[at++] = 26;
    at = writeBytes(m.data, out, at);
  }
  return at;
}
export function readRecord(reader: Reader, end: number): Record {
  let type: number = 0;
  let crc: number = 0;
  let data: Uint8Array = EMPTY;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        type = reader.int64();
        break;
      case 2:
        reader.expect(tag, 0);
        crc = reader.uint32();
        break;
      case 3:
        reader.expect(tag, 2);
        data = reader.bytes();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { type, crc, data };
}
export const Record: Codec<Record> = {
  create: (init = {}) => ({ type: 0, crc: 0, data: EMPTY, ...init }),
  size: sizeRecord,
  write: writeRecord,
  read: readRecord,
};

export interface Snapshot {
  readonly index: number;
  readonly term: number;
  readonly confState: raftpb.ConfState | undefined;
}
export function sizeSnapshot(m: Snapshot): number {
  let size = 0;
  size += 1 + sizeUint(m.index);
  size += 1 + sizeUint(m.term);
  if (m.confState !== undefined) size += 1 + sizeDelimited(raftpb.sizeConfState(m.confState));
  return size;
}
export function writeSnapshot(m: Snapshot, out: Buffer, start: number): number {
  let at = start;
  out[at++] = 8;
  at = writeUint(m.index, out, at);
  out[at++] = 16;
  at = writeUint(m.term, out, at);
  if (m.confState !== undefined) {
    out[at++] = 26;
    at = writeUint(raftpb.sizeConfState(m.confState), out, at);
    at = raftpb.writeConfState(m.confState, out, at);
  }
  return at;
}
export function readSnapshot(reader: Reader, end: number): Snapshot {
  let index: number = 0;
  let term: number = 0;
  let confState: raftpb.ConfState | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        index = reader.uint64();
        break;
      case 2:
        reader.expect(tag, 0);
        term = reader.uint64();
        break;
      case 3:
        reader.expect(tag, 2);
        confState = reader.message(raftpb.readConfState);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { index, term, confState };
}
export const Snapshot: Codec<Snapshot> = {
  create: (init = {}) => ({ index: 0, term: 0, confState: undefined, ...init }),
  size: sizeSnapshot,
  write: writeSnapshot,
  read: readSnapshot,
};
