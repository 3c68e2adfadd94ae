import type { ClientHttp2Session } from "node:http2";
import { gzipSync } from "node:zlib";
import { Metadata } from "@grpc/grpc-js";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { EMPTY, encode } from "../../proto/codec.ts";
import {
  PutRequest,
  RangeRequest,
  RangeResponse,
  WatchRequest,
  WatchResponse,
} from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { ApiError, Code, errors } from "../../src/api/errors.ts";
import { rpcDefaults } from "../../src/rpc/call-rules.ts";
import {
  type AnyHandler,
  type CallContext,
  EncodedResponse,
  type ResponseStream,
  stream,
  unary,
} from "../../src/rpc/rpc.ts";
import { createSecured, type Secured } from "../tls/secured.ts";
import {
  asIs,
  call,
  callRaw,
  env,
  failureOf,
  openPort,
  openStream,
  type Port,
  type PortOptions,
  sleep,
  type Transport,
  until,
} from "./harness.ts";

const ports: Port[] = [];
afterEach(async () => {
  for (const port of ports.splice(0)) await port.close();
});
const { KVRange, KVPut, WatchWatch } = rpcs;
const rangeKey = (key: string): RangeRequest => RangeRequest.create({ key });
const echoCount = unary(KVRange, async (request) => RangeResponse.create({ count: request.key.length }));

const secured = createSecured();
afterAll(() => secured.files.remove());

