import { gunzipSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, it, vi } from "vitest";
import { decode, encode } from "../../../proto/codec.ts";
import {
  PutRequest,
  RangeRequest,
  RangeResponse,
  WatchRequest,
  type WatchResponse,
} from "../../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../../proto/generated/services.ts";
import { ApiError, Code } from "../../../src/api/errors.ts";
import { Budget, RecentIds } from "../../../src/rpc/http2/abuse.ts";
import { ErrorCode, Flag, FrameType, PREFACE, Setting } from "../../../src/rpc/http2/protocol.ts";
import { Http2Stream } from "../../../src/rpc/http2/stream.ts";
import { type CallContext, type ResponseStream, stream, unary } from "../../../src/rpc/rpc.ts";
import { createSecured } from "../../tls/secured.ts";
import { env, openPort, type Port, type PortOptions, sleep, until } from "../harness.ts";
import { block, data, FrameClient, frame, headers, message, requestBlock, settings, uint32 } from "./frame-client.ts";

const { KVRange, KVPut, WatchWatch } = rpcs;
const ports: Port[] = [];
const clients: FrameClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const port of ports.splice(0)) await port.close();
});

interface Watched {
  readonly responses: ResponseStream<WatchResponse>;
  readonly events: string[];
}

/** Range answers with as many KiB as its limit says, or below 0 with an error of 1500 chars; Put waits for its end, Watch records. */
async function connected(options: PortOptions = {}, ...pairs: readonly (readonly [number, number])[]) {
  const watched: Watched[] = [];
  const waiting: CallContext[] = [];
  const failed = { calls: 0 };
  const port = await openPort(
    [
      unary(KVRange, async ({ limit }) => {
        if (limit >= 0) return RangeResponse.create({ count: limit, kvs: [Buffer.alloc(limit << 10, "v")] });
        failed.calls++;
        throw new ApiError(Code.NotFound, "e".repeat(1_500));
      }),
      unary(KVPut, (_request, context) => {
        waiting.push(context);
        return new Promise<never>((_resolve, reject) => {
          context.signal.addEventListener("abort", () => reject(context.signal.reason));
        });
      }),
      stream(WatchWatch, (responses) => {
        const events: string[] = [];
        watched.push({ responses, events });
        return {
          request: () => void events.push("request"),
          halfClosed: () => void events.push("halfClosed"),
          drained: () => void events.push("drained"),
          closed: () => void events.push("closed"),
        };
      }),
    ],
    { ...options, transport: "http2" },
  );
  ports.push(port);
  const client = new FrameClient(port.port);
  clients.push(client);
  await client.shakeHands(...pairs);
  return { port, client, watched, waiting, failed };
}

const range = (kib: number): Buffer => message(encode(RangeRequest, RangeRequest.create({ key: "k", limit: kib })));
const call = (streamId: number, kib = 0): Buffer =>
  Buffer.concat([headers(streamId, requestBlock(KVRange.path)), data(streamId, range(kib), Flag.endStream)]);
const put = (streamId: number): Buffer =>
  Buffer.concat([
    headers(streamId, requestBlock(KVPut.path)),
    data(streamId, message(Buffer.alloc(0)), Flag.endStream),
  ]);
const watch = (streamId: number): Buffer => headers(streamId, requestBlock(WatchWatch.path));
const ping = frame(FrameType.ping, 0, 0, Buffer.alloc(8));
const odd = (count: number): number[] => Array.from({ length: count }, (_, i) => 2 * i + 1);

async function statusOf(client: FrameClient, streamId: number): Promise<string | undefined> {
  await client.until(() => client.isEnded(streamId));
  return client.fieldsOf(streamId)["grpc-status"];
}

/** The connection ends with ENHANCE_YOUR_CALM, the member stays, and one line says why. */
async function expectCalmedDown(port: Port, client: FrameClient): Promise<void> {
  await client.until(() => client.isClosed);
  expect(client.goaway?.code).toBe(ErrorCode.enhanceYourCalm);
  await until(() => port.listener.connectionCount === 0);
  expect(port.logger.lines.filter(({ level }) => level === "error")).toEqual([]);
  const other = new FrameClient(port.port);
  clients.push(other);
  await other.shakeHands();
  other.send(call(1));
  expect(await statusOf(other, 1)).toBe("0");
}

