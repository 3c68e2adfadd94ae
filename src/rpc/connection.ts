import { constants, type ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Env, Timer } from "../env.ts";

/** What the calls of one HTTP/2 connection share. */
export interface Connection {
  /** Response bytes handed to HTTP/2 and not yet taken by the socket. */
  unsentBytes: number;
  openCalls: number;
  /** Something was sent since the last ping. */
  sentSincePing: boolean;
}

/** A client that has no call open may ping this often. */
const IDLE_PING_MS = 2 * 60 * 60 * 1_000;
const MAX_STRIKES = 2;

/**
 * Keepalive enforcement (G-10), counted as grpc-go does: a ping sooner than allowed is a strike, any answer in between
 * forgives all of them (clients measure bandwidth with pings while data flows), the third strike ends the connection.
 */
export function enforcePingPolicy(
  session: ServerHttp2Session,
  connection: Connection,
  minTimeMs: number,
  env: Env,
  onViolation: () => void,
): void {
  let lastPingAt = Number.NEGATIVE_INFINITY;
  let strikes = 0;
  session.on("ping", () => {
    const now = env.now();
    const sinceMs = now - lastPingAt;
    lastPingAt = now;
    if (connection.sentSincePing) {
      connection.sentSincePing = false;
      strikes = 0;
      return;
    }
    if (sinceMs < (connection.openCalls === 0 ? IDLE_PING_MS : minTimeMs)) strikes++;
    if (strikes <= MAX_STRIKES || session.closed) return;
    onViolation();
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from("too_many_pings"));
    session.destroy();
  });
}

/** Silent looks in a row, after the first of which the client was asked for a sign of life, until it counts as gone. */
const SILENT_SWEEPS = 5;

/**
 * Ends connections whose client is silent even when asked.
 *
 * It is not for quiet clients (their library answers the ping) but for Node: after a protocol error of its peer its
 * HTTP/2 says GOAWAY, stops reading and never notices that the socket was closed, so the connection would stay for ever.
 */
export class DeadConnectionSweep {
  readonly #watched = new Map<Socket, { session: ServerHttp2Session; bytesRead: number; silentSweeps: number }>();
  readonly #env: Env;
  readonly #intervalMs: number;
  #timer: Timer | undefined;

  constructor(env: Env, intervalMs: number) {
    this.#env = env;
    this.#intervalMs = intervalMs;
  }

  watch(socket: Socket, session: ServerHttp2Session): void {
    this.#watched.set(socket, { session, bytesRead: 0, silentSweeps: 0 });
    socket.once("close", () => this.#watched.delete(socket));
    this.#timer ??= this.#env.setTimer(() => this.#sweep(), this.#intervalMs);
  }

  close(): void {
    this.#timer?.cancel();
    this.#watched.clear();
  }

  #sweep(): void {
    for (const [socket, seen] of this.#watched) {
      seen.silentSweeps = socket.bytesRead === seen.bytesRead ? seen.silentSweeps + 1 : 0;
      seen.bytesRead = socket.bytesRead;
      if (seen.silentSweeps === 1 && !seen.session.destroyed) seen.session.ping(() => undefined);
      else if (seen.silentSweeps >= SILENT_SWEEPS) socket.destroy();
    }
    this.#timer = this.#watched.size === 0 ? undefined : this.#env.setTimer(() => this.#sweep(), this.#intervalMs);
  }
}
