import { beforeEach, expect, test } from "vitest";
import { createRaft } from "../../raft/raft.ts";
import type { Entry, Message, Restored } from "../../raft/types.ts";
import { errors } from "../../src/api/errors.ts";
import { limits } from "../../src/config.ts";
import { Node } from "../../src/server/node.ts";
import type { Applied, StateMachine } from "../../src/state/machine.ts";
import type { Backend } from "../../storage/backend.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import type { Wal, WalBatch } from "../../storage/wal.ts";
import { FakeEnv } from "./fake-env.ts";

/** A member of one: the real driver and raft over a log and a state machine that do as the test says. */
let env: FakeEnv;
let node: Node;
let backend: Backend;
let flushes: number;
let faults: unknown[];
let applied: number[];
let flushed: number[];
let snapshots: Message[];
let sent: Message[];
let replaced: number;
let appends: { readonly batch: WalBatch; readonly done: () => void; readonly fail: (error: Error) => void }[];
let applyEntry: (entry: Entry) => void;
let held: Uint8Array[];
let beforeDurable: () => Promise<void>;
let onEntriesGone: () => void;

/** A new member: one voter, and nothing in its log. */
const NEW: Restored = {
  hardState: { term: 1, vote: 0n, commit: 0 },
  confState: { voters: [1n], learners: [] },
  applied: 0,
  before: { index: 0, term: 0 },
  entries: [],
  storedFrom: 1,
};

beforeEach(() => begin(NEW));

function begin(restored: Restored): void {
  env = new FakeEnv();
  faults = [];
  applied = [];
  onEntriesGone = () => undefined;
  flushed = [];
  snapshots = [];
  sent = [];
  replaced = 0;
  appends = [];
  held = [];
  flushes = 0;
  beforeDurable = async () => undefined;
  applyEntry = (entry) => backend.put("meta", "consistent_index", Buffer.from([entry.index]));
  backend = createMemoryBackend({
    beforeDurable: () => {
      flushes++;
      return beforeDurable();
    },
  });
  const raft = createRaft(
    {
      id: 1n,
      electionTicks: 10,
      heartbeatTicks: 1,
      preVote: true,
      checkQuorum: true,
      maxMessageBytes: 1 << 20,
      maxInflight: 4,
      maxInflightBytes: 1 << 20,
      maxCommittedBytes: 1 << 20,
      maxUncommittedBytes: limits.raftUncommittedBytes,
      random: () => 0,
    },
    restored,
  );
  const wal = {
    append: (batch: WalBatch) =>
      new Promise<void>((resolve, reject) => appends.push({ batch, done: resolve, fail: reject })),
    // It was cut.
    read: async () => undefined,
  } as unknown as Wal;
  const machine = {
    get appliedIndex() {
      return applied.at(-1) ?? restored.applied;
    },
    apply: (entry: Entry): Applied => {
      applyEntry(entry);
      const { index } = entry;
      const result = { kind: "none" } as const;
      return {
        index,
        requestId: 0n,
        result,
        revision: 1,
        events: [],
        confChange: undefined,
        leaderEntry: false,
        leases: [],
      };
    },
  } as unknown as StateMachine;
  node = new Node(
    {
      raft,
      wal,
      machine,
      backend,
      env,
      proposals: {
        get heldCount() {
          return held.length;
        },
        waitingCount: 0,
        isWaiting: () => false,
        takeHeld: () => held.splice(0).map((data) => ({ type: 0, data })),
      },
      send: (messages) => sent.push(...messages),
      onApplied: (outcome) => applied.push(outcome.index),
      onAppliedIndex: () => undefined,
      onReads: () => undefined,
      onSoftState: () => undefined,
      onFlushed: (index) => flushed.push(index),
      sendSnapshot: (message) => snapshots.push(message),
      onEntriesGone: () => onEntriesGone(),
      onReplaced: () => {
        replaced++;
      },
      onFatal: (error) => faults.push(error),
    },
    { heartbeatMs: 100, backendFlushMs: 100, windowEntries: 100 },
  );
  node.start();
  node.enqueue({ kind: "campaign" });
}

async function syncAll(): Promise<void> {
  for (await env.settle(); appends.length > 0; await env.settle()) appends.shift()?.done();
}

async function propose(text: string): Promise<void> {
  held.push(Buffer.from(text));
  node.wake();
  await env.settle();
}

test("X-3: nothing is applied before its entry is on this disk", async () => {
  await syncAll();
  expect(applied).toEqual([1]);
  await propose("a");
  await env.advance(1_000);
  expect(applied).toEqual([1]);
  await syncAll();
  expect(applied).toEqual([1, 2]);
});

test("proposals gather while a leader writes those before them, and go out together when that is done", async () => {
  await syncAll();
  await propose("a");
  await propose("b");
  await propose("c");
  expect([appends.length, held.length]).toEqual([1, 2]);
  appends.shift()?.done();
  await env.settle();
  expect(appends.map(({ batch }) => batch.entries.map(({ data }) => String(data)))).toEqual([["b", "c"]]);
  expect(held).toEqual([]);
});

