import { beforeEach, expect, test } from "vitest";
import { limits } from "../../src/config.ts";
import { SnapshotSender } from "../../src/server/snapshot-sender.ts";
import type { Cluster } from "../../src/state/machine.ts";
import type { Backend, BackendSnapshot } from "../../storage/backend.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import { FakeEnv } from "./fake-env.ts";

const confState = { voters: [1n, 2n], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
const message = {
  type: "MsgSnap",
  from: 1n,
  to: 2n,
  term: 3,
  snapshot: { metadata: { index: 5, term: 3, confState }, data: new Uint8Array(0) },
} as const;

const ignore = (): void => undefined;

let env: FakeEnv;
let sender: SnapshotSender;
let isCorrupt: boolean;
let sent: number;
let open: number;
let reports: { readonly to: bigint; readonly ok: boolean; readonly index: number }[];
/** What the receiver is known to have, and what this member has in memory. */
let match: number | undefined;
let windowStart: number;
/** The store's files are being read. */
let verify: () => Promise<void>;

beforeEach(() => {
  env = new FakeEnv();
  isCorrupt = false;
  sent = 0;
  open = 0;
  reports = [];
  match = undefined;
  windowStart = 5;
  verify = async () => undefined;
  const store = createMemoryBackend();
  const backend = Object.assign(Object.create(store) as Backend, {
    verify: () => verify(),
    snapshot(): BackendSnapshot {
      const rows = store.snapshot();
      open++;
      return {
        range: (...args) => rows.range(...args),
        close: async () => {
          open--;
          await rows.close();
        },
      };
    },
  });
  sender = new SnapshotSender({
    env,
    log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    backend,
    state: {
      appliedIndex: 7,
      appliedTerm: 3,
      confState,
      cluster: { members: () => [], removed: () => [] } as unknown as Cluster,
    },
    transport: {
      async sendSnapshot(_to, { file }) {
        for await (const _piece of file);
        sent++;
      },
    },
    isCorrupt: () => isCorrupt,
    matchOf: () => match,
    windowStart: () => windowStart,
    report: (to, ok, index) => reports.push({ to, ok, index }),
  });
});

test("the state of the moment goes out, and what raft hears is where that stands", async () => {
  sender.send(message);
  await env.settle();
  expect([sent, open, reports]).toEqual([1, 0, [{ to: 2n, ok: true, index: 7 }]]);
});

test("a store whose verdict comes while its files are read does not go out", async () => {
  let finish = (): void => undefined;
  verify = () => new Promise((resolve) => (finish = resolve));
  sender.send(message);
  await env.settle();
  isCorrupt = true;
  finish();
  await env.settle();
  expect([sent, open, reports]).toEqual([0, 0, []]);
  await env.advance(limits.snapshotRetryMs);
  expect(reports).toEqual([{ to: 2n, ok: false, index: 0 }]);
});

test("P-11: the log behind a snapshot is kept until its receiver has caught up, not only until it has the snapshot", async () => {
  sender.send(message);
  await env.settle();
  expect(sender.floor).toBe(7);
  // While it restarted, more was written than is in memory: what it needs next is still on the disk.
  windowStart = 1_000;
  match = 7;
  expect(sender.floor).toBe(7);
  match = 600;
  expect(sender.floor).toBe(600);
  match = 1_200;
  expect(sender.floor).toBe(Number.POSITIVE_INFINITY);
  // From then on it is a follower as the others are.
  windowStart = 5_000;
  expect(sender.floor).toBe(Number.POSITIVE_INFINITY);
});

test("P-11: a receiver that does not catch up keeps the log for a while only", async () => {
  sender.send(message);
  await env.settle();
  windowStart = 1_000;
  match = 7;
  await env.advance(limits.snapshotHoldMs - 1);
  expect(sender.floor).toBe(7);
  await env.advance(2);
  expect(sender.floor).toBe(Number.POSITIVE_INFINITY);
});
