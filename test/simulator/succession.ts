import type { Message } from "../../raft/types.ts";
import type { Cluster } from "./cluster.ts";
import type { FaultCounts } from "./fault-counts.ts";
import type { Probe } from "./history.ts";
import type { Machine } from "./machine.ts";
import type { Random } from "./random.ts";
import { stallsApply } from "./sim-limits.ts";
import type { Network } from "./sim-network.ts";
import type { Plan } from "./swarm.ts";
import type { World } from "./world.ts";

export interface SuccessionDeps {
  readonly world: World;
  readonly cluster: Cluster;
  readonly network: Network;
  readonly counts: FaultCounts;
  readonly onChange: () => void;
  /** Undone after so many milliseconds, or when all faults end. */
  readonly lasts: (undo: () => void, milliseconds: number) => void;
}

/**
 * How a member is taken out. `cut`: its links lose everything; `held`: they hold it until they are mended, as connections
 * do that stall and do not break; `lag`: what it hears is older and older, and then it is not heard any more; `deaf`: it is
 * heard and hears nobody; `pause`: its process stands still; `crash`: it loses its links and then its process or its power.
 */
const WAYS = ["cut", "cut", "cut", "held", "held", "lag", "lag", "deaf", "pause", "pause", "crash"] as const;
type Way = (typeof WAYS)[number];

/** How often its successor is still there. What a member that stood still was about to do matters only then. */
const STAYS: Readonly<Partial<Record<Way, number>>> = { pause: 0.8 };

/**
 * The moment at which a leader is struck. `confirms`: it stands still in the moment in which it hears that its followers
 * still follow, before it makes use of that; `changes`: it has applied a change of the membership, and the others know of
 * it and cannot apply it, for their stores hang.
 */
interface Strike {
  readonly moment: "elected" | "acknowledged" | "commits" | "confirms" | "changes";
  /** 1: the first of the term (its empty entry); more: what clients wrote. */
  left: number;
  /** How long after the moment it is struck; not for `confirms`. */
  readonly delayMs: number;
  /** World time before which the moment does not count. */
  readonly from: number;
}

interface Out {
  readonly machine: Machine;
  readonly way: Way;
  readonly comeBack: () => void;
}

/** Election time-outs without a next leader, or without what it was to do, after which it is given up. */
const PATIENCE_ELECTIONS = 12;
/** As long as anybody can be out. */
const LONG_MS = 1_000_000;

/**
 * A succession: the leader is taken out at a telling moment, and when another has been elected in its place and has come
 * as far as it is wanted to, that one is taken out and the former comes back; and so on. What each left in its log, and what
 * each still believes of its office, then meets what the others have done since: the schedules that Raft's rules about old
 * terms are there for.
 *
 * Never more than a minority is out; one that came back may hear nothing for a little longer.
 */
export class Succession {
  readonly #plan: Plan;
  readonly #deps: SuccessionDeps;
  readonly #random: Random;
  /** Longest out first. */
  readonly #outs: Out[] = [];
  readonly #room: number;
  #roundsLeft: number;
  /** Who leads the newest term since the last strike, and what it waits for. */
  #leader: { readonly number: number; readonly term: number } | undefined;
  #strike: Strike = { moment: "elected", left: 0, delayMs: 0, from: 0 };
  #patience = 0;
  /** Lets the stores go on that hang so that a change stays unapplied. */
  #unhang: (() => void) | undefined;
  isOver = false;

  constructor(plan: Plan, deps: SuccessionDeps, random: Random) {
    this.#plan = plan;
    this.#deps = deps;
    this.#random = random;
    this.#room = Math.floor((plan.members - 1) / 2);
    this.#roundsLeft = random.between(2, 5);
  }

