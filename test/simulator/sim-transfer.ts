import { PeerCallError } from "../../src/peer/transport.ts";
import type { Owner, World } from "./world.ts";

/** A connection on which nothing moves is given up after this time. */
const IDLE_MS = 5_000;
const LOOK_MS = 5;
/** The file comes in pieces of this size, so that a fault can come between. */
const PIECE_BYTES = 8_192;

export interface TransferDeps {
  readonly world: World;
  readonly sender: Owner;
  readonly receiver: Owner;
  /** How long a piece, or the answer, takes now; undefined: it never arrives. */
  readonly there: () => number | undefined;
  readonly back: () => number | undefined;
  /** Both processes live, as far as the sender can tell. */
  readonly isOpen: () => boolean;
  readonly file: AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
  /** The receiver takes the file. */
  readonly take: (file: AsyncIterable<Buffer>) => Promise<void>;
}

/** One snapshot on its way, as over a connection of its own: it arrives whole, or both sides notice that it does not. */
export class Transfer {
  readonly #deps: TransferDeps;
  readonly #pipe = new Pipe();
  #answer: { readonly error: unknown } | undefined;

  constructor(deps: TransferDeps) {
    this.#deps = deps;
  }

  /** Resolves when the receiver took it; rejects with PeerCallError. */
  async run(): Promise<void> {
    const { world, receiver, file } = this.#deps;
    try {
      await this.#moves(this.#deps.there, () => {
        this.#deps.take(this.#pipe.chunks()).then(
          () => this.#answered(undefined),
          (error: unknown) => this.#answered(error),
        );
      });
      for await (const chunk of file) {
        for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
          const piece = Buffer.from(chunk.subarray(at, at + PIECE_BYTES));
          await this.#moves(this.#deps.there, () => this.#pipe.push(piece));
          await this.#until(() => this.#pipe.isEmpty || this.#answer !== undefined);
        }
      }
      await this.#moves(this.#deps.there, () => this.#pipe.end());
      await this.#until(() => this.#answer !== undefined);
    } catch (error) {
      world.schedule(receiver, LOOK_MS, "snapshot broke off", () => this.breakOff());
      throw error instanceof PeerCallError ? error : new PeerCallError(String(error), true, error);
    }
    const { error } = this.#answer ?? { error: undefined };
    if (error !== undefined) throw new PeerCallError(String(error), true, error);
  }

  /** The receiver hears nothing more of it. */
  breakOff(): void {
    this.#pipe.fail(new Error("the connection broke"));
  }

  async #moves(transit: () => number | undefined, arrive: () => void): Promise<void> {
    const { world, sender, receiver } = this.#deps;
    const ms = transit();
    if (ms === undefined) {
      await world.delay(sender, IDLE_MS, "snapshot stalls");
      throw new PeerCallError("the connection stalled", true);
    }
    await world.delay(sender, ms, "piece of a snapshot");
    this.#check();
    world.schedule(receiver, 0, "piece of a snapshot", arrive);
  }

  #answered(error: unknown): void {
    const { world, sender, back } = this.#deps;
    const ms = back();
    if (ms === undefined) return;
    world.schedule(sender, ms, "snapshot answered", () => {
      this.#answer = { error };
    });
  }

  async #until(isSo: () => boolean): Promise<void> {
    const { world, sender } = this.#deps;
    for (const since = world.now; !isSo(); ) {
      this.#check();
      if (world.now > since + IDLE_MS) throw new PeerCallError("nothing moves", true);
      await world.delay(sender, LOOK_MS, "snapshot waits");
    }
  }

  #check(): void {
    const { isOpen, signal } = this.#deps;
    if (signal.aborted) throw new PeerCallError("aborted", true);
    if (!isOpen()) throw new PeerCallError("the connection broke", true);
  }
}

/** What arrived and was not taken. */
class Pipe {
  readonly #chunks: Buffer[] = [];
  #state: "open" | "ended" | Error = "open";
  #wake: (() => void) | undefined;

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  push(chunk: Buffer): void {
    if (this.#state === "open") this.#chunks.push(chunk);
    this.#wake?.();
  }

  end(): void {
    if (this.#state === "open") this.#state = "ended";
    this.#wake?.();
  }

  fail(error: Error): void {
    if (this.#state === "open") this.#state = error;
    this.#wake?.();
  }

  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) yield chunk;
      else if (this.#state === "ended") return;
      else if (this.#state !== "open") throw this.#state;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