describe("budgets", () => {
  it("a budget has its burst, and then its rate", () => {
    const budget = new Budget({ burst: 3, perSecond: 10 });
    expect([0, 0, 0, 0].map((now) => budget.spend(now))).toEqual([true, true, true, false]);
    expect(budget.spend(99)).toBe(false);
    expect([200, 200, 200].map((now) => budget.spend(now))).toEqual([true, true, false]);
    expect([60_000, 60_000, 60_000, 60_000].map((now) => budget.spend(now))).toEqual([true, true, true, false]);
  });

  it("of ids only the newest are remembered", () => {
    const ids = new RecentIds(2);
    for (const id of [1, 3, 5]) ids.add(id);
    expect([1, 3, 5].map((id) => ids.has(id))).toEqual([false, true, true]);
  });
});

describe("limits of one connection", () => {
  it("concurrent streams: announced, the next is refused, and room comes back", async () => {
    const { client, waiting } = await connected({ grpc: { maxConcurrentStreams: 3 } });
    const announced = client.of(FrameType.settings)[0]?.payload;
    expect(announced?.subarray(0, 6)).toEqual(Buffer.from([0, Setting.maxConcurrentStreams, 0, 0, 0, 3]));
    client.send(put(1), put(3), put(5), put(7));
    await client.until(() => client.resetOf(7) !== undefined);
    expect(client.resetOf(7)).toBe(ErrorCode.refusedStream);
    await until(() => waiting.length === 3);
    client.send(frame(FrameType.rstStream, 0, 3, uint32(ErrorCode.cancel)), call(9));
    expect(await statusOf(client, 9)).toBe("0");
  });

  it("concurrent streams are bounded when the flag allows four thousand million", async () => {
    const { client } = await connected({ limits: { openStreams: 2 } });
    client.send(put(1), put(3), put(5));
    await client.until(() => client.resetOf(5) === ErrorCode.refusedStream);
  });

  it("streams of all connections together, given back when one closes", async () => {
    const { client, port, waiting } = await connected({ limits: { memberStreams: 3 } });
    const other = new FrameClient(port.port);
    clients.push(other);
    await other.shakeHands();
    other.send(put(1), put(3));
    await until(() => waiting.length === 2);
    client.send(put(1), put(3));
    await client.until(() => client.resetOf(3) === ErrorCode.refusedStream);
    other.close();
    await until(() => port.listener.connectionCount === 1);
    client.send(call(5));
    expect(await statusOf(client, 5)).toBe("0");
  });

  it("headers that are too large are RESOURCE_EXHAUSTED, and the table stays right", async () => {
    const { client } = await connected({ limits: { headerListBytes: 1_000 } });
    const indexed = Buffer.concat([
      Buffer.from([0x40, 7]),
      Buffer.from("x-large"),
      Buffer.from([0x7f, 0x99, 0x06]),
      Buffer.alloc(920, "v"),
    ]);
    const path = Buffer.concat([Buffer.from([0x44, KVRange.path.length]), Buffer.from(KVRange.path)]);
    client.send(
      headers(1, Buffer.concat([requestBlock(KVRange.path), path, indexed])),
      data(1, range(0), Flag.endStream),
    );
    expect(await statusOf(client, 1)).toBe("8");
    expect(client.fieldsOf(1)["grpc-message"]).toBe("quorate: the request's headers are too large");
    // :path is the second newest entry now.
    const short = Buffer.concat([Buffer.from([0x83, 0x86, 0x80 | 63]), block([["content-type", "application/grpc"]])]);
    client.send(headers(3, short), data(3, range(0), Flag.endStream));
    expect(await statusOf(client, 3)).toBe("0");
  });

  it("CONTINUATION without end, empty ones, too", async () => {
    for (const piece of [Buffer.alloc(0), Buffer.alloc(16_384)]) {
      const { port, client } = await connected();
      client.send(headers(1, Buffer.alloc(0), 0));
      for (let i = 0; i < 100; i++) client.send(frame(FrameType.continuation, 0, 1, piece));
      await client.until(() => client.isClosed);
      expect(client.goaway).toMatchObject({ code: ErrorCode.enhanceYourCalm, text: "a header block is too long" });
      await until(() => port.listener.connectionCount === 0);
    }
  });

  it("rapid reset (CVE-2023-44487)", async () => {
    const { port, client, waiting } = await connected({ limits: { resets: { burst: 50, perSecond: 1 } } });
    for (const id of odd(200)) client.send(put(id), frame(FrameType.rstStream, 0, id, uint32(ErrorCode.cancel)));
    await expectCalmedDown(port, client);
    expect(waiting.length).toBeLessThanOrEqual(51);
    expect(waiting.every(({ signal }) => signal.aborted)).toBe(true);
  });

  it("resets that the client has us do (CVE-2025-8671)", async () => {
    const { port, client } = await connected({ limits: { resets: { burst: 50, perSecond: 1 } } });
    for (const id of odd(200)) client.send(put(id), frame(FrameType.windowUpdate, 0, id, uint32(0)));
    await expectCalmedDown(port, client);
  });

  it("streams that are refused", async () => {
    const { port, client } = await connected({
      limits: { resets: { burst: 50, perSecond: 1 } },
      grpc: { maxConcurrentStreams: 1 },
    });
    for (const id of odd(200)) client.send(put(id));
    await expectCalmedDown(port, client);
  });

  it("a thousand calls that are cancelled at once are no abuse", async () => {
    const { client, waiting } = await connected();
    client.send(...odd(1_000).map(put));
    await until(() => waiting.length === 1_000);
    client.send(...odd(1_000).map((id) => frame(FrameType.rstStream, 0, id, uint32(ErrorCode.cancel))), call(9_999));
    expect(await statusOf(client, 9_999)).toBe("0");
  });

  it("nor are calls whose deadlines end them together, reset by their client just then", async () => {
    const one = { burst: 1, perSecond: 0 };
    const { client, waiting } = await connected({ limits: { resets: one, idleFrames: one } });
    const ids = odd(50);
    const block = requestBlock(KVPut.path, [["grpc-timeout", "300m"]]);
    for (const id of ids) client.send(headers(id, block), data(id, message(Buffer.alloc(0)), Flag.endStream));
    // Of these the end of the request has not come.
    for (const id of ids) client.send(headers(200 + id, block));
    await client.until(() => ids.every((id) => client.isEnded(id) && client.isEnded(200 + id)));
    expect(waiting.length).toBe(50);
    for (const id of ids) {
      for (const each of [id, 200 + id]) client.send(frame(FrameType.rstStream, 0, each, uint32(ErrorCode.cancel)));
    }
    client.send(call(1_001));
    expect(await statusOf(client, 1_001)).toBe("0");
    // A second reset of each is one too many.
    for (const id of ids) client.send(frame(FrameType.rstStream, 0, id, uint32(ErrorCode.cancel)));
    await client.until(() => client.isClosed);
  });

  it("nor resets of calls that have run for a while", async () => {
    const { client, waiting } = await connected({ limits: { resets: { burst: 1, perSecond: 0 }, youngStreamMs: 100 } });
    client.send(...odd(50).map(put));
    await until(() => waiting.length === 50);
    await sleep(200);
    client.send(...odd(50).map((id) => frame(FrameType.rstStream, 0, id, uint32(ErrorCode.cancel))), call(1_001));
    expect(await statusOf(client, 1_001)).toBe("0");
  });

  const floods: Readonly<Record<string, (id: number) => Buffer>> = {
    SETTINGS: () => settings([Setting.initialWindowSize, 65_535]),
    "empty DATA frames": () => data(1, Buffer.alloc(0)),
    "padded and empty DATA frames": () => data(1, Buffer.from([1, 0]), Flag.padded),
    "PRIORITY frames": (id) => frame(FrameType.priority, 0, id, Buffer.alloc(5)),
    "unknown frames": () => frame(0x77, 0, 0),
    "acknowledgements of nothing": () => frame(FrameType.ping, Flag.ack, 0, Buffer.alloc(8)),
    "frames of closed streams": () => data(3, Buffer.alloc(1)),
    "WINDOW_UPDATE of closed streams": () => frame(FrameType.windowUpdate, 0, 3, uint32(1)),
    "RST_STREAM of closed streams": () => frame(FrameType.rstStream, 0, 3, uint32(1)),
    "GOAWAY frames": () => frame(FrameType.goaway, 0, 0, Buffer.alloc(8)),
  };
  for (const [name, one] of Object.entries(floods)) {
    it(`a flood of ${name}`, async () => {
      const { port, client } = await connected({
        limits: { settings: { burst: 50, perSecond: 1 }, idleFrames: { burst: 50, perSecond: 1 } },
      });
      client.send(watch(1), call(3));
      await statusOf(client, 3);
      client.send(...odd(40).map(one), call(5));
      expect(await statusOf(client, 5)).toBe("0");
      client.send(...odd(40).map(one));
      await expectCalmedDown(port, client);
    });
  }

  it("a flood of pings, while those of a client that measures pass", async () => {
    const { port, client } = await connected();
    for (let i = 0; i < 50; i++) {
      client.send(call(2 * i + 1));
      await statusOf(client, 2 * i + 1);
      client.send(ping);
    }
    await client.until(() => client.of(FrameType.ping).length === 50);
    client.send(ping, ping, ping, ping);
    await expectCalmedDown(port, client);
    expect(client.goaway?.text).toBe("too_many_pings");
  });

  it("no SETTINGS, or no acknowledgement of ours: the connection ends", async () => {
    const { port, client: polite } = await connected({ limits: { handshakeMs: 1_000 } });
    const silent = [[PREFACE], [PREFACE, settings()]].map((first) => {
      const client = new FrameClient(port.port);
      clients.push(client);
      client.send(...first);
      return client;
    });
    for (const client of silent) {
      await client.until(() => client.isClosed);
      expect(client.goaway?.code).toBe(ErrorCode.settingsTimeout);
    }
    // Who shook hands may be idle.
    expect(polite.isClosed).toBe(false);
  });

  it("a silent client is asked for a sign of life, and given up without one", async () => {
    const { port, client } = await connected({ grpc: { keepaliveIntervalMs: 200, keepaliveTimeoutMs: 200 } });
    await client.until(() => client.isClosed);
    expect(client.of(FrameType.ping).length).toBe(1);
    await until(() => port.listener.connectionCount === 0);
  });

  it("what is held of unfinished messages is bounded, and given back", async () => {
    const { client } = await connected({ limits: { connectionReceivingBytes: 100_000 } });
    const part = Buffer.concat([Buffer.from([0]), uint32(1_000_000), Buffer.alloc(16_000)]);
    const ids = odd(20);
    for (const id of ids) client.send(headers(id, requestBlock(KVPut.path)), data(id, part));
    await client.until(() => ids.filter((id) => client.isEnded(id)).length >= 14);
    expect(client.fieldsOf(ids.at(-1) as number)).toMatchObject({
      "grpc-status": "8",
      "grpc-message": "quorate: too many bytes of unfinished requests are held for clients",
    });
    for (const id of ids) client.send(frame(FrameType.rstStream, 0, id, uint32(ErrorCode.cancel)));
    const whole = message(encode(RangeRequest, RangeRequest.create({ key: "k".repeat(20_000) })));
    client.send(headers(41, requestBlock(KVRange.path)), data(41, whole.subarray(0, 16_000)));
    client.send(data(41, whole.subarray(16_000), Flag.endStream));
    expect(await statusOf(client, 41)).toBe("0");
  });

  it("so is what plain requests ask for, until they are served; headers that nobody looks at are not kept", async () => {
    const secured = createSecured();
    const held: (() => void)[] = [];
    const http = async () => {
      await new Promise<void>((resolve) => held.push(resolve));
      return { status: 200, headers: {}, body: "" };
    };
    const limits = { connectionReceivingBytes: 100_000 };
    const port = await openPort([], { transport: "http2", secured, http, limits });
    ports.push(port);
    secured.files.remove();
    const { cert, key } = secured.client;
    const client = new FrameClient(port.port, { ca: secured.authority.cert, cert, key, ALPNProtocols: ["h2"] });
    clients.push(client);
    await client.shakeHands();
    const ask = (id: number, path: string, ...extra: [string, string][]): Buffer => {
      const fields = block([[":method", "GET"], [":scheme", "https"], [":path", path], ...extra]);
      return headers(id, fields, Flag.endHeaders | Flag.endStream);
    };
    const answered = (ids: readonly number[], status: string): number[] =>
      ids.filter((id) => client.isEnded(id) && client.fieldsOf(id)[":status"] === status);
    const [short, long, again] = [odd(20), odd(20).map((id) => id + 100), odd(9).map((id) => id + 200)];
    client.send(...short.map((id) => ask(id, "/", ["x-large", "x".repeat(10_000)])));
    await until(() => held.length === 20);
    client.send(
      ...long.map((id, i) => (i % 2 ? ask(id, "/".repeat(10_000)) : ask(id, "/", ["origin", "o".repeat(10_000)]))),
    );
    await until(() => held.length + answered(long, "503").length === 40);
    expect(answered(long, "503")).toEqual(long.slice(9));
    // A client that goes takes nothing from whoever still serves it.
    client.send(...long.slice(0, 9).map((id) => frame(FrameType.rstStream, 0, id, uint32(ErrorCode.cancel))));
    client.send(ask(199, "/".repeat(10_000)));
    await until(() => answered([199], "503").length === 1);
    for (const finish of held.splice(0)) finish();
    await until(() => answered(short, "200").length === 20);
    client.send(...again.map((id) => ask(id, "/".repeat(10_000))));
    await until(() => held.length === 9);
    for (const finish of held) finish();
    await until(() => answered(again, "200").length === 9);
  });

  it("so are headers and requests of calls that run, until they end", async () => {
    const value = message(encode(PutRequest, PutRequest.create({ key: "k", value: Buffer.alloc(10_000) })));
    const large: Readonly<Record<string, (id: number) => Buffer>> = {
      headers: (id) => headers(id, requestBlock(KVPut.path, [["token", "t".repeat(10_000)]])),
      requests: (id) => Buffer.concat([headers(id, requestBlock(KVPut.path)), data(id, value, Flag.endStream)]),
    };
    for (const [name, one] of Object.entries(large)) {
      const { client } = await connected({ limits: { connectionReceivingBytes: 100_000 } });
      const ids = odd(20);
      client.send(...ids.map(one), ping);
      await client.until(() => client.of(FrameType.ping).length === 1);
      expect(ids.filter((id) => !client.isEnded(id)).length, name).toBe(9);
      expect(client.fieldsOf(39)["grpc-status"], name).toBe("8");
      client.send(...ids.map((id) => frame(FrameType.rstStream, 0, id, uint32(ErrorCode.cancel))), one(101), ping);
      await client.until(() => client.of(FrameType.ping).length === 2);
      expect(client.isEnded(101), name).toBe(false);
    }
  });

  it("memory is taken as bytes come, not as they are announced", async () => {
    const { client, waiting } = await connected({ limits: { connectionReceivingBytes: 150_000 } });
    for (const id of odd(90)) {
      client.send(
        headers(id, requestBlock(KVPut.path)),
        data(id, Buffer.concat([Buffer.from([0]), uint32(2_000_000)])),
      );
    }
    client.send(call(999));
    expect(await statusOf(client, 999)).toBe("0");
    expect(odd(90).some((id) => client.isEnded(id))).toBe(false);
    expect(waiting.length).toBe(0);
  });
});

