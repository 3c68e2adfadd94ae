import { AlarmType } from "../../proto/generated/etcdserverpb.ts";
import type { Backend } from "../../storage/backend.ts";
import type { Config } from "../config.ts";
import type { Env } from "../env.ts";
import type { Logger } from "../log.ts";
import type { PeerTransport } from "../peer/transport.ts";
import type { Command, StateMachine } from "../state/machine.ts";
import { AutoCompaction } from "./auto-compaction.ts";
import { CorruptionCheck } from "./corruption-check.ts";
import type { KvHashes } from "./kv-hashes.ts";
import { Quota } from "./quota.ts";
import { StoreCare } from "./store-care.ts";
import { Verdict } from "./verdict.ts";

export interface UpkeepDeps {
  readonly config: Config;
  readonly env: Env;
  readonly log: Logger;
  readonly memberId: bigint;
  readonly machine: StateMachine;
  readonly backend: Backend;
  readonly hashes: KvHashes;
  readonly transport: Pick<PeerTransport, "request">;
  readonly isLeader: () => boolean;
  /** What accepted compactions remove is removed. */
  readonly removed: () => Promise<void>;
  readonly flushed: () => Promise<void>;
  readonly pendingBytes: () => number;
  readonly propose: (command: Command) => Promise<unknown>;
  readonly requestTimeoutMs: number;
}

/** What a member does for its store beside serving from it, joined as one. */
export interface Upkeep {
  readonly verdict: Verdict;
  readonly storeCare: StoreCare;
  start(): void;
  stop(): void;
  /** Before a command that costs so many bytes is proposed: resolves when the quota allows it. Undefined: it does. */
  admission(costBytes: number): Promise<void> | undefined;
  /** When its caller here is to be answered. */
  acceptance(costBytes: number): Promise<void> | undefined;
  /** An entry was applied. */
  applied(): void;
  /** Whoever made room wants to use it: resolves when as much as can be is given back, if that matters. */
  reclaimed(): Promise<void>;
}

export function createUpkeep(deps: UpkeepDeps): Upkeep {
  const { config, env, log, memberId, machine, backend, hashes, isLeader, propose } = deps;
  const { mvcc, alarms, cluster } = machine;
  const { quotaBytes } = config;
  const storeCare = new StoreCare({
    env,
    log,
    quotaBytes,
    size: () => backend.size(),
    deletedRows: () => backend.deletedRows,
    keyCount: () => mvcc.keyCount,
    isNospace: () => alarms.isActive(AlarmType.NOSPACE),
    removed: deps.removed,
    flushed: deps.flushed,
    compact: () => backend.compact(),
  });
  const quota = new Quota({
    env,
    log,
    memberId,
    quotaBytes,
    alarms,
    knownBytes: () => backend.inUseBytes + backend.stagedBytes,
    pendingBytes: deps.pendingBytes,
    measure: async () => {
      await deps.flushed();
      return (await backend.measure()).inUse + backend.stagedBytes;
    },
    propose,
    onFull: () => storeCare.consider(),
    autoDisarm: config.autoDisarmNospace,
    isMember: (id) => cluster.member(id) !== undefined,
  });
  const verdict = new Verdict(log, memberId, alarms);
  const currentRevision = (): number => mvcc.currentRevision;
  const autoCompaction = new AutoCompaction({
    env,
    log,
    config: config.autoCompaction,
    isLeader,
    currentRevision,
    compactRevision: () => mvcc.compactRevision,
    propose,
  });
  const corruptionCheck = new CorruptionCheck({
    env,
    log,
    memberId,
    cluster,
    alarms,
    transport: deps.transport,
    isLeader,
    currentRevision,
    hashKv: (revision, isFresh) => hashes.ask(revision, isFresh),
    storedHashes: () => hashes.stored,
    propose,
    checkMs: config.corruptCheckMs,
    compactionCheckMs: config.compactHashCheckMs,
    requestTimeoutMs: deps.requestTimeoutMs,
  });
  return {
    verdict,
    storeCare,
    start: () => {
      for (const duty of [quota, autoCompaction, corruptionCheck]) duty.start();
    },
    stop: () => {
      for (const duty of [quota, autoCompaction, corruptionCheck, storeCare]) duty.stop();
    },
    admission: (costs) => (costs === 0 || quota.hasRoom(costs) ? undefined : quota.admit(costs)),
    acceptance: (costs) => (costs === 0 || quota.isWithin ? undefined : quota.applied()),
    applied: () => {
      verdict.applied();
      quota.observe();
    },
    reclaimed: () => (quota.isWithin ? Promise.resolve() : storeCare.idle()),
  };
}
