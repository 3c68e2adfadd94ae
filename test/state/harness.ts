import { decode, encode } from "../../proto/codec.ts";
import {
  Compare,
  DeleteRangeRequest,
  type DeleteRangeResponse,
  InternalRaftRequest,
  LeaseGrantRequest,
  PutRequest,
  type PutResponse,
  RangeRequest,
  type RangeResponse,
  RequestHeader,
  type RequestOp,
  TxnRequest,
  type TxnResponse,
} from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { ConfChange } from "../../proto/generated/raftpb.ts";
import { ENTRY_CONF_CHANGE, ENTRY_NORMAL, type Entry } from "../../raft/types.ts";
import type { ApiError } from "../../src/api/errors.ts";
import { AnswerBytes } from "../../src/state/answer.ts";
import type { Applied, Command, StateMachine } from "../../src/state/machine.ts";
import { rangeResponse } from "../../src/state/range.ts";
import { type BucketRows, openStateMachine } from "../../src/state/restore.ts";
import type { Backend, Bucket } from "../../storage/backend.ts";
import { createMemoryBackend, type MemoryBackend } from "../../storage/memory-backend.ts";
import { restoreMvcc } from "../../storage/mvcc-walk.ts";
import { BUCKETS } from "../../storage/schema.ts";

export const MIN_TTL_SECONDS = 2;

export async function bucketRows(backend: Backend, bucket: Bucket): Promise<(readonly [string, Uint8Array])[]> {
  const snapshot = backend.snapshot();
  const rows: (readonly [string, Uint8Array])[] = [];
  for (let from = ""; ; ) {
    const page = await snapshot.range(bucket, from, undefined, 1000);
    rows.push(...page);
    const last = page.at(-1);
    if (last === undefined) break;
    from = `${last[0]}\0`;
  }
  await snapshot.close();
  return rows;
}

export async function openMachine(
  backend: Backend,
  minTtlSeconds = MIN_TTL_SECONDS,
  maxLearners?: number,
): Promise<StateMachine> {
  const { mvcc, leased } = await restoreMvcc(backend);
  const rows: Record<string, BucketRows[string]> = {};
  for (const bucket of BUCKETS) rows[bucket] = await bucketRows(backend, bucket);
  return openStateMachine(backend, mvcc, leased, rows, minTtlSeconds, maxLearners);
}

/** Everything stored, as text, for comparing. */
export async function dump(backend: Backend): Promise<string[]> {
  const lines: string[] = [];
  for (const bucket of BUCKETS) {
    for (const [key, value] of await bucketRows(backend, bucket)) {
      lines.push(`${bucket} ${hex(key)} ${Buffer.from(value).toString("hex")}`);
    }
  }
  return lines;
}

function hex(key: string): string {
  return Buffer.from(key, "latin1").toString("hex");
}

export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

/** A machine and the log that made it. */
export class Session {
  backend: MemoryBackend;
  machine: StateMachine;
  #requestId = 100n;

  private constructor(backend: MemoryBackend, machine: StateMachine) {
    this.backend = backend;
    this.machine = machine;
  }

  static async open(minTtlSeconds?: number, maxLearners?: number): Promise<Session> {
    const backend = createMemoryBackend();
    return new Session(backend, await openMachine(backend, minTtlSeconds, maxLearners));
  }

  /** As after a clean stop. */
  async reopen(minTtlSeconds?: number): Promise<void> {
    await this.backend.flush();
    this.backend = this.backend.crash();
    this.machine = await openMachine(this.backend, minTtlSeconds);
  }

  get revision(): number {
    return this.machine.mvcc.currentRevision;
  }

  entry(data: Uint8Array, type: Entry["type"] = ENTRY_NORMAL): Entry {
    return { type, term: 2, index: this.machine.appliedIndex + 1, data };
  }

  apply(data: Uint8Array, type: Entry["type"] = ENTRY_NORMAL, wanted = true): Applied {
    return this.machine.apply(this.entry(data, type), () => wanted);
  }

  command(command: Command, wanted = true): Applied {
    return this.commandFor(command, () => wanted);
  }

