import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encode } from "../../../proto/codec.ts";
import { RangeRequest, RangeResponse, WatchResponse } from "../../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../../proto/generated/services.ts";
import { ApiError, Code } from "../../../src/api/errors.ts";
import { type HeaderList, HpackDecoder } from "../../../src/rpc/http2/hpack-decoder.ts";
import { ConnectionError, Flag, FrameType, PREFACE, Setting } from "../../../src/rpc/http2/protocol.ts";
import { type AnyHandler, stream, unary } from "../../../src/rpc/rpc.ts";
import { openPort, type Port, sleep, type Transport, until } from "../harness.ts";
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
import { createRandom } from "./random.ts";

/** Other seeds: FUZZ_SEED=n, more of them: FUZZ_ROUNDS=n. */
const SEED = Number(process.env["FUZZ_SEED"] ?? 1);
const ROUNDS = Number(process.env["FUZZ_ROUNDS"] ?? 150);
const { KVRange, WatchWatch } = rpcs;

type Random = ReturnType<typeof createRandom>;

/** Range: so many KiB as its limit says, an error for some keys, later for others. Watch: echoes. */
const handlers = (): readonly AnyHandler[] => [
  unary(KVRange, async ({ key, limit }, context) => {
    if (key.startsWith("later")) await sleep(1);
    if (key.startsWith("error")) throw new ApiError(Code.NotFound, `no such key: 100% "${key}"`);
    return RangeResponse.create({
      count: key.length,
      kvs: [Buffer.alloc(Math.min(limit, 300) << 10, "v"), Buffer.from(context.metadata("token") ?? "none", "latin1")],
    });
  }),
  stream(WatchWatch, (responses) => ({
    request: () => responses.send(WatchResponse.create({ events: [Buffer.alloc(100)] })),
    halfClosed: () => responses.end(),
    drained: () => undefined,
    closed: () => undefined,
  })),
];

const pick = <T>(random: Random, list: readonly T[]): T => list[random(list.length)] as T;
const bytesOf = (random: Random, length: number): Buffer => Buffer.from(Array.from({ length }, () => random(256)));

