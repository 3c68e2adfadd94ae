import { encode } from "../../proto/codec.ts";
import {
  type Compare,
  type DeleteRangeRequest,
  DeleteRangeResponse,
  type PutRequest,
  PutResponse,
  type RangeRequest,
  RangeResponse,
  type RequestOp,
  ResponseHeader,
  ResponseOp,
  type TxnRequest,
  TxnResponse,
} from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { type ApiError, errors } from "../../src/api/errors.ts";

/**
 * The contract's KV semantics in the plainest form: every revision is a whole copy of the map, a transaction is tried
 * on a copy, and whatever goes wrong throws. Slow, and with nothing of the product's structure in it.
 */
type Pairs = Map<string, KeyValue>;

class Refused extends Error {
  readonly error: ApiError;
  constructor(error: ApiError) {
    super(error.message);
    this.error = error;
  }
}

interface Scratch {
  readonly pairs: Pairs;
  changed: boolean;
}

export class KvModel {
  #history: Pairs[] = [new Map(), new Map()];
  compacted = -1;
  readonly leases = new Set<bigint>();

  get revision(): number {
    return this.#history.length - 1;
  }

  get now(): ReadonlyMap<string, KeyValue> {
    return this.#history[this.revision] as Pairs;
  }

  run<T>(action: (scratch: Scratch) => T): { readonly response: T } | { readonly error: ApiError } {
    const scratch = { pairs: new Map(this.now), changed: false };
    try {
      const response = action(scratch);
      if (scratch.changed) this.#history.push(scratch.pairs);
      return { response };
    } catch (error) {
      if (error instanceof Refused) return { error: error.error };
      throw error;
    }
  }

