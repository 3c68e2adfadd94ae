import * as net from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { Message } from "../../raft/types.ts";
import { messageEncoder } from "../../src/peer/message-frames.ts";
import { msgAppEncoder } from "../../src/peer/msgapp-frames.ts";
import type { Member } from "./harness.ts";
import { append, closeMembers, heartbeat, openMember, sleep, until } from "./harness.ts";

const cleanups: (() => void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  await closeMembers();
});

const HEAD =
  "HTTP/1.1 200 OK\r\nX-Etcd-Cluster-Id: cdf818194e3a8c32\r\nX-Server-Version: 3.6.14\r\nTransfer-Encoding: chunked\r\n\r\n";

interface FakePeer {
  readonly url: string;
  /** The heads of the requests for each lane. */
  readonly dials: string[];
}

/** Bytes in answer to each dial of the message stream; the other one is left waiting. */
async function fakePeer(answer: (socket: net.Socket, dial: number) => void, host = "127.0.0.1"): Promise<FakePeer> {
  const dials: string[] = [];
  const server = net.createServer((socket) => {
    socket.on("error", () => undefined);
    socket.setNoDelay(true);
    cleanups.push(() => socket.destroy());
    let head = "";
    socket.on("data", (bytes) => {
      head += bytes.toString("latin1");
      if (!head.endsWith("\r\n\r\n") || !head.startsWith("GET /raft/stream/message/")) return;
      dials.push(head);
      answer(socket, dials.length);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  cleanups.push(() => server.close());
  return { url: `http://${host}:${(server.address() as net.AddressInfo).port}`, dials };
}

async function dialling(url: string, limits = {}): Promise<Member> {
  const member = await openMember(1n, { limits });
  member.transport.setPeers([{ id: 2n, urls: [url] }]);
  return member;
}

function chunk(...messages: readonly Message[]): Buffer {
  const data = messageEncoder().encode(messages);
  return Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from("\r\n")]);
}

/** Why the message stream was lost, or not had. */
function reasons(member: Member): readonly string[] {
  return member.lines
    .filter(({ fields }) => fields["stream-reader-type"] === "message" && fields["error"] !== undefined)
    .map(({ fields }) => String(fields["error"]));
}

const beats = [1, 2, 3].map((commit) => heartbeat(2n, 1n, commit));

describe("a stream that we dial", () => {
  it("is asked for in one request with all that a peer demands", async () => {
    const peer = await fakePeer((socket) => socket.write(HEAD));
    const member = await dialling(peer.url);
    await until(() => peer.dials.length === 1, "the dial");
    const [first, ...fields] = (peer.dials[0] as string).split("\r\n");
    expect(first).toBe("GET /raft/stream/message/1 HTTP/1.1");
    expect(fields).toEqual([
      `Host: ${peer.url.slice("http://".length)}`,
      "Connection: close",
      "X-Server-From: 1",
      "X-Server-Version: 3.6.14",
      "X-Min-Cluster-Version: 3.0.0",
      "X-Etcd-Cluster-ID: cdf818194e3a8c32",
      `X-PeerURLs: ${member.url}`,
      "X-Raft-To: 2",
      "",
      "",
    ]);
  });

  it("reads a head that comes with the first chunks, and two chunks in one piece", async () => {
    const first = chunk(beats[0] as Message);
    const both = Buffer.concat([chunk(beats[1] as Message), chunk(beats[2] as Message)]);
    const peer = await fakePeer((socket) => {
      socket.write(Buffer.concat([Buffer.from(HEAD), first]));
      setTimeout(() => socket.write(both), 30);
    });
    const member = await dialling(peer.url);
    await until(() => member.received.length === 3, "all messages");
    expect(member.received).toEqual(beats);
    const data = messageEncoder().encode(beats);
    expect(member.transport.traffic(2n)?.receivedBytes).toBe(data.length);
    expect(reasons(member)).toEqual([]);
  });

  it("reads head and chunks that come byte by byte", async () => {
    const bytes = Buffer.concat([Buffer.from(HEAD), chunk(...beats), chunk(...beats)]);
    const peer = await fakePeer(async (socket) => {
      for (const byte of bytes) {
        socket.write(Buffer.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    const member = await dialling(peer.url);
    await until(() => member.received.length === 6, "all messages");
    expect(member.received).toEqual([...beats, ...beats]);
  });

  it("reads chunks that have nothing to do with messages", async () => {
    const data = messageEncoder().encode(beats);
    const pieces = [...data].map((byte) => Buffer.concat([Buffer.from("1\r\n"), Buffer.of(byte), Buffer.from("\r\n")]));
    const peer = await fakePeer((socket) => socket.write(Buffer.concat([Buffer.from(HEAD), ...pieces])));
    const member = await dialling(peer.url);
    await until(() => member.received.length === 3, "all messages");
    expect(member.received).toEqual(beats);
  });

  it("keeps nothing of the buffer that it reads into", async () => {
    const large: Message = { type: "MsgProp", from: 2n, to: 1n, term: 0, entries: [] };
    const messages = Array.from({ length: 40 }, (_, i) => ({
      ...large,
      entries: [{ type: 0 as const, data: Buffer.alloc(10_000 + i, i) }],
    }));
    const peer = await fakePeer((socket) => {
      socket.write(HEAD);
      for (const message of messages) socket.write(chunk(message));
    });
    const member = await dialling(peer.url);
    await until(() => member.received.length === messages.length, "all messages");
    expect(messageEncoder().encode(member.received).equals(messageEncoder().encode(messages))).toBe(true);
  });

  it("is found by name", async () => {
    const peer = await fakePeer((socket) => socket.write(Buffer.concat([Buffer.from(HEAD), chunk(...beats)])));
    const member = await dialling(peer.url.replace("127.0.0.1", "localhost"));
    await until(() => member.received.length === 3, "all messages");
  });

  it.each<[string, string, string]>([
    ["a malformed size", "xyz\r\n", "chunked body: a chunk has no size"],
    ["an endless size", "0".repeat(10_000), "chunked body: the line of a chunk's size is over 256"],
    ["a chunk that is too large", "fffffffff\r\n", "chunked body: a chunk is over 1073741824"],
    ["a chunk that is longer than its size", "0001\r\n", "chunked body: a chunk is longer than its size"],
  ])("ends at %s, behind the messages before it, and is dialled again", async (_, bad, error) => {
    const peer = await fakePeer((socket) =>
      socket.write(Buffer.concat([Buffer.from(HEAD), chunk(...beats), Buffer.from(bad), Buffer.from("xxxx")])),
    );
    const member = await dialling(peer.url);
    await until(() => peer.dials.length >= 3, "it is dialled again");
    expect(reasons(member)[0]).toBe(error);
    expect(member.received.slice(0, 3)).toEqual(beats);
    expect(member.transport.traffic(2n)?.receivedFailures).toBeGreaterThan(0);
  });

  it.each<[string, string, string]>([
    ["in the middle of a chunk", "5\r\nhel", "the stream broke off"],
    ["between chunks", "", "the stream broke off"],
    ["with a last chunk", "0\r\n\r\n", "the peer ended the stream"],
    ["with a last chunk and trailers", "0\r\nA: b\r\n\r\n", "the peer ended the stream"],
  ])("that ends %s is dialled again", async (_, last, error) => {
    const peer = await fakePeer((socket) => {
      const bytes = Buffer.concat([Buffer.from(HEAD), chunk(...beats), Buffer.from(last)]);
      if (error.includes("ended")) socket.write(bytes);
      else socket.end(bytes);
    });
    const member = await dialling(peer.url);
    await until(() => peer.dials.length >= 2, "it is dialled again");
    expect(reasons(member)[0]).toBe(error);
    expect(member.received.slice(0, 3)).toEqual(beats);
  });

  it.each<[string, string, string | RegExp]>([
    ["a length", HEAD.replace("Transfer-Encoding: chunked", "Content-Length: 5"), "the stream is not chunked"],
    ["the connection", HEAD.replace("Transfer-Encoding: chunked\r\n", ""), "the stream is not chunked"],
    ["another coding", HEAD.replace("chunked", "gzip"), /^head of the answer: its body/],
    ["no HTTP", "SSH-2.0-x\r\n\r\n", /^head of the answer: its first line/],
    ["an endless head", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(20_000)}`, /^head of the answer: it is over/],
    ["410 and no text", "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", "refused with 410"],
    [
      "text in chunks",
      "HTTP/1.1 412 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno \r\n2\r\n!\n\r\n0\r\n\r\n",
      "refused with 412: no !",
    ],
    ["text of a length", "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nno!\n", "refused with 404: no!"],
    ["text that breaks off", "HTTP/1.1 404 No\r\nContent-Length: 40\r\n\r\nno!\n", "refused with 404"],
    ["text in bad chunks", "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\nno!\n", "refused with 404"],
    ["text to the end", "HTTP/1.1 404 No\r\nConnection: close\r\n\r\nno!\n", "refused with 404: no!"],
    ["too much text", `HTTP/1.1 404 No\r\nConnection: close\r\n\r\n${"no".repeat(10_000)}`, "refused with 404"],
    ["nothing", "", "the connection ended before an answer"],
    ["half a head", "HTTP/1.1 200 OK\r\n", "the connection ended before an answer"],
  ])("is not had when the answer is delimited by, or is, %s", async (_, answer, error) => {
    const peer = await fakePeer((socket) => socket.end(answer, "latin1"));
    const member = await dialling(peer.url);
    await until(() => peer.dials.length >= 2, "it is dialled again");
    expect(reasons(member)[0]).toMatch(error);
    if (typeof error === "string") expect(reasons(member)[0]).toBe(error);
    expect(member.transport.activeSince(2n)).toBeUndefined();
    expect(member.removals.length > 0).toBe(answer.includes("410"));
  });

  it("is given up when a refusal does not come to its end", async () => {
    const peer = await fakePeer((socket) => socket.write("HTTP/1.1 404 No\r\nContent-Length: 40\r\n\r\nno"));
    const member = await dialling(peer.url, { dialTimeoutMs: 100 });
    await until(() => peer.dials.length >= 2, "it is dialled again");
    expect(reasons(member)[0]).toBe("dial timed out");
  });

  it("tells of no more once it is closed, not even what the same piece held", async () => {
    const peer = await fakePeer((socket) =>
      socket.write(Buffer.concat([Buffer.from(HEAD), ...beats.map((beat) => chunk(beat))])),
    );
    const got: Message[] = [];
    const member: Member = await openMember(1n, {
      onMessage: (message) => {
        got.push(message);
        member.transport.setPeers([]);
      },
    });
    member.transport.setPeers([{ id: 2n, urls: [peer.url] }]);
    await until(() => got.length > 0, "a message");
    await sleep(50);
    expect(got).toEqual(beats.slice(0, 1));
    expect(peer.dials).toHaveLength(1);
  });

  it("that is read slowly holds back its writer, and loses nothing", async () => {
    const reader = await openMember(1n, {
      onMessage: (message) => {
        const end = performance.now() + 4;
        while (performance.now() < end);
        order.push(message.type === "MsgApp" ? message.index : -1);
      },
    });
    const order: number[] = [];
    const writer = await openMember(2n);
    reader.transport.setPeers([{ id: 2n, urls: [writer.url] }]);
    writer.transport.setPeers([{ id: 1n, urls: [reader.url] }]);
    await until(() => writer.logged("established TCP streaming connection with remote peer"), "streams");
    await sleep(100);
    const sent = Array.from({ length: 150 }, (_, i) => append(2n, 1n, i, 1, 200_000));
    writer.transport.send(sent);
    await until(() => order.length === sent.length, "all");
    expect(order).toEqual(sent.map((_, i) => i));
    const bytes = sent.reduce((sum, message) => sum + msgAppEncoder().encode([message]).length, 0);
    expect(writer.transport.traffic(1n)?.sentBytes).toBeGreaterThan(bytes * 0.99);
  });
});
