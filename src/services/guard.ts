import type { RangeRequest } from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { type ApiError, errors } from "../api/errors.ts";
import type { AnyHandler, CallContext, Reply, RequestReceiver, ResponseStream } from "../rpc/rpc.ts";
import type { Server } from "../server/server.ts";
import { NOBODY, StreamLife } from "./stream-life.ts";

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

/** N-13: what a member answers from its store, which it must not when that was found to differ from the others'. */
const answeredFromStore: ReadonlySet<string> = new Set([
  ...Object.values(rpcs)
    .filter(({ service }) => /^(etcdserverpb\.(KV|Watch)|v3lockpb\.Lock|v3electionpb\.Election)$/.test(service))
    .map(({ path }) => path),
  rpcs.LeaseLeaseTimeToLive.path,
  rpcs.LeaseLeaseLeases.path,
  rpcs.MaintenanceSnapshot.path,
]);

/**
 * What stands before every handler (G-12), in this order: the cluster version is known, a learner serves the RPC, the
 * client's API version is text, there is a leader if the call wants one, and the store may be answered from.
 */
export function guardHandlers(server: Server, handlers: readonly AnyHandler[]): AnyHandler[] {
  const isLearner = (): boolean => server.state.cluster.member(server.memberId)?.isLearner ?? false;

  const refusal = (path: string, request: unknown, context: CallContext): ApiError | undefined => {
    if (server.state.cluster.version === undefined) return errors.notCapable;
    if (isLearner() && servedByLearner.get(path)?.(request) !== true) return errors.notSupportedForLearner;
    if (!isUtf8(context.metadata("client-api-version"))) return errors.invalidClientApiVersion;
    if (context.metadata("hasleader") === "true" && server.status().leader === 0n) return errors.noLeader;
    if (server.isCorrupt() && answeredFromStore.has(path)) return errors.corrupt;
    return undefined;
  };

  return handlers.map((handler): AnyHandler => {
    const { path } = handler.rpc;
    // It may be found out while the call waits.
    const readsStore = path === rpcs.KVRange.path || path === rpcs.KVTxn.path;
    if (handler.kind === "unary") {
      return {
        ...handler,
        handle: (request, context, reply) => {
          const error = refusal(path, request, context);
          if (error !== undefined) throw error;
          handler.handle(request, context, readsStore ? new SoundReply(server, reply) : reply);
        },
      };
    }
    return {
      ...handler,
      open: (responses, context) => {
        const error = refusal(path, undefined, context);
        if (error === undefined) {
          return answeredFromStore.has(path)
            ? openWhileSound(server, responses, (guarded) => handler.open(guarded, context))
            : handler.open(responses, context);
        }
        responses.end(error);
        return NOBODY;
      },
    };
  });
}

/** Of a call that is answered from the store: only as long as that is sound. */
class SoundReply implements Reply<unknown> {
  readonly #server: Pick<Server, "isCorrupt">;
  readonly #reply: Reply<unknown>;

  constructor(server: Pick<Server, "isCorrupt">, reply: Reply<unknown>) {
    this.#server = server;
    this.#reply = reply;
  }

  succeed(response: unknown): void {
    if (this.#server.isCorrupt()) this.#reply.fail(errors.corrupt);
    else this.#reply.succeed(response);
  }

  fail(thrown: unknown): void {
    this.#reply.fail(thrown);
  }
}

/** A stream that ends when the member's store is found to differ. */
function openWhileSound(
  server: Pick<Server, "onCorrupt">,
  responses: ResponseStream<unknown>,
  open: (responses: ResponseStream<unknown>) => RequestReceiver<unknown>,
): RequestReceiver<unknown> {
  const life = new StreamLife(() => stopListening());
  const stopListening = server.onCorrupt(() => {
    responses.end(errors.corrupt);
    life.over();
  });
  return life.around(open(responses));
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
