// Made by scripts/generate-wire.ts from proto/*.proto. Do not edit.
import type { Codec, Reader } from "../codec.ts";
import {
  sizeDelimited,
  sizeBytes,
  sizeLatin1,
  sizeString,
  sizeUint,
  sizeInt,
  sizeBits,
  writeBytes,
  writeLatin1,
  writeString,
  writeUint,
  writeInt,
  writeBits,
  EMPTY,
} from "../codec.ts";
import * as authpb from "./authpb.ts";
import * as membershippb from "./membershippb.ts";

export const AlarmType = {
  NONE: 0,
  NOSPACE: 1,
  CORRUPT: 2,
} as const;

export const RangeRequestSortOrder = {
  NONE: 0,
  ASCEND: 1,
  DESCEND: 2,
} as const;

export const RangeRequestSortTarget = {
  KEY: 0,
  VERSION: 1,
  CREATE: 2,
  MOD: 3,
  VALUE: 4,
} as const;

export const CompareCompareResult = {
  EQUAL: 0,
  GREATER: 1,
  LESS: 2,
  NOT_EQUAL: 3,
} as const;

export const CompareCompareTarget = {
  VERSION: 0,
  CREATE: 1,
  MOD: 2,
  VALUE: 3,
  LEASE: 4,
} as const;

export const WatchCreateRequestFilterType = {
  NOPUT: 0,
  NODELETE: 1,
} as const;

export const AlarmRequestAlarmAction = {
  GET: 0,
  ACTIVATE: 1,
  DEACTIVATE: 2,
} as const;

export const DowngradeRequestDowngradeAction = {
  VALIDATE: 0,
  ENABLE: 1,
  CANCEL: 2,
} as const;

export interface ResponseHeader {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly revision: number;
  readonly raftTerm: number;
}
let lastResponseHeader: ResponseHeader | undefined;
let lastResponseHeaderBytes = 0;
const lastResponseHeaderBuffer = Buffer.alloc(48);
export function sizeResponseHeader(m: ResponseHeader): number {
  if (m !== lastResponseHeader) {
    lastResponseHeader = undefined;
    lastResponseHeaderBytes = writeFieldsResponseHeader(m, lastResponseHeaderBuffer, 0);
    lastResponseHeader = m;
  }
  return lastResponseHeaderBytes;
}
export function writeResponseHeader(m: ResponseHeader, out: Buffer, start: number): number {
  const bytes = sizeResponseHeader(m);
  for (let i = 0; i < bytes; i++) out[start + i] = lastResponseHeaderBuffer[i] as number;
  return start + bytes;
}
function writeFieldsResponseHeader(m: ResponseHeader, out: Buffer, start: number): number {
  let at = start;
  if (m.clusterId !== 0n) {
    out[at++] = 8;
    at = writeBits(m.clusterId, out, at);
  }
  if (m.memberId !== 0n) {
    out[at++] = 16;
    at = writeBits(m.memberId, out, at);
  }
  if (m.revision !== 0) {
    out[at++] = 24;
    at = writeInt(m.revision, out, at);
  }
  if (m.raftTerm !== 0) {
    out[at++] = 32;
    at = writeUint(m.raftTerm, out, at);
  }
  return at;
}
export function readResponseHeader(reader: Reader, end: number): ResponseHeader {
  let clusterId: bigint = 0n;
  let memberId: bigint = 0n;
  let revision: number = 0;
  let raftTerm: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        clusterId = reader.uint64Bits();
        break;
      case 2:
        reader.expect(tag, 0);
        memberId = reader.uint64Bits();
        break;
      case 3:
        reader.expect(tag, 0);
        revision = reader.int64();
        break;
      case 4:
        reader.expect(tag, 0);
        raftTerm = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { clusterId, memberId, revision, raftTerm };
}
export const ResponseHeader: Codec<ResponseHeader> = {
  create: (init = {}) => ({ clusterId: 0n, memberId: 0n, revision: 0, raftTerm: 0, ...init }),
  size: sizeResponseHeader,
  write: writeResponseHeader,
  read: readResponseHeader,
};

export interface RangeRequest {
  readonly key: string;
  readonly rangeEnd: string;
  readonly limit: number;
  readonly revision: number;
  readonly sortOrder: number;
  readonly sortTarget: number;
  readonly serializable: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}
export function sizeRangeRequest(m: RangeRequest): number {
  let size = 0;
  if (m.key !== "") size += 1 + sizeLatin1(m.key);
  if (m.rangeEnd !== "") size += 1 + sizeLatin1(m.rangeEnd);
  if (m.limit !== 0) size += 1 + sizeInt(m.limit);
  if (m.revision !== 0) size += 1 + sizeInt(m.revision);
  if (m.sortOrder !== 0) size += 1 + sizeInt(m.sortOrder);
  if (m.sortTarget !== 0) size += 1 + sizeInt(m.sortTarget);
  if (m.serializable) size += 1 + 1;
  if (m.keysOnly) size += 1 + 1;
  if (m.countOnly) size += 1 + 1;
  if (m.minModRevision !== 0) size += 1 + sizeInt(m.minModRevision);
  if (m.maxModRevision !== 0) size += 1 + sizeInt(m.maxModRevision);
  if (m.minCreateRevision !== 0) size += 1 + sizeInt(m.minCreateRevision);
  if (m.maxCreateRevision !== 0) size += 1 + sizeInt(m.maxCreateRevision);
  return size;
}
export function writeRangeRequest(m: RangeRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.key !== "") {
    out[at++] = 10;
    at = writeLatin1(m.key, out, at);
  }
  if (m.rangeEnd !== "") {
    out[at++] = 18;
    at = writeLatin1(m.rangeEnd, out, at);
  }
  if (m.limit !== 0) {
    out[at++] = 24;
    at = writeInt(m.limit, out, at);
  }
  if (m.revision !== 0) {
    out[at++] = 32;
    at = writeInt(m.revision, out, at);
  }
  if (m.sortOrder !== 0) {
    out[at++] = 40;
    at = writeInt(m.sortOrder, out, at);
  }
  if (m.sortTarget !== 0) {
    out[at++] = 48;
    at = writeInt(m.sortTarget, out, at);
  }
  if (m.serializable) {
    out[at++] = 56;
    out[at++] = m.serializable ? 1 : 0;
  }
  if (m.keysOnly) {
    out[at++] = 64;
    out[at++] = m.keysOnly ? 1 : 0;
  }
  if (m.countOnly) {
    out[at++] = 72;
    out[at++] = m.countOnly ? 1 : 0;
  }
  if (m.minModRevision !== 0) {
    out[at++] = 80;
    at = writeInt(m.minModRevision, out, at);
  }
  if (m.maxModRevision !== 0) {
    out[at++] = 88;
    at = writeInt(m.maxModRevision, out, at);
  }
  if (m.minCreateRevision !== 0) {
    out[at++] = 96;
    at = writeInt(m.minCreateRevision, out, at);
  }
  if (m.maxCreateRevision !== 0) {
    out[at++] = 104;
    at = writeInt(m.maxCreateRevision, out, at);
  }
  return at;
}
export function readRangeRequest(reader: Reader, end: number): RangeRequest {
  let key: string = "";
  let rangeEnd: string = "";
  let limit: number = 0;
  let revision: number = 0;
  let sortOrder: number = 0;
  let sortTarget: number = 0;
  let serializable: boolean = false;
  let keysOnly: boolean = false;
  let countOnly: boolean = false;
  let minModRevision: number = 0;
  let maxModRevision: number = 0;
  let minCreateRevision: number = 0;
  let maxCreateRevision: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        key = reader.latin1();
        break;
      case 2:
        reader.expect(tag, 2);
        rangeEnd = reader.latin1();
        break;
      case 3:
        reader.expect(tag, 0);
        limit = reader.int64();
        break;
      case 4:
        reader.expect(tag, 0);
        revision = reader.int64();
        break;
      case 5:
        reader.expect(tag, 0);
        sortOrder = reader.int32();
        break;
      case 6:
        reader.expect(tag, 0);
        sortTarget = reader.int32();
        break;
      case 7:
        reader.expect(tag, 0);
        serializable = reader.bool();
        break;
      case 8:
        reader.expect(tag, 0);
        keysOnly = reader.bool();
        break;
      case 9:
        reader.expect(tag, 0);
        countOnly = reader.bool();
        break;
      case 10:
        reader.expect(tag, 0);
        minModRevision = reader.int64();
        break;
      case 11:
        reader.expect(tag, 0);
        maxModRevision = reader.int64();
        break;
      case 12:
        reader.expect(tag, 0);
        minCreateRevision = reader.int64();
        break;
      case 13:
        reader.expect(tag, 0);
        maxCreateRevision = reader.int64();
        break;
      default:
        reader.skip(tag);
    }
  }
  return {
    key,
    rangeEnd,
    limit,
    revision,
    sortOrder,
    sortTarget,
    serializable,
    keysOnly,
    countOnly,
    minModRevision,
    maxModRevision,
    minCreateRevision,
    maxCreateRevision,
  };
}
export const RangeRequest: Codec<RangeRequest> = {
  create: (init = {}) => ({
    key: "",
    rangeEnd: "",
    limit: 0,
    revision: 0,
    sortOrder: 0,
    sortTarget: 0,
    serializable: false,
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
    ...init,
  }),
  size: sizeRangeRequest,
  write: writeRangeRequest,
  read: readRangeRequest,
};

export interface RangeResponse {
  readonly header: ResponseHeader | undefined;
  readonly kvs: readonly Uint8Array[];
  readonly more: boolean;
  readonly count: number;
}
export function sizeRangeResponse(m: RangeResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  for (const v of m.kvs) size += 1 + sizeBytes(v);
  if (m.more) size += 1 + 1;
  if (m.count !== 0) size += 1 + sizeInt(m.count);
  return size;
}
export function writeRangeResponse(m: RangeResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  for (const v of m.kvs) {
    out[at++] = 18;
    at = writeBytes(v, out, at);
  }
  if (m.more) {
    out[at++] = 24;
    out[at++] = m.more ? 1 : 0;
  }
  if (m.count !== 0) {
    out[at++] = 32;
    at = writeInt(m.count, out, at);
  }
  return at;
}
export function readRangeResponse(reader: Reader, end: number): RangeResponse {
  let header: ResponseHeader | undefined = undefined;
  const kvs: Uint8Array[] = [];
  let more: boolean = false;
  let count: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        kvs.push(reader.bytes());
        break;
      case 3:
        reader.expect(tag, 0);
        more = reader.bool();
        break;
      case 4:
        reader.expect(tag, 0);
        count = reader.int64();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, kvs, more, count };
}
export const RangeResponse: Codec<RangeResponse> = {
  create: (init = {}) => ({ header: undefined, kvs: [], more: false, count: 0, ...init }),
  size: sizeRangeResponse,
  write: writeRangeResponse,
  read: readRangeResponse,
};

export interface PutRequest {
  readonly key: string;
  readonly value: Uint8Array;
  readonly lease: bigint;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}
export function sizePutRequest(m: PutRequest): number {
  let size = 0;
  if (m.key !== "") size += 1 + sizeLatin1(m.key);
  if (m.value.length > 0) size += 1 + sizeBytes(m.value);
  if (m.lease !== 0n) size += 1 + sizeBits(m.lease);
  if (m.prevKv) size += 1 + 1;
  if (m.ignoreValue) size += 1 + 1;
  if (m.ignoreLease) size += 1 + 1;
  return size;
}
export function writePutRequest(m: PutRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.key !== "") {
    out[at++] = 10;
    at = writeLatin1(m.key, out, at);
  }
  if (m.value.length > 0) {
    out[at++] = 18;
    at = writeBytes(m.value, out, at);
  }
  if (m.lease !== 0n) {
    out[at++] = 24;
    at = writeBits(m.lease, out, at);
  }
  if (m.prevKv) {
    out[at++] = 32;
    out[at++] = m.prevKv ? 1 : 0;
  }
  if (m.ignoreValue) {
    out[at++] = 40;
    out[at++] = m.ignoreValue ? 1 : 0;
  }
  if (m.ignoreLease) {
    out[at++] = 48;
    out[at++] = m.ignoreLease ? 1 : 0;
  }
  return at;
}
export function readPutRequest(reader: Reader, end: number): PutRequest {
  let key: string = "";
  let value: Uint8Array = EMPTY;
  let lease: bigint = 0n;
  let prevKv: boolean = false;
  let ignoreValue: boolean = false;
  let ignoreLease: boolean = false;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        key = reader.latin1();
        break;
      case 2:
        reader.expect(tag, 2);
        value = reader.bytes();
        break;
      case 3:
        reader.expect(tag, 0);
        lease = reader.int64Bits();
        break;
      case 4:
        reader.expect(tag, 0);
        prevKv = reader.bool();
        break;
      case 5:
        reader.expect(tag, 0);
        ignoreValue = reader.bool();
        break;
      case 6:
        reader.expect(tag, 0);
        ignoreLease = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { key, value, lease, prevKv, ignoreValue, ignoreLease };
}
export const PutRequest: Codec<PutRequest> = {
  create: (init = {}) => ({
    key: "",
    value: EMPTY,
    lease: 0n,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
    ...init,
  }),
  size: sizePutRequest,
  write: writePutRequest,
  read: readPutRequest,
};

export interface PutResponse {
  readonly header: ResponseHeader | undefined;
  readonly prevKv: Uint8Array;
}
export function sizePutResponse(m: PutResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.prevKv.length > 0) size += 1 + sizeBytes(m.prevKv);
  return size;
}
export function writePutResponse(m: PutResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.prevKv.length > 0) {
    out[at++] = 18;
    at = writeBytes(m.prevKv, out, at);
  }
  return at;
}
export function readPutResponse(reader: Reader, end: number): PutResponse {
  let header: ResponseHeader | undefined = undefined;
  let prevKv: Uint8Array = EMPTY;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        prevKv = reader.bytes();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, prevKv };
}
export const PutResponse: Codec<PutResponse> = {
  create: (init = {}) => ({ header: undefined, prevKv: EMPTY, ...init }),
  size: sizePutResponse,
  write: writePutResponse,
  read: readPutResponse,
};

export interface DeleteRangeRequest {
  readonly key: string;
  readonly rangeEnd: string;
  readonly prevKv: boolean;
}
export function sizeDeleteRangeRequest(m: DeleteRangeRequest): number {
  let size = 0;
  if (m.key !== "") size += 1 + sizeLatin1(m.key);
  if (m.rangeEnd !== "") size += 1 + sizeLatin1(m.rangeEnd);
  if (m.prevKv) size += 1 + 1;
  return size;
}
export function writeDeleteRangeRequest(m: DeleteRangeRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.key !== "") {
    out[at++] = 10;
    at = writeLatin1(m.key, out, at);
  }
  if (m.rangeEnd !== "") {
    out[at++] = 18;
    at = writeLatin1(m.rangeEnd, out, at);
  }
  if (m.prevKv) {
    out[at++] = 24;
    out[at++] = m.prevKv ? 1 : 0;
  }
  return at;
}
export function readDeleteRangeRequest(reader: Reader, end: number): DeleteRangeRequest {
  let key: string = "";
  let rangeEnd: string = "";
  let prevKv: boolean = false;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        key = reader.latin1();
        break;
      case 2:
        reader.expect(tag, 2);
        rangeEnd = reader.latin1();
        break;
      case 3:
        reader.expect(tag, 0);
        prevKv = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { key, rangeEnd, prevKv };
}
export const DeleteRangeRequest: Codec<DeleteRangeRequest> = {
  create: (init = {}) => ({ key: "", rangeEnd: "", prevKv: false, ...init }),
  size: sizeDeleteRangeRequest,
  write: writeDeleteRangeRequest,
  read: readDeleteRangeRequest,
};

export interface DeleteRangeResponse {
  readonly header: ResponseHeader | undefined;
  readonly deleted: number;
  readonly prevKvs: readonly Uint8Array[];
}
export function sizeDeleteRangeResponse(m: DeleteRangeResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.deleted !== 0) size += 1 + sizeInt(m.deleted);
  for (const v of m.prevKvs) size += 1 + sizeBytes(v);
  return size;
}
export function writeDeleteRangeResponse(m: DeleteRangeResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.deleted !== 0) {
    out[at++] = 16;
    at = writeInt(m.deleted, out, at);
  }
  for (const v of m.prevKvs) {
    out[at++] = 26;
    at = writeBytes(v, out, at);
  }
  return at;
}
export function readDeleteRangeResponse(reader: Reader, end: number): DeleteRangeResponse {
  let header: ResponseHeader | undefined = undefined;
  let deleted: number = 0;
  const prevKvs: Uint8Array[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 0);
        deleted = reader.int64();
        break;
      case 3:
        reader.expect(tag, 2);
        prevKvs.push(reader.bytes());
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, deleted, prevKvs };
}
export const DeleteRangeResponse: Codec<DeleteRangeResponse> = {
  create: (init = {}) => ({ header: undefined, deleted: 0, prevKvs: [], ...init }),
  size: sizeDeleteRangeResponse,
  write: writeDeleteRangeResponse,
  read: readDeleteRangeResponse,
};

export interface RequestOp {
  readonly request:
    | { readonly kind: "requestRange"; readonly value: RangeRequest }
    | { readonly kind: "requestPut"; readonly value: PutRequest }
    | { readonly kind: "requestDeleteRange"; readonly value: DeleteRangeRequest }
    | { readonly kind: "requestTxn"; readonly value: TxnRequest }
    | undefined;
}
export function sizeRequestOp(m: RequestOp): number {
  let size = 0;
  if (m.request?.kind === "requestRange") size += 1 + sizeDelimited(sizeRangeRequest(m.request.value));
  if (m.request?.kind === "requestPut") size += 1 + sizeDelimited(sizePutRequest(m.request.value));
  if (m.request?.kind === "requestDeleteRange") size += 1 + sizeDelimited(sizeDeleteRangeRequest(m.request.value));
  if (m.request?.kind === "requestTxn") size += 1 + sizeDelimited(sizeTxnRequest(m.request.value));
  return size;
}
export function writeRequestOp(m: RequestOp, out: Buffer, start: number): number {
  let at = start;
  if (m.request?.kind === "requestRange") {
    out[at++] = 10;
    at = writeUint(sizeRangeRequest(m.request.value), out, at);
    at = writeRangeRequest(m.request.value, out, at);
  }
  if (m.request?.kind === "requestPut") {
    out[at++] = 18;
    at = writeUint(sizePutRequest(m.request.value), out, at);
    at = writePutRequest(m.request.value, out, at);
  }
  if (m.request?.kind === "requestDeleteRange") {
    out[at++] = 26;
    at = writeUint(sizeDeleteRangeRequest(m.request.value), out, at);
    at = writeDeleteRangeRequest(m.request.value, out, at);
  }
  if (m.request?.kind === "requestTxn") {
    out[at++] = 34;
    at = writeUint(sizeTxnRequest(m.request.value), out, at);
    at = writeTxnRequest(m.request.value, out, at);
  }
  return at;
}
export function readRequestOp(reader: Reader, end: number): RequestOp {
  let request:
    | { readonly kind: "requestRange"; readonly value: RangeRequest }
    | { readonly kind: "requestPut"; readonly value: PutRequest }
    | { readonly kind: "requestDeleteRange"; readonly value: DeleteRangeRequest }
    | { readonly kind: "requestTxn"; readonly value: TxnRequest }
    | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        request = { kind: "requestRange", value: reader.message(readRangeRequest) };
        break;
      case 2:
        reader.expect(tag, 2);
        request = { kind: "requestPut", value: reader.message(readPutRequest) };
        break;
      case 3:
        reader.expect(tag, 2);
        request = { kind: "requestDeleteRange", value: reader.message(readDeleteRangeRequest) };
        break;
      case 4:
        reader.expect(tag, 2);
        request = { kind: "requestTxn", value: reader.message(readTxnRequest) };
        break;
      default:
        reader.skip(tag);
    }
  }
  return { request };
}
export const RequestOp: Codec<RequestOp> = {
  create: (init = {}) => ({ request: undefined, ...init }),
  size: sizeRequestOp,
  write: writeRequestOp,
  read: readRequestOp,
};

