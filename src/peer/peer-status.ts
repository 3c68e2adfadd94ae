import type { Env } from "../env.ts";
import type { Logger } from "../log.ts";

/** Whether a member can be reached, over all channels: each success and failure counts. */
export class PeerStatus {
  readonly #env: Env;
  readonly #logger: Logger;
  readonly #peerId: string;
  #activeSince: number | undefined;
  /** When it became inactive last; before that, when it was first heard of. */
  #inactiveAt: number;

  constructor(env: Env, logger: Logger, peerId: string) {
    this.#env = env;
    this.#logger = logger;
    this.#peerId = peerId;
    this.#inactiveAt = env.now();
  }

  get activeSince(): number | undefined {
    return this.#activeSince;
  }

  /** undefined while it is active. */
  get inactiveSince(): number | undefined {
    return this.#activeSince === undefined ? this.#inactiveAt : undefined;
  }

  succeeded(): void {
    if (this.#activeSince !== undefined) return;
    this.#activeSince = this.#env.now();
    this.#logger.info({ "peer-id": this.#peerId }, "peer became active");
  }

  failed(channel: string, error: string): void {
    if (this.#activeSince === undefined) {
      this.#logger.debug({ "peer-id": this.#peerId, channel, error }, "peer is still inactive");
      return;
    }
    this.#activeSince = undefined;
    this.#inactiveAt = this.#env.now();
    this.#logger.warn(
      { "peer-id": this.#peerId, channel, error },
      "peer became inactive (message send to peer failed)",
    );
  }
}
