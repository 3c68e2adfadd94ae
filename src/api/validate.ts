import {
  type AlarmRequest,
  AlarmRequestAlarmAction,
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  RangeRequestSortOrder,
  RangeRequestSortTarget,
  type RequestOp,
  type TxnRequest,
} from "../../proto/generated/etcdserverpb.ts";
import { errors } from "./errors.ts";
import { KeyIntervals } from "./key-intervals.ts";

/**
 * What a request must be like before anything is done with it: no state is looked at (errors.tsv, TX-8..TX-10, R-11).
 * Each function throws the ApiError of the first check that fails, in etcd's order. Compact, LeaseGrant and LeaseRevoke
 * have no such checks: theirs need the state.
 */

/**
 * Txns inside txns beyond this are too many operations, whatever --max-txn-ops says: a command of the log nests one
 * message deeper than the request it was made of, and must still be decodable.
 */
const MAX_TXN_LEVELS = 400;

export function validateRange(request: RangeRequest): void {
  if (request.key === "") throw errors.emptyKey;
  if (request.sortOrder < RangeRequestSortOrder.NONE || request.sortOrder > RangeRequestSortOrder.DESCEND) {
    throw errors.invalidSortOption;
  }
  if (request.sortTarget < RangeRequestSortTarget.KEY || request.sortTarget > RangeRequestSortTarget.VALUE) {
    throw errors.invalidSortOption;
  }
}

export function validatePut(request: PutRequest): void {
  if (request.key === "") throw errors.emptyKey;
  if (request.ignoreValue && request.value.length > 0) throw errors.valueProvided;
  if (request.ignoreLease && request.lease !== 0n) throw errors.leaseProvided;
}

export function validateDeleteRange(request: DeleteRangeRequest): void {
  if (request.key === "") throw errors.emptyKey;
}

export function validateTxn(request: TxnRequest, maxTxnOps: number): void {
  checkOps(request, maxTxnOps, 1);
  writesOf(request.success);
  writesOf(request.failure);
}

export function validateAlarm(request: AlarmRequest): void {
  if (request.action < AlarmRequestAlarmAction.GET || request.action > AlarmRequestAlarmAction.DEACTIVATE) {
    throw errors.unknownAlarmAction;
  }
}

/** TX-10: what a level does not use of its budget is left for the levels inside. */
function checkOps(request: TxnRequest, budget: number, level: number): void {
  const ops = Math.max(request.compare.length, request.success.length, request.failure.length);
  if (ops > budget || level > MAX_TXN_LEVELS) throw errors.tooManyOps;
  for (const compare of request.compare) {
    if (compare.key === "") throw errors.emptyKey;
  }
  for (const op of request.success) checkOp(op, budget - ops, level);
  for (const op of request.failure) checkOp(op, budget - ops, level);
}

function checkOp({ request }: RequestOp, budget: number, level: number): void {
  switch (request?.kind) {
    case "requestRange":
      validateRange(request.value);
      break;
    case "requestPut":
      validatePut(request.value);
      break;
    case "requestDeleteRange":
      validateDeleteRange(request.value);
      break;
    case "requestTxn":
      checkOps(request.value, budget, level + 1);
      break;
    case undefined:
      throw errors.keyNotFound;
  }
}

/** What a branch may write, on either side of the txns inside it. */
interface Writes {
  readonly puts: Set<string>;
  readonly deletes: KeyIntervals;
}

/**
 * TX-9: throws when a branch puts a key twice, or puts a key that it deletes.
 *
 * The order of the checks is etcd's and can be seen: this level's deletes first, then the txns inside one after the
 * other (each one's puts against the deletes known so far, then its deletes join them), this level's puts last. So a
 * put in one inner txn and a delete of it in a later one pass. An open-ended delete conflicts with nothing: etcd takes
 * its end "\0" literally here. Whether a put then finds what it needs is looked at in apply.
 */
function writesOf(ops: readonly RequestOp[]): Writes {
  const deletes = new KeyIntervals();
  for (const { request } of ops) {
    if (request?.kind === "requestDeleteRange" && request.value.rangeEnd !== "\0") {
      deletes.add(request.value.key, request.value.rangeEnd);
    }
  }
  let puts = new Set<string>();
  for (const { request } of ops) {
    if (request?.kind !== "requestTxn") continue;
    const success = writesOf(request.value.success);
    const failure = writesOf(request.value.failure);
    // Only one of the two runs, so they may share keys.
    const inner = union(success.puts, failure.puts, () => undefined);
    if (!deletes.isEmpty) {
      for (const key of inner) {
        if (deletes.has(key)) throw errors.duplicateKey;
      }
    }
    puts = union(puts, inner, () => {
      throw errors.duplicateKey;
    });
    deletes.addAll(success.deletes);
    deletes.addAll(failure.deletes);
  }
  for (const { request } of ops) {
    if (request?.kind !== "requestPut") continue;
    const { key } = request.value;
    if (puts.has(key) || deletes.has(key)) throw errors.duplicateKey;
    puts.add(key);
  }
  return { puts, deletes };
}

/** Adds the smaller set to the larger one, so that a key is copied at most log n times on its way up. */
function union(a: Set<string>, b: Set<string>, onShared: () => void): Set<string> {
  const [large, small] = a.size < b.size ? [b, a] : [a, b];
  for (const key of small) {
    if (large.has(key)) onShared();
    else large.add(key);
  }
  return large;
}
