import type { IncomingMessage } from "node:http";

export type BodyResult =
  | { readonly kind: "body"; readonly bytes: Buffer }
  | { readonly kind: "tooLarge" }
  /** Too many bytes of other bodies are being received. */
  | { readonly kind: "busy" }
  /** The sender is gone; there is nobody to answer. */
  | { readonly kind: "brokeOff" };

/** Receives request bodies within a bound for each and one for all of them together. */
export class BodyReceiver {
  readonly #maxReceivingBytes: number;
  #receivingBytes = 0;

  constructor(maxReceivingBytes: number) {
    this.#maxReceivingBytes = maxReceivingBytes;
  }

  /** The bytes are in a buffer of their own. Whoever is refused has sent more than was read. */
  receive(request: IncomingMessage, maxBytes: number): Promise<BodyResult> {
    if (Number(request.headers["content-length"] ?? 0) > maxBytes) return Promise.resolve({ kind: "tooLarge" });
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const settle = (result: BodyResult): void => {
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
