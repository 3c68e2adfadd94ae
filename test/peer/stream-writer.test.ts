import * as net from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { asChunk, CHUNK_HEAD_BYTES, CHUNK_TAIL_BYTES } from "../../src/peer/chunk-writing.ts";
import { messageEncoder } from "../../src/peer/message-frames.ts";
import { msgAppEncoder } from "../../src/peer/msgapp-frames.ts";
import type { Member, MemberOptions } from "./harness.ts";
import { append, closeMembers, heartbeat, openMember, senderHeaders, sleep, until } from "./harness.ts";

const cleanups: (() => void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  await closeMembers();
});

/** A reader of nothing but bytes. */
interface Reader {
  readonly socket: net.Socket;
  text: string;
  ended: boolean;
}

function connect(member: Member, first: string): Reader {
  const socket = net.connect(member.port, "127.0.0.1");
  const reader = { socket, text: "", ended: false };
  socket.on("data", (bytes) => {
    reader.text += bytes.toString("latin1");
  });
  socket.on("error", () => undefined);
  socket.on("close", () => {
    reader.ended = true;
  });
  socket.write(first);
  cleanups.push(() => socket.destroy());
  return reader;
}

function head(path: string, version = "1.1"): string {
  const headers = Object.entries(senderHeaders(2n, 1n)).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/${version}\r\nHost: x\r\n${headers.join("")}\r\n`;
}

async function writer(options: MemberOptions = {}): Promise<Member> {
  const member = await openMember(1n, options);
  member.transport.setPeers([{ id: 2n, urls: ["http://127.0.0.1:9"] }]);
  return member;
}

async function stream(member: Member, type: "message" | "msgapp"): Promise<Reader> {
  const reader = connect(member, head(`/raft/stream/${type}/2`));
  await until(() => reader.text.endsWith("\r\n\r\n"), "the stream");
  return reader;
}

function body(reader: Reader): string {
  return reader.text.slice(reader.text.indexOf("\r\n\r\n") + 4);
}

function chunk(data: Buffer): string {
  return `${data.length.toString(16)}\r\n${data.toString("latin1")}\r\n`;
}

const LOST = "lost TCP streaming connection with remote peer";

function losses(member: Member): readonly unknown[] {
  return member.lines.filter(({ msg }) => msg === LOST).map(({ fields }) => fields["error"]);
}

describe("a chunk", () => {
  it.each([1, 9, 10, 15, 16, 255, 256, 65_535, 1_048_576, 0xabcdef])("of %i bytes", (size) => {
    const buffer = Buffer.alloc(CHUNK_HEAD_BYTES + size + CHUNK_TAIL_BYTES, 0x78);
    expect(asChunk(buffer).equals(Buffer.from(chunk(Buffer.alloc(size, 0x78)), "latin1"))).toBe(true);
  });

  it("without data would be the body's end", () => {
    expect(() => asChunk(Buffer.alloc(CHUNK_HEAD_BYTES + CHUNK_TAIL_BYTES))).toThrow("has data");
  });
});

describe("a stream that a peer dialled", () => {
  it("is one chunk for the messages of a turn, behind the head, and counts what is in the chunks", async () => {
    const member = await writer();
    const [messages, appends] = [await stream(member, "message"), await stream(member, "msgapp")];
    const [one, two] = [heartbeat(1n, 2n, 1), heartbeat(1n, 2n, 2)];
    const [first, second] = [append(1n, 2n, 0, 1), append(1n, 2n, 1, 2, 3_000)];
    member.transport.send([one, first, two]);
    const both = messageEncoder().encode([one, two]);
    const encoder = msgAppEncoder();
    const whole = encoder.encode([first]);
    const goesOn = encoder.encode([second]);
    await until(() => body(appends) !== "" && body(messages) !== "", "the chunks");
    member.transport.send([second]);
    await until(() => body(appends).length >= whole.length + goesOn.length + 10, "the other one");
    expect(body(messages)).toBe(chunk(both));
    expect(body(appends)).toBe(chunk(whole) + chunk(goesOn));
    expect(messages.text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(messages.text.match(/^transfer-encoding: chunked\r$/gim)).toHaveLength(1);
    expect(member.transport.traffic(2n)?.sentBytes).toBe(both.length + whole.length + goesOn.length);
  });

  it("has link heartbeats of a chunk each", async () => {
    const member = await writer({ limits: { readTimeoutMs: 60 } });
    const appends = await stream(member, "msgapp");
    await until(() => body(appends).length >= 12, "two of them");
    expect(body(appends)).toMatch(/^(?:1\r\n\0\r\n)+$/);
  });

  it("in HTTP/1.0, which has no chunks, is refused", async () => {
    const reader = connect(await writer(), head("/raft/stream/message/2", "1.0"));
    await until(() => reader.ended, "the answer");
    expect(reader.text).toMatch(/^HTTP\/1\.1 505 /);
  });

  it("behind a request that has no answer yet is refused in its turn", async () => {
    let answer: (() => void) | undefined;
    const member = await writer({
      handle: () =>
        new Promise((resolve) => {
          answer = () => resolve({ status: 200, body: "first" });
        }),
    });
    const reader = connect(member, head("/members") + head("/raft/stream/message/2"));
    await until(() => answer !== undefined, "the first request");
    member.transport.send([heartbeat(1n, 2n, 1)]);
    await sleep(50);
    expect(reader.text).toBe("");
    answer?.();
    await until(() => reader.text.includes("a connection of its own"), "both answers");
    expect(reader.text).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*first[\s\S]*HTTP\/1\.1 400 Bad Request\r\n/);
    expect(losses(member)).toEqual([]);
  });

  it("after an answered request on the same connection is a stream", async () => {
    const member = await writer({ handle: async () => ({ status: 200, body: "first" }) });
    const reader = connect(member, head("/members"));
    await until(() => reader.text.includes("first"), "the first answer");
    reader.text = "";
    reader.socket.write(head("/raft/stream/message/2"));
    await until(() => reader.text.endsWith("\r\n\r\n"), "the stream");
    member.transport.send([heartbeat(1n, 2n, 1)]);
    await until(() => body(reader) !== "", "the message");
    expect(body(reader)).toBe(chunk(messageEncoder().encode([heartbeat(1n, 2n, 1)])));
  });

  it("outlives the time-outs of idle connections and of headers", async () => {
    const limits = { idleTimeoutMs: 50, headerTimeoutMs: 50, readTimeoutMs: 10_000 };
    const member = await writer({ limits });
    const reader = await stream(member, "message");
    await sleep(1_300);
    member.transport.send([heartbeat(1n, 2n, 1)]);
    await until(() => body(reader) !== "", "the message");
    expect(reader.ended).toBe(false);
  });

  it("ends once when its reader resets, or ends its side, while messages are written", async () => {
    for (const leave of ["resetAndDestroy", "end"] as const) {
      const member = await writer();
      const reader = await stream(member, "msgapp");
      reader.socket.pause();
      member.transport.send([append(1n, 2n, 0, 1, 20_000_000)]);
      await sleep(20);
      reader.socket[leave]();
      reader.socket.resume();
      let index = 1;
      await until(() => {
        member.transport.send([append(1n, 2n, index++, 1)]);
        return losses(member).length > 0 && reader.ended;
      }, `the end after ${leave}`);
      await sleep(50);
      expect(losses(member)).toHaveLength(1);
      await closeMembers();
    }
  });

  it("that its writer closes while a write is under way leaves no call-back and no socket", async () => {
    const member = await writer();
    const reader = await stream(member, "msgapp");
    reader.socket.pause();
    member.transport.send([append(1n, 2n, 0, 1, 20_000_000)]);
    await sleep(20);
    member.transport.send([append(1n, 2n, 1, 1)]);
    await member.transport.close();
    reader.socket.resume();
    await until(() => reader.ended, "the connection's end");
    expect(losses(member)).toEqual([]);
    expect(member.timers.size).toBe(0);
    expect(body(reader)).not.toMatch(/\r\n0\r\n\r\n$/);
  });

  it("that is finished has all that waited, and then the body's end", async () => {
    const member = await writer({ limits: { writeChunkBytes: 100_000 } });
    const reader = await stream(member, "msgapp");
    reader.socket.pause();
    const sent = Array.from({ length: 60 }, (_, i) => append(1n, 2n, i, 1, 90_000));
    member.transport.send(sent);
    await sleep(20);
    member.transport.setPeers([]);
    reader.socket.resume();
    await until(() => body(reader).endsWith("\r\n0\r\n\r\n"), "the end");
    const encoder = msgAppEncoder();
    const wanted = `${sent.map((message) => chunk(encoder.encode([message]))).join("")}0\r\n\r\n`;
    expect(body(reader) === wanted).toBe(true);
    expect(losses(member)).toEqual([]);
  });
});
