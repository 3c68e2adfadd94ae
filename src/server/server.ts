import type { Member, MemberAddResponse, ResponseHeader } from "../../proto/generated/etcdserverpb.ts";
import type { SoftState } from "../../raft/types.ts";
import type { KeyVersion } from "../../storage/mvcc/mvcc.ts";
import type { ApplyResult, Command, StateMachine } from "../state/machine.ts";
import type { WatchHub } from "../watch/hub.ts";
import type { CallLimits } from "./call-limits.ts";
import type { DatabaseFile } from "./databases.ts";
import type { KvHash } from "./kv-hashes.ts";
import type { Waiter } from "./waiter.ts";

/**
 * The member as services see it. Every promise rejects with ApiError only, and waiters hear of no other.
 */
export interface Server {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  /** Read-only for services: local (serializable) reads, lease and member lists. */
  readonly state: StateMachine;
  readonly watch: WatchHub;

  /** cluster_id, member_id, raft_term, and the given revision (H-1). */
  header(revision: number): ResponseHeader;

  /**
   * Replicates the command and applies it here; `waiter` hears what apply decided: the response message of the command,
   * its header filled in (H-1), or the error. The write is then on the disks of a quorum. Size, backlog and time limits:
   * G-6..G-9, G-14; what is refused at once is thrown.
   */
  submit(command: Command, limits: CallLimits, waiter: Waiter<unknown>): void;
  /** Likewise; every error rejects. */
  propose(command: Command, limits: CallLimits): Promise<Extract<ApplyResult, { kind: "response" }>["response"]>;

  /**
   * The stored pairs of versions that `state.mvcc` gave, in their order, off the event loop where they are not in memory.
   * Their revision is to be pinned. Rejects with what the store rejects with.
   */
  values(versions: readonly KeyVersion[]): Promise<readonly Uint8Array[]>;

  /** `waiter` hears when this member's state holds every write acknowledged anywhere before the call. */
  awaitReadBarrier(limits: CallLimits, waiter: Waiter<void>): void;
  /** Likewise; every error rejects. */
  readBarrier(limits: CallLimits): Promise<void>;

  readonly membership: MembershipChanges;

  /** On the leader, to a voter; resolves when this member sees that one lead (N-14). */
  moveLeader(target: bigint, limits: CallLimits): Promise<void>;

  /** A lease id that no lease has now: 52 random bits, so that JSON readers keep it exact. */
  nextLeaseId(): bigint;
  /** Of all leases known here; on the leader those that end soonest come first, elsewhere by id (L-7). */
  leaseIds(): readonly bigint[];
  /** Renews on the leader, forwarded if need be; its seconds to live, 0 when unknown or expired (L-4). */
  leaseKeepAlive(id: bigint, limits: CallLimits, waiter: Waiter<number>): void;
  /** Undefined when unknown (L-6). */
  leaseTimeToLive(
    id: bigint,
    withKeys: boolean,
    limits: CallLimits,
  ): Promise<
    { readonly remainingSeconds: number; readonly grantedSeconds: number; readonly keys: readonly string[] } | undefined
  >;

  /** HashKV (N-4, N-5); 0 = current. */
  hashKv(revision: number, limits: CallLimits): Promise<KvHash>;
  /** Hash of all that is stored (N-6). */
  hashStore(limits: CallLimits): Promise<number>;
  /** The store as of the call, as a database file; to be closed. Takes its time: the whole store is read before. */
  openDatabase(signal: AbortSignal): Promise<DatabaseFile>;
  /** Resolves when what the compaction that is under way removes is gone from the disk (C-3). */
  compactionFinished(limits: CallLimits): Promise<void>;

  /** N-3: this member's store gives back the space of what it no longer holds; reads and writes go on. */
  defragment(limits: CallLimits): Promise<void>;
  /** N-15; resolves with the cluster's version. Action and version as they were sent. */
  downgrade(action: number, version: string, limits: CallLimits): Promise<string>;

  /** N-13: this member's store was found to differ from the others'. It answers no reads. */
  isCorrupt(): boolean;
  /** Calls back when that is found, until the returned function is called. */
  onCorrupt(callback: () => void): () => void;

  status(): ServerStatus;
  /** Calls back on every change of leader or term until the returned function is called. */
  onLeaderChange(callback: (state: SoftState) => void): () => void;
}

/** M-2..M-6. Each resolves when this member has applied the change (M-9), with all members after it. */
export interface MembershipChanges {
  /** The URLs as `memberUrls` gives them. The response's header is not filled in. */
  add(peerUrls: readonly string[], isLearner: boolean, limits: CallLimits): Promise<MemberAddResponse>;
  remove(id: bigint, limits: CallLimits): Promise<readonly Member[]>;
  update(id: bigint, peerUrls: readonly string[], limits: CallLimits): Promise<readonly Member[]>;
  promote(id: bigint, limits: CallLimits): Promise<readonly Member[]>;
}

export interface ServerStatus {
  readonly leader: bigint;
  readonly isLearner: boolean;
  readonly raftTerm: number;
  readonly committedIndex: number;
  readonly appliedIndex: number;
  readonly dbSizeBytes: number;
  readonly dbSizeInUseBytes: number;
  readonly dbSizeQuotaBytes: number;
  readonly errors: readonly string[];
}
