import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { type Channel, type ChannelCredentials, Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { type Codec, decode, encode } from "../../proto/codec.ts";
import { type ClientListener, listenClient } from "../../src/http/client-listener.ts";
import { createHttpServer, httpDefaults } from "../../src/http/http-server.ts";
import type { Logger } from "../../src/log.ts";
import { createNodeEnv } from "../../src/node-env.ts";
import { createGrpcJsServer, type GrpcJsOptions, grpcJsDefaults } from "../../src/rpc/grpc-js-server.ts";
import { createHttp2Server, type Http2Options, http2Defaults } from "../../src/rpc/http2/http2-server.ts";
import type { Http2Limits } from "../../src/rpc/http2/limits.ts";
import type { PlainHandler } from "../../src/rpc/plain-http.ts";
import type { AnyHandler, Rpc, RpcServer } from "../../src/rpc/rpc.ts";
import type { Secured } from "../tls/secured.ts";

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly fields: object;
  readonly msg: string;
}

export function recordingLogger(): Logger & { readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at =
    (level: LogLine["level"]) =>
    (fields: object, msg: string): void => {
      lines.push({ level, fields, msg });
    };
  return { lines, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

export const env = createNodeEnv();

export interface Port {
  readonly port: number;
  readonly listener: ClientListener;
  readonly logger: ReturnType<typeof recordingLogger>;
  readonly client: Client;
  channel(): Channel;
  /** A connection of Node's own HTTP/2 client. */
  connect(): ClientHttp2Session;
  close(): Promise<void>;
}

export type Transport = "grpc-js" | "http2";

export interface PortOptions {
  readonly transport?: Transport;
  /** Behind TLS, with clients that show a certificate. */
  readonly secured?: Secured | undefined;
  readonly grpc?: Partial<Omit<GrpcJsOptions & Http2Options, "limits">>;
  /** Of the transport http2. */
  readonly limits?: Partial<Http2Limits>;
  readonly http?: PlainHandler;
  readonly handshakeTimeoutMs?: number;
  readonly headTimeoutMs?: number;
  readonly maxConnections?: number;
}

/** A client port on a free TCP port, and a grpc-js client on it. */
export async function openPort(handlers: readonly AnyHandler[], options: PortOptions = {}): Promise<Port> {
  const logger = recordingLogger();
  const { secured } = options;
  const plain = options.http ?? (async () => ({ status: 200, headers: {}, body: "plain http\n" }));
  const rpc = createRpc(handlers, options, plain, logger);
  const http = createHttpServer(
    plain,
    { ...httpDefaults, headTimeoutMs: options.headTimeoutMs ?? 10_000, checkIntervalMs: 50 },
    logger,
  );
  const scheme = secured === undefined ? "http" : "https";
  const listener = await listenClient([`${scheme}://127.0.0.1:0`], rpc, http, {
    maxConnections: options.maxConnections ?? 1_000,
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? 10_000,
    ...(secured !== undefined && { tls: { files: secured.open(logger), clientCertRequired: true } }),
    env,
    logger,
  });
  const port = listener.addresses[0]?.port ?? 0;
  const shown = secured && { ca: secured.authority.cert, cert: secured.client.cert, key: secured.client.key };
  const client = new Client(`127.0.0.1:${port}`, credentialsOf(shown), {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    "grpc.use_local_subchannel_pool": 1,
  });
  return {
    port,
    listener,
    logger,
    client,
    channel: () => client.getChannel() as Channel,
    connect: () => {
      const session = connectHttp2(`${scheme}://127.0.0.1:${port}`, shown);
      // One that goes without reading what it was sent is told of a reset. What the server makes of it is the test.
      session.on("error", () => undefined);
      return session;
    },
    async close() {
      client.close();
      await listener.close(1_000);
    },
  };
}

function credentialsOf(shown: { ca: string; cert: string; key: string } | undefined): ChannelCredentials {
  if (shown === undefined) return credentials.createInsecure();
  return credentials.createSsl(Buffer.from(shown.ca), Buffer.from(shown.key), Buffer.from(shown.cert));
}

function createRpc(
  handlers: readonly AnyHandler[],
  options: PortOptions,
  plain: PlainHandler,
  logger: Logger,
): RpcServer {
  const shared = { maxReceiveBytes: 2_097_152, maxConcurrentStreams: 4_294_967_295, plain, env, logger };
  if (options.transport === "http2") {
    const limits = { ...http2Defaults.limits, ...options.limits };
    return createHttp2Server(handlers, { ...http2Defaults, ...shared, ...options.grpc, limits });
  }
  return createGrpcJsServer(handlers, { ...grpcJsDefaults, deadSweepMs: 50, ...shared, ...options.grpc });
}

type CallOptions = { readonly deadlineMs?: number; readonly metadata?: Readonly<Record<string, string>> };

export async function call<Request, Response>(
  client: Client,
  rpc: Rpc<Request, Response>,
  request: Request,
  options: CallOptions = {},
): Promise<Response> {
  return decode(rpc.response, await callRaw(client, rpc.path, encode(rpc.request, request), options));
}

export async function callRaw(client: Client, path: string, bytes: Buffer, options: CallOptions = {}): Promise<Buffer> {
  const { Metadata } = await import("@grpc/grpc-js");
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value);
  const deadline = options.deadlineMs === undefined ? {} : { deadline: Date.now() + options.deadlineMs };
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, asIs, asIs, bytes, metadata, deadline, (error, response) => {
      if (error !== null || response === undefined) reject(error);
      else resolve(response);
    });
  });
}

/** The error of a call that must fail. */
export async function failureOf(
  promise: Promise<unknown>,
): Promise<{ readonly code: number; readonly details: string }> {
  try {
    await promise;
  } catch (thrown) {
    const { code, details } = thrown as ServiceError;
    return { code, details };
  }
  throw new Error("the call succeeded");
}

export function openStream<Request, Response>(client: Client, rpc: Rpc<Request, Response>) {
  const bytes = (codec: Codec<Request>) => (message: Request) => encode(codec, message);
  const message = (codec: Codec<Response>) => (input: Buffer) => decode(codec, input);
  return client.makeBidiStreamRequest(rpc.path, bytes(rpc.request), message(rpc.response));
}

export function asIs(bytes: Buffer): Buffer {
  return bytes;
}

/** A raw connection that collects what comes. */
export class RawClient {
  readonly socket: Socket;
  received: Buffer = Buffer.alloc(0);
  readonly closed: Promise<void>;

  constructor(port: number) {
    this.socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    this.socket.on("data", (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
    });
    this.socket.on("error", () => this.socket.destroy());
    this.socket.on("end", () => this.socket.end());
    this.closed = new Promise((resolve) => this.socket.on("close", () => resolve()));
  }

  async until(found: (received: Buffer) => boolean, withinMs = 5_000): Promise<Buffer> {
    const endAt = Date.now() + withinMs;
    while (!found(this.received)) {
      if (Date.now() > endAt) throw new Error(`not received in time; have ${JSON.stringify(String(this.received))}`);
      await sleep(5);
    }
    return this.received;
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export async function until(condition: () => boolean, withinMs = 5_000): Promise<void> {
  const endAt = Date.now() + withinMs;
  while (!condition()) {
    if (Date.now() > endAt) throw new Error("the condition did not come true in time");
    await sleep(5);
  }
}
