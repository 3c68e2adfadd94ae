import { Etcd3 } from "etcd3";
import type { Cluster, MemberProcess } from "../cluster.ts";
import type { Stage } from "./feature.ts";

/** The stage of one feature after the other on the same cluster. */
export class ClusterStage implements Stage {
  readonly cluster: Cluster;
  readonly #members: ReadonlyMap<string, MemberProcess>;
  readonly #clients: Etcd3[] = [];

  private constructor(cluster: Cluster, members: ReadonlyMap<string, MemberProcess>) {
    this.cluster = cluster;
    this.#members = members;
  }

  static async of(cluster: Cluster): Promise<ClusterStage> {
    const named = await Promise.all(
      cluster.members.map(async (member) => {
        const { header } = await cluster.client(member).status();
        return [String(header?.memberId), member] as const;
      }),
    );
    return new ClusterStage(cluster, new Map(named));
  }

  connect(hosts: readonly string[] = this.cluster.endpoints): Etcd3 {
    const client = new Etcd3({ hosts: [...hosts] });
    this.#clients.push(client);
    return client;
  }

  memberOf({ member_id }: { readonly member_id: string }): MemberProcess {
    const member = this.#members.get(member_id);
    if (member === undefined) throw new Error(`no member has the id ${member_id}`);
    return member;
  }

  async kill(member: MemberProcess): Promise<void> {
    await member.kill("SIGKILL");
  }

  async restart(member: MemberProcess): Promise<void> {
    member.start();
    await this.cluster.ready([member]);
  }

  /** Closes the clients and starts whoever was left dead. */
  async clear(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close();
    await Promise.all(this.cluster.members.filter(({ running }) => !running).map((member) => this.restart(member)));
    await this.cluster.leader();
  }
}
