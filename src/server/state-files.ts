/**
 * How the state that another member sent, or that is restored from a file, takes the place of a member's own, so that a
 * crash at any point leaves a member that starts.
 *
 *   1. The file is received as `snapshot.part`, and the state is built from it in `state.new`. A crash: both are removed.
 *   2. The state is whole and on the disk: `state.new` gets the name `state-TERM-INDEX`. A crash: nobody was told of it,
 *      and the log knows nothing of it; it is removed.
 *   3. Raft takes the snapshot, and the log says on the disk that it starts anew behind it. This is the decision: from here
 *      on the state of before is of no use, for its log is gone.
 *   4. `state` becomes `state.old`, `state-TERM-INDEX` becomes `state`, `state.old` is removed. This is always done at a
 *      start, after a crash or, ordinarily, when the member restarts itself for it.
 *
 * A restore (src/commands/) takes the same steps, but there is no log before step 3: a crash before leaves a directory with
 * a state and without a log, which no member starts on (bootstrap.ts).
 */
import type { Disk } from "../../storage/disk.ts";
import type { LogPoint } from "../../storage/wal.ts";

const STATE = "state";
const OLD = "state.old";
const NEW = "state.new";
const PART = "snapshot.part";

export interface StateFiles {
  /** The state store in use. */
  readonly state: string;
  /** A received file and the state that is built from it. */
  readonly part: string;
  readonly building: string;
}

export function stateFiles(memberDir: string): StateFiles {
  return { state: `${memberDir}/${STATE}`, part: `${memberDir}/${PART}`, building: `${memberDir}/${NEW}` };
}

/** Step 2. */
export async function nameState(disk: Disk, memberDir: string, point: LogPoint): Promise<void> {
  // LevelDB syncs its files, and not the last name that it gave to one of them.
  await disk.syncDirectory(`${memberDir}/${NEW}`);
  await disk.rename(`${memberDir}/${NEW}`, `${memberDir}/${nameOf(point)}`);
  await disk.syncDirectory(memberDir);
}

/** Whether there is a state that is being built, or that waits for the log's decision. */
export function isUndecided(names: readonly string[]): boolean {
  return names.some((name) => name === NEW || pointNamed(name) !== undefined);
}

/** Removes whatever of a snapshot was not taken; nothing may be under way. */
export async function dropUntaken(disk: Disk, memberDir: string): Promise<void> {
  const names = await disk.list(memberDir);
  if (names.includes(PART)) await disk.remove(`${memberDir}/${PART}`);
  for (const name of names) {
    if (name === NEW || pointNamed(name) !== undefined) await disk.removeTree(`${memberDir}/${name}`);
  }
}

/**
 * At a start, before the state store is opened: step 4, if the log was decided to start from a state that lies there; and
 * what a crash left is removed. `startOfLog` is asked for only when there is such a state, for it reads the whole log.
 * Resolves with the point of the state that was put in place.
 */
export async function settleState(
  disk: Disk,
  memberDir: string,
  startOfLog: () => Promise<LogPoint>,
): Promise<LogPoint | undefined> {
  const names = await disk.list(memberDir);
  const { decided, start } = await decidedAmong(names, startOfLog);
  if (decided !== undefined) {
    if (names.includes(STATE)) {
      await disk.removeTree(`${memberDir}/${OLD}`);
      await disk.rename(`${memberDir}/${STATE}`, `${memberDir}/${OLD}`);
    }
    await disk.rename(`${memberDir}/${decided}`, `${memberDir}/${STATE}`);
    await disk.syncDirectory(memberDir);
  }
  await dropUntaken(disk, memberDir);
  // Only with another one in its place is it of no use.
  if (decided !== undefined || (names.includes(OLD) && names.includes(STATE))) {
    await disk.removeTree(`${memberDir}/${OLD}`);
  }
  return decided === undefined ? undefined : start;
}

/** The received state that the log was decided to start from, if it lies there; reads the log only if any does. */
async function decidedAmong(
  names: readonly string[],
  startOfLog: () => Promise<LogPoint>,
): Promise<{ readonly decided: string | undefined; readonly start: LogPoint | undefined }> {
  const received = names.filter((name) => pointNamed(name) !== undefined);
  const start = received.length === 0 ? undefined : await startOfLog();
  const decided = start && received.find((name) => name === nameOf(start));
  return { decided, start };
}

/** The state that a start would open, as settleState puts it in place; nothing is changed. */
export async function stateToOpen(disk: Disk, memberDir: string, startOfLog: () => Promise<LogPoint>): Promise<string> {
  const { decided } = await decidedAmong(await disk.list(memberDir), startOfLog);
  return `${memberDir}/${decided ?? STATE}`;
}

/**
 * Another member's state, built in `state.new`, is to take the place of one that is damaged, or gone, under a log that
 * goes on behind it. The damaged one stays, as `aside`. A crash between the two names leaves a member without a state.
 */
export async function replaceState(disk: Disk, memberDir: string, aside: string): Promise<void> {
  await disk.syncDirectory(`${memberDir}/${NEW}`);
  await putAside(disk, memberDir, aside);
  await disk.rename(`${memberDir}/${NEW}`, `${memberDir}/${STATE}`);
  await disk.syncDirectory(memberDir);
}

/** Before step 2, when the state in use is damaged: it is not to be removed with step 4. */
export async function putAside(disk: Disk, memberDir: string, aside: string): Promise<void> {
  if (!(await disk.list(memberDir)).includes(STATE)) return;
  await disk.rename(`${memberDir}/${STATE}`, `${memberDir}/${aside}`);
  await disk.syncDirectory(memberDir);
}

/** What was put aside, when nothing came into its place. */
export async function takeBack(disk: Disk, memberDir: string, aside: string): Promise<void> {
  const names = await disk.list(memberDir);
  if (names.includes(STATE) || !names.includes(aside)) return;
  await disk.rename(`${memberDir}/${aside}`, `${memberDir}/${STATE}`);
  await disk.syncDirectory(memberDir);
}

function nameOf({ term, index }: LogPoint): string {
  return `${STATE}-${hex16(term)}-${hex16(index)}`;
}

function pointNamed(name: string): LogPoint | undefined {
  const parts = /^state-([0-9a-f]{16})-([0-9a-f]{16})$/.exec(name);
  if (parts === null) return undefined;
  return { term: Number.parseInt(parts[1] as string, 16), index: Number.parseInt(parts[2] as string, 16) };
}

function hex16(value: number): string {
  return value.toString(16).padStart(16, "0");
}
