/** What happens to the messages that a MessageReader finds. */
export interface MessageTaker {
  /** buffer[start, end) is the message; false: no more of them. It may be kept, but then the buffer is. */
  message(flag: number, buffer: Buffer, start: number, end: number): boolean;
  tooLarge(bytes: number): void;
  /** So many bytes more are to be held of a message that has not come whole; false when they must not. */
  hold(bytes: number): boolean;
  /** They are not held any more. */
  release(bytes: number): void;
}

/** gRPC's Length-Prefixed-Message: flag and length. */
export const PREFIX_BYTES = 5;
const FIRST_HELD_BYTES = 1_024;
const NONE: Buffer = Buffer.alloc(0);

/** Whether buffer[start, end) is exactly one message that is not too large: what unary requests usually are. */
export function isOneMessage(buffer: Buffer, start: number, end: number, maxBytes: number): boolean {
  const bytes = end - start - PREFIX_BYTES;
  return bytes >= 0 && bytes <= maxBytes && buffer.readUInt32BE(start + 1) === bytes;
}

/** Puts gRPC messages together from the pieces of a stream's body. One that lies within a piece is not copied. */
export class MessageReader {
  readonly #maxBytes: number;
  /** The beginning of one message, with its prefix; memory is taken as bytes come, not as announced. */
  #held: Buffer = NONE;
  #heldBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** A message has begun and not ended. */
  get isWithinMessage(): boolean {
    return this.#heldBytes > 0;
  }

  push(buffer: Buffer, start: number, end: number, taker: MessageTaker): void {
    let at = start;
    if (this.#heldBytes > 0) {
      at = this.#complete(buffer, start, end, taker);
      if (at < 0) return;
    }
    while (end - at >= PREFIX_BYTES) {
      const bytes = buffer.readUInt32BE(at + 1);
      if (bytes > this.#maxBytes) {
        taker.tooLarge(bytes);
        return;
      }
      const next = at + PREFIX_BYTES + bytes;
      if (next > end) break;
      if (!taker.message(buffer[at] as number, buffer, at + PREFIX_BYTES, next)) return;
      at = next;
    }
    if (at < end) this.#append(buffer, at, end, taker);
  }

  drop(taker: MessageTaker): void {
    taker.release(this.#held.length);
    this.#held = NONE;
    this.#heldBytes = 0;
  }

  /** Goes on with what is held; returns the position behind it, or -1 when there is nothing more to do. */
  #complete(buffer: Buffer, start: number, end: number, taker: MessageTaker): number {
    let at = start;
    if (this.#heldBytes < PREFIX_BYTES) {
      const next = Math.min(end, at + PREFIX_BYTES - this.#heldBytes);
      if (!this.#append(buffer, at, next, taker)) return -1;
      at = next;
      if (this.#heldBytes < PREFIX_BYTES) return -1;
    }
    const bytes = this.#held.readUInt32BE(1);
    if (bytes > this.#maxBytes) {
      taker.tooLarge(bytes);
      return -1;
    }
    const whole = PREFIX_BYTES + bytes;
    const next = Math.min(end, at + whole - this.#heldBytes);
    if (!this.#append(buffer, at, next, taker)) return -1;
    if (this.#heldBytes < whole) return -1;
    const message = this.#held;
    this.drop(taker);
    return taker.message(message[0] as number, message, PREFIX_BYTES, whole) ? next : -1;
  }

  #append(buffer: Buffer, start: number, end: number, taker: MessageTaker): boolean {
    const needed = this.#heldBytes + end - start;
    if (needed > this.#held.length) {
      const most = this.#heldBytes >= PREFIX_BYTES ? PREFIX_BYTES + this.#held.readUInt32BE(1) : FIRST_HELD_BYTES;
      const capacity = Math.max(needed, Math.min(most, Math.max(FIRST_HELD_BYTES, 2 * needed)));
      if (!taker.hold(capacity - this.#held.length)) return false;
      const grown = Buffer.allocUnsafeSlow(capacity);
      this.#held.copy(grown, 0, 0, this.#heldBytes);
      this.#held = grown;
    }
    buffer.copy(this.#held, this.#heldBytes, start, end);
    this.#heldBytes = needed;
    return true;
  }
}
