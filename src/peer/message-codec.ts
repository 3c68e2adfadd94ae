/** Raft's messages as raftpb.Message and back. */

import { DecodeError, decode, EMPTY } from "../../proto/codec.ts";
import * as raftpb from "../../proto/generated/raftpb.ts";
import { unreachable } from "../../raft/assert.ts";
import type { Entry, EntryType, Message, NodeId, Proposal, Snapshot } from "../../raft/types.ts";
import { contentFault, entryFault } from "../../storage/wal-rules.ts";

const CAMPAIGN_TRANSFER = Buffer.from("CampaignTransfer", "latin1");
const NO_ENTRIES: readonly raftpb.Entry[] = [];

/**
 * No honest member gets near it in terms or indexes. A liar can push a term this far, as in any Raft; the rest of the
 * safe integers is room for what this member then adds by itself: a term that no longer rises when one is added would
 * give two votes in one term.
 */
const MAX_TERM_OR_INDEX = 2 ** 52;

/** Ids of reads and rounds; members send 8 bytes. */
const MAX_CONTEXT_BYTES = 64;

export function toWire(m: Message): raftpb.Message {
  switch (m.type) {
    case "MsgApp":
      return wire(m, raftpb.MessageType.MsgApp, m.index, m.logTerm, m.entries, m.commit, false, 0, EMPTY);
    case "MsgAppResp":
      return wire(
        m,
        raftpb.MessageType.MsgAppResp,
        m.index,
        m.logTerm,
        NO_ENTRIES,
        0,
        m.reject,
        m.reject ? m.rejectHint : 0,
        EMPTY,
      );
    case "MsgHeartbeat":
      return wire(m, raftpb.MessageType.MsgHeartbeat, 0, 0, NO_ENTRIES, m.commit, false, 0, m.context);
    case "MsgHeartbeatResp":
      return wire(m, raftpb.MessageType.MsgHeartbeatResp, 0, 0, NO_ENTRIES, 0, false, 0, m.context);
    case "MsgPreVote":
    case "MsgVote": {
      const context = m.transfer ? CAMPAIGN_TRANSFER : EMPTY;
      return wire(m, raftpb.MessageType[m.type], m.index, m.logTerm, NO_ENTRIES, 0, false, 0, context);
    }
    case "MsgPreVoteResp":
    case "MsgVoteResp":
      return wire(m, raftpb.MessageType[m.type], 0, m.logTerm, NO_ENTRIES, m.commit, m.reject, 0, EMPTY);
    case "MsgProp":
      return wire(m, raftpb.MessageType.MsgProp, 0, 0, m.entries.map(proposed), 0, false, 0, EMPTY);
    case "MsgReadIndex":
      return wire(m, raftpb.MessageType.MsgReadIndex, 0, 0, [request(m.id)], 0, false, 0, EMPTY);
    case "MsgReadIndexResp":
      return wire(m, raftpb.MessageType.MsgReadIndexResp, m.index, 0, [request(m.id)], 0, false, 0, EMPTY);
    case "MsgSnap":
      return {
        ...wire(m, raftpb.MessageType.MsgSnap, 0, 0, NO_ENTRIES, 0, false, 0, EMPTY),
        snapshot: wireSnapshot(m.snapshot),
      };
    case "MsgTransferLeader":
    case "MsgTimeoutNow":
      return wire(m, raftpb.MessageType[m.type], 0, 0, NO_ENTRIES, 0, false, 0, EMPTY);
    default:
      return unreachable(m);
  }
}

/** Positional, so that every message has the one hidden class on the hot path. */
function wire(
  m: Message,
  type: number,
  index: number,
  logTerm: number,
  entries: readonly raftpb.Entry[],
  commit: number,
  reject: boolean,
  rejectHint: number,
  context: Uint8Array,
): raftpb.Message {
  return {
    type,
    to: m.to,
    from: m.from,
    term: m.term,
    logTerm,
    index,
    entries,
    commit,
    snapshot: undefined,
    reject,
    rejectHint,
    context,
    vote: 0n,
    responses: [],
  };
}

