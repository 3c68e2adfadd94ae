import { beforeEach, describe, expect, test } from "vitest";
import { errors } from "../../src/api/errors.ts";
import { LeaseClock } from "../../src/server/lease-clock.ts";
import { promised } from "../../src/server/waiter.ts";
import { FakeEnv } from "./fake-env.ts";
import { FakeLeases } from "./fake-leases.ts";

const ELECTION_MS = 1_000;
const TERM = 7;

let env: FakeEnv;
let leases: FakeLeases;
let clock: LeaseClock;
let revoked: { id: bigint; at: number }[];
let confirm: () => Promise<void>;
let revoke: (id: bigint) => Promise<void>;
let dropCheckpoint: (id: bigint) => Promise<void>;
let failures: bigint[];
let terms: Set<number>;

beforeEach(() => {
  env = new FakeEnv();
  leases = new FakeLeases();
  revoked = [];
  failures = [];
  terms = new Set();
  confirm = async () => undefined;
  dropCheckpoint = () => Promise.reject(new Error("no lease has a checkpoint"));
  revoke = async (id) => {
    revoked.push({ id, at: env.now() });
    leases.records.delete(id);
    clock.applied([{ kind: "revoked", id }]);
  };
  clock = new LeaseClock({
    env,
    leases,
    electionMs: ELECTION_MS,
    confirmLeadership: () => confirm(),
    revoke: (id, term) => {
      terms.add(term);
      return revoke(id);
    },
    dropCheckpoint: (id, term) => {
      terms.add(term);
      return dropCheckpoint(id);
    },
    onRevokeFailed: (id) => failures.push(id),
  });
});

function renew(id: bigint): Promise<number> {
  return promised((waiter) => clock.renew(id, waiter));
}

function grant(id: bigint, ttlSeconds: number): void {
  leases.grant(id, ttlSeconds);
  clock.applied([{ kind: "granted", id, ttlSeconds }]);
}

describe("L-8: expiry on the leader", () => {
  test("a lease ends after its time-to-live, within one scan", async () => {
    clock.promote(TERM);
    grant(7n, 5);
    await env.advance(4_999);
    expect(revoked).toEqual([]);
    await env.advance(1_000);
    expect(revoked).toEqual([{ id: 7n, at: 5_000 }]);
    expect([...terms]).toEqual([TERM]);
  });

  test("nothing expires on a member that does not lead", async () => {
    grant(7n, 1);
    await env.advance(10_000);
    expect(revoked).toEqual([]);
  });

  test("nothing expires while leadership cannot be confirmed", async () => {
    confirm = async () => {
      throw errors.notLeader;
    };
    clock.promote(TERM);
    grant(7n, 2);
    await env.advance(20_000);
    expect(revoked).toEqual([]);
    confirm = async () => undefined;
    await env.advance(1_000);
    expect(revoked).toHaveLength(1);
  });

  test("a leader deposed during the confirmation revokes nothing", async () => {
    let deposed = false;
    confirm = async () => {
      if (!deposed) clock.demote();
      deposed = true;
    };
    clock.promote(TERM);
    grant(7n, 2);
    await env.advance(20_000);
    expect(deposed).toBe(true);
    expect(revoked).toEqual([]);
  });

  test("at most 500 a scan, at most 16 revokes at once", async () => {
    let running = 0;
    let most = 0;
    revoke = async (id) => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => env.nextTurn(resolve));
      running--;
      revoked.push({ id, at: env.now() });
      leases.records.delete(id);
      clock.applied([{ kind: "revoked", id }]);
    };
    clock.promote(TERM);
    for (let id = 1n; id <= 1_200n; id++) grant(id, 3);
    await env.advance(3_000);
    expect(revoked).toHaveLength(500);
    await env.advance(1_000);
    expect(revoked).toHaveLength(1_200);
    expect(most).toBeLessThanOrEqual(16);
  });

  test("a failed revoke is tried again after 3 s and reported", async () => {
    let attempts = 0;
    const good = revoke;
    revoke = async (id) => {
      if (++attempts === 1) throw errors.timeout;
      await good(id);
    };
    clock.promote(TERM);
    grant(7n, 2);
    await env.advance(2_500);
    expect(attempts).toBe(1);
    expect(failures).toEqual([7n]);
    await env.advance(2_400);
    expect(attempts).toBe(1);
    await env.advance(1_000);
    expect(revoked).toHaveLength(1);
  });
});

