import { describe, expect, test } from "vitest";
import type { Entry } from "../../raft/types.ts";
import { createWal } from "../../storage/wal-log.ts";
import { type DiskOperation, MemoryDisk } from "./memory-disk.ts";
import {
  batch,
  chooser,
  entries,
  entry,
  METADATA,
  Model,
  open,
  recordsOf,
  SMALL,
  state,
  told,
  WAL,
} from "./wal-fixtures.ts";

const FIRST = batch(entries(1, 1, 1), state(1, 1));

/** Counts operations by kind, and holds back those of one kind until `release`. */
class Gate {
  readonly counts = new Map<string, number>();
  #held: string | undefined;
  #waiting: (() => void)[] = [];

  readonly before = (operation: DiskOperation): void | Promise<void> => {
    this.counts.set(operation.kind, (this.counts.get(operation.kind) ?? 0) + 1);
    if (operation.kind !== this.#held) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  };

  count(kind: string): number {
    return this.counts.get(kind) ?? 0;
  }

  hold(kind: string): void {
    this.#held = kind;
  }

  release(): void {
    this.#held = undefined;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

async function turns(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

describe("append", () => {
  test("gathers what arrives while a sync is in flight into one write and one sync, in order", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, FIRST, SMALL);
    const gate = new Gate();
    disk.before = gate.before;
    gate.hold("sync");
    const done: number[] = [];
    const appends = [wal.append(batch(entries(2, 1, 1))).then(() => done.push(2))];
    await turns();
    for (let i = 3; i <= 22; i++) appends.push(wal.append(batch(entries(i, 1, 1))).then(() => done.push(i)));
    await turns();
    expect([gate.count("write"), gate.count("sync"), done]).toEqual([1, 1, []]);
    expect(wal.lastIndex).toBe(1);
    gate.release();
    await Promise.all(appends);
    expect([gate.count("write"), gate.count("sync")]).toEqual([2, 2]);
    expect(done).toEqual(Array.from({ length: 21 }, (_, i) => i + 2));
    expect(wal.lastIndex).toBe(22);
    expect((await open(disk)).entries.map(({ index }) => index)).toEqual(Array.from({ length: 22 }, (_, i) => i + 1));
  });

  test("bounds what is gathered", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, FIRST, { segmentBytes: 64 << 20 });
    const gate = new Gate();
    disk.before = gate.before;
    await Promise.all(Array.from({ length: 10 }, (_, i) => wal.append(batch(entries(2 + i, 1, 1, 1 << 20)))));
    // The first alone, then four times three mebibytes and a little.
    expect(gate.count("sync")).toBe(4);
    expect((await open(disk)).entries).toHaveLength(11);
  });

  test("writes a commit that nobody waits for without a sync, and the next sync covers it", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, batch(entries(1, 5, 1), state(1, 1)), SMALL);
    const gate = new Gate();
    disk.before = gate.before;
    await wal.append(batch([], state(1, 2), false));
    await wal.append(batch([], state(1, 3), false));
    expect([gate.count("write"), gate.count("sync")]).toEqual([2, 0]);
    expect((await open(disk.crash(() => 0))).hardState.commit).toBe(1);
    expect((await open(disk.crash((n) => n))).hardState.commit).toBe(3);
    await wal.append(batch([], state(2, 3, 4n)));
    expect([gate.count("write"), gate.count("sync")]).toEqual([3, 1]);
    expect((await open(disk.crash(() => 0))).hardState).toEqual(state(2, 3, 4n));
  });

  test("reports the duration of each sync", async () => {
    const durations: number[] = [];
    const disk = new MemoryDisk();
    const options = { ...SMALL, onSync: (milliseconds: number) => durations.push(milliseconds) };
    const wal = await createWal(disk, WAL, METADATA, FIRST, options);
    await wal.append(batch(entries(2, 1, 1)));
    await wal.append(batch([], state(1, 2), false));
    expect(durations).toHaveLength(1);
    expect(durations[0]).toBeGreaterThanOrEqual(0);
  });