export interface ResponseOp {
  readonly response:
    | { readonly kind: "responseRange"; readonly value: RangeResponse }
    | { readonly kind: "responsePut"; readonly value: PutResponse }
    | { readonly kind: "responseDeleteRange"; readonly value: DeleteRangeResponse }
    | { readonly kind: "responseTxn"; readonly value: TxnResponse }
    | undefined;
}
export function sizeResponseOp(m: ResponseOp): number {
  let size = 0;
  if (m.response?.kind === "responseRange") size += 1 + sizeDelimited(sizeRangeResponse(m.response.value));
  if (m.response?.kind === "responsePut") size += 1 + sizeDelimited(sizePutResponse(m.response.value));
  if (m.response?.kind === "responseDeleteRange") size += 1 + sizeDelimited(sizeDeleteRangeResponse(m.response.value));
  if (m.response?.kind === "responseTxn") size += 1 + sizeDelimited(sizeTxnResponse(m.response.value));
  return size;
}
export function writeResponseOp(m: ResponseOp, out: Buffer, start: number): number {
  let at = start;
  if (m.response?.kind === "responseRange") {
    out[at++] = 10;
    at = writeUint(sizeRangeResponse(m.response.value), out, at);
    at = writeRangeResponse(m.response.value, out, at);
  }
  if (m.response?.kind === "responsePut") {
    out[at++] = 18;
    at = writeUint(sizePutResponse(m.response.value), out, at);
    at = writePutResponse(m.response.value, out, at);
  }
  if (m.response?.kind === "responseDeleteRange") {
    out[at++] = 26;
    at = writeUint(sizeDeleteRangeResponse(m.response.value), out, at);
    at = writeDeleteRangeResponse(m.response.value, out, at);
  }
  if (m.response?.kind === "responseTxn") {
    out[at++] = 34;
    at = writeUint(sizeTxnResponse(m.response.value), out, at);
    at = writeTxnResponse(m.response.value, out, at);
  }
  return at;
}
export function readResponseOp(reader: Reader, end: number): ResponseOp {
  let response:
    | { readonly kind: "responseRange"; readonly value: RangeResponse }
    | { readonly kind: "responsePut"; readonly value: PutResponse }
    | { readonly kind: "responseDeleteRange"; readonly value: DeleteRangeResponse }
    | { readonly kind: "responseTxn"; readonly value: TxnResponse }
    | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        response = { kind: "responseRange", value: reader.message(readRangeResponse) };
        break;
      case 2:
        reader.expect(tag, 2);
        response = { kind: "responsePut", value: reader.message(readPutResponse) };
        break;
      case 3:
        reader.expect(tag, 2);
        response = { kind: "responseDeleteRange", value: reader.message(readDeleteRangeResponse) };
        break;
      case 4:
        reader.expect(tag, 2);
        response = { kind: "responseTxn", value: reader.message(readTxnResponse) };
        break;
      default:
        reader.skip(tag);
    }
  }
  return { response };
}
export const ResponseOp: Codec<ResponseOp> = {
  create: (init = {}) => ({ response: undefined, ...init }),
  size: sizeResponseOp,
  write: writeResponseOp,
  read: readResponseOp,
};

export interface Compare {
  readonly result: number;
  readonly target: number;
  readonly key: string;
  readonly targetUnion:
    | { readonly kind: "version"; readonly value: number }
    | { readonly kind: "createRevision"; readonly value: number }
    | { readonly kind: "modRevision"; readonly value: number }
    | { readonly kind: "value"; readonly value: Uint8Array }
    | { readonly kind: "lease"; readonly value: bigint }
    | undefined;
  readonly rangeEnd: string;
}
export function sizeCompare(m: Compare): number {
  let size = 0;
  if (m.result !== 0) size += 1 + sizeInt(m.result);
  if (m.target !== 0) size += 1 + sizeInt(m.target);
  if (m.key !== "") size += 1 + sizeLatin1(m.key);
  if (m.targetUnion?.kind === "version") size += 1 + sizeInt(m.targetUnion.value);
  if (m.targetUnion?.kind === "createRevision") size += 1 + sizeInt(m.targetUnion.value);
  if (m.targetUnion?.kind === "modRevision") size += 1 + sizeInt(m.targetUnion.value);
  if (m.targetUnion?.kind === "value") size += 1 + sizeBytes(m.targetUnion.value);
  if (m.targetUnion?.kind === "lease") size += 1 + sizeBits(m.targetUnion.value);
  if (m.rangeEnd !== "") size += 2 + sizeLatin1(m.rangeEnd);
  return size;
}
export function writeCompare(m: Compare, out: Buffer, start: number): number {
  let at = start;
  if (m.result !== 0) {
    out[at++] = 8;
    at = writeInt(m.result, out, at);
  }
  if (m.target !== 0) {
    out[at++] = 16;
    at = writeInt(m.target, out, at);
  }
  if (m.key !== "") {
    out[at++] = 26;
    at = writeLatin1(m.key, out, at);
  }
  if (m.targetUnion?.kind === "version") {
    out[at++] = 32;
    at = writeInt(m.targetUnion.value, out, at);
  }
  if (m.targetUnion?.kind === "createRevision") {
    out[at++] = 40;
    at = writeInt(m.targetUnion.value, out, at);
  }
  if (m.targetUnion?.kind === "modRevision") {
    out[at++] = 48;
    at = writeInt(m.targetUnion.value, out, at);
  }
  if (m.targetUnion?.kind === "value") {
    out[at++] = 58;
    at = writeBytes(m.targetUnion.value, out, at);
  }
  if (m.targetUnion?.kind === "lease") {
    out[at++] = 64;
    at = writeBits(m.targetUnion.value, out, at);
  }
  if (m.rangeEnd !== "") {
    out[at++] = 130;
    out[at++] = 4;
    at = writeLatin1(m.rangeEnd, out, at);
  }
  return at;
}
export function readCompare(reader: Reader, end: number): Compare {
  let result: number = 0;
  let target: number = 0;
  let key: string = "";
  let targetUnion:
    | { readonly kind: "version"; readonly value: number }
    | { readonly kind: "createRevision"; readonly value: number }
    | { readonly kind: "modRevision"; readonly value: number }
    | { readonly kind: "value"; readonly value: Uint8Array }
    | { readonly kind: "lease"; readonly value: bigint }
    | undefined = undefined;
  let rangeEnd: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        result = reader.int32();
        break;
      case 2:
        reader.expect(tag, 0);
        target = reader.int32();
        break;
      case 3:
        reader.expect(tag, 2);
        key = reader.latin1();
        break;
      case 4:
        reader.expect(tag, 0);
        targetUnion = { kind: "version", value: reader.int64() };
        break;
      case 5:
        reader.expect(tag, 0);
        targetUnion = { kind: "createRevision", value: reader.int64() };
        break;
      case 6:
        reader.expect(tag, 0);
        targetUnion = { kind: "modRevision", value: reader.int64() };
        break;
      case 7:
        reader.expect(tag, 2);
        targetUnion = { kind: "value", value: reader.bytes() };
        break;
      case 8:
        reader.expect(tag, 0);
        targetUnion = { kind: "lease", value: reader.int64Bits() };
        break;
      case 64:
        reader.expect(tag, 2);
        rangeEnd = reader.latin1();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { result, target, key, targetUnion, rangeEnd };
}
export const Compare: Codec<Compare> = {
  create: (init = {}) => ({ result: 0, target: 0, key: "", targetUnion: undefined, rangeEnd: "", ...init }),
  size: sizeCompare,
  write: writeCompare,
  read: readCompare,
};

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}
export function sizeTxnRequest(m: TxnRequest): number {
  let size = 0;
  for (const v of m.compare) size += 1 + sizeDelimited(sizeCompare(v));
  for (const v of m.success) size += 1 + sizeDelimited(sizeRequestOp(v));
  for (const v of m.failure) size += 1 + sizeDelimited(sizeRequestOp(v));
  return size;
}
export function writeTxnRequest(m: TxnRequest, out: Buffer, start: number): number {
  let at = start;
  for (const v of m.compare) {
    out[at++] = 10;
    at = writeUint(sizeCompare(v), out, at);
    at = writeCompare(v, out, at);
  }
  for (const v of m.success) {
    out[at++] = 18;
    at = writeUint(sizeRequestOp(v), out, at);
    at = writeRequestOp(v, out, at);
  }
  for (const v of m.failure) {
    out[at++] = 26;
    at = writeUint(sizeRequestOp(v), out, at);
    at = writeRequestOp(v, out, at);
  }
  return at;
}
export function readTxnRequest(reader: Reader, end: number): TxnRequest {
  const compare: Compare[] = [];
  const success: RequestOp[] = [];
  const failure: RequestOp[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        compare.push(reader.message(readCompare));
        break;
      case 2:
        reader.expect(tag, 2);
        success.push(reader.message(readRequestOp));
        break;
      case 3:
        reader.expect(tag, 2);
        failure.push(reader.message(readRequestOp));
        break;
      default:
        reader.skip(tag);
    }
  }
  return { compare, success, failure };
}
export const TxnRequest: Codec<TxnRequest> = {
  create: (init = {}) => ({ compare: [], success: [], failure: [], ...init }),
  size: sizeTxnRequest,
  write: writeTxnRequest,
  read: readTxnRequest,
};

export interface TxnResponse {
  readonly header: ResponseHeader | undefined;
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}
export function sizeTxnResponse(m: TxnResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.succeeded) size += 1 + 1;
  for (const v of m.responses) size += 1 + sizeDelimited(sizeResponseOp(v));
  return size;
}
export function writeTxnResponse(m: TxnResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.succeeded) {
    out[at++] = 16;
    out[at++] = m.succeeded ? 1 : 0;
  }
  for (const v of m.responses) {
    out[at++] = 26;
    at = writeUint(sizeResponseOp(v), out, at);
    at = writeResponseOp(v, out, at);
  }
  return at;
}
export function readTxnResponse(reader: Reader, end: number): TxnResponse {
  let header: ResponseHeader | undefined = undefined;
  let succeeded: boolean = false;
  const responses: ResponseOp[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 0);
        succeeded = reader.bool();
        break;
      case 3:
        reader.expect(tag, 2);
        responses.push(reader.message(readResponseOp));
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, succeeded, responses };
}
export const TxnResponse: Codec<TxnResponse> = {
  create: (init = {}) => ({ header: undefined, succeeded: false, responses: [], ...init }),
  size: sizeTxnResponse,
  write: writeTxnResponse,
  read: readTxnResponse,
};

export interface CompactionRequest {
  readonly revision: number;
  readonly physical: boolean;
}
export function sizeCompactionRequest(m: CompactionRequest): number {
  let size = 0;
  if (m.revision !== 0) size += 1 + sizeInt(m.revision);
  if (m.physical) size += 1 + 1;
  return size;
}
export function writeCompactionRequest(m: CompactionRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.revision !== 0) {
    out[at++] = 8;
    at = writeInt(m.revision, out, at);
  }
  if (m.physical) {
    out[at++] = 16;
    out[at++] = m.physical ? 1 : 0;
  }
  return at;
}
export function readCompactionRequest(reader: Reader, end: number): CompactionRequest {
  let revision: number = 0;
  let physical: boolean = false;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        revision = reader.int64();
        break;
      case 2:
        reader.expect(tag, 0);
        physical = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { revision, physical };
}
export const CompactionRequest: Codec<CompactionRequest> = {
  create: (init = {}) => ({ revision: 0, physical: false, ...init }),
  size: sizeCompactionRequest,
  write: writeCompactionRequest,
  read: readCompactionRequest,
};

export interface CompactionResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeCompactionResponse(m: CompactionResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeCompactionResponse(m: CompactionResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readCompactionResponse(reader: Reader, end: number): CompactionResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const CompactionResponse: Codec<CompactionResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeCompactionResponse,
  write: writeCompactionResponse,
  read: readCompactionResponse,
};

export interface HashRequest {}
export function sizeHashRequest(_m: HashRequest): number {
  return 0;
}
export function writeHashRequest(_m: HashRequest, _out: Buffer, at: number): number {
  return at;
}
export function readHashRequest(reader: Reader, end: number): HashRequest {
  while (reader.position < end) {
    const tag = reader.tag(end);
    reader.skip(tag);
  }
  return {};
}
export const HashRequest: Codec<HashRequest> = {
  create: (init = {}) => ({ ...init }),
  size: sizeHashRequest,
  write: writeHashRequest,
  read: readHashRequest,
};

export interface HashKVRequest {
  readonly revision: number;
}
export function sizeHashKVRequest(m: HashKVRequest): number {
  let size = 0;
  if (m.revision !== 0) size += 1 + sizeInt(m.revision);
  return size;
}
export function writeHashKVRequest(m: HashKVRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.revision !== 0) {
    out[at++] = 8;
    at = writeInt(m.revision, out, at);
  }
  return at;
}
export function readHashKVRequest(reader: Reader, end: number): HashKVRequest {
  let revision: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        revision = reader.int64();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { revision };
}
export const HashKVRequest: Codec<HashKVRequest> = {
  create: (init = {}) => ({ revision: 0, ...init }),
  size: sizeHashKVRequest,
  write: writeHashKVRequest,
  read: readHashKVRequest,
};

export interface HashKVResponse {
  readonly header: ResponseHeader | undefined;
  readonly hash: number;
  readonly compactRevision: number;
  readonly hashRevision: number;
}
export function sizeHashKVResponse(m: HashKVResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.hash !== 0) size += 1 + sizeUint(m.hash);
  if (m.compactRevision !== 0) size += 1 + sizeInt(m.compactRevision);
  if (m.hashRevision !== 0) size += 1 + sizeInt(m.hashRevision);
  return size;
}
export function writeHashKVResponse(m: HashKVResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.hash !== 0) {
    out[at++] = 16;
    at = writeUint(m.hash, out, at);
  }
  if (m.compactRevision !== 0) {
    out[at++] = 24;
    at = writeInt(m.compactRevision, out, at);
  }
  if (m.hashRevision !== 0) {
    out[at++] = 32;
    at = writeInt(m.hashRevision, out, at);
  }
  return at;
}
export function readHashKVResponse(reader: Reader, end: number): HashKVResponse {
  let header: ResponseHeader | undefined = undefined;
  let hash: number = 0;
  let compactRevision: number = 0;
  let hashRevision: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 0);
        hash = reader.uint32();
        break;
      case 3:
        reader.expect(tag, 0);
        compactRevision = reader.int64();
        break;
      case 4:
        reader.expect(tag, 0);
        hashRevision = reader.int64();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, hash, compactRevision, hashRevision };
}
export const HashKVResponse: Codec<HashKVResponse> = {
  create: (init = {}) => ({ header: undefined, hash: 0, compactRevision: 0, hashRevision: 0, ...init }),
  size: sizeHashKVResponse,
  write: writeHashKVResponse,
  read: readHashKVResponse,
};

export interface HashResponse {
  readonly header: ResponseHeader | undefined;
  readonly hash: number;
}
export function sizeHashResponse(m: HashResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.hash !== 0) size += 1 + sizeUint(m.hash);
  return size;
}
export function writeHashResponse(m: HashResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.hash !== 0) {
    out[at++] = 16;
    at = writeUint(m.hash, out, at);
  }
  return at;
}
export function readHashResponse(reader: Reader, end: number): HashResponse {
  let header: ResponseHeader | undefined = undefined;
  let hash: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 0);
        hash = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, hash };
}
export const HashResponse: Codec<HashResponse> = {
  create: (init = {}) => ({ header: undefined, hash: 0, ...init }),
  size: sizeHashResponse,
  write: writeHashResponse,
  read: readHashResponse,
};

export interface SnapshotRequest {}
export function sizeSnapshotRequest(_m: SnapshotRequest): number {
  return 0;
}
export function writeSnapshotRequest(_m: SnapshotRequest, _out: Buffer, at: number): number {
  return at;
}
export function readSnapshotRequest(reader: Reader, end: number): SnapshotRequest {
  while (reader.position < end) {
    const tag = reader.tag(end);
    reader.skip(tag);
  }
  return {};
}
export const SnapshotRequest: Codec<SnapshotRequest> = {
  create: (init = {}) => ({ ...init }),
  size: sizeSnapshotRequest,
  write: writeSnapshotRequest,
  read: readSnapshotRequest,
};

export interface SnapshotResponse {
  readonly header: ResponseHeader | undefined;
  readonly remainingBytes: number;
  readonly blob: Uint8Array;
  readonly version: string;
}
export function sizeSnapshotResponse(m: SnapshotResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.remainingBytes !== 0) size += 1 + sizeUint(m.remainingBytes);
  if (m.blob.length > 0) size += 1 + sizeBytes(m.blob);
  if (m.version !== "") size += 1 + sizeString(m.version);
  return size;
}
export function writeSnapshotResponse(m: SnapshotResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.remainingBytes !== 0) {
    out[at++] = 16;
    at = writeUint(m.remainingBytes, out, at);
  }
  if (m.blob.length > 0) {
    out[at++] = 26;
    at = writeBytes(m.blob, out, at);
  }
  if (m.version !== "") {
    out[at++] = 34;
    at = writeString(m.version, out, at);
  }
  return at;
}
export function readSnapshotResponse(reader: Reader, end: number): SnapshotResponse {
  let header: ResponseHeader | undefined = undefined;
  let remainingBytes: number = 0;
  let blob: Uint8Array = EMPTY;
  let version: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 0);
        remainingBytes = reader.uint64();
        break;
      case 3:
        reader.expect(tag, 2);
        blob = reader.bytes();
        break;
      case 4:
        reader.expect(tag, 2);
        version = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, remainingBytes, blob, version };
}
export const SnapshotResponse: Codec<SnapshotResponse> = {
  create: (init = {}) => ({ header: undefined, remainingBytes: 0, blob: EMPTY, version: "", ...init }),
  size: sizeSnapshotResponse,
  write: writeSnapshotResponse,
  read: readSnapshotResponse,
};

