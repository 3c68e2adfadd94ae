import type { Socket } from "node:net";
import { Flag, FRAME_HEAD_BYTES, FrameType, INITIAL } from "./protocol.ts";

const BUFFER_BYTES = 64 << 10;
/** Idle connections hold none: so many are kept for the next turn's busy ones. */
const POOLED_BUFFERS = 64;
/** A longer piece is handed to the socket by itself; below, copying it costs less than the socket's bookkeeping. */
const VIEW_BYTES = 4 << 10;
const NONE: Buffer = Buffer.alloc(0);

/** Output buffers that no connection uses at the moment. */
export class BufferPool {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
  }

  give(buffer: Buffer): void {
    if (this.#free.length < POOLED_BUFFERS) this.#free.push(buffer);
  }
}

/**
 * The outgoing bytes of one connection, in order. They gather until `flush`, which hands all of them to the socket at
 * once. A buffer is used again only when the socket holds nothing any more.
 */
export class FrameWriter {
  readonly #socket: Socket;
  readonly #pool: BufferPool;
  #buffer: Buffer = NONE;
  /** buffer[#start, #at) is not handed to the socket yet; what lies before it may still be on its way. */
  #start = 0;
  #at = 0;
  /** What comes before the buffer's bytes. */
  #parts: Buffer[] = [];
  #partBytes = 0;

  /** The socket took it later than `flush` could see. After a failure the kernel may still have it. */
  readonly #onWritten = (error?: Error | null): void => {
    if (!error && !this.hasOutput && this.#socket.writableLength === 0) this.#release();
  };

  constructor(socket: Socket, pool: BufferPool) {
    this.#socket = socket;
    this.#pool = pool;
  }

  /** Bytes that the socket has not taken, those included that wait for `flush`. */
  get unsentBytes(): number {
    return this.#partBytes + this.#at - this.#start + this.#socket.writableLength;
  }

  get hasOutput(): boolean {
    return this.#at > this.#start || this.#partBytes > 0;
  }

  get buffer(): Buffer {
    return this.#buffer;
  }

  /** The position in `buffer` where so many bytes of a DATA frame's payload may be written, until the next call. */
  roomForData(bytes: number): number {
    this.#ensure(FRAME_HEAD_BYTES + bytes);
    return this.#at + FRAME_HEAD_BYTES;
  }

  /** The payload is at `roomForData`. */
  commitData(bytes: number, flags: number, streamId: number): void {
    this.#head(bytes, FrameType.data, flags, streamId);
    this.#at += bytes;
  }

  frame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    this.#ensure(FRAME_HEAD_BYTES + payload.length);
    this.#head(payload.length, type, flags, streamId);
    this.#buffer.set(payload, this.#at);
    this.#at += payload.length;
  }

  /** One frame whose payload is a number: WINDOW_UPDATE, RST_STREAM. */
  numberFrame(type: number, streamId: number, value: number): void {
    this.#ensure(FRAME_HEAD_BYTES + 4);
    this.#head(4, type, Flag.none, streamId);
    this.#at = this.#buffer.writeUInt32BE(value, this.#at);
  }

  /** A header block, in as many frames as it takes. */
  headers(block: Buffer, streamId: number, endsStream: boolean): void {
    const endStream = endsStream ? Flag.endStream : Flag.none;
    if (block.length <= INITIAL.frameBytes) {
      this.frame(FrameType.headers, Flag.endHeaders | endStream, streamId, block);
      return;
    }
    for (let at = 0; at < block.length; at += INITIAL.frameBytes) {
      const piece = block.subarray(at, at + INITIAL.frameBytes);
      const endHeaders = at + piece.length === block.length ? Flag.endHeaders : Flag.none;
      if (at === 0) this.frame(FrameType.headers, endHeaders | endStream, streamId, piece);
      else this.frame(FrameType.continuation, endHeaders, streamId, piece);
    }
  }

  /** One DATA frame of bytes that will not change. */
  data(source: Buffer, start: number, end: number, streamId: number): void {
    const bytes = end - start;
    if (bytes < VIEW_BYTES) {
      const at = this.roomForData(bytes);
      source.copy(this.#buffer, at, start, end);
      this.commitData(bytes, Flag.none, streamId);
      return;
    }
    this.#ensure(FRAME_HEAD_BYTES);
    this.#head(bytes, FrameType.data, Flag.none, streamId);
    this.#cut();
    this.#part(source.subarray(start, end));
  }

  flush(): void {
    const socket = this.#socket;
    if (!this.hasOutput || socket.destroyed || socket.writableEnded) return;
    this.#cut();
    const parts = this.#parts;
    this.#parts = [];
    this.#partBytes = 0;
    const last = parts.pop() as Buffer;
    if (parts.length === 0) socket.write(last, this.#onWritten);
    else {
      socket.cork();
      for (const part of parts) socket.write(part);
      socket.write(last, this.#onWritten);
      socket.uncork();
    }
    if (socket.writableLength === 0) this.#release();
  }

  /** The connection is over: nothing more is taken or sent. */
  close(): void {
    if (this.#socket.writableLength === 0) this.#release();
    this.#parts = [];
    this.#partBytes = 0;
    this.#buffer = NONE;
    this.#start = 0;
    this.#at = 0;
  }

  #head(length: number, type: number, flags: number, streamId: number): void {
    const buffer = this.#buffer;
    const at = this.#at;
    buffer[at] = length >>> 16;
    buffer[at + 1] = length >>> 8;
    buffer[at + 2] = length;
    buffer[at + 3] = type;
    buffer[at + 4] = flags;
    buffer[at + 5] = streamId >>> 24;
    buffer[at + 6] = streamId >>> 16;
    buffer[at + 7] = streamId >>> 8;
    buffer[at + 8] = streamId;
    this.#at = at + FRAME_HEAD_BYTES;
  }

  #ensure(bytes: number): void {
    if (this.#buffer.length - this.#at >= bytes) return;
    this.#cut();
    // What the socket or #parts refers to stays theirs.
    this.#buffer = this.#pool.take();
    this.#start = 0;
    this.#at = 0;
  }

  /** Ends the part that is being written. */
  #cut(): void {
    if (this.#at === this.#start) return;
    this.#part(this.#buffer.subarray(this.#start, this.#at));
    this.#start = this.#at;
  }

  #part(part: Buffer): void {
    this.#parts.push(part);
    this.#partBytes += part.length;
  }

  /** Only while nobody refers to the buffer. */
  #release(): void {
    if (this.#buffer.length > 0) this.#pool.give(this.#buffer);
    this.#buffer = NONE;
    this.#start = 0;
    this.#at = 0;
  }
}
