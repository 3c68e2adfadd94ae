import type { PutRequest, TxnRequest } from "../../proto/generated/etcdserverpb.ts";
import type { Command } from "./machine.ts";

/** What a command may add to the store, as quota and NOSPACE count it (N-12). Whatever is not here costs nothing. */

const PUT_OVERHEAD_BYTES = 256;

const LEASE_COST_BYTES = 64;

export function costBytes({ put, txn, leaseGrant }: Command): number {
  if (put !== undefined) return putCostBytes(put);
  if (txn !== undefined) return txnCostBytes(txn);
  return leaseGrant === undefined ? 0 : LEASE_COST_BYTES;
}

function putCostBytes({ key, value }: PutRequest): number {
  return PUT_OVERHEAD_BYTES + key.length + value.length;
}

/** Of the dearer branch. Puts of inner txns do not count, in etcd neither. */
export function txnCostBytes({ success, failure }: TxnRequest): number {
  return Math.max(branchCostBytes(success), branchCostBytes(failure));
}

function branchCostBytes(ops: TxnRequest["success"]): number {
  let cost = 0;
  for (const { request } of ops) {
    if (request?.kind === "requestPut") cost += putCostBytes(request.value);
  }
  return cost;
}
