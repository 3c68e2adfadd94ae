/**
 * gRPC over HTTP/2 without TLS, made for load: many calls on one connection at little cost for the process that makes
 * them. What is asked during one turn of the event loop goes out in one write. What the server sends is checked as far as
 * it is used; a server that breaks the protocol ends the connection, and every call on it with that reason.
 */
import { connect as connectSocket, type Socket } from "node:net";
import { type AnswerHeaders, AnswerHeadersReader } from "./answer-headers.ts";
import {
  expectLength,
  FRAME_BYTES,
  FRAME_HEADER,
  flag,
  frame,
  MESSAGE_PREFIX,
  messageLength,
  Outgoing,
  ProtocolError,
  setting,
  uint32At,
} from "./frames.ts";
import { DEFAULT_TABLE_SIZE, HpackError, RequestHeaders } from "./hpack.ts";
import { nowUs } from "./meter.ts";
import { OpenStreams } from "./open-streams.ts";

/** gRPC's status 0, as it stands in the trailers. */
export const OK = "0";

/**
 * What hears of a call. `atUs` (of `nowUs`) is when that was read which is told. What came with one reading of the socket
 * has the same time: what the first of it gives this process to do is no delay of the last.
 */
export interface Receiver {
  /** One message of the answer: the octets from `start` to `end`, which are others after the call. */
  message(bytes: Buffer, start: number, end: number, atUs: number): void;
  /** No more will come. `status`: gRPC's number, or words when the call ended without one. */
  ended(status: string, detail: string, atUs: number): void;
}

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const CONNECT_TIMEOUT_MS = 10_000;
const READ_BYTES = 256 << 10;
const FIRST_WINDOW = 65_535;
const MAX_WINDOW = 2 ** 31 - 1;
/** What a server may have on its way to us, for a call and for all of them. */
const STREAM_WINDOW = 16 << 20;
const CONNECTION_WINDOW = 1 << 30;
const MAX_HEADER_BLOCK = 64 << 10;
const CANCEL = 8;

interface Stream {
  readonly id: number;
  readonly receiver: Receiver;
  sendWindow: number;
  /** Received and not yet given back to the server's window. */
  unreturned: number;
  /** A message, or its prefix, that came in part. */
  partial: Buffer | undefined;
  filled: number;
  sawHeaders: boolean;
}

/** DATA that the server's windows do not let out yet. */
interface Blocked {
  readonly stream: Stream;
  readonly bytes: Buffer;
  readonly endsStream: boolean;
  at: number;
}

export class Connection {
  readonly #socket: Socket;
  readonly #authority: string;
  readonly #answerHeaders = new AnswerHeadersReader();
  readonly #streams = new OpenStreams<Stream>();
  readonly #blocked: Blocked[] = [];
  readonly #out = new Outgoing();
  #headers: RequestHeaders;
  #onReady: ((failure?: Error) => void) | undefined;
  #failure: string | undefined;
  #isClosed = false;
  #nextId = 1;
  #isReading = false;
  /** Of what is being read. */
  #readUs = 0;
  #flushIsDue = false;
  /** The beginning of a frame whose rest has not come. */
  #rest = Buffer.allocUnsafeSlow(FRAME_BYTES + FRAME_HEADER + READ_BYTES);
  #restBytes = 0;
  #sendWindow = FIRST_WINDOW;
  #streamSendWindow = FIRST_WINDOW;
  #serverFrameBytes = FRAME_BYTES;
  #unreturned = 0;
  /** A header block whose CONTINUATION has not come. */
  #block: { readonly id: number; readonly endsStream: boolean; bytes: Buffer } | undefined;

  private constructor(host: string, port: number, onReady: (failure?: Error) => void) {
    this.#authority = `${host}:${port}`;
    this.#headers = new RequestHeaders(this.#authority, DEFAULT_TABLE_SIZE);
    this.#onReady = onReady;
    const onread = {
      buffer: Buffer.allocUnsafeSlow(READ_BYTES),
      callback: (count: number, buffer: Uint8Array): boolean => {
        this.#read(buffer as Buffer, count);
        return true;
      },
    };
    this.#socket = connectSocket({ host, port, noDelay: true, onread });
    this.#socket.setTimeout(CONNECT_TIMEOUT_MS, () => this.#fail("the server did not say its settings in time"));
    this.#socket.on("error", (error) => this.#fail(error.message));
    this.#socket.on("close", () => this.#fail("the connection was closed"));
    this.#greet();
  }

