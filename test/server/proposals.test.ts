import { beforeEach, expect, test } from "vitest";
import { decode } from "../../proto/codec.ts";
import { InternalRaftRequest, PutRequest } from "../../proto/generated/etcdserverpb.ts";
import { ConfChange, ConfChangeType } from "../../proto/generated/raftpb.ts";
import type { SoftState } from "../../raft/types.ts";
import { errors } from "../../src/api/errors.ts";
import { type CallLimits, limitsOf } from "../../src/server/call-limits.ts";
import { Proposals } from "../../src/server/proposals.ts";
import { promised } from "../../src/server/waiter.ts";
import type { Applied, Command } from "../../src/state/machine.ts";
import { FakeEnv } from "./fake-env.ts";

let env: FakeEnv;
let proposals: Proposals;
const patient = limitsOf(new AbortController().signal);
const put = { put: PutRequest.create({ key: "k", value: Buffer.from("v") }) };

beforeEach(() => {
  env = new FakeEnv();
  proposals = new Proposals(
    env,
    { memberId: 0xabcdn, maxRequestBytes: 1_000, requestTimeoutMs: 7_000 },
    () => undefined,
  );
});

function leading(term: number): SoftState {
  return { role: "leader", term, leader: 0xabcdn };
}

function propose(command: Command, limits: CallLimits, leaderTerm?: number): Promise<Applied> {
  return promised((waiter) => proposals.propose(command, limits, waiter, leaderTerm));
}

function track(promise: Promise<Applied>): { state: string } {
  const seen = { state: "waiting" };
  promise.then(
    (applied) => (seen.state = `applied ${applied.index}`),
    (error: Error) => (seen.state = error.message),
  );
  return seen;
}

function applied(data: Uint8Array, index: number): Applied {
  const requestId = decode(InternalRaftRequest, data).header?.ID ?? 0n;
  const result = { kind: "none" } as const;
  return { index, requestId, result, revision: 1, events: [], confChange: undefined, leaderEntry: false, leases: [] };
}

test("what only the leader of a term may append is for nobody else, nor for the same one in another term", async () => {
  const calls = [3, 3, 4].map((term) => track(propose(put, patient, term)));
  const anybody = track(propose(put, patient));
  expect(proposals.takeHeld(30, leading(3))).toHaveLength(1);
  expect(proposals.takeHeld(1_000, { role: "follower", term: 3, leader: 1n })).toHaveLength(1);
  await env.settle();
  const { message } = errors.notLeader;
  expect([...calls, anybody].map(({ state }) => state)).toEqual(["waiting", message, message, "waiting"]);
});

test("G-7: a command is given to raft exactly once, and its caller gets what apply made of it", async () => {
  const call = track(propose(put, patient));
  const [first] = proposals.takeHeld(1_000, leading(3));
  expect(proposals.takeHeld(1_000, leading(3))).toEqual([]);
  proposals.applied(applied(first?.data ?? Buffer.alloc(0), 42));
  await env.settle();
  expect(call.state).toBe("applied 42");
  expect(proposals.waitingCount).toBe(0);
});

test("G-9: a command over max-request-bytes is refused before raft", async () => {
  const big = { put: PutRequest.create({ key: "k", value: Buffer.alloc(1_000) }) };
  await expect(propose(big, patient)).rejects.toBe(errors.requestTooLarge);
  expect(proposals.heldCount).toBe(0);
});

test("G-14: a command that never found a leader ends with 'context deadline exceeded' and never enters raft", async () => {
  const call = track(propose(put, patient));
  await env.advance(7_200);
  expect(call.state).toBe(errors.deadlineExceeded.message);
  expect(proposals.heldCount).toBe(0);
});

test("G-6: a request ends at its client's deadline, or at the request time-out if that comes first", async () => {
  const hasty = track(propose(put, { ...patient, deadline: env.now() + 1_000 }));
  const slow = track(propose(put, { ...patient, deadline: env.now() + 60_000 }));
  const taken = proposals.takeHeld(1_000, leading(3));
  expect(taken).toHaveLength(2);
  await env.advance(1_200);
  expect([hasty.state, slow.state]).toEqual([errors.deadlineExceeded.message, "waiting"]);
  await env.advance(5_700);
  expect(slow.state).toBe("waiting");
  await env.advance(300);
  expect(slow.state).toBe(errors.timeout.message);
});

test("G-7: what ran into a time-out may still be applied, once, and is never proposed again", async () => {
  const call = track(propose(put, patient));
  const [proposal] = proposals.takeHeld(1_000, leading(3));
  await env.advance(7_200);
  expect(call.state).toBe(errors.timeout.message);
  expect([proposals.heldCount, proposals.takeHeld(1_000, leading(4))]).toEqual([0, []]);
  proposals.applied(applied(proposal?.data ?? Buffer.alloc(0), 42));
  await env.settle();
  expect([call.state, proposals.waitingCount]).toEqual([errors.timeout.message, 0]);
});

test("a command that raft took and nobody applied ends with 'request timed out'", async () => {
  const call = track(propose(put, patient));
  proposals.takeHeld(1_000, leading(3));
  await env.advance(7_200);
  expect(call.state).toBe(errors.timeout.message);
});

