/**
 * The peer transport as the server sees it: etcd's peer protocol over HTTP/1.1.
 *
 * Messages may be lost, duplicated (never by us) and overtaken between lanes; within one lane and one connection they
 * keep their order. Whatever a peer does on its sockets, nothing here throws into the caller or blocks it.
 */
import type { Message, NodeId } from "../../raft/types.ts";

export interface PeerIdentity {
  readonly memberId: NodeId;
  readonly clusterId: bigint;
  /** Binary version, "X.Y.Z". */
  readonly serverVersion: string;
  /** Own advertised peer URLs. */
  readonly peerUrls: readonly string[];
}

export interface PeerAddress {
  readonly id: NodeId;
  readonly urls: readonly string[];
}

export type HttpHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

export interface PeerRequest {
  readonly method: string;
  /** Absolute path, with query if any. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** For the whole call, over all URLs tried. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface PeerResponse {
  readonly status: number;
  readonly headers: HttpHeaders;
  readonly body: Buffer;
}

export interface PeerHttpAnswer {
  readonly status: number;
  /** Default: text/plain; charset=utf-8. */
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

/** Serves peer paths other than /raft*; `undefined` means "no such path". `path` is without the query. */
export type PeerHttpHandler = (
  method: string,
  path: string,
  body: Buffer,
  headers: HttpHeaders,
) => Promise<PeerHttpAnswer | undefined>;

export type SnapshotMessage = Message & { readonly type: "MsgSnap" };

export interface OutgoingSnapshot {
  readonly message: SnapshotMessage;
  /**
   * The database as it is on disk. Pulled as the receiver takes it, whatever the size of its pieces, which must not change
   * after they were given; `return` is called (and not waited for) in every way out.
   */
  readonly file: AsyncIterable<Uint8Array>;
}

/** Never called from inside a method of the transport, nor after close() was called. */
export interface PeerCallbacks {
  /** Addressed to this member, well-formed, from a member that speaks for itself. Bytes are views of an own buffer. */
  onMessage(message: Message): void;
  /** Messages to this member were lost or may have been; at most once a turn. */
  onUnreachable(id: NodeId): void;
  /** Its connections are closed and nobody listens at its addresses: the process has ended. May be said repeatedly. */
  onGone(id: NodeId): void;
  /**
   * A snapshot for this member, checked as messages are. `file` can be read once; reading throws when the rest does not
   * come, so what ends is whole. A piece is valid for as long as it is held, and holds a socket's buffer for as long.
   *
   * One at a time: the next is not begun before the promise settles. Resolved: the snapshot is taken, and the sender is
   * told so. Rejected with SnapshotRefusedError: the sender hears status and text; with anything else: 500.
   */
  onSnapshot(message: SnapshotMessage, file: AsyncIterable<Buffer>): Promise<void>;
  /** A peer answered that this member was removed from the cluster. */
  onRemoved(): void;
  /** Was this member removed from the cluster for good? Asked for every sender. */
  isRemoved(id: NodeId): boolean;
  handle: PeerHttpHandler;
}

/** Counters since the peer was added. */
export interface PeerTraffic {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly sentFailures: number;
  readonly receivedFailures: number;
}

export interface PeerTransport {
  /**
   * Never blocks, never throws; a bounded queue per peer and lane, drops (and reports unreachable) when full. Snapshots do
   * not go here.
   */
  send(messages: readonly Message[]): void;
  /**
   * Resolves when the receiver has taken the snapshot. Rejects with PeerCallError otherwise: it could not be reached,
   * refused (with its words), fell silent, is no peer any more, `file` failed, or the signal was aborted. One at a time to
   * a peer; another is rejected. Another URL is tried only as long as nothing was read from `file`.
   */
  sendSnapshot(to: NodeId, snapshot: OutgoingSnapshot, signal: AbortSignal): Promise<void>;
  /** The whole list of other members (own id is skipped): adds, updates, removes. */
  setPeers(peers: readonly PeerAddress[]): void;
  /** env.now() of the first success after a failure; undefined while unreachable or unknown. */
  activeSince(id: NodeId): number | undefined;
  /** The last probe's round trip. */
  roundTripMs(id: NodeId): number | undefined;
  traffic(id: NodeId): PeerTraffic | undefined;
  /**
   * A plain HTTP call to a member's peer URLs in turn. A second URL is tried only when the first cannot have acted
   * (no connection) or the method is GET. Rejects with PeerCallError on failure, and when a member of another cluster
   * answers; any HTTP status is an answer.
   */
  request(id: NodeId, request: PeerRequest): Promise<PeerResponse>;
  /** Where the listeners are bound, in the order of the listen URLs. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  close(): Promise<void>;
}

export class PeerCallError extends Error {
  override readonly name = "PeerCallError";
  /** False: no byte of the request can have been acted upon. */
  readonly connected: boolean;

  constructor(message: string, connected: boolean, cause?: unknown) {
    super(message, { cause });
    this.connected = connected;
  }
}

/** How a server declines a snapshot that it is offered. */
export class SnapshotRefusedError extends Error {
  override readonly name = "SnapshotRefusedError";
  /** An HTTP status of 400 or more: not 403 or 410, which tell a sender that it was removed. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}