describe("frames that nobody would send", () => {
  let port: Port;
  beforeAll(async () => {
    port = await openPort(handlers(), {
      transport: "http2",
      limits: { handshakeMs: 1_000, lingerMs: 1_000, headerListBytes: 2_000 },
    });
  });
  afterAll(async () => {
    await port.close();
  });

  const requestBody = (random: Random): Buffer => {
    const key = pick(random, ["k", "later", "error", "k".repeat(3_000)]);
    return message(encode(RangeRequest, RangeRequest.create({ key, limit: random(3) === 0 ? random(300) : 0 })));
  };

  /** A frame that may be in place, or not. */
  const anyFrame = (random: Random, streams: { next: number }, isTame: boolean): Buffer[] => {
    const known = 1 + 2 * random(Math.max(1, (streams.next + 1) >> 1));
    switch (isTame ? pick(random, [0, 1, 2, 2, 5, 9]) : random(14)) {
      case 0:
      case 1:
      case 2: {
        const id = streams.next;
        streams.next += 2;
        const path = pick(random, [KVRange.path, KVRange.path, WatchWatch.path, "/a/b", "x", ""]);
        const extra = pick<readonly (readonly [string, string])[]>(random, [
          [],
          [["grpc-timeout", pick(random, ["1m", "1S", "0n", "zzz"])]],
          [["grpc-encoding", pick(random, ["gzip", "deflate", "nonsense"])]],
          [["content-length", String(random(50))]],
          [["token", "t".repeat(random(3_000))]],
        ]);
        const fields = requestBlock(path, extra);
        const end = random(3) === 0 ? Flag.endStream : 0;
        const body = requestBody(random);
        const cut = random(body.length);
        return pick(random, [
          [headers(id, fields), data(id, body, Flag.endStream)],
          [headers(id, fields, Flag.endHeaders | end)],
          [headers(id, fields), data(id, body.subarray(0, cut)), data(id, body.subarray(cut), Flag.endStream)],
          [
            headers(id, fields.subarray(0, cut), end),
            frame(FrameType.continuation, Flag.endHeaders, id, fields.subarray(cut)),
          ],
          [headers(id, fields), data(id, message(gzipSync(body.subarray(5)), 1), Flag.endStream)],
        ]);
      }
      case 3:
        return [data(known, requestBody(random), random(2))];
      case 4:
        return [data(known, bytesOf(random, random(40)), pick(random, [0, 1, 8, 9]))];
      case 5:
        return [frame(FrameType.rstStream, 0, known, uint32(random(16)))];
      case 6:
        return [frame(FrameType.windowUpdate, 0, random(2) * known, uint32(pick(random, [0, 1, 1_000, 2 ** 31 - 1])))];
      case 7:
        return [settings([pick(random, Object.values(Setting)), pick(random, [0, 1, 100, 16_384, 65_535, 2 ** 31])])];
      case 8:
        return [frame(FrameType.ping, random(2), 0, bytesOf(random, 8))];
      case 9:
        return [frame(FrameType.priority, 0, known, bytesOf(random, 5))];
      case 10:
        return [headers(known, block([["trailer", "x"]]), pick(random, [4, 5]))];
      case 11:
        return [frame(random(256), random(256), random(8), bytesOf(random, random(30)))];
      case 12:
        return [headers(known, bytesOf(random, random(30)), pick(random, [4, 5, 0, 0x2d]))];
      default:
        return [frame(FrameType.goaway, 0, 0, bytesOf(random, 8 + random(5)))];
    }
  };

  /** The same bytes with a few of them changed, taken out or put in. */
  const mutate = (random: Random, bytes: Buffer): Buffer => {
    const changed = Buffer.from(bytes);
    const at = random(Math.max(1, changed.length));
    switch (random(4)) {
      case 0:
        changed[at] = random(256);
        return changed;
      case 1:
        return Buffer.concat([changed.subarray(0, at), changed.subarray(at + 1 + random(4))]);
      case 2:
        return Buffer.concat([changed.subarray(0, at), bytesOf(random, 1 + random(9)), changed.subarray(at)]);
      default:
        return changed;
    }
  };

  it("every connection ends or goes on; nothing breaks, hangs or is left over", async () => {
    const ends = { closed: 0, answered: 0, waiting: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      const name = `FUZZ_SEED=${SEED}, round ${round}`;
      const random = createRandom(SEED * 1_000_003 + round);
      const streams = { next: 1 };
      const isTame = random(2) === 0;
      const isMutated = !isTame && random(2) === 0;
      const frames = Array.from({ length: 1 + random(25) }, () => anyFrame(random, streams, isTame)).flat();
      const all = Buffer.concat(
        isMutated ? frames.map((one) => (random(8) === 0 ? mutate(random, one) : one)) : frames,
      );
      const client = new FrameClient(port.port);
      client.send(PREFACE, settings(), settingsAck);
      for (let at = 0; at < all.length; ) {
        const bytes = random(4) === 0 ? 1 + random(12) : all.length;
        client.send(all.subarray(at, at + bytes));
        at += bytes;
        if (random(3) === 0) await sleep(0);
      }
      // It is alive if it answers one more call.
      const last = streams.next + 1_000;
      client.send(headers(last, requestBlock(KVRange.path)), data(last, message(Buffer.alloc(0)), Flag.endStream));
      const isAnswered = (): boolean =>
        client.of(FrameType.headers, last).length > 0 || client.resetOf(last) !== undefined;
      try {
        await client.until(() => client.isClosed || isAnswered(), 1_000);
      } catch {
        // A frame or header block that was cut off waits for its rest: then the connection is open, and that is right.
        expect(client.goaway, name).toBeUndefined();
      }
      if (client.isClosed) {
        expect(client.goaway, name).toBeDefined();
        ends.closed++;
      } else if (isAnswered()) ends.answered++;
      else ends.waiting++;
      client.close();
      expect(
        port.logger.lines.filter(({ level }) => level === "error"),
        name,
      ).toEqual([]);
    }
    for (const count of [ends.closed, ends.answered]) expect(count, JSON.stringify(ends)).toBeGreaterThan(ROUNDS / 10);
    expect(ends.waiting, JSON.stringify(ends)).toBeLessThan(ROUNDS / 5);
    await until(() => port.listener.connectionCount === 0);
    // And it serves others as ever.
    const client = new FrameClient(port.port);
    await client.shakeHands();
    client.send(headers(1, requestBlock(KVRange.path)), data(1, message(Buffer.alloc(0)), Flag.endStream));
    await client.until(() => client.isEnded(1));
    expect(client.fieldsOf(1)["grpc-status"]).toBe("0");
    client.close();
  });

  it("header blocks of any bytes are decoded or refused, and never read beyond their end", () => {
    const random = createRandom(SEED);
    let decoded = 0;
    for (let round = 0; round < ROUNDS * 20; round++) {
      const tableBytes = pick(random, [0, 64, 4_096]);
      const decoder = new HpackDecoder(tableBytes);
      // The same blocks, with nothing before or behind them.
      const exact = new HpackDecoder(tableBytes);
      for (let blocks = 0; blocks < 3; blocks++) {
        const bytes = random(2) === 0 ? bytesOf(random, random(60)) : mutate(random, requestBlock(KVRange.path));
        const padded = Buffer.concat([bytesOf(random, 5), bytes, bytesOf(random, 50)]);
        const alone = Uint8Array.from(bytes);
        const got = outcomeOf(() => decoder.decode(padded, 5, 5 + bytes.length, 4_096));
        const expected = outcomeOf(() => exact.decode(Buffer.from(alone.buffer), 0, bytes.length, 4_096));
        expect(got, `FUZZ_SEED=${SEED}, ${bytes.toString("hex")}`).toEqual(expected);
        if (got.fault !== undefined) break;
        expect((got.fields ?? []).length % 2).toBe(0);
        decoded++;
      }
    }
    expect(decoded).toBeGreaterThan(ROUNDS);
  });
});

