import { encode } from "../../proto/codec.ts";
import { ConfChange, ConfChangeType } from "../../proto/generated/raftpb.ts";
import { ENTRY_CONF_CHANGE, type Entry } from "../../raft/types.ts";
import { memberJson } from "../../storage/stored-json.ts";
import type { Config } from "../config.ts";
import { ConfigError } from "../flag-values.ts";
import { memberIdOf } from "./ids.ts";

/** How a new cluster begins, the same on every one of its members. */
export interface Founding {
  /** Of the member that the configuration is of. */
  readonly memberId: bigint;
  /** Of all members, ascending. */
  readonly memberIds: readonly bigint[];
  /** P-30: every member begins with the same entries, as if they had been agreed on in term 1. */
  readonly entries: readonly Entry[];
}

/** Throws ConfigError. */
export function foundingOf(config: Config): Founding {
  const members = config.initialCluster
    .map((peer) => ({ id: memberIdOf(peer.urls, config.initialClusterToken), name: peer.name, urls: peer.urls }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const own = members.find((member) => member.name === config.name);
  if (own === undefined) throw new ConfigError(`--initial-cluster has no member "${config.name}"`);
  const entries: Entry[] = members.map((member, position) => ({
    type: ENTRY_CONF_CHANGE,
    term: 1,
    index: position + 1,
    data: encode(
      ConfChange,
      ConfChange.create({
        type: ConfChangeType.ConfChangeAddNode,
        nodeId: member.id,
        context: Buffer.from(
          memberJson({ id: member.id, name: member.name, peerURLs: member.urls, clientURLs: [], isLearner: false }),
        ),
      }),
    ),
  }));
  return { memberId: own.id, memberIds: members.map(({ id }) => id), entries };
}
