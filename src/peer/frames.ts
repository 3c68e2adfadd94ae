/** Frames out of arbitrary pieces of a byte stream. */

import { DecodeError } from "../../proto/codec.ts";
import type { Message } from "../../raft/types.ts";

export type StreamType = "message" | "msgapp";

export interface FrameEncoder {
  /** All of them in one buffer, in order, with so many bytes in front and behind that are the caller's to write. */
  encode(messages: readonly Message[], bytesBefore?: number, bytesAfter?: number): Buffer;
  readonly linkHeartbeat: Buffer;
}

export interface FrameDecoder {
  /** Appends the messages that this piece completes (link heartbeats are none). After a DecodeError it is of no use. */
  push(chunk: Buffer, into: Message[]): void;
}

export interface FrameLayout {
  /**
   * Bytes that the frame at `start` needs at least, judged from the `available` ones; it is whole once they are there,
   * and then exactly that long. Asked again for the same frame as more arrives, until `reset`.
   */
  needed(bytes: Buffer, start: number, available: number): number;
  reset(): void;
}

/** Taken for a frame at once, whatever its length says; beyond that memory grows with what arrives. */
const TRUSTED_BYTES = 1024 * 1024;
const SMALLEST_BYTES = 512;

export class FrameAssembler {
  readonly #layout: FrameLayout;
  #partial: Buffer | undefined;
  #have = 0;

  constructor(layout: FrameLayout) {
    this.#layout = layout;
  }

  /** Hands over each completed frame in a buffer of its own: bytes of one frame are held by nothing else. */
  push(chunk: Buffer, onFrame: (frame: Buffer) => void): void {
    let at = 0;
    while (at < chunk.length) {
      const rest = chunk.length - at;
      if (this.#partial === undefined) {
        const needed = this.#layout.needed(chunk, at, rest);
        if (needed <= rest) {
          this.#layout.reset();
          onFrame(copy(chunk, at, needed));
          at += needed;
          continue;
        }
        this.#partial = Buffer.allocUnsafeSlow(Math.max(rest, Math.min(needed, TRUSTED_BYTES), SMALLEST_BYTES));
        this.#have = chunk.copy(this.#partial, 0, at);
        return;
      }

      if (this.#have === this.#partial.length) {
        const grown = Buffer.allocUnsafeSlow(this.#partial.length * 2);
        this.#partial.copy(grown, 0, 0, this.#have);
        this.#partial = grown;
      }
      const taken = chunk.copy(this.#partial, this.#have, at);
      this.#have += taken;
      at += taken;
      const needed = this.#layout.needed(this.#partial, 0, this.#have);
      if (needed > this.#have) continue;
      // What was taken too much is of this chunk: before it the frame was not whole.
      at -= this.#have - needed;
      const partial = this.#partial;
      this.#partial = undefined;
      this.#layout.reset();
      onFrame(partial.length - needed > needed / 8 ? copy(partial, 0, needed) : partial.subarray(0, needed));
    }
  }
}

function copy(bytes: Buffer, start: number, length: number): Buffer {
  const own = Buffer.allocUnsafeSlow(length);
  bytes.copy(own, 0, start, start + length);
  return own;
}

const WORD = 2 ** 32;

export function readUint64(bytes: Buffer, at: number, limit: number, what: string): number {
  const value = bytes.readUInt32BE(at) * WORD + bytes.readUInt32BE(at + 4);
  if (value > limit) throw new DecodeError(`peer stream: ${what} ${value} is over ${limit}`);
  return value;
}

export function writeUint64(value: number, out: Buffer, at: number): number {
  out.writeUInt32BE(Math.floor(value / WORD), at);
  return out.writeUInt32BE(value % WORD, at + 4);
}
