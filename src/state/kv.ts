import { decode } from "../../proto/codec.ts";
import {
  type DeleteRangeRequest,
  DeleteRangeResponse,
  type PutRequest,
  PutResponse,
  ResponseHeader,
} from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import type { KeyEvent, Mvcc } from "../../storage/mvcc/mvcc.ts";
import { type ApiError, errors } from "../api/errors.ts";
import type { AnswerBytes } from "./answer.ts";
import type { Lessor } from "./lessor.ts";

/** What the commands on keys work on: the store, and what hangs on its keys. */
export interface Keyspace {
  readonly mvcc: Mvcc;
  readonly lessor: Lessor;
}

/**
 * What became of one command: its answer and the events, or why it had no effect. No answer is made when none is asked
 * for (an `answer` of undefined), and none is left when it grew too large; the rest is the same either way.
 */
export type Outcome<Response> =
  | { readonly kind: "done"; readonly response: Response | undefined; readonly events: readonly KeyEvent[] }
  | { readonly kind: "error"; readonly error: ApiError };

export function applyPut(
  keyspace: Keyspace,
  request: PutRequest,
  answer: AnswerBytes | undefined,
): Outcome<PutResponse> {
  const { mvcc, lessor } = keyspace;
  if (request.lease !== 0n && lessor.get(request.lease) === undefined) {
    return { kind: "error", error: errors.leaseNotFound };
  }
  if (needsPrevious(request) && mvcc.get(request.key, mvcc.currentRevision) === undefined) {
    return { kind: "error", error: errors.keyNotFound };
  }
  mvcc.beginChange();
  const response = putInChange(keyspace, request, answer);
  const { events } = mvcc.endChange();
  return { kind: "done", response, events };
}

export function applyDeleteRange(
  keyspace: Keyspace,
  request: DeleteRangeRequest,
  answer: AnswerBytes | undefined,
): Outcome<DeleteRangeResponse> {
  const { mvcc } = keyspace;
  mvcc.beginChange();
  const response = deleteRangeInChange(keyspace, request, answer, false);
  const { events } = mvcc.endChange();
  return { kind: "done", response, events };
}

/** Somebody waits for the answer, and it has not become too large. */
export function isWanted(answer: AnswerBytes | undefined): answer is AnswerBytes {
  return answer !== undefined && !answer.isTooLarge;
}

/** P-2: such a put is an error when the key is not there. */
export function needsPrevious(request: PutRequest): boolean {
  return request.ignoreValue || request.ignoreLease;
}

/** The checks are done: the lease exists, and so does the key if the put needs it. */
export function putInChange(
  keyspace: Keyspace,
  request: PutRequest,
  answer: AnswerBytes | undefined,
): PutResponse | undefined {
  const { mvcc, lessor } = keyspace;
  const { key } = request;
  let { value, lease } = request;
  let prevKv: Uint8Array | undefined;
  if (needsPrevious(request) || (request.prevKv && isWanted(answer))) {
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
  if (!isWanted(answer)) return undefined;
  if (request.prevKv && prevKv !== undefined && !answer.addPair(prevKv)) return undefined;
  const header = ResponseHeader.create({ revision: mvcc.currentRevision + 1 });
  return PutResponse.create({ header, ...(request.prevKv && prevKv !== undefined ? { prevKv } : {}) });
}

/** `changed`: the open change has written something before (for the header, H-2). */
export function deleteRangeInChange(
  keyspace: Keyspace,
  request: DeleteRangeRequest,
  answer: AnswerBytes | undefined,
  changed: boolean,
): DeleteRangeResponse | undefined {
  const { mvcc, lessor } = keyspace;
  const { key, rangeEnd } = request;
  const prevKvs: Uint8Array[] = [];
  if (request.prevKv && isWanted(answer)) {
    mvcc.visit(key, rangeEnd, mvcc.currentRevision + 1, (version) => {
      const prevKv = mvcc.value(version);
      prevKvs.push(prevKv);
      return answer.addPair(prevKv);
    });
  }
  const keys = mvcc.deleteRange(key, rangeEnd);
  for (const deleted of keys) lessor.detach(deleted);
  if (!isWanted(answer)) return undefined;
  const revision = mvcc.currentRevision + (changed || keys.length > 0 ? 1 : 0);
  const header = ResponseHeader.create({ revision });
  return DeleteRangeResponse.create({ header, deleted: keys.length, prevKvs });
}
