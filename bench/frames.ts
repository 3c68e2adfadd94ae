/** Frames of HTTP/2 (RFC 9113) and messages of gRPC in them: numbers, what a client checks of each, how they are written. */
import type { Socket } from "node:net";

export const FRAME_HEADER = 9;
/** SETTINGS_MAX_FRAME_SIZE of a side that does not say another. */
export const FRAME_BYTES = 16_384;
/** Of a message of gRPC: whether it is compressed, and its length. */
export const MESSAGE_PREFIX = 5;
const MAX_MESSAGE_BYTES = 512 << 20;

export const frame = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const flag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;
export const setting = { tableSize: 1, enablePush: 2, windowSize: 4, frameSize: 5 } as const;

export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** The four octets have to be there. */
export function uint32At(bytes: Buffer, at: number): number {
  const high = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  const low = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
  return ((high << 16) | low) >>> 0;
}

/** By the prefix that stands at `at`. */
export function messageLength(buffer: Buffer, at: number): number {
  if (buffer[at] !== 0) throw new ProtocolError("a compressed message, which was not asked for");
  const length = uint32At(buffer, at + 1);
  if (length > MAX_MESSAGE_BYTES) throw new ProtocolError(`a message of ${length} bytes`);
  return length;
}

export function expectLength(type: number, length: number, wanted: number): void {
  if (length !== wanted) throw new ProtocolError(`a frame of type ${type} and ${length} bytes`);
}

const WRITE_BYTES = 64 << 10;
/** Fewer octets than that are copied sooner by a loop than by the engine's own function. */
const FEW = 24;

/** What goes out with the next write to one socket: frames, and before the first of them the preface. */
export class Outgoing {
  readonly #spare: Buffer[] = [];
  #bytes: Buffer = Buffer.allocUnsafeSlow(WRITE_BYTES);
  #end = 0;

  /** Begins a frame whose payload is what is put in next: `length` octets. There is room for all of them then. */
  frame(length: number, type: number, flags: number, id: number): void {
    this.#reserve(FRAME_HEADER + length);
    const bytes = this.#bytes;
    const at = this.#end;
    bytes[at] = length >>> 16;
    bytes[at + 1] = length >>> 8;
    bytes[at + 2] = length;
    bytes[at + 3] = type;
    bytes[at + 4] = flags;
    this.#end = at + 5;
    this.uint32(id);
  }

  uint16(value: number): void {
    this.#bytes[this.#end++] = value >>> 8;
    this.#bytes[this.#end++] = value;
  }

  uint32(value: number): void {
    const bytes = this.#bytes;
    const at = this.#end;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
    this.#end = at + 4;
  }

  /** With its prefix. */
  message(message: Buffer): void {
    this.#bytes[this.#end++] = 0;
    this.uint32(message.length);
    this.copy(message);
  }

  copy(source: Buffer): void {
    const { length } = source;
    const bytes = this.#bytes;
    const start = this.#end;
    if (length > FEW) bytes.set(source, start);
    else for (let at = 0; at < length; at++) bytes[start + at] = source[at] as number;
    this.#end = start + length;
  }

  flush(socket: Socket): void {
    if (this.#end === 0) return;
    const written = this.#bytes;
    socket.write(written.subarray(0, this.#end), () => {
      if (this.#spare.length < 2) this.#spare.push(written);
    });
    this.#bytes = this.#spare.pop() ?? Buffer.allocUnsafeSlow(WRITE_BYTES);
    this.#end = 0;
  }

  #reserve(more: number): void {
    const needed = this.#end + more;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, needed));
    this.#bytes.copy(larger, 0, 0, this.#end);
    this.#bytes = larger;
  }
}
