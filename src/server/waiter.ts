/**
 * Who waits for something: told once, and not from within the call that asked. Neither may throw. With thousands under
 * way at once it costs a part of what promises do that are made of each other.
 */
export interface Waiter<T> {
  succeed(value: T): void;
  fail(error: unknown): void;
}

/** For whoever would rather have a promise; what `ask` throws is what it rejects with. */
export function promised<T>(ask: (waiter: Waiter<T>) => void): Promise<T> {
  return new Promise<T>((succeed, fail) => ask({ succeed, fail }));
}
