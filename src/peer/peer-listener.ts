import * as http from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { DecodeError } from "../../proto/codec.ts";
import { unreachable } from "../../raft/assert.ts";
import type { Message, NodeId } from "../../raft/types.ts";
import type { Env } from "../env.ts";
import type { Logger } from "../log.ts";
import { QuietLog } from "../quiet-log.ts";
import type { StreamType } from "./frames.ts";
import { claimedUrls, formatId, header, parseId, senderMismatch } from "./headers.ts";
import { describe, target } from "./http-client.ts";
import type { PeerLimits } from "./limits.ts";
import { decodeMessage, isForwarded } from "./message-codec.ts";
import { BodyReceiver } from "./request-body.ts";
import { SnapshotIntake } from "./snapshot-intake.ts";
import type { PeerHttpAnswer, PeerHttpHandler, PeerIdentity, SnapshotMessage } from "./transport.ts";

export interface ListenerHooks {
  isRemoved(id: NodeId): boolean;
  isPeer(id: NodeId): boolean;
  /** The answer's head is with its socket, and says "chunked": from here on the stream belongs to the peer. */
  acceptStream(from: NodeId, type: StreamType, response: http.ServerResponse): void;
  /** A sender that may not be a peer, with the URLs it claims. */
  meet(from: NodeId, urls: readonly string[]): void;
  /** From the pipeline: addressed to us. */
  receive(message: Message): void;
  /** Rejects when the snapshot is not taken. */
  receiveSnapshot(message: SnapshotMessage, file: AsyncIterable<Buffer>): Promise<void>;
  handle: PeerHttpHandler;
}

export interface ListenerOptions {
  readonly env: Env;
  readonly limits: PeerLimits;
  readonly logger: Logger;
  readonly identity: PeerIdentity;
  readonly listenUrls: readonly string[];
  readonly hooks: ListenerHooks;
}

export interface PeerListener {
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  close(): Promise<void>;
}

/** Rejects, with nothing left open, when one of the URLs cannot be listened on. */
export async function listenForPeers(options: ListenerOptions): Promise<PeerListener> {
  const router = new Router(options);
  const gate = connectionGate(options);
  const servers: http.Server[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(servers.map(closeServer));
  };
  try {
    for (const url of options.listenUrls) servers.push(await listen(options, url, router, gate));
  } catch (error) {
    await close();
    throw error;
  }
  const addresses = servers.map((server) => {
    const { address, port } = server.address() as AddressInfo;
    return { host: address, port };
  });
  return { addresses, close };
}

/** Closes what is one connection too many, over all listeners, and says so. */
function connectionGate({ env, limits, logger }: ListenerOptions): (socket: Socket) => void {
  const sockets = new Set<Socket>();
  const quietLog = new QuietLog(env, logger);
  return (socket) => {
    if (sockets.size >= limits.connections) {
      quietLog.warn({ limit: limits.connections }, "refused a peer connection: too many are open");
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  };
}

function listen(
  { limits, logger }: ListenerOptions,
  url: string,
  router: Router,
  gate: (socket: Socket) => void,
): Promise<http.Server> {
  const { host, port } = target(url);
  const server = http.createServer({
    headersTimeout: limits.headerTimeoutMs,
    // Bodies have limits of their own: that of a snapshot may take any time.
    requestTimeout: 0,
    keepAliveTimeout: limits.idleTimeoutMs,
    connectionsCheckingInterval: Math.ceil(limits.headerTimeoutMs / 4),
    noDelay: true,
  });
  server.on("connection", gate);
  server.on("request", (request, response) => router.route(request, response));
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    // As etcd has it, "localhost" is the IPv4 one.
    server.listen({ host: host === "localhost" ? "127.0.0.1" : host, port }, () => {
      server.off("error", reject);
      server.on("error", (error) => logger.error({ url, error: error.message }, "failed to accept a peer connection"));
      resolve(server);
    });
  });
}

