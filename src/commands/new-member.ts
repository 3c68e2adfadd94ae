/**
 * The data directory of a member of a new cluster that begins with the content of an old one. It takes the steps of
 * state-files.ts; the log is made last, in one piece, so a directory that was not finished has a state and no log, and no
 * member starts on it.
 *
 * The log begins behind a snapshot at the last of the founding entries, which are applied to the state here. If it began
 * with them, a member that joins later would be given the log from its first entry on, and would never get the content.
 */
import { posix } from "node:path";
import type { Backend, BackendSnapshot, Bucket } from "../../storage/backend.ts";
import type { Disk } from "../../storage/disk.ts";
import { hashStore } from "../../storage/mvcc-walk.ts";
import { slices } from "../../storage/row-slices.ts";
import {
  AUTH_ENABLED,
  BUCKETS,
  decodeRevision,
  encodeRevision,
  FINISHED_COMPACT_REVISION,
  mainOf,
  revisionKey,
  SCHEDULED_COMPACT_REVISION,
} from "../../storage/schema.ts";
import { createWal } from "../../storage/wal-log.ts";
import type { Config } from "../config.ts";
import { memberDirOf } from "../server/bootstrap.ts";
import { foundingOf } from "../server/founding.ts";
import { clusterIdOf, hexId } from "../server/ids.ts";
import { restoreMachine } from "../server/restored-machine.ts";
import { isUndecided, nameState, settleState, stateFiles } from "../server/state-files.ts";
import type { StateMachine } from "../state/machine.ts";
import type { Progress } from "./progress.ts";

/** Of these buckets all rows belong to the content; the others are about the old cluster. */
const CONTENT: readonly Bucket[] = ["alarm", "auth", "authRoles", "authUsers", "key", "lease"];
const CONTENT_OF_META: ReadonlySet<string> = new Set([SCHEDULED_COMPACT_REVISION, FINISHED_COMPACT_REVISION]);

export interface MakeDeps {
  readonly disk: Disk;
  readonly openBackend: (path: string) => Promise<Backend>;
  readonly progress: Progress;
  /** Aborted: what was made is removed. */
  readonly signal: AbortSignal;
}

export interface Made {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  readonly members: number;
  readonly revision: number;
  readonly keys: number;
  readonly leases: number;
  readonly alarms: number;
  readonly isAuthEnabled: boolean;
}

/** `message` says what to do. */
export class RestoreError extends Error {
  override readonly name = "RestoreError";
}

/** Throws RestoreError when there is something already that would be in the way. */
export async function refuseTaken(config: Config, disk: Disk): Promise<void> {
  const { dataDir, walDir } = config;
  const memberDir = memberDirOf(config);
  const names = await disk.list(dataDir);
  if (names.length > 0) {
    const why = isUndecided(await disk.list(memberDir))
      ? "holds what a restore left that was interrupted (or that still runs): remove it first"
      : "not empty or could not be read: choose another one";
    throw new RestoreError(`data-dir "${dataDir}" ${why}`);
  }
  if ((await disk.list(walDir)).length > 0) throw new RestoreError(`wal-dir "${walDir}" not empty: choose another one`);
}

/**
 * Makes the directory. `fill` puts rows into an empty store, of the old cluster, too. When it fails nothing is left
 * behind.
 */
export async function makeMember(
  config: Config,
  deps: MakeDeps,
  bumpRevision: number,
  fill: (backend: Backend) => Promise<void>,
): Promise<Made> {
  const { disk } = deps;
  await refuseTaken(config, disk);
  const memberDir = memberDirOf(config);
  const top = await firstMissing(disk, memberDir);
  const walTop = await firstMissing(disk, config.walDir);
  await disk.makeDirectory(memberDir);
  const lock = await disk.lock(`${memberDir}/lock`);
  let isLocked = true;
  const unlock = async (): Promise<void> => {
    if (isLocked) await lock.release();
    isLocked = false;
  };
  try {
    const founded = await build(config, deps, bumpRevision, fill);
    await unlock();
    return founded;
  } catch (error) {
    try {
      await unlock();
      // The log first: what is left of a state without one is of no use to anybody.
      if (walTop !== undefined) await disk.removeTree(walTop);
      else for (const name of await disk.list(config.walDir)) await disk.remove(`${config.walDir}/${name}`);
      await disk.removeTree(top ?? memberDir);
    } catch (cause) {
      deps.progress.say(`warning: could not remove what was made: ${cause}`);
    }
    throw error;
  }
}

/** The topmost directory on the way to `path` that is not there. */
async function firstMissing(disk: Disk, path: string): Promise<string | undefined> {
  const parent = posix.dirname(path);
  if (parent === path) return undefined;
  if ((await disk.list(parent)).includes(posix.basename(path))) return undefined;
  return (await firstMissing(disk, parent)) ?? path;
}

