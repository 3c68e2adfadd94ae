import { status } from "@grpc/grpc-js";
import { decode } from "../../proto/codec.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import * as mvccpb from "../../proto/generated/mvccpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { unreachable } from "../../raft/assert.ts";
import type { ApiClient, ServiceError } from "../e2e/client.ts";
import { type Cluster, startCluster } from "../e2e/cluster.ts";
import { STREAMS } from "./draw.ts";
import { CHOSEN_BY_SERVER, type Operation, type Outcome } from "./operation.ts";
import { WatchStream } from "./watch-stream.ts";

const TIMEOUT_MS = 20_000;

/** One of the two that are compared: a cluster, and clients that ask it. Ids and terms are taken out of its answers. */
export class Target {
  readonly name: string;
  readonly #cluster: Cluster;
  readonly #clients: readonly ApiClient[];
  readonly #streams: readonly WatchStream[];
  readonly #chosen: bigint[] = [];
  #lastMember = 0;

  private constructor(name: string, cluster: Cluster) {
    this.name = name;
    this.#cluster = cluster;
    this.#clients = cluster.members.map((member) => cluster.client(member));
    const [first] = this.#clients as [ApiClient];
    this.#streams = Array.from({ length: STREAMS }, () => new WatchStream(first));
  }

  /** `binary`: etcd, or undefined for ours. */
  static async start(members: number, flags: readonly string[], binary?: string): Promise<Target> {
    return new Target(binary === undefined ? "quorate" : "etcd", await startCluster(members, flags, binary));
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
    if (member !== this.#lastMember) await this.#client(member).range({ key: "barrier" }, TIMEOUT_MS);
    this.#lastMember = member;
    try {
      const { header, answer } = await this.#ask(this.#client(member), operation, revision);
      return { kind: "ok", revision: header?.revision, answer };
    } catch (error) {
      const { code, details } = error as Partial<ServiceError>;
      if (code === undefined || isNoAnswer(code, details)) throw error;
      return { kind: "error", code, message: details ?? "" };
    }
  }

  #client(member: number): ApiClient {
    return this.#clients[member] as ApiClient;
  }

  async #ask(
    client: ApiClient,
    operation: Operation,
    revision: number,
  ): Promise<{ readonly header: pb.ResponseHeader | undefined; readonly answer: unknown }> {
    const patience = { timeoutMs: TIMEOUT_MS };
    switch (operation.kind) {
      case "range": {
        const response = await client.unary(rpcs.KVRange, operation.request, patience);
        return { header: response.header, answer: rangeOf(response) };
      }
      case "put": {
        const { request } = operation;
        const response = await client.unary(rpcs.KVPut, request, patience);
        return { header: response.header, answer: putOf(response) };
      }
      case "deleteRange": {
        const response = await client.unary(rpcs.KVDeleteRange, operation.request, patience);
        return { header: response.header, answer: deleteOf(response) };
      }
      case "txn": {
        const response = await client.unary(rpcs.KVTxn, operation.request, patience);
        return { header: response.header, answer: txnOf(response) };
      }
      case "compact": {
        const { header } = await client.unary(rpcs.KVCompact, operation.request, patience);
        return { header, answer: "compacted" };
      }
      case "hashKv": {
        const { header, hash, compactRevision } = await client.unary(
          rpcs.MaintenanceHashKV,
          operation.request,
          patience,
        );
        return { header, answer: { hash, compactRevision } };
      }
      case "leaseGrant": {
        const { request } = operation;
        const { header, ID, TTL, error } = await client.unary(rpcs.LeaseLeaseGrant, request, patience);
        const isChosen = request.ID === 0n;
        if (isChosen) this.#chosen.push(ID);
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
        const { header, ID, TTL } = await keepAliveOnce(client, this.#real(operation.id));
        return { header, answer: { ID: this.#standIn(ID), TTL } };
      }
      case "leaseTimeToLive": {
        const request = { ...operation.request, ID: this.#real(operation.request.ID) };
        const { header, ID, TTL, grantedTTL, keys } = await client.unary(rpcs.LeaseLeaseTimeToLive, request, patience);
        // Whole seconds that have passed since the grant are a matter of luck.
        const isFresh = TTL > 0 && grantedTTL - TTL < 600;
        return {
          header,
          answer: { ID: this.#standIn(ID), TTL: isFresh ? "some" : TTL, grantedTTL, keys: [...keys].map(text).sort() },
        };
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

  /** The n-th lease whose id the server chose, by its stand-in. */
  #real(id: bigint): bigint {
    return id < CHOSEN_BY_SERVER ? id : (this.#chosen[Number(id - CHOSEN_BY_SERVER)] ?? id);
  }

  #standIn(id: bigint): bigint {
    const position = this.#chosen.indexOf(id);
    return position < 0 ? id : CHOSEN_BY_SERVER + BigInt(position);
  }
}

/** Nothing that is asked here is answered with UNAVAILABLE by a server that is well; and this client lost its patience. */
function isNoAnswer(code: number, details = ""): boolean {
  return code === status.UNAVAILABLE || (code === status.DEADLINE_EXCEEDED && details.startsWith("Deadline exceeded"));
}

function text(bytes: Uint8Array | string): string {
  return typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("latin1");
}

function keepAliveOnce(client: ApiClient, ID: bigint): Promise<pb.LeaseKeepAliveResponse> {
  return new Promise((resolve, reject) => {
    const stream = client.bidi(rpcs.LeaseLeaseKeepAlive);
    const timer = setTimeout(() => {
      reject(new Error(`a keep-alive was not answered within ${TIMEOUT_MS} ms`));
      stream.cancel();
    }, TIMEOUT_MS);
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

const pair = (bytes: Uint8Array): mvccpb.KeyValue => decode(mvccpb.KeyValue, bytes);
const optional = (bytes: Uint8Array | undefined): mvccpb.KeyValue | undefined =>
  bytes === undefined ? undefined : pair(bytes);

function rangeOf({ kvs, more, count }: pb.RangeResponse): object {
  return { kvs: kvs.map(pair), more, count };
}

function putOf({ prevKv }: pb.PutResponse): object {
  return { prevKv: optional(prevKv) };
}

function deleteOf({ deleted, prevKvs }: pb.DeleteRangeResponse): object {
  return { deleted, prevKvs: prevKvs.map(pair) };
}

function txnOf({ succeeded, responses }: pb.TxnResponse): object {
  return { succeeded, responses: responses.map(({ response }) => opOf(response)) };
}

/** The revision in an inner header is part of the contract (H-2, G-5). */
function opOf(response: pb.ResponseOp["response"]): object {
  if (response === undefined) return { kind: "nothing" };
  const { kind, value } = response;
  const revision = value.header?.revision;
  switch (kind) {
    case "responseRange":
      return { kind, revision, ...rangeOf(value) };
    case "responsePut":
      return { kind, revision, ...putOf(value) };
    case "responseDeleteRange":
      return { kind, revision, ...deleteOf(value) };
    case "responseTxn":
      return { kind, revision, ...txnOf(value) };
    default:
      return unreachable(response);
  }
}