export interface WatchRequest {
  readonly requestUnion:
    | { readonly kind: "createRequest"; readonly value: WatchCreateRequest }
    | { readonly kind: "cancelRequest"; readonly value: WatchCancelRequest }
    | { readonly kind: "progressRequest"; readonly value: WatchProgressRequest }
    | undefined;
}
export function sizeWatchRequest(m: WatchRequest): number {
  let size = 0;
  if (m.requestUnion?.kind === "createRequest") size += 1 + sizeDelimited(sizeWatchCreateRequest(m.requestUnion.value));
  if (m.requestUnion?.kind === "cancelRequest") size += 1 + sizeDelimited(sizeWatchCancelRequest(m.requestUnion.value));
  if (m.requestUnion?.kind === "progressRequest")
    size += 1 + sizeDelimited(sizeWatchProgressRequest(m.requestUnion.value));
  return size;
}
export function writeWatchRequest(m: WatchRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.requestUnion?.kind === "createRequest") {
    out[at++] = 10;
    at = writeUint(sizeWatchCreateRequest(m.requestUnion.value), out, at);
    at = writeWatchCreateRequest(m.requestUnion.value, out, at);
  }
  if (m.requestUnion?.kind === "cancelRequest") {
    out[at++] = 18;
    at = writeUint(sizeWatchCancelRequest(m.requestUnion.value), out, at);
    at = writeWatchCancelRequest(m.requestUnion.value, out, at);
  }
  if (m.requestUnion?.kind === "progressRequest") {
    out[at++] = 26;
    at = writeUint(sizeWatchProgressRequest(m.requestUnion.value), out, at);
    at = writeWatchProgressRequest(m.requestUnion.value, out, at);
  }
  return at;
}
export function readWatchRequest(reader: Reader, end: number): WatchRequest {
  let requestUnion:
    | { readonly kind: "createRequest"; readonly value: WatchCreateRequest }
    | { readonly kind: "cancelRequest"; readonly value: WatchCancelRequest }
    | { readonly kind: "progressRequest"; readonly value: WatchProgressRequest }
    | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        requestUnion = { kind: "createRequest", value: reader.message(readWatchCreateRequest) };
        break;
      case 2:
        reader.expect(tag, 2);
        requestUnion = { kind: "cancelRequest", value: reader.message(readWatchCancelRequest) };
        break;
      case 3:
        reader.expect(tag, 2);
        requestUnion = { kind: "progressRequest", value: reader.message(readWatchProgressRequest) };
        break;
      default:
        reader.skip(tag);
    }
  }
  return { requestUnion };
}
export const WatchRequest: Codec<WatchRequest> = {
  create: (init = {}) => ({ requestUnion: undefined, ...init }),
  size: sizeWatchRequest,
  write: writeWatchRequest,
  read: readWatchRequest,
};

export interface WatchCreateRequest {
  readonly key: string;
  readonly rangeEnd: string;
  readonly startRevision: number;
  readonly progressNotify: boolean;
  readonly filters: readonly number[];
  readonly prevKv: boolean;
  readonly watchId: bigint;
  readonly fragment: boolean;
}
export function sizeWatchCreateRequest(m: WatchCreateRequest): number {
  let size = 0;
  if (m.key !== "") size += 1 + sizeLatin1(m.key);
  if (m.rangeEnd !== "") size += 1 + sizeLatin1(m.rangeEnd);
  if (m.startRevision !== 0) size += 1 + sizeInt(m.startRevision);
  if (m.progressNotify) size += 1 + 1;
  if (m.filters.length > 0) {
    let packed = 0;
    for (const v of m.filters) packed += sizeInt(v);
    size += 1 + sizeDelimited(packed);
  }
  if (m.prevKv) size += 1 + 1;
  if (m.watchId !== 0n) size += 1 + sizeBits(m.watchId);
  if (m.fragment) size += 1 + 1;
  return size;
}
export function writeWatchCreateRequest(m: WatchCreateRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.key !== "") {
    out[at++] = 10;
    at = writeLatin1(m.key, out, at);
  }
  if (m.rangeEnd !== "") {
    out[at++] = 18;
    at = writeLatin1(m.rangeEnd, out, at);
  }
  if (m.startRevision !== 0) {
    out[at++] = 24;
    at = writeInt(m.startRevision, out, at);
  }
  if (m.progressNotify) {
    out[at++] = 32;
    out[at++] = m.progressNotify ? 1 : 0;
  }
  if (m.filters.length > 0) {
    out[at++] = 42;
    let packed = 0;
    for (const v of m.filters) packed += sizeInt(v);
    at = writeUint(packed, out, at);
    for (const v of m.filters) {
      at = writeInt(v, out, at);
    }
  }
  if (m.prevKv) {
    out[at++] = 48;
    out[at++] = m.prevKv ? 1 : 0;
  }
  if (m.watchId !== 0n) {
    out[at++] = 56;
    at = writeBits(m.watchId, out, at);
  }
  if (m.fragment) {
    out[at++] = 64;
    out[at++] = m.fragment ? 1 : 0;
  }
  return at;
}
export function readWatchCreateRequest(reader: Reader, end: number): WatchCreateRequest {
  let key: string = "";
  let rangeEnd: string = "";
  let startRevision: number = 0;
  let progressNotify: boolean = false;
  const filters: number[] = [];
  let prevKv: boolean = false;
  let watchId: bigint = 0n;
  let fragment: boolean = false;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        key = reader.latin1();
        break;
      case 2:
        reader.expect(tag, 2);
        rangeEnd = reader.latin1();
        break;
      case 3:
        reader.expect(tag, 0);
        startRevision = reader.int64();
        break;
      case 4:
        reader.expect(tag, 0);
        progressNotify = reader.bool();
        break;
      case 5:
        if ((tag & 7) === 2) {
          const packedEnd = reader.limit();
          while (reader.position < packedEnd) filters.push(reader.int32());
        } else {
          reader.expect(tag, 0);
          filters.push(reader.int32());
        }
        break;
      case 6:
        reader.expect(tag, 0);
        prevKv = reader.bool();
        break;
      case 7:
        reader.expect(tag, 0);
        watchId = reader.int64Bits();
        break;
      case 8:
        reader.expect(tag, 0);
        fragment = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { key, rangeEnd, startRevision, progressNotify, filters, prevKv, watchId, fragment };
}
export const WatchCreateRequest: Codec<WatchCreateRequest> = {
  create: (init = {}) => ({
    key: "",
    rangeEnd: "",
    startRevision: 0,
    progressNotify: false,
    filters: [],
    prevKv: false,
    watchId: 0n,
    fragment: false,
    ...init,
  }),
  size: sizeWatchCreateRequest,
  write: writeWatchCreateRequest,
  read: readWatchCreateRequest,
};

export interface WatchCancelRequest {
  readonly watchId: bigint;
}
export function sizeWatchCancelRequest(m: WatchCancelRequest): number {
  let size = 0;
  if (m.watchId !== 0n) size += 1 + sizeBits(m.watchId);
  return size;
}
export function writeWatchCancelRequest(m: WatchCancelRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.watchId !== 0n) {
    out[at++] = 8;
    at = writeBits(m.watchId, out, at);
  }
  return at;
}
export function readWatchCancelRequest(reader: Reader, end: number): WatchCancelRequest {
  let watchId: bigint = 0n;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        watchId = reader.int64Bits();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { watchId };
}
export const WatchCancelRequest: Codec<WatchCancelRequest> = {
  create: (init = {}) => ({ watchId: 0n, ...init }),
  size: sizeWatchCancelRequest,
  write: writeWatchCancelRequest,
  read: readWatchCancelRequest,
};

export interface WatchProgressRequest {}
export function sizeWatchProgressRequest(_m: WatchProgressRequest): number {
  return 0;
}
export function writeWatchProgressRequest(_m: WatchProgressRequest, _out: Buffer, at: number): number {
  return at;
}
export function readWatchProgressRequest(reader: Reader, end: number): WatchProgressRequest {
  while (reader.position < end) {
    const tag = reader.tag(end);
    reader.skip(tag);
  }
  return {};
}
export const WatchProgressRequest: Codec<WatchProgressRequest> = {
  create: (init = {}) => ({ ...init }),
  size: sizeWatchProgressRequest,
  write: writeWatchProgressRequest,
  read: readWatchProgressRequest,
};

export interface WatchResponse {
  readonly header: ResponseHeader | undefined;
  readonly watchId: bigint;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly fragment: boolean;
  readonly events: readonly Uint8Array[];
}
export function sizeWatchResponse(m: WatchResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.watchId !== 0n) size += 1 + sizeBits(m.watchId);
  if (m.created) size += 1 + 1;
  if (m.canceled) size += 1 + 1;
  if (m.compactRevision !== 0) size += 1 + sizeInt(m.compactRevision);
  if (m.cancelReason !== "") size += 1 + sizeString(m.cancelReason);
  if (m.fragment) size += 1 + 1;
  for (const v of m.events) size += 1 + sizeBytes(v);
  return size;
}
export function writeWatchResponse(m: WatchResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.watchId !== 0n) {
    out[at++] = 16;
    at = writeBits(m.watchId, out, at);
  }
  if (m.created) {
    out[at++] = 24;
    out[at++] = m.created ? 1 : 0;
  }
  if (m.canceled) {
    out[at++] = 32;
    out[at++] = m.canceled ? 1 : 0;
  }
  if (m.compactRevision !== 0) {
    out[at++] = 40;
    at = writeInt(m.compactRevision, out, at);
  }
  if (m.cancelReason !== "") {
    out[at++] = 50;
    at = writeString(m.cancelReason, out, at);
  }
  if (m.fragment) {
    out[at++] = 56;
    out[at++] = m.fragment ? 1 : 0;
  }
  for (const v of m.events) {
    out[at++] = 90;
    at = writeBytes(v, out, at);
  }
  return at;
}
export function readWatchResponse(reader: Reader, end: number): WatchResponse {
  let header: ResponseHeader | undefined = undefined;
  let watchId: bigint = 0n;
  let created: boolean = false;
  let canceled: boolean = false;
  let compactRevision: number = 0;
  let cancelReason: string = "";
  let fragment: boolean = false;
  const events: Uint8Array[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 0);
        watchId = reader.int64Bits();
        break;
      case 3:
        reader.expect(tag, 0);
        created = reader.bool();
        break;
      case 4:
        reader.expect(tag, 0);
        canceled = reader.bool();
        break;
      case 5:
        reader.expect(tag, 0);
        compactRevision = reader.int64();
        break;
      case 6:
        reader.expect(tag, 2);
        cancelReason = reader.string();
        break;
      case 7:
        reader.expect(tag, 0);
        fragment = reader.bool();
        break;
      case 11:
        reader.expect(tag, 2);
        events.push(reader.bytes());
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, watchId, created, canceled, compactRevision, cancelReason, fragment, events };
}
export const WatchResponse: Codec<WatchResponse> = {
  create: (init = {}) => ({
    header: undefined,
    watchId: 0n,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: "",
    fragment: false,
    events: [],
    ...init,
  }),
  size: sizeWatchResponse,
  write: writeWatchResponse,
  read: readWatchResponse,
};

export interface LeaseGrantRequest {
  readonly TTL: number;
  readonly ID: bigint;
}
export function sizeLeaseGrantRequest(m: LeaseGrantRequest): number {
  let size = 0;
  if (m.TTL !== 0) size += 1 + sizeInt(m.TTL);
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  return size;
}
export function writeLeaseGrantRequest(m: LeaseGrantRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.TTL !== 0) {
    out[at++] = 8;
    at = writeInt(m.TTL, out, at);
  }
  if (m.ID !== 0n) {
    out[at++] = 16;
    at = writeBits(m.ID, out, at);
  }
  return at;
}
export function readLeaseGrantRequest(reader: Reader, end: number): LeaseGrantRequest {
  let TTL: number = 0;
  let ID: bigint = 0n;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        TTL = reader.int64();
        break;
      case 2:
        reader.expect(tag, 0);
        ID = reader.int64Bits();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { TTL, ID };
}
export const LeaseGrantRequest: Codec<LeaseGrantRequest> = {
  create: (init = {}) => ({ TTL: 0, ID: 0n, ...init }),
  size: sizeLeaseGrantRequest,
  write: writeLeaseGrantRequest,
  read: readLeaseGrantRequest,
};

export interface LeaseGrantResponse {
  readonly header: ResponseHeader | undefined;
  readonly ID: bigint;
  readonly TTL: number;
  readonly error: string;
}
export function sizeLeaseGrantResponse(m: LeaseGrantResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  if (m.TTL !== 0) size += 1 + sizeInt(m.TTL);
  if (m.error !== "") size += 1 + sizeString(m.error);
  return size;
}
export function writeLeaseGrantResponse(m: LeaseGrantResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.ID !== 0n) {
    out[at++] = 16;
    at = writeBits(m.ID, out, at);
  }
  if (m.TTL !== 0) {
    out[at++] = 24;
    at = writeInt(m.TTL, out, at);
  }
  if (m.error !== "") {
    out[at++] = 34;
    at = writeString(m.error, out, at);
  }
  return at;
}
export function readLeaseGrantResponse(reader: Reader, end: number): LeaseGrantResponse {
  let header: ResponseHeader | undefined = undefined;
  let ID: bigint = 0n;
  let TTL: number = 0;
  let error: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 0);
        ID = reader.int64Bits();
        break;
      case 3:
        reader.expect(tag, 0);
        TTL = reader.int64();
        break;
      case 4:
        reader.expect(tag, 2);
        error = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, ID, TTL, error };
}
export const LeaseGrantResponse: Codec<LeaseGrantResponse> = {
  create: (init = {}) => ({ header: undefined, ID: 0n, TTL: 0, error: "", ...init }),
  size: sizeLeaseGrantResponse,
  write: writeLeaseGrantResponse,
  read: readLeaseGrantResponse,
};

export interface LeaseRevokeRequest {
  readonly ID: bigint;
}
export function sizeLeaseRevokeRequest(m: LeaseRevokeRequest): number {
  let size = 0;
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  return size;
}
export function writeLeaseRevokeRequest(m: LeaseRevokeRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.ID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.ID, out, at);
  }
  return at;
}
export function readLeaseRevokeRequest(reader: Reader, end: number): LeaseRevokeRequest {
  let ID: bigint = 0n;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        ID = reader.int64Bits();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { ID };
}
export const LeaseRevokeRequest: Codec<LeaseRevokeRequest> = {
  create: (init = {}) => ({ ID: 0n, ...init }),
  size: sizeLeaseRevokeRequest,
  write: writeLeaseRevokeRequest,
  read: readLeaseRevokeRequest,
};

export interface LeaseRevokeResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeLeaseRevokeResponse(m: LeaseRevokeResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeLeaseRevokeResponse(m: LeaseRevokeResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readLeaseRevokeResponse(reader: Reader, end: number): LeaseRevokeResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const LeaseRevokeResponse: Codec<LeaseRevokeResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeLeaseRevokeResponse,
  write: writeLeaseRevokeResponse,
  read: readLeaseRevokeResponse,
};

export interface LeaseCheckpoint {
  readonly ID: bigint;
  readonly remainingTTL: number;
}
export function sizeLeaseCheckpoint(m: LeaseCheckpoint): number {
  let size = 0;
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  if (m.remainingTTL !== 0) size += 1 + sizeInt(m.remainingTTL);
  return size;
}
export function writeLeaseCheckpoint(m: LeaseCheckpoint, out: Buffer, start: number): number {
  let at = start;
  if (m.ID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.ID, out, at);
  }
  if (m.remainingTTL !== 0) {
    out[at++] = 16;
    at = writeInt(m.remainingTTL, out, at);
  }
  return at;
}
export function readLeaseCheckpoint(reader: Reader, end: number): LeaseCheckpoint {
  let ID: bigint = 0n;
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
        remainingTTL = reader.int64();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { ID, remainingTTL };
}
export const LeaseCheckpoint: Codec<LeaseCheckpoint> = {
  create: (init = {}) => ({ ID: 0n, remainingTTL: 0, ...init }),
  size: sizeLeaseCheckpoint,
  write: writeLeaseCheckpoint,
  read: readLeaseCheckpoint,
};

export interface LeaseCheckpointRequest {
  readonly checkpoints: readonly LeaseCheckpoint[];
}
export function sizeLeaseCheckpointRequest(m: LeaseCheckpointRequest): number {
  let size = 0;
  for (const v of m.checkpoints) size += 1 + sizeDelimited(sizeLeaseCheckpoint(v));
  return size;
}
export function writeLeaseCheckpointRequest(m: LeaseCheckpointRequest, out: Buffer, start: number): number {
  let at = start;
  for (const v of m.checkpoints) {
    out[at++] = 10;
    at = writeUint(sizeLeaseCheckpoint(v), out, at);
    at = writeLeaseCheckpoint(v, out, at);
  }
  return at;
}
export function readLeaseCheckpointRequest(reader: Reader, end: number): LeaseCheckpointRequest {
  const checkpoints: LeaseCheckpoint[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        checkpoints.push(reader.message(readLeaseCheckpoint));
        break;
      default:
        reader.skip(tag);
    }
  }
  return { checkpoints };
}
export const LeaseCheckpointRequest: Codec<LeaseCheckpointRequest> = {
  create: (init = {}) => ({ checkpoints: [], ...init }),
  size: sizeLeaseCheckpointRequest,
  write: writeLeaseCheckpointRequest,
  read: readLeaseCheckpointRequest,
};

export interface LeaseCheckpointResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeLeaseCheckpointResponse(m: LeaseCheckpointResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeLeaseCheckpointResponse(m: LeaseCheckpointResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readLeaseCheckpointResponse(reader: Reader, end: number): LeaseCheckpointResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const LeaseCheckpointResponse: Codec<LeaseCheckpointResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeLeaseCheckpointResponse,
  write: writeLeaseCheckpointResponse,
  read: readLeaseCheckpointResponse,
};

export interface LeaseKeepAliveRequest {
  readonly ID: bigint;
}
export function sizeLeaseKeepAliveRequest(m: LeaseKeepAliveRequest): number {
  let size = 0;
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  return size;
}
export function writeLeaseKeepAliveRequest(m: LeaseKeepAliveRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.ID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.ID, out, at);
  }
  return at;
}
export function readLeaseKeepAliveRequest(reader: Reader, end: number): LeaseKeepAliveRequest {
  let ID: bigint = 0n;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        ID = reader.int64Bits();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { ID };
}
export const LeaseKeepAliveRequest: Codec<LeaseKeepAliveRequest> = {
  create: (init = {}) => ({ ID: 0n, ...init }),
  size: sizeLeaseKeepAliveRequest,
  write: writeLeaseKeepAliveRequest,
  read: readLeaseKeepAliveRequest,
};

export interface LeaseKeepAliveResponse {
  readonly header: ResponseHeader | undefined;
  readonly ID: bigint;
  readonly TTL: number;
}
export function sizeLeaseKeepAliveResponse(m: LeaseKeepAliveResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  if (m.TTL !== 0) size += 1 + sizeInt(m.TTL);
  return size;
}
export function writeLeaseKeepAliveResponse(m: LeaseKeepAliveResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.ID !== 0n) {
    out[at++] = 16;
    at = writeBits(m.ID, out, at);
  }
  if (m.TTL !== 0) {
    out[at++] = 24;
    at = writeInt(m.TTL, out, at);
  }
  return at;
}
export function readLeaseKeepAliveResponse(reader: Reader, end: number): LeaseKeepAliveResponse {
  let header: ResponseHeader | undefined = undefined;
  let ID: bigint = 0n;
  let TTL: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 0);
        ID = reader.int64Bits();
        break;
      case 3:
        reader.expect(tag, 0);
        TTL = reader.int64();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, ID, TTL };
}
export const LeaseKeepAliveResponse: Codec<LeaseKeepAliveResponse> = {
  create: (init = {}) => ({ header: undefined, ID: 0n, TTL: 0, ...init }),
  size: sizeLeaseKeepAliveResponse,
  write: writeLeaseKeepAliveResponse,
  read: readLeaseKeepAliveResponse,
};

