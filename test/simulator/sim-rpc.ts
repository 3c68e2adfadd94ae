import { decode, encode } from "../../proto/codec.ts";
import { ApiError, Code, unknownMethod } from "../../src/api/errors.ts";
import {
  type AnyHandler,
  answerOf,
  type CallContext,
  EncodedResponse,
  type RequestReceiver,
  type Rpc,
} from "../../src/rpc/rpc.ts";
import type { Random } from "./random.ts";
import type { Network } from "./sim-network.ts";
import { hashBytes } from "./trace.ts";
import type { Owner, World } from "./world.ts";

/** What a client can reach of one life of a member. */
export interface Endpoint {
  readonly owner: Owner;
  readonly host: number;
  readonly now: () => number;
  /** By path; empty until the member serves clients. */
  handlers: ReadonlyMap<string, AnyHandler>;
  /** Calls that end when the life does. */
  readonly calls: Set<{ readonly broken: (reason: string) => void }>;
}

export type CallResult<Response> =
  | { readonly kind: "ok"; readonly response: Response }
  | { readonly kind: "error"; readonly code: number; readonly message: string };

export interface ClientStream<Request> {
  send(request: Request): void;
  /** The client goes away. */
  close(): void;
  /** A client that does not read: what comes waits, and the server is told so. */
  setReading(isReading: boolean): void;
}

export interface CallOptions {
  readonly timeoutMs: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A response may be this far ahead of its reader before the server is told to wait. */
const UNREAD_RESPONSES = 8;
const REFUSED_MS = 1;

/**
 * The client port: requests and responses are encoded and decoded as on a connection. A call whose member dies, or whose
 * link breaks, ends as grpc-go's do: Unavailable, outcome unknown. Client machines have numbers of their own, so links
 * to them can be cut like any other.
 */
export class ClientPort {
  readonly #world: World;
  readonly #network: Network;
  readonly #random: Random;
  readonly #endpoints = new Map<number, Endpoint>();
  /** Probability that a request or an answer is lost with its connection. */
  loss = 0;
  onLoss: () => void = () => undefined;

  constructor(world: World, network: Network, random: Random) {
    this.#world = world;
    this.#network = network;
    this.#random = random;
  }

  open(endpoint: Endpoint): void {
    this.#endpoints.set(endpoint.host, endpoint);
  }