  commandFor(command: Command, wanted: (requestId: bigint) => boolean): Applied {
    const header = RequestHeader.create({ ID: ++this.#requestId });
    const data = encode(InternalRaftRequest, InternalRaftRequest.create({ ...command, header }));
    return this.machine.apply(this.entry(data), wanted);
  }

  confChange(change: Partial<ConfChange>, wanted = true): Applied {
    return this.apply(encode(ConfChange, ConfChange.create(change)), ENTRY_CONF_CHANGE, wanted);
  }

  /** The response; it must not be an error. */
  answer<T>(command: Command): T {
    const { result } = this.command(command);
    if (result.kind !== "response") throw new Error(`expected a response, got ${describe(result)}`);
    return result.response as T;
  }

  /** The error; it must have had no effect on keys. */
  error(command: Command): ApiError {
    const before = this.revision;
    const { result, events } = this.command(command);
    if (result.kind !== "error") throw new Error(`expected an error, got ${describe(result)}`);
    if (this.revision !== before || events.length > 0) throw new Error("an error had an effect");
    return result.error;
  }

  put(key: string, value = "", options: Partial<PutRequest> = {}): PutResponse {
    return this.answer({ put: putRequest(key, value, options) });
  }

  delete(key: string, rangeEnd = "", prevKv = false): DeleteRangeResponse {
    return this.answer({ deleteRange: DeleteRangeRequest.create({ key, rangeEnd, prevKv }) });
  }

  grant(id: bigint, ttlSeconds = 60): void {
    this.answer({ leaseGrant: LeaseGrantRequest.create({ ID: id, TTL: ttlSeconds }) });
  }

  txn(request: Partial<TxnRequest>): TxnResponse {
    return this.answer({ txn: TxnRequest.create(request) });
  }

  range(key: string, options: Partial<RangeRequest> = {}): RangeResponse {
    const outcome = rangeResponse(
      this.machine.mvcc,
      RangeRequest.create({ key, ...options }),
      this.revision,
      new AnswerBytes(),
    );
    if (outcome.kind === "error") throw outcome.error;
    if (outcome.response === undefined) throw new Error("the answer is too large");
    return outcome.response;
  }

  /** "key=value" of everything live. */
  all(): string[] {
    return pairs(this.range("\0", { rangeEnd: "\0" }).kvs);
  }

  kv(key: string, revision = 0): KeyValue | undefined {
    const kv = this.range(key, { revision }).kvs[0];
    return kv && decode(KeyValue, kv);
  }
}

function describe(result: Applied["result"]): string {
  return result.kind === "error" ? result.error.message : result.kind;
}

export function pairs(kvs: readonly Uint8Array[]): string[] {
  return kvs.map((kv) => decode(KeyValue, kv)).map(({ key, value }) => `${key}=${text(value)}`);
}

export function keys(kvs: readonly Uint8Array[]): string {
  return kvs.map((kv) => decode(KeyValue, kv).key).join(" ");
}

export function putRequest(key: string, value = "", options: Partial<PutRequest> = {}): PutRequest {
  return PutRequest.create({ key, value: Buffer.from(value, "latin1"), ...options });
}

export const op = {
  put: (key: string, value = "", options: Partial<PutRequest> = {}): RequestOp => ({
    request: { kind: "requestPut", value: putRequest(key, value, options) },
  }),
  del: (key: string, rangeEnd = "", prevKv = false): RequestOp => ({
    request: { kind: "requestDeleteRange", value: DeleteRangeRequest.create({ key, rangeEnd, prevKv }) },
  }),
  range: (key: string, options: Partial<RangeRequest> = {}): RequestOp => ({
    request: { kind: "requestRange", value: RangeRequest.create({ key, ...options }) },
  }),
  txn: (request: Partial<TxnRequest>): RequestOp => ({
    request: { kind: "requestTxn", value: TxnRequest.create(request) },
  }),
  none: { request: undefined } satisfies RequestOp,
};

export function compare(
  key: string,
  target: number,
  result: number,
  targetUnion: Compare["targetUnion"],
  rangeEnd = "",
): Compare {
  return Compare.create({ key, target, result, targetUnion, rangeEnd });
}
