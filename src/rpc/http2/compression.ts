import { constants, gunzipSync, gzipSync, inflateSync } from "node:zlib";
import { ApiError, Code } from "../../api/errors.ts";
import { inflatesTooFar, unknownEncoding } from "../call-rules.ts";

/** What inflating costs is counted here. */
export interface InflationMeter {
  readonly mayInflate: boolean;
  inflated(bytes: number): void;
}

/** Deflate makes no more of a byte. */
const MAX_RATIO = 1_032;
const tooMuchInflated = new ApiError(
  Code.ResourceExhausted,
  "quorate: too many bytes of compressed requests in a short time",
);

/** The message behind a prefix with this flag (gRPC's Compressed-Flag), or what is wrong with it. */
export function uncompressed(
  flag: number,
  bytes: Buffer,
  encoding: string,
  maxBytes: number,
  meter: InflationMeter,
): Buffer | ApiError {
  if (flag === 0) return bytes;
  if (flag !== 1) return new ApiError(Code.Internal, `grpc: received unexpected payload format ${flag}`);
  switch (encoding) {
    case "gzip":
      return inflated(gunzipSync, bytes, maxBytes, meter);
    case "deflate":
      return inflated(inflateSync, bytes, maxBytes, meter);
    case "identity":
      return new ApiError(Code.Internal, "grpc: compressed flag set with identity or empty encoding");
    default:
      return unknownEncoding(encoding);
  }
}

/** In place: what comes out is bounded, so is the time that it takes, and the order of a stream's messages stays. */
function inflated(
  inflate: typeof gunzipSync,
  bytes: Buffer,
  maxBytes: number,
  meter: InflationMeter,
): Buffer | ApiError {
  if (!meter.mayInflate) return tooMuchInflated;
  // Of what fails in the end nobody says how far it came.
  let work = Math.min(maxBytes, bytes.length * MAX_RATIO);
  try {
    // zlib takes no limit of 0.
    const message = inflate(bytes, { maxOutputLength: Math.max(1, maxBytes) });
    work = message.length;
    return work > maxBytes ? inflatesTooFar(maxBytes) : message;
  } catch (thrown) {
    const isTooLarge = thrown instanceof Error && "code" in thrown && thrown.code === "ERR_BUFFER_TOO_LARGE";
    if (isTooLarge) return inflatesTooFar(maxBytes);
    return new ApiError(Code.Internal, `grpc: failed to decompress the received message: ${messageOf(thrown)}`);
  } finally {
    meter.inflated(work);
  }
}

export function gzipped(bytes: Buffer): Buffer {
  return gzipSync(bytes, { level: constants.Z_BEST_SPEED });
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
