import { Code } from "../../api/errors.ts";
import { refundOf, type SendWindow } from "./flow-control.ts";
import type { FrameWriter } from "./frame-writer.ts";
import type { Field } from "./hpack-encoder.ts";
import { Flag, FrameType, INITIAL, MAX_WINDOW } from "./protocol.ts";
import type { ResponseHeaders } from "./response-headers.ts";
import { UnsentQueue } from "./unsent-queue.ts";

/** Who gets what comes on a stream. None of these throws. */
export interface StreamReceiver {
  /** The stream is there; what comes on it comes after this. */
  opened(): void;
  /** buffer[start, end) of the body; the buffer does not change afterwards. */
  data(buffer: Buffer, start: number, end: number): void;
  /** The client will send no more. */
  ended(): void;
  /** Bytes that were queued left; `before` were queued then. */
  sent(before: number): void;
  /** The stream ended otherwise than by `Http2Stream.end`: nothing can be sent any more. */
  gone(): void;
}

/** What a stream needs of its connection. */
export interface StreamHost {
  readonly writer: FrameWriter;
  readonly headers: ResponseHeaders;
  readonly sendWindow: SendWindow;
  /** The size of every stream's window for what the client sends. */
  readonly streamWindowBytes: number;
  /** Nothing waits for the connection's window or socket. */
  readonly isClear: boolean;
  /** Something was written. */
  wrote(): void;
  /** The stream could send, and only the connection is in its way. */
  waits(stream: Http2Stream): void;
  countQueued(bytes: number): void;
  /** Our END_STREAM was written. */
  answered(stream: Http2Stream): void;
}

type Ending =
  | { readonly kind: "status"; readonly code: Code; readonly message: string }
  | { readonly kind: "notGrpc" }
  /** Of a body that no trailers follow. */
  | { readonly kind: "body" };

const NO_BYTES: Buffer = Buffer.alloc(0);
const OK: Ending = { kind: "status", code: Code.OK, message: "" };

/** One stream (RFC 9113 §5.1): its windows, and the responses on their way to its client. */
export class Http2Stream {
  readonly id: number;
  /** Of the body, if it was told. */
  readonly contentLength: number | undefined;
  readonly openedAtMs: number;
  bodyBytes = 0;
  /** Its call may stay open for long without being busy. */
  isLong = false;
  /** END_STREAM has come. */
  remoteEnded = false;
  receiver: StreamReceiver | undefined;
  readonly #host: StreamHost;
  /** What may still be sent; negative when SETTINGS took back what was used already (§6.9.2). */
  #sendBytes: number;
  /** Of what the client may send, what it has used since the last refund. */
  #usedBytes = 0;
  #headSent = false;
  /** END_STREAM was written, or the stream is gone. */
  #localEnded = false;
  #ending: Ending | undefined;
  /** Undefined as long as nothing ever had to wait. */
  #queue: UnsentQueue | undefined;

  constructor(id: number, host: StreamHost, sendBytes: number, contentLength: number | undefined, openedAtMs: number) {
    this.id = id;
    this.#host = host;
    this.#sendBytes = sendBytes;
    this.contentLength = contentLength;
    this.openedAtMs = openedAtMs;
  }

  /** Whether the window lets anything out. */
  get maySend(): boolean {
    return this.#sendBytes > 0;
  }

  /** By WINDOW_UPDATE or SETTINGS; false when the window would be larger than one can be. */
  changeSendWindow(bytes: number): boolean {
    this.#sendBytes += bytes;
    return this.#sendBytes <= MAX_WINDOW;
  }

  /** So much has come; false when the client had no right to send it. */
  received(bytes: number): boolean {
    this.#usedBytes += bytes;
    return this.#usedBytes <= this.#host.streamWindowBytes;
  }

