/** The `message` codec: uint64 big-endian length, then a raftpb.Message. */

import { decode } from "../../proto/codec.ts";
import * as raftpb from "../../proto/generated/raftpb.ts";
import type { Message } from "../../raft/types.ts";
import type { FrameDecoder, FrameEncoder, FrameLayout } from "./frames.ts";
import { FrameAssembler, readUint64, writeUint64 } from "./frames.ts";
import { fromWire, isLinkHeartbeat, toWire } from "./message-codec.ts";

const LENGTH_BYTES = 8;

export function messageEncoder(): FrameEncoder {
  return {
    encode: (messages, before = 0, after = 0) => encodeAll(messages.map(toWire), before, after),
    linkHeartbeat: encodeAll([raftpb.Message.create({ type: raftpb.MessageType.MsgHeartbeat })], 0, 0),
  };
}

function encodeAll(messages: readonly raftpb.Message[], before: number, after: number): Buffer {
  const sizes = messages.map(raftpb.sizeMessage);
  const out = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + LENGTH_BYTES + size, before + after));
  let at = before;
  for (const [i, message] of messages.entries()) {
    at = writeUint64(sizes[i] as number, out, at);
    at = raftpb.writeMessage(message, out, at);
  }
  return out;
}

export function messageDecoder(maxBytes: number): FrameDecoder {
  const assembler = new FrameAssembler(layout(maxBytes));
  return {
    push: (chunk: Buffer, into: Message[]): void =>
      assembler.push(chunk, (frame) => {
        const message = decode(raftpb.Message, frame.subarray(LENGTH_BYTES));
        if (!isLinkHeartbeat(message)) into.push(fromWire(message));
      }),
  };
}

function layout(maxBytes: number): FrameLayout {
  return {
    needed: (bytes, start, available) =>
      available < LENGTH_BYTES ? LENGTH_BYTES : LENGTH_BYTES + readUint64(bytes, start, maxBytes, "message length"),
    reset: () => undefined,
  };
}
