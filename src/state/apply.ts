import {
  AlarmType,
  CompactionResponse,
  EmptyResponse,
  type InternalRaftRequest,
  LeaseCheckpointResponse,
  LeaseGrantResponse,
  LeaseRevokeResponse,
  Member,
  type MemberAddResponse,
  type MemberPromoteResponse,
  type MemberRemoveResponse,
  type MemberUpdateResponse,
  ResponseHeader,
} from "../../proto/generated/etcdserverpb.ts";
import { assert, fail, unreachable } from "../../raft/assert.ts";
import {
  type ConfChange,
  type ConfState,
  ENTRY_CONF_CHANGE,
  ENTRY_NORMAL,
  type Entry,
  type NodeId,
} from "../../raft/types.ts";
import type { Backend } from "../../storage/backend.ts";
import type { KeyEvent, Mvcc } from "../../storage/mvcc/mvcc.ts";
import { CONF_STATE, encodeUint64, TERM } from "../../storage/schema.ts";
import { confStateJson } from "../../storage/stored-json.ts";
import { ApiError, errors } from "../api/errors.ts";
import type { AlarmList } from "./alarms.ts";
import { AnswerBytes, answerTooLarge } from "./answer.ts";
import type { ClusterState, MemberChange } from "./cluster.ts";
import { txnCostBytes } from "./cost.ts";
import { decodeCommand, decodeConfChange, type EntryCommand } from "./entry.ts";
import { applyDeleteRange, applyPut, type Keyspace, type Outcome } from "./kv.ts";
import type { Lessor } from "./lessor.ts";
import type { Applied, ApplyResult, LeaseFact, StateMachine } from "./machine.ts";
import { rangeResponse } from "./range.ts";
import { applyTxn } from "./txn.ts";

export interface Parts {
  readonly backend: Backend;
  readonly mvcc: Mvcc;
  readonly lessor: Lessor;
  readonly cluster: ClusterState;
  readonly alarms: AlarmList;
}

export interface AppliedPoint {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

/** What one entry came to; `Applied` without what is the same for every entry. */
interface Effect {
  readonly result: ApplyResult;
  readonly events: readonly KeyEvent[];
  readonly leases: readonly LeaseFact[];
}

const NO_EVENTS: readonly KeyEvent[] = [];
const NO_LEASES: readonly LeaseFact[] = [];
const NONE: ApplyResult = { kind: "none" };
const NO_CHANGE: ConfChange = { kind: "none" };

/** Dispatches entries to the parts of the state. Nothing that an entry holds makes it throw; see entry.ts for the forms. */
export class Machine implements StateMachine {
  readonly #backend: Backend;
  readonly mvcc: Mvcc;
  readonly leases: Lessor;
  readonly cluster: ClusterState;
  readonly alarms: AlarmList;
  readonly #keyspace: Keyspace;
  #point: AppliedPoint;

  constructor(parts: Parts, point: AppliedPoint) {
    this.#backend = parts.backend;
    this.mvcc = parts.mvcc;
    this.leases = parts.lessor;
    this.cluster = parts.cluster;
    this.alarms = parts.alarms;
    this.#keyspace = { mvcc: parts.mvcc, lessor: parts.lessor };
    this.#point = point;
  }

  get appliedIndex(): number {
    return this.#point.index;
  }

  get appliedTerm(): number {
    return this.#point.term;
  }

  get confState(): ConfState {
    return this.#point.confState;
  }

