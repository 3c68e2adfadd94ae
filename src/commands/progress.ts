import type { Logger } from "../log.ts";

/** Short work says nothing, long work says that it goes on. */
const QUIET_MS = 2_000;
const MIB = 1 << 20;

/** What the person who types a command is told while it works. */
export interface Progress {
  readonly log: Logger;
  /** `done` of `total` bytes; 0: not known. Said now and then. */
  at(what: string, done: number, total?: number): void;
  say(text: string): void;
}

/** `write` gets whole lines; `now` is in milliseconds. */
export function createProgress(write: (text: string) => void, now: () => number): Progress {
  let next = now() + QUIET_MS;
  const say = (text: string): void => write(`${text}\n`);
  const nowAndThen = (text: () => string): void => {
    if (now() < next) return;
    next = now() + QUIET_MS;
    say(text());
  };
  const mib = (bytes: number): string => String(Math.round(bytes / MIB));
  return {
    say,
    at(what, done, total = 0) {
      nowAndThen(() => `${what}: ${mib(done)}${total === 0 ? "" : ` of ${mib(total)}`} MiB`);
    },
    log: {
      debug: () => undefined,
      info: (fields, message) => nowAndThen(() => `${message} ${JSON.stringify(fields)}`),
      warn: (fields, message) => say(`warning: ${message} ${JSON.stringify(fields)}`),
      error: (fields, message) => say(`error: ${message} ${JSON.stringify(fields)}`),
    },
  };
}
