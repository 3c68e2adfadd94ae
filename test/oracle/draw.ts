import {
  CompactionRequest,
  Compare,
  DeleteRangeRequest,
  HashKVRequest,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  LeaseTimeToLiveRequest,
  PutRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
  WatchCreateRequest,
} from "../../proto/generated/etcdserverpb.ts";
import { unreachable } from "../../raft/assert.ts";
import type { Random } from "../simulator/random.ts";
import { CHOSEN_BY_SERVER, type Operation, type OperationKind, type Outcome } from "./operation.ts";
import type { Created } from "./watch-stream.ts";

/** What the answers so far have told, so that requests hit something; most of the time. */
export interface Knowledge {
  revision: number;
  compactRevision: number;
  /** Given by us, and by the server: stand-ins from CHOSEN_BY_SERVER on. */
  readonly leases: bigint[];
  granted: number;
  /** By stream. */
  readonly watches: { readonly stream: number; readonly watchId: bigint }[];
  /** A compaction may still be under way: what HashKV then says of its revision depends on the moment. */
  compacting: boolean;
  /**
   * Of transactions with deletes and puts in them. Where one deleted a key and put it anew, a compaction to just that
   * revision makes etcd lose the pair, and end at the next read of it.
   */
  readonly mixed: Set<number>;
}

export function nothingKnown(): Knowledge {
  return {
    revision: 1,
    compactRevision: 0,
    leases: [],
    granted: 0,
    watches: [],
    compacting: false,
    mixed: new Set(),
  };
}

export const STREAMS = 3;
const FUTURE_STREAM = STREAMS - 1;
/** So few that sorts without a tie-breaker come out alike: Go's sort is stable for up to twelve. */
const KEYS = ["a", "aa", "ab", "b", "b\0", "c", "d\xff", "d\xff\xff", "\xff", "\xff\xff", "\0"] as const;
const LONG_TTL_SECONDS = [3_600, 10_000, 9_000_000_000] as const;
const WEIGHTS: readonly (readonly [number, OperationKind])[] = [
  [22, "put"],
  [20, "range"],
  [8, "deleteRange"],
  [20, "txn"],
  [3, "compact"],
  [3, "hashKv"],
  [4, "leaseGrant"],
  [2, "leaseRevoke"],
  [2, "leaseKeepAlive"],
  [2, "leaseTimeToLive"],
  [1, "leaseLeases"],
  [4, "watchCreate"],
  [2, "watchCancel"],
  [1, "watchProgress"],
  [1, "settle"],
];

export const KINDS: readonly OperationKind[] = WEIGHTS.map(([, kind]) => kind);

/**
 * What cannot be compared, because etcd ends at it or answers by the moment. Sequences that are replayed without some of
 * their operations must be held against it anew.
 */
export function isUnfair({ mixed, compacting }: Knowledge, operation: Operation): boolean {
  // To 0 etcd compacts once, and then answers HashKV from a poisoned cache (C-1).
  if (operation.kind === "compact") return operation.request.revision === 0 || mixed.has(operation.request.revision);
  return operation.kind === "hashKv" && compacting;
}

export function drawOperation(random: Random, knowledge: Knowledge, members: number): Operation {
  const operation = drawAny(random, knowledge, members);
  if (!isUnfair(knowledge, operation)) return operation;
  return { kind: "range", member: operation.member, request: drawRange(random, knowledge) };
}

/**
 * What every sequence ends with: the whole history is removed, all members have the same store, and all watches have told
 * everything and nothing more.
 */
export function ending({ revision }: Knowledge, members: number): readonly Operation[] {
  const put = PutRequest.create({ key: "a", value: Buffer.from("end") });
  const each = <T>(count: number, make: (position: number) => T): T[] =>
    Array.from({ length: count }, (_, i) => make(i));
  return [
    // A revision of its own, which certainly is not a mixed one.
    { kind: "put", member: 0, request: put },
    { kind: "compact", member: 0, request: CompactionRequest.create({ revision: revision + 1, physical: true }) },
    ...each(members, (member): Operation => ({ kind: "hashKv", member, request: HashKVRequest.create() })),
    ...each(STREAMS, (stream): Operation => ({ kind: "watchProgress", member: 0, stream })),
    { kind: "settle", member: 0 },
  ];
}

