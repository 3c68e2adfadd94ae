import { decode, EMPTY } from "../../proto/codec.ts";
import {
  type Compare,
  CompareCompareResult,
  CompareCompareTarget,
  type DeleteRangeRequest,
  type RangeRequest,
  type RequestOp,
  ResponseHeader,
  ResponseOp,
  type TxnRequest,
  TxnResponse,
} from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { AssertionError, must, unreachable } from "../../raft/assert.ts";
import type { KeyVersion, Mvcc } from "../../storage/mvcc/mvcc.ts";
import { type ApiError, errors } from "../api/errors.ts";
import { KeyIntervals } from "../api/key-intervals.ts";
import type { AnswerBytes } from "./answer.ts";
import { deleteRangeInChange, isWanted, type Keyspace, needsPrevious, type Outcome, putInChange } from "./kv.ts";
import { type RangeResult, rangeResponse, rangeVersions } from "./range.ts";

/**
 * A transaction in three steps: choose the branches (on the state before, TX-2), check all that could fail along them
 * (TX-7), carry them out. The third cannot fail, so a refused transaction has changed nothing.
 *
 * A transaction whose chosen branches write nothing opens no change: read-only ones may be served from here as well.
 */
export function applyTxn(
  keyspace: Keyspace,
  request: TxnRequest,
  answer: AnswerBytes | undefined,
): Outcome<TxnResponse> {
  const { mvcc } = keyspace;
  const chosen = choose(mvcc, request);
  const checks = new Checks(keyspace);
  const error = checks.puts(chosen) ?? checkRanges(mvcc, chosen);
  if (error !== undefined) return { kind: "error", error };

  if (!checks.writes) {
    const response = answer && carryOut(keyspace, chosen, answer, { changed: false });
    return { kind: "done", response: withRevision(response, mvcc.currentRevision), events: [] };
  }
  mvcc.beginChange();
  const response = carryOut(keyspace, chosen, answer, { changed: false });
  const { revision, events } = mvcc.endChange();
  return { kind: "done", response: withRevision(response, revision), events };
}

/** What a transaction of ranges alone (TX-11) comes to before any value is touched. */
export interface ReadTxn {
  readonly kind: "reads";
  readonly succeeded: boolean;
  readonly ranges: readonly { readonly request: RangeRequest; readonly result: RangeResult }[];
  readonly revision: number;
}

export function isReadTxn({ success, failure }: TxnRequest): boolean {
  const isRange = ({ request }: RequestOp): boolean => request?.kind === "requestRange";
  return success.every(isRange) && failure.every(isRange);
}

/** For a transaction of which isReadTxn holds: it is served where it is asked, not through the log. */
export function planReadTxn(
  mvcc: Mvcc,
  request: TxnRequest,
): ReadTxn | { readonly kind: "error"; readonly error: ApiError } {
  const chosen = choose(mvcc, request);
  const error = checkRanges(mvcc, chosen);
  if (error !== undefined) return { kind: "error", error };
  const ranges: { request: RangeRequest; result: RangeResult }[] = [];
  for (const { request: op } of chosen.ops) {
    if (op?.kind !== "requestRange") throw new AssertionError("a transaction that writes is planned as one that reads");
    const outcome = rangeVersions(mvcc, op.value);
    if (outcome.kind === "error") throw new AssertionError(`a checked range failed: ${outcome.error.message}`);
    ranges.push({ request: op.value, result: outcome });
  }
  return { kind: "reads", succeeded: chosen.succeeded, ranges, revision: mvcc.currentRevision };
}

/** G-5: the outermost header alone has a revision; a nested one is there and empty. */
function withRevision(response: TxnResponse | undefined, revision: number): TxnResponse | undefined {
  return response && { ...response, header: ResponseHeader.create({ revision }) };
}

/** A transaction with its branch chosen, and those of the transactions inside that branch. */
interface Chosen {
  readonly succeeded: boolean;
  readonly ops: readonly RequestOp[];
  /** Of the requestTxn ops, in order. */
  readonly inner: readonly Chosen[];
}