  /** The leader of now is the first to go. False where nobody can be spared. */
  start(): boolean {
    const leader = this.#deps.cluster.leader();
    const status = leader?.life?.member?.server.status();
    if (this.#room === 0 || leader === undefined || status === undefined) return false;
    this.#leader = { number: leader.number, term: status.raftTerm };
    this.#aim();
    return true;
  }

  /** All come back. */
  stop(): void {
    if (this.isOver) return;
    this.isOver = true;
    for (const { comeBack } of this.#outs.splice(0)) comeBack();
    this.#unhang?.();
    this.#deps.onChange();
  }

  seen(probe: Probe): void {
    if (this.isOver) return;
    if (probe.kind === "leader") this.#elected(probe.member, probe.term);
    else if (probe.kind === "committed" && probe.member === this.#leader?.number) {
      if (probe.entry.term === this.#leader.term) this.#reached(probe.entry.isChange === true ? "changes" : "commits");
    }
  }

  /** A member has a message, and has yet to act on it. */
  heard(host: number, message: Message): void {
    if (this.isOver || message.type !== "MsgHeartbeatResp" || message.context.length === 0) return;
    if (host === this.#leader?.number) this.#reached("confirms");
  }

  sent(message: Message): void {
    if (this.isOver || message.type !== "MsgAppResp" || message.reject || message.index === 0) return;
    const leader = this.#leader;
    if (
      leader !== undefined &&
      this.#deps.cluster.roster.numberOf(message.to) === leader.number &&
      message.term === leader.term
    )
      this.#reached("acknowledged");
  }

  /** At a leader that has been elected already. */
  #aim(): void {
    this.#prepare(false);
    if (this.#strike.moment === "elected") this.#strikeLater(this.#strike.delayMs);
  }

  #elected(number: number, term: number): void {
    if (this.#leader !== undefined && this.#leader.term >= term) return;
    // Nobody was struck: the stores that hang are those of another leader's followers.
    if (this.#leader !== undefined) this.#unhang?.();
    this.#leader = { number, term };
    this.#prepare(true);
    this.#reached("elected");
  }

  #prepare(isNew: boolean): void {
    this.#strike = this.#drawStrike(isNew);
    if (this.#strike.moment === "changes") this.#hangStores();
    this.#waitPatiently();
  }

  #drawStrike(isNew: boolean): Strike {
    const random = this.#random;
    const { electionMs, meanLatencyMs, membership } = this.#plan;
    const mayStall = membership !== undefined && stallsApply(this.#plan);
    const { now } = this.#deps.world;
    const moment = random.pick([
      "elected",
      "acknowledged",
      "commits",
      "commits",
      "confirms",
      mayStall ? "changes" : "confirms",
    ] as const);
    const dueMs = isNew && moment === "confirms" ? this.#leaseIsDueIn() : undefined;
    if (dueMs !== undefined) return { moment, left: 1, delayMs: 0, from: now + dueMs };
    const [longest] = this.#outs;
    const delayMs = random.pick([
      0,
      0,
      random.real(0, 4 * meanLatencyMs),
      random.real(0, electionMs),
      random.real(0, 8 * electionMs),
      ...this.#delaysFor(longest?.way),
    ]);
    const left = random.pick([1, 1, 2, random.between(2, 20)]);
    return { moment, left, delayMs: moment === "confirms" ? 0 : delayMs, from: now };
  }

  /** A new leader gives every lease its time anew: when it confirms itself then, that is to end one. */
  #leaseIsDueIn(): number | undefined {
    const machine = this.#deps.cluster.machines[(this.#leader?.number ?? 0) - 1];
    const leases = machine?.life?.booted?.machine.leases;
    const ids = leases?.ids() ?? [];
    if (machine === undefined || ids.length === 0) return undefined;
    const seconds = leases?.get(this.#random.pick(ids))?.ttlSeconds ?? 0;
    return (seconds * 1000 + this.#plan.electionMs) / machine.clock.rate - 1;
  }

  /** How long whoever was out for the longest should have been, so that what it still believes is of interest. */
  #delaysFor(way: Way | undefined): readonly number[] {
    const random = this.#random;
    const { electionMs, meanLatencyMs } = this.#plan;
    switch (way) {
      case "held":
        // It still leads by its own account, and its callers have heard what its successor did.
        return [random.real(0, 8 * meanLatencyMs), random.real(0, 8 * meanLatencyMs), random.real(0, electionMs / 3)];
      case "pause":
        // What was promised for a time, a lease, has ended by its clock.
        return [random.real(0, 10_000), random.real(0, 10_000), random.real(0, 10_000)];
      default:
        return [];
    }
  }

  #reached(moment: Strike["moment"]): void {
    const strike = this.#strike;
    if (strike.moment !== moment || strike.left <= 0 || this.#deps.world.now < strike.from) return;
    strike.left = moment === "elected" || moment === "changes" ? 0 : strike.left - 1;
    if (strike.left > 0) return;
    if (moment === "confirms" && this.#leader !== undefined) this.#takeOut(this.#leader.number);
    else this.#strikeLater(strike.delayMs);
  }

  /** Not from within what led to it: the member finishes its turn, and what it has sent is on its way. */
  #strikeLater(delayMs: number): void {
    const target = this.#leader;
    this.#deps.world.schedule(undefined, delayMs, "succession", () => {
      if (!this.isOver && target !== undefined && this.#leader === target) this.#takeOut(target.number);
    });
  }

  #takeOut(number: number): void {
    const { cluster, onChange } = this.#deps;
    const machine = cluster.machines[number - 1];
    if (machine?.life === undefined || this.#outs.some((out) => out.machine === machine)) return;
    if (this.#roundsLeft-- <= 0) {
      this.stop();
      return;
    }
    const [longest] = this.#outs;
    if (longest !== undefined && this.#random.chance(STAYS[longest.way] ?? 0.3)) {
      // Whoever is out the longest comes back to a leader that stays for now, or for good.
      this.#outs.shift()?.comeBack();
      this.#unhang?.();
      if (this.#random.chance(longest.way === "pause" ? 0.35 : 0)) this.stop();
      else this.#aim();
      onChange();
      return;
    }
    this.#leader = undefined;
    while (this.#outs.length >= this.#room) this.#outs.shift()?.comeBack();
    const { moment } = this.#strike;
    const way = moment === "confirms" ? "pause" : this.#random.pick(WAYS);
    this.#outs.push({ machine, way, comeBack: this.#disable(machine, way) });
    const unhang = this.#unhang;
    if (unhang !== undefined) this.#deps.lasts(unhang, this.#plan.electionMs * this.#random.real(2, 6));
    this.#waitPatiently();
    onChange();
  }

  #disable(machine: Machine, way: Way): () => void {
    const { world, counts } = this.#deps;
    const random = this.#random;
    const { life } = machine;
    counts.add(`succession: ${way}`);
    world.trace.note(world.now, "fault", "succession", `member ${machine.number} ${way}`);
    const goOn = random.chance(0.3) ? this.#stall(machine) : undefined;
    const mend = way === "pause" ? this.#hearLate(machine.number) : this.#cut(machine.number, way);
    if (way === "crash") life?.end({ kind: random.pick(["powerLoss", "kill"]) });
    if (way === "pause" && life !== undefined) world.hold(life, LONG_MS);
    return () => {
      world.trace.note(world.now, "fault", "succession", `member ${machine.number} comes back`);
      mend?.();
      goOn?.();
      if (way === "pause" && life !== undefined && !life.dead) world.release(life);
    };
  }

  /** Those who are out may still reach each other, so that one leaves something with another. */
  #cut(number: number, way: Exclude<Way, "pause">): () => void {
    const { world, network, cluster } = this.#deps;
    const isAlone = this.#random.chance(0.5);
    const others = cluster.machines
      .filter((other) => other.number !== number && (isAlone || !this.#outs.some(({ machine }) => machine === other)))
      .map((other) => other.number);
    const holds = way === "held";
    const { electionMs, heartbeatMs } = this.#plan;
    const random = this.#random;
    const lagMs = way === "lag" ? electionMs * random.real(1.5, 4) : 0;
    for (const other of others) {
      if (way === "lag") network.lag(other, number, lagMs);
      else network.cut(other, number, holds);
    }
    let isSilent = false;
    let isBack = false;
    const silence = (): void => {
      if (isBack) return;
      isSilent = true;
      for (const other of others) network.cut(number, other, holds);
    };
    // Both directions at once; or it is answered for a while, and hears of it only when it is back, or late.
    const silentAfterMs = holds ? random.pick([0, random.real(0, 2 * heartbeatMs)]) : lagMs * random.real(1, 2);
    if (silentAfterMs > 0) world.schedule(undefined, silentAfterMs, "succession", silence);
    else if (way !== "deaf") silence();
    return () => {
      isBack = true;
      for (const other of others) {
        if (way === "lag") network.unlag(other, number);
        else network.mend(other, number, holds);
        if (isSilent) network.mend(number, other, holds);
      }
    };
  }

  /** Sometimes a machine that stood still hears its callers at once, and its peers only some time later. */
  #hearLate(number: number): (() => void) | undefined {
    if (this.#strike.moment === "confirms" || this.#random.chance(0.5)) return undefined;
    const { network, cluster, lasts } = this.#deps;
    const others = cluster.machines.filter((other) => other.number !== number).map((other) => other.number);
    const lateMs = this.#random.real(0, 1.2 * this.#plan.electionMs);
    for (const other of others) network.cut(other, number, true);
    return () => {
      const mend = (): void => {
        for (const other of others) network.mend(other, number, true);
      };
      lasts(mend, lateMs);
    };
  }

  /** Of all but the leader, until it was struck and another had the time to be elected. */
  #hangStores(): void {
    this.#unhang?.();
    const { cluster, onChange } = this.#deps;
    const hanging = cluster.machines.filter(({ number }) => number !== this.#leader?.number);
    for (const { diskState } of hanging) diskState.storeHangs = true;
    const unhang = (): void => {
      if (this.#unhang !== unhang) return;
      this.#unhang = undefined;
      for (const { diskState } of hanging) diskState.storeHangs = false;
      onChange();
    };
    this.#unhang = unhang;
    onChange();
  }

  /** What it writes meanwhile is on its disk only some time after it is back. */
  #stall({ diskState }: Machine): () => void {
    const { world, onChange } = this.#deps;
    const lateMs = this.#random.real(0, this.#plan.electionMs * this.#random.pick([0.2, 1, 4]));
    diskState.stalledUntil = world.now + LONG_MS;
    return () => {
      diskState.stalledUntil = world.now + lateMs;
      world.schedule(undefined, lateMs, "disk goes on", onChange);
    };
  }

  #waitPatiently(): void {
    const { world } = this.#deps;
    const mine = ++this.#patience;
    const { electionMs, drift } = this.#plan;
    const { delayMs, from } = this.#strike;
    const patienceMs = (PATIENCE_ELECTIONS * electionMs) / (1 - drift) + delayMs + Math.max(0, from - world.now);
    world.schedule(undefined, patienceMs, "succession", () => {
      if (this.#patience === mine) this.stop();
    });
  }
}
