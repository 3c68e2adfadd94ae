/** A reproducible source of chance: the same seed draws the same numbers. */
export interface Random {
  /** An integer in [0, n). */
  below(n: number): number;
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const below = (n: number) => Math.floor((next() / 0x1_0000_0000) * n);
  return {
    below,
    chance: (probability) => next() / 0x1_0000_0000 < probability,
    pick: (items) => items[below(items.length)] as (typeof items)[number],
  };
}
