import { expect, test } from "vitest";
import { WatchCreateRequest, type WatchRequest, type WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import { errors } from "../../src/api/errors.ts";
import { watchService } from "../../src/services/watch.ts";
import { createBench } from "../watch/harness.ts";
import { context, createFakeMember, FakeCall, type FakeMember } from "./stream-harness.ts";

const PATH = "/etcdserverpb.Watch/Watch";
const ELECTION_MS = 1_000;

type Call = FakeCall<WatchRequest, WatchResponse>;

interface Setup {
  readonly member: FakeMember;
  open(metadata?: Record<string, string>): Call;
}

function setup(member = createFakeMember(), maxQueuedReplies?: number): Setup {
  const handlers = watchService(member.server, {
    env: member.env,
    electionMs: ELECTION_MS,
    progressNotifyMs: 10_000,
    stopping: member.stopping.signal,
    ...(maxQueuedReplies === undefined ? {} : { maxQueuedReplies }),
  });
  return { member, open: (metadata) => new FakeCall(handlers, PATH, context(metadata)) };
}

function create(fields: Partial<WatchCreateRequest>): WatchRequest {
  return { requestUnion: { kind: "createRequest", value: WatchCreateRequest.create(fields) } };
}

function cancel(watchId: bigint): WatchRequest {
  return { requestUnion: { kind: "cancelRequest", value: { watchId } } };
}

const PROGRESS: WatchRequest = { requestUnion: { kind: "progressRequest", value: {} } };

test("W-1 requests are handled in order, an empty union is ignored; headers are whole, H-3 revision 0 stays 0", async () => {
  const { member, open } = setup();
  for (let i = 0; i < 4; i++) member.bench.put("a");
  member.bench.store.compact(4);
  const call = open();
  call.send({ requestUnion: undefined });
  call.send(create({ key: "a" }));
  call.send(create({ key: "a", startRevision: 2 }));
  call.send(PROGRESS);
  call.send(cancel(0n));
  await member.env.settle();
  expect(call.take().map((r) => [r.watchId, r.created, r.canceled, r.header])).toEqual([
    [0n, true, false, { clusterId: 10n, memberId: 11n, revision: 5, raftTerm: 2 }],
    [1n, true, false, { clusterId: 10n, memberId: 11n, revision: 5, raftTerm: 2 }],
    [1n, false, true, { clusterId: 10n, memberId: 11n, revision: 0, raftTerm: 2 }],
    [-1n, false, false, { clusterId: 10n, memberId: 11n, revision: 5, raftTerm: 2 }],
    [0n, false, true, { clusterId: 10n, memberId: 11n, revision: 5, raftTerm: 2 }],
  ]);
  expect(call.ended).toBeUndefined();
});

test("H-7 W-5 an event's header: the event's revision, and the term of the moment", async () => {
  const { member, open } = setup();
  const call = open();
  call.send(create({ key: "a" }));
  await member.env.settle();
  call.take();
  member.bench.put("a");
  member.raftTerm = 7;
  member.bench.put("a");
  await member.env.settle();
  expect(call.take().map((r) => r.header)).toEqual([
    { clusterId: 10n, memberId: 11n, revision: 2, raftTerm: 7 },
    { clusterId: 10n, memberId: 11n, revision: 3, raftTerm: 7 },
  ]);
});

test("W-14 half-close does not end the stream or its watches; the end of the call does", async () => {
  const { member, open } = setup();
  const call = open();
  call.send(create({ key: "a" }));
  call.halfClose();
  member.bench.put("a");
  await member.env.settle();
  expect(call.take().length).toBe(2);
  expect(call.ended).toBeUndefined();
  call.cancel();
  expect(member.bench.hub.watcherCount).toBe(0);
  member.bench.put("a");
  await member.env.settle();
  expect(call.take()).toEqual([]);
});

test("W-17 nothing is taken while the transport wants nothing; when it drains, everything comes, once", async () => {
  const { member, open } = setup(createFakeMember(createBench({ maxStreamBytes: 10_000 })));
  const call = open();
  call.send(create({ key: "a" }));
  await member.env.settle();
  call.take();
  call.writable = false;
  for (let i = 0; i < 200; i++) member.bench.put("a");
  await member.env.settle();
  expect(call.take()).toEqual([]);
  expect(member.bench.hub.unsyncedCount).toBe(1);
  call.writable = true;
  for (let i = 0; i < 5; i++) {
    member.bench.settle();
    await member.env.settle();
  }
  expect(call.take().reduce((sum, r) => sum + r.events.length, 0)).toBe(200);
});

test("W-15 hasleader: refused without a leader; without it the stream stays open and silent", async () => {
  const { member, open } = setup();
  member.leader = 0n;
  const refused = open({ hasleader: "true" });
  expect(refused.ended).toBe(errors.noLeader);
  refused.send(create({ key: "a" }));
  await member.env.settle();
  expect([refused.take(), member.bench.hub.watcherCount]).toEqual([[], 0]);
  const patient = open();
  patient.send(create({ key: "a" }));
  await member.env.advance(20 * ELECTION_MS);
  expect(patient.ended).toBeUndefined();
  expect(patient.take().length).toBe(1);
});

test("W-15 hasleader: ended after three election timeouts in a row without a leader", async () => {
  const { member, open } = setup();
  const call = open({ hasleader: "true" });
  call.send(create({ key: "a" }));
  await member.env.advance(10 * ELECTION_MS);
  member.leader = 0n;
  await member.env.advance(2 * ELECTION_MS);
  member.leader = 2n;
  await member.env.advance(ELECTION_MS);
  member.leader = 0n;
  await member.env.advance(2 * ELECTION_MS);
  expect(call.ended).toBeUndefined();
  await member.env.advance(ELECTION_MS);
  expect(call.ended).toBe(errors.noLeader);
  expect(member.bench.hub.watcherCount).toBe(0);
});

test("W-12 progress notifications at the interval plus up to a tenth, only while there are streams", async () => {
  const { member, open } = setup();
  const call = open();
  call.send(create({ key: "a", progressNotify: true }));
  await member.env.advance(9_999);
  expect(call.take().map((r) => r.created)).toEqual([true]);
  await member.env.advance(1_002);
  expect(call.take().map((r) => [r.watchId, r.events.length, r.header?.revision])).toEqual([[0n, 0, 1]]);
  await member.env.advance(100_000);
  const rounds = call.take().length;
  expect(rounds).toBeGreaterThanOrEqual(9);
  expect(rounds).toBeLessThanOrEqual(10);
  call.cancel();
  let calls = 0;
  const notify = member.bench.hub.notifyProgress.bind(member.bench.hub);
  member.bench.hub.notifyProgress = () => {
    calls++;
    notify();
  };
  await member.env.advance(100_000);
  expect(calls).toBe(0);
});

test("X-7 at a stop, streams end with server stopped, and new ones are refused with it", async () => {
  const { member, open } = setup();
  const calls = Array.from({ length: 20 }, () => open());
  for (const call of calls) call.send(create({ key: "a" }));
  member.stopping.abort();
  expect(new Set(calls.map((call) => call.ended))).toEqual(new Set([errors.stopped]));
  expect(open().ended).toBe(errors.stopped);
  expect(member.bench.hub.watcherCount).toBe(0);
});

test("a client that asks on without reading loses its stream; one that reads may ask for as much as it likes", async () => {
  const { member, open } = setup(createFakeMember(), 100);
  const reading = open();
  for (let i = 0; i < 1_000; i++) reading.send(create({ key: "a" }));
  await member.env.settle();
  expect(reading.ended).toBeUndefined();
  expect(reading.take().length).toBe(1_000);
  const silent = open();
  silent.writable = false;
  for (let i = 0; i < 100; i++) silent.send(create({ key: "a" }));
  expect(silent.ended).toBeUndefined();
  silent.send(create({ key: "a" }));
  expect(silent.ended).toBe(errors.tooManyRequests);
  expect(member.bench.hub.watcherCount).toBe(1_000);
});