export interface LeaseTimeToLiveRequest {
  readonly ID: bigint;
  readonly keys: boolean;
}
export function sizeLeaseTimeToLiveRequest(m: LeaseTimeToLiveRequest): number {
  let size = 0;
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  if (m.keys) size += 1 + 1;
  return size;
}
export function writeLeaseTimeToLiveRequest(m: LeaseTimeToLiveRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.ID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.ID, out, at);
  }
  if (m.keys) {
    out[at++] = 16;
    out[at++] = m.keys ? 1 : 0;
  }
  return at;
}
export function readLeaseTimeToLiveRequest(reader: Reader, end: number): LeaseTimeToLiveRequest {
  let ID: bigint = 0n;
  let keys: boolean = false;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        ID = reader.int64Bits();
        break;
      case 2:
        reader.expect(tag, 0);
        keys = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { ID, keys };
}
export const LeaseTimeToLiveRequest: Codec<LeaseTimeToLiveRequest> = {
  create: (init = {}) => ({ ID: 0n, keys: false, ...init }),
  size: sizeLeaseTimeToLiveRequest,
  write: writeLeaseTimeToLiveRequest,
  read: readLeaseTimeToLiveRequest,
};

export interface LeaseTimeToLiveResponse {
  readonly header: ResponseHeader | undefined;
  readonly ID: bigint;
  readonly TTL: number;
  readonly grantedTTL: number;
  readonly keys: readonly string[];
}
export function sizeLeaseTimeToLiveResponse(m: LeaseTimeToLiveResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  if (m.TTL !== 0) size += 1 + sizeInt(m.TTL);
  if (m.grantedTTL !== 0) size += 1 + sizeInt(m.grantedTTL);
  for (const v of m.keys) size += 1 + sizeLatin1(v);
  return size;
}
export function writeLeaseTimeToLiveResponse(m: LeaseTimeToLiveResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.ID !== 0n) {
    out[at++] = 16;
    at = writeBits(m.ID, out, at);
  }
  if (m.TTL !== 0) {
    out[at++] = 24;
    at = writeInt(m.TTL, out, at);
  }
  if (m.grantedTTL !== 0) {
    out[at++] = 32;
    at = writeInt(m.grantedTTL, out, at);
  }
  for (const v of m.keys) {
    out[at++] = 42;
    at = writeLatin1(v, out, at);
  }
  return at;
}
export function readLeaseTimeToLiveResponse(reader: Reader, end: number): LeaseTimeToLiveResponse {
  let header: ResponseHeader | undefined = undefined;
  let ID: bigint = 0n;
  let TTL: number = 0;
  let grantedTTL: number = 0;
  const keys: string[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 0);
        ID = reader.int64Bits();
        break;
      case 3:
        reader.expect(tag, 0);
        TTL = reader.int64();
        break;
      case 4:
        reader.expect(tag, 0);
        grantedTTL = reader.int64();
        break;
      case 5:
        reader.expect(tag, 2);
        keys.push(reader.latin1());
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, ID, TTL, grantedTTL, keys };
}
export const LeaseTimeToLiveResponse: Codec<LeaseTimeToLiveResponse> = {
  create: (init = {}) => ({ header: undefined, ID: 0n, TTL: 0, grantedTTL: 0, keys: [], ...init }),
  size: sizeLeaseTimeToLiveResponse,
  write: writeLeaseTimeToLiveResponse,
  read: readLeaseTimeToLiveResponse,
};

export interface LeaseLeasesRequest {}
export function sizeLeaseLeasesRequest(_m: LeaseLeasesRequest): number {
  return 0;
}
export function writeLeaseLeasesRequest(_m: LeaseLeasesRequest, _out: Buffer, at: number): number {
  return at;
}
export function readLeaseLeasesRequest(reader: Reader, end: number): LeaseLeasesRequest {
  while (reader.position < end) {
    const tag = reader.tag(end);
    reader.skip(tag);
  }
  return {};
}
export const LeaseLeasesRequest: Codec<LeaseLeasesRequest> = {
  create: (init = {}) => ({ ...init }),
  size: sizeLeaseLeasesRequest,
  write: writeLeaseLeasesRequest,
  read: readLeaseLeasesRequest,
};

export interface LeaseStatus {
  readonly ID: bigint;
}
export function sizeLeaseStatus(m: LeaseStatus): number {
  let size = 0;
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  return size;
}
export function writeLeaseStatus(m: LeaseStatus, out: Buffer, start: number): number {
  let at = start;
  if (m.ID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.ID, out, at);
  }
  return at;
}
export function readLeaseStatus(reader: Reader, end: number): LeaseStatus {
  let ID: bigint = 0n;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        ID = reader.int64Bits();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { ID };
}
export const LeaseStatus: Codec<LeaseStatus> = {
  create: (init = {}) => ({ ID: 0n, ...init }),
  size: sizeLeaseStatus,
  write: writeLeaseStatus,
  read: readLeaseStatus,
};

export interface LeaseLeasesResponse {
  readonly header: ResponseHeader | undefined;
  readonly leases: readonly LeaseStatus[];
}
export function sizeLeaseLeasesResponse(m: LeaseLeasesResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  for (const v of m.leases) size += 1 + sizeDelimited(sizeLeaseStatus(v));
  return size;
}
export function writeLeaseLeasesResponse(m: LeaseLeasesResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  for (const v of m.leases) {
    out[at++] = 18;
    at = writeUint(sizeLeaseStatus(v), out, at);
    at = writeLeaseStatus(v, out, at);
  }
  return at;
}
export function readLeaseLeasesResponse(reader: Reader, end: number): LeaseLeasesResponse {
  let header: ResponseHeader | undefined = undefined;
  const leases: LeaseStatus[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        leases.push(reader.message(readLeaseStatus));
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, leases };
}
export const LeaseLeasesResponse: Codec<LeaseLeasesResponse> = {
  create: (init = {}) => ({ header: undefined, leases: [], ...init }),
  size: sizeLeaseLeasesResponse,
  write: writeLeaseLeasesResponse,
  read: readLeaseLeasesResponse,
};

export interface Member {
  readonly ID: bigint;
  readonly name: string;
  readonly peerURLs: readonly string[];
  readonly clientURLs: readonly string[];
  readonly isLearner: boolean;
}
export function sizeMember(m: Member): number {
  let size = 0;
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  if (m.name !== "") size += 1 + sizeString(m.name);
  for (const v of m.peerURLs) size += 1 + sizeString(v);
  for (const v of m.clientURLs) size += 1 + sizeString(v);
  if (m.isLearner) size += 1 + 1;
  return size;
}
export function writeMember(m: Member, out: Buffer, start: number): number {
  let at = start;
  if (m.ID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.ID, out, at);
  }
  if (m.name !== "") {
    out[at++] = 18;
    at = writeString(m.name, out, at);
  }
  for (const v of m.peerURLs) {
    out[at++] = 26;
    at = writeString(v, out, at);
  }
  for (const v of m.clientURLs) {
    out[at++] = 34;
    at = writeString(v, out, at);
  }
  if (m.isLearner) {
    out[at++] = 40;
    out[at++] = m.isLearner ? 1 : 0;
  }
  return at;
}
export function readMember(reader: Reader, end: number): Member {
  let ID: bigint = 0n;
  let name: string = "";
  const peerURLs: string[] = [];
  const clientURLs: string[] = [];
  let isLearner: boolean = false;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        ID = reader.uint64Bits();
        break;
      case 2:
        reader.expect(tag, 2);
        name = reader.string();
        break;
      case 3:
        reader.expect(tag, 2);
        peerURLs.push(reader.string());
        break;
      case 4:
        reader.expect(tag, 2);
        clientURLs.push(reader.string());
        break;
      case 5:
        reader.expect(tag, 0);
        isLearner = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { ID, name, peerURLs, clientURLs, isLearner };
}
export const Member: Codec<Member> = {
  create: (init = {}) => ({ ID: 0n, name: "", peerURLs: [], clientURLs: [], isLearner: false, ...init }),
  size: sizeMember,
  write: writeMember,
  read: readMember,
};

export interface MemberAddRequest {
  readonly peerURLs: readonly string[];
  readonly isLearner: boolean;
}
export function sizeMemberAddRequest(m: MemberAddRequest): number {
  let size = 0;
  for (const v of m.peerURLs) size += 1 + sizeString(v);
  if (m.isLearner) size += 1 + 1;
  return size;
}
export function writeMemberAddRequest(m: MemberAddRequest, out: Buffer, start: number): number {
  let at = start;
  for (const v of m.peerURLs) {
    out[at++] = 10;
    at = writeString(v, out, at);
  }
  if (m.isLearner) {
    out[at++] = 16;
    out[at++] = m.isLearner ? 1 : 0;
  }
  return at;
}
export function readMemberAddRequest(reader: Reader, end: number): MemberAddRequest {
  const peerURLs: string[] = [];
  let isLearner: boolean = false;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        peerURLs.push(reader.string());
        break;
      case 2:
        reader.expect(tag, 0);
        isLearner = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { peerURLs, isLearner };
}
export const MemberAddRequest: Codec<MemberAddRequest> = {
  create: (init = {}) => ({ peerURLs: [], isLearner: false, ...init }),
  size: sizeMemberAddRequest,
  write: writeMemberAddRequest,
  read: readMemberAddRequest,
};

export interface MemberAddResponse {
  readonly header: ResponseHeader | undefined;
  readonly member: Member | undefined;
  readonly members: readonly Member[];
}
export function sizeMemberAddResponse(m: MemberAddResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.member !== undefined) size += 1 + sizeDelimited(sizeMember(m.member));
  for (const v of m.members) size += 1 + sizeDelimited(sizeMember(v));
  return size;
}
export function writeMemberAddResponse(m: MemberAddResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.member !== undefined) {
    out[at++] = 18;
    at = writeUint(sizeMember(m.member), out, at);
    at = writeMember(m.member, out, at);
  }
  for (const v of m.members) {
    out[at++] = 26;
    at = writeUint(sizeMember(v), out, at);
    at = writeMember(v, out, at);
  }
  return at;
}
export function readMemberAddResponse(reader: Reader, end: number): MemberAddResponse {
  let header: ResponseHeader | undefined = undefined;
  let member: Member | undefined = undefined;
  const members: Member[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        member = reader.message(readMember);
        break;
      case 3:
        reader.expect(tag, 2);
        members.push(reader.message(readMember));
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, member, members };
}
export const MemberAddResponse: Codec<MemberAddResponse> = {
  create: (init = {}) => ({ header: undefined, member: undefined, members: [], ...init }),
  size: sizeMemberAddResponse,
  write: writeMemberAddResponse,
  read: readMemberAddResponse,
};

export interface MemberRemoveRequest {
  readonly ID: bigint;
}
export function sizeMemberRemoveRequest(m: MemberRemoveRequest): number {
  let size = 0;
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  return size;
}
export function writeMemberRemoveRequest(m: MemberRemoveRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.ID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.ID, out, at);
  }
  return at;
}
export function readMemberRemoveRequest(reader: Reader, end: number): MemberRemoveRequest {
  let ID: bigint = 0n;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        ID = reader.uint64Bits();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { ID };
}
export const MemberRemoveRequest: Codec<MemberRemoveRequest> = {
  create: (init = {}) => ({ ID: 0n, ...init }),
  size: sizeMemberRemoveRequest,
  write: writeMemberRemoveRequest,
  read: readMemberRemoveRequest,
};

export interface MemberRemoveResponse {
  readonly header: ResponseHeader | undefined;
  readonly members: readonly Member[];
}
export function sizeMemberRemoveResponse(m: MemberRemoveResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  for (const v of m.members) size += 1 + sizeDelimited(sizeMember(v));
  return size;
}
export function writeMemberRemoveResponse(m: MemberRemoveResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  for (const v of m.members) {
    out[at++] = 18;
    at = writeUint(sizeMember(v), out, at);
    at = writeMember(v, out, at);
  }
  return at;
}
export function readMemberRemoveResponse(reader: Reader, end: number): MemberRemoveResponse {
  let header: ResponseHeader | undefined = undefined;
  const members: Member[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        members.push(reader.message(readMember));
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, members };
}
export const MemberRemoveResponse: Codec<MemberRemoveResponse> = {
  create: (init = {}) => ({ header: undefined, members: [], ...init }),
  size: sizeMemberRemoveResponse,
  write: writeMemberRemoveResponse,
  read: readMemberRemoveResponse,
};

export interface MemberUpdateRequest {
  readonly ID: bigint;
  readonly peerURLs: readonly string[];
}
export function sizeMemberUpdateRequest(m: MemberUpdateRequest): number {
  let size = 0;
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  for (const v of m.peerURLs) size += 1 + sizeString(v);
  return size;
}
export function writeMemberUpdateRequest(m: MemberUpdateRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.ID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.ID, out, at);
  }
  for (const v of m.peerURLs) {
    out[at++] = 18;
    at = writeString(v, out, at);
  }
  return at;
}
export function readMemberUpdateRequest(reader: Reader, end: number): MemberUpdateRequest {
  let ID: bigint = 0n;
  const peerURLs: string[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        ID = reader.uint64Bits();
        break;
      case 2:
        reader.expect(tag, 2);
        peerURLs.push(reader.string());
        break;
      default:
        reader.skip(tag);
    }
  }
  return { ID, peerURLs };
}
export const MemberUpdateRequest: Codec<MemberUpdateRequest> = {
  create: (init = {}) => ({ ID: 0n, peerURLs: [], ...init }),
  size: sizeMemberUpdateRequest,
  write: writeMemberUpdateRequest,
  read: readMemberUpdateRequest,
};

export interface MemberUpdateResponse {
  readonly header: ResponseHeader | undefined;
  readonly members: readonly Member[];
}
export function sizeMemberUpdateResponse(m: MemberUpdateResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  for (const v of m.members) size += 1 + sizeDelimited(sizeMember(v));
  return size;
}
export function writeMemberUpdateResponse(m: MemberUpdateResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  for (const v of m.members) {
    out[at++] = 18;
    at = writeUint(sizeMember(v), out, at);
    at = writeMember(v, out, at);
  }
  return at;
}
export function readMemberUpdateResponse(reader: Reader, end: number): MemberUpdateResponse {
  let header: ResponseHeader | undefined = undefined;
  const members: Member[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        members.push(reader.message(readMember));
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, members };
}
export const MemberUpdateResponse: Codec<MemberUpdateResponse> = {
  create: (init = {}) => ({ header: undefined, members: [], ...init }),
  size: sizeMemberUpdateResponse,
  write: writeMemberUpdateResponse,
  read: readMemberUpdateResponse,
};

export interface MemberListRequest {
  readonly linearizable: boolean;
}
export function sizeMemberListRequest(m: MemberListRequest): number {
  let size = 0;
  if (m.linearizable) size += 1 + 1;
  return size;
}
export function writeMemberListRequest(m: MemberListRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.linearizable) {
    out[at++] = 8;
    out[at++] = m.linearizable ? 1 : 0;
  }
  return at;
}
export function readMemberListRequest(reader: Reader, end: number): MemberListRequest {
  let linearizable: boolean = false;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        linearizable = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { linearizable };
}
export const MemberListRequest: Codec<MemberListRequest> = {
  create: (init = {}) => ({ linearizable: false, ...init }),
  size: sizeMemberListRequest,
  write: writeMemberListRequest,
  read: readMemberListRequest,
};

export interface MemberListResponse {
  readonly header: ResponseHeader | undefined;
  readonly members: readonly Member[];
}
export function sizeMemberListResponse(m: MemberListResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  for (const v of m.members) size += 1 + sizeDelimited(sizeMember(v));
  return size;
}
export function writeMemberListResponse(m: MemberListResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  for (const v of m.members) {
    out[at++] = 18;
    at = writeUint(sizeMember(v), out, at);
    at = writeMember(v, out, at);
  }
  return at;
}
export function readMemberListResponse(reader: Reader, end: number): MemberListResponse {
  let header: ResponseHeader | undefined = undefined;
  const members: Member[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        members.push(reader.message(readMember));
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, members };
}
export const MemberListResponse: Codec<MemberListResponse> = {
  create: (init = {}) => ({ header: undefined, members: [], ...init }),
  size: sizeMemberListResponse,
  write: writeMemberListResponse,
  read: readMemberListResponse,
};

export interface MemberPromoteRequest {
  readonly ID: bigint;
}
export function sizeMemberPromoteRequest(m: MemberPromoteRequest): number {
  let size = 0;
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  return size;
}
export function writeMemberPromoteRequest(m: MemberPromoteRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.ID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.ID, out, at);
  }
  return at;
}
export function readMemberPromoteRequest(reader: Reader, end: number): MemberPromoteRequest {
  let ID: bigint = 0n;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        ID = reader.uint64Bits();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { ID };
}
export const MemberPromoteRequest: Codec<MemberPromoteRequest> = {
  create: (init = {}) => ({ ID: 0n, ...init }),
  size: sizeMemberPromoteRequest,
  write: writeMemberPromoteRequest,
  read: readMemberPromoteRequest,
};

export interface MemberPromoteResponse {
  readonly header: ResponseHeader | undefined;
  readonly members: readonly Member[];
}
export function sizeMemberPromoteResponse(m: MemberPromoteResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  for (const v of m.members) size += 1 + sizeDelimited(sizeMember(v));
  return size;
}
export function writeMemberPromoteResponse(m: MemberPromoteResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  for (const v of m.members) {
    out[at++] = 18;
    at = writeUint(sizeMember(v), out, at);
    at = writeMember(v, out, at);
  }
  return at;
}
export function readMemberPromoteResponse(reader: Reader, end: number): MemberPromoteResponse {
  let header: ResponseHeader | undefined = undefined;
  const members: Member[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        members.push(reader.message(readMember));
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, members };
}
export const MemberPromoteResponse: Codec<MemberPromoteResponse> = {
  create: (init = {}) => ({ header: undefined, members: [], ...init }),
  size: sizeMemberPromoteResponse,
  write: writeMemberPromoteResponse,
  read: readMemberPromoteResponse,
};

export interface DefragmentRequest {}
export function sizeDefragmentRequest(_m: DefragmentRequest): number {
  return 0;
}
export function writeDefragmentRequest(_m: DefragmentRequest, _out: Buffer, at: number): number {
  return at;
}
export function readDefragmentRequest(reader: Reader, end: number): DefragmentRequest {
  while (reader.position < end) {
    const tag = reader.tag(end);
    reader.skip(tag);
  }
  return {};
}
export const DefragmentRequest: Codec<DefragmentRequest> = {
  create: (init = {}) => ({ ...init }),
  size: sizeDefragmentRequest,
  write: writeDefragmentRequest,
  read: readDefragmentRequest,
};

