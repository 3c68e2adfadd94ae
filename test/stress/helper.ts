/**
 * Programs of their own that make load or watch, so that neither distorts what the other measures. The parent asks, the
 * program answers; several questions may be open at once. A program whose parent is gone ends.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { root } from "../e2e/cluster.ts";

interface Question {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** What a program can be asked: each takes one plain value and gives one. */
// biome-ignore lint/suspicious/noExplicitAny: the argument of each is known where it is asked
type Desk = Record<string, (argument: any) => unknown>;

/** In the program: answers what the parent asks. */
export function serve(desk: Desk): void {
  process.on("disconnect", () => process.exit());
  process.on("message", ({ id, name, argument }: Question) => {
    void answer(desk, name, argument).then((outcome) => process.send?.({ id, ...outcome } satisfies Answer));
  });
}

async function answer(desk: Desk, name: string, argument: unknown): Promise<Omit<Answer, "id">> {
  try {
    const asked = desk[name];
    if (asked === undefined) throw new Error(`nobody answers to ${name}`);
    return { result: await asked(argument) };
  } catch (error) {
    return { error: String(error) };
  }
}

/** In the parent. */
export class Helper<D extends Desk> {
  readonly #child: ChildProcess;
  readonly #file: string;
  readonly #open = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #asked = 0;

  constructor(file: string, folder = join("test", "stress")) {
    this.#file = file;
    this.#child = fork(join(root, folder, file), { cwd: root, execArgv: ["--import", "tsx"] });
    this.#child.on("message", ({ id, result, error }: Answer) => {
      const question = this.#open.get(id);
      this.#open.delete(id);
      if (error === undefined) question?.resolve(result);
      else question?.reject(new Error(`${file}: ${error}`));
    });
    this.#child.on("exit", () => {
      for (const { reject } of this.#open.values()) reject(new Error(`${file} ended`));
      this.#open.clear();
    });
  }

  ask<N extends string & keyof D>(
    name: N,
    ...[argument]: Parameters<D[N]> extends [infer A] ? [A] : []
  ): Promise<Awaited<ReturnType<D[N]>>> {
    return new Promise((resolve, reject) => {
      if (!this.#child.connected) {
        reject(new Error(`${this.#file} is gone`));
        return;
      }
      const id = ++this.#asked;
      this.#open.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#child.send({ id, name, argument } satisfies Question);
    });
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    if (this.#child.connected) this.#child.disconnect();
    await exited;
  }
}
