import { describe, expect, test } from "vitest";
import { KEY_BYTES, keyOf, numberIn, problemOf, valueFor, writeKey, writeValue } from "../../bench/values.ts";

const NUMBERS = [0, 9, 10, 511, 512, 65_535, 2 ** 31 - 1, 2 ** 31, 9_999_999_999, 999_999_999_999];

describe("values", () => {
  test.each(NUMBERS)("say their key and the number %i", (number) => {
    const index = number % 10_000_000_000;
    const value = valueFor(index, number, 256);
    expect(value.toString("latin1", 0, KEY_BYTES)).toBe(keyOf(index));
    expect(value.toString("latin1", KEY_BYTES, KEY_BYTES + 12)).toBe(String(number).padStart(12, "0"));
    expect(numberIn(value, 0)).toBe(number);
    expect(problemOf(value, index, 256)).toBeUndefined();
  });

  test("are written over others, of other lengths too", () => {
    const out = Buffer.alloc(200_100);
    for (const bytes of [60, 256, 60, 900, 200_000]) {
      valueFor(1, 2, bytes).copy(out, 7);
      writeValue(out, 7, bytes, 3, 4);
      expect(out.subarray(7, 7 + bytes).equals(valueFor(3, 4, bytes))).toBe(true);
    }
    writeKey(out, 7, 2 ** 31);
    expect(out.toString("latin1", 7, 7 + KEY_BYTES)).toBe("bench/2147483648");
  });

  test("that are alike in nothing but their prefix: hundreds in a row", () => {
    const fills = Array.from({ length: 512 }, (_, number) => valueFor(0, number, 256).toString("hex", KEY_BYTES + 12));
    expect(new Set(fills.flatMap((fill) => fill.match(/.{16}/g) ?? [])).size).toBe(512 * 28);
  });

  test("of another key, another length, or with one octet changed, are nobody's", () => {
    const value = valueFor(5, 6, 256);
    expect(problemOf(value, 4, 256)).toContain("nobody wrote");
    expect(problemOf(value, 5, 255)).toContain("nobody wrote");
    for (const at of [0, 10, KEY_BYTES, KEY_BYTES + 12, 255]) {
      const other = Buffer.from(value);
      other[at] = ((other[at] as number) + 1) & 255;
      expect(problemOf(other, 5, 256)).toContain("nobody wrote");
    }
  });
});
