import { Random } from "./random.ts";

/** What may happen in a run. Each run switches a random subset on: most bugs need some faults and the absence of others. */
export const FAULT_CLASSES = [
  "drop",
  "duplicate",
  "reorder",
  "delay",
  "isolate",
  "split",
  "oneWay",
  "partial",
  "bridge",
  "flapping",
  "clientLinks",
  "powerLoss",
  "kill",
  "crashAtBoundary",
  "crashAfterPromise",
  "stop",
  "pause",
  "blockedLoop",
  "clockJump",
  "slowDisk",
  "stalledDisk",
  "failingSync",
  "diskFull",
  "logDamage",
  "logRot",
  "storeDamage",
  "lostDisk",
  "farBehind",
  "transfer",
  "succession",
  "lastTransfer",
  "crashLoop",
  "slowStore",
  "starved",
  "lastVoter",
] as const;
export type FaultClass = (typeof FAULT_CLASSES)[number];

/** What takes many of the others' kind to come about by chance has a share of its own, whatever the others have. */
const OWN_SHARE: Readonly<Partial<Record<FaultClass, number>>> = {
  succession: 0.5,
  lastTransfer: 0.5,
  crashLoop: 0.3,
  slowStore: 0.25,
  starved: 0.25,
  lastVoter: 0.5,
};

export interface WorkloadPlan {
  readonly clients: number;
  /** Mean pause of a client between two operations. */
  readonly thinkMs: number;
  readonly keys: number;
  readonly maxValueBytes: number;
  /** Relative weights of the kinds of operations; 0: none. */
  readonly mix: Readonly<Record<OperationKind, number>>;
  readonly watchers: number;
  /** A watcher stays with a member for so long at most, and is as leisurely as this is long. */
  readonly watchStreamMs: number;
  readonly keepAlives: boolean;
  /** The longest time-to-live that clients ask for; who keeps leases alive is as leisurely as this is long. */
  readonly leaseSeconds: number;
}

export const OPERATION_KINDS = [
  "put",
  "range",
  "serializableRange",
  "oldRange",
  "deleteRange",
  "txn",
  "compact",
  "leaseGrant",
  "leaseRevoke",
  "leaseKeepAlive",
  "leaseTimeToLive",
  "leaseLeases",
  "hashKv",
  "status",
  "members",
] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];

const LEASE_KINDS = ["leaseGrant", "leaseKeepAlive", "leaseTimeToLive"] as const satisfies OperationKind[];

/** Members are added, promoted, moved and removed while the run goes on. */
export interface MembershipPlan {
  /** Mean pause of the operator between two steps. */
  readonly everyMs: number;
  /** How often a step is two changes at once, asked of two members. */
  readonly pairs: number;
  /** How often a step gives a member another address: a change like the others, that any cluster bears. */
  readonly moves: number;
  /** How often a step promotes a learner, if there is one; or learners stay for long. */
  readonly promotes: number;
  /** Members apply one entry a turn, and wait for their stores often: what is committed may stay unapplied for long. */
  readonly slowApply: boolean;
  /** --strict-reconfig-check */
  readonly strict: boolean;
  readonly maxLearners: number;
  /** Voters that the operator aims at, one after the other. */
  readonly sizes: readonly number[];
}

export interface Plan {
  readonly seed: string;
  readonly members: number;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly preVote: boolean;
  /** Simulated time under faults. */
  readonly safetyMs: number;
  /** From then on, faults having ended, clients go on this long: nothing may time out any more. */
  readonly calmMs: number;
  readonly meanLatencyMs: number;
  readonly syncMs: number;
  /** Mean time of a flush of the state store: what is staged meanwhile, and what a start has to apply again. */
  readonly storeFlushMs: number;
  /** A turn of a member's event loop: what is done in several turns meets more, the longer they are. */
  readonly turnMs: number;
  /** Machine clocks run up to this much too fast or too slow. */
  readonly drift: number;
  /** How often senders hear of lost messages. */
  readonly tellsLoss: number;
  readonly faults: readonly FaultClass[];
  /** Mean time between two faults of a class, and how long one lasts at most. */
  readonly faultEveryMs: number;
  readonly faultLastsMs: number;
  readonly tinyLimits: boolean;
  readonly segmentBytes: number;
  /** 0: the log is never cut. */
  readonly keepSegments: number;
  readonly windowEntries: number;
  readonly flushMs: number;
  readonly compactionBatch: number;
  /** A range reads this many keys in a turn. */
  readonly readSliceKeys: number;
  readonly progressNotifyMs: number;
  readonly workload: WorkloadPlan;
  readonly membership: MembershipPlan | undefined;
}

/** One plan in so many lives long. */
const LONG_ONE_IN = 10;

export function drawPlan(seed: string): Plan {
  const plan = drawShort(seed);
  const random = new Random(seed).split("long plan");
  return random.chance(1 / LONG_ONE_IN) ? prolong(plan, random) : plan;
}

/**
 * Ten minutes to an hour in which little happens at a time: long leases, progress that is told every ten minutes, clocks
 * that drift far apart, members that are away for minutes, election after election.
 */
function prolong(plan: Plan, random: Random): Plan {
  const clients = random.pick([2, 3, 5]);
  return {
    ...plan,
    membership: plan.membership && { ...plan.membership, everyMs: 20 * plan.membership.everyMs },
    safetyMs: random.logReal(10, 60) * 60_000,
    faultEveryMs: random.logReal(6_000, 120_000),
    faultLastsMs: random.logReal(1_000, 120_000),
    progressNotifyMs: random.pick([60_000, 600_000]),
    workload: {
      ...plan.workload,
      clients,
      thinkMs: random.logReal(1_000, 8_000) * Math.max(1, clients / 3),
      watchStreamMs: random.pick([60_000, 1_800_000]),
      leaseSeconds: random.pick([20, 120, 600]),
    },
  };
}

