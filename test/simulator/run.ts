import { ConfigError } from "../../src/flag-values.ts";
import { DEFAULT_SLICE } from "../../src/services/sliced-reader.ts";
import { WalDamagedError } from "../../storage/wal.ts";
import { type Cluster, createCluster, foundersOf } from "./cluster.ts";
import { FaultCounts } from "./fault-counts.ts";
import { Faults } from "./faults.ts";
import { History, type Violation } from "./history.ts";
import { attachProbeCheckers, type Checked, checkHistory } from "./judge.ts";
import type { Machine } from "./machine.ts";
import type { Life, LifeDeps } from "./member-life.ts";
import { Operator } from "./operator.ts";
import { observeMessage } from "./probes.ts";
import { QuorumWatch } from "./quorum-watch.ts";
import { Random } from "./random.ts";
import { Roster } from "./roster.ts";
import { expiriesPerSecond, restoreLimits, setLimits } from "./sim-limits.ts";
import { Network } from "./sim-network.ts";
import { ClientPort } from "./sim-rpc.ts";
import { describePlan, type Plan } from "./swarm.ts";
import { Workload } from "./workload.ts";
import { World } from "./world.ts";

export interface RunOptions {
  /** Every event, fault, log line and answer as it happens. */
  readonly onLine?: (line: string) => void;
}

export interface RunResult {
  readonly seed: string;
  readonly traceHash: string;
  readonly simulatedMs: number;
  /** Of these, how long faults could strike; 0 when the plan has none. */
  readonly faultyMs: number;
  /** Of this process. */
  readonly cpuMs: number;
  readonly events: number;
  /** Answered with success, by kind. */
  readonly operations: Readonly<Record<string, number>>;
  /** What the checkers looked at. */
  readonly checked: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly failure: Violation | undefined;
  readonly plan: string;
  readonly lastLines: readonly string[];
}

/** Faults begin when the cluster had time to come up. */
const FAULTS_FROM_MS = 2_000;
/** Healed, every member that runs must serve within this time, and the election time-outs that it takes. */
const RECOVERY_MS = 30_000;
/** Turns of an event loop between an entry and the next one that a follower with tiny limits gets. */
const TURNS_AN_ENTRY = 10;
const POLL_MS = 50;
/** From the end of a life to the next within the same process. */
const REPLACE_MS = 5;
/** What the checker of leases gives expiry on top of the longest time-to-live. */
const LEASE_SLACK_MS = 20_000;
/** How long it takes somebody to start the machine of a member that was added. */
const START_MS = { from: 5, to: 8_000 };
const TICK_MS = 1_000;

/** One seed, from the first start to the last check. */
export async function runPlan(plan: Plan, options: RunOptions = {}): Promise<RunResult> {
  const before = process.cpuUsage();
  const run = new Run(plan, options);
  setLimits(plan);
  try {
    await run.world.run();
  } finally {
    restoreLimits();
  }
  const checked = run.judge();
  const { user, system } = process.cpuUsage(before);
  return {
    seed: plan.seed,
    traceHash: run.world.trace.hash,
    simulatedMs: run.world.now,
    faultyMs: run.faultyMs,
    cpuMs: (user + system) / 1_000,
    events: run.world.events,
    operations: countOperations(run.history),
    checked: checked.counts,
    faults: run.counts.toRecord(),
    failure: checked.violation,
    plan: describePlan(plan),
    lastLines: run.world.trace.last(80),
  };
}

class Run {
  readonly world: World;
  readonly history: History;
  readonly counts = new FaultCounts();
  readonly #plan: Plan;
  readonly #cluster: Cluster;
  readonly #workload: Workload;
  readonly #faults: Faults;
  readonly #quorum: QuorumWatch;
  readonly #network: Network;
  #faultsFrom: number | undefined;
  #faultsUntil: number | undefined;
  readonly #roster: Roster;
  readonly #operator: Operator | undefined;
  /** Machines that somebody is on the way to start for a member that was added. */
  readonly #called = new Set<Machine>();
  /** Lost disks whose return must be refused: who could have told at the start. */
  readonly #witnesses = new Map<Life, { readonly lives: readonly Life[]; readonly faultChanges: number }>();
  /** Times that a fault began or ended. */
  #faultChanges = 0;