  range(scratch: Scratch, request: RangeRequest): RangeResponse {
    const current = this.#header(scratch).revision;
    if (request.revision > current) throw new Refused(errors.futureRevision);
    const revision = request.revision > 0 ? request.revision : current;
    if (revision < this.compacted) throw new Refused(errors.compacted);
    const pairs =
      revision > this.revision || request.revision <= 0 ? scratch.pairs : (this.#history[revision] as Pairs);
    const inside = within(pairs, request.key, request.rangeEnd);
    let found = inside.filter(
      (kv) =>
        (request.minModRevision === 0 || kv.modRevision >= request.minModRevision) &&
        (request.maxModRevision === 0 || kv.modRevision <= request.maxModRevision) &&
        (request.minCreateRevision === 0 || kv.createRevision >= request.minCreateRevision) &&
        (request.maxCreateRevision === 0 || kv.createRevision <= request.maxCreateRevision),
    );
    const { sortOrder, sortTarget } = request;
    const isFiltered = [
      request.minModRevision,
      request.maxModRevision,
      request.minCreateRevision,
      request.maxCreateRevision,
    ].some((bound) => bound !== 0);
    if (sortOrder === 0 && !isFiltered && request.limit > 0) found = found.slice(0, request.limit + 1);
    if (sortOrder <= 2 && sortTarget <= 4) {
      const rank = (a: KeyValue, b: KeyValue): number =>
        [
          0,
          a.version - b.version,
          a.createRevision - b.createRevision,
          a.modRevision - b.modRevision,
          Buffer.compare(a.value, b.value),
        ][sortTarget] as number;
      const sign = sortOrder === 2 ? -1 : 1;
      if (sign === -1 && sortTarget === 0) found.reverse();
      found = found.sort((a, b) => sign * rank(a, b));
    }
    const limit = request.limit > 0 ? request.limit : found.length;
    const kvs = found.slice(0, limit).map((kv) => (request.keysOnly ? { ...kv, value: Buffer.alloc(0) } : kv));
    return RangeResponse.create({
      header: this.#header(scratch),
      kvs: request.countOnly ? [] : kvs.map((kv) => encode(KeyValue, kv)),
      count: inside.length,
      more: !request.countOnly && found.length > limit,
    });
  }

  put(scratch: Scratch, request: PutRequest): PutResponse {
    this.#checkPut(scratch, request);
    const before = scratch.pairs.get(request.key);
    const kv = {
      key: request.key,
      createRevision: before?.createRevision ?? this.revision + 1,
      modRevision: this.revision + 1,
      version: (before?.version ?? 0) + 1,
      value: request.ignoreValue && before ? before.value : request.value,
      lease: request.ignoreLease && before ? before.lease : request.lease,
    };
    scratch.pairs.set(request.key, kv);
    scratch.changed = true;
    const prevKv = request.prevKv && before ? { prevKv: encode(KeyValue, before) } : {};
    return PutResponse.create({ header: this.#header(scratch), ...prevKv });
  }

  #checkPut({ pairs }: Scratch, request: PutRequest, inTxn = false): void {
    const missing =
      (request.ignoreValue || request.ignoreLease) && !(pairs.has(request.key) && this.now.has(request.key));
    const noLease = request.lease !== 0n && !this.leases.has(request.lease);
    // Alone a put is refused for its lease first, in a txn for its key first.
    if (inTxn && missing) throw new Refused(errors.keyNotFound);
    if (noLease) throw new Refused(errors.leaseNotFound);
    if (missing) throw new Refused(errors.keyNotFound);
  }

  delete(scratch: Scratch, request: DeleteRangeRequest): DeleteRangeResponse {
    const doomed = within(scratch.pairs, request.key, request.rangeEnd);
    for (const { key } of doomed) scratch.pairs.delete(key);
    if (doomed.length > 0) scratch.changed = true;
    const prevKvs = request.prevKv ? doomed.map((kv) => encode(KeyValue, kv)) : [];
    return DeleteRangeResponse.create({ header: this.#header(scratch), deleted: doomed.length, prevKvs });
  }

  txn(scratch: Scratch, request: TxnRequest): TxnResponse {
    const rehearsal = { pairs: new Map(scratch.pairs), changed: false };
    this.#rehearse(rehearsal, request);
    this.#checkRanges(request);
    const response = this.#perform(scratch, request);
    return { ...response, header: this.#header(scratch) };
  }

  #branch(request: TxnRequest): { readonly succeeded: boolean; readonly ops: readonly RequestOp[] } {
    const succeeded = request.compare.every((compare) =>
      holds(within(this.now, compare.key, compare.rangeEnd), compare),
    );
    return { succeeded, ops: succeeded ? request.success : request.failure };
  }

  #rehearse(scratch: Scratch, request: TxnRequest): void {
    for (const { request: op } of this.#branch(request).ops) {
      if (op?.kind === "requestTxn") this.#rehearse(scratch, op.value);
      if (op?.kind === "requestDeleteRange") this.delete(scratch, op.value);
      if (op?.kind !== "requestPut") continue;
      this.#checkPut(scratch, op.value, true);
      this.put(scratch, op.value);
    }
  }

  #checkRanges(request: TxnRequest): void {
    for (const { request: op } of this.#branch(request).ops) {
      if (op?.kind === "requestTxn") this.#checkRanges(op.value);
      if (op?.kind !== "requestRange" || op.value.revision === 0) continue;
      if (op.value.revision > this.revision) throw new Refused(errors.futureRevision);
      if (op.value.revision < this.compacted) throw new Refused(errors.compacted);
    }
  }

  #perform(scratch: Scratch, request: TxnRequest): TxnResponse {
    const { succeeded, ops } = this.#branch(request);
    const responses = ops.map(({ request: op }): ResponseOp => {
      switch (op?.kind) {
        case "requestRange":
          return { response: { kind: "responseRange", value: this.range(scratch, op.value) } };
        case "requestPut":
          return { response: { kind: "responsePut", value: this.put(scratch, op.value) } };
        case "requestDeleteRange":
          return { response: { kind: "responseDeleteRange", value: this.delete(scratch, op.value) } };
        case "requestTxn":
          return { response: { kind: "responseTxn", value: this.#perform(scratch, op.value) } };
        default:
          return ResponseOp.create();
      }
    });
    return TxnResponse.create({ header: ResponseHeader.create(), succeeded, responses });
  }

  #header({ changed }: Scratch): ResponseHeader {
    return ResponseHeader.create({ revision: this.revision + (changed ? 1 : 0) });
  }
}

function within(pairs: ReadonlyMap<string, KeyValue>, from: string, end: string): KeyValue[] {
  return [...pairs.values()]
    .filter(({ key }) => (end === "" ? key === from : key >= from && (end === "\0" || key < end)))
    .sort((a, b) => Buffer.compare(Buffer.from(a.key, "latin1"), Buffer.from(b.key, "latin1")));
}

function holds(pairs: readonly KeyValue[], compare: Compare): boolean {
  if (pairs.length === 0 && compare.target === 3) return false;
  const of = pairs.length === 0 ? [KeyValue.create()] : pairs;
  const asked = (kind: string) => (compare.targetUnion?.kind === kind ? Number(compare.targetUnion.value) : 0);
  return of.every((kv) => {
    const value = compare.targetUnion?.kind === "value" ? compare.targetUnion.value : Buffer.alloc(0);
    const differences = [
      kv.version - asked("version"),
      kv.createRevision - asked("createRevision"),
      kv.modRevision - asked("modRevision"),
      Buffer.compare(kv.value, value),
      Number(kv.lease) - asked("lease"),
    ];
    const sign = Math.sign(differences[compare.target] ?? 0);
    return [sign === 0, sign > 0, sign < 0, sign !== 0][compare.result] ?? true;
  });
}