function proposed(proposal: Proposal): raftpb.Entry {
  return { type: proposal.type, term: 0, index: 0, data: proposal.data };
}

function request(id: Uint8Array): raftpb.Entry {
  return { type: raftpb.EntryType.EntryNormal, term: 0, index: 0, data: id };
}

function wireSnapshot(snapshot: Snapshot): raftpb.Snapshot {
  const { index, term, confState } = snapshot.metadata;
  return {
    data: snapshot.data,
    metadata: { index, term, confState: raftpb.ConfState.create({ ...confState }) },
  };
}

/** Throws DecodeError for bytes that are no message and for messages that no correct member sends. */
export function decodeMessage(bytes: Uint8Array): Message {
  return fromWire(decode(raftpb.Message, bytes));
}

/** What a writer sends on a `message` stream to show that it lives. */
export function isLinkHeartbeat(m: raftpb.Message): boolean {
  return m.type === raftpb.MessageType.MsgHeartbeat && m.from === 0n && m.to === 0n;
}

export function fromWire(m: raftpb.Message): Message {
  const { from, to, term } = m;
  if (from === 0n || to === 0n) throw nonsense(m, "without sender or receiver");
  switch (m.type) {
    case raftpb.MessageType.MsgApp:
      inTerm(m);
      return checkedAppend({
        type: "MsgApp",
        from,
        to,
        term,
        index: m.index,
        logTerm: m.logTerm,
        entries: m.entries as Entry[],
        commit: m.commit,
      });
    case raftpb.MessageType.MsgAppResp:
      inTerm(m);
      return {
        type: "MsgAppResp",
        from,
        to,
        term,
        index: m.index,
        reject: m.reject,
        rejectHint: m.rejectHint,
        logTerm: m.logTerm,
      };
    case raftpb.MessageType.MsgHeartbeat:
      inTerm(m);
      return { type: "MsgHeartbeat", from, to, term, commit: m.commit, context: shortContext(m, m.context) };
    case raftpb.MessageType.MsgHeartbeatResp:
      inTerm(m);
      return { type: "MsgHeartbeatResp", from, to, term, context: shortContext(m, m.context) };
    case raftpb.MessageType.MsgPreVote:
    case raftpb.MessageType.MsgVote: {
      inTerm(m);
      const type = m.type === raftpb.MessageType.MsgVote ? "MsgVote" : "MsgPreVote";
      const transfer = CAMPAIGN_TRANSFER.equals(m.context);
      return { type, from, to, term, index: m.index, logTerm: m.logTerm, transfer };
    }
    case raftpb.MessageType.MsgPreVoteResp:
    case raftpb.MessageType.MsgVoteResp: {
      inTerm(m);
      const type = m.type === raftpb.MessageType.MsgVoteResp ? "MsgVoteResp" : "MsgPreVoteResp";
      return { type, from, to, term, reject: m.reject, commit: m.commit, logTerm: m.logTerm };
    }
    case raftpb.MessageType.MsgProp:
      if (m.entries.length === 0) throw nonsense(m, "without entries");
      return { type: "MsgProp", from, to, term: 0, entries: m.entries.map((entry) => proposal(m, entry)) };
    case raftpb.MessageType.MsgReadIndex:
      return { type: "MsgReadIndex", from, to, term: 0, id: requestId(m) };
    case raftpb.MessageType.MsgReadIndexResp:
      inTerm(m);
      return { type: "MsgReadIndexResp", from, to, term, id: requestId(m), index: m.index };
    case raftpb.MessageType.MsgSnap:
      inTerm(m);
      return { type: "MsgSnap", from, to, term, snapshot: snapshotOf(m) };
    case raftpb.MessageType.MsgTransferLeader:
      // etcd stamps a forwarded one with the forwarder's term; it is a wish, not an act in a term.
      return { type: "MsgTransferLeader", from, to, term: 0 };
    case raftpb.MessageType.MsgTimeoutNow:
      inTerm(m);
      return { type: "MsgTimeoutNow", from, to, term };
    default:
      throw nonsense(m, "that no member sends");
  }
}