export interface DefragmentResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeDefragmentResponse(m: DefragmentResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeDefragmentResponse(m: DefragmentResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readDefragmentResponse(reader: Reader, end: number): DefragmentResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const DefragmentResponse: Codec<DefragmentResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeDefragmentResponse,
  write: writeDefragmentResponse,
  read: readDefragmentResponse,
};

export interface MoveLeaderRequest {
  readonly targetID: bigint;
}
export function sizeMoveLeaderRequest(m: MoveLeaderRequest): number {
  let size = 0;
  if (m.targetID !== 0n) size += 1 + sizeBits(m.targetID);
  return size;
}
export function writeMoveLeaderRequest(m: MoveLeaderRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.targetID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.targetID, out, at);
  }
  return at;
}
export function readMoveLeaderRequest(reader: Reader, end: number): MoveLeaderRequest {
  let targetID: bigint = 0n;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        targetID = reader.uint64Bits();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { targetID };
}
export const MoveLeaderRequest: Codec<MoveLeaderRequest> = {
  create: (init = {}) => ({ targetID: 0n, ...init }),
  size: sizeMoveLeaderRequest,
  write: writeMoveLeaderRequest,
  read: readMoveLeaderRequest,
};

export interface MoveLeaderResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeMoveLeaderResponse(m: MoveLeaderResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeMoveLeaderResponse(m: MoveLeaderResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readMoveLeaderResponse(reader: Reader, end: number): MoveLeaderResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const MoveLeaderResponse: Codec<MoveLeaderResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeMoveLeaderResponse,
  write: writeMoveLeaderResponse,
  read: readMoveLeaderResponse,
};

export interface AlarmRequest {
  readonly action: number;
  readonly memberID: bigint;
  readonly alarm: number;
}
export function sizeAlarmRequest(m: AlarmRequest): number {
  let size = 0;
  if (m.action !== 0) size += 1 + sizeInt(m.action);
  if (m.memberID !== 0n) size += 1 + sizeBits(m.memberID);
  if (m.alarm !== 0) size += 1 + sizeInt(m.alarm);
  return size;
}
export function writeAlarmRequest(m: AlarmRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.action !== 0) {
    out[at++] = 8;
    at = writeInt(m.action, out, at);
  }
  if (m.memberID !== 0n) {
    out[at++] = 16;
    at = writeBits(m.memberID, out, at);
  }
  if (m.alarm !== 0) {
    out[at++] = 24;
    at = writeInt(m.alarm, out, at);
  }
  return at;
}
export function readAlarmRequest(reader: Reader, end: number): AlarmRequest {
  let action: number = 0;
  let memberID: bigint = 0n;
  let alarm: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        action = reader.int32();
        break;
      case 2:
        reader.expect(tag, 0);
        memberID = reader.uint64Bits();
        break;
      case 3:
        reader.expect(tag, 0);
        alarm = reader.int32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { action, memberID, alarm };
}
export const AlarmRequest: Codec<AlarmRequest> = {
  create: (init = {}) => ({ action: 0, memberID: 0n, alarm: 0, ...init }),
  size: sizeAlarmRequest,
  write: writeAlarmRequest,
  read: readAlarmRequest,
};

export interface AlarmMember {
  readonly memberID: bigint;
  readonly alarm: number;
}
export function sizeAlarmMember(m: AlarmMember): number {
  let size = 0;
  if (m.memberID !== 0n) size += 1 + sizeBits(m.memberID);
  if (m.alarm !== 0) size += 1 + sizeInt(m.alarm);
  return size;
}
export function writeAlarmMember(m: AlarmMember, out: Buffer, start: number): number {
  let at = start;
  if (m.memberID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.memberID, out, at);
  }
  if (m.alarm !== 0) {
    out[at++] = 16;
    at = writeInt(m.alarm, out, at);
  }
  return at;
}
export function readAlarmMember(reader: Reader, end: number): AlarmMember {
  let memberID: bigint = 0n;
  let alarm: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        memberID = reader.uint64Bits();
        break;
      case 2:
        reader.expect(tag, 0);
        alarm = reader.int32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { memberID, alarm };
}
export const AlarmMember: Codec<AlarmMember> = {
  create: (init = {}) => ({ memberID: 0n, alarm: 0, ...init }),
  size: sizeAlarmMember,
  write: writeAlarmMember,
  read: readAlarmMember,
};

export interface AlarmResponse {
  readonly header: ResponseHeader | undefined;
  readonly alarms: readonly AlarmMember[];
}
export function sizeAlarmResponse(m: AlarmResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  for (const v of m.alarms) size += 1 + sizeDelimited(sizeAlarmMember(v));
  return size;
}
export function writeAlarmResponse(m: AlarmResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  for (const v of m.alarms) {
    out[at++] = 18;
    at = writeUint(sizeAlarmMember(v), out, at);
    at = writeAlarmMember(v, out, at);
  }
  return at;
}
export function readAlarmResponse(reader: Reader, end: number): AlarmResponse {
  let header: ResponseHeader | undefined = undefined;
  const alarms: AlarmMember[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        alarms.push(reader.message(readAlarmMember));
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, alarms };
}
export const AlarmResponse: Codec<AlarmResponse> = {
  create: (init = {}) => ({ header: undefined, alarms: [], ...init }),
  size: sizeAlarmResponse,
  write: writeAlarmResponse,
  read: readAlarmResponse,
};

export interface DowngradeRequest {
  readonly action: number;
  readonly version: string;
}
export function sizeDowngradeRequest(m: DowngradeRequest): number {
  let size = 0;
  if (m.action !== 0) size += 1 + sizeInt(m.action);
  if (m.version !== "") size += 1 + sizeString(m.version);
  return size;
}
export function writeDowngradeRequest(m: DowngradeRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.action !== 0) {
    out[at++] = 8;
    at = writeInt(m.action, out, at);
  }
  if (m.version !== "") {
    out[at++] = 18;
    at = writeString(m.version, out, at);
  }
  return at;
}
export function readDowngradeRequest(reader: Reader, end: number): DowngradeRequest {
  let action: number = 0;
  let version: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        action = reader.int32();
        break;
      case 2:
        reader.expect(tag, 2);
        version = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { action, version };
}
export const DowngradeRequest: Codec<DowngradeRequest> = {
  create: (init = {}) => ({ action: 0, version: "", ...init }),
  size: sizeDowngradeRequest,
  write: writeDowngradeRequest,
  read: readDowngradeRequest,
};

export interface DowngradeResponse {
  readonly header: ResponseHeader | undefined;
  readonly version: string;
}
export function sizeDowngradeResponse(m: DowngradeResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.version !== "") size += 1 + sizeString(m.version);
  return size;
}
export function writeDowngradeResponse(m: DowngradeResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.version !== "") {
    out[at++] = 18;
    at = writeString(m.version, out, at);
  }
  return at;
}
export function readDowngradeResponse(reader: Reader, end: number): DowngradeResponse {
  let header: ResponseHeader | undefined = undefined;
  let version: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        version = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, version };
}
export const DowngradeResponse: Codec<DowngradeResponse> = {
  create: (init = {}) => ({ header: undefined, version: "", ...init }),
  size: sizeDowngradeResponse,
  write: writeDowngradeResponse,
  read: readDowngradeResponse,
};

export interface DowngradeVersionTestRequest {
  readonly ver: string;
}
export function sizeDowngradeVersionTestRequest(m: DowngradeVersionTestRequest): number {
  let size = 0;
  if (m.ver !== "") size += 1 + sizeString(m.ver);
  return size;
}
export function writeDowngradeVersionTestRequest(m: DowngradeVersionTestRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.ver !== "") {
    out[at++] = 10;
    at = writeString(m.ver, out, at);
  }
  return at;
}
export function readDowngradeVersionTestRequest(reader: Reader, end: number): DowngradeVersionTestRequest {
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
export const DowngradeVersionTestRequest: Codec<DowngradeVersionTestRequest> = {
  create: (init = {}) => ({ ver: "", ...init }),
  size: sizeDowngradeVersionTestRequest,
  write: writeDowngradeVersionTestRequest,
  read: readDowngradeVersionTestRequest,
};

export interface StatusRequest {}
export function sizeStatusRequest(_m: StatusRequest): number {
  return 0;
}
export function writeStatusRequest(_m: StatusRequest, _out: Buffer, at: number): number {
  return at;
}
export function readStatusRequest(reader: Reader, end: number): StatusRequest {
  while (reader.position < end) {
    const tag = reader.tag(end);
    reader.skip(tag);
  }
  return {};
}
export const StatusRequest: Codec<StatusRequest> = {
  create: (init = {}) => ({ ...init }),
  size: sizeStatusRequest,
  write: writeStatusRequest,
  read: readStatusRequest,
};

export interface StatusResponse {
  readonly header: ResponseHeader | undefined;
  readonly version: string;
  readonly dbSize: number;
  readonly leader: bigint;
  readonly raftIndex: number;
  readonly raftTerm: number;
  readonly raftAppliedIndex: number;
  readonly errors: readonly string[];
  readonly dbSizeInUse: number;
  readonly isLearner: boolean;
  readonly storageVersion: string;
  readonly dbSizeQuota: number;
  readonly downgradeInfo: DowngradeInfo | undefined;
}
export function sizeStatusResponse(m: StatusResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.version !== "") size += 1 + sizeString(m.version);
  if (m.dbSize !== 0) size += 1 + sizeInt(m.dbSize);
  if (m.leader !== 0n) size += 1 + sizeBits(m.leader);
  if (m.raftIndex !== 0) size += 1 + sizeUint(m.raftIndex);
  if (m.raftTerm !== 0) size += 1 + sizeUint(m.raftTerm);
  if (m.raftAppliedIndex !== 0) size += 1 + sizeUint(m.raftAppliedIndex);
  for (const v of m.errors) size += 1 + sizeString(v);
  if (m.dbSizeInUse !== 0) size += 1 + sizeInt(m.dbSizeInUse);
  if (m.isLearner) size += 1 + 1;
  if (m.storageVersion !== "") size += 1 + sizeString(m.storageVersion);
  if (m.dbSizeQuota !== 0) size += 1 + sizeInt(m.dbSizeQuota);
  if (m.downgradeInfo !== undefined) size += 1 + sizeDelimited(sizeDowngradeInfo(m.downgradeInfo));
  return size;
}
export function writeStatusResponse(m: StatusResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.version !== "") {
    out[at++] = 18;
    at = writeString(m.version, out, at);
  }
  if (m.dbSize !== 0) {
    out[at++] = 24;
    at = writeInt(m.dbSize, out, at);
  }
  if (m.leader !== 0n) {
    out[at++] = 32;
    at = writeBits(m.leader, out, at);
  }
  if (m.raftIndex !== 0) {
    out[at++] = 40;
    at = writeUint(m.raftIndex, out, at);
  }
  if (m.raftTerm !== 0) {
    out[at++] = 48;
    at = writeUint(m.raftTerm, out, at);
  }
  if (m.raftAppliedIndex !== 0) {
    out[at++] = 56;
    at = writeUint(m.raftAppliedIndex, out, at);
  }
  for (const v of m.errors) {
    out[at++] = 66;
    at = writeString(v, out, at);
  }
  if (m.dbSizeInUse !== 0) {
    out[at++] = 72;
    at = writeInt(m.dbSizeInUse, out, at);
  }
  if (m.isLearner) {
    out[at++] = 80;
    out[at++] = m.isLearner ? 1 : 0;
  }
  if (m.storageVersion !== "") {
    out[at++] = 90;
    at = writeString(m.storageVersion, out, at);
  }
  if (m.dbSizeQuota !== 0) {
    out[at++] = 96;
    at = writeInt(m.dbSizeQuota, out, at);
  }
  if (m.downgradeInfo !== undefined) {
    out[at++] = 106;
    at = writeUint(sizeDowngradeInfo(m.downgradeInfo), out, at);
    at = writeDowngradeInfo(m.downgradeInfo, out, at);
  }
  return at;
}
export function readStatusResponse(reader: Reader, end: number): StatusResponse {
  let header: ResponseHeader | undefined = undefined;
  let version: string = "";
  let dbSize: number = 0;
  let leader: bigint = 0n;
  let raftIndex: number = 0;
  let raftTerm: number = 0;
  let raftAppliedIndex: number = 0;
  const errors: string[] = [];
  let dbSizeInUse: number = 0;
  let isLearner: boolean = false;
  let storageVersion: string = "";
  let dbSizeQuota: number = 0;
  let downgradeInfo: DowngradeInfo | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        version = reader.string();
        break;
      case 3:
        reader.expect(tag, 0);
        dbSize = reader.int64();
        break;
      case 4:
        reader.expect(tag, 0);
        leader = reader.uint64Bits();
        break;
      case 5:
        reader.expect(tag, 0);
        raftIndex = reader.uint64();
        break;
      case 6:
        reader.expect(tag, 0);
        raftTerm = reader.uint64();
        break;
      case 7:
        reader.expect(tag, 0);
        raftAppliedIndex = reader.uint64();
        break;
      case 8:
        reader.expect(tag, 2);
        errors.push(reader.string());
        break;
      case 9:
        reader.expect(tag, 0);
        dbSizeInUse = reader.int64();
        break;
      case 10:
        reader.expect(tag, 0);
        isLearner = reader.bool();
        break;
      case 11:
        reader.expect(tag, 2);
        storageVersion = reader.string();
        break;
      case 12:
        reader.expect(tag, 0);
        dbSizeQuota = reader.int64();
        break;
      case 13:
        reader.expect(tag, 2);
        downgradeInfo = reader.message(readDowngradeInfo);
        break;
      default:
        reader.skip(tag);
    }
  }
  return {
    header,
    version,
    dbSize,
    leader,
    raftIndex,
    raftTerm,
    raftAppliedIndex,
    errors,
    dbSizeInUse,
    isLearner,
    storageVersion,
    dbSizeQuota,
    downgradeInfo,
  };
}
export const StatusResponse: Codec<StatusResponse> = {
  create: (init = {}) => ({
    header: undefined,
    version: "",
    dbSize: 0,
    leader: 0n,
    raftIndex: 0,
    raftTerm: 0,
    raftAppliedIndex: 0,
    errors: [],
    dbSizeInUse: 0,
    isLearner: false,
    storageVersion: "",
    dbSizeQuota: 0,
    downgradeInfo: undefined,
    ...init,
  }),
  size: sizeStatusResponse,
  write: writeStatusResponse,
  read: readStatusResponse,
};

export interface DowngradeInfo {
  readonly enabled: boolean;
  readonly targetVersion: string;
}
export function sizeDowngradeInfo(m: DowngradeInfo): number {
  let size = 0;
  if (m.enabled) size += 1 + 1;
  if (m.targetVersion !== "") size += 1 + sizeString(m.targetVersion);
  return size;
}
export function writeDowngradeInfo(m: DowngradeInfo, out: Buffer, start: number): number {
  let at = start;
  if (m.enabled) {
    out[at++] = 8;
    out[at++] = m.enabled ? 1 : 0;
  }
  if (m.targetVersion !== "") {
    out[at++] = 18;
    at = writeString(m.targetVersion, out, at);
  }
  return at;
}
export function readDowngradeInfo(reader: Reader, end: number): DowngradeInfo {
  let enabled: boolean = false;
  let targetVersion: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        enabled = reader.bool();
        break;
      case 2:
        reader.expect(tag, 2);
        targetVersion = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { enabled, targetVersion };
}
export const DowngradeInfo: Codec<DowngradeInfo> = {
  create: (init = {}) => ({ enabled: false, targetVersion: "", ...init }),
  size: sizeDowngradeInfo,
  write: writeDowngradeInfo,
  read: readDowngradeInfo,
};

export interface AuthEnableRequest {}
export function sizeAuthEnableRequest(_m: AuthEnableRequest): number {
  return 0;
}
export function writeAuthEnableRequest(_m: AuthEnableRequest, _out: Buffer, at: number): number {
  return at;
}
export function readAuthEnableRequest(reader: Reader, end: number): AuthEnableRequest {
  while (reader.position < end) {
    const tag = reader.tag(end);
    reader.skip(tag);
  }
  return {};
}
export const AuthEnableRequest: Codec<AuthEnableRequest> = {
  create: (init = {}) => ({ ...init }),
  size: sizeAuthEnableRequest,
  write: writeAuthEnableRequest,
  read: readAuthEnableRequest,
};

export interface AuthDisableRequest {}
export function sizeAuthDisableRequest(_m: AuthDisableRequest): number {
  return 0;
}
export function writeAuthDisableRequest(_m: AuthDisableRequest, _out: Buffer, at: number): number {
  return at;
}
export function readAuthDisableRequest(reader: Reader, end: number): AuthDisableRequest {
  while (reader.position < end) {
    const tag = reader.tag(end);
    reader.skip(tag);
  }
  return {};
}
export const AuthDisableRequest: Codec<AuthDisableRequest> = {
  create: (init = {}) => ({ ...init }),
  size: sizeAuthDisableRequest,
  write: writeAuthDisableRequest,
  read: readAuthDisableRequest,
};

export interface AuthStatusRequest {}
export function sizeAuthStatusRequest(_m: AuthStatusRequest): number {
  return 0;
}
export function writeAuthStatusRequest(_m: AuthStatusRequest, _out: Buffer, at: number): number {
  return at;
}
export function readAuthStatusRequest(reader: Reader, end: number): AuthStatusRequest {
  while (reader.position < end) {
    const tag = reader.tag(end);
    reader.skip(tag);
  }
  return {};
}
export const AuthStatusRequest: Codec<AuthStatusRequest> = {
  create: (init = {}) => ({ ...init }),
  size: sizeAuthStatusRequest,
  write: writeAuthStatusRequest,
  read: readAuthStatusRequest,
};

export interface AuthenticateRequest {
  readonly name: string;
  readonly password: string;
}
export function sizeAuthenticateRequest(m: AuthenticateRequest): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeString(m.name);
  if (m.password !== "") size += 1 + sizeString(m.password);
  return size;
}
export function writeAuthenticateRequest(m: AuthenticateRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeString(m.name, out, at);
  }
  if (m.password !== "") {
    out[at++] = 18;
    at = writeString(m.password, out, at);
  }
  return at;
}
export function readAuthenticateRequest(reader: Reader, end: number): AuthenticateRequest {
  let name: string = "";
  let password: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.string();
        break;
      case 2:
        reader.expect(tag, 2);
        password = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name, password };
}
export const AuthenticateRequest: Codec<AuthenticateRequest> = {
  create: (init = {}) => ({ name: "", password: "", ...init }),
  size: sizeAuthenticateRequest,
  write: writeAuthenticateRequest,
  read: readAuthenticateRequest,
};

