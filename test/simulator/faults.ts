import { unreachable } from "../../raft/assert.ts";
import type { Message, MessageType, NodeId } from "../../raft/types.ts";
import { type DiskOperation, MemoryDisk } from "../storage/memory-disk.ts";
import type { Cluster } from "./cluster.ts";
import { type Entries, flipBit } from "./damage.ts";
import type { FaultCounts } from "./fault-counts.ts";
import type { History, Probe } from "./history.ts";
import type { Machine } from "./machine.ts";
import type { Life } from "./member-life.ts";
import type { Random } from "./random.ts";
import { type DiskState, NO_FAULTS } from "./sim-disk.ts";
import type { LinkWeather, Network } from "./sim-network.ts";
import { FAIR_WEATHER } from "./sim-network.ts";
import type { ClientPort } from "./sim-rpc.ts";
import { Succession } from "./succession.ts";
import type { FaultClass, Plan } from "./swarm.ts";
import type { World } from "./world.ts";

export interface FaultDeps {
  readonly world: World;
  readonly random: Random;
  readonly cluster: Cluster;
  readonly network: Network;
  readonly port: ClientPort;
  readonly counts: FaultCounts;
  readonly history: History;
  /** Numbers of client machines, counted from 1. */
  readonly clients: number;
  /** Who could lead has changed. */
  readonly onChange: () => void;
}

/** Disk operations that a machine may stop at: of a log that is written to, of a start, and all. */
const WRITE_BOUNDARIES: readonly (readonly DiskOperation["kind"][])[] = [["write"], ["sync"], ["sync"]];
const START_BOUNDARIES: typeof WRITE_BOUNDARIES = [...WRITE_BOUNDARIES, ["syncDirectory"]];
const ALL_BOUNDARIES: typeof WRITE_BOUNDARIES = [
  ["write"],
  ["sync"],
  ["rename"],
  ["syncDirectory"],
  ["allocate", "create"],
];

/** The longest that a member is kept away for others to go ahead of it, unless other faults last longer. */
const LAG_MS = 15_000;

/** Not `lastVoter`, which waits for its moment. */
type TimedFault = Exclude<FaultClass, "lastVoter">;

/** What is undone when the fault's time is over, or all faults end. */
type Undo = (() => void) | undefined;

/**
 * The power fails at whoever is the `left`th to send such a message, or to apply a change of the membership, this long
 * after it; then again, counting anew. `hangs`: meanwhile its disk hangs, so that what it has not written by then is lost.
 */
interface Trap {
  readonly type: MessageType | "change";
  readonly every: number;
  left: number;
  readonly delayMs: number;
  readonly hangs: boolean;
}

/** While it lasts, each life of the machine ends soon. */
interface CrashLoop {
  readonly random: Random;
  /** The power fails when so many more promises were sent; 0: this life ends otherwise. */
  promisesLeft: number;
}

/** A member that is away until the leader can serve it from its disk alone. */
interface Laggard {
  readonly until: number;
  readonly behind: number;
  /** What happens to the leader's disk just before the member comes back. */
  readonly then: (leader: Machine, laggard: Machine) => void;
}

/** Lets the plan's faults come and go. Counts what was done to members, not what was merely possible. */
export class Faults {
  readonly #plan: Plan;
  readonly #deps: FaultDeps;
  readonly #undos = new Set<() => void>();
  /** Machines whose members end soon after each start. */
  readonly #loops = new Map<Machine, CrashLoop>();
  /** Machines that stay down until others have gone this far. */
  readonly #laggards = new Map<Machine, Laggard>();
  #trap: Trap | undefined;
  #succession: Succession | undefined;
  /** A leader is about to tell its successor to stand. */
  #onLastWord: ((host: number) => void) | undefined;
  /** The dice of the fault `lastVoter`, which then waits for its moment, and the last change that it has met. */
  #lastVoter: Random | undefined;
  #lastVoterMet = 0;
  #isOver = false;

