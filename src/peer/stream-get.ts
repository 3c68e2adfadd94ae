import * as net from "node:net";
import { DecodeError } from "../../proto/codec.ts";
import { assert, must } from "../../raft/assert.ts";
import { ChunkedBody } from "./chunked-body.ts";
import type { ResponseHead } from "./response-head.ts";
import { HeadReader } from "./response-head.ts";

export interface GetHooks {
  onConnect(): void;
  /** Says who takes the body. */
  onHead(head: ResponseHead): BodyTaker;
  /** There is no head, and nothing will come. */
  onFailure(error: Error): void;
}

export interface BodyTaker {
  /** The bytes are the caller's again when this returns. */
  onData(data: Buffer): void;
  /** Once, and last. Undefined: the body came to its end. */
  onEnd(error: Error | undefined): void;
}

export interface GetOptions {
  readonly host: string;
  readonly port: number;
  readonly lookup: net.LookupFunction;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly hooks: GetHooks;
}

const READ_BYTES = 64 * 1024;

/**
 * One GET on a connection of its own, whose answer's body may go on for ever. It is HTTP/1.1 as far as that needs it and
 * no more: of Node's client each piece of such a body costs more than the message in it does.
 *
 * All reads are into one buffer: who takes the body keeps nothing of it, and so nothing waits here for a slow taker.
 */
export class StreamGet {
  readonly #hooks: GetHooks;
  readonly #socket: net.Socket;
  readonly #headReader = new HeadReader();
  #body: BodyReader | undefined;
  #taker: BodyTaker | undefined;
  #over = false;

  constructor({ host, port, lookup, path, headers, hooks }: GetOptions) {
    this.#hooks = hooks;
    const head = requestHead(host, port, path, headers);
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const callback = (length: number): boolean => {
      this.#received(buffer.subarray(0, length));
      return true;
    };
    this.#socket = net.connect({ host, port, lookup, onread: { buffer, callback } });
    this.#socket.on("connect", () => {
      if (!this.#over) hooks.onConnect();
    });
    this.#socket.on("error", (error) => this.#ended(error));
    this.#socket.on("end", () => this.#ended(this.#endOfConnection()));
    this.#socket.on("close", () => this.#ended(this.#endOfConnection()));
    this.#socket.write(head, "latin1");
  }

  /** No hook is called any more. */
  destroy(): void {
    this.#over = true;
    this.#socket.destroy();
  }

  #received(bytes: Buffer): void {
    if (this.#over) return;
    let rest = bytes;
    if (this.#body === undefined) {
      const found = refusing(() => this.#headReader.push(bytes));
      if (found instanceof DecodeError) this.#ended(found);
      if (found === undefined || found instanceof DecodeError) return;
      this.#body = new BodyReader(found.head);
      this.#taker = this.#hooks.onHead(found.head);
      rest = found.rest;
    }
    this.#receivedBody(this.#body, rest);
  }

  #receivedBody(body: BodyReader, bytes: Buffer): void {
    const pieces: Buffer[] = [];
    const error = refusing(() => body.push(bytes, pieces));
    for (const piece of pieces) {
      if (!this.#over) this.#taker?.onData(piece);
    }
    if (error !== undefined) this.#ended(error);
    else if (body.ended) this.#ended(undefined);
  }

  #endOfConnection(): Error | undefined {
    if (this.#body === undefined) return new Error("the connection ended before an answer");
    return this.#body.mayEnd ? undefined : new Error("the stream broke off");
  }

  /** Of several ends that one connection reports, the first counts. */
  #ended(error: Error | undefined): void {
    if (this.#over) return;
    this.destroy();
    if (this.#taker !== undefined) this.#taker.onEnd(error);
    else this.#hooks.onFailure(must(error, "only a body can end as it should"));
  }
}

/** A body's data, however it is delimited. */
class BodyReader {
  readonly #chunks: ChunkedBody | undefined;
  #left: number;
  readonly mayEnd: boolean;

  constructor({ body }: ResponseHead) {
    this.#chunks = body.kind === "chunked" ? new ChunkedBody() : undefined;
    this.#left = body.kind === "length" ? body.bytes : Number.POSITIVE_INFINITY;
    this.mayEnd = body.kind === "toTheEnd";
  }

  get ended(): boolean {
    return this.#chunks === undefined ? this.#left === 0 : this.#chunks.ended;
  }

  /** Appends views of the piece. */
  push(piece: Buffer, into: Buffer[]): void {
    if (this.#chunks !== undefined) {
      this.#chunks.push(piece, into);
      return;
    }
    const data = piece.subarray(0, Math.min(piece.length, this.#left));
    this.#left -= data.length;
    if (data.length > 0) into.push(data);
  }
}

function refusing<T>(read: () => T): T | DecodeError {
  try {
    return read();
  } catch (error) {
    if (error instanceof DecodeError) return error;
    throw error;
  }
}

function requestHead(host: string, port: number, path: string, headers: Readonly<Record<string, string>>): string {
  const name = host.includes(":") ? `[${host}]` : host;
  const fields = { Host: port === 80 ? name : `${name}:${port}`, Connection: "close", ...headers };
  const lines = [`GET ${path} HTTP/1.1`, ...Object.entries(fields).map(([field, value]) => `${field}: ${value}`)];
  assert(
    lines.every((line) => /^[\t\x20-\x7e]*$/.test(line)),
    "a line of a request's head is text",
  );
  return `${lines.join("\r\n")}\r\n\r\n`;
}
