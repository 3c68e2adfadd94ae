import { write } from "node:fs";

/**
 * All of `from`, which is whole units, in as many writes of the system as that takes; what one wrote of a unit that is not
 * whole is written again. One promise for all: it is asked for each batch of the log.
 */
export function writeAll(fd: number, from: Uint8Array, position: number, unit = 1): Promise<void> {
  return new Promise((resolve, reject) => {
    let done = 0;
    const written = (error: Error | null, bytes: number): void => {
      const whole = error === null ? bytes - (bytes % unit) : 0;
      done += whole;
      if (whole > 0) next();
      else reject(error ?? new Error(`wrote ${done + bytes} of ${from.length} bytes`));
    };
    const next = (): void => {
      if (done === from.length) resolve();
      else write(fd, from, done, from.length - done, position + done, written);
    };
    next();
  });
}
