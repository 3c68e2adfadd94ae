import { type MemberRecord, parseMembersJson, StoredJsonError } from "../../storage/stored-json.ts";
import type { Config } from "../config.ts";
import { ConfigError, type PeerSpec } from "../flag-values.ts";
import type { Logger } from "../log.ts";
import { PeerCallError, type PeerResponse } from "../peer/transport.ts";
import { ETCD_API_VERSION } from "../version.ts";
import { compareVersions } from "./cluster-version.ts";
import { hexId } from "./ids.ts";

export interface JoinDeps {
  readonly log: Logger;
  /** GET of a peer URL's path; rejects with PeerCallError when nobody answers in time. */
  readonly askPeer: (url: string, path: string, timeoutMs: number) => Promise<PeerResponse>;
  /** The address of a host name. Rejects when it has none. */
  readonly resolveHost: (host: string) => Promise<string>;
}

/** What a running cluster says of itself and of the member that is about to join it. */
export interface JoinedCluster {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** As of now. The log that this member is going to get begins with those of long ago. */
  readonly members: readonly MemberRecord[];
}

const ASK_MS = 10_000;
const OLDEST_CLUSTER = "3.0";

/**
 * B-2, P-31: a member that was added (MemberAdd) and starts without data asks the others who it is. They must know the
 * members of --initial-cluster, by their URLs, and nobody else; ids come from them.
 */
export async function joinCluster(config: Config, deps: JoinDeps): Promise<JoinedCluster> {
  const urls = config.initialCluster.filter((peer) => peer.name !== config.name).flatMap((peer) => peer.urls);
  const specs = await resolved(config.initialCluster, deps);
  let failure = "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs";
  // A member that has not heard of the new one yet may be the first to be asked; the next may have.
  for (const url of urls) {
    const found = await askMembers(url, deps);
    if (found === undefined) continue;
    const ids = await assignIds(specs, found.members, deps);
    if (ids.kind === "mismatch") {
      failure = `error validating peerURLs ${show(found)}: ${ids.why}`;
      continue;
    }
    const memberId = ids.byName.get(config.name) as bigint;
    refuseSecondLife(config, found.members, memberId);
    await refuseOtherVersions(
      found.members.filter(({ id }) => id !== memberId),
      deps,
    );
    return { ...found, memberId };
  }
  throw new ConfigError(
    `${failure}; --initial-cluster must name all members of the running cluster and this one, which was added to it ` +
      "before (etcdctl member add prints what to say), and one of them must answer",
  );
}

interface Found {
  readonly clusterId: bigint;
  readonly members: readonly MemberRecord[];
}

async function askMembers(url: string, { askPeer, log }: JoinDeps): Promise<Found | undefined> {
  try {
    const answer = await askPeer(url, "/members", ASK_MS);
    const clusterId = answer.headers["x-etcd-cluster-id"];
    if (typeof clusterId !== "string" || !/^[0-9a-f]{1,16}$/.test(clusterId)) {
      throw new StoredJsonError(`an answer of status ${answer.status} and cluster ID ${clusterId}`);
    }
    const members = membersIn(answer);
    return members.length === 0 ? undefined : { clusterId: BigInt(`0x${clusterId}`), members };
  } catch (error) {
    // Environment: not there, or not a member. Another may be.
    if (!(error instanceof PeerCallError) && !(error instanceof StoredJsonError)) throw error;
    log.warn({ url, error: error.message }, "failed to get cluster response");
    return undefined;
  }
}

/** What a peer answered to GET /members. Throws StoredJsonError when that is no list of members. */
export function membersIn({ status, body }: PeerResponse): readonly MemberRecord[] {
  if (status !== 200) throw new StoredJsonError(`an answer of status ${status}`);
  return parseMembersJson(body.toString("utf8"));
}

type Ids =
  | { readonly kind: "ids"; readonly byName: ReadonlyMap<string, bigint> }
  | { readonly kind: "mismatch"; readonly why: string };

/** The names of the command line meet the members of the cluster where their URLs are the same. */
async function assignIds(specs: readonly PeerSpec[], members: readonly MemberRecord[], deps: JoinDeps): Promise<Ids> {
  if (members.length !== specs.length) return { kind: "mismatch", why: "member count is unequal" };
  const byName = new Map<string, bigint>();
  for (const { id, peerURLs } of members) {
    const urls = (await resolvedUrls(peerURLs, deps)).join();
    const spec = specs.find((candidate) => candidate.urls.join() === urls);
    if (spec === undefined) {
      const why = `PeerURLs: no match found for existing member (${hexId(id)}, [${peerURLs.join(" ")}])`;
      return { kind: "mismatch", why };
    }
    byName.set(spec.name, id);
  }
  return { kind: "ids", byName };
}

