import type { RangeRequest } from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { type ApiError, errors } from "../api/errors.ts";
import type { AnyHandler, CallContext } from "../rpc/rpc.ts";
import type { Server } from "../server/server.ts";

/** M-5, by path: the RPCs that a learner serves, and which of their requests. */
const servedByLearner: ReadonlyMap<string, (request: unknown) => boolean> = new Map<
  string,
  (request: unknown) => boolean
>([
  [rpcs.MaintenanceStatus.path, () => true],
  [rpcs.MaintenanceSnapshot.path, () => true],
  // The path tells the type of the request.
  [rpcs.KVRange.path, (request) => (request as RangeRequest).serializable],
]);

/**
 * What stands before every handler (G-12), in this order: the cluster version is known, a learner serves the RPC, the
 * client's API version is text, and there is a leader if the call wants one.
 */
export function guardHandlers(server: Server, handlers: readonly AnyHandler[]): AnyHandler[] {
  const isLearner = (): boolean => server.state.cluster.member(server.memberId)?.isLearner ?? false;

  const refusal = (path: string, request: unknown, context: CallContext): ApiError | undefined => {
    if (server.state.cluster.version === undefined) return errors.notCapable;
    if (isLearner() && servedByLearner.get(path)?.(request) !== true) return errors.notSupportedForLearner;
    if (!isUtf8(context.metadata("client-api-version"))) return errors.invalidClientApiVersion;
    if (context.metadata("hasleader") === "true" && server.status().leader === 0n) return errors.noLeader;
    return undefined;
  };

  return handlers.map((handler): AnyHandler => {
    const { path } = handler.rpc;
    if (handler.kind === "unary") {
      return {
        ...handler,
        handle: async (request, context) => {
          const error = refusal(path, request, context);
          if (error !== undefined) throw error;
          return handler.handle(request, context);
        },
      };
    }
    return {
      ...handler,
      open: (responses, context) => {
        const error = refusal(path, undefined, context);
        if (error === undefined) return handler.open(responses, context);
        responses.end(error);
        return { request: ignore, halfClosed: ignore, drained: ignore, closed: ignore };
      },
    };
  });
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Metadata comes as one char a byte. */
function isUtf8(metadata: string | undefined): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is what it says.
  if (metadata === undefined || /^[\x00-\x7f]*$/.test(metadata)) return true;
  try {
    utf8.decode(Buffer.from(metadata, "latin1"));
    return true;
  } catch {
    return false;
  }
}

function ignore(): void {
  // The call is over before it began.
}
