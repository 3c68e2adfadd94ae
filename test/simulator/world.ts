import type { Timer } from "../../src/env.ts";
import { createRealWorldGuard, realImmediate } from "./real-world.ts";
import { Trace } from "./trace.ts";

/** Whoever events belong to: one life of a member, a client, or (undefined) the world itself. */
export interface Owner {
  readonly name: string;
  /** Nothing of it runs any more. */
  dead: boolean;
  /** Its events wait until then: the process is paused, or its event loop is blocked. See World.hold. */
  heldUntil: number;
}

interface Event {
  time: number;
  sequence: number;
  readonly owner: Owner | undefined;
  readonly kind: string;
  readonly hash: number;
  run: (() => void) | undefined;
}

/** Events in one go of the real event loop; microtasks are drained after each of them. */
const BATCH = 256;

export interface WorldHooks {
  /** Thrown by an event, or a promise of the owner that nobody watches was rejected: what ends a real process. */
  readonly onUncaught: (owner: Owner | undefined, error: unknown) => void;
}

/**
 * Simulated time. Events run one by one in the order of (time, sequence); after each, all microtasks that it started are
 * drained before the next: Node runs them between two immediates. Nothing real happens in between, so the order of
 * everything follows from the seed.
 */
export class World {
  readonly trace = new Trace();
  readonly #hooks: WorldHooks;
  #heap: Event[] = [];
  /** Due events of owners that are held. */
  readonly #parked = new Map<Owner, Event[]>();
  #sequence = 0;
  #now = 0;
  #isOver = false;
  #current: Owner | undefined;
  events = 0;

  constructor(hooks: WorldHooks) {
    this.#hooks = hooks;
  }

  get now(): number {
    return this.#now;
  }

  /** `hash` stands for the bytes that the event carries. */
  schedule(owner: Owner | undefined, delayMs: number, kind: string, run: () => void, hash = 0): Timer {
    const time = this.#now + (delayMs > 0 ? delayMs : 0);
    const event: Event = { time, sequence: this.#sequence++, owner, kind, hash, run };
    this.#push(event);
    return {
      cancel: () => {
        event.run = undefined;
      },
    };
  }

  delay(owner: Owner | undefined, delayMs: number, kind: string): Promise<void> {
    return new Promise((resolve) => {
      this.schedule(owner, delayMs, kind, resolve);
    });
  }

  /** Nothing of the owner happens for this long, or until it is released. */
  hold(owner: Owner, milliseconds: number): void {
    owner.heldUntil = Math.max(owner.heldUntil, this.#now + milliseconds);
    this.schedule(undefined, milliseconds, "goes on", () => {
      if (owner.heldUntil <= this.#now) this.release(owner);
    });
  }

  /** What was due meanwhile happens now, in its order. */
  release(owner: Owner): void {
    owner.heldUntil = 0;
    const parked = this.#parked.get(owner) ?? [];
    this.#parked.delete(owner);
    for (const event of parked) {
      event.time = this.#now;
      // They were parked in the order in which they were due.
      event.sequence = this.#sequence++;
      this.#push(event);
    }
  }

  /** The run ends with the event that is under way. */
  finish(): void {
    this.#isOver = true;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Runs until `finish`, or until nothing is left to happen. */
  async run(): Promise<void> {
    const guard = createRealWorldGuard((what) => {
      this.#hooks.onUncaught(this.#current, new Error(`the real ${what} was reached`));
    });
    const onRejection = (error: unknown): void => this.#hooks.onUncaught(this.#current, error);
    process.on("unhandledRejection", onRejection);
    try {
      while (!this.#isOver) await this.#batch(guard);
    } finally {
      process.removeListener("unhandledRejection", onRejection);
    }
  }

  #batch(guard: { close(): void; open(): void }): Promise<void> {
    const step = (): void => this.#step();
    return new Promise((resolve) => {
      realImmediate(() => guard.close());
      for (let i = 0; i < BATCH; i++) realImmediate(step);
      realImmediate(() => {
        guard.open();
        resolve();
      });
    });
  }

  #step(): void {
    if (this.#isOver) return;
    for (;;) {
      const event = this.#pop();
      if (event === undefined) {
        this.#isOver = true;
        return;
      }
      const { owner, run } = event;
      if (run === undefined || owner?.dead === true) continue;
      if (owner !== undefined && owner.heldUntil > event.time) {
        const parked = this.#parked.get(owner);
        if (parked === undefined) this.#parked.set(owner, [event]);
        else parked.push(event);
        continue;
      }
      this.#now = event.time;
      this.#current = owner;
      this.events++;
      this.trace.event(event.time, owner?.name ?? "world", event.kind, event.hash);
      event.run = undefined;
      try {
        run();
      } catch (error) {
        this.#hooks.onUncaught(owner, error);
      }
      return;
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up] as Event;
      if (!isBefore(event, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++;
      const below = heap[child] as Event;
      if (!isBefore(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.time < b.time || (a.time === b.time && a.sequence < b.sequence);
}
