import { ConnectionError, ErrorCode, FRAME_HEAD_BYTES, PREFACE } from "./protocol.ts";

/** Takes one frame whose payload is buffer[start, end); it must copy what it keeps. Throws ConnectionError. */
export type FrameHandler = (
  type: number,
  flags: number,
  streamId: number,
  buffer: Buffer,
  start: number,
  end: number,
) => void;

/**
 * Cuts what a client sends into frames (RFC 9113 §3.4, §4.1). A frame that lies within one chunk is not copied; of one
 * that does not, this holds at most its own length, and takes memory for it only when its head has come.
 */
export class FrameReader {
  readonly #maxFrameBytes: number;
  readonly #onFrame: FrameHandler;
  #prefaceSeen = 0;
  /** The beginning of a frame: its head, or all of it once its length is known. */
  #held: Buffer | undefined;
  #heldBytes = 0;
  #stopped = false;

  constructor(maxFrameBytes: number, onFrame: FrameHandler) {
    this.#maxFrameBytes = maxFrameBytes;
    this.#onFrame = onFrame;
  }

  /** Nothing is handed over any more, also not of the chunk at hand. */
  stop(): void {
    this.#stopped = true;
    this.#held = undefined;
  }

  push(chunk: Buffer): void {
    let at = this.#prefaceSeen < PREFACE.length ? this.#readPreface(chunk) : 0;
    if (this.#held !== undefined) at = this.#completeHeld(this.#held, chunk, at);
    while (!this.#stopped && chunk.length - at >= FRAME_HEAD_BYTES) {
      const end = at + FRAME_HEAD_BYTES + this.#payloadBytes(chunk, at);
      if (end > chunk.length) break;
      this.#deliver(chunk, at, end);
      at = end;
    }
    if (!this.#stopped && at < chunk.length) this.#hold(chunk, at);
  }

  #readPreface(chunk: Buffer): number {
    const bytes = Math.min(chunk.length, PREFACE.length - this.#prefaceSeen);
    if (PREFACE.compare(chunk, 0, bytes, this.#prefaceSeen, this.#prefaceSeen + bytes) !== 0) {
      throw new ConnectionError(ErrorCode.protocolError, "this is not the preface of HTTP/2");
    }
    this.#prefaceSeen += bytes;
    return bytes;
  }

  #payloadBytes(buffer: Buffer, at: number): number {
    const bytes = ((buffer[at] as number) << 16) | ((buffer[at + 1] as number) << 8) | (buffer[at + 2] as number);
    if (bytes > this.#maxFrameBytes) {
      throw new ConnectionError(ErrorCode.frameSizeError, `a frame of ${bytes} bytes is above ${this.#maxFrameBytes}`);
    }
    return bytes;
  }

  #deliver(buffer: Buffer, at: number, end: number): void {
    const streamId =
      (((buffer[at + 5] as number) & 0x7f) << 24) |
      ((buffer[at + 6] as number) << 16) |
      ((buffer[at + 7] as number) << 8) |
      (buffer[at + 8] as number);
    this.#onFrame(buffer[at + 3] as number, buffer[at + 4] as number, streamId, buffer, at + FRAME_HEAD_BYTES, end);
  }

  #hold(chunk: Buffer, at: number): void {
    const bytes = chunk.length - at;
    const isHeadWhole = bytes >= FRAME_HEAD_BYTES;
    this.#held = Buffer.allocUnsafeSlow(FRAME_HEAD_BYTES + (isHeadWhole ? this.#payloadBytes(chunk, at) : 0));
    chunk.copy(this.#held, 0, at);
    this.#heldBytes = bytes;
  }

  /** Returns the position behind what it took. */
  #completeHeld(started: Buffer, chunk: Buffer, from: number): number {
    let at = from;
    let held = started;
    const fill = (): boolean => {
      const copied = chunk.copy(held, this.#heldBytes, at);
      at += copied;
      this.#heldBytes += copied;
      return this.#heldBytes === held.length;
    };
    if (held.length === FRAME_HEAD_BYTES) {
      if (!fill()) return at;
      const whole = Buffer.allocUnsafeSlow(FRAME_HEAD_BYTES + this.#payloadBytes(held, 0));
      held.copy(whole);
      held = whole;
      this.#held = whole;
    }
    if (!fill()) return at;
    this.#held = undefined;
    this.#heldBytes = 0;
    this.#deliver(held, 0, held.length);
    return at;
  }
}
