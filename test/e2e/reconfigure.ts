import { type Cluster, freePorts, type MemberProcess, memberAt, type Place, quorate } from "./cluster.ts";
import { etcdctl, tryEtcdctl } from "./etcdctl.ts";

const PATIENCE_MS = 60_000;

/** The log is cut every few hundred puts, and hardly anything of it is kept: whoever was away needs a snapshot. */
export const SHORT_LOG = [
  "--max-wals=1",
  "--wal-segment-bytes=65536",
  "--snapshot-catchup-entries=20",
  "--backend-batch-interval=20ms",
];

/** The strict checks count on connections that have held for a while (M-4); until then one tries again. */
export async function patiently(endpoints: readonly string[], ...words: string[]): Promise<string> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const { code, stdout, stderr } = await tryEtcdctl(endpoints, ...words);
    if (code === 0) return stdout;
    if (!stderr.includes("etcdserver: unhealthy cluster") || Date.now() > deadline) {
      throw new Error(`etcdctl ${words.join(" ")}: exit ${code}\n${stdout}${stderr}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** As an operator does it: `member add`, then a start with what that printed. The new process is not waited for. */
export async function addMember(
  cluster: Cluster,
  name: string,
  options: { learner?: boolean; extraFlags?: readonly string[]; binary?: string } = {},
): Promise<MemberProcess> {
  const [client, peer] = (await freePorts(2)) as [number, number];
  const words = ["member", "add", name, `--peer-urls=http://127.0.0.1:${peer}`];
  const printed = await patiently(endpointsOf(cluster), ...words, ...(options.learner === true ? ["--learner"] : []));
  const initial = /ETCD_INITIAL_CLUSTER="([^"]+)"/.exec(printed)?.[1];
  if (initial === undefined) throw new Error(`member add printed ${printed}`);
  return joining(cluster, { name, client, peer }, initial, options);
}

export function joining(
  cluster: Cluster,
  place: Place,
  initial: string,
  options: { extraFlags?: readonly string[]; binary?: string } = {},
): MemberProcess {
  const flags = ["--initial-cluster-state=existing", ...(options.extraFlags ?? [])];
  const member = memberAt(cluster.directory, place, initial, flags, options.binary ?? quorate);
  cluster.include(member);
  member.start();
  return member;
}

export async function idOf(cluster: Cluster, member: MemberProcess): Promise<string> {
  // A learner answers no such question: of several members the others are asked.
  const others = cluster.members.filter((other) => other !== member && other.running).map(({ endpoint }) => endpoint);
  const asked = others.length > 0 ? others : [member.endpoint];
  for (const line of (await etcdctl(asked, "member", "list")).split("\n")) {
    const [id, , , peers] = line.split(", ");
    if (id !== undefined && peers === member.peerUrl) return id;
  }
  throw new Error(`${member.name} is no member`);
}

/** Removes it, and waits for its process to end by itself. */
export async function removeMember(
  cluster: Cluster,
  member: MemberProcess,
): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }> {
  const others = cluster.members.filter((other) => other !== member && other.running);
  const endpoints = others.map((other) => other.endpoint);
  await patiently(endpoints, "member", "remove", await idOf(cluster, member));
  cluster.exclude(member);
  return await member.exited();
}

export function endpointsOf(cluster: Cluster): string[] {
  return cluster.members.filter((member) => member.running).map((member) => member.endpoint);
}
