import { Code } from "../../api/errors.ts";
import { type EncodedBlock, type Field, HpackEncoder } from "./hpack-encoder.ts";

const field = (name: string, value: string, indexed = false): Field => ({ name, value, indexed });

const STATUS_200 = field(":status", "200");
const CONTENT_TYPE = field("content-type", "application/grpc", true);
const HEAD: readonly Field[] = [STATUS_200, CONTENT_TYPE];
const GZIP_HEAD: readonly Field[] = [STATUS_200, CONTENT_TYPE, field("grpc-encoding", "gzip")];
const OK_TRAILERS: readonly Field[] = [field("grpc-status", String(Code.OK), true)];
const NOT_GRPC: readonly Field[] = [field(":status", "415")];

/** The header blocks of one connection's responses. From the second call on a usual one takes two bytes, and one at its end. */
export class ResponseHeaders {
  readonly #encoder = new HpackEncoder();
  #head: Buffer | undefined;
  #okTrailers: Buffer | undefined;

  setTableSize(bytes: number): void {
    this.#encoder.setMaxSize(bytes);
    this.#head = undefined;
    this.#okTrailers = undefined;
  }

  head(): Buffer {
    if (this.#head !== undefined) return this.#head;
    const block = this.#encode(HEAD);
    if (block.isStable) this.#head = block.bytes;
    return block.bytes;
  }

  gzipHead(): Buffer {
    return this.#encode(GZIP_HEAD).bytes;
  }

  okTrailers(): Buffer {
    if (this.#okTrailers !== undefined) return this.#okTrailers;
    const block = this.#encode(OK_TRAILERS);
    if (block.isStable) this.#okTrailers = block.bytes;
    return block.bytes;
  }

  errorTrailers(code: Code, message: string): Buffer {
    return this.#encode(statusFields(code, message)).bytes;
  }

  /** Head and trailers of a call that ends before its first message. */
  trailersOnly(code: Code, message: string): Buffer {
    return this.#encode([...HEAD, ...statusFields(code, message)]).bytes;
  }

  /** Of an answer that is none of gRPC's. */
  plain(fields: readonly Field[]): Buffer {
    return this.#encode(fields).bytes;
  }

  notGrpc(): Buffer {
    return this.#encode(NOT_GRPC).bytes;
  }

  /** What is remembered moves the older entries on. */
  #encode(fields: readonly Field[]): EncodedBlock {
    const block = this.#encoder.encode(fields);
    if (!block.isStable) {
      this.#head = undefined;
      this.#okTrailers = undefined;
    }
    return block;
  }
}

function statusFields(code: Code, message: string): Field[] {
  const status = field("grpc-status", String(code));
  return code === Code.OK ? [status] : [status, field("grpc-message", percentEncode(message))];
}

/** The gRPC protocol's Percent-Encoded: printable ASCII but for the percent sign stays. */
export function percentEncode(message: string): string {
  if (/^[ -$&-~]*$/.test(message)) return message;
  let text = "";
  for (const byte of Buffer.from(message, "utf8")) {
    if (byte >= 0x20 && byte <= 0x7e && byte !== 0x25) text += String.fromCharCode(byte);
    else text += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
}
