import { encode } from "../../proto/codec.ts";
import {
  AlarmRequest,
  CompactionRequest,
  Compare,
  DeleteRangeRequest,
  InternalRaftRequest,
  LeaseCheckpointRequest,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  PutRequest,
  RangeRequest,
  RequestHeader,
  type RequestOp,
  TxnRequest,
} from "../../proto/generated/etcdserverpb.ts";
import { ConfChange } from "../../proto/generated/raftpb.ts";
import { ENTRY_CONF_CHANGE, ENTRY_NORMAL, type Entry } from "../../raft/types.ts";
import type { Command } from "../../src/state/machine.ts";
import type { Random } from "../storage/random.ts";

/** Few keys, so that everything meets. One of them empty: validation forbids it, the log may hold it. */
const KEYS = ["a", "b", "c", "aa", "ab", "\0", "\xff", ""];
const ENDS = ["", "", "\0", "b", "c", "ab", "\xff", "a\0"];
const VALUES = ["", "1", "22", "x".repeat(300)];

export function drawRange(random: Random, revision: number): RangeRequest {
  const bound = () => (random.chance(0.15) ? random.below(revision + 2) : 0);
  return RangeRequest.create({
    key: random.pick(KEYS),
    rangeEnd: random.pick(ENDS),
    limit: random.chance(0.4) ? random.below(4) - 1 : 0,
    revision: random.chance(0.3) ? random.below(revision + 3) - 1 : 0,
    sortOrder: random.chance(0.4) ? random.below(4) : 0,
    sortTarget: random.chance(0.4) ? random.below(6) : 0,
    keysOnly: random.chance(0.1),
    countOnly: random.chance(0.1),
    minModRevision: bound(),
    maxModRevision: bound(),
    minCreateRevision: bound(),
    maxCreateRevision: bound(),
  });
}

export function drawPut(random: Random): PutRequest {
  const ignoreValue = random.chance(0.15);
  const ignoreLease = random.chance(0.15);
  return PutRequest.create({
    key: random.pick(KEYS),
    value: ignoreValue ? Buffer.alloc(0) : Buffer.from(random.pick(VALUES)),
    lease: !ignoreLease && random.chance(0.3) ? BigInt(random.below(5)) : 0n,
    prevKv: random.chance(0.3),
    ignoreValue,
    ignoreLease,
  });
}

export function drawDeleteRange(random: Random): DeleteRangeRequest {
  return DeleteRangeRequest.create({
    key: random.pick(KEYS),
    rangeEnd: random.pick(ENDS),
    prevKv: random.chance(0.3),
  });
}

function drawCompare(random: Random, revision: number): Compare {
  const number = random.chance(0.6) ? random.below(3) : random.below(revision + 2);
  const union: Compare["targetUnion"] = random.pick([
    undefined,
    { kind: "version", value: number },
    { kind: "createRevision", value: number },
    { kind: "modRevision", value: number },
    { kind: "value", value: Buffer.from(random.pick(VALUES)) },
    { kind: "lease", value: BigInt(random.below(4)) },
  ] as const);
  return Compare.create({
    key: random.pick(KEYS),
    rangeEnd: random.chance(0.4) ? random.pick(ENDS) : "",
    target: random.below(6),
    result: random.below(5),
    targetUnion: union,
  });
}

export function drawTxn(random: Random, revision: number, depth = 0): TxnRequest {
  const ops = () => Array.from({ length: random.below(depth === 0 ? 5 : 3) }, () => drawOp(random, revision, depth));
  return TxnRequest.create({
    compare: Array.from({ length: random.below(3) }, () => drawCompare(random, revision)),
    success: ops(),
    failure: ops(),
  });
}

function drawOp(random: Random, revision: number, depth: number): RequestOp {
  const draw = random.below(20);
  if (draw < 5) return { request: { kind: "requestRange", value: drawRange(random, revision) } };
  if (draw < 12) return { request: { kind: "requestPut", value: drawPut(random) } };
  if (draw < 15) return { request: { kind: "requestDeleteRange", value: drawDeleteRange(random) } };
  if (draw < 19 && depth < 3) return { request: { kind: "requestTxn", value: drawTxn(random, revision, depth + 1) } };
  return { request: undefined };
}

export function drawKvCommand(random: Random, revision: number): Command {
  const draw = random.below(10);
  if (draw < 3) return { put: drawPut(random) };
  if (draw < 5) return { deleteRange: drawDeleteRange(random) };
  if (draw < 6) return { range: drawRange(random, revision) };
  return { txn: drawTxn(random, revision) };
}

function drawCommand(random: Random, revision: number): Command {
  const draw = random.below(40);
  if (draw < 26) return drawKvCommand(random, revision);
  const ID = BigInt(random.below(6));
  if (draw < 29) return { leaseGrant: LeaseGrantRequest.create({ ID, TTL: random.below(100) - 5 }) };
  if (draw < 31) return { leaseRevoke: LeaseRevokeRequest.create({ ID }) };
  if (draw < 32) {
    const checkpoints = [{ ID, remainingTTL: random.below(50) }];
    return { leaseCheckpoint: LeaseCheckpointRequest.create({ checkpoints }) };
  }
  if (draw < 34) {
    return { compaction: CompactionRequest.create({ revision: Math.max(0, revision - random.below(6) + 1) }) };
  }
  if (draw < 35) {
    // Mostly off again at once, or nothing else would happen.
    const action = random.chance(0.2) ? 1 : 2;
    return { alarm: AlarmRequest.create({ action, memberID: 1n, alarm: 1 + random.below(2) }) };
  }
  if (draw < 36) return { clusterVersionSet: { ver: `3.${4 + random.below(4)}.0` } };
  if (draw < 38) {
    const memberAttributes = { name: `n${random.below(9)}`, clientUrls: ["http://c:1"] };
    return { clusterMemberAttrSet: { memberID: BigInt(1 + random.below(6)), memberAttributes } };
  }
  if (draw < 39) return { downgradeInfoSet: { enabled: random.chance(0.5), ver: "3.5.0" } };
  return {};
}

function drawConfChange(random: Random): ConfChange {
  const nodeId = BigInt(1 + random.below(8));
  const type = random.below(4);
  const more = (type === 3 ? ',"isLearner":true' : "") + (random.chance(0.3) ? ',"isPromote":true' : "");
  const context = Buffer.from(`{"id":${nodeId},"peerURLs":["http://m${random.below(12)}:1"]${more}}`);
  return ConfChange.create({ type, nodeId, id: BigInt(random.below(1000)), context });
}

/** Any entry that could be in a log: commands, membership changes, leaders' first, and rubbish. */
export function drawEntry(random: Random, index: number, revision: number): Entry {
  const term = 1 + Math.floor(index / 50);
  const draw = random.below(20);
  if (draw === 0) return { index, term, type: ENTRY_NORMAL, data: Buffer.alloc(0) };
  if (draw < 3) return { index, term, type: ENTRY_CONF_CHANGE, data: encode(ConfChange, drawConfChange(random)) };
  const header = RequestHeader.create({ ID: BigInt(index) });
  const command = { ...drawCommand(random, revision), header };
  const data = encode(InternalRaftRequest, InternalRaftRequest.create(command));
  if (draw === 3) mutate(random, data);
  return { index, term, type: ENTRY_NORMAL, data };
}

export function mutate(random: Random, data: Buffer): void {
  for (let i = 1 + random.below(3); i > 0 && data.length > 0; i--) data[random.below(data.length)] = random.below(256);
}
