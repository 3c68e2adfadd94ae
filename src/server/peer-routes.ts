import { DecodeError, decode, encode } from "../../proto/codec.ts";
import {
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseTimeToLiveResponse,
  type Member,
  ResponseHeader,
} from "../../proto/generated/etcdserverpb.ts";
import { LeaseInternalRequest, LeaseInternalResponse } from "../../proto/generated/leasepb.ts";
import type { Entry } from "../../raft/types.ts";
import { memberJson } from "../../storage/stored-json.ts";
import { ApiError, errors } from "../api/errors.ts";
import type { PeerHttpAnswer, PeerHttpHandler } from "../peer/transport.ts";
import type { Cluster } from "../state/machine.ts";
import { withAnnounced } from "./former-life.ts";
import { hexId } from "./ids.ts";
import type { KvHash } from "./kv-hashes.ts";
import type { LeaseDesk } from "./lease-desk.ts";

export interface PeerRouteDeps {
  readonly clusterId: bigint;
  readonly cluster: Cluster;
  readonly unapplied: () => readonly Entry[];
  readonly leases: LeaseDesk;
  /** The leader's part; rejects with notLeader elsewhere. */
  readonly promote: (id: bigint) => Promise<readonly Member[]>;
  readonly readBarrier: () => Promise<void>;
  readonly hashKv: (revision: number, isFresh: boolean) => Promise<KvHash>;
  readonly currentRevision: () => number;
  readonly versions: () => { readonly server: string; readonly cluster: string; readonly storage: string };
}

const PROTOBUF = "application/protobuf";

const PROMOTE = "/members/promote/";

/** What members ask each other beside raft (etcd's peer protocol, P-33, P-36..P-38). Bad input is an answer, never a throw. */
export function createPeerRoutes(deps: PeerRouteDeps): PeerHttpHandler {
  return async (method, path, body, headers) => {
    switch (path) {
      case "/members":
        return method === "GET" ? membersAnswer(deps) : wrongMethod("GET");
      case "/version":
        return method === "GET" ? versionAnswer(deps) : wrongMethod("GET");
      case "/leases":
        return method === "POST" ? keepAliveAnswer(deps, body) : wrongMethod("POST");
      case "/leases/internal":
        return method === "POST" ? timeToLiveAnswer(deps, body) : wrongMethod("POST");
      case "/members/hashkv":
        // P-35: here it matters most that it is a member that asks. etcd 3.5 does not say of which cluster it is.
        if ((headers["x-etcd-cluster-id"] ?? hexId(deps.clusterId)) !== hexId(deps.clusterId)) {
          return text(412, "cluster ID mismatch");
        }
        return method === "GET" ? hashAnswer(deps, body) : wrongMethod("GET");
      case "/downgrade/enabled":
        return method === "GET" ? downgradeAnswer(deps) : wrongMethod("GET");
      default:
        if (!path.startsWith(PROMOTE)) return undefined;
        return method === "POST" ? promoteAnswer(deps, path.slice(PROMOTE.length)) : wrongMethod("POST");
    }
  };
}

function text(status: number, message: string): PeerHttpAnswer {
  return { status, contentType: "text/plain; charset=utf-8", body: Buffer.from(`${message}\n`) };
}

function json(body: string, headers: Record<string, string> = {}): PeerHttpAnswer {
  return { status: 200, contentType: "application/json", body: Buffer.from(`${body}\n`), headers };
}

function wrongMethod(allow: string): PeerHttpAnswer {
  return { ...text(405, "Method Not Allowed"), headers: { Allow: allow } };
}

function membersAnswer({ cluster, unapplied, clusterId }: PeerRouteDeps): PeerHttpAnswer {
  const rows = withAnnounced(cluster.members(), unapplied).map(memberJson);
  return json(`[${rows.join(",")}]`, { "X-Etcd-Cluster-ID": hexId(clusterId) });
}