test("a leader whose own disk stands still goes on after a moment: the others' may be enough", async () => {
  await syncAll();
  await propose("a");
  await propose("b");
  await env.advance(limits.gatherMs - 1);
  expect([appends.length, held.length]).toEqual([1, 1]);
  await env.advance(1);
  expect([appends.length, held.length]).toEqual([2, 0]);
  // And does not begin to wait again as long as that lasts.
  await propose("c");
  expect([appends.length, held.length]).toEqual([3, 0]);
  // When it has caught up, proposals gather again for what is still under way.
  await env.advance(limits.gatherMs - 1);
  appends.shift()?.done();
  appends.shift()?.done();
  await env.settle();
  await propose("d");
  expect([appends.length, held.length]).toEqual([1, 1]);
  await syncAll();
  expect(held).toEqual([]);
});

test("news of a commit wait for entries to travel with, each for its own while only", async () => {
  await node.stop();
  begin({ ...NEW, confState: { voters: [1n], learners: [2n] } });
  await syncAll();
  const answer = { type: "MsgAppResp", from: 2n, to: 1n, term: 2, reject: false, rejectHint: 0, logTerm: 0 } as const;
  node.enqueue({ kind: "message", message: { ...answer, index: 1 } });
  await env.advance(limits.commitNewsMs);
  sent = [];
  const commits = (): [number, number][] =>
    sent.splice(0).map((message) => (message.type === "MsgApp" ? [message.entries.length, message.commit] : [-1, -1]));

  await propose("a");
  await syncAll();
  await env.advance(limits.commitNewsMs - 1);
  await propose("b");
  await syncAll();
  expect(commits()).toEqual([
    [1, 1],
    [1, 2],
  ]);
  // The time of the first commit is over, and entries have told of it.
  await env.advance(limits.commitNewsMs - 1);
  expect(commits()).toEqual([]);
  await env.advance(1);
  expect(commits()).toEqual([[0, 3]]);
  await env.advance(limits.commitNewsMs);
  expect(commits()).toEqual([]);
});

test("X-3: a failed write of the log ends the member; nothing is applied, written or flushed after it", async () => {
  await syncAll();
  await env.advance(200);
  await syncAll();
  const before = flushes;
  await propose("a");
  appends.shift()?.fail(new Error("no space left on the device"));
  await env.settle();
  expect(faults.map(String)).toEqual(["Error: no space left on the device"]);
  await propose("b");
  await env.advance(5_000);
  await node.stop();
  expect([applied, appends.length, flushes]).toEqual([[1], 0, before]);
});

test("a fault in the middle of an entry: its half is never flushed, not even by a stop", async () => {
  await syncAll();
  await env.advance(200);
  const before = flushes;
  applyEntry = () => {
    backend.put("key", "half", Buffer.from("an entry"));
    throw new Error("a bug");
  };
  await propose("a");
  await syncAll();
  await node.stop();
  await env.advance(5_000);
  expect(faults.map(String)).toEqual(["Error: a bug"]);
  expect(flushes).toBe(before);
  expect(backend.stagedBytes).toBeGreaterThan(0);
});

test("C-3: who asks for a flush gets one that began after the call, or hears that the disk failed", async () => {
  await syncAll();
  await env.advance(200);
  const flushing: (() => void)[] = [];
  beforeDurable = () => new Promise((resolve) => flushing.push(resolve));
  await propose("a");
  await syncAll();
  await env.advance(200);
  await propose("b");
  await syncAll();
  let isFlushed = false;
  void node.flushed().then(() => {
    isFlushed = true;
  });
  flushing.shift()?.();
  await env.settle();
  expect([isFlushed, flushing.length]).toEqual([false, 1]);
  flushing.shift()?.();
  await env.settle();
  expect([isFlushed, backend.stagedBytes]).toEqual([true, 0]);
  await propose("c");
  await syncAll();
  beforeDurable = () => Promise.reject(new Error("the disk is gone"));
  await expect(node.flushed()).rejects.toBe(errors.stopped);
  expect(faults.map(String)).toEqual(["Error: the disk is gone"]);
});

test("a flush comes in time, but not always after the same time: those of members that were started together part", async () => {
  await syncAll();
  await env.advance(100);
  const waits: number[] = [];
  for (let i = 0; i < 20; i++) {
    await propose(`${i}`);
    await syncAll();
    const before = flushes;
    let waited = 0;
    for (; flushes === before; waited++) await env.advance(1);
    waits.push(waited);
  }
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(60);
  expect(Math.max(...waits)).toBeLessThanOrEqual(100);
  expect(new Set(waits).size).toBeGreaterThan(5);
});

test("a stop waits for the log, and flushes what was applied", async () => {
  await syncAll();
  await propose("a");
  let stopped = false;
  const stopping = node.stop().then(() => {
    stopped = true;
  });
  await env.settle();
  expect(stopped).toBe(false);
  await syncAll();
  await stopping;
  expect([stopped, faults, backend.stagedBytes]).toEqual([true, [], 0]);
});

