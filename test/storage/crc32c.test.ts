import { expect, test } from "vitest";
import { crc32c, oneByteApart } from "../../storage/crc32c.ts";
import { chooser } from "./wal-fixtures.ts";

/** The definition, bit by bit. */
function slow(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

test("gives the values of RFC 3720 and of an empty key bucket", () => {
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
  expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  expect(crc32c(Buffer.from("key"))).toBe(1084519789);
});

test("equals the definition for every length and alignment", () => {
  const choose = chooser(1);
  const bytes = Uint8Array.from({ length: 700 }, () => choose(255));
  for (let start = 0; start < 9; start++) {
    for (let length = 0; length < 600; length += length < 300 ? 1 : 37) {
      const part = bytes.subarray(start, start + length);
      expect(crc32c(part, 0x12345678)).toBe(slow(part, 0x12345678));
    }
  }
});

test("chains: the checksum of one part is the seed of the next", () => {
  const choose = chooser(2);
  const bytes = Uint8Array.from({ length: 1000 }, () => choose(255));
  for (const cut of [0, 1, 7, 128, 129, 500, 999, 1000]) {
    expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(crc32c(bytes));
  }
});

test("finds the one byte that changed, and none where two did", () => {
  const choose = chooser(3);
  const bytes = Uint8Array.from({ length: 300 }, () => choose(255));
  const before = crc32c(bytes);
  for (let at = 0; at < bytes.length; at++) {
    const xor = 1 + choose(254);
    bytes[at] = (bytes[at] as number) ^ xor;
    expect(oneByteApart(before, crc32c(bytes), bytes.length)).toEqual({ fromEnd: bytes.length - at, xor });
    bytes[at] = (bytes[at] as number) ^ xor;
  }
  bytes[10] = (bytes[10] as number) ^ 0x55;
  bytes[200] = (bytes[200] as number) ^ 0x66;
  expect(oneByteApart(before, crc32c(bytes), bytes.length)).toBeUndefined();
  expect(oneByteApart(before, before, bytes.length)).toBeUndefined();
});