export interface AuthUserAddRequest {
  readonly name: string;
  readonly password: string;
  readonly options: authpb.UserAddOptions | undefined;
  readonly hashedPassword: string;
}
export function sizeAuthUserAddRequest(m: AuthUserAddRequest): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeString(m.name);
  if (m.password !== "") size += 1 + sizeString(m.password);
  if (m.options !== undefined) size += 1 + sizeDelimited(authpb.sizeUserAddOptions(m.options));
  if (m.hashedPassword !== "") size += 1 + sizeString(m.hashedPassword);
  return size;
}
export function writeAuthUserAddRequest(m: AuthUserAddRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeString(m.name, out, at);
  }
  if (m.password !== "") {
    out[at++] = 18;
    at = writeString(m.password, out, at);
  }
  if (m.options !== undefined) {
    out[at++] = 26;
    at = writeUint(authpb.sizeUserAddOptions(m.options), out, at);
    at = authpb.writeUserAddOptions(m.options, out, at);
  }
  if (m.hashedPassword !== "") {
    out[at++] = 34;
    at = writeString(m.hashedPassword, out, at);
  }
  return at;
}
export function readAuthUserAddRequest(reader: Reader, end: number): AuthUserAddRequest {
  let name: string = "";
  let password: string = "";
  let options: authpb.UserAddOptions | undefined = undefined;
  let hashedPassword: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.string();
        break;
      case 2:
        reader.expect(tag, 2);
        password = reader.string();
        break;
      case 3:
        reader.expect(tag, 2);
        options = reader.message(authpb.readUserAddOptions);
        break;
      case 4:
        reader.expect(tag, 2);
        hashedPassword = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name, password, options, hashedPassword };
}
export const AuthUserAddRequest: Codec<AuthUserAddRequest> = {
  create: (init = {}) => ({ name: "", password: "", options: undefined, hashedPassword: "", ...init }),
  size: sizeAuthUserAddRequest,
  write: writeAuthUserAddRequest,
  read: readAuthUserAddRequest,
};

export interface AuthUserGetRequest {
  readonly name: string;
}
export function sizeAuthUserGetRequest(m: AuthUserGetRequest): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeString(m.name);
  return size;
}
export function writeAuthUserGetRequest(m: AuthUserGetRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeString(m.name, out, at);
  }
  return at;
}
export function readAuthUserGetRequest(reader: Reader, end: number): AuthUserGetRequest {
  let name: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name };
}
export const AuthUserGetRequest: Codec<AuthUserGetRequest> = {
  create: (init = {}) => ({ name: "", ...init }),
  size: sizeAuthUserGetRequest,
  write: writeAuthUserGetRequest,
  read: readAuthUserGetRequest,
};

export interface AuthUserDeleteRequest {
  readonly name: string;
}
export function sizeAuthUserDeleteRequest(m: AuthUserDeleteRequest): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeString(m.name);
  return size;
}
export function writeAuthUserDeleteRequest(m: AuthUserDeleteRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeString(m.name, out, at);
  }
  return at;
}
export function readAuthUserDeleteRequest(reader: Reader, end: number): AuthUserDeleteRequest {
  let name: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name };
}
export const AuthUserDeleteRequest: Codec<AuthUserDeleteRequest> = {
  create: (init = {}) => ({ name: "", ...init }),
  size: sizeAuthUserDeleteRequest,
  write: writeAuthUserDeleteRequest,
  read: readAuthUserDeleteRequest,
};

export interface AuthUserChangePasswordRequest {
  readonly name: string;
  readonly password: string;
  readonly hashedPassword: string;
}
export function sizeAuthUserChangePasswordRequest(m: AuthUserChangePasswordRequest): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeString(m.name);
  if (m.password !== "") size += 1 + sizeString(m.password);
  if (m.hashedPassword !== "") size += 1 + sizeString(m.hashedPassword);
  return size;
}
export function writeAuthUserChangePasswordRequest(
  m: AuthUserChangePasswordRequest,
  out: Buffer,
  start: number,
): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeString(m.name, out, at);
  }
  if (m.password !== "") {
    out[at++] = 18;
    at = writeString(m.password, out, at);
  }
  if (m.hashedPassword !== "") {
    out[at++] = 26;
    at = writeString(m.hashedPassword, out, at);
  }
  return at;
}
export function readAuthUserChangePasswordRequest(reader: Reader, end: number): AuthUserChangePasswordRequest {
  let name: string = "";
  let password: string = "";
  let hashedPassword: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.string();
        break;
      case 2:
        reader.expect(tag, 2);
        password = reader.string();
        break;
      case 3:
        reader.expect(tag, 2);
        hashedPassword = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name, password, hashedPassword };
}
export const AuthUserChangePasswordRequest: Codec<AuthUserChangePasswordRequest> = {
  create: (init = {}) => ({ name: "", password: "", hashedPassword: "", ...init }),
  size: sizeAuthUserChangePasswordRequest,
  write: writeAuthUserChangePasswordRequest,
  read: readAuthUserChangePasswordRequest,
};

export interface AuthUserGrantRoleRequest {
  readonly user: string;
  readonly role: string;
}
export function sizeAuthUserGrantRoleRequest(m: AuthUserGrantRoleRequest): number {
  let size = 0;
  if (m.user !== "") size += 1 + sizeString(m.user);
  if (m.role !== "") size += 1 + sizeString(m.role);
  return size;
}
export function writeAuthUserGrantRoleRequest(m: AuthUserGrantRoleRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.user !== "") {
    out[at++] = 10;
    at = writeString(m.user, out, at);
  }
  if (m.role !== "") {
    out[at++] = 18;
    at = writeString(m.role, out, at);
  }
  return at;
}
export function readAuthUserGrantRoleRequest(reader: Reader, end: number): AuthUserGrantRoleRequest {
  let user: string = "";
  let role: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        user = reader.string();
        break;
      case 2:
        reader.expect(tag, 2);
        role = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { user, role };
}
export const AuthUserGrantRoleRequest: Codec<AuthUserGrantRoleRequest> = {
  create: (init = {}) => ({ user: "", role: "", ...init }),
  size: sizeAuthUserGrantRoleRequest,
  write: writeAuthUserGrantRoleRequest,
  read: readAuthUserGrantRoleRequest,
};

export interface AuthUserRevokeRoleRequest {
  readonly name: string;
  readonly role: string;
}
export function sizeAuthUserRevokeRoleRequest(m: AuthUserRevokeRoleRequest): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeString(m.name);
  if (m.role !== "") size += 1 + sizeString(m.role);
  return size;
}
export function writeAuthUserRevokeRoleRequest(m: AuthUserRevokeRoleRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeString(m.name, out, at);
  }
  if (m.role !== "") {
    out[at++] = 18;
    at = writeString(m.role, out, at);
  }
  return at;
}
export function readAuthUserRevokeRoleRequest(reader: Reader, end: number): AuthUserRevokeRoleRequest {
  let name: string = "";
  let role: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.string();
        break;
      case 2:
        reader.expect(tag, 2);
        role = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name, role };
}
export const AuthUserRevokeRoleRequest: Codec<AuthUserRevokeRoleRequest> = {
  create: (init = {}) => ({ name: "", role: "", ...init }),
  size: sizeAuthUserRevokeRoleRequest,
  write: writeAuthUserRevokeRoleRequest,
  read: readAuthUserRevokeRoleRequest,
};

export interface AuthRoleAddRequest {
  readonly name: string;
}
export function sizeAuthRoleAddRequest(m: AuthRoleAddRequest): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeString(m.name);
  return size;
}
export function writeAuthRoleAddRequest(m: AuthRoleAddRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeString(m.name, out, at);
  }
  return at;
}
export function readAuthRoleAddRequest(reader: Reader, end: number): AuthRoleAddRequest {
  let name: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name };
}
export const AuthRoleAddRequest: Codec<AuthRoleAddRequest> = {
  create: (init = {}) => ({ name: "", ...init }),
  size: sizeAuthRoleAddRequest,
  write: writeAuthRoleAddRequest,
  read: readAuthRoleAddRequest,
};

export interface AuthRoleGetRequest {
  readonly role: string;
}
export function sizeAuthRoleGetRequest(m: AuthRoleGetRequest): number {
  let size = 0;
  if (m.role !== "") size += 1 + sizeString(m.role);
  return size;
}
export function writeAuthRoleGetRequest(m: AuthRoleGetRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.role !== "") {
    out[at++] = 10;
    at = writeString(m.role, out, at);
  }
  return at;
}
export function readAuthRoleGetRequest(reader: Reader, end: number): AuthRoleGetRequest {
  let role: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        role = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { role };
}
export const AuthRoleGetRequest: Codec<AuthRoleGetRequest> = {
  create: (init = {}) => ({ role: "", ...init }),
  size: sizeAuthRoleGetRequest,
  write: writeAuthRoleGetRequest,
  read: readAuthRoleGetRequest,
};

export interface AuthUserListRequest {}
export function sizeAuthUserListRequest(_m: AuthUserListRequest): number {
  return 0;
}
export function writeAuthUserListRequest(_m: AuthUserListRequest, _out: Buffer, at: number): number {
  return at;
}
export function readAuthUserListRequest(reader: Reader, end: number): AuthUserListRequest {
  while (reader.position < end) {
    const tag = reader.tag(end);
    reader.skip(tag);
  }
  return {};
}
export const AuthUserListRequest: Codec<AuthUserListRequest> = {
  create: (init = {}) => ({ ...init }),
  size: sizeAuthUserListRequest,
  write: writeAuthUserListRequest,
  read: readAuthUserListRequest,
};

export interface AuthRoleListRequest {}
export function sizeAuthRoleListRequest(_m: AuthRoleListRequest): number {
  return 0;
}
export function writeAuthRoleListRequest(_m: AuthRoleListRequest, _out: Buffer, at: number): number {
  return at;
}
export function readAuthRoleListRequest(reader: Reader, end: number): AuthRoleListRequest {
  while (reader.position < end) {
    const tag = reader.tag(end);
    reader.skip(tag);
  }
  return {};
}
export const AuthRoleListRequest: Codec<AuthRoleListRequest> = {
  create: (init = {}) => ({ ...init }),
  size: sizeAuthRoleListRequest,
  write: writeAuthRoleListRequest,
  read: readAuthRoleListRequest,
};

export interface AuthRoleDeleteRequest {
  readonly role: string;
}
export function sizeAuthRoleDeleteRequest(m: AuthRoleDeleteRequest): number {
  let size = 0;
  if (m.role !== "") size += 1 + sizeString(m.role);
  return size;
}
export function writeAuthRoleDeleteRequest(m: AuthRoleDeleteRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.role !== "") {
    out[at++] = 10;
    at = writeString(m.role, out, at);
  }
  return at;
}
export function readAuthRoleDeleteRequest(reader: Reader, end: number): AuthRoleDeleteRequest {
  let role: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        role = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { role };
}
export const AuthRoleDeleteRequest: Codec<AuthRoleDeleteRequest> = {
  create: (init = {}) => ({ role: "", ...init }),
  size: sizeAuthRoleDeleteRequest,
  write: writeAuthRoleDeleteRequest,
  read: readAuthRoleDeleteRequest,
};

export interface AuthRoleGrantPermissionRequest {
  readonly name: string;
  readonly perm: authpb.Permission | undefined;
}
export function sizeAuthRoleGrantPermissionRequest(m: AuthRoleGrantPermissionRequest): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeString(m.name);
  if (m.perm !== undefined) size += 1 + sizeDelimited(authpb.sizePermission(m.perm));
  return size;
}
export function writeAuthRoleGrantPermissionRequest(
  m: AuthRoleGrantPermissionRequest,
  out: Buffer,
  start: number,
): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeString(m.name, out, at);
  }
  if (m.perm !== undefined) {
    out[at++] = 18;
    at = writeUint(authpb.sizePermission(m.perm), out, at);
    at = authpb.writePermission(m.perm, out, at);
  }
  return at;
}
export function readAuthRoleGrantPermissionRequest(reader: Reader, end: number): AuthRoleGrantPermissionRequest {
  let name: string = "";
  let perm: authpb.Permission | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.string();
        break;
      case 2:
        reader.expect(tag, 2);
        perm = reader.message(authpb.readPermission);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name, perm };
}
export const AuthRoleGrantPermissionRequest: Codec<AuthRoleGrantPermissionRequest> = {
  create: (init = {}) => ({ name: "", perm: undefined, ...init }),
  size: sizeAuthRoleGrantPermissionRequest,
  write: writeAuthRoleGrantPermissionRequest,
  read: readAuthRoleGrantPermissionRequest,
};

export interface AuthRoleRevokePermissionRequest {
  readonly role: string;
  readonly key: string;
  readonly rangeEnd: string;
}
export function sizeAuthRoleRevokePermissionRequest(m: AuthRoleRevokePermissionRequest): number {
  let size = 0;
  if (m.role !== "") size += 1 + sizeString(m.role);
  if (m.key !== "") size += 1 + sizeLatin1(m.key);
  if (m.rangeEnd !== "") size += 1 + sizeLatin1(m.rangeEnd);
  return size;
}
export function writeAuthRoleRevokePermissionRequest(
  m: AuthRoleRevokePermissionRequest,
  out: Buffer,
  start: number,
): number {
  let at = start;
  if (m.role !== "") {
    out[at++] = 10;
    at = writeString(m.role, out, at);
  }
  if (m.key !== "") {
    out[at++] = 18;
    at = writeLatin1(m.key, out, at);
  }
  if (m.rangeEnd !== "") {
    out[at++] = 26;
    at = writeLatin1(m.rangeEnd, out, at);
  }
  return at;
}
export function readAuthRoleRevokePermissionRequest(reader: Reader, end: number): AuthRoleRevokePermissionRequest {
  let role: string = "";
  let key: string = "";
  let rangeEnd: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        role = reader.string();
        break;
      case 2:
        reader.expect(tag, 2);
        key = reader.latin1();
        break;
      case 3:
        reader.expect(tag, 2);
        rangeEnd = reader.latin1();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { role, key, rangeEnd };
}
export const AuthRoleRevokePermissionRequest: Codec<AuthRoleRevokePermissionRequest> = {
  create: (init = {}) => ({ role: "", key: "", rangeEnd: "", ...init }),
  size: sizeAuthRoleRevokePermissionRequest,
  write: writeAuthRoleRevokePermissionRequest,
  read: readAuthRoleRevokePermissionRequest,
};

export interface AuthEnableResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeAuthEnableResponse(m: AuthEnableResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeAuthEnableResponse(m: AuthEnableResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readAuthEnableResponse(reader: Reader, end: number): AuthEnableResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const AuthEnableResponse: Codec<AuthEnableResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeAuthEnableResponse,
  write: writeAuthEnableResponse,
  read: readAuthEnableResponse,
};

export interface AuthDisableResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeAuthDisableResponse(m: AuthDisableResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeAuthDisableResponse(m: AuthDisableResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readAuthDisableResponse(reader: Reader, end: number): AuthDisableResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const AuthDisableResponse: Codec<AuthDisableResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeAuthDisableResponse,
  write: writeAuthDisableResponse,
  read: readAuthDisableResponse,
};

export interface AuthStatusResponse {
  readonly header: ResponseHeader | undefined;
  readonly enabled: boolean;
  readonly authRevision: number;
}
export function sizeAuthStatusResponse(m: AuthStatusResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.enabled) size += 1 + 1;
  if (m.authRevision !== 0) size += 1 + sizeUint(m.authRevision);
  return size;
}
export function writeAuthStatusResponse(m: AuthStatusResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.enabled) {
    out[at++] = 16;
    out[at++] = m.enabled ? 1 : 0;
  }
  if (m.authRevision !== 0) {
    out[at++] = 24;
    at = writeUint(m.authRevision, out, at);
  }
  return at;
}
export function readAuthStatusResponse(reader: Reader, end: number): AuthStatusResponse {
  let header: ResponseHeader | undefined = undefined;
  let enabled: boolean = false;
  let authRevision: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 0);
        enabled = reader.bool();
        break;
      case 3:
        reader.expect(tag, 0);
        authRevision = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, enabled, authRevision };
}
export const AuthStatusResponse: Codec<AuthStatusResponse> = {
  create: (init = {}) => ({ header: undefined, enabled: false, authRevision: 0, ...init }),
  size: sizeAuthStatusResponse,
  write: writeAuthStatusResponse,
  read: readAuthStatusResponse,
};

export interface AuthenticateResponse {
  readonly header: ResponseHeader | undefined;
  readonly token: string;
}
export function sizeAuthenticateResponse(m: AuthenticateResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  if (m.token !== "") size += 1 + sizeString(m.token);
  return size;
}
export function writeAuthenticateResponse(m: AuthenticateResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  if (m.token !== "") {
    out[at++] = 18;
    at = writeString(m.token, out, at);
  }
  return at;
}
export function readAuthenticateResponse(reader: Reader, end: number): AuthenticateResponse {
  let header: ResponseHeader | undefined = undefined;
  let token: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        token = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, token };
}
export const AuthenticateResponse: Codec<AuthenticateResponse> = {
  create: (init = {}) => ({ header: undefined, token: "", ...init }),
  size: sizeAuthenticateResponse,
  write: writeAuthenticateResponse,
  read: readAuthenticateResponse,
};

