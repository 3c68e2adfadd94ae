/** Every bound of the peer transport, with its reason. */
export interface PeerLimits {
  /** A stream that we read and that says nothing for this long is dead; link heartbeats come three times as often. */
  readonly readTimeoutMs: number;
  /** A write that the kernel does not take for this long: the reader is dead. */
  readonly writeTimeoutMs: number;
  /** Connecting and getting response headers of a stream. */
  readonly dialTimeoutMs: number;
  /** A stream is dialled at most this often. */
  readonly dialIntervalMs: number;
  readonly probeIntervalMs: number;
  /** Messages waiting on one stream, as etcd has it. */
  readonly streamQueueMessages: number;
  /** And their bytes; a single larger message still goes when nothing waits. */
  readonly streamQueueBytes: number;
  /** Bytes handed to the kernel in one write: what one write time-out must be enough for. */
  readonly writeChunkBytes: number;
  readonly pipelineQueueMessages: number;
  readonly pipelineInFlight: number;
  /** Longest message that we take, on any lane, as etcd has it. Memory is taken as bytes arrive, not as announced. */
  readonly messageBytes: number;
  /** Request bodies that are being received, all connections together; a snapshot's is not held, and not among them. */
  readonly receivingBytes: number;
  /** Body of a request to the server's own peer paths. */
  readonly handlerBodyBytes: number;
  /** Body of a response to one of our calls. */
  readonly responseBytes: number;
  /** From connecting to the end of the request's header: a slow header is an attack or a dead peer. */
  readonly headerTimeoutMs: number;
  /** From the request's header to the end of its body, or to the end of the message in front of a snapshot's file. */
  readonly bodyTimeoutMs: number;
  /** A refusal waits this long for its reader before the connection is closed on what it still sends. */
  readonly lingerMs: number;
  /** An idle keep-alive connection to us. */
  readonly idleTimeoutMs: number;
  /** From others, all listeners together. A member holds about a dozen to each other member. */
  readonly connections: number;
  /**
   * To each other member, for calls on behalf of clients: each waits for its answer on a connection of its own, and
   * without an end to that one client would have this member, and its leader, use up their files. Enough for 2,500
   * renewals of leases a second over a line of 50 ms; and the leader has room for as many from six others.
   */
  readonly callSockets: number;
  /** To all senders together that we do not know as members: they say themselves where they are. */
  readonly remoteSockets: number;
  /** Senders that we do not know as members yet and remember for answers. */
  readonly remotes: number;
  /** The message in front of a snapshot's file, as etcd has it. */
  readonly snapshotMessageBytes: number;
  /**
   * A snapshot of which no byte moves for this long is given up by either side. How long it takes in all is a matter of
   * its size; so is what the receiver does before it answers, for which it is waited while it is otherwise heard of.
   */
  readonly snapshotIdleMs: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_PEER_LIMITS: PeerLimits = {
  readTimeoutMs: 5_000,
  writeTimeoutMs: 5_000,
  dialTimeoutMs: 2_000,
  dialIntervalMs: 100,
  probeIntervalMs: 4_000,
  streamQueueMessages: 4_096,
  streamQueueBytes: 64 * MIB,
  writeChunkBytes: MIB,
  pipelineQueueMessages: 64,
  pipelineInFlight: 4,
  messageBytes: 512 * MIB,
  receivingBytes: 512 * MIB,
  handlerBodyBytes: 64 * 1024,
  responseBytes: 64 * MIB,
  headerTimeoutMs: 10_000,
  bodyTimeoutMs: 300_000,
  lingerMs: 500,
  idleTimeoutMs: 65_000,
  connections: 1_024,
  callSockets: 128,
  remoteSockets: 16,
  remotes: 32,
  snapshotMessageBytes: 64 * MIB,
  snapshotIdleMs: 30_000,
};
