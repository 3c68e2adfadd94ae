import { expect, test } from "vitest";
import { encode } from "../../proto/codec.ts";
import * as walpb from "../../proto/generated/walpb.ts";
import { createWal } from "../../storage/wal-log.ts";
import { parseFrame, RecordWriter } from "../../storage/wal-record.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { batch, entries, entry, METADATA, open, SMALL, state, told, WAL } from "./wal-fixtures.ts";

/** The first records of a log that etcd 3.5.30 wrote (one member, `put a b`), as they lie in its file. */
const BY_ETCD = Buffer.from(
  `0400000000000084 0804100000000000
   1f00000000000081 080110a4cd85fc0b1a1508eef9b680c8e185940610e387bcb2dbf2a5deba0100
   0e00000000000082 080510dea8dae5081a04080010000000
   7200000000000086 0802108c99e7ce081a6808011001180122600800100018eef9b680c8e185940622507b226964223a34343336323939303537353134323432
   33382c227065657255524c73223a5b22687474703a2f2f3132372e302e302e313a3332333830225d2c226e616d65223a2264656661756c74227d000000000000
   1000000000000000 0803 1090d8f6cc021a06080110001801
   1000000000000000 0802 10ffeeebaa0d1a06080010021802
   1800000000000000 0803 10d8c09c960c1a0e080210eef9b680c8e18594061802`.replaceAll(/\s/g, ""),
  "hex",
);

test("writes what etcd writes", () => {
  const nodeID = 443629905751424238n;
  const records = [...frames(BY_ETCD)];
  expect(records.map(({ type }) => type)).toEqual([4, 1, 5, 2, 3, 2, 3]);

  const again = new RecordWriter(0);
  again.seed();
  again.metadata(records[1]?.data ?? Buffer.alloc(0));
  again.snapshot(encode(walpb.Snapshot, walpb.Snapshot.create()));
  again.entry({ type: 1, term: 1, index: 1, data: (records[3]?.data ?? Buffer.alloc(0)).subarray(8) });
  again.hardState(state(1, 1));
  again.entry(entry(2, 2, ""));
  again.hardState(state(2, 2, nodeID));
  expect(again.bytes.toString("hex")).toBe(BY_ETCD.toString("hex"));
});

test("lays a first segment and a batch out byte by byte", async () => {
  const disk = new MemoryDisk();
  const wal = await createWal(disk, WAL, METADATA, batch([entry(1, 1, "hello")], state(1, 1)), SMALL);
  const path = `${WAL}/0000000000000000-0000000000000000.wal`;
  const before = disk.peek(path);
  expect(before.length).toBe(4096);
  expect([...frames(before)].map(({ type }) => type)).toEqual([4, 1, 5, 2, 3, 4]);
  const end = [...frames(before)].at(-1)?.end ?? 0;
  const crc = [...frames(before)].at(-1)?.crc ?? 0;

  // The log ends with a mark, so this batch brings none; the next one does.
  await wal.append(batch([entry(2, 1, "x")]));
  await wal.append(batch([], state(1, 2), false));
  const second = Buffer.from("0800100118022201 78".replaceAll(" ", ""), "hex");
  const crc2 = chained(second, crc);
  const third = Buffer.from("080110001802", "hex");
  const crc3 = chained(third, crc2);
  const expected = Buffer.concat([
    frame(`0802 10${varint(crc2)} 1a09 ${second.toString("hex")}`),
    frame(`0804 10${varint(crc2)}`),
    frame(`0803 10${varint(crc3)} 1a06 ${third.toString("hex")}`),
  ]);
  expect(
    disk
      .peek(path)
      .subarray(end, end + expected.length)
      .toString("hex"),
  ).toBe(expected.toString("hex"));
  expect(
    disk
      .peek(path)
      .subarray(end + expected.length)
      .some((byte) => byte !== 0),
  ).toBe(false);
});

test("begins a segment with seed, metadata, hard state and mark", async () => {
  const disk = new MemoryDisk();
  const wal = await createWal(disk, WAL, METADATA, batch([], state(3, 0, 9n)), SMALL);
  for (let i = 1; i <= 10; i++) await wal.append(batch(entries(i, 1, 3, 1000)));
  const names = await disk.list(WAL);
  expect(names).toEqual(
    [
      "0.tmp",
      "0000000000000000-0000000000000000.wal",
      "0000000000000001-0000000000000004.wal",
      "0000000000000002-0000000000000007.wal",
      "0000000000000003-000000000000000a.wal",
    ].filter((name) => names.includes(name)),
  );
  expect(names.length).toBeGreaterThanOrEqual(4);
  let crc = 0;
  for (const name of names.filter((n) => n.endsWith(".wal"))) {
    const found = [...frames(disk.peek(`${WAL}/${name}`))];
    expect(found[0]).toMatchObject({ type: 4, crc });
    if (!name.startsWith("0000000000000000-")) expect(found.slice(0, 4).map(({ type }) => type)).toEqual([4, 1, 3, 4]);
    crc = found.at(-1)?.crc ?? 0;
  }
});

test("keeps data and terms of all types through a restart", async () => {
  const disk = new MemoryDisk();
  const all = [entry(1, 1, ""), { ...entry(2, 1, "conf"), type: 1 as const }, entry(3, 2 ** 40, Buffer.alloc(3000, 7))];
  const hardState = state(2 ** 40, 3, 0xffff_ffff_ffff_fffen);
  await createWal(disk, WAL, METADATA, batch(all, hardState), SMALL);
  const replay = await open(disk);
  expect(told(replay)).toEqual(told({ entries: all, hardState }));
  expect(replay.wal.metadata).toEqual(METADATA);
  expect(replay.start).toEqual({ index: 0, term: 0 });
});

function* frames(bytes: Buffer): Generator<{ type: number; crc: number; data: Buffer; end: number }> {
  for (let at = 0; at < bytes.length; ) {
    const found = parseFrame(bytes, at, bytes.length);
    if (found.kind === "end") return;
    if (found.kind !== "record") throw new Error(JSON.stringify(found));
    yield { ...found, data: bytes.subarray(found.dataStart, found.dataEnd) };
    at = found.end;
  }
}

/** By hand: 8 bytes of length, the record, zeros up to 8. */
function frame(hex: string): Buffer {
  const record = Buffer.from(hex.replaceAll(" ", ""), "hex");
  const padding = (8 - (record.length % 8)) % 8;
  const length = Buffer.alloc(8);
  length.writeUInt32LE(record.length);
  length[7] = padding === 0 ? 0 : 0x80 | padding;
  return Buffer.concat([length, record, Buffer.alloc(padding)]);
}

function chained(bytes: Uint8Array, seed: number): number {
  let crc = ~seed;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

function varint(value: number): string {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]).toString("hex");
}
