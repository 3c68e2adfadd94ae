import type {
  Compare,
  DeleteRangeRequest,
  History,
  KeyValue,
  Operation,
  PutRequest,
  TxnOp,
  TxnOpResponse,
  TxnRequest,
} from "../history.ts";
import { isReadTxn, isSerializableTxn } from "./model.ts";
import { inRange } from "./model-store.ts";

/** What one key holds, as far as the general checker cares: revisions are left out on purpose. */
export interface KeyState {
  readonly value: string;
  readonly version: number;
  readonly lease: bigint;
}

/** What an operation demands of a key, then does to it. `expect` null: absent. A field left out is not demanded. */
export interface KeyEffect {
  readonly expect?: { readonly state: Partial<KeyState> | "present" | null; readonly isMet: boolean };
  readonly write?:
    | { readonly kind: "put"; readonly value: string | undefined; readonly lease: bigint | undefined }
    | { readonly kind: "delete" };
}

/** One operation as seen by one key: any of the alternatives, each a sequence that happens at once. */
export interface KeyOperation {
  readonly invoked: number;
  /** Infinity: the outcome is unknown, and it need not have happened at all. */
  readonly returned: number;
  readonly alternatives: readonly (readonly KeyEffect[])[];
  readonly source: Operation;
}

/** A read that spans more keys says little about each and costs much. */
const MAX_KEYS_OF_READ = 8;

/**
 * The clients' histories, key by key. If the whole is linearizable, so is what each key saw of it; an operation on several
 * keys leaves its part with each. From clients alone: no log, no revisions, nothing that a member says of itself.
 */
export function keyHistories(history: History): ReadonlyMap<string, readonly KeyOperation[]> {
  const keys = [...writtenKeys(history)].sort();
  const found = new Map<string, KeyOperation[]>(keys.map((key) => [key, []]));
  const within = (from: string, end: string): readonly string[] =>
    end === "" ? (found.has(from) ? [from] : []) : keys.filter((key) => inRange(key, from, end));

  for (const operation of history.operations) {
    for (const [key, alternatives] of effectsOf(operation, within)) {
      found.get(key)?.push({
        invoked: operation.invoked.seq,
        returned:
          operation.outcome.kind === "ok"
            ? (operation.returned?.seq ?? Number.POSITIVE_INFINITY)
            : Number.POSITIVE_INFINITY,
        alternatives,
        source: operation,
      });
    }
  }
  return found;
}

function writtenKeys({ operations }: History): Set<string> {
  const keys = new Set<string>();
  const add = (op: TxnOp): void => {
    if (op.kind === "put") keys.add(op.key);
    else if (op.kind === "txn") for (const inner of [...op.success, ...op.failure]) add(inner);
  };
  for (const { request } of operations) if (request.kind === "put" || request.kind === "txn") add(request);
  return keys;
}

type Within = (from: string, end: string) => readonly string[];
type Effects = Map<string, KeyEffect[]>;
type Alternatives = readonly (readonly KeyEffect[])[];

const NOTHING: ReadonlyMap<string, Alternatives> = new Map();

/** By key: the alternatives. Empty for what says nothing of any key. */
function effectsOf({ request, outcome }: Operation, within: Within): ReadonlyMap<string, Alternatives> {
  if (outcome.kind === "refused") return NOTHING;
  const response = outcome.kind === "ok" ? outcome.response : undefined;
  switch (request.kind) {
    case "range":
      if (request.serializable || response?.kind !== "range") return NOTHING;
      return alternativesOf([effectsOfBranch([request], [response], within)]);
    case "put":
    case "deleteRange":
      if (response === undefined) return alternativesOf([effectsOfBranch([request], undefined, within)]);
      if (response.kind !== request.kind) return NOTHING;
      return alternativesOf([effectsOfBranch([request], [response], within)]);
    case "txn": {
      if (isReadTxn(request) && (response === undefined || mayBeOld(request))) return NOTHING;
      if (response === undefined) {
        return alternativesOf(paths(request).map((ops) => effectsOfBranch(ops, undefined, within)));
      }
      if (response.kind !== "txn") return NOTHING;
      const ops = response.succeeded ? request.success : request.failure;
      const compares = comparesOf(request.compare, response.succeeded);
      return alternativesOf([effectsOfBranch(ops, response.responses, within, compares)]);
    }
    default:
      return NOTHING;
  }
}

/** Some of what it reads; or all, for a transaction without ranges reads nothing but what it compares (TX-11). */
function mayBeOld(txn: TxnRequest): boolean {
  if (isSerializableTxn(txn)) return true;
  return [...txn.success, ...txn.failure].some((op) => op.kind === "range" && op.serializable);
}

