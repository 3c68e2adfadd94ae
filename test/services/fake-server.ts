import { decode } from "../../proto/codec.ts";
import { ResponseHeader } from "../../proto/generated/etcdserverpb.ts";
import type { ApiError } from "../../src/api/errors.ts";
import { type AnyHandler, answerOf, type CallContext, EncodedResponse, type Rpc, settle } from "../../src/rpc/rpc.ts";
import { type CallLimits, limitsOf } from "../../src/server/call-limits.ts";
import type { Server, ServerStatus } from "../../src/server/server.ts";
import type { ClusterMember, Command, StateMachine } from "../../src/state/machine.ts";
import type { WatchHub } from "../../src/watch/hub.ts";
import { mvccValues } from "../../storage/mvcc-values.ts";
import { Session } from "../state/harness.ts";

export const MEMBER_ID = 0xfedcba9876543210n;
export const CLUSTER_ID = 0x8000000000000001n;

/** A member of one, without log or network: commands are applied when they are proposed. */
export class FakeServer {
  readonly session: Session;
  readonly server: Server;
  /** What services asked of it, in order. */
  readonly asked: string[] = [];
  members: ClusterMember[] = [
    { id: MEMBER_ID, name: "one", peerURLs: ["http://p1"], clientURLs: ["http://c1"], isLearner: false },
  ];
  version: string | undefined = "3.6.0";
  /** What a test of the Cluster service puts here is asked. */
  readonly membership: Partial<Server["membership"]>;
  barrierError: ApiError | undefined;
  proposeError: ApiError | undefined;
  isCorrupt = false;
  readonly corruptCallbacks = new Set<() => void>();
  readonly status: { -readonly [Name in keyof ServerStatus]: ServerStatus[Name] } = {
    leader: MEMBER_ID,
    isLearner: false,
    raftTerm: 7,
    committedIndex: 90,
    appliedIndex: 88,
    dbSizeBytes: 40_960,
    dbSizeInUseBytes: 20_480,
    dbSizeQuotaBytes: 2_147_483_648,
    errors: [],
  };

  private constructor(session: Session, membership: Partial<Server["membership"]>) {
    this.session = session;
    this.membership = membership;
    const fake = this;
    const { machine } = session;
    const cluster = {
      members: () => this.members,
      member: (id: bigint) => this.members.find((member) => member.id === id),
      isRemoved: () => false,
      get version() {
        return fake.version;
      },
      downgrade: { enabled: false, targetVersion: "" },
    };
    const state = new Proxy(machine, {
      get: (target, name) => (name === "cluster" ? cluster : Reflect.get(target, name, target)),
    }) satisfies StateMachine;
    const notAsked = (): never => {
      throw new Error("no service under test asks this");
    };
    this.server = {
      memberId: MEMBER_ID,
      clusterId: CLUSTER_ID,
      state,
      watch: {} as WatchHub,
      header: (revision) =>
        ResponseHeader.create({ clusterId: CLUSTER_ID, memberId: MEMBER_ID, revision, raftTerm: 5 }),
      submit: (command, limits, waiter) => settle(this.server.propose(command, limits), waiter),
      propose: async (command: Command, _limits: CallLimits) => {
        this.asked.push(`propose ${Object.keys(command).join()}`);
        if (this.proposeError !== undefined) throw this.proposeError;
        const { result } = session.command(command);
        if (result.kind === "error") throw result.error;
        if (result.kind !== "response") return undefined;
        const response = result.response as { readonly header: ResponseHeader };
        return { ...response, header: this.server.header(response.header.revision) };
      },
      values: (versions) => mvccValues(session.backend, versions),
      awaitReadBarrier: (limits, waiter) => settle(this.server.readBarrier(limits), waiter),
      readBarrier: async (limits) => {
        this.asked.push("readBarrier");
        if (limits.signal.aborted) throw limits.signal.reason;
        if (this.barrierError !== undefined) throw this.barrierError;
      },
      membership: { add: notAsked, remove: notAsked, update: notAsked, promote: notAsked, ...this.membership },
      moveLeader: async (target) => {
        this.asked.push(`moveLeader ${target}`);
      },
      nextLeaseId: notAsked,
      leaseIds: notAsked,
      leaseKeepAlive: notAsked,
      leaseTimeToLive: notAsked,
      hashKv: async (revision) => {
        this.asked.push(`hashKv ${revision}`);
        return { hash: 1_084_519_789, compactRevision: -1, hashRevision: 1 };
      },
      hashStore: async () => {
        this.asked.push("hashStore");
        return 42;
      },
      openDatabase: notAsked,
      compactionFinished: async () => {
        this.asked.push("compactionFinished");
      },
      defragment: async () => {
        this.asked.push("defragment");
      },
      downgrade: async (action, version) => {
        this.asked.push(`downgrade ${action} ${version}`);
        return "3.6";
      },
      isCorrupt: () => this.isCorrupt,
      onCorrupt: (callback) => {
        this.corruptCallbacks.add(callback);
        return () => this.corruptCallbacks.delete(callback);
      },
      status: () => this.status,
      onLeaderChange: notAsked,
    };
  }

  static async open(membership: Partial<Server["membership"]> = {}): Promise<FakeServer> {
    return new FakeServer(await Session.open(), membership);
  }
}

export function fullHeader(revision: number): ResponseHeader {
  return ResponseHeader.create({ clusterId: CLUSTER_ID, memberId: MEMBER_ID, revision, raftTerm: 5 });
}

export function context(
  metadata: Readonly<Record<string, string>> = {},
  signal = new AbortController().signal,
): CallContext {
  return Object.assign(limitsOf(signal), { metadata: (name: string) => metadata[name], peer: "127.0.0.1:1" });
}

/** Calls a unary RPC of a service as a transport would. */
export async function invoke<Request, Response>(
  handlers: readonly AnyHandler[],
  rpc: Rpc<Request, Response>,
  request: Partial<Request> = {},
  callContext: CallContext = context(),
): Promise<Response> {
  const handler = handlers.find((candidate) => candidate.rpc.path === rpc.path);
  if (handler?.kind !== "unary") throw new Error(`no unary handler for ${rpc.path}`);
  const response: unknown = await answerOf(handler, rpc.request.create(request), callContext);
  if (response instanceof EncodedResponse) return decode(rpc.response, Buffer.concat(response.pieces));
  return response as Response;
}
