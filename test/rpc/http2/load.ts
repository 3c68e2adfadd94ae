/**
 * What a request costs the two RPC transports: CPU microseconds of a process that echoes 256 bytes.
 * usage: node --import tsx test/rpc/http2/load.ts [SECONDS [ROUNDS]]
 * The client is a few bytes that it repeats, so that the server is what is measured. Use the ratios: machines differ.
 */
import { fork } from "node:child_process";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { encode } from "../../../proto/codec.ts";
import { PutRequest } from "../../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../../proto/generated/services.ts";
import { Flag, FrameType, PREFACE, Setting } from "../../../src/rpc/http2/protocol.ts";
import type { Transport } from "../harness.ts";
import { data, frame, headers, message, settings, settingsAck, uint32 } from "./frame-client.ts";

const SECONDS = Number(process.argv[2] ?? 3);
const ROUNDS = Number(process.argv[3] ?? 3);
const SHAPES = [
  { connections: 1, streams: 1 },
  { connections: 10, streams: 10 },
  { connections: 50, streams: 20 },
] as const;

const body = message(encode(PutRequest, PutRequest.create({ key: "k", value: Buffer.alloc(256, "v") })));
const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
/** Indexed at the first request, and referred to ever after. */
const firstBlock = Buffer.concat([
  Buffer.from([0x83, 0x86]),
  Buffer.from([0x44]),
  text(rpcs.KVPut.path),
  Buffer.from([0x41]),
  text("localhost:2379"),
  Buffer.from([0x5f]),
  text("application/grpc"),
  Buffer.from([0x40]),
  text("te"),
  text("trailers"),
]);
const nextBlock = Buffer.from([0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe]);

/** Keeps so many calls open on one connection; counts those that ended. */
function openConnection(port: number, streams: number, count: () => void): () => void {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  let nextId = 1;
  const call = (): Buffer => {
    const id = nextId;
    nextId += 2;
    return Buffer.concat([headers(id, id === 1 ? firstBlock : nextBlock), data(id, body, Flag.endStream)]);
  };
  socket.write(
    Buffer.concat([
      PREFACE,
      settings([Setting.initialWindowSize, 2 ** 31 - 1]),
      frame(FrameType.windowUpdate, 0, 0, uint32(2 ** 31 - 1 - 65_535)),
      settingsAck,
      ...Array.from({ length: streams }, call),
    ]),
  );
  let rest: Buffer = Buffer.alloc(0);
  let isOver = false;
  socket.on("close", () => {
    if (!isOver) throw new Error("the server closed a connection");
  });
  socket.on("data", (chunk: Buffer) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const out: Buffer[] = [];
    let at = 0;
    while (bytes.length - at >= 9) {
      const end = at + 9 + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      const type = bytes[at + 3];
      if (type === FrameType.goaway || type === FrameType.rstStream) throw new Error(`frame ${type} from the server`);
      if (type === FrameType.headers && ((bytes[at + 4] ?? 0) & Flag.endStream) !== 0) {
        count();
        out.push(call());
      }
      at = end;
    }
    rest = bytes.subarray(at);
    if (out.length > 0) socket.write(Buffer.concat(out));
  });
  return () => {
    isOver = true;
    socket.destroy();
  };
}

interface Served {
  readonly port: number;
  cpuUs(): Promise<number>;
  close(): void;
}

async function serve(transport: Transport): Promise<Served> {
  const child = fork(fileURLToPath(new URL("./load-server.ts", import.meta.url)), [transport], {
    execArgv: ["--import", "tsx"],
  });
  const answer = (): Promise<number> =>
    new Promise((resolve) => child.once("message", (value) => resolve(Number(value))));
  const port = await answer();
  return {
    port,
    cpuUs() {
      const told = answer();
      child.send("cpu");
      return told;
    },
    close: () => child.disconnect(),
  };
}

async function measure(
  { port, cpuUs }: Served,
  shape: (typeof SHAPES)[number],
): Promise<{ us: number; perSecond: number }> {
  let calls = 0;
  const closers = Array.from({ length: shape.connections }, () =>
    openConnection(port, shape.streams, () => {
      calls++;
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const callsBefore = calls;
  const cpuBefore = await cpuUs();
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1_000));
  const done = calls - callsBefore;
  const us = ((await cpuUs()) - cpuBefore) / done;
  for (const close of closers) close();
  return { us, perSecond: done / SECONDS };
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

const transports: readonly Transport[] = ["http2", "grpc-js"];
for (const shape of SHAPES) {
  const found = new Map(transports.map((transport) => [transport, { us: [] as number[], perSecond: [] as number[] }]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const transport of transports) {
      const served = await serve(transport);
      const { us, perSecond } = await measure(served, shape);
      found.get(transport)?.us.push(us);
      found.get(transport)?.perSecond.push(perSecond);
      served.close();
    }
  }
  for (const [transport, { us, perSecond }] of found) {
    const streams = shape.connections * shape.streams;
    console.log(
      `${transport.padEnd(8)} ${String(streams).padStart(5)} streams on ${String(shape.connections).padStart(2)} connections: ` +
        `${median(us).toFixed(1)} us CPU a request, ${Math.round(median(perSecond))} requests/s`,
    );
  }
}
process.exit(0);