function outcomeOf(act: () => HeaderList | undefined): {
  readonly fields?: HeaderList | undefined;
  readonly fault?: string;
} {
  try {
    return { fields: act() };
  } catch (thrown) {
    if (!(thrown instanceof ConnectionError)) throw thrown;
    return { fault: thrown.message };
  }
}

describe("the same calls on both transports", () => {
  interface Outcome {
    readonly status: string;
    readonly message: string;
    readonly httpStatus: string;
    readonly body: string;
  }

  const ask = (session: ClientHttp2Session, sent: IncomingHttpHeaders, pieces: readonly Buffer[], ends: boolean) =>
    new Promise<Outcome>((resolve, reject) => {
      const request = session.request({
        ":method": "POST",
        "content-type": "application/grpc",
        te: "trailers",
        ...sent,
      });
      const chunks: Buffer[] = [];
      let head: IncomingHttpHeaders = {};
      let tail: IncomingHttpHeaders = {};
      request.on("response", (received) => {
        head = received;
      });
      request.on("trailers", (received) => {
        tail = received;
      });
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("error", reject);
      request.on("close", () => {
        const all = { ...head, ...tail };
        resolve({
          httpStatus: String(all[":status"]),
          status: String(all["grpc-status"]),
          message: decodeURIComponent(String(all["grpc-message"] ?? "")),
          body: Buffer.concat(chunks).toString("base64"),
        });
      });
      for (const piece of pieces) request.write(piece);
      if (ends) request.end();
    });

  it("have the same outcome", async () => {
    const transports: readonly Transport[] = ["grpc-js", "http2"];
    const ports = await Promise.all(transports.map((transport) => openPort(handlers(), { transport })));
    const sessions = ports.map(({ port }) => connect(`http://127.0.0.1:${port}`));
    const random = createRandom(SEED);
    for (let round = 0; round < ROUNDS * 2; round++) {
      const key = pick(random, ["k", "later", "error ä", "error later", "k".repeat(random(5_000)), "x".repeat(60_000)]);
      const limit = pick(random, [0, 0, 1, 20, 300]);
      const one = encode(RangeRequest, RangeRequest.create({ key, limit }));
      const isGzip = random(4) === 0;
      const body = pick(random, [
        isGzip ? message(gzipSync(one), 1) : message(one),
        isGzip ? message(gzipSync(one), 1) : message(one),
        Buffer.alloc(0),
        message(bytesOf(random, 20)),
        Buffer.concat([Buffer.from([0]), uint32(2_097_153), Buffer.alloc(10)]),
      ]);
      const path = pick(random, [
        KVRange.path,
        KVRange.path,
        WatchWatch.path,
        rpcs.KVPut.path,
        "/a.b.C/D",
        "/nonsense",
      ]);
      const sent: IncomingHttpHeaders = { ":path": path };
      if (isGzip) sent["grpc-encoding"] = "gzip";
      if (random(3) === 0) sent["token"] = "t".repeat(random(2_000));
      if (random(10) === 0) sent["grpc-timeout"] = pick(random, ["10S", "0m", "bad"]);
      if (random(20) === 0)
        sent["content-type"] = pick(random, ["application/grpc+proto", "text/plain", "application/json"]);
      const cuts = Array.from({ length: random(4) }, () => random(body.length + 1)).sort((a, b) => a - b);
      const pieces = [0, ...cuts].map((from, i) => body.subarray(from, cuts[i] ?? body.length));
      const outcomes = await Promise.all(sessions.map((session) => ask(session, sent, pieces, true)));
      const [expected, got] = outcomes.map((outcome) => (isGzip ? { ...outcome, body: "" } : outcome));
      expect(got, `FUZZ_SEED=${SEED}, round ${round}: ${JSON.stringify({ ...sent, key, bytes: body.length })}`).toEqual(
        expected,
      );
    }
    for (const session of sessions) session.destroy();
    for (const port of ports) await port.close();
  });
});
