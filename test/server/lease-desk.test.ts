import { beforeEach, describe, expect, test } from "vitest";
import type { SoftState } from "../../raft/types.ts";
import { errors } from "../../src/api/errors.ts";
import { PeerCallError, type PeerRequest, type PeerResponse } from "../../src/peer/transport.ts";
import { type CallLimits, limitsOf } from "../../src/server/call-limits.ts";
import { LeaseClock } from "../../src/server/lease-clock.ts";
import { LeaseDesk } from "../../src/server/lease-desk.ts";
import { createPeerRoutes, type PeerRouteDeps } from "../../src/server/peer-routes.ts";
import { promised } from "../../src/server/waiter.ts";
import { FakeEnv } from "./fake-env.ts";
import { FakeLeases } from "./fake-leases.ts";

/** Member 1 leads with the lease records; member 2 follows, and asks it over what the peer port serves. */
const LEADER = 1n;
const REQUEST_MS = 7_000;
const patient = limitsOf(new AbortController().signal);

let env: FakeEnv;
let leases: FakeLeases;
let clock: LeaseClock;
let leader: LeaseDesk;
let follower: LeaseDesk;
/** What the follower knows. */
let seen: SoftState;
let commitIndex: number;
let appliedIndex: number;
let revoked: bigint[];
let asked: string[];
let answer: (request: PeerRequest) => Promise<PeerResponse>;
let confirm: () => Promise<void>;

beforeEach(() => {
  env = new FakeEnv();
  leases = new FakeLeases();
  commitIndex = 10;
  appliedIndex = 10;
  revoked = [];
  asked = [];
  confirm = async () => undefined;
  seen = { role: "follower", term: 2, leader: LEADER };
  const leads: SoftState = { role: "leader", term: 2, leader: LEADER };
  clock = clockOf(async (id) => void revoked.push(id));
  clock.promote(2);
  leader = deskOf(clock, () => leads);
  follower = deskOf(
    clockOf(() => Promise.reject(new Error("a follower revokes nothing"))),
    () => seen,
  );
  const routes = createPeerRoutes({ leases: leader } as PeerRouteDeps);
  answer = async ({ method, path, body }) => {
    const served = await routes(method, path, Buffer.from(body ?? []), {});
    return { status: served?.status ?? 404, headers: {}, body: Buffer.from(served?.body ?? "") };
  };
});

function clockOf(revoke: (id: bigint) => Promise<void>): LeaseClock {
  return new LeaseClock({
    env,
    leases,
    electionMs: 1_000,
    confirmLeadership: () => confirm(),
    revoke,
    dropCheckpoint: () => Promise.reject(new Error("no lease here has a checkpoint")),
    onRevokeFailed: () => undefined,
  });
}

function deskOf(ownClock: LeaseClock, softState: () => SoftState): LeaseDesk {
  return new LeaseDesk({
    env,
    clock: ownClock,
    leases,
    transport: {
      request: (to, request) => {
        asked.push(`${request.method} ${request.path} of ${to}`);
        return answer(request);
      },
    },
    softState,
    confirmLeadership: async () => undefined,
    commitIndex: () => commitIndex,
    appliedIndex: () => appliedIndex,
    requestTimeoutMs: REQUEST_MS,
  });
}

function grant(id: bigint, ttlSeconds: number, keys: readonly string[] = []): void {
  leases.grant(id, ttlSeconds, 0, keys);
  clock.applied([{ kind: "granted", id, ttlSeconds }]);
}

function keepAlive(desk: LeaseDesk, id: bigint, limits: CallLimits): Promise<number> {
  return promised((waiter) => desk.keepAlive(id, limits, waiter));
}

function track<T>(promise: Promise<T>): { state: unknown } {
  const outcome: { state: unknown } = { state: "waiting" };
  promise.then(
    (value) => (outcome.state = value),
    (error: unknown) => (outcome.state = error),
  );
  return outcome;
}

