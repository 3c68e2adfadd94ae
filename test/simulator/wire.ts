/** From messages of the API and the log to the forms of the history. The only file of the history that knows the product. */
import { decode } from "../../proto/codec.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import { InternalRaftRequest } from "../../proto/generated/etcdserverpb.ts";
import { Event, EventEventType, KeyValue as StoredKeyValue } from "../../proto/generated/mvccpb.ts";
import { ENTRY_NORMAL, type Entry } from "../../raft/types.ts";
import type {
  Command,
  Compare,
  DeleteRangeRequest,
  DeleteRangeResponse,
  Header,
  KeyValue,
  LogEntry,
  Outcome,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  Response,
  TxnOp,
  TxnOpResponse,
  TxnRequest,
  TxnResponse,
  WatchEvent,
  WatchRequest,
  WatchResponse,
} from "./history.ts";
import { entryHash } from "./history.ts";

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");

export function logEntryOf(entry: Entry): LogEntry {
  const mark = { index: entry.index, term: entry.term, hash: entryHash(entry.type, entry.data) };
  return entry.type === ENTRY_NORMAL ? mark : { ...mark, isChange: true };
}

/** The command of an entry, if it is one that changes keys, leases or the compact revision. */
export function commandOf(entry: Entry): Command | undefined {
  if (entry.type !== 0 || entry.data.length === 0) return undefined;
  const request = decode(InternalRaftRequest, entry.data);
  if (request.put !== undefined) return putRequestOf(request.put);
  if (request.deleteRange !== undefined) return deleteRangeRequestOf(request.deleteRange);
  if (request.txn !== undefined) return txnRequestOf(request.txn);
  if (request.compaction !== undefined) return compactRequestOf(request.compaction);
  if (request.leaseGrant !== undefined) return leaseGrantRequestOf(request.leaseGrant);
  if (request.leaseRevoke !== undefined) return { kind: "leaseRevoke", id: request.leaseRevoke.ID };
  return undefined;
}

export function compactRequestOf(request: pb.CompactionRequest): Command {
  return { kind: "compact", revision: request.revision, physical: request.physical };
}

export function leaseGrantRequestOf(request: pb.LeaseGrantRequest): Command {
  return { kind: "leaseGrant", id: request.ID, ttlSeconds: request.TTL };
}

export function rangeRequestOf(request: pb.RangeRequest): RangeRequest {
  return { kind: "range", ...request };
}

export function putRequestOf(request: pb.PutRequest): PutRequest {
  return { kind: "put", ...request, value: latin1(request.value) };
}

export function deleteRangeRequestOf(request: pb.DeleteRangeRequest): DeleteRangeRequest {
  return { kind: "deleteRange", ...request };
}

export function txnRequestOf(request: pb.TxnRequest): TxnRequest {
  return {
    kind: "txn",
    compare: request.compare.map(compareOf),
    success: request.success.map(txnOpOf),
    failure: request.failure.map(txnOpOf),
  };
}

function txnOpOf({ request }: pb.RequestOp): TxnOp {
  switch (request?.kind) {
    case "requestRange":
      return rangeRequestOf(request.value);
    case "requestPut":
      return putRequestOf(request.value);
    case "requestDeleteRange":
      return deleteRangeRequestOf(request.value);
    case "requestTxn":
      return txnRequestOf(request.value);
    case undefined:
      throw new Error("a transaction's operation is empty");
  }
}

const RESULTS: readonly Compare["result"][] = ["equal", "greater", "less", "notEqual"];

function compareOf(compare: pb.Compare): Compare {
  const { key, rangeEnd, targetUnion } = compare;
  const result = RESULTS[compare.result];
  if (result === undefined) throw new Error(`compare result ${compare.result}`);
  if (targetUnion === undefined) throw new Error("a compare without a value");
  if (targetUnion.kind === "value") {
    return { key, rangeEnd, result, target: { kind: "value", value: latin1(targetUnion.value) } };
  }
  return { key, rangeEnd, result, target: targetUnion };
}

export function keyValueOf(bytes: Uint8Array): KeyValue {
  const kv = decode(StoredKeyValue, bytes);
  return { ...kv, value: latin1(kv.value) };
}

export function rangeResponseOf(response: pb.RangeResponse): RangeResponse {
  return {
    kind: "range",
    revision: response.header?.revision ?? 0,
    kvs: response.kvs.map(keyValueOf),
    more: response.more,
    count: response.count,
  };
}

/** Undefined where a message has none (H-4). */
export function headerOf(response: unknown): Header | undefined {
  const { header } = response as { readonly header?: pb.ResponseHeader };
  if (header === undefined) return undefined;
  const { clusterId, memberId, raftTerm } = header;
  return { cluster: clusterId, member: BigInt.asUintN(64, memberId), term: raftTerm };
}

