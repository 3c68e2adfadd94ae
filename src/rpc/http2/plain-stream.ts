import type { Logger } from "../../log.ts";
import { INTERNAL_ERROR, type PlainAnswer, type PlainHandler } from "../plain-http.ts";
import type { Field } from "./hpack-encoder.ts";
import { listOf, type RequestHead } from "./request-head.ts";
import type { Http2Stream, StreamReceiver } from "./stream.ts";

/** A request that is no gRPC call, answered by the plain HTTP endpoints. What it brings as a body is dropped. */
export class PlainStream implements StreamReceiver {
  readonly #stream: Http2Stream;
  readonly #head: Extract<RequestHead, { kind: "notGrpc" }>;
  readonly #handle: PlainHandler;
  readonly #logger: Logger;
  readonly #gone = new AbortController();

  constructor(
    stream: Http2Stream,
    head: Extract<RequestHead, { kind: "notGrpc" }>,
    handle: PlainHandler,
    logger: Logger,
  ) {
    this.#stream = stream;
    this.#head = head;
    this.#handle = handle;
    this.#logger = logger;
  }

  opened(): void {
    void this.#serve();
  }

  data(): void {
    // No endpoint reads one.
  }

  ended(): void {
    // The answer does not depend on it.
  }

  sent(): void {
    // An answer is queued whole, and is small.
  }

  gone(): void {
    this.#gone.abort();
  }

  async #serve(): Promise<void> {
    const { method, path, fields } = this.#head;
    let answer: PlainAnswer;
    try {
      const request = { method, target: path, header: (name: string) => listOf(fields, name) };
      answer = await this.#handle(request, this.#gone.signal);
    } catch (thrown) {
      const stacktrace = thrown instanceof Error ? thrown.stack : undefined;
      this.#logger.error({ url: path, error: String(thrown), stacktrace }, "failed to serve an HTTP request");
      answer = INTERNAL_ERROR;
    }
    sendPlain(this.#stream, answer, method);
  }
}

export function sendPlain(stream: Http2Stream, { status, headers, body }: PlainAnswer, method: string): void {
  const bytes = Buffer.from(body);
  const all = { ":status": String(status), ...headers, "content-length": String(bytes.length) };
  const fields = Object.entries(all).map(([name, value]): Field => ({ name, value, indexed: false }));
  stream.answer(fields, method === "HEAD" ? Buffer.alloc(0) : bytes);
}
