import { type AlarmMember, type AlarmResponse, AlarmType } from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { validateAlarm } from "../api/validate.ts";
import type { Env } from "../env.ts";
import { type AnyHandler, stream, unary } from "../rpc/rpc.ts";
import type { Server } from "../server/server.ts";
import { ETCD_API_VERSION, STORAGE_VERSION } from "../version.ts";
import { createLeaderGuard } from "./leader-guard.ts";
import { type DatabasePace, sendDatabase } from "./snapshot.ts";
import { createStreamCalls } from "./stream-call.ts";

export interface MaintenanceServiceOptions {
  readonly env: Env;
  readonly electionMs: number;
  /** Aborted when the member begins to stop. */
  readonly stopping: AbortSignal;
  readonly databasePace: DatabasePace;
}

export function maintenanceService(server: Server, options: MaintenanceServiceOptions): AnyHandler[] {
  const { mvcc, cluster, alarms } = server.state;
  const calls = createStreamCalls(createLeaderGuard(server, options.env, options.electionMs), options.stopping);
  const storageVersion = (): string => (cluster.version === undefined ? "" : STORAGE_VERSION);
  return [
    unary(rpcs.MaintenanceStatus, async () => {
      const status = server.status();
      return {
        header: server.header(mvcc.currentRevision),
        version: ETCD_API_VERSION,
        dbSize: status.dbSizeBytes,
        leader: status.leader,
        raftIndex: status.committedIndex,
        raftTerm: status.raftTerm,
        raftAppliedIndex: status.appliedIndex,
        errors: [...status.errors, ...alarms.list(AlarmType.NONE).map(alarmText)],
        dbSizeInUse: status.dbSizeInUseBytes,
        isLearner: status.isLearner,
        storageVersion: storageVersion(),
        dbSizeQuota: status.dbSizeQuotaBytes,
        downgradeInfo: cluster.downgrade,
      };
    }),

    unary(rpcs.MaintenanceHashKV, async ({ revision }, context) => {
      const { hash, compactRevision, hashRevision } = await server.hashKv(revision, context);
      return { header: server.header(mvcc.currentRevision), hash, compactRevision, hashRevision };
    }),

    unary(rpcs.MaintenanceHash, async (_request, context) => {
      const hash = await server.hashStore(context);
      return { header: server.header(mvcc.currentRevision), hash };
    }),

    stream(rpcs.MaintenanceSnapshot, (responses, context) =>
      calls.open(responses, context, (end) =>
        sendDatabase(server, responses, { version: storageVersion, end, ...options }),
      ),
    ),

    // H-4: its answer has no header.
    unary(rpcs.MaintenanceMoveLeader, async ({ targetID }, context) => {
      await server.moveLeader(targetID, context);
      return { header: undefined };
    }),

    // H-4: likewise.
    unary(rpcs.MaintenanceDefragment, async (_request, context) => {
      await server.defragment(context);
      return { header: undefined };
    }),

    unary(rpcs.MaintenanceDowngrade, async ({ action, version }, context) => ({
      version: await server.downgrade(action, version, context),
      header: server.header(mvcc.currentRevision),
    })),

    unary(rpcs.MaintenanceAlarm, async (request, context) => {
      validateAlarm(request);
      // N-10: also to look at them goes through the log, so the answer is the cluster's, not this member's.
      return (await server.propose({ alarm: request }, context)) as AlarmResponse;
    }),
  ];
}

const alarmNames = new Map<number, string>(Object.entries(AlarmType).map(([name, number]) => [number, name]));

/** N-1: the message in protobuf's text form, where zeros are left out and every field is followed by a space. */
function alarmText({ memberID, alarm }: AlarmMember): string {
  const member = memberID === 0n ? "" : `memberID:${memberID} `;
  return alarm === AlarmType.NONE ? member : `${member}alarm:${alarmNames.get(alarm) ?? alarm} `;
}
