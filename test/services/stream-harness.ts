import { decode, encode } from "../../proto/codec.ts";
import type { ResponseHeader } from "../../proto/generated/etcdserverpb.ts";
import {
  type AnyHandler,
  type CallContext,
  type RequestReceiver,
  type ResponseStream,
  settle,
} from "../../src/rpc/rpc.ts";
import { type CallLimits, limitsOf } from "../../src/server/call-limits.ts";
import type { Server } from "../../src/server/server.ts";
import type { Waiter } from "../../src/server/waiter.ts";
import type { Command } from "../../src/state/machine.ts";
import { FakeEnv } from "../server/fake-env.ts";
import { type Bench, createBench } from "../watch/harness.ts";

/** A member as the watch and lease services see it: a real store and hub, and answers that the test gives. */
export interface FakeMember {
  readonly server: Server;
  readonly env: FakeEnv;
  readonly bench: Bench;
  readonly stopping: AbortController;
  leader: bigint;
  raftTerm: number;
  leaseIds: readonly bigint[];
  propose(command: Command, limits: CallLimits): Promise<unknown>;
  leaseKeepAlive(id: bigint): Promise<number>;
  leaseTimeToLive: Server["leaseTimeToLive"];
}

export function createFakeMember(bench: Bench = createBench()): FakeMember {
  const notExpected = (): Promise<never> => Promise.reject(new Error("not expected"));
  const member: FakeMember = {
    env: new FakeEnv(),
    bench,
    stopping: new AbortController(),
    leader: 1n,
    raftTerm: 2,
    leaseIds: [],
    propose: notExpected,
    leaseKeepAlive: notExpected,
    leaseTimeToLive: notExpected,
    server: {
      watch: bench.hub,
      state: { mvcc: bench.store },
      leaseIds: () => member.leaseIds,
      header: (revision: number): ResponseHeader => ({
        clusterId: 10n,
        memberId: 11n,
        revision,
        raftTerm: member.raftTerm,
      }),
      status: () => ({ leader: member.leader }),
      nextLeaseId: () => 4_711n,
      submit: (command: Command, limits: CallLimits, waiter: Waiter<unknown>) =>
        settle(member.propose(command, limits), waiter),
      leaseKeepAlive: (id: bigint, _: CallLimits, waiter: Waiter<number>) => settle(member.leaseKeepAlive(id), waiter),
      leaseTimeToLive: (...args: Parameters<Server["leaseTimeToLive"]>) => member.leaseTimeToLive(...args),
    } as unknown as Server,
  };
  return member;
}

export function context(metadata: Record<string, string> = {}): CallContext {
  return Object.assign(limitsOf(new AbortController().signal), {
    metadata: (name: string) => metadata[name],
    peer: "127.0.0.1:1",
  });
}

/** One streaming call as a transport would hold it: messages pass the codecs, `closed` comes once, a moment later. */
export class FakeCall<Request, Response> {
  readonly #handler: Extract<AnyHandler, { kind: "stream" }>;
  readonly #receiver: RequestReceiver<unknown>;
  readonly received: Response[] = [];
  ended: Error | "ok" | undefined;
  /** Responses that it still takes while it is writable. */
  room = Number.POSITIVE_INFINITY;
  #writable = true;

  constructor(handlers: readonly AnyHandler[], path: string, callContext: CallContext = context()) {
    const handler = handlers.find((h) => h.rpc.path === path);
    if (handler?.kind !== "stream") throw new Error(`no streaming method ${path}`);
    this.#handler = handler;
    const call = this;
    const responses: ResponseStream<unknown> = {
      send(response) {
        if (call.ended !== undefined) throw new Error("sent after the end");
        const bytes = encode(handler.rpc.response, response as never);
        call.received.push(decode(handler.rpc.response, bytes) as Response);
        call.room--;
      },
      get writable() {
        return call.#writable && call.room > 0 && call.ended === undefined;
      },
      end(error) {
        if (call.ended !== undefined) return;
        call.ended = error ?? "ok";
        queueMicrotask(() => call.#receiver.closed());
      },
    };
    this.#receiver = handler.open(responses, callContext) as RequestReceiver<unknown>;
  }

  send(request: Request): void {
    const { rpc } = this.#handler;
    this.#receiver.request(decode(rpc.request, encode(rpc.request, request as never)));
  }

  halfClose(): void {
    this.#receiver.halfClosed();
  }

  set writable(writable: boolean) {
    const drained = writable && !this.#writable;
    this.#writable = writable;
    if (drained) this.#receiver.drained();
  }

  /** The client is gone. */
  cancel(): void {
    if (this.ended !== undefined) return;
    this.ended = new Error("cancelled by the client");
    this.#receiver.closed();
  }

  /** What came since the last call. */
  take(): Response[] {
    return this.received.splice(0);
  }
}
