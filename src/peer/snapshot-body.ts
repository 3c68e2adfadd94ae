import type { IncomingMessage } from "node:http";
import { DecodeError } from "../../proto/codec.ts";
import type { Env, Timer } from "../env.ts";
import { readUint64 } from "./frames.ts";

const LENGTH_BYTES = 8;

const EVENTS = ["readable", "end", "close", "error"] as const;

/** Taken for a message at once, whatever its length says; beyond that memory grows with what arrives. */
const TRUSTED_BYTES = 1024 * 1024;

/** The rest of a body will not come. */
export class BrokenBodyError extends Error {
  override readonly name = "BrokenBodyError";
}

/**
 * The body of a request, read only as fast as it is asked for. Whoever waits for it learns of every end that is not its
 * own: a broken connection, a silent sender and `abandon` all throw.
 */
export class SnapshotBody {
  readonly #env: Env;
  readonly #request: IncomingMessage;
  readonly #idleMs: number;
  /** Read from the request, and not yet handed out. */
  #rest: Buffer | undefined;
  #failure: BrokenBodyError | undefined;
  #wake: () => void = () => undefined;
  readonly #stirred = (): void => this.#wake();

  constructor(env: Env, request: IncomingMessage, idleMs: number) {
    this.#env = env;
    this.#request = request;
    this.#idleMs = idleMs;
    for (const event of EVENTS) request.on(event, this.#stirred);
  }

  /** All of it has come, though it may not have been read yet. */
  get isWhole(): boolean {
    return this.#request.complete;
  }

  get isBroken(): boolean {
    // A request that was read to its end is destroyed, too.
    const { destroyed, readableEnded } = this.#request;
    return this.#failure !== undefined || (destroyed && !readableEnded);
  }

  /** Closes the connection. Without effect on what was read. */
  abandon(reason: string): void {
    this.#failure ??= new BrokenBodyError(reason);
    this.#request.destroy();
    this.#wake();
  }

  /** Nobody reads it any more. The connection stays, for an answer. */
  release(): void {
    this.#failure ??= new BrokenBodyError("the snapshot is over");
    this.#wake();
    for (const event of EVENTS) this.#request.off(event, this.#stirred);
    // What has come already does not keep the next request on the connection waiting.
    if (this.#request.complete) this.#request.resume();
  }

  /** The message in front of the file, in a buffer of its own. Throws DecodeError when it is none that fits. */
  async message(maxBytes: number, timeoutMs: number): Promise<Buffer> {
    const late = this.#env.setTimer(() => this.abandon(`no whole message in ${timeoutMs} ms`), timeoutMs);
    try {
      const head = await this.#exactly(LENGTH_BYTES);
      return await this.#exactly(readUint64(head, 0, maxBytes, "message length"));
    } finally {
      late.cancel();
    }
  }

  /** What follows the message, to the end: for one reader. */
  async *file(): AsyncGenerator<Buffer, void, undefined> {
    for (let chunk = await this.#pull(); chunk !== undefined; chunk = await this.#pull()) yield chunk;
  }

  async #exactly(size: number): Promise<Buffer> {
    let bytes = Buffer.allocUnsafeSlow(Math.min(size, TRUSTED_BYTES));
    let have = 0;
    while (have < size) {
      const chunk = await this.#pull();
      if (chunk === undefined) throw new DecodeError("unexpected EOF");
      const wanted = Math.min(chunk.length, size - have);
      if (wanted < chunk.length) this.#rest = chunk.subarray(wanted);
      if (have + wanted > bytes.length) {
        const grown = Buffer.allocUnsafeSlow(Math.min(size, Math.max(have + wanted, bytes.length * 2)));
        bytes.copy(grown, 0, 0, have);
        bytes = grown;
      }
      have += chunk.copy(bytes, have, 0, wanted);
    }
    return bytes;
  }

  /** undefined: the end, and nothing is missing. */
  async #pull(): Promise<Buffer | undefined> {
    const request = this.#request;
    let silence: Timer | undefined;
    try {
      for (;;) {
        if (this.#failure !== undefined) throw this.#failure;
        if (this.#rest !== undefined) {
          const rest = this.#rest;
          this.#rest = undefined;
          return rest;
        }
        const chunk = request.destroyed ? null : (request.read() as Buffer | null);
        if (chunk !== null) return chunk;
        if (request.readableEnded && request.complete) return undefined;
        if (request.readableEnded || request.destroyed) {
          this.#failure = new BrokenBodyError("the connection broke off");
          continue;
        }
        silence ??= this.#listenForSilence();
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      silence?.cancel();
    }
  }

  #listenForSilence(): Timer {
    let waiting = true;
    const timer = this.#env.setTimer(
      // A turn for I/O first: when it was us who stood still, what was sent meanwhile waits to be read.
      () => this.#env.nextTurn(() => waiting && this.abandon(`the sender was silent for ${this.#idleMs} ms`)),
      this.#idleMs,
    );
    return {
      cancel: () => {
        waiting = false;
        timer.cancel();
      },
    };
  }
}
