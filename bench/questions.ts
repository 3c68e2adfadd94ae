/** What is asked in the workloads of single calls, and how each answer is checked. */
import { decode, encode } from "../proto/codec.ts";
import * as pb from "../proto/generated/etcdserverpb.ts";
import * as mvccpb from "../proto/generated/mvccpb.ts";
import { rpcs } from "../proto/generated/services.ts";
import { drawer, keyOf, problemOf, valueFor, writeKey, writeValue } from "./values.ts";

/** Of one simulated client, which asks one thing at a time. */
export interface Asker {
  /** The number of its question, from 0 on. */
  asked: number;
  /** Key of the question that is open. */
  key: number;
  /** The highest that it was told. */
  revision: number;
}

export interface Question {
  readonly path: string;
  /** Filled in for the asker; the next question of any asker is written over it. */
  readonly message: Buffer;
  /** What is wrong with the answer; undefined: nothing. */
  readonly check: (body: Buffer, asker: Asker) => string | undefined;
}

export type Ask = (asker: Asker) => Question;

export interface Shape {
  readonly kind: "put" | "txn" | "range" | "mixed";
  readonly keys: number;
  readonly valueBytes: number;
  readonly serializable?: boolean;
}

/** Of a hundred in the mixed workload. */
const MIXED_RANGES = 80;

/** `number`: of the first value that is put; each value has its own. */
export function questionsOf(shape: Shape, number: number): Ask {
  const draw = drawer(number + 1);
  switch (shape.kind) {
    case "put":
      return askPut(shape, number, draw);
    case "txn":
      return askTxn(shape, number, draw);
    case "range":
      return askRange(shape, draw);
    case "mixed": {
      const put = askPut(shape, number, draw);
      const range = askRange(shape, draw);
      return (asker) => (draw(100) < MIXED_RANGES ? range(asker) : put(asker));
    }
  }
}

/** Puts each key once, in order. */
export function askEach(valueBytes: number): Ask {
  let next = 0;
  return askPut({ valueBytes, keys: 0 }, 0, () => next++);
}

type PutShape = Pick<Shape, "keys" | "valueBytes">;

function askPut({ keys, valueBytes }: PutShape, first: number, draw: (below: number) => number): Ask {
  const message = encode(pb.PutRequest, pb.PutRequest.create({ key: keyOf(0), value: valueFor(0, 0, valueBytes) }));
  const keyAt = message.indexOf(keyOf(0));
  const valueAt = message.length - valueBytes;
  let number = first;
  const question: Question = { path: rpcs.KVPut.path, message, check: checkPut };
  return (asker) => {
    asker.key = draw(keys);
    writeKey(message, keyAt, asker.key);
    writeValue(message, valueAt, valueBytes, asker.key, number++);
    return question;
  };
}

function checkPut(body: Buffer, asker: Asker): string | undefined {
  return ascends(decode(pb.PutResponse, body).header, asker);
}

/** A write of its own: its revision is above all that this asker saw before. */
function ascends(header: pb.ResponseHeader | undefined, asker: Asker): string | undefined {
  const revision = header?.revision ?? 0;
  const before = asker.revision;
  asker.revision = Math.max(before, revision);
  return revision > before ? undefined : `revision ${revision} of a write after one of ${before}`;
}

/** If the key was ever put (and all were), put it. */
function askTxn({ keys, valueBytes }: PutShape, first: number, draw: (below: number) => number): Ask {
  const key = keyOf(0);
  const compare = pb.Compare.create({
    result: pb.CompareCompareResult.GREATER,
    target: pb.CompareCompareTarget.MOD,
    key,
    targetUnion: { kind: "modRevision", value: 0 },
  });
  const put = pb.PutRequest.create({ key, value: valueFor(0, 0, valueBytes) });
  const message = encode(
    pb.TxnRequest,
    pb.TxnRequest.create({ compare: [compare], success: [{ request: { kind: "requestPut", value: put } }] }),
  );
  const compareAt = message.indexOf(key);
  const keyAt = message.indexOf(key, compareAt + 1);
  const valueAt = message.length - valueBytes;
  let number = first;
  const question: Question = { path: rpcs.KVTxn.path, message, check: checkTxn };
  return (asker) => {
    asker.key = draw(keys);
    writeKey(message, compareAt, asker.key);
    writeKey(message, keyAt, asker.key);
    writeValue(message, valueAt, valueBytes, asker.key, number++);
    return question;
  };
}

function checkTxn(body: Buffer, asker: Asker): string | undefined {
  const { header, succeeded, responses } = decode(pb.TxnResponse, body);
  if (!succeeded) return "a comparison that holds was answered with no";
  const kind = responses[0]?.response?.kind;
  if (responses.length !== 1 || kind !== "responsePut") return `a put is answered with ${responses.length} (${kind})`;
  return ascends(header, asker);
}

function askRange({ keys, valueBytes, serializable = false }: Shape, draw: (below: number) => number): Ask {
  const message = encode(pb.RangeRequest, pb.RangeRequest.create({ key: keyOf(0), serializable }));
  const keyAt = message.indexOf(keyOf(0));
  const check = (body: Buffer, asker: Asker): string | undefined => {
    const { header, kvs, count } = decode(pb.RangeResponse, body);
    const [bytes] = kvs;
    if (bytes === undefined || kvs.length !== 1 || count !== 1) return `${keyOf(asker.key)} is there ${count} times`;
    const { key, value, modRevision } = decode(mvccpb.KeyValue, bytes);
    if (key !== keyOf(asker.key)) return `${key} comes for ${keyOf(asker.key)}`;
    const revision = header?.revision ?? 0;
    if (revision < asker.revision) return `a read of revision ${revision} after one of ${asker.revision}`;
    if (modRevision < 1 || modRevision > revision) return `a key of revision ${modRevision} in a store of ${revision}`;
    asker.revision = revision;
    return problemOf(value, asker.key, valueBytes);
  };
  const question: Question = { path: rpcs.KVRange.path, message, check };
  return (asker) => {
    asker.key = draw(keys);
    writeKey(message, keyAt, asker.key);
    return question;
  };
}