function choose(mvcc: Mvcc, request: TxnRequest): Chosen {
  const succeeded = request.compare.every((compare) => holds(mvcc, compare));
  const ops = succeeded ? request.success : request.failure;
  const inner: Chosen[] = [];
  for (const { request: op } of ops) {
    if (op?.kind === "requestTxn") inner.push(choose(mvcc, op.value));
  }
  return { succeeded, ops, inner };
}

/** TX-4: true of every key in the range; an empty range is as one key whose every number is zero. */
function holds(mvcc: Mvcc, compare: Compare): boolean {
  let found = false;
  let all = true;
  mvcc.visit(compare.key, compare.rangeEnd, mvcc.currentRevision, (version) => {
    found = true;
    all = holdsFor(mvcc, compare, version);
    return all;
  });
  if (found) return all;
  // TX-3: a value that is not there compares to nothing, not even as unequal.
  return compare.target !== CompareCompareTarget.VALUE && resultIs(compare, missingOrder(compare));
}

function holdsFor(mvcc: Mvcc, compare: Compare, version: KeyVersion): boolean {
  const { target, targetUnion: union } = compare;
  switch (target) {
    case CompareCompareTarget.VERSION:
      return resultIs(compare, version.version - (union?.kind === "version" ? union.value : 0));
    case CompareCompareTarget.CREATE:
      return resultIs(compare, version.createRevision - (union?.kind === "createRevision" ? union.value : 0));
    case CompareCompareTarget.MOD:
      return resultIs(compare, version.mod.main - (union?.kind === "modRevision" ? union.value : 0));
    case CompareCompareTarget.VALUE: {
      const { value } = decode(KeyValue, mvcc.value(version));
      return resultIs(compare, Buffer.compare(value, union?.kind === "value" ? union.value : EMPTY));
    }
    case CompareCompareTarget.LEASE: {
      const { lease } = decode(KeyValue, mvcc.value(version));
      return resultIs(compare, order(lease, union?.kind === "lease" ? union.value : 0n));
    }
    default:
      return resultIs(compare, 0);
  }
}

/** How zero compares to what is asked for. */
function missingOrder({ target, targetUnion: union }: Compare): number {
  switch (target) {
    case CompareCompareTarget.VERSION:
      return union?.kind === "version" ? -union.value : 0;
    case CompareCompareTarget.CREATE:
      return union?.kind === "createRevision" ? -union.value : 0;
    case CompareCompareTarget.MOD:
      return union?.kind === "modRevision" ? -union.value : 0;
    case CompareCompareTarget.LEASE:
      return union?.kind === "lease" ? order(0n, union.value) : 0;
    default:
      return 0;
  }
}

