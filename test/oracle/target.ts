import { status } from "@grpc/grpc-js";
import { decode } from "../../proto/codec.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import * as mvccpb from "../../proto/generated/mvccpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { unreachable } from "../../raft/assert.ts";
import type { ApiClient, ServiceError } from "../e2e/client.ts";
import { type Cluster, startCluster } from "../e2e/cluster.ts";
import { isShort, STREAMS } from "./draw.ts";
import { CHOSEN_BY_SERVER, type Operation, type Outcome } from "./operation.ts";
import { withoutTies } from "./ties.ts";
import { WatchStream } from "./watch-stream.ts";

const POLL_MS = 10;

/** How long is waited for answers, and for what watches say. */
export interface Patience {
  readonly answerMs: number;
  readonly watchMs: number;
}

/** One of the two that are compared: a cluster, and clients that ask it. Ids and terms are taken out of its answers. */
export class Target {
  readonly patience: Patience;
  /** Of API level 3.6: HashKV tells the revision that it hashed, which etcd 3.5 does not. */
  readonly #tellsHashRevision: boolean;
  readonly #cluster: Cluster;
  readonly #clients: readonly ApiClient[];
  readonly #streams: readonly WatchStream[];
  readonly #chosen: bigint[] = [];
  #lastMember = 0;

