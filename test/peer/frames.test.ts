import { describe, expect, it } from "vitest";
import { DecodeError } from "../../proto/codec.ts";
import type { Message } from "../../raft/types.ts";
import type { FrameDecoder } from "../../src/peer/frames.ts";
import { messageDecoder, messageEncoder } from "../../src/peer/message-frames.ts";
import { msgAppDecoder, msgAppEncoder } from "../../src/peer/msgapp-frames.ts";
import { append, heartbeat } from "./harness.ts";

const MAX = 512 * 1024 * 1024;

function decodeIn(decoder: FrameDecoder, pieces: readonly Buffer[]): readonly Message[] {
  const messages: Message[] = [];
  for (const piece of pieces) decoder.push(piece, messages);
  return messages;
}

/** Every way to cut once, and byte by byte. Each piece is overwritten afterwards: nothing may be a view of it. */
function everyCut(bytes: Buffer, decoder: () => FrameDecoder, expected: readonly Message[]): void {
  for (let cut = 0; cut <= bytes.length; cut++) {
    const messages: Message[] = [];
    const into = decoder();
    for (const piece of [Buffer.from(bytes.subarray(0, cut)), Buffer.from(bytes.subarray(cut))]) {
      into.push(piece, messages);
      piece.fill(0xff);
    }
    expect(messages).toEqual(expected);
  }
  const single = [...bytes].map((byte) => Buffer.of(byte));
  expect(decodeIn(decoder(), single)).toEqual(expected);
}

// MsgVote from 2 to 1 in term 5 after (7, 4), by hand.
const VOTE = "0805" + "1001" + "1802" + "2005" + "2804" + "3007" + "4000" + "5000" + "5800" + "6800";
const VOTE_MESSAGE: Message = {
  type: "MsgVote",
  from: 2n,
  to: 1n,
  term: 5,
  index: 7,
  logTerm: 4,
  transfer: false,
};
const BEAT = "0808" + "1000" + "1800" + "2000" + "2800" + "3000" + "4000" + "5000" + "5800" + "6800";

describe("the message codec", () => {
  const bytes = Buffer.from(
    `${"0000000000000014"}${VOTE}${"0000000000000014"}${BEAT}${"0000000000000014"}${VOTE}`,
    "hex",
  );

  it("writes hand-made bytes", () => {
    expect(messageEncoder().encode([VOTE_MESSAGE]).toString("hex")).toBe(`0000000000000014${VOTE}`);
    expect(messageEncoder().linkHeartbeat.toString("hex")).toBe(`0000000000000014${BEAT}`);
  });

  it("reads them in any pieces; a link heartbeat is no message", () => {
    everyCut(bytes, () => messageDecoder(MAX), [VOTE_MESSAGE, VOTE_MESSAGE]);
  });

  it("refuses a length over its limit before the bytes arrive", () => {
    expect(() => decodeIn(messageDecoder(19), [Buffer.from("0000000000000014", "hex")])).toThrow(DecodeError);
    expect(() => decodeIn(messageDecoder(MAX), [Buffer.from("ffffffffffffffff", "hex")])).toThrow(DecodeError);
    expect(decodeIn(messageDecoder(20), [bytes])).toHaveLength(2);
  });

  it("takes no memory for bytes that were only announced", () => {
    const before = process.memoryUsage().arrayBuffers;
    const decoders = Array.from({ length: 20 }, () => {
      const decoder = messageDecoder(MAX);
      decodeIn(decoder, [Buffer.from("0000000010000000aa", "hex")]);
      return decoder;
    });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * 1024 * 1024);
    expect(decoders).toHaveLength(20);
  });

  it("delivers what came before a bad frame", () => {
    const messages: Message[] = [];
    const bad = Buffer.concat([bytes, Buffer.from("0000000000000002ffff", "hex")]);
    expect(() => messageDecoder(MAX).push(bad, messages)).toThrow(DecodeError);
    expect(messages).toEqual([VOTE_MESSAGE, VOTE_MESSAGE]);
  });

  it("reads a message far larger than a piece", () => {
    const large: Message = {
      type: "MsgProp",
      from: 2n,
      to: 1n,
      term: 0,
      entries: [{ type: 0, data: Buffer.alloc(5_000_000, 7) }],
    };
    const encoded = messageEncoder().encode([heartbeat(2n, 1n, 1), large, heartbeat(2n, 1n, 2)]);
    const pieces: Buffer[] = [];
    for (let at = 0; at < encoded.length; at += 65_521) pieces.push(encoded.subarray(at, at + 65_521));
    const got = decodeIn(messageDecoder(MAX), pieces);
    expect(got.map(({ type }) => type)).toEqual(["MsgHeartbeat", "MsgProp", "MsgHeartbeat"]);
    expect(messageEncoder().encode(got).equals(encoded)).toBe(true);
  });
});

