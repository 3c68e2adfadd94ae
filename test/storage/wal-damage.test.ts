import { describe, expect, test } from "vitest";
import type { Entry, HardState } from "../../raft/types.ts";
import type { WalReplay } from "../../storage/wal.ts";
import { WalDamagedError } from "../../storage/wal.ts";
import { createWal } from "../../storage/wal-log.ts";
import { parseFrame } from "../../storage/wal-record.ts";
import { MemoryDisk, SECTOR_BYTES } from "./memory-disk.ts";
import { batch, entries, entry, METADATA, Model, open, recordsOf, SMALL, state, told, WAL } from "./wal-fixtures.ts";

interface Built {
  readonly disk: MemoryDisk;
  readonly model: Model;
  /** Last segment. */
  readonly path: string;
  readonly content: Buffer;
  readonly records: readonly { readonly start: number; readonly end: number; readonly type: number }[];
}

/** A log of several batches; `last` is the last one. */
async function build(last: { entries: Entry[]; hardState: HardState | undefined }, filler = 0): Promise<Built> {
  const disk = new MemoryDisk();
  const model = new Model();
  const batches = [
    batch(entries(1, 3, 1), state(1, 3)),
    batch([entry(4, 2, Buffer.alloc(1300)), entry(5, 2, "")], state(2, 3, 7n)),
    batch([entry(6, 2, Buffer.alloc(filler, 0xab))]),
    batch([], state(2, 6, 7n), false),
    batch(last.entries, last.hardState),
  ];
  const wal = await createWal(disk, WAL, METADATA, batches[0] as (typeof batches)[0], SMALL);
  for (const later of batches.slice(1)) await wal.append(later);
  for (const each of batches) for (const record of recordsOf(each)) model.apply(record);
  const path = `${WAL}/${(await disk.list(WAL)).filter((name) => name.endsWith(".wal")).at(-1)}`;
  const content = disk.peek(path);
  return { disk, model, path, content, records: recordsIn(content) };
}

function recordsIn(content: Buffer): { start: number; end: number; type: number }[] {
  const records: { start: number; end: number; type: number }[] = [];
  for (let at = 0; ; ) {
    const frame = parseFrame(content, at, content.length);
    if (frame.kind !== "record") return records;
    records.push({ start: at, end: frame.end, type: frame.type });
    at = frame.end;
  }
}

/** What opening the log comes to after its last segment was changed; the disk is as before afterwards. */
async function attempt(
  { disk, path, content }: Built,
  changed: Buffer,
): Promise<{ kind: "refused"; error: WalDamagedError } | { kind: "opened"; replay: WalReplay }> {
  disk.poke(path, () => changed);
  try {
    const replay = await open(disk);
    await checkUsable(disk, replay);
    return { kind: "opened", replay };
  } catch (error) {
    if (!(error instanceof WalDamagedError)) throw error;
    expect(disk.peek(path).equals(changed)).toBe(true);
    return { kind: "refused", error };
  } finally {
    disk.poke(path, () => Buffer.from(content));
  }
}

/** The log goes on where it ended, and what is written then is found again behind what was there. */
async function checkUsable(disk: MemoryDisk, { wal, entries: found, hardState }: WalReplay): Promise<void> {
  const survivor = disk.crash(() => 0);
  const again = await open(survivor);
  expect(told(again)).toEqual(told({ entries: found, hardState }));
  expect(again.tornBytes).toBe(0);
  if (found.length > 0) expect((await again.wal.read(1, found.length, 1e9))?.entries).toHaveLength(found.length);
  const next = entry(wal.lastIndex + 1, 9, "next");
  await again.wal.append(batch([next]));
  const third = await open(survivor.crash(() => 0));
  expect(told(third)).toEqual(
    told({ entries: [...found, next], hardState: { term: 9, vote: 0n, commit: hardState.commit } }),
  );
}