describe("L-4: renewal", () => {
  test("puts the end off by the whole time-to-live, counted from before the confirmation", async () => {
    clock.promote(TERM);
    grant(7n, 5);
    await env.advance(3_000);
    let release = (): void => undefined;
    confirm = () => new Promise((resolve) => (release = resolve));
    const renewal = renew(7n);
    await env.advance(1_000);
    confirm = async () => undefined;
    release();
    expect(await renewal).toBe(5);
    await env.advance(3_900);
    expect(revoked).toEqual([]);
    await env.advance(700);
    expect(revoked).toHaveLength(1);
  });

  test("L-4: drops what a checkpoint left of the lease, on all members, before it is acknowledged", async () => {
    leases.grant(7n, 60, 3);
    clock.promote(TERM);
    let drop = (): void => undefined;
    dropCheckpoint = async (id) => {
      await new Promise<void>((resolve) => (drop = resolve));
      leases.grant(id, 60);
    };
    let answer: number | undefined;
    void renew(7n).then((ttl) => (answer = ttl));
    await env.advance(1_000);
    expect(answer).toBeUndefined();
    drop();
    await env.settle();
    expect([answer, clock.remainingSeconds(7n), [...terms]]).toEqual([60, 60, [TERM]]);
    clock.demote();
    clock.promote(TERM + 1);
    expect(clock.remainingSeconds(7n)).toBe(61);
  });

  test("is not acknowledged when the checkpoint cannot be dropped", async () => {
    leases.grant(7n, 60, 3);
    clock.promote(TERM);
    dropCheckpoint = () => Promise.reject(errors.timeout);
    await expect(renew(7n)).rejects.toBe(errors.timeout);
    expect(clock.remainingSeconds(7n)).toBe(4);
  });

  test("0 for an unknown lease", async () => {
    clock.promote(TERM);
    expect(await renew(99n)).toBe(0);
  });

  test("a due lease is not renewed: the answer waits for its revoke and is 0", async () => {
    let finish = (): void => undefined;
    const good = revoke;
    revoke = async (id) => {
      await new Promise<void>((resolve) => (finish = resolve));
      await good(id);
    };
    clock.promote(TERM);
    grant(7n, 2);
    await env.advance(2_100);
    let answer: number | undefined;
    void renew(7n).then((ttl) => (answer = ttl));
    await env.advance(1_000);
    expect(answer).toBeUndefined();
    finish();
    await env.settle();
    expect(answer).toBe(0);
  });

  test("renewals that share a confirmation, and those of the next, are told one by one, each counted from when it came", async () => {
    clock.promote(TERM);
    for (const id of [1n, 2n, 3n]) grant(id, 5);
    const ends: (() => void)[] = [];
    const rounds = [0, 1].map(() => new Promise<void>((resolve) => ends.push(resolve)));
    const told: string[] = [];
    const asked = (id: bigint, round: number): void => {
      confirm = () => rounds[round] as Promise<void>;
      void renew(id).then((ttl) => told.push(`${id}: ${ttl}`));
    };
    asked(1n, 0);
    await env.advance(1_000);
    asked(2n, 0);
    asked(99n, 0);
    asked(3n, 1);
    ends[0]?.();
    await env.settle();
    expect(told).toEqual(["1: 5", "2: 5", "99: 0"]);
    // The same confirmation once more: it is over, and its renewals are told nevertheless.
    asked(1n, 0);
    await env.settle();
    expect(told).toEqual(["1: 5", "2: 5", "99: 0", "1: 5"]);
    ends[1]?.();
    await env.settle();
    expect(told.at(-1)).toBe("3: 5");
    confirm = async () => undefined;
    await env.advance(4_900);
    expect(revoked).toEqual([]);
    await env.advance(600);
    expect(revoked.map(({ id }) => id).sort()).toEqual([1n, 2n, 3n]);
  });

  test("a confirmation that is over already is one, too", async () => {
    clock.promote(TERM);
    grant(1n, 5);
    const over = Promise.resolve();
    confirm = () => over;
    expect(await renew(1n)).toBe(5);
    expect(await renew(1n)).toBe(5);
  });

  test("who waits for the end of a due lease hears at once that the leader has lost its office", async () => {
    revoke = () => new Promise(() => undefined);
    clock.promote(TERM);
    grant(7n, 2);
    await env.advance(2_100);
    const lost = renew(7n).catch((error: unknown) => error);
    await env.settle();
    clock.demote();
    expect(await lost).toBe(errors.notLeader);
  });

  test("a renewal that was asked for earlier and confirmed later shortens nothing", async () => {
    clock.promote(TERM);
    grant(7n, 5);
    let release = (): void => undefined;
    confirm = () => new Promise((resolve) => (release = resolve));
    const early = renew(7n);
    confirm = async () => undefined;
    await env.advance(3_000);
    expect(await renew(7n)).toBe(5);
    release();
    expect(await early).toBe(5);
    await env.advance(4_900);
    expect(revoked).toEqual([]);
  });

  test("all that share a confirmation fail with it", async () => {
    clock.promote(TERM);
    for (const id of [1n, 2n]) grant(id, 5);
    const lost = Promise.reject(errors.timeout);
    confirm = () => lost;
    expect(await Promise.allSettled([renew(1n), renew(2n)])).toEqual([
      { status: "rejected", reason: errors.timeout },
      { status: "rejected", reason: errors.timeout },
    ]);
  });

  test("a leader that loses its office before it is confirmed acknowledges nothing", async () => {
    clock.promote(TERM);
    grant(7n, 5);
    confirm = async () => clock.demote();
    await expect(renew(7n)).rejects.toBe(errors.notLeader);
  });
});