  /**
   * An entry at or below appliedIndex has no effect: raft restarts from there and hands none out, but a driver that
   * replays more than it must does no harm. A gap would: entries come one after the other.
   */
  apply(entry: Entry, wanted: (requestId: bigint) => boolean): Applied {
    if (entry.index <= this.#point.index) return this.#replayed(entry);
    if (entry.index !== this.#point.index + 1) {
      fail(`entry ${entry.index} was applied on top of entry ${this.#point.index}`);
    }
    const applied = entry.type === ENTRY_NORMAL ? this.#applyNormal(entry, wanted) : this.#applyConf(entry, wanted);
    const { term, confState } = this.#point;
    this.#point = { index: entry.index, term: entry.term, confState };
    this.#backend.putAppliedIndex(entry.index);
    if (entry.term !== term) this.#backend.put("meta", TERM, encodeUint64(entry.term));
    return applied;
  }

  #replayed({ index, type }: Entry): Applied {
    return {
      index,
      requestId: 0n,
      result: NONE,
      revision: this.mvcc.currentRevision,
      events: NO_EVENTS,
      confChange: type === ENTRY_NORMAL ? undefined : NO_CHANGE,
      leaderEntry: false,
      leases: NO_LEASES,
    };
  }

  #applyNormal({ index, data }: Entry, wanted: (requestId: bigint) => boolean): Applied {
    const command = decodeCommand(data);
    const requestId = command.kind === "empty" ? 0n : command.requestId;
    const { result, events, leases } = this.#execute(command, wanted(requestId));
    return {
      index,
      requestId,
      result,
      revision: this.mvcc.currentRevision,
      events,
      confChange: undefined,
      leaderEntry: command.kind === "empty",
      leases,
    };
  }

