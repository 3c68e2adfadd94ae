import type {
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  ResponseHeader,
} from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { errors } from "../api/errors.ts";
import type { Env } from "../env.ts";
import {
  type AnyHandler,
  type CallContext,
  type RequestReceiver,
  type ResponseStream,
  replying,
  stream,
  unary,
} from "../rpc/rpc.ts";
import type { Server } from "../server/server.ts";
import type { Waiter } from "../server/waiter.ts";
import { createLeaderGuard } from "./leader-guard.ts";
import { createStreamCalls } from "./stream-call.ts";

export interface LeaseServiceOptions {
  readonly env: Env;
  readonly electionMs: number;
  /** Aborted when the member begins to stop. */
  readonly stopping: AbortSignal;
  /** Keep-alives of one stream that may wait for their turn or their reply; more end the stream. */
  readonly maxUnanswered?: number;
}

/** L-1: about 285 years. */
const MAX_TTL_SECONDS = 9_000_000_000;
/** A client with ten thousand leases may ask for all of them in one breath. */
const DEFAULT_MAX_UNANSWERED = 16_384;
/** Renewals of one stream that are under way together: on a follower each is a round trip to the leader. */
const RENEWALS_IN_FLIGHT = 16;

/** The unary methods leave `hasleader` to what stands before every handler; streams also end when the leader goes (W-15). */
export function leaseService(server: Server, options: LeaseServiceOptions): AnyHandler[] {
  const guard = createLeaderGuard(server, options.env, options.electionMs);
  const calls = createStreamCalls(guard, options.stopping);
  const maxUnanswered = options.maxUnanswered ?? DEFAULT_MAX_UNANSWERED;

  return [
    // The response of a command is the response message of its method.
    replying(rpcs.LeaseLeaseGrant, (request, context, reply) => {
      if (request.TTL > MAX_TTL_SECONDS) throw errors.leaseTtlTooLarge;
      const ID = request.ID === 0n ? server.nextLeaseId() : request.ID;
      server.submit({ leaseGrant: { TTL: request.TTL, ID } }, context, reply);
    }),

    replying(rpcs.LeaseLeaseRevoke, ({ ID }, context, reply) => server.submit({ leaseRevoke: { ID } }, context, reply)),

    stream(rpcs.LeaseLeaseKeepAlive, (responses, context) =>
      calls.open(responses, context, (end) => new KeepAlive(server, responses, context, maxUnanswered, end)),
    ),

    unary(rpcs.LeaseLeaseTimeToLive, async ({ ID, keys: withKeys }, context) => {
      const lease = await server.leaseTimeToLive(ID, withKeys, context);
      const header = currentHeader(server);
      if (lease === undefined) return { header, ID, TTL: -1, grantedTTL: 0, keys: [] };
      return { header, ID, TTL: lease.remainingSeconds, grantedTTL: lease.grantedSeconds, keys: lease.keys };
    }),

    unary(rpcs.LeaseLeaseLeases, async () => {
      return { header: currentHeader(server), leases: server.leaseIds().map((ID) => ({ ID })) };
    }),
  ];
}

/**
 * One reply a request, in order (L-4). Requests wait their turn while the client does not read or enough renewals are
 * under way; a failed renewal ends the stream once everything before it is answered, as if they ran one by one.
 */
class KeepAlive implements RequestReceiver<LeaseKeepAliveRequest> {
  readonly #server: Server;
  readonly #responses: ResponseStream<LeaseKeepAliveResponse>;
  readonly #context: CallContext;
  readonly #maxUnanswered: number;
  readonly #end: (error?: Error) => void;
  readonly #waiting: bigint[] = [];
  readonly #renewals: Renewal[] = [];
  #isHalfClosed = false;
  #isOver = false;

  constructor(
    server: Server,
    responses: ResponseStream<LeaseKeepAliveResponse>,
    context: CallContext,
    maxUnanswered: number,
    end: (error?: Error) => void,
  ) {
    this.#server = server;
    this.#responses = responses;
    this.#context = context;
    this.#maxUnanswered = maxUnanswered;
    this.#end = end;
  }

  request({ ID }: LeaseKeepAliveRequest): void {
    if (this.#waiting.length + this.#renewals.length >= this.#maxUnanswered) {
      this.#end(errors.tooManyRequests);
      return;
    }
    this.#waiting.push(ID);
    this.#start();
  }

  halfClosed(): void {
    this.#isHalfClosed = true;
    this.#endIfDone();
  }

  drained(): void {
    this.#start();
  }

  closed(): void {
    this.#isOver = true;
    this.#waiting.length = 0;
    this.#renewals.length = 0;
  }

  /** A renewal has its outcome. */
  settled(): void {
    for (;;) {
      const [first] = this.#renewals;
      if (this.#isOver || first?.outcome === undefined) break;
      this.#renewals.shift();
      if (typeof first.outcome === "number") {
        this.#responses.send({ header: first.header, ID: first.id, TTL: first.outcome });
      } else this.#end(first.outcome);
    }
    this.#start();
    this.#endIfDone();
  }

  #start(): void {
    while (!this.#isOver && this.#responses.writable && this.#renewals.length < RENEWALS_IN_FLIGHT) {
      const id = this.#waiting.shift();
      if (id === undefined) return;
      // H-5: a header from before the renewal never tells of a revision at which the lease was already gone.
      const renewal = new Renewal(this, id, currentHeader(this.#server));
      this.#renewals.push(renewal);
      this.#server.leaseKeepAlive(id, this.#context, renewal);
    }
  }

  #endIfDone(): void {
    if (this.#isHalfClosed && this.#waiting.length === 0 && this.#renewals.length === 0) this.#end();
  }
}

class Renewal implements Waiter<number> {
  readonly id: bigint;
  readonly header: ResponseHeader;
  /** Seconds to live, or why there are none. */
  outcome: number | Error | undefined;
  readonly #stream: KeepAlive;

  constructor(stream: KeepAlive, id: bigint, header: ResponseHeader) {
    this.#stream = stream;
    this.id = id;
    this.header = header;
  }

  succeed(ttlSeconds: number): void {
    this.outcome = ttlSeconds;
    this.#stream.settled();
  }

  fail(error: unknown): void {
    this.outcome = error instanceof Error ? error : new Error(String(error));
    this.#stream.settled();
  }
}

function currentHeader(server: Server): ResponseHeader {
  return server.header(server.state.mvcc.currentRevision);
}