  close(endpoint: Endpoint): void {
    if (this.#endpoints.get(endpoint.host) === endpoint) this.#endpoints.delete(endpoint.host);
    for (const call of [...endpoint.calls]) call.broken("connection lost");
    endpoint.calls.clear();
  }

  isServing(host: number): boolean {
    return (this.#endpoints.get(host)?.handlers.size ?? 0) > 0;
  }

  call<Request, Response>(
    client: Owner,
    host: number,
    rpc: Rpc<Request, Response>,
    request: Request,
    options: CallOptions,
  ): Promise<CallResult<Response>> {
    return new Promise((resolve) => {
      let isOver = false;
      const caller = new Caller();
      const endpoint = this.#endpoints.get(host);
      const finish = (result: CallResult<Response>): void => {
        if (isOver) return;
        isOver = true;
        timer.cancel();
        endpoint?.calls.delete(entry);
        resolve(result);
      };
      const fail = (code: number, message: string): void => finish({ kind: "error", code, message });
      const entry = {
        broken: (reason: string) => {
          this.#world.schedule(client, REFUSED_MS, "call broken", () => fail(Code.Unavailable, reason));
        },
      };
      const timer = this.#world.schedule(client, options.timeoutMs, "client gives up", () => {
        fail(Code.DeadlineExceeded, "client: deadline exceeded");
        if (endpoint !== undefined && !endpoint.owner.dead) {
          this.#world.schedule(endpoint.owner, REFUSED_MS, "call aborted", () => caller.leave());
        }
      });
      if (endpoint === undefined || endpoint.handlers.size === 0) {
        this.#world.schedule(client, REFUSED_MS, "refused", () => fail(Code.Unavailable, "connection refused"));
        return;
      }
      endpoint.calls.add(entry);
      const handler = endpoint.handlers.get(rpc.path);
      const bytes = encode(rpc.request, request);
      const there = this.#transit(clientHost(client), host);
      if (there === undefined) return;
      if (this.#isLost()) {
        this.#breakLater(endpoint, entry, caller);
        return;
      }
      const loseAnswer = this.#isLost();
      const context = this.#context(endpoint, client, options, caller);
      this.#world.schedule(
        endpoint.owner,
        there,
        "rpc",
        () => {
          if (isOver && caller.hasLeft) return;
          const answer = (response: Response | EncodedResponse): void => {
            const encoded =
              response instanceof EncodedResponse ? Buffer.concat(response.pieces) : encode(rpc.response, response);
            const back = this.#transit(host, clientHost(client));
            if (back === undefined) return;
            if (loseAnswer) {
              this.#breakLater(endpoint, entry, caller);
              return;
            }
            this.#world.schedule(
              client,
              back,
              "answer",
              () => finish({ kind: "ok", response: decode(rpc.response, encoded) }),
              hashBytes(encoded),
            );
          };
          const refuse = (error: unknown): void => {
            const { code, message } = asApiError(error);
            const back = this.#transit(host, clientHost(client));
            if (back !== undefined) this.#world.schedule(client, back, "error", () => fail(code, message));
          };
          if (handler === undefined || handler.kind !== "unary") refuse(unknownMethod(rpc.service, rpc.method));
          else answerOf(handler, decode(rpc.request, bytes), context).then(answer, refuse);
        },
        hashBytes(bytes),
      );
    });
  }

  /** `onEnd` comes once, last. */
  stream<Request, Response>(
    client: Owner,
    host: number,
    rpc: Rpc<Request, Response>,
    onResponse: (response: Response) => void,
    onEnd: (code: number, message: string) => void,
    metadata: Readonly<Record<string, string>> = {},
  ): ClientStream<Request> {
    const world = this.#world;
    const endpoint = this.#endpoints.get(host);
    const handler = endpoint?.handlers.get(rpc.path);
    const caller = new Caller();
    let isOver = false;
    const end = (code: number, message: string): void => {
      if (isOver) return;
      isOver = true;
      endpoint?.calls.delete(entry);
      onEnd(code, message);
    };
    const entry = {
      broken: (reason: string) => {
        world.schedule(client, REFUSED_MS, "stream broken", () => end(Code.Unavailable, reason));
      },
    };
    if (endpoint === undefined || handler === undefined || handler.kind !== "stream") {
      entry.broken("connection refused");
      return { send: () => undefined, close: () => end(Code.Canceled, "client"), setReading: () => undefined };
    }
    endpoint.calls.add(entry);

    /** Sent and not yet read by the client. */
    let unread = 0;
    let isReading = true;
    let wasFull = false;
    let lastArrival = 0;
    let lastSent = 0;
    const waiting: Response[] = [];
    const toClient = (kind: string, hash: number, run: () => void): void => {
      if (isBroken) return;
      const transit = this.#transit(host, clientHost(client));
      if (transit === undefined || this.#isLost()) {
        breakDown();
        return;
      }
      lastArrival = Math.max(lastArrival, world.now + transit);
      world.schedule(client, lastArrival - world.now, kind, run, hash);
    };
    /** A connection that lost something brings nothing more, in either direction. */
    let isBroken = false;
    const breakDown = (): void => {
      if (isBroken) return;
      isBroken = true;
      this.#breakLater(endpoint, entry, caller, () => serverClosed());
    };
    let isServerOver = false;
    const serverClosed = (): void => {
      if (isServerOver) return;
      isServerOver = true;
      caller.leave();
      receiver.closed();
    };
    const read = (): void => {
      while (isReading && waiting.length > 0 && !isOver) {
        const response = waiting.shift() as Response;
        unread--;
        onResponse(response);
      }
      if (wasFull && unread < UNREAD_RESPONSES / 2) {
        wasFull = false;
        world.schedule(endpoint.owner, this.#network.weather.meanMs, "drained", () => {
          if (!isServerOver) receiver.drained();
        });
      }
    };
    const responses = {
      send: (response: Response): void => {
        if (isServerOver) return;
        unread++;
        const encoded = encode(rpc.response, response);
        toClient("response", hashBytes(encoded), () => {
          if (isOver) return;
          waiting.push(decode(rpc.response, encoded));
          read();
        });
      },
      get writable(): boolean {
        if (unread < UNREAD_RESPONSES) return true;
        wasFull = true;
        return false;
      },
      end: (error?: Error): void => {
        if (isServerOver) return;
        const { code, message } = error === undefined ? { code: Code.OK, message: "" } : asApiError(error);
        toClient("end", code, () => end(code, message));
        // As a transport would: the receiver hears of it later.
        world.schedule(endpoint.owner, 0, "closed", () => serverClosed());
      },
    };
    const context = this.#context(endpoint, client, { timeoutMs: 0, metadata }, caller);
    let receiver: RequestReceiver<Request> = {
      request: nothing,
      halfClosed: nothing,
      drained: nothing,
      closed: nothing,
    };
    let isOpen = false;
    const toServer = (kind: string, hash: number, run: () => void): void => {
      if (isBroken) return;
      const transit = this.#transit(clientHost(client), host);
      if (transit === undefined || this.#isLost()) {
        breakDown();
        return;
      }
      lastSent = Math.max(lastSent, world.now + transit);
      world.schedule(endpoint.owner, lastSent - world.now, kind, run, hash);
    };
    toServer("open", 0, () => {
      if (isServerOver) return;
      isOpen = true;
      receiver = handler.open(responses, context);
    });
    return {
      send: (request) => {
        if (isOver) return;
        const bytes = encode(rpc.request, request);
        toServer("request", hashBytes(bytes), () => {
          if (!isServerOver && isOpen) receiver.request(decode(rpc.request, bytes));
        });
      },
      close: () => {
        if (isOver) return;
        world.schedule(endpoint.owner, REFUSED_MS, "client left", () => serverClosed());
        end(Code.Canceled, "client closed the stream");
      },
      setReading: (reading) => {
        isReading = reading;
        read();
      },
    };
  }

  #isLost(): boolean {
    if (this.loss <= 0 || !this.#random.chance(this.loss)) return false;
    this.onLoss();
    return true;
  }

  /** The connection is gone: both sides notice. */
  #breakLater(
    endpoint: Endpoint,
    entry: { readonly broken: (reason: string) => void },
    caller: Caller,
    onServer: () => void = nothing,
  ): void {
    entry.broken("connection lost");
    this.#world.schedule(endpoint.owner, REFUSED_MS, "connection lost", () => {
      caller.leave();
      onServer();
    });
  }

  #transit(from: number, to: number): number | undefined {
    return this.#network.transit(from, to);
  }

  #context(endpoint: Endpoint, client: Owner, options: CallOptions, caller: Caller): CallContext {
    return {
      metadata: (name) => options.metadata?.[name],
      get aborted() {
        return caller.hasLeft;
      },
      get signal() {
        return caller.signal;
      },
      deadline: options.timeoutMs === 0 ? undefined : endpoint.now() + options.timeoutMs,
      peer: client.name,
    };
  }
}

/** Whoever called, as the server sees it. Signals are dear and most handlers never look at theirs: made when asked for. */
class Caller {
  hasLeft = false;
  #controller: AbortController | undefined;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.hasLeft) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  leave(): void {
    this.hasLeft = true;
    this.#controller?.abort();
  }
}

/** Client machines count down from -1. */
function clientHost(client: Owner): number {
  return -Number(client.name.slice(1));
}

function asApiError(error: unknown): { readonly code: number; readonly message: string } {
  if (error instanceof ApiError) return error;
  return { code: Code.Internal, message: `internal: ${error instanceof Error ? error.stack : String(error)}` };
}

function nothing(): void {
  // Nobody is there.
}
