import { memberKey } from "../../storage/schema.ts";
import type { Cluster } from "../state/machine.ts";

const NEVER = "0001-01-01T00:00:00Z";

interface V2Node {
  readonly Path: string;
  readonly CreatedIndex: number;
  readonly ModifiedIndex: number;
  readonly ExpireTime: string;
  readonly Value: string;
  readonly Children: Readonly<Record<string, V2Node>> | null;
}

/**
 * The old store as etcd 3.5 and 3.6 want it in front of a snapshot's file (contract P-13): members, those removed, and the
 * cluster's version. Quorate itself reads all of that from the file. `removed` is what the cluster remembers for good.
 */
export function v2StoreJson(cluster: Cluster, index: number): string {
  const leaf = (path: string, value: string): V2Node => ({
    Path: path,
    CreatedIndex: index,
    ModifiedIndex: index,
    ExpireTime: NEVER,
    Value: value,
    Children: null,
  });
  const directory = (path: string, children: Readonly<Record<string, V2Node>>): V2Node => ({
    ...leaf(path, ""),
    Children: children,
  });
  const members: Record<string, V2Node> = {};
  for (const { id, name, peerURLs, clientURLs, isLearner } of cluster.members()) {
    const path = `/0/members/${memberKey(id)}`;
    const raft = JSON.stringify({ peerURLs, ...(isLearner ? { isLearner } : {}) });
    const attributes = JSON.stringify({
      ...(name === "" ? {} : { name }),
      ...(clientURLs.length > 0 ? { clientURLs } : {}),
    });
    members[memberKey(id)] = directory(path, {
      raftAttributes: leaf(`${path}/raftAttributes`, raft),
      ...(name === "" ? {} : { attributes: leaf(`${path}/attributes`, attributes) }),
    });
  }
  const removed: Record<string, V2Node> = {};
  for (const id of cluster.removed()) {
    removed[memberKey(id)] = leaf(`/0/removed_members/${memberKey(id)}`, "");
  }
  const root = directory("/", {
    "0": directory("/0", {
      members: directory("/0/members", members),
      removed_members: directory("/0/removed_members", removed),
      ...(cluster.version === undefined ? {} : { version: leaf("/0/version", cluster.version) }),
    }),
    "1": directory("/1", {}),
  });
  const history = { Queue: { Events: [], Size: 0, Front: 0, Back: 0, Capacity: 1000 }, StartIndex: 0, LastIndex: 0 };
  return JSON.stringify({
    Root: root,
    WatcherHub: { EventHistory: history },
    CurrentIndex: index,
    Stats: {},
    CurrentVersion: 2,
  });
}
