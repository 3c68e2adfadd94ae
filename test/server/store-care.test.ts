import { beforeEach, expect, test } from "vitest";
import { errors } from "../../src/api/errors.ts";
import { StoreCare } from "../../src/server/store-care.ts";
import { FakeEnv } from "./fake-env.ts";

const MIB = 1 << 20;
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
let env: FakeEnv;
let inUse: number;
let deleted: number;
let keys: number;
let isNospace: boolean;
let steps: string[];
let finish: (() => void)[];
let fail: Error | undefined;

function open(quotaBytes: number | undefined): StoreCare {
  return new StoreCare({
    env,
    log: silent,
    quotaBytes,
    size: () => ({ total: inUse + 1, inUse }),
    deletedRows: () => deleted,
    keyCount: () => keys,
    isNospace: () => isNospace,
    removed: async () => void steps.push("removed"),
    flushed: async () => void steps.push("flushed"),
    compact: async () => {
      steps.push("compact");
      deleted = 0;
      if (fail !== undefined) throw fail;
      await new Promise<void>((resolve) => finish.push(resolve));
    },
  });
}

beforeEach(() => {
  env = new FakeEnv();
  inUse = 100 * MIB;
  deleted = 0;
  keys = 100_000;
  isNospace = false;
  steps = [];
  finish = [];
  fail = undefined;
});

function set(rows: number, mebibytes = 100, nospace = false): void {
  deleted = rows;
  inUse = mebibytes * MIB;
  isNospace = nospace;
}

test.each<[string, number | undefined, () => void, boolean]>([
  ["nothing was deleted", 100 * MIB, () => undefined, false],
  ["less than a quarter was deleted", undefined, () => set(24_999), false],
  ["a quarter was deleted", undefined, () => set(25_000), true],
  ["the store is small", undefined, () => set(90_000, 7), false],
  ["half the quota is reached, and a twentieth was deleted", 200 * MIB, () => set(5_000), true],
  ["half the quota is not reached", 201 * MIB, () => set(5_000), false],
  ["the quota is near, and anything was deleted", 110 * MIB, () => set(1), true],
  ["NOSPACE is raised, and anything was deleted", 1_000 * MIB, () => set(1, 100, true), true],
])("space is given back by itself when it is worth it: %s", async (_what, quotaBytes, arrange, isWorthIt) => {
  arrange();
  open(quotaBytes).consider();
  await env.settle();
  expect(steps).toEqual(isWorthIt ? ["flushed", "compact"] : []);
});

test("one at a time; what was deleted meanwhile is looked at when it is done", async () => {
  const care = open(undefined);
  deleted = 50_000;
  care.consider();
  await env.settle();
  deleted = 50_000;
  care.consider();
  await env.settle();
  expect(steps).toEqual(["flushed", "compact"]);
  let isIdle = false;
  void care.idle().then(() => {
    isIdle = true;
  });
  finish.shift()?.();
  await env.settle();
  expect([steps, isIdle]).toEqual([["flushed", "compact", "flushed", "compact"], false]);
  finish.shift()?.();
  await env.settle();
  expect(isIdle).toBe(true);
  care.stop();
  deleted = 50_000;
  care.consider();
  await env.settle();
  expect(steps).toHaveLength(4);
});

test("N-3: on request it waits for what is being removed, and goes over everything whatever there is to gain", async () => {
  const care = open(undefined);
  const done = care.defragment();
  await env.settle();
  expect(steps).toEqual(["removed", "flushed", "compact"]);
  finish.shift()?.();
  await done;
  fail = new Error("the store is closed");
  await expect(care.defragment()).rejects.toBe(fail);
  care.stop();
  await expect(care.defragment()).rejects.toBe(errors.stopped);
});