  #execute(command: EntryCommand, wanted: boolean): Effect {
    switch (command.kind) {
      case "empty":
        return effect(NONE);
      case "command":
        return this.#dispatch(command.request, wanted);
      case "version":
        return ofCluster(this.cluster.setVersion(command.version), wanted);
      case "attributes":
        return ofCluster(this.cluster.setAttributes(command.member, command.name, command.clientURLs), wanted);
      case "malformed":
        return failed(errors.malformedEntry);
      default:
        return unreachable(command);
    }
  }

  /** The first payload counts, in etcd's order, should a request have several. */
  #dispatch(request: InternalRaftRequest, wanted: boolean): Effect {
    const { cluster } = this;
    if (request.clusterVersionSet !== undefined) {
      return ofCluster(cluster.setVersion(request.clusterVersionSet.ver), wanted);
    }
    if (request.clusterMemberAttrSet !== undefined) {
      const { memberID, memberAttributes } = request.clusterMemberAttrSet;
      const { name, clientUrls } = memberAttributes ?? { name: "", clientUrls: [] };
      return ofCluster(cluster.setAttributes(memberID, name, clientUrls), wanted);
    }
    if (request.downgradeInfoSet !== undefined) {
      const { enabled, ver } = request.downgradeInfoSet;
      return ofCluster(cluster.setDowngrade(enabled, ver), wanted);
    }
    if (request.downgradeVersionTest !== undefined) return ofCluster(undefined, wanted);

    const refusal = this.#alarmRefusal(request);
    if (refusal !== undefined) return failed(refusal);
    const keyspace = this.#keyspace;
    const answer = wanted ? new AnswerBytes() : undefined;
    if (request.range !== undefined) {
      const found = answer && rangeResponse(this.mvcc, request.range, this.mvcc.currentRevision, answer);
      if (found === undefined) return effect(NONE);
      return found.kind === "error" ? failed(found.error) : effect(answered(found.response, answer));
    }
    if (request.put !== undefined) return ofOutcome(applyPut(keyspace, request.put, answer), answer);
    if (request.deleteRange !== undefined) {
      return ofOutcome(applyDeleteRange(keyspace, request.deleteRange, answer), answer);
    }
    if (request.txn !== undefined) return ofOutcome(applyTxn(keyspace, request.txn, answer), answer);
    if (request.compaction !== undefined) return this.#compact(request.compaction.revision, wanted);
    if (request.leaseGrant !== undefined) {
      return this.#grant(request.leaseGrant.ID, request.leaseGrant.TTL, wanted);
    }
    if (request.leaseRevoke !== undefined) return this.#revoke(request.leaseRevoke.ID, wanted);
    if (request.leaseCheckpoint !== undefined) return this.#checkpoint(request.leaseCheckpoint.checkpoints, wanted);
    if (request.alarm !== undefined) {
      const outcome = this.alarms.apply(request.alarm);
      return outcome instanceof ApiError ? failed(outcome) : done({ ...outcome, header: this.#header() }, wanted);
    }
    return failed(errors.unsupportedCommand);
  }

  /** N-11, N-13: what an alarm forbids. CORRUPT hides NOSPACE. */
  #alarmRefusal(request: InternalRaftRequest): ApiError | undefined {
    const { put, txn, leaseGrant } = request;
    if (this.alarms.isActive(AlarmType.CORRUPT)) {
      const touchesKeys =
        request.range ?? put ?? request.deleteRange ?? txn ?? request.compaction ?? leaseGrant ?? request.leaseRevoke;
      return touchesKeys && errors.corrupt;
    }
    if (this.alarms.isActive(AlarmType.NOSPACE)) {
      if (put !== undefined || leaseGrant !== undefined) return errors.noSpace;
      if (txn !== undefined && txnCostBytes(txn) > 0) return errors.noSpace;
    }
    return undefined;
  }

  /** C-1. */
  #compact(revision: number, wanted: boolean): Effect {
    if (revision <= this.mvcc.compactRevision) return failed(errors.compacted);
    if (revision > this.mvcc.currentRevision) return failed(errors.futureRevision);
    this.mvcc.compact(revision);
    return done(CompactionResponse.create({ header: this.#header() }), wanted);
  }

  #grant(id: bigint, ttlSeconds: number, wanted: boolean): Effect {
    const refusal = this.leases.refusal(id, ttlSeconds);
    if (refusal !== undefined) return failed(refusal);
    const lease = this.leases.grant(id, ttlSeconds);
    const response = LeaseGrantResponse.create({ header: this.#header(), ID: id, TTL: lease.ttlSeconds });
    return {
      ...done(response, wanted),
      leases: [{ kind: "granted", id, ttlSeconds: lease.ttlSeconds }],
    };
  }

  /** L-3: one revision for all keys, in the order of the keys. */
  #revoke(id: bigint, wanted: boolean): Effect {
    const lease = this.leases.get(id);
    if (lease === undefined) return failed(errors.leaseNotFound);
    const keys = [...lease.keys].sort();
    this.mvcc.beginChange();
    for (const key of keys) {
      const deleted = this.mvcc.deleteRange(key, "");
      assert(deleted.length === 1, `lease ${id} held the key ${JSON.stringify(key)}, which is not there`);
      this.leases.detach(key);
    }
    this.leases.remove(id);
    const { events } = this.mvcc.endChange();
    const response = LeaseRevokeResponse.create({ header: this.#header() });
    return { ...done(response, wanted), events, leases: [{ kind: "revoked", id }] };
  }

  /** L-10: leases that are gone by now are passed over. */
  #checkpoint(checkpoints: readonly { readonly ID: bigint; readonly remainingTTL: number }[], wanted: boolean): Effect {
    const persist = this.cluster.isAtLeast(3, 6);
    const facts: LeaseFact[] = [];
    for (const { ID: id, remainingTTL: remainingSeconds } of checkpoints) {
      if (!this.leases.checkpoint(id, remainingSeconds, persist)) continue;
      facts.push({ kind: "checkpointed", id, remainingSeconds });
    }
    const response = LeaseCheckpointResponse.create({ header: this.#header() });
    return { ...done(response, wanted), leases: facts };
  }

  #header(): ResponseHeader {
    return ResponseHeader.create({ revision: this.mvcc.currentRevision });
  }

  /** P-24: an invalid change is no change, to raft as well; its proposer hears why. */
  #applyConf({ index, type, data }: Entry, wanted: (requestId: bigint) => boolean): Applied {
    const change = type === ENTRY_CONF_CHANGE ? decodeConfChange(data) : undefined;
    const plan = change && this.cluster.plan(change);
    let confChange: ConfChange = NO_CHANGE;
    let result: ApplyResult = { kind: "error", error: errors.malformedEntry };
    if (plan?.kind === "error") {
      result = plan;
    } else if (plan?.kind === "valid") {
      this.cluster.perform(plan.change);
      confChange = raftChange(plan.change);
      const confState = nextConfState(this.#point.confState, confChange);
      this.#point = { ...this.#point, confState };
      this.#backend.put("meta", CONF_STATE, Buffer.from(confStateJson(confState)));
      result = wanted(change?.id ?? 0n) ? { kind: "response", response: this.#memberResponse(plan.change) } : NONE;
    }
    return {
      index,
      requestId: change?.id ?? 0n,
      result,
      revision: this.mvcc.currentRevision,
      events: NO_EVENTS,
      confChange,
      leaderEntry: false,
      leases: NO_LEASES,
    };
  }

  /** H-3: without a revision. M-2: all members after the change. */
  #memberResponse(
    change: MemberChange,
  ): MemberAddResponse | MemberPromoteResponse | MemberUpdateResponse | MemberRemoveResponse {
    const header = ResponseHeader.create();
    const members = this.cluster.members().map(({ id, ...member }) => Member.create({ ID: id, ...member }));
    switch (change.kind) {
      case "add":
        return { header, member: members.find(({ ID }) => ID === change.member.id), members };
      case "promote":
      case "update":
      case "remove":
        return { header, members };
      default:
        return unreachable(change);
    }
  }
}

function effect(result: ApplyResult): Effect {
  return { result, events: NO_EVENTS, leases: NO_LEASES };
}

function failed(error: ApiError): Effect {
  return effect({ kind: "error", error });
}

function done(response: unknown, wanted: boolean): Effect {
  return effect(wanted ? { kind: "response", response } : NONE);
}

function ofCluster(error: ApiError | undefined, wanted: boolean): Effect {
  return error === undefined ? done(EmptyResponse.create(), wanted) : failed(error);
}

function ofOutcome<Response>(outcome: Outcome<Response>, answer: AnswerBytes | undefined): Effect {
  if (outcome.kind === "error") return failed(outcome.error);
  return { result: answered(outcome.response, answer), events: outcome.events, leases: NO_LEASES };
}

function answered(response: unknown, answer: AnswerBytes | undefined): ApplyResult {
  if (answer?.isTooLarge) return { kind: "error", error: answerTooLarge };
  return response === undefined ? NONE : { kind: "response", response };
}

function raftChange(change: MemberChange): ConfChange {
  switch (change.kind) {
    case "add":
      return { kind: change.member.isLearner ? "addLearner" : "addVoter", node: change.member.id };
    case "promote":
      return { kind: "addVoter", node: change.id };
    case "remove":
      return { kind: "remove", node: change.id };
    case "update":
      return NO_CHANGE;
    default:
      return unreachable(change);
  }
}

function nextConfState({ voters, learners }: ConfState, change: ConfChange): ConfState {
  switch (change.kind) {
    case "none":
      return { voters, learners };
    case "addVoter":
      return { voters: withNode(voters, change.node), learners: withoutNode(learners, change.node) };
    case "addLearner":
      return { voters: withoutNode(voters, change.node), learners: withNode(learners, change.node) };
    case "remove":
      return { voters: withoutNode(voters, change.node), learners: withoutNode(learners, change.node) };
    default:
      return unreachable(change);
  }
}

function withNode(nodes: readonly NodeId[], node: NodeId): readonly NodeId[] {
  return [...withoutNode(nodes, node), node].sort((a, b) => (a < b ? -1 : 1));
}

function withoutNode(nodes: readonly NodeId[], node: NodeId): readonly NodeId[] {
  return nodes.filter((other) => other !== node);
}
