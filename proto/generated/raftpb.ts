// Made by scripts/generate-wire.ts from proto/*.proto. Do not edit.
import type { Codec, Reader } from "../codec.ts";
import {
  sizeDelimited,
  sizeBytes,
  sizeUint,
  sizeInt,
  sizeBits,
  writeBytes,
  writeUint,
  writeInt,
  writeBits,
  EMPTY,
} from "../codec.ts";

export const EntryType = {
  EntryNormal: 0,
  EntryConfChange: 1,
  EntryConfChangeV2: 2,
} as const;

export const MessageType = {
  MsgHup: 0,
  MsgBeat: 1,
  MsgProp: 2,
  MsgApp: 3,
  MsgAppResp: 4,
  MsgVote: 5,
  MsgVoteResp: 6,
  MsgSnap: 7,
  MsgHeartbeat: 8,
  MsgHeartbeatResp: 9,
  MsgUnreachable: 10,
  MsgSnapStatus: 11,
  MsgCheckQuorum: 12,
  MsgTransferLeader: 13,
  MsgTimeoutNow: 14,
  MsgReadIndex: 15,
  MsgReadIndexResp: 16,
  MsgPreVote: 17,
  MsgPreVoteResp: 18,
  MsgStorageAppend: 19,
  MsgStorageAppendResp: 20,
  MsgStorageApply: 21,
  MsgStorageApplyResp: 22,
  MsgForgetLeader: 23,
} as const;

export const ConfChangeTransition = {
  ConfChangeTransitionAuto: 0,
  ConfChangeTransitionJointImplicit: 1,
  ConfChangeTransitionJointExplicit: 2,
} as const;

export const ConfChangeType = {
  ConfChangeAddNode: 0,
  ConfChangeRemoveNode: 1,
  ConfChangeUpdateNode: 2,
  ConfChangeAddLearnerNode: 3,
} as const;

export interface Entry {
  readonly type: number;
  readonly term: number;
  readonly index: number;
  readonly data: Uint8Array;
}
export function sizeEntry(m: Entry): number {
  let size = 0;
  size += 1 + sizeInt(m.type);
  size += 1 + sizeUint(m.term);
  size += 1 + sizeUint(m.index);
  if (m.data.length > 0) size += 1 + sizeBytes(m.data);
  return size;
}
export function writeEntry(m: Entry, out: Buffer, start: number): number {
  let at = start;
  out[at++] = 8;
  at = writeInt(m.type, out, at);
  out[at++] = 16;
  at = writeUint(m.term, out, at);
  out[at++] = 24;
  at = writeUint(m.index, out, at);
  if (m.data.length > 0) {
    out[at++] = 34;
    at = writeBytes(m.data, out, at);
  }
  return at;
}
export function readEntry(reader: Reader, end: number): Entry {
  let type: number = 0;
  let term: number = 0;
  let index: number = 0;
  let data: Uint8Array = EMPTY;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        type = reader.int32();
        break;
      case 2:
        reader.expect(tag, 0);
        term = reader.uint64();
        break;
      case 3:
        reader.expect(tag, 0);
        index = reader.uint64();
        break;
      case 4:
        reader.expect(tag, 2);
        data = reader.bytes();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { type, term, index, data };
}
export const Entry: Codec<Entry> = {
  create: (init = {}) => ({ type: 0, term: 0, index: 0, data: EMPTY, ...init }),
  size: sizeEntry,
  write: writeEntry,
  read: readEntry,
};

