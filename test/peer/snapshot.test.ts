import { createHash } from "node:crypto";
import * as http from "node:http";
import * as net from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, it } from "vitest";
import type { Message } from "../../raft/types.ts";
import { messageEncoder } from "../../src/peer/message-frames.ts";
import type { OutgoingSnapshot, PeerCallbacks, SnapshotMessage } from "../../src/peer/transport.ts";
import { PeerCallError, SnapshotRefusedError } from "../../src/peer/transport.ts";
import type { Member, MemberOptions } from "./harness.ts";
import {
  append,
  call,
  closeMembers,
  connected,
  freePort,
  heartbeat,
  introduce,
  openMember,
  senderHeaders,
  sleep,
  until,
} from "./harness.ts";

const MIB = 1024 * 1024;
const NEVER = new AbortController().signal;

const cleanups: (() => void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  await closeMembers();
});

function snapMessage(from: bigint, to: bigint, dataBytes = 100): SnapshotMessage {
  const confState = { voters: [1n, 2n], learners: [3n] };
  const snapshot = { metadata: { index: 77, term: 4, confState }, data: Buffer.alloc(dataBytes, "{") };
  return { type: "MsgSnap", from, to, term: 5, snapshot };
}

/** A file that counts what was taken of it, and knows whether it was let go of. */
function countingFile(pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): {
  readonly file: AsyncIterable<Uint8Array>;
  readonly state: { pulled: number; isReleased: boolean };
} {
  const state = { pulled: 0, isReleased: false };
  async function* generate(): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      state.pulled += piece.length;
      yield piece;
    }
  }
  const pulling = generate();
  const file: AsyncIterableIterator<Uint8Array> = {
    [Symbol.asyncIterator]: () => file,
    next: () => pulling.next(),
    return: (value) => {
      state.isReleased = true;
      return pulling.return(value);
    },
  };
  return { file, state };
}

function* endless(): Generator<Uint8Array> {
  const piece = Buffer.alloc(100_000, 7);
  for (;;) yield piece;
}

function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

interface Taking {
  readonly messages: Message[];
  bytes: number;
  readonly hash: ReturnType<typeof createHash>;
  /** How each of the files ended. */
  readonly ends: string[];
}

/** A receiver that reads it all, and notes how that ended. */
function taker(between: (taking: Taking) => Promise<void> = async () => undefined): {
  readonly taking: Taking;
  readonly onSnapshot: PeerCallbacks["onSnapshot"];
} {
  const taking: Taking = { messages: [], bytes: 0, hash: createHash("sha256"), ends: [] };
  return {
    taking,
    onSnapshot: async (message, file) => {
      taking.messages.push(message);
      try {
        for await (const piece of file) {
          taking.bytes += piece.length;
          taking.hash.update(piece);
          await between(taking);
        }
      } catch (error) {
        taking.ends.push((error as Error).message);
        throw error;
      }
      taking.ends.push("whole");
    },
  };
}

async function pair(options: MemberOptions, own: MemberOptions = {}): Promise<[Member, Member]> {
  const members: [Member, Member] = [await openMember(1n, own), await openMember(2n, options)];
  introduce(...members);
  await connected(...members);
  return members;
}

