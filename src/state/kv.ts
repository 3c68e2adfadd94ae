import { decode } from "../../proto/codec.ts";
import {
  type DeleteRangeRequest,
  DeleteRangeResponse,
  type PutRequest,
  PutResponse,
  ResponseHeader,
} from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import type { KeyEvent, KeyVersion, Mvcc } from "../../storage/mvcc/mvcc.ts";
import { type ApiError, errors } from "../api/errors.ts";
import type { Lessor } from "./lessor.ts";

/** What the commands on keys work on: the store, and what hangs on its keys. */
export interface Keyspace {
  readonly mvcc: Mvcc;
  readonly lessor: Lessor;
}

/** What became of one command: its answer (undefined when nobody wants it) and the events, or why it had no effect. */
export type Outcome<Response> =
  | { readonly kind: "done"; readonly response: Response | undefined; readonly events: readonly KeyEvent[] }
  | { readonly kind: "error"; readonly error: ApiError };

export function applyPut(keyspace: Keyspace, request: PutRequest, wanted: boolean): Outcome<PutResponse> {
  const { mvcc, lessor } = keyspace;
  if (request.lease !== 0n && lessor.get(request.lease) === undefined) {
    return { kind: "error", error: errors.leaseNotFound };
  }
  if (needsPrevious(request) && mvcc.get(request.key, mvcc.currentRevision) === undefined) {
    return { kind: "error", error: errors.keyNotFound };
  }
  mvcc.beginChange();
  const response = putInChange(keyspace, request, wanted);
  const { events } = mvcc.endChange();
  return { kind: "done", response, events };
}

export function applyDeleteRange(
  keyspace: Keyspace,
  request: DeleteRangeRequest,
  wanted: boolean,
): Outcome<DeleteRangeResponse> {
  const { mvcc } = keyspace;
  mvcc.beginChange();
  const response = deleteRangeInChange(keyspace, request, wanted, false);
  const { events } = mvcc.endChange();
  return { kind: "done", response, events };
}

/** P-2: such a put is an error when the key is not there. */
export function needsPrevious(request: PutRequest): boolean {
  return request.ignoreValue || request.ignoreLease;
}

/** The checks are done: the lease exists, and so does the key if the put needs it. */
export function putInChange(keyspace: Keyspace, request: PutRequest, wanted: boolean): PutResponse | undefined {
  const { mvcc, lessor } = keyspace;
  const { key } = request;
  let { value, lease } = request;
  let prevKv: Uint8Array | undefined;
  if (needsPrevious(request) || (wanted && request.prevKv)) {
    const before = mvcc.get(key, mvcc.currentRevision + 1);
    if (before !== undefined) {
      prevKv = mvcc.value(before);
      if (needsPrevious(request)) {
        const previous = decode(KeyValue, prevKv);
        if (request.ignoreValue) value = previous.value;
        if (request.ignoreLease) lease = previous.lease;
      }
    }
  }
  mvcc.put(key, value, lease);
  lessor.attach(key, lease);
  if (!wanted) return undefined;
  const header = ResponseHeader.create({ revision: mvcc.currentRevision + 1 });
  return PutResponse.create({ header, ...(request.prevKv && prevKv !== undefined ? { prevKv } : {}) });
}

/** `changed`: the open change has written something before (for the header, H-2). */
export function deleteRangeInChange(
  keyspace: Keyspace,
  request: DeleteRangeRequest,
  wanted: boolean,
  changed: boolean,
): DeleteRangeResponse | undefined {
  const { mvcc, lessor } = keyspace;
  const { key, rangeEnd } = request;
  const doomed: KeyVersion[] = [];
  if (wanted && request.prevKv) {
    mvcc.visit(key, rangeEnd, mvcc.currentRevision + 1, (version) => {
      doomed.push(version);
      return true;
    });
  }
  const prevKvs = doomed.map((version) => mvcc.value(version));
  const keys = mvcc.deleteRange(key, rangeEnd);
  for (const deleted of keys) lessor.detach(deleted);
  if (!wanted) return undefined;
  const revision = mvcc.currentRevision + (changed || keys.length > 0 ? 1 : 0);
  const header = ResponseHeader.create({ revision });
  return DeleteRangeResponse.create({ header, deleted: keys.length, prevKvs });
}
