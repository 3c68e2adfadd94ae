import type { ConfState, Entry, HardState, Restored } from "../../raft/types.ts";
import type { Backend } from "../../storage/backend.ts";
import type { Disk } from "../../storage/disk.ts";
import { type MemberRecord, StoredJsonError } from "../../storage/stored-json.ts";
import type { LogPoint, Wal, WalOptions } from "../../storage/wal.ts";
import { createWal, openWal } from "../../storage/wal-log.ts";
import { readWalStart } from "../../storage/wal-look.ts";
import { segmentsAmong } from "../../storage/wal-segment.ts";
import { type Config, checkInitialCluster } from "../config.ts";
import { ConfigError } from "../flag-values.ts";
import { PeerCallError } from "../peer/transport.ts";
import type { StateMachine } from "../state/machine.ts";
import type { MembersAhead } from "./admission.ts";
import { everyTime } from "./every-time.ts";
import { forceNewCluster, refuseTornForce } from "./force-new-cluster.ts";
import { foundingOf } from "./founding.ts";
import { clusterIdOf } from "./ids.ts";
import { type JoinDeps, joinCluster, membersIn, refuseSecondLife } from "./join.ts";
import { membersAfter } from "./members-ahead.ts";
import { restoreMachine } from "./restored-machine.ts";
import { isUndecided, settleState, stateFiles } from "./state-files.ts";

/** About two seconds of reading. */
const PROGRESS_LOG_BYTES = 256 << 20;

const FORMER_LIFE_MS = 2_000;
const NO_HARD_STATE: HardState = { term: 0, vote: 0n, commit: 0 };
const NOBODY: ConfState = { voters: [], learners: [] };

export interface BootDeps extends JoinDeps {
  readonly disk: Disk;
  readonly openBackend: (path: string) => Promise<Backend>;
  readonly onWalSync?: (milliseconds: number) => void;
}

/** Everything that was on this member's disk, ready to go on. */
export interface Booted {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  readonly wal: Wal;
  readonly backend: Backend;
  readonly machine: StateMachine;
  readonly restored: Restored;
  /** The members that a joining member was told of; until it has applied its own addition, its state knows others. */
  readonly joined: readonly MemberRecord[];
  /** The log holds nothing but the founding of the cluster: either it begins, or this member lost its disk. */
  readonly isFounding: boolean;
  readonly ahead: MembersAhead;
  /** This start made the member a cluster of one; what its log held ended there. */
  readonly forcedBehind: LogPoint | undefined;
  /** Gives the data and WAL directories back; call it last. */
  readonly unlock: () => Promise<void>;
}

/**
 * Opens the data of this member, or makes it on the first start (B-1, B-3, P-30). Nothing is ever deleted or rebuilt to
 * get going: what cannot be read is an error that says so.
 */
