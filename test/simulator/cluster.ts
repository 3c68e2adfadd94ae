import { type Config, parseConfig } from "../../src/config.ts";
import { memberIdOf } from "../../src/server/ids.ts";
import { createMachine, type Machine } from "./machine.ts";
import { Life, type LifeDeps } from "./member-life.ts";
import type { Random } from "./random.ts";
import type { Roster } from "./roster.ts";
import { createDiskState } from "./sim-disk.ts";
import { hostOf, peerUrl } from "./sim-network.ts";
import type { Plan } from "./swarm.ts";

const TOKEN = "simulated";

/** The members that the plan begins with, by id. */
export function foundersOf(plan: Plan): ReadonlyMap<bigint, number> {
  const numbers = Array.from({ length: plan.members }, (_, i) => i + 1);
  return new Map(numbers.map((number) => [memberIdOf([peerUrl(number)], TOKEN), number]));
}

/** All machines, and what the plan says of their members. */
export interface Cluster {
  /** By number, counted from 1. */
  readonly machines: readonly Machine[];
  readonly roster: Roster;
  /** A machine for a member that is to be added; it is off. */
  add(): Machine;
  start(machine: Machine): void;
  /** The machine whose member leads by its own account, in the newest term. */
  leader(): Machine | undefined;
}

export function createCluster(plan: Plan, random: Random, machines: Machine[], deps: LifeDeps): Cluster {
  const add = (): Machine => {
    const number = machines.length + 1;
    const own = random.split(`machine ${number}`);
    const rate = 1 + plan.drift * own.real(-1, 1);
    const clock = { turnMs: plan.turnMs, starvedMs: 0, rate, wallOffsetMs: own.real(-500, 500) };
    const diskState = createDiskState(plan.syncMs, plan.storeFlushMs);
    const machine = createMachine(number, number <= plan.members, clock, diskState, own);
    machines.push(machine);
    return machine;
  };
  while (machines.length < plan.members) add();
  const { roster } = deps;
  const configs = new Map<string, Config>();
  return {
    machines,
    roster,
    add,
    start: (machine) => {
      if (machine.life !== undefined || machine.retired) return;
      const words = commandLine(machine, plan, roster);
      const line = words.join(" ");
      const config = configs.get(line) ?? configOf(words);
      configs.set(line, config);
      new Life(machine, config, deps);
    },
    leader: () => {
      let found: { readonly machine: Machine; readonly term: number } | undefined;
      for (const machine of machines) {
        const server = machine.life?.member?.server;
        const status = server?.status();
        if (server === undefined || status?.leader !== server.memberId) continue;
        if (found === undefined || status.raftTerm > found.term) found = { machine, term: status.raftTerm };
      }
      return found?.machine;
    },
  };
}

/** As a member gets it. One that joins is told the members of that moment. */
function commandLine({ number, isFounder }: Machine, plan: Plan, { newest }: Roster): string[] {
  const urls = isFounder
    ? Array.from({ length: plan.members }, (_, i) => peerUrl(i + 1))
    : newest.records.flatMap(({ peerURLs }) => peerURLs);
  const flags: Record<string, string | number> = {
    name: `m${number}`,
    "data-dir": "/data",
    "initial-advertise-peer-urls": urls.find((url) => hostOf(url) === number) ?? peerUrl(number),
    "initial-cluster": urls.map((url) => `m${hostOf(url)}=${url}`).join(),
    "initial-cluster-token": TOKEN,
    ...(isFounder ? {} : { "initial-cluster-state": "existing" }),
    "heartbeat-interval": plan.heartbeatMs,
    "election-timeout": plan.electionMs,
    "pre-vote": String(plan.preVote),
    "snapshot-catchup-entries": plan.windowEntries,
    "max-wals": plan.keepSegments,
    "wal-segment-bytes": plan.segmentBytes,
    "compaction-batch-limit": plan.compactionBatch,
    "watch-progress-notify-interval": `${plan.progressNotifyMs}ms`,
    "backend-batch-interval": `${plan.flushMs}ms`,
    ...(plan.tinyLimits ? { "max-request-bytes": 3_000, "max-txn-ops": 4 } : {}),
    ...(plan.membership === undefined
      ? {}
      : { "strict-reconfig-check": String(plan.membership.strict), "max-learners": plan.membership.maxLearners }),
  };
  return Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
}

function configOf(words: readonly string[]): Config {
  const parsed = parseConfig(words, {}, () => "");
  if (parsed.kind !== "run") throw new Error("a configuration that does not run");
  return parsed.config;
}
