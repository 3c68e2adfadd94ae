import type { IncomingHttpHeaders } from "node:http2";
import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";
import { type Codec, encode } from "../../proto/codec.ts";
import { ApiError, Code, errors, messageTooLarge } from "../api/errors.ts";
import type { Env, Timer } from "../env.ts";
import type { Logger } from "../log.ts";
import {
  boundedSize,
  type CallLimits,
  checkSendSize,
  decodeRequest,
  inflatesTooFar,
  internalError,
  isLateBug,
  isTooMuchUnread,
  MAX_TIMER_MS,
  MESSAGE_OVERHEAD_BYTES,
  malformedTimeout,
  moreThanOneRequest,
  noRequest,
  streamRoomBytes,
  tooMuchUnread,
  unknownEncoding,
  wellFormed,
} from "./call-rules.ts";
import { type Connection, countUnsent } from "./grpc-js-connection.ts";
import { parseGrpcTimeout } from "./grpc-timeout.ts";
import {
  type AnyHandler,
  answerOf,
  type CallContext,
  EncodedResponse,
  type RequestReceiver,
  type ResponseStream,
} from "./rpc.ts";

export interface CallOptions extends CallLimits {
  readonly env: Env;
  readonly logger: Logger;
}

/** The part of a call that depends on its shape. */
interface CallBody {
  message(bytes: Buffer): void;
  halfClosed(): void;
  drained(): void;
  over(): void;
}

/**
 * One call, from its headers to its end, on grpc-js's call object directly: below the stream objects that grpc-js makes
 * for applications, because they have texts and buffers of their own.
 *
 * The call is over as soon as its status is known or its stream is gone; `onOver` runs then, exactly once, and nothing
 * is sent afterwards.
 */
export class GrpcJsCall implements CallContext {
  readonly deadline: number | undefined;
  readonly unary: boolean;
  readonly #call: ServerInterceptingCallInterface;
  readonly #sendStatus: ServerInterceptingCallInterface["sendStatus"];
  readonly #handler: AnyHandler;
  readonly #headers: IncomingHttpHeaders;
  readonly #connection: Connection;
  readonly #options: CallOptions;
  readonly #onOver: (call: GrpcJsCall) => void;
  readonly #badTimeout: string | undefined;
  #body: CallBody | undefined;
  #abort: AbortController | undefined;
  #ended: ApiError | "ok" | undefined;
  #timer: Timer | undefined;
  #opened = false;
  #queuedBytes = 0;
  /** The service may wait for `drained`. */
  #isFull = false;
  /** The stream is closed: nothing of it is queued any more. */
  #gone = false;

  constructor(
    call: ServerInterceptingCallInterface,
    handler: AnyHandler,
    headers: IncomingHttpHeaders,
    connection: Connection,
    options: CallOptions,
    onOver: (call: GrpcJsCall) => void,
  ) {
    this.#call = call;
    this.#sendStatus = call.sendStatus.bind(call);
    this.#handler = handler;
    this.#headers = headers;
    this.#connection = connection;
    this.#options = options;
    this.#onOver = onOver;
    this.unary = handler.kind === "unary";
    const header = this.metadata("grpc-timeout");
    const timeoutMs = header === undefined ? undefined : parseGrpcTimeout(header);
    this.#badTimeout = timeoutMs === undefined ? header : undefined;
    this.deadline = timeoutMs === undefined ? undefined : options.env.now() + timeoutMs;
  }

  metadata(name: string): string | undefined {
    const value = this.#headers[name];
    return typeof value === "string" ? value : value?.[0];
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
    return this.#call.getPeer();
  }

