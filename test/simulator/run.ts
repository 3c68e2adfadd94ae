import { createCluster, memberId } from "./cluster.ts";
import { FaultCounts } from "./fault-counts.ts";
import { History } from "./history.ts";
import type { LifeDeps } from "./member-life.ts";
import { observeMessage } from "./probes.ts";
import { Random } from "./random.ts";
import { realNow } from "./real-world.ts";
import { restoreLimits, setLimits } from "./sim-limits.ts";
import { Network } from "./sim-network.ts";
import { ClientPort } from "./sim-rpc.ts";
import { describePlan, type Plan } from "./swarm.ts";
import { Workload } from "./workload.ts";
import { World } from "./world.ts";

export interface RunOptions {
  readonly onLine?: (line: string) => void;
}

export interface Failure {
  readonly checker: string;
  readonly message: string;
  readonly at: number;
}

export interface RunResult {
  readonly seed: string;
  readonly traceHash: string;
  readonly simulatedMs: number;
  readonly realMs: number;
  readonly events: number;
  /** Answered with success, by kind. */
  readonly operations: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly failure: Failure | undefined;
  readonly plan: string;
  readonly lastLines: readonly string[];
}

/** One seed, from the first start to the last check. */
export async function runPlan(plan: Plan, options: RunOptions = {}): Promise<RunResult> {
  const startedAt = realNow();
  const random = new Random(plan.seed);
  const counts = new FaultCounts();
  const world = new World({
    onUncaught: (owner, error) => {
      report("uncaught", `${owner?.name ?? "world"}: ${error instanceof Error ? error.stack : String(error)}`);
    },
  });
  world.trace.onLine = options.onLine;
  const facts = { electionMs: plan.electionMs, heartbeatMs: plan.heartbeatMs, maxDrift: plan.drift };
  const history = new History(facts, () => world.now);
  let failure: Failure | undefined;
  const report = (checker: string, message: string): void => {
    failure ??= { checker, message, at: world.now };
    world.finish();
  };

  const numbers = new Map(Array.from({ length: 9 }, (_, i) => [memberId(i + 1), i + 1]));
  const numberOf = (id: bigint): number => numbers.get(id) ?? 0;
  const network = new Network({
    world,
    random: random.split("network"),
    counts,
    onSend: (host, message) => {
      const life = cluster.machines[host - 1]?.life;
      if (life !== undefined) observeMessage(message, life.observer);
    },
  });
  network.weather.meanMs = plan.meanLatencyMs;
  network.weather.tellsLoss = plan.tellsLoss;
  const port = new ClientPort(world, network, random.split("client port"));
  const lifeDeps: LifeDeps = {
    world,
    network,
    port,
    history,
    counts,
    numberOf,
    verbose: options.onLine !== undefined,
    onServing: () => undefined,
    onEnded: (life, ending) => {
      world.trace.note(world.now, life.name, "ends", ending.kind);
      if (ending.kind === "fatal") report("member", `${life.name} ended itself: ${String(ending.error)}`);
    },
  };
  const cluster = createCluster(plan, random, lifeDeps);
  const workload = new Workload(plan, { world, port, history, random: random.split("workload"), cluster, report });

  setLimits(plan);
  try {
    for (const machine of cluster.machines) {
      world.schedule(undefined, random.real(0, 50), "power on", () => cluster.start(machine));
    }
    workload.start();
    world.schedule(undefined, plan.safetyMs, "end", () => world.finish());
    await world.run();
  } finally {
    restoreLimits();
  }
  return {
    seed: plan.seed,
    traceHash: world.trace.hash,
    simulatedMs: world.now,
    realMs: realNow() - startedAt,
    events: world.events,
    operations: countOperations(history),
    faults: counts.toRecord(),
    failure: failure ?? history.violations[0],
    plan: describePlan(plan),
    lastLines: world.trace.last(60),
  };
}

function countOperations(history: History): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { request, outcome } of history.operations) {
    if (outcome.kind === "ok") counts[request.kind] = (counts[request.kind] ?? 0) + 1;
  }
  return counts;
}
