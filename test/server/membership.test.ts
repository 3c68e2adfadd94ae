import { beforeEach, describe, expect, test } from "vitest";
import { Member, type MemberAddResponse } from "../../proto/generated/etcdserverpb.ts";
import { type ConfChange, ConfChangeType } from "../../proto/generated/raftpb.ts";
import { createRaft, type Raft, step, takeReady } from "../../raft/raft.ts";
import type { SoftState } from "../../raft/types.ts";
import { type ApiError, errors } from "../../src/api/errors.ts";
import { PeerCallError, type PeerRequest, type PeerResponse } from "../../src/peer/transport.ts";
import { type CallLimits, limitsOf } from "../../src/server/call-limits.ts";
import { Leadership } from "../../src/server/leadership.ts";
import { Membership } from "../../src/server/membership.ts";
import type { Applied, ClusterMember } from "../../src/state/machine.ts";
import { FakeEnv } from "./fake-env.ts";

/** Member 1 of voters 1, 2, 3 and learner 4. Its raft leads when the test says so; the rest of the cluster is a table. */
const SELF = 1n;
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

let env: FakeEnv;
let raft: Raft;
let soft: SoftState;
let applied: number;
let members: ClusterMember[];
let activeSince: Map<bigint, number>;
let proposed: { readonly change: Omit<ConfChange, "id">; readonly answer: (error?: ApiError) => void }[];
let requests: (PeerRequest & { readonly to: bigint })[];
let peerAnswer: (request: PeerRequest) => Promise<PeerResponse>;
let transfers: string[];
let strict: boolean;

beforeEach(() => {
  env = new FakeEnv();
  raft = createRaft(
    {
      id: SELF,
      electionTicks: 10,
      heartbeatTicks: 1,
      preVote: false,
      checkQuorum: false,
      maxMessageBytes: 1 << 20,
      maxInflight: 4,
      maxInflightBytes: 1 << 20,
      maxCommittedBytes: 1 << 20,
      maxUncommittedBytes: 1 << 20,
      random: () => 0,
    },
    {
      hardState: { term: 1, vote: 0n, commit: 0 },
      confState: { voters: [1n, 2n, 3n], learners: [4n] },
      applied: 0,
      before: { index: 0, term: 0 },
      entries: [],
      storedFrom: 1,
    },
  );
  soft = { role: "follower", term: 1, leader: 2n };
  applied = 0;
  members = [1n, 2n, 3n, 4n].map((id) => ({
    id,
    name: `m${id}`,
    peerURLs: [`http://m${id}:1`],
    clientURLs: [],
    isLearner: id === 4n,
  }));
  activeSince = new Map([2n, 3n, 4n].map((id) => [id, -10_000]));
  proposed = [];
  requests = [];
  peerAnswer = () => Promise.reject(new PeerCallError("no answer", false));
  transfers = [];
  strict = true;
});

function open(): Membership {
  return new Membership({
    env,
    memberId: SELF,
    cluster: {
      members: () => members,
      member: (id) => members.find((member) => member.id === id),
      isRemoved: () => false,
      removed: () => [],
      version: "3.6.0",
      downgrade: { enabled: false, targetVersion: "" },
    },
    raft,
    transport: {
      activeSince: (id) => activeSince.get(id),
      request: (to, request) => {
        requests.push({ ...request, to });
        return peerAnswer(request);
      },
    },
    softState: () => soft,
    appliedIndex: () => applied,
    leadership: {
      handOver: async () => void transfers.push("hand over"),
      takeOver: async (from) => void transfers.push(`take over from ${from}`),
    },
    propose: (change) =>
      new Promise<Applied>((resolve) => {
        const answer = (error?: ApiError): void => {
          const response: MemberAddResponse = { header: undefined, member: undefined, members: [pb(1n), pb(9n)] };
          resolve({
            index: 1,
            requestId: 1n,
            result: error === undefined ? { kind: "response", response } : { kind: "error", error },
            revision: 1,
            events: [],
            confChange: { kind: "none" },
            leaderEntry: false,
            leases: [],
          });
        };
        proposed.push({ change, answer });
      }),
    strict,
    requestTimeoutMs: 7_000,
  });
}

function pb(ID: bigint): Member {
  return Member.create({ ID });
}

function lead(): void {
  soft = { role: "leader", term: 2, leader: SELF };
  step(raft, { kind: "campaign" });
  settle();
  step(raft, {
    kind: "message",
    message: { type: "MsgVoteResp", from: 2n, to: SELF, term: 2, reject: false, commit: 0, logTerm: 0 },
  });
  settle();
}

