import { type Raft, status } from "../../raft/raft.ts";
import type { Input, SoftState } from "../../raft/types.ts";
import { errors } from "../api/errors.ts";
import type { Env } from "../env.ts";
import type { Logger } from "../log.ts";
import type { PeerTransport } from "../peer/transport.ts";
import { hexId } from "./ids.ts";

export interface LeadershipDeps {
  readonly env: Env;
  readonly log: Logger;
  readonly memberId: bigint;
  readonly raft: Raft;
  readonly transport: Pick<PeerTransport, "activeSince">;
  readonly softState: () => SoftState;
  readonly enqueue: (input: Input) => void;
  /** A transfer that takes longer is given up by the core. */
  readonly electionMs: number;
}

const POLL_MS = 2;

/** Moving the lead from member to member on purpose, so that nobody has to wait for an election. */
export class Leadership {
  readonly #deps: LeadershipDeps;

  constructor(deps: LeadershipDeps) {
    this.#deps = deps;
  }

  /** If this member leads: another one does, if one can. */
  async handOver(why: string): Promise<void> {
    const { raft, memberId, transport, softState, log } = this.#deps;
    if (softState().role !== "leader") return;
    const target = status(raft)
      .progress.filter((peer) => peer.id !== memberId && !peer.learner)
      .map((peer) => ({ id: peer.id, since: transport.activeSince(peer.id) }))
      .flatMap((peer) => (peer.since === undefined ? [] : [{ ...peer, since: peer.since }]))
      .sort((a, b) => a.since - b.since)[0];
    if (target === undefined) return;
    log.info({ to: hexId(target.id) }, `handing leadership over ${why}`);
    await this.#transfer(memberId, target.id);
  }

  /** Asks the leader to hand over to this member. */
  async takeOver(from: bigint, why: string): Promise<void> {
    this.#deps.log.info({ from: hexId(from) }, `asking for the leadership ${why}`);
    await this.#transfer(from, this.#deps.memberId);
  }

  /**
   * N-14: resolves when this member sees the voter lead that it was told to hand over to; itself is no change. What the
   * core gives up is not asked for again, so a caller does not wait for a member that cannot take over.
   */
  async moveTo(target: bigint): Promise<void> {
    const { raft, memberId, softState, log } = this.#deps;
    if (softState().role !== "leader") throw errors.notLeader;
    const voter = status(raft).progress.find(({ id, learner }) => id === target && !learner);
    if (voter === undefined) throw errors.badLeaderTransferee;
    if (target === memberId) return;
    log.info({ to: hexId(target) }, "handing leadership over on request");
    await this.#transfer(memberId, target);
    if (softState().leader !== target) throw errors.timeoutLeaderTransfer;
  }

  /** Resolves when another member than `from` leads; or, with a word in the log, when that does not come about in time. */
  async #transfer(from: bigint, to: bigint): Promise<void> {
    const { env, log, memberId, transport, softState, enqueue, electionMs } = this.#deps;
    const { term } = softState();
    enqueue({ kind: "transferLeader", to });
    const end = env.now() + electionMs;
    while (env.now() < end) {
      const now = softState();
      if (now.term > term && now.leader !== 0n && now.leader !== from) return;
      if (to !== memberId && transport.activeSince(to) === undefined) break;
      await new Promise<void>((resolve) => {
        env.setTimer(resolve, POLL_MS);
      });
    }
    log.warn({ to: hexId(to) }, "leadership was not taken over in time");
  }
}
