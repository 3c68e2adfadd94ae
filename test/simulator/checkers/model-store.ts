import type { Compare, KeyValue, RangeRequest, RangeResponse } from "../history.ts";

/** A model of a multi-version store, as plain as can be: every version of every key, for ever. Nothing is compacted. */
export interface Version {
  readonly kv: KeyValue;
  readonly isDelete: boolean;
}

/** half-open; an empty end is the one key, "\0" is no end. */
export function inRange(key: string, from: string, end: string): boolean {
  if (end === "") return key === from;
  return key >= from && (end === "\0" || key < end);
}

export class ModelStore {
  /** Every key that ever was, ascending. */
  readonly #keys: string[] = [];
  readonly #versions = new Map<string, Version[]>();

  get keys(): readonly string[] {
    return this.#keys;
  }

  /** The pair as of `revision`; Infinity is now, including what an unfinished change has written. */
  get(key: string, revision: number): KeyValue | undefined {
    const versions = this.#versions.get(key);
    if (versions === undefined) return undefined;
    let at = versions.length - 1;
    if ((versions[at] as Version).kv.modRevision > revision) {
      let low = -1;
      while (at - low > 1) {
        const middle = (low + at) >> 1;
        if ((versions[middle] as Version).kv.modRevision <= revision) low = middle;
        else at = middle;
      }
      at = low;
    }
    const found = versions[at];
    return found === undefined || found.isDelete ? undefined : found.kv;
  }

  /** Live pairs in key order. */
  pairs(from: string, end: string, revision: number): KeyValue[] {
    if (end === "") {
      const kv = this.get(from, revision);
      return kv === undefined ? [] : [kv];
    }
    const found: KeyValue[] = [];
    for (let at = this.#position(from); at < this.#keys.length; at++) {
      const key = this.#keys[at] as string;
      if (end !== "\0" && key >= end) break;
      const kv = this.get(key, revision);
      if (kv !== undefined) found.push(kv);
    }
    return found;
  }

  put(key: string, value: string, lease: bigint, revision: number): KeyValue {
    const before = this.get(key, Number.POSITIVE_INFINITY);
    const kv: KeyValue = {
      key,
      value,
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0) + 1,
      lease,
    };
    this.#append(kv, false);
    return kv;
  }

  delete(key: string, revision: number): KeyValue {
    const kv: KeyValue = { key, value: "", createRevision: 0, modRevision: revision, version: 0, lease: 0n };
    this.#append(kv, true);
    return kv;
  }

  #append(kv: KeyValue, isDelete: boolean): void {
    const versions = this.#versions.get(kv.key);
    if (versions !== undefined) {
      versions.push({ kv, isDelete });
      return;
    }
    this.#versions.set(kv.key, [{ kv, isDelete }]);
    this.#keys.splice(this.#position(kv.key), 0, kv.key);
  }

  /** Where `key` stands or would stand. */
  #position(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#keys[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** What sort_target looks at. */
function sortValue(kv: KeyValue, target: number): string | number {
  switch (target) {
    case 1:
      return kv.version;
    case 2:
      return kv.createRevision;
    case 3:
      return kv.modRevision;
    case 4:
      return kv.value;
    default:
      return kv.key;
  }
}

/** R-4..R-8. `revision`: as of which to read; `header`: what the response calls current. Ties stay in key order. */
export function range(store: ModelStore, request: RangeRequest, revision: number, header: number): RangeResponse {
  const all = store.pairs(request.key, request.rangeEnd, revision);
  const count = all.length;
  if (request.countOnly) return { kind: "range", revision: header, kvs: [], more: false, count };
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision, sortTarget, limit } = request;
  const isFiltered = [minModRevision, maxModRevision, minCreateRevision, maxCreateRevision].some(
    (bound) => bound !== 0,
  );
  // A target without an order sorts the first pairs only, one more than the limit.
  const sorted = request.sortOrder === 0 && !isFiltered && limit > 0 ? all.slice(0, limit + 1) : all;
  const kept = sorted.filter(
    (kv) =>
      (minModRevision === 0 || kv.modRevision >= minModRevision) &&
      (maxModRevision === 0 || kv.modRevision <= maxModRevision) &&
      (minCreateRevision === 0 || kv.createRevision >= minCreateRevision) &&
      (maxCreateRevision === 0 || kv.createRevision <= maxCreateRevision),
  );
  const sign = request.sortOrder === 2 ? -1 : 1;
  if (sortTarget !== 0 || sign === -1) {
    kept.sort((a, b) => {
      const [x, y] = [sortValue(a, sortTarget), sortValue(b, sortTarget)];
      return x < y ? -sign : x > y ? sign : 0;
    });
  }
  const more = limit > 0 && kept.length > limit;
  const cut = more ? kept.slice(0, limit) : kept;
  const kvs = request.keysOnly ? cut.map((kv) => ({ ...kv, value: "" })) : cut;
  return { kind: "range", revision: header, kvs, more, count };
}

/**
 * Whether `got` is a right answer where `right` is one. The order of ties is nobody's promise, so with a sort target
 * other than the key, tied pairs may stand in another order, and a cut may keep others of those that tie with the last.
 */
export function isSameRange(request: RangeRequest, right: RangeResponse, got: RangeResponse): boolean {
  if (got.revision !== right.revision || got.more !== right.more || got.count !== right.count) return false;
  if (got.kvs.length !== right.kvs.length) return false;
  const { sortTarget } = request;
  if (sortTarget === 0) return right.kvs.every((kv, at) => isSamePair(kv, got.kvs[at] as KeyValue));
  const expected = new Map(right.kvs.map((kv) => [kv.key, kv]));
  if (new Set(got.kvs.map(({ key }) => key)).size !== got.kvs.length) return false;
  const isHidden = request.keysOnly && sortTarget === 4;
  const last = right.kvs.at(-1);
  return got.kvs.every((kv, at) => {
    const sorts = sortValue(kv, sortTarget);
    if (!isHidden && sorts !== sortValue(right.kvs[at] as KeyValue, sortTarget)) return false;
    const same = expected.get(kv.key);
    if (same !== undefined) return isSamePair(same, kv);
    return right.more && last !== undefined && (isHidden || sorts === sortValue(last, sortTarget));
  });
}

export function isSamePair(a: KeyValue, b: KeyValue): boolean {
  return (
    a.key === b.key &&
    a.value === b.value &&
    a.modRevision === b.modRevision &&
    a.createRevision === b.createRevision &&
    a.version === b.version &&
    a.lease === b.lease
  );
}

const NOTHING: KeyValue = { key: "", value: "", createRevision: 0, modRevision: 0, version: 0, lease: 0n };

/** TX-3, TX-4. */
export function holds(store: ModelStore, compare: Compare, revision: number): boolean {
  const pairs = store.pairs(compare.key, compare.rangeEnd, revision);
  if (pairs.length === 0) return compare.target.kind !== "value" && holdsFor(compare, NOTHING);
  return pairs.every((kv) => holdsFor(compare, kv));
}

function holdsFor({ target, result }: Compare, kv: KeyValue): boolean {
  const actual = kv[target.kind];
  const wanted = target.value;
  switch (result) {
    case "equal":
      return actual === wanted;
    case "notEqual":
      return actual !== wanted;
    case "greater":
      return actual > wanted;
    case "less":
      return actual < wanted;
  }
}
