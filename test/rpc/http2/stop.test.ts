import { afterEach, describe, expect, it } from "vitest";
import { RangeResponse } from "../../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../../proto/generated/services.ts";
import type { Timer } from "../../../src/env.ts";
import { ErrorCode, Flag, FrameType, Setting } from "../../../src/rpc/http2/protocol.ts";
import { unary } from "../../../src/rpc/rpc.ts";
import { env, openPort, type Port, sleep, until } from "../harness.ts";
import { data, FrameClient, frame, headers, message, requestBlock, uint32 } from "./frame-client.ts";

const { KVRange, KVPut } = rpcs;
const LINGER_MS = 333;
const ports: Port[] = [];
const clients: FrameClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const port of ports.splice(0)) await port.close();
});

/** Range answers with 32 MiB, Put never. */
async function connected() {
  const calls = { answered: 0, waiting: 0 };
  /** Of the lingering ends of connections. */
  const timers = { set: 0, cancelled: 0 };
  const setTimer = (callback: () => void, delayMs: number): Timer => {
    const timer = env.setTimer(callback, delayMs);
    if (delayMs !== LINGER_MS) return timer;
    timers.set++;
    return {
      cancel() {
        timers.cancelled++;
        timer.cancel();
      },
    };
  };
  const port = await openPort(
    [
      unary(KVRange, async () => {
        calls.answered++;
        return RangeResponse.create({ kvs: [Buffer.alloc(32 << 20)] });
      }),
      unary(KVPut, () => {
        calls.waiting++;
        return new Promise<never>(() => undefined);
      }),
    ],
    { transport: "http2", limits: { lingerMs: LINGER_MS }, grpc: { env: { ...env, setTimer } } },
  );
  ports.push(port);
  const client = new FrameClient(port.port);
  clients.push(client);
  await client.shakeHands([Setting.initialWindowSize, 2 ** 31 - 1]);
  client.send(frame(FrameType.windowUpdate, 0, 0, uint32(2 ** 31 - 1 - 65_535)));
  return { port, client, calls, timers };
}

describe("a stop", () => {
  it("lets answers leave that are computed, within its grace", async () => {
    const { port, client, calls } = await connected();
    client.socket.pause();
    client.send(headers(1, requestBlock(KVRange.path)), data(1, message(Buffer.alloc(0)), Flag.endStream));
    await until(() => calls.answered === 1);
    const startedAt = env.now();
    const closed = port.listener.close(20_000);
    await sleep(1_500);
    client.socket.resume();
    await client.until(() => client.isEnded(1), 15_000);
    expect(client.bodyOf(1).length).toBeGreaterThan(32 << 20);
    expect(client.fieldsOf(1)["grpc-status"]).toBe("0");
    await closed;
    // And no longer than it takes.
    expect(env.now() - startedAt).toBeLessThan(15_000);
  });

  it("does not wait beyond its grace", async () => {
    const { port, client, calls } = await connected();
    client.socket.pause();
    client.send(headers(1, requestBlock(KVRange.path)), data(1, message(Buffer.alloc(0)), Flag.endStream));
    await until(() => calls.answered === 1);
    const startedAt = env.now();
    await port.listener.close(1_000);
    expect(env.now() - startedAt).toBeGreaterThan(900);
    expect(env.now() - startedAt).toBeLessThan(3_000);
  });

  it("a connection that is broken while it drains ends once, with no timer left over", async () => {
    const { port, client, calls, timers } = await connected();
    client.send(headers(1, requestBlock(KVPut.path)));
    await sleep(50);
    const closed = port.listener.close(5_000);
    await client.until(() => client.goaway !== undefined);
    // The call is answered before its request has ended, and in the same turn the connection fails.
    const tooLarge = Buffer.concat([Buffer.from([0]), uint32(2 ** 31), Buffer.alloc(10)]);
    client.send(data(1, tooLarge), frame(FrameType.ping, 0, 1, Buffer.alloc(8)));
    await client.until(() => client.isClosed);
    await closed;
    expect(calls.waiting).toBe(0);
    expect(client.goaway?.code).toBe(ErrorCode.protocolError);
    expect(client.of(FrameType.goaway).length).toBe(2);
    expect(timers).toEqual({ set: 1, cancelled: 1 });
  });
});
