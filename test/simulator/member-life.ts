import { unreachable } from "../../raft/assert.ts";
import type { Config } from "../../src/config.ts";
import { limits } from "../../src/config.ts";
import type { Env } from "../../src/env.ts";
import type { Logger } from "../../src/log.ts";
import type { AnyHandler } from "../../src/rpc/rpc.ts";
import { type Booted, bootstrap } from "../../src/server/bootstrap.ts";
import { type Member, startMember } from "../../src/server/member.ts";
import { clusterService } from "../../src/services/cluster.ts";
import { guardHandlers } from "../../src/services/guard.ts";
import { kvService } from "../../src/services/kv.ts";
import { leaseService } from "../../src/services/lease.ts";
import { maintenanceService } from "../../src/services/maintenance.ts";
import type { ReadSlice } from "../../src/services/sliced-reader.ts";
import { watchService } from "../../src/services/watch.ts";
import type { MemoryBackend, MemoryBackendOptions } from "../../storage/memory-backend.ts";
import type { WalBatch } from "../../storage/wal.ts";
import type { FaultCounts } from "./fault-counts.ts";
import type { History } from "./history.ts";
import type { Machine } from "./machine.ts";
import { lookAt, type Observer, observeMachine, observeWal, tellMembers } from "./probes.ts";
import type { Roster } from "./roster.ts";
import { driveDisk, storeHooks, tear } from "./sim-disk.ts";
import { createSimEnv } from "./sim-env.ts";
import type { Network } from "./sim-network.ts";
import type { ClientPort, Endpoint } from "./sim-rpc.ts";
import { logEntryOf } from "./wire.ts";
import type { Owner, World } from "./world.ts";

export type Ending =
  /** The power fails: what was not synced is lost or torn. */
  | { readonly kind: "powerLoss" }
  /** The process is killed; what it wrote is still with the operating system. */
  | { readonly kind: "kill" }
  /** It was removed from the cluster, and ended by itself with exit code 0. */
  | { readonly kind: "removed" }
  /** The member ended itself. */
  | { readonly kind: "fatal"; readonly exitCode: number; readonly error: unknown }
  /** A snapshot took the place of log and state: it starts again at once. */
  | { readonly kind: "replaced" }
  /** It was asked to stop, and did. */
  | { readonly kind: "stop" };

export interface LifeDeps {
  readonly world: World;
  readonly network: Network;
  readonly port: ClientPort;
  readonly history: History;
  readonly counts: FaultCounts;
  readonly roster: Roster;
  /** Says every line of the members' logs. */
  readonly verbose: boolean;
  readonly readSlice: ReadSlice;
  /** It has read its disk and is about to take part. What it throws ends this life. */
  readonly onBooted: (life: Life, booted: Booted) => void;
  /** A member now takes part, serves clients, leads, or leads no longer. */
  readonly onChange: () => void;
  readonly onEnded: (life: Life, ending: Ending) => void;
}

/** From asking a member to stop until its process is gone, when its clients leave at once. */
const STOP_GRACE_MS = 20;

/**
 * One life of a member: the process from its start to its end, made of the parts that main.ts makes it of. When it is
 * dead nothing of it runs any more, and what it waited for never comes.
 */
export class Life implements Owner {
  readonly name: string;
  readonly machine: Machine;
  readonly number: number;
  readonly config: Config;
  dead = false;
  heldUntil = 0;
  member: Member | undefined;
  booted: Booted | undefined;
  readonly endpoint: Endpoint;
  readonly observer: Observer;
  readonly #deps: LifeDeps;
  readonly #env: Env;
  readonly #stopping = new AbortController();
  readonly #storeHooks: MemoryBackendOptions;
  #isStopping = false;

