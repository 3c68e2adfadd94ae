/**
 * What the header blocks of one connection's answers say. A server says the same two again and again, in the same octets;
 * those are decoded once for as long as the dynamic table, which gives them their meaning, stays as it is.
 */
import { type Field, HpackDecoder } from "./hpack.ts";

/** Undefined: is not in the block. */
export interface AnswerHeaders {
  readonly httpStatus: string | undefined;
  readonly grpcStatus: string | undefined;
  readonly grpcMessage: string | undefined;
}

interface Known {
  readonly octets: Uint8Array;
  readonly headers: AnswerHeaders;
}

/** Headers and trailers of an answer, and some others. */
const MAX_KNOWN = 4;
/** Longer ones are not those that repeat. */
const MAX_KNOWN_OCTETS = 64;

export class AnswerHeadersReader {
  readonly #decoder = new HpackDecoder();
  /** Blocks that changed nothing in the table, and whose indexes it still gives the same meaning; newest last. */
  readonly #known: Known[] = [];

  /** In the order in which the blocks come. */
  read(input: Uint8Array, start: number, end: number): AnswerHeaders {
    for (const { octets, headers } of this.#known) if (isAt(octets, input, start, end)) return headers;
    const changesBefore = this.#decoder.tableChanges;
    const headers = headersOf(this.#decoder.decode(input, start, end));
    if (this.#decoder.tableChanges !== changesBefore) this.#known.length = 0;
    else if (end - start <= MAX_KNOWN_OCTETS) {
      if (this.#known.length === MAX_KNOWN) this.#known.shift();
      // Of a Buffer, slice would be a view of what the next reading overwrites.
      this.#known.push({ octets: Uint8Array.from(input.subarray(start, end)), headers });
    }
    return headers;
  }
}

function isAt(octets: Uint8Array, input: Uint8Array, start: number, end: number): boolean {
  if (octets.length !== end - start) return false;
  for (let at = 0; at < octets.length; at++) if (octets[at] !== input[start + at]) return false;
  return true;
}

function headersOf(fields: readonly Field[]): AnswerHeaders {
  const of = (wanted: string): string | undefined => fields.find(({ name }) => name === wanted)?.value;
  return { httpStatus: of(":status"), grpcStatus: of("grpc-status"), grpcMessage: of("grpc-message") };
}