  test.each(["write", "sync"])("rejects for good after a failed %s, touching the disk no more", async (kind) => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, FIRST, SMALL);
    const failure = new Error(`${kind} failed`);
    disk.before = (operation) => {
      if (operation.kind === kind) throw failure;
    };
    const results = await Promise.allSettled([
      wal.append(batch(entries(2, 1, 1))),
      wal.append(batch(entries(3, 1, 1))),
      wal.append(batch([], state(1, 1), false)),
    ]);
    expect(results.map((result) => result.status === "rejected" && result.reason)).toEqual([failure, failure, failure]);
    disk.before = () => undefined;
    const { operations } = disk;
    await expect(wal.append(batch(entries(2, 1, 1)))).rejects.toBe(failure);
    expect(disk.operations).toBe(operations);
    expect(wal.lastIndex).toBe(1);
    expect((await wal.read(1, 1, 100))?.entries.map(({ index }) => index)).toEqual([1]);
    await wal.close();
  });

  test("refuses what replay would refuse, and writes nothing of it", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, batch(entries(1, 3, 2), state(2, 2, 1n)), SMALL);
    const before = disk.operations;
    for (const wrong of [
      batch(entries(5, 1, 2)),
      batch(entries(2, 1, 3)),
      batch([entry(4, 2, ""), entry(6, 2, "")]),
      batch([entry(4, 3, ""), entry(5, 2, "")]),
      batch([{ ...entry(4, 2, ""), type: 1 }]),
      batch([], state(1, 2)),
      batch([], state(2, 1, 1n)),
      batch([], state(2, 2, 2n)),
      batch([], state(2, 4, 1n)),
    ]) {
      await expect(wal.append(wrong)).rejects.toThrow();
    }
    expect(disk.operations).toBe(before);
    await wal.append(batch(entries(4, 1, 2)));
    expect((await open(disk)).entries).toHaveLength(4);
  });

  test("waits for what is under way when it is closed, then takes nothing more", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, FIRST, SMALL);
    const appends = [wal.append(batch(entries(2, 1, 1, 2000))), wal.append(batch(entries(3, 1, 1)))];
    await wal.close();
    await Promise.all(appends);
    await expect(wal.append(batch(entries(4, 1, 1)))).rejects.toThrow("closed");
    expect(await disk.list(WAL)).toEqual(["0000000000000000-0000000000000000.wal"]);
    expect((await open(disk)).entries).toHaveLength(3);
  });
});

describe("segments", () => {
  test("are prepared while the one before still has room", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, FIRST, SMALL);
    await wal.append(batch(entries(2, 1, 1, 1000)));
    expect(await disk.list(WAL)).toEqual(["0000000000000000-0000000000000000.wal"]);
    await wal.append(batch(entries(3, 1, 1, 1500)));
    await turns();
    expect(await disk.list(WAL)).toContain("0.tmp");
    const gate = new Gate();
    disk.before = gate.before;
    await wal.append(batch(entries(4, 1, 1, 1500)));
    expect([gate.count("allocate"), gate.count("rename")]).toEqual([0, 1]);
    expect(await disk.list(WAL)).toContain("0000000000000001-0000000000000004.wal");
  });

  test("hold a batch that is larger than any of them", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, batch(entries(1, 1, 1, 10_000)), SMALL);
    await wal.append(batch(entries(2, 3, 1, 9_000)));
    await wal.append(batch(entries(5, 1, 1)));
    await wal.append(batch(entries(6, 1, 1, 50_000), state(1, 6)));
    const replay = await open(disk.crash(() => 0));
    expect(replay.entries.map(({ data }) => data.length)).toEqual([10_000, 9_000, 9_000, 9_000, 20, 50_000]);
    expect((await replay.wal.read(3, 6, 1e6))?.entries).toHaveLength(4);
  });

  test("may stop to cut and fail: nobody is told that it was written", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, FIRST, SMALL);
    disk.before = (operation) => {
      if (operation.kind === "allocate") throw new Error("disk full");
    };
    await wal.append(batch(entries(2, 1, 1, 3000)));
    await expect(wal.append(batch(entries(3, 1, 1, 3000)))).rejects.toThrow("disk full");
    await expect(wal.append(batch(entries(3, 1, 1)))).rejects.toThrow("disk full");
    disk.before = () => undefined;
    const replay = await open(disk);
    expect(replay.entries).toHaveLength(2);
    expect(await disk.list(WAL)).toEqual(["0000000000000000-0000000000000000.wal"]);
  });

  test("that could not be prepared are tried again, and an end before that is a clean one", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, FIRST, SMALL);
    let allocations = 0;
    const full = ({ kind }: DiskOperation): void => {
      if (kind === "allocate" && ++allocations > 0) throw new Error("disk full");
    };
    disk.before = full;
    await wal.append(batch(entries(2, 1, 1, 2500)));
    await turns();
    expect(allocations).toBe(1);
    expect(await disk.list(WAL)).toEqual(["0000000000000000-0000000000000000.wal"]);
    // Not at every append: on a full disk each attempt costs a segment of zeros.
    await wal.append(batch(entries(3, 1, 1)));
    await turns();
    expect(allocations).toBe(1);
    await wal.append(batch(entries(4, 1, 1, 300)));
    await turns();
    expect(allocations).toBe(2);
    disk.before = () => undefined;
    await wal.append(batch(entries(5, 1, 1, 3000)));
    expect(await disk.list(WAL)).toContain("0000000000000001-0000000000000005.wal");
    disk.before = full;
    await wal.append(batch(entries(6, 1, 1, 10)));
    await wal.close();
    disk.before = () => undefined;
    expect((await open(disk)).entries).toHaveLength(6);
  });

  test("of another size go on after a restart with a new size", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, FIRST, { segmentBytes: 2048 });
    await wal.append(batch(entries(2, 1, 1, 500)));
    const larger = await open(disk, { segmentBytes: 8192 });
    for (let i = 3; i < 12; i++) await larger.wal.append(batch(entries(i, 1, 1, 1000)));
    const smaller = await open(disk, { segmentBytes: 1024 });
    for (let i = 12; i < 20; i++) await smaller.wal.append(batch(entries(i, 1, 1, 300)));
    expect((await open(disk)).entries).toHaveLength(19);
  });
});

