import { MAX_WINDOW } from "./protocol.ts";

/** What we may still send on a connection (RFC 9113 §6.9.1). A stream has its own windows as plain numbers (stream.ts). */
export class SendWindow {
  #bytes: number;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** Negative when SETTINGS took back what was used already (§6.9.2). */
  get bytes(): number {
    return this.#bytes;
  }

  use(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** By WINDOW_UPDATE or SETTINGS; false when it would be larger than a window can be. */
  change(bytes: number): boolean {
    this.#bytes += bytes;
    return this.#bytes <= MAX_WINDOW;
  }
}

/** What the peer may still send us. */
export class ReceiveWindow {
  readonly #size: number;
  #used = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** False when the peer had no right to send so much. */
  use(bytes: number): boolean {
    this.#used += bytes;
    return this.#used <= this.#size;
  }

  /** What to give back with a WINDOW_UPDATE now. */
  refund(): number {
    const bytes = refundOf(this.#used, this.#size);
    this.#used -= bytes;
    return bytes;
  }
}

/** All that was used, once that is half of the window; else 0. */
export function refundOf(used: number, size: number): number {
  return used * 2 < size ? 0 : used;
}