  constructor(machine: Machine, config: Config, deps: LifeDeps) {
    this.machine = machine;
    this.config = config;
    this.#deps = deps;
    this.number = ++machine.lives;
    this.name = `m${machine.number}.${this.number}`;
    const random = machine.random.split(`life ${this.number}`);
    this.#env = createSimEnv(deps.world, this, machine.clock, random.split("env"));
    this.observer = { history: deps.history, member: machine.number, life: this.number, roster: deps.roster };
    this.endpoint = {
      owner: this,
      host: machine.number,
      now: () => this.#env.now(),
      handlers: new Map(),
      calls: new Set(),
    };
    const disk = { ...deps, owner: this, state: machine.diskState, random: random.split("disk") };
    machine.life = this;
    driveDisk(machine.disk, disk);
    this.#storeHooks = storeHooks(disk);
    deps.world.schedule(this, 0, "start", () => {
      this.#run().catch((error: unknown) => this.end({ kind: "fatal", exitCode: 1, error }));
    });
  }

  /** Whether it serves clients. */
  get isServing(): boolean {
    return this.endpoint.handlers.size > 0;
  }

  /** Asked to stop, by an operator or by its removal, and not gone yet. */
  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** As SIGTERM does, or as main.ts does for a member that was removed. */
  stop(ending: Ending = { kind: "stop" }): void {
    const { member } = this;
    if (this.dead || member === undefined || this.#isStopping) return;
    this.#isStopping = true;
    const { world } = this.#deps;
    world.schedule(this, 0, "stop", () => {
      (async () => {
        await member.handOver();
        this.#stopping.abort();
        await world.delay(this, STOP_GRACE_MS, "grace");
        await member.stop();
        this.end(ending);
      })().catch((error: unknown) => this.end({ kind: "fatal", exitCode: 1, error }));
    });
  }

  /** As main.ts restarts a member within its process. */
  #replace(member: Member): void {
    if (this.dead || this.#isStopping) return;
    this.#isStopping = true;
    this.#deps.world.schedule(this, 0, "replace", () => {
      this.#stopping.abort();
      member.stop().then(
        () => this.end({ kind: "replaced" }),
        (error: unknown) => this.end({ kind: "fatal", exitCode: 1, error }),
      );
    });
  }

  /** From here on nothing of it happens. */
  end(ending: Ending): void {
    if (this.dead) return;
    const { machine } = this;
    const { history, network, port } = this.#deps;
    this.dead = true;
    machine.life = undefined;
    const { random, diskState } = machine;
    switch (ending.kind) {
      case "powerLoss":
        machine.disk = machine.disk.crash((n) => tear(n, random));
        break;
      case "kill":
      case "stop":
      case "removed":
      case "replaced":
        machine.disk = machine.disk.restart();
        break;
      case "fatal":
        // What a failed sync leaves of what was written is anything between nothing and all.
        machine.disk = diskState.unknown ? machine.disk.crash((n) => tear(n, random)) : machine.disk.restart();
        break;
      default:
        unreachable(ending);
    }
    diskState.unknown = false;
    diskState.crashAt = undefined;
    network.leave(machine.number, ending.kind !== "powerLoss");
    port.close(this.endpoint);
    const how =
      ending.kind === "fatal" ? "fatal" : ending.kind === "kill" || ending.kind === "powerLoss" ? "crash" : "stop";
    history.probe({ member: machine.number, life: this.number, kind: "ended", how });
    this.#deps.onEnded(this, ending);
  }

  /** A look at the whole state of a running member. */
  look(): void {
    if (!this.dead && this.booted !== undefined) lookAt(this.booted.machine, this.observer);
  }

  async #run(): Promise<void> {
    const { machine, config, observer } = this;
    const { network, port } = this.#deps;
    const env = this.#env;
    const log = this.#logger();
    const openBackend = (path: string): Promise<MemoryBackend> =>
      machine.stores.open(machine.disk, path, this.#storeHooks);
    const booted = await bootstrap(config, {
      disk: machine.disk,
      log,
      openBackend: async (path) => {
        if (machine.damage === "state") throw new Error("the state store is damaged (simulated checksum)");
        return await openBackend(path);
      },
      askPeer: (url, path, timeoutMs) => network.ask(machine.number, this, url, path, timeoutMs),
      resolveHost: async (host) => host,
    });
    this.#deps.onBooted(this, booted);
    this.booted = booted;
    await this.#tellStarted(booted);
    const { disk } = machine;
    const member: Member = await startMember(
      config,
      {
        ...booted,
        wal: observeWal(booted.wal, observer, (batch) => this.#durable(batch)),
        machine: observeMachine(booted.machine, observer),
      },
      {
        env,
        log,
        disk,
        openBackend,
        onReplaced: () => this.#replace(member),
        createTransport: async (identity, callbacks) => network.open(machine.number, this, env, identity, callbacks),
        onFatal: (error) => this.end({ kind: "fatal", exitCode: 1, error }),
        onRemoved: () => this.stop({ kind: "removed" }),
      },
    );
    if (this.dead) return;
    this.member = member;
    this.#deps.onChange();
    this.#watchLeadership(member);
    try {
      await member.ready;
    } catch (error) {
      // A stop before readiness has its own end.
      if (this.#stopping.signal.aborted) return;
      throw error;
    }
    if (this.#stopping.signal.aborted) return;
    this.endpoint.handlers = this.#handlers(member);
    port.open(this.endpoint);
    this.#deps.onChange();
  }

  #watchLeadership({ server }: Member): void {
    const { history, world } = this.#deps;
    const base = { member: this.machine.number, life: this.number };
    let led = 0;
    server.onLeaderChange(({ role, term }) => {
      const leads = role === "leader" ? term : 0;
      if (leads === led) return;
      if (led !== 0) history.probe({ ...base, kind: "deposed", term: led });
      if (leads !== 0) history.probe({ ...base, kind: "leader", term });
      world.trace.note(world.now, this.name, leads === 0 ? "leads no longer" : "leads", `term ${term}`);
      led = leads;
      this.#deps.onChange();
    });
  }

  #durable({ entries, hardState }: WalBatch): void {
    const { machine } = this;
    const { lastIndex, term, vote } = machine.durable;
    machine.durable = {
      lastIndex: entries.at(-1)?.index ?? lastIndex,
      term: hardState?.term ?? term,
      vote: hardState?.vote ?? vote,
    };
  }

  async #tellStarted({ wal, restored, machine }: Booted): Promise<void> {
    const { firstIndex, lastIndex } = wal;
    const log = [];
    for (let from = firstIndex; from <= lastIndex; ) {
      const found = await wal.read(from, lastIndex, 1 << 20);
      if (found === undefined) break;
      for (const entry of found.entries) log.push(logEntryOf(entry));
      from += found.entries.length;
    }
    const { observer } = this;
    const { term, vote, commit } = restored.hardState;
    observer.history.probe({
      member: observer.member,
      life: observer.life,
      kind: "started",
      term,
      vote: observer.roster.numberOf(vote),
      commit,
      appliedIndex: restored.applied,
      firstIndex,
      log,
    });
    tellMembers(machine, observer);
  }

  /** As main.ts joins them. */
  #handlers({ server }: Member): ReadonlyMap<string, AnyHandler> {
    const { config } = this;
    const env = this.#env;
    const streams = { env, electionMs: config.electionMs, stopping: this.#stopping.signal };
    const handlers = guardHandlers(server, [
      ...kvService(server, { env, maxTxnOps: config.maxTxnOps, slice: this.#deps.readSlice }),
      ...watchService(server, { ...streams, progressNotifyMs: config.progressNotifyMs }),
      ...leaseService(server, streams),
      ...clusterService(server),
      ...maintenanceService(server, {
        ...streams,
        databasePace: { bytes: limits.databasePaceBytes, waitMs: limits.databasePaceMs },
      }),
    ]);
    return new Map(handlers.map((handler) => [handler.rpc.path, handler]));
  }

  #logger(): Logger {
    const { world, verbose } = this.#deps;
    const say =
      (level: string) =>
      (fields: object, message: string): void => {
        if (verbose) world.trace.say(world.now, this.name, level, `${message} ${JSON.stringify(fields)}`);
      };
    return { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
  }
}