test("P-24, G-6: a change of the membership is an entry of its own kind, and only its caller's limits end it", async () => {
  const change = { type: ConfChangeType.ConfChangeRemoveNode, nodeId: 5n, context: Buffer.alloc(0) };
  const call = track(promised((waiter) => proposals.proposeConfChange(change, patient, waiter)));
  const [proposal] = proposals.takeHeld(1_000, leading(3));
  const decoded = decode(ConfChange, proposal?.data ?? Buffer.alloc(0));
  expect([proposal?.type, decoded.type, decoded.nodeId, decoded.id >> 48n]).toEqual([1, 1, 5n, 0xabcdn]);
  await env.advance(60_000);
  expect([call.state, proposals.isWaiting(decoded.id)]).toEqual(["waiting", true]);
  proposals.applied({ ...applied(Buffer.alloc(0), 7), requestId: decoded.id });
  await env.settle();
  expect(call.state).toBe("applied 7");

  const limited = track(
    promised((waiter) => proposals.proposeConfChange(change, { ...patient, deadline: env.now() + 500 }, waiter)),
  );
  await env.advance(1_000);
  expect(limited.state).toBe(errors.deadlineExceeded.message);

  // A leader that fell may have taken it along, or not.
  const lost = track(promised((waiter) => proposals.proposeConfChange(change, patient, waiter)));
  proposals.takeHeld(1_000, leading(3));
  proposals.leaderEntryApplied(4);
  await env.settle();
  expect(lost.state).toBe(errors.timeoutLeaderFailure.message);
});

test("a cancelled command that is still held is never submitted", async () => {
  const controller = new AbortController();
  const call = track(propose(put, limitsOf(controller.signal)));
  controller.abort();
  expect(proposals.takeHeld(1_000, leading(3))).toEqual([]);
  await env.settle();
  expect(call.state).toBe(errors.canceled.message);
});

test("what an older leader took and the new leader's first entry does not follow is answered at once", async () => {
  const old = track(propose(put, patient));
  proposals.takeHeld(1_000, leading(3));
  const held = track(propose(put, patient));
  proposals.leaderEntryApplied(4);
  await env.settle();
  expect(old.state).toBe(errors.timeoutLeaderFailure.message);
  expect(held.state).toBe("waiting");
  expect(proposals.takeHeld(1_000, leading(4))).toHaveLength(1);
  proposals.leaderEntryApplied(4);
  await env.settle();
  expect(held.state).toBe("waiting");
});

test("batches keep the order and stay near their byte limit", () => {
  const sent = ["a", "b", "c", "d"];
  for (const key of sent) {
    void propose({ put: PutRequest.create({ key, value: Buffer.alloc(300) }) }, patient);
  }
  const batches: string[][] = [];
  while (proposals.heldCount > 0) {
    batches.push(
      proposals.takeHeld(700, leading(1)).map(({ data }) => decode(InternalRaftRequest, data).put?.key ?? ""),
    );
  }
  expect(batches).toEqual([
    ["a", "b"],
    ["c", "d"],
  ]);
});

test("a burst waits here: only so many bytes are under way, and room is used as soon as there is some", async () => {
  let wakes = 0;
  const big = new Proposals(env, { memberId: 1n, maxRequestBytes: 4 << 20, requestTimeoutMs: 7_000 }, () => wakes++);
  const calls = Array.from({ length: 12 }, () =>
    track(
      promised((waiter) =>
        big.propose({ put: PutRequest.create({ key: "k", value: Buffer.alloc(1 << 20) }) }, patient, waiter),
      ),
    ),
  );
  const taken = big.takeHeld(64 << 20, leading(1));
  expect(taken).toHaveLength(7);
  expect(big.takeHeld(64 << 20, leading(1))).toEqual([]);
  wakes = 0;
  big.applied(applied(taken[0]?.data ?? Buffer.alloc(0), 1));
  expect(wakes).toBe(1);
  expect(big.takeHeld(64 << 20, leading(1))).toHaveLength(1);
  await env.settle();
  expect(calls.filter(({ state }) => state === "applied 1")).toHaveLength(1);
});

test("G-15: request ids begin with the member and the millisecond of the start, and count on from there", () => {
  const milliseconds = BigInt(env.wallClock()) & 0xff_ffff_ffffn;
  const first = (0xabcdn << 48n) | (milliseconds << 8n);
  expect([proposals.nextId(), proposals.nextId()]).toEqual([first + 1n, first + 2n]);
});

test("G-15: request ids carry the member and never repeat", () => {
  const ids = Array.from({ length: 1_000 }, () => proposals.nextId());
  expect(new Set(ids).size).toBe(1_000);
  expect(ids.every((id) => id >> 48n === 0xabcdn)).toBe(true);
});

test("G-15: the entry of another member or of an earlier life is nobody's here, however much its id looks like one", async () => {
  const call = track(propose(put, patient));
  const [proposal] = proposals.takeHeld(1_000, leading(3));
  const own = applied(proposal?.data ?? Buffer.alloc(0), 42);
  for (const requestId of [own.requestId ^ (1n << 63n), own.requestId - (1n << 32n), own.requestId + 1n, 0n]) {
    expect(proposals.isWaiting(requestId)).toBe(false);
    proposals.applied({ ...own, requestId });
  }
  await env.settle();
  expect([call.state, proposals.isWaiting(own.requestId)]).toEqual(["waiting", true]);
  proposals.applied(own);
  await env.settle();
  expect([call.state, proposals.isWaiting(own.requestId)]).toEqual(["applied 42", false]);
});

test("a stop answers everybody and takes nothing more", async () => {
  const call = track(propose(put, patient));
  proposals.stop();
  await env.settle();
  expect(call.state).toBe(errors.stopped.message);
  await expect(propose(put, patient)).rejects.toBe(errors.stopped);
});
