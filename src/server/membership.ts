import { type Member, type MemberAddResponse, Member as memberCodec } from "../../proto/generated/etcdserverpb.ts";
import { type ConfChange, ConfChangeType } from "../../proto/generated/raftpb.ts";
import { commitIndex, type Raft, status } from "../../raft/raft.ts";
import type { SoftState } from "../../raft/types.ts";
import { memberJson, parseMembersJson, StoredJsonError } from "../../storage/stored-json.ts";
import { type ApiError, errors } from "../api/errors.ts";
import type { Env } from "../env.ts";
import { PeerCallError, type PeerTransport } from "../peer/transport.ts";
import type { Applied, Cluster } from "../state/machine.ts";
import { waitUntilApplied } from "./applied-wait.ts";
import type { CallLimits } from "./call-limits.ts";
import { addedMemberIdOf } from "./ids.ts";
import type { Leadership } from "./leadership.ts";
import { refusalOfAdd, refusalOfPromotion, refusalOfRemoval, type View } from "./reconfiguration.ts";
import type { MembershipChanges } from "./server.ts";

export interface MembershipDeps {
  readonly env: Env;
  readonly memberId: bigint;
  readonly cluster: Cluster;
  readonly raft: Raft;
  readonly transport: Pick<PeerTransport, "activeSince" | "request">;
  readonly softState: () => SoftState;
  readonly appliedIndex: () => number;
  readonly leadership: Pick<Leadership, "handOver" | "takeOver">;
  readonly propose: (change: Omit<ConfChange, "id">, limits: CallLimits) => Promise<Applied>;
  /** --strict-reconfig-check */
  readonly strict: boolean;
  readonly requestTimeoutMs: number;
}

/** A connection that has held this long will probably go on holding (M-4). */
const ACTIVE_MS = 5_000;
/** How much of the leader's log a learner must have to be promoted (M-5). */
const READY_PART = 0.9;
/** Changes that wait for their turn. */
const MAX_WAITING = 64;
const RETRY_MS = 50;

const NO_CONTEXT = new Uint8Array(0);

/** What a leader answers to POST /members/promote that is not a list of members (P-37). */
const promotionErrors: readonly ApiError[] = [
  errors.memberNotFound,
  errors.learnerNotReady,
  errors.memberNotLearner,
  errors.notEnoughStartedMembers,
  errors.timeoutWaitApplied,
];

/** What one says (or 503, from one that starts) that has not begun anything: whoever leads by now may be asked. */
const untried: readonly ApiError[] = [errors.notLeader, errors.tooManyRequests];

/**
 * Changes of the membership, asked of this member: checked here, proposed, decided when they are applied (M-2..M-6).
 * One at a time, so that each is checked against what the one before has come to.
 */
