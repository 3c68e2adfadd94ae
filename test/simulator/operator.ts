import {
  MemberAddRequest,
  MemberPromoteRequest,
  MemberRemoveRequest,
  MemberUpdateRequest,
} from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import type { Rpc } from "../../src/rpc/rpc.ts";
import type { Cluster } from "./cluster.ts";
import type { FaultCounts } from "./fault-counts.ts";
import type { History, MembersRequest, Outcome, Response } from "./history.ts";
import type { Random } from "./random.ts";
import type { OpenChange, Roster } from "./roster.ts";
import { peerUrl } from "./sim-network.ts";
import type { ClientPort } from "./sim-rpc.ts";
import type { MembershipPlan } from "./swarm.ts";
import { headerOf, membersResponseOf, outcomeOfError } from "./wire.ts";
import type { Owner, World } from "./world.ts";

export interface OperatorDeps {
  readonly world: World;
  readonly random: Random;
  readonly cluster: Cluster;
  readonly port: ClientPort;
  readonly history: History;
  readonly counts: FaultCounts;
}

/** Machines that a run has at most: each member that is added gets one of its own. */
const MAX_MACHINES = 30;
const MAX_VOTERS = 7;
/** Changes nobody heard the outcome of. With more of them there is no telling what a quorum is. */
const MAX_OPEN = 3;
const TIMEOUTS_MS = [500, 2_000, 8_000] as const;
const CLIENT = 300;

/** What the operator does in one step, and when it is under way, the change that may come of it. */
interface Step {
  readonly change: OpenChange | undefined;
  readonly carryOut: (asked: number) => Promise<Outcome>;
}

/**
 * The one who adds, promotes, moves and removes members. It knows the world's truth (an operator looks at more than one
 * member before acting), asks any member, and never asks for what could leave fewer sound voters than a quorum, whatever
 * becomes of the requests whose outcome it did not hear. At most two are under way at a time.
 */
export class Operator {
  readonly #plan: MembershipPlan;
  readonly #deps: OperatorDeps;
  readonly #roster: Roster;
  readonly #owner: Owner = { name: `c${CLIENT}`, dead: false, heldUntil: 0 };
  #goal = 0;
  #addresses = 0;
  #isStopping = false;
  #busy = 0;

  constructor(plan: MembershipPlan, deps: OperatorDeps) {
    this.#plan = plan;
    this.#deps = deps;
    this.#roster = deps.cluster.roster;
  }

  /** Requests under way. */
  get busy(): number {
    return this.#busy;
  }

  start(): void {
    this.#deps.world.schedule(this.#owner, 0, "operator", () => void this.#run());
  }

  stop(): void {
    this.#isStopping = true;
  }