describe("faults of ours", () => {
  it("end their connection with a line in the log, and no other", async () => {
    let isBroken = false;
    const now = (): number => {
      if (isBroken) throw new Error("the clock has stopped");
      return env.now();
    };
    const { port, client } = await connected({ grpc: { env: { ...env, now } } });
    const other = new FrameClient(port.port);
    clients.push(other);
    await other.shakeHands();
    other.send(call(1));
    expect(await statusOf(other, 1)).toBe("0");
    isBroken = true;
    client.send(ping);
    await client.until(() => client.isClosed);
    isBroken = false;
    await until(() => port.listener.connectionCount === 1);
    expect(port.logger.lines.filter(({ level }) => level === "error")).toMatchObject([
      { msg: "failed to serve a client connection", fields: { error: "Error: the clock has stopped" } },
    ]);
    other.send(call(3));
    expect(await statusOf(other, 3)).toBe("0");
  });
});

describe("clients that do not read", () => {
  it("a connection with too much output is not read from until its client reads", async () => {
    const { client, port, failed } = await connected({ limits: { unreadOutputBytes: 64 << 10 } }, [
      Setting.initialWindowSize,
      2 ** 31 - 1,
    ]);
    client.send(frame(FrameType.windowUpdate, 0, 0, uint32(2 ** 31 - 1 - 65_535)));
    client.socket.pause();
    // Calls whose answers are errors: no window holds them up, and no kernel takes them all.
    const ids = odd(20_000);
    client.send(...ids.map((id) => call(id, -1)));
    let before = -1;
    await until(() => failed.calls > 0);
    while (before !== failed.calls) {
      before = failed.calls;
      await sleep(500);
    }
    expect(failed.calls).toBeLessThan(ids.length);
    client.socket.resume();
    await client.until(() => client.frames.at(-1)?.streamId === ids.at(-1), 20_000);
    expect(client.of(FrameType.headers).length).toBe(ids.length);
    expect(port.listener.connectionCount).toBe(1);
  });

  it("a response of many MiB waits in its stream, not in the socket", async () => {
    const { client } = await connected({}, [Setting.initialWindowSize, 2 ** 31 - 1]);
    client.send(frame(FrameType.windowUpdate, 0, 0, uint32(2 ** 31 - 1 - 65_535)));
    client.socket.pause();
    client.send(call(1, 32 << 10));
    await sleep(200);
    client.send(call(3, 1));
    client.socket.resume();
    await client.until(() => client.isEnded(1) && client.isEnded(3), 20_000);
    expect(client.bodyOf(1).length).toBeGreaterThan(32 << 20);
    expect(client.fieldsOf(3)["grpc-status"]).toBe("0");
    // The small one did not have to wait for all of the large one.
    const ends = client.frames.filter(
      ({ flags, type }) => type === FrameType.headers && (flags & Flag.endStream) !== 0,
    );
    expect(ends.map(({ streamId }) => streamId)).toEqual([3, 1]);
  });
});