  start(): void {
    // grpc-js answers some faults by itself, in its own words; they pass through here.
    this.#call.sendStatus = ({ code, details }) => this.#end(translate(code, details ?? ""));
    this.#call.start({
      onReceiveMetadata: () => this.#open(),
      onReceiveMessage: (bytes: Buffer) => {
        if (this.#ended !== undefined) return;
        this.#body?.message(bytes);
        // Not from within: a queue of many small messages must not become a deep stack.
        queueMicrotask(() => this.#call.startRead());
      },
      onReceiveHalfClose: () => {
        if (this.#ended === undefined) this.#body?.halfClosed();
      },
      onCancel: () => {
        countUnsent(this.#connection, -this.#queuedBytes);
        this.#queuedBytes = 0;
        this.#gone = true;
        this.#finish(errors.canceled);
      },
    });
    // A stream that was already gone when its call was made hears nothing at all.
    if (!this.#opened) this.#finish(errors.canceled);
  }

  /** Ends the call with what was thrown. */
  fail(thrown: unknown): void {
    if (this.#ended !== undefined) {
      if (isLateBug(thrown, this.#abort?.signal)) this.#bug(thrown);
      return;
    }
    this.#end(thrown instanceof ApiError ? thrown : this.#bug(thrown));
  }

  succeed(): void {
    this.#end("ok");
  }

  /** Encodes and queues one response; false when the call failed over it. */
  send(response: unknown): boolean {
    if (this.#ended !== undefined) return false;
    let bytes: Buffer;
    try {
      bytes = encodeBounded(this.#handler.rpc.response, response, this.#options.maxSendBytes);
    } catch (thrown) {
      this.fail(thrown);
      return false;
    }
    const { unsentBytes, everywhere } = this.#connection;
    if (this.unary && isTooMuchUnread(this.#options, unsentBytes, everywhere.unsentBytes)) {
      this.fail(tooMuchUnread(Math.max(unsentBytes, everywhere.unsentBytes)));
      return false;
    }
    const cost = bytes.length + MESSAGE_OVERHEAD_BYTES;
    this.#connection.sentSincePing = true;
    this.#queuedBytes += cost;
    countUnsent(this.#connection, cost);
    this.#call.sendMessage(bytes, () => this.#sent(cost));
    return true;
  }

  get writable(): boolean {
    if (this.#ended !== undefined) return false;
    if (this.#hasRoom) return true;
    this.#isFull = true;
    return false;
  }

  get #hasRoom(): boolean {
    const { unsentBytes, everywhere } = this.#connection;
    return this.#queuedBytes < streamRoomBytes(this.#options, unsentBytes, everywhere.unsentBytes);
  }

  #sent(cost: number): void {
    if (this.#gone) return;
    this.#connection.sentSincePing = true;
    if (this.#queuedBytes >= this.#options.streamQueueBytes) this.#isFull = true;
    this.#queuedBytes -= cost;
    countUnsent(this.#connection, -cost);
    if (this.#ended !== undefined || !this.#isFull || !this.#hasRoom) return;
    this.#isFull = false;
    this.#body?.drained();
  }

  #open(): void {
    this.#opened = true;
    if (this.#badTimeout !== undefined) {
      this.fail(malformedTimeout(this.#badTimeout));
      return;
    }
    if (this.deadline !== undefined) {
      const leftMs = this.deadline - this.#options.env.now();
      if (leftMs <= 0) {
        this.fail(errors.deadlineExceeded);
        return;
      }
      if (leftMs <= MAX_TIMER_MS) {
        this.#timer = this.#options.env.setTimer(() => this.fail(errors.deadlineExceeded), Math.ceil(leftMs));
      }
    }
    try {
      this.#body = this.#handler.kind === "unary" ? unaryBody(this, this.#handler) : streamBody(this, this.#handler);
    } catch (thrown) {
      this.fail(thrown);
      return;
    }
    this.#call.startRead();
  }

  #end(how: ApiError | "ok"): void {
    if (!this.#finish(how)) return;
    this.#connection.sentSincePing = true;
    if (how === "ok") this.#sendStatus({ code: Code.OK, details: "" });
    else this.#sendStatus({ code: how.code, details: wellFormed(how.message) });
  }

  /** True for the first end of the call; the later ones mean nothing. */
  #finish(how: ApiError | "ok"): boolean {
    if (this.#ended !== undefined) return false;
    this.#ended = how;
    this.#timer?.cancel();
    if (how !== "ok") this.#abort?.abort(how);
    // Not from within: the body may be the one that ends the call.
    queueMicrotask(() => {
      try {
        this.#body?.over();
      } catch (thrown) {
        this.#bug(thrown);
      }
      this.#onOver(this);
    });
    return true;
  }

  #bug(thrown: unknown): ApiError {
    const { path } = this.#handler.rpc;
    const stacktrace = thrown instanceof Error ? thrown.stack : undefined;
    this.#options.logger.error({ path, error: String(thrown), stacktrace }, "failed to serve a request");
    return internalError;
  }
}

function unaryBody(call: GrpcJsCall, handler: Extract<AnyHandler, { kind: "unary" }>): CallBody {
  let received = false;
  const run = async (request: unknown): Promise<void> => {
    try {
      if (call.send(await answerOf(handler, request, call))) call.succeed();
    } catch (thrown) {
      call.fail(thrown);
    }
  };
  return {
    message(bytes) {
      if (received) {
        call.fail(moreThanOneRequest);
        return;
      }
      received = true;
      const request = decodeRequest(handler.rpc.request, bytes);
      if (request instanceof ApiError) call.fail(request);
      else void run(request);
    },
    halfClosed() {
      if (!received) call.fail(noRequest);
    },
    drained: nothing,
    over: nothing,
  };
}

function streamBody(call: GrpcJsCall, handler: Extract<AnyHandler, { kind: "stream" }>): CallBody {
  const responses: ResponseStream<unknown> = {
    send: (response) => void call.send(response),
    get writable() {
      return call.writable;
    },
    end: (error) => (error === undefined ? call.succeed() : call.fail(error)),
  };
  const receiver: RequestReceiver<unknown> = handler.open(responses, call);
  const takesMany = handler.rpc.stream === "bidi";
  let received = false;
  /** A service that throws has lost its call, never the member. */
  const guarded = (act: () => void): void => {
    try {
      act();
    } catch (thrown) {
      call.fail(thrown);
    }
  };
  return {
    message: (bytes) =>
      guarded(() => {
        if (received && !takesMany) {
          call.fail(moreThanOneRequest);
          return;
        }
        received = true;
        const request = decodeRequest(handler.rpc.request, bytes);
        if (request instanceof ApiError) call.fail(request);
        else receiver.request(request);
      }),
    halfClosed: () =>
      guarded(() => {
        if (received || takesMany) receiver.halfClosed();
        else call.fail(noRequest);
      }),
    drained: () => guarded(() => receiver.drained()),
    over: () => receiver.closed(),
  };
}

function nothing(): void {
  // A unary call has nothing to do here.
}

function encodeBounded<T>(codec: Codec<T>, message: T | EncodedResponse, maxBytes: number): Buffer {
  if (message instanceof EncodedResponse) {
    checkSendSize(message.bytes, maxBytes);
    return Buffer.concat(message.pieces, message.bytes);
  }
  boundedSize(codec, message, maxBytes);
  return encode(codec, message);
}

/** grpc-js's words to grpc-go's, which etcd's clients know. */
function translate(code: number, details: string): ApiError {
  if (!details.startsWith("Received message ")) return new ApiError(codes.get(code) ?? Code.Unknown, details);
  const large = /^Received message larger than max \((\d+) vs (\d+)\)$/.exec(details);
  if (large !== null) return messageTooLarge(Number(large[1]), Number(large[2]));
  const inflated = /^Received message that decompresses to a size larger than (\d+)$/.exec(details);
  if (inflated !== null) return inflatesTooFar(Number(inflated[1]));
  const unknown = /^Received message compressed with unsupported encoding "(.*)"$/s.exec(details);
  if (unknown !== null) return unknownEncoding(unknown[1] as string);
  return new ApiError(codes.get(code) ?? Code.Unknown, details);
}

const codes: ReadonlyMap<number, Code> = new Map(Object.values(Code).map((code) => [code, code]));
