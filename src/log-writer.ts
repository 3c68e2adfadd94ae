import { write, writeSync } from "node:fs";

/** Written with one system call at most. */
const CHUNK_BYTES = 64 << 10;
/** A full pipe is tried again after this long. */
const RETRY_MS = 20;
/** Tries at exit, RETRY_MS apart: a reader that is stuck must not keep a member from stopping. */
const TRIES_AT_EXIT = 25;

/**
 * Writes lines to a file descriptor, off the event loop and in order. What waits is bounded; a line that does not fit is
 * dropped and counted. A descriptor that fails for good (its reader is gone) takes everything and keeps nothing.
 */
export class LogWriter {
  readonly #fd: number;
  readonly #maxBufferedBytes: number;
  readonly #onDrained: () => void;
  #lines: string[] = [];
  #bufferedBytes = 0;
  #isWriting = false;
  /** What a partial write has left over. */
  #rest: Buffer | undefined;
  #failed = false;
  #waiters: (() => void)[] = [];
  dropped = 0;

  /** `onDrained` runs whenever everything is written. */
  constructor(fd: number, maxBufferedBytes: number, onDrained: () => void) {
    this.#fd = fd;
    this.#maxBufferedBytes = maxBufferedBytes;
    this.#onDrained = onDrained;
    process.once("exit", () => this.#flushAtExit());
  }

  write(line: string): void {
    if (this.#failed || this.#bufferedBytes + line.length > this.#maxBufferedBytes) {
      this.dropped++;
      return;
    }
    this.#lines.push(line);
    this.#bufferedBytes += line.length;
    if (!this.#isWriting) this.#writeNext();
  }

  /** Resolves when nothing waits, or after timeoutMs. */
  flush(timeoutMs: number): Promise<void> {
    if (!this.#isWriting) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#waiters.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #writeNext(): void {
    const chunk = this.#rest ?? this.#take();
    this.#isWriting = chunk !== undefined;
    if (chunk === undefined) {
      for (const waiter of this.#waiters.splice(0)) waiter();
      this.#onDrained();
      return;
    }
    this.#rest = chunk;
    write(this.#fd, chunk, 0, chunk.length, null, (error, written) => {
      if (error === null) {
        this.#rest = written < chunk.length ? chunk.subarray(written) : undefined;
        this.#writeNext();
      } else if (error.code === "EAGAIN") {
        setTimeout(() => this.#writeNext(), RETRY_MS).unref();
      } else {
        this.#fail();
        this.#writeNext();
      }
    });
  }

  #take(): Buffer | undefined {
    if (this.#lines.length === 0) return undefined;
    let count = 0;
    let length = 0;
    while (count < this.#lines.length && (count === 0 || length < CHUNK_BYTES)) {
      length += this.#lines[count++]?.length ?? 0;
    }
    this.#bufferedBytes -= length;
    return Buffer.from(this.#lines.splice(0, count).join(""));
  }

  #fail(): void {
    this.#failed = true;
    this.dropped += this.#lines.length;
    this.#lines = [];
    this.#bufferedBytes = 0;
    this.#rest = undefined;
  }

  /** A chunk on its way at this moment may come out after the rest, or not at all; stop with `flush` to be sure. */
  #flushAtExit(): void {
    let tries = 0;
    for (;;) {
      const chunk = this.#take();
      if (chunk === undefined) return;
      for (let at = 0; at < chunk.length; ) {
        try {
          at += writeSync(this.#fd, chunk, at);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "EAGAIN" || ++tries > TRIES_AT_EXIT) return;
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
        }
      }
    }
  }
}
