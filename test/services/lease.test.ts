import { expect, test } from "vitest";
import type { LeaseKeepAliveRequest, LeaseKeepAliveResponse } from "../../proto/generated/etcdserverpb.ts";
import { errors } from "../../src/api/errors.ts";
import { answerOf } from "../../src/rpc/rpc.ts";
import { leaseService } from "../../src/services/lease.ts";
import type { Command } from "../../src/state/machine.ts";
import { context, createFakeMember, FakeCall, type FakeMember } from "./stream-harness.ts";

const ELECTION_MS = 1_000;

function service(member: FakeMember, maxUnanswered?: number): ReturnType<typeof leaseService> {
  return leaseService(member.server, {
    env: member.env,
    electionMs: ELECTION_MS,
    stopping: member.stopping.signal,
    ...(maxUnanswered === undefined ? {} : { maxUnanswered }),
  });
}

function call(member: FakeMember, method: string, request: unknown): Promise<unknown> {
  const handler = service(member).find((h) => h.rpc.method === method);
  if (handler?.kind !== "unary") throw new Error(`no method ${method}`);
  return answerOf(handler, request, context());
}

function keepAlive(
  member: FakeMember,
  metadata = {},
  maxUnanswered?: number,
): FakeCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse> {
  return new FakeCall(service(member, maxUnanswered), "/etcdserverpb.Lease/LeaseKeepAlive", context(metadata));
}

const header = (revision: number) => ({ clusterId: 10n, memberId: 11n, revision, raftTerm: 2 });

/** Renewals that the test settles one by one, in any order. */
function held(member: FakeMember): { id: bigint; renew(ttl: number): void; fail(error: Error): void }[] {
  const renewals: { id: bigint; renew(ttl: number): void; fail(error: Error): void }[] = [];
  member.leaseKeepAlive = (id) =>
    new Promise((resolve, reject) => {
      renewals.push({ id, renew: resolve, fail: reject });
    });
  return renewals;
}

test("L-1 L-2 grant goes through propose with the id given or a fresh one; a TTL too large is refused before", async () => {
  const member = createFakeMember();
  const proposed: Command[] = [];
  member.propose = async (command) => {
    proposed.push(command);
    return { header: header(5), ID: command.leaseGrant?.ID, TTL: 60, error: "" };
  };
  expect(await call(member, "LeaseGrant", { TTL: 5, ID: 0n })).toEqual({
    header: header(5),
    ID: 4_711n,
    TTL: 60,
    error: "",
  });
  expect(await call(member, "LeaseGrant", { TTL: 9_000_000_000, ID: -3n })).toMatchObject({ ID: -3n });
  await expect(call(member, "LeaseGrant", { TTL: 9_000_000_001, ID: 0n })).rejects.toBe(errors.leaseTtlTooLarge);
  expect(proposed).toEqual([{ leaseGrant: { TTL: 5, ID: 4_711n } }, { leaseGrant: { TTL: 9_000_000_000, ID: -3n } }]);
});

test("L-3 revoke goes through propose; H-2 its header carries the revision after the deletion; its errors come through", async () => {
  const member = createFakeMember();
  member.propose = async (command) => {
    expect(command).toEqual({ leaseRevoke: { ID: 7n } });
    return { header: header(9) };
  };
  expect(await call(member, "LeaseRevoke", { ID: 7n })).toEqual({ header: header(9) });
  member.propose = () => Promise.reject(errors.leaseNotFound);
  await expect(call(member, "LeaseRevoke", { ID: 7n })).rejects.toBe(errors.leaseNotFound);
});

test("L-6 H-2 time to live: whole answer, or TTL -1 and the id alone, at the current revision", async () => {
  const member = createFakeMember();
  member.leaseTimeToLive = async (id, withKeys) =>
    id === 7n ? { remainingSeconds: 3, grantedSeconds: 10, keys: withKeys ? ["a", "b"] : [] } : undefined;
  expect(await call(member, "LeaseTimeToLive", { ID: 7n, keys: true })).toEqual({
    header: header(1),
    ID: 7n,
    TTL: 3,
    grantedTTL: 10,
    keys: ["a", "b"],
  });
  expect(await call(member, "LeaseTimeToLive", { ID: 7n, keys: false })).toMatchObject({ keys: [] });
  expect(await call(member, "LeaseTimeToLive", { ID: 8n, keys: true })).toEqual({
    header: header(1),
    ID: 8n,
    TTL: -1,
    grantedTTL: 0,
    keys: [],
  });
});

