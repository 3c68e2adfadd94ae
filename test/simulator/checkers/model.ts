import type {
  Command,
  DeleteRangeRequest,
  DeleteRangeResponse,
  KeyValue,
  LeaseGrantRequest,
  PutRequest,
  PutResponse,
  RangeRequest,
  Response,
  TxnOp,
  TxnOpResponse,
  TxnRequest,
  TxnResponse,
} from "../history.ts";
import { holds, inRange, ModelStore, range } from "./model-store.ts";

/** One event of a revision, with the pair as it stood one revision before (W-8). */
export interface Change {
  readonly kind: "put" | "delete";
  readonly kv: KeyValue;
  readonly before: KeyValue | undefined;
}

export type Result =
  | { readonly kind: "ok"; readonly response: Response }
  /** Where several things are wrong, the contract does not say which is told. */
  | { readonly kind: "refused"; readonly reasons: readonly Refusal[] };

/** What apply may find wrong with a command. */
export type Refusal = "lease not found" | "lease exists" | "key not found" | "compacted" | "future";

export interface ModelLease {
  readonly id: bigint;
  readonly ttlSeconds: number;
  readonly keys: Set<string>;
}

const NOW = Number.POSITIVE_INFINITY;

const refused = (...reasons: readonly Refusal[]): Result => ({ kind: "refused", reasons });

/**
 * What the API promises, executed one command at a time: the sequential object that a cluster has to look like. Written
 * from the contract alone; slow, plain, and without any of the product's code.
 */
export class Model {
  readonly store = new ModelStore();
  readonly leases = new Map<bigint, ModelLease>();
  readonly #minTtlSeconds: number;
  #revision = 1;
  #compactRevision = -1;
  #changes: Change[] = [];

  constructor(minTtlSeconds: number) {
    this.#minTtlSeconds = minTtlSeconds;
  }

  get revision(): number {
    return this.#revision;
  }

  /** -1 before the first compaction. */
  get compactRevision(): number {
    return this.#compactRevision;
  }

  execute(command: Command): { readonly result: Result; readonly changes: readonly Change[] } {
    this.#changes = [];
    const result = this.#execute(command);
    const changes = this.#changes;
    if (changes.length > 0) this.#revision++;
    return { result, changes };
  }