export interface SnapshotMetadata {
  readonly confState: ConfState | undefined;
  readonly index: number;
  readonly term: number;
}
export function sizeSnapshotMetadata(m: SnapshotMetadata): number {
  let size = 0;
  size += 1 + sizeDelimited(m.confState === undefined ? 0 : sizeConfState(m.confState));
  size += 1 + sizeUint(m.index);
  size += 1 + sizeUint(m.term);
  return size;
}
export function writeSnapshotMetadata(m: SnapshotMetadata, out: Buffer, start: number): number {
  let at = start;
  out[at++] = 10;
  if (m.confState === undefined) out[at++] = 0;
  else {
    at = writeUint(sizeConfState(m.confState), out, at);
    at = writeConfState(m.confState, out, at);
  }
  out[at++] = 16;
  at = writeUint(m.index, out, at);
  out[at++] = 24;
  at = writeUint(m.term, out, at);
  return at;
}
export function readSnapshotMetadata(reader: Reader, end: number): SnapshotMetadata {
  let confState: ConfState | undefined = undefined;
  let index: number = 0;
  let term: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        confState = reader.message(readConfState);
        break;
      case 2:
        reader.expect(tag, 0);
        index = reader.uint64();
        break;
      case 3:
        reader.expect(tag, 0);
        term = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { confState, index, term };
}
export const SnapshotMetadata: Codec<SnapshotMetadata> = {
  create: (init = {}) => ({ confState: undefined, index: 0, term: 0, ...init }),
  size: sizeSnapshotMetadata,
  write: writeSnapshotMetadata,
  read: readSnapshotMetadata,
};

export interface Snapshot {
  readonly data: Uint8Array;
  readonly metadata: SnapshotMetadata | undefined;
}
export function sizeSnapshot(m: Snapshot): number {
  let size = 0;
  if (m.data.length > 0) size += 1 + sizeBytes(m.data);
  size += 1 + sizeDelimited(m.metadata === undefined ? 0 : sizeSnapshotMetadata(m.metadata));
  return size;
}
export function writeSnapshot(m: Snapshot, out: Buffer, start: number): number {
  let at = start;
  if (m.data.length > 0) {
    out[at++] = 10;
    at = writeBytes(m.data, out, at);
  }
  out[at++] = 18;
  if (m.metadata === undefined) out[at++] = 0;
  else {
    at = writeUint(sizeSnapshotMetadata(m.metadata), out, at);
    at = writeSnapshotMetadata(m.metadata, out, at);
  }
  return at;
}
export function readSnapshot(reader: Reader, end: number): Snapshot {
  let data: Uint8Array = EMPTY;
  let metadata: SnapshotMetadata | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        data = reader.bytes();
        break;
      case 2:
        reader.expect(tag, 2);
        metadata = reader.message(readSnapshotMetadata);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { data, metadata };
}
export const Snapshot: Codec<Snapshot> = {
  create: (init = {}) => ({ data: EMPTY, metadata: undefined, ...init }),
  size: sizeSnapshot,
  write: writeSnapshot,
  read: readSnapshot,
};