function drawAny(random: Random, knowledge: Knowledge, members: number): Operation {
  const member = random.below(members);
  const kind = random.weighted(WEIGHTS);
  switch (kind) {
    case "put":
      return { kind, member, request: drawPut(random, knowledge, true) };
    case "range":
      return { kind, member, request: drawRange(random, knowledge) };
    case "deleteRange":
      return { kind, member, request: drawDelete(random) };
    case "txn":
      return { kind, member, request: drawTxn(random, knowledge, 0) };
    case "compact": {
      const revision = drawRevision(random, knowledge) || -1;
      return { kind, member, request: CompactionRequest.create({ revision, physical: random.chance(0.5) }) };
    }
    case "hashKv":
      return { kind, member, request: HashKVRequest.create({ revision: drawRevision(random, knowledge) }) };
    case "leaseGrant": {
      const ID = random.weighted<bigint>([
        [6, BigInt(random.between(1, 12))],
        [1, -BigInt(random.between(1, 4))],
        [2, 0n],
      ]);
      // What would end by itself ends at another moment on each side.
      const TTL = random.chance(0.1)
        ? random.pick([9_000_000_001, Number.MAX_SAFE_INTEGER])
        : random.pick(LONG_TTL_SECONDS);
      return { kind, member, request: LeaseGrantRequest.create({ TTL, ID }) };
    }
    case "leaseRevoke":
      return { kind, member, request: LeaseRevokeRequest.create({ ID: drawLease(random, knowledge) }) };
    case "leaseKeepAlive":
      return { kind, member, id: drawLease(random, knowledge) };
    case "leaseTimeToLive": {
      const ID = drawLease(random, knowledge);
      return { kind, member, request: LeaseTimeToLiveRequest.create({ ID, keys: random.chance(0.7) }) };
    }
    case "leaseLeases":
      return { kind, member };
    case "watchCreate": {
      const request = drawWatch(random, knowledge);
      // What begins in the future holds back the progress by which one sees that the past has been told (W-11).
      const stream = request.startRevision > knowledge.revision ? FUTURE_STREAM : random.below(FUTURE_STREAM);
      return { kind, member: 0, stream, request };
    }
    case "watchCancel": {
      const known = knowledge.watches.length > 0 && random.chance(0.8) ? random.pick(knowledge.watches) : undefined;
      const { stream, watchId } = known ?? { stream: random.below(STREAMS), watchId: BigInt(random.between(50, 60)) };
      return { kind, member: 0, stream, watchId };
    }
    case "watchProgress":
      return { kind, member: 0, stream: random.below(STREAMS) };
    case "settle":
      return { kind, member: 0 };
    default:
      return unreachable(kind);
  }
}

function drawKey(random: Random): string {
  return random.chance(0.01) ? "" : random.pick(KEYS);
}

/** Every shape of, ends before starts among them. */
function drawRangeEnd(random: Random, key: string): string {
  return random.weighted([
    [5, ""],
    [2, "\0"],
    [2, nextPrefix(key)],
    [3, random.pick(KEYS)],
    [0.3, key],
  ]);
}

function nextPrefix(key: string): string {
  const last = key.charCodeAt(key.length - 1);
  return key === "" || last === 0xff ? "\0" : key.slice(0, -1) + String.fromCharCode(last + 1);
}

/** Mostly of the past; around the compact revision and the current one, where mistakes live; or out of all bounds. */
function drawRevision(random: Random, { revision, compactRevision }: Knowledge): number {
  return random.weighted([
    [4, 0],
    [4, random.between(Math.max(compactRevision, 1), Math.max(revision, 1))],
    [2, Math.max(0, compactRevision + random.between(-1, 1))],
    [2, revision + random.between(-1, 1)],
    [0.5, random.pick([-1, -7, revision + 1_000, Number.MAX_SAFE_INTEGER])],
  ]);
}

