/** Milliseconds of the one clock that all processes of a machine share; it never goes back. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** For runs of a given length and for looking again; never to wait for something that could be asked for. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

const LOOK_MS = 200;

/** Looks now and then, rarely enough not to disturb what is measured, until it is so. */
export async function becomes(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const end = now() + timeoutMs;
  while (!(await condition())) {
    if (now() > end) throw new Error(`not within ${timeoutMs / 1_000} s: ${what}`);
    await pause(LOOK_MS);
  }
}
