import type { Codec } from "../../../proto/codec.ts";
import { ApiError, Code, errors, messageTooLarge } from "../../api/errors.ts";
import type { Env, Timer } from "../../env.ts";
import type { Logger } from "../../log.ts";
import {
  boundedSize,
  type CallLimits,
  checkSendSize,
  decodeRequest,
  internalError,
  isLateBug,
  isTooMuchUnread,
  MAX_TIMER_MS,
  malformedTimeout,
  moreThanOneRequest,
  noRequest,
  streamRoomBytes,
  tooMuchUnread,
  wellFormed,
} from "../call-rules.ts";
import {
  type AnyHandler,
  type CallContext,
  EncodedResponse,
  type Reply,
  type RequestReceiver,
  type ResponseStream,
} from "../rpc.ts";
import { gzipped, type InflationMeter, uncompressed } from "./compression.ts";
import type { Http2Limits } from "./limits.ts";
import { isOneMessage, MessageReader, type MessageTaker, PREFIX_BYTES } from "./message-reader.ts";
import { listOf, type RequestHead } from "./request-head.ts";
import type { Http2Stream, StreamReceiver } from "./stream.ts";
import type { Totals } from "./totals.ts";

/** What the calls of one server share. */
export interface CallHost {
  readonly env: Env;
  readonly logger: Logger;
  readonly limits: Http2Limits;
  readonly options: CallLimits;
  readonly everywhere: Totals;
  /** Called exactly once for each call. */
  over(call: GrpcCall): void;
}

/** What a call needs to know of its connection. */
export interface CallConnection extends InflationMeter {
  readonly peer: string;
  readonly held: Totals;
  hold(bytes: number): boolean;
  release(bytes: number): void;
  /** Ends it for a fault of ours. */
  broken(thrown: unknown): void;
}

type CallHead = Extract<RequestHead, { kind: "call" }>;
type Ended = ApiError | "ok";

/**
 * One call, from its headers to its end.
 *
 * It is over as soon as its status is known or its stream is gone; nothing is sent afterwards, save what is queued.
 */
export class GrpcCall implements CallContext, StreamReceiver, MessageTaker, Reply<unknown>, ResponseStream<unknown> {
  readonly deadline: number | undefined;
  readonly #stream: Http2Stream;
  readonly #head: CallHead;
  readonly #connection: CallConnection;
  readonly #host: CallHost;
  /** Of a request that is not one whole message in one piece. */
  #reader: MessageReader | undefined;
  /** Of a streaming call that has begun. */
  #receiver: RequestReceiver<unknown> | undefined;
  #requestSeen = false;
  /** Of its headers and its request, which it keeps until it is over. */
  #heldBytes = 0;
  /** The service may wait for `drained`. */
  #isFull = false;
  #abort: AbortController | undefined;
  #ended: Ended | undefined;
  #timer: Timer | undefined;

  constructor(stream: Http2Stream, head: CallHead, connection: CallConnection, host: CallHost) {
    this.#stream = stream;
    this.#head = head;
    this.#connection = connection;
    this.#host = host;
    this.deadline = head.timeoutMs === undefined ? undefined : host.env.now() + head.timeoutMs;
  }

  get isUnary(): boolean {
    return this.#head.handler.kind === "unary";
  }

  // CallContext

