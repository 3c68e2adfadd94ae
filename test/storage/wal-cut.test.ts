import { describe, expect, test } from "vitest";
import type { Entry, HardState } from "../../raft/types.ts";
import type { LogPoint, Wal, WalBatch } from "../../storage/wal.ts";
import { createWal, openWal } from "../../storage/wal-log.ts";
import { readWalStart } from "../../storage/wal-look.ts";
import { type DiskOperation, MemoryDisk } from "./memory-disk.ts";
import { batch, chooser, entries, METADATA, open, SMALL, state, WAL } from "./wal-fixtures.ts";

const FIRST = batch(entries(1, 1, 1), state(1, 1));

async function segments(disk: MemoryDisk): Promise<number[]> {
  const names = (await disk.list(WAL)).filter((name) => name.endsWith(".wal"));
  return names.map((name) => Number.parseInt(name.slice(0, 16), 16));
}

/** A log of `count` entries of about 300 bytes, a dozen a segment, all committed. */
async function logOf(disk: MemoryDisk, count: number): Promise<Wal> {
  const wal = await createWal(disk, WAL, METADATA, FIRST, SMALL);
  for (let i = 2; i <= count; i++) await wal.append(batch(entries(i, 1, 1, 300), state(1, i)));
  return wal;
}

describe("a cut", () => {
  test("removes the segments that end at or below the point, and no others", async () => {
    const disk = new MemoryDisk();
    const wal = await logOf(disk, 60);
    const before = await segments(disk);
    expect(before.length).toBeGreaterThan(4);
    await wal.cut(30, 1);
    const { firstIndex } = wal;
    expect(firstIndex).toBeLessThanOrEqual(31);
    expect(firstIndex).toBeGreaterThan(15);
    expect(await segments(disk)).toEqual(before.slice(before.length - (await segments(disk)).length));
    expect(wal.segmentCount).toBe((await segments(disk)).length);
    expect(await wal.read(firstIndex - 1, 60, 1e9)).toBeUndefined();
    const read = await wal.read(firstIndex, 60, 1e9);
    expect(read?.entries.map(({ index }) => index)).toEqual(
      Array.from({ length: 61 - firstIndex }, (_, i) => firstIndex + i),
    );
    // What is applied is in the state store; the rest comes back.
    const again = await open(
      disk.crash(() => 0),
      SMALL,
      { index: 30, term: 1 },
    );
    expect(again.before).toEqual({ index: 30, term: 1 });
    expect(again.entries.map(({ index }) => index)).toEqual(Array.from({ length: 30 }, (_, i) => 31 + i));
    expect(again.hardState.commit).toBe(60);
    // Of the first that is there the term before is not known any more.
    expect(again.wal.firstIndex).toBe(firstIndex + 1);
  });

  test("keeps as many segments as it is told to, and always the last", async () => {
    const disk = new MemoryDisk();
    const wal = await logOf(disk, 60);
    await wal.cut(60, 3);
    expect(wal.segmentCount).toBe(3);
    await wal.cut(60, 1);
    expect(wal.segmentCount).toBe(1);
    await wal.append(batch(entries(61, 1, 1), state(1, 61)));
    const again = await open(
      disk.crash(() => 0),
      SMALL,
      { index: 60, term: 1 },
    );
    expect(again.entries.map(({ index }) => index)).toEqual([61]);
  });

  test("refuses a state store that stands before what was removed", async () => {
    const disk = new MemoryDisk();
    const wal = await logOf(disk, 60);
    await wal.cut(40, 1);
    await expect(
      open(
        disk.crash(() => 0),
        SMALL,
        { index: 5, term: 1 },
      ),
    ).rejects.toThrow(/it begins at entry/);
  });

  test("waits for the reads that are under way, which give what was there", async () => {
    const disk = new MemoryDisk();
    const wal = await logOf(disk, 60);
    const reads = [wal.read(1, 10, 1e9), wal.read(2, 60, 1e9)];
    const cut = wal.cut(60, 1);
    const late = wal.read(3, 10, 1e9);
    await cut;
    expect((await reads[0])?.entries.length).toBe(10);
    expect((await reads[1])?.entries.length).toBe(59);
    expect((await late)?.entries.length ?? 0).toBeLessThanOrEqual(8);
    expect(await wal.read(3, 10, 1e9)).toBeUndefined();
  });

  test("leaves a log that knows its term where it was cut from the state store alone", async () => {
    const disk = new MemoryDisk();
    const wal = await logOf(disk, 60);
    await wal.cut(60, 1);
    const applied = { index: wal.firstIndex - 1, term: 1 };
    const again = await open(
      disk.crash(() => 0),
      SMALL,
      applied,
    );
    expect(again.before).toEqual(applied);
    expect(again.entries[0]?.index).toBe(applied.index + 1);
  });

  test("may leave a first segment whose first entries were replaced from further back", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, FIRST, SMALL);
    let last = 1;
    // Nothing of this is committed, so a new leader can replace it from 3 on, in a later segment.
    while (wal.segmentCount < 3) await wal.append(batch(entries(++last, 1, 1, 300), state(1, 2)));
    await wal.append(batch(entries(last + 1, 2, 1, 100)));
    await wal.append(batch(entries(3, 8, 2, 100), state(2, 2)));
    await wal.append(batch([], state(2, 10)));
    await wal.cut(10, 1);
    expect(await segments(disk)).toEqual([2]);
    const again = await open(
      disk.crash(() => 0),
      SMALL,
      { index: 4, term: 2 },
    );
    expect(again.entries.map(({ index, term }) => `${index}@${term}`)).toEqual(
      [5, 6, 7, 8, 9, 10].map((i) => `${i}@2`),
    );
  });
});