  constructor(plan: Plan, options: RunOptions) {
    this.#plan = plan;
    const { counts } = this;
    const random = new Random(plan.seed);
    const world = new World({
      onUncaught: (owner, error) => this.#report("uncaught", `${owner?.name ?? "world"}: ${textOf(error)}`),
    });
    this.world = world;
    world.trace.onLine = options.onLine;
    const history = new History(
      {
        electionMs: plan.electionMs,
        heartbeatMs: plan.heartbeatMs,
        maxDrift: plan.drift,
        expiriesPerSecond: expiriesPerSecond(plan),
      },
      () => world.now,
    );
    this.history = history;
    attachProbeCheckers(history);

    const machines: Machine[] = [];
    this.#roster = new Roster(foundersOf(plan), () => machines);
    const network = new Network({
      world,
      random: random.split("network"),
      counts,
      onSend: (host, message) => {
        const life = this.#cluster.machines[host - 1]?.life;
        if (life !== undefined) observeMessage(message, life.observer);
        this.#faults.sent(host, message);
      },
      onTaken: (host, message) => this.#faults.heard(host, message),
      onReceives: (host) => {
        const machine = this.#cluster.machines[host - 1];
        if (machine !== undefined) this.#faults.receives(machine);
      },
    });
    this.#network = network;
    network.weather.meanMs = plan.meanLatencyMs;
    network.weather.tellsLoss = plan.tellsLoss;
    const port = new ClientPort(world, network, random.split("client port"));
    port.onLoss = () => counts.add("client connection broken");
    const lifeDeps: LifeDeps = {
      world,
      network,
      port,
      history,
      counts,
      roster: this.#roster,
      verbose: options.onLine !== undefined,
      readSlice: { keys: plan.readSliceKeys, bytes: DEFAULT_SLICE.bytes },
      onBooted: (life, { memberId, restored, wal }) => {
        this.#roster.learn(memberId, life.machine.number);
        this.#inspect(life, wal.lastIndex, restored.hardState);
        life.machine.hasJoined = true;
        this.#faults.booted(life.machine);
      },
      onChange: () => this.#changed(),
      onEnded: (life, ending) => {
        world.trace.note(world.now, life.name, "ends", ending.kind === "fatal" ? firstLine(ending.error) : ending.kind);
        if (ending.kind === "fatal") this.#judgeEnd(life, ending.error);
        if (ending.kind === "removed") this.#judgeRemoval(life);
        if (ending.kind === "replaced") this.#restartIn(life.machine, REPLACE_MS);
        else this.#restartLater(life);
        this.#changed();
      },
    };
    this.#cluster = createCluster(plan, random, machines, lifeDeps);
    this.#quorum = new QuorumWatch(world, this.#cluster, network, history, plan);
    network.onChange = () => this.#quorum.update();
    this.#workload = new Workload(plan, {
      world,
      port,
      history,
      random: random.split("workload"),
      members: () => this.#known(),
      report: (checker, message) => this.#report(checker, message),
    });
    this.#faults = new Faults(plan, {
      world,
      random: random.split("faults"),
      cluster: this.#cluster,
      network,
      port,
      counts,
      history,
      clients: this.#workload.clients,
      onChange: () => {
        this.#faultChanges++;
        this.#changed();
      },
    });
    this.#operator =
      plan.membership &&
      new Operator(plan.membership, {
        world,
        random: random.split("operator"),
        cluster: this.#cluster,
        port,
        history,
        counts,
      });
    const calls = random.split("joining");
    this.#roster.onChange = () => {
      this.#callJoiners(() => (this.#faults.isOver ? 1 : calls.logReal(START_MS.from, START_MS.to)));
      this.#changed();
    };
    history.onProbe = (probe) => this.#faults.seen(probe);
    const founding = random.split("founding");
    for (const machine of this.#cluster.machines) {
      // Some founders come when the others have long begun.
      const afterMs = founding.chance(0.1) ? founding.logReal(100, 20_000) : random.real(0, 50);
      world.schedule(undefined, afterMs, "power on", () => {
        // Removed before it came: nobody starts it any more.
        if (this.#roster.isMember(machine.number)) this.#cluster.start(machine);
      });
    }
    world.schedule(undefined, 0, "begin", () => void this.#phases());
  }

  /** So far: how long faults have been free to strike. */
  get faultyMs(): number {
    const { faults } = this.#plan;
    const from = this.#faultsFrom;
    if (faults.length === 0 || from === undefined) return 0;
    return (this.#faultsUntil ?? this.world.now) - from;
  }

  /** After the end: what the whole history tells. */
  judge(): Checked {
    return checkHistory(this.history);
  }

  async #phases(): Promise<void> {
    const { world, history } = this;
    this.#workload.start();
    this.#tick();
    await this.#sleep(FAULTS_FROM_MS);
    this.#faultsFrom = world.now;
    this.#faults.start();
    this.#operator?.start();
    await this.#sleep(this.#plan.safetyMs);

    this.#operator?.stop();
    this.#faults.stop();
    this.#faultsUntil = world.now;
    for (const machine of this.#cluster.machines) {
      if (machine.lives > 0 || this.#roster.isMember(machine.number)) this.#cluster.start(machine);
    }
    world.trace.note(world.now, "world", "healed", "");
    history.world({ kind: "healed" });
    await this.#until(
      RECOVERY_MS,
      () => (this.#operator?.busy ?? 0) === 0 && this.#cluster.machines.every(({ life }) => life?.isStopping !== true),
      "changes of the membership never come back, or who was asked to stop never ends",
    );
    await this.#demandProgress();
    history.world({ kind: "recovered" });
    await this.#sleep(this.#plan.calmMs);

    this.#workload.stop();
    await this.#until(RECOVERY_MS, () => this.#workload.busy === 0, "requests never come back");
    await this.#settle();
    world.finish();
  }

  /** Healed, every member that can run gets what the others have, and serves writes and reads. */
  async #demandProgress(): Promise<void> {
    const goal = this.#roster.appliedIndex;
    await Promise.all(
      this.#running().map(async (number) => {
        // It may meet its damaged disk only now.
        const isOut = (): boolean => !this.#running().includes(number);
        const patienceMs = RECOVERY_MS + this.#catchUpMs(number, goal);
        await this.#until(
          patienceMs,
          () => isOut() || this.#appliedBy(number) >= goal,
          () => `healed, and member ${number} is at ${this.#appliedBy(number)} of ${goal} after ${patienceMs} ms`,
        );
        const wrote = await this.#workload.writeOne(number, RECOVERY_MS);
        const read = wrote && (await this.#workload.readAll(number, RECOVERY_MS));
        if (isOut()) return;
        if (!wrote) this.#report("liveness", `healed, and member ${number} takes no write for ${RECOVERY_MS} ms`);
        else if (!read) this.#report("liveness", `healed, and member ${number} answers no read for ${RECOVERY_MS} ms`);
      }),
    );
  }

  #appliedBy(number: number): number {
    return this.#cluster.machines[number - 1]?.life?.booted?.machine.appliedIndex ?? 0;
  }

  /**
   * What it may take a member to get the entries up to the goal beyond the time that everybody has. With tiny limits an
   * entry goes when the one before it was answered for: a way there and back and a write to disk each; twice that.
   */
  #catchUpMs(number: number, goal: number): number {
    const { tinyLimits, meanLatencyMs, syncMs, turnMs } = this.#plan;
    if (!tinyLimits) return 0;
    const lacks = Math.max(0, goal - (this.#cluster.machines[number - 1]?.durable.lastIndex ?? 0));
    return Math.ceil(2 * lacks * (2 * meanLatencyMs + 2 * syncMs + TURNS_AN_ENTRY * turnMs));
  }

  /** Nobody writes any more: all members come to the same state, and all watchers to the same end. */
  async #settle(): Promise<void> {
    const { history, world } = this;
    const machines = this.#cluster.machines;
    const applied = (): number[] => this.#sound().map(({ number }) => this.#appliedBy(number));
    const goal = this.#roster.appliedIndex;
    await this.#until(
      RECOVERY_MS + Math.max(0, ...this.#sound().map(({ number }) => this.#catchUpMs(number, goal))),
      () => new Set(applied()).size === 1,
      () => `members stay apart: ${applied().join()}`,
    );
    await this.#until(
      RECOVERY_MS,
      () => this.#leavers().length === 0,
      () => `removed, and running on: members ${this.#leavers().join()}`,
    );
    for (const { life } of machines) life?.look();
    await this.#outliveLeases();
    // Who has not got everything yet is not answered; who asks again, having had the time for it, must be.
    for (let round = 0; round < 2; round++) {
      this.#workload.askProgress();
      await this.#sleep(1_000 + 40 * this.#plan.meanLatencyMs);
    }
    for (const { life } of machines) life?.look();
    // Two at a time, and nobody else comes along: the later one may find the earlier one's round under way.
    const apartMs = 4 * this.#plan.meanLatencyMs;
    await Promise.all(this.#running().map((number) => this.#workload.readTwice(number, RECOVERY_MS, apartMs)));
    world.trace.note(world.now, "world", "settled", "");
    history.world({ kind: "settled" });
    history.tick();
  }

  /** Nobody renews any more: all leases go, or have had the time to. */
  async #outliveLeases(): Promise<void> {
    const left = (): number =>
      Math.max(...this.#cluster.machines.map(({ life }) => life?.booted?.machine.leases.size ?? 0));
    const end = this.world.now + this.#plan.workload.leaseSeconds * 1_000 + LEASE_SLACK_MS;
    while (left() > 0 && this.world.now < end) await this.#sleep(TICK_MS);
  }

  /** Voters that can serve. */
  #running(): number[] {
    const { voters } = this.#roster.newest;
    return voters.filter((number) => this.#cluster.machines[number - 1]?.retired === false);
  }

  /** Machines of members, learners too, that are not out of the run. */
  #sound(): readonly Machine[] {
    return this.#cluster.machines.filter(({ number, retired }) => !retired && this.#roster.isMember(number));
  }

  /** Members that clients know of: those of now, and those before that are still there. */
  #known(): readonly number[] {
    const known = this.#cluster.machines.filter(
      ({ number, life }) => life?.booted !== undefined || this.#roster.isMember(number),
    );
    return known.map(({ number }) => number);
  }

  /**
   * Removed members that run. Who knows no member of now, because it never got that far or because all whom it knew have
   * left, cannot hear of its removal: somebody turns it off.
   */
  #leavers(): readonly number[] {
    const leavers = this.#cluster.machines.filter(
      ({ number, life, retired }) => life !== undefined && !retired && !this.#roster.isMember(number),
    );
    for (const { life } of leavers) {
      const known = life?.booted?.machine.cluster.members() ?? [];
      if (life === undefined || known.some(({ id }) => this.#roster.isMember(this.#roster.numberOf(id)))) continue;
      this.counts.add("removed, and knew nobody");
      life.machine.retired = true;
      life.end({ kind: "kill" });
    }
    return leavers.filter(({ life }) => life !== undefined).map(({ number }) => number);
  }

  /** Somebody starts the machines of members that were added. */
  #callJoiners(afterMs: () => number): void {
    for (const machine of this.#sound()) {
      if (machine.hasJoined || machine.life !== undefined || this.#called.has(machine)) continue;
      this.#called.add(machine);
      this.world.schedule(undefined, afterMs(), "power on", () => {
        this.#called.delete(machine);
        if (this.#roster.isMember(machine.number)) this.#cluster.start(machine);
      });
    }
  }

  async #until(patienceMs: number, isDone: () => boolean, complaint: string | (() => string)): Promise<void> {
    const end = this.world.now + patienceMs;
    while (!isDone()) {
      if (this.world.now >= end) {
        this.#report("liveness", typeof complaint === "string" ? complaint : complaint());
        return;
      }
      await this.#sleep(POLL_MS);
    }
  }

  #sleep(milliseconds: number): Promise<void> {
    return this.world.delay(undefined, milliseconds, "phase");
  }

  #tick(): void {
    this.world.schedule(undefined, TICK_MS, "tick", () => {
      this.history.tick();
      this.#stopWhenRefuted();
      this.#tick();
    });
  }

  #changed(): void {
    this.#quorum.update();
    this.#stopWhenRefuted();
  }

  #stopWhenRefuted(): void {
    if (this.history.violations.length > 0) this.world.finish();
  }

  #report(checker: string, message: string): void {
    this.history.report(checker, message);
    this.world.finish();
  }

  #restartLater({ machine }: Life): void {
    if (machine.retired) return;
    this.#restartIn(machine, this.#faults.downtime(machine));
  }

  #restartIn(machine: Machine, milliseconds: number): void {
    this.world.schedule(undefined, milliseconds, "restart", () => {
      if (machine.life !== undefined || machine.retired) return;
      // Added, removed, and it never took part: nobody starts it any more.
      if (!machine.hasJoined && !this.#roster.isMember(machine.number)) return;
      if (this.#faults.keepsDown(machine)) {
        this.#restartIn(machine, POLL_MS);
        return;
      }
      this.#cluster.start(machine);
      this.#faults.started(machine);
      if (machine.damage === "lost" && machine.life !== undefined) {
        const lives = this.#whoKnows(machine.number);
        this.#witnesses.set(machine.life, { lives, faultChanges: this.#faultChanges });
      }
    });
  }

  /** Members that serve, run on, and exchange messages with this machine. */
  #whoKnows(number: number): readonly Life[] {
    const { drop, delay } = this.#network.weather;
    if (drop > 0 || delay > 0 || this.#network.isLagging) return [];
    return this.#cluster.machines.flatMap(({ life, number: other }) => {
      // It asks those with whom it founded the cluster.
      if (other > this.#plan.members || !this.#roster.isMember(other)) return [];
      if (life === undefined || other === number || !life.isServing || life.heldUntil > this.world.now) return [];
      return this.#network.isConnected(other, number) ? [life] : [];
    });
  }

  /** A member ends itself only for what a fault did to its disk. */
  #judgeEnd(life: Life, error: unknown): void {
    const { machine } = life;
    if (error instanceof Retired) {
      machine.retired = true;
      return;
    }
    const text = textOf(error);
    if (machine.damage !== "none") {
      machine.retired = true;
      this.counts.add(error instanceof WalDamagedError ? "damaged log refused" : `${machine.damage} disk refused`);
      return;
    }
    if (/\(simulated\)/.test(text)) return;
    // Whom it was told of are not the members any more, or nobody answered: it is told anew, and tries again.
    if (error instanceof ConfigError && !machine.hasJoined && !machine.isFounder) {
      this.counts.add("joined in vain");
      return;
    }
    this.#report("member", `${life.name} ended itself: ${text}`);
  }

  /**
   * Exit code 0. While no voter that runs has applied the removal, its answers may be needed for them to learn of it
   * (raft/README.md): then a supervisor starts it again, as docker-compose.yml does. A learner that knows helps nobody:
   * it is not asked for its vote.
   */
  #judgeRemoval({ machine, name, booted }: Life): void {
    const id = booted?.memberId ?? 0n;
    if (!this.#roster.wasRemoved(id)) this.#report("member", `${name} ended as one that was removed, and is a member`);
    const voters = this.#running().map((number) => this.#cluster.machines[number - 1]);
    if (!voters.some((voter) => voter?.life?.booted?.machine.cluster.isRemoved(id))) return;
    machine.retired = true;
    this.counts.add("removed member ended");
  }

  /** What a start found on a damaged disk must be all that was promised from it, or be refused. */
  #inspect(life: Life, lastIndex: number, hardState: { readonly term: number; readonly vote: bigint }): void {
    const { machine } = life;
    switch (machine.damage) {
      case "none":
      case "state":
        return;
      case "lost": {
        // It asked the first that answered, who may not know; or nobody knows it any more.
        if (!machine.isFounder || !this.#roster.isMember(machine.number)) throw new Retired("a lost disk comes back");
        const { lives, faultChanges } = this.#witnesses.get(life) ?? { lives: [], faultChanges: 0 };
        // What a fault held up in between may have been the answer.
        const witnesses = faultChanges === this.#faultChanges ? lives : [];
        const now = this.#whoKnows(machine.number);
        if (witnesses.some((witness) => now.includes(witness))) {
          this.#report("second life", `${life.name} lost its disk and starts as new, though members know that it ran`);
        }
        // Nobody could tell it. From here on it would be a danger, as it is in etcd: an operator must not do this.
        throw new Retired("a lost disk comes back with nobody there who knows");
      }
      case "log": {
        const { durable } = machine;
        // There may be more: the power went after a write was on the disk, and before the log said so.
        const hasVote = durable.vote === 0n || hardState.vote === durable.vote;
        const hasState = hardState.term > durable.term || (hardState.term === durable.term && hasVote);
        const isWhole = lastIndex >= durable.lastIndex && hasState;
        if (isWhole) {
          this.counts.add("damage that met nothing");
          return;
        }
        if (!machine.damagedTail) {
          this.#report(
            "damaged log",
            `${life.name} starts with entries to ${lastIndex} in term ${hardState.term} from a damaged log that had ` +
              `${durable.lastIndex} in term ${durable.term}`,
          );
        }
        // A synced last write that rots looks like one that was torn. No log can tell, so nobody runs on it here.
        throw new Retired("a damaged end of the log was taken for a torn one");
      }
    }
  }
}

/** The plan takes the machine out of the run. */
class Retired extends Error {
  override readonly name = "Retired";
}

function countOperations(history: History): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { request, outcome } of history.operations) {
    if (outcome.kind === "ok") counts[request.kind] = (counts[request.kind] ?? 0) + 1;
  }
  return counts;
}

function firstLine(error: unknown): string {
  return String(error).split("\n", 1)[0] ?? "";
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
