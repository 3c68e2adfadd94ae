/**
 * The `msgapp` codec, version 2. Both ends remember term and index of the last append; one that goes on from there in
 * the same term travels as its entries and commit alone.
 *
 *     0x00                                                          link heartbeat
 *     0x01  count  count x (size, raftpb.Entry)  commit             goes on
 *     0x02  size   raftpb.Message                                   full
 *
 * Numbers are uint64 big-endian.
 */

import { DecodeError, Reader } from "../../proto/codec.ts";
import * as raftpb from "../../proto/generated/raftpb.ts";
import { assert } from "../../raft/assert.ts";
import type { Entry, Message, NodeId } from "../../raft/types.ts";
import type { FrameDecoder, FrameEncoder, FrameLayout } from "./frames.ts";
import { FrameAssembler, readUint64, writeUint64 } from "./frames.ts";
import { checkedAppend, decodeMessage, toWire } from "./message-codec.ts";

const LINK_HEARTBEAT = 0;
const ENTRIES = 1;
const FULL = 2;
const NUMBER_BYTES = 8;
const HEAD_BYTES = 1 + NUMBER_BYTES;

type Append = Extract<Message, { type: "MsgApp" }>;

/** What both ends of a stream agree on: the last append's term and the index that it ended at. */
interface State {
  term: number;
  index: number;
}

type Frame =
  | { readonly kind: "entries"; readonly sizes: readonly number[]; readonly append: Append }
  | { readonly kind: "full"; readonly size: number; readonly message: raftpb.Message };

export function msgAppEncoder(): FrameEncoder {
  const state: State = { term: 0, index: 0 };
  return {
    encode(messages, before = 0, after = 0) {
      const frames: Frame[] = [];
      let total = before + after;
      for (const message of messages) {
        assert(message.type === "MsgApp", "only MsgApp travels on the msgapp stream");
        const frame = frameOf(state, message);
        frames.push(frame);
        total += frameBytes(frame);
        advance(state, message);
      }
      const out = Buffer.allocUnsafe(total);
      let at = before;
      for (const frame of frames) at = writeFrame(frame, out, at);
      return out;
    },
    linkHeartbeat: Buffer.of(LINK_HEARTBEAT),
  };
}

function frameOf(state: State, append: Append): Frame {
  const goesOn = append.index === state.index && append.logTerm === state.term && append.term === state.term;
  if (goesOn) return { kind: "entries", sizes: append.entries.map(raftpb.sizeEntry), append };
  const message = toWire(append);
  return { kind: "full", size: raftpb.sizeMessage(message), message };
}

function advance(state: State, append: Append): void {
  state.term = append.term;
  state.index = append.index + append.entries.length;
}

function frameBytes(frame: Frame): number {
  if (frame.kind === "full") return HEAD_BYTES + frame.size;
  return frame.sizes.reduce((sum, size) => sum + NUMBER_BYTES + size, HEAD_BYTES + NUMBER_BYTES);
}

function writeFrame(frame: Frame, out: Buffer, start: number): number {
  let at = start;
  if (frame.kind === "full") {
    out[at++] = FULL;
    at = writeUint64(frame.size, out, at);
    return raftpb.writeMessage(frame.message, out, at);
  }
  const { entries, commit } = frame.append;
  out[at++] = ENTRIES;
  at = writeUint64(entries.length, out, at);
  let i = 0;
  for (const entry of entries) {
    at = writeUint64(frame.sizes[i++] as number, out, at);
    at = raftpb.writeEntry(entry, out, at);
  }
  return writeUint64(commit, out, at);
}

export function msgAppDecoder(maxBytes: number, from: NodeId, to: NodeId): FrameDecoder {
  const state: State = { term: 0, index: 0 };
  const assembler = new FrameAssembler(layout(maxBytes));
  return {
    push: (chunk: Buffer, into: Message[]): void =>
      assembler.push(chunk, (frame) => {
        if (frame[0] === LINK_HEARTBEAT) return;
        const append = frame[0] === FULL ? readFull(frame) : readEntries(frame, state, from, to);
        advance(state, append);
        into.push(append);
      }),
  };
}

function readFull(frame: Buffer): Append {
  const message = decodeMessage(frame.subarray(HEAD_BYTES));
  if (message.type !== "MsgApp") throw new DecodeError(`peer stream: ${message.type} on the msgapp stream`);
  return message;
}

function readEntries(frame: Buffer, state: State, from: NodeId, to: NodeId): Append {
  if (state.term === 0) throw new DecodeError("peer stream: entries before the first full MsgApp");
  const count = readUint64(frame, 1, Number.MAX_SAFE_INTEGER, "entry count");
  const reader = new Reader(frame);
  const entries: Entry[] = [];
  let at = HEAD_BYTES;
  for (let i = 0; i < count; i++) {
    const end = at + NUMBER_BYTES + readUint64(frame, at, frame.length, "entry length");
    reader.position = at + NUMBER_BYTES;
    entries.push(raftpb.readEntry(reader, end) as Entry);
    if (reader.position !== end) throw new DecodeError("unexpected EOF");
    at = end;
  }
  const commit = readUint64(frame, at, Number.MAX_SAFE_INTEGER, "commit");
  const { term, index } = state;
  return checkedAppend({ type: "MsgApp", from, to, term, logTerm: term, index, entries, commit });
}

/** Walks an entries frame from size to size, and goes on where it stopped when more has arrived. */
function layout(maxBytes: number): FrameLayout {
  let walked = 0;
  let left = 0;
  return {
    needed(bytes, start, available) {
      if (walked === 0) {
        const type = bytes[start];
        if (type === LINK_HEARTBEAT) return 1;
        if (type !== ENTRIES && type !== FULL) throw new DecodeError(`peer stream: unknown frame type ${type}`);
        if (available < HEAD_BYTES) return HEAD_BYTES;
        if (type === FULL) return HEAD_BYTES + readUint64(bytes, start + 1, maxBytes, "message length");
        left = readUint64(bytes, start + 1, Math.floor(maxBytes / NUMBER_BYTES), "entry count");
        walked = HEAD_BYTES;
      }
      for (; left > 0; left--) {
        if (available < walked + NUMBER_BYTES) return walked + NUMBER_BYTES;
        const size = readUint64(bytes, start + walked, maxBytes, "entry length");
        const end = walked + NUMBER_BYTES + size;
        if (end > maxBytes) throw new DecodeError(`peer stream: frame is over ${maxBytes}`);
        if (available < end) return end;
        walked = end;
      }
      return walked + NUMBER_BYTES;
    },
    reset() {
      walked = 0;
      left = 0;
    },
  };
}
