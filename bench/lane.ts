import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { Connection, OK, type Receiver } from "./connection.ts";
import { nowUs } from "./meter.ts";

/** A connection as far as calls with one request and one answer need it. */
export interface Lane {
  /** The receiver hears of the message before the end. The request may be overwritten afterwards. */
  unary(path: string, message: Buffer, receiver: Receiver): void;
  /** Why there can be no more calls. */
  readonly failure: string | undefined;
  close(): void;
}

export type ClientKind = "raw" | "grpc-js";

/** `endpoint`: host:port. */
export async function openLane(client: ClientKind, endpoint: string): Promise<Lane> {
  return client === "raw" ? openRaw(endpoint) : openGrpcJs(endpoint);
}

export function openRaw(endpoint: string): Promise<Connection> {
  const at = endpoint.lastIndexOf(":");
  return Connection.open(endpoint.slice(0, at).replace(/^\[(.*)\]$/, "$1"), Number(endpoint.slice(at + 1)));
}

const CONNECT_TIMEOUT_MS = 10_000;

async function openGrpcJs(endpoint: string): Promise<Lane> {
  const client = new Client(endpoint, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.max_receive_message_length": -1,
  });
  await new Promise<void>((resolve, reject) => {
    client.waitForReady(Date.now() + CONNECT_TIMEOUT_MS, (error) => (error === undefined ? resolve() : reject(error)));
  });
  const metadata = new Metadata();
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    failure: undefined,
    unary(path, message, receiver) {
      // It reads the message later.
      client.makeUnaryRequest(path, same, same, Buffer.from(message), metadata, {}, (error, body) => {
        const atUs = nowUs();
        if (body !== undefined) receiver.message(body, 0, body.length, atUs);
        receiver.ended(error === null ? OK : String(error.code), error?.details ?? "", atUs);
      });
    },
    close: () => client.close(),
  };
}
