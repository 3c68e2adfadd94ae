// Made by scripts/generate-wire.ts from proto/*.proto. Do not edit.
import type { Codec, Reader } from "../codec.ts";
import { sizeDelimited, sizeString, sizeBits, writeString, writeUint, writeBits } from "../codec.ts";

export interface RaftAttributes {
  readonly peerUrls: readonly string[];
  readonly isLearner: boolean;
}
export function sizeRaftAttributes(m: RaftAttributes): number {
  let size = 0;
  for (const v of m.peerUrls) size += 1 + sizeString(v);
  if (m.isLearner) size += 1 + 1;
  return size;
}
export function writeRaftAttributes(m: RaftAttributes, out: Buffer, start: number): number {
  let at = start;
  for (const v of m.peerUrls) {
    out[at++] = 10;
    at = writeString(v, out, at);
  }
  if (m.isLearner) {
    out[at++] = 16;
    out[at++] = m.isLearner ? 1 : 0;
  }
  return at;
}
export function readRaftAttributes(reader: Reader, end: number): RaftAttributes {
  const peerUrls: string[] = [];
  let isLearner: boolean = false;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        peerUrls.push(reader.string());
        break;
      case 2:
        reader.expect(tag, 0);
        isLearner = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { peerUrls, isLearner };
}
export const RaftAttributes: Codec<RaftAttributes> = {
  create: (init = {}) => ({ peerUrls: [], isLearner: false, ...init }),
  size: sizeRaftAttributes,
  write: writeRaftAttributes,
  read: readRaftAttributes,
};

export interface Attributes {
  readonly name: string;
  readonly clientUrls: readonly string[];
}
export function sizeAttributes(m: Attributes): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeString(m.name);
  for (const v of m.clientUrls) size += 1 + sizeString(v);
  return size;
}
export function writeAttributes(m: Attributes, out: Buffer, start: number): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeString(m.name, out, at);
  }
  for (const v of m.clientUrls) {
    out[at++] = 18;
    at = writeString(v, out, at);
  }
  return at;
}
export function readAttributes(reader: Reader, end: number): Attributes {
  let name: string = "";
  const clientUrls: string[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.string();
        break;
      case 2:
        reader.expect(tag, 2);
        clientUrls.push(reader.string());
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name, clientUrls };
}
export const Attributes: Codec<Attributes> = {
  create: (init = {}) => ({ name: "", clientUrls: [], ...init }),
  size: sizeAttributes,
  write: writeAttributes,
  read: readAttributes,
};

export interface Member {
  readonly ID: bigint;
  readonly raftAttributes: RaftAttributes | undefined;
  readonly memberAttributes: Attributes | undefined;
}
export function sizeMember(m: Member): number {
  let size = 0;
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  if (m.raftAttributes !== undefined) size += 1 + sizeDelimited(sizeRaftAttributes(m.raftAttributes));
  if (m.memberAttributes !== undefined) size += 1 + sizeDelimited(sizeAttributes(m.memberAttributes));
  return size;
}
export function writeMember(m: Member, out: Buffer, start: number): number {
  let at = start;
  if (m.ID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.ID, out, at);
  }
  if (m.raftAttributes !== undefined) {
    out[at++] = 18;
    at = writeUint(sizeRaftAttributes(m.raftAttributes), out, at);
    at = writeRaftAttributes(m.raftAttributes, out, at);
  }
  if (m.memberAttributes !== undefined) {
    out[at++] = 26;
    at = writeUint(sizeAttributes(m.memberAttributes), out, at);
    at = writeAttributes(m.memberAttributes, out, at);
  }
  return at;
}
export function readMember(reader: Reader, end: number): Member {
  let ID: bigint = 0n;
  let raftAttributes: RaftAttributes | undefined = undefined;
  let memberAttributes: Attributes | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        ID = reader.uint64Bits();
        break;
      case 2:
        reader.expect(tag, 2);
        raftAttributes = reader.message(readRaftAttributes);
        break;
      case 3:
        reader.expect(tag, 2);
        memberAttributes = reader.message(readAttributes);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { ID, raftAttributes, memberAttributes };
}
export const Member: Codec<Member> = {
  create: (init = {}) => ({ ID: 0n, raftAttributes: undefined, memberAttributes: undefined, ...init }),
  size: sizeMember,
  write: writeMember,
  read: readMember,
};

