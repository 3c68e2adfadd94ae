/** A broken invariant is a bug of this member: it stops rather than go on with a state nobody reasoned about. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/**
 * `if (broken) fail(...)` is an assertion whose message is only made when it fails: for what runs for every entry, where
 * numbers made into text cost more than the rest of the step.
 */
export function fail(message: string): never {
  throw new AssertionError(message);
}

/** The value, which must be there. */
export function must<T>(value: T | undefined, message: string): T {
  if (value === undefined) throw new AssertionError(message);
  return value;
}

/** The end of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}
