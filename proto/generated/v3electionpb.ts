// Made by scripts/generate-wire.ts from proto/*.proto. Do not edit.
import type { Codec, Reader } from "../codec.ts";
import {
  sizeDelimited,
  sizeBytes,
  sizeLatin1,
  sizeInt,
  sizeBits,
  writeBytes,
  writeLatin1,
  writeUint,
  writeInt,
  writeBits,
  EMPTY,
} from "../codec.ts";
import * as etcdserverpb from "./etcdserverpb.ts";
import * as mvccpb from "./mvccpb.ts";

export interface CampaignRequest {
  readonly name: string;
  readonly lease: bigint;
  readonly value: Uint8Array;
}
export function sizeCampaignRequest(m: CampaignRequest): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeLatin1(m.name);
  if (m.lease !== 0n) size += 1 + sizeBits(m.lease);
  if (m.value.length > 0) size += 1 + sizeBytes(m.value);
  return size;
}
export function writeCampaignRequest(m: CampaignRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeLatin1(m.name, out, at);
  }
  if (m.lease !== 0n) {
    out[at++] = 16;
    at = writeBits(m.lease, out, at);
  }
  if (m.value.length > 0) {
    out[at++] = 26;
    at = writeBytes(m.value, out, at);
  }
  return at;
}
export function readCampaignRequest(reader: Reader, end: number): CampaignRequest {
  let name: string = "";
  let lease: bigint = 0n;
  let value: Uint8Array = EMPTY;
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
      case 3:
        reader.expect(tag, 2);
        value = reader.bytes();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name, lease, value };
}
export const CampaignRequest: Codec<CampaignRequest> = {
  create: (init = {}) => ({ name: "", lease: 0n, value: EMPTY, ...init }),
  size: sizeCampaignRequest,
  write: writeCampaignRequest,
  read: readCampaignRequest,
};

export interface CampaignResponse {
  readonly header: etcdserverpb.ResponseHeader | undefined;
  readonly leader: LeaderKey | undefined;
}
export function sizeCampaignResponse(m: CampaignResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(etcdserverpb.sizeResponseHeader(m.header));
  if (m.leader !== undefined) size += 1 + sizeDelimited(sizeLeaderKey(m.leader));
  return size;
}
export function writeCampaignResponse(m: CampaignResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(etcdserverpb.sizeResponseHeader(m.header), out, at);
    at = etcdserverpb.writeResponseHeader(m.header, out, at);
  }
  if (m.leader !== undefined) {
    out[at++] = 18;
    at = writeUint(sizeLeaderKey(m.leader), out, at);
    at = writeLeaderKey(m.leader, out, at);
  }
  return at;
}
export function readCampaignResponse(reader: Reader, end: number): CampaignResponse {
  let header: etcdserverpb.ResponseHeader | undefined = undefined;
  let leader: LeaderKey | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(etcdserverpb.readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        leader = reader.message(readLeaderKey);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, leader };
}
export const CampaignResponse: Codec<CampaignResponse> = {
  create: (init = {}) => ({ header: undefined, leader: undefined, ...init }),
  size: sizeCampaignResponse,
  write: writeCampaignResponse,
  read: readCampaignResponse,
};

export interface LeaderKey {
  readonly name: string;
  readonly key: string;
  readonly rev: number;
  readonly lease: bigint;
}
export function sizeLeaderKey(m: LeaderKey): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeLatin1(m.name);
  if (m.key !== "") size += 1 + sizeLatin1(m.key);
  if (m.rev !== 0) size += 1 + sizeInt(m.rev);
  if (m.lease !== 0n) size += 1 + sizeBits(m.lease);
  return size;
}
export function writeLeaderKey(m: LeaderKey, out: Buffer, start: number): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeLatin1(m.name, out, at);
  }
  if (m.key !== "") {
    out[at++] = 18;
    at = writeLatin1(m.key, out, at);
  }
  if (m.rev !== 0) {
    out[at++] = 24;
    at = writeInt(m.rev, out, at);
  }
  if (m.lease !== 0n) {
    out[at++] = 32;
    at = writeBits(m.lease, out, at);
  }
  return at;
}
export function readLeaderKey(reader: Reader, end: number): LeaderKey {
  let name: string = "";
  let key: string = "";
  let rev: number = 0;
  let lease: bigint = 0n;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.latin1();
        break;
      case 2:
        reader.expect(tag, 2);
        key = reader.latin1();
        break;
      case 3:
        reader.expect(tag, 0);
        rev = reader.int64();
        break;
      case 4:
        reader.expect(tag, 0);
        lease = reader.int64Bits();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name, key, rev, lease };
}
export const LeaderKey: Codec<LeaderKey> = {
  create: (init = {}) => ({ name: "", key: "", rev: 0, lease: 0n, ...init }),
  size: sizeLeaderKey,
  write: writeLeaderKey,
  read: readLeaderKey,
};

