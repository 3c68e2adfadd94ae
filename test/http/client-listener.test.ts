import { connect as connectHttp2, constants } from "node:http2";
import { describe, expect, it } from "vitest";
import { encode } from "../../proto/codec.ts";
import { RangeRequest } from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { sleep, until } from "../rpc/harness.ts";
import { clientPorts, echo, stillServes } from "./client-port.ts";

const { open, raw } = clientPorts();
const { KVRange } = rpcs;

/** The bytes that an HTTP/2 client sends for one call, recorded from a real one. */
async function recordedCall(): Promise<Buffer> {
  const { createServer } = await import("node:net");
  const chunks: Buffer[] = [];
  const server = createServer((socket) => {
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const session = connectHttp2(`http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`);
  session.on("error", () => undefined);
  const message = encode(KVRange.request, RangeRequest.create({ key: "sixsix" }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  const request = session.request({ ":method": "POST", ":path": KVRange.path, "content-type": "application/grpc" });
  request.on("error", () => undefined);
  request.end(Buffer.concat([head, message]));
  await until(() => Buffer.concat(chunks).includes("sixsix"));
  await sleep(20);
  session.destroy();
  server.close();
  return Buffer.concat(chunks);
}

describe("telling the protocol", () => {
  it("serves gRPC and HTTP/1 on one port", async () => {
    const port = await open([echo]);
    await stillServes(port);
    const response = await fetch(`http://127.0.0.1:${port.port}/`);
    expect(await response.text()).toBe("plain http\n");
  });

  it("takes HTTP/2 whose bytes come one at a time", async () => {
    const port = await open([echo]);
    const bytes = await recordedCall();
    const client = raw(port);
    client.socket.setNoDelay(true);
    for (const byte of bytes) {
      client.socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    // The response's message: length 2, field 4 (count) = 6.
    await client.until((received) => received.includes(Buffer.from([0, 0, 0, 0, 2, 0x20, 6])));
  });

  it("takes HTTP/2 whose preface comes together with what follows", async () => {
    const port = await open([echo]);
    const client = raw(port);
    client.socket.write(await recordedCall());
    await client.until((received) => received.includes(Buffer.from([0, 0, 0, 0, 2, 0x20, 6])));
  });

  it("takes HTTP/1 whose bytes come one at a time, also where it starts like the preface", async () => {
    const port = await open([echo]);
    for (const method of ["PRI", "PROPFIND", "GET"]) {
      const client = raw(port);
      client.socket.setNoDelay(true);
      for (const byte of `${method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`) {
        client.socket.write(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await client.until((received) => /^HTTP\/1.1 \d\d\d /.test(String(received)));
    }
  });
});

describe("requests of one connection that come before the answers", () => {
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const bodies = (received: Buffer): string[] =>
    [...String(received).matchAll(/\r\n\r\n<(.*?)>/g)].map(([, b]) => b ?? "");

  it("are served one at a time, in order, and what comes later as well", async () => {
    let underWay = 0;
    let most = 0;
    const port = await open([echo], {
      http: async ({ target }) => {
        most = Math.max(most, ++underWay);
        await new Promise((resolve) => setImmediate(resolve));
        underWay--;
        return { status: 200, headers: {}, body: `<${target}>` };
      },
    });
    const client = raw(port);
    const paths = Array.from({ length: 10 }, (_, i) => `/${i}`);
    client.socket.write(paths.map(get).join(""));
    await client.until((received) => bodies(received).length === 10);
    client.socket.write(get("/last"));
    await client.until((received) => bodies(received).length === 11);
    expect(bodies(client.received)).toEqual([...paths, "/last"]);
    expect(most).toBe(1);
  });

  it("end the connection when they are many, and no more than one of them was begun", async () => {
    let begun = 0;
    const port = await open([echo], {
      http: (_, gone) => {
        begun++;
        return new Promise((resolve) => {
          gone.addEventListener("abort", () => resolve({ status: 200, headers: {}, body: "" }));
        });
      },
    });
    const client = raw(port);
    client.socket.write(get("/").repeat(1_000));
    await client.closed;
    expect(begun).toBe(1);
    await until(() => port.listener.connectionCount === 0);
    await stillServes(port);
  });
});

describe("connections that never become calls", () => {
  it("answers garbage with 400 and closes", async () => {
    const port = await open([echo]);
    const client = raw(port);
    client.socket.write(Buffer.from([0x16, 0x03, 0x01, 0x00, 0xff, 0x00, 0x80]));
    await client.closed;
    expect(String(client.received)).toMatch(/^HTTP\/1.1 400 Bad Request\r\n/);
    await stillServes(port);
  });

  it("closes a connection that says nothing, or part of a preface, for too long", async () => {
    const port = await open([echo], { handshakeTimeoutMs: 150 });
    const silent = raw(port);
    const partial = raw(port);
    partial.socket.write("PRI * HTTP/2.0\r\n\r\nSM");
    await until(() => port.listener.connectionCount === 2);
    await Promise.all([silent.closed, partial.closed]);
    await until(() => port.listener.connectionCount === 0);
    expect(silent.received.length + partial.received.length).toBe(0);
  });

  it("closes an HTTP/1 connection whose head does not end", async () => {
    const port = await open([echo], { headTimeoutMs: 200 });
    const client = raw(port);
    client.socket.write("GET / HTTP/1.1\r\n");
    const drip = setInterval(() => client.socket.write("x-a: b\r\n"), 30);
    await client.closed;
    clearInterval(drip);
    expect(String(client.received)).toMatch(/^HTTP\/1.1 408 /);
  });

  it("refuses an endless head with 431", async () => {
    const port = await open([echo]);
    const client = raw(port);
    client.socket.write(`GET / HTTP/1.1\r\nx: ${"y".repeat(20_000)}`);
    await client.closed;
    expect(String(client.received)).toMatch(/^HTTP\/1.1 431 /);
  });

  it("closes on a half-close, a reset and an end right after the preface", async () => {
    const port = await open([echo]);
    const ended = raw(port);
    ended.socket.end("PRI * HT");
    const reset = raw(port);
    reset.socket.write("PRI");
    await sleep(20);
    reset.socket.resetAndDestroy();
    const preface = raw(port);
    preface.socket.end("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    await Promise.all([ended.closed, reset.closed, preface.closed]);
    await until(() => port.listener.connectionCount === 0);
    await stillServes(port);
  });

  it("survives HTTP/2 that goes wrong after its preface", async () => {
    const port = await open([echo]);
    const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    const frame = (type: number, flags: number, streamId: number, payload: Buffer): Buffer => {
      const head = Buffer.alloc(9);
      head.writeUIntBE(payload.length, 0, 3);
      head[3] = type;
      head[4] = flags;
      head.writeUInt32BE(streamId, 5);
      return Buffer.concat([head, payload]);
    };
    const inputs = [
      Buffer.alloc(4096, 0xff),
      Buffer.concat([settings, frame(1, 4, 1, Buffer.alloc(100, 0xff))]),
      Buffer.concat([settings, frame(0, 0, 7, Buffer.from("data of no stream"))]),
      Buffer.concat([settings, frame(9, 0, 1, Buffer.alloc(10))]),
      Buffer.concat([settings, frame(8, 0, 0, Buffer.alloc(4))]),
      Buffer.concat([settings, frame(1, 5, 2, Buffer.from([0x82]))]),
      Buffer.concat([settings, frame(4, 0, 0, Buffer.from([0, 4, 0xff, 0xff, 0xff, 0xff]))]),
    ];
    for (const input of inputs) {
      const client = raw(port);
      client.socket.write(Buffer.concat([preface, input]));
      // GOAWAY, the last of what the server has to say; not every library hangs up by itself then.
      await client.until((received) => received.includes(Buffer.from([7, 0, 0, 0, 0, 0])));
      client.socket.destroy();
    }
    await until(() => port.listener.connectionCount === 0);
    await stillServes(port);
  });

  it("survives a flood of pings and of settings whose answers are not read", async () => {
    const port = await open([echo]);
    const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    const ping = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    for (const flood of [ping, settings]) {
      const client = raw(port);
      client.socket.pause();
      client.socket.write(Buffer.concat([preface, settings]));
      const block = Buffer.concat(Array.from({ length: 4_000 }, () => flood));
      let closed = false;
      void client.closed.then(() => {
        closed = true;
      });
      for (let i = 0; i < 400 && !closed; i++) {
        if (!client.socket.write(block)) await Promise.race([client.closed, sleep(5)]);
      }
      client.socket.resume();
      await client.closed;
    }
    await stillServes(port);
  });

  it("survives streams that are opened and reset at once", async () => {
    const port = await open([echo]);
    const session = connectHttp2(`http://127.0.0.1:${port.port}`);
    session.on("error", () => undefined);
    for (let i = 0; i < 3_000 && !session.destroyed; i++) {
      const request = session.request({ ":method": "POST", ":path": KVRange.path, "content-type": "application/grpc" });
      request.on("error", () => undefined);
      request.close(constants.NGHTTP2_CANCEL);
      if (i % 100 === 0) await sleep(1);
    }
    session.destroy();
    await stillServes(port);
    await until(() => port.listener.connectionCount === 1);
  });

  it("closes connections beyond the limit, and takes new ones when old ones have gone", async () => {
    const port = await open([echo], { maxConnections: 2 });
    const first = raw(port);
    const second = raw(port);
    await until(() => port.listener.connectionCount === 2);
    await raw(port).closed;
    expect(port.logger.lines.filter((line) => line.level === "warn").length).toBe(1);
    first.socket.destroy();
    second.socket.destroy();
    await until(() => port.listener.connectionCount === 0);
    await stillServes(port);
  });
});

describe("listening", () => {
  it("refuses a URL that is in use, with its error", async () => {
    const port = await open([echo]);
    const { listenClient } = await import("../../src/http/client-listener.ts");
    const { createServer } = await import("node:http");
    const unused = { accept: () => undefined, close: async () => undefined };
    const { env } = await import("../rpc/harness.ts");
    const options = { maxConnections: 1, handshakeTimeoutMs: 1, env, logger: port.logger };
    const urls = ["http://127.0.0.1:0", `http://127.0.0.1:${port.port}`];
    await expect(listenClient(urls, unused, createServer(), options)).rejects.toMatchObject({ code: "EADDRINUSE" });
  });

  it("close lets a running HTTP request end and closes idle connections at once", async () => {
    const port = await open([echo], {
      http: async (request) => {
        if (request.target === "/slow") await sleep(200);
        return { status: 200, headers: {}, body: "done" };
      },
    });
    const idle = raw(port);
    idle.socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await idle.until((received) => String(received).endsWith("done"));
    const slow = raw(port);
    slow.socket.write("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    await sleep(50);
    const closing = port.listener.close(5_000);
    await idle.closed;
    await closing;
    expect(String(slow.received)).toContain("done");
    await slow.closed;
  });
});
