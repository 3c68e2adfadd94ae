import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Logger } from "../log.ts";

export interface HttpLimits {
  /** For the head of a request, and for a whole request. */
  readonly headTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxHeadBytes: number;
  /** How often the first two are looked at. */
  readonly checkIntervalMs: number;
}

export const httpDefaults: HttpLimits = {
  headTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  idleTimeoutMs: 60_000,
  maxHeadBytes: 16 << 10,
  checkIntervalMs: 2_000,
};

export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** An HTTP/1 server without a listener: connections come by `emit("connection", socket)`. */
export function createHttpServer(handle: HttpHandler, limits: HttpLimits, logger: Logger): Server {
  const server = createServer(
    {
      headersTimeout: limits.headTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.idleTimeoutMs,
      maxHeaderSize: limits.maxHeadBytes,
      connectionsCheckingInterval: limits.checkIntervalMs,
    },
    (request, response) => void serve(handle, request, response, logger),
  );
  // Node starts to watch over these time-outs when a server listens, and this one never does.
  server.emit("listening");
  return server;
}

async function serve(
  handle: HttpHandler,
  request: IncomingMessage,
  response: ServerResponse,
  logger: Logger,
): Promise<void> {
  response.on("error", (error) => logger.debug({ url: request.url, error: String(error) }, "HTTP response failed"));
  try {
    await handle(request, response);
  } catch (thrown) {
    const stacktrace = thrown instanceof Error ? thrown.stack : undefined;
    logger.error({ url: request.url, error: String(thrown), stacktrace }, "failed to serve an HTTP request");
    if (response.headersSent) response.destroy();
    else response.writeHead(500, { "content-type": "text/plain; charset=utf-8" }).end("Internal Server Error\n");
  }
}
