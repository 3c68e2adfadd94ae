import { beforeEach, expect, test } from "vitest";
import { errors } from "../../src/api/errors.ts";
import { limitsOf } from "../../src/server/call-limits.ts";
import { Reads } from "../../src/server/reads.ts";
import { FakeEnv } from "./fake-env.ts";

let env: FakeEnv;
let asked: Uint8Array[];
let applied: number;
let reads: Reads;
const patient = limitsOf(new AbortController().signal);

beforeEach(() => {
  env = new FakeEnv();
  asked = [];
  applied = 10;
  reads = new Reads(
    env,
    7_000,
    (id) => asked.push(id),
    () => applied,
  );
});

function answer(position: number, index: number): void {
  const id = asked[position];
  if (id === undefined) throw new Error(`round ${position} was never asked for`);
  reads.points([{ id, index }]);
}

function track(promise: Promise<void>): { state: string } {
  const seen = { state: "waiting" };
  promise.then(
    () => (seen.state = "done"),
    (error: Error) => (seen.state = error.message),
  );
  return seen;
}

test("X-1: callers of one turn share one round", async () => {
  const all = [1, 2, 3].map(() => track(reads.barrier(patient)));
  await env.settle();
  expect(asked).toHaveLength(1);
  answer(0, 10);
  await env.settle();
  expect(all.map(({ state }) => state)).toEqual(["done", "done", "done"]);
});

test("X-1: a read that comes while a round is under way waits for the next one: that round may be older than the read", async () => {
  const early = track(reads.barrier(patient));
  await env.settle();
  const late = track(reads.barrier(patient));
  await env.settle();
  expect(asked).toHaveLength(1);
  answer(0, 10);
  await env.settle();
  expect([early.state, late.state]).toEqual(["done", "waiting"]);
  expect(asked).toHaveLength(2);
  answer(1, 10);
  await env.settle();
  expect(late.state).toBe("done");
});

test("X-1: a confirmed read waits until its index is applied here", async () => {
  const read = track(reads.barrier(patient));
  await env.settle();
  answer(0, 12);
  await env.settle();
  expect(read.state).toBe("waiting");
  applied = 11;
  reads.applied(11);
  await env.settle();
  expect(read.state).toBe("waiting");
  applied = 12;
  reads.applied(12);
  await env.settle();
  expect(read.state).toBe("done");
});

test("X-1: an unanswered round is asked again under a new id, and an answer to the old id is ignored", async () => {
  const read = track(reads.barrier(patient));
  await env.settle();
  await env.advance(600);
  expect(asked).toHaveLength(2);
  answer(0, 10);
  await env.settle();
  expect(read.state).toBe("waiting");
  answer(1, 10);
  await env.settle();
  expect(read.state).toBe("done");
});

test("a new leader is asked at once", async () => {
  track(reads.barrier(patient));
  await env.settle();
  reads.leaderChanged();
  expect(asked).toHaveLength(2);
});

test("G-14: without an answer a read ends with 'request timed out' after the request time-out", async () => {
  const read = track(reads.barrier(patient));
  await env.advance(6_800);
  expect(read.state).toBe("waiting");
  await env.advance(500);
  expect(read.state).toBe(errors.timeout.message);
});

test("G-6: the client's deadline and its cancelling end a read", async () => {
  const controller = new AbortController();
  const timed = track(reads.barrier(limitsOf(patient.signal, 300)));
  const cancelled = track(reads.barrier(limitsOf(controller.signal)));
  controller.abort();
  await env.advance(500);
  expect(timed.state).toBe(errors.deadlineExceeded.message);
  expect(cancelled.state).toBe(errors.canceled.message);
});

test("a stop answers everybody", async () => {
  const waiting = track(reads.barrier(patient));
  await env.settle();
  const next = track(reads.barrier(patient));
  reads.stop();
  await env.settle();
  expect([waiting.state, next.state]).toEqual([errors.stopped.message, errors.stopped.message]);
  await expect(reads.barrier(patient)).rejects.toBe(errors.stopped);
});

test("who never gives up shares a round that has not begun, and none that has", async () => {
  const first = reads.sharedBarrier();
  expect(reads.sharedBarrier()).toBe(first);
  await env.settle();
  // Its question is out: an answer may be of before the next caller came.
  const second = reads.sharedBarrier();
  expect(second).not.toBe(first);
  expect(reads.sharedBarrier()).toBe(second);
});
