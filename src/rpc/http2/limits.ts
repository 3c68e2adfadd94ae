/** So many at once, and then so many a second. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

/** Every bound of the HTTP/2 server beside those that gRPC's options name, with its reason. */
export interface Http2Limits {
  /** Streams of one connection, however high --max-concurrent-streams is: each costs about a kilobyte of memory. */
  readonly openStreams: number;
  /** The same of all connections together: ten thousand of them must not add up to the member's memory. */
  readonly memberStreams: number;
  /** Decoded headers of one request as RFC 9113 §6.5.2 counts them: tokens are the longest, and take a few hundred. */
  readonly headerListBytes: number;
  /** The same before decoding: a client that ignores what we announced loses its connection. */
  readonly headerBlockBytes: number;
  /** Pieces of one header block; a CONTINUATION may be empty, so that bytes alone bound nothing. */
  readonly continuationFrames: number;
  /** The dynamic table that a client may fill; RFC 7541's default. */
  readonly headerTableBytes: number;
  /** Decoded header blocks that are kept for the next request of the same bytes, and how long these may be. */
  readonly cachedHeads: number;
  readonly cachedHeadBytes: number;
  /** A larger frame would hold up the others of its connection; RFC 9113's default. */
  readonly frameBytes: number;
  /** What a client may send of one stream, and of all, before it hears from us. Half a round trip on a LAN takes less. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /**
   * Held of messages that have not come whole, and of calls that run: their headers and requests; by connection and by
   * member. Above any one request (--max-request-bytes).
   */
  readonly connectionReceivingBytes: number;
  readonly memberReceivingBytes: number;
  /** Encoded and not taken by the socket: beyond it responses wait in their streams, where they are counted. */
  readonly outputBytes: number;
  /** Beyond this a connection is not read from: what still grows are answers to control frames, and new calls. */
  readonly unreadOutputBytes: number;
  /** Streams that end by RST_STREAM, of whichever side: a reset costs the client nothing, and us a call (CVE-2023-44487). */
  readonly resets: Rate;
  /** A client that resets a stream as old as this has waited for its answer, and most likely as long as it could. */
  readonly youngStreamMs: number;
  /** Each is answered. grpc-go sends a dozen while it learns its bandwidth. */
  readonly settings: Rate;
  /** Frames that bring nothing: empty DATA, PRIORITY, unknown types, those of closed streams. */
  readonly idleFrames: Rate;
  /** Streams that we reset are remembered, as many: what their client had sent before it knew is no fault (§5.1). */
  readonly rememberedResets: number;
  /** From accepting a connection to the client's SETTINGS and its acknowledgement of ours. */
  readonly handshakeMs: number;
  /** An acknowledgement of a PING rides with the next response at most this much later, which saves a write. */
  readonly pingAckDelayMs: number;
  /** A GOAWAY waits this long for its reader before the connection is closed on what it still sends. */
  readonly lingerMs: number;
  /**
   * What a connection's compressed requests come to. A kilobyte may inflate to a megabyte, on the loop, at some hundred
   * MiB a second: this is what it may take of that for long. No client needs it that writes a disk's worth.
   */
  readonly inflatedBytes: Rate;
  /** Responses to clients that send gzip are compressed between these sizes: smaller gains nothing, larger takes too long. */
  readonly gzipMinBytes: number;
  readonly gzipMaxBytes: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

export const DEFAULT_HTTP2_LIMITS: Http2Limits = {
  openStreams: 65_536,
  memberStreams: 1_000_000,
  headerListBytes: 64 * KIB,
  headerBlockBytes: 128 * KIB,
  continuationFrames: 64,
  headerTableBytes: 4 * KIB,
  cachedHeads: 64,
  cachedHeadBytes: 512,
  frameBytes: 16 * KIB,
  streamWindowBytes: MIB,
  connectionWindowBytes: 4 * MIB,
  connectionReceivingBytes: 512 * MIB,
  memberReceivingBytes: 1024 * MIB,
  outputBytes: 256 * KIB,
  unreadOutputBytes: MIB,
  resets: { burst: 5_000, perSecond: 500 },
  youngStreamMs: 1_000,
  settings: { burst: 100, perSecond: 10 },
  idleFrames: { burst: 5_000, perSecond: 500 },
  rememberedResets: 1_024,
  handshakeMs: 10_000,
  pingAckDelayMs: 10,
  lingerMs: 500,
  inflatedBytes: { burst: 128 * MIB, perSecond: 32 * MIB },
  gzipMinBytes: KIB,
  gzipMaxBytes: MIB,
};
