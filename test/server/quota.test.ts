import { beforeEach, expect, test } from "vitest";
import { type AlarmMember, AlarmRequestAlarmAction, AlarmType } from "../../proto/generated/etcdserverpb.ts";
import { errors } from "../../src/api/errors.ts";
import { limits } from "../../src/config.ts";
import { Quota } from "../../src/server/quota.ts";
import type { Command } from "../../src/state/machine.ts";
import { FakeEnv } from "./fake-env.ts";

const ID = 5n;
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
let env: FakeEnv;
/** As it is on the disk, as it is estimated, and what is on its way. */
let disk: number;
let known: number;
let pending: number;
let active: AlarmMember[];
let asked: string[];
let failure: Error | undefined;

function open(quotaBytes: number | undefined, autoDisarm = false): Quota {
  const quota = new Quota({
    env,
    log: silent,
    memberId: ID,
    quotaBytes,
    alarms: { list: () => active, isActive: () => active.length > 0 },
    knownBytes: () => known,
    pendingBytes: () => pending,
    measure: async () => {
      asked.push("measure");
      known = disk;
      return disk;
    },
    propose: async ({ alarm }: Command) => {
      if (alarm === undefined) throw new Error("no alarm");
      asked.push(`${alarm.action === AlarmRequestAlarmAction.ACTIVATE ? "raise" : "disarm"} ${alarm.memberID}`);
      if (failure !== undefined) throw failure;
      const { memberID } = alarm;
      const others = active.filter((each) => each.memberID !== memberID);
      const raised = { memberID, alarm: AlarmType.NOSPACE };
      active = alarm.action === AlarmRequestAlarmAction.ACTIVATE ? [...others, raised] : others;
    },
    onFull: () => asked.push("full"),
    autoDisarm,
    isMember: (id) => id < 100n,
  });
  quota.start();
  return quota;
}

beforeEach(() => {
  env = new FakeEnv();
  disk = 0;
  known = 0;
  pending = 0;
  active = [];
  asked = [];
  failure = undefined;
});

test("N-11: what fits is let through without a look at the disk, and what is on its way counts", () => {
  const quota = open(1_000);
  known = 400;
  pending = 300;
  expect([quota.hasRoom(299), quota.hasRoom(300), quota.isWithin]).toEqual([true, false, true]);
  expect(open(undefined).hasRoom(10 ** 12)).toBe(true);
  expect(asked).toEqual([]);
});

test("N-11: an estimate that is too high refuses nobody: the disk decides", async () => {
  const quota = open(1_000);
  known = 5_000;
  disk = 400;
  await quota.admit(100);
  expect(asked).toEqual(["measure"]);
  expect(quota.hasRoom(100)).toBe(true);
});

test("N-11: a full store refuses, and raises the alarm for this member once for all who ask", async () => {
  const quota = open(1_000);
  known = 990;
  disk = 990;
  const outcomes = await Promise.all([1, 2, 3].map(() => quota.admit(10).catch((error: unknown) => error)));
  expect(outcomes).toEqual([errors.noSpace, errors.noSpace, errors.noSpace]);
  expect(asked.filter((each) => each !== "full")).toEqual(["measure", "raise 5"]);
  // Which is there when they hear of it.
  expect(active).toEqual([{ memberID: ID, alarm: AlarmType.NOSPACE }]);
  // A storm of refused requests does not measure each time.
  await expect(quota.admit(10)).rejects.toBe(errors.noSpace);
  expect(asked.filter((each) => each === "measure")).toHaveLength(1);
});

test("N-11: a disarmed alarm is raised again while the store is full, and not when there is room", async () => {
  const quota = open(1_000);
  known = 1_000;
  disk = 1_000;
  await expect(quota.admit(1)).rejects.toBe(errors.noSpace);
  active = [];
  await expect(quota.admit(1)).rejects.toBe(errors.noSpace);
  expect(asked.filter((each) => each === "raise 5")).toHaveLength(2);
  active = [];
  disk = 100;
  await env.advance(1_000);
  await quota.admit(1);
  expect(active).toEqual([]);
});

test("N-11: a caller hears NoSpace, and is let go, also when the alarm cannot be raised", async () => {
  const quota = open(1_000);
  failure = errors.deadlineExceeded;
  known = 1_000;
  disk = 1_000;
  await expect(quota.admit(1)).rejects.toBe(errors.noSpace);
  failure = undefined;
  await expect(quota.admit(1)).rejects.toBe(errors.noSpace);
  expect(active).toHaveLength(1);
});

test("P-25, N-11: what was applied over the limit is answered NoSpace; what another member asked for raises, too", async () => {
  const quota = open(1_000);
  known = 1_200;
  disk = 900;
  await quota.applied();
  known = 1_200;
  disk = 1_100;
  await expect(quota.applied()).rejects.toBe(errors.noSpace);
  active = [];
  await env.advance(1_000);
  quota.observe();
  await env.settle();
  expect(active).toEqual([{ memberID: ID, alarm: AlarmType.NOSPACE }]);
  asked = [];
  quota.observe();
  await env.settle();
  expect(asked).toEqual([]);
});

test("N-11: the alarm stays when there is room again, unless it is to be taken back: then only this member's own", async () => {
  const alarms = [ID, 9n].map((memberID) => ({ memberID, alarm: AlarmType.NOSPACE }));
  active = alarms;
  known = 100;
  disk = 100;
  open(1_000);
  await env.advance(10_000);
  expect([active, asked]).toEqual([alarms, []]);

  known = 950;
  disk = 950;
  const quota = open(1_000, true);
  await env.advance(10_000);
  expect(active).toEqual(alarms);
  disk = 899;
  known = 899;
  await env.advance(1_000);
  expect([active, asked]).toEqual([[alarms[1]], ["measure", "disarm 5"]]);
  quota.stop();
});

test("N-11, switched on: who is no member can take no alarm back, so those that are do", async () => {
  const of = (memberID: bigint): AlarmMember => ({ memberID, alarm: AlarmType.NOSPACE });
  active = [of(100n), of(6n), of(101n)];
  const quota = open(1_000, true);
  await env.advance(limits.disarmCheckMs);
  expect([asked, active]).toEqual([["disarm 100", "disarm 101"], [of(6n)]]);
  quota.stop();
});