export interface Message {
  readonly type: number;
  readonly to: bigint;
  readonly from: bigint;
  readonly term: number;
  readonly logTerm: number;
  readonly index: number;
  readonly entries: readonly Entry[];
  readonly commit: number;
  readonly snapshot: Snapshot | undefined;
  readonly reject: boolean;
  readonly rejectHint: number;
  readonly context: Uint8Array;
  readonly vote: bigint;
  readonly responses: readonly Message[];
}
export function sizeMessage(m: Message): number {
  let size = 0;
  size += 1 + sizeInt(m.type);
  size += 1 + sizeBits(m.to);
  size += 1 + sizeBits(m.from);
  size += 1 + sizeUint(m.term);
  size += 1 + sizeUint(m.logTerm);
  size += 1 + sizeUint(m.index);
  for (const v of m.entries) size += 1 + sizeDelimited(sizeEntry(v));
  size += 1 + sizeUint(m.commit);
  if (m.snapshot !== undefined) size += 1 + sizeDelimited(sizeSnapshot(m.snapshot));
  size += 1 + 1;
  size += 1 + sizeUint(m.rejectHint);
  if (m.context.length > 0) size += 1 + sizeBytes(m.context);
  size += 1 + sizeBits(m.vote);
  for (const v of m.responses) size += 1 + sizeDelimited(sizeMessage(v));
  return size;
}
export function writeMessage(m: Message, out: Buffer, start: number): number {
  let at = start;
  out[at++] = 8;
  at = writeInt(m.type, out, at);
  out[at++] = 16;
  at = writeBits(m.to, out, at);
  out[at++] = 24;
  at = writeBits(m.from, out, at);
  out[at++] = 32;
  at = writeUint(m.term, out, at);
  out[at++] = 40;
  at = writeUint(m.logTerm, out, at);
  out[at++] = 48;
  at = writeUint(m.index, out, at);
  for (const v of m.entries) {
    out[at++] = 58;
    at = writeUint(sizeEntry(v), out, at);
    at = writeEntry(v, out, at);
  }
  out[at++] = 64;
  at = writeUint(m.commit, out, at);
  if (m.snapshot !== undefined) {
    out[at++] = 74;
    at = writeUint(sizeSnapshot(m.snapshot), out, at);
    at = writeSnapshot(m.snapshot, out, at);
  }
  out[at++] = 80;
  out[at++] = m.reject ? 1 : 0;
  out[at++] = 88;
  at = writeUint(m.rejectHint, out, at);
  if (m.context.length > 0) {
    out[at++] = 98;
    at = writeBytes(m.context, out, at);
  }
  out[at++] = 104;
  at = writeBits(m.vote, out, at);
  for (const v of m.responses) {
    out[at++] = 114;
    at = writeUint(sizeMessage(v), out, at);
    at = writeMessage(v, out, at);
  }
  return at;
}
export function readMessage(reader: Reader, end: number): Message {
  let type: number = 0;
  let to: bigint = 0n;
  let from: bigint = 0n;
  let term: number = 0;
  let logTerm: number = 0;
  let index: number = 0;
  const entries: Entry[] = [];
  let commit: number = 0;
  let snapshot: Snapshot | undefined = undefined;
  let reject: boolean = false;
  let rejectHint: number = 0;
  let context: Uint8Array = EMPTY;
  let vote: bigint = 0n;
  const responses: Message[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        type = reader.int32();
        break;
      case 2:
        reader.expect(tag, 0);
        to = reader.uint64Bits();
        break;
      case 3:
        reader.expect(tag, 0);
        from = reader.uint64Bits();
        break;
      case 4:
        reader.expect(tag, 0);
        term = reader.uint64();
        break;
      case 5:
        reader.expect(tag, 0);
        logTerm = reader.uint64();
        break;
      case 6:
        reader.expect(tag, 0);
        index = reader.uint64();
        break;
      case 7:
        reader.expect(tag, 2);
        entries.push(reader.message(readEntry));
        break;
      case 8:
        reader.expect(tag, 0);
        commit = reader.uint64();
        break;
      case 9:
        reader.expect(tag, 2);
        snapshot = reader.message(readSnapshot);
        break;
      case 10:
        reader.expect(tag, 0);
        reject = reader.bool();
        break;
      case 11:
        reader.expect(tag, 0);
        rejectHint = reader.uint64();
        break;
      case 12:
        reader.expect(tag, 2);
        context = reader.bytes();
        break;
      case 13:
        reader.expect(tag, 0);
        vote = reader.uint64Bits();
        break;
      case 14:
        reader.expect(tag, 2);
        responses.push(reader.message(readMessage));
        break;
      default:
        reader.skip(tag);
    }
  }
  return {
    type,
    to,
    from,
    term,
    logTerm,
    index,
    entries,
    commit,
    snapshot,
    reject,
    rejectHint,
    context,
    vote,
    responses,
  };
}
export const Message: Codec<Message> = {
  create: (init = {}) => ({
    type: 0,
    to: 0n,
    from: 0n,
    term: 0,
    logTerm: 0,
    index: 0,
    entries: [],
    commit: 0,
    snapshot: undefined,
    reject: false,
    rejectHint: 0,
    context: EMPTY,
    vote: 0n,
    responses: [],
    ...init,
  }),
  size: sizeMessage,
  write: writeMessage,
  read: readMessage,
};