describe("flow control", () => {
  it("sends no more than the windows allow, and goes on with them", async () => {
    const { client } = await connected({}, [Setting.initialWindowSize, 10]);
    client.send(call(1, 1));
    await client.until(() => client.bodyOf(1).length === 10);
    client.send(frame(FrameType.windowUpdate, 0, 1, uint32(7)));
    await client.until(() => client.bodyOf(1).length === 17);
    await sleep(20);
    expect(client.bodyOf(1).length).toBe(17);
    client.send(frame(FrameType.windowUpdate, 0, 1, uint32(100_000)));
    expect(await statusOf(client, 1)).toBe("0");
    expect(decode(RangeResponse, client.bodyOf(1).subarray(5)).kvs[0]?.length).toBe(1_024);
  });

  it("SETTINGS_INITIAL_WINDOW_SIZE changes the windows of open streams, below zero, too (§6.9.2)", async () => {
    const { client } = await connected({}, [Setting.initialWindowSize, 100]);
    client.send(call(1, 1));
    await client.until(() => client.bodyOf(1).length === 100);
    client.send(settings([Setting.initialWindowSize, 40]));
    // The window is at -60 now.
    client.send(frame(FrameType.windowUpdate, 0, 1, uint32(60)));
    await sleep(20);
    expect(client.bodyOf(1).length).toBe(100);
    client.send(frame(FrameType.windowUpdate, 0, 1, uint32(1)));
    await client.until(() => client.bodyOf(1).length === 101);
    client.send(settings([Setting.initialWindowSize, 65_535]));
    expect(await statusOf(client, 1)).toBe("0");
    client.send(call(3, 1));
    expect(await statusOf(client, 3)).toBe("0");
  });

  it("of the window sizes in one SETTINGS frame only the last is given to the streams, if it is another", async () => {
    const { client, waiting } = await connected();
    client.send(...odd(20).map(put));
    await until(() => waiting.length === 20);
    const change = vi.spyOn(Http2Stream.prototype, "changeSendWindow");
    const sizes = Array.from({ length: 2_000 }, (_, i) => [Setting.initialWindowSize, i] as const);
    client.send(settings(...sizes, [Setting.initialWindowSize, 65_535]), call(1_001));
    expect(await statusOf(client, 1_001)).toBe("0");
    const unchanged = change.mock.calls.length;
    client.send(settings(...sizes), call(1_003));
    expect(await statusOf(client, 1_003)).toBe("0");
    const changed = change.mock.calls.length;
    change.mockRestore();
    expect([unchanged, changed]).toEqual([0, 20]);
    // Each of them is checked nevertheless.
    client.send(settings([Setting.initialWindowSize, 2 ** 31], [Setting.initialWindowSize, 100]));
    await client.until(() => client.isClosed);
    expect(client.goaway?.code).toBe(ErrorCode.flowControlError);
  });

  it("the connection's window is shared in turns", async () => {
    const { client } = await connected({}, [Setting.initialWindowSize, 1 << 20]);
    client.send(call(1, 200), call(3, 200), call(5, 200));
    await client.until(() => client.bodyOf(1).length + client.bodyOf(3).length + client.bodyOf(5).length === 65_535);
    client.send(frame(FrameType.windowUpdate, 0, 0, uint32(1 << 20)));
    for (const id of [1, 3, 5]) expect(await statusOf(client, id)).toBe("0");
    const order = client.of(FrameType.data).map(({ streamId }) => streamId);
    expect(order.indexOf(5)).toBeLessThan(5);
  });

  it("gives windows back at their half, for streams and for the connection", async () => {
    const { client, watched } = await connected({
      limits: { streamWindowBytes: 100_000, connectionWindowBytes: 200_000 },
    });
    client.send(watch(1));
    await until(() => watched.length === 1);
    const sent = message(encode(WatchRequest, WatchRequest.create({})));
    let bytes = 0;
    const piece = Buffer.concat(Array.from({ length: 2_000 }, () => sent));
    for (; bytes < 60_000; bytes += piece.length) client.send(data(1, piece));
    await client.until(() => client.of(FrameType.windowUpdate, 1).length === 1);
    expect(client.of(FrameType.windowUpdate, 1)[0]?.payload.readUInt32BE(0)).toBeGreaterThanOrEqual(50_000);
    for (; bytes < 120_000; bytes += piece.length) client.send(data(1, piece));
    // The first enlarges the connection's window to what was asked for.
    await client.until(() => client.of(FrameType.windowUpdate, 0).length === 2);
  });

  it("a client beyond its window loses the stream, beyond the connection's the connection", async () => {
    const begun = Buffer.alloc(9_000);
    begun.writeUInt32BE(1_000_000, 1);
    const { client } = await connected({ limits: { streamWindowBytes: 20_000 } });
    client.send(headers(1, requestBlock(KVPut.path)), data(1, begun), data(1, Buffer.alloc(16_384)), call(3));
    await client.until(() => client.resetOf(1) !== undefined);
    expect(client.resetOf(1)).toBe(ErrorCode.flowControlError);
    expect(await statusOf(client, 3)).toBe("0");

    const { client: other } = await connected({ limits: { connectionWindowBytes: 65_535, frameBytes: 65_535 } });
    other.send(headers(1, requestBlock(KVPut.path)), data(1, begun), data(1, Buffer.alloc(60_000)));
    await other.until(() => other.isClosed);
    expect(other.goaway?.code).toBe(ErrorCode.flowControlError);
  });
});

