import { decode, encode } from "../../proto/codec.ts";
import * as leasepb from "../../proto/generated/leasepb.ts";
import { assert } from "../../raft/assert.ts";
import type { Backend } from "../../storage/backend.ts";
import { leaseKey, parseLeaseKey } from "../../storage/schema.ts";
import { type ApiError, errors } from "../api/errors.ts";
import type { Lease, Leases } from "./machine.ts";

const MAX_TTL_SECONDS = 9_000_000_000;

interface LeaseRecord {
  readonly id: bigint;
  readonly ttlSeconds: number;
  remainingSeconds: number;
  readonly keys: Set<string>;
}

/**
 * The replicated lease records (L-1..L-3, L-10..L-12): stored in the bucket `lease`; which keys hang on which lease is
 * derived from the keys' own values. Every attached key is live, and hangs on one lease that exists.
 */
export class Lessor implements Leases {
  readonly #backend: Backend;
  readonly #minTtlSeconds: number;
  readonly #leases = new Map<bigint, LeaseRecord>();
  readonly #leaseOfKey = new Map<string, LeaseRecord>();
  #ids: readonly bigint[] | undefined;

  constructor(
    backend: Backend,
    minTtlSeconds: number,
    rows: Iterable<readonly [key: string, value: Uint8Array]>,
    leased: ReadonlyMap<string, bigint>,
  ) {
    this.#backend = backend;
    this.#minTtlSeconds = minTtlSeconds;
    for (const [key, value] of rows) {
      const id = parseLeaseKey(key);
      const { TTL, remainingTTL } = decode(leasepb.Lease, value);
      const ttlSeconds = Math.max(TTL, minTtlSeconds);
      this.#leases.set(id, { id, ttlSeconds, remainingSeconds: remainingTTL, keys: new Set() });
    }
    for (const [key, id] of leased) this.attach(key, id);
  }

  get size(): number {
    return this.#leases.size;
  }

  get(id: bigint): Lease | undefined {
    return this.#leases.get(id);
  }

  ids(): readonly bigint[] {
    this.#ids ??= [...this.#leases.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    return this.#ids;
  }

  ofKey(key: string): bigint {
    return this.#leaseOfKey.get(key)?.id ?? 0n;
  }

  /** Why a grant is refused. The id 0 is for the proposer to replace (L-1), so here it names no lease. */
  refusal(id: bigint, ttlSeconds: number): ApiError | undefined {
    if (id === 0n) return errors.leaseNotFound;
    if (ttlSeconds > MAX_TTL_SECONDS) return errors.leaseTtlTooLarge;
    return this.#leases.has(id) ? errors.leaseExists : undefined;
  }

  /** Not for a grant that is refused. */
  grant(id: bigint, ttlSeconds: number): Lease {
    assert(this.refusal(id, ttlSeconds) === undefined, `lease ${id} was granted against a refusal`);
    const record: LeaseRecord = {
      id,
      ttlSeconds: Math.max(ttlSeconds, this.#minTtlSeconds),
      remainingSeconds: 0,
      keys: new Set(),
    };
    this.#leases.set(id, record);
    this.#ids = undefined;
    this.#store(record);
    return record;
  }

  /** The lease's keys are deleted and so detached by now. */
  remove(id: bigint): void {
    const record = this.#leases.get(id);
    assert(record !== undefined && record.keys.size === 0, `lease ${id} was removed while keys hung on it`);
    this.#leases.delete(id);
    this.#ids = undefined;
    this.#backend.delete("lease", leaseKey(id));
  }

  /** False when there is no such lease. Persisted from cluster version 3.6 on (L-10). */
  checkpoint(id: bigint, remainingSeconds: number, persist: boolean): boolean {
    const record = this.#leases.get(id);
    if (record === undefined) return false;
    record.remainingSeconds = remainingSeconds;
    if (persist) this.#store(record);
    return true;
  }

  /** Moves the key from whatever lease it hangs on; 0n, or a lease that does not exist, leaves it on none. */
  attach(key: string, id: bigint): void {
    // Of most keys and most members: the text of a key that came just now has no hash yet.
    if (id === 0n && this.#leaseOfKey.size === 0) return;
    const before = this.#leaseOfKey.get(key);
    if (before?.id === id) return;
    before?.keys.delete(key);
    const record = this.#leases.get(id);
    if (record === undefined) {
      if (before !== undefined) this.#leaseOfKey.delete(key);
      return;
    }
    record.keys.add(key);
    this.#leaseOfKey.set(key, record);
  }

  detach(key: string): void {
    this.attach(key, 0n);
  }

  #store({ id, ttlSeconds, remainingSeconds }: LeaseRecord): void {
    const lease = { ID: id, TTL: ttlSeconds, remainingTTL: remainingSeconds };
    this.#backend.put("lease", leaseKey(id), encode(leasepb.Lease, lease));
  }
}
