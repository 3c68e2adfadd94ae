import type { Command, Compare, RangeRequest, Request, TxnOp } from "../history.ts";

/** Equal for requests that are the same to the byte, and only for them. The id that a grant leaves open is not in it. */
export function requestKey(request: Command): string {
  switch (request.kind) {
    case "put":
    case "deleteRange":
    case "txn":
      return opKey(request);
    case "compact":
      return `c${request.revision}${request.physical ? "p" : ""}`;
    case "leaseGrant":
      return `g${request.id},${request.ttlSeconds}`;
    case "leaseRevoke":
      return `v${request.id}`;
  }
}

/** With its length in front, so that no two sequences of strings look alike. */
function text(value: string): string {
  return `${value.length}:${value}`;
}

function opKey(op: TxnOp): string {
  switch (op.kind) {
    case "put": {
      const flags = (op.prevKv ? 1 : 0) + (op.ignoreValue ? 2 : 0) + (op.ignoreLease ? 4 : 0);
      return `p${text(op.key)}${text(op.value)}${op.lease},${flags}`;
    }
    case "deleteRange":
      return `d${text(op.key)}${text(op.rangeEnd)}${op.prevKv ? 1 : 0}`;
    case "range":
      return rangeKey(op);
    case "txn": {
      const parts = [op.compare.map(compareKey), op.success.map(opKey), op.failure.map(opKey)];
      return `t${parts.map((part) => `${part.length}[${part.join("")}]`).join("")}`;
    }
  }
}

function rangeKey(op: RangeRequest): string {
  const flags = (op.serializable ? 1 : 0) + (op.keysOnly ? 2 : 0) + (op.countOnly ? 4 : 0);
  const numbers = [op.revision, op.limit, op.sortOrder, op.sortTarget, flags];
  const filters = [op.minModRevision, op.maxModRevision, op.minCreateRevision, op.maxCreateRevision];
  return `r${text(op.key)}${text(op.rangeEnd)}${numbers.join(",")},${filters.join(",")};`;
}

function compareKey({ key, rangeEnd, result, target }: Compare): string {
  return `${text(key)}${text(rangeEnd)}${result},${target.kind},${text(String(target.value))}`;
}

export function isCommand(request: Request): request is Command {
  switch (request.kind) {
    case "put":
    case "deleteRange":
    case "txn":
    case "compact":
    case "leaseGrant":
    case "leaseRevoke":
      return true;
    default:
      return false;
  }
}
