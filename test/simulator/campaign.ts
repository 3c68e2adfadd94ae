import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type Answer, addTo, createSummary, type Summary } from "./summary.ts";

export interface Seeds {
  readonly count: number;
  readonly at: (position: number) => string;
}

export interface CampaignOptions {
  /** The bundled worker, and what it is told. */
  readonly file: string;
  readonly words: readonly string[];
  readonly seeds: Seeds;
  readonly jobs: number;
  /** After it no seed begins; in milliseconds of the wall clock, may be Infinity. */
  readonly until: number;
  /** A seed that takes longer hangs: it fails. */
  readonly seedLimitMs: number;
  readonly onFailure: (seed: string, what: Answer | string) => void;
}

/** Many seeds, on processes that have one at a time each. What a seed does to its process is a failure of that seed. */
export class Campaign {
  readonly summary: Summary = createSummary();
  readonly #options: CampaignOptions;
  readonly #startedAt = Date.now();
  readonly #workers = new Set<Worker>();
  #next = 0;
  #isEnded = false;

  constructor(options: CampaignOptions) {
    this.#options = options;
  }

  get elapsedMs(): number {
    return Date.now() - this.#startedAt;
  }

  async run(): Promise<void> {
    const work = async (): Promise<void> => {
      while (this.#hasMore()) await this.#workOn();
    };
    await Promise.all(Array.from({ length: this.#options.jobs }, work));
  }

  /** Now: seeds under way count for nothing. */
  end(): void {
    this.#isEnded = true;
    for (const worker of this.#workers) worker.kill("the run was ended");
  }

  /** One line of at most 80 columns. */
  progress(): string {
    const { seeds, until } = this.#options;
    const { seeds: done, simulatedMs, failures } = this.summary;
    const { elapsedMs } = this;
    const left = Math.min(
      done === 0 ? Infinity : ((seeds.count - done) * elapsedMs) / done,
      Math.max(0, until - Date.now()),
    );
    const words = [
      `${done}${seeds.count < Number.MAX_SAFE_INTEGER ? ` of ${seeds.count}` : ""} seeds`,
      `${(simulatedMs / 3_600_000).toFixed(2)} h`,
      `${(simulatedMs / elapsedMs).toFixed(0)} s a second`,
      `${failures.length} failures`,
      ...(left < Infinity ? [`${(left / 60_000).toFixed(1)} min left`] : []),
    ];
    return words.join(", ");
  }

  #hasMore(): boolean {
    const { seeds, until } = this.#options;
    return !this.#isEnded && this.#next < seeds.count && Date.now() < until;
  }

  /** Until nothing is left, or the process of a seed is gone. */
  async #workOn(): Promise<void> {
    const { file, words, seeds, seedLimitMs, onFailure } = this.#options;
    const { summary } = this;
    const worker = new Worker(file, words, seedLimitMs);
    this.#workers.add(worker);
    try {
      while (this.#hasMore()) {
        const seed = seeds.at(this.#next++);
        const answer = await worker.run(seed);
        if (this.#isEnded) return;
        if (typeof answer === "string") {
          summary.seeds++;
          summary.failures.push({ seed, checker: "worker", message: answer });
          onFailure(seed, answer);
          return;
        }
        addTo(summary, answer);
        if (answer.result.failure !== undefined) onFailure(seed, answer);
      }
    } finally {
      this.#workers.delete(worker);
      worker.end();
    }
  }
}

class Worker {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #limitMs: number;
  #why = "its process died";

  constructor(file: string, words: readonly string[], limitMs: number) {
    const child = spawn(process.execPath, ["--enable-source-maps", file, ...words], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    if (child.stdin === null || child.stdout === null) throw new Error("a worker without pipes");
    // A seed that is written to a process that died gets its answer from the end of `stdout`.
    child.stdin.on("error", () => undefined);
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    this.#limitMs = limitMs;
  }

  /** The answer, or why there is none: the worker is of no use any more. */
  async run(seed: string): Promise<Answer | string> {
    const limit = setTimeout(() => this.kill(`it took more than ${this.#limitMs} ms`), this.#limitMs);
    try {
      this.#child.stdin?.write(`${seed}\n`);
      const line = await this.#lines.next();
      return line.done === true ? this.#why : (JSON.parse(line.value) as Answer);
    } finally {
      clearTimeout(limit);
    }
  }

  kill(why: string): void {
    this.#why = why;
    this.#child.kill("SIGKILL");
  }

  end(): void {
    this.#child.stdin?.end();
  }
}
