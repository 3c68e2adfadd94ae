import { expect, test } from "vitest";
import type { Entry, HardState } from "../../raft/types.ts";
import type { Wal, WalBatch } from "../../storage/wal.ts";
import { createWal, openWal } from "../../storage/wal-log.ts";
import { type DiskOperation, MemoryDisk } from "./memory-disk.ts";
import {
  batch,
  chooser,
  entries,
  METADATA,
  Model,
  NOTHING_APPLIED,
  open,
  recordsOf,
  SMALL,
  state,
  told,
  WAL,
} from "./wal-fixtures.ts";

class PowerFailure extends Error {
  override readonly name = "PowerFailure";
}

/** A follower's life: appends, replacements under new leaders, votes, commits that nobody waits for. */
function* life(seed: number): Generator<WalBatch> {
  const choose = chooser(seed);
  let term = 1;
  let commit = 1;
  let last = 1;
  let vote = 0n;
  for (let step = 0; step < 30; step++) {
    const kind = choose(9);
    if (kind <= 4) {
      const list = entries(last + 1, 1 + choose(3), term, choose(1) === 0 ? choose(120) : choose(1200));
      last += list.length;
      yield batch(list, choose(1) === 0 ? state(term, commit, vote) : undefined);
    } else if (kind <= 6 && last > commit) {
      term++;
      vote = 0n;
      const from = commit + 1 + choose(last - commit - 1);
      const list = entries(from, 1 + choose(2), term, choose(300));
      last = from + list.length - 1;
      yield batch(list, state(term, commit));
    } else if (kind === 7) {
      term++;
      vote = BigInt(1 + choose(2));
      yield batch([], state(term, commit, vote));
    } else {
      commit += choose(last - commit);
      yield batch([], state(term, commit, vote), false);
    }
  }
}

interface Run {
  readonly disk: MemoryDisk;
  readonly records: (Entry | HardState)[];
  /** So many of the records must be there. */
  durable: number;
}

/** Lives until the disk refuses; several appends overlap. */
async function run(disk: MemoryDisk, seed: number): Promise<Run> {
  const result: Run = { disk, records: [], durable: 0 };
  const first = batch(entries(1, 1, 1), state(1, 1));
  result.records.push(...recordsOf(first));
  try {
    const wal = await createWal(disk, WAL, METADATA, first, SMALL);
    result.durable = result.records.length;
    await lead(wal, result, seed);
  } catch (error) {
    if (!(error instanceof PowerFailure)) throw error;
  }
  return result;
}

async function lead(wal: Wal, result: Run, seed: number): Promise<void> {
  const choose = chooser(seed + 1);
  let pending: Promise<void>[] = [];
  for (const each of life(seed)) {
    result.records.push(...recordsOf(each));
    const count = result.records.length;
    const synced = each.mustSync || each.entries.length > 0;
    pending.push(
      wal.append(each).then(() => {
        if (synced) result.durable = count;
      }),
    );
    if (choose(2) > 0) continue;
    await Promise.all(pending);
    pending = [];
  }
  await Promise.all(pending);
}

/** The log is what a first part of the records comes to, and everything that was acknowledged is in that part. */
async function check(survivor: MemoryDisk, { records, durable }: Run): Promise<void> {
  const replay = await openWal(survivor, WAL, NOTHING_APPLIED, SMALL);
  if (replay === undefined) {
    expect(durable).toBe(0);
    return;
  }
  const found = JSON.stringify(told(replay));
  const model = new Model();
  const matches = records.some((record, i) => {
    model.apply(record);
    return i + 1 >= durable && JSON.stringify(model.told()) === found;
  });
  expect(matches, found).toBe(true);

  // And it goes on from there.
  const last = replay.wal.lastIndex;
  const term = replay.hardState.term + 1;
  const more = [
    batch(entries(last + 1, 3, term, 700), state(term, replay.hardState.commit)),
    batch(entries(last + 4, 3, term, 700)),
  ];
  for (const each of more) await replay.wal.append(each);
  const again = await open(survivor.crash(() => 0));
  expect(again.tornBytes).toBe(0);
  expect(again.entries.map(({ index }) => index)).toEqual(Array.from({ length: last + 6 }, (_, i) => i + 1));
  expect((await again.wal.read(1, last + 6, 1e9))?.entries).toHaveLength(last + 6);
}

function failFrom(count: number): (operation: DiskOperation) => void {
  return (operation) => {
    if (operation.count >= count) throw new PowerFailure(`no power at operation ${count}`);
  };
}

test.each([1, 2, 3, 4])(
  "loses nothing that was acknowledged when the power fails at any operation (life %i)",
  async (seed) => {
    const whole = await run(new MemoryDisk(), seed);
    expect(whole.durable).toBeGreaterThan(20);
    expect((await whole.disk.list(WAL)).filter((name) => name.endsWith(".wal")).length).toBeGreaterThan(2);
    for (let count = 1; count <= whole.disk.operations; count++) {
      for (let variant = 0; variant < 5; variant++) {
        const disk = new MemoryDisk();
        disk.before = failFrom(count);
        const result = await run(disk, seed);
        const choose = chooser(count * 31 + variant);
        await check(disk.crash(variant === 0 ? () => 0 : variant === 1 ? (n) => n : choose), result);
      }
    }
  },
);

test("loses nothing over a chain of power failures, also during repair", async () => {
  for (let seed = 1; seed <= 150; seed++) {
    const choose = chooser(seed);
    let disk = new MemoryDisk();
    disk.before = failFrom(40 + choose(60));
    const result = await run(disk, seed);
    for (let i = 0; i < 4; i++) {
      disk = disk.crash(choose);
      disk.before = failFrom(1 + choose(20));
      await expect(
        openWal(disk, WAL, NOTHING_APPLIED, SMALL).then(() => undefined, powerOnly),
      ).resolves.toBeUndefined();
    }
    await check(disk.crash(choose), result);
  }
});

test.each(["write", "sync", "rename", "syncDirectory", "create", "allocate"] as const)(
  "a failed %s stops the log for good, and a new process finds what was acknowledged",
  async (kind) => {
    for (let nth = 1; nth <= 12; nth++) {
      const disk = new MemoryDisk();
      let seen = 0;
      disk.before = (operation) => {
        if (operation.kind === kind && ++seen === nth) throw new PowerFailure(`${kind} ${nth}`);
      };
      const result = await run(disk, 7);
      disk.before = () => undefined;
      if (seen < nth) break;
      await check(disk, result);
    }
  },
);

function powerOnly(error: unknown): void {
  if (!(error instanceof PowerFailure)) throw error;
}