test("a stop waits for a write that outlasts a refused one behind it, and lets others run meanwhile", async () => {
  await syncAll();
  await propose("a");
  await env.advance(50);
  await propose("b");
  const [first, second] = appends.splice(0);
  let stopped = false;
  const stopping = node.stop().then(() => {
    stopped = true;
  });
  second?.fail(new Error("entry 3 does not follow"));
  // Of the real event loop: a wait that goes round in promises alone would keep it out for ever.
  await new Promise((resolve) => setImmediate(resolve));
  expect([stopped, faults.map(String)]).toEqual([false, ["Error: entry 3 does not follow"]]);
  first?.done();
  await stopping;
});

function snapshotFrom(leader: bigint, term: number, index: number): Message {
  const metadata = { index, term, confState: { voters: [1n, leader], learners: [] } };
  return { type: "MsgSnap", from: leader, to: 1n, term, snapshot: { metadata, data: new Uint8Array(0) } };
}

test("a snapshot takes the member's place once its log says so, and nothing happens after that", async () => {
  await syncAll();
  await env.advance(200);
  await syncAll();
  expect(flushed).toEqual([1]);
  node.enqueue({ kind: "message", message: snapshotFrom(2n, 5, 90) });
  const turned = node.turned();
  await env.settle();
  expect(await turned).toBe(true);
  expect(appends.map(({ batch }) => batch.snapshot)).toEqual([{ index: 90, term: 5 }]);
  expect(appends[0]?.batch.hardState).toMatchObject({ term: 5, commit: 90 });
  expect(replaced).toBe(0);
  const before = flushes;
  backend.put("meta", "consistent_index", Buffer.from([2]));
  await syncAll();
  expect(replaced).toBe(1);
  await env.advance(5_000);
  await node.stop();
  expect([applied, appends.length, flushes, replaced, faults]).toEqual([[1], 0, before, 1, []]);
});

test("a snapshot whose record cannot be written ends the member as any failed write does", async () => {
  await syncAll();
  node.enqueue({ kind: "message", message: snapshotFrom(2n, 5, 90) });
  await env.settle();
  appends.shift()?.fail(new Error("the disk is gone"));
  await env.settle();
  expect([replaced, faults.map(String)]).toEqual([0, ["Error: the disk is gone"]]);
});

test("a snapshot that raft has no use for leaves everything as it is, and whoever brought it hears so", async () => {
  await syncAll();
  node.enqueue({ kind: "message", message: snapshotFrom(2n, 1, 1) });
  const turned = node.turned();
  await env.settle();
  expect(await turned).toBe(false);
  await syncAll();
  expect([replaced, faults]).toEqual([0, []]);
});

test("a stop while a snapshot is taken: whoever brought it hears that it is, whatever the stop waits for", async () => {
  await syncAll();
  await env.advance(200);
  let flush: () => void = () => undefined;
  beforeDurable = () => new Promise((resolve) => (flush = resolve));
  await propose("a");
  await syncAll();
  await env.advance(200);
  // The stop waits for the flush; turns go on.
  const stopping = node.stop();
  node.enqueue({ kind: "message", message: snapshotFrom(2n, 5, 90) });
  const turned = node.turned();
  await env.settle();
  expect(await turned).toBe(true);
  await syncAll();
  expect(replaced).toBe(1);
  flush();
  await stopping;
  expect(await node.turned()).toBe(true);
  expect(faults).toEqual([]);
});

test("a stop before the turn that a snapshot waits for: its bringer hears, too", async () => {
  await syncAll();
  await env.advance(200);
  node.enqueue({ kind: "message", message: snapshotFrom(2n, 5, 90) });
  const turned = node.turned();
  const stopping = node.stop();
  await env.settle();
  const isWritten = appends.some(({ batch }) => batch.snapshot !== undefined);
  await syncAll();
  await stopping;
  expect(await turned).toBe(isWritten);
});

test("a follower whose next entry the log cannot give gets a state of now, however long ago raft last heard of one", async () => {
  await node.stop();
  const confState = { voters: [1n], learners: [2n] };
  // As after a rebuild at the end of a cut: raft takes entry 6 for readable, and knows of the state before it.
  begin({
    ...NEW,
    confState,
    applied: 5,
    before: { index: 5, term: 1 },
    hardState: { term: 1, vote: 0n, commit: 5 },
    storedFrom: 6,
  });
  node.enqueue({ kind: "snapshotAvailable", metadata: { index: 5, term: 1, confState }, storedFrom: 6 });
  await syncAll();
  await propose("a");
  await syncAll();
  expect(applied).toEqual([6, 7]);
  let offered = 0;
  onEntriesGone = () => {
    offered++;
    node.enqueue({ kind: "snapshotAvailable", metadata: { index: 7, term: 2, confState }, storedFrom: 6 });
  };
  node.enqueue({ kind: "trim", index: 7 });
  await env.advance(100);
  const context = new Uint8Array(0);
  node.enqueue({ kind: "message", message: { type: "MsgHeartbeatResp", from: 2n, to: 1n, term: 2, context } });
  await syncAll();
  expect(faults).toEqual([]);
  expect(offered).toBe(1);
  expect(snapshots).toMatchObject([{ to: 2n, snapshot: { metadata: { index: 7, term: 2 } } }]);
});