describe("the msgapp codec", () => {
  // MsgApp from 2 to 1, term 5, previous (0, 0), one entry (1, 5) "x", commit 0, in full; then as entries.
  const ENTRY_1 = "0800" + "1005" + "1801" + "220178";
  const FIRST = `0803100118022005280030003a09${ENTRY_1}4000500058006800`;
  const full = `02000000000000001f${FIRST}`;
  const ENTRY_2 = "0800" + "1005" + "1802" + "220179";
  const ENTRY_3 = "0801" + "1005" + "1803" + "22017a";
  const goesOn = `010000000000000002${"0000000000000009"}${ENTRY_2}${"0000000000000009"}${ENTRY_3}${"0000000000000001"}`;
  const commitOnly = `010000000000000000${"0000000000000003"}`;
  const base = { type: "MsgApp", from: 2n, to: 1n, term: 5 } as const;
  const messages: readonly Message[] = [
    { ...base, index: 0, logTerm: 0, entries: [{ type: 0, term: 5, index: 1, data: Buffer.from("x") }], commit: 0 },
    {
      ...base,
      index: 1,
      logTerm: 5,
      entries: [
        { type: 0, term: 5, index: 2, data: Buffer.from("y") },
        { type: 1, term: 5, index: 3, data: Buffer.from("z") },
      ],
      commit: 1,
    },
    { ...base, index: 3, logTerm: 5, entries: [], commit: 3 },
  ];
  const bytes = Buffer.from(full + goesOn + commitOnly, "hex");

  it("writes hand-made bytes, at once or one by one", () => {
    expect(msgAppEncoder().encode(messages).toString("hex")).toBe(bytes.toString("hex"));
    const encoder = msgAppEncoder();
    expect(Buffer.concat(messages.map((message) => encoder.encode([message])))).toEqual(bytes);
    expect(encoder.linkHeartbeat.toString("hex")).toBe("00");
  });

  it("reads them in any pieces, link heartbeats between them", () => {
    everyCut(Buffer.from(`00${full}0000${goesOn}${commitOnly}00`, "hex"), () => msgAppDecoder(MAX, 2n, 1n), messages);
  });

  it("writes in full whatever does not go on from the last append", () => {
    const encoder = msgAppEncoder();
    const types = [
      append(2n, 1n, 10, 2),
      append(2n, 1n, 12, 1),
      append(2n, 1n, 14, 1),
      append(2n, 1n, 12, 3),
      { ...append(2n, 1n, 15, 0), term: 6 } as Message,
      { ...append(2n, 1n, 15, 0), term: 6, logTerm: 6 } as Message,
    ].map((message) => encoder.encode([message])[0]);
    expect(types).toEqual([2, 1, 2, 2, 2, 1]);
  });

  it("agrees with itself over a long random exchange in random pieces", () => {
    let seed = 12_345;
    const random = (n: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return seed % n;
    };
    const sent: Message[] = [];
    let index = 0;
    for (let i = 0; i < 400; i++) {
      if (random(10) === 0) index = random(1_000);
      const count = random(4);
      sent.push(append(2n, 1n, index, count, random(8) === 0 ? random(200_000) : random(300)));
      index += count;
    }
    const encoder = msgAppEncoder();
    const stream = Buffer.concat(sent.map((message) => encoder.encode([message])));
    const decoder = msgAppDecoder(MAX, 2n, 1n);
    const got: Message[] = [];
    for (let at = 0; at < stream.length; ) {
      const length = 1 + random(random(2) === 0 ? 40 : 70_000);
      decoder.push(Buffer.from(stream.subarray(at, at + length)), got);
      at += length;
    }
    expect(got.length).toBe(sent.length);
    expect(messageEncoder().encode(got).equals(messageEncoder().encode(sent))).toBe(true);
  });

  it.each([
    ["an unknown frame type", "03"],
    ["entries before the first full message", goesOn],
    ["a full message over the limit", "020000000000100001"],
    ["an entry count over the limit", "010000000000100000"],
    ["an entry over the limit", `${full}010000000000000001${"0000000000100001"}`],
    ["an entry shorter than it says", `${full}010000000000000001${"000000000000000a"}${ENTRY_2}000000000000000001`],
    ["entries that do not follow", `${full}010000000000000001${"0000000000000009"}${ENTRY_3}${"0000000000000001"}`],
    ["another message than MsgApp", `020000000000000014${VOTE}`],
  ])("refuses %s", (_, hex) => {
    expect(() => decodeIn(msgAppDecoder(1024 * 1024, 2n, 1n), [Buffer.from(hex, "hex")])).toThrow(DecodeError);
  });
});