  /** What to give back with a WINDOW_UPDATE now. */
  refund(): number {
    const bytes = refundOf(this.#usedBytes, this.#host.streamWindowBytes);
    this.#usedBytes -= bytes;
    return bytes;
  }

  /** With what they cost beside their bytes. */
  get queuedBytes(): number {
    return this.#queue === undefined ? 0 : this.#queue.bytes;
  }

  get isOver(): boolean {
    return this.#localEnded;
  }

  /** Response headers; of no effect when they were sent. */
  sendHead(gzip: boolean): void {
    if (this.#headSent) return;
    this.#headSent = true;
    const { headers, writer } = this.#host;
    writer.headers(gzip ? headers.gzipHead() : headers.head(), this.id, false);
    this.#host.wrote();
  }

  /**
   * The position in `buffer` where a message of so many bytes may be written, to be sent at once with `commit` before
   * anything else is; -1 when it has to be queued.
   */
  room(bytes: number): number {
    const { writer, sendWindow, isClear } = this.#host;
    if (!isClear || bytes > INITIAL.frameBytes || this.hasQueued) return -1;
    if (bytes > this.#sendBytes || bytes > sendWindow.bytes) return -1;
    return writer.roomForData(bytes);
  }

  get buffer(): Buffer {
    return this.#host.writer.buffer;
  }

  commit(bytes: number): void {
    this.#sendBytes -= bytes;
    this.#host.sendWindow.use(bytes);
    this.#host.writer.commitData(bytes, 0, this.id);
    this.#host.wrote();
  }

  /** Bytes that will not change. */
  queue(bytes: Buffer): void {
    this.#queue ??= new UnsentQueue((count) => this.#host.countQueued(count));
    this.#queue.push(bytes);
    if (this.maySend) this.#host.waits(this);
  }

  /**
   * The queue, when a message of so many bytes can be written behind what waits there already, at its `room`; undefined when
   * it has to be queued by itself.
   */
  queueFor(bytes: number): UnsentQueue | undefined {
    return this.#queue !== undefined && this.#queue.room(bytes) >= 0 ? this.#queue : undefined;
  }

  succeed(): void {
    this.#end(OK);
  }

  fail(code: Code, message: string): void {
    this.#end({ kind: "status", code, message });
  }

  refuseContent(): void {
    this.#end({ kind: "notGrpc" });
  }

  /** A whole answer that is none of gRPC's. */
  answer(fields: readonly Field[], body: Buffer): void {
    if (this.#localEnded) return;
    const { headers, writer } = this.#host;
    writer.headers(headers.plain(fields), this.id, false);
    this.#host.wrote();
    if (body.length > 0) this.queue(body);
    this.#end({ kind: "body" });
  }

  /** Sends one frame of what is queued as far as the windows allow; true when more could follow. */
  emit(): boolean {
    const host = this.#host;
    const queue = this.#queue;
    if (queue === undefined || !queue.hasSome) return false;
    const { firstOffset: start } = queue;
    const bytes = Math.min(queue.firstEnd - start, INITIAL.frameBytes, this.#sendBytes, host.sendWindow.bytes);
    if (bytes <= 0) return false;
    host.writer.data(queue.firstBuffer, start, start + bytes, this.id);
    host.wrote();
    this.#sendBytes -= bytes;
    host.sendWindow.use(bytes);
    const before = queue.bytes;
    queue.sent(bytes);
    const isEmpty = !queue.hasSome;
    if (isEmpty && this.#ending !== undefined) this.#finish(this.#ending);
    else this.receiver?.sent(before);
    return !isEmpty && this.maySend;
  }

  get hasQueued(): boolean {
    return this.#queue?.hasSome === true;
  }

  /** Nothing is sent any more. */
  abandon(): void {
    this.#localEnded = true;
    this.#queue?.clear();
  }

  #end(ending: Ending): void {
    if (this.#localEnded || this.#ending !== undefined) return;
    if (this.hasQueued) this.#ending = ending;
    else this.#finish(ending);
  }

  #finish(ending: Ending): void {
    const { headers, writer } = this.#host;
    this.#localEnded = true;
    if (ending.kind !== "status") this.#finishPlain(ending.kind);
    else if (!this.#headSent) writer.headers(headers.trailersOnly(ending.code, ending.message), this.id, true);
    else if (ending.code === Code.OK) writer.headers(headers.okTrailers(), this.id, true);
    else writer.headers(headers.errorTrailers(ending.code, ending.message), this.id, true);
    this.#host.wrote();
    this.#host.answered(this);
  }

  #finishPlain(kind: "notGrpc" | "body"): void {
    const { headers, writer } = this.#host;
    if (kind === "notGrpc") writer.headers(headers.notGrpc(), this.id, true);
    else writer.frame(FrameType.data, Flag.endStream, this.id, NO_BYTES);
  }
}