export interface HardState {
  readonly term: number;
  readonly vote: bigint;
  readonly commit: number;
}
export function sizeHardState(m: HardState): number {
  let size = 0;
  size += 1 + sizeUint(m.term);
  size += 1 + sizeBits(m.vote);
  size += 1 + sizeUint(m.commit);
  return size;
}
export function writeHardState(m: HardState, out: Buffer, start: number): number {
  let at = start;
  out[at++] = 8;
  at = writeUint(m.term, out, at);
  out[at++] = 16;
  at = writeBits(m.vote, out, at);
  out[at++] = 24;
  at = writeUint(m.commit, out, at);
  return at;
}
export function readHardState(reader: Reader, end: number): HardState {
  let term: number = 0;
  let vote: bigint = 0n;
  let commit: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        term = reader.uint64();
        break;
      case 2:
        reader.expect(tag, 0);
        vote = reader.uint64Bits();
        break;
      case 3:
        reader.expect(tag, 0);
        commit = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { term, vote, commit };
}
export const HardState: Codec<HardState> = {
  create: (init = {}) => ({ term: 0, vote: 0n, commit: 0, ...init }),
  size: sizeHardState,
  write: writeHardState,
  read: readHardState,
};

export interface ConfState {
  readonly voters: readonly bigint[];
  readonly learners: readonly bigint[];
  readonly votersOutgoing: readonly bigint[];
  readonly learnersNext: readonly bigint[];
  readonly autoLeave: boolean;
}
export function sizeConfState(m: ConfState): number {
  let size = 0;
  for (const v of m.voters) size += 1 + sizeBits(v);
  for (const v of m.learners) size += 1 + sizeBits(v);
  for (const v of m.votersOutgoing) size += 1 + sizeBits(v);
  for (const v of m.learnersNext) size += 1 + sizeBits(v);
  size += 1 + 1;
  return size;
}
export function writeConfState(m: ConfState, out: Buffer, start: number): number {
  let at = start;
  for (const v of m.voters) {
    out[at++] = 8;
    at = writeBits(v, out, at);
  }
  for (const v of m.learners) {
    out[at++] = 16;
    at = writeBits(v, out, at);
  }
  for (const v of m.votersOutgoing) {
    out[at++] = 24;
    at = writeBits(v, out, at);
  }
  for (const v of m.learnersNext) {
    out[at++] = 32;
    at = writeBits(v, out, at);
  }
  out[at++] = 40;
  out[at++] = m.autoLeave ? 1 : 0;
  return at;
}
export function readConfState(reader: Reader, end: number): ConfState {
  const voters: bigint[] = [];
  const learners: bigint[] = [];
  const votersOutgoing: bigint[] = [];
  const learnersNext: bigint[] = [];
  let autoLeave: boolean = false;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        if ((tag & 7) === 2) {
          const packedEnd = reader.limit();
          while (reader.position < packedEnd) voters.push(reader.uint64Bits());
        } else {
          reader.expect(tag, 0);
          voters.push(reader.uint64Bits());
        }
        break;
      case 2:
        if ((tag & 7) === 2) {
          const packedEnd = reader.limit();
          while (reader.position < packedEnd) learners.push(reader.uint64Bits());
        } else {
          reader.expect(tag, 0);
          learners.push(reader.uint64Bits());
        }
        break;
      case 3:
        if ((tag & 7) === 2) {
          const packedEnd = reader.limit();
          while (reader.position < packedEnd) votersOutgoing.push(reader.uint64Bits());
        } else {
          reader.expect(tag, 0);
          votersOutgoing.push(reader.uint64Bits());
        }
        break;
      case 4:
        if ((tag & 7) === 2) {
          const packedEnd = reader.limit();
          while (reader.position < packedEnd) learnersNext.push(reader.uint64Bits());
        } else {
          reader.expect(tag, 0);
          learnersNext.push(reader.uint64Bits());
        }
        break;
      case 5:
        reader.expect(tag, 0);
        autoLeave = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { voters, learners, votersOutgoing, learnersNext, autoLeave };
}
export const ConfState: Codec<ConfState> = {
  create: (init = {}) => ({
    voters: [],
    learners: [],
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
    ...init,
  }),
  size: sizeConfState,
  write: writeConfState,
  read: readConfState,
};

