/**
 * --force-new-cluster: most members are lost for good, and this one becomes a cluster of its own.
 *
 * All that its log holds is kept and counts as committed, whatever it had heard of that: an acknowledged write is on a
 * majority, this member may be of that majority, and the word that it was committed may not have come here. Behind it go
 * entries that make this member a voter, if it was a learner, and remove all others; they are ordinary ones, so the
 * removed are remembered for good, refused by this member (admission.ts), and the members that will be added learn of it.
 * Entries, term, vote and commit index are one write with one sync, before raft starts. If a crash tears it, the member
 * has some of these entries at the end of its log and is to be started with the flag again, which does the rest; without
 * it such a member is refused, for its log passes for newer than any other, and it would be elected by those that have
 * what it lacks.
 *
 * The term. Others may have had leaders after the newest term that this member knows, and may come back with entries of
 * those terms at the indexes of the ones made here. Raft takes entries of the same index and term for the same, so these
 * must be of a term that nobody ever led but this member: it leaps, further than elections can have come meanwhile, and the
 * vote of that term is its own. It also makes the log newer than that of any other, in every election to come.
 */
import { encode } from "../../proto/codec.ts";
import { ConfChange, ConfChangeType } from "../../proto/generated/raftpb.ts";
import { ENTRY_CONF_CHANGE, type Entry, type HardState } from "../../raft/types.ts";
import { StoredJsonError } from "../../storage/stored-json.ts";
import type { LogPoint } from "../../storage/wal.ts";
import type { Config } from "../config.ts";
import { ConfigError } from "../flag-values.ts";
import { PeerCallError } from "../peer/transport.ts";
import type { Cluster, ClusterMember } from "../state/machine.ts";
import type { Booted } from "./bootstrap.ts";
import { hexId } from "./ids.ts";
import { type JoinDeps, membersIn } from "./join.ts";
import { membersAfter, membershipsOf, notOutdated } from "./members-ahead.ts";

/** With pre-vote terms rise with every leader, without it with every election time-out of a member that is cut off. */
const TERM_LEAP = 1_000;
const ASK_MS = 2_000;

type Opened = Omit<Booted, "unlock">;

/** The member's log as it is, and what it is to become. Throws ConfigError when that must not be. */
export async function forceNewCluster(config: Config, deps: JoinDeps, opened: Opened): Promise<Opened> {
  const { memberId, clusterId, machine, restored, wal } = opened;
  const cluster = membersAfter(machine.cluster, restored.entries, config.maxLearners);
  const own = cluster.member(memberId);
  if (own === undefined) throw refusal(config, memberId, cluster);
  const others = cluster.members().filter(({ id }) => id !== memberId);
  const end = endOf(restored);
  if (isAlone(memberId, opened.ahead.cluster) && isAlone(memberId, cluster)) {
    deps.log.warn({}, "this member is a cluster of one already: --force-new-cluster has no effect, start without it");
    return opened;
  }
  const memberships = membershipsOf(machine.cluster, restored.entries, config.maxLearners);
  await refuseWithQuorum(
    deps,
    clusterId,
    memberId,
    notOutdated(memberships, restored.hardState.commit).map((membership) => membership.cluster),
  );

  const hardState: HardState = {
    term: restored.hardState.term + TERM_LEAP,
    vote: memberId,
    commit: end.index + (own.isLearner ? 1 : 0) + others.length,
  };
  const changes = [...(own.isLearner ? [promotionOf(own.id)] : []), ...others.map(({ id }) => removalOf(id))];
  const entries = changes.map(
    (change, place): Entry => ({
      type: ENTRY_CONF_CHANGE,
      term: hardState.term,
      index: end.index + 1 + place,
      data: encode(ConfChange, ConfChange.create(change)),
    }),
  );
  deps.log.warn(
    {
      "member-id": hexId(memberId),
      "cluster-id": hexId(clusterId),
      "removed-members": others.map(({ id }) => hexId(id)),
      "was-committed": restored.hardState.commit,
      "last-index": end.index,
      "last-term": end.term,
      "new-term": hardState.term,
    },
    "forcing a new cluster of this member alone: all of its log counts as committed, and all others are removed for good",
  );
  await wal.append({ hardState, entries, mustSync: true });
  const all = { ...restored, hardState, entries: [...restored.entries, ...entries] };
  return {
    ...opened,
    restored: all,
    ahead: { index: hardState.commit, cluster: membersAfter(machine.cluster, all.entries, config.maxLearners) },
    isFounding: false,
    forcedBehind: end,
  };
}