/** Everything is written at once. */
function settle(): void {
  for (let ready = takeReady(raft); ready !== undefined; ready = takeReady(raft)) {
    if (ready.persist !== undefined) step(raft, { kind: "persisted", seq: ready.persist.seq });
    const last = ready.committed.at(-1);
    if (last === undefined) continue;
    applied = last.index;
    step(raft, { kind: "applied", index: applied });
  }
}

function acknowledge(from: bigint, index: number): void {
  const message = { from, to: SELF, term: 2, index, reject: false, rejectHint: 0, logTerm: 0 } as const;
  step(raft, { kind: "message", message: { ...message, type: "MsgAppResp" } });
  settle();
}

function limits(timeoutMs?: number, signal = new AbortController().signal): CallLimits {
  return limitsOf(signal, timeoutMs === undefined ? undefined : env.now() + timeoutMs);
}

function track<T>(promise: Promise<T>): { state: unknown } {
  const seen: { state: unknown } = { state: "waiting" };
  promise.then(
    (value) => (seen.state = value),
    (error: unknown) => (seen.state = error),
  );
  return seen;
}

async function answered(index: number, error?: ApiError): Promise<Omit<ConfChange, "id">> {
  await env.settle();
  const entry = proposed[index];
  if (entry === undefined) throw new Error(`change ${index} was never proposed`);
  entry.answer(error);
  await env.settle();
  return entry.change;
}

const contextOf = (change: Omit<ConfChange, "id">): string => Buffer.from(change.context).toString();

describe("what is proposed", () => {
  test("M-1, P-24: an addition; its id is of its URLs and the second", async () => {
    const membership = open();
    const call = track(membership.add(["http://a:1", "http://b:1"], false, limits()));
    const change = await answered(0);
    // sha1("http://a:1http://b:11700000000")
    expect(change).toMatchObject({ type: ConfChangeType.ConfChangeAddNode, nodeId: 0x7b97771442acae57n });
    expect(contextOf(change)).toBe(`{"id":${change.nodeId},"peerURLs":["http://a:1","http://b:1"]}`);
    expect(call.state).toMatchObject({ members: [{ ID: 1n }, { ID: 9n }] });

    track(membership.add(["http://a:1"], true, limits()));
    const learner = await answered(1);
    expect(learner.type).toBe(ConfChangeType.ConfChangeAddLearnerNode);
    expect(contextOf(learner)).toBe(`{"id":${learner.nodeId},"peerURLs":["http://a:1"],"isLearner":true}`);
  });

  test("P-24: a removal and an update; what apply refuses is the answer", async () => {
    const membership = open();
    const removal = track(membership.remove(3n, limits()));
    expect(await answered(0)).toEqual({ type: 1, nodeId: 3n, context: new Uint8Array(0) });
    expect(removal.state).toEqual([pb(1n), pb(9n)]);
    const update = track(membership.update(77n, ["http://x:1"], limits()));
    const change = await answered(1, errors.memberNotFound);
    expect([change.type, contextOf(change)]).toEqual([2, '{"id":77,"peerURLs":["http://x:1"]}']);
    expect(update.state).toBe(errors.memberNotFound);
  });

  test("M-4: strict checks come first, and can be turned off", async () => {
    activeSince.set(3n, -4_000);
    await expect(open().add(["http://a:1"], false, limits())).rejects.toBe(errors.unhealthy);
    await expect(open().remove(2n, limits())).rejects.toBe(errors.unhealthy);
    strict = false;
    track(open().add(["http://a:1"], false, limits()));
    await env.settle();
    expect(proposed).toHaveLength(1);
    // Settled in the meantime.
    strict = true;
    await env.advance(1_100);
    track(open().add(["http://a:1"], false, limits()));
    await env.settle();
    expect(proposed).toHaveLength(2);
  });

  test("one at a time: the next is checked against what the one before has come to", async () => {
    const membership = open();
    const first = track(membership.add(["http://a:1"], false, limits()));
    const second = track(membership.add(["http://b:1"], false, limits()));
    await env.settle();
    expect(proposed).toHaveLength(1);
    const unstarted = [8n, 9n].map((id) => ({ id, name: "", peerURLs: [], clientURLs: [], isLearner: false }));
    members = [...members, ...unstarted];
    await answered(0);
    expect(first.state).toMatchObject({ members: [{ ID: 1n }, { ID: 9n }] });
    expect(second.state).toBe(errors.notEnoughStartedMembers);
    expect(proposed).toHaveLength(1);
  });

  test("one that was lost holds up the next no longer than a request may take; who gave up is passed over", async () => {
    const membership = open();
    const lost = track(membership.remove(3n, limits()));
    const controller = new AbortController();
    const cancelled = track(membership.remove(3n, limits(undefined, controller.signal)));
    const next = track(membership.update(3n, [], limits()));
    controller.abort();
    await env.advance(7_100);
    expect(cancelled.state).toBe(errors.canceled);
    expect(lost.state).toBe("waiting");
    await answered(1);
    expect(next.state).toEqual([pb(1n), pb(9n)]);
  });

  test("only so many wait", async () => {
    const membership = open();
    const calls = Array.from({ length: 65 }, () => track(membership.remove(3n, limits())));
    await env.settle();
    expect(calls.filter(({ state }) => state === errors.tooManyRequests)).toHaveLength(1);
  });
});

