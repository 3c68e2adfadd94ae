import type { Input, SoftState } from "../../raft/types.ts";
import type { Env } from "../env.ts";
import type { PeerTransport } from "../peer/transport.ts";
import type { Cluster } from "../state/machine.ts";

export interface FirstElectionDeps {
  readonly env: Env;
  readonly memberId: bigint;
  readonly cluster: Cluster;
  readonly transport: Pick<PeerTransport, "activeSince">;
  readonly softState: () => SoftState;
  readonly enqueue: (input: Input) => void;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly electionTicks: number;
  readonly isStopping: () => boolean;
}

/**
 * The first election after a start need not wait for a leader that cannot be there: as soon as a quorum is connected,
 * one tick short of a whole time-out has passed. Randomised waiting, PreVote and leases of votes stay as they are.
 */
export function advanceFirstElection(deps: FirstElectionDeps): void {
  const { env, memberId, cluster, transport, softState, enqueue, isStopping } = deps;
  const startedAt = env.now();
  const look = (): void => {
    if (isStopping() || softState().leader !== 0n || env.now() - startedAt > deps.electionMs) return;
    const voters = cluster.members().filter((member) => !member.isLearner);
    const up = voters.filter((member) => member.id === memberId || transport.activeSince(member.id) !== undefined);
    if (voters.length === 0 || up.length < Math.floor(voters.length / 2) + 1) {
      env.setTimer(look, deps.heartbeatMs / 2);
    } else if (voters.length === 1) {
      enqueue({ kind: "campaign" });
    } else {
      for (let tick = 0; tick < deps.electionTicks - 1; tick++) enqueue({ kind: "tick" });
    }
  };
  env.nextTurn(look);
}
