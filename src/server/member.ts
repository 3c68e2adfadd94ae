import { decode } from "../../proto/codec.ts";
import { ResponseHeader } from "../../proto/generated/etcdserverpb.ts";
import * as raftpb from "../../proto/generated/raftpb.ts";
import { unreachable } from "../../raft/assert.ts";
import { commitIndex, createRaft, status as raftStatus, unapplied } from "../../raft/raft.ts";
import type { ConfChange, Entry, Input, Message, NodeId, SoftState } from "../../raft/types.ts";
import type { Backend } from "../../storage/backend.ts";
import type { Disk } from "../../storage/disk.ts";
import { mvccValues } from "../../storage/mvcc-values.ts";
import { hashCompaction, hashKv, hashStore } from "../../storage/mvcc-walk.ts";
import { type ApiError, errors } from "../api/errors.ts";
import { type Config, limits, requestTimeoutMs } from "../config.ts";
import type { Env } from "../env.ts";
import type { Logger } from "../log.ts";
import {
  type PeerCallbacks,
  type PeerHttpHandler,
  type PeerIdentity,
  type PeerTransport,
  SnapshotRefusedError,
} from "../peer/transport.ts";
import { costBytes } from "../state/cost.ts";
import type { Applied, Command } from "../state/machine.ts";
import { ETCD_API_VERSION } from "../version.ts";
import { createWatchHub } from "../watch/watch-hub.ts";
import { Admission } from "./admission.ts";
import type { Booted } from "./bootstrap.ts";
import { type CallLimits, limitsOf, PATIENT } from "./call-limits.ts";
import { ClusterVersion } from "./cluster-version.ts";
import { Compactor } from "./compactor.ts";
import { Databases } from "./databases.ts";
import { Departure } from "./departure.ts";
import { downgrade } from "./downgrade.ts";
import { advanceFirstElection } from "./first-election.ts";
import { FormerLife } from "./former-life.ts";
import { hexId } from "./ids.ts";
import { refuseSecondLife } from "./join.ts";
import { KvHashes } from "./kv-hashes.ts";
import { Leadership } from "./leadership.ts";
import { LeaseClock } from "./lease-clock.ts";
import { LeaseDesk } from "./lease-desk.ts";
import { Membership } from "./membership.ts";
import { Node } from "./node.ts";
import { createPeerRoutes } from "./peer-routes.ts";
import { Proposals } from "./proposals.ts";
import { publish } from "./publishing.ts";
import { Reads } from "./reads.ts";
import type { Server, ServerStatus } from "./server.ts";
import { createSnapshots, type Snapshots } from "./snapshots.ts";
import { type OpenHeader, Submission, type SubmissionDeps } from "./submission.ts";
import { createUpkeep } from "./upkeep.ts";
import { promised, type Waiter } from "./waiter.ts";
import { watchLimits } from "./watch-limits.ts";

export interface MemberDeps {
  readonly env: Env;
  readonly log: Logger;
  /** Where received snapshots go, and how a state store is made of one. Its failures are not this member's end. */
  readonly disk: Disk;
  readonly openBackend: (path: string) => Promise<Backend>;
  readonly createTransport: (identity: PeerIdentity, callbacks: PeerCallbacks) => Promise<PeerTransport>;
  /** The member cannot go on: the process must end, as a failure. */
  readonly onFatal: (error: unknown) => void;
  /** The member was removed from the cluster: it is to be stopped, and is to end without one. Called once. */
  readonly onRemoved: () => void;
  /**
   * A snapshot from the leader took the place of log and state: the member is to be stopped and started again from its
   * disk, at once. Called once.
   */
  readonly onReplaced: () => void;
}

export interface Member {
  readonly server: Server;
  /** Resolves when this member has published itself and the cluster version is known (B-5): clients may come. */
  readonly ready: Promise<void>;
  /** First half of a stop: another member leads, if one can; calls are still served. */
  handOver(): Promise<void>;
  /** Second half: every waiting caller is answered, everything is on disk, nothing runs any more. */
  stop(): Promise<void>;
}