describe("L-9: a new leader", () => {
  test("counts every lease from its election, plus an election time-out", async () => {
    leases.grant(7n, 5);
    leases.grant(8n, 100, 3);
    await env.advance(60_000);
    clock.promote(TERM);
    await env.advance(3_900);
    expect(revoked).toEqual([]);
    await env.advance(600);
    expect(revoked.map(({ id }) => id)).toEqual([8n]);
    await env.advance(1_400);
    expect(revoked.map(({ id }) => id)).toEqual([8n]);
    await env.advance(600);
    expect(revoked.map(({ id }) => id)).toEqual([8n, 7n]);
  });

  test("from 1000 leases on, at most 750 end in one second, none early", async () => {
    for (let id = 1n; id <= 3_000n; id++) leases.grant(id, 5);
    clock.promote(TERM);
    const remaining = leases.ids().map((id) => clock.remainingSeconds(id) ?? -1);
    expect(Math.min(...remaining)).toBe(6);
    const perSecond = new Map<number, number>();
    for (const seconds of remaining) perSecond.set(seconds, (perSecond.get(seconds) ?? 0) + 1);
    expect([...perSecond.values()]).toEqual([750, 750, 750, 750]);
  });
});

test("L-7: on the leader the leases that end soonest come first, elsewhere nobody knows which", async () => {
  expect(clock.idsByExpiry()).toBeUndefined();
  clock.promote(TERM);
  grant(1n, 500);
  grant(2n, 1_000);
  grant(-3n, 100);
  expect(clock.idsByExpiry()).toEqual([-3n, 1n, 2n]);
  await env.advance(50_000);
  await renew(-3n);
  grant(4n, 60);
  grant(5n, 2_000);
  expect(clock.idsByExpiry()).toEqual([4n, -3n, 1n, 2n, 5n]);
  clock.demote();
  expect(clock.idsByExpiry()).toBeUndefined();
});

test("L-6: remaining time is whole seconds, cut off", async () => {
  clock.promote(TERM);
  grant(7n, 10);
  await env.advance(1);
  expect(clock.remainingSeconds(7n)).toBe(9);
  expect(clock.remainingSeconds(8n)).toBeUndefined();
});
