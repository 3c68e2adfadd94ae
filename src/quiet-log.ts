import type { Env } from "./env.ts";
import type { Logger } from "./log.ts";

const INTERVAL_MS = 10_000;

/** Warnings that others can cause at will: each text at most once in ten seconds. Texts are few and fixed. */
export class QuietLog {
  readonly #env: Env;
  readonly #logger: Logger;
  readonly #lastAt = new Map<string, number>();

  constructor(env: Env, logger: Logger) {
    this.#env = env;
    this.#logger = logger;
  }

  warn(fields: object, msg: string): void {
    const now = this.#env.now();
    const lastAt = this.#lastAt.get(msg);
    if (lastAt !== undefined && now - lastAt < INTERVAL_MS) return;
    this.#lastAt.set(msg, now);
    this.#logger.warn(fields, msg);
  }
}