export async function bootstrap(config: Config, deps: BootDeps): Promise<Booted> {
  const { disk } = deps;
  const memberDir = memberDirOf(config);
  const { state } = stateFiles(memberDir);
  if (config.forceNewCluster && !(await hasLog(disk, config))) {
    throw new ConfigError(
      `--force-new-cluster goes on with the data of a member, and there is no log of one in ${config.walDir}: give it the ` +
        "--data-dir (and --wal-dir) of one that is left; quorate inspect DATA-DIR... says which has the most",
    );
  }
  // A first start that must not be, by its configuration or by what the others say, leaves nothing behind.
  const isFirst = !(await hasLog(disk, config)) && (await disk.list(state)).length === 0;
  const planned = isFirst ? await firstStart(config, deps) : undefined;

  const locks: { release(): Promise<void> }[] = [];
  const unlock = async (): Promise<void> => {
    for (let lock = locks.pop(); lock !== undefined; lock = locks.pop()) await lock.release();
  };
  let backend: Backend | undefined;
  let wal: Wal | undefined;
  /** Takes back an empty store that this start has made for nothing. */
  let unmake = async (): Promise<void> => undefined;
  try {
    await disk.makeDirectory(memberDir);
    locks.push(await disk.lock(`${memberDir}/lock`));
    // Another member may have been given the same --wal-dir: two that append to one log would destroy it.
    const isLogThere = await hasLog(disk, config);
    if (isLogThere) locks.push(await disk.lock(`${config.walDir}/lock`));
    else await refuseUnfinished(disk, config);
    const walOptions = walOptionsOf(config, deps);
    const installed = await settleState(disk, memberDir, () => readWalStart(disk, config.walDir, walOptions));
    if (installed !== undefined) deps.log.info({ "snapshot-index": installed.index }, "applied snapshot");
    const isNew = (await disk.list(state)).length === 0;
    backend = await deps.openBackend(state);
    if (isNew) unmake = () => disk.removeTree(state);
    const machine = await restoreMachine(backend, config, deps.log);
    if (!isLogThere) {
      refuseLostLog(config, machine);
      await disk.makeDirectory(config.walDir);
      locks.push(await disk.lock(`${config.walDir}/lock`));
    }
    const opened = await openOrCreateLog(config, deps, backend, machine, planned);
    wal = opened.wal;
    if (!config.forceNewCluster) refuseTornForce(config, opened);
    return { ...(config.forceNewCluster ? await forceNewCluster(config, deps, opened) : opened), unlock };
  } catch (error) {
    // The first failure is the one to tell.
    const closed = Promise.all([wal?.close(), backend?.close()]).then(unmake);
    for (const result of await Promise.allSettled([closed, closed.finally(unlock)])) {
      if (result.status === "rejected") deps.log.warn({ error: String(result.reason) }, "could not clean up");
    }
    throw error;
  }
}

/** Where everything of this member lies but its log. */
export function memberDirOf(config: Config): string {
  return `${config.dataDir}/member`;
}

function walOptionsOf(config: Config, deps: BootDeps): WalOptions {
  return {
    segmentBytes: config.walSegmentBytes,
    onProgress: everyTime(PROGRESS_LOG_BYTES, (read, total) =>
      deps.log.info({ "read-bytes": read, "of-bytes": total }, "reading the log"),
    ),
    ...(deps.onWalSync === undefined ? {} : { onSync: deps.onWalSync }),
  };
}

async function hasLog(disk: Disk, config: Config): Promise<boolean> {
  return segmentsAmong(config.walDir, await disk.list(config.walDir)).length > 0;
}

/** A member makes its log before anything of a state: this is the work of a restore that did not get to its end. */
async function refuseUnfinished(disk: Disk, config: Config): Promise<void> {
  if (!isUndecided(await disk.list(memberDirOf(config)))) return;
  throw new ConfigError(
    `${config.dataDir} holds what a restore left that was interrupted, and there is no log in ${config.walDir}: remove ` +
      "the directory and restore it again, or give this member its log (--wal-dir); nothing was changed",
  );
}

function refuseLostLog(config: Config, machine: StateMachine): void {
  if (machine.appliedIndex === 0) return;
  throw new ConfigError(
    `${config.dataDir}/member holds a state store at entry ${machine.appliedIndex}, but there is no log in ` +
      `${config.walDir}: give this member its log back (--wal-dir); nothing was changed`,
  );
}

