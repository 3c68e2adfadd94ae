import { AlarmType } from "../../proto/generated/etcdserverpb.ts";
import type { CallLimits } from "../server/call-limits.ts";
import type { Server } from "../server/server.ts";

/** One question about this member's health; it throws what is wrong. */
export type Check = (limits: CallLimits) => Promise<void>;

export interface HealthChecks {
  readonly livez: ReadonlyMap<string, Check>;
  readonly readyz: ReadonlyMap<string, Check>;
  /** etcd's older /health: the first thing that is wrong, as its reason; "" when healthy. */
  health(
    options: { readonly serializable: boolean; readonly exclude: ReadonlySet<string> },
    limits: CallLimits,
  ): Promise<string>;
}

export function createHealthChecks(server: Server): HealthChecks {
  const { mvcc, cluster, alarms } = server.state;
  const serializableRead: Check = async () => {
    mvcc.get("health", mvcc.currentRevision);
  };
  const linearizableRead: Check = async (limits) => {
    await server.readBarrier(limits);
    await serializableRead(limits);
  };
  const dataCorruption: Check = async () => {
    if (alarms.isActive(AlarmType.CORRUPT)) throw new Error("alarm activated: CORRUPT");
  };
  const nonLearner: Check = async () => {
    if (cluster.member(server.memberId)?.isLearner === true) throw new Error("not supported for learner");
  };
  return {
    livez: new Map([["serializable_read", serializableRead]]),
    readyz: new Map([
      ["data_corruption", dataCorruption],
      ["serializable_read", serializableRead],
      ["linearizable_read", linearizableRead],
      ["non_learner", nonLearner],
    ]),
    async health({ serializable, exclude }, limits) {
      for (const { alarm } of alarms.list(AlarmType.NONE)) {
        const name = alarmName(alarm);
        if (!exclude.has(name)) return `ALARM ${name}`;
      }
      if (!serializable && server.status().leader === 0n) return "RAFT NO LEADER";
      try {
        await (serializable ? serializableRead(limits) : linearizableRead(limits));
      } catch (error) {
        return `RANGE ERROR:${textOf(error)}`;
      }
      return "";
    },
  };
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function alarmName(alarm: number): string {
  if (alarm === AlarmType.NOSPACE) return "NOSPACE";
  return alarm === AlarmType.CORRUPT ? "CORRUPT" : "UNKNOWN";
}