function drawBound(random: Random, { revision }: Knowledge): number {
  return random.chance(0.85) ? 0 : random.between(-1, revision + 2);
}

function drawRange(random: Random, knowledge: Knowledge): RangeRequest {
  const key = drawKey(random);
  return RangeRequest.create({
    key,
    rangeEnd: drawRangeEnd(random, key),
    limit: random.chance(0.6) ? 0 : random.pick([1, 2, 3, 5, 11, -1, -100, Number.MAX_SAFE_INTEGER]),
    revision: drawRevision(random, knowledge),
    // etcd 3.5 ignores what it does not know, later ones refuse it.
    sortOrder: random.chance(0.5) ? 0 : random.between(0, 2),
    sortTarget: random.chance(0.5) ? 0 : random.between(0, 4),
    serializable: random.chance(0.2),
    keysOnly: random.chance(0.15),
    countOnly: random.chance(0.15),
    minModRevision: drawBound(random, knowledge),
    maxModRevision: drawBound(random, knowledge),
    minCreateRevision: drawBound(random, knowledge),
    maxCreateRevision: drawBound(random, knowledge),
  });
}

/** `mayKeep`: whether it may leave the value or the lease as they are. */
function drawPut(random: Random, knowledge: Knowledge, mayKeep: boolean): PutRequest {
  const ignoreValue = mayKeep && random.chance(0.08);
  const ignoreLease = mayKeep && random.chance(0.08);
  const value = Buffer.from(random.chance(0.1) ? "" : `v${random.below(20)}`);
  return PutRequest.create({
    key: drawKey(random),
    value: ignoreValue && random.chance(0.9) ? Buffer.alloc(0) : value,
    lease: random.chance(ignoreLease ? 0.1 : 0.25) ? drawOwnLease(random, knowledge) : 0n,
    prevKv: random.chance(0.4),
    ignoreValue,
    ignoreLease,
  });
}

function drawDelete(random: Random): DeleteRangeRequest {
  const key = drawKey(random);
  return DeleteRangeRequest.create({
    key,
    rangeEnd: random.chance(0.6) ? "" : drawRangeEnd(random, key),
    prevKv: random.chance(0.5),
  });
}

/** Any that was ever granted, or none that ever was. */
function drawLease(random: Random, { leases }: Knowledge): bigint {
  return leases.length > 0 && random.chance(0.85) ? random.pick(leases) : BigInt(random.between(-5, 20));
}

/** For keys: an id that the server chose differs from side to side, and so would the hash of the store. */
function drawOwnLease(random: Random, knowledge: Knowledge): bigint {
  const own = knowledge.leases.filter((id) => id < CHOSEN_BY_SERVER);
  return own.length > 0 && random.chance(0.9) ? random.pick(own) : BigInt(random.between(1, 20));
}

const MAX_NESTING = 3;

function drawTxn(random: Random, knowledge: Knowledge, depth: number): TxnRequest {
  // etcd 3.5 panics when a txn deletes a key and then keeps its value or lease: one or the other.
  const mayDelete = random.chance(0.5);
  const ops = (): RequestOp[] =>
    Array.from(
      {
        length: random.weighted([
          [1, 0],
          [4, 1],
          [3, 2],
          [2, 3],
          [1, 5],
        ]),
      },
      () => drawOp(random, knowledge, mayDelete, depth),
    );
  const compares = random.weighted([
    [3, 0],
    [4, 1],
    [2, 2],
  ]);
  return TxnRequest.create({
    compare: Array.from({ length: compares }, () => drawCompare(random, knowledge)),
    success: ops(),
    failure: ops(),
  });
}

