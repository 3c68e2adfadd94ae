import { ApiError, Code } from "../../api/errors.ts";
import { parseGrpcTimeout } from "../grpc-timeout.ts";
import { isGrpc, unserved } from "../routes.ts";
import type { AnyHandler } from "../rpc.ts";
import type { HeaderList } from "./hpack-decoder.ts";

/** What a request's headers ask for. Frozen in effect: one may serve many requests of the same header block. */
export type RequestHead =
  | {
      readonly kind: "call";
      readonly handler: AnyHandler;
      readonly fields: HeaderList;
      /** As §6.5.2 counts them. */
      readonly fieldBytes: number;
      /** As given, and in milliseconds when it is well formed. */
      readonly timeout: string | undefined;
      readonly timeoutMs: number | undefined;
      readonly encoding: string;
      readonly contentLength: number | undefined;
    }
  | { readonly kind: "refused"; readonly error: ApiError; readonly contentLength: number | undefined }
  | {
      readonly kind: "notGrpc";
      readonly method: string;
      readonly path: string;
      readonly origin: string | undefined;
      /** Of these three, as §6.5.2 counts them. The others are not kept. */
      readonly fieldBytes: number;
      readonly contentLength: number | undefined;
    }
  /** A stream error (RFC 9113 §8.1.1). */
  | { readonly kind: "malformed"; readonly reason: string };

export const HEADERS_TOO_LARGE: RequestHead = {
  kind: "refused",
  error: new ApiError(Code.ResourceExhausted, "quorate: the request's headers are too large"),
  contentLength: undefined,
};

/** §8.2.2 */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);
/** §8.2.1: a token, and no upper case. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** §8.2.1: neither these three anywhere nor white space around it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about.
const BAD_VALUE = /[\x00\r\n]|^[ \t]|[ \t]$/;
const PSEUDO: ReadonlySet<string> = new Set([":method", ":scheme", ":path", ":authority"]);

/** Checks a request's headers (RFC 9113 §8.2, §8.3.1) and finds who serves it. */
export function readHead(fields: HeaderList, handlers: ReadonlyMap<string, AnyHandler>): RequestHead {
  const reason = faultOf(fields, PSEUDO);
  if (reason !== undefined) return { kind: "malformed", reason };
  const method = firstOf(fields, ":method");
  const path = firstOf(fields, ":path");
  // CONNECT has neither :scheme nor :path, and nobody here to connect to.
  if (method === undefined || firstOf(fields, ":scheme") === undefined || path === undefined || path === "") {
    return { kind: "malformed", reason: "a pseudo-header field is missing" };
  }
  const length = firstOf(fields, "content-length");
  if (length !== undefined && !/^\d{1,15}$/.test(length)) {
    return { kind: "malformed", reason: "content-length is not a number" };
  }
  const contentLength = length === undefined ? undefined : Number(length);
  if (!isGrpc(firstOf(fields, "content-type"))) {
    const origin = listOf(fields, "origin");
    const fieldBytes = bytesOf([":method", method, ":path", path, "origin", origin ?? ""]);
    return { kind: "notGrpc", method, path, origin, fieldBytes, contentLength };
  }
  const handler = handlers.get(path);
  if (handler === undefined) return { kind: "refused", error: unserved(path), contentLength };
  const timeout = firstOf(fields, "grpc-timeout");
  return {
    kind: "call",
    handler,
    fields,
    fieldBytes: bytesOf(fields),
    timeout,
    timeoutMs: timeout === undefined ? undefined : parseGrpcTimeout(timeout),
    encoding: firstOf(fields, "grpc-encoding") ?? "identity",
    contentLength,
  };
}

/** What is wrong with the fields behind a request's body (§8.1): they have no pseudo-headers. */
export function faultOfTrailers(fields: HeaderList): string | undefined {
  return faultOf(fields, new Set());
}

/** The first value of this name. */
export function firstOf(fields: HeaderList, name: string): string | undefined {
  for (let at = 0; at < fields.length; at += 2) {
    if (fields[at] === name) return fields[at + 1];
  }
  return undefined;
}

/** The values of this name, as one list (RFC 9110 §5.3). */
export function listOf(fields: HeaderList, name: string): string | undefined {
  let list: string | undefined;
  for (let at = 0; at < fields.length; at += 2) {
    if (fields[at] === name) list = list === undefined ? fields[at + 1] : `${list}, ${fields[at + 1]}`;
  }
  return list;
}

function bytesOf(fields: HeaderList): number {
  let bytes = fields.length * 16;
  for (const text of fields) bytes += text.length;
  return bytes;
}

function faultOf(fields: HeaderList, pseudo: ReadonlySet<string>): string | undefined {
  let regularSeen = false;
  const seen: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    const value = fields[at + 1] as string;
    if (name.charCodeAt(0) === 0x3a) {
      if (!pseudo.has(name)) return "an unknown pseudo-header field";
      if (regularSeen) return "a pseudo-header field behind a regular one";
      if (seen.includes(name)) return "a pseudo-header field twice";
      seen.push(name);
    } else {
      regularSeen = true;
      if (!NAME.test(name)) return "a malformed field name";
      if (CONNECTION_HEADERS.has(name)) return "a connection-specific field";
      if (name === "te" && value !== "trailers") return "te other than trailers";
    }
    if (BAD_VALUE.test(value)) return "a malformed field value";
  }
  return undefined;
}
