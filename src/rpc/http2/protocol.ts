/** Numbers and names of RFC 9113. */

/** §3.4 */
export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** §4.1 */
export const FRAME_HEAD_BYTES = 9;

/** §6 */
export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const Flag = { none: 0, endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

/** §6.5.2 */
export const Setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

/** What an endpoint may count on before any SETTINGS came. */
export const INITIAL = { windowBytes: 65_535, frameBytes: 16_384, headerTableBytes: 4_096 } as const;

/** §6.9.1 */
export const MAX_WINDOW = 2 ** 31 - 1;
/** §6.5.2 */
export const MAX_FRAME_BYTES = 2 ** 24 - 1;
/** §5.1.1 */
export const MAX_STREAM_ID = 2 ** 31 - 1;

/** §7 */
export const ErrorCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  connectError: 0xa,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
  http11Required: 0xd,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** §5.4.1: the peer broke a rule that ends its connection. The text goes into GOAWAY's debug data. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