function order(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** TX-5: a result that nobody defined is always met. */
function resultIs({ result }: Compare, compared: number): boolean {
  switch (result) {
    case CompareCompareResult.EQUAL:
      return compared === 0;
    case CompareCompareResult.NOT_EQUAL:
      return compared !== 0;
    case CompareCompareResult.GREATER:
      return compared > 0;
    case CompareCompareResult.LESS:
      return compared < 0;
    default:
      return true;
  }
}

/**
 * TX-7, in etcd's order: first the puts along the chosen branches, then the ranges.
 *
 * A put that takes its value or lease from before must find the key in the state before the transaction, and still find
 * it when its turn comes. etcd checks only the first half, and a `del --from-key` that took the key away by then crashes
 * every member. A request from a client can take a key away like that, or by a delete in one inner transaction before a
 * put in a later one; one from the log could hold puts of the key in between, so those are looked at too.
 */
class Checks {
  readonly #keyspace: Keyspace;
  readonly #deleted = new KeyIntervals();
  readonly #deletes: DeleteRangeRequest[] = [];
  /** How many deletes came before the last put of a key. */
  readonly #deletesBefore = new Map<string, number>();
  writes = false;

  constructor(keyspace: Keyspace) {
    this.#keyspace = keyspace;
  }

  puts({ ops, inner }: Chosen): ApiError | undefined {
    const { mvcc, lessor } = this.#keyspace;
    let nested = 0;
    for (const { request } of ops) {
      switch (request?.kind) {
        case "requestTxn": {
          const error = this.puts(must(inner[nested++], "an inner transaction has no chosen branch"));
          if (error !== undefined) return error;
          break;
        }
        case "requestDeleteRange": {
          this.writes = true;
          this.#deleted.add(request.value.key, request.value.rangeEnd);
          this.#deletes.push(request.value);
          break;
        }
        case "requestPut": {
          this.writes = true;
          const { key, lease } = request.value;
          if (needsPrevious(request.value)) {
            if (mvcc.get(key, mvcc.currentRevision) === undefined) return errors.keyNotFound;
            if (this.#isGone(key)) return errors.keyNotFound;
          }
          if (lease !== 0n && lessor.get(lease) === undefined) return errors.leaseNotFound;
          this.#deletesBefore.set(key, this.#deletes.length);
          break;
        }
        case "requestRange":
        case undefined:
          break;
        default:
          unreachable(request);
      }
    }
    return undefined;
  }

  #isGone(key: string): boolean {
    if (!this.#deleted.has(key)) return false;
    const before = this.#deletesBefore.get(key);
    return before === undefined || this.#deletes.slice(before).some((request) => covers(request, key));
  }
}

/** TX-6: against the revisions before the transaction; only 0 means the latest. */
function checkRanges(mvcc: Mvcc, { ops, inner }: Chosen): ApiError | undefined {
  let nested = 0;
  for (const { request } of ops) {
    if (request?.kind === "requestTxn") {
      const error = checkRanges(mvcc, must(inner[nested++], "an inner transaction has no chosen branch"));
      if (error !== undefined) return error;
    } else if (request?.kind === "requestRange" && request.value.revision !== 0) {
      if (request.value.revision > mvcc.currentRevision) return errors.futureRevision;
      if (request.value.revision < mvcc.compactRevision) return errors.compacted;
    }
  }
  return undefined;
}

function covers({ key: from, rangeEnd }: DeleteRangeRequest, key: string): boolean {
  if (rangeEnd === "") return key === from;
  return from <= key && (rangeEnd === "\0" || key < rangeEnd);
}

interface Progress {
  /** The change has written something; kept up only while answers are wanted, whose headers show it. */
  changed: boolean;
}

function carryOut(
  keyspace: Keyspace,
  chosen: Chosen,
  answer: AnswerBytes | undefined,
  progress: Progress,
): TxnResponse | undefined {
  const responses: ResponseOp[] = [];
  let nested = 0;
  for (const op of chosen.ops) {
    const inner = op.request?.kind === "requestTxn" ? chosen.inner[nested++] : undefined;
    const response = carryOutOp(keyspace, op, inner, answer, progress);
    if (isWanted(answer)) responses.push(ResponseOp.create({ response }));
  }
  if (!isWanted(answer)) return undefined;
  return TxnResponse.create({ header: ResponseHeader.create(), succeeded: chosen.succeeded, responses });
}

function carryOutOp(
  keyspace: Keyspace,
  { request }: RequestOp,
  inner: Chosen | undefined,
  answer: AnswerBytes | undefined,
  progress: Progress,
): ResponseOp["response"] {
  const { mvcc } = keyspace;
  switch (request?.kind) {
    case "requestRange": {
      if (!isWanted(answer)) return undefined;
      const outcome = rangeResponse(mvcc, request.value, mvcc.currentRevision + (progress.changed ? 1 : 0), answer);
      if (outcome.kind === "error") throw new AssertionError(`a checked range failed: ${outcome.error.message}`);
      return outcome.response && { kind: "responseRange", value: outcome.response };
    }
    case "requestPut": {
      const value = putInChange(keyspace, request.value, answer);
      progress.changed = true;
      return value && { kind: "responsePut", value };
    }
    case "requestDeleteRange": {
      const value = deleteRangeInChange(keyspace, request.value, answer, progress.changed);
      if (value !== undefined && value.deleted > 0) progress.changed = true;
      return value && { kind: "responseDeleteRange", value };
    }
    case "requestTxn": {
      const value = carryOut(keyspace, must(inner, "an inner transaction has no chosen branch"), answer, progress);
      return value && { kind: "responseTxn", value };
    }
    case undefined:
      return undefined;
    default:
      return unreachable(request);
  }
}
