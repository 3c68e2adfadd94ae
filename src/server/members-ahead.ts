import { ENTRY_CONF_CHANGE, type Entry } from "../../raft/types.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import { memberKey, REMOVED_MEMBER } from "../../storage/schema.ts";
import { memberJson } from "../../storage/stored-json.ts";
import { ClusterState } from "../state/cluster.ts";
import { decodeConfChange } from "../state/entry.ts";
import type { Cluster } from "../state/machine.ts";

/** The members as they will be when these entries, which follow, are applied: by the same rules, and without applying them. */
export function membersAfter(cluster: Cluster, entries: readonly Entry[], maxLearners: number): Cluster {
  const ahead = new ClusterState(
    createMemoryBackend(),
    maxLearners,
    cluster.members().map((member) => [memberKey(member.id), Buffer.from(memberJson(member))] as const),
    cluster.removed().map((id) => [memberKey(id), REMOVED_MEMBER] as const),
  );
  for (const { type, data } of entries) {
    const change = type === ENTRY_CONF_CHANGE ? decodeConfChange(data) : undefined;
    const plan = change && ahead.plan(change);
    if (plan?.kind === "valid") ahead.perform(plan.change);
  }
  return ahead;
}

/** The membership from an entry of the log on. */
export interface MembershipFrom {
  readonly index: number;
  readonly cluster: Cluster;
}

/**
 * Every membership that may be in force, for all that a log says of it: as it was before the entries, which follow, and
 * after each change among them. Which of them are committed its owner may not have heard, or not written down.
 */
export function membershipsOf(cluster: Cluster, entries: readonly Entry[], maxLearners: number): MembershipFrom[] {
  const changes = entries.filter(({ type }) => type === ENTRY_CONF_CHANGE);
  const after = (count: number): Cluster => membersAfter(cluster, changes.slice(0, count), maxLearners);
  return [
    { index: 0, cluster: after(0) },
    ...changes.map(({ index }, place) => ({ index, cluster: after(place + 1) })),
  ];
}

/** Those that may be in force when everything up to `commit` is known to be committed; never none. */
export function notOutdated<M extends { readonly index: number }>(memberships: readonly M[], commit: number): M[] {
  return memberships.filter((_, place) => (memberships[place + 1]?.index ?? Number.POSITIVE_INFINITY) > commit);
}
