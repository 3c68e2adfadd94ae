import { type Config, parseConfig } from "../../src/config.ts";
import { memberIdOf } from "../../src/server/ids.ts";
import { createMachine, type Machine } from "./machine.ts";
import { type Ending, Life, type LifeDeps } from "./member-life.ts";
import type { Random } from "./random.ts";
import { peerUrl } from "./sim-network.ts";
import type { Plan } from "./swarm.ts";

const TOKEN = "simulated";

const ids = new Map<number, bigint>();

export function memberId(number: number): bigint {
  let id = ids.get(number);
  if (id === undefined) {
    id = memberIdOf([peerUrl(number)], TOKEN);
    ids.set(number, id);
  }
  return id;
}

/** All machines, and what the plan says of their members. */
export interface Cluster {
  readonly machines: readonly Machine[];
  start(machine: Machine): void;
  /** The machine whose member leads by its own account, in the newest term. */
  leader(): Machine | undefined;
}

export function createCluster(plan: Plan, random: Random, deps: LifeDeps): Cluster {
  const machines: Machine[] = [];
  for (let number = 1; number <= plan.members; number++) {
    const own = random.split(`machine ${number}`);
    const rate = 1 + plan.drift * own.real(-1, 1);
    machines.push(
      createMachine(number, { turnMs: plan.turnMs, rate, wallOffsetMs: own.real(-500, 500) }, plan.syncMs, own),
    );
  }
  const configs = machines.map(({ number }) => configOf(number, plan));
  return {
    machines,
    start: (machine) => {
      const config = configs[machine.number - 1];
      if (machine.life === undefined && !machine.retired && config !== undefined) new Life(machine, config, deps);
    },
    leader: () => {
      let found: { readonly machine: Machine; readonly term: number } | undefined;
      for (const machine of machines) {
        const status = machine.life?.member?.server.status();
        if (status?.leader !== memberId(machine.number)) continue;
        if (found === undefined || status.raftTerm > found.term) found = { machine, term: status.raftTerm };
      }
      return found?.machine;
    },
  };
}

/** From the command line, as a member gets it. */
function configOf(number: number, plan: Plan): Config {
  const cluster = Array.from({ length: plan.members }, (_, i) => `m${i + 1}=${peerUrl(i + 1)}`).join();
  const flags: Record<string, string | number> = {
    name: `m${number}`,
    "data-dir": "/data",
    "initial-advertise-peer-urls": peerUrl(number),
    "initial-cluster": cluster,
    "initial-cluster-token": TOKEN,
    "heartbeat-interval": plan.heartbeatMs,
    "election-timeout": plan.electionMs,
    "pre-vote": String(plan.preVote),
    "snapshot-catchup-entries": plan.windowEntries,
    "compaction-batch-limit": plan.compactionBatch,
    "watch-progress-notify-interval": `${plan.progressNotifyMs}ms`,
    "backend-batch-interval": `${plan.flushMs}ms`,
    ...(plan.tinyLimits ? { "max-request-bytes": 3_000, "max-txn-ops": 4 } : {}),
  };
  const words = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const parsed = parseConfig(words, {}, () => "");
  if (parsed.kind !== "run") throw new Error("a configuration that does not run");
  return parsed.config;
}

export type { Ending };
