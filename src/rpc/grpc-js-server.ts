import { constants, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { Server, ServerCredentials, ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";
import { type ApiError, errors } from "../api/errors.ts";
import { FAREWELL_MS, type KeepaliveOptions, rpcDefaults } from "./call-rules.ts";
import { type CallOptions, GrpcJsCall } from "./grpc-js-call.ts";
import { type Connection, DeadConnectionSweep, enforcePingPolicy } from "./grpc-js-connection.ts";
import { INTERNAL_ERROR, type PlainAnswer, type PlainHandler, STOPPED } from "./plain-http.ts";
import { isGrpc, tableOf, unserved } from "./routes.ts";
import type { AnyHandler, RpcServer } from "./rpc.ts";

export interface GrpcJsOptions extends CallOptions, KeepaliveOptions {
  readonly maxConcurrentStreams: number;
  /** Serves what is not gRPC on encrypted connections, as etcd does; on others it is answered with 415. */
  readonly plain?: PlainHandler;
  /** How often connections are looked at that say nothing. */
  readonly deadSweepMs: number;
}

export const grpcJsDefaults = { ...rpcDefaults, deadSweepMs: 5_000 } as const;

/**
 * gRPC over grpc-js, behind RpcServer.
 *
 * grpc-js gives framing, flow control and HTTP/2; routing, texts, deadlines and queues are ours (GrpcJsCall). That
 * takes two things that grpc-js does not offer: its sessions, and its streams with their raw headers before it looks
 * for a handler. Its inner methods for both are wrapped; a release without them is an error at start, not later.
 */
export function createGrpcJsServer(handlers: readonly AnyHandler[], options: GrpcJsOptions): RpcServer {
  const { env, logger } = options;
  const table = tableOf(handlers);
  const sockets = new Set<Socket>();
  const connections = new WeakMap<ServerHttp2Session, Connection>();
  const everywhere = { unsentBytes: 0 };
  const sweep = new DeadConnectionSweep(env, options.deadSweepMs);
  const calls = new Set<GrpcJsCall>();
  let unaryCalls = 0;
  let onUnaryDone: (() => void) | undefined;
  let closing = false;

  /** Set while grpc-js makes its session for a socket, which it does before `injectConnection` returns. */
  let accepting: Socket | undefined;
  const onSession = (session: ServerHttp2Session): void => {
    const connection = { unsentBytes: 0, everywhere, openCalls: 0, sentSincePing: false };
    connections.set(session, connection);
    if (accepting === undefined) throw new Error("grpc-js opened a session outside of injectConnection");
    const peer = peerOf(accepting);
    enforcePingPolicy(session, connection, options.keepaliveMinTimeMs, env, () => {
      logger.warn({ peer }, "closed a client connection: too many pings");
    });
    sweep.watch(accepting, session);
  };

  /** Set while grpc-js makes its call object for a stream, which it does before `_streamHandler` returns. */
  let opening: { handler: AnyHandler; headers: IncomingHttpHeaders; connection: Connection } | undefined;
  const interceptor: ServerInterceptor = (_method, call) => {
    if (opening === undefined) throw new Error("grpc-js opened a call outside of _streamHandler");
    const { handler, headers, connection } = opening;
    const served = new GrpcJsCall(call, handler, headers, connection, options, () => {
      calls.delete(served);
      connection.openCalls--;
      if (served.unary && --unaryCalls === 0) onUnaryDone?.();
    });
    calls.add(served);
    connection.openCalls++;
    if (served.unary) unaryCalls++;
    // `next` is not called: grpc-js's own handler code starts the call and then has no part in it.
    return new ServerInterceptingCall(call, { start: () => served.start() });
  };

  const server = new Server({
    "grpc.max_receive_message_length": options.maxReceiveBytes,
    "grpc.max_concurrent_streams": options.maxConcurrentStreams,
    "grpc.keepalive_time_ms": options.keepaliveIntervalMs,
    "grpc.keepalive_timeout_ms": options.keepaliveTimeoutMs,
    "grpc.enable_channelz": 0,
    interceptors: [interceptor],
  });
  for (const path of table.keys()) server.register(path, neverCalled, asIs, asIs, "bidi");

  const handleStream = innerMethod(server, "_streamHandler");
  const handleSession = innerMethod(server, "_sessionHandler");
  const onStream = (extra: unknown, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
    stream.on("error", (error) => {
      // The "close" that follows is what ends the call.
      logger.debug({ path: headers[":path"], error: String(error) }, "client stream failed");
    });
    const connection = connections.get(stream.session as ServerHttp2Session);
    if (stream.destroyed || connection === undefined) return;
    const path = headers[":path"] ?? "";
    const handler = table.get(path);
    if (!isGrpc(headers["content-type"])) {
      if (options.plain === undefined || stream.session?.encrypted !== true) {
        stream.respond({ ":status": 415 }, { endStream: true });
      } else if (closing) sendPlain(stream, STOPPED, headers[":method"]);
      else void servePlain(stream, headers, options.plain);
    } else if (closing) refuse(stream, errors.stopped);
    else if (handler === undefined) refuse(stream, unserved(path));
    else {
      opening = { handler, headers, connection };
      try {
        handleStream(extra, stream, headersForGrpcJs(headers));
      } finally {
        opening = undefined;
      }
    }
  };
  Reflect.set(server, "_streamHandler", (extra: unknown, stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    try {
      onStream(extra, stream, headers);
    } catch (thrown) {
      const stacktrace = thrown instanceof Error ? thrown.stack : undefined;
      logger.error({ path: headers[":path"], error: String(thrown), stacktrace }, "failed to open a call");
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  });
  Reflect.set(server, "_sessionHandler", (http2Server: unknown) => {
    const inner = handleSession(http2Server);
    if (typeof inner !== "function") throw new Error("this release of @grpc/grpc-js handles sessions in another way");
    return (session: ServerHttp2Session) => {
      inner(session);
      onSession(session);
    };
  });
  const servePlain = async (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, handle: PlainHandler) => {
    const gone = new AbortController();
    stream.once("close", () => gone.abort());
    const target = headers[":path"] ?? "/";
    const request = {
      method: headers[":method"] ?? "GET",
      target,
      origin: headers.origin,
    };
    let answer: PlainAnswer;
    try {
      answer = await handle(request, gone.signal);
    } catch (thrown) {
      const stacktrace = thrown instanceof Error ? thrown.stack : undefined;
      logger.error({ url: target, error: String(thrown), stacktrace }, "failed to serve an HTTP request");
      answer = INTERNAL_ERROR;
    }
    try {
      sendPlain(stream, answer, request.method);
    } catch (thrown) {
      // Nobody else would catch it.
      const stacktrace = thrown instanceof Error ? thrown.stack : undefined;
      logger.error({ url: target, error: String(thrown), stacktrace }, "failed to answer an HTTP request");
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  };
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());

  return {
    accept(connection) {
      if (closing || connection.destroyed) {
        connection.destroy();
        return;
      }
      sockets.add(connection);
      const peer = peerOf(connection);
      connection.on("error", (error) => logger.debug({ peer, error: String(error) }, "client connection failed"));
      connection.once("close", () => sockets.delete(connection));
      accepting = connection;
      try {
        injector.injectConnection(connection);
      } catch (thrown) {
        const stacktrace = thrown instanceof Error ? thrown.stack : undefined;
        logger.error({ peer, error: String(thrown), stacktrace }, "failed to open an HTTP/2 session");
        connection.destroy();
      } finally {
        accepting = undefined;
      }
    },

    async close(graceMs) {
      if (closing) return;
      closing = true;
      injector.drain(graceMs + 2 * FAREWELL_MS);
      if (unaryCalls > 0) {
        await new Promise<void>((resolve) => {
          const timer = env.setTimer(resolve, graceMs);
          onUnaryDone = () => {
            timer.cancel();
            resolve();
          };
        });
      }
      for (const call of [...calls]) call.fail(errors.stopped);
      await new Promise<void>((resolve) => {
        const timer = env.setTimer(resolve, Math.min(graceMs, FAREWELL_MS));
        const check = (): void => {
          if (sockets.size > 0) return;
          timer.cancel();
          resolve();
        };
        for (const socket of sockets) socket.once("close", check);
        check();
      });
      for (const socket of sockets) socket.destroy();
      sweep.close();
      server.forceShutdown();
    },
  };
}

function innerMethod(server: Server, name: string): (...args: unknown[]) => unknown {
  const method: unknown = Reflect.get(server, name);
  if (typeof method !== "function") throw new Error(`this release of @grpc/grpc-js has no ${name}`);
  return (...args) => Reflect.apply(method, server, args);
}

/** A call that ends before it began. */
function refuse(stream: ServerHttp2Stream, error: ApiError): void {
  stream.respond(
    {
      ":status": 200,
      "content-type": "application/grpc",
      "grpc-status": error.code,
      "grpc-message": encodeURI(error.message),
    },
    { endStream: true },
  );
}

function sendPlain(stream: ServerHttp2Stream, { status, headers, body }: PlainAnswer, method?: string): void {
  if (stream.destroyed || stream.closed) return;
  const endStream = method === "HEAD";
  stream.respond({ ":status": status, ...headers, "content-length": Buffer.byteLength(body) }, { endStream });
  if (!endStream) stream.end(body);
}

/** What grpc-js needs to know; the rest it would parse, copy and complain about for nothing. */
function headersForGrpcJs(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const encoding = headers["grpc-encoding"];
  return {
    ":path": headers[":path"],
    "content-type": headers["content-type"],
    ...(encoding !== undefined && { "grpc-encoding": encoding }),
  };
}

function neverCalled(): never {
  throw new Error("grpc-js took part in a call that is not its own");
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

function peerOf(socket: Pick<Socket, "remoteAddress" | "remotePort">): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}
