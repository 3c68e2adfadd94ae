import type { Server as HttpServer } from "node:http";
import { createServer, type Server as NetServer, type Socket } from "node:net";
import type { Env } from "../env.ts";
import type { Logger } from "../log.ts";
import type { RpcServer } from "../rpc/rpc.ts";
import { isHttps } from "../urls.ts";
import type { TlsFiles } from "./tls-files.ts";
import { createTlsGate } from "./tls-gate.ts";

export interface ClientListenerOptions {
  /** Over all URLs; a connection beyond it is closed at once. */
  readonly maxConnections: number;
  /** For the first bytes that tell the protocol, and for a TLS handshake before that. */
  readonly handshakeTimeoutMs: number;
  /** Of the https:// URLs. */
  readonly tls?: ClientTls;
  readonly env: Env;
  readonly logger: Logger;
}

export interface ClientTls {
  readonly files: TlsFiles;
  readonly clientCertRequired: boolean;
}

export interface ClientListener {
  /** Where it listens, in the order of the URLs, with the real port where 0 was asked for. */
  readonly addresses: readonly { readonly host: string; readonly port: number; readonly secure: boolean }[];
  readonly connectionCount: number;
  /** Stops listening, then lets both servers finish what runs; what is left after graceMs is cut off. */
  close(graceMs: number): Promise<void>;
}

const DRAIN_CHECK_MS = 20;
/** What every HTTP/2 client sends first. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/**
 * The client port: one listener a URL, gRPC and HTTP/1 behind it, told apart by their first bytes, behind TLS as without.
 *
 * Until they have come, a connection costs its socket and at most a preface of buffer, and that for a bounded time.
 */
export async function listenClient(
  urls: readonly string[],
  rpc: RpcServer,
  http: HttpServer,
  options: ClientListenerOptions,
): Promise<ClientListener> {
  const { logger, tls } = options;
  const sockets = new Set<Socket>();
  let refused = 0;
  let closing = false;

  const serve = (socket: Socket): void => {
    sniff(socket, options, (protocol) => {
      if (protocol === "http2") rpc.accept(socket);
      else {
        http.emit("connection", socket);
        socket.resume();
      }
    });
  };
  const secure =
    tls === undefined
      ? undefined
      : createTlsGate({ ...tls, handshakeTimeoutMs: options.handshakeTimeoutMs, logger }, (socket) => {
          socket.on("error", (error) => {
            logger.debug({ peer: socket.remoteAddress, error: String(error) }, "client connection failed");
          });
          serve(socket);
        });

  const accept = (socket: Socket, takeOver: (socket: Socket) => void): void => {
    socket.on("error", (error) => {
      logger.debug({ peer: socket.remoteAddress, error: String(error) }, "client connection failed");
    });
    if (closing || sockets.size >= options.maxConnections) {
      // One line for the first of a flood and for every thousandth after it.
      if (!closing && refused++ % 1_000 === 0) {
        logger.warn({ limit: options.maxConnections, refused }, "refused a client connection: too many are open");
      }
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.setNoDelay(true);
    takeOver(socket);
  };

  const servers: NetServer[] = [];
  try {
    for (const url of urls) {
      const takeOver = isHttps(url) ? secure : serve;
      if (takeOver === undefined) throw new Error(`cannot listen on ${url} without a certificate`);
      servers.push(await listen(url, (socket) => accept(socket, takeOver), logger));
    }
  } catch (thrown) {
    for (const server of servers) server.close();
    throw thrown;
  }
  const addresses = servers.map((server, i) => {
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("a client listener has no TCP address");
    return { host: address.address, port: address.port, secure: isHttps(urls[i] ?? "") };
  });

  return {
    addresses,
    get connectionCount() {
      return sockets.size;
    },
    async close(graceMs) {
      if (closing) return;
      closing = true;
      const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
      await Promise.all([rpc.close(graceMs), finishHttp(http, sockets, graceMs, options.env)]);
      for (const socket of sockets) socket.destroy();
      await Promise.all(closed);
    },
  };
}

/**
 * Calls `decided` when the first bytes have told the protocol; they are back in the socket's buffer then. A connection
 * that ends, or says too little for too long, is closed instead.
 */
function sniff(
  socket: Socket,
  { env, handshakeTimeoutMs }: ClientListenerOptions,
  decided: (protocol: "http1" | "http2") => void,
): void {
  let seen: Buffer = Buffer.alloc(0);
  const timer = env.setTimer(() => socket.destroy(), handshakeTimeoutMs);
  const finish = (): void => {
    timer.cancel();
    socket.off("data", onData);
    socket.off("end", onEnd);
    socket.off("close", finish);
  };
  const onData = (chunk: Buffer): void => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const compared = Math.min(seen.length, PREFACE.length);
    const matches = PREFACE.compare(seen, 0, compared, 0, compared) === 0;
    if (matches && compared < PREFACE.length) return;
    finish();
    socket.pause();
    socket.unshift(seen);
    decided(matches ? "http2" : "http1");
  };
  const onEnd = (): void => {
    socket.destroy();
  };
  socket.on("data", onData);
  socket.on("end", onEnd);
  socket.on("close", finish);
}

function listen(url: string, onConnection: (socket: Socket) => void, logger: Logger): Promise<NetServer> {
  const { protocol, hostname, port } = new URL(url);
  if (protocol !== "http:" && protocol !== "https:") {
    throw new Error(`cannot listen on ${url}: only http:// and https:// are supported`);
  }
  const host = hostname === "localhost" ? "127.0.0.1" : hostname.replace(/^\[|\]$/g, "");
  const server = createServer({ noDelay: true }, onConnection);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const usual = protocol === "https:" ? 443 : 80;
    server.listen({ host, port: port === "" ? usual : Number(port) }, () => {
      server.off("error", reject);
      // Accepting can fail later (no file descriptors left); the connections that are there go on.
      server.on("error", (error) =>
        logger.error({ url, error: String(error) }, "failed to accept a client connection"),
      );
      resolve(server);
    });
  });
}

/** Idle connections are closed, also those that become idle; requests that run get up to graceMs. */
async function finishHttp(http: HttpServer, sockets: ReadonlySet<Socket>, graceMs: number, env: Env): Promise<void> {
  http.close();
  const endAt = env.now() + graceMs;
  for (;;) {
    http.closeIdleConnections();
    const leftMs = endAt - env.now();
    if (sockets.size === 0 || leftMs <= 0) return;
    await new Promise<void>((resolve) => env.setTimer(resolve, Math.min(leftMs, DRAIN_CHECK_MS)));
  }
}
