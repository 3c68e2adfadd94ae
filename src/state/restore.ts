import { must } from "../../raft/assert.ts";
import type { ConfState } from "../../raft/types.ts";
import type { Backend, Bucket } from "../../storage/backend.ts";
import type { Mvcc } from "../../storage/mvcc/mvcc.ts";
import { CONF_STATE, CONSISTENT_INDEX, decodeUint64, TERM } from "../../storage/schema.ts";
import { parseConfStateJson } from "../../storage/stored-json.ts";
import { AlarmList } from "./alarms.ts";
import { Machine } from "./apply.ts";
import { ClusterState } from "./cluster.ts";
import { Lessor } from "./lessor.ts";
import type { StateMachine } from "./machine.ts";

/** All rows of the buckets that the state machine holds in memory, in whatever order; more buckets do no harm. */
export interface BucketRows {
  readonly [bucket: string]: readonly (readonly [key: string, value: Uint8Array])[];
}

/**
 * The state machine as of what the backend holds: after a start, or a fresh one over an empty backend. `leased` is what
 * the restore of the multi-version store found (L-11). `maxLearners` and `minLeaseTtlSeconds` must be the same on every
 * member, for they decide what entries come to (P-25).
 */
export function openStateMachine(
  backend: Backend,
  mvcc: Mvcc,
  leased: ReadonlyMap<string, bigint>,
  rows: BucketRows,
  minLeaseTtlSeconds: number,
  maxLearners = 1,
): StateMachine {
  const of = (bucket: Bucket) => must(rows[bucket], `the rows of bucket ${bucket} were not read`);
  return new Machine(
    {
      backend,
      mvcc,
      lessor: new Lessor(backend, minLeaseTtlSeconds, of("lease"), leased),
      cluster: new ClusterState(backend, maxLearners, of("members"), of("members_removed")),
      alarms: new AlarmList(backend, of("alarm")),
    },
    { ...storedPoint(backend), confState: storedConfState(backend) },
  );
}

/** The last entry that the store has; index and term 0: none. */
export function storedPoint(backend: Backend): { readonly index: number; readonly term: number } {
  const stored = (key: string): number => {
    const value = backend.get("meta", key);
    return value === undefined ? 0 : decodeUint64(value);
  };
  return { index: stored(CONSISTENT_INDEX), term: stored(TERM) };
}

function storedConfState(backend: Backend): ConfState {
  const value = backend.get("meta", CONF_STATE);
  if (value === undefined) return { voters: [], learners: [] };
  return parseConfStateJson(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf8"));
}
