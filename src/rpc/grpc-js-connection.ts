import { constants, type ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Env, Timer } from "../env.ts";
import { PingPolicy } from "./ping-policy.ts";

/** What the calls of one HTTP/2 connection share. */
export interface Connection {
  /** Response bytes handed to HTTP/2 and not yet taken by the socket. */
  unsentBytes: number;
  /** The same over all connections of the member. */
  readonly everywhere: { unsentBytes: number };
  openCalls: number;
  /** Something was sent, or taken by the socket, since the last ping. */
  sentSincePing: boolean;
}

export function countUnsent(connection: Connection, bytes: number): void {
  connection.unsentBytes += bytes;
  connection.everywhere.unsentBytes += bytes;
}

/** Ends the session at the first ping that PingPolicy does not allow. */
export function enforcePingPolicy(
  session: ServerHttp2Session,
  connection: Connection,
  minTimeMs: number,
  env: Env,
  onViolation: () => void,
): void {
  const policy = new PingPolicy(minTimeMs);
  session.on("ping", () => {
    const answering = connection.sentSincePing || connection.unsentBytes > 0;
    connection.sentSincePing = false;
    if (policy.allows(env.now(), answering, connection.openCalls) || session.closed) return;
    onViolation();
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from("too_many_pings"));
    session.destroy();
  });
}

/** Between two questions to a client that keeps answering. */
const MAX_LOOK_MS = 120_000;

interface Watched {
  readonly session: ServerHttp2Session;
  bytesRead: number;
  /** Asked for a sign of life since it was last heard. */
  asked: boolean;
  intervalMs: number;
  lookAt: number;
}

/**
 * Ends connections whose client is silent even when asked.
 *
 * It is not for quiet clients (their library answers the ping) but for Node: after a protocol error of its peer its
 * HTTP/2 says GOAWAY, stops reading and never notices that the socket was closed, so the connection would stay for ever
 * and a few hundred of them a minute would take every file descriptor of the member. New connections are therefore
 * looked at soon; one that has answered is asked at twice the distance each time.
 */
export class DeadConnectionSweep {
  readonly #watched = new Map<Socket, Watched>();
  readonly #env: Env;
  readonly #sweepMs: number;
  #timer: Timer | undefined;

  constructor(env: Env, sweepMs: number) {
    this.#env = env;
    this.#sweepMs = sweepMs;
  }

  watch(socket: Socket, session: ServerHttp2Session): void {
    const lookAt = this.#env.now() + this.#sweepMs;
    this.#watched.set(socket, { session, bytesRead: 0, asked: false, intervalMs: this.#sweepMs, lookAt });
    socket.once("close", () => this.#watched.delete(socket));
    this.#timer ??= this.#env.setTimer(() => this.#sweep(), this.#sweepMs);
  }

  close(): void {
    this.#timer?.cancel();
    this.#watched.clear();
  }

  #sweep(): void {
    const now = this.#env.now();
    for (const [socket, seen] of this.#watched) {
      if (seen.lookAt <= now) this.#look(socket, seen, now);
    }
    this.#timer = this.#watched.size === 0 ? undefined : this.#env.setTimer(() => this.#sweep(), this.#sweepMs);
  }

  #look(socket: Socket, seen: Watched, now: number): void {
    if (socket.bytesRead !== seen.bytesRead) {
      seen.bytesRead = socket.bytesRead;
      if (seen.asked) seen.intervalMs = Math.min(2 * seen.intervalMs, Math.max(MAX_LOOK_MS, this.#sweepMs));
      seen.asked = false;
      seen.lookAt = now + seen.intervalMs;
    } else if (!seen.asked && !seen.session.destroyed) {
      seen.asked = true;
      seen.session.ping(() => undefined);
      seen.lookAt = now + 2 * this.#sweepMs;
    } else {
      socket.destroy();
    }
  }
}
