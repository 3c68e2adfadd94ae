/** Above every latin1 key. */
const INFINITY_KEY = "\uffff";

/** Disjoint, ascending: starts[i] < ends[i] <= starts[i + 1]. */
interface Run {
  readonly starts: readonly string[];
  readonly ends: readonly string[];
}

/**
 * A growing set of key ranges that answers whether a key lies in any of them.
 *
 * It holds sorted runs, each more than twice as long as the next: adding merges the short ones, so n ranges cost
 * O(n log n) comparisons in whatever order they come, and a question costs O(log^2 n). Runs are never changed once made,
 * so a set can take over the runs of another one.
 */
export class KeyIntervals {
  #runs: Run[] = [];

  get isEmpty(): boolean {
    return this.#runs.length === 0;
  }

  /** `end` as in the API: "" is the single key, "\0" is open. An empty range adds nothing. */
  add(key: string, end: string): void {
    const to = end === "" ? `${key}\0` : end === "\0" ? INFINITY_KEY : end;
    if (key < to) this.#push({ starts: [key], ends: [to] });
  }

  addAll(other: KeyIntervals): void {
    for (const run of other.#runs) this.#push(run);
  }

  has(key: string): boolean {
    return this.#runs.some((run) => contains(run, key));
  }

  #push(run: Run): void {
    let merged = run;
    for (;;) {
      const last = this.#runs.at(-1);
      if (last === undefined || last.starts.length > 2 * merged.starts.length) break;
      this.#runs.pop();
      merged = merge(last, merged);
    }
    this.#runs.push(merged);
  }
}

function contains(run: Run, key: string): boolean {
  let low = 0;
  let high = run.starts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((run.starts[middle] as string) <= key) low = middle + 1;
    else high = middle;
  }
  return low > 0 && key < (run.ends[low - 1] as string);
}

function merge(a: Run, b: Run): Run {
  const starts: string[] = [];
  const ends: string[] = [];
  let i = 0;
  let j = 0;
  while (i < a.starts.length || j < b.starts.length) {
    const fromA = j >= b.starts.length || (i < a.starts.length && (a.starts[i] as string) <= (b.starts[j] as string));
    const start = (fromA ? a.starts[i] : b.starts[j]) as string;
    const end = (fromA ? a.ends[i++] : b.ends[j++]) as string;
    const last = ends.length - 1;
    if (last >= 0 && start <= (ends[last] as string)) {
      if (end > (ends[last] as string)) ends[last] = end;
    } else {
      starts.push(start);
      ends.push(end);
    }
  }
  return { starts, ends };
}
