import type { Message, NodeId } from "../../raft/types.ts";
import type { Env } from "../env.ts";
import type { Logger } from "../log.ts";
import { formatId, header, requestHeaders } from "./headers.ts";
import { callUrls, PeerHttpClient, type SocketLimits } from "./http-client.ts";
import type { PeerLimits } from "./limits.ts";
import { DEFAULT_PEER_LIMITS } from "./limits.ts";
import { NameLookup } from "./name-lookup.ts";
import type { PeerContext } from "./peer.ts";
import { Peer } from "./peer.ts";
import type { PeerListener } from "./peer-listener.ts";
import { listenForPeers } from "./peer-listener.ts";
import { Pipeline } from "./pipeline.ts";
import { releaseFile } from "./snapshot-upload.ts";
import type {
  OutgoingSnapshot,
  PeerAddress,
  PeerCallbacks,
  PeerIdentity,
  PeerRequest,
  PeerResponse,
  PeerTraffic,
  PeerTransport,
} from "./transport.ts";
import { PeerCallError, SnapshotRefusedError } from "./transport.ts";
import { UrlPicker } from "./url-picker.ts";

export interface PeerTransportOptions {
  readonly env: Env;
  readonly logger: Logger;
  readonly identity: PeerIdentity;
  readonly listenUrls: readonly string[];
  readonly callbacks: PeerCallbacks;
  readonly limits?: Partial<PeerLimits>;
}

/** Listens on all URLs or rejects. Peers are dialled from setPeers on. */
export async function openPeerTransport(options: PeerTransportOptions): Promise<PeerTransport> {
  const transport = new HttpPeerTransport(options);
  await transport.listen(options.listenUrls);
  return transport;
}

class HttpPeerTransport implements PeerTransport {
  readonly #context: PeerContext;
  readonly #callbacks: PeerCallbacks;
  readonly #peers = new Map<NodeId, Peer>();
  /** Senders that are no members as far as we know: they get answers, by pipeline. Oldest first. */
  readonly #remotes = new Map<NodeId, Pipeline>();
  readonly #remoteClient: PeerHttpClient;
  readonly #lost = new Set<NodeId>();
  #listener: PeerListener | undefined;
  #removed = false;
  #closed = false;

  constructor(options: PeerTransportOptions) {
    const { env, logger, identity, callbacks } = options;
    const limits = { ...DEFAULT_PEER_LIMITS, ...options.limits };
    const names = new NameLookup(env);
    const client = (sockets: SocketLimits): PeerHttpClient =>
      new PeerHttpClient(env, limits.responseBytes, names, sockets);
    this.#remoteClient = client({ perHost: limits.pipelineInFlight, total: limits.remoteSockets, kept: false });
    this.#callbacks = callbacks;
    this.#context = {
      env,
      limits,
      logger,
      identity,
      // Each peer's pipeline has its own bound.
      pipelineClient: client({ perHost: Number.POSITIVE_INFINITY, total: Number.POSITIVE_INFINITY, kept: true }),
      callClient: client({ perHost: limits.callSockets, total: Number.POSITIVE_INFINITY, kept: true }),
      // A probe is not to wait behind calls: it says how long a message takes.
      probeClient: client({ perHost: 1, total: Number.POSITIVE_INFINITY, kept: true }),
      names,
      receive: (message) => this.#receive(message),
      lost: (id) => this.#reportLost(id),
      gone: (id) => {
        if (!this.#closed) callbacks.onGone(id);
      },
      removed: () => this.#reportRemoved(),
    };
  }