  #execute(command: Command): Result {
    switch (command.kind) {
      case "put": {
        const reasons = this.#refusals([command]);
        return reasons.length === 0 ? { kind: "ok", response: this.#put(command) } : refused(...reasons);
      }
      case "deleteRange":
        return { kind: "ok", response: this.#deleteRange(command) };
      case "txn": {
        const path = choose(this.store, command, NOW);
        const reasons = this.#refusals(flatten(path));
        return reasons.length === 0 ? { kind: "ok", response: this.#txn(path, true) } : refused(...reasons);
      }
      case "compact": {
        if (command.revision <= this.#compactRevision) return refused("compacted");
        if (command.revision > this.#revision) return refused("future");
        this.#compactRevision = command.revision;
        return { kind: "ok", response: { kind: "compact", revision: this.#revision } };
      }
      case "leaseGrant":
        return this.#grant(command);
      case "leaseRevoke": {
        const lease = this.leases.get(command.id);
        if (lease === undefined) return refused("lease not found");
        for (const key of [...lease.keys].sort()) this.#deleteKey(key);
        this.leases.delete(command.id);
        return { kind: "ok", response: { kind: "leaseRevoke", revision: this.#headerRevision } };
      }
    }
  }

  #grant({ id, ttlSeconds }: LeaseGrantRequest): Result {
    if (this.leases.has(id)) return refused("lease exists");
    const effective = Math.max(ttlSeconds, this.#minTtlSeconds);
    this.leases.set(id, { id, ttlSeconds: effective, keys: new Set() });
    return { kind: "ok", response: { kind: "leaseGrant", revision: this.#revision, id, ttlSeconds: effective } };
  }

  /** Current, or the change's own once it has changed something (H-2). */
  get #headerRevision(): number {
    return this.#changes.length > 0 ? this.#revision + 1 : this.#revision;
  }

  /**
   * P-1, P-2, TX-7: along the chosen path, on the state before any of it. A put that takes something from the pair before
   * it has nothing to take, either, where the same transaction deletes that pair first: etcd crashes there, and a refusal
   * is the only answer without an effect.
   */
  #refusals(ops: readonly PlainOp[]): Refusal[] {
    const reasons: Refusal[] = [];
    for (const [at, op] of ops.entries()) {
      if (op.kind === "put") {
        if (op.lease !== 0n && !this.leases.has(op.lease)) reasons.push("lease not found");
        if ((op.ignoreValue || op.ignoreLease) && !this.#isThere(op.key, ops.slice(0, at)))
          reasons.push("key not found");
      } else if (op.kind === "range" && op.revision !== 0) {
        if (op.revision > this.#revision) reasons.push("future");
        else if (op.revision < this.#compactRevision) reasons.push("compacted");
      }
    }
    return reasons;
  }

  #isThere(key: string, before: readonly PlainOp[]): boolean {
    if (this.store.get(key, this.#revision) === undefined) return false;
    const last = before.findLast(
      (op) => (op.kind === "put" && op.key === key) || (op.kind === "deleteRange" && inRange(key, op.key, op.rangeEnd)),
    );
    return last?.kind !== "deleteRange";
  }

  #txn(path: Path, isOutermost: boolean): TxnResponse {
    const responses = path.ops.map((op): TxnOpResponse => {
      if (op.kind === "put") return this.#put(op);
      if (op.kind === "deleteRange") return this.#deleteRange(op);
      if (op.kind === "path") return this.#txn(op, false);
      return range(this.store, op, op.revision > 0 ? op.revision : NOW, this.#headerRevision);
    });
    // G-5: a nested one has an empty header.
    return {
      kind: "txn",
      revision: isOutermost ? this.#headerRevision : 0,
      succeeded: path.succeeded,
      responses,
    };
  }

  #put(request: PutRequest): PutResponse {
    const { key } = request;
    const now = this.store.get(key, NOW);
    // W-8: a put that creates has none, though it be of a key that the same transaction deletes.
    const before = now === undefined ? undefined : this.store.get(key, this.#revision);
    const value = request.ignoreValue ? (now?.value ?? "") : request.value;
    const lease = request.ignoreLease ? (now?.lease ?? 0n) : request.lease;
    if (now !== undefined) this.leases.get(now.lease)?.keys.delete(key);
    const kv = this.store.put(key, value, lease, this.#revision + 1);
    this.leases.get(lease)?.keys.add(key);
    this.#changes.push({ kind: "put", kv, before });
    return { kind: "put", revision: this.#revision + 1, prevKv: request.prevKv ? now : undefined };
  }

  #deleteRange(request: DeleteRangeRequest): DeleteRangeResponse {
    const pairs = this.store.pairs(request.key, request.rangeEnd, NOW);
    for (const { key } of pairs) this.#deleteKey(key);
    return {
      kind: "deleteRange",
      revision: this.#headerRevision,
      deleted: pairs.length,
      prevKvs: request.prevKv ? pairs : [],
    };
  }

  #deleteKey(key: string): void {
    const now = this.store.get(key, NOW);
    if (now === undefined) throw new Error("the model deletes what is not there");
    this.leases.get(now.lease)?.keys.delete(key);
    const before = this.store.get(key, this.#revision);
    this.#changes.push({ kind: "delete", kv: this.store.delete(key, this.#revision + 1), before });
  }
}

/** TX-2: which branches are taken is decided by the state before the transaction, for all levels at once. */
interface Path {
  readonly kind: "path";
  readonly succeeded: boolean;
  readonly ops: readonly (PlainOp | Path)[];
}

type PlainOp = Exclude<TxnOp, TxnRequest>;

function flatten({ ops }: Path): PlainOp[] {
  return ops.flatMap((op) => (op.kind === "path" ? flatten(op) : [op]));
}

function choose(store: ModelStore, txn: TxnRequest, revision: number): Path {
  const succeeded = txn.compare.every((compare) => holds(store, compare, revision));
  const ops = (succeeded ? txn.success : txn.failure).map((op) =>
    op.kind === "txn" ? choose(store, op, revision) : op,
  );
  return { kind: "path", succeeded, ops };
}

/** TX-11: only ranges, in both branches. */
export function isReadTxn(txn: TxnRequest): boolean {
  return [...txn.success, ...txn.failure].every((op) => op.kind === "range");
}

/** TX-11: such a read need not be linearizable; an empty transaction is one. */
export function isSerializableTxn(txn: TxnRequest): boolean {
  return [...txn.success, ...txn.failure].every((op) => op.kind === "range" && op.serializable);
}

/** What a transaction of reads answers when `revision` is current. */
export function readTxn(
  store: ModelStore,
  txn: TxnRequest,
  revision: number,
): { readonly response: TxnResponse; readonly ranges: readonly RangeRequest[] } {
  const path = choose(store, txn, revision);
  const ranges = path.ops.filter((op): op is RangeRequest => op.kind === "range");
  const responses = ranges.map((op) => range(store, op, op.revision > 0 ? op.revision : revision, revision));
  return { response: { kind: "txn", revision, succeeded: path.succeeded, responses }, ranges };
}

/** L-1. */
export function minTtlSeconds(facts: { readonly electionMs: number; readonly heartbeatMs: number }): number {
  const electionTicks = Math.floor(facts.electionMs / facts.heartbeatMs);
  return Math.ceil((Math.floor((3 * electionTicks) / 2) * facts.heartbeatMs) / 1000);
}
