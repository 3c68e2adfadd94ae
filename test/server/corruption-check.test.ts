import { beforeEach, describe, expect, test } from "vitest";
import { type AlarmMember, AlarmRequestAlarmAction, AlarmType } from "../../proto/generated/etcdserverpb.ts";
import { blamed, CorruptionCheck } from "../../src/server/corruption-check.ts";
import type { KvHash } from "../../src/server/kv-hashes.ts";
import { Verdict } from "../../src/server/verdict.ts";
import type { ClusterMember } from "../../src/state/machine.ts";
import { FakeEnv } from "./fake-env.ts";

type Reply = KvHash | string | Error;

let env: FakeEnv;
let revision: number;
/** What each member answers, this one's first. */
let hashes: Map<bigint, (revision: number, fresh: boolean) => Reply>;
let stored: KvHash[];
let alarms: AlarmMember[];
let isLeader: boolean;
let errorsLogged: Record<string, unknown>[];
let asked: string[];

const hash = (value: number, compactRevision = -1, hashRevision = revision): KvHash => ({
  hash: value,
  compactRevision,
  hashRevision,
});
const log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (fields: object) => void errorsLogged.push({ ...fields }),
};

function start(times: { checkMs?: number; compactionCheckMs?: number }): CorruptionCheck {
  const members = (): ClusterMember[] =>
    [...hashes.keys()].map((id) => ({ id, name: `m${id}`, peerURLs: [], clientURLs: [], isLearner: false }));
  const check = new CorruptionCheck({
    env,
    log,
    memberId: 1n,
    cluster: {
      members,
      member: (id) => members().find((member) => member.id === id),
      isRemoved: () => false,
      removed: () => [],
      version: "3.6.0",
      downgrade: { enabled: false, targetVersion: "" },
    },
    alarms: { list: () => alarms, isActive: () => alarms.length > 0 },
    transport: {
      request: async (id, { body }) => {
        const request = JSON.parse(Buffer.from(body ?? []).toString()) as { revision: number; fresh?: boolean };
        asked.push(`${id} ${request.revision}${request.fresh === true ? " fresh" : ""}`);
        const reply = hashes.get(id)?.(request.revision, request.fresh === true) ?? "nobody";
        if (reply instanceof Error) throw reply;
        if (typeof reply === "string") return { status: 400, headers: {}, body: Buffer.from(`${reply}\n`) };
        const answer = { hash: reply.hash, compact_revision: reply.compactRevision, hash_revision: reply.hashRevision };
        return { status: 200, headers: {}, body: Buffer.from(JSON.stringify(answer)) };
      },
    },
    isLeader: () => isLeader,
    currentRevision: () => revision,
    hashKv: async (at, fresh) => {
      const reply = hashes.get(1n)?.(at, fresh);
      if (reply === undefined || typeof reply === "string" || reply instanceof Error) throw new Error(String(reply));
      return reply;
    },
    storedHashes: () => stored,
    propose: async ({ alarm }) => {
      expect(alarm?.action).toBe(AlarmRequestAlarmAction.ACTIVATE);
      alarms = [...alarms, { memberID: alarm?.memberID ?? 0n, alarm: alarm?.alarm ?? 0 }];
    },
    checkMs: times.checkMs ?? 0,
    compactionCheckMs: times.compactionCheckMs ?? 0,
    requestTimeoutMs: 7_000,
  });
  check.start();
  return check;
}

const named = (): bigint[] => alarms.map(({ memberID }) => memberID);

beforeEach(() => {
  env = new FakeEnv();
  revision = 10;
  hashes = new Map([1n, 2n, 3n].map((id) => [id, () => hash(77)]));
  stored = [];
  alarms = [];
  isLeader = true;
  errorsLogged = [];
  asked = [];
});

