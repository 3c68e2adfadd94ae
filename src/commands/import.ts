import type { Entry } from "../../raft/types.ts";
import type { Backend } from "../../storage/backend.ts";
import { BoltError } from "../../storage/bbolt/format.ts";
import { AUTH_ENABLED } from "../../storage/schema.ts";
import { readWal } from "../../storage/wal-look.ts";
import { errors } from "../api/errors.ts";
import { type Config, limits } from "../config.ts";
import { restoreMachine } from "../server/restored-machine.ts";
import { decodeCommand } from "../state/entry.ts";
import { storedPoint } from "../state/restore.ts";
import type { Arguments, CommandName } from "./command-line.ts";
import { type EtcdDirectory, findEtcd, lookOf, refuseRunning } from "./etcd-directory.ts";
import { makerCommand, type SourceDeps } from "./make.ts";
import { type Made, makeMember, RestoreError, refuseTaken } from "./new-member.ts";
import { fillFrom } from "./restore.ts";

const NAME: CommandName = {
  name: "import",
  usage: "import ETCD-DATA-DIR",
  about: [
    "  Makes the data directory of a member of a new cluster from that of a stopped etcd (3.5 or 3.6), which stays as it",
    "  is. Import one and the same directory for every member of --initial-cluster, with the same flags but for those that",
    "  are about the one member; then start all of them. Of several etcds take the one that has come furthest",
    "  (etcdctl endpoint status: RAFT INDEX, before they are stopped).",
  ],
  noSource: "import requires exactly one argument, the data directory of an etcd",
};

const START_IT_ONCE =
  "start that etcd once more and stop it in order (SIGTERM), so that its db holds everything, or use etcdctl snapshot " +
  "save and quorate restore";

export const importEtcd = makerCommand(NAME, importDirectory);

async function importDirectory(args: Arguments, deps: SourceDeps): Promise<Made> {
  const { source, config, etcdWalDir, bumpRevision } = args;
  const { sourceDisk, progress, signal } = deps;
  await refuseTaken(config, deps.disk);
  const etcd = await findEtcd(source, etcdWalDir);
  await refuseRunning(etcd);
  const before = await lookOf(etcd);
  const refuseChanged = async (): Promise<void> => {
    await refuseRunning(etcd);
    if ((await lookOf(etcd)) === before) return;
    throw new RestoreError(`an etcd runs on ${source} (its files changed while they were read): stop it first`);
  };
  return await makeMember(config, deps, bumpRevision, async (backend) => {
    try {
      const file = await sourceDisk.open(etcd.database);
      if (file === undefined) throw new RestoreError(`open ${etcd.database}: no such file or directory`);
      try {
        await fillFrom(file, backend, progress, signal);
      } finally {
        await file.close();
      }
      await applyLog(etcd, backend, config, deps);
    } catch (error) {
      // What looks like damage may be the work of an etcd that was started meanwhile.
      if (error instanceof BoltError) await refuseChanged();
      throw error;
    }
    await refuseChanged();
  });
}

/**
 * What the log has beyond the database. Everything in it, also beyond the last commit index that was written down: an
 * entry is acknowledged before its commit index is, so that one may have been. (A member that is elected commits all that
 * its log holds, too.)
 */
async function applyLog(etcd: EtcdDirectory, backend: Backend, config: Config, deps: SourceDeps): Promise<void> {
  const { progress, signal } = deps;
  const at = storedPoint(backend);
  const log = await readWal(deps.sourceDisk, etcd.walDir, at, {
    segmentBytes: config.walSegmentBytes,
    onProgress: (done, total) => progress.at("reading the log", done, total),
  });
  if (log === undefined) throw new RestoreError(`there is no log of an etcd in ${etcd.walDir}: see --etcd-wal-dir`);
  if (log.start.index > at.index) {
    throw new RestoreError(
      `the log in ${etcd.walDir} begins with a snapshot at entry ${log.start.index}, and ${etcd.database} stands at entry ` +
        `${at.index}: ${START_IT_ONCE}`,
    );
  }
  if (log.entries.length === 0) return;
  const isAuthEnabled = backend.get("auth", AUTH_ENABLED)?.[0] === 1;
  const machine = await restoreMachine(backend, config, progress.log);
  for (const entry of log.entries) {
    signal.throwIfAborted();
    if (isAuthEnabled && isCommand(entry)) throw cannotApply(entry, "authentication is enabled");
    const { result } = machine.apply(entry, () => false);
    if (result.kind === "error" && result.error === errors.unsupportedCommand) {
      throw cannotApply(entry, "it changes users or roles, or is of an etcd that is newer");
    }
    if (backend.stagedBytes >= limits.flushAtBytes) await backend.flush();
  }
  const unknown = log.entries.filter(({ index }) => index > log.hardState.commit).length;
  progress.say(
    `the database stood at entry ${at.index}; ${log.entries.length} more came from the log` +
      (unknown === 0 ? "" : `, ${unknown} of them behind the commit index that was written down last`),
  );
}

function isCommand({ type, data }: Entry): boolean {
  return type === 0 && decodeCommand(data).kind === "command";
}

/** Its effect would not be what etcd's is. */
function cannotApply({ index }: Entry, why: string): RestoreError {
  return new RestoreError(
    `the log goes further than the db, and this version of Quorate cannot apply its entry ${index} (${why}): ${START_IT_ONCE}`,
  );
}