export function membersResponseOf(members: readonly pb.Member[], added?: pb.Member): Response {
  const list = members.map(({ ID, ...member }) => ({ id: BigInt.asUintN(64, ID), ...member }));
  return { kind: "members", revision: 0, list, added: added && BigInt.asUintN(64, added.ID) };
}

export function keepAliveOutcomeOf(response: pb.LeaseKeepAliveResponse): Outcome {
  const { header, ID, TTL } = response;
  const renewed = { kind: "leaseKeepAlive", revision: header?.revision ?? 0, id: ID, ttlSeconds: TTL } as const;
  return { kind: "ok", response: renewed, header: headerOf(response) };
}

/** `prevKv` is empty bytes where the message has none. */
export function putResponseOf(response: pb.PutResponse): PutResponse {
  return {
    kind: "put",
    revision: response.header?.revision ?? 0,
    prevKv: response.prevKv.length === 0 ? undefined : keyValueOf(response.prevKv),
  };
}

export function deleteRangeResponseOf(response: pb.DeleteRangeResponse): DeleteRangeResponse {
  return {
    kind: "deleteRange",
    revision: response.header?.revision ?? 0,
    deleted: response.deleted,
    prevKvs: response.prevKvs.map(keyValueOf),
  };
}

export function txnResponseOf(response: pb.TxnResponse): TxnResponse {
  return {
    kind: "txn",
    revision: response.header?.revision ?? 0,
    succeeded: response.succeeded,
    responses: response.responses.map(txnOpResponseOf),
  };
}

function txnOpResponseOf({ response }: pb.ResponseOp): TxnOpResponse {
  switch (response?.kind) {
    case "responseRange":
      return rangeResponseOf(response.value);
    case "responsePut":
      return putResponseOf(response.value);
    case "responseDeleteRange":
      return deleteRangeResponseOf(response.value);
    case "responseTxn":
      return txnResponseOf(response.value);
    case undefined:
      throw new Error("a transaction's answer is empty");
  }
}

export function watchRequestOf(request: pb.WatchCreateRequest): WatchRequest {
  const { watchId, key, rangeEnd, startRevision, filters, prevKv, fragment, progressNotify } = request;
  const noPut = filters.includes(0);
  const noDelete = filters.includes(1);
  return { watchId, key, rangeEnd, startRevision, noPut, noDelete, prevKv, fragment, progressNotify };
}

export function watchResponseOf(response: pb.WatchResponse): WatchResponse {
  const { watchId, created, canceled, compactRevision, cancelReason, fragment } = response;
  const events = response.events.map(watchEventOf);
  const revision = response.header?.revision ?? 0;
  const header = headerOf(response);
  return { header, revision, watchId, created, canceled, compactRevision, cancelReason, fragment, events };
}

function watchEventOf(bytes: Uint8Array): WatchEvent {
  const { type, kv, prevKv } = decode(Event, bytes);
  return {
    kind: type === EventEventType.DELETE ? "delete" : "put",
    kv: keyValueOf(kv),
    prevKv: prevKv.length === 0 ? undefined : keyValueOf(prevKv),
  };
}

/**
 * What an error tells about the effect of the request. Errors of validation and of apply are decided before the first
 * change, and a member that is too busy or knows no leader says so before it proposes; anything else leaves it open (G-7).
 */
export function outcomeOfError(code: number, message: string): Outcome {
  const reason = `${code} ${message}`;
  return REFUSALS.has(message) ? { kind: "refused", reason } : { kind: "unknown", reason };
}

const REFUSALS: ReadonlySet<string> = new Set([
  "etcdserver: key is not provided",
  "etcdserver: key not found",
  "etcdserver: value is provided",
  "etcdserver: lease is provided",
  "etcdserver: too many operations in txn request",
  "etcdserver: duplicate key given in txn request",
  "etcdserver: invalid sort option",
  "etcdserver: request is too large",
  "etcdserver: mvcc: required revision has been compacted",
  "etcdserver: mvcc: required revision is a future revision",
  "etcdserver: too large lease TTL",
  "etcdserver: requested lease not found",
  "etcdserver: lease already exists",
  "etcdserver: too many requests",
  "etcdserver: no leader",
  "etcdserver: not leader",
  "etcdserver: member not found",
  "etcdserver: member ID already exist",
  "etcdserver: Peer URLs already exists",
  "etcdserver: can only promote a learner member",
  "etcdserver: too many learner members in cluster",
  "etcdserver: re-configuration failed due to not enough started members",
  "etcdserver: unhealthy cluster",
  "etcdserver: rpc not supported for learner",
  // The client's own words: the request never left it.
  "connection refused",
]);