describe("a snapshot from another member", () => {
  test("starts the log anew behind it, live and after a restart", async () => {
    const disk = new MemoryDisk();
    const wal = await logOf(disk, 20);
    await wal.append({ ...batch([], state(3, 100)), snapshot: { index: 100, term: 2 } });
    expect([wal.firstIndex, wal.lastIndex]).toEqual([101, 100]);
    expect(await wal.read(5, 10, 1e9).catch(() => "asserts")).toBeUndefined();
    await wal.append(batch(entries(101, 2, 3), state(3, 101)));
    expect((await wal.read(101, 102, 1e9))?.prevTerm).toBe(2);
    const survivor = disk.crash(() => 0);
    expect(await readWalStart(survivor, WAL, SMALL)).toEqual({ index: 100, term: 2 });
    const again = await open(survivor, SMALL, { index: 100, term: 2 });
    expect(again.start).toEqual({ index: 100, term: 2 });
    expect(again.before).toEqual({ index: 100, term: 2 });
    expect(again.entries.map(({ index }) => index)).toEqual([101, 102]);
    expect(again.wal.firstIndex).toBe(101);
  });

  test("makes everything before its segment worthless, even before an entry follows", async () => {
    const disk = new MemoryDisk();
    const wal = await logOf(disk, 60);
    await wal.append({ ...batch([], state(3, 100)), snapshot: { index: 100, term: 2 } });
    await wal.cut(0, 1);
    expect(wal.segmentCount).toBe(1);
    const again = await open(
      disk.crash(() => 0),
      SMALL,
      { index: 100, term: 2 },
    );
    expect(again.before).toEqual({ index: 100, term: 2 });
    expect([again.wal.firstIndex, again.wal.lastIndex]).toEqual([101, 100]);
  });

  test("is refused behind what is committed", async () => {
    const wal = await logOf(new MemoryDisk(), 20);
    await expect(wal.append({ ...batch([]), snapshot: { index: 20, term: 1 } })).rejects.toThrow(/committed to 20/);
  });
});

class PowerFailure extends Error {
  override readonly name = "PowerFailure";
}

interface Step {
  readonly write?: WalBatch;
  /** The state store holds everything up to here on the disk, and the log may be cut there. */
  readonly cut?: LogPoint;
}

/** A follower's life with replacements, snapshots and cuts, as terms by index say it. */
function* life(seed: number): Generator<Step> {
  const choose = chooser(seed);
  const terms: number[] = [0, 1];
  let term = 1;
  let commit = 1;
  let last = 1;
  for (let step = 0; step < 40; step++) {
    const kind = choose(11);
    if (kind <= 4) {
      const list = entries(last + 1, 1 + choose(3), term, choose(600));
      for (const entry of list) terms[entry.index] = term;
      last += list.length;
      yield { write: batch(list) };
    } else if (kind <= 5 && last > commit) {
      term++;
      const from = commit + 1 + choose(last - commit - 1);
      const list = entries(from, 1 + choose(2), term, choose(300));
      for (const entry of list) terms[entry.index] = term;
      last = from + list.length - 1;
      yield { write: batch(list, state(term, commit)) };
    } else if (kind <= 8) {
      commit += choose(last - commit);
      yield { write: batch([], state(term, commit), choose(1) === 0) };
    } else if (kind === 9) {
      term++;
      const index = last + choose(3) + (last === commit ? 1 : 0);
      last = index;
      commit = index;
      terms[index] = term;
      yield { write: { ...batch([], state(term, commit)), snapshot: { index, term } } };
    } else {
      const index = commit - choose(Math.min(3, commit - 1));
      if (terms[index] !== undefined) yield { cut: { index, term: terms[index] as number } };
    }
  }
}

