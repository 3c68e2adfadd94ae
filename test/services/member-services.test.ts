import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { AlarmRequestAlarmAction, AlarmType } from "../../proto/generated/etcdserverpb.ts";
import { HealthCheckResponseServingStatus } from "../../proto/generated/health.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { errors } from "../../src/api/errors.ts";
import { type AnyHandler, type ResponseStream, stream, unary } from "../../src/rpc/rpc.ts";
import { clusterService } from "../../src/services/cluster.ts";
import { guardHandlers } from "../../src/services/guard.ts";
import { healthService } from "../../src/services/health.ts";
import { maintenanceService } from "../../src/services/maintenance.ts";
import { QUORATE_VERSION } from "../../src/version.ts";
import { FakeEnv } from "../server/fake-env.ts";
import { context, FakeServer, fullHeader, invoke, MEMBER_ID } from "./fake-server.ts";

const options = {
  env: new FakeEnv(),
  electionMs: 1_000,
  stopping: new AbortController().signal,
  databasePace: { bytes: 1 << 20, waitMs: 60_000 },
};
let fake: FakeServer;
beforeEach(async () => {
  fake = await FakeServer.open();
});

const alarm = (action: number, type: number, memberID = MEMBER_ID) => ({ action, alarm: type, memberID });

describe("Cluster", () => {
  it("M-2, M-6, H-3: MemberList is linearizable when asked; the header has no revision", async () => {
    fake.members.push({ id: 5n, name: "", peerURLs: ["http://p2", "http://p3"], clientURLs: [], isLearner: true });
    const local = await invoke(clusterService(fake.server), rpcs.ClusterMemberList, {});
    expect(fake.asked).toEqual([]);
    expect(local.header).toEqual(fullHeader(0));
    expect(local.members).toEqual([
      { ID: MEMBER_ID, name: "one", peerURLs: ["http://p1"], clientURLs: ["http://c1"], isLearner: false },
      { ID: 5n, name: "", peerURLs: ["http://p2", "http://p3"], clientURLs: [], isLearner: true },
    ]);
    fake.barrierError = errors.timeout;
    const linearizable = invoke(clusterService(fake.server), rpcs.ClusterMemberList, { linearizable: true });
    await expect(linearizable).rejects.toBe(errors.timeout);
  });
});

describe("Cluster: changes", () => {
  const one = { ID: MEMBER_ID, name: "one", peerURLs: ["http://p1"], clientURLs: ["http://c1"], isLearner: false };
  const two = { ID: 5n, name: "", peerURLs: ["http://a:1"], clientURLs: [], isLearner: true };

  it("M-2, H-3: each answers with all members, an addition also with the new one, and no revision", async () => {
    const asked: unknown[] = [];
    const handlers = clusterService(
      (
        await FakeServer.open({
          add: async (...words) => {
            asked.push(["add", ...words.slice(0, 2)]);
            return { header: undefined, member: two, members: [one, two] };
          },
          remove: async (id) => {
            asked.push(["remove", id]);
            return [one];
          },
          update: async (id, urls) => {
            asked.push(["update", id, urls]);
            return [one, two];
          },
          promote: async (id) => {
            asked.push(["promote", id]);
            return [two];
          },
        })
      ).server,
    );
    const add = { peerURLs: [" http://b:2", "http://a:1"], isLearner: true };
    expect(await invoke(handlers, rpcs.ClusterMemberAdd, add)).toEqual({
      header: fullHeader(0),
      member: two,
      members: [one, two],
    });
    expect(await invoke(handlers, rpcs.ClusterMemberRemove, { ID: 5n })).toEqual({
      header: fullHeader(0),
      members: [one],
    });
    // M-6: URLs of an update are taken as they are.
    const update = { ID: 5n, peerURLs: [" x"] };
    expect(await invoke(handlers, rpcs.ClusterMemberUpdate, update)).toEqual({
      header: fullHeader(0),
      members: [one, two],
    });
    expect(await invoke(handlers, rpcs.ClusterMemberPromote, { ID: 5n })).toEqual({
      header: fullHeader(0),
      members: [two],
    });
    expect(asked).toEqual([
      ["add", ["http://a:1", "http://b:2"], true],
      ["remove", 5n],
      ["update", 5n, [" x"]],
      ["promote", 5n],
    ]);
  });

  it("bad URLs are refused before anything is asked", async () => {
    const handlers = clusterService(fake.server);
    const call = invoke(handlers, rpcs.ClusterMemberAdd, { peerURLs: ["x"] });
    await expect(call).rejects.toBe(errors.memberBadUrls);
  });
});