const LASTS: readonly [string, { entries: Entry[]; hardState: HardState | undefined }][] = [
  ["a hard state", { entries: entries(7, 2, 3), hardState: state(3, 7, 1n) }],
  ["a small entry", { entries: [entry(7, 3, "value")], hardState: undefined }],
  ["an empty entry", { entries: [entry(7, 3, "")], hardState: undefined }],
  ["an entry over sectors", { entries: [entry(7, 3, Buffer.alloc(1200, "content"))], hardState: undefined }],
  [
    "an entry with sectors of zeros",
    {
      entries: [entry(7, 3, Buffer.concat([Buffer.from("a"), Buffer.alloc(1500), Buffer.from("z")]))],
      hardState: undefined,
    },
  ],
  ["an entry that ends in zeros", { entries: [entry(7, 3, Buffer.alloc(700))], hardState: undefined }],
];

describe.each(LASTS)("with %s at the end", (name, last) => {
  test("a log cut at every byte of its last record loses that record and nothing else", async () => {
    const built = await build(last);
    const { start, end } = built.records.at(-1) as { start: number; end: number };
    const shorter = modelWithoutLast(last);
    for (let at = start; at < end; at++) {
      const result = await attempt(built, built.content.subarray(0, at));
      if (result.kind === "refused") throw result.error;
      expect(told(result.replay)).toEqual(shorter.told());
      expect(result.replay.tornBytes, `cut at ${at - start}`).toBe(contentBytes(built.content.subarray(start, at)));
    }
  });

  test("a log that is zero from any byte of its last record on loses that record and nothing else", async () => {
    const built = await build(last);
    const { start, end } = built.records.at(-1) as { start: number; end: number };
    const contentEnd = start + contentBytes(built.content.subarray(start, end));
    const shorter = modelWithoutLast(last);
    for (let at = start; at <= end; at++) {
      const changed = Buffer.from(built.content);
      const lost = changed.subarray(at, contentEnd).filter((byte) => byte !== 0).length;
      changed.fill(0, at);
      const result = await attempt(built, changed);
      // One byte that became zero is a changed byte.
      if (lost === 1) {
        if (result.kind === "opened") expect(told(result.replay)).toEqual(built.model.told());
      } else if (result.kind === "refused") throw result.error;
      else expect(told(result.replay)).toEqual((lost === 0 ? built.model : shorter).told());
    }
  });

  test("a byte changed in any record is refused, and nothing is touched", async () => {
    const built = await build(last);
    const end = (built.records.at(-1) as { end: number }).end;
    let mended = 0;
    // What comes before the last batch is the same in all of these logs.
    const isFirst = name === LASTS[0]?.[0];
    const start = isFirst ? 0 : (built.records.filter(({ type }) => type === 4).at(-1) as { start: number }).start;
    for (let at = start; at < end; at++) {
      for (const xor of new Set([...(isFirst ? [1, 8, 0xff] : [0x80]), built.content[at] as number])) {
        if (xor === 0) continue;
        const changed = Buffer.from(built.content);
        changed[at] = (changed[at] as number) ^ xor;
        const result = await attempt(built, changed);
        if (result.kind === "refused") {
          expect(result.error.message).toContain(built.path);
          expect(result.error.message).toMatch(/damaged at offset \d+ \(record \d+\): .*The log was not changed/);
          continue;
        }
        // Only where the rest tells what the byte was.
        expect(told(result.replay)).toEqual(built.model.told());
        mended++;
      }
    }
    expect(mended).toBeLessThan(3);
  });

  test("a byte changed behind the end is refused or cleared, and nothing is lost", async () => {
    const built = await build(last);
    const end = (built.records.at(-1) as { end: number }).end;
    for (let at = end; at < built.content.length; at += at < end + SECTOR_BYTES ? 1 : 61) {
      const changed = Buffer.from(built.content);
      changed[at] = 0x10;
      const result = await attempt(built, changed);
      if (result.kind === "opened") expect(told(result.replay)).toEqual(built.model.told());
      else expect(Math.floor(at / SECTOR_BYTES)).toBe(Math.floor(end / SECTOR_BYTES));
    }
  });

  function modelWithoutLast(of: { entries: Entry[]; hardState: HardState | undefined }): Model {
    const model = new Model();
    const all = [
      ...recordsOf(batch(entries(1, 3, 1), state(1, 3))),
      ...recordsOf(batch([entry(4, 2, Buffer.alloc(1300)), entry(5, 2, "")], state(2, 3, 7n))),
      ...recordsOf(batch([entry(6, 2, "")])),
      state(2, 6, 7n),
      ...recordsOf(batch(of.entries, of.hardState)).slice(0, -1),
    ];
    for (const record of all) model.apply(record);
    return model;
  }
});

