import type { Lease, Leases } from "../../src/state/machine.ts";

/** The lease records of a member, as its test writes them. */
export class FakeLeases implements Leases {
  readonly records = new Map<bigint, Lease>();
  get size(): number {
    return this.records.size;
  }
  get(id: bigint): Lease | undefined {
    return this.records.get(id);
  }
  ids(): readonly bigint[] {
    return [...this.records.keys()].sort((a, b) => (a < b ? -1 : 1));
  }
  ofKey(): bigint {
    return 0n;
  }
  grant(id: bigint, ttlSeconds: number, remainingSeconds = 0, keys: readonly string[] = []): void {
    this.records.set(id, { id, ttlSeconds, remainingSeconds, keys: new Set(keys) });
  }
}