function drawOp(random: Random, knowledge: Knowledge, mayDelete: boolean, depth: number): RequestOp {
  const kind = random.weighted<"range" | "put" | "delete" | "txn" | "nothing">([
    [4, "range"],
    [5, "put"],
    [mayDelete ? 3 : 0, "delete"],
    [depth < MAX_NESTING ? 1.5 : 0, "txn"],
    [0.03, "nothing"],
  ]);
  switch (kind) {
    case "range":
      return { request: { kind: "requestRange", value: drawRange(random, knowledge) } };
    case "put":
      return { request: { kind: "requestPut", value: drawPut(random, knowledge, !mayDelete) } };
    case "delete":
      return { request: { kind: "requestDeleteRange", value: drawDelete(random) } };
    case "txn":
      return { request: { kind: "requestTxn", value: mergedTxn(random, knowledge, mayDelete, depth) } };
    case "nothing":
      return { request: undefined };
    default:
      return unreachable(kind);
  }
}

/** A nested one keeps to what the outermost may do. */
function mergedTxn(random: Random, knowledge: Knowledge, mayDelete: boolean, depth: number): TxnRequest {
  const ops = (): RequestOp[] =>
    Array.from({ length: random.between(0, 2) }, () => drawOp(random, knowledge, mayDelete, depth + 1));
  const compare = random.chance(0.6) ? [drawCompare(random, knowledge)] : [];
  return TxnRequest.create({ compare, success: ops(), failure: ops() });
}

function drawCompare(random: Random, knowledge: Knowledge): Compare {
  const key = drawKey(random);
  const number = random.pick([0, 1, 2, random.between(0, knowledge.revision + 1), -1]);
  const targets: readonly NonNullable<Compare["targetUnion"]>[] = [
    { kind: "version", value: number },
    { kind: "createRevision", value: number },
    { kind: "modRevision", value: number },
    { kind: "value", value: Buffer.from(`v${random.below(20)}`) },
    { kind: "lease", value: BigInt(random.between(0, 12)) },
  ];
  const target = random.below(targets.length);
  return Compare.create({
    result: random.chance(0.97) ? random.between(0, 3) : 9,
    target: random.chance(0.97) ? target : random.pick([target + 1, 17]),
    key,
    rangeEnd: random.chance(0.75) ? "" : drawRangeEnd(random, key),
    targetUnion: random.chance(0.95) ? targets[target] : undefined,
  });
}

function drawWatch(random: Random, knowledge: Knowledge): WatchCreateRequest {
  const key = drawKey(random);
  return WatchCreateRequest.create({
    key,
    rangeEnd: random.chance(0.4) ? "" : drawRangeEnd(random, key),
    startRevision: drawRevision(random, knowledge),
    filters: random.weighted<readonly number[]>([
      [6, []],
      [1, [0]],
      [1, [1]],
      [0.3, [0, 1]],
    ]),
    prevKv: random.chance(0.4),
    fragment: random.chance(0.2),
    watchId: random.chance(0.7) ? 0n : BigInt(random.between(1, 8)),
  });
}

/** Learns from what an operation came to on the side that is the judge. */
export function learn(knowledge: Knowledge, operation: Operation, outcome: Outcome): void {
  if (outcome.kind === "error") return;
  knowledge.revision = Math.max(knowledge.revision, outcome.revision ?? 0);
  if (operation.kind === "watchCreate") {
    const { watchId, isAlive } = outcome.answer as Created;
    if (isAlive) knowledge.watches.push({ stream: operation.stream, watchId });
  }
  if (operation.kind === "txn" && mixes(operation.request)) knowledge.mixed.add(outcome.revision ?? 0);
  if (operation.kind === "compact") {
    knowledge.compactRevision = operation.request.revision;
    knowledge.compacting = !operation.request.physical;
  }
  if (operation.kind === "leaseGrant") {
    const { ID } = operation.request;
    knowledge.leases.push(ID === 0n ? CHOSEN_BY_SERVER + BigInt(knowledge.granted++) : ID);
  }
}

function mixes(request: TxnRequest): boolean {
  const kinds = kindsOf(request);
  return kinds.includes("requestPut") && kinds.includes("requestDeleteRange");
}

function kindsOf({ success, failure }: TxnRequest): readonly string[] {
  return [...success, ...failure].flatMap(({ request }) => {
    if (request === undefined) return [];
    return request.kind === "requestTxn" ? kindsOf(request.value) : [request.kind];
  });
}