export interface LeaderRequest {
  readonly name: string;
}
export function sizeLeaderRequest(m: LeaderRequest): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeLatin1(m.name);
  return size;
}
export function writeLeaderRequest(m: LeaderRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeLatin1(m.name, out, at);
  }
  return at;
}
export function readLeaderRequest(reader: Reader, end: number): LeaderRequest {
  let name: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.latin1();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name };
}
export const LeaderRequest: Codec<LeaderRequest> = {
  create: (init = {}) => ({ name: "", ...init }),
  size: sizeLeaderRequest,
  write: writeLeaderRequest,
  read: readLeaderRequest,
};

export interface LeaderResponse {
  readonly header: etcdserverpb.ResponseHeader | undefined;
  readonly kv: mvccpb.KeyValue | undefined;
}
export function sizeLeaderResponse(m: LeaderResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(etcdserverpb.sizeResponseHeader(m.header));
  if (m.kv !== undefined) size += 1 + sizeDelimited(mvccpb.sizeKeyValue(m.kv));
  return size;
}
export function writeLeaderResponse(m: LeaderResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(etcdserverpb.sizeResponseHeader(m.header), out, at);
    at = etcdserverpb.writeResponseHeader(m.header, out, at);
  }
  if (m.kv !== undefined) {
    out[at++] = 18;
    at = writeUint(mvccpb.sizeKeyValue(m.kv), out, at);
    at = mvccpb.writeKeyValue(m.kv, out, at);
  }
  return at;
}
export function readLeaderResponse(reader: Reader, end: number): LeaderResponse {
  let header: etcdserverpb.ResponseHeader | undefined = undefined;
  let kv: mvccpb.KeyValue | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(etcdserverpb.readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        kv = reader.message(mvccpb.readKeyValue);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, kv };
}
export const LeaderResponse: Codec<LeaderResponse> = {
  create: (init = {}) => ({ header: undefined, kv: undefined, ...init }),
  size: sizeLeaderResponse,
  write: writeLeaderResponse,
  read: readLeaderResponse,
};

export interface ResignRequest {
  readonly leader: LeaderKey | undefined;
}
export function sizeResignRequest(m: ResignRequest): number {
  let size = 0;
  if (m.leader !== undefined) size += 1 + sizeDelimited(sizeLeaderKey(m.leader));
  return size;
}
export function writeResignRequest(m: ResignRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.leader !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeLeaderKey(m.leader), out, at);
    at = writeLeaderKey(m.leader, out, at);
  }
  return at;
}
export function readResignRequest(reader: Reader, end: number): ResignRequest {
  let leader: LeaderKey | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        leader = reader.message(readLeaderKey);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { leader };
}
export const ResignRequest: Codec<ResignRequest> = {
  create: (init = {}) => ({ leader: undefined, ...init }),
  size: sizeResignRequest,
  write: writeResignRequest,
  read: readResignRequest,
};

export interface ResignResponse {
  readonly header: etcdserverpb.ResponseHeader | undefined;
}
export function sizeResignResponse(m: ResignResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(etcdserverpb.sizeResponseHeader(m.header));
  return size;
}
export function writeResignResponse(m: ResignResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(etcdserverpb.sizeResponseHeader(m.header), out, at);
    at = etcdserverpb.writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readResignResponse(reader: Reader, end: number): ResignResponse {
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
export const ResignResponse: Codec<ResignResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeResignResponse,
  write: writeResignResponse,
  read: readResignResponse,
};

export interface ProclaimRequest {
  readonly leader: LeaderKey | undefined;
  readonly value: Uint8Array;
}
export function sizeProclaimRequest(m: ProclaimRequest): number {
  let size = 0;
  if (m.leader !== undefined) size += 1 + sizeDelimited(sizeLeaderKey(m.leader));
  if (m.value.length > 0) size += 1 + sizeBytes(m.value);
  return size;
}
export function writeProclaimRequest(m: ProclaimRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.leader !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeLeaderKey(m.leader), out, at);
    at = writeLeaderKey(m.leader, out, at);
  }
  if (m.value.length > 0) {
    out[at++] = 18;
    at = writeBytes(m.value, out, at);
  }
  return at;
}
export function readProclaimRequest(reader: Reader, end: number): ProclaimRequest {
  let leader: LeaderKey | undefined = undefined;
  let value: Uint8Array = EMPTY;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        leader = reader.message(readLeaderKey);
        break;
      case 2:
        reader.expect(tag, 2);
        value = reader.bytes();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { leader, value };
}
export const ProclaimRequest: Codec<ProclaimRequest> = {
  create: (init = {}) => ({ leader: undefined, value: EMPTY, ...init }),
  size: sizeProclaimRequest,
  write: writeProclaimRequest,
  read: readProclaimRequest,
};

export interface ProclaimResponse {
  readonly header: etcdserverpb.ResponseHeader | undefined;
}
export function sizeProclaimResponse(m: ProclaimResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(etcdserverpb.sizeResponseHeader(m.header));
  return size;
}
export function writeProclaimResponse(m: ProclaimResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(etcdserverpb.sizeResponseHeader(m.header), out, at);
    at = etcdserverpb.writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readProclaimResponse(reader: Reader, end: number): ProclaimResponse {
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
export const ProclaimResponse: Codec<ProclaimResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeProclaimResponse,
  write: writeProclaimResponse,
  read: readProclaimResponse,
};
