import { describe, expect, test } from "vitest";
import { createMemoryBackend, type MemoryBackend } from "../../storage/memory-backend.ts";
import type { KeyEvent, KeyVersion, Mvcc } from "../../storage/mvcc/mvcc.ts";
import { createMvccRestore } from "../../storage/mvcc/store.ts";
import { hashKv, restoreMvcc } from "../../storage/mvcc-walk.ts";
import { successor } from "../../storage/schema.ts";
import {
  change,
  compacted,
  EMPTY_MODEL,
  keptRows,
  liveRows,
  type Model,
  type ModelRow,
  modelHashKv,
  type Op,
  storedKeyOf,
  storedValue,
} from "./mvcc-model.ts";
import { createRandom, type Random } from "./random.ts";

/**
 * Random change-sets, compactions in slices, flushes and crashes, against a list of rows. Every question that the store
 * answers is asked at every readable revision, while compactions are pending and after them.
 */
interface World {
  backend: MemoryBackend;
  mvcc: Mvcc;
  model: Model;
  /** The model as of the last flush, and what was pending then. */
  durable: { readonly model: Model; readonly pending: number | undefined };
}

const FEW = ["\x01", "a", "a\0", "ab", "b", "k", "k\xff", "l", "\x80", "\xff", "\xff\xff"];
const MANY = Array.from({ length: 900 }, (_, i) => `k${String(i).padStart(4, "0")}`);
const RANGE_ENDS = ["", "\0", "\x01", "a", "b", "k1", "k04", "l", "\xff"];

describe("the multi-version store agrees with a list of rows", () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])("few keys, much history (seed %i)", async (seed) => {
    await run(createRandom(seed), FEW, 300, 12);
  });

  test.each([11, 12, 13])("many keys (seed %i)", async (seed) => {
    await run(createRandom(seed), MANY, 1_200, 200);
  });
});

async function run(random: Random, keys: readonly string[], steps: number, checkEvery: number): Promise<void> {
  const backend = createMemoryBackend();
  const world: World = {
    backend,
    mvcc: createMvccRestore(backend).finish().mvcc,
    model: EMPTY_MODEL,
    durable: { model: EMPTY_MODEL, pending: undefined },
  };
  for (let step = 1; step <= steps; step++) {
    await takeStep(world, random, keys);
    if (step % checkEvery === 0) await check(world, random, keys);
  }
  while (!world.mvcc.compactSlice(1 + random.below(10)));
  await check(world, random, keys);
}

async function takeStep(world: World, random: Random, keys: readonly string[]): Promise<void> {
  const { mvcc, model } = world;
  const drawn = random.below(100);
  if (drawn < 75) {
    applyChange(world, randomOps(random, keys));
  } else if (drawn < 79) {
    const room = model.revision - model.compactRevision;
    if (room === 0 || (room < 8 && !random.chance(0.1))) return;
    const target = model.compactRevision + 1 + random.below(room);
    mvcc.compact(target);
    world.model = compacted(model, target);
  } else if (drawn < 90) {
    mvcc.compactSlice(1 + random.below(6));
  } else if (drawn < 96) {
    await world.backend.flush();
    world.durable = { model: world.model, pending: mvcc.pendingCompaction };
  } else if (drawn < 99) {
    await crash(world);
  } else {
    await crashInFlush(world);
  }
}

async function crash(world: World): Promise<void> {
  world.backend = world.backend.crash({});
  const restored = await restoreMvcc(world.backend);
  world.mvcc = restored.mvcc;
  world.model = world.durable.model;
  expect(world.mvcc.pendingCompaction).toBe(world.durable.pending);
  const leased = liveRows(world.model, "\0", "\0", world.model.revision).filter(({ lease }) => lease !== 0n);
  expect(restored.leased).toEqual(new Map(leased.map(({ key, lease }) => [key, lease])));
}

/** The batch reached the disk, its flush never answered: all of it is there after the restart. */
async function crashInFlush(world: World): Promise<void> {
  await world.backend.flush();
  world.durable = { model: world.model, pending: world.mvcc.pendingCompaction };
  world.backend = world.backend.crash({ afterDurable: () => new Promise<void>(() => undefined) });
  world.mvcc = (await restoreMvcc(world.backend)).mvcc;
  const key = "crash";
  applyChange(world, [{ kind: "put", key, value: `${world.model.revision}`, lease: 0n }]);
  world.durable = { model: world.model, pending: world.mvcc.pendingCompaction };
  void world.backend.flush();
  await Promise.resolve();
  await Promise.resolve();
  applyChange(world, [{ kind: "deleteRange", key, end: "" }]);
  await crash(world);
}

function randomOps(random: Random, keys: readonly string[]): readonly Op[] {
  const ops: Op[] = [];
  for (let count = 1 + random.below(random.chance(0.2) ? 5 : 1); count > 0; count--) {
    const key = random.pick(keys);
    if (random.chance(0.7)) {
      const lease = random.chance(0.2) ? BigInt(random.below(3)) - 1n : 0n;
      ops.push({ kind: "put", key, value: random.chance(0.1) ? "" : `${random.below(1_000)}`, lease });
    } else {
      const end = random.chance(0.7) ? "" : random.pick(RANGE_ENDS);
      // Everything gone at once is worth seeing, but rarely.
      ops.push({ kind: "deleteRange", key, end: end === "\0" && random.chance(0.7) ? "" : end });
    }
  }
  return ops;
}

