import { describe, expect, it } from "vitest";
import { DecodeError, encode } from "../../proto/codec.ts";
import * as raftpb from "../../proto/generated/raftpb.ts";
import type { Message } from "../../raft/types.ts";
import { decodeMessage, toWire } from "../../src/peer/message-codec.ts";

const to = 0xfeedfacecafebeefn;
const from = 0x8000000000000001n;
const data = Buffer.from("some bytes");
const EVERY: readonly Message[] = [
  { type: "MsgApp", from, to, term: 3, index: 0, logTerm: 0, entries: [], commit: 0 },
  {
    type: "MsgApp",
    from,
    to,
    term: 3,
    index: 7,
    logTerm: 1,
    entries: [
      { type: 0, term: 1, index: 8, data },
      { type: 0, term: 2, index: 9, data: Buffer.alloc(0) },
      { type: 1, term: 3, index: 10, data },
    ],
    commit: 8,
  },
  { type: "MsgAppResp", from, to, term: 3, index: 9, reject: false, rejectHint: 0, logTerm: 0 },
  { type: "MsgAppResp", from, to, term: 3, index: 9, reject: true, rejectHint: 4, logTerm: 2 },
  { type: "MsgHeartbeat", from, to, term: 3, commit: 5, context: data },
  { type: "MsgHeartbeatResp", from, to, term: 3, context: data },
  { type: "MsgPreVote", from, to, term: 4, index: 9, logTerm: 3, transfer: false },
  { type: "MsgVote", from, to, term: 4, index: 9, logTerm: 3, transfer: true },
  { type: "MsgPreVoteResp", from, to, term: 4, reject: false, commit: 0, logTerm: 0 },
  { type: "MsgVoteResp", from, to, term: 4, reject: true, commit: 9, logTerm: 3 },
  { type: "MsgProp", from, to, term: 0, entries: [{ type: 0, data }] },
  { type: "MsgReadIndex", from, to, term: 0, id: Buffer.from("12345678") },
  { type: "MsgReadIndexResp", from, to, term: 4, id: Buffer.from("12345678"), index: 9 },
  {
    type: "MsgSnap",
    from,
    to,
    term: 4,
    snapshot: { metadata: { index: 9, term: 3, confState: { voters: [1n, from], learners: [to] } }, data },
  },
  { type: "MsgTransferLeader", from, to, term: 0 },
  { type: "MsgTimeoutNow", from, to, term: 4 },
];

