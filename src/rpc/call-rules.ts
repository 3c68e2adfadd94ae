import { type Codec, DecodeError, decode } from "../../proto/codec.ts";
import { ApiError, Code, malformed } from "../api/errors.ts";

/** What every transport's calls are bounded by. */
export interface CallLimits {
  /** G-9: a larger request is refused when its length is known, before it is read. */
  readonly maxReceiveBytes: number;
  /** G-9: what a client must be able to take. */
  readonly maxSendBytes: number;
  /** A stream with more than this queued is not writable. */
  readonly streamQueueBytes: number;
  /** A connection that holds more than this unread gets no further unary responses. */
  readonly connectionQueueBytes: number;
  /**
   * The same for all connections together: many slow readers must not add up to the member's memory. Beyond it those
   * connections get none that hold more than a stream's queue; the others have no part in it.
   */
  readonly memberQueueBytes: number;
}

/** G-10 */
export interface KeepaliveOptions {
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly keepaliveMinTimeMs: number;
}

/** Figures that no flag moves yet. */
export const rpcDefaults = {
  /** G-9 */
  maxSendBytes: 2 ** 31 - 1,
  /** A watcher that does not read costs this and what is taken from the hub at a time (256 KiB, or one response). */
  streamQueueBytes: 1 << 20,
  /** Above any one response that a client can reasonably ask for, far below the memory of a member. */
  connectionQueueBytes: 256 << 20,
  memberQueueBytes: 1 << 30,
  /** G-10 */
  keepaliveIntervalMs: 2 * 60 * 60 * 1_000,
  keepaliveTimeoutMs: 20_000,
  keepaliveMinTimeMs: 5_000,
} as const;

/** A message, or a piece that messages share, costs this much beside its bytes while it is queued. */
export const MESSAGE_OVERHEAD_BYTES = 256;
/** Longer timers wrap around; a call that may last 24 days is cut off by something else. */
export const MAX_TIMER_MS = 2 ** 31 - 1;
/** Time for the last statuses to leave, once every call has one. */
export const FAREWELL_MS = 500;

export const moreThanOneRequest = new ApiError(Code.Internal, "grpc: received more than one request message");
export const noRequest = new ApiError(Code.Internal, "grpc: received no request message");
export const internalError = new ApiError(Code.Internal, "quorate: internal error");

/** Whether what came out of a call behind its end is something else than that end, which is no news. */
export function isLateBug(thrown: unknown, signal: AbortSignal | undefined): boolean {
  if (thrown instanceof ApiError) return false;
  if (signal?.aborted !== true) return true;
  // Node's own functions wrap the reason.
  return thrown !== signal.reason && !(thrown instanceof Error && thrown.cause === signal.reason);
}

export function malformedTimeout(header: string): ApiError {
  return new ApiError(Code.Internal, `malformed grpc-timeout: ${header}`);
}

export function inflatesTooFar(maxBytes: number): ApiError {
  return new ApiError(Code.ResourceExhausted, `grpc: received message after decompression larger than max ${maxBytes}`);
}

export function unknownEncoding(encoding: string): ApiError {
  return new ApiError(Code.Unimplemented, `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`);
}

export function tooMuchUnread(bytes: number): ApiError {
  return new ApiError(
    Code.ResourceExhausted,
    `quorate: ${bytes} bytes of responses wait for clients that have not read them`,
  );
}

/** While its connection or the member holds too much, a stream with more than this queued is not writable. */
const CRAMPED_QUEUE_BYTES = 16 << 10;

/** Whether a connection gets no further unary responses: `unsentBytes` of it, `everywhere` of all of them. */
export function isTooMuchUnread(limits: CallLimits, unsentBytes: number, everywhere: number): boolean {
  if (unsentBytes > limits.connectionQueueBytes) return true;
  return everywhere > limits.memberQueueBytes && unsentBytes > limits.streamQueueBytes;
}

/** What a stream may have queued and still be writable: many that stall must not each take all that one may. */
export function streamRoomBytes(limits: CallLimits, unsentBytes: number, everywhere: number): number {
  const isCramped = unsentBytes > limits.connectionQueueBytes || everywhere > limits.memberQueueBytes;
  return isCramped ? Math.min(CRAMPED_QUEUE_BYTES, limits.streamQueueBytes) : limits.streamQueueBytes;
}

/** A malformed message is the client's error, whatever the decoder stumbled over. */
export function decodeRequest<T>(codec: Codec<T>, bytes: Buffer): T | ApiError {
  try {
    return decode(codec, bytes);
  } catch (thrown) {
    return malformed(thrown instanceof DecodeError ? thrown.message : String(thrown));
  }
}

/** Bytes of the encoded message; throws ApiError when a client need not take so many. */
export function boundedSize<T>(codec: Codec<T>, message: T, maxBytes: number): number {
  const size = codec.size(message);
  checkSendSize(size, maxBytes);
  return size;
}

/** Throws ApiError when a client need not take so many bytes. */
export function checkSendSize(size: number, maxBytes: number): void {
  if (size <= maxBytes) return;
  throw new ApiError(Code.ResourceExhausted, `grpc: trying to send message larger than max (${size} vs. ${maxBytes})`);
}

/** Half a surrogate pair has no UTF-8. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}
