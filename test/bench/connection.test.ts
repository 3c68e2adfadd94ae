import { once } from "node:events";
import * as http2 from "node:http2";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Connection, type Receiver } from "../../bench/connection.ts";
import { nowUs } from "../../bench/meter.ts";
import { drawer } from "../../bench/values.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

type Handler = (stream: http2.ServerHttp2Stream, path: string) => void;

const HEADERS = { ":status": 200, "content-type": "application/grpc" };

async function portOf(server: Server | http2.Http2Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Node's HTTP/2, which knows nothing of ours. */
async function connectTo(
  handler: Handler,
  settings: http2.Settings = {},
): Promise<{ connection: Connection; session: http2.ServerHttp2Session }> {
  const server = http2.createServer({ settings });
  const sessions: http2.ServerHttp2Session[] = [];
  server.on("session", (session) => sessions.push(session));
  server.on("stream", (stream, headers) => {
    // A call that is cancelled is an error of its stream.
    stream.on("error", () => stream.destroy());
    handler(stream, String(headers[":path"]));
  });
  const connection = await Connection.open("127.0.0.1", await portOf(server));
  closers.push(
    () => connection.close(),
    () => {
      for (const session of sessions) session.destroy();
      server.close();
    },
  );
  return { connection, session: sessions[0] as http2.ServerHttp2Session };
}

function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function answer(stream: http2.ServerHttp2Stream, body: Buffer, trailers: http2.OutgoingHttpHeaders = {}): void {
  stream.respond(HEADERS, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", ...trailers }));
  stream.end(body);
}

/** Answers with what was sent. */
const echo: Handler = (stream) => {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("end", () => answer(stream, Buffer.concat(chunks)));
};

interface Outcome {
  readonly messages: readonly Buffer[];
  readonly status: string;
  readonly detail: string;
}

function call(connection: Connection, message: Buffer, path = "/test"): Promise<Outcome> {
  return new Promise((resolve) => {
    const messages: Buffer[] = [];
    connection.unary(path, message, {
      message: (bytes, start, end) => messages.push(Buffer.from(bytes.subarray(start, end))),
      ended: (status, detail) => resolve({ messages, status, detail }),
    });
  });
}

/** Long enough that no two parts of a frame's length are alike. */
const NOISE = Buffer.from(Uint8Array.from({ length: 99_991 }, noise()));

function noise(): () => number {
  const draw = drawer(1);
  return () => draw(256);
}

function bytesOf(length: number, seed = 0): Buffer {
  return Buffer.alloc(length, NOISE.subarray(seed));
}

describe("against Node's HTTP/2 server", () => {
  test("many calls at a time, of several paths, come back as they were sent", async () => {
    const { connection } = await connectTo(echo);
    for (let round = 0; round < 20; round++) {
      const sent = Array.from({ length: 100 }, (_, i) => bytesOf(i * 7, i + 1));
      const outcomes = await Promise.all(sent.map((message, i) => call(connection, message, `/path${i % 3}`)));
      for (const [i, { messages, status }] of outcomes.entries()) {
        expect(status).toBe("0");
        expect(messages.length).toBe(1);
        expect(messages[0]?.equals(sent[i] as Buffer)).toBe(true);
      }
    }
  });

  test("a request larger than every window, and its answer", async () => {
    const { connection } = await connectTo(echo);
    const large = bytesOf(3_000_000);
    const [first, second] = await Promise.all([call(connection, large), call(connection, bytesOf(10))]);
    expect(first.messages[0]?.equals(large)).toBe(true);
    expect(second.messages).toEqual([bytesOf(10)]);
  });

  test("answers of more than the windows that we give, again and again", async () => {
    const body = framed(bytesOf(30 << 20));
    const { connection } = await connectTo((stream) => answer(stream, body));
    for (let i = 0; i < 3; i++) {
      const { messages, status } = await call(connection, Buffer.alloc(0));
      expect(status).toBe("0");
      expect(messages[0]?.equals(body.subarray(5))).toBe(true);
    }
  });

  test("messages that are cut anywhere, their prefix too", async () => {
    const sent = [bytesOf(0), bytesOf(1), bytesOf(300), bytesOf(20_000), bytesOf(3)];
    const body = Buffer.concat(sent.map(framed));
    const draw = drawer(5);
    const { connection } = await connectTo((stream) => {
      stream.respond(HEADERS, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      const writeFrom = (at: number): void => {
        const next = Math.min(body.length, at + 1 + draw(at < 400 ? 3 : 5_000));
        if (next === body.length) stream.end(body.subarray(at));
        else stream.write(body.subarray(at, next), () => writeFrom(next));
      };
      writeFrom(0);
    });
    expect((await call(connection, Buffer.alloc(0))).messages).toEqual(sent);
  });

  test("statuses: in trailers, without a body, of HTTP, and a stream that is reset", async () => {
    const { connection } = await connectTo((stream, path) => {
      if (path === "/trailers") answer(stream, Buffer.alloc(0), { "grpc-status": "9", "grpc-message": "not so" });
      else if (path === "/only") stream.respond({ ...HEADERS, "grpc-status": "14" }, { endStream: true });
      else if (path === "/http") stream.respond({ ":status": 503 }, { endStream: true });
      else if (path === "/html") {
        stream.respond({ ":status": 404 });
        stream.end("not here");
      } else stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    });
    const of = async (path: string): Promise<string> => {
      const { status, detail } = await call(connection, bytesOf(9), path);
      return `${status} ${detail}`.trim();
    };
    expect(await of("/trailers")).toBe("9 not so");
    expect(await of("/only")).toBe("14");
    expect(await of("/http")).toBe("no status (HTTP 503)");
    expect(await of("/html")).toBe("HTTP status 404");
    expect(await of("/reset")).toBe("RST_STREAM 7");
    expect(connection.failure).toBeUndefined();
  });

  test("header fields of every kind and length, in blocks of more than one frame", async () => {
    const ascii = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join("");
    const latin1 = Array.from({ length: 96 }, (_, i) => String.fromCharCode(160 + i)).join("");
    let calls = 0;
    const { connection } = await connectTo((stream) => {
      const number = calls++;
      stream.respond(
        { ...HEADERS, "x-large": "y".repeat(20_000 + number), "x-latin1": latin1 },
        { waitForTrailers: true },
      );
      stream.on("wantTrailers", () => {
        stream.sendTrailers({ [`x-${number % 7}`]: String(number), "grpc-status": "2", "grpc-message": `z${ascii}z` });
      });
      stream.end(framed(bytesOf(1)));
    });
    for (let i = 0; i < 50; i++) {
      const { status, detail } = await call(connection, bytesOf(3));
      expect([status, detail]).toEqual(["2", `z${ascii}z`]);
    }
  });

  test("a server without a header table is understood, and understands", async () => {
    const paths: string[] = [];
    const handler: Handler = (stream, path) => {
      paths.push(path);
      echo(stream, path);
    };
    const { connection } = await connectTo(handler, { headerTableSize: 0 });
    for (const path of ["/a", "/b", "/a", "/a"]) expect((await call(connection, bytesOf(4), path)).status).toBe("0");
    expect(paths).toEqual(["/a", "/b", "/a", "/a"]);
  });

  test("a PING is answered while nothing else is to be said", async () => {
    const { session } = await connectTo(echo);
    const payload = Buffer.from("12345678");
    const back = await new Promise<Buffer>((resolve, reject) => {
      session.ping(payload, (error, _, bytes) => (error === null ? resolve(bytes) : reject(error)));
    });
    expect(back).toEqual(payload);
  });

  test("GOAWAY lets the calls that were begun end, and no more begin", async () => {
    const { connection, session } = await connectTo((stream, path) => {
      session.goaway(0, 1);
      setTimeout(() => echo(stream, path), 50);
    });
    expect((await call(connection, bytesOf(5))).status).toBe("0");
    expect((await call(connection, bytesOf(5))).status).toBe("GOAWAY 0");
  });

  test("a call of many messages both ways; what comes after it was cancelled is not heard", async () => {
    const { connection } = await connectTo((stream) => {
      stream.respond(HEADERS);
      stream.on("data", (chunk: Buffer) => stream.write(chunk));
    });
    const heard: string[] = [];
    let wake = (): void => undefined;
    let lastUs = nowUs();
    const receiver: Receiver = {
      message(bytes, start, end, atUs) {
        heard.push(bytes.toString("latin1", start, end));
        expect(atUs).toBeGreaterThan(lastUs);
        lastUs = nowUs();
        expect(atUs).toBeLessThanOrEqual(lastUs);
        wake();
      },
      ended: (status) => heard.push(`ended ${status}`),
    };
    const id = connection.stream("/bidi", receiver) as number;
    for (const word of ["one", "two", "three"]) {
      const back = new Promise<void>((resolve) => (wake = resolve));
      connection.send(id, Buffer.from(word));
      await back;
    }
    connection.cancel(id);
    connection.send(id, Buffer.from("four"));
    // Comes back behind whatever the cancelled call may still have brought.
    connection.stream("/bidi", { message: () => undefined, ended: () => undefined });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(heard).toEqual(["one", "two", "three"]);
  });

  test("a connection that breaks ends every call", async () => {
    const connection = await scripted([frame(1, 4, 1, OK_HEADERS)], "break");
    const outcomes = [call(connection, REQUEST), call(connection, REQUEST)];
    for (const { status } of await Promise.all(outcomes)) expect(status).toBe("the connection was closed");
    expect((await call(connection, bytesOf(1))).status).toBe("the connection was closed");
  });
});

function frame(type: number, flags: number, id: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

/** A server that says these frames when it was asked, each octet by itself. */
async function scripted(frames: readonly Buffer[], then: "wait" | "break" = "wait"): Promise<Connection> {
  const server = createServer((socket: Socket) => {
    socket.setNoDelay(true);
    socket.on("error", () => socket.destroy());
    socket.write(frame(4, 0, 0, Buffer.alloc(0)));
    let heard = 0;
    socket.on("data", (chunk) => {
      heard += chunk.length;
      if (heard < 200) return;
      heard = Number.NEGATIVE_INFINITY;
      for (const octet of Buffer.concat(frames)) socket.write(Buffer.from([octet]));
      if (then === "break") socket.end();
    });
    closers.push(() => socket.destroy());
  });
  const connection = await Connection.open("127.0.0.1", await portOf(server));
  closers.push(
    () => connection.close(),
    () => server.close(),
  );
  return connection;
}

const OK_HEADERS = Buffer.from([0x88]);
const OK_TRAILERS = Buffer.concat([
  Buffer.from([0x00, 11]),
  Buffer.from("grpc-status"),
  Buffer.from([1]),
  Buffer.from("0"),
]);
const REQUEST = Buffer.alloc(200);

describe("frames that Node's server does not send", () => {
  test("padding, priorities, CONTINUATION and unknown types, an octet at a time", async () => {
    const padded = Buffer.concat([Buffer.from([3]), framed(Buffer.from("hello")), Buffer.alloc(3)]);
    const connection = await scripted([
      frame(99, 255, 1, Buffer.from("whatever")),
      frame(1, 4 | 8 | 32, 1, Buffer.concat([Buffer.from([2]), Buffer.alloc(5), OK_HEADERS, Buffer.alloc(2)])),
      frame(0, 8, 1, padded),
      frame(0, 0, 1, Buffer.alloc(0)),
      frame(1, 1, 1, OK_TRAILERS.subarray(0, 4)),
      frame(9, 0, 1, OK_TRAILERS.subarray(4, 8)),
      frame(9, 4, 1, OK_TRAILERS.subarray(8)),
    ]);
    const { messages, status } = await call(connection, REQUEST);
    expect(status).toBe("0");
    expect(messages.map(String)).toEqual(["hello"]);
  });

  test.each<[string, Buffer[], string]>([
    ["a frame that is too long", [Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 1])], "a frame of 65536 bytes"],
    ["data before headers", [frame(0, 0, 1, framed(Buffer.from("x")))], "an answer without headers"],
    ["a compressed message", [frame(1, 4, 1, OK_HEADERS), frame(0, 0, 1, Buffer.from([1, 0, 0, 0, 0]))], "compressed"],
    [
      "a block that another frame interrupts",
      [frame(1, 0, 1, OK_HEADERS), frame(6, 0, 0, Buffer.alloc(8))],
      "interrupted",
    ],
    ["a CONTINUATION of nothing", [frame(9, 4, 1, OK_HEADERS)], "of nothing"],
    ["headers that are no HPACK", [frame(1, 4, 1, Buffer.from([0xfe]))], "no field 126"],
    [
      "padding that is longer than its frame",
      [frame(1, 4, 1, OK_HEADERS), frame(0, 8, 1, Buffer.from([9, 0]))],
      "padding",
    ],
    ["a push", [frame(5, 4, 1, Buffer.alloc(4))], "a push"],
    ["a PING of a wrong length", [frame(6, 0, 0, Buffer.alloc(7))], "type 6 and 7 bytes"],
    [
      "a message of half a gibibyte and more",
      [frame(1, 4, 1, OK_HEADERS), frame(0, 0, 1, Buffer.from([0, 255, 0, 0, 0]))],
      "a message of",
    ],
  ])("%s ends the connection and its calls", async (_, frames, why) => {
    const connection = await scripted(frames);
    const { status } = await call(connection, REQUEST);
    expect(status).toContain("the server broke the protocol");
    expect(status).toContain(why);
    expect(connection.failure).toBe(status);
  });

  test("an answer that ends in the middle of a message, or without a status, is none", async () => {
    const half = [
      frame(1, 4, 1, OK_HEADERS),
      frame(0, 0, 1, Buffer.from([0, 0, 0, 0, 9, 1])),
      frame(1, 5, 1, OK_TRAILERS),
    ];
    expect((await call(await scripted(half), REQUEST)).status).toBe("a message ends too early");
    const bare = [frame(1, 4, 1, OK_HEADERS), frame(0, 1, 1, framed(Buffer.from("x")))];
    expect((await call(await scripted(bare), REQUEST)).status).toBe("no trailers");
  });

  test("nobody who speaks HTTP/2 at all", async () => {
    const server = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    closers.push(() => server.close());
    await expect(Connection.open("127.0.0.1", await portOf(server))).rejects.toThrow("broke the protocol");
  });
});
