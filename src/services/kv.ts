import {
  type CompactionResponse,
  type RangeRequest,
  type RangeResponse,
  type RequestOp,
  type TxnRequest,
  TxnResponse,
} from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { validateDeleteRange, validatePut, validateRange, validateTxn } from "../api/validate.ts";
import type { Env } from "../env.ts";
import {
  type AnyHandler,
  type CallContext,
  type EncodedResponse,
  type Reply,
  replying,
  settle,
  unary,
} from "../rpc/rpc.ts";
import type { Server } from "../server/server.ts";
import { selectRange } from "../state/range.ts";
import { isReadTxn, planReadTxn } from "../state/txn.ts";
import { ReadBudget } from "./read-budget.ts";
import { DEFAULT_SLICE, type ReadSlice, SlicedReader } from "./sliced-reader.ts";

export interface KvServiceOptions {
  readonly env: Env;
  readonly maxTxnOps: number;
  readonly slice?: ReadSlice;
  readonly budget?: ReadBudget;
}

export function kvService(server: Server, options: KvServiceOptions): AnyHandler[] {
  const { mvcc } = server.state;
  const reader = new SlicedReader(
    mvcc,
    (versions) => server.values(versions),
    options.env,
    options.slice ?? DEFAULT_SLICE,
    options.budget ?? new ReadBudget(),
  );

  const readTxn = async (request: TxnRequest, context: CallContext): Promise<TxnResponse> => {
    if (!isSerializable(request)) await server.readBarrier(context);
    const plan = planReadTxn(mvcc, request);
    if (plan.kind === "error") throw plan.error;
    const header = server.header(plan.revision);
    const ranges = await reader.read(plan.ranges, context);
    const responses = ranges.map((value) => ({ response: { kind: "responseRange" as const, value } }));
    return TxnResponse.create({ header, succeeded: plan.succeeded, responses });
  };

  const range: AnswerRange = (request, context) => {
    const selection = selectRange(mvcc, request);
    if (selection.kind === "error") throw selection.error;
    const header = server.header(mvcc.currentRevision);
    const result = reader.selectNow(selection);
    const now = result && reader.readNow({ request, result }, header);
    return now ?? reader.readRange(selection, result, header, context);
  };

  // Of a command, the response is the response message of its method.
  return [
    replying(rpcs.KVRange, (request, context, reply) => {
      validateRange(request);
      if (request.serializable) settle(Promise.resolve(range(request, context)), reply);
      else server.awaitReadBarrier(context, new BarredRange(range, request, context, reply));
    }),

    replying(rpcs.KVPut, (request, context, reply) => {
      validatePut(request);
      server.submit({ put: request }, context, reply);
    }),

    replying(rpcs.KVDeleteRange, (request, context, reply) => {
      validateDeleteRange(request);
      server.submit({ deleteRange: request }, context, reply);
    }),

    replying(rpcs.KVTxn, (request, context, reply) => {
      validateTxn(request, options.maxTxnOps);
      if (isReadTxn(request)) settle(readTxn(request, context), reply);
      else server.submit({ txn: request }, context, reply);
    }),

    unary(rpcs.KVCompact, async (request, context) => {
      const response = (await server.propose({ compaction: request }, context)) as CompactionResponse;
      if (request.physical) await server.compactionFinished(context);
      return response;
    }),
  ];
}

type AnswerRange = (
  request: RangeRequest,
  context: CallContext,
) => RangeResponse | Promise<RangeResponse | EncodedResponse>;

/** A linearizable range that waits for its read barrier. */
class BarredRange {
  readonly #answer: AnswerRange;
  readonly #request: RangeRequest;
  readonly #context: CallContext;
  readonly #reply: Reply<RangeResponse>;

  constructor(answer: AnswerRange, request: RangeRequest, context: CallContext, reply: Reply<RangeResponse>) {
    this.#answer = answer;
    this.#request = request;
    this.#context = context;
    this.#reply = reply;
  }

  succeed(): void {
    try {
      const answer = this.#answer(this.#request, this.#context);
      if (answer instanceof Promise) settle(answer, this.#reply);
      else this.#reply.succeed(answer);
    } catch (thrown) {
      this.#reply.fail(thrown);
    }
  }

  fail(thrown: unknown): void {
    this.#reply.fail(thrown);
  }
}

/** TX-11: no read round when all ranges are serializable; an empty transaction reads nothing at all. */
function isSerializable({ success, failure }: TxnRequest): boolean {
  const serializable = ({ request }: RequestOp): boolean =>
    request?.kind === "requestRange" && request.value.serializable;
  return success.every(serializable) && failure.every(serializable);
}