  async #run(): Promise<void> {
    const { world, random } = this.#deps;
    const { everyMs, pairs } = this.#plan;
    for (;;) {
      await world.delay(this.#owner, -Math.log(1 - random.fraction()) * everyMs, "operator");
      if (this.#isStopping) return;
      if (random.chance(0.03)) await this.#addRemoveAndAddAgain();
      const steps = [this.#begin()];
      if (random.chance(pairs)) steps.push(this.#begin());
      await Promise.all(steps);
    }
  }

  async #begin(): Promise<void> {
    const step = this.#choose();
    if (step !== undefined) await this.#take(step);
  }

  async #take({ change, carryOut }: Step): Promise<Outcome> {
    if (change !== undefined) this.#roster.open(change, this.#deps.world.now);
    const { kind, ...outcome } = await carryOut(this.#whomToAsk());
    // What nobody heard of stays open.
    if (change !== undefined && kind !== "unknown") this.#roster.close(change);
    return { kind, ...outcome } as Outcome;
  }

  #whomToAsk(): number {
    const { voters, learners } = this.#roster.newest;
    const { random, port } = this.#deps;
    const serving = voters.filter((number) => port.isServing(number));
    return random.pick(random.chance(0.05) ? [...voters, ...learners] : serving.length > 0 ? serving : voters);
  }

  /** Towards the next size; on the way, replacements, promotions, new addresses and mistakes. */
  #choose(): Step | undefined {
    const { random, cluster, world } = this.#deps;
    const { voters, learners } = this.#roster.newest;
    const { sizes, moves, promotes } = this.#plan;
    if (voters.length === sizes[this.#goal % sizes.length] && random.chance(0.5)) this.#goal++;
    const size = Math.min(sizes[this.#goal % sizes.length] as number, MAX_VOTERS);

    const lost = voters.concat(learners).filter((number) => cluster.machines[number - 1]?.retired === true);
    if (lost.length > 0 && random.chance(0.6)) return this.#remove(random.pick(lost));
    if (random.chance(moves)) return this.#move(random.pick(voters.concat(learners)));
    this.#roster.forget(world.now);
    if (this.#roster.openChanges.length >= MAX_OPEN) return undefined;
    if (random.chance(0.05)) return this.#mistake();
    // Also at once, when it has next to nothing: that must be refused.
    if (learners.length > 0 && random.chance(promotes)) return this.#promote(random.pick(learners));
    if (learners.length > 0 && random.chance(promotes / 5)) return this.#remove(random.pick(learners));
    if (voters.length < size) return this.#add(random.chance(0.4));
    if (voters.length > size || random.chance(0.3)) return this.#remove(this.#oneOf(voters));
    return this.#add(true);
  }

  /** Often the leader. */
  #oneOf(voters: readonly number[]): number {
    const { random, cluster } = this.#deps;
    const leader = cluster.leader()?.number;
    return leader !== undefined && voters.includes(leader) && random.chance(0.4) ? leader : random.pick(voters);
  }

  /** A machine that was meant for a member which never came to be is taken again. */
  #add(isLearner: boolean): Step | undefined {
    const { cluster } = this.#deps;
    const isFree = (number: number): boolean =>
      !this.#roster.isMember(number) && this.#roster.openChanges.every((change) => change.number !== number);
    // A founder that has not come yet would found, and not join.
    const unused = cluster.machines.find(
      ({ lives, retired, number, isFounder }) => lives === 0 && !isFounder && !retired && isFree(number),
    );
    if (unused === undefined && cluster.machines.length >= MAX_MACHINES) return undefined;
    const { number } = unused ?? cluster.add();
    const change: OpenChange = { kind: isLearner ? "addLearner" : "addVoter", number };
    if (!this.#roster.mayChange(change)) return undefined;
    return { change, carryOut: (asked) => this.#askToAdd(asked, number, isLearner) };
  }

  #askToAdd(asked: number, number: number, isLearner: boolean): Promise<Outcome> {
    const peerURL = peerUrl(number);
    const request = MemberAddRequest.create({ peerURLs: [peerURL], isLearner });
    const recorded = { kind: "members", change: "add", peerURL, isLearner } as const;
    return this.#call(asked, rpcs.ClusterMemberAdd, request, recorded, ({ members, member }) =>
      membersResponseOf(members, member),
    );
  }

  #remove(number: number): Step | undefined {
    const change: OpenChange = { kind: "remove", number };
    const id = this.#idOf(number);
    if (id === undefined || !this.#roster.mayChange(change)) return undefined;
    return { change, carryOut: (asked) => this.#askToRemove(asked, id) };
  }

  #askToRemove(asked: number, id: bigint): Promise<Outcome> {
    const request = MemberRemoveRequest.create({ ID: id });
    const recorded = { kind: "members", change: "remove", id } as const;
    return this.#call(asked, rpcs.ClusterMemberRemove, request, recorded, ({ members }) => membersResponseOf(members));
  }

  #promote(number: number): Step | undefined {
    const change: OpenChange = { kind: "promote", number };
    const id = this.#idOf(number);
    if (id === undefined || !this.#roster.mayChange(change)) return undefined;
    return { change, carryOut: (asked) => this.#askToPromote(asked, id) };
  }

  #askToPromote(asked: number, id: bigint): Promise<Outcome> {
    const request = MemberPromoteRequest.create({ ID: id });
    const recorded = { kind: "members", change: "promote", id } as const;
    return this.#call(asked, rpcs.ClusterMemberPromote, request, recorded, ({ members }) => membersResponseOf(members));
  }

  /** A further address of the same machine; all of them reach it. */
  #move(number: number): Step | undefined {
    const id = this.#idOf(number);
    if (id === undefined) return undefined;
    const peerURL = peerUrl(number, ++this.#addresses);
    const request = MemberUpdateRequest.create({ ID: id, peerURLs: [peerURL] });
    const recorded = { kind: "members", change: "update", id, peerURL } as const;
    return {
      change: undefined,
      carryOut: (asked) =>
        this.#call(asked, rpcs.ClusterMemberUpdate, request, recorded, ({ members }) => membersResponseOf(members)),
    };
  }

  /** What must be refused, now and whatever comes before it. */
  #mistake(): Step | undefined {
    const { random } = this.#deps;
    const { voters } = this.#roster.newest;
    const voter = random.pick(voters);
    const id = this.#idOf(voter);
    if (id === undefined) return undefined;
    switch (random.below(3)) {
      case 0:
        return { change: undefined, carryOut: (asked) => this.#askToRemove(asked, 77n) };
      case 1:
        return { change: undefined, carryOut: (asked) => this.#askToPromote(asked, id) };
      default:
        return { change: undefined, carryOut: (asked) => this.#askToPromote(asked, 77n) };
    }
  }

  /**
   * Within a second, so that the same URL gets the same id, which by then belongs to a member that was removed: the
   * second one must be refused, or nobody would ever talk to it.
   */
  async #addRemoveAndAddAgain(): Promise<void> {
    const added = this.#add(true);
    if (added === undefined || added.change === undefined) return;
    const { number } = added.change;
    const first = await this.#take(added);
    if (first.kind !== "ok" || first.response.kind !== "members" || first.response.added === undefined) return;
    const id = first.response.added;
    const removal: OpenChange = { kind: "remove", number };
    const second = await this.#take({ change: removal, carryOut: (asked) => this.#askToRemove(asked, id) });
    // A machine that was started meanwhile has joined under the first id, or is about to.
    if (second.kind !== "ok" || this.#deps.cluster.machines[number - 1]?.lives !== 0) return;
    const again: OpenChange = { kind: "addLearner", number };
    await this.#take({ change: again, carryOut: (asked) => this.#askToAdd(asked, number, true) });
  }

  #idOf(number: number): bigint | undefined {
    return this.#roster.newest.records.find(({ id }) => this.#roster.numberOf(id) === number)?.id;
  }

  async #call<Q, A>(
    asked: number,
    rpc: Rpc<Q, A>,
    request: Q,
    recorded: MembersRequest,
    read: (response: A) => Response,
  ): Promise<Outcome> {
    const { history, port, random, world, counts } = this.#deps;
    const operation = history.invoke(CLIENT, asked, recorded);
    this.#busy++;
    const result = await port.call(this.#owner, asked, rpc, request, { timeoutMs: random.pick(TIMEOUTS_MS) });
    this.#busy--;
    const outcome: Outcome =
      result.kind === "ok"
        ? { kind: "ok", response: read(result.response), header: headerOf(result.response) }
        : outcomeOfError(result.code, result.message);
    history.settle(operation, outcome);
    const said = outcome.kind === "ok" ? "done" : outcome.reason;
    world.trace.note(
      world.now,
      "operator",
      recorded.change,
      `${describe(recorded, this.#roster)} at ${asked}: ${said}`,
    );
    counts.add(`operator: ${recorded.change} ${outcome.kind}`);
    return outcome;
  }
}

function describe(request: MembersRequest, roster: Roster): string {
  switch (request.change) {
    case "list":
      return "";
    case "add":
      return `${request.isLearner ? "learner " : ""}${request.peerURL}`;
    case "update":
      return `${request.id.toString(16)} ${request.peerURL}`;
    case "promote":
    case "remove": {
      const known = roster.newest.records.find(({ id }) => id === request.id);
      return known?.peerURLs.join() ?? request.id.toString(16);
    }
  }
}