/** Everything that a transaction may come to when nobody knows which branches it took: its operations without nesting. */
function paths(txn: TxnRequest): readonly (readonly TxnOp[])[] {
  return [txn.success, txn.failure].flatMap((branch) => {
    let found: readonly (readonly TxnOp[])[] = [[]];
    for (const op of branch) {
      const ways = op.kind === "txn" ? paths(op) : [[op]];
      found = found.flatMap((before) => ways.map((way) => [...before, ...way]));
    }
    return found;
  });
}

/** A key that one alternative leaves alone has an alternative in which nothing happens. */
function alternativesOf(branches: readonly Effects[]): ReadonlyMap<string, Alternatives> {
  const keys = new Set(branches.flatMap((effects) => [...effects.keys()]));
  return new Map([...keys].map((key) => [key, branches.map((effects) => effects.get(key) ?? [])]));
}

/** Of a single compare both outcomes tell something; of several, only that all held. */
function comparesOf(compares: readonly Compare[], succeeded: boolean): Effects {
  const effects: Effects = new Map();
  if (!succeeded && compares.length !== 1) return effects;
  for (const { key, rangeEnd, result, target } of compares) {
    if (rangeEnd !== "" || result !== "equal") continue;
    if (target.kind === "createRevision" || target.kind === "modRevision") {
      // Zero is the one revision that means something without revisions.
      if (target.value === 0) push(effects, key, { expect: { state: null, isMet: succeeded } });
    } else if (target.kind === "value") {
      push(effects, key, { expect: { state: { value: target.value }, isMet: succeeded } });
    } else if (target.value === 0 || target.value === 0n) {
      if (target.kind === "version") push(effects, key, { expect: { state: null, isMet: succeeded } });
    } else {
      push(effects, key, { expect: { state: { [target.kind]: target.value }, isMet: succeeded } });
    }
  }
  return effects;
}

function effectsOfBranch(
  ops: readonly TxnOp[],
  responses: readonly TxnOpResponse[] | undefined,
  within: Within,
  effects: Effects = new Map(),
): Effects {
  for (const [at, op] of ops.entries()) addOp(effects, op, responses?.[at], within);
  return effects;
}

function push(effects: Effects, key: string, effect: KeyEffect): void {
  const list = effects.get(key);
  if (list === undefined) effects.set(key, [effect]);
  else list.push(effect);
}

function stateOf(kv: KeyValue): KeyState {
  return { value: kv.value, version: kv.version, lease: kv.lease };
}

function addOp(effects: Effects, op: TxnOp, response: TxnOpResponse | undefined, within: Within): void {
  switch (op.kind) {
    case "put":
      push(effects, op.key, putEffect(op, response));
      break;
    case "deleteRange":
      for (const key of within(op.key, op.rangeEnd)) push(effects, key, deleteEffect(op, response, key));
      break;
    case "range": {
      if (response?.kind !== "range" || op.revision !== 0 || op.countOnly || response.more) return;
      if (op.minModRevision + op.maxModRevision + op.minCreateRevision + op.maxCreateRevision !== 0) return;
      const keys = within(op.key, op.rangeEnd);
      if (keys.length > MAX_KEYS_OF_READ) return;
      for (const key of keys)
        push(effects, key, { expect: { state: found(response.kvs, key, op.keysOnly), isMet: true } });
      break;
    }
    case "txn":
      // Answered: one without an answer came in as its paths.
      if (response?.kind === "txn") {
        effectsOfBranch(response.succeeded ? op.success : op.failure, response.responses, within, effects);
      }
      break;
  }
}

function found(kvs: readonly KeyValue[], key: string, keysOnly: boolean): Partial<KeyState> | null {
  const kv = kvs.find((candidate) => candidate.key === key);
  if (kv === undefined) return null;
  return keysOnly ? { version: kv.version, lease: kv.lease } : stateOf(kv);
}

function putEffect(op: PutRequest, response: TxnOpResponse | undefined): KeyEffect {
  const write = {
    kind: "put" as const,
    value: op.ignoreValue ? undefined : op.value,
    lease: op.ignoreLease ? undefined : op.lease,
  };
  if (response?.kind !== "put" || !op.prevKv) return { write };
  return { write, expect: { state: response.prevKv === undefined ? null : stateOf(response.prevKv), isMet: true } };
}

function deleteEffect(op: DeleteRangeRequest, response: TxnOpResponse | undefined, key: string): KeyEffect {
  const write = { kind: "delete" as const };
  if (response?.kind !== "deleteRange") return { write };
  if (op.prevKv) {
    const kv = response.prevKvs.find((candidate) => candidate.key === key);
    return { write, expect: { state: kv === undefined ? null : stateOf(kv), isMet: true } };
  }
  if (response.deleted === 0) return { write, expect: { state: null, isMet: true } };
  return op.rangeEnd === "" ? { write, expect: { state: "present", isMet: true } } : { write };
}
