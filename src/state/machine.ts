import type { AlarmMember, InternalRaftRequest } from "../../proto/generated/etcdserverpb.ts";
import type { ConfChange, ConfState, Entry } from "../../raft/types.ts";
import type { KeyEvent, Mvcc } from "../../storage/mvcc/mvcc.ts";
import type { ApiError } from "../api/errors.ts";

/**
 * The replicated state machine: what every member becomes by applying the same entries in the same order.
 *
 * `apply` is synchronous and calls nobody. Its state is the backend's content plus indexes derived from it; the index
 * and term of the entry are staged in the backend together with the entry's effect, so a replayed entry
 * (index <= appliedIndex) has no effect. A user's error is a value, decided before the first mutation; whatever is
 * thrown is a fault of this member and must stop it.
 */
export interface StateMachine {
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  /** As of appliedIndex; what raft restarts from. */
  readonly confState: ConfState;
  readonly mvcc: Mvcc;
  readonly leases: Leases;
  readonly cluster: Cluster;
  readonly alarms: Alarms;

  /**
   * `wanted`: whether a client of this member waits for the request of that id; only then are its response and the
   * results of its reads made. What becomes of the state does not depend on it.
   */
  apply(entry: Entry, wanted: (requestId: bigint) => boolean): Applied;
}

export interface Applied {
  readonly index: number;
  /** header.ID of the request (or ConfChange.id) that proposers wait on; 0n for entries nobody proposed. */
  readonly requestId: bigint;
  readonly result: ApplyResult;
  /** Revision after the entry. */
  readonly revision: number;
  readonly events: readonly KeyEvent[];
  /** To be fed to raft, for every ConfChange entry. */
  readonly confChange: ConfChange | undefined;
  /** True for the first (empty) entry of a new leader (P-20). */
  readonly leaderEntry: boolean;
  /** Lease life facts, for the timers of a leader. */
  readonly leases: readonly LeaseFact[];
}

export type LeaseFact =
  | { readonly kind: "granted"; readonly id: bigint; readonly ttlSeconds: number }
  | { readonly kind: "revoked"; readonly id: bigint }
  | { readonly kind: "checkpointed"; readonly id: bigint; readonly remainingSeconds: number };

/**
 * `response` is the API's response message of the command (PutResponse, TxnResponse, ... as in proto/generated), with a
 * header that carries only `revision`; whoever answers fills in the rest. Absent when not wanted. An `error` means that
 * the entry had no effect, save one: answerTooLarge (answer.ts), which only the member that was to answer meets.
 */
export type ApplyResult =
  | { readonly kind: "response"; readonly response: unknown }
  | { readonly kind: "error"; readonly error: ApiError }
  | { readonly kind: "none" };

/** One command for the log: exactly one payload field of InternalRaftRequest is set. */
export type Command = Partial<Omit<InternalRaftRequest, "header" | "ID" | "v2">>;

/** Replicated lease records: no time in here, only what was granted and what is attached. */
export interface Leases {
  readonly size: number;
  get(id: bigint): Lease | undefined;
  /** Ascending by id (as signed 64-bit). */
  ids(): readonly bigint[];
  /** The lease a key hangs on, or 0n. */
  ofKey(key: string): bigint;
}

export interface Lease {
  readonly id: bigint;
  readonly ttlSeconds: number;
  /** 0: none checkpointed. */
  readonly remainingSeconds: number;
  readonly keys: ReadonlySet<string>;
}

/** Replicated member list and cluster version. */
export interface Cluster {
  /** Ascending by id. */
  members(): readonly ClusterMember[];
  member(id: bigint): ClusterMember | undefined;
  isRemoved(id: bigint): boolean;
  /** Ascending. */
  removed(): readonly bigint[];
  /** "3.6.0", or undefined until decided. */
  readonly version: string | undefined;
  /** `targetVersion` is "" unless enabled (N-15). */
  readonly downgrade: { readonly enabled: boolean; readonly targetVersion: string };
}

/** Replicated alarms (N-10). */
export interface Alarms {
  /** Ascending by type, then member; AlarmType.NONE: of every type. */
  list(type: number): readonly AlarmMember[];
  isActive(type: number): boolean;
}

export interface ClusterMember {
  readonly id: bigint;
  /** "" until the member has published itself. */
  readonly name: string;
  readonly peerURLs: readonly string[];
  readonly clientURLs: readonly string[];
  readonly isLearner: boolean;
}