describe("G-13: a follower asks the leader", () => {
  test("L-2: a renewal is an HTTP call to the leader, whose clock it sets back; nothing goes through the log", async () => {
    grant(7n, 5);
    await env.advance(4_000);
    expect(await keepAlive(follower, 7n, patient)).toBe(5);
    expect(asked).toEqual(["POST /leases of 1"]);
    await env.advance(4_900);
    expect(revoked).toEqual([]);
    await env.advance(600);
    expect(revoked).toEqual([7n]);
  });

  test("L-6: remaining and granted time, and the keys if they are wanted; L-4: unknown leases are an answer", async () => {
    grant(-7n, 10, ["b", "a"]);
    await env.advance(2_500);
    const found = { remainingSeconds: 7, grantedSeconds: 10 };
    expect(await follower.timeToLive(-7n, true, patient)).toEqual({ ...found, keys: ["a", "b"] });
    expect(await follower.timeToLive(-7n, false, patient)).toEqual({ ...found, keys: [] });
    expect(await follower.timeToLive(8n, true, patient)).toBeUndefined();
    expect(await keepAlive(follower, 8n, patient)).toBe(0);
    expect(asked).toEqual([...Array(3).fill("POST /leases/internal of 1"), "POST /leases of 1"]);
  });

  test("again and again while nobody leads or who is asked does not; the one who leads by then answers", async () => {
    grant(7n, 60);
    seen = { ...seen, leader: 0n };
    const renewal = track(keepAlive(follower, 7n, patient));
    await env.advance(1_000);
    expect([renewal.state, asked]).toEqual(["waiting", []]);
    clock.demote();
    seen = { ...seen, leader: LEADER };
    await env.advance(1_000);
    expect([renewal.state, asked.length > 10]).toEqual(["waiting", true]);
    clock.promote(3);
    await env.advance(60);
    expect(renewal.state).toBe(60);
  });

  test("until its time is over: the error says whether there was a leader", async () => {
    answer = () => Promise.reject(new PeerCallError("connection refused", false));
    const unreachable = track(keepAlive(follower, 7n, patient));
    await env.advance(REQUEST_MS);
    expect(unreachable.state).toBe(errors.timeout);
    seen = { ...seen, leader: 0n };
    const leaderless = [track(keepAlive(follower, 7n, patient)), track(follower.timeToLive(7n, false, patient))];
    await env.advance(REQUEST_MS);
    expect(leaderless.map(({ state }) => state)).toEqual([errors.noLeader, errors.noLeader]);
    const hasty = track(keepAlive(follower, 7n, { ...patient, deadline: env.now() + 300 }));
    await env.advance(300);
    expect(hasty.state).toBe(errors.deadlineExceeded);
  });
});

describe("a leader whose renewal does not come through", () => {
  beforeEach(() => grant(7n, 60));

  test("tries again, since the next round may confirm it", async () => {
    confirm = () => {
      confirm = async () => undefined;
      return Promise.reject(errors.timeout);
    };
    const renewal = track(keepAlive(leader, 7n, patient));
    await env.advance(100);
    expect(renewal.state).toBe(60);
  });

  test("gives up at once when the member stops", async () => {
    confirm = () => Promise.reject(errors.stopped);
    const renewal = track(keepAlive(leader, 7n, patient));
    await env.settle();
    expect(renewal.state).toBe(errors.stopped);
  });

  test("tells nothing before it is asked: the answer never comes from within the call", async () => {
    let told = 0;
    leader.keepAlive(7n, patient, { succeed: () => told++, fail: () => told++ });
    expect(told).toBe(0);
    await env.settle();
    expect(told).toBe(1);
  });
});

describe("L-13: a leader that is behind with applying", () => {
  beforeEach(() => {
    grant(7n, 60);
    grant(8n, 30);
  });

  test("waits for what is committed when it is asked, and no more", async () => {
    appliedIndex = 9;
    const calls = [track(keepAlive(leader, 7n, patient)), track(leader.timeToLive(8n, false, patient))];
    await env.advance(500);
    expect(calls.map(({ state }) => state)).toEqual(["waiting", "waiting"]);
    commitIndex = 1_000;
    appliedIndex = 10;
    await env.advance(20);
    expect(calls.map(({ state }) => state)).toEqual([60, { remainingSeconds: 29, grantedSeconds: 30, keys: [] }]);
  });

  test("says after a second that it took too long", async () => {
    appliedIndex = 9;
    const calls = [track(keepAlive(leader, 7n, patient)), track(leader.timeToLive(7n, true, patient))];
    await env.advance(990);
    expect(calls.map(({ state }) => state)).toEqual(["waiting", "waiting"]);
    await env.advance(20);
    expect(calls.map(({ state }) => state)).toEqual([errors.timeoutWaitApplied, errors.timeoutWaitApplied]);
    expect(errors.timeoutWaitApplied).toMatchObject({
      code: 14,
      message: "etcdserver: request timed out, waiting for the applied index took too long",
    });
  });

  test("is asked anew by a follower, for as long as a request may take", async () => {
    appliedIndex = 9;
    const lost = track(keepAlive(follower, 7n, patient));
    await env.advance(REQUEST_MS + 1_000);
    expect(lost.state).toBe(errors.timeout);
    const found = track(keepAlive(follower, 7n, patient));
    await env.advance(2_500);
    appliedIndex = 10;
    await env.advance(20);
    expect(found.state).toBe(60);
  });
});