export interface AuthUserAddResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeAuthUserAddResponse(m: AuthUserAddResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeAuthUserAddResponse(m: AuthUserAddResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readAuthUserAddResponse(reader: Reader, end: number): AuthUserAddResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const AuthUserAddResponse: Codec<AuthUserAddResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeAuthUserAddResponse,
  write: writeAuthUserAddResponse,
  read: readAuthUserAddResponse,
};

export interface AuthUserGetResponse {
  readonly header: ResponseHeader | undefined;
  readonly roles: readonly string[];
}
export function sizeAuthUserGetResponse(m: AuthUserGetResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  for (const v of m.roles) size += 1 + sizeString(v);
  return size;
}
export function writeAuthUserGetResponse(m: AuthUserGetResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  for (const v of m.roles) {
    out[at++] = 18;
    at = writeString(v, out, at);
  }
  return at;
}
export function readAuthUserGetResponse(reader: Reader, end: number): AuthUserGetResponse {
  let header: ResponseHeader | undefined = undefined;
  const roles: string[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        roles.push(reader.string());
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, roles };
}
export const AuthUserGetResponse: Codec<AuthUserGetResponse> = {
  create: (init = {}) => ({ header: undefined, roles: [], ...init }),
  size: sizeAuthUserGetResponse,
  write: writeAuthUserGetResponse,
  read: readAuthUserGetResponse,
};

export interface AuthUserDeleteResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeAuthUserDeleteResponse(m: AuthUserDeleteResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeAuthUserDeleteResponse(m: AuthUserDeleteResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readAuthUserDeleteResponse(reader: Reader, end: number): AuthUserDeleteResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const AuthUserDeleteResponse: Codec<AuthUserDeleteResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeAuthUserDeleteResponse,
  write: writeAuthUserDeleteResponse,
  read: readAuthUserDeleteResponse,
};

export interface AuthUserChangePasswordResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeAuthUserChangePasswordResponse(m: AuthUserChangePasswordResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeAuthUserChangePasswordResponse(
  m: AuthUserChangePasswordResponse,
  out: Buffer,
  start: number,
): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readAuthUserChangePasswordResponse(reader: Reader, end: number): AuthUserChangePasswordResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const AuthUserChangePasswordResponse: Codec<AuthUserChangePasswordResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeAuthUserChangePasswordResponse,
  write: writeAuthUserChangePasswordResponse,
  read: readAuthUserChangePasswordResponse,
};

export interface AuthUserGrantRoleResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeAuthUserGrantRoleResponse(m: AuthUserGrantRoleResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeAuthUserGrantRoleResponse(m: AuthUserGrantRoleResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readAuthUserGrantRoleResponse(reader: Reader, end: number): AuthUserGrantRoleResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const AuthUserGrantRoleResponse: Codec<AuthUserGrantRoleResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeAuthUserGrantRoleResponse,
  write: writeAuthUserGrantRoleResponse,
  read: readAuthUserGrantRoleResponse,
};

export interface AuthUserRevokeRoleResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeAuthUserRevokeRoleResponse(m: AuthUserRevokeRoleResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeAuthUserRevokeRoleResponse(m: AuthUserRevokeRoleResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readAuthUserRevokeRoleResponse(reader: Reader, end: number): AuthUserRevokeRoleResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const AuthUserRevokeRoleResponse: Codec<AuthUserRevokeRoleResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeAuthUserRevokeRoleResponse,
  write: writeAuthUserRevokeRoleResponse,
  read: readAuthUserRevokeRoleResponse,
};

export interface AuthRoleAddResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeAuthRoleAddResponse(m: AuthRoleAddResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeAuthRoleAddResponse(m: AuthRoleAddResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readAuthRoleAddResponse(reader: Reader, end: number): AuthRoleAddResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const AuthRoleAddResponse: Codec<AuthRoleAddResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeAuthRoleAddResponse,
  write: writeAuthRoleAddResponse,
  read: readAuthRoleAddResponse,
};

export interface AuthRoleGetResponse {
  readonly header: ResponseHeader | undefined;
  readonly perm: readonly authpb.Permission[];
}
export function sizeAuthRoleGetResponse(m: AuthRoleGetResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  for (const v of m.perm) size += 1 + sizeDelimited(authpb.sizePermission(v));
  return size;
}
export function writeAuthRoleGetResponse(m: AuthRoleGetResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  for (const v of m.perm) {
    out[at++] = 18;
    at = writeUint(authpb.sizePermission(v), out, at);
    at = authpb.writePermission(v, out, at);
  }
  return at;
}
export function readAuthRoleGetResponse(reader: Reader, end: number): AuthRoleGetResponse {
  let header: ResponseHeader | undefined = undefined;
  const perm: authpb.Permission[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        perm.push(reader.message(authpb.readPermission));
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, perm };
}
export const AuthRoleGetResponse: Codec<AuthRoleGetResponse> = {
  create: (init = {}) => ({ header: undefined, perm: [], ...init }),
  size: sizeAuthRoleGetResponse,
  write: writeAuthRoleGetResponse,
  read: readAuthRoleGetResponse,
};

export interface AuthRoleListResponse {
  readonly header: ResponseHeader | undefined;
  readonly roles: readonly string[];
}
export function sizeAuthRoleListResponse(m: AuthRoleListResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  for (const v of m.roles) size += 1 + sizeString(v);
  return size;
}
export function writeAuthRoleListResponse(m: AuthRoleListResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  for (const v of m.roles) {
    out[at++] = 18;
    at = writeString(v, out, at);
  }
  return at;
}
export function readAuthRoleListResponse(reader: Reader, end: number): AuthRoleListResponse {
  let header: ResponseHeader | undefined = undefined;
  const roles: string[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        roles.push(reader.string());
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, roles };
}
export const AuthRoleListResponse: Codec<AuthRoleListResponse> = {
  create: (init = {}) => ({ header: undefined, roles: [], ...init }),
  size: sizeAuthRoleListResponse,
  write: writeAuthRoleListResponse,
  read: readAuthRoleListResponse,
};

export interface AuthUserListResponse {
  readonly header: ResponseHeader | undefined;
  readonly users: readonly string[];
}
export function sizeAuthUserListResponse(m: AuthUserListResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  for (const v of m.users) size += 1 + sizeString(v);
  return size;
}
export function writeAuthUserListResponse(m: AuthUserListResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  for (const v of m.users) {
    out[at++] = 18;
    at = writeString(v, out, at);
  }
  return at;
}
export function readAuthUserListResponse(reader: Reader, end: number): AuthUserListResponse {
  let header: ResponseHeader | undefined = undefined;
  const users: string[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      case 2:
        reader.expect(tag, 2);
        users.push(reader.string());
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header, users };
}
export const AuthUserListResponse: Codec<AuthUserListResponse> = {
  create: (init = {}) => ({ header: undefined, users: [], ...init }),
  size: sizeAuthUserListResponse,
  write: writeAuthUserListResponse,
  read: readAuthUserListResponse,
};

export interface AuthRoleDeleteResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeAuthRoleDeleteResponse(m: AuthRoleDeleteResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeAuthRoleDeleteResponse(m: AuthRoleDeleteResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readAuthRoleDeleteResponse(reader: Reader, end: number): AuthRoleDeleteResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const AuthRoleDeleteResponse: Codec<AuthRoleDeleteResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeAuthRoleDeleteResponse,
  write: writeAuthRoleDeleteResponse,
  read: readAuthRoleDeleteResponse,
};

export interface AuthRoleGrantPermissionResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeAuthRoleGrantPermissionResponse(m: AuthRoleGrantPermissionResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeAuthRoleGrantPermissionResponse(
  m: AuthRoleGrantPermissionResponse,
  out: Buffer,
  start: number,
): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readAuthRoleGrantPermissionResponse(reader: Reader, end: number): AuthRoleGrantPermissionResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const AuthRoleGrantPermissionResponse: Codec<AuthRoleGrantPermissionResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeAuthRoleGrantPermissionResponse,
  write: writeAuthRoleGrantPermissionResponse,
  read: readAuthRoleGrantPermissionResponse,
};

export interface AuthRoleRevokePermissionResponse {
  readonly header: ResponseHeader | undefined;
}
export function sizeAuthRoleRevokePermissionResponse(m: AuthRoleRevokePermissionResponse): number {
  let size = 0;
  if (m.header !== undefined) size += 1 + sizeDelimited(sizeResponseHeader(m.header));
  return size;
}
export function writeAuthRoleRevokePermissionResponse(
  m: AuthRoleRevokePermissionResponse,
  out: Buffer,
  start: number,
): number {
  let at = start;
  if (m.header !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeResponseHeader(m.header), out, at);
    at = writeResponseHeader(m.header, out, at);
  }
  return at;
}
export function readAuthRoleRevokePermissionResponse(reader: Reader, end: number): AuthRoleRevokePermissionResponse {
  let header: ResponseHeader | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        header = reader.message(readResponseHeader);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { header };
}
export const AuthRoleRevokePermissionResponse: Codec<AuthRoleRevokePermissionResponse> = {
  create: (init = {}) => ({ header: undefined, ...init }),
  size: sizeAuthRoleRevokePermissionResponse,
  write: writeAuthRoleRevokePermissionResponse,
  read: readAuthRoleRevokePermissionResponse,
};

export interface RequestHeader {
  readonly ID: bigint;
  readonly username: string;
  readonly authRevision: number;
}
export function sizeRequestHeader(m: RequestHeader): number {
  let size = 0;
  if (m.ID !== 0n) size += 1 + sizeBits(m.ID);
  if (m.username !== "") size += 1 + sizeString(m.username);
  if (m.authRevision !== 0) size += 1 + sizeUint(m.authRevision);
  return size;
}
export function writeRequestHeader(m: RequestHeader, out: Buffer, start: number): number {
  let at = start;
  if (m.ID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.ID, out, at);
  }
  if (m.username !== "") {
    out[at++] = 18;
    at = writeString(m.username, out, at);
  }
  if (m.authRevision !== 0) {
    out[at++] = 24;
    at = writeUint(m.authRevision, out, at);
  }
  return at;
}
export function readRequestHeader(reader: Reader, end: number): RequestHeader {
  let ID: bigint = 0n;
  let username: string = "";
  let authRevision: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        ID = reader.uint64Bits();
        break;
      case 2:
        reader.expect(tag, 2);
        username = reader.string();
        break;
      case 3:
        reader.expect(tag, 0);
        authRevision = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { ID, username, authRevision };
}
export const RequestHeader: Codec<RequestHeader> = {
  create: (init = {}) => ({ ID: 0n, username: "", authRevision: 0, ...init }),
  size: sizeRequestHeader,
  write: writeRequestHeader,
  read: readRequestHeader,
};

export interface InternalRaftRequest {
  readonly ID?: bigint | undefined;
  readonly v2?: Request | undefined;
  readonly range?: RangeRequest | undefined;
  readonly put?: PutRequest | undefined;
  readonly deleteRange?: DeleteRangeRequest | undefined;
  readonly txn?: TxnRequest | undefined;
  readonly compaction?: CompactionRequest | undefined;
  readonly leaseGrant?: LeaseGrantRequest | undefined;
  readonly leaseRevoke?: LeaseRevokeRequest | undefined;
  readonly alarm?: AlarmRequest | undefined;
  readonly leaseCheckpoint?: LeaseCheckpointRequest | undefined;
  readonly header?: RequestHeader | undefined;
  readonly authEnable?: AuthEnableRequest | undefined;
  readonly authDisable?: AuthDisableRequest | undefined;
  readonly authenticate?: InternalAuthenticateRequest | undefined;
  readonly authStatus?: AuthStatusRequest | undefined;
  readonly authUserAdd?: AuthUserAddRequest | undefined;
  readonly authUserDelete?: AuthUserDeleteRequest | undefined;
  readonly authUserGet?: AuthUserGetRequest | undefined;
  readonly authUserChangePassword?: AuthUserChangePasswordRequest | undefined;
  readonly authUserGrantRole?: AuthUserGrantRoleRequest | undefined;
  readonly authUserRevokeRole?: AuthUserRevokeRoleRequest | undefined;
  readonly authUserList?: AuthUserListRequest | undefined;
  readonly authRoleList?: AuthRoleListRequest | undefined;
  readonly authRoleAdd?: AuthRoleAddRequest | undefined;
  readonly authRoleDelete?: AuthRoleDeleteRequest | undefined;
  readonly authRoleGet?: AuthRoleGetRequest | undefined;
  readonly authRoleGrantPermission?: AuthRoleGrantPermissionRequest | undefined;
  readonly authRoleRevokePermission?: AuthRoleRevokePermissionRequest | undefined;
  readonly clusterVersionSet?: membershippb.ClusterVersionSetRequest | undefined;
  readonly clusterMemberAttrSet?: membershippb.ClusterMemberAttrSetRequest | undefined;
  readonly downgradeInfoSet?: membershippb.DowngradeInfoSetRequest | undefined;
  readonly downgradeVersionTest?: DowngradeVersionTestRequest | undefined;
}
export function sizeInternalRaftRequest(m: InternalRaftRequest): number {
  let size = 0;
  if (m.ID !== undefined && m.ID !== 0n) size += 1 + sizeBits(m.ID);
  if (m.v2 !== undefined) size += 1 + sizeDelimited(sizeRequest(m.v2));
  if (m.range !== undefined) size += 1 + sizeDelimited(sizeRangeRequest(m.range));
  if (m.put !== undefined) size += 1 + sizeDelimited(sizePutRequest(m.put));
  if (m.deleteRange !== undefined) size += 1 + sizeDelimited(sizeDeleteRangeRequest(m.deleteRange));
  if (m.txn !== undefined) size += 1 + sizeDelimited(sizeTxnRequest(m.txn));
  if (m.compaction !== undefined) size += 1 + sizeDelimited(sizeCompactionRequest(m.compaction));
  if (m.leaseGrant !== undefined) size += 1 + sizeDelimited(sizeLeaseGrantRequest(m.leaseGrant));
  if (m.leaseRevoke !== undefined) size += 1 + sizeDelimited(sizeLeaseRevokeRequest(m.leaseRevoke));
  if (m.alarm !== undefined) size += 1 + sizeDelimited(sizeAlarmRequest(m.alarm));
  if (m.leaseCheckpoint !== undefined) size += 1 + sizeDelimited(sizeLeaseCheckpointRequest(m.leaseCheckpoint));
  if (m.header !== undefined) size += 2 + sizeDelimited(sizeRequestHeader(m.header));
  if (m.authEnable !== undefined) size += 2 + sizeDelimited(sizeAuthEnableRequest(m.authEnable));
  if (m.authDisable !== undefined) size += 2 + sizeDelimited(sizeAuthDisableRequest(m.authDisable));
  if (m.authenticate !== undefined) size += 2 + sizeDelimited(sizeInternalAuthenticateRequest(m.authenticate));
  if (m.authStatus !== undefined) size += 2 + sizeDelimited(sizeAuthStatusRequest(m.authStatus));
  if (m.authUserAdd !== undefined) size += 2 + sizeDelimited(sizeAuthUserAddRequest(m.authUserAdd));
  if (m.authUserDelete !== undefined) size += 2 + sizeDelimited(sizeAuthUserDeleteRequest(m.authUserDelete));
  if (m.authUserGet !== undefined) size += 2 + sizeDelimited(sizeAuthUserGetRequest(m.authUserGet));
  if (m.authUserChangePassword !== undefined)
    size += 2 + sizeDelimited(sizeAuthUserChangePasswordRequest(m.authUserChangePassword));
  if (m.authUserGrantRole !== undefined) size += 2 + sizeDelimited(sizeAuthUserGrantRoleRequest(m.authUserGrantRole));
  if (m.authUserRevokeRole !== undefined)
    size += 2 + sizeDelimited(sizeAuthUserRevokeRoleRequest(m.authUserRevokeRole));
  if (m.authUserList !== undefined) size += 2 + sizeDelimited(sizeAuthUserListRequest(m.authUserList));
  if (m.authRoleList !== undefined) size += 2 + sizeDelimited(sizeAuthRoleListRequest(m.authRoleList));
  if (m.authRoleAdd !== undefined) size += 2 + sizeDelimited(sizeAuthRoleAddRequest(m.authRoleAdd));
  if (m.authRoleDelete !== undefined) size += 2 + sizeDelimited(sizeAuthRoleDeleteRequest(m.authRoleDelete));
  if (m.authRoleGet !== undefined) size += 2 + sizeDelimited(sizeAuthRoleGetRequest(m.authRoleGet));
  if (m.authRoleGrantPermission !== undefined)
    size += 2 + sizeDelimited(sizeAuthRoleGrantPermissionRequest(m.authRoleGrantPermission));
  if (m.authRoleRevokePermission !== undefined)
    size += 2 + sizeDelimited(sizeAuthRoleRevokePermissionRequest(m.authRoleRevokePermission));
  if (m.clusterVersionSet !== undefined)
    size += 2 + sizeDelimited(membershippb.sizeClusterVersionSetRequest(m.clusterVersionSet));
  if (m.clusterMemberAttrSet !== undefined)
    size += 2 + sizeDelimited(membershippb.sizeClusterMemberAttrSetRequest(m.clusterMemberAttrSet));
  if (m.downgradeInfoSet !== undefined)
    size += 2 + sizeDelimited(membershippb.sizeDowngradeInfoSetRequest(m.downgradeInfoSet));
  if (m.downgradeVersionTest !== undefined)
    size += 3 + sizeDelimited(sizeDowngradeVersionTestRequest(m.downgradeVersionTest));
  return size;
}
export function writeInternalRaftRequest(m: InternalRaftRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.ID !== undefined && m.ID !== 0n) {
    out[at++] = 8;
    at = writeBits(m.ID, out, at);
  }
  if (m.v2 !== undefined) {
    out[at++] = 18;
    at = writeUint(sizeRequest(m.v2), out, at);
    at = writeRequest(m.v2, out, at);
  }
  if (m.range !== undefined) {
    out[at++] = 26;
    at = writeUint(sizeRangeRequest(m.range), out, at);
    at = writeRangeRequest(m.range, out, at);
  }
  if (m.put !== undefined) {
    out[at++] = 34;
    at = writeUint(sizePutRequest(m.put), out, at);
    at = writePutRequest(m.put, out, at);
  }
  if (m.deleteRange !== undefined) {
    out[at++] = 42;
    at = writeUint(sizeDeleteRangeRequest(m.deleteRange), out, at);
    at = writeDeleteRangeRequest(m.deleteRange, out, at);
  }
  if (m.txn !== undefined) {
    out[at++] = 50;
    at = writeUint(sizeTxnRequest(m.txn), out, at);
    at = writeTxnRequest(m.txn, out, at);
  }
  if (m.compaction !== undefined) {
    out[at++] = 58;
    at = writeUint(sizeCompactionRequest(m.compaction), out, at);
    at = writeCompactionRequest(m.compaction, out, at);
  }
  if (m.leaseGrant !== undefined) {
    out[at++] = 66;
    at = writeUint(sizeLeaseGrantRequest(m.leaseGrant), out, at);
    at = writeLeaseGrantRequest(m.leaseGrant, out, at);
  }
  if (m.leaseRevoke !== undefined) {
    out[at++] = 74;
    at = writeUint(sizeLeaseRevokeRequest(m.leaseRevoke), out, at);
    at = writeLeaseRevokeRequest(m.leaseRevoke, out, at);
  }
  if (m.alarm !== undefined) {
    out[at++] = 82;
    at = writeUint(sizeAlarmRequest(m.alarm), out, at);
    at = writeAlarmRequest(m.alarm, out, at);
  }
  if (m.leaseCheckpoint !== undefined) {
    out[at++] = 90;
    at = writeUint(sizeLeaseCheckpointRequest(m.leaseCheckpoint), out, at);
    at = writeLeaseCheckpointRequest(m.leaseCheckpoint, out, at);
  }
  if (m.header !== undefined) {
    out[at++] = 162;
    out[at++] = 6;
    at = writeUint(sizeRequestHeader(m.header), out, at);
    at = writeRequestHeader(m.header, out, at);
  }
  if (m.authEnable !== undefined) {
    out[at++] = 194;
    out[at++] = 62;
    at = writeUint(sizeAuthEnableRequest(m.authEnable), out, at);
    at = writeAuthEnableRequest(m.authEnable, out, at);
  }
  if (m.authDisable !== undefined) {
    out[at++] = 154;
    out[at++] = 63;
    at = writeUint(sizeAuthDisableRequest(m.authDisable), out, at);
    at = writeAuthDisableRequest(m.authDisable, out, at);
  }
  if (m.authenticate !== undefined) {
    out[at++] = 162;
    out[at++] = 63;
    at = writeUint(sizeInternalAuthenticateRequest(m.authenticate), out, at);
    at = writeInternalAuthenticateRequest(m.authenticate, out, at);
  }
  if (m.authStatus !== undefined) {
    out[at++] = 170;
    out[at++] = 63;
    at = writeUint(sizeAuthStatusRequest(m.authStatus), out, at);
    at = writeAuthStatusRequest(m.authStatus, out, at);
  }
  if (m.authUserAdd !== undefined) {
    out[at++] = 226;
    out[at++] = 68;
    at = writeUint(sizeAuthUserAddRequest(m.authUserAdd), out, at);
    at = writeAuthUserAddRequest(m.authUserAdd, out, at);
  }
  if (m.authUserDelete !== undefined) {
    out[at++] = 234;
    out[at++] = 68;
    at = writeUint(sizeAuthUserDeleteRequest(m.authUserDelete), out, at);
    at = writeAuthUserDeleteRequest(m.authUserDelete, out, at);
  }
  if (m.authUserGet !== undefined) {
    out[at++] = 242;
    out[at++] = 68;
    at = writeUint(sizeAuthUserGetRequest(m.authUserGet), out, at);
    at = writeAuthUserGetRequest(m.authUserGet, out, at);
  }
  if (m.authUserChangePassword !== undefined) {
    out[at++] = 250;
    out[at++] = 68;
    at = writeUint(sizeAuthUserChangePasswordRequest(m.authUserChangePassword), out, at);
    at = writeAuthUserChangePasswordRequest(m.authUserChangePassword, out, at);
  }
  if (m.authUserGrantRole !== undefined) {
    out[at++] = 130;
    out[at++] = 69;
    at = writeUint(sizeAuthUserGrantRoleRequest(m.authUserGrantRole), out, at);
    at = writeAuthUserGrantRoleRequest(m.authUserGrantRole, out, at);
  }
  if (m.authUserRevokeRole !== undefined) {
    out[at++] = 138;
    out[at++] = 69;
    at = writeUint(sizeAuthUserRevokeRoleRequest(m.authUserRevokeRole), out, at);
    at = writeAuthUserRevokeRoleRequest(m.authUserRevokeRole, out, at);
  }
  if (m.authUserList !== undefined) {
    out[at++] = 146;
    out[at++] = 69;
    at = writeUint(sizeAuthUserListRequest(m.authUserList), out, at);
    at = writeAuthUserListRequest(m.authUserList, out, at);
  }
  if (m.authRoleList !== undefined) {
    out[at++] = 154;
    out[at++] = 69;
    at = writeUint(sizeAuthRoleListRequest(m.authRoleList), out, at);
    at = writeAuthRoleListRequest(m.authRoleList, out, at);
  }
  if (m.authRoleAdd !== undefined) {
    out[at++] = 130;
    out[at++] = 75;
    at = writeUint(sizeAuthRoleAddRequest(m.authRoleAdd), out, at);
    at = writeAuthRoleAddRequest(m.authRoleAdd, out, at);
  }
  if (m.authRoleDelete !== undefined) {
    out[at++] = 138;
    out[at++] = 75;
    at = writeUint(sizeAuthRoleDeleteRequest(m.authRoleDelete), out, at);
    at = writeAuthRoleDeleteRequest(m.authRoleDelete, out, at);
  }
  if (m.authRoleGet !== undefined) {
    out[at++] = 146;
    out[at++] = 75;
    at = writeUint(sizeAuthRoleGetRequest(m.authRoleGet), out, at);
    at = writeAuthRoleGetRequest(m.authRoleGet, out, at);
  }
  if (m.authRoleGrantPermission !== undefined) {
    out[at++] = 154;
    out[at++] = 75;
    at = writeUint(sizeAuthRoleGrantPermissionRequest(m.authRoleGrantPermission), out, at);
    at = writeAuthRoleGrantPermissionRequest(m.authRoleGrantPermission, out, at);
  }
  if (m.authRoleRevokePermission !== undefined) {
    out[at++] = 162;
    out[at++] = 75;
    at = writeUint(sizeAuthRoleRevokePermissionRequest(m.authRoleRevokePermission), out, at);
    at = writeAuthRoleRevokePermissionRequest(m.authRoleRevokePermission, out, at);
  }
  if (m.clusterVersionSet !== undefined) {
    out[at++] = 162;
    out[at++] = 81;
    at = writeUint(membershippb.sizeClusterVersionSetRequest(m.clusterVersionSet), out, at);
    at = membershippb.writeClusterVersionSetRequest(m.clusterVersionSet, out, at);
  }
  if (m.clusterMemberAttrSet !== undefined) {
    out[at++] = 170;
    out[at++] = 81;
    at = writeUint(membershippb.sizeClusterMemberAttrSetRequest(m.clusterMemberAttrSet), out, at);
    at = membershippb.writeClusterMemberAttrSetRequest(m.clusterMemberAttrSet, out, at);
  }
  if (m.downgradeInfoSet !== undefined) {
    out[at++] = 178;
    out[at++] = 81;
    at = writeUint(membershippb.sizeDowngradeInfoSetRequest(m.downgradeInfoSet), out, at);
    at = membershippb.writeDowngradeInfoSetRequest(m.downgradeInfoSet, out, at);
  }
  if (m.downgradeVersionTest !== undefined) {
    out[at++] = 226;
    out[at++] = 234;
    out[at++] = 4;
    at = writeUint(sizeDowngradeVersionTestRequest(m.downgradeVersionTest), out, at);
    at = writeDowngradeVersionTestRequest(m.downgradeVersionTest, out, at);
  }
  return at;
}
export function readInternalRaftRequest(reader: Reader, end: number): InternalRaftRequest {
  const m: { -readonly [K in keyof InternalRaftRequest]: InternalRaftRequest[K] } = {};
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        m.ID = reader.uint64Bits();
        break;
      case 2:
        reader.expect(tag, 2);
        m.v2 = reader.message(readRequest);
        break;
      case 3:
        reader.expect(tag, 2);
        m.range = reader.message(readRangeRequest);
        break;
      case 4:
        reader.expect(tag, 2);
        m.put = reader.message(readPutRequest);
        break;
      case 5:
        reader.expect(tag, 2);
        m.deleteRange = reader.message(readDeleteRangeRequest);
        break;
      case 6:
        reader.expect(tag, 2);
        m.txn = reader.message(readTxnRequest);
        break;
      case 7:
        reader.expect(tag, 2);
        m.compaction = reader.message(readCompactionRequest);
        break;
      case 8:
        reader.expect(tag, 2);
        m.leaseGrant = reader.message(readLeaseGrantRequest);
        break;
      case 9:
        reader.expect(tag, 2);
        m.leaseRevoke = reader.message(readLeaseRevokeRequest);
        break;
      case 10:
        reader.expect(tag, 2);
        m.alarm = reader.message(readAlarmRequest);
        break;
      case 11:
        reader.expect(tag, 2);
        m.leaseCheckpoint = reader.message(readLeaseCheckpointRequest);
        break;
      case 100:
        reader.expect(tag, 2);
        m.header = reader.message(readRequestHeader);
        break;
      case 1000:
        reader.expect(tag, 2);
        m.authEnable = reader.message(readAuthEnableRequest);
        break;
      case 1011:
        reader.expect(tag, 2);
        m.authDisable = reader.message(readAuthDisableRequest);
        break;
      case 1012:
        reader.expect(tag, 2);
        m.authenticate = reader.message(readInternalAuthenticateRequest);
        break;
      case 1013:
        reader.expect(tag, 2);
        m.authStatus = reader.message(readAuthStatusRequest);
        break;
      case 1100:
        reader.expect(tag, 2);
        m.authUserAdd = reader.message(readAuthUserAddRequest);
        break;
      case 1101:
        reader.expect(tag, 2);
        m.authUserDelete = reader.message(readAuthUserDeleteRequest);
        break;
      case 1102:
        reader.expect(tag, 2);
        m.authUserGet = reader.message(readAuthUserGetRequest);
        break;
      case 1103:
        reader.expect(tag, 2);
        m.authUserChangePassword = reader.message(readAuthUserChangePasswordRequest);
        break;
      case 1104:
        reader.expect(tag, 2);
        m.authUserGrantRole = reader.message(readAuthUserGrantRoleRequest);
        break;
      case 1105:
        reader.expect(tag, 2);
        m.authUserRevokeRole = reader.message(readAuthUserRevokeRoleRequest);
        break;
      case 1106:
        reader.expect(tag, 2);
        m.authUserList = reader.message(readAuthUserListRequest);
        break;
      case 1107:
        reader.expect(tag, 2);
        m.authRoleList = reader.message(readAuthRoleListRequest);
        break;
      case 1200:
        reader.expect(tag, 2);
        m.authRoleAdd = reader.message(readAuthRoleAddRequest);
        break;
      case 1201:
        reader.expect(tag, 2);
        m.authRoleDelete = reader.message(readAuthRoleDeleteRequest);
        break;
      case 1202:
        reader.expect(tag, 2);
        m.authRoleGet = reader.message(readAuthRoleGetRequest);
        break;
      case 1203:
        reader.expect(tag, 2);
        m.authRoleGrantPermission = reader.message(readAuthRoleGrantPermissionRequest);
        break;
      case 1204:
        reader.expect(tag, 2);
        m.authRoleRevokePermission = reader.message(readAuthRoleRevokePermissionRequest);
        break;
      case 1300:
        reader.expect(tag, 2);
        m.clusterVersionSet = reader.message(membershippb.readClusterVersionSetRequest);
        break;
      case 1301:
        reader.expect(tag, 2);
        m.clusterMemberAttrSet = reader.message(membershippb.readClusterMemberAttrSetRequest);
        break;
      case 1302:
        reader.expect(tag, 2);
        m.downgradeInfoSet = reader.message(membershippb.readDowngradeInfoSetRequest);
        break;
      case 9900:
        reader.expect(tag, 2);
        m.downgradeVersionTest = reader.message(readDowngradeVersionTestRequest);
        break;
      default:
        reader.skip(tag);
    }
  }
  return m;
}
export const InternalRaftRequest: Codec<InternalRaftRequest> = {
  create: (init = {}) => ({ ...init }),
  size: sizeInternalRaftRequest,
  write: writeInternalRaftRequest,
  read: readInternalRaftRequest,
};

export interface EmptyResponse {}
export function sizeEmptyResponse(_m: EmptyResponse): number {
  return 0;
}
export function writeEmptyResponse(_m: EmptyResponse, _out: Buffer, at: number): number {
  return at;
}
export function readEmptyResponse(reader: Reader, end: number): EmptyResponse {
  while (reader.position < end) {
    const tag = reader.tag(end);
    reader.skip(tag);
  }
  return {};
}
export const EmptyResponse: Codec<EmptyResponse> = {
  create: (init = {}) => ({ ...init }),
  size: sizeEmptyResponse,
  write: writeEmptyResponse,
  read: readEmptyResponse,
};

export interface InternalAuthenticateRequest {
  readonly name: string;
  readonly password: string;
  readonly simpleToken: string;
}
export function sizeInternalAuthenticateRequest(m: InternalAuthenticateRequest): number {
  let size = 0;
  if (m.name !== "") size += 1 + sizeString(m.name);
  if (m.password !== "") size += 1 + sizeString(m.password);
  if (m.simpleToken !== "") size += 1 + sizeString(m.simpleToken);
  return size;
}
export function writeInternalAuthenticateRequest(m: InternalAuthenticateRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.name !== "") {
    out[at++] = 10;
    at = writeString(m.name, out, at);
  }
  if (m.password !== "") {
    out[at++] = 18;
    at = writeString(m.password, out, at);
  }
  if (m.simpleToken !== "") {
    out[at++] = 26;
    at = writeString(m.simpleToken, out, at);
  }
  return at;
}
export function readInternalAuthenticateRequest(reader: Reader, end: number): InternalAuthenticateRequest {
  let name: string = "";
  let password: string = "";
  let simpleToken: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.string();
        break;
      case 2:
        reader.expect(tag, 2);
        password = reader.string();
        break;
      case 3:
        reader.expect(tag, 2);
        simpleToken = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name, password, simpleToken };
}
export const InternalAuthenticateRequest: Codec<InternalAuthenticateRequest> = {
  create: (init = {}) => ({ name: "", password: "", simpleToken: "", ...init }),
  size: sizeInternalAuthenticateRequest,
  write: writeInternalAuthenticateRequest,
  read: readInternalAuthenticateRequest,
};