describe("Maintenance", () => {
  it("N-14, H-4: MoveLeader is the server's to do, and its answer is empty", async () => {
    const answer = await invoke(maintenanceService(fake.server, options), rpcs.MaintenanceMoveLeader, { targetID: 7n });
    expect([fake.asked, answer]).toEqual([["moveLeader 7"], { header: undefined }]);
  });

  it("N-1, H-2: Status has every field of 3.6", async () => {
    fake.session.put("a");
    const status = await invoke(maintenanceService(fake.server, options), rpcs.MaintenanceStatus);
    expect(status).toEqual({
      header: fullHeader(2),
      version: "3.6.14",
      dbSize: 40_960,
      leader: MEMBER_ID,
      raftIndex: 90,
      raftTerm: 7,
      raftAppliedIndex: 88,
      errors: [],
      dbSizeInUse: 20_480,
      isLearner: false,
      storageVersion: "3.6.0",
      dbSizeQuota: 2_147_483_648,
      downgradeInfo: { enabled: false, targetVersion: "" },
    });
  });

  it("N-1: Status tells of a missing leader, of alarms, and of an undecided version", async () => {
    fake.status.leader = 0n;
    fake.status.errors = ["etcdserver: no leader"];
    fake.version = undefined;
    fake.session.answer({ alarm: alarm(AlarmRequestAlarmAction.ACTIVATE, AlarmType.NOSPACE) });
    fake.session.answer({ alarm: alarm(AlarmRequestAlarmAction.ACTIVATE, AlarmType.CORRUPT, 12n) });
    const status = await invoke(maintenanceService(fake.server, options), rpcs.MaintenanceStatus);
    expect(status.errors).toEqual([
      "etcdserver: no leader",
      "memberID:18364758544493064720 alarm:NOSPACE ",
      "memberID:12 alarm:CORRUPT ",
    ]);
    expect([status.leader, status.storageVersion]).toEqual([0n, ""]);
  });

  it("N-3, H-4: Defragment is the server's to do, and its answer is empty", async () => {
    const answer = await invoke(maintenanceService(fake.server, options), rpcs.MaintenanceDefragment, {});
    expect([fake.asked, answer]).toEqual([["defragment"], { header: undefined }]);
  });

  it("N-15, H-2: Downgrade answers with the cluster's version and the current revision", async () => {
    const answer = await invoke(maintenanceService(fake.server, options), rpcs.MaintenanceDowngrade, {
      action: 1,
      version: "3.5",
    });
    expect([fake.asked, answer]).toEqual([["downgrade 1 3.5"], { header: fullHeader(1), version: "3.6" }]);
  });

  it("N-4, H-2: HashKV answers with what the server computes and the current revision", async () => {
    fake.session.put("a");
    const response = await invoke(maintenanceService(fake.server, options), rpcs.MaintenanceHashKV, { revision: 1 });
    expect(response).toEqual({ header: fullHeader(2), hash: 1_084_519_789, compactRevision: -1, hashRevision: 1 });
    expect(fake.asked).toEqual(["hashKv 1"]);
  });

  it("N-6, H-2: Hash answers with what the server computes and the current revision", async () => {
    fake.session.put("a");
    const response = await invoke(maintenanceService(fake.server, options), rpcs.MaintenanceHash);
    expect(response).toEqual({ header: fullHeader(2), hash: 42 });
    expect(fake.asked).toEqual(["hashStore"]);
  });

  it("N-10: Alarm goes through the log, to look at it, to raise one and to take it back", async () => {
    const maintenance = maintenanceService(fake.server, options);
    const none = await invoke(maintenance, rpcs.MaintenanceAlarm, {});
    expect(none).toEqual({ header: fullHeader(1), alarms: [] });
    expect(fake.asked).toEqual(["propose alarm"]);
    fake.session.answer({ alarm: alarm(AlarmRequestAlarmAction.ACTIVATE, AlarmType.NOSPACE) });
    const one = await invoke(maintenance, rpcs.MaintenanceAlarm, {});
    expect(one.alarms).toEqual([{ memberID: MEMBER_ID, alarm: AlarmType.NOSPACE }]);
    fake.proposeError = errors.deadlineExceeded;
    await expect(invoke(maintenance, rpcs.MaintenanceAlarm, {})).rejects.toBe(errors.deadlineExceeded);
    fake.proposeError = undefined;
    const { ACTIVATE, DEACTIVATE } = AlarmRequestAlarmAction;
    const corrupt = { memberID: 7n, alarm: AlarmType.CORRUPT };
    const raised = await invoke(maintenance, rpcs.MaintenanceAlarm, { action: ACTIVATE, ...corrupt });
    expect(raised).toEqual({ header: fullHeader(1), alarms: [corrupt] });
    const other = await invoke(maintenance, rpcs.MaintenanceAlarm, { action: DEACTIVATE, ...corrupt, memberID: 0n });
    expect(other.alarms).toEqual([]);
    expect((await invoke(maintenance, rpcs.MaintenanceAlarm, { action: DEACTIVATE, ...corrupt })).alarms).toEqual([
      corrupt,
    ]);
    expect((await invoke(maintenance, rpcs.MaintenanceAlarm, { action: ACTIVATE })).alarms).toEqual([]);
    await expect(invoke(maintenance, rpcs.MaintenanceAlarm, { action: 9 })).rejects.toBe(errors.unknownAlarmAction);
  });
});

