import type { Rate } from "./limits.ts";

/** A token bucket: what a client may do for nothing. */
export class Budget {
  readonly #rate: Rate;
  #left: number;
  #filledAt = Number.NEGATIVE_INFINITY;

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#left = rate.burst;
  }

  /** Takes one; false when there is none. `nowMs` must not go back. */
  spend(nowMs: number): boolean {
    if (!this.hasAny(nowMs)) return false;
    this.#left--;
    return true;
  }

  /** Whether there is one to take now. */
  hasAny(nowMs: number): boolean {
    const { burst, perSecond } = this.#rate;
    if (this.#left < burst && this.#filledAt !== Number.NEGATIVE_INFINITY) {
      this.#left = Math.min(burst, this.#left + ((nowMs - this.#filledAt) * perSecond) / 1_000);
    }
    this.#filledAt = nowMs;
    return this.#left >= 1;
  }

  /** Takes what was used before its amount was known: more than there is, too. */
  charge(amount: number): void {
    this.#left -= amount;
  }
}

/** The newest `capacity` stream ids that were added. */
export class RecentIds {
  readonly #ids = new Set<number>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(id: number): void {
    this.#ids.add(id);
    if (this.#ids.size <= this.#capacity) return;
    for (const oldest of this.#ids) {
      this.#ids.delete(oldest);
      return;
    }
  }

  has(id: number): boolean {
    return this.#ids.has(id);
  }
}
