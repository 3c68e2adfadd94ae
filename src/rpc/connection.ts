import { constants, type ServerHttp2Session } from "node:http2";
import type { Env } from "../env.ts";

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