export interface Request {
  readonly ID: bigint;
  readonly method: string;
  readonly path: string;
  readonly val: string;
  readonly dir: boolean;
  readonly prevValue: string;
  readonly prevIndex: number;
  readonly prevExist: boolean;
  readonly expiration: number;
  readonly wait: boolean;
  readonly since: number;
  readonly recursive: boolean;
  readonly sorted: boolean;
  readonly quorum: boolean;
  readonly time: number;
  readonly stream: boolean;
  readonly refresh: boolean;
}
export function sizeRequest(m: Request): number {
  let size = 0;
  size += 1 + sizeBits(m.ID);
  size += 1 + sizeString(m.method);
  size += 1 + sizeString(m.path);
  size += 1 + sizeString(m.val);
  size += 1 + 1;
  size += 1 + sizeString(m.prevValue);
  size += 1 + sizeUint(m.prevIndex);
  if (m.prevExist) size += 1 + 1;
  size += 1 + sizeInt(m.expiration);
  size += 1 + 1;
  size += 1 + sizeUint(m.since);
  size += 1 + 1;
  size += 1 + 1;
  size += 1 + 1;
  size += 1 + sizeInt(m.time);
  size += 2 + 1;
  if (m.refresh) size += 2 + 1;
  return size;
}
export function writeRequest(m: Request, out: Buffer, start: number): number {
  let at = start;
  out[at++] = 8;
  at = writeBits(m.ID, out, at);
  out[at++] = 18;
  at = writeString(m.method, out, at);
  out[at++] = 26;
  at = writeString(m.path, out, at);
  out[at++] = 34;
  at = writeString(m.val, out, at);
  out[at++] = 40;
  out[at++] = m.dir ? 1 : 0;
  out[at++] = 50;
  at = writeString(m.prevValue, out, at);
  out[at++] = 56;
  at = writeUint(m.prevIndex, out, at);
  if (m.prevExist) {
    out[at++] = 64;
    out[at++] = m.prevExist ? 1 : 0;
  }
  out[at++] = 72;
  at = writeInt(m.expiration, out, at);
  out[at++] = 80;
  out[at++] = m.wait ? 1 : 0;
  out[at++] = 88;
  at = writeUint(m.since, out, at);
  out[at++] = 96;
  out[at++] = m.recursive ? 1 : 0;
  out[at++] = 104;
  out[at++] = m.sorted ? 1 : 0;
  out[at++] = 112;
  out[at++] = m.quorum ? 1 : 0;
  out[at++] = 120;
  at = writeInt(m.time, out, at);
  out[at++] = 128;
  out[at++] = 1;
  out[at++] = m.stream ? 1 : 0;
  if (m.refresh) {
    out[at++] = 136;
    out[at++] = 1;
    out[at++] = m.refresh ? 1 : 0;
  }
  return at;
}
export function readRequest(reader: Reader, end: number): Request {
  let ID: bigint = 0n;
  let method: string = "";
  let path: string = "";
  let val: string = "";
  let dir: boolean = false;
  let prevValue: string = "";
  let prevIndex: number = 0;
  let prevExist: boolean = false;
  let expiration: number = 0;
  let wait: boolean = false;
  let since: number = 0;
  let recursive: boolean = false;
  let sorted: boolean = false;
  let quorum: boolean = false;
  let time: number = 0;
  let stream: boolean = false;
  let refresh: boolean = false;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        ID = reader.uint64Bits();
        break;
      case 2:
        reader.expect(tag, 2);
        method = reader.string();
        break;
      case 3:
        reader.expect(tag, 2);
        path = reader.string();
        break;
      case 4:
        reader.expect(tag, 2);
        val = reader.string();
        break;
      case 5:
        reader.expect(tag, 0);
        dir = reader.bool();
        break;
      case 6:
        reader.expect(tag, 2);
        prevValue = reader.string();
        break;
      case 7:
        reader.expect(tag, 0);
        prevIndex = reader.uint64();
        break;
      case 8:
        reader.expect(tag, 0);
        prevExist = reader.bool();
        break;
      case 9:
        reader.expect(tag, 0);
        expiration = reader.int64();
        break;
      case 10:
        reader.expect(tag, 0);
        wait = reader.bool();
        break;
      case 11:
        reader.expect(tag, 0);
        since = reader.uint64();
        break;
      case 12:
        reader.expect(tag, 0);
        recursive = reader.bool();
        break;
      case 13:
        reader.expect(tag, 0);
        sorted = reader.bool();
        break;
      case 14:
        reader.expect(tag, 0);
        quorum = reader.bool();
        break;
      case 15:
        reader.expect(tag, 0);
        time = reader.int64();
        break;
      case 16:
        reader.expect(tag, 0);
        stream = reader.bool();
        break;
      case 17:
        reader.expect(tag, 0);
        refresh = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return {
    ID,
    method,
    path,
    val,
    dir,
    prevValue,
    prevIndex,
    prevExist,
    expiration,
    wait,
    since,
    recursive,
    sorted,
    quorum,
    time,
    stream,
    refresh,
  };
}
export const Request: Codec<Request> = {
  create: (init = {}) => ({
    ID: 0n,
    method: "",
    path: "",
    val: "",
    dir: false,
    prevValue: "",
    prevIndex: 0,
    prevExist: false,
    expiration: 0,
    wait: false,
    since: 0,
    recursive: false,
    sorted: false,
    quorum: false,
    time: 0,
    stream: false,
    refresh: false,
    ...init,
  }),
  size: sizeRequest,
  write: writeRequest,
  read: readRequest,
};

export interface Metadata {
  readonly nodeID: bigint;
  readonly clusterID: bigint;
}
export function sizeMetadata(m: Metadata): number {
  let size = 0;
  size += 1 + sizeBits(m.nodeID);
  size += 1 + sizeBits(m.clusterID);
  return size;
}
export function writeMetadata(m: Metadata, out: Buffer, start: number): number {
  let at = start;
  out[at++] = 8;
  at = writeBits(m.nodeID, out, at);
  out[at++] = 16;
  at = writeBits(m.clusterID, out, at);
  return at;
}
export function readMetadata(reader: Reader, end: number): Metadata {
  let nodeID: bigint = 0n;
  let clusterID: bigint = 0n;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        nodeID = reader.uint64Bits();
        break;
      case 2:
        reader.expect(tag, 0);
        clusterID = reader.uint64Bits();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { nodeID, clusterID };
}
export const Metadata: Codec<Metadata> = {
  create: (init = {}) => ({ nodeID: 0n, clusterID: 0n, ...init }),
  size: sizeMetadata,
  write: writeMetadata,
  read: readMetadata,
};

export interface RangeStreamResponse {
  readonly rangeResponse: RangeResponse | undefined;
}
export function sizeRangeStreamResponse(m: RangeStreamResponse): number {
  let size = 0;
  if (m.rangeResponse !== undefined) size += 1 + sizeDelimited(sizeRangeResponse(m.rangeResponse));
  return size;
}
export function writeRangeStreamResponse(m: RangeStreamResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.rangeResponse !== undefined) {
    out[at++] = 10;
    at = writeUint(sizeRangeResponse(m.rangeResponse), out, at);
    at = writeRangeResponse(m.rangeResponse, out, at);
  }
  return at;
}
export function readRangeStreamResponse(reader: Reader, end: number): RangeStreamResponse {
  let rangeResponse: RangeResponse | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        rangeResponse = reader.message(readRangeResponse);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { rangeResponse };
}
export const RangeStreamResponse: Codec<RangeStreamResponse> = {
  create: (init = {}) => ({ rangeResponse: undefined, ...init }),
  size: sizeRangeStreamResponse,
  write: writeRangeStreamResponse,
  read: readRangeStreamResponse,
};