function applyChange(world: World, ops: readonly Op[]): void {
  const { mvcc } = world;
  const next = change(world.model, ops);
  mvcc.beginChange();
  for (const op of ops) {
    if (op.kind === "put") mvcc.put(op.key, Buffer.from(op.value), op.lease);
    else mvcc.deleteRange(op.key, op.end);
  }
  const { revision, events } = mvcc.endChange();
  expect(revision).toBe(next.revision);
  expect(events).toEqual(next.rows.slice(world.model.rows.length).map(eventOf));
  world.model = next;
}

function eventOf({ type, key, main, sub, kv }: ModelRow): KeyEvent {
  return { type, key, revision: { main, sub }, kv };
}

function versionOf({ key, main, sub, createRevision, version }: ModelRow): KeyVersion {
  return { key, mod: { main, sub }, createRevision, version };
}

async function check(world: World, random: Random, keys: readonly string[]): Promise<void> {
  const { backend, mvcc, model } = world;
  expect(mvcc.currentRevision).toBe(model.revision);
  expect(mvcc.compactRevision).toBe(model.compactRevision);
  expect(mvcc.keyCount).toBe(liveRows(model, "\0", "\0", model.revision).length);
  const oldest = Math.max(model.compactRevision, 1);
  const stride = keys.length > 100 ? Math.max(1, Math.floor((model.revision - oldest) / 15)) : 1;
  for (let revision = oldest; revision <= model.revision; revision += stride) {
    checkReads(world, random, keys, revision);
    expect(await hashKv(backend, mvcc, revision, mvcc.compactRevision)).toBe(modelHashKv(model, revision));
  }
  checkHistory(world, random);
  if (mvcc.pendingCompaction === undefined) await checkRows(world);
}

function checkReads({ mvcc, model }: World, random: Random, keys: readonly string[], revision: number): void {
  const ranges: [string, string][] = [["\0", "\0"]];
  for (let i = 0; i < 4; i++) ranges.push([random.pick(keys), random.pick(RANGE_ENDS)]);
  for (const [key, end] of ranges) {
    const expected = liveRows(model, key, end, revision);
    const seen: KeyVersion[] = [];
    mvcc.visit(key, end, revision, (version) => seen.push(version) > 0);
    expect(seen).toEqual(expected.map(versionOf));
    expect(mvcc.count(key, end, revision)).toBe(expected.length);
    for (const [i, version] of seen.entries()) {
      expect(Buffer.compare(mvcc.value(version), (expected[i] as ModelRow).kv)).toBe(0);
    }
  }
  const key = random.pick(keys);
  const live = liveRows(model, key, "", revision)[0];
  expect(mvcc.get(key, revision)).toEqual(live && versionOf(live));
}

function checkHistory({ mvcc, model }: World, random: Random): void {
  const from = Math.max(model.compactRevision, 0);
  const events: KeyEvent[] = [];
  for (let next = from; next <= model.revision; ) {
    const maxRevisions = 1 + random.below(40);
    const slice = mvcc.history(next, model.revision, maxRevisions, 1 + random.below(3_000));
    expect(slice.next).toBeGreaterThan(next);
    expect(slice.next - next).toBeLessThanOrEqual(maxRevisions);
    for (const { revision } of slice.events) expect(revision.main).toBeLessThan(slice.next);
    events.push(...slice.events);
    next = slice.next;
  }
  // At exactly the compact revision a row that was superseded within its change-set may be gone already, or not yet.
  const kept = new Set(keptRows(model));
  const expected = model.rows.filter(({ main }) => main >= from);
  const seen = new Set(events.map(({ revision: { main, sub } }) => `${main}.${sub}`));
  const present = expected.filter((row) => kept.has(row) || seen.has(`${row.main}.${row.sub}`));
  expect(events).toEqual(present.map(eventOf));
  for (const row of present) {
    const before = liveRows(model, row.key, "", row.main - 1)[0];
    const isGone = row.main - 1 < model.compactRevision || (row.type === "put" && row.createRevision === row.main);
    expect(mvcc.previous(eventOf(row))).toEqual(isGone ? undefined : before?.kv);
  }
}

async function checkRows({ backend, model }: World): Promise<void> {
  const snapshot = backend.snapshot();
  const rows: (readonly [string, Uint8Array])[] = [];
  for (let from = ""; ; ) {
    const slice = await snapshot.range("key", from, undefined, 1_000);
    const last = slice.at(-1);
    if (last === undefined) break;
    rows.push(...slice);
    from = successor(last[0]);
  }
  await snapshot.close();
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
  const expected = keptRows(model).map((row) => `${storedKeyOf(row)} ${hex(storedValue(row))}`);
  expect(rows.map(([key, value]) => `${key} ${hex(value)}`)).toEqual(expected);
}
