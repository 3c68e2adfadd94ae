// Made by scripts/generate-wire.ts from proto/*.proto. Do not edit.
import type { Codec, Reader } from "../codec.ts";
import {
  sizeBytes,
  sizeLatin1,
  sizeInt,
  sizeBits,
  writeBytes,
  writeLatin1,
  writeInt,
  writeBits,
  EMPTY,
} from "../codec.ts";

export const EventEventType = {
  PUT: 0,
  DELETE: 1,
} as const;

export interface KeyValue {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly value: Uint8Array;
  readonly lease: bigint;
}
export function sizeKeyValue(m: KeyValue): number {
  let size = 0;
  if (m.key !== "") size += 1 + sizeLatin1(m.key);
  if (m.createRevision !== 0) size += 1 + sizeInt(m.createRevision);
  if (m.modRevision !== 0) size += 1 + sizeInt(m.modRevision);
  if (m.version !== 0) size += 1 + sizeInt(m.version);
  if (m.value.length > 0) size += 1 + sizeBytes(m.value);
  if (m.lease !== 0n) size += 1 + sizeBits(m.lease);
  return size;
}
export function writeKeyValue(m: KeyValue, out: Buffer, start: number): number {
  let at = start;
  if (m.key !== "") {
    out[at++] = 10;
    at = writeLatin1(m.key, out, at);
  }
  if (m.createRevision !== 0) {
    out[at++] = 16;
    at = writeInt(m.createRevision, out, at);
  }
  if (m.modRevision !== 0) {
    out[at++] = 24;
    at = writeInt(m.modRevision, out, at);
  }
  if (m.version !== 0) {
    out[at++] = 32;
    at = writeInt(m.version, out, at);
  }
  if (m.value.length > 0) {
    out[at++] = 42;
    at = writeBytes(m.value, out, at);
  }
  if (m.lease !== 0n) {
    out[at++] = 48;
    at = writeBits(m.lease, out, at);
  }
  return at;
}
export function readKeyValue(reader: Reader, end: number): KeyValue {
  let key: string = "";
  let createRevision: number = 0;
  let modRevision: number = 0;
  let version: number = 0;
  let value: Uint8Array = EMPTY;
  let lease: bigint = 0n;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        key = reader.latin1();
        break;
      case 2:
        reader.expect(tag, 0);
        createRevision = reader.int64();
        break;
      case 3:
        reader.expect(tag, 0);
        modRevision = reader.int64();
        break;
      case 4:
        reader.expect(tag, 0);
        version = reader.int64();
        break;
      case 5:
        reader.expect(tag, 2);
        value = reader.bytes();
        break;
      case 6:
        reader.expect(tag, 0);
        lease = reader.int64Bits();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { key, createRevision, modRevision, version, value, lease };
}
export const KeyValue: Codec<KeyValue> = {
  create: (init = {}) => ({ key: "", createRevision: 0, modRevision: 0, version: 0, value: EMPTY, lease: 0n, ...init }),
  size: sizeKeyValue,
  write: writeKeyValue,
  read: readKeyValue,
};

export interface Event {
  readonly type: number;
  readonly kv: Uint8Array;
  readonly prevKv: Uint8Array;
}
export function sizeEvent(m: Event): number {
  let size = 0;
  if (m.type !== 0) size += 1 + sizeInt(m.type);
  if (m.kv.length > 0) size += 1 + sizeBytes(m.kv);
  if (m.prevKv.length > 0) size += 1 + sizeBytes(m.prevKv);
  return size;
}
export function writeEvent(m: Event, out: Buffer, start: number): number {
  let at = start;
  if (m.type !== 0) {
    out[at++] = 8;
    at = writeInt(m.type, out, at);
  }
  if (m.kv.length > 0) {
    out[at++] = 18;
    at = writeBytes(m.kv, out, at);
  }
  if (m.prevKv.length > 0) {
    out[at++] = 26;
    at = writeBytes(m.prevKv, out, at);
  }
  return at;
}
export function readEvent(reader: Reader, end: number): Event {
  let type: number = 0;
  let kv: Uint8Array = EMPTY;
  let prevKv: Uint8Array = EMPTY;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        type = reader.int32();
        break;
      case 2:
        reader.expect(tag, 2);
        kv = reader.bytes();
        break;
      case 3:
        reader.expect(tag, 2);
        prevKv = reader.bytes();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { type, kv, prevKv };
}
export const Event: Codec<Event> = {
  create: (init = {}) => ({ type: 0, kv: EMPTY, prevKv: EMPTY, ...init }),
  size: sizeEvent,
  write: writeEvent,
  read: readEvent,
};