/** P-37: 404 and 412 in the words of etcd's member list; everything else says what it is. */
async function promoteAnswer({ promote, clusterId }: PeerRouteDeps, decimalId: string): Promise<PeerHttpAnswer> {
  const id = /^\d{1,20}$/.test(decimalId) ? BigInt(decimalId) : 1n << 64n;
  if (id >= 1n << 64n) return text(404, `member ${decimalId} not found in cluster`);
  try {
    const members = await promote(id);
    const rows = members.map(({ ID, ...member }) => memberJson({ id: ID, ...member }));
    return json(`[${rows.join(",")}]`, { "X-Etcd-Cluster-ID": hexId(clusterId) });
  } catch (error) {
    switch (error) {
      case errors.memberNotFound:
        return text(404, "membership: ID not found");
      case errors.memberNotLearner:
        return text(412, "membership: can only promote a learner member");
      case errors.learnerNotReady:
        return text(412, errors.learnerNotReady.message);
      default:
        if (error instanceof ApiError) return text(500, error.message);
        throw error;
    }
  }
}

function versionAnswer({ versions }: PeerRouteDeps): PeerHttpAnswer {
  const { server, cluster, storage } = versions();
  return json(JSON.stringify({ etcdserver: server, etcdcluster: cluster, storage }));
}

async function keepAliveAnswer(deps: PeerRouteDeps, body: Buffer): Promise<PeerHttpAnswer> {
  return leaseAnswer(async () => {
    const { ID } = decode(LeaseKeepAliveRequest, body);
    const TTL = await deps.leases.renewHere(ID);
    if (TTL === 0) return text(404, "lease not found");
    const response = LeaseKeepAliveResponse.create({ ID, TTL });
    return { status: 200, contentType: PROTOBUF, body: encode(LeaseKeepAliveResponse, response) };
  });
}

async function timeToLiveAnswer(deps: PeerRouteDeps, body: Buffer): Promise<PeerHttpAnswer> {
  return leaseAnswer(async () => {
    const request = decode(LeaseInternalRequest, body).leaseTimeToLiveRequest;
    if (request === undefined) return text(400, "lease request is missing");
    const found = await deps.leases.timeToLiveHere(request.ID, request.keys);
    if (found === undefined) return text(404, "lease not found");
    const leaseTimeToLiveResponse = LeaseTimeToLiveResponse.create({
      header: ResponseHeader.create(),
      ID: request.ID,
      TTL: found.remainingSeconds,
      grantedTTL: found.grantedSeconds,
      keys: found.keys,
    });
    const response = LeaseInternalResponse.create({ leaseTimeToLiveResponse });
    return { status: 200, contentType: PROTOBUF, body: encode(LeaseInternalResponse, response) };
  });
}

async function leaseAnswer(work: () => Promise<PeerHttpAnswer>): Promise<PeerHttpAnswer> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DecodeError) return text(400, "error unmarshalling request");
    if (error === errors.notLeader) return text(400, "not a primary lessor");
    if (error instanceof ApiError) return text(408, error.message);
    throw error;
  }
}

async function hashAnswer(deps: PeerRouteDeps, body: Buffer): Promise<PeerHttpAnswer> {
  let revision: unknown;
  // Of our own: etcd takes no notice of it.
  let fresh: unknown;
  try {
    const request = body.length === 0 ? {} : (JSON.parse(body.toString("utf8")) as Record<string, unknown>);
    revision = request["revision"] ?? 0;
    fresh = request["fresh"];
  } catch {
    return text(400, "error unmarshalling request");
  }
  if (typeof revision !== "number" || !Number.isSafeInteger(revision)) {
    return text(400, "error unmarshalling request");
  }
  try {
    const { hash, compactRevision, hashRevision } = await deps.hashKv(revision, fresh === true);
    const header = { revision: deps.currentRevision() };
    return json(JSON.stringify({ header, hash, compact_revision: compactRevision, hash_revision: hashRevision }));
  } catch (error) {
    if (error instanceof ApiError) return text(400, error.message.replace(/^etcdserver: /, ""));
    throw error;
  }
}

async function downgradeAnswer(deps: PeerRouteDeps): Promise<PeerHttpAnswer> {
  try {
    await deps.readBarrier();
  } catch (error) {
    if (error instanceof ApiError) return text(500, error.message);
    throw error;
  }
  return {
    status: 200,
    contentType: "text/plain; charset=utf-8",
    body: Buffer.from(String(deps.cluster.downgrade.enabled)),
  };
}