export interface ConfChange {
  readonly id: bigint;
  readonly type: number;
  readonly nodeId: bigint;
  readonly context: Uint8Array;
}
export function sizeConfChange(m: ConfChange): number {
  let size = 0;
  size += 1 + sizeBits(m.id);
  size += 1 + sizeInt(m.type);
  size += 1 + sizeBits(m.nodeId);
  if (m.context.length > 0) size += 1 + sizeBytes(m.context);
  return size;
}
export function writeConfChange(m: ConfChange, out: Buffer, start: number): number {
  let at = start;
  out[at++] = 8;
  at = writeBits(m.id, out, at);
  out[at++] = 16;
  at = writeInt(m.type, out, at);
  out[at++] = 24;
  at = writeBits(m.nodeId, out, at);
  if (m.context.length > 0) {
    out[at++] = 34;
    at = writeBytes(m.context, out, at);
  }
  return at;
}
export function readConfChange(reader: Reader, end: number): ConfChange {
  let id: bigint = 0n;
  let type: number = 0;
  let nodeId: bigint = 0n;
  let context: Uint8Array = EMPTY;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        id = reader.uint64Bits();
        break;
      case 2:
        reader.expect(tag, 0);
        type = reader.int32();
        break;
      case 3:
        reader.expect(tag, 0);
        nodeId = reader.uint64Bits();
        break;
      case 4:
        reader.expect(tag, 2);
        context = reader.bytes();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { id, type, nodeId, context };
}
export const ConfChange: Codec<ConfChange> = {
  create: (init = {}) => ({ id: 0n, type: 0, nodeId: 0n, context: EMPTY, ...init }),
  size: sizeConfChange,
  write: writeConfChange,
  read: readConfChange,
};

export interface ConfChangeSingle {
  readonly type: number;
  readonly nodeId: bigint;
}
export function sizeConfChangeSingle(m: ConfChangeSingle): number {
  let size = 0;
  size += 1 + sizeInt(m.type);
  size += 1 + sizeBits(m.nodeId);
  return size;
}
export function writeConfChangeSingle(m: ConfChangeSingle, out: Buffer, start: number): number {
  let at = start;
  out[at++] = 8;
  at = writeInt(m.type, out, at);
  out[at++] = 16;
  at = writeBits(m.nodeId, out, at);
  return at;
}
export function readConfChangeSingle(reader: Reader, end: number): ConfChangeSingle {
  let type: number = 0;
  let nodeId: bigint = 0n;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        type = reader.int32();
        break;
      case 2:
        reader.expect(tag, 0);
        nodeId = reader.uint64Bits();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { type, nodeId };
}
export const ConfChangeSingle: Codec<ConfChangeSingle> = {
  create: (init = {}) => ({ type: 0, nodeId: 0n, ...init }),
  size: sizeConfChangeSingle,
  write: writeConfChangeSingle,
  read: readConfChangeSingle,
};

export interface ConfChangeV2 {
  readonly transition: number;
  readonly changes: readonly ConfChangeSingle[];
  readonly context: Uint8Array;
}
export function sizeConfChangeV2(m: ConfChangeV2): number {
  let size = 0;
  size += 1 + sizeInt(m.transition);
  for (const v of m.changes) size += 1 + sizeDelimited(sizeConfChangeSingle(v));
  if (m.context.length > 0) size += 1 + sizeBytes(m.context);
  return size;
}
export function writeConfChangeV2(m: ConfChangeV2, out: Buffer, start: number): number {
  let at = start;
  out[at++] = 8;
  at = writeInt(m.transition, out, at);
  for (const v of m.changes) {
    out[at++] = 18;
    at = writeUint(sizeConfChangeSingle(v), out, at);
    at = writeConfChangeSingle(v, out, at);
  }
  if (m.context.length > 0) {
    out[at++] = 26;
    at = writeBytes(m.context, out, at);
  }
  return at;
}
export function readConfChangeV2(reader: Reader, end: number): ConfChangeV2 {
  let transition: number = 0;
  const changes: ConfChangeSingle[] = [];
  let context: Uint8Array = EMPTY;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        transition = reader.int32();
        break;
      case 2:
        reader.expect(tag, 2);
        changes.push(reader.message(readConfChangeSingle));
        break;
      case 3:
        reader.expect(tag, 2);
        context = reader.bytes();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { transition, changes, context };
}
export const ConfChangeV2: Codec<ConfChangeV2> = {
  create: (init = {}) => ({ transition: 0, changes: [], context: EMPTY, ...init }),
  size: sizeConfChangeV2,
  write: writeConfChangeV2,
  read: readConfChangeV2,
};
