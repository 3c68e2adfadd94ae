import { afterEach, describe, expect, it } from "vitest";
import { decode, encode } from "../../../proto/codec.ts";
import { RangeRequest, RangeResponse, WatchRequest, WatchResponse } from "../../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../../proto/generated/services.ts";
import { errors } from "../../../src/api/errors.ts";
import { ErrorCode, Flag, FrameType, PREFACE, Setting } from "../../../src/rpc/http2/protocol.ts";
import { type CallContext, type ResponseStream, stream, unary } from "../../../src/rpc/rpc.ts";
import { openPort, type Port, type PortOptions, sleep, until } from "../harness.ts";
import {
  block,
  data,
  FrameClient,
  frame,
  headers,
  message,
  requestBlock,
  settings,
  settingsAck,
  uint32,
} from "./frame-client.ts";

const { KVRange, WatchWatch } = rpcs;
const ports: Port[] = [];
const clients: FrameClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const port of ports.splice(0)) await port.close();
});

interface Watched {
  readonly responses: ResponseStream<WatchResponse>;
  readonly context: CallContext;
  readonly events: string[];
}

/** Range answers with the length of the key, Watch records. */
async function open(options: PortOptions = {}) {
  const watched: Watched[] = [];
  const port = await openPort(
    [
      unary(KVRange, async (request) => RangeResponse.create({ count: request.key.length })),
      stream(WatchWatch, (responses, context) => {
        const events: string[] = [];
        watched.push({ responses, context, events });
        return {
          request: (request) => void events.push(`request ${encode(WatchRequest, request).length}`),
          halfClosed: () => void events.push("halfClosed"),
          drained: () => void events.push("drained"),
          closed: () => void events.push("closed"),
        };
      }),
    ],
    { ...options, transport: "http2" },
  );
  ports.push(port);
  return { port, watched };
}

function raw({ port }: Port): FrameClient {
  const client = new FrameClient(port);
  clients.push(client);
  return client;
}

async function connected(options: PortOptions = {}, ...pairs: readonly (readonly [number, number])[]) {
  const { port, watched } = await open(options);
  const client = raw(port);
  await client.shakeHands(...pairs);
  return { port, client, watched };
}

const range = (key: string): Buffer => message(encode(RangeRequest, RangeRequest.create({ key })));
const END = Flag.endStream | Flag.endHeaders;
const call = (streamId: number, key = "key"): Buffer =>
  Buffer.concat([headers(streamId, requestBlock(KVRange.path)), data(streamId, range(key), Flag.endStream)]);
const watch = (streamId: number): Buffer => headers(streamId, requestBlock(WatchWatch.path));

/** Of a unary call: its status, and the count in its response, if there is one. */
async function answer(
  client: FrameClient,
  streamId: number,
): Promise<{ readonly status: string; readonly count: number }> {
  await client.until(() => client.isEnded(streamId) || client.isClosed);
  const body = client.bodyOf(streamId);
  return {
    status: String(client.fieldsOf(streamId)["grpc-status"]),
    count: body.length < 5 ? -1 : decode(RangeResponse, body.subarray(5)).count,
  };
}

