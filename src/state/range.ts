import { decode, EMPTY, encode } from "../../proto/codec.ts";
import {
  type RangeRequest,
  RangeRequestSortOrder,
  RangeRequestSortTarget,
  RangeResponse,
  ResponseHeader,
} from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { must } from "../../raft/assert.ts";
import type { KeyVersion, Mvcc } from "../../storage/mvcc/mvcc.ts";
import { type ApiError, errors } from "../api/errors.ts";
import type { AnswerBytes } from "./answer.ts";

/** What a range comes to before any value is touched: a reader may fetch the values in pieces. */
export interface RangeResult {
  readonly kind: "range";
  /** Those to answer with: filtered, sorted, cut to the limit; or in key order all that is to be sorted, when `byValue`. */
  readonly versions: readonly KeyVersion[];
  /** Whoever fetches the values has to sort by them (valueOrder), then to cut (upToLimit). */
  readonly byValue: boolean;
  /** Keys in the range, whatever filters and limit say. */
  readonly count: number;
  readonly more: boolean;
  /** For the header: the store's revision, not the one asked for (H-2). */
  readonly revision: number;
}

export type RangeOutcome = RangeResult | { readonly kind: "error"; readonly error: ApiError };

/**
 * Selects what a Range answers with (R-1..R-9). `currentRevision` is that of the reader: inside an open change that has
 * written something, the change's own. No value is read.
 */
export function rangeVersions(
  mvcc: Mvcc,
  request: RangeRequest,
  currentRevision: number = mvcc.currentRevision,
): RangeOutcome {
  const selection = selectRange(mvcc, request, currentRevision);
  if (selection.kind === "error") return selection;
  return must(selection.advance(Number.POSITIVE_INFINITY), "a selection without a bound is not over");
}

/** The same in slices, for whoever pins the revision until it is over. */
export function selectRange(
  mvcc: Mvcc,
  request: RangeRequest,
  currentRevision: number = mvcc.currentRevision,
): RangeSelection | { readonly kind: "error"; readonly error: ApiError } {
  if (request.revision > currentRevision) return { kind: "error", error: errors.futureRevision };
  const revision = request.revision > 0 ? request.revision : currentRevision;
  if (revision < mvcc.compactRevision) return { kind: "error", error: errors.compacted };
  return new RangeSelection(mvcc, request, revision, currentRevision);
}

/**
 * A selection under way. It is of the one revision that was chosen when it began: what is put or deleted between two
 * slices is newer, and a compaction that is accepted meanwhile waits for the pin before it drops anything.
 */
export class RangeSelection {
  readonly kind = "selection";
  readonly request: RangeRequest;
  /** As of which the range is read. */
  readonly revision: number;
  readonly #currentRevision: number;
  readonly #mvcc: Mvcc;
  readonly #filtered: boolean;
  readonly #inOrder: boolean;
  /** So many are selected at most. */
  readonly #most: number;
  readonly #versions: KeyVersion[] = [];
  #from: string;
  /** Enough are selected; the others of the range are only counted. */
  #isCounting: boolean;
  #count = 0;
  #more = false;

  constructor(mvcc: Mvcc, request: RangeRequest, revision: number, currentRevision: number) {
    this.request = request;
    this.revision = revision;
    this.#currentRevision = currentRevision;
    this.#mvcc = mvcc;
    this.#filtered = hasFilter(request);
    this.#inOrder = isKeyOrder(request);
    const limit = request.limit > 0 ? request.limit : Number.POSITIVE_INFINITY;
    this.#most = this.#inOrder
      ? limit
      : sortsTheFirst(request) && !this.#filtered
        ? limit + 1
        : Number.POSITIVE_INFINITY;
    this.#from = request.key;
    this.#isCounting = request.countOnly;
  }

  /** Versions that it holds so far. */
  get selected(): number {
    return this.#versions.length;
  }

  /** Looks at about `maxEntries` more keys of the index, whatever it selects of them; undefined when there are others. */
  advance(maxEntries: number): RangeResult | undefined {
    if (!this.#isCounting && !this.#select(maxEntries)) return undefined;
    if (this.#isCounting && !this.#countOn(maxEntries)) return undefined;
    return this.#result();
  }

  #select(maxEntries: number): boolean {
    const { request, revision } = this;
    let last = "";
    const next = this.#mvcc.visit(
      this.#from,
      request.rangeEnd,
      revision,
      (version) => {
        this.#count++;
        if (this.#filtered && !passes(request, version)) return true;
        if (this.#versions.length === this.#most) {
          this.#more = true;
          last = version.key;
          // Filters need every key seen to be counted at no extra cost; without them counting is cheaper than visiting.
          return this.#filtered;
        }
        this.#versions.push(version);
        return true;
      },
      maxEntries,
    );
    if (next !== undefined) {
      this.#from = next;
      return false;
    }
    if (this.#more && !this.#filtered) {
      this.#isCounting = true;
      this.#from = `${last}\0`;
    }
    return true;
  }

  #countOn(maxEntries: number): boolean {
    const { count, next } = this.#mvcc.countSlice(this.#from, this.request.rangeEnd, this.revision, maxEntries);
    this.#count += count;
    if (next === undefined) return true;
    this.#from = next;
    return false;
  }

