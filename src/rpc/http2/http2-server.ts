import { unreachable } from "../../../raft/assert.ts";
import { type ApiError, errors } from "../../api/errors.ts";
import type { Env } from "../../env.ts";
import type { Logger } from "../../log.ts";
import { type CallLimits, FAREWELL_MS, type KeepaliveOptions, rpcDefaults } from "../call-rules.ts";
import { type PlainHandler, STOPPED } from "../plain-http.ts";
import { tableOf } from "../routes.ts";
import type { AnyHandler, RpcServer } from "../rpc.ts";
import { Connection, type ConnectionHost } from "./connection.ts";
import { BufferPool } from "./frame-writer.ts";
import { type CallHost, GrpcCall } from "./grpc-call.ts";
import { DEFAULT_HTTP2_LIMITS, type Http2Limits } from "./limits.ts";
import { PlainStream, sendPlain } from "./plain-stream.ts";
import { readHead } from "./request-head.ts";
import type { Http2Stream, StreamReceiver } from "./stream.ts";
import type { Totals } from "./totals.ts";

export interface Http2Options extends CallLimits, KeepaliveOptions {
  readonly maxConcurrentStreams: number;
  readonly limits: Http2Limits;
  /** Serves what is not gRPC on encrypted connections, as etcd does; on others it is answered with 415. */
  readonly plain?: PlainHandler;
  readonly env: Env;
  readonly logger: Logger;
}

export const http2Defaults = { ...rpcDefaults, limits: DEFAULT_HTTP2_LIMITS } as const;

/** gRPC over HTTP/2 on plain sockets (a TLS socket is one), behind RpcServer. */
export function createHttp2Server(handlers: readonly AnyHandler[], options: Http2Options): RpcServer {
  const { env, logger, limits } = options;
  const table = tableOf(handlers);
  const connections = new Set<Connection>();
  const everywhere: Totals = { unsentBytes: 0, receivingBytes: 0, streams: 0 };
  const pool = new BufferPool();
  let unaryCalls = 0;
  let onUnaryDone: (() => void) | undefined;
  let onConnectionClosed: (() => void) | undefined;
  let closing = false;

  let toFlush: Connection[] = [];
  const flushAll = (): void => {
    const due = toFlush;
    toFlush = [];
    for (const connection of due) connection.flush();
  };

  const calls: CallHost = {
    env,
    logger,
    limits,
    options,
    everywhere,
    over(call) {
      if (call.isUnary && --unaryCalls === 0) onUnaryDone?.();
    },
  };

  const host: ConnectionHost = {
    env,
    logger,
    limits,
    options,
    pool,
    everywhere,
    resolve: (fields) => readHead(fields, table),
    open(stream, head, connection) {
      if (closing && head.kind !== "notGrpc") return refusal(stream, errors.stopped);
      switch (head.kind) {
        case "call": {
          const call = new GrpcCall(stream, head, connection, calls);
          if (call.isUnary) unaryCalls++;
          return call;
        }
        case "refused":
          return refusal(stream, head.error);
        case "notGrpc":
          if (options.plain === undefined || !connection.isEncrypted) return answer(() => stream.refuseContent());
          if (closing) return answer(() => sendPlain(stream, STOPPED, head.method));
          return new PlainStream(stream, head, connection, options.plain, logger);
        default:
          return unreachable(head);
      }
    },
    flushSoon(connection) {
      if (toFlush.push(connection) === 1) env.nextTurn(flushAll);
    },
    closed(connection) {
      connections.delete(connection);
      onConnectionClosed?.();
    },
  };

  /** Resolves when `isDone`, which `listen` has looked at again, or after so long. */
  const waitFor = (isDone: () => boolean, listen: (look: () => void) => void, withinMs: number): Promise<void> =>
    new Promise((resolve) => {
      if (isDone()) return resolve();
      const timer = env.setTimer(resolve, withinMs);
      listen(() => {
        if (!isDone()) return;
        timer.cancel();
        resolve();
      });
    });

  return {
    accept(socket) {
      if (closing || socket.destroyed) {
        socket.destroy();
        return;
      }
      const connection = new Connection(socket, host);
      const { peer } = connection;
      socket.on("error", (error) => logger.debug({ peer, error: String(error) }, "client connection failed"));
      connections.add(connection);
      connection.start();
    },

    async close(graceMs) {
      if (closing) return;
      closing = true;
      const graceEndsAt = env.now() + graceMs;
      for (const connection of [...connections]) connection.drain();
      await waitFor(
        () => unaryCalls === 0,
        (look) => {
          onUnaryDone = look;
        },
        graceMs,
      );
      for (const connection of connections) {
        connection.forEachReceiver((receiver) => {
          if (receiver instanceof GrpcCall) receiver.fail(errors.stopped);
        });
      }
      await waitFor(
        () => connections.size === 0,
        (look) => {
          onConnectionClosed = look;
        },
        // What is computed may take as long to leave as the grace has left.
        Math.max(graceEndsAt - env.now(), Math.min(graceMs, FAREWELL_MS)),
      );
      for (const connection of [...connections]) connection.destroy();
    },
  };
}

function refusal(stream: Http2Stream, error: ApiError): StreamReceiver {
  return answer(() => stream.fail(error.code, error.message));
}

/** A stream that ends before it began. */
function answer(opened: () => void): StreamReceiver {
  return { opened, data: nothing, ended: nothing, sent: nothing, gone: nothing };
}

function nothing(): void {
  // The answer does not depend on it.
}