describe("N-13: the leader compares all stores", () => {
  test("each is asked for the same revision, read anew; equal hashes raise nothing", async () => {
    start({ checkMs: 60_000 });
    await env.advance(59_000);
    expect(asked).toEqual([]);
    await env.advance(62_000);
    expect(asked).toEqual(["2 10 fresh", "3 10 fresh", "2 10 fresh", "3 10 fresh"]);
    expect(alarms).toEqual([]);
  });

  test("of three the one that differs is named, with both hashes, and only once", async () => {
    hashes.set(3n, () => hash(78));
    start({ checkMs: 60_000 });
    await env.advance(200_000);
    expect(alarms).toEqual([{ memberID: 3n, alarm: AlarmType.CORRUPT }]);
    expect(errorsLogged).toEqual([
      expect.objectContaining({
        "corrupt-member-id": "3",
        "corrupt-hash": 78,
        "other-members": ["1", "2"],
        "other-hash": 77,
        revision: 10,
      }),
    ]);
  });

  test("of three it may be the leader itself", async () => {
    hashes.set(1n, () => hash(78));
    start({ checkMs: 60_000 });
    await env.advance(65_000);
    expect(named()).toEqual([1n]);
  });

  test("one of three is down, and the other two differ: nobody can tell, and the alarm is for all; the log has both", async () => {
    hashes.delete(3n);
    hashes.set(2n, () => hash(78));
    start({ checkMs: 60_000 });
    await env.advance(65_000);
    expect(named()).toEqual([0n]);
    expect(errorsLogged[0]).toMatchObject({ hashes: { 1: 77, 2: 78 } });
  });

  test.each<[string, Reply]>([
    ["has compacted past it", "mvcc: required revision has been compacted"],
    ["never gets there", "mvcc: required revision is a future revision"],
    ["is down", new Error("connect ECONNREFUSED")],
    ["compacted between", { hash: 78, compactRevision: 5, hashRevision: 10 }],
    ["answers for another revision", { hash: 78, compactRevision: -1, hashRevision: 9 }],
    ["answers nonsense", "<html>"],
  ])("one that %s is not judged", async (_what, reply) => {
    hashes.set(3n, () => reply);
    start({ checkMs: 60_000 });
    await env.advance(200_000);
    expect([alarms, errorsLogged]).toEqual([[], []]);
  });

  test("one that is behind is asked again until it gets there", async () => {
    const behindUntil = 63_000;
    hashes.set(3n, () => (env.now() < behindUntil ? "mvcc: required revision is a future revision" : hash(78)));
    start({ checkMs: 60_000 });
    await env.advance(72_000);
    expect(named()).toEqual([3n]);
  });

  test("what does not show a second time is nobody's fault", async () => {
    let times = 0;
    hashes.set(3n, () => hash(times++ === 0 ? 78 : 77));
    start({ checkMs: 60_000 });
    await env.advance(65_000);
    expect([times, alarms]).toEqual([2, []]);
  });

  test("only the leader does, and none after its stop", async () => {
    isLeader = false;
    const check = start({ checkMs: 60_000 });
    await env.advance(120_000);
    isLeader = true;
    check.stop();
    await env.advance(120_000);
    expect(asked).toEqual([]);
  });

  test("a check that takes long comes less often: no more than a twentieth of the time", async () => {
    hashes.set(3n, () => (env.now() % 60_000 < 6_000 ? "mvcc: required revision is a future revision" : hash(77)));
    start({ checkMs: 60_000 });
    await env.advance(60_000 + 6_000 + 110_000);
    expect(asked.filter((each) => each.startsWith("2"))).toHaveLength(1);
    await env.advance(20_000);
    expect(asked.filter((each) => each.startsWith("2"))).toHaveLength(2);
  });
});

describe("N-5: the leader compares what compactions left", () => {
  const left = (at: number, value = at): KvHash => ({ hash: value, compactRevision: at - 1, hashRevision: at });
  const answering = (wrong: number) => (at: number) => (at === wrong ? left(at, 999) : left(at));

  test("each compaction once, the newest first; when all agreed, older ones count as compared", async () => {
    stored = [left(3), left(5)];
    hashes = new Map([1n, 2n, 3n].map((id) => [id, answering(-1)]));
    start({ compactionCheckMs: 60_000 });
    await env.advance(185_000);
    expect(asked).toEqual(["2 5", "3 5", "2 3", "3 3"]);
    expect(alarms).toEqual([]);
  });

  test("one whose compaction left something else is named", async () => {
    stored = [left(3), left(5)];
    hashes = new Map([1n, 2n, 3n].map((id) => [id, answering(id === 2n ? 3 : -1)]));
    start({ compactionCheckMs: 60_000 });
    await env.advance(65_000);
    expect(named()).toEqual([2n]);
  });

  test("one that no longer has it leaves the compaction to be compared again", async () => {
    stored = [left(5)];
    hashes = new Map([1n, 2n, 3n].map((id) => [id, answering(-1)]));
    hashes.set(3n, () => hash(4, 5, 5));
    start({ compactionCheckMs: 60_000 });
    await env.advance(65_000);
    hashes.set(3n, answering(-1));
    await env.advance(180_000);
    expect(asked).toEqual(["2 5", "3 5", "2 5", "3 5"]);
    expect(alarms).toEqual([]);
  });
});

test("N-13: who is wrong: those that differ from a majority of all members; without one it may be anybody", () => {
  const ids = (values: number[], members = values.length): bigint[] =>
    blamed(
      values.map((each, i) => ({ id: BigInt(i + 1), hash: each })),
      members,
    ).map(({ id }) => id);
  expect(ids([])).toEqual([]);
  expect(ids([1])).toEqual([]);
  expect(ids([1, 1])).toEqual([]);
  expect(ids([1, 1], 5)).toEqual([]);
  expect(ids([1, 2])).toEqual([0n]);
  expect(ids([2, 1, 1])).toEqual([1n]);
  expect(ids([2, 1, 1], 4)).toEqual([0n]);
  expect(ids([1, 2, 3])).toEqual([0n]);
  expect(ids([1, 2, 2, 1])).toEqual([0n]);
  expect(ids([1, 2, 2, 3, 2])).toEqual([1n, 4n]);
});

test("N-13: a member knows when the alarm CORRUPT is its own", () => {
  let active: AlarmMember[] = [];
  const list = { list: () => active, isActive: () => active.length > 0 };
  const verdict = new Verdict(log, 1n, list);
  let calls = 0;
  verdict.onCorrupt(() => calls++);
  active = [{ memberID: 2n, alarm: AlarmType.CORRUPT }];
  verdict.applied();
  expect([verdict.isCorrupt, calls]).toEqual([false, 0]);
  active = [...active, { memberID: 1n, alarm: AlarmType.CORRUPT }];
  verdict.applied();
  verdict.applied();
  expect([verdict.isCorrupt, calls, errorsLogged.length]).toEqual([true, 1, 1]);
  // Also in the next life.
  expect(new Verdict(log, 1n, list).isCorrupt).toBe(true);
  active = [{ memberID: 0n, alarm: AlarmType.CORRUPT }];
  expect(new Verdict(log, 1n, list).isCorrupt).toBe(true);
  active = [];
  verdict.applied();
  expect(verdict.isCorrupt).toBe(false);
});
