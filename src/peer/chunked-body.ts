/** HTTP/1.1's chunked coding, read in whatever pieces it comes. */
import { DecodeError } from "../../proto/codec.ts";

/** A size is only counted down and takes no memory: this is what makes no sense, twice the longest message. */
const MAX_CHUNK_BYTES = 2 ** 30;
/** Of a size and its extensions, which nobody reads. */
const MAX_LINE_BYTES = 256;
/** Of all fields behind the last chunk, which nobody reads. */
const MAX_TRAILER_BYTES = 4 * 1024;

const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const SEMICOLON = 59;
const DELETE = 127;

/** What the next byte is. */
type Place =
  | "first digit"
  | "digit"
  | "space behind size"
  | "extension"
  | "LF of size"
  | "data"
  | "CR of data"
  | "LF of data"
  | "trailer's start"
  | "trailer"
  | "LF of trailer"
  | "last LF"
  | "none";

export class ChunkedBody {
  #place: Place = "first digit";
  /** Of the chunk: its size as far as it is read, then what is left of it. */
  #left = 0;
  /** Of a size's line, or of all trailers. */
  #lineBytes = 0;

  /** The last chunk and what follows it have come. Bytes behind that are none of the body's. */
  get ended(): boolean {
    return this.#place === "none";
  }

  /** Appends the data that this piece holds, as views of it. After a DecodeError it is of no use. */
  push(bytes: Buffer, into: Buffer[]): void {
    let at = 0;
    while (at < bytes.length && this.#place !== "none") {
      if (this.#place !== "data") {
        this.#take(bytes[at++] as number);
        continue;
      }
      const end = Math.min(bytes.length, at + this.#left);
      this.#left -= end - at;
      if (this.#left === 0) this.#place = "CR of data";
      into.push(bytes.subarray(at, end));
      at = end;
    }
  }

  /** A byte that is no data. */
  #take(byte: number): void {
    switch (this.#place) {
      case "first digit":
      case "digit":
        this.#inSize(byte);
        return;
      case "space behind size":
      case "extension":
        this.#behindSize(byte);
        return;
      case "LF of size":
        if (byte !== LF) refuse("the line of a chunk's size ends in a carriage return alone");
        this.#place = this.#left === 0 ? "trailer's start" : "data";
        this.#lineBytes = 0;
        return;
      case "CR of data":
        if (byte !== CR) refuse("a chunk is longer than its size");
        this.#place = "LF of data";
        return;
      case "LF of data":
        if (byte !== LF) refuse("a chunk is longer than its size");
        this.#place = "first digit";
        return;
      default:
        this.#inTrailer(byte);
    }
  }

  #inSize(byte: number): void {
    const digit = hexValue(byte);
    if (digit < 0) {
      if (this.#place === "first digit") refuse("a chunk has no size");
      this.#place = "space behind size";
      this.#behindSize(byte);
      return;
    }
    this.#countLine();
    this.#left = this.#left * 16 + digit;
    if (this.#left > MAX_CHUNK_BYTES) refuse(`a chunk is over ${MAX_CHUNK_BYTES}`);
    this.#place = "digit";
  }

  #behindSize(byte: number): void {
    this.#countLine();
    if (byte === CR) {
      this.#place = "LF of size";
    } else if (this.#place === "extension") {
      if (!isText(byte)) refuse("a control character behind a chunk's size");
    } else if (byte === SEMICOLON) {
      this.#place = "extension";
    } else if (byte !== SPACE && byte !== TAB) {
      refuse("a chunk's size is no number");
    }
  }

  #inTrailer(byte: number): void {
    if (++this.#lineBytes > MAX_TRAILER_BYTES) refuse(`what follows the last chunk is over ${MAX_TRAILER_BYTES}`);
    switch (this.#place) {
      case "trailer's start":
      case "trailer":
        if (byte === CR) {
          this.#place = this.#place === "trailer" ? "LF of trailer" : "last LF";
          return;
        }
        if (!isText(byte)) refuse("a control character behind the last chunk");
        this.#place = "trailer";
        return;
      default:
        if (byte !== LF) refuse("a line behind the last chunk ends in a carriage return alone");
        this.#place = this.#place === "last LF" ? "none" : "trailer's start";
    }
  }

  #countLine(): void {
    if (++this.#lineBytes > MAX_LINE_BYTES) refuse(`the line of a chunk's size is over ${MAX_LINE_BYTES}`);
  }
}

function hexValue(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

function isText(byte: number): boolean {
  return (byte >= SPACE && byte !== DELETE) || byte === TAB;
}

function refuse(message: string): never {
  throw new DecodeError(`chunked body: ${message}`);
}
