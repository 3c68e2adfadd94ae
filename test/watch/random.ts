/** Integers in [0, n), the same for the same seed (xorshift). */
export function random(seed: number): (n: number) => number {
  let state = (seed * 2_654_435_761 + 1) >>> 0 || 1;
  return (n) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % n;
  };
}