async function build(
  config: Config,
  deps: MakeDeps,
  bumpRevision: number,
  fill: (backend: Backend) => Promise<void>,
): Promise<Made> {
  const { disk, openBackend, progress, signal } = deps;
  const memberDir = memberDirOf(config);
  const { memberId, memberIds, entries } = foundingOf(config);
  const backend = await openBackend(stateFiles(memberDir).building);
  let machine: StateMachine;
  let clusterId: bigint;
  let isAuthEnabled: boolean;
  try {
    await fill(backend);
    signal.throwIfAborted();
    await stripCluster(backend);
    if (bumpRevision > 0) await bump(backend, bumpRevision, progress);
    await backend.flush();
    clusterId = clusterIdOf(memberIds, await hashOf(backend, signal));
    machine = await restoreMachine(backend, config, progress.log);
    for (const entry of entries) machine.apply(entry, () => false);
    isAuthEnabled = backend.get("auth", AUTH_ENABLED)?.[0] === 1;
    await backend.flush();
  } finally {
    await backend.close();
  }
  signal.throwIfAborted();
  const { appliedIndex: index, appliedTerm: term, mvcc } = machine;
  await nameState(disk, memberDir, { index, term });
  const first = {
    snapshot: { index, term },
    hardState: { term, vote: 0n, commit: index },
    entries: [],
    mustSync: true,
  };
  const metadata = { nodeID: memberId, clusterID: clusterId };
  const wal = await createWal(disk, config.walDir, metadata, first, { segmentBytes: config.walSegmentBytes });
  await wal.close();
  await settleState(disk, memberDir, async () => ({ index, term }));
  return {
    memberId,
    clusterId,
    members: entries.length,
    revision: mvcc.currentRevision,
    // Not the row that a bump made, which has no key.
    keys: mvcc.count("\0", "\0", mvcc.currentRevision),
    leases: machine.leases.size,
    alarms: machine.alarms.list(0).length,
    isAuthEnabled,
  };
}

/** What is about the old cluster goes. */
async function stripCluster(backend: Backend): Promise<void> {
  await withSnapshot(backend, async (snapshot) => {
    for (const bucket of BUCKETS) {
      if (CONTENT.includes(bucket)) continue;
      for await (const rows of slices(snapshot, bucket, undefined, 1_000)) {
        for (const [key] of rows) {
          if (bucket !== "meta" || !CONTENT_OF_META.has(key)) backend.delete(bucket, key);
        }
      }
    }
  });
}

/** As etcdutl does it: a row without a key at the raised revision, and a compaction up to it that is to be done. */
async function bump(backend: Backend, amount: number, progress: Progress): Promise<void> {
  const stored = [SCHEDULED_COMPACT_REVISION, FINISHED_COMPACT_REVISION].map((key) => {
    const value = backend.get("meta", key);
    return value === undefined ? 1 : decodeRevision(value);
  });
  const latest = Math.max(...stored, await withSnapshot(backend, lastRevision));
  const bumped = latest + amount;
  if (!Number.isSafeInteger(bumped)) {
    throw new RestoreError(`--bump-revision ${amount} raises revision ${latest} beyond 2^53 - 1: choose a smaller one`);
  }
  progress.say(`bumping latest revision: ${latest} + ${amount} = ${bumped}, and marking it compacted`);
  backend.put("key", revisionKey(bumped, 0), Buffer.alloc(0));
  backend.put("meta", SCHEDULED_COMPACT_REVISION, encodeRevision(bumped));
}

/** Of the rows; found by halving, for a snapshot can only be asked for what comes next. */
async function lastRevision(snapshot: BackendSnapshot): Promise<number> {
  const isAnyFrom = async (main: number): Promise<boolean> =>
    (await snapshot.range("key", revisionKey(main, 0), undefined, 1)).length > 0;
  let low = 0;
  let high = Number.MAX_SAFE_INTEGER;
  while (low < high) {
    const middle = low + Math.ceil((high - low) / 2);
    if (await isAnyFrom(middle)) low = middle;
    else high = middle - 1;
  }
  const [row] = await snapshot.range("key", revisionKey(low, 0), undefined, 1);
  return row === undefined ? 1 : mainOf(row[0]);
}

/** Of the content alone: the rows of the new cluster come later. */
function hashOf(backend: Backend, signal: AbortSignal): Promise<number> {
  return withSnapshot(backend, (snapshot) => hashStore(snapshot, signal));
}

async function withSnapshot<T>(backend: Backend, work: (snapshot: BackendSnapshot) => Promise<T>): Promise<T> {
  const snapshot = backend.snapshot();
  try {
    return await work(snapshot);
  } finally {
    await snapshot.close();
  }
}

/** The line that says what there is now, and what to know about it. */
export function resultOf(made: Made, config: Config): string[] {
  const { memberId, clusterId, members, revision, keys, leases, alarms, isAuthEnabled } = made;
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
  const lines = [
    `${config.dataDir}: revision ${revision}, ${count(keys, "key")}, ${count(leases, "lease")}; ` +
      `member ${hexId(memberId)} (${config.name}) of ${members} in cluster ${hexId(clusterId)}`,
  ];
  if (alarms > 0)
    lines.push(
      `warning: ${count(alarms, "alarm")} came along, which may forbid writes: etcdctl alarm disarm takes them back`,
    );
  if (isAuthEnabled) {
    lines.push(
      "warning: authentication was enabled; users and roles are kept, but this version of Quorate does not check them: " +
        "whoever reaches the cluster may read and write everything",
    );
  }
  return lines;
}