/** What a log is after some of its records: the point it starts from, the entries by index, the hard state. */
class Log {
  start: LogPoint = { index: 0, term: 0 };
  entries: Entry[] = [];
  hardState: HardState = state(0, 0);

  apply(record: Entry | HardState | { readonly snapshot: LogPoint }): void {
    if ("snapshot" in record) {
      this.start = record.snapshot;
      this.entries = [];
    } else if ("index" in record) {
      this.entries = [...this.entries.filter(({ index }) => index < record.index), record];
    } else {
      this.hardState = record;
    }
  }

  told(after: number): string {
    const lastTerm = this.entries.at(-1)?.term ?? this.start.term;
    const { commit } = this.hardState;
    const term = Math.max(lastTerm, this.hardState.term);
    const rest = this.entries.filter(({ index }) => index > after).map((e) => `${e.index}@${e.term}:${e.data.length}`);
    return JSON.stringify({ term, commit, start: this.start.index, rest });
  }
}

interface Run {
  readonly records: (Entry | HardState | { readonly snapshot: LogPoint })[];
  durable: number;
  applied: LogPoint;
}

async function run(disk: MemoryDisk, seed: number): Promise<Run> {
  const result: Run = { records: [...FIRST.entries, state(1, 1)], durable: 0, applied: { index: 0, term: 0 } };
  try {
    const wal = await createWal(disk, WAL, METADATA, FIRST, SMALL);
    result.durable = result.records.length;
    for (const { write, cut } of life(seed)) {
      if (write !== undefined) {
        if (write.snapshot !== undefined) result.records.push({ snapshot: write.snapshot });
        result.records.push(...write.entries, ...(write.hardState === undefined ? [] : [write.hardState]));
        const synced = write.mustSync || write.entries.length > 0 || write.snapshot !== undefined;
        await wal.append(write);
        if (synced) result.durable = result.records.length;
        // The state that came with it is in place by now.
        if (write.snapshot !== undefined) result.applied = write.snapshot;
      } else if (cut !== undefined && cut.index >= result.applied.index) {
        result.applied = cut;
        await wal.cut(cut.index, 1);
      }
    }
  } catch (error) {
    if (!(error instanceof PowerFailure)) throw error;
  }
  return result;
}

/** As a start does it: a state that came with a snapshot is put in place when the log starts from it. */
async function check(survivor: MemoryDisk, { records, durable, applied }: Run): Promise<void> {
  const start = await readWalStart(survivor, WAL, SMALL);
  const stands = start.index > applied.index ? start : applied;
  const replay = await openWal(survivor, WAL, stands, SMALL);
  if (replay === undefined) {
    expect(durable).toBe(0);
    return;
  }
  const log = new Log();
  const possible: string[] = [];
  for (const [i, record] of records.entries()) {
    log.apply(record);
    if (i + 1 >= durable) possible.push(JSON.parse(log.told(stands.index)).rest.join());
  }
  expect(possible).toContain(replay.entries.map((e) => `${e.index}@${e.term}:${e.data.length}`).join());
  expect(replay.before.index).toBeLessThanOrEqual(Math.max(stands.index, replay.wal.lastIndex));

  const last = replay.wal.lastIndex;
  const term = replay.hardState.term + 1;
  await replay.wal.append(batch(entries(last + 1, 3, term, 700), state(term, replay.hardState.commit)));
  const again = await open(
    survivor.crash(() => 0),
    SMALL,
    stands,
  );
  expect(again.wal.lastIndex).toBe(last + 3);
}

test("loses nothing when the power fails at any operation of a life with snapshots and cuts", async () => {
  let cuts = 0;
  let snapshots = 0;
  for (let seed = 1; seed <= 8; seed++) {
    const whole = new MemoryDisk();
    const counter = (operation: DiskOperation): void => {
      if (operation.kind === "remove" && operation.path.endsWith(".wal")) cuts++;
    };
    whole.before = counter;
    snapshots += (await run(whole, seed)).records.filter((record) => "snapshot" in record).length;
    for (let count = 1; count <= whole.operations; count++) {
      const disk = new MemoryDisk();
      disk.before = (operation) => {
        if (operation.count >= count) throw new PowerFailure(`no power at operation ${count}`);
      };
      const result = await run(disk, seed);
      const choose = chooser(count * 31 + seed);
      for (const how of [() => 0, (n: number) => n, choose]) await check(disk.crash(how), result);
    }
  }
  expect(cuts).toBeGreaterThan(10);
  expect(snapshots).toBeGreaterThan(10);
});
