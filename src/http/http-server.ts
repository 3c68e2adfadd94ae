import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Logger } from "../log.ts";
import { INTERNAL_ERROR, type PlainAnswer, type PlainHandler } from "../rpc/plain-http.ts";
import { oneAtATime } from "./one-at-a-time.ts";

export interface HttpLimits {
  /** For the head of a request, and for a whole request. */
  readonly headTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxHeadBytes: number;
  /** Requests of one connection that wait for the one before them. */
  readonly maxPipelined: number;
  /** How often the first two are looked at. */
  readonly checkIntervalMs: number;
}

export const httpDefaults: HttpLimits = {
  headTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  idleTimeoutMs: 60_000,
  maxHeadBytes: 16 << 10,
  maxPipelined: 16,
  checkIntervalMs: 2_000,
};

/** An HTTP/1 server without a listener: connections come by `emit("connection", socket)`. */
export function createHttpServer(handle: PlainHandler, limits: HttpLimits, logger: Logger): Server {
  const server = createServer(
    {
      headersTimeout: limits.headTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.idleTimeoutMs,
      maxHeaderSize: limits.maxHeadBytes,
      connectionsCheckingInterval: limits.checkIntervalMs,
    },
    oneAtATime(limits.maxPipelined, (request, response) => void serve(handle, request, response, logger)),
  );
  // Node starts to watch over these time-outs when a server listens, and this one never does.
  server.emit("listening");
  return server;
}

async function serve(
  handle: PlainHandler,
  request: IncomingMessage,
  response: ServerResponse,
  logger: Logger,
): Promise<void> {
  response.on("error", (error) => logger.debug({ url: request.url, error: String(error) }, "HTTP response failed"));
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  let answer: PlainAnswer;
  try {
    answer = await handle(
      {
        method: request.method ?? "GET",
        target: request.url ?? "/",
        origin: request.headers.origin,
      },
      gone.signal,
    );
  } catch (thrown) {
    const stacktrace = thrown instanceof Error ? thrown.stack : undefined;
    logger.error({ url: request.url, error: String(thrown), stacktrace }, "failed to serve an HTTP request");
    answer = INTERNAL_ERROR;
  }
  if (response.destroyed) return;
  try {
    response.writeHead(answer.status, {
      ...answer.headers,
      "content-length": Buffer.byteLength(answer.body),
      // Nobody reads a body: the connection ends instead of waiting for one.
      ...(hasBody(request) && { connection: "close" }),
    });
    response.end(answer.body);
  } catch (thrown) {
    // Nobody else would catch it.
    const stacktrace = thrown instanceof Error ? thrown.stack : undefined;
    logger.error({ url: request.url, error: String(thrown), stacktrace }, "failed to answer an HTTP request");
    response.destroy();
  }
}

function hasBody(request: IncomingMessage): boolean {
  const length = request.headers["content-length"];
  return request.headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}
