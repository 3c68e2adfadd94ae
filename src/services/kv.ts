import {
  type CompactionResponse,
  type DeleteRangeResponse,
  type PutResponse,
  type RangeRequest,
  RangeResponse,
  type RequestOp,
  ResponseHeader,
  type TxnRequest,
  TxnResponse,
} from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import type { Mvcc } from "../../storage/mvcc/mvcc.ts";
import { validateDeleteRange, validatePut, validateRange, validateTxn } from "../api/validate.ts";
import type { Env } from "../env.ts";
import { type AnyHandler, type CallContext, unary } from "../rpc/rpc.ts";
import type { Server } from "../server/server.ts";
import { type RangeResult, rangeValue, rangeVersions } from "../state/range.ts";
import { isReadTxn, planReadTxn } from "../state/txn.ts";

export interface KvServiceOptions {
  readonly env: Env;
  readonly maxTxnOps: number;
  readonly slice?: ReadSlice;
}

/** How much of a result is read in one turn of the event loop. */
export interface ReadSlice {
  readonly keys: number;
  readonly bytes: number;
}

/** A millisecond or two of work. */
const DEFAULT_SLICE: ReadSlice = { keys: 1_000, bytes: 1 << 20 };

export function kvService(server: Server, options: KvServiceOptions): AnyHandler[] {
  const { mvcc } = server.state;
  const reader = new SlicedReader(mvcc, options.env, options.slice ?? DEFAULT_SLICE);
  const fullHeader = (header: ResponseHeader | undefined): ResponseHeader =>
    server.header(header?.revision ?? mvcc.currentRevision);

  const readTxn = async (request: TxnRequest, context: CallContext): Promise<TxnResponse> => {
    if (!isSerializable(request)) await server.readBarrier(context);
    const plan = planReadTxn(mvcc, request);
    if (plan.kind === "error") throw plan.error;
    const header = server.header(plan.revision);
    const ranges = await reader.read(plan.ranges, context);
    const responses = ranges.map((value) => ({ response: { kind: "responseRange" as const, value } }));
    return TxnResponse.create({ header, succeeded: plan.succeeded, responses });
  };

  // Of a command, the response is the response message of its method.
  return [
    unary(rpcs.KVRange, async (request, context) => {
      validateRange(request);
      if (!request.serializable) await server.readBarrier(context);
      const result = rangeVersions(mvcc, request);
      if (result.kind === "error") throw result.error;
      const header = server.header(result.revision);
      const [response] = await reader.read([{ request, result }], context);
      return RangeResponse.create({ ...response, header });
    }),

    unary(rpcs.KVPut, async (request, context) => {
      validatePut(request);
      const response = (await server.propose({ put: request }, context)) as PutResponse;
      return { ...response, header: fullHeader(response.header) };
    }),

    unary(rpcs.KVDeleteRange, async (request, context) => {
      validateDeleteRange(request);
      const response = (await server.propose({ deleteRange: request }, context)) as DeleteRangeResponse;
      return { ...response, header: fullHeader(response.header) };
    }),

    unary(rpcs.KVTxn, async (request, context) => {
      validateTxn(request, options.maxTxnOps);
      if (isReadTxn(request)) return readTxn(request, context);
      const response = (await server.propose({ txn: request }, context)) as TxnResponse;
      return { ...response, header: fullHeader(response.header) };
    }),

    unary(rpcs.KVCompact, async (request, context) => {
      const response = (await server.propose({ compaction: request }, context)) as CompactionResponse;
      if (request.physical) await server.compactionFinished(context);
      return { header: fullHeader(response.header) };
    }),
  ];
}

/** TX-11: no read round when all ranges are serializable; an empty transaction reads nothing at all. */
function isSerializable({ success, failure }: TxnRequest): boolean {
  const serializable = ({ request }: RequestOp): boolean =>
    request?.kind === "requestRange" && request.value.serializable;
  return success.every(serializable) && failure.every(serializable);
}

/**
 * Fetches the values of what ranges have selected, a slice each turn of the event loop. What was selected are versions,
 * which do not change; a pin keeps them while the store goes on, so an answer is of one revision however long it takes.
 */
class SlicedReader {
  readonly #mvcc: Mvcc;
  readonly #env: Env;
  readonly #slice: ReadSlice;

  constructor(mvcc: Mvcc, env: Env, slice: ReadSlice) {
    this.#mvcc = mvcc;
    this.#env = env;
    this.#slice = slice;
  }

  /** The answers have headers with the revision alone, as ranges in a transaction have (G-5). */
  async read(
    ranges: readonly { readonly request: RangeRequest; readonly result: RangeResult }[],
    context: CallContext,
  ): Promise<RangeResponse[]> {
    const pin = this.#mvcc.pin(
      Math.min(...ranges.map(({ request, result }) => (request.revision > 0 ? request.revision : result.revision))),
    );
    try {
      const responses: RangeResponse[] = [];
      let keysLeft = this.#slice.keys;
      let bytesLeft = this.#slice.bytes;
      for (const { request, result } of ranges) {
        const kvs: Uint8Array[] = [];
        for (const version of result.versions) {
          if (keysLeft <= 0 || bytesLeft <= 0) {
            await new Promise<void>((resolve) => this.#env.nextTurn(resolve));
            context.signal.throwIfAborted();
            keysLeft = this.#slice.keys;
            bytesLeft = this.#slice.bytes;
          }
          const kv = rangeValue(this.#mvcc, request, version);
          kvs.push(kv);
          keysLeft--;
          bytesLeft -= kv.length;
        }
        const { count, more, revision } = result;
        responses.push({ header: ResponseHeader.create({ revision }), kvs, more, count });
      }
      return responses;
    } finally {
      pin.release();
    }
  }
}
