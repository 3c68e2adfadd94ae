import type { NodeId } from "../../raft/types.ts";
import type { Cluster, StateMachine } from "../state/machine.ts";

/** The members by what is committed in the log that a start has found, which may be ahead of what is applied. */
export interface MembersAhead {
  readonly index: number;
  readonly cluster: Cluster;
}

/**
 * Whose raft messages are taken. Not those of a removed member, from the moment that its removal is committed here: after
 * --force-new-cluster it may know of a leader and of entries that this cluster must never hear of, and between a start and
 * the applying of its removal it would still be asked, and answered.
 *
 * And not those of a stranger while this member is the only voter. Who is the only voter has decided every change since,
 * so a member that it does not know cannot be one: it was added by those that were removed by force, after this member
 * had lost touch with them.
 */
export class Admission {
  readonly #memberId: NodeId;
  readonly #machine: Pick<StateMachine, "appliedIndex" | "cluster">;
  readonly #ahead: MembersAhead;

  constructor(memberId: NodeId, machine: Pick<StateMachine, "appliedIndex" | "cluster">, ahead: MembersAhead) {
    this.#memberId = memberId;
    this.#machine = machine;
    this.#ahead = ahead;
  }

  isRemoved(id: NodeId): boolean {
    return this.#cluster().isRemoved(id);
  }

  admits(from: NodeId): boolean {
    const cluster = this.#cluster();
    if (cluster.member(from) !== undefined) return true;
    return !cluster.isRemoved(from) && !this.#isOnlyVoterOf(cluster);
  }

  #isOnlyVoterOf(cluster: Cluster): boolean {
    const voters = cluster.members().filter(({ isLearner }) => !isLearner);
    return voters.length === 1 && voters[0]?.id === this.#memberId;
  }

  #cluster(): Cluster {
    return this.#machine.appliedIndex < this.#ahead.index ? this.#ahead.cluster : this.#machine.cluster;
  }
}