async function openOrCreateLog(
  config: Config,
  deps: BootDeps,
  backend: Backend,
  machine: StateMachine,
  planned: Start | undefined,
): Promise<Omit<Booted, "unlock">> {
  const walOptions = walOptionsOf(config, deps);
  const applied = { index: machine.appliedIndex, term: machine.appliedTerm };
  const replay = await openWal(deps.disk, config.walDir, applied, walOptions);
  if (replay === undefined) {
    const { log: first, ...start } = planned ?? (await firstStart(config, deps));
    const metadata = { nodeID: start.memberId, clusterID: start.clusterId };
    const { hardState = NO_HARD_STATE, entries } = first;
    const wal = await createWal(deps.disk, config.walDir, metadata, { ...first, mustSync: true }, walOptions);
    const restored = {
      hardState,
      confState: NOBODY,
      applied: 0,
      before: { index: 0, term: 0 },
      entries,
      storedFrom: 1,
    };
    return { ...start, wal, backend, machine, restored, ...asFound(config, machine, restored) };
  }
  if (replay.tornBytes > 0) {
    deps.log.warn(
      { bytes: replay.tornBytes },
      "cut off a torn write at the end of the log: a crash came before its sync returned",
    );
  }
  // A commit index may be written without a sync; what was applied was committed.
  const commit = Math.max(replay.hardState.commit, machine.appliedIndex);
  const restored = {
    hardState: { ...replay.hardState, commit },
    confState: machine.confState,
    applied: machine.appliedIndex,
    before: replay.before,
    entries: replay.entries,
    // Just behind a cut the term before the first entry may be unknown to the log.
    storedFrom: Math.min(replay.wal.firstIndex, replay.before.index + 1),
  };
  return {
    memberId: replay.wal.metadata.nodeID,
    clusterId: replay.wal.metadata.clusterID,
    wal: replay.wal,
    backend,
    machine,
    restored,
    joined: [],
    ...asFound(config, machine, restored),
  };
}

function asFound(
  config: Config,
  machine: StateMachine,
  restored: Restored,
): Pick<Booted, "isFounding" | "ahead" | "forcedBehind"> {
  const { commit } = restored.hardState;
  const committed = restored.entries.filter(({ index }) => index <= commit);
  return {
    isFounding: isFounding(restored),
    ahead: { index: commit, cluster: membersAfter(machine.cluster, committed, config.maxLearners) },
    forcedBehind: undefined,
  };
}

/** P-30: nobody is elected in term 1, so nothing else was ever written in it. */
function isFounding({ before, entries }: Restored): boolean {
  const isEmpty = before.index === 0 && entries.length === 0;
  return !isEmpty && before.term <= 1 && entries.every(({ term }) => term === 1);
}

/** How a member begins that has no log. */
interface Start {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  readonly log: { readonly hardState: HardState | undefined; readonly entries: readonly Entry[] };
  readonly joined: readonly MemberRecord[];
}

function firstStart(config: Config, deps: BootDeps): Promise<Start> {
  return config.initialClusterState === "existing" ? joinExisting(config, deps) : bootstrapNew(config, deps);
}

/** It knows who it is, and nothing else; everything comes from the leader's log. */
async function joinExisting(config: Config, deps: BootDeps): Promise<Start> {
  checkInitialCluster(config);
  const { memberId, clusterId, members } = await joinCluster(config, deps);
  return { memberId, clusterId, joined: members, log: { hardState: undefined, entries: [] } };
}

async function bootstrapNew(config: Config, deps: BootDeps): Promise<Start> {
  checkInitialCluster(config);
  const { memberId, memberIds, entries } = foundingOf(config);
  await askForFormerLife(config, deps, memberId);
  const hardState = { term: 1, vote: 0n, commit: entries.length };
  return { memberId, clusterId: clusterIdOf(memberIds), log: { hardState, entries }, joined: [] };
}

/** B-1. A member that lost its disk must not start as new. If any other member knows it as one that has run, refuse. */
async function askForFormerLife(config: Config, deps: BootDeps, id: bigint): Promise<void> {
  const urls = config.initialCluster.filter((peer) => peer.name !== config.name).flatMap((peer) => peer.urls);
  await Promise.all(
    urls.map(async (url) => {
      let known: readonly MemberRecord[];
      try {
        known = membersIn(await deps.askPeer(url, "/members", FORMER_LIFE_MS));
      } catch (error) {
        // Environment: that member is not up yet, as at the first start of every cluster, or it talks nonsense.
        if (!(error instanceof PeerCallError) && !(error instanceof StoredJsonError)) throw error;
        deps.log.debug({ url, error: String(error) }, "could not ask a peer for its members");
        return;
      }
      refuseSecondLife(config, known, id);
    }),
  );
}