describe("createWal", () => {
  test("leaves nothing that passes for a log until all of it is there, and clears what a crash left", async () => {
    const disk = new MemoryDisk();
    disk.before = (operation) => {
      if (operation.kind === "rename") throw new Error("killed");
    };
    await expect(createWal(disk, WAL, METADATA, FIRST, SMALL)).rejects.toThrow("killed");
    disk.before = () => undefined;
    await expect(open(disk)).rejects.toThrow("no WAL");
    await createWal(disk, WAL, METADATA, batch(entries(1, 2, 1)), SMALL);
    expect((await open(disk)).entries).toHaveLength(2);
    await expect(createWal(disk, WAL, METADATA, FIRST, SMALL)).rejects.toThrow("there is a WAL");
  });
});

describe("replay", () => {
  test("gives back only what was asked for, with the entry before it", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, batch(entries(1, 5, 1), state(1, 2)), SMALL);
    await wal.append(batch(entries(4, 3, 2), state(2, 5)));
    await wal.append(batch(entries(7, 2, 3), state(3, 8)));
    for (const [before, first] of [
      [{ index: 0, term: 0 }, 1],
      [{ index: 3, term: 1 }, 4],
      [{ index: 4, term: 2 }, 5],
      [{ index: 7, term: 3 }, 8],
      [{ index: 8, term: 3 }, 9],
    ] as const) {
      const replay = await open(disk, SMALL, before);
      expect(replay.before).toEqual(before);
      expect(replay.entries.map(({ index }) => index)).toEqual(Array.from({ length: 9 - first }, (_, i) => first + i));
      expect([replay.wal.firstIndex, replay.wal.lastIndex]).toEqual([1, 8]);
    }
  });

  test("takes a replacement below what is kept, and one that is replaced again", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, batch(entries(1, 9, 1), state(1, 1)), SMALL);
    await wal.append(batch(entries(3, 2, 2), state(2, 1)));
    await expect(open(disk, SMALL, { index: 6, term: 1 })).rejects.toThrow("it ends at entry 4");
    let replay = await open(disk, SMALL, { index: 3, term: 2 });
    expect(replay.entries.map(({ index, term }) => [index, term])).toEqual([[4, 2]]);
    await replay.wal.append(batch(entries(2, 6, 3), state(3, 1)));
    replay = await open(disk, SMALL, { index: 3, term: 3 });
    expect(replay.before).toEqual({ index: 3, term: 3 });
    expect(replay.entries.map(({ index, term }) => [index, term])).toEqual([4, 5, 6, 7].map((index) => [index, 3]));
  });

  test("reports its progress to the end", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, FIRST, SMALL);
    for (let i = 2; i < 12; i++) await wal.append(batch(entries(i, 1, 1, 1000)));
    const steps: [number, number][] = [];
    await open(disk, { ...SMALL, onProgress: (done, total) => steps.push([done, total]) });
    expect(steps.length).toBeGreaterThan(2);
    const total = steps[0]?.[1] as number;
    expect(steps.at(-1)).toEqual([total, total]);
  });

  test("does not touch a log that ended cleanly, from the second time on", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, FIRST, SMALL);
    await wal.append(batch(entries(2, 1, 1)));
    const path = `${WAL}/0000000000000000-0000000000000000.wal`;
    await open(disk);
    const content = disk.peek(path);
    await open(disk);
    expect(disk.peek(path).equals(content)).toBe(true);
  });
});