describe("what RFC 9113 allows", () => {
  it("a call in every legal shape: padded, with priority, in CONTINUATIONs, with trailers, among unknown frames", async () => {
    const { client } = await connected();
    const fields = requestBlock(KVRange.path);
    const pieces = [fields.subarray(0, 3), fields.subarray(3, 3), fields.subarray(3, 20), fields.subarray(20)];
    client.send(
      frame(0xbe, 0xff, 77, Buffer.from("nobody knows")),
      frame(FrameType.priority, 0, 1, Buffer.from([0, 0, 0, 1, 200])),
      headers(1, pieces[0] as Buffer, 0),
      frame(FrameType.continuation, 0, 1, pieces[1]),
      frame(FrameType.continuation, 0, 1, pieces[2]),
      frame(FrameType.continuation, Flag.endHeaders, 1, pieces[3]),
      frame(FrameType.priority, 0, 99, Buffer.alloc(5)),
    );
    const body = range("twelve chars");
    const padded = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([7]), bytes, Buffer.alloc(7)]);
    client.send(
      data(1, padded(body.subarray(0, 3)), Flag.padded),
      data(1, body.subarray(3, 9)),
      data(1, padded(body.subarray(9)), Flag.padded),
      headers(1, block([["x-checksum", "12"]]), END),
    );
    expect(await answer(client, 1)).toEqual({ status: "0", count: 12 });
    const prioritized = Buffer.concat([Buffer.from([4]), Buffer.from([0, 0, 0, 0, 15]), fields, Buffer.alloc(4)]);
    client.send(
      headers(3, prioritized, Flag.endHeaders | Flag.padded | Flag.priority),
      data(3, range("k"), Flag.endStream),
    );
    expect(await answer(client, 3)).toEqual({ status: "0", count: 1 });
    expect(client.goaway).toBeUndefined();
  });

  it("takes what comes a byte at a time", async () => {
    const { port } = await open();
    const client = raw(port);
    const all = Buffer.concat([
      PREFACE,
      settings([Setting.enablePush, 0]),
      settingsAck,
      call(1),
      call(3, "longer key"),
    ]);
    for (const byte of all) {
      client.send(Buffer.from([byte]));
      await sleep(0);
    }
    expect(await answer(client, 1)).toEqual({ status: "0", count: 3 });
    expect(await answer(client, 3)).toEqual({ status: "0", count: 10 });
  });

  it("from the second call on, response headers take two bytes and trailers one", async () => {
    const { client } = await connected();
    client.send(call(1));
    await answer(client, 1);
    client.send(call(3));
    await answer(client, 3);
    client.send(call(5));
    await answer(client, 5);
    expect(client.of(FrameType.headers, 5).map(({ payload }) => payload.length)).toEqual([2, 1]);
    expect(client.fieldsOf(5)).toEqual({ ":status": "200", "content-type": "application/grpc", "grpc-status": "0" });
  });

  it("the same header block means something else when the table has changed", async () => {
    const { client } = await connected();
    const rest = block([["content-type", "application/grpc"]]);
    const indexing = (path: string): Buffer =>
      Buffer.concat([Buffer.from([0x83, 0x86, 0x44, path.length]), Buffer.from(path), rest]);
    const newestPath = Buffer.concat([Buffer.from([0x83, 0x86, 0xbe]), rest]);
    const statusOf = async (id: number, fields: Buffer): Promise<string> => {
      client.send(headers(id, fields), data(id, range("k"), Flag.endStream));
      return (await answer(client, id)).status;
    };
    expect(await statusOf(1, indexing(KVRange.path))).toBe("0");
    expect(await statusOf(3, newestPath)).toBe("0");
    expect(await statusOf(5, newestPath)).toBe("0");
    expect(await statusOf(7, indexing("/a.b.C/D"))).toBe("12");
    expect(await statusOf(9, newestPath)).toBe("12");
    expect(await statusOf(11, indexing(KVRange.path))).toBe("0");
    expect(await statusOf(13, newestPath)).toBe("0");
    // The table made smaller and larger again is empty.
    client.send(headers(15, Buffer.concat([Buffer.from([0x20, 0x3f, 0xe1, 0x1f]), indexing("/a.b.C/D")]), END));
    expect((await answer(client, 15)).status).toBe("12");
    expect(await statusOf(17, newestPath)).toBe("12");
  });

  it("answers many calls of one read with one write", async () => {
    const { client } = await connected();
    const before = client.reads;
    client.send(...Array.from({ length: 50 }, (_, i) => call(2 * i + 1)));
    await client.until(() => client.isEnded(99));
    expect(client.reads - before).toBeLessThanOrEqual(2);
  });

  it("the acknowledgement of a ping rides with the next response, or comes within a moment", async () => {
    const { client } = await connected({ limits: { pingAckDelayMs: 400 } });
    client.send(call(1));
    await answer(client, 1);
    const ping = (text: string): Buffer => frame(FrameType.ping, 0, 0, Buffer.from(text));
    client.send(ping("pingpong"));
    await sleep(20);
    expect(client.of(FrameType.ping)).toEqual([]);
    const before = client.reads;
    client.send(call(3));
    await answer(client, 3);
    expect(client.reads - before).toBe(1);
    expect(client.of(FrameType.ping)).toMatchObject([{ flags: Flag.ack, payload: Buffer.from("pingpong") }]);
    client.send(ping("and then"));
    await client.until(() => client.of(FrameType.ping).length === 2);
  });

  it("a ping is acknowledged at once while a stream is open", async () => {
    const { client, watched } = await connected({ limits: { pingAckDelayMs: 60_000 } });
    client.send(watch(1));
    await until(() => watched.length === 1);
    watched[0]?.responses.send(WatchResponse.create({}));
    await client.until(() => client.bodyOf(1).length > 0);
    client.send(frame(FrameType.ping, 0, 0, Buffer.alloc(8, 1)));
    await client.until(() => client.of(FrameType.ping).length === 1);
  });

  it("an answer that does not need the rest of the request resets the stream with NO_ERROR, and what still comes is ignored", async () => {
    const { client } = await connected();
    client.send(headers(1, requestBlock("/a.b.C/D")));
    await client.until(() => client.resetOf(1) !== undefined);
    expect(client.resetOf(1)).toBe(ErrorCode.noError);
    expect(client.fieldsOf(1)).toMatchObject({ "grpc-status": "12", "grpc-message": "unknown service a.b.C" });
    client.send(data(1, Buffer.alloc(1_000)), data(1, Buffer.alloc(1), Flag.endStream), call(3));
    expect(await answer(client, 3)).toMatchObject({ status: "0" });
    expect(client.of(FrameType.rstStream).length).toBe(1);
  });

  it("a client's GOAWAY leaves its calls alone", async () => {
    const { client, watched } = await connected();
    client.send(watch(1));
    await until(() => watched.length === 1);
    client.send(frame(FrameType.goaway, 0, 0, Buffer.alloc(8)), data(1, message(Buffer.alloc(0)), Flag.endStream));
    await until(() => watched[0]?.events.length === 2);
    watched[0]?.responses.end();
    await client.until(() => client.isEnded(1));
    expect(client.fieldsOf(1)["grpc-status"]).toBe("0");
  });

  it("calls at the stop: GOAWAY, no new ones, the last goes out, then the end", async () => {
    const { client, watched, port } = await connected();
    client.send(watch(1));
    await until(() => watched.length === 1);
    const closed = port.listener.close(2_000);
    await client.until(() => client.of(FrameType.goaway).length > 0);
    await client.until(() => client.isEnded(1));
    await client.until(() => client.isClosed);
    expect(client.of(FrameType.goaway)[0]?.payload.readUInt32BE(0)).toBe(2 ** 31 - 1);
    expect(client.goaway).toEqual({ code: ErrorCode.noError, lastStreamId: 1, text: "" });
    expect(client.fieldsOf(1)).toMatchObject({ "grpc-status": "14", "grpc-message": errors.stopped.message });
    await closed;
  });
});

