import type { IncomingMessage } from "node:http";
import type { Env } from "../env.ts";

export type BodyResult =
  | { readonly kind: "body"; readonly bytes: Buffer }
  | { readonly kind: "tooLarge" }
  | { readonly kind: "late" }
  /** Too many bytes of other bodies are being received. */
  | { readonly kind: "busy" }
  /** The sender is gone; there is nobody to answer. */
  | { readonly kind: "brokeOff" };

/** Receives request bodies within bounds of size and time for each, and one of size for all of them together. */
export class BodyReceiver {
  readonly #env: Env;
  readonly #maxReceivingBytes: number;
  readonly #timeoutMs: number;
  #receivingBytes = 0;

  constructor(env: Env, maxReceivingBytes: number, timeoutMs: number) {
    this.#env = env;
    this.#timeoutMs = timeoutMs;
    this.#maxReceivingBytes = maxReceivingBytes;
  }

  /** The bytes are in a buffer of their own. Whoever is refused has sent more than was read. */
  receive(request: IncomingMessage, maxBytes: number): Promise<BodyResult> {
    if (Number(request.headers["content-length"] ?? 0) > maxBytes) return Promise.resolve({ kind: "tooLarge" });
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const timer = this.#env.setTimer(() => {
        request.pause();
        settle({ kind: "late" });
      }, this.#timeoutMs);
      const settle = (result: BodyResult): void => {
        timer.cancel();
        this.#receivingBytes -= size;
        size = 0;
        request.off("data", take);
        request.off("end", end);
        request.off("close", broke);
        resolve(result);
      };
      const take = (chunk: Buffer): void => {
        size += chunk.length;
        this.#receivingBytes += chunk.length;
        chunks.push(chunk);
        const kind = size > maxBytes ? "tooLarge" : this.#receivingBytes > this.#maxReceivingBytes ? "busy" : undefined;
        if (kind === undefined) return;
        request.pause();
        settle({ kind });
      };
      const end = (): void => settle({ kind: "body", bytes: Buffer.concat(chunks) });
      const broke = (): void => settle({ kind: "brokeOff" });
      request.on("data", take);
      request.on("end", end);
      request.on("close", broke);
    });
  }
}