  #result(): RangeResult {
    const { request } = this;
    const versions = this.#versions;
    if (this.#inOrder || request.countOnly) return this.#done(versions, this.#more, false);
    if (request.sortTarget === RangeRequestSortTarget.VALUE) return this.#done(versions, this.#more, true);
    const { kept, more: isCut } = upToLimit(request, sortByNumber(request, versions));
    return this.#done(kept, isCut, false);
  }

  #done(versions: readonly KeyVersion[], more: boolean, byValue: boolean): RangeResult {
    return { kind: "range", versions, byValue, count: this.#count, more, revision: this.#currentRevision };
  }
}

/** The whole answer of a range at once, or undefined when it grew too large. */
export function rangeResponse(
  mvcc: Mvcc,
  request: RangeRequest,
  currentRevision: number,
  answer: AnswerBytes,
):
  | { readonly kind: "response"; readonly response: RangeResponse | undefined }
  | { readonly kind: "error"; readonly error: ApiError } {
  const outcome = rangeVersions(mvcc, request, currentRevision);
  if (outcome.kind === "error") return outcome;
  const { count, revision } = outcome;
  if (!answer.addVisits(count)) return { kind: "response", response: undefined };
  const found = outcome.byValue ? sortedByValue(mvcc, request, outcome.versions, answer) : outcome;
  if (found === undefined) return { kind: "response", response: undefined };
  const kvs: Uint8Array[] = [];
  for (const version of found.versions) {
    const kv = rangeValue(mvcc, request, version);
    if (!answer.addPair(kv)) return { kind: "response", response: undefined };
    kvs.push(kv);
  }
  const header = ResponseHeader.create({ revision });
  return { kind: "response", response: RangeResponse.create({ header, kvs, more: found.more, count }) };
}

function sortedByValue(
  mvcc: Mvcc,
  request: RangeRequest,
  versions: readonly KeyVersion[],
  answer: AnswerBytes,
): { readonly versions: readonly KeyVersion[]; readonly more: boolean } | undefined {
  const valued: { readonly version: KeyVersion; readonly value: Uint8Array }[] = [];
  for (const version of versions) {
    const { value } = decode(KeyValue, mvcc.value(version));
    // Counted for good, though it may not be in the answer: the next range of the transaction reads as much again.
    if (!answer.addPair(value)) return undefined;
    valued.push({ version, value });
  }
  const { kept, more } = upToLimit(request, valued.sort(valueOrder(request)));
  return { versions: kept.map(({ version }) => version), more };
}

/** How a range sorts by value; for a stable sort (see sortByNumber). */
export function valueOrder(
  request: RangeRequest,
): (a: { readonly value: Uint8Array }, b: { readonly value: Uint8Array }) => number {
  const sign = signOf(request);
  return (a, b) => sign * Buffer.compare(a.value, b.value);
}

function signOf({ sortOrder }: RangeRequest): 1 | -1 {
  return sortOrder === RangeRequestSortOrder.DESCEND ? -1 : 1;
}

/** the limit comes after the sort (of what is sorted at all: sortsTheFirst). */
export function upToLimit<Item>(
  { limit }: RangeRequest,
  sorted: readonly Item[],
): { readonly kept: readonly Item[]; readonly more: boolean } {
  return limit > 0 && sorted.length > limit
    ? { kept: sorted.slice(0, limit), more: true }
    : { kept: sorted, more: false };
}

/** The encoded KeyValue of one version that a range selected, as the request wants it. */
export function rangeValue(mvcc: Mvcc, request: RangeRequest, version: KeyVersion): Uint8Array {
  const kv = mvcc.value(version);
  return request.keysOnly ? withoutValue(kv) : kv;
}

export function withoutValue(kv: Uint8Array): Uint8Array {
  return encode(KeyValue, { ...decode(KeyValue, kv), value: EMPTY });
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

/**
 * A target without an order sorts no more than the first pairs, one more than the limit. No one would have meant it so,
 * but etcd's clients get what etcd's server gives; an order that is told, or a filter, has all of them looked at.
 */
function sortsTheFirst({ sortOrder }: RangeRequest): boolean {
  return sortOrder === RangeRequestSortOrder.NONE;
}

/** Whether the order of the index is the order asked for. Enum numbers that nobody defined sort nothing. */
function isKeyOrder({ sortOrder, sortTarget }: RangeRequest): boolean {
  if (sortOrder < RangeRequestSortOrder.NONE || sortOrder > RangeRequestSortOrder.DESCEND) return true;
  if (sortTarget < RangeRequestSortTarget.KEY || sortTarget > RangeRequestSortTarget.VALUE) return true;
  return sortTarget === RangeRequestSortTarget.KEY && sortOrder !== RangeRequestSortOrder.DESCEND;
}

/**
 * any other target than KEY sorts ascending unless told to descend; KEY comes here only to descend. Ties stay in key
 * order either way, as etcd's do for as long as its sort is a stable one (up to twelve pairs).
 */
function sortByNumber(request: RangeRequest, versions: KeyVersion[]): KeyVersion[] {
  const sign = signOf(request);
  switch (request.sortTarget) {
    case RangeRequestSortTarget.VERSION:
      return versions.sort((a, b) => sign * (a.version - b.version));
    case RangeRequestSortTarget.CREATE:
      return versions.sort((a, b) => sign * (a.createRevision - b.createRevision));
    case RangeRequestSortTarget.MOD:
      return versions.sort((a, b) => sign * (a.mod.main - b.mod.main));
    default:
      return versions.reverse();
  }
}
