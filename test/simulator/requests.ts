/** Draws requests of every kind, over few keys so that they meet each other. */
import {
  CompactionRequest,
  type Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
} from "../../proto/generated/etcdserverpb.ts";
import type { Random } from "./random.ts";
import type { WorkloadPlan } from "./swarm.ts";

/** What clients have heard, for requests that are near the truth. Clients share it, as people share a wall. */
export interface Knowledge {
  /** Highest revision seen in an answer. */
  revision: number;
  readonly leases: bigint[];
  /** Written by somebody, lately. */
  readonly values: string[];
}

const KEPT = 20;

export function remember<T>(list: T[], item: T): void {
  list.push(item);
  if (list.length > KEPT) list.shift();
}

export class Requests {
  readonly #plan: WorkloadPlan;
  readonly #random: Random;
  readonly #knowledge: Knowledge;
  readonly #writer: string;
  #count = 0;

  constructor(plan: WorkloadPlan, random: Random, knowledge: Knowledge, writer: string) {
    this.#plan = plan;
    this.#random = random;
    this.#knowledge = knowledge;
    this.#writer = writer;
  }

  key(): string {
    return `k${this.#random.below(this.#plan.keys)}`;
  }

  /** A key alone, a part of the keys, everything from a key on, or all. */
  range(): { readonly key: string; readonly rangeEnd: string } {
    const key = this.key();
    switch (this.#random.below(8)) {
      case 0:
        return { key: "\0", rangeEnd: "\0" };
      case 1:
        return { key, rangeEnd: "\0" };
      case 2:
        return { key: "k", rangeEnd: "l" };
      case 3: {
        const other = this.key();
        return key < other ? { key, rangeEnd: other } : { key: other, rangeEnd: `${key}\0` };
      }
      default:
        return { key, rangeEnd: "" };
    }
  }

  /** Never the same twice, so that every read tells whose write it saw. */
  value(): string {
    const random = this.#random;
    const name = `${this.#writer}.${++this.#count}`;
    const value = random.chance(0.3) ? name.padEnd(random.below(this.#plan.maxValueBytes), "·") : name;
    remember(this.#knowledge.values, value);
    return value;
  }

  lease(): bigint {
    const { leases } = this.#knowledge;
    if (leases.length === 0 || this.#random.chance(0.05)) return BigInt(this.#random.between(1, 5));
    return this.#random.pick(leases);
  }

  put(): PutRequest {
    const random = this.#random;
    const ignoreValue = random.chance(0.05);
    const ignoreLease = random.chance(0.05);
    return PutRequest.create({
      key: this.key(),
      value: ignoreValue ? Buffer.alloc(0) : Buffer.from(this.value(), "latin1"),
      lease: !ignoreLease && random.chance(0.15) ? this.lease() : 0n,
      prevKv: random.chance(0.3),
      ignoreValue,
      ignoreLease,
    });
  }

  readRange(kind: "now" | "serializable" | "old"): RangeRequest {
    const random = this.#random;
    const { revision } = this.#knowledge;
    const bound = (): number => (random.chance(0.05) ? Math.max(0, revision - random.below(30)) : 0);
    const isPlain = random.chance(0.6);
    return RangeRequest.create({
      ...this.range(),
      serializable: kind === "serializable" || (kind === "old" && random.chance(0.5)),
      revision: kind === "old" ? Math.max(1, revision + 2 - random.below(30)) : 0,
      ...(isPlain
        ? {}
        : {
            limit: random.pick([0, 1, 2, 5]),
            sortOrder: random.below(3),
            sortTarget: random.below(5),
            keysOnly: random.chance(0.2),
            countOnly: random.chance(0.1),
            minModRevision: bound(),
            maxModRevision: bound(),
            minCreateRevision: bound(),
            maxCreateRevision: bound(),
          }),
    });
  }

  /** All keys as of then, from the member's own state. */
  wholeRange(revision: number): RangeRequest {
    return RangeRequest.create({ key: "k", rangeEnd: "l", revision, serializable: true });
  }

  deleteRange(): DeleteRangeRequest {
    return DeleteRangeRequest.create({ ...this.range(), prevKv: this.#random.chance(0.4) });
  }

  compact(): CompactionRequest {
    const { revision } = this.#knowledge;
    const random = this.#random;
    const target = random.chance(0.1) ? revision + random.between(-1, 2) : revision - random.below(60);
    return CompactionRequest.create({ revision: Math.max(0, target), physical: random.chance(0.3) });
  }

  txn(depth = 0): TxnRequest {
    const random = this.#random;
    const compare = Array.from({ length: random.below(3) }, () => this.#compare());
    return TxnRequest.create({ compare, success: this.#ops(depth), failure: this.#ops(depth) });
  }

  #ops(depth: number): RequestOp[] {
    return Array.from({ length: this.#random.below(4) }, () => this.#op(depth));
  }

  #op(depth: number): RequestOp {
    switch (this.#random.below(depth < 2 ? 8 : 7)) {
      case 0:
      case 1:
      case 2:
        return { request: { kind: "requestPut", value: this.put() } };
      case 3:
        return { request: { kind: "requestDeleteRange", value: this.deleteRange() } };
      case 7:
        return { request: { kind: "requestTxn", value: this.txn(depth + 1) } };
      default: {
        const value = this.readRange(this.#random.chance(0.1) ? "old" : "now");
        return { request: { kind: "requestRange", value: { ...value, serializable: false } } };
      }
    }
  }

  #compare(): Compare {
    const random = this.#random;
    const { revision, values } = this.#knowledge;
    const near = Math.max(0, revision - random.below(10));
    const isRange = random.chance(0.15);
    const place = isRange ? this.range() : { key: this.key(), rangeEnd: "" };
    const result = random.below(4);
    switch (random.below(6)) {
      case 0:
        return { ...place, result, target: 0, targetUnion: { kind: "version", value: random.below(4) } };
      case 1:
        return { ...place, result, target: 1, targetUnion: { kind: "createRevision", value: random.pick([0, near]) } };
      case 2:
      case 3:
        return { ...place, result, target: 2, targetUnion: { kind: "modRevision", value: near } };
      case 4: {
        const value = values.length === 0 ? "" : random.pick(values);
        return { ...place, result, target: 3, targetUnion: { kind: "value", value: Buffer.from(value, "latin1") } };
      }
      default:
        return { ...place, result, target: 4, targetUnion: { kind: "lease", value: random.pick([0n, this.lease()]) } };
    }
  }
}