describe("compression", () => {
  const gzip = [["grpc-encoding", "gzip"]] as const;

  it("answers a client that sends gzip with gzip, where it gains something", async () => {
    const { client } = await connected({}, [Setting.initialWindowSize, 1 << 20]);
    client.send(frame(FrameType.windowUpdate, 0, 0, uint32(1 << 20)));
    const packed = message(gzipSync(range(100).subarray(5)), 1);
    client.send(headers(1, requestBlock(KVRange.path, gzip)), data(1, packed, Flag.endStream));
    expect(await statusOf(client, 1)).toBe("0");
    expect(client.fieldsOf(1)["grpc-encoding"]).toBe("gzip");
    const body = client.bodyOf(1);
    expect(body[0]).toBe(1);
    expect(decode(RangeResponse, gunzipSync(body.subarray(5))).kvs[0]?.length).toBe(100 << 10);
    client.send(headers(3, requestBlock(KVRange.path, gzip)), data(3, range(0), Flag.endStream));
    expect(await statusOf(client, 3)).toBe("0");
    expect(client.bodyOf(3)[0]).toBe(0);
    client.send(call(5, 100));
    expect(await statusOf(client, 5)).toBe("0");
    expect(client.fieldsOf(5)["grpc-encoding"]).toBeUndefined();
    expect(client.bodyOf(5)[0]).toBe(0);
  });

  it("inflates so much of a connection's requests, and in time more", async () => {
    const inflatedBytes = { burst: 1_000_000, perSecond: 2_000_000 };
    const { client, port } = await connected({ limits: { inflatedBytes } });
    const ask = async (one: FrameClient, id: number, body: Buffer): Promise<string | undefined> => {
      one.send(headers(id, requestBlock(KVRange.path, gzip)), data(id, body, Flag.endStream));
      return statusOf(one, id);
    };
    const small = message(gzipSync(range(0).subarray(5)), 1);
    const bomb = message(gzipSync(Buffer.alloc(8 << 20)), 1);
    expect(await ask(client, 1, small)).toBe("0");
    expect(await ask(client, 3, bomb)).toBe("8");
    expect(client.fieldsOf(3)["grpc-message"]).toContain("after decompression larger than max");
    expect(await ask(client, 5, small)).toBe("8");
    expect(client.fieldsOf(5)["grpc-message"]).toBe("quorate: too many bytes of compressed requests in a short time");
    // Neither others nor what is not compressed.
    client.send(call(7));
    expect(await statusOf(client, 7)).toBe("0");
    const other = new FrameClient(port.port);
    clients.push(other);
    await other.shakeHands();
    expect(await ask(other, 1, small)).toBe("0");
    await sleep(1_000);
    expect(await ask(client, 9, small)).toBe("0");
  });

  it("counts what it inflates in vain", async () => {
    const { client } = await connected({ limits: { inflatedBytes: { burst: 100_000, perSecond: 0 } } });
    const broken = gzipSync(Buffer.alloc(1 << 20));
    broken.writeUInt32LE(1, broken.length - 8);
    for (const id of [1, 3]) {
      client.send(headers(id, requestBlock(KVRange.path, gzip)), data(id, message(broken, 1), Flag.endStream));
      expect(await statusOf(client, id)).toBe(id === 1 ? "13" : "8");
    }
  });

  it("refuses what it cannot inflate", async () => {
    const { client } = await connected();
    const cases: readonly (readonly [string | undefined, Buffer, string, string])[] = [
      ["snappy", message(Buffer.alloc(3), 1), "12", 'grpc: Decompressor is not installed for grpc-encoding "snappy"'],
      [undefined, message(Buffer.alloc(3), 1), "13", "grpc: compressed flag set with identity or empty encoding"],
      [
        "gzip",
        message(Buffer.alloc(3), 1),
        "13",
        "grpc: failed to decompress the received message: incorrect header check",
      ],
      ["gzip", message(Buffer.alloc(3), 2), "13", "grpc: received unexpected payload format 2"],
    ];
    for (const [i, [encoding, body, status, text]] of cases.entries()) {
      const id = 2 * i + 1;
      const extra = encoding === undefined ? [] : ([["grpc-encoding", encoding]] as const);
      client.send(headers(id, requestBlock(KVRange.path, extra)), data(id, body, Flag.endStream));
      expect(await statusOf(client, id)).toBe(status);
      expect(client.fieldsOf(id)["grpc-message"]).toBe(text);
    }
  });

  it("a message that is cut off", async () => {
    const { client } = await connected();
    client.send(headers(1, requestBlock(KVRange.path)), data(1, range(0).subarray(0, 6), Flag.endStream));
    expect(await statusOf(client, 1)).toBe("13");
    expect(client.fieldsOf(1)["grpc-message"]).toBe("unexpected EOF");
  });
});
