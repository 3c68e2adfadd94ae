import { majority } from "../../raft/quorum.ts";
import type { Cluster } from "./cluster.ts";
import type { History } from "./history.ts";
import type { Machine } from "./machine.ts";
import type { Network } from "./sim-network.ts";
import type { Plan } from "./swarm.ts";
import type { World } from "./world.ts";

function isWell({ diskState, clock }: Machine, now: number): boolean {
  const { slowFactor, stalledUntil, full, failSync, failStoreFlush, storeDelayMs, storeHangs, crashAt } = diskState;
  const isSlow = slowFactor !== 1 || storeDelayMs > 0 || storeHangs || clock.starvedMs > 0;
  return !isSlow && stalledUntil <= now && !full && !failSync && !failStoreFlush && crashAt === undefined;
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((number) => b.includes(number));
}

/**
 * Tells the history who could lead: the voters that run and reach, both ways, a quorum of voters that do so too. Told
 * again whenever a life or a link among them changes, for then the time to elect a leader starts anew.
 */
export class QuorumWatch {
  readonly #world: World;
  readonly #cluster: Cluster;
  readonly #network: Network;
  readonly #history: History;
  readonly #heartbeatMs: number;
  readonly #preVote: boolean;
  #last = "";

  constructor(world: World, cluster: Cluster, network: Network, history: History, plan: Plan) {
    this.#world = world;
    this.#cluster = cluster;
    this.#network = network;
    this.#history = history;
    this.#heartbeatMs = plan.heartbeatMs;
    this.#preVote = plan.preVote;
  }

  update(): void {
    const members = this.#able();
    const lives = members.map((number) => this.#cluster.machines[number - 1]?.life?.number);
    const cuts = members.map((a) => members.filter((b) => this.#network.isCut(a, b)));
    const mark = JSON.stringify([members, lives, cuts, this.#cluster.roster.newest.voters]);
    if (mark === this.#last) return;
    this.#last = mark;
    this.#history.world({ kind: "quorum", members });
  }

  #able(): number[] {
    const { drop, delay, meanMs } = this.#network.weather;
    if (drop > 0 || delay > 0 || this.#network.isLagging || 3 * meanMs > this.#heartbeatMs) return [];
    // What a deposed leader sent long ago keeps its followers waiting for more.
    if (this.#network.awaitsDelayed) return [];
    // Without pre-vote a voter whose log is too short to win can, by standing, put off those who could: by chance more
    // often than any fixed number of time-outs. The end of the run still demands that somebody leads.
    if (!this.#preVote) return [];
    const { machines, roster } = this.#cluster;
    const { voters } = roster.newest;
    const quorum = majority(voters.length);
    const { now } = this.#world;
    const leader = this.#cluster.leader();
    const isUp = leader?.life !== undefined && leader.life.heldUntil <= now;
    // Whose disk hangs cannot be elected, but goes on leading: there is a leader, only not one of the list.
    if (isUp && !isWell(leader, now)) return [];
    const able = machines
      .filter((machine) => {
        const { number, life } = machine;
        return voters.includes(number) && life?.member !== undefined && life.heldUntil <= now && isWell(machine, now);
      })
      .map(({ number }) => number);
    // Who has not applied the newest membership counts votes by another; it will, and then the time begins.
    if (able.some((number) => !isSame(voters, roster.appliedBy(number)?.voters ?? voters))) return [];
    const connected = this.#connected(able, quorum);
    // Likewise a leader that some of a quorum hear although they are ill.
    if (isUp && !connected.includes(leader.number) && this.#heardBy(leader, voters) >= quorum) return [];
    return connected;
  }

  /** Voters that run and reach it, both ways, itself among them; some of them ill. */
  #heardBy(leader: Machine, voters: readonly number[]): number {
    const { now } = this.#world;
    return this.#cluster.machines.filter(
      ({ number, life }) =>
        voters.includes(number) &&
        life?.member !== undefined &&
        life.heldUntil <= now &&
        (number === leader.number || this.#network.isConnected(leader.number, number)),
    ).length;
  }

  /** Those of them that reach a quorum of those that do so too. */
  #connected(members: readonly number[], quorum: number): number[] {
    let able = [...members];
    for (;;) {
      const left = able.filter((a) => able.filter((b) => a === b || this.#network.isConnected(a, b)).length >= quorum);
      if (left.length === able.length) return left;
      able = left;
    }
  }
}