describe("what ends a connection", () => {
  const oversized = Buffer.alloc(16_385);
  const cases: Readonly<Record<string, readonly [code: number, ...frames: readonly Buffer[]]>> = {
    "§4.2: a frame above SETTINGS_MAX_FRAME_SIZE": [ErrorCode.frameSizeError, data(1, oversized)],
    "§4.3: a header block that is malformed": [ErrorCode.compressionError, headers(1, Buffer.from([0x80]))],
    "§5.1: DATA on an idle stream": [ErrorCode.protocolError, data(1, Buffer.alloc(1))],
    "§5.1: RST_STREAM on an idle stream": [ErrorCode.protocolError, frame(FrameType.rstStream, 0, 1, uint32(8))],
    "§5.1: WINDOW_UPDATE on an idle stream": [ErrorCode.protocolError, frame(FrameType.windowUpdate, 0, 1, uint32(8))],
    "§5.1.1: a stream of an even number": [ErrorCode.protocolError, headers(2, requestBlock(KVRange.path))],
    "§5.1.1: numbers that do not rise": [ErrorCode.streamClosed, call(5), call(3)],
    "§6.1: DATA on stream 0": [ErrorCode.protocolError, data(0, Buffer.alloc(1))],
    "§6.1: padding as long as its frame": [
      ErrorCode.protocolError,
      watch(1),
      data(1, Buffer.from([3, 0, 0]), Flag.padded),
    ],
    "§6.1: padded and empty": [ErrorCode.frameSizeError, watch(1), data(1, Buffer.alloc(0), Flag.padded)],
    "§6.2: HEADERS on stream 0": [ErrorCode.protocolError, headers(0, requestBlock(KVRange.path))],
    "§6.2: HEADERS shorter than its flags say": [
      ErrorCode.protocolError,
      headers(1, Buffer.alloc(3), END | Flag.priority),
    ],
    "§6.2: padding longer than HEADERS": [ErrorCode.protocolError, headers(1, Buffer.from([9, 0]), END | Flag.padded)],
    "§6.3: PRIORITY on stream 0": [ErrorCode.protocolError, frame(FrameType.priority, 0, 0, Buffer.alloc(5))],
    "§6.3: PRIORITY of a wrong length": [ErrorCode.frameSizeError, frame(FrameType.priority, 0, 1, Buffer.alloc(4))],
    "§6.4: RST_STREAM on stream 0": [ErrorCode.protocolError, frame(FrameType.rstStream, 0, 0, uint32(8))],
    "§6.4: RST_STREAM of a wrong length": [
      ErrorCode.frameSizeError,
      watch(1),
      frame(FrameType.rstStream, 0, 1, Buffer.alloc(3)),
    ],
    "§6.5: SETTINGS on a stream": [ErrorCode.protocolError, frame(FrameType.settings, 0, 1)],
    "§6.5: SETTINGS of a wrong length": [ErrorCode.frameSizeError, frame(FrameType.settings, 0, 0, Buffer.alloc(5))],
    "§6.5: SETTINGS acknowledged with a payload": [
      ErrorCode.frameSizeError,
      frame(FrameType.settings, Flag.ack, 0, Buffer.alloc(6)),
    ],
    "§6.5.2: SETTINGS_ENABLE_PUSH of 2": [ErrorCode.protocolError, settings([Setting.enablePush, 2])],
    "§6.5.2: SETTINGS_INITIAL_WINDOW_SIZE of 2^31": [
      ErrorCode.flowControlError,
      settings([Setting.initialWindowSize, 2 ** 31]),
    ],
    "§6.5.2: SETTINGS_MAX_FRAME_SIZE too small": [ErrorCode.protocolError, settings([Setting.maxFrameSize, 16_383])],
    "§6.5.2: SETTINGS_MAX_FRAME_SIZE too large": [ErrorCode.protocolError, settings([Setting.maxFrameSize, 2 ** 24])],
    "§6.6: PUSH_PROMISE": [ErrorCode.protocolError, frame(FrameType.pushPromise, Flag.endHeaders, 1, uint32(2))],
    "§6.7: PING on a stream": [ErrorCode.protocolError, frame(FrameType.ping, 0, 1, Buffer.alloc(8))],
    "§6.7: PING of a wrong length": [ErrorCode.frameSizeError, frame(FrameType.ping, 0, 0, Buffer.alloc(7))],
    "§6.8: GOAWAY on a stream": [ErrorCode.protocolError, frame(FrameType.goaway, 0, 1, Buffer.alloc(8))],
    "§6.8: GOAWAY of a wrong length": [ErrorCode.frameSizeError, frame(FrameType.goaway, 0, 0, Buffer.alloc(7))],
    "§6.9: WINDOW_UPDATE of a wrong length": [
      ErrorCode.frameSizeError,
      frame(FrameType.windowUpdate, 0, 0, Buffer.alloc(3)),
    ],
    "§6.9: WINDOW_UPDATE of the connection by 0": [
      ErrorCode.protocolError,
      frame(FrameType.windowUpdate, 0, 0, uint32(0)),
    ],
    "§6.9.1: the connection's window above 2^31-1": [
      ErrorCode.flowControlError,
      frame(FrameType.windowUpdate, 0, 0, uint32(2 ** 31 - 1)),
    ],
    "§6.9.2: a stream's window above 2^31-1 by SETTINGS": [
      ErrorCode.flowControlError,
      watch(1),
      frame(FrameType.windowUpdate, 0, 1, uint32(2 ** 31 - 1 - 65_535)),
      settings([Setting.initialWindowSize, 65_536]),
    ],
    "§6.10: CONTINUATION without HEADERS": [ErrorCode.protocolError, frame(FrameType.continuation, Flag.endHeaders, 1)],
    "§6.10: CONTINUATION of another stream": [
      ErrorCode.protocolError,
      headers(1, Buffer.alloc(0), 0),
      frame(FrameType.continuation, Flag.endHeaders, 3),
    ],
    "§6.10: another frame within a header block": [
      ErrorCode.protocolError,
      headers(1, Buffer.alloc(0), 0),
      frame(FrameType.ping, 0, 0, Buffer.alloc(8)),
    ],
    "§4.1: an unknown frame within a header block": [
      ErrorCode.protocolError,
      headers(1, Buffer.alloc(0), 0),
      frame(0x50, 0, 1),
    ],
  };
  for (const [name, [code, ...frames]] of Object.entries(cases)) {
    it(name, async () => {
      const { client, port, watched } = await connected();
      client.send(...frames);
      await client.until(() => client.isClosed);
      expect(client.goaway?.code).toBe(code);
      await until(() => port.listener.connectionCount === 0);
      for (const { events, context } of watched) {
        expect(events).toContain("closed");
        expect(context.signal.reason).toBe(errors.canceled);
      }
      expect(port.logger.lines.filter(({ level }) => level === "error")).toEqual([]);
    });
  }

  it("§5.1: HEADERS on a stream that has ended", async () => {
    const { client } = await connected();
    client.send(call(1));
    await answer(client, 1);
    client.send(call(1));
    await client.until(() => client.isClosed);
    expect(client.goaway).toMatchObject({ code: ErrorCode.streamClosed, lastStreamId: 1 });
  });

  it("§3.4: another first frame than SETTINGS", async () => {
    const { port } = await open();
    const first: readonly Buffer[] = [call(1), settingsAck, frame(FrameType.ping, 0, 0, Buffer.alloc(8))];
    for (const frames of first) {
      const client = raw(port);
      client.send(PREFACE, frames);
      await client.until(() => client.isClosed);
      expect(client.goaway?.code).toBe(ErrorCode.protocolError);
    }
  });
});

