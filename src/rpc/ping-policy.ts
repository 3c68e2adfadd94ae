/** A client that has no call open may ping this often. */
const IDLE_PING_MS = 2 * 60 * 60 * 1_000;
const MAX_STRIKES = 2;

/**
 * Keepalive enforcement (G-10), counted as grpc-go does: a ping sooner than allowed is a strike, any answer in between
 * forgives all of them, and so does one that is on its way (clients measure bandwidth with pings while data flows, many
 * of them within one long answer), the third strike ends the connection.
 */
export class PingPolicy {
  readonly #minTimeMs: number;
  #lastPingAt = Number.NEGATIVE_INFINITY;
  #strikes = 0;

  constructor(minTimeMs: number) {
    this.#minTimeMs = minTimeMs;
  }

  /** False when this ping is the one too many. `answering`: something was sent since the last one, or is on its way. */
  allows(nowMs: number, answering: boolean, openCalls: number): boolean {
    const sinceMs = nowMs - this.#lastPingAt;
    this.#lastPingAt = nowMs;
    if (answering) this.#strikes = 0;
    else if (sinceMs < (openCalls === 0 ? IDLE_PING_MS : this.#minTimeMs)) this.#strikes++;
    return this.#strikes <= MAX_STRIKES;
  }
}
