import type { Logger } from "../../log.ts";
import { INTERNAL_ERROR, type PlainAnswer, type PlainHandler, TOO_MUCH_HELD } from "../plain-http.ts";
import type { CallConnection } from "./grpc-call.ts";
import type { Field } from "./hpack-encoder.ts";
import type { RequestHead } from "./request-head.ts";
import type { Http2Stream, StreamReceiver } from "./stream.ts";

type PlainConnection = Pick<CallConnection, "hold" | "release" | "broken">;

/** A request that is no gRPC call, answered by the plain HTTP endpoints. What it brings as a body is dropped. */
export class PlainStream implements StreamReceiver {
  readonly #stream: Http2Stream;
  readonly #head: Extract<RequestHead, { kind: "notGrpc" }>;
  readonly #connection: PlainConnection;
  readonly #handle: PlainHandler;
  readonly #logger: Logger;
  readonly #gone = new AbortController();

  constructor(
    stream: Http2Stream,
    head: Extract<RequestHead, { kind: "notGrpc" }>,
    connection: PlainConnection,
    handle: PlainHandler,
    logger: Logger,
  ) {
    this.#stream = stream;
    this.#head = head;
    this.#connection = connection;
    this.#handle = handle;
    this.#logger = logger;
  }

  opened(): void {
    const { method, fieldBytes } = this.#head;
    if (this.#connection.hold(fieldBytes)) void this.#serve();
    else sendPlain(this.#stream, TOO_MUCH_HELD, method);
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
    const { method, path, origin, fieldBytes } = this.#head;
    let answer: PlainAnswer;
    try {
      answer = await this.#handle({ method, target: path, origin }, this.#gone.signal);
    } catch (thrown) {
      const stacktrace = thrown instanceof Error ? thrown.stack : undefined;
      this.#logger.error({ url: path, error: String(thrown), stacktrace }, "failed to serve an HTTP request");
      answer = INTERNAL_ERROR;
    } finally {
      // Not before: whoever serves it has it as long, even if its client is gone.
      this.#connection.release(fieldBytes);
    }
    try {
      sendPlain(this.#stream, answer, method);
    } catch (thrown) {
      // Nobody else would catch it.
      this.#connection.broken(thrown);
    }
  }
}

export function sendPlain(stream: Http2Stream, { status, headers, body }: PlainAnswer, method: string): void {
  const bytes = Buffer.from(body);
  const all = { ":status": String(status), ...headers, "content-length": String(bytes.length) };
  const fields = Object.entries(all).map(([name, value]): Field => ({ name, value, indexed: false }));
  stream.answer(fields, method === "HEAD" ? Buffer.alloc(0) : bytes);
}