describe("a leader that is to be removed hands over first", () => {
  test("this member, another one, and one that does not lead", async () => {
    soft = { role: "leader", term: 2, leader: SELF };
    track(open().remove(SELF, limits()));
    await env.settle();
    soft = { role: "follower", term: 2, leader: 2n };
    track(open().remove(2n, limits()));
    track(open().remove(3n, limits()));
    await env.settle();
    expect(transfers).toEqual(["hand over", "take over from 2"]);
    expect(new Set(proposed.map(({ change }) => change.nodeId))).toEqual(new Set([SELF, 2n, 3n]));
  });

  test("not for a removal that is refused", async () => {
    soft = { role: "leader", term: 2, leader: SELF };
    activeSince.clear();
    await expect(open().remove(SELF, limits())).rejects.toBe(errors.unhealthy);
    expect(transfers).toEqual([]);
  });

  const transfer = (softState: () => SoftState, enqueued: unknown[], isActive = () => true) =>
    new Leadership({
      env,
      log: silent,
      memberId: SELF,
      raft,
      transport: { activeSince: (id) => (isActive() ? activeSince.get(id) : undefined) },
      softState,
      enqueue: (input) => void enqueued.push(input),
      electionMs: 1_000,
    });

  test("to the voter that has been connected longest; and only if this member leads", async () => {
    const enqueued: unknown[] = [];
    const leadership = transfer(() => soft, enqueued);
    await leadership.handOver("in a test");
    expect(enqueued).toEqual([]);
    lead();
    activeSince = new Map([
      [2n, -5],
      [3n, -10],
      [4n, -20],
    ]);
    const call = track(leadership.handOver("in a test"));
    await env.advance(100);
    expect(enqueued).toEqual([{ kind: "transferLeader", to: 3n }]);
    expect(call.state).toBe("waiting");
    soft = { role: "follower", term: 3, leader: 3n };
    await env.advance(10);
    expect(call.state).toBeUndefined();
  });

  test("N-14, G-13: by a leader, and nobody else, to a voter on request, answered when that one leads", async () => {
    const enqueued: unknown[] = [];
    const leadership = transfer(() => soft, enqueued);
    await expect(leadership.moveTo(2n)).rejects.toBe(errors.notLeader);
    lead();
    await expect(leadership.moveTo(4n), "a learner").rejects.toBe(errors.badLeaderTransferee);
    await expect(leadership.moveTo(99n), "a stranger").rejects.toBe(errors.badLeaderTransferee);
    await leadership.moveTo(SELF);
    expect(enqueued).toEqual([]);
    const call = track(leadership.moveTo(2n));
    await env.advance(100);
    expect([enqueued, call.state]).toEqual([[{ kind: "transferLeader", to: 2n }], "waiting"]);
    soft = { role: "follower", term: 3, leader: 2n };
    await env.advance(10);
    expect(call.state).toBeUndefined();
  });

  test("N-14: one that does not take over in time, and one that another is quicker than", async () => {
    lead();
    const slow = track(transfer(() => soft, []).moveTo(2n));
    await env.advance(1_100);
    expect(slow.state).toBe(errors.timeoutLeaderTransfer);
    const overtaken = track(transfer(() => soft, []).moveTo(2n));
    soft = { role: "follower", term: 3, leader: 3n };
    await env.advance(10);
    expect(overtaken.state).toBe(errors.timeoutLeaderTransfer);
  });

  test("asked for by a follower; given up after an election time-out", async () => {
    const enqueued: unknown[] = [];
    const call = track(transfer(() => soft, enqueued).takeOver(2n, "in a test"));
    await env.advance(900);
    expect([enqueued, call.state]).toEqual([[{ kind: "transferLeader", to: SELF }], "waiting"]);
    await env.advance(200);
    expect(call.state).toBeUndefined();
  });
});