function send(from: Member, to: bigint, file: AsyncIterable<Uint8Array>, signal = NEVER): Promise<void> {
  const snapshot: OutgoingSnapshot = { message: snapMessage(from.id, to), file };
  return from.transport.sendSnapshot(to, snapshot, signal);
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function heldBytes(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

/** The value once it has not changed for a while: for measuring, where nothing tells that all has come to rest. */
async function atRest(value: () => number): Promise<number> {
  let last = value();
  for (let same = 0; same < 20; ) {
    await sleep(10);
    same = value() === last ? same + 1 : 0;
    last = value();
  }
  return last;
}

/** Somebody who is no member of ours, and answers as it likes. */
async function fakeReceiver(
  onSnapshot: (request: http.IncomingMessage, response: http.ServerResponse) => void,
): Promise<{ readonly url: string; readonly posts: http.IncomingMessage[] }> {
  const posts: http.IncomingMessage[] = [];
  const server = http.createServer((request, response) => {
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    if (request.url !== "/raft/snapshot") {
      response.writeHead(404);
      response.end();
      return;
    }
    posts.push(request);
    onSnapshot(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`, posts };
}

/** A sender of raw bytes. */
function rawPost(
  port: number,
  headers: Readonly<Record<string, string>>,
): { readonly socket: net.Socket; text: string; ended: boolean } {
  const socket = net.connect(port, "127.0.0.1");
  const state = { socket, text: "", ended: false };
  socket.on("data", (chunk) => {
    state.text += chunk.toString("latin1");
  });
  for (const event of ["error", "close"]) {
    socket.on(event, () => {
      state.ended = true;
    });
  }
  cleanups.push(() => socket.destroy());
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`POST /raft/snapshot HTTP/1.1\r\nHost: x\r\n${lines.join("")}\r\n`);
  return state;
}

function chunk(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}

const LAST_CHUNK = "0\r\n\r\n";
const chunked = { ...senderHeaders(1n, 2n), "Transfer-Encoding": "chunked" };

function frame(message: Message = snapMessage(1n, 2n)): Buffer {
  return messageEncoder().encode([message]);
}

describe("a snapshot", () => {
  it("arrives as it was sent, and is answered when its receiver has taken it", async () => {
    const held = gate();
    const { taking, onSnapshot } = taker();
    const [a] = await pair({
      onSnapshot: async (message, file) => {
        await onSnapshot(message, file);
        await held.opened;
      },
    });
    const pieces = [Buffer.from("x"), Buffer.alloc(0), Buffer.alloc(3 * MIB, "abc"), Buffer.from("y".repeat(1000))];
    const message = snapMessage(1n, 2n, 2 * MIB);
    const { file, state } = countingFile(pieces);
    let isAnswered = false;
    const sent = a.transport.sendSnapshot(2n, { message, file }, NEVER).then(() => {
      isAnswered = true;
    });
    await until(() => taking.ends.length === 1, "all of it is read");
    expect(isAnswered).toBe(false);
    held.open();
    await sent;
    const [taken] = taking.messages as SnapshotMessage[];
    expect({ ...taken, snapshot: taken?.snapshot.metadata }).toEqual({
      ...message,
      snapshot: message.snapshot.metadata,
    });
    expect(Buffer.compare(taken?.snapshot.data ?? Buffer.alloc(0), message.snapshot.data)).toBe(0);
    expect(taking.ends).toEqual(["whole"]);
    expect(taking.hash.digest("hex")).toBe(createHash("sha256").update(Buffer.concat(pieces)).digest("hex"));
    expect(state.isReleased).toBe(true);
    expect(a.transport.traffic(2n)?.sentBytes).toBeGreaterThan(5 * MIB);
  });

  it("may be without content, and follow another", async () => {
    const { taking, onSnapshot } = taker();
    const [a] = await pair({ onSnapshot });
    await send(a, 2n, countingFile([]).file);
    await send(a, 2n, countingFile([]).file);
    expect([taking.ends, taking.bytes]).toEqual([["whole", "whole"], 0]);
  });

  it("of any size takes little memory on either side, and streams go on meanwhile", async () => {
    const held = gate();
    let furthest = 0;
    const total = 64 * MIB;
    const source = Buffer.alloc(2 * MIB, "0123456789abc");
    function* content(): Generator<Uint8Array> {
      for (let i = 0; i < 64; i++) yield source.subarray(i, i + MIB);
    }
    const { file, state } = countingFile(content());
    const { taking, onSnapshot } = taker(async ({ bytes }) => {
      if (bytes > 10 * MIB) await held.opened;
      else if (bytes % 7 === 0) await sleep(0);
      furthest = Math.max(furthest, state.pulled - bytes);
    });
    const [a, b] = await pair({ onSnapshot });
    const before = heldBytes();
    const sent = send(a, 2n, file);
    // What is on its way includes what the kernel holds of it for both.
    expect((await atRest(() => state.pulled)) - taking.bytes).toBeLessThan(12 * MIB);
    // What was let go of is given back some time after its collection.
    await until(() => heldBytes() - before < 4 * MIB, "nothing else is held");

    for (let i = 0; i < 100; i++) {
      a.transport.send([append(1n, 2n, i, 1), heartbeat(1n, 2n, i)]);
      b.transport.send([heartbeat(2n, 1n, i)]);
    }
    await until(() => b.received.length === 200 && a.received.length === 100, "messages while it stands");
    held.open();
    await sent;
    const hash = createHash("sha256");
    for (const piece of content()) hash.update(piece);
    expect(taking.bytes).toBe(total);
    expect(taking.hash.digest("hex")).toBe(hash.digest("hex"));
    expect(furthest).toBeLessThan(12 * MIB);
    expect([a, b].some((member) => member.logged("lost TCP streaming connection with remote peer"))).toBe(false);
    expect([a.unreachable, b.unreachable]).toEqual([[], []]);
  });

  it("may take longer than other requests, if only it moves", async () => {
    const limits = { headerTimeoutMs: 50, bodyTimeoutMs: 100, snapshotIdleMs: 2_000 };
    const { taking, onSnapshot } = taker();
    const [a] = await pair({ onSnapshot, limits });
    async function* slowly(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 20; i++) {
        yield Buffer.alloc(10, i);
        await sleep(25);
      }
    }
    await send(a, 2n, slowly());
    expect([taking.ends, taking.bytes]).toEqual([["whole"], 200]);
  });

  it("goes to the member's other URL, as long as nothing was read of its file", async () => {
    const { taking, onSnapshot } = taker();
    const a = await openMember(1n);
    const b = await openMember(2n, { onSnapshot });
    const dead = `http://127.0.0.1:${await freePort()}`;
    a.transport.setPeers([{ id: 2n, urls: [dead, "https://127.0.0.1:1", b.url] }]);
    await send(a, 2n, countingFile([Buffer.from("content")]).file);
    expect([taking.ends, taking.bytes]).toEqual([["whole"], 7]);

    const breaking = await fakeReceiver((request) => request.on("data", () => request.destroy()));
    a.transport.setPeers([]);
    a.transport.setPeers([{ id: 2n, urls: [breaking.url, b.url] }]);
    const { file, state } = countingFile(endless());
    await expect(send(a, 2n, file)).rejects.toThrow(PeerCallError);
    expect([breaking.posts.length, taking.messages.length]).toEqual([1, 1]);
    expect(state.isReleased).toBe(true);
  });
});

describe("a snapshot that is not taken", () => {
  const refusals: [string, boolean][] = [
    ["before anything is read of it", false],
    ["when all of it is read", true],
  ];
  it.each(refusals)("is refused in the receiver's words: %s", async (_, isRead) => {
    const { taking, onSnapshot } = taker();
    const [a, b] = await pair({
      onSnapshot: async (message, file) => {
        if (isRead) await onSnapshot(message, file);
        throw new SnapshotRefusedError(409, "it is behind what I have");
      },
    });
    for (let i = 0; i < 5; i++) {
      const { file, state } = countingFile(isRead ? [Buffer.alloc(MIB)] : endless());
      await expect(send(a, 2n, file)).rejects.toMatchObject({
        name: "PeerCallError",
        message: "refused with 409: it is behind what I have",
        connected: true,
      });
      expect(state.isReleased).toBe(true);
    }
    expect(taking.ends.length).toBe(isRead ? 5 : 0);
    expect(b.logged("refused a peer's snapshot")).toBe(true);
    expect([a.removals, a.transport.activeSince(2n) === undefined]).toEqual([[], false]);
  });

  it("says nothing of what failed in the receiver, whose log does", async () => {
    const [a, b] = await pair({ onSnapshot: async () => Promise.reject(new Error("/secret/path is full")) });
    await expect(send(a, 2n, countingFile(endless()).file)).rejects.toThrow(
      /^refused with 500: failed to take the snapshot$/,
    );
    expect(b.lines).toContainEqual(
      expect.objectContaining({ level: "warn", fields: expect.objectContaining({ detail: "/secret/path is full" }) }),
    );
  });

  it("is aborted: before, in the middle, and while its receiver works on it", async () => {
    const held = gate();
    const { taking, onSnapshot } = taker();
    const [a, b] = await pair({
      onSnapshot: async (message, file) => {
        await onSnapshot(message, file);
        await held.opened;
      },
    });
    const aborted = { name: "PeerCallError", message: expect.stringMatching("the call was aborted") };

    const never = countingFile(endless());
    await expect(send(a, 2n, never.file, AbortSignal.abort())).rejects.toMatchObject({ ...aborted, connected: false });
    expect(never.state).toEqual({ pulled: 0, isReleased: true });

    const middle = countingFile(endless());
    const abort = new AbortController();
    const sent = expect(send(a, 2n, middle.file, abort.signal)).rejects.toMatchObject(aborted);
    await until(() => taking.bytes > 5 * MIB, "some of it");
    abort.abort();
    await sent;
    expect(middle.state.isReleased).toBe(true);
    await until(() => taking.ends.length === 1, "the receiver notices");
    expect(taking.ends[0]).toBe("the connection broke off");
    expect(b.logged("a peer's snapshot broke off")).toBe(true);

    const late = new AbortController();
    const whole = expect(send(a, 2n, countingFile([Buffer.from("x")]).file, late.signal)).rejects.toMatchObject(
      aborted,
    );
    await until(() => taking.ends.length === 2, "all of it");
    late.abort();
    await whole;
    held.open();
    // The receiver may take what it has; nobody hears of it, and the next one comes through.
    await until(() => b.timers.size === a.timers.size, "it is over");
    await send(a, 2n, countingFile([]).file);
    expect(taking.ends.slice(1)).toEqual(["whole", "whole"]);
  });

  it("has a file that fails: the receiver never takes the part for the whole", async () => {
    const { taking, onSnapshot } = taker();
    const [a] = await pair({ onSnapshot });
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(MIB);
      throw new Error("disk says no");
    }
    const { file, state } = countingFile(failing());
    await expect(send(a, 2n, file)).rejects.toThrow("the file could not be read: disk says no");
    await until(() => taking.ends.length === 1, "the receiver notices");
    expect(taking.ends).toEqual(["the connection broke off"]);
    expect(state.isReleased).toBe(true);
  });

  it("ends with its sender, with its receiver, and with the membership", async () => {
    const { taking, onSnapshot } = taker();
    const [a, b] = await pair({ onSnapshot });
    const begin = async (from: Member): Promise<{ rejected: Promise<void>; isReleased: () => boolean }> => {
      const { file, state } = countingFile(endless());
      const start = taking.messages.length;
      const rejected = expect(send(from, 2n, file)).rejects.toThrow(PeerCallError);
      await until(() => taking.messages.length > start, "it begins");
      return { rejected, isReleased: () => state.isReleased };
    };

    const leaving = await begin(a);
    a.transport.setPeers([]);
    await leaving.rejected;
    await until(() => taking.ends.length === 1, "the receiver notices");

    introduce(a, b);
    const closing = await begin(a);
    await a.transport.close();
    await closing.rejected;
    await until(() => taking.ends.length === 2, "the receiver notices");
    expect(a.timers.size).toBe(0);

    const again = await openMember(1n);
    introduce(again, b);
    const closed = await begin(again);
    await b.transport.close();
    await closed.rejected;
    await until(() => taking.ends.length === 3, "the receiver is told, too");
    expect(b.timers.size).toBe(0);
    expect([leaving, closing, closed].every(({ isReleased }) => isReleased())).toBe(true);
    expect(taking.ends).not.toContain("whole");
  });

  it("is for nobody, or not the only one for that member", async () => {
    const held = gate();
    const [a] = await pair({ onSnapshot: () => held.opened });
    const unknown = countingFile(endless());
    await expect(send(a, 9n, unknown.file)).rejects.toThrow("member 9 is not known");
    const first = send(a, 2n, countingFile([]).file);
    const second = countingFile(endless());
    await expect(send(a, 2n, second.file)).rejects.toThrow("a snapshot is on its way");
    held.open();
    await first;
    for (const { state } of [unknown, second]) expect(state).toEqual({ pulled: 0, isReleased: true });
  });

  it.each([403, 410])("tells a member that was removed: %i", async (status) => {
    const receiver = await fakeReceiver((_, response) => {
      response.writeHead(status);
      response.end("gone for good\n");
    });
    const a = await openMember(1n);
    a.transport.setPeers([{ id: 2n, urls: [receiver.url] }]);
    await expect(send(a, 2n, countingFile([]).file)).rejects.toThrow(`refused with ${status}: gone for good`);
    expect(a.removals).toHaveLength(1);
  });
});

describe("silence ends a snapshot:", () => {
  it("of the sender", async () => {
    const { taking, onSnapshot } = taker();
    const b = await openMember(2n, { onSnapshot, limits: { snapshotIdleMs: 100 } });
    const silent = rawPost(b.port, chunked);
    silent.socket.write(chunk(Buffer.concat([frame(), Buffer.alloc(10)])));
    await until(() => silent.ended, "the connection is closed");
    expect(taking.ends).toEqual(["the sender was silent for 100 ms"]);
    expect(silent.text).toBe("");
    const dumb = rawPost(b.port, chunked);
    await until(() => dumb.ended, "before its message, too");
    expect([dumb.text, taking.messages.length]).toEqual(["", 1]);
  });

  it("of the sender, though not while the receiver itself takes its time", async () => {
    const { taking, onSnapshot } = taker(() => sleep(250));
    const b = await openMember(2n, { onSnapshot, limits: { snapshotIdleMs: 100 } });
    const sender = rawPost(b.port, chunked);
    sender.socket.write(Buffer.concat([chunk(Buffer.concat([frame(), Buffer.alloc(10)])), Buffer.from(LAST_CHUNK)]));
    await until(() => sender.text !== "", "the answer");
    expect(sender.text).toMatch(/^HTTP\/1\.1 204 /);
    expect(taking.ends).toEqual(["whole"]);
  });

  it("of a sender that drips its message", async () => {
    const { taking, onSnapshot } = taker();
    const b = await openMember(2n, { onSnapshot, limits: { bodyTimeoutMs: 200 } });
    const slow = rawPost(b.port, chunked);
    const drip = setInterval(() => slow.socket.write(chunk(Buffer.alloc(1))), 20);
    cleanups.push(() => clearInterval(drip));
    await until(() => slow.ended, "the connection is closed");
    expect(taking.messages).toEqual([]);
  });

  it("of a receiver that does not read", async () => {
    const receiver = await fakeReceiver((request) => request.pause());
    const a = await openMember(1n, { limits: { snapshotIdleMs: 150 } });
    a.transport.setPeers([{ id: 2n, urls: [receiver.url] }]);
    const { file, state } = countingFile(endless());
    await expect(send(a, 2n, file)).rejects.toThrow("nothing moved any more");
    expect(state.isReleased).toBe(true);
  });

  it("of the file", async () => {
    const { taking, onSnapshot } = taker();
    const [a] = await pair({ onSnapshot }, { limits: { snapshotIdleMs: 150 } });
    const file = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) };
    await expect(send(a, 2n, file)).rejects.toThrow("nothing moved any more");
    await until(() => taking.ends.length === 1, "the receiver notices");
    expect(taking.ends).toEqual(["the connection broke off"]);
  });

  it("of a receiver that does not answer, when nothing else is heard of it", async () => {
    const receiver = await fakeReceiver((request) => request.resume());
    const a = await openMember(1n, { limits: { snapshotIdleMs: 150 } });
    a.transport.setPeers([{ id: 2n, urls: [receiver.url] }]);
    await expect(send(a, 2n, countingFile([]).file)).rejects.toThrow("no answer, and no other word of the peer");
  });

  it("of a receiver that does not answer, though not while its streams live", async () => {
    const { taking, onSnapshot } = taker();
    const held = gate();
    const take: PeerCallbacks["onSnapshot"] = async (message, file) => {
      await onSnapshot(message, file);
      await held.opened;
    };
    const [a, b] = await pair({ onSnapshot: take }, { limits: { snapshotIdleMs: 50 } });
    const patient = send(a, 2n, countingFile([]).file);
    await until(() => taking.ends.length === 1, "all of it");
    const end = performance.now() + 300;
    await until(() => performance.now() > end, "the limit several times over");
    held.open();
    await patient;
    expect(b.logged("a peer's snapshot broke off")).toBe(false);
  });

  it("of an answer that does not end", async () => {
    const receiver = await fakeReceiver((_, response) => {
      response.writeHead(500);
      const drip = setInterval(() => response.write("x"), 20);
      cleanups.push(() => clearInterval(drip));
    });
    const a = await openMember(1n, { limits: { snapshotIdleMs: 150 } });
    a.transport.setPeers([{ id: 2n, urls: [receiver.url] }]);
    await expect(send(a, 2n, countingFile(endless()).file)).rejects.toThrow("the answer does not end");
  });
});