describe("grpc.health.v1 (G-11)", () => {
  it("Check: the server serves, other services are not known", async () => {
    const { status } = await invoke(healthService(), rpcs.HealthCheck, { service: "" });
    expect(status).toBe(HealthCheckResponseServingStatus.SERVING);
    await expect(invoke(healthService(), rpcs.HealthCheck, { service: "etcdserverpb.KV" })).rejects.toMatchObject({
      code: 5,
      message: "unknown service",
    });
  });

  it("Watch: says the status once and stays open", () => {
    const handler = healthService().find((candidate) => candidate.rpc.path === rpcs.HealthWatch.path);
    if (handler?.kind !== "stream") throw new Error("no stream");
    const sent: unknown[] = [];
    const responses: ResponseStream<unknown> = {
      send: (response) => sent.push(response),
      writable: true,
      end: () => sent.push("end"),
    };
    const receiver = handler.open(responses, context());
    receiver.request(rpcs.HealthWatch.request.create({ service: "" }));
    receiver.halfClosed();
    expect(sent).toEqual([{ status: HealthCheckResponseServingStatus.SERVING }]);
  });
});

describe("what stands before every handler (G-12)", () => {
  const reached: string[] = [];
  const handlers: AnyHandler[] = [
    ...[rpcs.MaintenanceStatus, rpcs.KVRange, rpcs.ClusterMemberList, rpcs.MaintenanceHashKV, rpcs.HealthCheck].map(
      (rpc) =>
        unary(rpc as never, async () => {
          reached.push(rpc.method);
          return {} as never;
        }),
    ),
    stream(rpcs.WatchWatch, () => {
      reached.push("Watch");
      return {
        request: () => undefined,
        halfClosed: () => undefined,
        drained: () => undefined,
        closed: () => undefined,
      };
    }),
  ];
  let guarded: AnyHandler[];
  beforeEach(() => {
    reached.length = 0;
    guarded = guardHandlers(fake.server, handlers);
  });
  const openWatch = (metadata: Record<string, string> = {}): unknown[] => {
    const handler = guarded.find((candidate) => candidate.kind === "stream");
    if (handler?.kind !== "stream") throw new Error("no stream");
    const ended: unknown[] = [];
    const responses = { send: () => undefined, writable: true, end: (error?: Error) => void ended.push(error) };
    const receiver = handler.open(responses, context(metadata));
    receiver.request(rpcs.WatchWatch.request.create({}));
    receiver.closed();
    return ended;
  };

  it("lets calls through", async () => {
    await invoke(guarded, rpcs.KVRange, {}, context({ hasleader: "true", "client-api-version": "3.6" }));
    expect(openWatch({ hasleader: "true" })).toEqual([]);
    expect(reached).toEqual(["Range", "Watch"]);
  });

  it("refuses all of them while the cluster version is not known", async () => {
    fake.version = undefined;
    await expect(invoke(guarded, rpcs.MaintenanceStatus)).rejects.toBe(errors.notCapable);
    expect(openWatch()).toEqual([errors.notCapable]);
    expect(reached).toEqual([]);
  });

  it("M-5: a learner serves Status and serializable ranges only", async () => {
    fake.members = fake.members.map((member) => ({ ...member, isLearner: true }));
    await invoke(guarded, rpcs.MaintenanceStatus);
    await invoke(guarded, rpcs.KVRange, { serializable: true });
    const refused = errors.notSupportedForLearner;
    await expect(invoke(guarded, rpcs.KVRange, {})).rejects.toBe(refused);
    await expect(invoke(guarded, rpcs.ClusterMemberList)).rejects.toBe(refused);
    await expect(invoke(guarded, rpcs.MaintenanceHashKV)).rejects.toBe(refused);
    await expect(invoke(guarded, rpcs.HealthCheck)).rejects.toBe(refused);
    expect(openWatch()).toEqual([refused]);
    expect(reached).toEqual(["Status", "Range"]);
  });

  it("refuses a client API version that is not UTF-8", async () => {
    const call = (version: string) => invoke(guarded, rpcs.KVRange, {}, context({ "client-api-version": version }));
    await call("3.6");
    await call(Buffer.from("drei komma sechs, größer").toString("latin1"));
    await expect(call("3.\xff")).rejects.toBe(errors.invalidClientApiVersion);
    expect(openWatch({ "client-api-version": "\xc3" })).toEqual([errors.invalidClientApiVersion]);
  });

  it("N-13: a member whose store differs answers nothing from it, and ends its watches; the rest goes on", async () => {
    const handler = guarded.find((candidate) => candidate.kind === "stream");
    if (handler?.kind !== "stream") throw new Error("no stream");
    const ended: unknown[] = [];
    const responses = { send: () => undefined, writable: true, end: (error?: Error) => void ended.push(error) };
    const receiver = handler.open(responses, context());
    expect(fake.corruptCallbacks.size).toBe(1);
    fake.isCorrupt = true;
    for (const callback of fake.corruptCallbacks) callback();
    expect([ended, fake.corruptCallbacks.size]).toEqual([[errors.corrupt], 0]);
    receiver.closed();
    expect(openWatch()).toEqual([errors.corrupt]);
    await expect(invoke(guarded, rpcs.KVRange, {})).rejects.toBe(errors.corrupt);
    await expect(invoke(guarded, rpcs.KVRange, { serializable: true })).rejects.toBe(errors.corrupt);
    await invoke(guarded, rpcs.MaintenanceStatus);
    await invoke(guarded, rpcs.MaintenanceHashKV);
    await invoke(guarded, rpcs.ClusterMemberList);
  });

  it("of several reasons the first counts: version of the cluster, learner, version of the client's API, leader", async () => {
    fake.version = undefined;
    fake.members = fake.members.map((member) => ({ ...member, isLearner: true }));
    fake.status.leader = 0n;
    const metadata = { "client-api-version": "\xff", hasleader: "true" };
    const call = () => invoke(guarded, rpcs.KVRange, { key: "" }, context(metadata));
    await expect(call()).rejects.toBe(errors.notCapable);
    expect(openWatch(metadata)).toEqual([errors.notCapable]);
    fake.version = "3.6.0";
    await expect(call()).rejects.toBe(errors.notSupportedForLearner);
    expect(openWatch(metadata)).toEqual([errors.notSupportedForLearner]);
    fake.members = fake.members.map((member) => ({ ...member, isLearner: false }));
    await expect(call()).rejects.toBe(errors.invalidClientApiVersion);
    expect(openWatch(metadata)).toEqual([errors.invalidClientApiVersion]);
    metadata["client-api-version"] = "3.6";
    await expect(call()).rejects.toBe(errors.noLeader);
    expect(openWatch(metadata)).toEqual([errors.noLeader]);
    fake.status.leader = MEMBER_ID;
    await call();
    expect(reached).toEqual(["Range"]);
  });

  it("W-15: refuses calls that want a leader when there is none", async () => {
    fake.status.leader = 0n;
    await expect(invoke(guarded, rpcs.KVRange, {}, context({ hasleader: "true" }))).rejects.toBe(errors.noLeader);
    expect(openWatch({ hasleader: "true" })).toEqual([errors.noLeader]);
    await invoke(guarded, rpcs.KVRange, {}, context({ hasleader: "false" }));
    expect(openWatch()).toEqual([]);
  });
});

it("QUORATE_VERSION is the package's version", () => {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  expect(QUORATE_VERSION).toBe(manifest.version);
});
