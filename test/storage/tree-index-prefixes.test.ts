import { describe, expect, test } from "vitest";
import { TreeIndex } from "../../storage/mvcc/tree-index.ts";
import { createRandom, type Random } from "./random.ts";

/**
 * A node orders its keys by a few bytes behind what they share. These trees hold what such a node could get wrong: keys
 * that end inside or right behind the shared bytes, that differ only far behind them, that are padded with \0 or \xff,
 * and keys that come later and share less than all before them.
 */

/** Bytes whose order a signed, a cut or a padded comparison gets wrong. */
const BYTES = ["\0", "\x01", "a", "b", "\x7f", "\x80", "\xfe", "\xff"];

/** A tree and the same pairs in a sorted array. */
class Compared {
  readonly tree = new TreeIndex<number>();
  readonly keys: string[] = [];
  readonly #values = new Map<string, number>();
  #last = 0;

  put(key: string): void {
    const value = ++this.#last;
    const before = this.#values.get(key);
    let seen: number | undefined;
    this.tree.update(key, (found) => {
      seen = found;
      return value;
    });
    agree(key, seen, before);
    if (before === undefined) this.keys.splice(this.#position(key), 0, key);
    this.#values.set(key, value);
    agree("size", this.tree.size, this.keys.length);
  }

  delete(key: string): void {
    const isThere = this.#values.delete(key);
    agree(key, this.tree.delete(key), isThere);
    if (isThere) this.keys.splice(this.#position(key), 1);
    agree("size", this.tree.size, this.keys.length);
  }

  /** The whole tree, and look-ups and visits at keys that need not be in it. */
  check(sought: readonly string[]): void {
    for (const key of this.keys) agree(key, this.tree.get(key), this.#values.get(key));
    this.#checkVisit("", undefined);
    for (const [i, from] of sought.entries()) {
      agree(from, this.tree.get(from), this.#values.get(from));
      this.#checkVisit(from, undefined);
      this.#checkVisit(from, sought[(i + 1) % sought.length] as string);
    }
  }

  #checkVisit(from: string, to: string | undefined): void {
    let at = this.#position(from);
    const end = to === undefined ? this.keys.length : Math.max(at, this.#position(to));
    this.tree.visit(from, to, (key, value) => {
      agree("visited", key, this.keys[at++]);
      agree(key, value, this.#values.get(key));
      return true;
    });
    agree("visited", at, end);
  }

  #position(key: string): number {
    let at = 0;
    for (let step = 1 << 20; step > 0; step >>>= 1) {
      const before = this.keys[at + step - 1];
      if (before !== undefined && before < key) at += step;
    }
    return at;
  }
}

/** expect() is too slow to be asked millions of times. */
function agree(what: string, found: unknown, expected: unknown): void {
  if (found !== expected) expect(found, JSON.stringify(what)).toBe(expected);
}

function bytes(random: Random, length: number): string {
  return Array.from({ length }, () => random.pick(BYTES)).join("");
}

/** Shares up to all of `stem`; what follows is short, or long with its difference at its end. */
function keyNear(stem: string, shared: number, random: Random): string {
  const filler = random.chance(0.3) ? random.pick(BYTES).repeat(random.below(9)) : "";
  return stem.slice(0, shared) + filler + bytes(random, random.below(5));
}

function someKeys(stem: string, random: Random): string[] {
  const near = Array.from({ length: 12 }, () => keyNear(stem, random.below(stem.length + 1), random));
  return ["", "\0", "\xff".repeat(80), stem, `${stem}\0`, `${stem}\xff\xff\xff\xff\xff`, stem.slice(0, -1), ...near];
}

describe("tree index: keys with common prefixes", () => {
  test.each([0, 1, 2, 3, 4, 5, 8, 31, 64])("behind %i bytes that all share, then fewer and fewer", (length) => {
    const random = createRandom(length + 1);
    const stem = bytes(random, length);
    const compared = new Compared();
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 2_500; i++) compared.put(keyNear(stem, length, random));
      compared.check(someKeys(stem, random));
      for (let shared = length; shared >= 0; shared--) {
        compared.put(stem.slice(0, shared) + bytes(random, 3));
        compared.put(stem.slice(0, shared));
        if (shared % 8 === 0) compared.check(someKeys(stem, random));
      }
      for (let i = 0; i < 2_500; i++) compared.put(keyNear(stem, random.below(length + 1), random));
      compared.check(someKeys(stem, random));
      while (compared.keys.length > (round === 0 ? 3 : 0)) {
        for (let i = 0; i < 600 && compared.keys.length > 0; i++) compared.delete(random.pick(compared.keys));
        compared.check(someKeys(stem, random));
      }
    }
    for (let i = 0; i < 300; i++) compared.put(keyNear("elsewhere", 9, random));
    compared.check(someKeys("elsewhere", random));
  });

  test.each([1, 2, 3])("several stems grow and shrink by turns (seed %i)", (seed) => {
    const random = createRandom(seed);
    const stems = Array.from({ length: 4 }, () => bytes(random, random.below(40)));
    const compared = new Compared();
    for (let phase = 0; phase < 10; phase++) {
      const stem = random.pick(stems);
      const grows = phase % 3 !== 2;
      for (let i = 0; i < 1_200; i++) {
        if (random.chance(grows ? 0.85 : 0.1)) compared.put(keyNear(stem, stem.length, random));
        else if (compared.keys.length > 0 && random.chance(0.9)) compared.delete(random.pick(compared.keys));
        else compared.delete(keyNear(stem, random.below(stem.length + 1), random));
      }
      compared.check(someKeys(stem, random));
    }
  });

  test.each(["ascending", "descending"])("numbers of all widths, in %s order of insertion", (order) => {
    const random = createRandom(11);
    const compared = new Compared();
    const keys = Array.from({ length: 3_000 }, (_, i) => `/a/long/directory/${i}`);
    if (order === "descending") keys.reverse();
    for (const key of keys) compared.put(key);
    compared.check(someKeys("/a/long/directory/1", random));
    for (const key of keys.slice(0, 2_900)) compared.delete(key);
    compared.check(someKeys("/a/long/directory/2", random));
  });

  test("runs of one byte, each a prefix of the next", () => {
    const random = createRandom(5);
    const compared = new Compared();
    for (let n = 0; n < 150; n++) {
      for (const byte of BYTES) {
        compared.put(byte.repeat(n));
        compared.put(`${byte.repeat(n)}${random.pick(BYTES)}`);
      }
    }
    compared.check(BYTES.flatMap((byte) => [byte, byte.repeat(70), byte.repeat(149), byte.repeat(200)]));
    for (let n = 149; n >= 0; n -= 2) for (const byte of BYTES) compared.delete(byte.repeat(n));
    compared.check(BYTES.flatMap((byte) => [byte.repeat(3), byte.repeat(71), byte.repeat(149)]));
  });
});
