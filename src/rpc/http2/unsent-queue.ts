import { MESSAGE_OVERHEAD_BYTES } from "../call-rules.ts";

/** A message from this size on is a piece of its own. */
const OWN_PIECE_BYTES = 8 << 10;
const MAX_PIECE_BYTES = 64 << 10;

interface Piece {
  readonly buffer: Buffer;
  /** buffer[0, end) is to be sent. */
  end: number;
}

/** Nothing waits: of most streams, nothing ever does. */
const NONE: Piece[] = [];
const SENT: Piece = { buffer: Buffer.alloc(0), end: 0 };

/**
 * What the windows or the socket of one stream did not let out: encoded messages, in order.
 *
 * Short messages that come behind others are written one behind the other into a piece that they share: with thousands of
 * them, as when a client is behind with its events, a buffer for each would cost several times what its bytes do, and each
 * would leave in a frame of its own. A piece is twice as large as what the one before was filled with, so that short
 * messages between long ones do not take much.
 */
export class UnsentQueue {
  readonly #count: (bytes: number) => void;
  #pieces: Piece[] = NONE;
  #next = 0;
  /** Of the first piece, what was sent. */
  #offset = 0;
  /** The last piece, while messages may be added to it. */
  #open: Piece | undefined;
  /** What the shared piece before the open one was filled with. */
  #filled = 0;
  #bytes = 0;

  /** `count` is told whenever `bytes` changes, and by how much. */
  constructor(count: (bytes: number) => void) {
    this.#count = count;
  }

  get hasSome(): boolean {
    return this.#next < this.#pieces.length;
  }

  /** What is not sent yet of messages, the empty part of shared pieces, and what each piece costs beside. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that will not change. */
  push(buffer: Buffer): void {
    this.#close();
    this.#add({ buffer, end: buffer.length });
  }

  /** Where in `openBuffer` a message of so many bytes may be written, before `commit`; -1 when it is to be pushed. */
  room(bytes: number): number {
    if (!this.hasSome || bytes >= OWN_PIECE_BYTES) return -1;
    if (this.#open === undefined || this.#open.buffer.length - this.#open.end < bytes) {
      this.#close();
      const size = Math.min(2 * Math.max(this.#filled, bytes), MAX_PIECE_BYTES);
      this.#open = { buffer: Buffer.allocUnsafeSlow(size), end: 0 };
    }
    return this.#open.end;
  }

  get openBuffer(): Buffer {
    return (this.#open as Piece).buffer;
  }

  commit(bytes: number): void {
    const open = this.#open as Piece;
    // Only now: a message that could not be written leaves no piece without content.
    if (open.end === 0) this.#add(open);
    open.end += bytes;
  }

  /** What is first: buffer[offset, end). Only while `hasSome`. */
  get firstBuffer(): Buffer {
    return (this.#pieces[this.#next] as Piece).buffer;
  }

  get firstOffset(): number {
    return this.#offset;
  }

  get firstEnd(): number {
    return (this.#pieces[this.#next] as Piece).end;
  }

  /** So much of the first piece was sent. */
  sent(bytes: number): void {
    const { buffer, end } = this.#pieces[this.#next] as Piece;
    this.#offset += bytes;
    if (this.#offset < end) {
      this.#change(-bytes);
      return;
    }
    this.#change(-bytes - (buffer.length - end) - MESSAGE_OVERHEAD_BYTES);
    this.#advance();
  }

  clear(): void {
    this.#pieces = NONE;
    this.#next = 0;
    this.#offset = 0;
    this.#open = undefined;
    this.#filled = 0;
    if (this.#bytes > 0) this.#change(-this.#bytes);
  }

  /** Nothing more is added to the open piece. */
  #close(): void {
    if (this.#open === undefined) return;
    this.#filled = this.#open.end;
    this.#open = undefined;
  }

  #add(piece: Piece): void {
    if (this.#pieces === NONE) this.#pieces = [];
    this.#pieces.push(piece);
    this.#change(piece.buffer.length + MESSAGE_OVERHEAD_BYTES);
  }

  #change(bytes: number): void {
    this.#bytes += bytes;
    this.#count(bytes);
  }

  #advance(): void {
    this.#offset = 0;
    if (this.#pieces[this.#next] === this.#open) this.#close();
    this.#pieces[this.#next] = SENT;
    this.#next++;
    if (this.#next === this.#pieces.length) {
      this.#pieces = NONE;
      this.#next = 0;
    } else if (this.#next > 64 && this.#next * 2 > this.#pieces.length) {
      this.#pieces = this.#pieces.slice(this.#next);
      this.#next = 0;
    }
  }
}