describe.each<[string, Transport, Secured | undefined]>([
  ["grpc-js", "grpc-js", undefined],
  ["http2", "http2", undefined],
  ["T-1: grpc-js over TLS", "grpc-js", secured],
  ["T-1: http2 over TLS", "http2", secured],
])("%s", (_name, transport, tls) => {
  async function open(handlers: readonly AnyHandler[], options: PortOptions = {}): Promise<Port> {
    const port = await openPort(handlers, { ...options, transport, secured: tls });
    ports.push(port);
    return port;
  }

  describe("unary calls", () => {
    it("decodes, calls and encodes", async () => {
      const { client } = await open([echoCount]);
      expect((await call(client, KVRange, rangeKey("four"))).count).toBe(4);
    });

    it("answers an empty message", async () => {
      const { client } = await open([echoCount]);
      expect((await call(client, KVRange, rangeKey(""))).count).toBe(0);
    });

    it("gives an ApiError its code and text, also outside of ASCII and with half a surrogate pair", async () => {
      const texts: Record<string, [ApiError, string]> = {
        plain: [errors.leaseNotFound, "etcdserver: requested lease not found"],
        umlaut: [new ApiError(Code.Unknown, 'größer 100% "日本" \n end'), 'größer 100% "日本" \n end'],
        half: [new ApiError(Code.Aborted, "half \ud800 pair"), "half \ufffd pair"],
      };
      const { client } = await open([
        unary(KVRange, async (request) => {
          throw texts[request.key]?.[0];
        }),
      ]);
      for (const [key, [error, text]] of Object.entries(texts)) {
        expect(await failureOf(call(client, KVRange, rangeKey(key)))).toEqual({ code: error.code, details: text });
      }
    });

    it("answers Internal to any other throw, keeps its text to itself and logs it with its stack", async () => {
      const { client, logger } = await open([
        unary(KVRange, () => {
          throw new TypeError("secret of the house");
        }),
      ]);
      const failure = await failureOf(call(client, KVRange, rangeKey("k")));
      expect(failure).toEqual({ code: 13, details: "quorate: internal error" });
      const line = logger.lines.find((entry) => entry.level === "error");
      expect(line?.fields).toMatchObject({ path: "/etcdserverpb.KV/Range", error: "TypeError: secret of the house" });
      expect(JSON.stringify(line?.fields)).toContain("conformance.test");
    });

    it("logs what is thrown behind the end of a call, unless it is the end's own reason", async () => {
      const aborted: ((thrown: unknown) => void)[] = [];
      let reached = 0;
      const { client, logger } = await open([
        unary(KVRange, (_request, context) => {
          reached++;
          return new Promise<never>((_resolve, reject) => {
            context.signal.addEventListener("abort", () => {
              aborted.push(() => reject(context.signal.reason));
              aborted.push(() => reject(new Error("gave up", { cause: context.signal.reason })));
              aborted.push(() => reject(errors.noLeader));
              aborted.push(() => reject(new TypeError("a late bug")));
            });
          });
        }),
      ]);
      for (let i = 0; i < 4; i++) {
        const seen = reached;
        // The time of the first may pass while the client is still connecting.
        for (let tries = 0; tries < 100 && reached === seen; tries++) {
          expect((await failureOf(call(client, KVRange, rangeKey("k"), { deadlineMs: 50 }))).code).toBe(4);
        }
        await until(() => aborted.length >= 4);
        aborted.splice(0)[i]?.(undefined);
      }
      await until(() => logger.lines.some(({ level }) => level === "error"));
      expect(logger.lines.filter(({ level }) => level === "error")).toMatchObject([
        { fields: { path: KVRange.path, error: "TypeError: a late bug" } },
      ]);
    });

    it("answers Internal to a response that cannot be encoded", async () => {
      const broken = { ...RangeResponse.create({}), kvs: [undefined] } as unknown as RangeResponse;
      const { client } = await open([unary(KVRange, async () => broken)]);
      expect(await failureOf(call(client, KVRange, rangeKey("k")))).toMatchObject({ code: 13 });
    });

    it("refuses a response above the send limit (G-9)", async () => {
      const kvs = [Buffer.alloc(100)];
      const { client } = await open([unary(KVRange, async () => RangeResponse.create({ kvs }))], {
        grpc: { maxSendBytes: 100 },
      });
      expect(await failureOf(call(client, KVRange, rangeKey("k")))).toEqual({
        code: 8,
        details: "grpc: trying to send message larger than max (102 vs. 100)",
      });
    });

    it("carries a response of several MiB whole", async () => {
      const kvs = Array.from({ length: 5 }, (_, i) => Buffer.alloc(1_000_000, i));
      const { client } = await open([unary(KVRange, async () => RangeResponse.create({ kvs, count: 5 }))]);
      const response = await call(client, KVRange, rangeKey("k"));
      expect(response.kvs.map((kv) => [kv.length, kv[0], kv[999_999]])).toEqual(kvs.map((_, i) => [1_000_000, i, i]));
    });

    it("carries a response that is encoded already, in pieces; the send limit holds for it (G-9)", async () => {
      const kvs = Array.from({ length: 5 }, (_, i) => Buffer.alloc(700_000, i));
      const pieces = kvs.map((kv) => encode(RangeResponse, RangeResponse.create({ kvs: [kv] })));
      const encoded = unary(KVRange, async () => new EncodedResponse(pieces));
      const response = await call((await open([encoded])).client, KVRange, rangeKey("k"));
      expect(Buffer.concat(response.kvs).equals(Buffer.concat(kvs))).toBe(true);
      const { client } = await open([encoded], { grpc: { maxSendBytes: 100 } });
      expect(await failureOf(call(client, KVRange, rangeKey("k")))).toMatchObject({ code: 8 });
    });

    it("gives metadata as text, UTF-8 bytes as latin1 chars", async () => {
      const seen: (string | undefined)[] = [];
      const port = await open([
        unary(KVRange, async (_request, context) => {
          seen.push(context.metadata("token"), context.metadata("client-api-version"), context.metadata("absent"));
          return RangeResponse.create({});
        }),
      ]);
      await call(port.client, KVRange, rangeKey("k"), { metadata: { token: "abc.12", "client-api-version": "3.6" } });
      expect(seen.splice(0)).toEqual(["abc.12", "3.6", undefined]);
      // A grpc-js client refuses to send such bytes; others do not.
      const session = port.connect();
      const request = session.request({
        ":method": "POST",
        ":path": KVRange.path,
        "content-type": "application/grpc",
        token: Buffer.from("größe").toString("latin1"),
        "client-api-version": "\xff",
      });
      request.end(Buffer.alloc(5));
      await until(() => seen.length === 3);
      expect(seen).toEqual([Buffer.from("größe").toString("latin1"), "\xff", undefined]);
      session.destroy();
    });
  });

  describe("malformed and unwanted requests", () => {
    const malformedInputs: Readonly<Record<string, Buffer>> = {
      "a truncated field": Buffer.from([0x0a, 0x05, 0x61]),
      "an illegal tag": Buffer.from([0x00]),
      "a wrong wire type": Buffer.from([0x08, 0x01]),
      "an endless varint": Buffer.alloc(20, 0xff),
    };
    for (const [name, bytes] of Object.entries(malformedInputs)) {
      it(`answers 13 to ${name}, and only that call`, async () => {
        const { client, listener } = await open([echoCount]);
        const [bad, good] = await Promise.all([
          failureOf(callRaw(client, KVRange.path, bytes)),
          call(client, KVRange, rangeKey("good")),
        ]);
        expect(bad.code).toBe(13);
        expect(bad.details).toMatch(/^grpc: error unmarshalling request: \S/);
        expect(good.count).toBe(4);
        expect((await call(client, KVRange, rangeKey("after"))).count).toBe(5);
        expect(listener.connectionCount).toBe(1);
      });
    }

    it("answers 13 on a stream to a malformed message", async () => {
      const received: WatchRequest[] = [];
      const { client } = await open([
        stream(WatchWatch, () => ({
          request: (message) => void received.push(message),
          halfClosed: () => undefined,
          drained: () => undefined,
          closed: () => undefined,
        })),
      ]);
      const watch = client.makeBidiStreamRequest(WatchWatch.path, asIs, asIs);
      const failure = new Promise((resolve) => watch.on("error", resolve));
      watch.write(encode(WatchRequest, WatchRequest.create({})));
      watch.write(Buffer.from([0x0a, 0x7f]));
      expect(await failure).toMatchObject({ code: 13, details: "grpc: error unmarshalling request: unexpected EOF" });
      expect(received.length).toBe(1);
    });

    it("G-11: answers 12 to unknown services (reflection is one) and methods in grpc-go's words, to later methods in ours", async () => {
      const { client } = await open([echoCount]);
      const details = async (path: string) => failureOf(callRaw(client, path, EMPTY));
      expect(await details("/etcdserverpb.KV/Frob")).toEqual({
        code: 12,
        details: "unknown method Frob for service etcdserverpb.KV",
      });
      expect(await details("/a.b.C/Frob")).toEqual({ code: 12, details: "unknown service a.b.C" });
      expect(await details("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")).toEqual({
        code: 12,
        details: "unknown service grpc.reflection.v1.ServerReflection",
      });
      expect(await details("/nonsense")).toEqual({ code: 12, details: 'malformed method name: "/nonsense"' });
      expect(await details(KVPut.path)).toEqual({
        code: 12,
        details: "quorate: method Put of service etcdserverpb.KV is not implemented yet",
      });
    });

    it("R-12: RangeStream does not exist at this API level", async () => {
      const { client } = await open([echoCount]);
      const call = client.makeServerStreamRequest(rpcs.KVRangeStream.path, asIs, asIs, EMPTY);
      const failure = await new Promise((resolve) => call.on("error", resolve).resume());
      expect(failure).toMatchObject({ code: 12, details: "unknown method RangeStream for service etcdserverpb.KV" });
    });

    it("answers 12 to a stream that is never half-closed", async () => {
      const { client } = await open([echoCount]);
      const call = client.makeBidiStreamRequest("/etcdserverpb.Watch/Frob", asIs, asIs);
      call.write(EMPTY);
      const failure = await new Promise((resolve) => call.on("error", resolve).resume());
      expect(failure).toMatchObject({ code: 12, details: "unknown method Frob for service etcdserverpb.Watch" });
    });

    it("G-9: refuses a message above the receive limit in grpc-go's words, and takes one at the limit", async () => {
      const { client } = await open([
        unary(KVPut, async (request) => ({ header: undefined, prev_kv: undefined, prevKv: request.value }) as never),
        echoCount,
      ]);
      const put = (bytes: number) => encode(PutRequest, PutRequest.create({ key: "k", value: Buffer.alloc(bytes) }));
      const overhead = put(2_000_000).length - 2_000_000;
      await callRaw(client, KVPut.path, put(2_097_152 - overhead));
      expect(await failureOf(callRaw(client, KVPut.path, put(2_097_153 - overhead)))).toEqual({
        code: 8,
        details: "grpc: received message larger than max (2097153 vs. 2097152)",
      });
      expect((await call(client, KVRange, rangeKey("after"))).count).toBe(5);
    });

    it("G-9: refuses a small message that inflates above the limit", async () => {
      const port = await open([echoCount]);
      const session = port.connect();
      const bomb = gzipSync(Buffer.alloc(64 << 20));
      const request = session.request({
        ":method": "POST",
        ":path": KVRange.path,
        "content-type": "application/grpc",
        "grpc-encoding": "gzip",
      });
      const head = Buffer.alloc(5);
      head[0] = 1;
      head.writeUInt32BE(bomb.length, 1);
      request.end(Buffer.concat([head, bomb]));
      const headers = await new Promise<Record<string, unknown>>((resolve) => request.on("response", resolve));
      expect(headers["grpc-status"]).toBe("8");
      expect(decodeURIComponent(String(headers["grpc-message"]))).toBe(
        "grpc: received message after decompression larger than max 2097152",
      );
      session.destroy();
    });

    it("answers HTTP/2 requests that are not gRPC with 415, and behind TLS by the plain endpoints", async () => {
      const port = await open([echoCount]);
      const session = port.connect();
      const request = session.request({ ":path": "/health" });
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      const headers = await new Promise<Record<string, unknown>>((resolve) => request.on("response", resolve));
      await new Promise<void>((resolve) => request.on("close", resolve));
      expect([headers[":status"], body]).toEqual(tls === undefined ? [415, ""] : [200, "plain http\n"]);
      session.destroy();
    });
  });

  describe.runIf(tls !== undefined)("plain requests", () => {
    const ask = (session: ClientHttp2Session, head: Record<string, string>): Promise<string> =>
      new Promise((resolve) => {
        const request = session.request(head);
        let got = "none";
        request.on("response", (headers) => {
          got = `${headers[":status"]} ${headers["content-length"]}`;
        });
        request.on("error", () => undefined);
        request.on("close", () => resolve(got));
        request.resume();
      });

    it("HEAD has the head of an answer and no body", async () => {
      const port = await open([echoCount]);
      const session = port.connect();
      expect(await ask(session, { ":method": "HEAD", ":path": "/" })).toBe("200 11");
      expect(await ask(session, { ":path": "/" })).toBe("200 11");
      session.destroy();
      expect(port.logger.lines).toEqual([]);
    });

    it("an answer that cannot be sent ends no more than its connection, and is told", async () => {
      const broken = { status: 200, headers: {}, body: undefined as unknown as string };
      const port = await open([echoCount], { http: async () => broken });
      const session = port.connect();
      session.on("error", () => undefined);
      expect(await ask(session, { ":path": "/" })).toBe("none");
      session.destroy();
      expect(port.logger.lines.filter(({ level }) => level === "error").length).toBe(1);
      expect((await call(port.client, KVRange, rangeKey("still"))).count).toBe(5);
    });

    it("one that comes while the port closes is answered with 503, or refused", async () => {
      const seen: CallContext[] = [];
      const wait = unary(KVRange, (_request, context) => {
        seen.push(context);
        return new Promise<never>(() => undefined);
      });
      const port = await open([wait]);
      const session = port.connect();
      session.on("error", () => undefined);
      const head = { ":method": "POST", ":path": KVRange.path, "content-type": "application/grpc" };
      // Keeps the connection open.
      const running = session.request(head);
      running.on("error", () => undefined);
      running.end(Buffer.alloc(5));
      await until(() => seen.length === 1);
      const asked = ask(session, { ":path": "/" });
      const closed = port.listener.close(500);
      // Node's HTTP/2 server takes no streams then, and says so before grpc-js hears of them.
      expect(transport === "http2" ? ["503 0"] : ["503 0", "none"]).toContain(await asked);
      await closed;
    });
  });

  describe("deadlines and cancellation", () => {
    function waiting(seen: CallContext[]) {
      return unary(KVRange, (_request, context) => {
        seen.push(context);
        return new Promise<never>((_resolve, reject) => {
          context.signal.addEventListener("abort", () => reject(context.signal.reason));
        });
      });
    }

    it("passes the client's deadline on and aborts the signal when it passes", async () => {
      const seen: CallContext[] = [];
      const port = await open([waiting(seen)]);
      // A client without a timer of its own: node:http2 with the header alone.
      const session = port.connect();
      const startedAt = env.now();
      const request = session.request({
        ":method": "POST",
        ":path": KVRange.path,
        "content-type": "application/grpc",
        "grpc-timeout": "200m",
      });
      request.end(Buffer.alloc(5));
      const headers = await new Promise<Record<string, unknown>>((resolve) => request.on("response", resolve));
      expect(env.now() - startedAt).toBeGreaterThanOrEqual(199);
      expect(headers["grpc-status"]).toBe("4");
      expect(decodeURIComponent(String(headers["grpc-message"]))).toBe("context deadline exceeded");
      expect(seen[0]?.signal.aborted).toBe(true);
      expect(seen[0]?.signal.reason).toBe(errors.deadlineExceeded);
      expect(Math.abs((seen[0]?.deadline ?? 0) - startedAt - 200)).toBeLessThan(100);
      session.destroy();
    });

    it("a deadline of months does not wrap around", async () => {
      const { client } = await open([echoCount]);
      const request = call(client, KVRange, rangeKey("far"), { deadlineMs: 90 * 24 * 3_600_000 });
      expect((await request).count).toBe(3);
    });

    it("aborts the signal when the client cancels", async () => {
      const seen: CallContext[] = [];
      const { client } = await open([waiting(seen)]);
      const call = client.makeUnaryRequest(KVRange.path, asIs, asIs, EMPTY, new Metadata(), () => undefined);
      await until(() => seen.length === 1);
      expect(seen[0]?.signal.aborted).toBe(false);
      call.cancel();
      await until(() => seen[0]?.signal.aborted === true);
      expect(seen[0]?.signal.reason).toBe(errors.canceled);
    });

    it("aborts the signal when the connection ends", async () => {
      const seen: CallContext[] = [];
      const port = await open([waiting(seen)]);
      const session = port.connect();
      const request = session.request({ ":method": "POST", ":path": KVRange.path, "content-type": "application/grpc" });
      request.on("error", () => undefined);
      request.end(Buffer.alloc(5));
      await until(() => seen.length === 1);
      session.destroy();
      await until(() => seen[0]?.signal.aborted === true);
    });

    it("refuses a malformed grpc-timeout", async () => {
      const port = await open([echoCount]);
      const session = port.connect();
      const request = session.request({
        ":method": "POST",
        ":path": KVRange.path,
        "content-type": "application/grpc",
        "grpc-timeout": "5 parsecs",
      });
      request.end(Buffer.alloc(5));
      const headers = await new Promise<Record<string, unknown>>((resolve) => request.on("response", resolve));
      expect(headers["grpc-status"]).toBe("13");
      session.destroy();
    });
  });

  describe("streams", () => {
    interface Seen {
      readonly responses: ResponseStream<WatchResponse>;
      readonly context: CallContext;
      readonly events: string[];
    }
    function recording(seen: Seen[]) {
      return stream(WatchWatch, (responses, context) => {
        const events: string[] = [];
        seen.push({ responses, context, events });
        return {
          request: () => void events.push("request"),
          halfClosed: () => void events.push("halfClosed"),
          drained: () => void events.push("drained"),
          closed: () => void events.push("closed"),
        };
      });
    }
    const bulky = (bytes: number) => WatchResponse.create({ events: [Buffer.alloc(bytes)] });

    it("opens before the first message; half-close does not end the call (W-14)", async () => {
      const seen: Seen[] = [];
      const { client } = await open([recording(seen)]);
      const watch = openStream(client, WatchWatch);
      const received: WatchResponse[] = [];
      watch.on("data", (message: WatchResponse) => received.push(message));
      const status = new Promise((resolve) => watch.on("status", resolve));
      await until(() => seen.length === 1);
      watch.write(WatchRequest.create({}));
      watch.write(WatchRequest.create({}));
      watch.end();
      await until(() => seen[0]?.events.length === 3);
      expect(seen[0]?.events).toEqual(["request", "request", "halfClosed"]);
      seen[0]?.responses.send(WatchResponse.create({ watch_id: 7n, watchId: 7n } as never));
      await until(() => received.length === 1);
      seen[0]?.responses.end();
      seen[0]?.responses.end(errors.canceled);
      expect(await status).toMatchObject({ code: 0 });
      await until(() => seen[0]?.events.includes("closed") === true);
      expect(seen[0]?.events).toEqual(["request", "request", "halfClosed", "closed"]);
      expect(seen[0]?.context.signal.aborted).toBe(false);
    });

    it("ends with an error after responses", async () => {
      const seen: Seen[] = [];
      const { client } = await open([recording(seen)]);
      const watch = openStream(client, WatchWatch);
      const received: unknown[] = [];
      watch.on("data", (message) => received.push(message));
      const failure = new Promise((resolve) => watch.on("error", resolve));
      await until(() => seen.length === 1);
      seen[0]?.responses.send(bulky(10));
      seen[0]?.responses.end(errors.noLeader);
      seen[0]?.responses.send(bulky(10));
      expect(await failure).toMatchObject({ code: 14, details: "etcdserver: no leader" });
      expect(received.length).toBe(1);
    });

    it("a service that throws loses its call only", async () => {
      const { client, logger } = await open([
        echoCount,
        stream(WatchWatch, () => ({
          request: () => {
            throw new Error("a bug");
          },
          halfClosed: () => undefined,
          drained: () => undefined,
          closed: () => {
            throw new Error("another bug");
          },
        })),
      ]);
      const watch = openStream(client, WatchWatch);
      watch.on("data", () => undefined);
      const failure = new Promise((resolve) => watch.on("error", resolve));
      watch.write(WatchRequest.create({}));
      expect(await failure).toMatchObject({ code: 13, details: "quorate: internal error" });
      expect((await call(client, KVRange, rangeKey("k"))).count).toBe(1);
      expect(logger.lines.filter((line) => line.level === "error").length).toBe(2);
    });

    it("closes once when the client cancels, and drops what is sent afterwards", async () => {
      const seen: Seen[] = [];
      const { client } = await open([recording(seen)]);
      const watch = openStream(client, WatchWatch);
      watch.on("error", () => undefined);
      await until(() => seen.length === 1);
      watch.cancel();
      await until(() => seen[0]?.events.includes("closed") === true);
      expect(seen[0]?.responses.writable).toBe(false);
      seen[0]?.responses.send(bulky(10));
      seen[0]?.responses.end();
      await sleep(20);
      expect(seen[0]?.events.filter((event) => event === "closed")).toEqual(["closed"]);
      expect(seen[0]?.events.at(-1)).toBe("closed");
    });

    it("W-17: is not writable while a client does not read, and drains when it does", async () => {
      const seen: Seen[] = [];
      const queueBytes = 256 << 10;
      const messageBytes = 16 << 10;
      const port = await open([recording(seen)], { grpc: { streamQueueBytes: queueBytes } });
      const session = port.connect();
      const request = session.request({
        ":method": "POST",
        ":path": WatchWatch.path,
        "content-type": "application/grpc",
      });
      request.pause();
      await until(() => seen.length === 1);
      const { responses, events } = seen[0] as Seen;
      let sent = 0;
      for (let round = 0; round < 20; round++) {
        for (; responses.writable; sent++) responses.send(bulky(messageBytes));
        await sleep(10);
      }
      // Beside the queue only the client's windows and what the sockets hold.
      expect(sent * messageBytes).toBeLessThan(queueBytes + (256 << 10));
      // The first messages leave into the client's window.
      const drained = events.length;
      expect(drained).toBeLessThanOrEqual(1);
      let received = 0;
      request.on("data", (chunk: Buffer) => {
        received += chunk.length;
      });
      request.resume();
      await until(() => received > sent * messageBytes);
      await until(() => responses.writable);
      expect(events.length).toBe(drained + 1);
      session.destroy();
    });

    describe("with one request", () => {
      function recordingOne(events: string[]) {
        return stream(rpcs.HealthWatch, (responses) => ({
          request: (request) => {
            events.push(`request ${request.service}`);
            responses.send(rpcs.HealthWatch.response.create({}));
          },
          halfClosed: () => void events.push("halfClosed"),
          drained: () => undefined,
          closed: () => void events.push("closed"),
        }));
      }
      const one = encode(rpcs.HealthWatch.request, rpcs.HealthWatch.request.create({ service: "one" }));

      it("stay open behind it", async () => {
        const events: string[] = [];
        const { client } = await open([recordingOne(events)]);
        const watch = client.makeServerStreamRequest(rpcs.HealthWatch.path, asIs, asIs, one);
        watch.on("error", () => undefined);
        await new Promise((resolve) => watch.once("data", resolve));
        await until(() => events.length === 2);
        await sleep(20);
        expect(events).toEqual(["request one", "halfClosed"]);
        watch.cancel();
      });

      it("end with 13 at a second", async () => {
        const events: string[] = [];
        const { client } = await open([recordingOne(events)]);
        const watch = client.makeBidiStreamRequest(rpcs.HealthWatch.path, asIs, asIs);
        const failure = new Promise((resolve) => watch.on("error", resolve).resume());
        for (let i = 0; i < 3; i++) watch.write(one);
        expect(await failure).toMatchObject({ code: 13, details: "grpc: received more than one request message" });
        await until(() => events.at(-1) === "closed");
        expect(events).toEqual(["request one", "closed"]);
      });

      it("end with 13 when none comes", async () => {
        const events: string[] = [];
        const { client } = await open([recordingOne(events)]);
        const watch = client.makeBidiStreamRequest(rpcs.HealthWatch.path, asIs, asIs);
        const failure = new Promise((resolve) => watch.on("error", resolve).resume());
        watch.end();
        expect(await failure).toMatchObject({ code: 13, details: "grpc: received no request message" });
        await until(() => events.length > 0);
        expect(events).toEqual(["closed"]);
      });
    });

    it("takes thousands of small messages of one frame without a deep stack", async () => {
      const seen: Seen[] = [];
      const port = await open([recording(seen)]);
      const session = port.connect();
      const request = session.request({
        ":method": "POST",
        ":path": WatchWatch.path,
        "content-type": "application/grpc",
        "grpc-encoding": "gzip",
      });
      const gzipped = gzipSync(Buffer.alloc(0));
      const first = Buffer.alloc(5 + gzipped.length);
      first[0] = 1;
      first.writeUInt32BE(gzipped.length, 1);
      gzipped.copy(first, 5);
      const empty = 12_000;
      request.end(Buffer.concat([first, Buffer.alloc(5 * empty)]));
      await until(() => seen[0]?.events.at(-1) === "halfClosed");
      expect(seen[0]?.events.length).toBe(empty + 2);
      session.destroy();
    });
  });

  describe("connections", () => {
    it("refuses more responses to a client that leaves too many unread", async () => {
      const kvs = [Buffer.alloc(1 << 20)];
      const port = await open([unary(KVRange, async () => RangeResponse.create({ kvs }))], {
        grpc: { connectionQueueBytes: 4 << 20 },
      });
      const session = port.connect();
      const statuses: string[] = [];
      for (let i = 0; i < 20; i++) {
        const request = session.request({
          ":method": "POST",
          ":path": KVRange.path,
          "content-type": "application/grpc",
        });
        request.on("response", (headers) => statuses.push(String(headers["grpc-status"] ?? "data")));
        request.end(Buffer.alloc(5));
      }
      await until(() => statuses.length === 20);
      expect(statuses.filter((status) => status === "8").length).toBeGreaterThanOrEqual(14);
      expect(statuses.filter((status) => status === "data").length).toBeGreaterThanOrEqual(4);
      session.destroy();
    });

    it("counts what clients leave unread over all connections, and gives it back when they go", async () => {
      const kvs = [Buffer.alloc(1 << 20)];
      const port = await open([unary(KVRange, async () => RangeResponse.create({ kvs }))], {
        grpc: { memberQueueBytes: 4 << 20, streamQueueBytes: 256 << 10 },
      });
      const ask = async (count: number): Promise<{ readonly statuses: string[]; close(): void }> => {
        const statuses: string[] = [];
        const sessions = Array.from({ length: count }, () => port.connect());
        // Two each: a connection that holds nothing yet has no part in it.
        for (const session of [...sessions, ...sessions]) {
          const request = session.request({
            ":method": "POST",
            ":path": KVRange.path,
            "content-type": "application/grpc",
          });
          request.on("response", (headers) => statuses.push(String(headers["grpc-status"] ?? "data")));
          request.end(Buffer.alloc(5));
        }
        await until(() => statuses.length === 2 * count);
        return { statuses, close: () => sessions.forEach((session) => void session.destroy()) };
      };
      const many = await ask(20);
      expect(many.statuses.filter((status) => status === "8").length).toBeGreaterThanOrEqual(10);
      many.close();
      for (let attempt = 0, served = false; !served; attempt++) {
        if (attempt > 500) throw new Error("what gone clients left unread still counts");
        const again = await ask(1);
        again.close();
        served = again.statuses.every((status) => status === "data");
      }
    });

    it("clients that do not read harm others neither in their answers nor in what they may queue, but for its amount", async () => {
      const opened: { readonly responses: ResponseStream<WatchResponse>; drained: number }[] = [];
      const port = await open(
        [
          unary(KVRange, async () => RangeResponse.create({ kvs: [Buffer.alloc(10_000)] })),
          stream(WatchWatch, (responses) => {
            const one = { responses, drained: 0 };
            opened.push(one);
            return {
              request: () => undefined,
              halfClosed: () => undefined,
              drained: () => void one.drained++,
              closed: () => undefined,
            };
          }),
        ],
        { grpc: { memberQueueBytes: 2 << 20 } },
      );
      const watch = async () => {
        const session = port.connect();
        const count = opened.length;
        const headers = { ":method": "POST", ":path": WatchWatch.path, "content-type": "application/grpc" };
        const request = session.request(headers).pause();
        request.on("error", () => undefined);
        await until(() => opened.length > count);
        return { session, request, ...(opened[count] as (typeof opened)[number]), seen: opened[count] };
      };
      const bulk = (bytes: number) => WatchResponse.create({ events: [Buffer.alloc(bytes)] });
      const stalled = await watch();
      for (let i = 0; i < 4; i++) stalled.responses.send(bulk(1 << 20));
      // The member holds too much, but none of it for this client.
      for (let i = 0; i < 3; i++) {
        expect((await call(port.client, KVRange, rangeKey("k"))).kvs[0]?.length).toBe(10_000);
      }
      const slow = await watch();
      let sent = 0;
      for (let round = 0; round < 20; round++) {
        for (; slow.responses.writable; sent++) slow.responses.send(bulk(4 << 10));
        await sleep(10);
      }
      expect(sent * (4 << 10)).toBeLessThan(256 << 10);
      const before = slow.seen?.drained ?? 0;
      slow.request.on("data", () => undefined);
      slow.request.resume();
      await until(() => slow.seen?.drained === before + 1);
      expect(slow.responses.writable).toBe(true);
      stalled.session.destroy();
      slow.session.destroy();
    });

    it("G-10: ends a connection that pings too often, with too_many_pings; slower pings are fine", async () => {
      const seen: unknown[] = [];
      const port = await open([
        echoCount,
        unary(KVPut, (_request, context) => {
          seen.push(context);
          return new Promise<never>((_resolve, reject) => {
            context.signal.addEventListener("abort", () => reject(context.signal.reason));
          });
        }),
      ]);
      const http2 = await import("node:http2");
      const session = port.connect();
      session.on("error", () => undefined);
      const goaway = new Promise<[number, string]>((resolve) =>
        session.on("goaway", (code, _last, data) => resolve([code, String(data)])),
      );
      const closed = new Promise((resolve) => session.on("close", resolve));
      const request = session.request({ ":method": "POST", ":path": KVPut.path, "content-type": "application/grpc" });
      request.on("error", () => undefined);
      request.end(Buffer.alloc(5));
      await until(() => seen.length === 1);
      for (let i = 0; i < 4; i++) session.ping(() => undefined);
      expect(await goaway).toEqual([http2.constants.NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings"]);
      await closed;
      expect(port.logger.lines.some((line) => line.level === "warn" && line.msg.includes("too many pings"))).toBe(true);
      expect((await call(port.client, KVRange, rangeKey("k"))).count).toBe(1);
    });

    it("G-10: any number of pings while an answer is on its way, as clients send that measure their bandwidth", async () => {
      const port = await open([
        stream(WatchWatch, (responses) => ({
          request: () => responses.send(WatchWatch.response.create({ cancelReason: "x".repeat(1_000_000) })),
          halfClosed: () => undefined,
          drained: () => undefined,
          closed: () => undefined,
        })),
      ]);
      const session = port.connect();
      const failed: unknown[] = [];
      session.on("error", (error) => failed.push(error)).on("goaway", (code) => failed.push(code));
      const headers = { ":method": "POST", ":path": WatchWatch.path, "content-type": "application/grpc" };
      const request = session.request(headers);
      request.write(Buffer.alloc(5));
      // The rest of it waits until this side reads.
      await new Promise((resolve) => request.once("readable", resolve));
      for (let i = 0; i < 8; i++) await new Promise((resolve) => session.ping(resolve));
      expect(failed).toEqual([]);
      let bytes = 0;
      request.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      await until(() => bytes > 1_000_000);
      session.destroy();
    });

    it("G-10: pings its clients: every two hours, given 20 s to answer, unless told otherwise", async () => {
      expect(rpcDefaults).toMatchObject({
        keepaliveIntervalMs: 2 * 60 * 60 * 1_000,
        keepaliveTimeoutMs: 20_000,
        keepaliveMinTimeMs: 5_000,
      });
      const port = await open([echoCount], {
        grpc: { keepaliveIntervalMs: 50, keepaliveTimeoutMs: 5_000, deadSweepMs: 60_000 },
      });
      const session = port.connect();
      session.on("error", () => undefined);
      let pings = 0;
      session.on("ping", () => pings++);
      await until(() => pings >= 3);
      session.destroy();
    });

    it("a quiet client that answers pings stays connected", async () => {
      const asked = transport === "http2" ? { keepaliveIntervalMs: 50, keepaliveTimeoutMs: 100 } : { deadSweepMs: 10 };
      const port = await open([echoCount], { grpc: asked });
      await call(port.client, KVRange, rangeKey("k"));
      const session = port.connect();
      let pings = 0;
      session.on("ping", () => pings++);
      await sleep(700);
      expect(pings).toBeGreaterThan(1);
      expect(port.listener.connectionCount).toBe(2);
      expect((await call(port.client, KVRange, rangeKey("kk"))).count).toBe(2);
      session.destroy();
    });

    it("close: running unary calls end, streams get server stopped, new calls are refused", async () => {
      let release: (response: RangeResponse) => void = () => undefined;
      const started: number[] = [];
      const { client, listener } = await open([
        unary(KVRange, () => {
          started.push(1);
          return new Promise((resolve) => {
            release = resolve;
          });
        }),
        stream(WatchWatch, () => {
          started.push(2);
          return {
            request: () => undefined,
            halfClosed: () => undefined,
            drained: () => undefined,
            closed: () => undefined,
          };
        }),
      ]);
      const watch = openStream(client, WatchWatch);
      watch.on("data", () => undefined);
      const watchFailure = new Promise((resolve) => watch.on("error", resolve));
      const running = call(client, KVRange, rangeKey("k"));
      await until(() => started.length === 2);
      const closed = listener.close(5_000);
      await sleep(50);
      release(RangeResponse.create({ count: 9 }));
      expect((await running).count).toBe(9);
      expect(await watchFailure).toMatchObject({ code: 14, details: "etcdserver: server stopped" });
      await closed;
      expect(listener.connectionCount).toBe(0);
    });

    it("close: cuts off what runs longer than the grace", async () => {
      const started: CallContext[] = [];
      const { client, listener } = await open([
        unary(KVRange, (_request, context) => {
          started.push(context);
          return new Promise<never>(() => undefined);
        }),
      ]);
      const running = failureOf(call(client, KVRange, rangeKey("k")));
      await until(() => started.length === 1);
      await listener.close(100);
      expect((await running).code).not.toBe(0);
      expect(started[0]?.signal.reason).toBe(errors.stopped);
      expect(listener.connectionCount).toBe(0);
    });
  });
});
