import * as http from "node:http";
import * as net from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { encode } from "../../proto/codec.ts";
import * as raftpb from "../../proto/generated/raftpb.ts";
import type { Message } from "../../raft/types.ts";
import { toWire } from "../../src/peer/message-codec.ts";
import { messageEncoder } from "../../src/peer/message-frames.ts";
import type { Member } from "./harness.ts";
import {
  append,
  call,
  closeMembers,
  connected,
  heartbeat,
  introduce,
  openMember,
  senderHeaders,
  sleep,
  until,
} from "./harness.ts";

const cleanups: (() => void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  await closeMembers();
});

/** A connection to the member that notes what came and when it ended. */
function connect(port: number, first: string): { readonly socket: net.Socket; text: string; ended: boolean } {
  const socket = net.connect(port, "127.0.0.1");
  const state = { socket, text: "", ended: false };
  socket.on("data", (chunk) => {
    state.text += chunk.toString("latin1");
  });
  socket.on("error", () => {
    state.ended = true;
  });
  socket.on("close", () => {
    state.ended = true;
  });
  socket.write(first);
  cleanups.push(() => socket.destroy());
  return state;
}

/** A peer of nothing but a raw answer to each stream dial. */
async function fakePeer(
  answer: (request: http.IncomingMessage, response: http.ServerResponse) => void,
): Promise<{ readonly url: string; readonly dials: string[] }> {
  const dials: string[] = [];
  const server = http.createServer((request, response) => {
    dials.push(request.url ?? "");
    response.on("error", () => undefined);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`, dials };
}

function streamHead(from: bigint, to: bigint, type = "message"): string {
  const headers = Object.entries(senderHeaders(from, to)).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET /raft/stream/${type}/${from.toString(16)} HTTP/1.1\r\nHost: x\r\n${headers.join("")}\r\n`;
}

/** The member still serves others. */
async function alive(member: Member): Promise<void> {
  expect((await call(member.port, "GET", "/raft/probing")).status).toBe(200);
}

describe("whoever connects cannot harm a member with", () => {
  it("garbage", async () => {
    const member = await openMember(1n);
    const garbage = connect(member.port, "\u0016\u0003\u0001\u0002\u0000garbage\r\n\r\n");
    await until(() => garbage.ended, "the connection is closed");
    expect(garbage.text).toMatch(/^HTTP\/1\.1 400 /);
    await alive(member);
  });

  it("silence before the request", async () => {
    const member = await openMember(1n, { limits: { headerTimeoutMs: 200 } });
    const silent = connect(member.port, "");
    await until(() => silent.ended, "the connection is closed", 2_000);
    await alive(member);
  });

  it("a header that never ends", async () => {
    const member = await openMember(1n, { limits: { headerTimeoutMs: 200 } });
    const loris = connect(member.port, "GET /raft/probing HTTP/1.1\r\nHost: x\r\n");
    const drip = setInterval(() => loris.socket.write("X: y\r\n"), 20);
    cleanups.push(() => clearInterval(drip));
    await until(() => loris.ended, "the connection is closed", 2_000);
    expect(loris.text).toMatch(/^HTTP\/1\.1 408 /);
    await alive(member);
  });

  it("an oversized header", async () => {
    const member = await openMember(1n);
    const large = connect(member.port, `GET /raft/probing HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(100_000)}\r\n\r\n`);
    await until(() => large.ended, "the connection is closed");
    expect(large.text).toMatch(/^HTTP\/1\.1 431 /);
    await alive(member);
  });

  it("a body that never ends", async () => {
    const member = await openMember(1n, { limits: { headerTimeoutMs: 100, bodyTimeoutMs: 300 } });
    const head = Object.entries(senderHeaders(2n, 1n)).map(([name, value]) => `${name}: ${value}\r\n`);
    const slow = connect(
      member.port,
      `POST /raft HTTP/1.1\r\nHost: x\r\n${head.join("")}Content-Length: 1000\r\n\r\nx`,
    );
    await until(() => slow.ended, "the connection is closed", 2_000);
    expect(member.received).toEqual([]);
    await alive(member);
  });

  it("an oversized body, announced or not", async () => {
    const member = await openMember(1n, { limits: { messageBytes: 1_000 } });
    const head = Object.entries(senderHeaders(2n, 1n)).map(([name, value]) => `${name}: ${value}\r\n`);
    const post = `POST /raft HTTP/1.1\r\nHost: x\r\n${head.join("")}`;
    const announced = connect(member.port, `${post}Content-Length: 1000000000\r\n\r\nx`);
    await until(() => announced.ended, "the connection is closed");
    expect(announced.text).toMatch(/^HTTP\/1\.1 413 /);
    const chunked = connect(
      member.port,
      `${post}Transfer-Encoding: chunked\r\n\r\n${"3e8\r\n"}${"x".repeat(1000)}\r\n1\r\nx\r\n`,
    );
    await until(() => chunked.ended, "the connection is closed");
    expect(chunked.text).toMatch(/^HTTP\/1\.1 413 /);
    await alive(member);
  });

  it("many bodies at a time", async () => {
    const member = await openMember(1n, { limits: { receivingBytes: 5_000 } });
    const head = Object.entries(senderHeaders(2n, 1n)).map(([name, value]) => `${name}: ${value}\r\n`);
    const post = `POST /raft HTTP/1.1\r\nHost: x\r\n${head.join("")}Content-Length: 4000\r\n\r\n${"x".repeat(3_000)}`;
    const one = connect(member.port, post);
    await sleep(50);
    const two = connect(member.port, post);
    await until(() => two.ended, "the second one is refused");
    expect(two.text).toMatch(/^HTTP\/1\.1 503 /);
    one.socket.destroy();
    await sleep(50);
    const three = connect(member.port, post);
    await sleep(50);
    expect(three.ended).toBe(false);
  });

  it("wishes for the leader, when no member sent them; votes and appends may come from a member yet unknown", async () => {
    const member = await openMember(1n);
    const post = (message: Message) =>
      call(member.port, "POST", "/raft", senderHeaders(2n, 1n), encode(raftpb.Message, toWire(message)));
    const refused: readonly Message[] = [
      { type: "MsgProp", from: 2n, to: 1n, term: 0, entries: [{ type: 0, data: Buffer.from("x") }] },
      { type: "MsgReadIndex", from: 2n, to: 1n, term: 0, id: Buffer.from("12345678") },
      { type: "MsgTransferLeader", from: 2n, to: 1n, term: 0 },
    ];
    for (const message of refused) {
      expect(await post(message)).toMatchObject({ status: 404, text: "error sender not found\n" });
    }
    const vote: Message = { type: "MsgVote", from: 2n, to: 1n, term: 5, index: 3, logTerm: 4, transfer: false };
    expect((await post(vote)).status).toBe(204);
    expect((await post(append(2n, 1n, 0, 1))).status).toBe(204);
    expect(member.received.map(({ type }) => type)).toEqual(["MsgVote", "MsgApp"]);

    member.transport.setPeers([{ id: 2n, urls: [member.url] }]);
    for (const message of refused) expect((await post(message)).status).toBe(204);
    expect(member.removals).toEqual([]);
  });

  it("a membership change without data, which no log can hold", async () => {
    const member = await openMember(1n);
    member.transport.setPeers([{ id: 2n, urls: [member.url] }]);
    const change = { type: 1, term: 1, index: 1, data: Buffer.alloc(0) };
    const messages = [
      { type: raftpb.MessageType.MsgProp, from: 2n, to: 1n, entries: [change] },
      { type: raftpb.MessageType.MsgApp, from: 2n, to: 1n, term: 1, entries: [change] },
    ];
    for (const fields of messages) {
      const body = encode(raftpb.Message, raftpb.Message.create(fields));
      const answer = await call(member.port, "POST", "/raft", senderHeaders(2n, 1n), body);
      expect(answer).toMatchObject({ status: 400, text: "error unmarshalling raft message\n" });
    }
    expect(member.received).toEqual([]);
    await alive(member);
  });

  it("another stream of the same type: it replaces the first", async () => {
    const member = await openMember(1n);
    member.transport.setPeers([{ id: 2n, urls: ["http://127.0.0.1:9"] }]);
    const first = connect(member.port, streamHead(2n, 1n));
    await until(() => first.text.includes("200 OK"), "the first stream");
    const second = connect(member.port, streamHead(2n, 1n));
    await until(() => first.ended && second.text.includes("200 OK"), "the second stream instead of the first");
    expect(second.text).toMatch(/Transfer-Encoding: chunked/i);
    member.transport.send([heartbeat(1n, 2n, 6)]);
    const frame = messageEncoder()
      .encode([heartbeat(1n, 2n, 6)])
      .toString("latin1");
    await until(() => second.text.includes(frame), "the message on the second stream");
    expect(member.unreachable).toContain(2n);
  });

  it("a stream that it never reads: bounded, then dropped", async () => {
    const limits = { writeTimeoutMs: 300, readTimeoutMs: 300, streamQueueBytes: 4_000_000, writeChunkBytes: 1_000_000 };
    const member = await openMember(1n, { limits });
    member.transport.setPeers([{ id: 2n, urls: ["http://127.0.0.1:9"] }]);
    const deaf = connect(member.port, streamHead(2n, 1n, "msgapp"));
    await until(() => deaf.text.includes("200 OK"), "the stream");
    deaf.socket.pause();
    const before = process.memoryUsage().arrayBuffers;
    const message = append(1n, 2n, 0, 1, 500_000);
    let peak = 0;
    const start = performance.now();
    while (!member.logged("lost TCP streaming connection with remote peer")) {
      member.transport.send([message]);
      peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
      await sleep(1);
      if (performance.now() - start > 5_000) throw new Error("the stream is still there");
    }
    expect(member.lines.some(({ fields }) => fields["error"] === "the peer does not read")).toBe(true);
    expect(member.unreachable).toContain(2n);
    expect(peak).toBeLessThan(20_000_000);
    await alive(member);
  });

  it("too many connections", async () => {
    const member = await openMember(1n, { limits: { connections: 3 } });
    const few = [1, 2, 3].map(() => connect(member.port, ""));
    await sleep(50);
    const tooMany = connect(member.port, "");
    await until(() => tooMany.ended, "the fourth is closed");
    expect(few.some(({ ended }) => ended)).toBe(false);
    expect(member.logged("refused a peer connection: too many are open")).toBe(true);
  });
});

describe("a peer that we dial cannot harm us with", () => {
  const HEAD = { "X-Server-Version": "3.6.0", "X-Etcd-Cluster-ID": "cdf818194e3a8c32" };

  async function dialling(url: string, limits = {}): Promise<Member> {
    const member = await openMember(1n, { limits });
    member.transport.setPeers([{ id: 2n, urls: [url] }]);
    return member;
  }

  function logs(member: Member, error: string | RegExp): () => boolean {
    return () => member.lines.some(({ fields }) => new RegExp(error).test(String(fields["error"])));
  }

  it("garbage in a stream: dropped, logged, dialled again", async () => {
    const good = messageEncoder().encode([heartbeat(2n, 1n, 3)]);
    const peer = await fakePeer((request, response) => {
      response.writeHead(200, HEAD);
      if (request.url?.includes("/message/")) response.write(good);
      response.write(Buffer.alloc(64, 0xee));
    });
    const member = await dialling(peer.url);
    await until(() => peer.dials.length >= 8, "it is dialled again and again");
    expect(logs(member, "message length")()).toBe(true);
    expect(logs(member, "unknown frame type 238")()).toBe(true);
    expect(member.received.length).toBeGreaterThan(1);
    expect(new Set(member.received.map(({ type }) => type))).toEqual(new Set(["MsgHeartbeat"]));
  });

  it("silence in a stream", async () => {
    const peer = await fakePeer((_, response) => {
      response.writeHead(200, HEAD);
      response.flushHeaders();
    });
    const member = await dialling(peer.url, { readTimeoutMs: 150 });
    await until(() => member.transport.activeSince(2n) !== undefined, "connected");
    await until(logs(member, "the peer fell silent"), "dropped", 2_000);
    await until(() => peer.dials.length >= 4, "dialled again");
  });

  it("silence instead of an answer, or a connection without HTTP", async () => {
    const server = net.createServer((socket) => {
      socket.on("error", () => undefined);
      cleanups.push(() => socket.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    const member = await dialling(`http://127.0.0.1:${(server.address() as net.AddressInfo).port}`, {
      dialTimeoutMs: 100,
    });
    await until(logs(member, "dial timed out"), "given up");
    expect(member.transport.activeSince(2n)).toBeUndefined();
  });

  it.each<[string, number, Record<string, string>, string, string]>([
    ["a refusal", 412, HEAD, "cluster ID mismatch\n", "refused with 412: cluster ID mismatch"],
    ["an endless refusal", 500, HEAD, "x".repeat(1_000_000), "refused with 500"],
    ["another cluster's stream", 200, { ...HEAD, "X-Etcd-Cluster-ID": "1" }, "", "cluster ID mismatch"],
    ["an old member's stream", 200, { "X-Etcd-Cluster-ID": "cdf818194e3a8c32" }, "", "incompatible version"],
    ["a redirection", 302, { ...HEAD, Location: "http://127.0.0.1:1/" }, "", "refused with 302"],
  ])("%s", async (_, status, headers, body, error) => {
    const peer = await fakePeer((__, response) => {
      response.writeHead(status, headers);
      response.end(body);
    });
    const member = await dialling(peer.url);
    await until(logs(member, error), "the reason in the log");
    expect(member.transport.activeSince(2n)).toBeUndefined();
    expect(member.removals).toEqual([]);
  });

  it("half-open connections: both sides notice by silence", async () => {
    // A relay that stops forwarding but keeps its connections open.
    let forwarding = true;
    const limits = { readTimeoutMs: 200, writeTimeoutMs: 200 };
    const a = await openMember(1n, { limits });
    const b = await openMember(2n, { limits });
    const relay = net.createServer((inward) => {
      const outward = net.connect(b.port, "127.0.0.1");
      for (const [source, sink] of [
        [inward, outward],
        [outward, inward],
      ] as const) {
        source.on("data", (chunk) => forwarding && sink.write(chunk));
        source.on("error", () => sink.destroy());
        source.on("close", () => sink.destroy());
      }
      cleanups.push(() => inward.destroy());
    });
    await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => relay.close());
    const port = (relay.address() as net.AddressInfo).port;
    a.transport.setPeers([{ id: 2n, urls: [`http://127.0.0.1:${port}`] }]);
    b.transport.setPeers([{ id: 1n, urls: [a.url] }]);
    await connected(a, b);
    forwarding = false;
    await until(logs(a, "the peer fell silent"), "a drops the silent streams", 2_000);
    forwarding = true;
    const earlier = a.lines.length;
    await until(
      () => a.lines.slice(earlier).some(({ msg }) => msg.startsWith("established")),
      "a dials again through the healed relay",
    );
  });

  it("a quiet link: link heartbeats keep it", async () => {
    const limits = { readTimeoutMs: 800 };
    const a = await openMember(1n, { limits });
    const b = await openMember(2n, { limits });
    introduce(a, b);
    await connected(a, b);
    await sleep(2_500);
    expect([...a.received, ...b.received]).toEqual([]);
    expect(a.logged("lost TCP streaming connection with remote peer")).toBe(false);
    expect(b.logged("lost TCP streaming connection with remote peer")).toBe(false);
    expect(a.transport.traffic(2n)?.receivedBytes).toBeGreaterThan(28 * 8);
  });
});
