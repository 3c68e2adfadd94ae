import { write } from "node:fs";

/**
 * All of `from`, in as many writes of the system as that takes; each but the last is taken for whole units only, and what
 * it wrote of one more is written again. One promise for all: it is asked for each batch of the log.
 */
export function writeAll(fd: number, from: Uint8Array, position: number, unit = 1): Promise<void> {
  return new Promise((resolve, reject) => {
    let done = 0;
    const written = (error: Error | null, bytes: number): void => {
      const whole = bytes - (bytes % unit);
      done += whole;
      if (error !== null) reject(error);
      else if (whole === 0) reject(new Error(`wrote ${done + bytes} of ${from.length} bytes`));
      else next();
    };
    const next = (): void => {
      if (done === from.length) resolve();
      else write(fd, from, done, from.length - done, position + done, written);
    };
    next();
  });
}
