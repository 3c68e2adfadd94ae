import {
  type Command,
  type DeleteRangeRequest,
  History,
  type LogEntry,
  type Operation,
  type Outcome,
  type Probe,
  type PutRequest,
  type RangeRequest,
  type Request,
  type Response,
  type TxnOp,
  type TxnRequest,
  type WatchRequest,
} from "../history.ts";
import { type Change, Model, minTtlSeconds, readTxn } from "./model.ts";
import { range } from "./model-store.ts";
import { type Placement, placeOperations } from "./placement.ts";
import { buildTruth, type Truth } from "./truth.ts";

export const put = (key: string, value: string, more: Partial<PutRequest> = {}): PutRequest => ({
  kind: "put",
  key,
  value,
  lease: 0n,
  prevKv: false,
  ignoreValue: false,
  ignoreLease: false,
  ...more,
});

export const get = (key: string, rangeEnd = "", more: Partial<RangeRequest> = {}): RangeRequest => ({
  kind: "range",
  key,
  rangeEnd,
  revision: 0,
  limit: 0,
  sortOrder: 0,
  sortTarget: 0,
  serializable: false,
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
  ...more,
});

export const del = (key: string, rangeEnd = "", prevKv = false): DeleteRangeRequest => ({
  kind: "deleteRange",
  key,
  rangeEnd,
  prevKv,
});

export const txn = (
  compare: TxnRequest["compare"],
  success: readonly TxnOp[],
  failure: readonly TxnOp[] = [],
): TxnRequest => ({ kind: "txn", compare, success, failure });

export const watchAll = (more: Partial<WatchRequest> = {}): WatchRequest => ({
  watchId: 0n,
  key: "\0",
  rangeEnd: "\0",
  startRevision: 0,
  noPut: false,
  noDelete: false,
  prevKv: false,
  fragment: false,
  progressNotify: false,
  ...more,
});

/**
 * A cluster that does everything right, for tests of checkers: commands are executed by the model and leave the history
 * that a faultless run would leave. What a test wants wrong, it makes wrong in the answer.
 */
export class FakeCluster {
  now = 0;
  readonly history: History;
  readonly model: Model;
  #index = 0;

  constructor(maxDrift = 0) {
    const facts = { electionMs: 1000, heartbeatMs: 100, maxDrift, expiriesPerSecond: 1_000 };
    this.history = new History(facts, () => this.now);
    this.model = new Model(minTtlSeconds(facts));
  }

  /** A member executes what stands in the log, asked for or not. `revision` is what it says it came to. */
  execute(command: Command, revision?: number): { readonly outcome: Outcome; readonly changes: readonly Change[] } {
    const { result, changes } = this.model.execute(command);
    const entry: LogEntry = { index: ++this.#index, term: 2, hash: this.#index };
    this.probe({ member: 1, life: 1, kind: "applied", entry, command, revision: revision ?? this.model.revision });
    const outcome: Outcome =
      result.kind === "ok" ? result : { kind: "refused", reason: `etcdserver: ${WORDS[result.reasons[0] as string]}` };
    return { outcome, changes };
  }

  probe(probe: Probe): void {
    this.history.probe(probe);
  }

  /** One request, from call to return. `change` makes the answer wrong. */
  ask(request: Request, change: (outcome: Outcome) => Outcome = (outcome) => outcome, client = 1): Operation {
    const operation = this.history.invoke(client, 1, request);
    this.now += 1;
    const outcome = this.answer(request);
    this.now += 1;
    this.history.settle(operation, change(outcome));
    return operation;
  }

  answer(request: Request): Outcome {
    const { revision, store, leases } = this.model;
    switch (request.kind) {
      case "range": {
        if (request.revision > revision) return { kind: "refused", reason: "required revision is a future revision" };
        const response = range(store, request, request.revision > 0 ? request.revision : revision, revision);
        return { kind: "ok", response };
      }
      case "txn": {
        const isRead = [...request.success, ...request.failure].every(({ kind }) => kind === "range");
        if (isRead) return { kind: "ok", response: readTxn(store, request, revision).response };
        return this.execute(request).outcome;
      }
      case "put":
      case "deleteRange":
      case "compact":
      case "leaseGrant":
      case "leaseRevoke":
        return this.execute(request).outcome;
      case "leaseKeepAlive": {
        const ttlSeconds = leases.get(request.id)?.ttlSeconds ?? 0;
        return { kind: "ok", response: { kind: "leaseKeepAlive", revision, id: request.id, ttlSeconds } };
      }
      default:
        throw new Error(`the fake cluster does not know ${request.kind}`);
    }
  }

  /** A placement speaks of the steps of its own truth. */
  judged(): { readonly truth: Truth; readonly placement: Placement } {
    const truth = buildTruth(this.history);
    return { truth, placement: placeOperations(this.history, truth) };
  }

  truth(): Truth {
    return buildTruth(this.history);
  }
}

const WORDS: Readonly<Record<string, string>> = {
  "lease not found": "requested lease not found",
  "lease exists": "lease already exists",
  "key not found": "key not found",
  compacted: "mvcc: required revision has been compacted",
  future: "mvcc: required revision is a future revision",
};

/** Changes the response of an answer. */
export function tampered(change: (response: Response) => Response): (outcome: Outcome) => Outcome {
  return (outcome) => (outcome.kind === "ok" ? { kind: "ok", response: change(outcome.response) } : outcome);
}