/**
 * Throws ConfigError for a log that ends in a part of what --force-new-cluster wrote. In a log of raft's own making the
 * first entry of a term is its leader's empty one; here it is a change of the membership. Who got these entries from the
 * member that was forced joined later: by what comes before them it is no member, and its torn writes are as any other's.
 */
export function refuseTornForce(
  config: Config,
  { memberId, machine, restored }: Pick<Opened, "memberId" | "machine" | "restored">,
): void {
  const { hardState, before, entries } = restored;
  let term = before.term;
  for (const [place, entry] of entries.entries()) {
    const isLeap = entry.type === ENTRY_CONF_CHANGE && entry.term >= term + TERM_LEAP;
    if (entry.index > hardState.commit && isLeap) {
      const cluster = membersAfter(machine.cluster, entries.slice(0, place), config.maxLearners);
      if (cluster.member(memberId) === undefined) return;
      throw new ConfigError(
        `the log in ${config.walDir} ends within what --force-new-cluster began to write at entry ${entry.index}: start ` +
          "this member with --force-new-cluster once more, and it is done; nothing was changed",
      );
    }
    ({ term } = entry);
  }
}

function isAlone(memberId: bigint, cluster: Cluster): boolean {
  const [first, ...others] = cluster.members();
  return others.length === 0 && first?.id === memberId && !first.isLearner;
}

function endOf({ entries, before }: Booted["restored"]): LogPoint {
  const { index, term } = entries.at(-1) ?? before;
  return { index, term };
}

function promotionOf(id: bigint): Partial<ConfChange> {
  const context = Buffer.from(`{"id":${id},"peerURLs":null,"isPromote":true}`);
  return { type: ConfChangeType.ConfChangeAddNode, nodeId: id, context };
}

function removalOf(id: bigint): Partial<ConfChange> {
  return { type: ConfChangeType.ConfChangeRemoveNode, nodeId: id };
}

function refusal(config: Config, memberId: bigint, cluster: Cluster): ConfigError {
  const why = cluster.isRemoved(memberId)
    ? "it was removed from its cluster"
    : "its log does not reach its own addition to the cluster yet";
  return new ConfigError(
    `--force-new-cluster: member ${hexId(memberId)} in ${config.dataDir} is no member by its own log: ${why}. Take ` +
      "another member's data: quorate inspect DATA-DIR... says which has the most",
  );
}

/**
 * The flag is for a quorum that is lost for good. While one runs, what this member has is none of its business to decide;
 * it may have been left in a start script, too. The log may end in changes of the membership that were never committed:
 * a quorum of any membership that may be in force is one.
 */
async function refuseWithQuorum(
  deps: JoinDeps,
  clusterId: bigint,
  memberId: bigint,
  memberships: readonly Cluster[],
): Promise<void> {
  const voters = memberships.map((cluster) => cluster.members().filter(({ isLearner }) => !isLearner));
  const others = new Map(voters.flat().map((member) => [member.id, member]));
  others.delete(memberId);
  const running = new Set<bigint>();
  await Promise.all(
    [...others.values()].map(async (member) => {
      if (await answersFor(deps, clusterId, member)) running.add(member.id);
    }),
  );
  for (const all of voters) {
    const answering = all.filter(({ id }) => running.has(id));
    const withThis = answering.length + (all.some(({ id }) => id === memberId) ? 1 : 0);
    if (answering.length === 0 || withThis <= all.length / 2) continue;
    throw new ConfigError(
      `--force-new-cluster: the quorum is not lost: ${answering.map(({ id }) => hexId(id)).join(", ")} of the ` +
        `${all.length} voting members answer. Start this one without the flag. If they are to be given up, stop them first`,
    );
  }
}

async function answersFor(deps: JoinDeps, clusterId: bigint, { peerURLs }: ClusterMember): Promise<boolean> {
  const asked = peerURLs.map(async (url) => {
    try {
      const answer = await deps.askPeer(url, "/members", ASK_MS);
      membersIn(answer);
      return answer.headers["x-etcd-cluster-id"] === hexId(clusterId);
    } catch (error) {
      // Environment: it is gone, as is to be expected, or something else is there.
      if (!(error instanceof PeerCallError) && !(error instanceof StoredJsonError)) throw error;
      return false;
    }
  });
  return (await Promise.all(asked)).includes(true);
}
