import type { Codec } from "../../proto/codec.ts";

/**
 * The only contract between services and transports. A transport decodes, calls, encodes; a service never sees a
 * socket, a transport never sees a service's meaning. Handlers fail by throwing ApiError (anything else is answered as
 * Internal and logged: a bug, but never the end of the member).
 */
export interface Rpc<Request = never, Response = never> {
  readonly service: string;
  readonly method: string;
  /** "/etcdserverpb.KV/Put" */
  readonly path: string;
  readonly stream: "unary" | "serverStream" | "bidi";
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
}

export interface CallContext {
  /** Text metadata by lower-case name. */
  metadata(name: string): string | undefined;
  /** The client cancelled, its deadline passed or its connection ended. */
  readonly aborted: boolean;
  /** Tells it when that happens. Made when it is first asked for. */
  readonly signal: AbortSignal;
  /** Client's deadline in env.now() milliseconds, if it gave one. */
  readonly deadline: number | undefined;
  /** "127.0.0.1:53122", for logs. */
  readonly peer: string;
}

/** Where the answer of a unary call goes: once, and not from within `handle`. Neither throws. */
export interface Reply<Response> {
  succeed(response: Response | EncodedResponse): void;
  fail(thrown: unknown): void;
}

/** The sending side of a streaming call. */
export interface ResponseStream<Response> {
  /** Queues one response; the transport copies nothing, so the message must not change afterwards. */
  send(response: Response): void;
  /** False while more is queued than the transport wants; `drained` of the receiver says when to go on. */
  readonly writable: boolean;
  /** Ends the call: OK, or the error. Idempotent. */
  end(error?: Error): void;
}

/** The receiving side of a streaming call. */
export interface RequestReceiver<Request> {
  request(message: Request): void;
  /** The client will send no more; the call goes on until `end`. */
  halfClosed(): void;
  /** `writable` became true again. */
  drained(): void;
  /** The call is over, whoever ended it; called exactly once. */
  closed(): void;
}

/**
 * A unary response that is encoded already, in pieces that together are what the codec would have written: one that is
 * too large to be encoded in a single turn of the event loop. The pieces do not change any more; none is empty.
 */
export class EncodedResponse {
  readonly pieces: readonly Buffer[];
  readonly bytes: number;

  constructor(pieces: readonly Buffer[]) {
    this.pieces = pieces;
    this.bytes = pieces.reduce((sum, { length }) => sum + length, 0);
  }
}

export type Handler<Request, Response> =
  | {
      readonly kind: "unary";
      readonly rpc: Rpc<Request, Response>;
      /** Throws, or has `reply` told. */
      readonly handle: (request: Request, context: CallContext, reply: Reply<Response>) => void;
    }
  | {
      readonly kind: "stream";
      readonly rpc: Rpc<Request, Response>;
      readonly open: (responses: ResponseStream<Response>, context: CallContext) => RequestReceiver<Request>;
    };

// biome-ignore lint/suspicious/noExplicitAny: a table of handlers of many message types; each entry was made type-safe by unary() or stream().
export type AnyHandler = Handler<any, any>;

export function unary<Request, Response>(
  rpc: Rpc<Request, Response>,
  handle: (request: Request, context: CallContext) => Promise<Response | EncodedResponse>,
): AnyHandler {
  return replying(rpc, (request, context, reply) => settle(handle(request, context), reply));
}

/** For the calls that come by the ten thousand: without a promise on the way. */
export function replying<Request, Response>(
  rpc: Rpc<Request, Response>,
  handle: (request: Request, context: CallContext, reply: Reply<Response>) => void,
): AnyHandler {
  return { kind: "unary", rpc, handle };
}

/** Tells `reply` what becomes of the promise. */
export function settle<Response>(answer: Promise<Response | EncodedResponse>, reply: Reply<Response>): void {
  answer.then(
    (response) => reply.succeed(response),
    (thrown: unknown) => reply.fail(thrown),
  );
}

/** What a unary handler answers. */
export function answerOf<Request, Response>(
  handler: Extract<Handler<Request, Response>, { kind: "unary" }>,
  request: Request,
  context: CallContext,
): Promise<Response | EncodedResponse> {
  return new Promise((succeed, fail) => handler.handle(request, context, { succeed, fail }));
}

export function stream<Request, Response>(
  rpc: Rpc<Request, Response>,
  open: (responses: ResponseStream<Response>, context: CallContext) => RequestReceiver<Request>,
): AnyHandler {
  return { kind: "stream", rpc, open };
}

/** What a transport offers to main.ts. */
export interface RpcServer {
  /** Takes over a connection, plain or TLS, whose first bytes (given back by unshift) are HTTP/2's preface. */
  accept(connection: import("node:net").Socket): void;
  /** Refuses new calls, lets running unary calls end, cancels what is left after graceMs. */
  close(graceMs: number): Promise<void>;
}