export interface ClusterVersionSetRequest {
  readonly ver: string;
}
export function sizeClusterVersionSetRequest(m: ClusterVersionSetRequest): number {
  let size = 0;
  if (m.ver !== "") size += 1 + sizeString(m.ver);
  return size;
}
export function writeClusterVersionSetRequest(m: ClusterVersionSetRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.ver !== "") {
    out[at++] = 10;
    at = writeString(m.ver, out, at);
  }
  return at;
}
export function readClusterVersionSetRequest(reader: Reader, end: number): ClusterVersionSetRequest {
  let ver: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        ver = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { ver };
}
export const ClusterVersionSetRequest: Codec<ClusterVersionSetRequest> = {
  create: (init = {}) => ({ ver: "", ...init }),
  size: sizeClusterVersionSetRequest,
  write: writeClusterVersionSetRequest,
  read: readClusterVersionSetRequest,
};

export interface ClusterMemberAttrSetRequest {
  readonly memberID: bigint;
  readonly memberAttributes: Attributes | undefined;
}
export function sizeClusterMemberAttrSetRequest(m: ClusterMemberAttrSetRequest): number {
  let size = 0;
  if (m.memberID !== 0n) size += 1 + sizeBits(m.memberID);
  if (m.memberAttributes !== undefined) size += 1 + sizeDelimited(sizeAttributes(m.memberAttributes));
  return size;
}
export function writeClusterMemberAttrSetRequest(m: ClusterMemberAttrSetRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.memberID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.memberID, out, at);
  }
  if (m.memberAttributes !== undefined) {
    out[at++] = 18;
    at = writeUint(sizeAttributes(m.memberAttributes), out, at);
    at = writeAttributes(m.memberAttributes, out, at);
  }
  return at;
}
export function readClusterMemberAttrSetRequest(reader: Reader, end: number): ClusterMemberAttrSetRequest {
  let memberID: bigint = 0n;
  let memberAttributes: Attributes | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        memberID = reader.uint64Bits();
        break;
      case 2:
        reader.expect(tag, 2);
        memberAttributes = reader.message(readAttributes);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { memberID, memberAttributes };
}
export const ClusterMemberAttrSetRequest: Codec<ClusterMemberAttrSetRequest> = {
  create: (init = {}) => ({ memberID: 0n, memberAttributes: undefined, ...init }),
  size: sizeClusterMemberAttrSetRequest,
  write: writeClusterMemberAttrSetRequest,
  read: readClusterMemberAttrSetRequest,
};

export interface DowngradeInfoSetRequest {
  readonly enabled: boolean;
  readonly ver: string;
}
export function sizeDowngradeInfoSetRequest(m: DowngradeInfoSetRequest): number {
  let size = 0;
  if (m.enabled) size += 1 + 1;
  if (m.ver !== "") size += 1 + sizeString(m.ver);
  return size;
}
export function writeDowngradeInfoSetRequest(m: DowngradeInfoSetRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.enabled) {
    out[at++] = 8;
    out[at++] = m.enabled ? 1 : 0;
  }
  if (m.ver !== "") {
    out[at++] = 18;
    at = writeString(m.ver, out, at);
  }
  return at;
}
export function readDowngradeInfoSetRequest(reader: Reader, end: number): DowngradeInfoSetRequest {
  let enabled: boolean = false;
  let ver: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        enabled = reader.bool();
        break;
      case 2:
        reader.expect(tag, 2);
        ver = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { enabled, ver };
}
export const DowngradeInfoSetRequest: Codec<DowngradeInfoSetRequest> = {
  create: (init = {}) => ({ enabled: false, ver: "", ...init }),
  size: sizeDowngradeInfoSetRequest,
  write: writeDowngradeInfoSetRequest,
  read: readDowngradeInfoSetRequest,
};