  private constructor(cluster: Cluster, patience: Patience, isOurs: boolean) {
    this.patience = patience;
    this.#tellsHashRevision = isOurs;
    this.#cluster = cluster;
    this.#clients = cluster.members.map((member) => cluster.client(member));
    // Where there are several members, watches are at all of them.
    this.#streams = Array.from({ length: STREAMS }, (_, stream) => {
      return new WatchStream(this.#client(stream % this.#clients.length), patience.watchMs, (id) => this.#standIn(id));
    });
  }

  /** `binary`: etcd, or undefined for ours. */
  static async start(members: number, patience: Patience, binary?: string): Promise<Target> {
    return new Target(await startCluster(members, [], binary), patience, binary === undefined);
  }

  async end(): Promise<void> {
    for (const stream of this.#streams) stream.close();
    await this.#cluster.destroy();
  }

  stream(position: number): WatchStream {
    return this.#streams[position] as WatchStream;
  }

  /** `revision`: of the store, as known from the answers before. Rejects when the server did not answer. */
  async ask(operation: Operation, revision: number): Promise<Outcome> {
    const member = operation.member % this.#clients.length;
    // What is answered from one member's own state must not depend on how far behind the others it is.
    if (member !== this.#lastMember) await this.#client(member).range({ key: "barrier" }, this.patience.answerMs);
    this.#lastMember = member;
    try {
      const { header, answer, secondsLeft } = await this.#ask(this.#client(member), operation, revision);
      const outcome = { kind: "ok", revision: header?.revision, answer } as const;
      return secondsLeft === undefined ? outcome : { ...outcome, secondsLeft };
    } catch (error) {
      const { code, details } = error as Partial<ServiceError>;
      if (code === undefined || isNoAnswer(code, details)) throw error;
      return { kind: "error", code, message: details ?? "" };
    }
  }

  /**
   * Resolves when all members have removed what the compaction to that revision takes away. They tell: of that revision
   * HashKV says then what was hashed before (N-5), with the compaction before it. Rejects after its patience.
   */
  async compacted(revision: number): Promise<void> {
    const deadline = Date.now() + this.patience.answerMs;
    for (const client of this.#clients) {
      await client.range({ key: "barrier" }, this.patience.answerMs);
      while ((await client.hashKv(revision)).compactRevision >= revision) {
        if (Date.now() > deadline) throw new Error(`the compaction to ${revision} did not come to its end`);
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    }
  }

  #client(member: number): ApiClient {
    return this.#clients[member] as ApiClient;
  }

  async #ask(
    client: ApiClient,
    operation: Operation,
    revision: number,
  ): Promise<{
    readonly header: pb.ResponseHeader | undefined;
    readonly answer: unknown;
    readonly secondsLeft?: number;
  }> {
    const patience = { timeoutMs: this.patience.answerMs };
    switch (operation.kind) {
      case "range": {
        const response = await client.unary(rpcs.KVRange, operation.request, patience);
        return { header: response.header, answer: this.#range(response, operation.request) };
      }
      case "put": {
        const response = await client.unary(rpcs.KVPut, this.#realPut(operation.request), patience);
        return { header: response.header, answer: this.#put(response) };
      }
      case "deleteRange": {
        const response = await client.unary(rpcs.KVDeleteRange, operation.request, patience);
        return { header: response.header, answer: this.#delete(response) };
      }
      case "txn": {
        const response = await client.unary(rpcs.KVTxn, this.#realTxn(operation.request), patience);
        return { header: response.header, answer: this.#txn(response, operation.request) };
      }
      case "compact": {
        const { header } = await client.unary(rpcs.KVCompact, operation.request, patience);
        return { header, answer: "compacted" };
      }
      case "hashKv": {
        const { request } = operation;
        const { header, hash, compactRevision, hashRevision } = await client.unary(
          rpcs.MaintenanceHashKV,
          request,
          patience,
        );
        const hashed = request.revision !== 0 ? request.revision : header?.revision;
        const isTold = !this.#tellsHashRevision || hashRevision === hashed;
        return { header, answer: { hash, compactRevision, ...(isTold ? {} : { hashRevision }) } };
      }
      case "leaseGrant": {
        const { request } = operation;
        const { header, ID, TTL, error } = await client.unary(rpcs.LeaseLeaseGrant, request, patience);
        const isChosen = request.ID === 0n;
        // It would end by itself, at another moment on each side.
        if (isShort(request)) await this.#revokeAtOnce(client, ID);
        else if (isChosen) this.#chosen.push(ID);
        return { header, answer: { ID: isChosen ? ID > 0n : ID, TTL, error } };
      }
      case "leaseRevoke": {
        const { header } = await client.unary(
          rpcs.LeaseLeaseRevoke,
          { ID: this.#real(operation.request.ID) },
          patience,
        );
        return { header, answer: "revoked" };
      }
      case "leaseKeepAlive": {
        const { header, ID, TTL } = await keepAliveOnce(client, this.#real(operation.id), this.patience.answerMs);
        return { header, answer: { ID: this.#standIn(ID), TTL } };
      }
      case "leaseTimeToLive": {
        const request = { ...operation.request, ID: this.#real(operation.request.ID) };
        const { header, ID, TTL, grantedTTL, keys } = await client.unary(rpcs.LeaseLeaseTimeToLive, request, patience);
        const answer = { ID: this.#standIn(ID), grantedTTL, keys: [...keys].map(text).sort() };
        return TTL < 0 ? { header, answer: { ...answer, TTL } } : { header, answer, secondsLeft: TTL };
      }
      case "leaseLeases": {
        const { header, leases } = await client.unary(rpcs.LeaseLeaseLeases, {}, patience);
        return { header, answer: leases.map(({ ID }) => String(this.#standIn(ID))).sort() };
      }
      case "watchCreate":
        return { header: undefined, answer: await this.stream(operation.stream).create(operation.request) };
      case "watchCancel":
        return { header: undefined, answer: await this.stream(operation.stream).cancel(operation.watchId) };
      case "watchProgress":
        return { header: undefined, answer: await this.stream(operation.stream).progress(revision) };
      case "settle":
        return { header: undefined, answer: "settled" };
      default:
        return unreachable(operation);
    }
  }

  async #revokeAtOnce(client: ApiClient, ID: bigint): Promise<void> {
    try {
      await client.unary(rpcs.LeaseLeaseRevoke, { ID }, { timeoutMs: this.patience.answerMs });
    } catch (error) {
      // The machine was so slow that it had ended.
      if ((error as Partial<ServiceError>).code !== status.NOT_FOUND) throw error;
    }
  }

  /** The n-th lease whose id the server chose, by its stand-in. */
  #real(id: bigint): bigint {
    return id < CHOSEN_BY_SERVER ? id : (this.#chosen[Number(id - CHOSEN_BY_SERVER)] ?? id);
  }

  #standIn(id: bigint): bigint {
    const position = this.#chosen.indexOf(id);
    return position < 0 ? id : CHOSEN_BY_SERVER + BigInt(position);
  }

  #realPut(request: pb.PutRequest): pb.PutRequest {
    return request.lease < CHOSEN_BY_SERVER ? request : { ...request, lease: this.#real(request.lease) };
  }

  #realTxn(request: pb.TxnRequest): pb.TxnRequest {
    const compare = request.compare.map((one): pb.Compare => {
      if (one.targetUnion?.kind !== "lease") return one;
      return { ...one, targetUnion: { kind: "lease", value: this.#real(one.targetUnion.value) } };
    });
    const ops = (of: readonly pb.RequestOp[]): pb.RequestOp[] => of.map((op) => this.#realOp(op));
    return { compare, success: ops(request.success), failure: ops(request.failure) };
  }

  #realOp(op: pb.RequestOp): pb.RequestOp {
    const { request } = op;
    if (request?.kind === "requestPut") {
      return { request: { kind: "requestPut", value: this.#realPut(request.value) } };
    }
    if (request?.kind === "requestTxn") {
      return { request: { kind: "requestTxn", value: this.#realTxn(request.value) } };
    }
    return op;
  }

  #pair(bytes: Uint8Array): mvccpb.KeyValue {
    const pair = decode(mvccpb.KeyValue, bytes);
    return { ...pair, lease: this.#standIn(pair.lease) };
  }

  #range({ kvs, more, count }: pb.RangeResponse, request: pb.RangeRequest): object {
    const pairs = kvs.map((bytes) => this.#pair(bytes));
    return { kvs: withoutTies(pairs, more, count, request), more, count };
  }

  #put({ prevKv }: pb.PutResponse): object {
    return { prevKv: prevKv === undefined ? undefined : this.#pair(prevKv) };
  }

  #delete({ deleted, prevKvs }: pb.DeleteRangeResponse): object {
    return { deleted, prevKvs: prevKvs.map((bytes) => this.#pair(bytes)) };
  }

  #txn({ succeeded, responses }: pb.TxnResponse, { success, failure }: pb.TxnRequest): object {
    const asked = succeeded ? success : failure;
    return { succeeded, responses: responses.map(({ response }, i) => this.#op(response, asked[i]?.request)) };
  }

  /** The revision in an inner header is part of the contract (H-2, G-5). */
  #op(response: pb.ResponseOp["response"], asked: pb.RequestOp["request"]): object {
    if (response === undefined) return { kind: "nothing" };
    const { kind, value } = response;
    const revision = value.header?.revision;
    switch (kind) {
      case "responseRange":
        if (asked?.kind !== "requestRange") return { kind, notAsked: asked?.kind };
        return { kind, revision, ...this.#range(value, asked.value) };
      case "responsePut":
        return { kind, revision, ...this.#put(value) };
      case "responseDeleteRange":
        return { kind, revision, ...this.#delete(value) };
      case "responseTxn":
        if (asked?.kind !== "requestTxn") return { kind, notAsked: asked?.kind };
        return { kind, revision, ...this.#txn(value, asked.value) };
      default:
        return unreachable(response);
    }
  }
}

/** Nothing that is asked here is answered with UNAVAILABLE by a server that is well; and this client lost its patience. */
function isNoAnswer(code: number, details = ""): boolean {
  return code === status.UNAVAILABLE || (code === status.DEADLINE_EXCEEDED && details.startsWith("Deadline exceeded"));
}

function text(bytes: Uint8Array | string): string {
  return typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("latin1");
}

function keepAliveOnce(client: ApiClient, ID: bigint, limitMs: number): Promise<pb.LeaseKeepAliveResponse> {
  return new Promise((resolve, reject) => {
    const stream = client.bidi(rpcs.LeaseLeaseKeepAlive);
    const timer = setTimeout(() => {
      reject(new Error(`a keep-alive was not answered within ${limitMs} ms`));
      stream.cancel();
    }, limitMs);
    const settle = (how: () => void): void => {
      clearTimeout(timer);
      how();
    };
    stream.on("data", (response) => {
      settle(() => resolve(response));
      stream.end();
    });
    stream.on("error", (error) => settle(() => reject(error)));
    stream.on("end", () => settle(() => reject(new Error("the server ended a keep-alive stream without an answer"))));
    stream.write({ ID });
  });
}