test("wherever the tail begins in its sector, a lost sector never loses what was synced or refuses the log", async () => {
  let restored = 0;
  for (let filler = 0; filler < 1024; filler += 8) {
    const built = await build({ entries: entries(7, 4, 3, 150), hardState: state(3, 7) }, filler);
    const { start } = lastTail(built);
    const sectors = sectorsBetween(start, built.content.length);
    for (let lost = 1; lost < 1 << Math.min(sectors.length, 4); lost++) {
      const changed = Buffer.from(built.content);
      for (const [i, sector] of sectors.entries()) {
        if (lost & (1 << i)) changed.fill(0, Math.max(sector, start), sector + SECTOR_BYTES);
      }
      const result = await attempt(built, changed);
      if (result.kind === "refused") throw result.error;
      const { entries: found, hardState } = result.replay;
      expect(found.length).toBeGreaterThanOrEqual(6);
      expect(told(result.replay)).toEqual(prefixOf(built.model, found.length, hardState));
      // Of the first sector only the eight bytes of a length are the tail's: the rest tells what they were.
      if (start % SECTOR_BYTES !== 504 || lost !== 1) continue;
      expect(told(result.replay)).toEqual(built.model.told());
      restored++;
    }
  }
  expect(restored).toBeGreaterThan(0);
});

test("a sector that lost the one byte of a record that was in it is restored", async () => {
  const buildOf = (bytes: number): Promise<Built> =>
    build({ entries: [entry(7, 3, Buffer.alloc(bytes, "q"))], hardState: undefined });
  const endOf = ({ content }: Built): number => contentBytes(content);
  const missing = SECTOR_BYTES - ((endOf(await buildOf(900)) - 1) % SECTOR_BYTES);
  const built = await buildOf(900 + missing);
  expect((endOf(built) - 1) % SECTOR_BYTES).toBe(0);
  const changed = Buffer.from(built.content);
  changed[endOf(built) - 1] = 0;
  const result = await attempt(built, changed);
  if (result.kind === "refused") throw result.error;
  expect(told(result.replay)).toEqual(built.model.told());
});

test("a sector lost before the tail is refused, wherever it is", async () => {
  const built = await build({ entries: entries(7, 4, 3, 150), hardState: state(3, 7) });
  const { start } = lastTail(built);
  expect(start).toBeGreaterThan(4 * SECTOR_BYTES - 400);
  for (const sector of sectorsBetween(0, start)) {
    const changed = Buffer.from(built.content);
    changed.fill(0, sector, Math.min(sector + SECTOR_BYTES, start));
    if (changed.equals(built.content)) continue;
    expect((await attempt(built, changed)).kind).toBe("refused");
  }
});

/** Where the tail began: the mark before the commit that was not synced, which the last batch followed. */
function lastTail({ records }: Built): { readonly start: number } {
  expect(records.slice(-7).map(({ type }) => type)).toEqual([4, 3, 2, 2, 2, 2, 3]);
  return records.at(-7) as { start: number };
}

test("a byte changed in the mark that a log ends with is refused", async () => {
  for (let bytes = 0; bytes < 8; bytes++) {
    const disk = new MemoryDisk();
    await createWal(disk, WAL, METADATA, batch([entry(1, 1, Buffer.alloc(bytes, "m"))], state(1, 1)), SMALL);
    const path = `${WAL}/0000000000000000-0000000000000000.wal`;
    const content = disk.peek(path);
    const { start, end, type } = recordsIn(content).at(-1) as { start: number; end: number; type: number };
    expect(type).toBe(4);
    for (let at = start; at < end; at++) {
      for (const xor of [0x40, content[at] as number]) {
        if (xor === 0) continue;
        disk.poke(path, () => content.map((byte, i) => (i === at ? byte ^ xor : byte)) as Buffer);
        await expect(open(disk)).rejects.toThrow(WalDamagedError);
      }
    }
  }
});

