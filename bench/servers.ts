/** The servers that are measured: members of Quorate or etcd as an operator would start them, or any that run already. */
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { engineFlags } from "../scripts/engine-flags.ts";
import { ApiClient } from "../test/e2e/client.ts";
import { Cluster, freePorts, MemberProcess, memberAt, quorate } from "../test/e2e/cluster.ts";
import { etcdBinary } from "../test/e2e/etcdctl.ts";

export type Maker = "quorate" | "etcd" | "other";

export interface Server {
  readonly endpoint: string;
  /** Undefined when it is not ours. */
  readonly pid: number | undefined;
}

export interface Servers {
  readonly maker: Maker;
  readonly members: readonly Server[];
  /** By what the members say themselves. */
  leader(): Promise<Server>;
  /** Highest that a member has. */
  revision(): Promise<number>;
  end(): Promise<void>;
}

export interface StartOptions {
  readonly members: number;
  readonly flags: readonly string[];
  /** Where the data directories come to lie. */
  readonly dataDirectory: string;
  /** Members write a CPU profile into it when they end. */
  readonly cpuProfile: string | undefined;
}

const LEADER_TIMEOUT_MS = 30_000;
const LOOK_MS = 50;
const END_TIMEOUT_MS = 30_000;

export async function startServers(maker: "quorate" | "etcd", options: StartOptions): Promise<Servers> {
  const binary = maker === "quorate" ? quorate : etcdBinary;
  if (binary === undefined)
    throw new Error("there is no etcd to compare with: have one on PATH, or name it in ETCD_BIN");
  const cluster = await clusterOf(binary, options, maker === "quorate" ? options.cpuProfile : undefined);
  try {
    for (const member of cluster.members) member.start();
    await cluster.ready();
    await cluster.leader(LEADER_TIMEOUT_MS);
  } catch (error) {
    await cluster.destroy();
    throw error;
  }
  const members = cluster.members.map(({ endpoint, pid }) => ({ endpoint, pid }));
  const known = query(members);
  return {
    maker,
    members,
    leader: known.leader,
    revision: known.revision,
    async end() {
      known.close();
      // A profile is written by a process that ends in order.
      if (options.cpuProfile !== undefined) {
        const ended = Promise.all(cluster.members.map((member) => member.kill("SIGTERM")));
        await Promise.race([ended, pause(END_TIMEOUT_MS, undefined, { ref: false })]);
      }
      await cluster.destroy();
    },
  };
}

async function clusterOf(binary: string, options: StartOptions, cpuProfile: string | undefined): Promise<Cluster> {
  const directory = await mkdtemp(join(options.dataDirectory, "quorate-bench-"));
  const ports = await freePorts(2 * options.members);
  const places = Array.from({ length: options.members }, (_, i) => ({
    name: `m${i + 1}`,
    client: ports[2 * i] as number,
    peer: ports[2 * i + 1] as number,
  }));
  const initial = places.map(({ name, peer }) => `${name}=http://127.0.0.1:${peer}`).join(",");
  const members = places.map((place) => memberAt(directory, place, initial, options.flags, binary));
  if (cpuProfile !== undefined)
    return new Cluster(
      members.map((member) => profiled(member, cpuProfile)),
      directory,
    );
  return new Cluster(members, directory);
}

/** The same member, by a Node that writes a CPU profile when it ends. NODE_OPTIONS may not ask for one. */
function profiled({ name, dataDir, clientPort, peerPort, flags }: MemberProcess, directory: string): MemberProcess {
  const words = [...engineFlags(quorate), "--cpu-prof", `--cpu-prof-dir=${directory}`, quorate, ...flags];
  return new MemberProcess(name, dataDir, clientPort, peerPort, words, process.execPath);
}

/** Servers that somebody else runs; nothing is known of their processes. */
export function otherServers(urls: readonly string[]): Servers {
  const members = urls.map((url) => ({ endpoint: endpointOf(url), pid: undefined }));
  const known = query(members);
  return {
    maker: "other",
    members,
    leader: known.leader,
    revision: known.revision,
    async end() {
      known.close();
    },
  };
}

export function endpointOf(url: string): string {
  const parsed = new URL(url.includes("://") ? url : `http://${url}`);
  if (parsed.protocol !== "http:" || parsed.port === "") throw new Error(`not http://HOST:PORT: ${url}`);
  return parsed.host;
}

interface Known {
  leader(): Promise<Server>;
  revision(): Promise<number>;
  close(): void;
}

function query(members: readonly Server[]): Known {
  const clients = members.map(({ endpoint }) => new ApiClient(endpoint));
  const statuses = () => Promise.all(clients.map((client) => client.status()));
  return {
    async leader() {
      const deadline = Date.now() + LEADER_TIMEOUT_MS;
      for (;;) {
        const answers = await statuses();
        const at = answers.findIndex(({ header, leader }) => leader !== 0n && header?.memberId === leader);
        const found = members[at];
        if (found !== undefined && answers.every(({ leader }) => leader === answers[at]?.leader)) return found;
        if (Date.now() > deadline) throw new Error("none of the servers is the leader of all");
        await pause(LOOK_MS);
      }
    },
    revision: async () => Math.max(...(await statuses()).map(({ header }) => header?.revision ?? 0)),
    close: () => {
      for (const client of clients) client.close();
    },
  };
}
