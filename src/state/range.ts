import { decode, EMPTY, encode } from "../../proto/codec.ts";
import {
  type RangeRequest,
  RangeRequestSortOrder,
  RangeRequestSortTarget,
  RangeResponse,
  ResponseHeader,
} from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import type { KeyVersion, Mvcc } from "../../storage/mvcc/mvcc.ts";
import { type ApiError, errors } from "../api/errors.ts";

/** What a range comes to before any value is touched: a reader may fetch the values in pieces. */
export interface RangeResult {
  readonly kind: "range";
  /** Those to answer with: filtered, sorted, cut to the limit. */
  readonly versions: readonly KeyVersion[];
  /** Keys in the range, whatever filters and limit say. */
  readonly count: number;
  readonly more: boolean;
  /** For the header: the store's revision, not the one asked for (H-2). */
  readonly revision: number;
}

export type RangeOutcome = RangeResult | { readonly kind: "error"; readonly error: ApiError };

/**
 * Selects what a Range answers with (R-1..R-9). `currentRevision` is that of the reader: inside an open change that has
 * written something, the change's own. Only a sort by value reads values.
 */
export function rangeVersions(
  mvcc: Mvcc,
  request: RangeRequest,
  currentRevision: number = mvcc.currentRevision,
): RangeOutcome {
  if (request.revision > currentRevision) return { kind: "error", error: errors.futureRevision };
  const revision = request.revision > 0 ? request.revision : currentRevision;
  if (revision < mvcc.compactRevision) return { kind: "error", error: errors.compacted };

  const { key, rangeEnd } = request;
  const done = (versions: readonly KeyVersion[], count: number, more: boolean): RangeResult => ({
    kind: "range",
    versions,
    count,
    more,
    revision: currentRevision,
  });
  if (request.countOnly) return done([], mvcc.count(key, rangeEnd, revision), false);

  const limit = request.limit > 0 ? request.limit : Number.POSITIVE_INFINITY;
  const inOrder = isKeyOrder(request);
  const filtered = hasFilter(request);
  const versions: KeyVersion[] = [];
  let count = 0;
  let more = false;
  mvcc.visit(key, rangeEnd, revision, (version) => {
    count++;
    if (filtered && !passes(request, version)) return true;
    if (inOrder && versions.length === limit) {
      more = true;
      // Filters need every key seen to be counted at no extra cost; without them counting is cheaper than visiting.
      return filtered;
    }
    versions.push(version);
    return true;
  });
  if (more && !filtered) count = mvcc.count(key, rangeEnd, revision);
  if (inOrder) return done(versions, count, more);

  const sorted = sortVersions(mvcc, request, versions);
  return sorted.length > limit ? done(sorted.slice(0, limit), count, true) : done(sorted, count, false);
}

/** The whole answer of a range at once. */
export function rangeResponse(
  mvcc: Mvcc,
  request: RangeRequest,
  currentRevision: number = mvcc.currentRevision,
):
  | { readonly kind: "response"; readonly response: RangeResponse }
  | { readonly kind: "error"; readonly error: ApiError } {
  const outcome = rangeVersions(mvcc, request, currentRevision);
  if (outcome.kind === "error") return outcome;
  const { versions, count, more, revision } = outcome;
  const kvs = versions.map((version) => rangeValue(mvcc, request, version));
  const header = ResponseHeader.create({ revision });
  return { kind: "response", response: RangeResponse.create({ header, kvs, more, count }) };
}

/** The encoded KeyValue of one version that a range selected, as the request wants it. */
export function rangeValue(mvcc: Mvcc, request: RangeRequest, version: KeyVersion): Uint8Array {
  const kv = mvcc.value(version);
  return request.keysOnly ? encode(KeyValue, { ...decode(KeyValue, kv), value: EMPTY }) : kv;
}

function hasFilter(request: RangeRequest): boolean {
  return (
    request.minModRevision !== 0 ||
    request.maxModRevision !== 0 ||
    request.minCreateRevision !== 0 ||
    request.maxCreateRevision !== 0
  );
}

function passes(request: RangeRequest, { mod, createRevision }: KeyVersion): boolean {
  if (request.minModRevision !== 0 && mod.main < request.minModRevision) return false;
  if (request.maxModRevision !== 0 && mod.main > request.maxModRevision) return false;
  if (request.minCreateRevision !== 0 && createRevision < request.minCreateRevision) return false;
  return request.maxCreateRevision === 0 || createRevision <= request.maxCreateRevision;
}

/** Whether the order of the index is the order asked for. Enum numbers that nobody defined sort nothing. */
function isKeyOrder({ sortOrder, sortTarget }: RangeRequest): boolean {
  if (sortOrder < RangeRequestSortOrder.NONE || sortOrder > RangeRequestSortOrder.DESCEND) return true;
  if (sortTarget < RangeRequestSortTarget.KEY || sortTarget > RangeRequestSortTarget.VALUE) return true;
  return sortTarget === RangeRequestSortTarget.KEY && sortOrder !== RangeRequestSortOrder.DESCEND;
}

/** any other target than KEY sorts ascending unless told to descend. Ties stay in key order, or in its reverse. */
function sortVersions(mvcc: Mvcc, request: RangeRequest, versions: readonly KeyVersion[]): readonly KeyVersion[] {
  const sorted = sortAscending(mvcc, request.sortTarget, versions);
  return request.sortOrder === RangeRequestSortOrder.DESCEND ? sorted.reverse() : sorted;
}

function sortAscending(mvcc: Mvcc, sortTarget: number, versions: readonly KeyVersion[]): KeyVersion[] {
  switch (sortTarget) {
    case RangeRequestSortTarget.VERSION:
      return versions.toSorted((a, b) => a.version - b.version);
    case RangeRequestSortTarget.CREATE:
      return versions.toSorted((a, b) => a.createRevision - b.createRevision);
    case RangeRequestSortTarget.MOD:
      return versions.toSorted((a, b) => a.mod.main - b.mod.main);
    case RangeRequestSortTarget.VALUE:
      return versions
        .map((version) => ({ version, value: decode(KeyValue, mvcc.value(version)).value }))
        .sort((a, b) => Buffer.compare(a.value, b.value))
        .map(({ version }) => version);
    default:
      return versions.slice();
  }
}