test("garbage in place of a record is refused; sectors of it far behind the end are cleared", async () => {
  const built = await build({ entries: entries(7, 2, 3), hardState: undefined });
  const end = (built.records.at(-1) as { end: number }).end;
  const near = Buffer.from(built.content);
  near.fill(0x5a, end, end + 300);
  expect((await attempt(built, near)).kind).toBe("refused");
  const far = Buffer.from(built.content);
  far.fill(0x5a, end - (end % SECTOR_BYTES) + SECTOR_BYTES);
  const result = await attempt(built, far);
  if (result.kind === "refused") throw result.error;
  expect(told(result.replay)).toEqual(built.model.told());
  expect(result.replay.tornBytes).toBe(far.length - end);
});

describe("of several segments", () => {
  async function segments(): Promise<{ disk: MemoryDisk; paths: string[] }> {
    const disk = new MemoryDisk();
    const wal = await createWal(disk, WAL, METADATA, batch(entries(1, 1, 1), state(1, 1)), SMALL);
    for (let i = 2; i <= 12; i++) await wal.append(batch(entries(i, 1, 1, 900), state(1, i)));
    await wal.close();
    const paths = (await disk.list(WAL)).filter((name) => name.endsWith(".wal")).map((name) => `${WAL}/${name}`);
    expect(paths.length).toBeGreaterThan(2);
    return { disk, paths };
  }

  test("a byte changed, a cut, or a zero tail in one that is not the last is refused", async () => {
    const { disk, paths } = await segments();
    const path = paths[1] as string;
    const content = disk.peek(path);
    const end = recordsIn(content).at(-1)?.end ?? 0;
    const changes: Buffer[] = [];
    for (let at = 0; at < content.length; at += 3) {
      const changed = Buffer.from(content);
      changed[at] = (changed[at] as number) ^ 0x20;
      changes.push(changed);
      if (at < end - 8)
        changes.push(
          content.subarray(0, at),
          Buffer.concat([content.subarray(0, at), Buffer.alloc(content.length - at)]),
        );
    }
    for (const changed of changes) {
      if (changed.equals(content)) continue;
      disk.poke(path, () => Buffer.from(changed));
      await expect(open(disk)).rejects.toThrow(WalDamagedError);
      expect(disk.peek(path).equals(changed)).toBe(true);
    }
  });

  test("a missing, an empty or a headless one is refused", async () => {
    const { disk, paths } = await segments();
    const last = paths.at(-1) as string;
    const content = disk.peek(last);
    for (const changed of [Buffer.alloc(0), Buffer.alloc(content.length), content.subarray(0, 20)]) {
      disk.poke(last, () => Buffer.from(changed));
      await expect(open(disk)).rejects.toThrow(/damaged at offset \d+ \(record [01]\)/);
    }
    disk.poke(last, () => content);
    await disk.remove(paths[1] as string);
    await expect(open(disk)).rejects.toThrow(/but not exactly what belongs between them/);
  });

  test("one of another log is refused", async () => {
    const { disk, paths } = await segments();
    const other = new MemoryDisk();
    const wal = await createWal(other, WAL, { ...METADATA, nodeID: 5n }, batch(entries(1, 1, 1), state(1, 1)), SMALL);
    for (let i = 2; i <= 12; i++) await wal.append(batch(entries(i, 1, 1, 900), state(1, i)));
    disk.poke(paths[1] as string, () => other.peek(paths[1] as string));
    await expect(open(disk)).rejects.toThrow(WalDamagedError);
  });
});

function prefixOf(model: Model, count: number, hardState: HardState): unknown {
  const prefix = new Model();
  prefix.entries = model.entries.slice(0, count);
  prefix.hardState = hardState;
  return prefix.told();
}

function contentBytes(bytes: Buffer): number {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return length;
}

function sectorsBetween(start: number, end: number): number[] {
  const sectors: number[] = [];
  for (let at = start - (start % SECTOR_BYTES); at < end; at += SECTOR_BYTES) sectors.push(at);
  return sectors;
}