export class Membership implements MembershipChanges {
  readonly #deps: MembershipDeps;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(deps: MembershipDeps) {
    this.#deps = deps;
  }

  add(peerURLs: readonly string[], isLearner: boolean, limits: CallLimits): Promise<MemberAddResponse> {
    return this.#inTurn(limits, async () => {
      this.#check((view) => refusalOfAdd(view, isLearner));
      const { env } = this.#deps;
      const id = addedMemberIdOf(peerURLs, env.wallClock());
      const context = memberJson({ id, name: "", peerURLs, clientURLs: [], isLearner });
      const { ConfChangeAddNode, ConfChangeAddLearnerNode } = ConfChangeType;
      return this.#change(isLearner ? ConfChangeAddLearnerNode : ConfChangeAddNode, id, context, limits);
    });
  }

  remove(id: bigint, limits: CallLimits): Promise<readonly Member[]> {
    return this.#inTurn(limits, async () => {
      this.#check((view) => refusalOfRemoval(view, id));
      await this.#relieve(id);
      const { members } = await this.#change(ConfChangeType.ConfChangeRemoveNode, id, "", limits);
      return members;
    });
  }

  update(id: bigint, peerURLs: readonly string[], limits: CallLimits): Promise<readonly Member[]> {
    return this.#inTurn(limits, async () => {
      const context = memberJson({ id, name: "", peerURLs, clientURLs: [], isLearner: false });
      return (await this.#change(ConfChangeType.ConfChangeUpdateNode, id, context, limits)).members;
    });
  }

  /** Only the leader knows how far a learner is; so whoever leads is asked until somebody decides (G-13). */
  async promote(id: bigint, limits: CallLimits): Promise<readonly Member[]> {
    const { env, softState, requestTimeoutMs } = this.#deps;
    const end = Math.min(env.now() + requestTimeoutMs, limits.deadline ?? Number.POSITIVE_INFINITY);
    for (;;) {
      const { role, leader } = softState();
      const members =
        role === "leader"
          ? await this.#unlessNotLeader(this.promoteHere(id, limits))
          : leader === 0n
            ? undefined
            : await this.#promoteThere(leader, id, Math.max(1, end - env.now()));
      if (members !== undefined) return members;
      if (limits.aborted) throw errors.canceled;
      if (env.now() + RETRY_MS >= end) {
        if (end === limits.deadline) throw errors.deadlineExceeded;
        throw softState().leader === 0n ? errors.noLeader : errors.timeout;
      }
      await this.#sleep(RETRY_MS);
    }
  }

  /** The leader's own part; rejects with notLeader elsewhere. */
  promoteHere(id: bigint, limits: CallLimits): Promise<readonly Member[]> {
    return this.#inTurn(limits, async () => {
      const { env, raft, appliedIndex } = this.#deps;
      await waitUntilApplied(env, commitIndex(raft), appliedIndex);
      this.#checkProgress(id);
      this.#check(refusalOfPromotion);
      // P-24: a member without URLs; memberJson has no form for what only this entry says.
      const context = `{"id":${id},"peerURLs":null,"isPromote":true}`;
      return (await this.#change(ConfChangeType.ConfChangeAddNode, id, context, limits)).members;
    });
  }

  async #change(type: number, nodeId: bigint, context: string, limits: CallLimits): Promise<MemberAddResponse> {
    const change = { type, nodeId, context: context === "" ? NO_CONTEXT : Buffer.from(context) };
    const { result } = await this.#deps.propose(change, limits);
    if (result.kind === "error") throw result.error;
    // What apply makes of a change of the membership (src/state/apply.ts); only of an added one there is a `member`.
    return (result as { readonly response: MemberAddResponse }).response;
  }

  #check(refusal: (view: View) => ApiError | undefined): void {
    const { env, memberId, cluster, transport, strict } = this.#deps;
    if (!strict) return;
    const activeSince = (id: bigint): number | undefined =>
      id === memberId ? Number.NEGATIVE_INFINITY : transport.activeSince(id);
    const error = refusal({
      members: cluster.members(),
      isActive: (id) => env.now() - (activeSince(id) ?? Number.POSITIVE_INFINITY) > ACTIVE_MS,
      isReachable: (id) => activeSince(id) !== undefined,
    });
    if (error !== undefined) throw error;
  }

  /** Match indexes are known to a leader only. */
  #checkProgress(id: bigint): void {
    const { role, id: own, progress } = status(this.#deps.raft);
    if (role !== "leader") throw errors.notLeader;
    const match = progress.find((each) => each.id === id)?.match;
    const leaderMatch = progress.find((each) => each.id === own)?.match ?? 0;
    if (match === undefined) throw errors.memberNotFound;
    if (match < leaderMatch * READY_PART) throw errors.learnerNotReady;
  }

  /**
   * A leader that removes itself leaves the others to wait for an election, and they may need to hear from it what it
   * has committed (raft/README.md). So it hands over first. When that fails, the removal goes on without.
   */
  async #relieve(id: bigint): Promise<void> {
    const { leadership, memberId, softState } = this.#deps;
    if (softState().leader !== id) return;
    if (id === memberId) await leadership.handOver("before it is removed");
    else await leadership.takeOver(id, "before that member is removed");
  }

  async #unlessNotLeader<T>(promise: Promise<T>): Promise<T | undefined> {
    try {
      return await promise;
    } catch (error) {
      if (error === errors.notLeader) return undefined;
      throw error;
    }
  }

  /**
   * Undefined: whoever leads is to be asked again. A leader that may have acted is not, for the next would refuse what is
   * done ("no learner"): not when the connection broke, nor when the one that was asked stopped, as it does when it was
   * removed by the entry before.
   */
  async #promoteThere(leader: bigint, id: bigint, timeoutMs: number): Promise<readonly Member[] | undefined> {
    try {
      const path = `/members/promote/${id}`;
      const answer = await this.#deps.transport.request(leader, { method: "POST", path, timeoutMs });
      const text = answer.body.toString("utf8");
      if (answer.status === 200)
        return parseMembersJson(text).map(({ id: ID, ...rest }) => memberCodec.create({ ID, ...rest }));
      if (answer.status === 404) throw errors.memberNotFound;
      if (answer.status === 408) throw errors.timeout;
      const error = promotionErrors.find(({ message }) => text.includes(reasonOf(message)));
      if (error !== undefined) throw error;
      if (answer.status === 503 || untried.some(({ message }) => text.includes(reasonOf(message)))) return undefined;
      throw errors.timeoutLeaderFailure;
    } catch (error) {
      if (error instanceof StoredJsonError) throw errors.timeout;
      if (!(error instanceof PeerCallError)) throw error;
      if (error.connected) throw errors.timeoutConnectionLost;
      return undefined;
    }
  }

  /** A change that was lost on its way ends with its caller's patience only; the next one does not wait for that. */
  async #inTurn<T>(limits: CallLimits, work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= MAX_WAITING) throw errors.tooManyRequests;
    this.#waiting++;
    try {
      const before = Promise.race([this.#last, this.#sleep(this.#deps.requestTimeoutMs)]);
      const mine = before.then(() => {
        if (limits.aborted) throw errors.canceled;
        return work();
      });
      // The next one's turn comes whatever became of this one.
      this.#last = mine.catch(() => undefined);
      return await mine;
    } finally {
      this.#waiting--;
    }
  }

  #sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      this.#deps.env.setTimer(resolve, milliseconds);
    });
  }
}

/** etcd's peers give a reason without, or with another, prefix. */
function reasonOf(message: string): string {
  return message.replace(/^etcdserver: /, "");
}
