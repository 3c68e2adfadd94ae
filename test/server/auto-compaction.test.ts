import { beforeEach, expect, test } from "vitest";
import { errors } from "../../src/api/errors.ts";
import type { AutoCompactionConfig } from "../../src/flag-values.ts";
import { AutoCompaction } from "../../src/server/auto-compaction.ts";
import { FakeEnv } from "./fake-env.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

let env: FakeEnv;
let isLeader: boolean;
let compactRevision: number;
let failure: Error | undefined;
let compactions: [minute: number, revision: number][];

beforeEach(() => {
  env = new FakeEnv();
  isLeader = true;
  compactRevision = -1;
  failure = undefined;
  compactions = [];
});

/** The revision grows by one a minute. */
function open(config: AutoCompactionConfig, revision = () => 1 + Math.floor(env.now() / MINUTE)): AutoCompaction {
  const auto = new AutoCompaction({
    env,
    log: silent,
    config,
    isLeader: () => isLeader,
    currentRevision: revision,
    compactRevision: () => compactRevision,
    propose: async ({ compaction }) => {
      compactions.push([Math.round(env.now() / MINUTE), compaction?.revision ?? 0]);
      if (failure !== undefined) throw failure;
      compactRevision = compaction?.revision ?? 0;
    },
  });
  auto.start();
  return auto;
}

test("C-6: periodic, less than an hour: first after a period, then each period, to what was there a period ago", async () => {
  const auto = open({ mode: "periodic", periodMs: 10 * MINUTE });
  await env.advance(9 * MINUTE);
  expect(compactions).toEqual([]);
  await env.advance(22 * MINUTE);
  expect(compactions).toEqual([
    [10, 1],
    [20, 10],
    [30, 20],
  ]);
  auto.stop();
  await env.advance(HOUR);
  expect(compactions).toHaveLength(3);
});

test("C-6: periodic, more than an hour: first after the period, then hourly", async () => {
  open({ mode: "periodic", periodMs: 3 * HOUR });
  await env.advance(3 * HOUR - MINUTE);
  expect(compactions).toEqual([]);
  await env.advance(2 * HOUR + 2 * MINUTE);
  expect(compactions.map(([minute]) => minute)).toEqual([180, 240, 300]);
  for (const [minute, revision] of compactions) expect(Math.abs(minute - 180 - revision)).toBeLessThanOrEqual(7);
});

test("C-6: only the leader compacts, and a new one knows what was there before it led", async () => {
  isLeader = false;
  open({ mode: "periodic", periodMs: 10 * MINUTE });
  await env.advance(35 * MINUTE);
  expect(compactions).toEqual([]);
  isLeader = true;
  await env.advance(MINUTE);
  expect(compactions).toEqual([[36, 26]]);
});

test("C-6: a compaction that fails is tried again a tenth of the interval later; nothing new, nothing done", async () => {
  open({ mode: "periodic", periodMs: 10 * MINUTE }, () => 7);
  failure = errors.timeout;
  await env.advance(11 * MINUTE);
  failure = undefined;
  await env.advance(HOUR);
  expect(compactions).toEqual([
    [10, 7],
    [11, 7],
    [12, 7],
  ]);
});

test("C-6: revision: every five minutes, to so many revisions ago, if that is a revision and a new one", async () => {
  let revision = 50;
  open({ mode: "revision", revisions: 100 }, () => revision);
  await env.advance(5 * MINUTE);
  revision = 150;
  await env.advance(5 * MINUTE);
  await env.advance(5 * MINUTE);
  revision = 170;
  await env.advance(5 * MINUTE);
  expect(compactions).toEqual([
    [10, 50],
    [20, 70],
  ]);
});

test("C-6: off is off", async () => {
  open({ mode: "off" });
  await env.advance(24 * HOUR);
  expect(compactions).toEqual([]);
});
