import type { Command, Response, TxnOp, TxnOpResponse, TxnRequest, TxnResponse } from "../history.ts";
import { isSamePair, isSameRange } from "./model-store.ts";

/** Whether a client that sent `command` may get `got` where the model answers `right`. */
export function isSameResponse(command: Command, right: Response, got: Response): boolean {
  if (right.kind === "txn" && got.kind === "txn" && command.kind === "txn") return isSameTxn(command, right, got);
  if (right.kind === "put" && got.kind === "put") return isSameOp(undefined, right, got);
  if (right.kind === "deleteRange" && got.kind === "deleteRange") return isSameOp(undefined, right, got);
  if (right.kind === "leaseGrant") {
    return (
      got.kind === "leaseGrant" &&
      got.revision === right.revision &&
      got.id === right.id &&
      got.ttlSeconds === right.ttlSeconds
    );
  }
  if (right.kind === "compact" || right.kind === "leaseRevoke") {
    return got.kind === right.kind && got.revision === right.revision;
  }
  return false;
}

export function isSameTxn(txn: TxnRequest, right: TxnResponse, got: TxnResponse): boolean {
  if (right.revision !== got.revision || right.succeeded !== got.succeeded) return false;
  if (right.responses.length !== got.responses.length) return false;
  const ops = right.succeeded ? txn.success : txn.failure;
  return right.responses.every((response, at) => isSameOp(ops[at], response, got.responses[at] as TxnOpResponse));
}

function isSameOp(op: TxnOp | undefined, right: TxnOpResponse, got: TxnOpResponse): boolean {
  switch (right.kind) {
    case "put": {
      if (got.kind !== "put" || got.revision !== right.revision) return false;
      if (right.prevKv === undefined || got.prevKv === undefined) return right.prevKv === got.prevKv;
      return isSamePair(right.prevKv, got.prevKv);
    }
    case "deleteRange":
      return (
        got.kind === "deleteRange" &&
        got.revision === right.revision &&
        got.deleted === right.deleted &&
        got.prevKvs.length === right.prevKvs.length &&
        right.prevKvs.every((kv, at) => {
          const other = got.prevKvs[at];
          return other !== undefined && isSamePair(kv, other);
        })
      );
    case "range":
      return got.kind === "range" && op?.kind === "range" && isSameRange(op, right, got);
    case "txn":
      return got.kind === "txn" && op?.kind === "txn" && isSameTxn(op, right, got);
  }
}
