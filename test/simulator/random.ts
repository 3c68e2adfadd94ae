/**
 * Chance from a seed (sfc32). `split` gives a stream of its own by name: what one part of the simulator draws never
 * changes what another part gets, so a fault that is switched off leaves the rest of the run as it was.
 */
export class Random {
  readonly #name: string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(name: string) {
    this.#name = name;
    const seed = hashText(name);
    this.#a = seed ^ 0x9e3779b9;
    this.#b = hashText(`${name}/b`) ^ seed;
    this.#c = hashText(`c/${name}`);
    for (let i = 0; i < 12; i++) this.uint32();
  }

  split(name: string): Random {
    return new Random(`${this.#name}/${name}`);
  }

  uint32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
    return t >>> 0;
  }

  /** In [0, 1). */
  fraction(): number {
    return this.uint32() / 4_294_967_296;
  }

  /** An integer in [0, n), n <= 2^48. */
  below(n: number): number {
    if (n <= 4_294_967_296) return Math.floor(this.fraction() * n);
    return Math.floor((this.uint32() * 65_536 + (this.uint32() >>> 16)) / (2 ** 48 / n));
  }

  /** An integer in [from, to]. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  real(from: number, to: number): number {
    return from + this.fraction() * (to - from);
  }

  /** Over orders of magnitude: as often between 1 and 10 as between 10 and 100. */
  logReal(from: number, to: number): number {
    return Math.exp(this.real(Math.log(from), Math.log(to)));
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error(`${this.#name}: nothing to pick from`);
    return item;
  }

  /** By weight; entries of weight 0 are never picked. */
  weighted<T>(items: readonly (readonly [weight: number, item: T])[]): T {
    let at = this.fraction() * items.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, item] of items) {
      if (weight > 0 && at < weight) return item;
      at -= weight;
    }
    return this.pick(items.filter(([weight]) => weight > 0))[1];
  }

  shuffled<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const swap = result[i] as T;
      result[i] = result[j] as T;
      result[j] = swap;
    }
    return result;
  }
}

function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return (hash ^ (hash >>> 16)) >>> 0;
}