  constructor(plan: Plan, deps: FaultDeps) {
    this.#plan = plan;
    this.#deps = deps;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  start(): void {
    for (const kind of this.#plan.faults) {
      const random = this.#deps.random.split(kind);
      if (kind === "lastTransfer") {
        this.#failLastTransfer(random);
        continue;
      }
      if (kind === "lastVoter") {
        this.#lastVoter = random;
        continue;
      }
      const { faultEveryMs, electionMs, safetyMs } = this.#plan;
      // A succession takes some elections, and is worth little when they have no time; about the same number in each run.
      const meanMs =
        kind === "succession"
          ? electionMs * random.real(1, 12) * Math.max(1, safetyMs / 120_000)
          : faultEveryMs * random.logReal(0.3, 5);
      this.#schedule(kind, random, meanMs);
    }
  }

  /** Everything that faults hold back is let go; stopped members are for the caller to start. */
  stop(): void {
    this.#isOver = true;
    this.#succession?.stop();
    for (const undo of [...this.#undos]) undo();
    const { network, port, cluster } = this.#deps;
    Object.assign(network.weather, this.#calm());
    port.loss = 0;
    this.#laggards.clear();
    for (const { diskState, clock, life } of cluster.machines) {
      Object.assign(diskState, NO_FAULTS);
      clock.starvedMs = 0;
      if (life !== undefined) this.#deps.world.release(life);
    }
    this.#deps.onChange();
  }

  /** A member sends a message. */
  sent(host: number, message: Message): void {
    this.#succession?.sent(message);
    this.#promised(host, message.type);
    const { type } = message;
    if (type === "MsgTimeoutNow") this.#onLastWord?.(host);
    this.#spring(host, type);
  }

  #spring(host: number, type: Trap["type"]): void {
    const trap = this.#trap;
    if (trap?.type !== type || --trap.left > 0) return;
    trap.left = trap.every;
    const { cluster, counts } = this.#deps;
    const life = cluster.machines[host - 1]?.life;
    if (life === undefined) return;
    counts.add(`crash after ${type}`);
    if (trap.hangs) this.#hangAndCrash(life, trap.delayMs);
    else this.#crashLater(life, trap.delayMs);
  }

  /** A member has a message, and has yet to act on it. */
  heard(host: number, message: Message): void {
    this.#succession?.heard(host, message);
    if (message.type === "MsgAppResp" && !message.reject) this.#leaveAlone(host, message.from, message.index);
  }

  /**
   * The leader is about to hear that the other of two voters has its own removal on disk, which commits it. From here on
   * the leader's disk hangs, and when the other one has ended (or would have, were the removal in force) its power fails:
   * what it had not written by then is lost, and nobody is left to tell it again.
   */
  #leaveAlone(host: number, from: NodeId, index: number): void {
    const random = this.#lastVoter;
    const { roster, machines } = this.#deps.cluster;
    const { voters } = roster.newest;
    const change = roster.unappliedChange;
    if (random === undefined || this.#isOver || voters.length !== 2 || index < change || change <= this.#lastVoterMet)
      return;
    const other = roster.numberOf(from);
    if (!voters.includes(host) || !voters.includes(other)) return;
    if (!roster.openChanges.some(({ kind, number }) => kind === "remove" && number === other)) return;
    const machine = machines[host - 1];
    const life = machine?.life;
    if (life === undefined || machine === undefined || machine.durable.lastIndex < change) return;
    this.#lastVoterMet = change;
    if (random.chance(0.3)) return;
    const milliseconds = this.#plan.electionMs * random.real(3.2, 10);
    this.#note("lastVoter", `member ${host} for ${milliseconds.toFixed()} ms, ${other} being removed`);
    this.#hangAndCrash(life, milliseconds);
  }

  #hangAndCrash(life: Life, milliseconds: number): void {
    const { world, onChange } = this.#deps;
    const { diskState } = life.machine;
    diskState.stalledUntil = Math.max(diskState.stalledUntil, world.now + milliseconds);
    world.schedule(undefined, milliseconds, "disk goes on", onChange);
    this.#crashLater(life, milliseconds);
    onChange();
  }

  #crashLater(life: Life, milliseconds: number): void {
    this.#deps.world.schedule(undefined, milliseconds, "crash later", () => {
      if (!this.#isOver) life.end({ kind: "powerLoss" });
    });
  }

  /** Something was seen in a member. */
  seen(probe: Probe): void {
    this.#succession?.seen(probe);
    if (probe.kind === "committed" && probe.entry.isChange === true) this.#spring(probe.member, "change");
  }

  #promised(host: number, type: MessageType): void {
    if (this.#loops.size === 0 || (type !== "MsgAppResp" && type !== "MsgVoteResp")) return;
    const machine = this.#deps.cluster.machines[host - 1];
    const loop = machine && this.#loops.get(machine);
    const life = machine?.life;
    if (loop === undefined || life === undefined || loop.promisesLeft === 0 || --loop.promisesLeft > 0) return;
    this.#deps.world.schedule(life, loop.random.real(0, 1), "crash loop", () => life.end({ kind: "powerLoss" }));
  }

  /** How long a machine stays down. */
  downtime(machine: Machine): number {
    if (this.#isOver) return 1;
    const random = this.#loops.get(machine)?.random;
    if (random !== undefined) {
      return random.chance(0.85) ? random.real(1, 50) : this.#plan.electionMs * random.real(0.5, 3);
    }
    return machine.random.logReal(5, this.#plan.faultLastsMs);
  }

  /** Whether the machine stays down for longer than it was to. */
  keepsDown(machine: Machine): boolean {
    const laggard = this.#laggards.get(machine);
    if (laggard === undefined) return false;
    const { world, cluster } = this.#deps;
    const leader = cluster.leader();
    const isBehind = leader !== undefined && leader.durable.lastIndex - machine.durable.lastIndex > laggard.behind;
    if (!isBehind && world.now < laggard.until) return true;
    this.#laggards.delete(machine);
    if (isBehind) laggard.then(leader, machine);
    return false;
  }

  /** A state begins to arrive: of the moments until its receiver has started from it each is another one. */
  receives(machine: Machine): void {
    const { random, diskState, number } = machine;
    const isInPlan = this.#plan.faults.includes("crashAtBoundary");
    if (this.#isOver || !isInPlan || diskState.crashAt !== undefined || !random.chance(0.5)) return;
    this.#note("crashAtBoundary", `member ${number} while it takes a snapshot`);
    this.#crashAt(machine, random, 16);
  }

  /** A life began: in a crash loop it may not get far. */
  started(machine: Machine): void {
    const loop = this.#loops.get(machine);
    if (loop?.random.chance(0.4) === true) this.#crashAt(machine, loop.random, 4, START_BOUNDARIES);
  }

  /** It has read its disk. In a crash loop it ends soon: in a moment, at a disk operation, or when it promised something. */
  booted(machine: Machine): void {
    const loop = this.#loops.get(machine);
    const { life, diskState } = machine;
    if (loop === undefined || life === undefined || diskState.crashAt !== undefined) return;
    const { random } = loop;
    loop.promisesLeft = 0;
    switch (random.below(4)) {
      case 0: {
        const how = random.pick(["powerLoss", "kill"] as const);
        this.#deps.world.schedule(life, random.logReal(0.1, 1_000), "crash loop", () => {
          if (this.#loops.has(machine)) life.end({ kind: how });
        });
        break;
      }
      case 1:
        loop.promisesLeft = random.between(1, 3);
        break;
      default:
        this.#crashAt(machine, random, 3, WRITE_BOUNDARIES);
    }
  }

  #schedule(kind: TimedFault, random: Random, everyMs: number): void {
    const { world } = this.#deps;
    world.schedule(undefined, -Math.log(1 - random.fraction()) * everyMs, "fault", () => {
      if (this.#isOver) return;
      const undo = this.#inflict(kind, random);
      if (undo !== undefined) this.#lasts(undo, this.#duration(random));
      this.#deps.onChange();
      this.#schedule(kind, random, everyMs);
    });
  }

  /** Anything; or about as long as it takes to miss a leader and elect another, which is where most goes wrong. */
  #duration(random: Random): number {
    const { faultLastsMs, electionMs } = this.#plan;
    return random.chance(0.5)
      ? random.logReal(50, faultLastsMs)
      : electionMs * random.real(1, random.chance(0.25) ? 12 : 4);
  }

  #lasts(undo: () => void, milliseconds: number): void {
    const once = (): void => {
      if (!this.#undos.delete(once)) return;
      undo();
      this.#deps.onChange();
    };
    this.#undos.add(once);
    this.#deps.world.schedule(undefined, milliseconds, "fault ends", once);
  }

  #note(kind: FaultClass, detail: string): void {
    const { world, counts } = this.#deps;
    counts.add(kind);
    world.trace.note(world.now, "fault", kind, detail);
  }

  #inflict(kind: TimedFault, random: Random): Undo {
    switch (kind) {
      case "drop":
        return this.#storm(kind, { drop: random.logReal(0.01, 0.6) });
      case "duplicate":
        return this.#storm(kind, { duplicate: random.logReal(0.01, 0.5) });
      case "reorder":
        return this.#storm(kind, { reorder: random.logReal(0.05, 1) });
      case "delay":
        return this.#storm(kind, { delay: random.logReal(0.02, 1), delayMs: random.logReal(10, 3_000) });
      case "isolate":
      case "split":
      case "oneWay":
      case "partial":
      case "bridge":
        return this.#partition(kind, random);
      case "flapping":
        return this.#flap(random);
      case "clientLinks":
        return this.#cutClients(random);
      case "powerLoss":
        return this.#onLiving(kind, random, (machine) => this.#losePower(machine, random));
      case "kill":
        return this.#onLiving(kind, random, (machine) => machine.life?.end({ kind: "kill" }));
      case "stop":
        return this.#onLiving(kind, random, (machine) => machine.life?.stop());
      case "crashAtBoundary":
        return this.#onLiving(kind, random, (machine) => this.#crashAt(machine, random, 20));
      case "farBehind":
        return this.#fallBehind(kind, random, () => undefined);
      case "crashLoop":
        return this.#crashLoop(random);
      case "crashAfterPromise": {
        // Elections are rare, and what they promise is broken within the time of one write.
        const promises = ["MsgVoteResp", "MsgVoteResp", "MsgVote", "MsgAppResp", "MsgApp"] as const;
        const hasChanges = this.#plan.membership !== undefined;
        const type = hasChanges && random.chance(0.4) ? "change" : random.pick(promises);
        const hangs = random.chance(0.3);
        const soonMs = random.pick([0, random.real(0, 2), random.real(0, 20)]);
        const delayMs = hangs ? this.#plan.electionMs * random.real(0.5, 8) : soonMs;
        const every = type === "MsgApp" || type === "MsgAppResp" ? random.between(1, 100) : random.between(1, 4);
        this.#trap = { type, every, left: every, delayMs, hangs };
        this.#note(kind, `${type} and ${delayMs.toFixed(2)} ms${hangs ? " of a hanging disk" : ""}`);
        return () => {
          this.#trap = undefined;
        };
      }
      case "transfer":
        return this.#transfer(kind, random, random.chance(0.5));
      case "lastTransfer":
        return this.#transfer(kind, random, true);
      case "succession":
        return this.#succeed(random);
      case "pause":
        return this.#hold(kind, random, random.logReal(100, 60_000));
      case "blockedLoop":
        return this.#hold(kind, random, random.real(50, 900));
      case "clockJump":
        return this.#onLiving(kind, random, ({ clock }) => {
          clock.wallOffsetMs += random.pick([-1, 1]) * random.logReal(10, 3_600_000);
        });
      case "slowDisk":
        return this.#onDisk(kind, random, () => ({ slowFactor: random.logReal(3, 100) }));
      case "stalledDisk": {
        const { world, onChange } = this.#deps;
        const milliseconds = random.logReal(100, 10_000);
        world.schedule(undefined, milliseconds, "disk goes on", onChange);
        return this.#onDisk(kind, random, ({ stalledUntil }) => ({
          // What waits since an earlier stall goes on waiting.
          stalledUntil: Math.max(stalledUntil, world.now + milliseconds),
        }));
      }
      case "failingSync":
        return this.#onDisk(kind, random, () => (random.chance(0.7) ? { failSync: true } : { failStoreFlush: true }));
      case "diskFull":
        return this.#onDisk(kind, random, () => ({ full: true, fullForStore: random.chance(0.3) }));
      case "slowStore":
        return this.#onDisk(kind, random, () => ({ storeDelayMs: random.logReal(20, 5_000) }));
      case "starved":
        return this.#starve(random);
      case "logRot":
        // What rots under a running member is found when it is read: for a follower that is far behind, or at a start.
        if (random.chance(0.5)) return this.#damage(kind, random);
        return this.#fallBehind(kind, random, (leader, laggard) => {
          if (leader.life === undefined || !this.#sound().includes(leader)) return;
          // The rest is in its memory.
          const through = leader.durable.lastIndex - this.#plan.windowEntries;
          const entries = { from: laggard.durable.lastIndex + 1, through };
          this.#damageLog(kind, leader, leader.life.number, random, entries);
        });
      case "logDamage":
      case "storeDamage":
      case "lostDisk":
        return this.#damage(kind, random);
      default:
        return unreachable(kind);
    }
  }

  #calm(): LinkWeather {
    return { ...FAIR_WEATHER, meanMs: this.#plan.meanLatencyMs, tellsLoss: this.#plan.tellsLoss };
  }

  #storm(kind: FaultClass, change: Partial<LinkWeather>): Undo {
    const { weather } = this.#deps.network;
    this.#note(kind, JSON.stringify(change));
    Object.assign(weather, change);
    const names = Object.keys(change) as (keyof LinkWeather)[];
    const { delayMs = 0 } = change;
    return () => {
      const calm = this.#calm();
      for (const name of names) weather[name] = calm[name];
      // By then the last delayed message has come.
      if (delayMs > 0) this.#deps.world.schedule(undefined, delayMs, "storm is over", this.#deps.onChange);
    };
  }

  #partition(kind: "isolate" | "split" | "oneWay" | "partial" | "bridge", random: Random): Undo {
    const members = random.shuffled(this.#deps.cluster.machines.map(({ number }) => number));
    if (members.length < 2) return undefined;
    const [a, b] = members as [number, number];
    switch (kind) {
      case "isolate": {
        const leader = this.#deps.cluster.leader()?.number;
        const one = leader !== undefined && random.chance(0.5) ? leader : a;
        return this.#cut(
          kind,
          [one],
          members.filter((member) => member !== one),
          true,
        );
      }
      case "split": {
        const at = random.between(1, members.length - 1);
        return this.#cut(kind, members.slice(0, at), members.slice(at), true);
      }
      case "oneWay": {
        const leader = this.#deps.cluster.leader()?.number;
        const one = leader !== undefined && random.chance(0.5) ? leader : a;
        const others = members.filter((member) => member !== one);
        const some = random.chance(0.5) ? others.slice(0, 1) : others;
        return random.chance(0.5) ? this.#cut(kind, [one], some, false) : this.#cut(kind, some, [one], false);
      }
      case "partial":
        return this.#cut(kind, [a], [b], true);
      case "bridge": {
        // The last member reaches everybody; the others see only their own side of it.
        const others = members.slice(0, -1);
        const at = random.between(1, Math.max(1, others.length - 1));
        return this.#cut(kind, others.slice(0, at), others.slice(at), true);
      }
      default:
        return unreachable(kind);
    }
  }

  #cut(kind: FaultClass, from: readonly number[], to: readonly number[], bothWays: boolean): Undo {
    const { network } = this.#deps;
    const links = from.flatMap((a) =>
      to.flatMap((b) =>
        bothWays
          ? ([
              [a, b],
              [b, a],
            ] as const)
          : ([[a, b]] as const),
      ),
    );
    if (links.length === 0) return undefined;
    this.#note(kind, `${from.join()} ${bothWays ? "|" : "-x>"} ${to.join()}`);
    for (const [a, b] of links) network.cut(a, b);
    return () => {
      for (const [a, b] of links) network.mend(a, b);
    };
  }

  /** Sometimes the leader's last word to its successor is lost. */
  #transfer(kind: FaultClass, random: Random, isLost: boolean): Undo {
    const { network, cluster } = this.#deps;
    const leader = cluster.leader()?.number;
    const others = cluster.machines.filter(({ life, number }) => life !== undefined && number !== leader);
    if (leader === undefined || others.length === 0) return undefined;
    const { number } = random.pick(others);
    this.#note(kind, `from ${leader} to ${number}`);
    network.askForTransfer(number, leader);
    if (!isLost) return undefined;
    // It comes when the successor has the whole log; a link that is cut before would only put it off.
    let mend: Undo;
    const cut = (host: number): void => {
      if (host !== leader || mend !== undefined) return;
      mend = this.#cut(kind, [leader], [number], false);
    };
    this.#onLastWord = cut;
    return () => {
      if (this.#onLastWord === cut) this.#onLastWord = undefined;
      mend?.();
    };
  }

  /** One at a time; it ends by itself. */
  #succeed(random: Random): undefined {
    if (this.#succession?.isOver === false) return;
    const lasts = (undo: () => void, milliseconds: number): void => this.#lasts(undo, milliseconds);
    const succession = new Succession(this.#plan, { ...this.#deps, lasts }, random);
    if (!succession.start()) return;
    this.#succession = succession;
    this.#note("succession", "begins");
  }

  /**
   * A transfer that fails shortly before faults end: from there on nobody else makes the leader get over it, for it has no
   * other reason to go.
   */
  #failLastTransfer(random: Random): void {
    const { safetyMs, electionMs } = this.#plan;
    this.#deps.world.schedule(undefined, safetyMs - electionMs * random.real(0.2, 2), "fault", () => {
      if (this.#isOver) return;
      const undo = this.#inflict("lastTransfer", random);
      if (undo !== undefined) this.#undos.add(undo);
      this.#deps.onChange();
    });
  }

  #flap(random: Random): Undo {
    const { world, network } = this.#deps;
    const members = random.shuffled(this.#deps.cluster.machines.map(({ number }) => number));
    if (members.length < 2) return undefined;
    const [a, b] = members as [number, number];
    const links = [[a, b] as const, ...(random.chance(0.6) ? [[b, a] as const] : [])];
    const periodMs = random.logReal(10, 1_500);
    let isCut = false;
    let isOver = false;
    this.#note("flapping", `${a}-${b} every ${periodMs.toFixed()} ms`);
    const turn = (): void => {
      if (isOver) return;
      isCut = !isCut;
      for (const [from, to] of links) isCut ? network.cut(from, to) : network.mend(from, to);
      world.schedule(undefined, periodMs * random.real(0.5, 1.5), "flap", turn);
    };
    turn();
    return () => {
      isOver = true;
      if (isCut) for (const [from, to] of links) network.mend(from, to);
    };
  }

  #cutClients(random: Random): Undo {
    const { network, port, clients, cluster } = this.#deps;
    if (random.chance(0.5)) {
      this.#note("clientLinks", "connections break");
      port.loss = random.logReal(0.01, 0.3);
      return () => {
        port.loss = 0;
      };
    }
    const member = random.pick(cluster.machines).number;
    const client = -random.between(1, clients);
    const direction = random.below(3);
    this.#note("clientLinks", `client ${-client} and member ${member}`);
    if (direction !== 1) network.cut(client, member);
    if (direction !== 0) network.cut(member, client);
    return () => {
      if (direction !== 1) network.mend(client, member);
      if (direction !== 0) network.mend(member, client);
    };
  }

  #living(random: Random): Machine | undefined {
    const { cluster } = this.#deps;
    const leader = cluster.leader();
    if (leader?.life !== undefined && random.chance(0.4)) return leader;
    const living = cluster.machines.filter(({ life }) => life !== undefined);
    return living.length === 0 ? undefined : random.pick(living);
  }

  #onLiving(kind: FaultClass, random: Random, act: (machine: Machine) => void): undefined {
    const machine = this.#living(random);
    if (machine === undefined) return;
    this.#note(kind, `member ${machine.number}`);
    act(machine);
  }

  #hold(kind: FaultClass, random: Random, milliseconds: number): undefined {
    const { world, onChange } = this.#deps;
    this.#onLiving(kind, random, (machine) => {
      const { life } = machine;
      if (life === undefined) return;
      world.trace.note(world.now, life.name, "held", `${milliseconds.toFixed()} ms`);
      world.hold(life, milliseconds);
      world.schedule(undefined, milliseconds, "goes on", onChange);
    });
  }

  #onDisk(kind: FaultClass, random: Random, changeOf: (state: DiskState) => Partial<DiskState>): Undo {
    const machine = this.#living(random);
    if (machine === undefined) return undefined;
    const { diskState } = machine;
    const change = changeOf(diskState);
    this.#note(kind, `member ${machine.number} ${JSON.stringify(change)}`);
    Object.assign(diskState, change);
    const calm = { slowFactor: 1, full: false, fullForStore: false, failSync: false, storeDelayMs: 0 };
    return () => Object.assign(diskState, calm);
  }

  /** At once, or with a write on its way to the disk, which then is torn. */
  #losePower({ life, diskState }: Machine, random: Random): void {
    const crash = (): void => life?.end({ kind: "powerLoss" });
    if (random.chance(0.5)) crash();
    else diskState.crashAt = { kinds: ["sync"], left: 1, crash };
  }

  /** The machine stops, or only its process is killed, at one of its next disk operations. */
  #crashAt({ diskState, life }: Machine, random: Random, most: number, boundaries = ALL_BOUNDARIES): void {
    const kinds = random.pick(boundaries);
    const left = random.between(1, kinds[0] === "write" || kinds[0] === "sync" ? most : 2);
    const how = random.pick(["powerLoss", "kill"] as const);
    diskState.crashAt = { kinds, left, crash: () => life?.end({ kind: how }) };
  }

  /**
   * A member that ends again and again, soon after each start: what a start found and what it mended must be as good as
   * what a long life wrote.
   */
  #crashLoop(random: Random): undefined {
    const machine = this.#living(random);
    // The others need the time to write what it is to find again.
    if (machine === undefined || this.#loops.size > 0) return;
    this.#note("crashLoop", `member ${machine.number}`);
    this.#loops.set(machine, { random: random.split(`loop ${machine.lives}`), promisesLeft: 0 });
    this.#crashAt(machine, random, 5, WRITE_BOUNDARIES);
    const undo = (): void => {
      this.#loops.delete(machine);
      machine.diskState.crashAt = undefined;
    };
    this.#lasts(undo, random.logReal(1_000, 10_000));
  }

  /** A follower is away until the others' memory no longer goes back to what it has. */
  #fallBehind(kind: FaultClass, random: Random, then: Laggard["then"]): undefined {
    const { cluster, world } = this.#deps;
    const leader = cluster.leader();
    const living = cluster.machines.filter((machine) => machine.life !== undefined && machine !== leader);
    if (leader === undefined || living.length === 0 || this.#laggards.size > 0) return;
    const machine = random.pick(living);
    const { windowEntries, faultLastsMs } = this.#plan;
    const behind = windowEntries + random.between(1, 50);
    this.#note(kind, `member ${machine.number} until it is ${behind} entries behind`);
    this.#laggards.set(machine, { until: world.now + Math.max(faultLastsMs, LAG_MS), behind, then });
    machine.life?.end({ kind: "kill" });
  }

  #starve(random: Random): Undo {
    const machine = this.#living(random);
    if (machine === undefined) return undefined;
    const { clock } = machine;
    clock.starvedMs = random.logReal(1, 50);
    this.#note("starved", `member ${machine.number}: ${clock.starvedMs.toFixed(1)} ms a turn`);
    return () => {
      clock.starvedMs = 0;
    };
  }

  /** Only ever a minority of the voters is damaged, whichever may be in force: beyond it no promise holds. */
  #sound(): Machine[] {
    const { machines, roster } = this.#deps.cluster;
    return machines.filter(
      ({ damage, life, number }) => damage === "none" && life?.isServing === true && roster.mayLose(number),
    );
  }

  #damage(kind: "logDamage" | "logRot" | "storeDamage" | "lostDisk", random: Random): undefined {
    const { history } = this.#deps;
    const sound = this.#sound();
    if (sound.length === 0) return;
    const machine = random.pick(sound);
    const { life } = machine;
    if (life === undefined) return;
    const { number } = machine;
    if (kind !== "logRot") life.end({ kind: random.pick(["powerLoss", "kill"]) });
    const probe = { member: number, life: life.number, kind: "damaged" } as const;
    switch (kind) {
      case "logDamage":
      case "logRot":
        this.#damageLog(kind, machine, life.number, random);
        break;
      case "storeDamage":
        machine.damage = "state";
        history.probe({ ...probe, what: "state" });
        this.#note(kind, `member ${number}`);
        break;
      case "lostDisk":
        machine.damage = "lost";
        machine.disk = new MemoryDisk();
        history.probe({ ...probe, what: "lost" });
        this.#note(kind, `member ${number}`);
        break;
      default:
        unreachable(kind);
    }
  }

  #damageLog(kind: FaultClass, machine: Machine, life: number, random: Random, entries?: Entries): void {
    const flipped = flipBit(machine, random, entries);
    if (flipped === undefined) return;
    machine.damage = "log";
    machine.damagedTail = flipped.isTail;
    this.#deps.history.probe({ member: machine.number, life, kind: "damaged", what: "log" });
    this.#note(kind, `member ${machine.number} ${flipped.description}`);
  }
}
