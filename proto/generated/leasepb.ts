// Made by scripts/generate-wire.ts from proto/*.proto. Do not edit.
import type { Codec, Reader } from "../codec.ts";
import { sizeDelimited, sizeInt, sizeBits, writeUint, writeInt, writeBits } from "../codec.ts";
import * as etcdserverpb from "./etcdserverpb.ts";

export interface Lease {
  readonly ID: bigint;
  readonly TTL: number;
  readonly remainingTTL: number;
}
export function sizeLease(m: Lease): number {
  let size = 0;
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  if (m.TTL !== 0) size += 1 + sizeInt(m.TTL);
  if (m.remainingTTL !== 0) size += 1 + sizeInt(m.remainingTTL);
  return size;
}
export function writeLease(m: Lease, out: Buffer, start: number): number {
  let at = start;
  if (m.ID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.ID, out, at);
  }
  if (m.TTL !== 0) {
    out[at++] = 16;
    at = writeInt(m.TTL, out, at);
  }
  if (m.remainingTTL !== 0) {
    out[at++] = 24;
    at = writeInt(m.remainingTTL, out, at);
  }
  return at;
}
export function readLease(reader: Reader, end: number): Lease {
  let ID: bigint = 0n;
  let TTL: number = 0;
  let remainingTTL: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        ID = reader.int64Bits();
        break;
      case 2:
        reader.expect(tag, 0);
        TTL = reader.int64();
        break;
      case 3:
        reader.expect(tag, 0);
        remainingTTL = reader.int64();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { ID, TTL, remainingTTL };
}
export const Lease: Codec<Lease> = {
  create: (init = {}) => ({ ID: 0n, TTL: 0, remainingTTL: 0, ...init }),
  size: sizeLease,
  write: writeLease,
  read: readLease,
};

export interface LeaseInternalRequest {
  readonly leaseTimeToLiveRequest: etcdserverpb.LeaseTimeToLiveRequest | undefined;
}
export function sizeLeaseInternalRequest(m: LeaseInternalRequest): number {
  let size = 0;
  if (m.leaseTimeToLiveRequest !== undefined)
    size += 1 + sizeDelimited(etcdserverpb.sizeLeaseTimeToLiveRequest(m.leaseTimeToLiveRequest));
  return size;
}
export function writeLeaseInternalRequest(m: LeaseInternalRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.leaseTimeToLiveRequest !== undefined) {
    out[at++] = 10;
    at = writeUint(etcdserverpb.sizeLeaseTimeToLiveRequest(m.leaseTimeToLiveRequest), out, at);
    at = etcdserverpb.writeLeaseTimeToLiveRequest(m.leaseTimeToLiveRequest, out, at);
  }
  return at;
}
export function readLeaseInternalRequest(reader: Reader, end: number): LeaseInternalRequest {
  let leaseTimeToLiveRequest: etcdserverpb.LeaseTimeToLiveRequest | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        leaseTimeToLiveRequest = reader.message(etcdserverpb.readLeaseTimeToLiveRequest);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { leaseTimeToLiveRequest };
}
export const LeaseInternalRequest: Codec<LeaseInternalRequest> = {
  create: (init = {}) => ({ leaseTimeToLiveRequest: undefined, ...init }),
  size: sizeLeaseInternalRequest,
  write: writeLeaseInternalRequest,
  read: readLeaseInternalRequest,
};

export interface LeaseInternalResponse {
  readonly leaseTimeToLiveResponse: etcdserverpb.LeaseTimeToLiveResponse | undefined;
}
export function sizeLeaseInternalResponse(m: LeaseInternalResponse): number {
  let size = 0;
  if (m.leaseTimeToLiveResponse !== undefined)
    size += 1 + sizeDelimited(etcdserverpb.sizeLeaseTimeToLiveResponse(m.leaseTimeToLiveResponse));
  return size;
}
export function writeLeaseInternalResponse(m: LeaseInternalResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.leaseTimeToLiveResponse !== undefined) {
    out[at++] = 10;
    at = writeUint(etcdserverpb.sizeLeaseTimeToLiveResponse(m.leaseTimeToLiveResponse), out, at);
    at = etcdserverpb.writeLeaseTimeToLiveResponse(m.leaseTimeToLiveResponse, out, at);
  }
  return at;
}
export function readLeaseInternalResponse(reader: Reader, end: number): LeaseInternalResponse {
  let leaseTimeToLiveResponse: etcdserverpb.LeaseTimeToLiveResponse | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        leaseTimeToLiveResponse = reader.message(etcdserverpb.readLeaseTimeToLiveResponse);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { leaseTimeToLiveResponse };
}
export const LeaseInternalResponse: Codec<LeaseInternalResponse> = {
  create: (init = {}) => ({ leaseTimeToLiveResponse: undefined, ...init }),
  size: sizeLeaseInternalResponse,
  write: writeLeaseInternalResponse,
  read: readLeaseInternalResponse,
};
