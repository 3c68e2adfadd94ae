/**
 * What one watch from its first revision on must see of stamped puts: each of its keys exactly once, in order, with the
 * pair before it. Pure.
 */
import { readStamp } from "./stamped-value.ts";

export interface SeenPair {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
}

export interface SeenPut {
  readonly kv: SeenPair;
  readonly prevKv: SeenPair | undefined;
}

/** How often a key was put: `sent` is more than `acknowledged` when nobody knows what became of the last put. */
export interface KeyEnd {
  readonly key: string;
  readonly acknowledged: number;
  readonly sent: number;
}

interface Last {
  readonly n: number;
  readonly revision: number;
}

export class WatchCheck {
  readonly problems: string[] = [];
  problemCount = 0;
  seen = 0;
  /** Of the last event. */
  revision: number;
  readonly #name: string;
  readonly #everyRevision: boolean;
  readonly #from: number;
  readonly #last = new Map<string, Last>();

  /**
   * `from`: the revision that the watch starts at. `everyRevision`: all that is written is in the range of the watch, so
   * no revision may be missing.
   */
  constructor(name: string, from: number, everyRevision: boolean) {
    this.#name = name;
    this.#from = from;
    this.#everyRevision = everyRevision;
    this.revision = from - 1;
  }

  put({ kv, prevKv }: SeenPut): void {
    this.seen++;
    const { n } = readStamp(kv.value);
    const last = this.#last.get(kv.key);
    if (kv.modRevision <= this.revision) this.problem(`revision ${kv.modRevision} after ${this.revision}`);
    else if (this.#everyRevision && kv.modRevision !== this.revision + 1) {
      this.problem(`revision ${kv.modRevision} after ${this.revision}: some between are lost`);
    }
    if (last !== undefined && n <= last.n) this.problem(`${kv.key} ${n} after ${last.n}: twice or out of order`);
    else if (last !== undefined && n > last.n + 1) this.problem(`${kv.key} ${n} after ${last.n}: some are lost`);
    this.#checkPrevious(kv, prevKv, n, last);
    this.revision = Math.max(this.revision, kv.modRevision);
    this.#last.set(kv.key, { n, revision: kv.modRevision });
  }

  #checkPrevious(kv: SeenPair, prevKv: SeenPair | undefined, n: number, last: Last | undefined): void {
    if (n === 1) {
      if (prevKv !== undefined) this.problem(`${kv.key} 1 has a pair before it`);
      return;
    }
    if (prevKv === undefined) {
      this.problem(`${kv.key} ${n} has no pair before it`);
      return;
    }
    const before = readStamp(prevKv.value).n;
    const revisionsFit =
      prevKv.modRevision < kv.modRevision &&
      prevKv.createRevision === kv.createRevision &&
      (last === undefined ? prevKv.modRevision < this.#from : prevKv.modRevision === last.revision);
    if (prevKv.key !== kv.key || before !== n - 1 || !revisionsFit) {
      this.problem(
        `${kv.key} ${n} at ${kv.modRevision} has ${prevKv.key} ${before} at ${prevKv.modRevision} before it`,
      );
    }
  }

  /** How many acknowledged puts of these keys it has yet to see. */
  missing(keys: Iterable<KeyEnd>): number {
    let missing = 0;
    for (const { key, acknowledged, sent } of keys) {
      const seen = this.#last.get(key)?.n ?? 0;
      if (seen > sent) this.problem(`${key} ${seen} was never sent`);
      missing += Math.max(0, acknowledged - seen);
    }
    return missing;
  }

  problem(what: string): void {
    this.problemCount++;
    if (this.problems.length < 5) this.problems.push(`${this.#name}: ${what}`);
  }
}
