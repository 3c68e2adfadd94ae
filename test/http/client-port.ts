import { afterEach, expect } from "vitest";
import { RangeRequest, RangeResponse } from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { unary } from "../../src/rpc/rpc.ts";
import { call, openPort, type Port, RawClient } from "../rpc/harness.ts";

const { KVRange } = rpcs;

/** Answers with the length of the key. */
export const echo = unary(KVRange, async (request) => RangeResponse.create({ count: request.key.length }));

/** Of a port that has `echo`. */
export async function stillServes(port: Port): Promise<void> {
  expect((await call(port.client, KVRange, RangeRequest.create({ key: "alive" }))).count).toBe(5);
}

/** Ports and raw connections of one file of tests; each test's end closes what it opened. */
export function clientPorts(): {
  open(...args: Parameters<typeof openPort>): Promise<Port>;
  raw(port: Port): RawClient;
} {
  const ports: Port[] = [];
  const raws: RawClient[] = [];
  afterEach(async () => {
    for (const client of raws.splice(0)) client.socket.destroy();
    for (const port of ports.splice(0)) await port.close();
  });
  return {
    async open(...args) {
      const port = await openPort(...args);
      ports.push(port);
      return port;
    },
    raw(port) {
      const client = new RawClient(port.port);
      raws.push(client);
      return client;
    },
  };
}