test("L-7 H-2 the local list of leases, at the current revision", async () => {
  const member = createFakeMember();
  member.leaseIds = [3n, -4n];
  member.bench.put("a");
  expect(await call(member, "LeaseLeases", {})).toEqual({ header: header(2), leases: [{ ID: 3n }, { ID: -4n }] });
});

test("W-15 hasleader: a keep-alive stream is refused without a leader, and ends after three election timeouts", async () => {
  const member = createFakeMember();
  member.leader = 0n;
  expect(keepAlive(member, { hasleader: "true" }).ended).toBe(errors.noLeader);
  member.leader = 1n;
  const stream = keepAlive(member, { hasleader: "true" });
  await member.env.advance(ELECTION_MS);
  member.leader = 0n;
  await member.env.advance(2 * ELECTION_MS);
  expect(stream.ended).toBeUndefined();
  await member.env.advance(ELECTION_MS);
  expect(stream.ended).toBe(errors.noLeader);
});

test("L-4 one reply a request, in order, whatever order the renewals end in; unknown leases have TTL 0", async () => {
  const member = createFakeMember();
  const renewals = held(member);
  const stream = keepAlive(member);
  for (const ID of [1n, 2n, 3n, 1n]) stream.send({ ID });
  for (const i of [3, 1, 2]) renewals[i]?.renew(i === 2 ? 0 : 60);
  await member.env.settle();
  expect(stream.take()).toEqual([]);
  renewals[0]?.renew(60);
  await member.env.settle();
  expect(stream.take().map((r) => [r.ID, r.TTL])).toEqual([
    [1n, 60],
    [2n, 60],
    [3n, 0],
    [1n, 60],
  ]);
  expect(stream.ended).toBeUndefined();
});

test("H-5 the header is from before the renewal", async () => {
  const member = createFakeMember();
  const renewals = held(member);
  const stream = keepAlive(member);
  stream.send({ ID: 1n });
  member.bench.put("a");
  renewals[0]?.renew(0);
  await member.env.settle();
  expect(stream.take()).toEqual([{ header: header(1), ID: 1n, TTL: 0 }]);
});

test("L-5 half-close ends the stream normally, after every reply", async () => {
  const member = createFakeMember();
  const renewals = held(member);
  const stream = keepAlive(member);
  stream.send({ ID: 1n });
  stream.halfClose();
  await member.env.settle();
  expect(stream.ended).toBeUndefined();
  renewals[0]?.renew(60);
  await member.env.settle();
  expect([stream.take().length, stream.ended]).toEqual([1, "ok"]);
  const idle = keepAlive(member);
  idle.halfClose();
  expect(idle.ended).toBe("ok");
});

test("a failed renewal ends the stream after the replies before it; later ones are dropped", async () => {
  const member = createFakeMember();
  const renewals = held(member);
  const stream = keepAlive(member);
  for (const ID of [1n, 2n, 3n]) stream.send({ ID });
  renewals[1]?.fail(errors.timeout);
  renewals[2]?.renew(60);
  await member.env.settle();
  expect(stream.ended).toBeUndefined();
  renewals[0]?.renew(60);
  await member.env.settle();
  expect([stream.take().map((r) => r.ID), stream.ended]).toEqual([[1n], errors.timeout]);
  stream.send({ ID: 4n });
  expect(renewals.length).toBe(3);
});

test("L-4 renewals wait while the client does not read, a bounded number of them", async () => {
  const member = createFakeMember();
  const renewals = held(member);
  const stream = keepAlive(member, {}, 50);
  stream.writable = false;
  for (let i = 0; i < 50; i++) stream.send({ ID: BigInt(i) });
  expect([renewals.length, stream.ended]).toEqual([0, undefined]);
  stream.writable = true;
  expect(renewals.length).toBe(16);
  for (let i = 0; i < 50; i++) {
    renewals[i]?.renew(60);
    await member.env.settle();
  }
  expect(stream.take().map((r) => r.ID)).toEqual(Array.from({ length: 50 }, (_, i) => BigInt(i)));
  for (let i = 0; i < 50; i++) stream.send({ ID: 1n });
  expect(stream.ended).toBeUndefined();
  stream.send({ ID: 1n });
  expect(stream.ended).toBe(errors.tooManyRequests);
});

test("X-7 keep-alive streams end with server stopped at a stop; a late renewal is answered to nobody", async () => {
  const member = createFakeMember();
  const renewals = held(member);
  const stream = keepAlive(member);
  stream.send({ ID: 1n });
  member.stopping.abort();
  expect(stream.ended).toBe(errors.stopped);
  renewals[0]?.renew(60);
  await member.env.settle();
  expect(stream.take()).toEqual([]);
});
