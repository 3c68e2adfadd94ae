// Made by scripts/generate-wire.ts from proto/*.proto. Do not edit.
import type { Codec, Reader } from "../codec.ts";
import { sizeDelimited, sizeLatin1, sizeBits, writeLatin1, writeUint, writeBits } from "../codec.ts";
import * as etcdserverpb from "./etcdserverpb.ts";

export interface LockRequest {
  readonly name: string;
  readonly lease: bigint;
}
export function sizeLockRequest(m: LockRequest): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeLatin1(m.name);
  if (m.lease !== 0n) size += 1 + sizeBits(m.lease);
  return size;
}
export function writeLockRequest(m: LockRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeLatin1(m.name, out, at);
  }
  if (m.lease !== 0n) {
    out[at++] = 16;
    at = writeBits(m.lease, out, at);
  }
  return at;
}
export function readLockRequest(reader: Reader, end: number): LockRequest {
  let name: string = "";
  let lease: bigint = 0n;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.latin1();
        break;
      case 2:
        reader.expect(tag, 0);
        lease = reader.int64Bits();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name, lease };
}
export const LockRequest: Codec<LockRequest> = {
  create: (init = {}) => ({ name: "", lease: 0n, ...init }),
  size: sizeLockRequest,
  write: writeLockRequest,
  read: readLockRequest,
};

export interface LockResponse {
  readonly header: etcdserverpb.ResponseHeader | undefined;
  readonly key: string;
}
export function sizeLockResponse(m: LockResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(etcdserverpb.sizeResponseHeader(m.header));
  if (m.key !== "") size += 1 + sizeLatin1(m.key);
  return size;
}
export function writeLockResponse(m: LockResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(etcdserverpb.sizeResponseHeader(m.header), out, at);
    at = etcdserverpb.writeResponseHeader(m.header, out, at);
  }
  if (m.key !== "") {
    out[at++] = 18;
    at = writeLatin1(m.key, out, at);
  }
  return at;
}
export function readLockResponse(reader: Reader, end: number): LockResponse {
  let header: etcdserverpb.ResponseHeader | undefined = undefined;
  let key: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(etcdserverpb.readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        key = reader.latin1();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, key };
}
export const LockResponse: Codec<LockResponse> = {
  create: (init = {}) => ({ header: undefined, key: "", ...init }),
  size: sizeLockResponse,
  write: writeLockResponse,
  read: readLockResponse,
};

export interface UnlockRequest {
  readonly key: string;
}
export function sizeUnlockRequest(m: UnlockRequest): number {
  let size = 0;
  if (m.key !== "") size += 1 + sizeLatin1(m.key);
  return size;
}
export function writeUnlockRequest(m: UnlockRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.key !== "") {
    out[at++] = 10;
    at = writeLatin1(m.key, out, at);
  }
  return at;
}
export function readUnlockRequest(reader: Reader, end: number): UnlockRequest {
  let key: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        key = reader.latin1();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { key };
}
export const UnlockRequest: Codec<UnlockRequest> = {
  create: (init = {}) => ({ key: "", ...init }),
  size: sizeUnlockRequest,
  write: writeUnlockRequest,
  read: readUnlockRequest,
};

export interface UnlockResponse {
  readonly header: etcdserverpb.ResponseHeader | undefined;
}
export function sizeUnlockResponse(m: UnlockResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(etcdserverpb.sizeResponseHeader(m.header));
  return size;
}
export function writeUnlockResponse(m: UnlockResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(etcdserverpb.sizeResponseHeader(m.header), out, at);
    at = etcdserverpb.writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readUnlockResponse(reader: Reader, end: number): UnlockResponse {
  let header: etcdserverpb.ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(etcdserverpb.readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const UnlockResponse: Codec<UnlockResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeUnlockResponse,
  write: writeUnlockResponse,
  read: readUnlockResponse,
};