function closeServer(server: http.Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

const STREAM_PREFIX = "/raft/stream/";
const TEXT = "text/plain; charset=utf-8";

interface Refusal {
  readonly kind: "refuse";
  readonly status: number;
  readonly text: string;
}

type DialerVerdict = Refusal | { readonly kind: "accept"; readonly from: NodeId; readonly type: StreamType };

function refuse(status: number, text: string): Refusal {
  return { kind: "refuse", status, text };
}

class Router {
  readonly #env: Env;
  readonly #limits: PeerLimits;
  readonly #identity: PeerIdentity;
  readonly #hooks: ListenerHooks;
  readonly #logger: Logger;
  readonly #quietLog: QuietLog;
  readonly #bodies: BodyReceiver;
  readonly #snapshots: SnapshotIntake;

  constructor(options: ListenerOptions) {
    this.#env = options.env;
    this.#limits = options.limits;
    this.#identity = options.identity;
    this.#hooks = options.hooks;
    this.#logger = options.logger;
    this.#quietLog = new QuietLog(options.env, options.logger);
    const { env, limits, identity, hooks } = options;
    this.#bodies = new BodyReceiver(env, limits.receivingBytes, limits.bodyTimeoutMs);
    this.#snapshots = new SnapshotIntake({
      env,
      limits,
      memberId: identity.memberId,
      take: (message, file) => hooks.receiveSnapshot(message, file),
    });
  }

  route(request: http.IncomingMessage, response: http.ServerResponse): void {
    // The connection's end is seen on both as "close"; an error before it says no more.
    response.on("error", (error) => this.#logger.debug({ error: error.message }, "a peer went away before its answer"));
    response.setHeader("X-Etcd-Cluster-ID", formatId(this.#identity.clusterId));
    const path = (request.url ?? "").split("?", 1)[0] as string;
    if (path === "/raft") void this.#pipeline(request, response);
    else if (path === "/raft/snapshot") void this.#snapshot(request, response);
    else if (path === "/raft/probing") this.#probing(request, response);
    else if (path.startsWith(STREAM_PREFIX)) this.#stream(request, response, path.slice(STREAM_PREFIX.length));
    else void this.#other(request, response, path);
  }

  #stream(request: http.IncomingMessage, response: http.ServerResponse, rest: string): void {
    if (request.method !== "GET") {
      this.#methodNotAllowed(request, response, "GET");
      return;
    }
    if (request.httpVersion !== "1.1") {
      this.#refuse(request, response, 505, "a stream needs HTTP/1.1");
      return;
    }
    // The answers to the requests before this one are still to be written.
    if (response.socket === null) {
      this.#refuse(request, response, 400, "a stream needs a connection of its own");
      return;
    }
    response.setHeader("X-Server-Version", this.#identity.serverVersion);
    const verdict = this.#judgeDialer(request, rest);
    if (verdict.kind === "refuse") {
      this.#refuse(request, response, verdict.status, verdict.text);
      return;
    }
    response.writeHead(200, { "Transfer-Encoding": "chunked" });
    response.flushHeaders();
    this.#hooks.acceptStream(verdict.from, verdict.type, response);
  }

  #judgeDialer(request: http.IncomingMessage, rest: string): DialerVerdict {
    const mismatch = senderMismatch(this.#identity, request.headers);
    if (mismatch !== undefined) return refuse(412, mismatch);
    const [type, id, ...more] = rest.split("/");
    if ((type !== "message" && type !== "msgapp") || id === undefined || more.length > 0) {
      return refuse(404, "invalid path");
    }
    const from = parseId(id);
    if (from === undefined) return refuse(404, "invalid from");
    if (this.#hooks.isRemoved(from)) return refuse(410, "");
    if (!this.#hooks.isPeer(from)) {
      this.#meet(from, request);
      return refuse(404, "error sender not found");
    }
    if (header(request.headers, "x-raft-to") !== formatId(this.#identity.memberId)) {
      return refuse(412, "to field mismatch");
    }
    return { kind: "accept", from, type };
  }

  #meet(from: NodeId, request: http.IncomingMessage): void {
    const urls = claimedUrls(request.headers);
    if (urls !== undefined) this.#hooks.meet(from, urls);
  }

  async #pipeline(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const from = this.#poster(request, response);
    if (from === undefined) return;
    const received = await this.#receive(request, response, this.#limits.messageBytes);
    if (received === undefined) return;

    let message: Message;
    try {
      message = decodeMessage(received);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#refuse(request, response, 400, "error unmarshalling raft message", error.message);
      return;
    }
    const misfit = this.#misfit(message, from);
    if (misfit !== undefined) {
      this.#refuse(request, response, misfit.status, misfit.text);
      return;
    }
    this.#answer(request, response, { status: 204, body: "" });
    this.#hooks.receive(message);
  }

  #misfit(message: Message, from: NodeId): Refusal | undefined {
    if (message.to !== this.#identity.memberId) return refuse(412, "to field mismatch");
    if (message.from !== from && !isForwarded(message)) return refuse(400, "from field mismatch");
    if (message.type === "MsgSnap") return refuse(400, "snapshot outside of /raft/snapshot");
    // Votes and appends may come from a member whose addition has not come here. Wishes for the leader are for members
    // that it has added, and so knows. (Not 403: that tells a member that it was removed.)
    if (isForwarded(message) && !this.#hooks.isPeer(from)) return refuse(404, "error sender not found");
    return undefined;
  }

  async #snapshot(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const from = this.#poster(request, response);
    if (from === undefined) return;
    const outcome = await this.#snapshots.receive(from, request);
    switch (outcome.kind) {
      case "taken":
        this.#answer(request, response, { status: 204, body: "" });
        return;
      case "refused": {
        const { status, text, detail } = outcome;
        const fields = { from: formatId(from), status, text, ...(detail === undefined ? {} : { detail }) };
        this.#quietLog.warn(fields, "refused a peer's snapshot");
        this.#answer(request, response, { status, body: `${text}\n` });
        return;
      }
      case "brokeOff":
        this.#quietLog.warn({ from: formatId(from), error: outcome.reason }, "a peer's snapshot broke off");
        request.destroy();
        return;
      default:
        unreachable(outcome);
    }
  }

  /** The checks that all POSTs of raft have in common; undefined: refused. */
  #poster(request: http.IncomingMessage, response: http.ServerResponse): NodeId | undefined {
    if (request.method !== "POST") {
      this.#methodNotAllowed(request, response, "POST");
      return undefined;
    }
    const mismatch = senderMismatch(this.#identity, request.headers);
    if (mismatch !== undefined) {
      this.#refuse(request, response, 412, mismatch);
      return undefined;
    }
    const from = parseId(header(request.headers, "x-server-from") ?? "");
    if (from === undefined) {
      this.#refuse(request, response, 400, "invalid from");
      return undefined;
    }
    const to = header(request.headers, "x-raft-to");
    if (to !== undefined && to !== formatId(this.#identity.memberId)) {
      this.#refuse(request, response, 412, "to field mismatch");
      return undefined;
    }
    if (this.#hooks.isRemoved(from)) {
      this.#refuse(request, response, 403, "cannot process message from removed member");
      return undefined;
    }
    if (!this.#hooks.isPeer(from)) this.#meet(from, request);
    return from;
  }

  #probing(request: http.IncomingMessage, response: http.ServerResponse): void {
    const now = new Date(this.#env.wallClock()).toISOString();
    this.#answer(request, response, { status: 200, body: `${JSON.stringify({ OK: true, Now: now })}\n` });
  }

  async #other(request: http.IncomingMessage, response: http.ServerResponse, path: string): Promise<void> {
    const body = await this.#receive(request, response, this.#limits.handlerBodyBytes);
    if (body === undefined) return;
    try {
      const answered = await this.#hooks.handle(request.method ?? "", path, body, request.headers);
      this.#answer(request, response, answered ?? { status: 404, body: "404 page not found\n" });
    } catch (error) {
      this.#logger.error({ path, error: describe(error) }, "failed to serve a peer request");
      this.#answer(request, response, { status: 500, body: "Internal Server Error\n" });
    }
  }

  /** undefined: refused, or nobody left to answer. */
  async #receive(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    maxBytes: number,
  ): Promise<Buffer | undefined> {
    const result = await this.#bodies.receive(request, maxBytes);
    if (result.kind === "body") return result.bytes;
    if (result.kind === "tooLarge") this.#refuse(request, response, 413, "Request Entity Too Large");
    if (result.kind === "late") this.#refuse(request, response, 408, "Request Timeout");
    if (result.kind === "busy") this.#refuse(request, response, 503, "too many bytes are being received");
    return undefined;
  }

  #refuse(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    status: number,
    text: string,
    detail?: string,
  ): void {
    this.#quietLog.warn(
      {
        "remote-address": request.socket.remoteAddress,
        from: header(request.headers, "x-server-from"),
        path: request.url,
        status,
        ...(detail === undefined ? {} : { detail }),
      },
      `refused a peer's request: ${text}`,
    );
    this.#answer(request, response, { status, body: text === "" ? "" : `${text}\n` });
  }

  #methodNotAllowed(request: http.IncomingMessage, response: http.ServerResponse, allowed: string): void {
    this.#answer(request, response, { status: 405, headers: { Allow: allowed }, body: "Method Not Allowed\n" });
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse, what: PeerHttpAnswer): void {
    if (response.destroyed || response.headersSent) return;
    const length = Buffer.byteLength(what.body);
    if (length > 0) {
      response.setHeader("Content-Type", what.contentType ?? TEXT);
      response.setHeader("X-Content-Type-Options", "nosniff");
    }
    if (request.complete) {
      response.writeHead(what.status, what.headers);
      response.end(what.body);
      return;
    }
    // What is left of a body that nobody wants is not waited for. But a connection that is closed on bytes that nobody has
    // read is reset, and takes the answer with it that the other side has not read: so there is some time for that.
    response.setHeader("Connection", "close");
    if (what.status !== 204) response.setHeader("Content-Length", length);
    response.writeHead(what.status, what.headers);
    response.flushHeaders();
    if (length > 0) response.write(what.body);
    const closing = this.#env.setTimer(() => response.end(), this.#limits.lingerMs);
    response.on("close", () => closing.cancel());
  }
}
