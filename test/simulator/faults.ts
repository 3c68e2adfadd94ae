import { unreachable } from "../../raft/assert.ts";
import type { Message, MessageType } from "../../raft/types.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import { MemoryDisk } from "../storage/memory-disk.ts";
import type { Cluster } from "./cluster.ts";
import { flipBit } from "./damage.ts";
import type { FaultCounts } from "./fault-counts.ts";
import type { History, Probe } from "./history.ts";
import type { Machine } from "./machine.ts";
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

/** What is undone when the fault's time is over, or all faults end. */
type Undo = (() => void) | undefined;

/** The power fails at whoever is the `left`th to send such a message, this long after it; then again, counting anew. */
interface Trap {
  readonly type: MessageType;
  readonly every: number;
  left: number;
  readonly delayMs: number;
}

/** Lets the plan's faults come and go. Counts what was done to members, not what was merely possible. */
export class Faults {
  readonly #plan: Plan;
  readonly #deps: FaultDeps;
  readonly #undos = new Set<() => void>();
  #trap: Trap | undefined;
  #succession: Succession | undefined;
  /** A leader is about to tell its successor to stand. */
  #onLastWord: ((host: number) => void) | undefined;
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
      const { faultEveryMs, electionMs, safetyMs } = this.#plan;
      // A succession takes some elections, and is worth little when they have no time; about the same number in each run.
      const meanMs =
        kind === "succession"
          ? electionMs * random.real(3, 30) * Math.max(1, safetyMs / 120_000)
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
    for (const { diskState, life } of cluster.machines) {
      Object.assign(diskState, NO_FAULTS);
      if (life !== undefined) this.#deps.world.release(life);
    }
    this.#deps.onChange();
  }

  /** A member sends a message. */
  sent(host: number, message: Message): void {
    this.#succession?.sent(message);
    const { type } = message;
    if (type === "MsgTimeoutNow") this.#onLastWord?.(host);
    const trap = this.#trap;
    if (trap?.type !== type || --trap.left > 0) return;
    trap.left = trap.every;
    const { world, cluster, counts } = this.#deps;
    const life = cluster.machines[host - 1]?.life;
    if (life === undefined) return;
    counts.add(`crash after ${type}`);
    world.schedule(undefined, trap.delayMs, "crash after a promise", () => life.end({ kind: "powerLoss" }));
  }

  /** Something was seen in a member. */
  seen(probe: Probe): void {
    this.#succession?.seen(probe);
  }

  /** How long a machine stays down. */
  downtime(machine: Machine): number {
    if (this.#isOver) return 1;
    return machine.random.logReal(5, this.#plan.faultLastsMs);
  }

  #schedule(kind: FaultClass, random: Random, everyMs: number): void {
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

  #inflict(kind: FaultClass, random: Random): Undo {
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
        return this.#onLiving(kind, random, (machine) => machine.life?.end({ kind: "powerLoss" }));
      case "kill":
      case "farBehind":
        return this.#onLiving(kind, random, (machine) => machine.life?.end({ kind: "kill" }));
      case "stop":
        return this.#onLiving(kind, random, (machine) => machine.life?.stop());
      case "crashAtBoundary":
        return this.#onLiving(kind, random, (machine) => {
          const { life } = machine;
          const kinds = random.pick([
            ["write"],
            ["sync"],
            ["rename"],
            ["syncDirectory"],
            ["allocate", "create"],
          ] as const);
          const left = random.between(1, kinds[0] === "write" || kinds[0] === "sync" ? 20 : 2);
          machine.diskState.crashAt = { kinds, left, crash: () => life?.end({ kind: "powerLoss" }) };
        });
      case "crashAfterPromise": {
        // Elections are rare, and what they promise is broken within the time of one write.
        const type = random.pick(["MsgVoteResp", "MsgVoteResp", "MsgVote", "MsgAppResp", "MsgApp"] as const);
        const delayMs = random.pick([0, random.real(0, 2), random.real(0, 20)]);
        const every = type === "MsgApp" || type === "MsgAppResp" ? random.between(1, 100) : random.between(1, 4);
        this.#trap = { type, every, left: every, delayMs };
        this.#note(kind, `${type} and ${delayMs.toFixed(2)} ms`);
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
      case "logDamage":
      case "logRot":
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
    return () => {
      const calm = this.#calm();
      for (const name of names) weather[name] = calm[name];
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
    const succession = new Succession(this.#plan, this.#deps, random);
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
    return () => Object.assign(diskState, { slowFactor: 1, full: false, fullForStore: false, failSync: false });
  }

  /** Only ever on a minority of the voters, whichever may be in force: beyond it no promise holds. */
  #damage(kind: "logDamage" | "logRot" | "storeDamage" | "lostDisk", random: Random): undefined {
    const { cluster, history } = this.#deps;
    const { machines, roster } = cluster;
    const sound = machines.filter(
      ({ damage, life, number }) => damage === "none" && life?.isServing === true && roster.mayLose(number),
    );
    if (sound.length === 0) return;
    const machine = random.pick(sound);
    const { life } = machine;
    if (life === undefined) return;
    const { number } = machine;
    // What rots under a running member is found when it reads it: for others, or at its next start.
    if (kind !== "logRot") life.end({ kind: random.pick(["powerLoss", "kill"]) });
    const probe = { member: number, life: life.number, kind: "damaged" } as const;
    switch (kind) {
      case "logDamage":
      case "logRot": {
        const flipped = flipBit(machine, random);
        if (flipped === undefined) return;
        machine.damage = "log";
        machine.damagedTail = flipped.isTail;
        history.probe({ ...probe, what: "log" });
        this.#note(kind, `member ${number} ${flipped.description}`);
        break;
      }
      case "storeDamage":
        machine.damage = "state";
        history.probe({ ...probe, what: "state" });
        this.#note(kind, `member ${number}`);
        break;
      case "lostDisk":
        machine.damage = "lost";
        machine.disk = new MemoryDisk();
        machine.store = createMemoryBackend();
        history.probe({ ...probe, what: "lost" });
        this.#note(kind, `member ${number}`);
        break;
      default:
        unreachable(kind);
    }
  }
}