describe("whoever posts a snapshot cannot harm a member with", () => {
  const post = (member: Member, body: Uint8Array, headers = senderHeaders(1n, 2n)): ReturnType<typeof call> =>
    call(member.port, "POST", "/raft/snapshot", headers, body);
  const length = (value: number): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(value));
    return bytes;
  };
  const undecodable = /^failed to decode raft message \(.*\)\n$/;

  it.each<[string, Uint8Array, number, RegExp]>([
    ["nothing", Buffer.alloc(0), 400, undecodable],
    ["half a length", Buffer.alloc(4), 400, undecodable],
    ["a length over the limit", Buffer.concat([length(64 * MIB + 1), Buffer.alloc(100)]), 400, undecodable],
    ["a length over all limits", Buffer.alloc(100, 0xff), 400, undecodable],
    ["a length over the body", Buffer.concat([length(1_000), Buffer.alloc(999)]), 400, undecodable],
    ["garbage", Buffer.concat([length(100), Buffer.alloc(100, 0xee)]), 400, undecodable],
    ["an empty message", length(0), 400, undecodable],
    [
      "another message",
      frame(heartbeat(1n, 2n, 1)),
      400,
      /^unexpected raft message type MsgHeartbeat on snapshot path\n$/,
    ],
    ["a message for another member", frame(snapMessage(1n, 3n)), 412, /^to field mismatch\n$/],
    ["a message in another's name", frame(snapMessage(3n, 2n)), 400, /^from field mismatch\n$/],
  ])("%s", async (_, body, status, text) => {
    const { taking, onSnapshot } = taker();
    const b = await openMember(2n, { onSnapshot });
    const answer = await post(b, body);
    expect(answer.status).toBe(status);
    expect(answer.text).toMatch(text);
    expect(taking.messages).toEqual([]);
    expect((await post(b, frame())).status).toBe(204);
  });

  it("headers that are not for this member, or not of one", async () => {
    const { taking, onSnapshot } = taker();
    const b = await openMember(2n, { onSnapshot });
    b.removedIds.add(1n);
    expect(await post(b, frame())).toMatchObject({
      status: 403,
      text: "cannot process message from removed member\n",
    });
    b.removedIds.clear();
    expect(await post(b, frame(), senderHeaders(1n, 3n))).toMatchObject({ status: 412, text: "to field mismatch\n" });
    expect(await post(b, frame(), { ...senderHeaders(1n, 2n), "X-Server-From": "xyz" })).toMatchObject({ status: 400 });
    expect(taking.messages).toEqual([]);
    const { "X-Raft-To": _, ...withoutTo } = senderHeaders(1n, 2n);
    expect((await post(b, frame(), withoutTo)).status).toBe(204);
  });

  it("a refused sender hears why, however much it still sends", async () => {
    const { onSnapshot } = taker();
    const b = await openMember(2n, { onSnapshot });
    const a = await openMember(1n);
    a.transport.setPeers([{ id: 2n, urls: [b.url] }]);
    b.removedIds.add(1n);
    const { file } = countingFile(endless());
    await expect(send(a, 2n, file)).rejects.toThrow("refused with 403: cannot process message from removed member");
    expect(a.removals).toHaveLength(1);
  });

  it("thousands of tiny pieces", async () => {
    const { taking, onSnapshot } = taker();
    const b = await openMember(2n, { onSnapshot });
    const content = Buffer.concat([frame(), Buffer.alloc(10_000, 9)]);
    const tiny = rawPost(b.port, chunked);
    for (const byte of content) tiny.socket.write(chunk(Buffer.from([byte])));
    tiny.socket.write(LAST_CHUNK);
    await until(() => tiny.text !== "", "the answer");
    expect(tiny.text).toMatch(/^HTTP\/1\.1 204 /);
    expect([taking.ends, taking.bytes]).toEqual([["whole"], 10_000]);
    expect(taking.messages).toEqual([snapMessage(1n, 2n)]);
  });

  const announced = { ...senderHeaders(1n, 2n), "Content-Length": "1000000" };
  it.each<[string, Record<string, string>, Buffer, string]>([
    ["chunks without an end", chunked, chunk(Buffer.concat([frame(), Buffer.alloc(1_000)])), ""],
    ["half a chunk", chunked, chunk(Buffer.concat([frame(), Buffer.alloc(1_000)])).subarray(0, -500), ""],
    ["no chunk where one belongs", chunked, chunk(Buffer.concat([frame(), Buffer.alloc(1_000)])), "garbage\r\n"],
    ["less than was announced", announced, Buffer.concat([frame(), Buffer.alloc(1_000)]), ""],
  ])("a body that breaks off: %s", async (_, headers, body, last) => {
    for (const farewell of ["end", "destroy"] as const) {
      const { taking, onSnapshot } = taker();
      const b = await openMember(2n, { onSnapshot });
      const sender = rawPost(b.port, headers);
      sender.socket.write(body);
      await until(() => taking.bytes > 0, "what there is of the file");
      if (last !== "") sender.socket.write(last);
      sender.socket[farewell]();
      await until(() => taking.ends.length === 1, "the end");
      expect(taking.ends).toEqual(["the connection broke off"]);
      expect(sender.text).not.toMatch(/ 204 /);
    }
  });

  it("a second one at the same time: it is turned away, if it is not the sender's next", async () => {
    const held = gate();
    const { taking, onSnapshot } = taker();
    const b = await openMember(2n, {
      onSnapshot: async (message, file) => {
        await onSnapshot(message, file);
        await held.opened;
      },
    });
    const first = rawPost(b.port, chunked);
    first.socket.write(chunk(frame()));
    await until(() => taking.messages.length === 1, "the first");
    const busy = { status: 503, text: "another snapshot is being received\n" };
    expect(await post(b, frame(snapMessage(3n, 2n)), senderHeaders(3n, 2n))).toMatchObject(busy);
    expect(first.ended).toBe(false);

    const next = rawPost(b.port, chunked);
    next.socket.write(chunk(frame()));
    await until(() => first.ended && taking.messages.length === 2, "the sender's next instead");
    expect([taking.ends, first.text]).toEqual([["its sender began anew"], ""]);

    next.socket.write(LAST_CHUNK);
    await until(() => taking.ends.length === 2, "all of it");
    expect(taking.ends[1]).toBe("whole");
    expect(await post(b, frame())).toMatchObject(busy);
    held.open();
    await until(() => next.text !== "", "its answer");
    expect(next.text).toMatch(/^HTTP\/1\.1 204 /);
    expect((await post(b, frame(snapMessage(3n, 2n)), senderHeaders(3n, 2n))).status).toBe(204);
  });

  it("many at the same time: the server is never given two", async () => {
    let running = 0;
    let most = 0;
    const { taking, onSnapshot } = taker();
    const b = await openMember(2n, {
      onSnapshot: async (message, file) => {
        most = Math.max(most, ++running);
        try {
          await onSnapshot(message, file);
        } finally {
          // It lets go of what it had at its leisure.
          await sleep(30);
          running--;
        }
      },
    });
    const senders = Array.from({ length: 20 }, () => rawPost(b.port, chunked));
    for (const { socket } of senders) socket.write(chunk(frame()));
    await until(() => senders.filter(({ ended }) => ended).length === 19, "one is left");
    const last = senders.find(({ ended }) => !ended);
    last?.socket.write(LAST_CHUNK);
    await until(() => last?.text !== "", "its answer");
    expect(last?.text).toMatch(/^HTTP\/1\.1 204 /);
    expect([most, taking.ends.filter((end) => end === "whole").length]).toEqual([1, 1]);
  });

  it("a file that the server does not want to read", async () => {
    const b = await openMember(2n, { onSnapshot: async () => undefined });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    cleanups.push(() => agent.destroy());
    for (let i = 0; i < 3; i++) {
      const status = await new Promise((resolve, reject) => {
        const options = { host: "127.0.0.1", port: b.port, method: "POST", path: "/raft/snapshot", agent };
        const request = http.request({ ...options, headers: senderHeaders(1n, 2n) }, (response) => {
          response.resume();
          response.on("end", () => resolve(response.statusCode));
        });
        request.on("error", reject);
        request.end(Buffer.concat([frame(), Buffer.alloc(100_000)]));
      });
      expect(status).toBe(204);
    }
  });
});
