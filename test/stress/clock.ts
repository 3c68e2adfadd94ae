/** Milliseconds of the one clock that all processes of a machine share; it never goes back. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** For runs of a given length and for looking again; never to wait for something that could be asked for. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

const LOOK_MS = 200;

/** Looks now and then, rarely enough not to disturb what is measured, until it is so; false when it was not in time. */
export async function becomes(condition: () => boolean | Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const end = now() + timeoutMs;
  while (!(await condition())) {
    if (now() > end) return false;
    await pause(LOOK_MS);
  }
  return true;
}