/** Joins node, state machine, reads, leases, watch and peers into one running member. */
export async function startMember(config: Config, booted: Booted, deps: MemberDeps): Promise<Member> {
  const { env, log } = deps;
  const { machine, backend, memberId, clusterId } = booted;
  const { mvcc } = machine;
  const timeoutMs = requestTimeoutMs(config);
  const electionTicks = Math.floor(config.electionMs / config.heartbeatMs);
  const leaderCallbacks = new Set<(state: SoftState) => void>();
  let stopping = false;

  const fatal = deps.onFatal;

  const raft = createRaft(
    {
      id: memberId,
      electionTicks,
      heartbeatTicks: 1,
      preVote: config.preVote,
      checkQuorum: true,
      maxMessageBytes: limits.raftMessageBytes,
      maxInflight: limits.raftInflight,
      maxInflightBytes: limits.raftInflightBytes,
      maxCommittedBytes: limits.raftCommittedBytes,
      maxUncommittedBytes: limits.raftUncommittedBytes,
      random: (n) => env.random(n),
    },
    booted.restored,
  );

  const proposals = new Proposals(
    env,
    { memberId, maxRequestBytes: config.maxRequestBytes, requestTimeoutMs: timeoutMs },
    () => node.wake(),
  );
  const reads = new Reads(
    env,
    timeoutMs,
    (id) => node.enqueue({ kind: "readIndex", id }),
    () => machine.appliedIndex,
  );

  let catchingUp = false;
  const catchUpWatchers = (): void => {
    if (catchingUp || stopping) return;
    catchingUp = true;
    env.nextTurn(() => {
      catchingUp = false;
      try {
        if (!stopping && hub.catchUp()) catchUpWatchers();
      } catch (error) {
        fatal(error);
      }
    });
  };
  const hub = createWatchHub(mvcc, watchLimits(config.maxRequestBytes), catchUpWatchers);

  /** What the callers of one round and term share. */
  let confirming:
    | { readonly round: Promise<void>; readonly term: number; readonly confirmed: Promise<void> }
    | undefined;
  const confirmLeadership = (): Promise<void> => {
    const { role, term } = node.softState;
    if (role !== "leader") return Promise.reject(errors.notLeader);
    const round = reads.sharedBarrier();
    if (confirming?.round !== round || confirming.term !== term) {
      const confirmed = round.then(() => {
        if (node.softState.role !== "leader" || node.softState.term !== term) throw errors.notLeader;
      });
      confirming = { round, term, confirmed };
    }
    return confirming.confirmed;
  };

  const complete = (header: OpenHeader): void => {
    header.clusterId = clusterId;
    header.memberId = memberId;
    header.raftTerm = machine.appliedTerm;
  };
  const header = (revision: number): ResponseHeader => {
    const made = ResponseHeader.create({ revision });
    complete(made);
    return made;
  };

  const submissions: SubmissionDeps = { acceptance: (costs) => upkeep.acceptance(costs), complete };
  const submit = (command: Command, callLimits: CallLimits, waiter: Waiter<unknown>, leaderTerm = 0): void => {
    if (commitIndex(raft) > machine.appliedIndex + limits.backlogEntries) throw errors.tooManyRequests;
    const costs = costBytes(command);
    const submission = new Submission(submissions, costs, waiter);
    const admission = upkeep.admission(costs);
    if (admission === undefined) {
      proposals.propose(command, callLimits, submission, leaderTerm);
      return;
    }
    withLimits(env, admission, callLimits)
      .then(() => proposals.propose(command, callLimits, submission, leaderTerm))
      .catch((error: unknown) => waiter.fail(error));
  };
  const propose = (command: Command, callLimits: CallLimits, leaderTerm = 0): Promise<unknown> =>
    promised((waiter) => submit(command, callLimits, waiter, leaderTerm));

  const clock = new LeaseClock({
    env,
    leases: machine.leases,
    electionMs: config.electionMs,
    confirmLeadership,
    revoke: async (ID, term) => {
      await propose({ leaseRevoke: { ID } }, PATIENT, term);
    },
    dropCheckpoint: async (ID, term) => {
      await propose({ leaseCheckpoint: { checkpoints: [{ ID, remainingTTL: 0 }] } }, PATIENT, term);
    },
    onRevokeFailed: (id, error) =>
      log.warn(
        { "lease-id": hexId(BigInt.asUintN(64, id)), error: String(error) },
        "failed to revoke an expired lease",
      ),
  });

  const hashes = new KvHashes({
    mvcc,
    verify: (signal) => backend.verify(signal),
    hash: (revision, compactRevision, signal) => hashKv(backend, mvcc, revision, compactRevision, signal),
    hashCompaction: (target, previous, signal) => hashCompaction(backend, mvcc, target, previous, signal),
    hashStore: async (signal) => {
      const rows = backend.snapshot();
      return await hashStore(rows, signal).finally(() => rows.close());
    },
  });
  const databases = new Databases(backend);
  const compactor = new Compactor({
    env,
    mvcc,
    batchKeys: config.compactionBatchKeys,
    pauseMs: config.compactionPauseMs,
    storeHash: (target, previous) => hashes.store(target, previous),
    onStaged: () => node.staged(),
    onFinished: (revision, ms) => {
      log.info({ "compact-revision": revision, took: `${Math.round(ms)}ms` }, "finished scheduled compaction");
      upkeep.storeCare.consider();
    },
    onFatal: fatal,
  });

  // Peers can come as soon as the transport listens, which is before there is a node: what they say then is lost, as
  // messages may be, and what they ask is answered "not yet".
  let inbox = (_input: Input): void => undefined;
  let receiveSnapshot: Snapshots["receive"] = () =>
    Promise.reject(new SnapshotRefusedError(503, "the member is starting"));
  let routes: PeerHttpHandler = () => Promise.resolve({ status: 503, body: "the member is starting\n" });
  const formerLife = new FormerLife({
    env,
    log,
    transport: () => transport,
    electionMs: config.electionMs,
    isFounding: booted.isFounding,
    peers: booted.isFounding ? founders(booted).filter((id) => id !== memberId) : [],
    check: (members) => refuseSecondLife(config, members, memberId),
    onRefused: fatal,
  });
  const admission = new Admission(memberId, machine, booted.ahead);
  const callbacks: PeerCallbacks = {
    onMessage: (message) => {
      if (admission.admits(message.from) && formerLife.admits(message.from)) inbox({ kind: "message", message });
    },
    onUnreachable: (id) => inbox({ kind: "unreachable", node: id }),
    onGone: (id) => inbox({ kind: "gone", node: id }),
    onSnapshot: async (message, file) => {
      if (!admission.admits(message.from)) throw new SnapshotRefusedError(404, "error sender not found");
      // It takes the place of a log that must not be replaced before it is known to be this member's (former-life.ts).
      if (!formerLife.admits(message.from))
        throw new SnapshotRefusedError(503, "this member does not know yet who it is");
      await receiveSnapshot(message, file);
    },
    onRemoved: () => departure.leave("refused"),
    isRemoved: (id) => admission.isRemoved(id),
    handle: (method, path, body, headers) => routes(method, path, body, headers),
  };
  const identity: PeerIdentity = {
    memberId,
    clusterId,
    serverVersion: ETCD_API_VERSION,
    peerUrls: config.advertisePeerUrls,
  };
  const transport = await deps.createTransport(identity, callbacks);

  const clusterVersion = new ClusterVersion({
    env,
    log,
    memberId,
    serverVersion: ETCD_API_VERSION,
    cluster: machine.cluster,
    transport,
    pollMs: limits.versionPollMs,
    propose: (command) => propose(command, PATIENT),
  });
  const upkeep = createUpkeep({
    config,
    env,
    log,
    memberId,
    machine,
    backend,
    hashes,
    transport,
    isLeader: () => node.softState.role === "leader",
    removed: () => compactor.finished(),
    flushed: () => node.flushed(),
    pendingBytes: () => proposals.bytes,
    propose: (command) => propose(command, PATIENT),
    requestTimeoutMs: timeoutMs,
  });
  const leadership = new Leadership({
    env,
    log,
    memberId,
    raft,
    transport,
    softState: () => node.softState,
    enqueue: (input) => node.enqueue(input),
    electionMs: config.electionMs,
  });
  const membership = new Membership({
    env,
    memberId,
    cluster: machine.cluster,
    raft,
    transport,
    softState: () => node.softState,
    appliedIndex: () => machine.appliedIndex,
    leadership,
    propose: (change, callLimits) => promised((waiter) => proposals.proposeConfChange(change, callLimits, waiter)),
    strict: config.strictReconfigCheck,
    requestTimeoutMs: timeoutMs,
  });
  const leaseDesk = new LeaseDesk({
    env,
    clock,
    leases: machine.leases,
    transport,
    softState: () => node.softState,
    confirmLeadership,
    commitIndex: () => commitIndex(raft),
    appliedIndex: () => machine.appliedIndex,
    requestTimeoutMs: timeoutMs,
  });
  routes = createPeerRoutes({
    clusterId,
    cluster: machine.cluster,
    unapplied: () => unapplied(raft),
    leases: leaseDesk,
    promote: (id) => membership.promoteHere(id, limitsOf(PATIENT.signal, env.now() + timeoutMs)),
    readBarrier: () => reads.barrier(PATIENT),
    hashKv: (revision, isFresh) => hashes.ask(revision, isFresh),
    currentRevision: () => mvcc.currentRevision,
    versions: () => ({
      server: ETCD_API_VERSION,
      cluster: machine.cluster.version ?? "not_decided",
      storage: storageVersion(machine.cluster.version),
    }),
  });

  /**
   * The members as applied. While a joining member has not applied its own addition these are those of long ago; whom
   * it was told of when it asked to join are the ones to talk to.
   */
  const setPeers = (): void => {
    const { cluster } = machine;
    const told = isMember() ? [] : booted.joined.filter(({ id }) => !cluster.isRemoved(id));
    const peers = new Map([...cluster.members(), ...told].map(({ id, peerURLs }) => [id, { id, urls: peerURLs }]));
    peers.delete(memberId);
    transport.setPeers([...peers.values()]);
  };

  const isMember = (): boolean => machine.cluster.member(memberId) !== undefined;

  const turnCallersAway = (): void => {
    proposals.stop();
    reads.stop();
  };
  const departure = new Departure({
    env,
    electionMs: config.electionMs,
    isStopping: () => stopping,
    turnCallersAway,
    onGone: deps.onRemoved,
  });

  const membershipChanged = (change: ConfChange): void => {
    setPeers();
    if (change.kind === "none") return;
    const peer = { "local-member-id": hexId(memberId), "peer-id": hexId(change.node) };
    switch (change.kind) {
      case "addVoter":
      case "addLearner":
        log.info({ ...peer, "is-learner": change.kind === "addLearner" }, "added member");
        return;
      case "remove":
        log.info(peer, "removed member");
        if (change.node !== memberId) return;
        log.warn(peer, "the member has been permanently removed from the cluster");
        departure.leave("applied");
        return;
      default:
        unreachable(change);
    }
  };

  const { forcedBehind } = booted;
  const tellWhatIsLost = (revision: number): void =>
    log.warn(
      { ...forcedBehind, revision },
      `writes acknowledged after entry ${forcedBehind?.index} (term ${forcedBehind?.term}, revision ${revision}) by members ` +
        "that are gone are not here",
    );
  if (forcedBehind !== undefined && forcedBehind.index <= machine.appliedIndex) tellWhatIsLost(mvcc.currentRevision);

  let promotedTerm = 0;
  let compactRevision = mvcc.compactRevision;
  const onApplied = (applied: Applied, entry: Entry): void => {
    if (applied.events.length > 0) hub.publish(applied.revision, applied.events);
    if (applied.leases.length > 0) clock.applied(applied.leases);
    if (applied.leaderEntry) {
      proposals.leaderEntryApplied(entry.term);
      const { role, term } = node.softState;
      // Once a term: an empty entry can come a second time, and must not give every lease its time anew.
      if (role === "leader" && term === entry.term && term !== promotedTerm) {
        promotedTerm = term;
        clock.promote(term);
      }
    }
    if (mvcc.compactRevision !== compactRevision) {
      compactor.accepted(mvcc.compactRevision, compactRevision);
      compactRevision = mvcc.compactRevision;
    }
    upkeep.applied();
    if (applied.confChange !== undefined) membershipChanged(applied.confChange);
    proposals.applied(applied);
    if (applied.index === forcedBehind?.index) tellWhatIsLost(applied.revision);
  };

  let leader = 0n;
  const onSoftState = (state: SoftState): void => {
    if (state.role !== "leader") {
      clock.demote();
      clusterVersion.stop();
    } else if (state.leader !== leader) {
      log.info({ term: state.term }, `${hexId(memberId)} became leader at term ${state.term}`);
      clusterVersion.lead();
    }
    if (state.leader !== leader) {
      leader = state.leader;
      if (leader !== 0n) {
        log.info({}, `raft.node: ${hexId(memberId)} elected leader ${hexId(leader)} at term ${state.term}`);
        reads.leaderChanged();
      } else {
        log.info({}, `raft.node: ${hexId(memberId)} lost leader at term ${state.term}`);
      }
      node.wake();
    }
    for (const callback of leaderCallbacks) callback(state);
  };

  const node: Node = new Node(
    {
      raft,
      wal: booted.wal,
      machine,
      backend,
      env,
      proposals,
      send: (messages: readonly Message[]) => transport.send(messages),
      onApplied,
      onAppliedIndex: (index) => reads.applied(index),
      onReads: (points) => reads.points(points),
      onSoftState,
      onFlushed: (index) => snapshots.flushed(index),
      sendSnapshot: (message) => snapshots.send(message),
      onEntriesGone: () => snapshots.offer(),
      onReplaced: () => {
        if (stopping) return;
        turnCallersAway();
        deps.onReplaced();
      },
      onFatal: fatal,
    },
    { heartbeatMs: config.heartbeatMs, backendFlushMs: config.backendFlushMs, windowEntries: config.windowEntries },
  );

  const snapshots = createSnapshots({
    config,
    env,
    log,
    disk: deps.disk,
    openBackend: deps.openBackend,
    raft,
    machine,
    backend,
    wal: booted.wal,
    transport,
    node,
    isCorrupt: () => upkeep.verdict.isCorrupt,
    onFatal: fatal,
  });

  const compactionFinished = async (): Promise<void> => {
    await compactor.finished();
    await node.flushed();
    await upkeep.reclaimed();
  };

  const status = (): ServerStatus => {
    const state = raftStatus(raft);
    const size = backend.size();
    return {
      leader: state.leader,
      isLearner: machine.cluster.member(memberId)?.isLearner ?? false,
      raftTerm: state.term,
      committedIndex: state.commit,
      appliedIndex: machine.appliedIndex,
      dbSizeBytes: size.total,
      dbSizeInUseBytes: size.inUse,
      dbSizeQuotaBytes: config.quotaTold,
      errors: state.leader === 0n ? ["etcdserver: no leader"] : [],
    };
  };

  const server: Server = {
    memberId,
    clusterId,
    state: machine,
    watch: hub,
    header,
    submit,
    propose,
    values: (versions) => mvccValues(backend, versions),
    awaitReadBarrier: (callLimits, waiter) => reads.wait(callLimits, waiter),
    readBarrier: (callLimits) => reads.barrier(callLimits),
    membership,
    moveLeader: (target, callLimits) => withLimits(env, leadership.moveTo(target), callLimits),
    nextLeaseId: () => {
      for (;;) {
        const id = (BigInt(env.random(2 ** 26)) << 26n) | BigInt(env.random(2 ** 26));
        if (id !== 0n && machine.leases.get(id) === undefined) return id;
      }
    },
    leaseIds: () => clock.idsByExpiry() ?? machine.leases.ids(),
    leaseKeepAlive: (id, callLimits, waiter) => leaseDesk.keepAlive(id, callLimits, waiter),
    leaseTimeToLive: (id, withKeys, callLimits) => leaseDesk.timeToLive(id, withKeys, callLimits),
    hashKv: (revision, callLimits) => withLimits(env, hashes.ask(revision), callLimits),
    hashStore: (callLimits) => withLimits(env, hashes.askStore(), callLimits),
    openDatabase: (signal) => databases.open(signal),
    compactionFinished: (callLimits) => withLimits(env, compactionFinished(), callLimits),
    defragment: (callLimits) => withLimits(env, upkeep.storeCare.defragment(), callLimits),
    downgrade: (action, version, callLimits) =>
      downgrade(
        { cluster: machine.cluster, readBarrier: reads.barrier.bind(reads), propose },
        action,
        version,
        callLimits,
      ),
    isCorrupt: () => upkeep.verdict.isCorrupt,
    onCorrupt: (callback) => upkeep.verdict.onCorrupt(callback),
    status,
    onLeaderChange: (callback) => {
      leaderCallbacks.add(callback);
      return () => leaderCallbacks.delete(callback);
    },
  };

  inbox = (input) => node.enqueue(input);
  receiveSnapshot = snapshots.receive;
  setPeers();
  if (machine.cluster.isRemoved(memberId)) departure.leave("applied");
  node.start();
  snapshots.start();
  formerLife.start();
  compactor.resume();
  upkeep.start();
  const isStopping = (): boolean => stopping;
  if (config.initialElectionTickAdvance) {
    advanceFirstElection({
      env,
      memberId,
      cluster: machine.cluster,
      transport,
      softState: () => node.softState,
      enqueue: (input) => node.enqueue(input),
      heartbeatMs: config.heartbeatMs,
      electionMs: config.electionMs,
      electionTicks,
      isStopping,
    });
  }
  const ready = publish({
    env,
    log,
    memberId,
    name: config.name,
    clientUrls: config.advertiseClientUrls,
    cluster: machine.cluster,
    heartbeatMs: config.heartbeatMs,
    readBarrier: () => reads.barrier(PATIENT),
    mayAnnounce: () => formerLife.mayAnnounce(machine.cluster.members()),
    propose: (command) => propose(command, PATIENT),
    isStopping,
    isLeaving: () => departure.isLeaving,
  });
  // A stop before readiness is no fault; whoever awaits `ready` still sees it.
  ready.catch(() => undefined);

  async function stop(): Promise<void> {
    stopping = true;
    formerLife.stop();
    proposals.stop();
    reads.stop();
    clock.stop();
    clusterVersion.stop();
    upkeep.stop();
    await Promise.all([hashes.stop(), databases.stop(), compactor.stop(), snapshots.stopSending()]);
    await node.stop();
    await transport.close();
    await snapshots.stop();
    await booted.wal.close();
    await backend.close();
    await booted.unlock();
  }

  return { server, ready, handOver: () => leadership.handOver("before stopping"), stop };
}

/** The members that the log begins with, as far as it is applied and beyond. */
function founders({ machine, restored }: Booted): NodeId[] {
  const applied = machine.cluster.members().map(({ id }) => id);
  return [...applied, ...restored.entries.map(({ data }) => decode(raftpb.ConfChange, data).nodeId)];
}

/** meta storageVersion exists from 3.6 on. */
function storageVersion(clusterVersion: string | undefined): string {
  return clusterVersion ?? "";
}

/** The promise, or the error of the limit that passed first. */
function withLimits<T>(env: Env, promise: Promise<T>, callLimits: CallLimits): Promise<T> {
  return new Promise((resolve, reject) => {
    const fail = (error: ApiError): void => reject(error);
    const abort = (): void => fail(errors.canceled);
    callLimits.signal.addEventListener("abort", abort, { once: true });
    const { deadline } = callLimits;
    const timer =
      deadline === undefined ? undefined : env.setTimer(() => fail(errors.deadlineExceeded), deadline - env.now());
    promise.then(resolve, reject).finally(() => {
      timer?.cancel();
      callLimits.signal.removeEventListener("abort", abort);
    });
  });
}
