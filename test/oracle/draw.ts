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
  /** A compaction may still be under way: what HashKV says of its revision depends on the moment. */
  compacting: boolean;
  /** A key was given a lease whose id the server chose: the hashes of the stores differ from then on. */
  tainted: boolean;
  /**
   * Of transactions with deletes and puts in them. Where one deleted a key and put it anew, etcd does not count the new
   * pair among those that are there at just that revision: a compaction to it loses the pair, and etcd ends at the next
   * read of it; HashKV of it takes rows for gone that are not, or, when no pair is left, none for gone.
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
    tainted: false,
    mixed: new Set(),
  };
}

export const STREAMS = 3;
const FUTURE_STREAM = STREAMS - 1;
/** A dozen at most, so that many ranges are exactly sorted: Go's sort is stable for so many. */
const KEYS = ["a", "aa", "ab", "b", "b\0", "c", "d\xff", "d\xff\xff", "\xff", "\xff\xff", "\0"] as const;
/** With these there are more than a dozen to sort. */
const MORE_KEYS = ["e", "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "g", "h", "i"] as const;
/** Of values that take long to send. */
const BULKY = { key: "l/", rangeEnd: "l0" } as const;
const BULKY_BYTES = 16_384;
const LONG_TTL_SECONDS = [3_600, 10_000, 9_000_000_000] as const;
const TOO_LONG_TTL_SECONDS = [9_000_000_001, Number.MAX_SAFE_INTEGER] as const;
/** Below and about the least that is granted (L-1). */
const SHORT_TTL_SECONDS = [0, -1, -7, -Number.MAX_SAFE_INTEGER, 1, 2, 3, 5, 60] as const;
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

/** Ends by itself before the sequence does. */
export function isShort({ TTL }: LeaseGrantRequest): boolean {
  return TTL < (LONG_TTL_SECONDS[0] as number);
}

/** What watches say of it takes a while to come. */
export function isBulky(operation: Operation): boolean {
  switch (operation.kind) {
    case "put":
      return operation.request.value.length > BULKY_BYTES;
    case "deleteRange":
      return operation.request.key.startsWith(BULKY.key);
    case "txn":
      return operation.request.success.some(
        ({ request }) => request?.kind === "requestPut" && request.value.value.length > BULKY_BYTES,
      );
    default:
      return false;
  }
}

/**
 * What cannot be compared, because etcd ends at it or answers by the moment. Sequences that are replayed without some of
 * their operations must be held against it anew.
 */
export function isUnfair({ mixed, tainted, revision: now, compactRevision }: Knowledge, operation: Operation): boolean {
  if (operation.kind === "compact") {
    const { revision } = operation.request;
    // To 0 etcd compacts once, and then answers HashKV from a poisoned cache (C-1).
    return (revision === 0 && compactRevision === 0) || mixed.has(revision);
  }
  return operation.kind === "hashKv" && (tainted || mixed.has(operation.request.revision || now));
}

/** What a sequence is drawn with. */
export interface Drawing {
  readonly random: Random;
  readonly members: number;
  /** To come next, one after the other. */
  planned: ((knowledge: Knowledge) => Operation)[];
  /** Whether keys may be given leases whose ids the server chose: only where no hash is to come. */
  mayTaint: boolean;
}

export function drawNext(drawing: Drawing, knowledge: Knowledge): Operation {
  const { random, members } = drawing;
  if (drawing.planned.length === 0 && random.chance(0.005)) drawing.planned = planBulk(random, knowledge, members);
  const planned = drawing.planned.shift();
  const operation = planned === undefined ? drawAny(drawing, knowledge) : planned(knowledge);
  if (!isUnfair(knowledge, operation)) return operation;
  return { kind: "range", member: operation.member, request: drawRange(random, knowledge) };
}

/** The whole history is removed, and all members have the same store. */
export function ending({ revision }: Knowledge, members: number): readonly Operation[] {
  const put = PutRequest.create({ key: "a", value: Buffer.from("end") });
  const end = revision + 1;
  const hashes = Array.from({ length: members }, (_, member): Operation[] => [
    { kind: "hashKv", member, request: HashKVRequest.create({ revision: end }) },
    { kind: "hashKv", member, request: HashKVRequest.create() },
  ]);
  return [
    // A revision of its own, which certainly is not a mixed one.
    { kind: "put", member: 0, request: put },
    { kind: "compact", member: 0, request: CompactionRequest.create({ revision: end, physical: true }) },
    ...hashes.flat(),
  ];
}

/** What every sequence ends with: all watches have told everything and nothing more. */
export function lastWords(members: number): readonly Operation[] {
  return [
    ...Array.from({ length: STREAMS }, (_, stream): Operation => {
      return { kind: "watchProgress", member: stream % members, stream };
    }),
    { kind: "settle", member: 0 },
  ];
}

/**
 * Values that are so large that what watches say comes in fragments, if they want that (W-13), and requests that are too
 * large. Nothing else goes on meanwhile, and the values are gone in the end: a server that holds back what a stream does
 * not take at once tells it later, from history, and under another revision.
 */
function planBulk(random: Random, knowledge: Knowledge, members: number): Drawing["planned"] {
  const member = random.below(members);
  const before = knowledge.revision;
  const bytes = (size: number): Buffer => Buffer.alloc(size, random.between(97, 122));
  const watch = (startRevision: (revision: number) => number) => {
    const stream = random.below(FUTURE_STREAM);
    const [prevKv, fragment] = [random.chance(0.6), random.chance(0.8)];
    return ({ revision }: Knowledge): Operation => {
      const request = WatchCreateRequest.create({ ...BULKY, prevKv, fragment, startRevision: startRevision(revision) });
      return { kind: "watchCreate", member: stream % members, stream, request };
    };
  };
  const puts = (): Operation => {
    const success = Array.from({ length: random.between(1, 4) }, (_, i): RequestOp => {
      const value = bytes(random.between(100_000, 700_000));
      return { request: { kind: "requestPut", value: PutRequest.create({ key: `${BULKY.key}${i}`, value }) } };
    });
    return { kind: "txn", member, request: TxnRequest.create({ success }) };
  };
  const large = bytes(random.pick([1_572_000, 1_574_000, 2_096_000, 2_097_200, 3_000_000]));
  const parts: readonly (readonly [chance: number, part: (knowledge: Knowledge) => Operation])[] = [
    [0.7, watch(() => 0)],
    [1, puts],
    [0.7, puts],
    [0.3, () => ({ kind: "put", member, request: PutRequest.create({ key: `${BULKY.key}0`, value: large }) })],
    [0.6, puts],
    // Where all were refused, what was there before: a watch that begins in the future has no place on this stream.
    [0.7, watch((revision) => Math.min(before + 1, revision))],
    [0.3, () => ({ kind: "range", member, request: RangeRequest.create({ ...BULKY, sortTarget: 4, sortOrder: 2 }) })],
    [1, () => ({ kind: "deleteRange", member, request: DeleteRangeRequest.create({ ...BULKY, prevKv: true }) })],
  ];
  return parts.filter(([chance]) => random.chance(chance)).map(([, part]) => part);
}

function drawAny(drawing: Drawing, knowledge: Knowledge): Operation {
  const { random, members } = drawing;
  const member = random.below(members);
  const kind = random.weighted(WEIGHTS);
  switch (kind) {
    case "put":
      return { kind, member, request: drawPut(drawing, knowledge, true) };
    case "range":
      return { kind, member, request: drawRange(random, knowledge) };
    case "deleteRange":
      return { kind, member, request: drawDelete(random) };
    case "txn":
      return { kind, member, request: drawTxn(drawing, knowledge) };
    case "compact": {
      const revision = drawRevision(random, knowledge);
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
      const TTL = random.weighted<number>([
        [6, random.pick(LONG_TTL_SECONDS)],
        [3, random.pick(SHORT_TTL_SECONDS)],
        [1, random.pick(TOO_LONG_TTL_SECONDS)],
      ]);
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
      return { kind, member: stream % members, stream, request };
    }
    case "watchCancel": {
      const known = knowledge.watches.length > 0 && random.chance(0.8) ? random.pick(knowledge.watches) : undefined;
      const { stream, watchId } = known ?? { stream: random.below(STREAMS), watchId: BigInt(random.between(50, 60)) };
      return { kind, member: stream % members, stream, watchId };
    }
    case "watchProgress": {
      const stream = random.below(STREAMS);
      return { kind, member: stream % members, stream };
    }
    case "settle":
      return { kind, member: 0 };
    default:
      return unreachable(kind);
  }
}

function drawKey(random: Random): string {
  return random.weighted<string>([
    [1, ""],
    [80, random.pick(KEYS)],
    [19, random.pick(MORE_KEYS)],
  ]);
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
  // etcd 3.5 ignores what it does not know, later ones refuse it.
  const sortTarget = random.chance(0.5) ? 0 : random.between(0, 4);
  return RangeRequest.create({
    key,
    rangeEnd: drawRangeEnd(random, key),
    limit: random.chance(0.6) ? 0 : random.pick([1, 2, 3, 5, 11, 14, -1, -100, Number.MAX_SAFE_INTEGER]),
    revision: drawRevision(random, knowledge),
    sortOrder: random.chance(0.5) ? 0 : random.between(0, 2),
    sortTarget,
    serializable: random.chance(0.2),
    // Of more than a dozen that are sorted by values that are not told one does not see which of them are equal.
    keysOnly: sortTarget < 4 && random.chance(0.15),
    countOnly: random.chance(0.15),
    minModRevision: drawBound(random, knowledge),
    maxModRevision: drawBound(random, knowledge),
    minCreateRevision: drawBound(random, knowledge),
    maxCreateRevision: drawBound(random, knowledge),
  });
}

/** `mayKeep`: whether it may leave the value or the lease as they are. */
function drawPut(drawing: Drawing, knowledge: Knowledge, mayKeep: boolean): PutRequest {
  const { random, mayTaint } = drawing;
  const ignoreValue = mayKeep && random.chance(0.08);
  const ignoreLease = mayKeep && random.chance(0.08);
  const value = Buffer.from(random.chance(0.1) ? "" : `v${random.below(random.pick([20, 1_000]))}`);
  return PutRequest.create({
    key: drawKey(random),
    value: ignoreValue && random.chance(0.9) ? Buffer.alloc(0) : value,
    lease: random.chance(ignoreLease ? 0.1 : 0.25) ? drawKeyLease(random, knowledge, mayTaint) : 0n,
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
function drawKeyLease(random: Random, { leases }: Knowledge, mayTaint: boolean): bigint {
  const own = mayTaint ? leases : leases.filter((id) => id < CHOSEN_BY_SERVER);
  return own.length > 0 && random.chance(0.9) ? random.pick(own) : BigInt(random.between(1, 20));
}

const MAX_NESTING = 3;
/** Of compares, and of operations on all levels together (TX-10). */
const MAX_OPS = 128;

/** What the operations of a transaction are drawn with. */
interface TxnDrawing extends Drawing {
  /** etcd 3.5 panics when a txn deletes a key and then keeps its value or lease: one or the other. */
  readonly mayDelete: boolean;
}

function drawTxn(drawing: Drawing, knowledge: Knowledge): TxnRequest {
  const { random } = drawing;
  if (random.chance(0.04)) return random.chance(0.5) ? drawWideTxn(random) : drawDeepTxn(random);
  const inside: TxnDrawing = { ...drawing, mayDelete: random.chance(0.5) };
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
      () => drawOp(inside, knowledge, 0),
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

/** About as many operations or compares as a transaction may have, also with some in a nested one. */
function drawWideTxn(random: Random): TxnRequest {
  const range = (): RequestOp => {
    return { request: { kind: "requestRange", value: RangeRequest.create({ key: drawKey(random) || "a" }) } };
  };
  const ranges = (length: number): RequestOp[] => Array.from({ length }, range);
  const length = random.between(MAX_OPS - 2, MAX_OPS + 2);
  const where = random.pick(["compare", "success", "failure", "nested"] as const);
  if (where === "compare") {
    const one = Compare.create({ key: "a", target: 0, targetUnion: { kind: "version", value: 1 } });
    return TxnRequest.create({ compare: Array.from({ length }, () => one), success: ranges(1), failure: ranges(2) });
  }
  if (where !== "nested") return TxnRequest.create({ [where]: ranges(length) });
  const outer = random.pick([1, 2, 60, MAX_OPS - 2, MAX_OPS - 1]);
  const nested = TxnRequest.create({ success: ranges(Math.max(0, MAX_OPS - outer + random.between(-1, 1))) });
  return TxnRequest.create({ success: [...ranges(outer - 1), { request: { kind: "requestTxn", value: nested } }] });
}

/** One in the other, about as many as there may be. */
function drawDeepTxn(random: Random): TxnRequest {
  const depth = random.pick([random.between(4, 20), 60, random.between(MAX_OPS - 2, MAX_OPS + 1)]);
  const value = PutRequest.create({ key: drawKey(random), value: Buffer.from(`v${random.below(20)}`), prevKv: true });
  let inner = TxnRequest.create({ success: [{ request: { kind: "requestPut", value } }] });
  for (let i = 1; i < depth; i++) {
    inner = TxnRequest.create({ success: [{ request: { kind: "requestTxn", value: inner } }] });
  }
  return inner;
}

function drawOp(drawing: TxnDrawing, knowledge: Knowledge, depth: number): RequestOp {
  const { random, mayDelete } = drawing;
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
      return { request: { kind: "requestPut", value: drawPut(drawing, knowledge, !mayDelete) } };
    case "delete":
      return { request: { kind: "requestDeleteRange", value: drawDelete(random) } };
    case "txn":
      return { request: { kind: "requestTxn", value: nestedTxn(drawing, knowledge, depth + 1) } };
    case "nothing":
      return { request: undefined };
    default:
      return unreachable(kind);
  }
}

function nestedTxn(drawing: TxnDrawing, knowledge: Knowledge, depth: number): TxnRequest {
  const { random } = drawing;
  const ops = (): RequestOp[] => Array.from({ length: random.between(0, 2) }, () => drawOp(drawing, knowledge, depth));
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
      [0.5, [random.pick([2, 17, -1])]],
    ]),
    prevKv: random.chance(0.4),
    fragment: random.chance(0.2),
    // Every ten minutes: it must change nothing.
    progressNotify: random.chance(0.2),
    // With -1 etcd marks what it says to no watch.
    watchId: random.weighted<bigint>([
      [7, 0n],
      [3, BigInt(random.between(1, 8))],
      [0.4, BigInt(random.between(-4, -2))],
    ]),
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
  if (operation.kind === "put" && operation.request.lease >= CHOSEN_BY_SERVER) knowledge.tainted = true;
  if (operation.kind === "txn" && taints(operation.request)) knowledge.tainted = true;
  if (operation.kind === "txn" && mixes(operation.request)) knowledge.mixed.add(outcome.revision ?? 0);
  if (operation.kind === "compact") {
    knowledge.compactRevision = operation.request.revision;
    // Also a physical one: its answer waits for one member alone.
    knowledge.compacting = true;
  }
  // Which was waited for.
  if (operation.kind === "hashKv") knowledge.compacting = false;
  if (operation.kind === "leaseGrant" && !isShort(operation.request)) {
    const { ID } = operation.request;
    knowledge.leases.push(ID === 0n ? CHOSEN_BY_SERVER + BigInt(knowledge.granted++) : ID);
  }
}

function mixes(request: TxnRequest): boolean {
  const kinds = kindsOf(request);
  return kinds.includes("requestPut") && kinds.includes("requestDeleteRange");
}

function taints({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].some(({ request }) => {
    if (request?.kind === "requestPut") return request.value.lease >= CHOSEN_BY_SERVER;
    return request?.kind === "requestTxn" && taints(request.value);
  });
}

function kindsOf({ success, failure }: TxnRequest): readonly string[] {
  return [...success, ...failure].flatMap(({ request }) => {
    if (request === undefined) return [];
    return request.kind === "requestTxn" ? kindsOf(request.value) : [request.kind];
  });
}
