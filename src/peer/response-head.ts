/** The head of an answer in HTTP/1.1, read in whatever pieces it comes, and how its body is delimited. */
import { DecodeError } from "../../proto/codec.ts";
import type { HttpHeaders } from "./transport.ts";

export type BodyKind =
  | { readonly kind: "chunked" }
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "toTheEnd" };

export interface ResponseHead {
  readonly status: number;
  /** By names in lower case. */
  readonly headers: HttpHeaders;
  readonly body: BodyKind;
}

/** With the heads of what is not yet the answer (1xx) before it. */
const MAX_HEAD_BYTES = 16 * 1024;
const END = Buffer.from("\r\n\r\n");

export class HeadReader {
  #bytes: Buffer = Buffer.alloc(0);
  #before = 0;

  /** The head, once it is whole, with what came behind it. After a DecodeError it is of no use. */
  push(piece: Buffer): { readonly head: ResponseHead; readonly rest: Buffer } | undefined {
    // The end may have begun in an earlier piece.
    let from = Math.max(0, this.#bytes.length - (END.length - 1));
    this.#bytes = Buffer.concat([this.#bytes, piece]);
    for (;;) {
      const end = this.#bytes.indexOf(END, from);
      const headBytes = end < 0 ? this.#bytes.length : end + END.length;
      if (this.#before + headBytes > MAX_HEAD_BYTES) refuse(`it is over ${MAX_HEAD_BYTES}`);
      if (end < 0) return undefined;
      const head = parse(this.#bytes.toString("latin1", 0, end));
      this.#bytes = this.#bytes.subarray(headBytes);
      if (head.status >= 200 || head.status === 101) return { head, rest: this.#bytes };
      this.#before += headBytes;
      from = 0;
    }
  }
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)$/;

function parse(text: string): ResponseHead {
  const [first = "", ...lines] = text.split("\r\n");
  const statusLine = STATUS_LINE.exec(first);
  if (statusLine === null) refuse("its first line is none of HTTP/1.1");
  const status = Number(statusLine[2]);
  const fields = new Map<string, string>();
  for (const line of lines) {
    const field = FIELD_LINE.exec(line);
    if (field === null) refuse("it has a malformed field");
    const name = (field[1] as string).toLowerCase();
    const value = (field[2] as string).trim();
    const earlier = fields.get(name);
    fields.set(name, earlier === undefined ? value : `${earlier}, ${value}`);
  }
  const body = bodyKind(status, statusLine[1] === "1", fields.get("transfer-encoding"), fields.get("content-length"));
  return { status, headers: Object.fromEntries(fields), body };
}

function bodyKind(
  status: number,
  http11: boolean,
  transferEncoding: string | undefined,
  contentLength: string | undefined,
): BodyKind {
  if (status < 200 || status === 204 || status === 304) return { kind: "length", bytes: 0 };
  if (transferEncoding !== undefined) {
    if (!http11 || transferEncoding.toLowerCase() !== "chunked") refuse("its body has an unknown coding");
    if (contentLength !== undefined) refuse("its body is both chunked and of a length");
    return { kind: "chunked" };
  }
  if (contentLength === undefined) return { kind: "toTheEnd" };
  if (!/^\d{1,15}$/.test(contentLength)) refuse("its body's length is no number");
  return { kind: "length", bytes: Number(contentLength) };
}

function refuse(message: string): never {
  throw new DecodeError(`head of the answer: ${message}`);
}
