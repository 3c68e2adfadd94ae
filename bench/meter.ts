import { performance } from "node:perf_hooks";
import { Histogram, type Spread } from "./histogram.ts";

/** Microseconds of a clock that never goes back. */
export function nowUs(): number {
  return performance.now() * 1_000;
}

/** Calls that were not answered as they should have been: one is enough to make the figures worth nothing. */
export interface Faults {
  /** How many ended so, by gRPC's status or in words. */
  readonly failures: Readonly<Record<string, number>>;
  /** Answers that were not true; the first few of them. */
  readonly problems: readonly string[];
}

export interface Measured extends Faults {
  readonly seconds: number;
  readonly operations: number;
  readonly latencyUs: Spread;
  /** Of those that wait while the operation itself is at work. */
  readonly othersUs?: Spread;
  /** CPU of the process that made the load. */
  readonly generatorCpuUs: number;
}

const SHOWN_PROBLEMS = 5;

/** What a load sees. Faults count from its start on, figures from the last `begin`. */
export class Meter {
  readonly latency = new Histogram();
  readonly others = new Histogram();
  readonly #failures = new Map<string, number>();
  readonly #problems: string[] = [];
  #problemCount = 0;
  #faultCount = 0;
  #beganUs = nowUs();
  #cpuAtBegin = process.cpuUsage();

  /** Since the start. */
  get faultCount(): number {
    return this.#faultCount;
  }

  begin(): void {
    this.latency.clear();
    this.others.clear();
    this.#beganUs = nowUs();
    this.#cpuAtBegin = process.cpuUsage();
  }

  failed(status: string, detail: string): void {
    this.#faultCount++;
    const what = detail === "" ? status : `${status} ${detail}`;
    this.#failures.set(what, (this.#failures.get(what) ?? 0) + 1);
  }

  problem(text: string): void {
    this.#faultCount++;
    this.#problemCount++;
    if (this.#problems.length < SHOWN_PROBLEMS) this.#problems.push(text);
  }

  faults(): Faults {
    const more = this.#problemCount - this.#problems.length;
    return {
      failures: Object.fromEntries(this.#failures),
      problems: more > 0 ? [...this.#problems, `and ${more} more`] : this.#problems,
    };
  }

  end(): Measured {
    const { user, system } = process.cpuUsage(this.#cpuAtBegin);
    return {
      ...this.faults(),
      seconds: (nowUs() - this.#beganUs) / 1e6,
      operations: this.latency.count,
      latencyUs: this.latency.spread(),
      ...(this.others.count > 0 ? { othersUs: this.others.spread() } : {}),
      generatorCpuUs: user + system,
    };
  }
}