describe("read", () => {
  test("gives any stretch of a log with replacements across segments, live and after a restart", async () => {
    const choose = chooser(11);
    const disk = new MemoryDisk();
    const options = { segmentBytes: 200_000 };
    const model = new Model();
    const take = (each: ReturnType<typeof batch>): typeof each => {
      for (const record of recordsOf(each)) model.apply(record);
      return each;
    };
    const wal = await createWal(disk, WAL, METADATA, take(batch(entries(1, 1, 1), state(1, 0))), options);
    let term = 1;
    for (let step = 0; step < 150; step++) {
      const last = model.entries.length;
      if (choose(4) === 0 && last > 50) {
        term++;
        const from = last - choose(49);
        await wal.append(take(batch(entries(from, 1 + choose(80), term, choose(300)), state(term, 0))));
      } else {
        await wal.append(take(batch(entries(last + 1, 1 + choose(60), term, choose(600)))));
      }
    }
    expect((await disk.list(WAL)).length).toBeGreaterThan(4);
    const last = model.entries.length;
    for (const log of [wal, (await open(disk, options, { index: last, term: model.entries.at(-1)?.term ?? 0 })).wal]) {
      for (let i = 0; i < 300; i++) {
        const from = 1 + choose(last - 1);
        const through = from + choose(last - from);
        const maxBytes = choose(3) === 0 ? 0 : choose(100_000);
        const result = await log.read(from, through, maxBytes);
        expect(result?.prevTerm).toBe(from === 1 ? 0 : model.entries[from - 2]?.term);
        const expected = fitting(model.entries.slice(from - 1, through), maxBytes);
        expect(contentOf(result?.entries)).toEqual(contentOf(expected));
      }
      const both = await Promise.all([log.read(1, last, 1e9), log.read(last, last, 0)]);
      expect(both.map((result) => result?.entries.length)).toEqual([last, 1]);
    }
  });

  test("goes on while entries are appended", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, FIRST, SMALL);
    for (let i = 2; i <= 60; i++) {
      const [, result] = await Promise.all([wal.append(batch(entries(i, 1, 1, 300))), wal.read(1, i - 1, 1e9)]);
      expect(result?.entries.map(({ index }) => index)).toEqual(Array.from({ length: i - 1 }, (_, k) => k + 1));
    }
  });

  test("refuses bytes that changed since they were written", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, batch(entries(1, 5, 1, 100)), SMALL);
    disk.poke(`${WAL}/0000000000000000-0000000000000000.wal`, (content) => {
      content[300] = (content[300] as number) ^ 1;
      return content;
    });
    await expect(wal.read(1, 5, 1e9)).rejects.toThrow(/damaged at offset/);
  });

  test("has nothing before the first entry, and does not read past the last", async () => {
    const wal = await createWal(new MemoryDisk(), WAL, METADATA, FIRST, SMALL);
    expect(await wal.read(0, 1, 10)).toBeUndefined();
    await expect(wal.read(1, 2, 10)).rejects.toThrow("read 1..2");
    const empty = await createWal(new MemoryDisk(), WAL, METADATA, batch([]), SMALL);
    expect([empty.firstIndex, empty.lastIndex]).toEqual([1, 0]);
  });
});

describe("a log that etcd cut or that begins with a snapshot", () => {
  test("starts where its first segment starts", async () => {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, FIRST, SMALL);
    for (let i = 2; i < 12; i++) await wal.append(batch(entries(i, 1, 1, 1000), state(1, i)));
    await disk.remove(`${WAL}/0000000000000000-0000000000000000.wal`);
    const replay = await open(disk, SMALL, { index: 6, term: 1 });
    const first = Number.parseInt(
      (await disk.list(WAL)).find((name) => name.endsWith(".wal"))?.slice(17, 33) ?? "",
      16,
    );
    expect(first).toBeGreaterThan(1);
    // The term of the entry before the first is gone with it.
    expect(replay.wal.firstIndex).toBe(first + 1);
    expect(await replay.wal.read(first, 9, 1e9)).toBeUndefined();
    expect((await replay.wal.read(first + 1, 11, 1e9))?.entries).toHaveLength(11 - first);
    expect(replay.entries.map(({ index }) => index)).toEqual([7, 8, 9, 10, 11]);
    expect(told({ ...replay, entries: [] })).toEqual(told({ hardState: state(1, 11), entries: [] }));
  });
});

function fitting(list: readonly Entry[], maxBytes: number): Entry[] {
  const result: Entry[] = [];
  let bytes = 0;
  for (const each of list) {
    bytes += each.data.length;
    if (result.length > 0 && bytes > maxBytes) break;
    result.push(each);
  }
  return result;
}

function contentOf(list: readonly Entry[] | undefined): unknown {
  return list?.map(({ index, term, data }) => `${index}@${term} ${Buffer.from(data).toString("latin1")}`);
}