type Append = Extract<Message, { type: "MsgApp" }>;

/**
 * The core relies on it: entries follow `index` without a gap, and terms never fall, from logTerm up to the term. So does
 * the log on disk, which stops its member rather than hold an entry that it could not read back.
 */
export function checkedAppend(m: Append): Append {
  let { index, logTerm } = m;
  for (const entry of m.entries) {
    index++;
    if (entry.index !== index) throw new DecodeError(`raft: MsgApp with entry ${entry.index} where ${index} belongs`);
    if (entry.term < logTerm) throw new DecodeError(`raft: MsgApp whose terms fall at entry ${index}`);
    const fault = entryFault(entry);
    if (fault !== undefined) throw new DecodeError(`raft: MsgApp with ${fault}`);
    logTerm = entry.term;
  }
  if (logTerm > m.term) throw new DecodeError(`raft: MsgApp of term ${m.term} with an entry of term ${logTerm}`);
  return m;
}

/** `from` names who it is about or who asked first, not the member that passes it on. */
export function isForwarded(m: Message): boolean {
  return m.type === "MsgProp" || m.type === "MsgReadIndex" || m.type === "MsgTransferLeader";
}

function proposal(m: raftpb.Message, entry: raftpb.Entry): Proposal {
  const fault = contentFault(entry);
  if (fault !== undefined) throw nonsense(m, `with an entry ${fault}`);
  return { type: entry.type as EntryType, data: entry.data };
}

function requestId(m: raftpb.Message): Uint8Array {
  const [entry] = m.entries;
  if (entry === undefined) throw nonsense(m, "without a request id");
  return shortContext(m, entry.data);
}

/** Copied: a round of reads may keep it long after the message that it came in. */
function shortContext(m: raftpb.Message, context: Uint8Array): Uint8Array {
  if (context.length > MAX_CONTEXT_BYTES) throw nonsense(m, `with a context of ${context.length} bytes`);
  return Buffer.from(context);
}

function snapshotOf(m: raftpb.Message): Snapshot {
  const metadata = m.snapshot?.metadata;
  const confState = metadata?.confState;
  if (m.snapshot === undefined || metadata === undefined || confState === undefined || metadata.index === 0) {
    throw nonsense(m, "without a snapshot");
  }
  const { index, term } = metadata;
  if (term === 0 || term > m.term || index > MAX_TERM_OR_INDEX) {
    throw nonsense(m, `with a snapshot of term ${term} and index ${index}`);
  }
  if (confState.votersOutgoing.length > 0 || confState.learnersNext.length > 0) {
    throw nonsense(m, "in a joint configuration");
  }
  const ids = [...confState.voters, ...confState.learners];
  if (confState.voters.length === 0 || ids.includes(0n) || new Set(ids).size < ids.length) {
    throw nonsense(m, "with a snapshot of no possible membership");
  }
  return {
    metadata: {
      index,
      term,
      confState: { voters: ascending(confState.voters), learners: ascending(confState.learners) },
    },
    data: m.snapshot.data,
  };
}

function ascending(ids: readonly NodeId[]): readonly NodeId[] {
  return [...ids].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

function inTerm(m: raftpb.Message): void {
  if (m.term === 0) throw nonsense(m, "without a term");
  if (m.term > MAX_TERM_OR_INDEX) throw nonsense(m, `of term ${m.term}`);
}

function nonsense(m: raftpb.Message, why: string): DecodeError {
  return new DecodeError(`raft: message of type ${m.type} ${why}`);
}