describe("raft messages on the wire", () => {
  it.each(EVERY)("$type survives the trip", (message) => {
    expect(decodeMessage(encode(raftpb.Message, toWire(message)))).toEqual(message);
  });

  it("writes what etcd writes: every proto2 field, zero or not", () => {
    const bytes = encode(
      raftpb.Message,
      toWire({ type: "MsgHeartbeat", from: 2n, to: 1n, term: 5, commit: 9, context: Buffer.of(7) }),
    );
    expect(bytes.toString("hex")).toBe("0808100118022005" + "28003000" + "4009" + "50005800" + "620107" + "6800");
  });

  it("takes the empty snapshot that 3.5 puts into every message, and unknown fields", () => {
    const bytes = Buffer.from(
      "0808100118022005" + "28003000" + "4009" + "4a0a12080a02280010001800" + "50005800" + "6800" + "f80101",
      "hex",
    );
    expect(decodeMessage(bytes)).toEqual({
      type: "MsgHeartbeat",
      from: 2n,
      to: 1n,
      term: 5,
      commit: 9,
      context: Buffer.alloc(0),
    });
  });

  it("keeps entry data as views of the bytes it was given", () => {
    const bytes = encode(raftpb.Message, toWire(EVERY[1] as Message));
    const message = decodeMessage(bytes);
    if (message.type !== "MsgApp") throw new Error("not a MsgApp");
    expect(message.entries[0]?.data.buffer).toBe(bytes.buffer);
  });

  it("reads a transfer wish without the term that etcd stamps on it", () => {
    const wire = raftpb.Message.create({ type: raftpb.MessageType.MsgTransferLeader, from, to, term: 12 });
    expect(decodeMessage(encode(raftpb.Message, wire))).toEqual({ type: "MsgTransferLeader", from, to, term: 0 });
  });

  const entry = (index: number, term: number, type = 0): raftpb.Entry => ({ type, term, index, data });
  const append = { type: raftpb.MessageType.MsgApp, from, to, term: 3, index: 4, logTerm: 2 };
  const empty = Buffer.alloc(0);
  const proposal = { type: raftpb.MessageType.MsgProp, from, to };
  const snapshot = (index: number, term: number, conf: Partial<raftpb.ConfState>) => ({
    type: raftpb.MessageType.MsgSnap,
    from,
    to,
    term: 3,
    snapshot: { data, metadata: { index, term, confState: raftpb.ConfState.create(conf) } },
  });
  it.each<[string, Partial<raftpb.Message>]>([
    ["a gap in the entries", { ...append, entries: [entry(5, 2), entry(7, 2)] }],
    ["entries that do not follow index", { ...append, entries: [entry(6, 2)] }],
    ["terms that fall", { ...append, entries: [entry(5, 3), entry(6, 2)] }],
    ["an entry older than the one before it", { ...append, entries: [entry(5, 1)] }],
    ["an entry newer than the message", { ...append, entries: [entry(5, 4)] }],
    ["a previous entry newer than the message", { ...append, logTerm: 4 }],
    ["an entry of unknown type", { ...append, entries: [entry(5, 2, 3)] }],
    ["a membership change without data", { ...append, entries: [{ ...entry(5, 2, 1), data: empty }] }],
    ["a membership change of version 2 without data", { ...append, entries: [{ ...entry(5, 2, 2), data: empty }] }],
    ["an entry of term 0", { ...append, logTerm: 0, entries: [entry(5, 0)] }],
    ["entry 0", { ...append, index: 0, logTerm: 0, entries: [entry(0, 1)] }],
    ["a proposal of unknown type", { ...proposal, entries: [entry(0, 0, 3)] }],
    ["a proposed membership change without data", { ...proposal, entries: [{ ...entry(0, 0, 1), data: empty }] }],
    ["a term that leaves no room to rise", { ...append, term: 2 ** 52 + 1 }],
    [
      "a long read id",
      { ...proposal, type: raftpb.MessageType.MsgReadIndex, entries: [{ ...entry(0, 0), data: Buffer.alloc(65) }] },
    ],
    ["a long context", { type: raftpb.MessageType.MsgHeartbeat, from, to, term: 3, context: Buffer.alloc(65) }],
    ["a snapshot of term 0", snapshot(9, 0, { voters: [1n] })],
    ["a snapshot newer than its message", snapshot(9, 4, { voters: [1n] })],
    ["a snapshot beyond all indexes", snapshot(2 ** 52 + 1, 3, { voters: [1n] })],
    ["a snapshot without voters", snapshot(9, 3, { learners: [1n] })],
    ["a snapshot whose voter learns", snapshot(9, 3, { voters: [1n, 2n], learners: [2n] })],
    ["no sender", { ...append, from: 0n }],
    ["no receiver", { ...append, to: 0n }],
    ["no term", { type: raftpb.MessageType.MsgVote, from, to }],
    ["an empty proposal", { type: raftpb.MessageType.MsgProp, from, to }],
    ["a read without id", { type: raftpb.MessageType.MsgReadIndex, from, to }],
    ["a snapshot message without snapshot", { type: raftpb.MessageType.MsgSnap, from, to, term: 1 }],
    ["a local message", { type: raftpb.MessageType.MsgHup, from, to, term: 1 }],
    ["an unknown type", { type: 77, from, to, term: 1 }],
  ])("refuses %s", (_, fields) => {
    const bytes = encode(raftpb.Message, raftpb.Message.create(fields));
    expect(() => decodeMessage(bytes)).toThrow(DecodeError);
  });

  it("answers any damage with a message or a DecodeError, nothing else", () => {
    const whole = encode(raftpb.Message, toWire(EVERY[1] as Message));
    let refused = 0;
    for (let at = 0; at < whole.length; at++) {
      for (const damaged of [whole.subarray(0, at), ...[0x00, 0x80, 0xff].map((byte) => patched(whole, at, byte))]) {
        try {
          decodeMessage(damaged);
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
          refused++;
        }
      }
    }
    expect(refused).toBeGreaterThan(whole.length);
  });
});

function patched(bytes: Buffer, at: number, byte: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = byte;
  return copy;
}