function drawShort(seed: string): Plan {
  const random = new Random(seed).split("plan");
  const share = random.pick([0, 0.1, 0.2, 0.2, 0.3, 0.3, 0.5, 0.8]);
  const later = new Random(seed).split("later faults");
  const faults = FAULT_CLASSES.filter((kind) => {
    const own = OWN_SHARE[kind];
    return own === undefined ? random.chance(share) : later.chance(own);
  });
  const tinyLimits = random.chance(0.3);
  const clients = random.pick([2, 4, 8, 16]);
  const heartbeatMs = random.pick([50, 100, 100, 100]);
  return {
    seed,
    members: random.weighted([
      [1, 1],
      [6, 3],
      [2, 5],
      [1, 7],
    ]),
    heartbeatMs,
    electionMs: heartbeatMs * random.pick([5, 10, 10]),
    preVote: random.chance(0.8),
    calmMs: random.chance(0.4) ? 18_000 + 15 * heartbeatMs * 10 : 0,
    safetyMs: random.pick([20_000, 40_000, 60_000, 120_000]),
    meanLatencyMs: random.logReal(0.2, 8),
    syncMs: random.logReal(0.3, 12),
    // With tiny limits the next entries wait for the flush of the last few.
    storeFlushMs: random.split("store flush").logReal(0.3, tinyLimits ? 20 : 300),
    turnMs: random.pick([0.02, 0.02, 0.5, 2]),
    drift: random.pick([0, 0.001, 0.05]),
    tellsLoss: random.pick([0, 0.5, 1]),
    faults,
    faultEveryMs: random.logReal(400, 15_000),
    faultLastsMs: random.logReal(500, 15_000),
    tinyLimits,
    segmentBytes: tinyLimits ? 4_096 : random.pick([4_096, 16_384, 65_536]),
    keepSegments: random.split("segments kept").pick([0, 1, 1, 2, 3]),
    windowEntries: tinyLimits ? 5 : random.pick([50, 1_000]),
    flushMs: random.pick([1, 100, 1_500]),
    compactionBatch: random.pick([1, 10, 1_000]),
    readSliceKeys: random.pick([1, 3, 1_000]),
    progressNotifyMs: random.pick([100, 1_000, 600_000]),
    workload: {
      clients,
      // Many slow clients ask as much as few fast ones, and leave more behind on a leader that is cut off.
      thinkMs: random.logReal(30, 1_000) * Math.max(1, clients / 4),
      keys: random.pick([2, 8, 40]),
      maxValueBytes: random.pick([8, 100, 2_000]),
      mix: drawMix(random),
      watchers: random.between(0, 3),
      watchStreamMs: 8_000,
      keepAlives: random.chance(0.7),
      leaseSeconds: 20,
    },
    membership: drawMembership(new Random(seed).split("membership")),
  };
}

function drawMembership(random: Random): MembershipPlan | undefined {
  if (!random.chance(0.4)) return undefined;
  return {
    everyMs: random.logReal(60, 4_000),
    pairs: random.pick([0, 0.3, 0.7]),
    moves: random.pick([0.1, 0.5]),
    promotes: random.pick([0.5, 0.5, 0.05]),
    strict: random.chance(0.25),
    maxLearners: random.pick([1, 2]),
    sizes: random.pick([
      [3, 5, 3, 1],
      [3, 1, 2, 4, 3],
      [5, 3, 5, 7],
      [4, 2, 4, 2],
      [1, 2, 3, 2],
    ]),
    slowApply: random.chance(0.5),
  };
}

function drawMix(random: Random): Record<OperationKind, number> {
  const weights: Record<OperationKind, number> = {
    put: 10,
    range: 6,
    serializableRange: 3,
    oldRange: 2,
    deleteRange: 2,
    txn: 5,
    compact: 0.8,
    leaseGrant: 1,
    leaseRevoke: 0.3,
    leaseKeepAlive: 1,
    leaseTimeToLive: 0.5,
    leaseLeases: 0.2,
    hashKv: 0.6,
    status: 0.3,
    members: 0.3,
  };
  for (const kind of OPERATION_KINDS) {
    if (kind !== "put" && kind !== "range" && random.chance(0.25)) weights[kind] = 0;
    else weights[kind] *= random.logReal(0.3, 3);
  }
  // Enough of them that several are due at once, and that each is asked about while it runs out.
  if (random.split("leases").chance(0.2)) for (const kind of LEASE_KINDS) weights[kind] *= 8;
  return weights;
}

/** One readable block, so that a failure can be understood. */
export function describePlan(plan: Plan): string {
  const { workload, faults, membership, ...rest } = plan;
  const { mix, ...clients } = workload;
  const line = (record: object): string =>
    Object.entries(record)
      .map(([name, value]) => `${name}=${typeof value === "number" ? Number(value.toPrecision(3)) : value}`)
      .join(" ");
  return [
    `plan      ${line(rest)}`,
    `workload  ${line(clients)}`,
    `mix       ${line(mix)}`,
    `members   ${membership === undefined ? "stay" : line(membership)}`,
    `faults    ${faults.length === 0 ? "none" : faults.join(" ")}`,
  ].join("\n");
}
