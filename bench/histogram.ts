/**
 * Latencies in bounded memory: a bucket for each of the first 256 microseconds, then 128 to every doubling, so what it
 * tells is never below the true value and above it by less than one part in 128. The largest is kept exactly.
 */
const HALF = 128;
const EXACT = 2 * HALF;
/** 2^32 microseconds are more than an hour; what takes longer counts as that. */
const BUCKETS = EXACT + (32 - 8) * HALF;
const LIMIT_US = 2 ** 32 - 1;

/** By how much a quantile may be above the value that it stands for. */
export const RELATIVE_ERROR = 1 / HALF;

export interface Spread {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #max = 0;

  get count(): number {
    return this.#count;
  }

  record(microseconds: number): void {
    const value = Math.min(Math.max(0, Math.ceil(microseconds)), LIMIT_US);
    const bucket = bucketOf(value);
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    this.#count++;
    if (value > this.#max) this.#max = value;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#count = 0;
    this.#max = 0;
  }

  /** The value that this share of all does not exceed; 0 when there is none. */
  quantile(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket] as number;
      if (seen >= rank) return Math.min(highestOf(bucket), this.#max);
    }
    return this.#max;
  }

  spread(): Spread {
    return { count: this.#count, p50: this.quantile(0.5), p99: this.quantile(0.99), max: this.#max };
  }
}

function bucketOf(value: number): number {
  if (value < EXACT) return value;
  const shift = 24 - Math.clz32(value);
  return EXACT + (shift - 1) * HALF + (value >>> shift) - HALF;
}

function highestOf(bucket: number): number {
  if (bucket < EXACT) return bucket;
  const shift = Math.floor((bucket - EXACT) / HALF) + 1;
  const top = ((bucket - EXACT) % HALF) + HALF;
  return (top + 1) * 2 ** shift - 1;
}
