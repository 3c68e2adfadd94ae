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