  /** Resolves when the server has said its settings. */
  static open(host: string, port: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const connection: Connection = new Connection(host, port, (failure) => {
        if (failure === undefined) resolve(connection);
        else reject(failure);
      });
    });
  }

  /** Why there can be no more calls. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** A call with one request. The message may be overwritten afterwards. */
  unary(path: string, message: Buffer, receiver: Receiver): void {
    const stream = this.#begin(path, receiver);
    if (stream !== undefined) this.#send(stream, message, true);
  }

  /** A call with many requests; undefined (and the receiver told) when the connection takes no more. */
  stream(path: string, receiver: Receiver): number | undefined {
    return this.#begin(path, receiver)?.id;
  }

  /** One more request of such a call. Its end is not awaited: one that is over takes no notice. */
  send(id: number, message: Buffer): void {
    const stream = this.#streams.get(id);
    if (stream !== undefined) this.#send(stream, message, false);
  }

  /** Ends such a call without waiting for what the server has to say; its receiver hears no more. */
  cancel(id: number): void {
    if (!this.#streams.delete(id)) return;
    this.#out.frame(4, frame.rstStream, 0, id);
    this.#out.uint32(CANCEL);
    this.#flushSoon();
  }

  close(): void {
    this.#fail("closed");
  }

  #greet(): void {
    this.#out.copy(PREFACE);
    const settings = [
      [setting.enablePush, 0],
      [setting.windowSize, STREAM_WINDOW],
    ] as const;
    this.#out.frame(6 * settings.length, frame.settings, 0, 0);
    for (const [name, value] of settings) {
      this.#out.uint16(name);
      this.#out.uint32(value);
    }
    this.#returnWindow(0, CONNECTION_WINDOW - FIRST_WINDOW);
    this.#flush();
  }

  #begin(path: string, receiver: Receiver): Stream | undefined {
    if (this.#failure === undefined && this.#nextId > MAX_WINDOW) this.#failure = "all stream ids were used";
    if (this.#failure !== undefined) {
      receiver.ended(this.#failure, "", nowUs());
      return undefined;
    }
    const id = this.#nextId;
    this.#nextId += 2;
    const stream: Stream = {
      id,
      receiver,
      sendWindow: this.#streamSendWindow,
      unreturned: 0,
      partial: undefined,
      filled: 0,
      sawHeaders: false,
    };
    this.#streams.add(stream);
    const block = this.#headers.block(path);
    this.#out.frame(block.length, frame.headers, flag.endHeaders, id);
    this.#out.copy(block);
    this.#flushSoon();
    return stream;
  }

  #send(stream: Stream, message: Buffer, endsStream: boolean): void {
    const length = MESSAGE_PREFIX + message.length;
    const room = Math.min(this.#sendWindow, stream.sendWindow, this.#serverFrameBytes);
    if (length > room || this.#blocked.length > 0) {
      const bytes = Buffer.allocUnsafe(length);
      bytes[0] = 0;
      bytes.writeUInt32BE(message.length, 1);
      message.copy(bytes, MESSAGE_PREFIX);
      this.#blocked.push({ stream, bytes, endsStream, at: 0 });
      this.#sendBlocked();
      return;
    }
    this.#sendWindow -= length;
    stream.sendWindow -= length;
    this.#out.frame(length, frame.data, endsStream ? flag.endStream : 0, stream.id);
    this.#out.message(message);
    this.#flushSoon();
  }

  /** In the order in which it was asked, so that no call starves. */
  #sendBlocked(): void {
    for (let first = this.#blocked[0]; first !== undefined; first = this.#blocked[0]) {
      const { stream, bytes, endsStream } = first;
      while (first.at < bytes.length && this.#streams.get(stream.id) === stream) {
        const left = bytes.length - first.at;
        const length = Math.min(left, this.#sendWindow, stream.sendWindow, this.#serverFrameBytes);
        if (length <= 0) return;
        this.#sendWindow -= length;
        stream.sendWindow -= length;
        this.#out.frame(length, frame.data, endsStream && length === left ? flag.endStream : 0, stream.id);
        this.#out.copy(bytes.subarray(first.at, first.at + length));
        first.at += length;
        this.#flushSoon();
      }
      this.#blocked.shift();
    }
  }

  /** What is read in this turn may ask for more: all of it goes out together. */
  #flushSoon(): void {
    if (this.#isReading || this.#flushIsDue) return;
    this.#flushIsDue = true;
    setImmediate(() => {
      this.#flushIsDue = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (!this.#isClosed) this.#out.flush(this.#socket);
  }

  #read(buffer: Buffer, count: number): void {
    this.#isReading = true;
    this.#readUs = nowUs();
    try {
      if (this.#restBytes === 0) this.#keep(buffer, this.#frames(buffer, count), count);
      else {
        buffer.copy(this.#rest, this.#restBytes, 0, count);
        const end = this.#restBytes + count;
        this.#keep(this.#rest, this.#frames(this.#rest, end), end);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError || error instanceof HpackError)) throw error;
      this.#fail(`the server broke the protocol: ${error.message}`);
    } finally {
      this.#isReading = false;
    }
    this.#flush();
  }

  #keep(buffer: Buffer, start: number, end: number): void {
    this.#restBytes = end - start;
    if (end > start) buffer.copy(this.#rest, 0, start, end);
  }

  /** Takes the frames that are whole; returns where the first begins that is not. */
  #frames(buffer: Buffer, end: number): number {
    let at = 0;
    while (end - at >= FRAME_HEADER && !this.#isClosed) {
      const length = ((buffer[at] as number) << 16) | ((buffer[at + 1] as number) << 8) | (buffer[at + 2] as number);
      if (length > FRAME_BYTES) throw new ProtocolError(`a frame of ${length} bytes`);
      const next = at + FRAME_HEADER + length;
      if (next > end) break;
      const id = uint32At(buffer, at + 5) & MAX_WINDOW;
      this.#take(buffer, buffer[at + 3] as number, buffer[at + 4] as number, id, at + FRAME_HEADER, next);
      at = next;
    }
    return at;
  }

  #take(buffer: Buffer, type: number, flags: number, id: number, start: number, end: number): void {
    if (this.#block !== undefined && (type !== frame.continuation || id !== this.#block.id)) {
      throw new ProtocolError("a header block is interrupted");
    }
    switch (type) {
      case frame.data:
        this.#takeData(buffer, flags, id, start, end);
        return;
      case frame.headers:
        this.#takeHeaders(buffer, flags, id, start, end);
        return;
      case frame.continuation:
        this.#takeContinuation(buffer, flags, start, end);
        return;
      case frame.rstStream:
        expectLength(type, end - start, 4);
        this.#end(this.#streams.get(id), `RST_STREAM ${uint32At(buffer, start)}`, "");
        return;
      case frame.settings:
        if ((flags & flag.ack) === 0) this.#takeSettings(buffer, start, end);
        return;
      case frame.ping:
        expectLength(type, end - start, 8);
        if ((flags & flag.ack) !== 0) return;
        this.#out.frame(8, frame.ping, flag.ack, 0);
        this.#out.copy(buffer.subarray(start, end));
        return;
      case frame.goAway:
        if (end - start < 8) throw new ProtocolError("a GOAWAY that is too short");
        this.#takeGoAway(uint32At(buffer, start) & MAX_WINDOW, uint32At(buffer, start + 4));
        return;
      case frame.windowUpdate:
        expectLength(type, end - start, 4);
        this.#takeWindow(id, uint32At(buffer, start) & MAX_WINDOW);
        return;
      case frame.pushPromise:
        throw new ProtocolError("a push that was not allowed");
      default:
      // What it does not know, a client passes over (RFC 9113, 4.1).
    }
  }

  #takeData(buffer: Buffer, flags: number, id: number, frameStart: number, frameEnd: number): void {
    const length = frameEnd - frameStart;
    this.#unreturned += length;
    if (this.#unreturned > CONNECTION_WINDOW / 2) {
      this.#returnWindow(0, this.#unreturned);
      this.#unreturned = 0;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    if (!stream.sawHeaders) throw new ProtocolError("an answer without headers");
    const padding = (flags & flag.padded) === 0 ? 0 : 1 + (buffer[frameStart] ?? 0);
    if (padding > length) throw new ProtocolError("more padding than frame");
    const start = padding === 0 ? frameStart : frameStart + 1;
    this.#messages(stream, buffer, start, start + length - padding);
    if ((flags & flag.endStream) !== 0) {
      this.#end(stream, "no trailers", "");
      return;
    }
    stream.unreturned += length;
    if (stream.unreturned > STREAM_WINDOW / 2 && this.#streams.get(id) === stream) {
      this.#returnWindow(id, stream.unreturned);
      stream.unreturned = 0;
    }
  }

  #messages(stream: Stream, buffer: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      const left = end - at;
      if (stream.partial === undefined) {
        const whole = left < MESSAGE_PREFIX ? MESSAGE_PREFIX : MESSAGE_PREFIX + messageLength(buffer, at);
        if (left >= whole) {
          stream.receiver.message(buffer, at + MESSAGE_PREFIX, at + whole, this.#readUs);
          at += whole;
          continue;
        }
        stream.partial = Buffer.allocUnsafeSlow(whole);
        stream.filled = 0;
      }
      const { partial, filled } = stream;
      const taken = Math.min(left, partial.length - filled);
      buffer.copy(partial, filled, at, at + taken);
      at += taken;
      stream.filled += taken;
      if (stream.filled === partial.length) this.#whole(stream, partial);
    }
  }

  /** A message has come in parts; or only its prefix, and now it is known how long it is. */
  #whole(stream: Stream, partial: Buffer): void {
    const length = MESSAGE_PREFIX + messageLength(partial, 0);
    if (length > partial.length) {
      stream.partial = Buffer.allocUnsafeSlow(length);
      partial.copy(stream.partial);
      return;
    }
    stream.partial = undefined;
    stream.receiver.message(partial, MESSAGE_PREFIX, partial.length, this.#readUs);
  }

  #takeHeaders(buffer: Buffer, flags: number, id: number, frameStart: number, frameEnd: number): void {
    let start = frameStart;
    let end = frameEnd;
    if ((flags & flag.padded) !== 0) end -= buffer[start++] ?? 0;
    if ((flags & flag.priority) !== 0) start += 5;
    if (start > end) throw new ProtocolError("more padding than frame");
    const endsStream = (flags & flag.endStream) !== 0;
    if ((flags & flag.endHeaders) !== 0) this.#heads(id, endsStream, this.#answerHeaders.read(buffer, start, end));
    else this.#block = { id, endsStream, bytes: Buffer.from(buffer.subarray(start, end)) };
  }

  #takeContinuation(buffer: Buffer, flags: number, start: number, end: number): void {
    const block = this.#block;
    if (block === undefined) throw new ProtocolError("a CONTINUATION of nothing");
    if (block.bytes.length + end - start > MAX_HEADER_BLOCK) throw new ProtocolError("a header block without end");
    block.bytes = Buffer.concat([block.bytes, buffer.subarray(start, end)]);
    if ((flags & flag.endHeaders) === 0) return;
    this.#block = undefined;
    this.#heads(block.id, block.endsStream, this.#answerHeaders.read(block.bytes, 0, block.bytes.length));
  }

  #heads(id: number, endsStream: boolean, { httpStatus, grpcStatus, grpcMessage }: AnswerHeaders): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    const isFirst = !stream.sawHeaders;
    stream.sawHeaders = true;
    if (isFirst && !endsStream) {
      if (httpStatus !== "200") this.#end(stream, `HTTP status ${httpStatus}`, "");
      return;
    }
    if (!endsStream) throw new ProtocolError("trailers that do not end their stream");
    if (stream.partial !== undefined) {
      this.#end(stream, "a message ends too early", "");
      return;
    }
    this.#end(stream, grpcStatus ?? `no status (HTTP ${httpStatus})`, grpcMessage ?? "");
  }

  #end(stream: Stream | undefined, status: string, detail: string): void {
    if (stream === undefined || !this.#streams.delete(stream.id)) return;
    stream.receiver.ended(status, detail, this.#isReading ? this.#readUs : nowUs());
  }

  #takeSettings(buffer: Buffer, start: number, end: number): void {
    if ((end - start) % 6 !== 0) throw new ProtocolError("SETTINGS of a wrong length");
    let tableSize: number | undefined;
    for (let at = start; at < end; at += 6) {
      const value = uint32At(buffer, at + 2);
      switch (buffer.readUInt16BE(at)) {
        case setting.tableSize:
          tableSize = value;
          break;
        case setting.windowSize:
          for (const stream of this.#streams.all()) stream.sendWindow += value - this.#streamSendWindow;
          this.#streamSendWindow = value;
          break;
        case setting.frameSize:
          this.#serverFrameBytes = value;
          break;
        default:
      }
    }
    this.#out.frame(0, frame.settings, flag.ack, 0);
    const onReady = this.#onReady;
    if (tableSize !== undefined) {
      if (onReady === undefined) throw new ProtocolError("a header table that changes its size later");
      this.#headers = new RequestHeaders(this.#authority, tableSize);
    }
    if (onReady !== undefined) {
      this.#onReady = undefined;
      this.#socket.setTimeout(0);
      onReady();
    }
    this.#sendBlocked();
  }

  #takeWindow(id: number, increment: number): void {
    if (id === 0) this.#sendWindow += increment;
    else {
      const stream = this.#streams.get(id);
      if (stream !== undefined) stream.sendWindow += increment;
    }
    if (this.#blocked.length > 0) this.#sendBlocked();
  }

  /** Calls up to `last` may still be answered. */
  #takeGoAway(last: number, code: number): void {
    this.#failure ??= `GOAWAY ${code}`;
    for (const stream of this.#streams.all()) if (stream.id > last) this.#end(stream, `GOAWAY ${code}`, "");
  }

  #returnWindow(id: number, bytes: number): void {
    this.#out.frame(4, frame.windowUpdate, 0, id);
    this.#out.uint32(bytes);
  }

  #fail(reason: string): void {
    this.#failure ??= reason;
    this.#isClosed = true;
    this.#socket.destroy();
    const onReady = this.#onReady;
    this.#onReady = undefined;
    onReady?.(new Error(`${this.#authority}: ${reason}`));
    this.#blocked.length = 0;
    for (const stream of this.#streams.all()) this.#end(stream, reason, "");
  }
}
