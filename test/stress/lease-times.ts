/** The value of a lease's key says when the lease is to end, to whoever sees the key go. */
export interface LeaseTimes {
  /** Of the grant, by the common clock. */
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly ttlMs: number;
}

export interface Departure extends LeaseTimes {
  readonly id: number;
  /** Arrival of the delete at the watcher. */
  readonly goneAt: number;
}

export function leaseKey(prefix: string, id: number): string {
  return `${prefix}${id}`;
}

export function leaseOf(prefix: string, key: string): number {
  return Number(key.slice(prefix.length));
}

export function writeTimes({ sentAt, answeredAt, ttlMs }: LeaseTimes): string {
  return `${sentAt} ${answeredAt} ${ttlMs}`;
}

export function readTimes(value: Uint8Array): LeaseTimes {
  const [sentAt, answeredAt, ttlMs] = Buffer.from(value).toString("latin1").split(" ").map(Number);
  return { sentAt: sentAt ?? Number.NaN, answeredAt: answeredAt ?? Number.NaN, ttlMs: ttlMs ?? Number.NaN };
}
