/** What is measured, and what Quorate is to reach beside etcd. */

export type Shape =
  | {
      readonly kind: "calls";
      readonly calls: "put" | "txn" | "range" | "mixed";
      readonly connections: number;
      readonly clientsPerConnection: number;
      readonly serializable?: boolean;
    }
  | {
      readonly kind: "watch";
      readonly connections: number;
      readonly watchers: number;
      readonly putsAtATime: number;
    }
  | { readonly kind: "keep-alive"; readonly connections: number; readonly streamsPerConnection: number }
  | { readonly kind: "big-range"; readonly keys: number }
  | { readonly kind: "memory"; readonly keys: number };

/** Quorate's figure divided by etcd's. */
export interface Targets {
  readonly throughput?: number;
  readonly p99?: number;
  readonly cpu?: number;
  readonly memory?: number;
}

export interface Workload {
  readonly name: string;
  readonly about: string;
  /** What one operation is. */
  readonly operation: string;
  readonly shape: Shape;
  readonly targets: Targets;
}

/** Single puts, reads and transactions choose from so many keys, all there from the beginning. */
export const CALL_KEYS = 10_000;
export const VALUE_BYTES = 256;
/** No p99 above etcd's. */
const NOT_ABOVE = 1;

const put1 = { kind: "calls", calls: "put", connections: 1, clientsPerConnection: 1 } as const;
const clients100 = { connections: 10, clientsPerConnection: 10 } as const;
const clients1000 = { connections: 50, clientsPerConnection: 20 } as const;

export const workloads: readonly Workload[] = [
  {
    name: "put-1",
    about: "put, 1 client",
    operation: "put",
    shape: put1,
    targets: { throughput: 1.1, p99: NOT_ABOVE, cpu: 0.7 },
  },
  {
    name: "put-100",
    about: "put, 100 clients (10 connections x 10 streams)",
    operation: "put",
    shape: { kind: "calls", calls: "put", ...clients100 },
    targets: { throughput: 2, p99: NOT_ABOVE, cpu: 0.5 },
  },
  {
    name: "put-1000",
    about: "put, 1,000 clients (50 connections x 20 streams)",
    operation: "put",
    shape: { kind: "calls", calls: "put", ...clients1000 },
    targets: { throughput: 2.2, p99: NOT_ABOVE, cpu: 0.5 },
  },
  {
    name: "range-lin",
    about: "range of one key, linearizable, 1,000 clients",
    operation: "range",
    shape: { kind: "calls", calls: "range", ...clients1000 },
    targets: { throughput: 2.5, p99: NOT_ABOVE, cpu: 0.4 },
  },
  {
    name: "range-ser",
    about: "range of one key, serializable, 1,000 clients",
    operation: "range",
    shape: { kind: "calls", calls: "range", serializable: true, ...clients1000 },
    targets: { throughput: 2.5, p99: NOT_ABOVE, cpu: 0.4 },
  },
  {
    name: "txn",
    about: "transaction of one comparison and one put, 1,000 clients",
    operation: "txn",
    shape: { kind: "calls", calls: "txn", ...clients1000 },
    targets: { throughput: 2, p99: NOT_ABOVE, cpu: 0.5 },
  },
  {
    name: "mixed",
    about: "80 % linearizable ranges, 20 % puts, 1,000 clients",
    operation: "call",
    shape: { kind: "calls", calls: "mixed", ...clients1000 },
    targets: {},
  },
  {
    name: "watch",
    about: "1,000 watchers of one key on 10 streams, 8 puts at a time",
    operation: "event",
    shape: { kind: "watch", connections: 10, watchers: 1_000, putsAtATime: 8 },
    targets: { throughput: 2, p99: NOT_ABOVE, cpu: 0.5 },
  },
  {
    name: "watch-64",
    about: "the same with 64 puts at a time",
    operation: "event",
    shape: { kind: "watch", connections: 10, watchers: 1_000, putsAtATime: 64 },
    targets: { throughput: 2, p99: NOT_ABOVE, cpu: 0.5 },
  },
  {
    name: "keep-alive",
    about: "lease keep-alive, 1,000 streams on 10 connections",
    operation: "renewal",
    shape: { kind: "keep-alive", connections: 10, streamsPerConnection: 100 },
    targets: { throughput: 2, p99: NOT_ABOVE, cpu: 0.5 },
  },
  {
    name: "big-range",
    about: "range of 100,000 keys, 1 client; beside it 200 ranges of one key a second",
    operation: "range of all",
    shape: { kind: "big-range", keys: 100_000 },
    targets: {},
  },
];

/** With --memory. */
export const memoryWorkload: Workload = {
  name: "memory",
  about: "resident memory with 1,000,000 keys",
  operation: "put",
  shape: { kind: "memory", keys: 1_000_000 },
  targets: { memory: 1.3 },
};
