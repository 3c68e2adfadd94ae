import { rpcs } from "../../proto/generated/services.ts";
import { ApiError, Code, notImplemented, unknownMethod, unknownService } from "../api/errors.ts";
import type { AnyHandler } from "./rpc.ts";

/** Methods of API levels above this one: to a client they do not exist. */
const NEWER_METHODS: ReadonlySet<string> = new Set([rpcs.KVRangeStream.path]);

const services: ReadonlySet<string> = new Set(Object.values(rpcs).map((rpc) => rpc.service));
const paths: ReadonlySet<string> = new Set(Object.values(rpcs).map((rpc) => rpc.path));

/** Handlers by path. */
export function tableOf(handlers: readonly AnyHandler[]): ReadonlyMap<string, AnyHandler> {
  const table = new Map<string, AnyHandler>();
  for (const handler of handlers) {
    if (table.has(handler.rpc.path)) throw new Error(`two handlers for ${handler.rpc.path}`);
    table.set(handler.rpc.path, handler);
  }
  return table;
}

/** Why no handler serves this path. */
export function unserved(path: string): ApiError {
  const slash = path.lastIndexOf("/");
  if (slash < 1) return new ApiError(Code.Unimplemented, `malformed method name: ${JSON.stringify(path)}`);
  const service = path.slice(path.startsWith("/") ? 1 : 0, slash);
  const method = path.slice(slash + 1);
  if (!services.has(service)) return unknownService(service);
  if (!paths.has(path) || NEWER_METHODS.has(path)) return unknownMethod(service, method);
  return notImplemented(service, method);
}

/** Anything else on HTTP/2 is answered with 415. */
export function isGrpc(contentType: string | undefined): boolean {
  return contentType?.startsWith("application/grpc") ?? false;
}