describe("what ends a stream, and that alone", () => {
  const withFields = (...fields: readonly (readonly [string, string])[]): Buffer => headers(1, block(fields));
  const base = [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", KVRange.path],
    ["content-type", "application/grpc"],
  ] as const;
  const cases: Readonly<Record<string, readonly [code: number, ...frames: readonly Buffer[]]>> = {
    "§5.1: DATA behind END_STREAM": [
      ErrorCode.streamClosed,
      watch(1),
      data(1, Buffer.alloc(0), Flag.endStream),
      data(1, Buffer.alloc(9)),
    ],
    "§5.1: HEADERS behind END_STREAM": [
      ErrorCode.streamClosed,
      watch(1),
      data(1, Buffer.alloc(0), Flag.endStream),
      headers(1, block([["a", "b"]]), END),
    ],
    "§6.9: WINDOW_UPDATE by 0": [ErrorCode.protocolError, watch(1), frame(FrameType.windowUpdate, 0, 1, uint32(0))],
    "§6.9.1: a window above 2^31-1": [
      ErrorCode.flowControlError,
      watch(1),
      frame(FrameType.windowUpdate, 0, 1, uint32(2 ** 31 - 1)),
    ],
    "§6.3: PRIORITY of a wrong length": [
      ErrorCode.frameSizeError,
      watch(1),
      frame(FrameType.priority, 0, 1, Buffer.alloc(4)),
    ],
    "§8.1: trailers without END_STREAM": [ErrorCode.protocolError, watch(1), headers(1, block([["a", "b"]]))],
    "§8.1: a pseudo-header in trailers": [ErrorCode.protocolError, watch(1), headers(1, block([[":path", "/"]]), END)],
    "§8.1.1: less body than content-length says": [
      ErrorCode.protocolError,
      withFields(...base, ["content-length", "12"]),
      data(1, range("k"), Flag.endStream),
    ],
    "§8.1.1: more body than content-length says": [
      ErrorCode.protocolError,
      withFields(
        [":method", "POST"],
        [":scheme", "http"],
        [":path", WatchWatch.path],
        ["content-type", "application/grpc"],
        ["content-length", "3"],
      ),
      data(1, Buffer.alloc(4)),
    ],
    "§8.1.1: content-length that is no number": [
      ErrorCode.protocolError,
      withFields(...base, ["content-length", "-1"]),
    ],
    "§8.2.1: upper case in a name": [ErrorCode.protocolError, withFields(...base, ["Token", "x"])],
    "§8.2.1: an empty name": [ErrorCode.protocolError, withFields(...base, ["", "x"])],
    "§8.2.1: a line break in a value": [ErrorCode.protocolError, withFields(...base, ["token", "a\nb"])],
    "§8.2.1: white space around a value": [ErrorCode.protocolError, withFields(...base, ["token", " a"])],
    "§8.2.2: connection": [ErrorCode.protocolError, withFields(...base, ["connection", "close"])],
    "§8.2.2: te other than trailers": [ErrorCode.protocolError, withFields(...base, ["te", "gzip"])],
    "§8.3: an unknown pseudo-header": [ErrorCode.protocolError, withFields(...base.slice(0, 3), [":protocol", "x"])],
    "§8.3: a response's pseudo-header": [ErrorCode.protocolError, withFields(...base.slice(0, 3), [":status", "200"])],
    "§8.3: a pseudo-header behind a field": [ErrorCode.protocolError, withFields(["a", "b"], ...base)],
    "§8.3.1: a pseudo-header twice": [ErrorCode.protocolError, withFields([":path", "/"], ...base)],
    "§8.3.1: no :path": [ErrorCode.protocolError, withFields([":method", "POST"], [":scheme", "http"])],
    "§8.3.1: no :scheme": [ErrorCode.protocolError, withFields([":method", "POST"], [":path", "/"])],
    "§8.3.1: no :method": [ErrorCode.protocolError, withFields([":scheme", "http"], [":path", "/"])],
    "§8.3.1: an empty :path": [
      ErrorCode.protocolError,
      withFields([":method", "POST"], [":scheme", "http"], [":path", ""]),
    ],
    "§8.5: CONNECT": [ErrorCode.protocolError, withFields([":method", "CONNECT"], [":authority", "here:1"])],
  };
  for (const [name, [code, ...frames]] of Object.entries(cases)) {
    it(name, async () => {
      const { client, watched } = await connected();
      client.send(...frames);
      await client.until(() => client.resetOf(1) !== undefined);
      expect(client.resetOf(1)).toBe(code);
      await until(() => watched.every(({ events }) => events.includes("closed")));
      client.send(call(101, "after"));
      expect(await answer(client, 101)).toEqual({ status: "0", count: 5 });
      expect(client.goaway).toBeUndefined();
    });
  }

  it("DATA on a stream that has ended long ago", async () => {
    const { client } = await connected();
    client.send(call(1));
    await answer(client, 1);
    client.send(data(1, Buffer.alloc(3)));
    await client.until(() => client.resetOf(1) !== undefined);
    expect(client.resetOf(1)).toBe(ErrorCode.streamClosed);
  });

  it("RST_STREAM of the client ends its call, and nothing more is sent on it", async () => {
    const { client, watched } = await connected();
    client.send(watch(1));
    await until(() => watched.length === 1);
    client.send(frame(FrameType.rstStream, 0, 1, uint32(ErrorCode.cancel)));
    await until(() => watched[0]?.events.includes("closed") === true);
    expect(watched[0]?.context.signal.reason).toBe(errors.canceled);
    watched[0]?.responses.send(WatchResponse.create({}));
    client.send(call(3));
    expect(await answer(client, 3)).toMatchObject({ status: "0" });
    expect(client.of(FrameType.data, 1)).toEqual([]);
    expect(client.of(FrameType.rstStream)).toEqual([]);
  });
});