describe("M-5: promotion", () => {
  test("the leader decides by the match index of the learner", async () => {
    lead();
    acknowledge(2n, 1);
    for (let n = 0; n < 9; n++) step(raft, { kind: "propose", proposals: [{ type: 0, data: Buffer.from("x") }] });
    settle();
    acknowledge(2n, 10);
    acknowledge(4n, 8);
    await expect(open().promote(4n, limits())).rejects.toBe(errors.learnerNotReady);
    await expect(open().promote(99n, limits())).rejects.toBe(errors.memberNotFound);
    acknowledge(4n, 9);
    const call = track(open().promote(4n, limits()));
    const change = await answered(0);
    expect([change.type, contextOf(change)]).toEqual([0, '{"id":4,"peerURLs":null,"isPromote":true}']);
    expect(call.state).toEqual([pb(1n), pb(9n)]);
    members = members.map((member) => ({ ...member, name: member.id === SELF ? "m1" : "" }));
    await expect(open().promote(4n, limits())).rejects.toBe(errors.notEnoughStartedMembers);
  });

  test("a leader that is behind with applying is waited for, for a second", async () => {
    lead();
    acknowledge(2n, 1);
    acknowledge(4n, 1);
    applied = 0;
    const late = track(open().promote(4n, limits()));
    await env.advance(1_100);
    expect(late.state).toBe(errors.timeoutWaitApplied);
    const soon = track(open().promote(4n, limits()));
    await env.advance(500);
    applied = 1;
    await env.advance(20);
    await answered(0);
    expect(soon.state).toEqual([pb(1n), pb(9n)]);
  });

  const say = (status: number, body: string) => async (): Promise<PeerResponse> => ({
    status,
    headers: {},
    body: Buffer.from(body),
  });

  test("P-37: a follower asks the leader, and understands what it says", async () => {
    peerAnswer = say(200, '[{"id":9,"peerURLs":["http://a:1"],"name":"n","clientURLs":["http://c:1"]}]\n');
    expect(await open().promote(4n, limits())).toEqual([
      { ID: 9n, name: "n", peerURLs: ["http://a:1"], clientURLs: ["http://c:1"], isLearner: false },
    ]);
    expect(requests[0]).toMatchObject({ to: 2n, method: "POST", path: "/members/promote/4" });
    for (const [status, text, error] of [
      [404, "membership: ID not found\n", errors.memberNotFound],
      [412, "membership: can only promote a learner member\n", errors.memberNotLearner],
      [412, `${errors.learnerNotReady.message}\n`, errors.learnerNotReady],
      [408, "", errors.timeout],
      [500, `${errors.notEnoughStartedMembers.message}\n`, errors.notEnoughStartedMembers],
    ] as const) {
      peerAnswer = say(status, text);
      await expect(open().promote(4n, limits())).rejects.toBe(error);
    }
  });

  test("who no longer leads, has just begun or cannot be reached is asked again, or its successor is", async () => {
    const answers = [say(500, "etcdserver: not leader\n"), say(503, "the member is starting\n"), say(200, "[]")];
    peerAnswer = () => {
      const next = answers.shift();
      return next === undefined ? Promise.reject(new PeerCallError("refused", false)) : next();
    };
    const call = track(open().promote(4n, limits()));
    await env.advance(120);
    expect(call.state).toEqual([]);
    const none = track(open().promote(4n, limits()));
    soft = { role: "follower", term: 2, leader: 0n };
    await env.advance(7_100);
    expect(none.state).toBe(errors.noLeader);
    soft = { role: "follower", term: 2, leader: 3n };
    const unreachable = track(open().promote(4n, limits()));
    await env.advance(7_100);
    expect([unreachable.state, requests.at(-1)?.to]).toEqual([errors.timeout, 3n]);
    const limited = track(open().promote(4n, limits(300)));
    await env.advance(400);
    expect(limited.state).toBe(errors.deadlineExceeded);
  });

  test("a leader that may have acted is not asked twice", async () => {
    peerAnswer = () => Promise.reject(new PeerCallError("broken off", true));
    await expect(open().promote(4n, limits())).rejects.toBe(errors.timeoutConnectionLost);
    expect(requests).toHaveLength(1);
    // It was removed by the entry before that of the promotion, and stopped: the next leader would say "no learner".
    peerAnswer = say(500, `${errors.stopped.message}\n`);
    await expect(open().promote(4n, limits())).rejects.toBe(errors.timeoutLeaderFailure);
    peerAnswer = say(200, "{");
    await expect(open().promote(4n, limits())).rejects.toBe(errors.timeout);
    expect(requests).toHaveLength(3);
  });

  test("the leader's part asked of a follower", async () => {
    await expect(open().promoteHere(4n, limits())).rejects.toBe(errors.notLeader);
  });
});
