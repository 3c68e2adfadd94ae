import pino from "pino";
import type { Logger } from "./log.ts";
import { LogWriter } from "./log-writer.ts";

export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly fd: number;
  /** Lines that wait for a slow reader take at most about this much memory; further ones are dropped and counted. */
  readonly maxBufferedBytes?: number;
}

export interface PinoLog {
  readonly logger: Logger;
  /** Lines dropped so far. */
  readonly dropped: number;
  /** Resolves when everything is written, or after timeoutMs. */
  flush(timeoutMs: number): Promise<void>;
}

const DEFAULT_MAX_BUFFERED_BYTES = 4 << 20;

/**
 * Log lines of etcd's shape (operations.md section 4): one JSON object each; level, ts and msg come first. Logging never
 * blocks and never throws.
 */
export function createPinoLog(options: LogOptions): PinoLog {
  let reported = 0;
  const writer = new LogWriter(options.fd, options.maxBufferedBytes ?? DEFAULT_MAX_BUFFERED_BYTES, () => {
    if (writer.dropped === reported) return;
    const lines = writer.dropped - reported;
    reported = writer.dropped;
    write("warn", { lines }, "dropped log lines: they came faster than they were read");
  });
  const inner = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"ts":"${new Date().toISOString().slice(0, -1)}000Z"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    writer,
  );
  const write = (level: LogOptions["level"], fields: object, msg: string): void => {
    inner[level]({ msg, ...printable(fields) });
  };
  return {
    logger: {
      debug: (fields, msg) => write("debug", fields, msg),
      info: (fields, msg) => write("info", fields, msg),
      warn: (fields, msg) => write("warn", fields, msg),
      error: (fields, msg) => write("error", fields, msg),
    },
    get dropped() {
      return writer.dropped;
    },
    flush: (timeoutMs) => writer.flush(timeoutMs),
  };
}

/** Ids as etcd prints them, errors as their text. */
function printable(fields: object): object {
  const entries = Object.entries(fields).map(([name, value]: [string, unknown]) => {
    if (typeof value === "bigint") return [name, BigInt.asUintN(64, value).toString(16)];
    return [name, value instanceof Error ? String(value) : value];
  });
  return Object.fromEntries(entries);
}