  async listen(listenUrls: readonly string[]): Promise<void> {
    const { env, limits, logger, identity } = this.#context;
    this.#listener = await listenForPeers({
      env,
      limits,
      logger,
      identity,
      listenUrls,
      hooks: {
        isRemoved: (id) => this.#callbacks.isRemoved(id),
        isPeer: (id) => this.#peers.has(id),
        acceptStream: (from, type, response) => this.#peers.get(from)?.acceptStream(type, response),
        meet: (from, urls) => this.#meet(from, urls),
        receive: (message) => this.#receive(message),
        receiveSnapshot: async (message, file) => {
          if (this.#closed) throw new SnapshotRefusedError(503, "the member is stopping");
          await this.#callbacks.onSnapshot(message, file);
        },
        handle: this.#callbacks.handle,
      },
    });
  }

  get addresses(): readonly { readonly host: string; readonly port: number }[] {
    return this.#listener?.addresses ?? [];
  }

  send(messages: readonly Message[]): void {
    if (this.#closed) return;
    for (const message of withNewestAcks(messages)) {
      if (message.type === "MsgSnap") {
        this.#context.logger.error({ to: formatId(message.to) }, "a snapshot among messages: it is not sent");
        this.#reportLost(message.to);
        continue;
      }
      const peer = this.#peers.get(message.to);
      const queued = peer?.send(message) ?? this.#remotes.get(message.to)?.enqueue(message);
      if (queued === false) this.#reportLost(message.to);
      if (queued !== undefined) continue;
      const { logger } = this.#context;
      logger.debug({ type: message.type, to: formatId(message.to) }, "dropped a message to an unknown member");
    }
  }

  async sendSnapshot(to: NodeId, snapshot: OutgoingSnapshot, signal: AbortSignal): Promise<void> {
    const peer = this.#peers.get(to);
    if (peer !== undefined) return peer.sendSnapshot(snapshot, signal);
    releaseFile(snapshot.file);
    throw new PeerCallError(`member ${formatId(to)} is not known`, false);
  }

  setPeers(peers: readonly PeerAddress[]): void {
    if (this.#closed) return;
    const wanted = new Map(peers.map(({ id, urls }) => [id, urls]));
    wanted.delete(this.#context.identity.memberId);
    for (const [id, peer] of this.#peers) {
      if (wanted.has(id)) continue;
      peer.retire();
      this.#peers.delete(id);
      this.#lost.delete(id);
    }
    for (const [id, urls] of wanted) {
      const peer = this.#peers.get(id);
      if (peer !== undefined) {
        peer.updateUrls(urls);
        continue;
      }
      this.#forget(id);
      this.#peers.set(id, new Peer(this.#context, id, urls));
    }
  }

  activeSince(id: NodeId): number | undefined {
    return this.#peers.get(id)?.activeSince;
  }

  roundTripMs(id: NodeId): number | undefined {
    return this.#peers.get(id)?.roundTripMs;
  }

  traffic(id: NodeId): PeerTraffic | undefined {
    return this.#peers.get(id)?.traffic;
  }

  async request(id: NodeId, request: PeerRequest): Promise<PeerResponse> {
    const peer = this.#peers.get(id);
    if (peer === undefined) throw new PeerCallError(`member ${formatId(id)} is not known`, false);
    const { env, callClient, identity } = this.#context;
    const headers = { ...requestHeaders(identity), ...request.headers };
    const answer = await callUrls(env, callClient, peer.urls, { ...request, headers });
    const cluster = header(answer.headers, "x-etcd-cluster-id");
    if (cluster === undefined || cluster === formatId(identity.clusterId)) return answer;
    throw new PeerCallError(`at the URL of member ${formatId(id)} answers one of cluster ${cluster}`, true);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const peer of this.#peers.values()) peer.close();
    for (const remote of this.#remotes.values()) remote.close();
    this.#peers.clear();
    this.#remotes.clear();
    this.#context.pipelineClient.close();
    this.#context.callClient.close();
    this.#context.probeClient.close();
    this.#remoteClient.close();
    await this.#listener?.close();
  }

  #receive(message: Message): void {
    if (!this.#closed) this.#callbacks.onMessage(message);
  }

  /** Gathered, for a full queue would otherwise report every single message of a turn. */
  #reportLost(id: NodeId): void {
    if (this.#lost.size === 0) queueMicrotask(() => this.#flushLost());
    this.#lost.add(id);
  }

  #flushLost(): void {
    const lost = [...this.#lost];
    this.#lost.clear();
    for (const id of lost) {
      if (!this.#closed) this.#callbacks.onUnreachable(id);
    }
  }

  #reportRemoved(): void {
    if (this.#removed || this.#closed) return;
    this.#removed = true;
    this.#context.logger.error(
      { "local-member-id": formatId(this.#context.identity.memberId) },
      "the member has been permanently removed from the cluster",
    );
    this.#callbacks.onRemoved();
  }

  #meet(from: NodeId, urls: readonly string[]): void {
    if (this.#closed || from === this.#context.identity.memberId || this.#remotes.has(from)) return;
    const { limits, identity, logger } = this.#context;
    const [oldest] = this.#remotes.keys();
    if (oldest !== undefined && this.#remotes.size >= limits.remotes) this.#forget(oldest);
    logger.info({ "remote-peer-id": formatId(from), "remote-peer-urls": urls }, "met a sender that is no member yet");
    this.#remotes.set(
      from,
      new Pipeline(this.#remoteClient, limits, identity, new UrlPicker(urls), {
        onSent: () => undefined,
        onFailure: () => this.#reportLost(from),
        onRemoved: () => this.#reportRemoved(),
      }),
    );
  }

  #forget(id: NodeId): void {
    this.#remotes.get(id)?.close();
    this.#remotes.delete(id);
  }
}

/** Without the acknowledgements that a later one to the same leader in the same term says again. */
function withNewestAcks(messages: readonly Message[]): readonly Message[] {
  let count = 0;
  for (const { type } of messages) if (type === "MsgAppResp") count++;
  if (count < 2) return messages;

  const kept: Message[] = [];
  const highest = new Map<NodeId, { readonly term: number; readonly index: number }>();
  for (const message of messages.toReversed()) {
    if (message.type === "MsgAppResp" && !message.reject) {
      const later = highest.get(message.to);
      const sameTerm = later === undefined || later.term === message.term;
      if (later !== undefined && sameTerm && later.index >= message.index) continue;
      if (sameTerm) highest.set(message.to, message);
    }
    kept.push(message);
  }
  return kept.reverse();
}
