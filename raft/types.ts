/**
 * The words of the core: what flows in (Input), what flows out (Ready), and what travels between members (Message).
 *
 * Term and index are safe integers; node ids are 64-bit. `0n` means "no node". Bytes are opaque to the core.
 */

export type NodeId = bigint;
export const NONE: NodeId = 0n;

/** raftpb numbers: 0 = a command of the state machine (or empty: a new leader's first entry), 1 = ConfChange. */
export type EntryType = 0 | 1 | 2;
export const ENTRY_NORMAL: EntryType = 0;
export const ENTRY_CONF_CHANGE: EntryType = 1;

export interface Entry {
  readonly type: EntryType;
  readonly term: number;
  readonly index: number;
  readonly data: Uint8Array;
}

/** What a proposer hands in; the leader gives it term and index. */
export interface Proposal {
  readonly type: EntryType;
  readonly data: Uint8Array;
}

export interface HardState {
  readonly term: number;
  readonly vote: NodeId;
  readonly commit: number;
}

/** Both lists ascending, disjoint. */
export interface ConfState {
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
}

export interface SnapshotMetadata {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

export interface Snapshot {
  readonly metadata: SnapshotMetadata;
  readonly data: Uint8Array;
}

interface Envelope {
  readonly from: NodeId;
  readonly to: NodeId;
  /** 0 in messages that are forwarded rather than sent in a term (MsgProp, MsgReadIndex, MsgTransferLeader). */
  readonly term: number;
}

/** The peer protocol's messages, fields as in P-15. */
export type Message = Envelope &
  (
    | {
        readonly type: "MsgApp";
        /** Index and term of the entry before `entries`. */
        readonly index: number;
        readonly logTerm: number;
        readonly entries: readonly Entry[];
        readonly commit: number;
      }
    | {
        readonly type: "MsgAppResp";
        /** Last matched index; on reject, the `index` of the refused MsgApp. */
        readonly index: number;
        readonly reject: boolean;
        /** On reject: where the logs may agree at the latest, and the follower's term there. */
        readonly rejectHint: number;
        readonly logTerm: number;
      }
    | { readonly type: "MsgHeartbeat"; readonly commit: number; readonly context: Uint8Array }
    | { readonly type: "MsgHeartbeatResp"; readonly context: Uint8Array }
    | {
        readonly type: "MsgPreVote" | "MsgVote";
        readonly index: number;
        readonly logTerm: number;
        /** Asked for by a leader that hands over: voters answer even though they hear a leader. */
        readonly transfer: boolean;
      }
    | {
        readonly type: "MsgPreVoteResp" | "MsgVoteResp";
        readonly reject: boolean;
        /** The commit index of the one that was asked, and the term of its entry there. etcd says 0, 0. */
        readonly commit: number;
        readonly logTerm: number;
      }
    | { readonly type: "MsgProp"; readonly entries: readonly Proposal[] }
    | { readonly type: "MsgReadIndex"; readonly id: Uint8Array }
    | { readonly type: "MsgReadIndexResp"; readonly id: Uint8Array; readonly index: number }
    | { readonly type: "MsgSnap"; readonly snapshot: Snapshot }
    | { readonly type: "MsgTransferLeader" }
    | { readonly type: "MsgTimeoutNow" }
  );

export type MessageType = Message["type"];

export type Role = "follower" | "precandidate" | "candidate" | "leader";

/** The membership change that an applied ConfChange entry came to; `none` when it was found invalid at apply. */
export type ConfChange =
  | { readonly kind: "none" }
  | { readonly kind: "addVoter"; readonly node: NodeId }
  | { readonly kind: "addLearner"; readonly node: NodeId }
  | { readonly kind: "remove"; readonly node: NodeId };

export type Input =
  | { readonly kind: "tick" }
  | { readonly kind: "message"; readonly message: Message }
  /** Only while `canPropose`; a follower forwards to its leader (and never again: a lost one is lost). */
  | { readonly kind: "propose"; readonly proposals: readonly Proposal[] }
  /** Asks for a linearizable read point; answered in Ready.reads, or never (then ask again with a new id). */
  | { readonly kind: "readIndex"; readonly id: Uint8Array }
  /** Everything of Ready.persist with this seq and all before it is on disk. */
  | { readonly kind: "persisted"; readonly seq: number }
  /** The state machine holds every entry up to this index. */
  | { readonly kind: "applied"; readonly index: number }
  /** One per applied ConfChange entry, after its effect on the member list was decided. */
  | { readonly kind: "confChange"; readonly change: ConfChange }
  /** Answer to Ready.logReads: the entries asked for, or `compacted` when the log on disk no longer has them. */
  | {
      readonly kind: "logRead";
      readonly to: NodeId;
      readonly result:
        | { readonly kind: "entries"; readonly prevTerm: number; readonly entries: readonly Entry[] }
        | { readonly kind: "compacted" };
    }
  /** Entries up to `index` (applied ones only) may leave the memory window; they stay readable through logReads. */
  | { readonly kind: "trim"; readonly index: number }
  /** The state machine can give a snapshot at this point, and the log on disk now starts behind `storedFrom`. */
  | { readonly kind: "snapshotAvailable"; readonly metadata: SnapshotMetadata; readonly storedFrom: number }
  /** What became of a MsgSnap; `index`: where the state that was really sent stands, if that is not what it named. */
  | { readonly kind: "snapshotReport"; readonly to: NodeId; readonly ok: boolean; readonly index?: number }
  /** A message to this node was lost or could not be sent. */
  | { readonly kind: "unreachable"; readonly node: NodeId }
  /**
   * The process of this member is not there: its connections are closed, and nobody listens at its addresses. A hint
   * that makes an election come sooner; a false one costs at most an unneeded pre-vote. Without preVote, where it could
   * depose a leader, it has no effect.
   */
  | { readonly kind: "gone"; readonly node: NodeId }
  /** A leader hands over to this voter; a follower may name itself, and asks its leader to. Else it has no effect. */
  | { readonly kind: "transferLeader"; readonly to: NodeId }
  /** Followers are to hear now of what is committed (`isCommitUntold`), even if there is nothing else to send. */
  | { readonly kind: "tellCommit" }
  | { readonly kind: "campaign" };

export interface Persist {
  /** Rises by one; answered by `persisted`. */
  readonly seq: number;
  readonly hardState: HardState | undefined;
  /** They replace whatever the log has from entries[0].index on. */
  readonly entries: readonly Entry[];
  /** Received from a leader: replaces log and state. */
  readonly snapshot: Snapshot | undefined;
  /** False when only `commit` moved, and past no membership change: that may be written without a sync of its own. */
  readonly mustSync: boolean;
  /** To be sent once this is on disk, never before: votes and acknowledgements. */
  readonly thenSend: readonly Message[];
}

export interface LogRead {
  readonly to: NodeId;
  /** First index wanted; the answer also names the term of the entry before it. */
  readonly from: number;
  /** Last index wanted at most; all of it is committed. */
  readonly through: number;
  readonly maxBytes: number;
}

export interface ReadPoint {
  readonly id: Uint8Array;
  /** A read that waits until this index is applied sees every write acknowledged before the read was asked for. */
  readonly index: number;
}

export interface SoftState {
  readonly role: Role;
  readonly term: number;
  readonly leader: NodeId;
}

/** Effects for the driver. Every list is in order; absent fields mean nothing to do. */
export interface Ready {
  readonly messages: readonly Message[];
  readonly persist: Persist | undefined;
  /** Next entries to apply: committed, on this member's disk, not handed out before. Bounded by maxCommittedBytes. */
  readonly committed: readonly Entry[];
  readonly reads: readonly ReadPoint[];
  readonly logReads: readonly LogRead[];
  /** Present when role, term or leader changed. */
  readonly softState: SoftState | undefined;
}

export interface RaftConfig {
  readonly id: NodeId;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  /** Entry bytes in one MsgApp at most (one entry always goes). */
  readonly maxMessageBytes: number;
  /** MsgApps in flight to one follower at most, and their bytes. */
  readonly maxInflight: number;
  readonly maxInflightBytes: number;
  /** Entry bytes in one Ready.committed at most (one entry always goes). */
  readonly maxCommittedBytes: number;
  /**
   * Bytes of entries proposed and not yet applied (in the log above `applied`, committed or not) beyond which canPropose
   * is false on a leader, and forwarded proposals are dropped. A follower with committed entries to apply and twice as
   * many bytes takes no more entries until it has applied some. Either way memory is bounded by this and one message,
   * whether it is the log on disk or the state machine that is slow.
   */
  readonly maxUncommittedBytes: number;
  /** An integer in [0, n). The only source of chance: election timeouts. */
  readonly random: (n: number) => number;
}

/** What the disk remembered. A fresh member starts from its bootstrap entries, all as if replayed. */
export interface Restored {
  readonly hardState: HardState;
  /** As of `applied`. */
  readonly confState: ConfState;
  readonly applied: number;
  /** Index and term just before `entries`: the end of what is not in memory (0, 0 for a whole log). */
  readonly before: { readonly index: number; readonly term: number };
  /** The rest of the log, contiguous from before.index + 1; all on disk. */
  readonly entries: readonly Entry[];
  /** First index that logReads can get from disk (before.index + 1 when the disk has nothing older). */
  readonly storedFrom: number;
}
