import type { Etcd3 } from "etcd3";
import type { Cluster, MemberProcess } from "../cluster.ts";

/** One row of the table in docs/compatibility.md: what the package offers, and how it was seen to work. */
export interface Feature {
  readonly name: string;
  readonly shown: string;
  run(stage: Stage): Promise<void>;
}

/** What a feature plays on: a running cluster of three, all of it in order again when the feature ends. */
export interface Stage {
  readonly cluster: Cluster;
  /** A stock client that knows all members (or these), closed at the end of the feature. */
  connect(hosts?: readonly string[]): Etcd3;
  /** The member that gave this answer. */
  memberOf(header: { readonly member_id: string }): MemberProcess;
  /** SIGKILL. */
  kill(member: MemberProcess): Promise<void>;
  restart(member: MemberProcess): Promise<void>;
}