  metadata(name: string): string | undefined {
    return listOf(this.#head.fields, name);
  }

  get aborted(): boolean {
    return this.#ended !== undefined && this.#ended !== "ok";
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.aborted) this.#abort.abort(this.#ended);
    }
    return this.#abort.signal;
  }

  get peer(): string {
    return this.#connection.peer;
  }

  // Reply; `fail` is below.

  succeed(response: unknown): void {
    try {
      if (this.#ended === undefined && this.#sendUnary(response)) this.#end("ok");
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  // ResponseStream

  send(response: unknown): void {
    this.#send(response);
  }

  get writable(): boolean {
    if (this.#ended !== undefined) return false;
    if (this.#hasRoom) return true;
    this.#isFull = true;
    return false;
  }

  end(error?: Error): void {
    if (error === undefined) this.#end("ok");
    else this.fail(error);
  }

  // StreamReceiver

  opened(): void {
    const { timeout, timeoutMs, handler, fieldBytes } = this.#head;
    if (!this.#holdUntilOver(fieldBytes)) return;
    if (timeout !== undefined) {
      if (timeoutMs === undefined) {
        this.fail(malformedTimeout(timeout));
        return;
      }
      if (timeoutMs <= 0) {
        this.fail(errors.deadlineExceeded);
        return;
      }
      if (timeoutMs <= MAX_TIMER_MS) {
        this.#timer = this.#host.env.setTimer(() => this.fail(errors.deadlineExceeded), Math.ceil(timeoutMs));
      }
    }
    if (handler.kind === "stream") this.#guarded(() => this.#open(handler));
  }

  data(buffer: Buffer, start: number, end: number): void {
    if (this.#ended !== undefined) return;
    const { maxReceiveBytes } = this.#host.options;
    if (this.#reader === undefined && isOneMessage(buffer, start, end, maxReceiveBytes)) {
      this.message(buffer[start] as number, buffer, start + PREFIX_BYTES, end);
      return;
    }
    this.#reader ??= new MessageReader(maxReceiveBytes);
    this.#reader.push(buffer, start, end, this);
  }

  ended(): void {
    if (this.#ended !== undefined) return;
    if (this.#reader?.isWithinMessage === true) this.fail(new ApiError(Code.Internal, "unexpected EOF"));
    else if (!this.#requestSeen && this.#head.handler.rpc.stream !== "bidi") this.fail(noRequest);
    else this.#toReceiver((receiver) => receiver.halfClosed());
  }

  sent(before: number): void {
    if (before >= this.#host.options.streamQueueBytes) this.#isFull = true;
    if (!this.#isFull || !this.#hasRoom || this.#receiver === undefined) return;
    this.#isFull = false;
    // Not from within: it may be the service that is sending.
    queueMicrotask(() => {
      if (this.#ended === undefined) this.#toReceiver((receiver) => receiver.drained());
    });
  }

  gone(): void {
    this.#finish(errors.canceled);
  }

  // MessageTaker

  message(flag: number, buffer: Buffer, start: number, end: number): boolean {
    const { handler, encoding } = this.#head;
    if (handler.rpc.stream !== "bidi" && this.#requestSeen) {
      this.fail(moreThanOneRequest);
      return false;
    }
    this.#requestSeen = true;
    const { maxReceiveBytes } = this.#host.options;
    const bytes = uncompressed(flag, buffer.subarray(start, end), encoding, maxReceiveBytes, this.#connection);
    if (bytes instanceof ApiError) {
      this.fail(bytes);
      return false;
    }
    const request = decodeRequest(handler.rpc.request, bytes);
    if (request instanceof ApiError) this.fail(request);
    else if (handler.kind === "unary") {
      if (this.#holdUntilOver(bytes.length)) this.#run(handler, request);
    } else {
      // Written out: a stream may bring a hundred thousand a second.
      try {
        this.#receiver?.request(request);
      } catch (thrown) {
        this.fail(thrown);
      }
    }
    return this.#ended === undefined;
  }

  tooLarge(bytes: number): void {
    this.fail(messageTooLarge(bytes, this.#host.options.maxReceiveBytes));
  }

  hold(bytes: number): boolean {
    if (this.#connection.hold(bytes)) return true;
    this.fail(
      new ApiError(Code.ResourceExhausted, "quorate: too many bytes of unfinished requests are held for clients"),
    );
    return false;
  }

  #holdUntilOver(bytes: number): boolean {
    if (!this.hold(bytes)) return false;
    this.#heldBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#connection.release(bytes);
  }

  /** Ends the call with what was thrown. */
  fail(thrown: unknown): void {
    if (this.#ended !== undefined) {
      if (isLateBug(thrown, this.#abort?.signal)) this.#bug(thrown);
      return;
    }
    this.#end(thrown instanceof ApiError ? thrown : this.#bug(thrown));
  }

  #run(handler: Extract<AnyHandler, { kind: "unary" }>, request: unknown): void {
    try {
      handler.handle(request, this, this);
    } catch (thrown) {
      // As every answer: what else has come with the request is looked at first.
      queueMicrotask(() => this.fail(thrown));
    }
  }

  #open(handler: Extract<AnyHandler, { kind: "stream" }>): void {
    const receiver = handler.open(this, this);
    this.#receiver = receiver;
    // It may have ended the call while it opened it.
    if (this.#ended !== undefined) this.#closeReceiver(receiver);
  }

  get #hasRoom(): boolean {
    const { options, everywhere } = this.#host;
    const roomBytes = streamRoomBytes(options, this.#connection.held.unsentBytes, everywhere.unsentBytes);
    return this.#stream.queuedBytes < roomBytes;
  }

  #sendUnary(response: unknown): boolean {
    const unsentBytes = this.#connection.held.unsentBytes;
    const everywhere = this.#host.everywhere.unsentBytes;
    if (isTooMuchUnread(this.#host.options, unsentBytes, everywhere)) {
      this.fail(tooMuchUnread(Math.max(unsentBytes, everywhere)));
      return false;
    }
    return this.#send(response);
  }

  /** Encodes one response, into the connection's output if it can leave now; false when the call failed over it. */
  #send(response: unknown): boolean {
    if (this.#ended !== undefined) return false;
    const codec: Codec<unknown> = this.#head.handler.rpc.response;
    const stream = this.#stream;
    try {
      if (response instanceof EncodedResponse) {
        this.#sendPieces(response);
        return true;
      }
      const size = boundedSize(codec, response, this.#host.options.maxSendBytes);
      const { gzipMinBytes, gzipMaxBytes } = this.#host.limits;
      const isGzip = this.#head.encoding === "gzip";
      if (isGzip && size >= gzipMinBytes && size <= gzipMaxBytes) {
        const packed = gzipped(encodeFramed(codec, response, size).subarray(PREFIX_BYTES));
        stream.sendHead(isGzip);
        stream.queue(framed(1, packed));
        return true;
      }
      stream.sendHead(isGzip);
      const bytes = PREFIX_BYTES + size;
      const at = stream.room(bytes);
      if (at >= 0) {
        writeFramed(codec, response, size, stream.buffer, at);
        stream.commit(bytes);
        return true;
      }
      const queue = stream.queueFor(bytes);
      if (queue === undefined) stream.queue(encodeFramed(codec, response, size));
      else {
        writeFramed(codec, response, size, queue.openBuffer, queue.room(bytes));
        queue.commit(bytes);
      }
      return true;
    } catch (thrown) {
      this.fail(thrown);
      return false;
    }
  }

  /** They leave the queue a frame at a time, as one large message does. */
  #sendPieces({ pieces, bytes }: EncodedResponse): void {
    checkSendSize(bytes, this.#host.options.maxSendBytes);
    const stream = this.#stream;
    stream.sendHead(this.#head.encoding === "gzip");
    const prefix = Buffer.allocUnsafeSlow(PREFIX_BYTES);
    writePrefix(prefix, 0, 0, bytes);
    stream.queue(prefix);
    for (const piece of pieces) stream.queue(piece);
  }

  #end(how: Ended): void {
    if (!this.#finish(how)) return;
    try {
      if (how === "ok") this.#stream.succeed();
      else this.#stream.fail(how.code, wellFormed(how.message));
    } catch (thrown) {
      // A timer or a promise brought us here: nobody else would catch it.
      this.#connection.broken(thrown);
    }
  }

  /** True for the first end of the call; the later ones mean nothing. */
  #finish(how: Ended): boolean {
    if (this.#ended !== undefined) return false;
    this.#ended = how;
    this.#timer?.cancel();
    this.#reader?.drop(this);
    if (this.#heldBytes > 0) this.release(this.#heldBytes);
    this.#heldBytes = 0;
    if (how !== "ok") this.#abort?.abort(how);
    if (this.#receiver !== undefined) this.#closeReceiver(this.#receiver);
    this.#host.over(this);
    return true;
  }

  #closeReceiver(receiver: RequestReceiver<unknown>): void {
    // Not from within: it may be the one that ends the call.
    queueMicrotask(() => {
      try {
        receiver.closed();
      } catch (thrown) {
        this.#bug(thrown);
      }
    });
  }

  #toReceiver(act: (receiver: RequestReceiver<unknown>) => void): void {
    const receiver = this.#receiver;
    if (receiver !== undefined) this.#guarded(() => act(receiver));
  }

  /** A service that throws has lost its call, never the member. */
  #guarded(act: () => void): void {
    try {
      act();
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  #bug(thrown: unknown): ApiError {
    const { path } = this.#head.handler.rpc;
    const stacktrace = thrown instanceof Error ? thrown.stack : undefined;
    this.#host.logger.error({ path, error: String(thrown), stacktrace }, "failed to serve a request");
    return internalError;
  }
}

function writePrefix(out: Buffer, at: number, flag: number, size: number): void {
  out[at] = flag;
  out[at + 1] = size >>> 24;
  out[at + 2] = size >>> 16;
  out[at + 3] = size >>> 8;
  out[at + 4] = size;
}

/** A message with its prefix, in a buffer of its own. Responses that go to many streams would share it here. */
function encodeFramed<T>(codec: Codec<T>, message: T, size: number): Buffer {
  const out = Buffer.allocUnsafeSlow(PREFIX_BYTES + size);
  writeFramed(codec, message, size, out, 0);
  return out;
}

function writeFramed<T>(codec: Codec<T>, message: T, size: number, out: Buffer, at: number): void {
  writePrefix(out, at, 0, size);
  codec.write(message, out, at + PREFIX_BYTES);
}

function framed(flag: number, bytes: Buffer): Buffer {
  const out = Buffer.allocUnsafeSlow(PREFIX_BYTES + bytes.length);
  writePrefix(out, 0, flag, bytes.length);
  bytes.copy(out, PREFIX_BYTES);
  return out;
}
