import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rpcs } from "../../../proto/generated/services.ts";
import type { ApiClient, ServiceError } from "../client.ts";
import { Cluster, freePorts, memberAt, type Place, quorate } from "../cluster.ts";
import { joining } from "../reconfigure.ts";
import { until } from "../until.ts";

/** Long enough that nobody elects another leader because the machine is busy. */
const STEADY = ["--election-timeout=3000"];
const PROGRESS_INTERVAL = "watch-progress-notify-interval=200ms";
/** The term in which the first member leads when the commands begin. */
const TERM = 6;

/**
 * Where the clusters that are compared live, one after the other: with the same addresses and token members and cluster
 * have the same ids, and with the same leader in the same term everything else in a header is the same, too.
 */
export interface Site {
  readonly directory: string;
  readonly founders: readonly Place[];
}

export async function findSite(): Promise<Site> {
  const names = ["m1", "m2", "m3"];
  const ports = await freePorts(2 * names.length);
  const founders = names.map((name, i) => ({ name, client: ports[2 * i] as number, peer: ports[2 * i + 1] as number }));
  return { directory: await mkdtemp(join(tmpdir(), "quorate-etcdctl-")), founders };
}

/** One of the two that are compared. */
export class Side {
  readonly cluster: Cluster;
  readonly binary: string;
  readonly #site: Site;
  /** What `$name` stands for in the words of a command. */
  readonly words = new Map<string, string>();
  readonly #ids = new Set<string>();
  #leases = 0x1000;
  #addresses = 0;
  #started = 0;
  #isSettled = false;
  /** Of the last member that was added and started; the one thing that is not the same on both sides. */
  #place: Place | undefined;

  private constructor(site: Site, binary: string) {
    const flags = [...STEADY, `--${binary === quorate ? "" : "experimental-"}${PROGRESS_INTERVAL}`];
    const initial = site.founders.map(({ name, peer }) => `${name}=http://127.0.0.1:${peer}`).join(",");
    const members = site.founders.map((place) => memberAt(site.directory, place, initial, flags, binary));
    this.cluster = new Cluster(members, site.directory);
    this.binary = binary;
    this.#site = site;
  }

  static async start(site: Site, binary = quorate): Promise<Side> {
    await rm(site.directory, { recursive: true, force: true });
    const side = new Side(site, binary);
    try {
      for (const member of side.cluster.members) member.start();
      await side.cluster.ready();
      await side.#lead();
    } catch (error) {
      await side.end();
      throw error;
    }
    return side;
  }

  end(): Promise<void> {
    return this.cluster.destroy();
  }

  get endpoints(): string[] {
    return this.cluster.endpoints.slice(0, this.#site.founders.length);
  }

  get client() {
    return this.cluster.client(this.cluster.member(0));
  }

  /** Moves the lead about until the first member leads in the term that is wanted. */
  async #lead(): Promise<void> {
    const { members } = this.cluster;
    const ids = await Promise.all(
      members.map(async (member) => (await this.cluster.client(member).status()).header?.memberId ?? 0n),
    );
    const { header } = await this.client.status();
    for (const id of [...ids, header?.clusterId ?? 0n]) this.#ids.add(id.toString(16)).add(String(id));
    this.words.set("taken", members[0]?.peerUrl ?? "");
    this.words.set("file", join(this.#site.directory, "snapshot.db"));
    ids.forEach((id, i) => void this.words.set(`m${i + 1}`, id.toString(16)));
    for (;;) {
      const leader = await this.cluster.leader();
      const position = members.indexOf(leader);
      const left = TERM - (await this.cluster.client(leader).status()).raftTerm;
      if (left === 0 && position === 0) return;
      if (left < 1 || (left === 1 && position === 0)) throw new Error(`${this.binary} holds too many elections`);
      const next = left === 1 ? 0 : position === 1 ? 2 : 1;
      await this.cluster.client(leader).unary(rpcs.MaintenanceMoveLeader, { targetID: ids[next] as bigint });
    }
  }

  async revision(): Promise<number> {
    return (await this.client.status()).header?.revision ?? 0;
  }

  async put(...pairs: string[]): Promise<void> {
    for (const pair of pairs) {
      const [key = "", value = ""] = pair.split("=");
      await this.client.put(key, value);
    }
  }

  /** A lease whose id is not left to chance: `$lease`. */
  async lease(): Promise<bigint> {
    const id = BigInt(this.#leases++);
    await this.client.unary(rpcs.LeaseLeaseGrant, { ID: id, TTL: 600 });
    this.words.set("lease", id.toString(16));
    return id;
  }

  /** Changes of the membership are refused until connections have held for a while (M-4). */
  async #settle(): Promise<void> {
    if (this.#isSettled) return;
    const peerURLs = [`http://127.0.2.1:${this.#site.founders[0]?.peer}`];
    await until("members may be added", () =>
      this.client.unary(rpcs.ClusterMemberAdd, { peerURLs, isLearner: true }).then(
        () => true,
        (error: ServiceError) => {
          if (!error.details.includes("unhealthy cluster")) throw error;
          return false;
        },
      ),
    );
    this.#isSettled = true;
  }

  /** Whoever was added goes; `$new` is an address where nobody was yet, for an id is never used again. */
  async forgetAdded(): Promise<void> {
    await this.#settle();
    const { members } = await this.client.unary(rpcs.ClusterMemberList, {});
    for (const { ID } of members) {
      if (!this.isKnown(ID.toString(16))) await this.client.unary(rpcs.ClusterMemberRemove, { ID });
    }
    this.words.set("new", `http://127.0.1.${++this.#addresses}:${this.#site.founders[0]?.peer}`);
  }

  /** One more member at that address, not started: `$added`. */
  async add(isLearner = true): Promise<void> {
    await this.forgetAdded();
    await this.#add(isLearner);
  }

  async #add(isLearner: boolean): Promise<void> {
    const peerURLs = [this.words.get("new") ?? ""];
    const { member } = await this.client.unary(rpcs.ClusterMemberAdd, { peerURLs, isLearner });
    this.words.set("added", (member?.ID ?? 0n).toString(16));
  }

  /** A learner that runs and has the whole log: `$added`. */
  async startAdded(): Promise<void> {
    await this.forgetAdded();
    const [client = 0, peer = 0] = await freePorts(2);
    const place = { name: `m${4 + this.#started++}`, client, peer };
    this.#place = place;
    this.words.set("new", `http://127.0.0.1:${place.peer}`);
    await this.#add(true);
    const all = [...this.#site.founders, place].map(({ name, peer }) => `${name}=http://127.0.0.1:${peer}`).join(",");
    const learner = joining(this.cluster, place, all, { extraFlags: STEADY, binary: this.binary });
    await this.cluster.ready([learner]);
    const applied = async (client: ApiClient): Promise<number> => (await client.status()).raftAppliedIndex;
    await until("the learner has the log", async () => {
      return (await applied(this.cluster.client(learner))) >= (await applied(this.client));
    });
  }

  /** The text with other words for the addresses of the member that was added and started. */
  hidePlace(text: string): string {
    if (this.#place === undefined) return text;
    const { client, peer } = this.#place;
    return text.replaceAll(`127.0.0.1:${client}`, "CLIENTS").replaceAll(`127.0.0.1:${peer}`, "PEERS");
  }

  /** An id, in hexadecimal or decimal digits, that is the same on both sides. */
  isKnown(id: string): boolean {
    return this.#ids.has(id);
  }
}
