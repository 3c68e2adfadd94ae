import type { RequestReceiver } from "../rpc/rpc.ts";

/** A streaming call that somebody beside its two ends can end: whoever does it, its receiver hears of it once, and of nothing after. */
export class StreamLife {
  readonly #onOver: () => void;
  #receiver: RequestReceiver<never> | undefined;
  #isOver = false;

  /** `onOver`: what was listening for a reason to end it listens no more. */
  constructor(onOver: () => void) {
    this.#onOver = onOver;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Once: what the transport is to call in the receiver's place. */
  around<Request>(receiver: RequestReceiver<Request>): RequestReceiver<Request> {
    this.#receiver = receiver;
    if (this.#isOver) receiver.closed();
    return {
      request: (message) => {
        if (!this.#isOver) receiver.request(message);
      },
      halfClosed: () => {
        if (!this.#isOver) receiver.halfClosed();
      },
      drained: () => {
        if (!this.#isOver) receiver.drained();
      },
      closed: () => this.over(),
    };
  }

  over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onOver();
    this.#receiver?.closed();
  }
}

/** Of a call that was refused. */
export const NOBODY: RequestReceiver<unknown> = {
  request: ignore,
  halfClosed: ignore,
  drained: ignore,
  closed: ignore,
};

function ignore(): void {
  // The call is over before it began.
}