/** A URL names the same place however its host is spelt. */
function resolved(specs: readonly PeerSpec[], deps: JoinDeps): Promise<readonly PeerSpec[]> {
  return Promise.all(specs.map(async ({ name, urls }) => ({ name, urls: await resolvedUrls(urls, deps) })));
}

async function resolvedUrls(urls: readonly string[], { resolveHost, log }: JoinDeps): Promise<readonly string[]> {
  const all = urls.map(async (text) => {
    if (!URL.canParse(text)) return text;
    const url = new URL(text);
    try {
      return `${url.protocol}//${await resolveHost(url.hostname)}:${url.port}`;
    } catch (error) {
      // Environment: then the text has to be the same.
      log.warn({ url: text, error: String(error) }, "failed to resolve a peer URL's host");
      return text;
    }
  });
  return (await Promise.all(all)).sort();
}

function show({ clusterId, members }: Found): string {
  const list = members.map(
    ({ id, name, peerURLs }) => `${name || "(not started)"} ${hexId(id)} [${peerURLs.join(" ")}]`,
  );
  return `{ClusterID:${hexId(clusterId)} Members:[${list.join(", ")}]}`;
}

/**
 * A member that lost its disk has forgotten its votes and acknowledgements, and the leader still counts what it had.
 * One that has told its client URLs has run.
 */
export function refuseSecondLife(config: Config, members: readonly MemberRecord[], id: bigint): void {
  if (!members.some((member) => member.id === id && member.clientURLs.length > 0)) return;
  throw new ConfigError(
    `member ${hexId(id)} has already been bootstrapped: the cluster knows it, but ${config.dataDir} holds no ` +
      "data of it. Give it its data directory back, or replace it by a new member",
  );
}

/**
 * P-31: the cluster's version must be one that this member can speak; during a downgrade also one above its own. Who does
 * not know it says nothing: that is another member which has just joined, and may need this one's vote to get any further.
 */
async function refuseOtherVersions(members: readonly MemberRecord[], deps: JoinDeps): Promise<void> {
  const clusters = await Promise.all(members.map((member) => clusterVersionOf(member, deps)));
  const downgrading = await Promise.all(members.map((member) => isDowngrading(member, deps)));
  const [major = 0, minor = 0] = ETCD_API_VERSION.split(".").map(Number);
  const newest = `${major}.${downgrading.includes(true) ? minor + 1 : minor}`;
  const known = clusters.flatMap((version) =>
    version !== undefined && /^\d+\.\d+\.\d+/.test(version) ? [version] : [],
  );
  const fits = (version: string): boolean =>
    compareVersions(version, OLDEST_CLUSTER) >= 0 && compareVersions(version, newest) <= 0;
  if (known.length > 0 && known.every(fits)) return;
  throw new ConfigError(
    `incompatible with current running cluster: its version is ${known.join(", ") || "not known"}, this member speaks ` +
      `${OLDEST_CLUSTER} to ${newest}`,
  );
}

async function clusterVersionOf(member: MemberRecord, deps: JoinDeps): Promise<string | undefined> {
  const answer = await askAny(member, "/version", deps);
  if (answer === undefined) return undefined;
  try {
    const { etcdcluster } = JSON.parse(answer) as { readonly etcdcluster?: unknown };
    return typeof etcdcluster === "string" ? etcdcluster : undefined;
  } catch {
    // Environment: what answers there is no member.
    return undefined;
  }
}

async function isDowngrading(member: MemberRecord, deps: JoinDeps): Promise<boolean> {
  return (await askAny(member, "/downgrade/enabled", deps))?.trim() === "true";
}

async function askAny(
  { id, peerURLs }: MemberRecord,
  path: string,
  { askPeer, log }: JoinDeps,
): Promise<string | undefined> {
  for (const url of peerURLs) {
    try {
      const { status, body } = await askPeer(url, path, ASK_MS);
      if (status === 200) return body.toString("utf8");
    } catch (error) {
      if (!(error instanceof PeerCallError)) throw error;
      log.warn({ "remote-peer-id": hexId(id), url, path, error: error.message }, "failed to ask a member");
    }
  }
  return undefined;
}
