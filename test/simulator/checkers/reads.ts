import type { Operation, RangeRequest, Response } from "../history.ts";
import { isReadTxn, isSerializableTxn, readTxn } from "./model.ts";
import { isSameRange, range } from "./model-store.ts";
import { isSameTxn } from "./same-response.ts";
import { compactRevisionAt, revisionAt, type Truth } from "./truth.ts";
import { show } from "./verdict.ts";

/** What the operation reads, if it changes nothing: "linearizable" reads see all that came before them (R-10, TX-11). */
export function readKind({ request }: Operation): "linearizable" | "serializable" | undefined {
  if (request.kind === "range") return request.serializable ? "serializable" : "linearizable";
  if (request.kind !== "txn" || !isReadTxn(request)) return undefined;
  return isSerializableTxn(request) ? "serializable" : "linearizable";
}

/** Why the read's answer cannot be: it is not the state as of the revision that it names. */
export function readProblem(truth: Truth, operation: Operation): string | undefined {
  const { request, outcome, returned } = operation;
  if (outcome.kind !== "ok" || returned === undefined) return undefined;
  const { response } = outcome;
  const { revision } = response;
  const known = revisionAt(truth, returned.seq);
  if (revision < 1 || revision > known) return `answered at revision ${revision}, when ${known} was the highest`;
  const right = rightAnswer(truth, operation, revision);
  if (right.kind === "problem") return right.problem;
  if (right.isSame(response)) return undefined;
  return `${show(request)} answered ${show(response)} where revision ${revision} has ${show(right.response)}`;
}

type RightAnswer =
  | { readonly kind: "problem"; readonly problem: string }
  | { readonly kind: "answer"; readonly response: Response; readonly isSame: (got: Response) => boolean };

function rightAnswer({ store }: Truth, { request }: Operation, revision: number): RightAnswer {
  if (request.kind === "range") {
    if (request.revision > revision) return future(request, revision);
    const response = range(store, request, request.revision > 0 ? request.revision : revision, revision);
    return { kind: "answer", response, isSame: (got) => got.kind === "range" && isSameRange(request, response, got) };
  }
  if (request.kind !== "txn") return { kind: "problem", problem: `${request.kind} is no read` };
  const { response, ranges } = readTxn(store, request, revision);
  const late = ranges.find((op) => op.revision > revision);
  if (late !== undefined) return future(late, revision);
  return { kind: "answer", response, isSame: (got) => got.kind === "txn" && isSameTxn(request, response, got) };
}

function future(request: RangeRequest, revision: number): RightAnswer {
  return { kind: "problem", problem: `revision ${request.revision} was read when ${revision} was current` };
}

/** Explicit revisions that the read may look at, whichever branch it takes. */
export function revisionsRead({ request }: Operation): readonly number[] {
  const ranges =
    request.kind === "range" ? [request] : request.kind === "txn" ? request.success.concat(request.failure) : [];
  return ranges.flatMap((op) => (op.kind === "range" && op.revision > 0 ? [op.revision] : []));
}

/** Why the read cannot have been refused for its revision, if it was. */
export function refusalProblem(truth: Truth, operation: Operation, isLinearizable: boolean): string | undefined {
  const { request, outcome, returned, invoked } = operation;
  if (outcome.kind !== "refused" || returned === undefined) return undefined;
  const asked = revisionsRead(operation);
  if (outcome.reason.includes("has been compacted")) {
    const compacted = compactRevisionAt(truth, returned.seq);
    if (asked.some((revision) => revision < compacted)) return undefined;
    return `${show(request)} was refused as compacted, when ${compacted} was the compact revision`;
  }
  if (outcome.reason.includes("future revision")) {
    // A member that lags may not know a revision that others have.
    const known = isLinearizable ? revisionAt(truth, invoked.seq) : 1;
    if (asked.some((revision) => revision > known)) return undefined;
    return `${show(request)} was refused as of the future, when ${known} was current`;
  }
  return undefined;
}
