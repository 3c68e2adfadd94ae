import type { Env, Timer } from "../../src/env.ts";

/** A clock that moves when it is told to. `advance` runs timers in order of time, and lets promises settle between. */
export class FakeEnv implements Env {
  #now = 0;
  #turns: (() => void)[] = [];
  #timers: { at: number; order: number; callback: () => void }[] = [];
  #order = 0;
  #chance = 1;

  now(): number {
    return this.#now;
  }

  wallClock(): number {
    return 1_700_000_000_000 + this.#now;
  }

  random(n: number): number {
    this.#chance = (this.#chance * 48_271) % 0x7fffffff;
    return this.#chance % n;
  }

  setTimer(callback: () => void, delayMs: number): Timer {
    const timer = { at: this.#now + delayMs, order: this.#order++, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  nextTurn(callback: () => void): void {
    this.#turns.push(callback);
  }

  /** Runs queued turns and settles promises until nothing is left to do at this moment. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; ) {
      const turns = this.#turns;
      this.#turns = [];
      for (const turn of turns) turn();
      await new Promise<void>((resolve) => setImmediate(resolve));
      quiet = turns.length === 0 && this.#turns.length === 0 ? quiet + 1 : 0;
    }
  }

  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    await this.settle();
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#now = due.at;
      due.callback();
      await this.settle();
    }
    this.#now = end;
  }
}
