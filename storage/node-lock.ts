/**
 * A lock between processes without a kernel lock, which Node does not offer.
 *
 * Each process that wants the lock leaves a claim: an empty file beside the path whose name says who it is. Then it looks
 * at all claims. If it finds a living one besides its own it takes its own away; otherwise it has the lock. Of two that
 * come at once, each makes its claim before it looks, so at least one sees the other: never both hold it. (Both may step
 * back; they try again after a random while.)
 *
 * A process that was killed leaves its claim behind. That is stale when its boot is over, or when the process id is free
 * or belongs to a process that started at another time. It can be removed without a race: a name is never used again.
 *
 * A process in another pid namespace (a container that shares the directory) cannot be seen from here, and its claim
 * counts as stale; otherwise a container that was killed could never start again on its volume. Between such processes
 * only the kernel's lock on the state store inside the directory decides, once that is opened; so nothing is to work on
 * the directory of a member whose container runs.
 */
import * as fs from "node:fs/promises";
import { basename, dirname, join } from "node:path";

interface Claim {
  readonly bootId: string;
  readonly pidNamespace: string;
  readonly pid: number;
  /** Clock ticks since boot. */
  readonly startTime: string;
}

/** In place of what only Linux tells. */
const UNKNOWN = "x";

const MAX_ATTEMPTS = 8;
const MAX_PAUSE_MS = 40;

export async function lockPath(path: string): Promise<{ release(): Promise<void> }> {
  const self = await whoAmI();
  const own = `${path}.${nameOf(self)}`;
  for (let attempt = 1; ; attempt++) {
    if (!(await unless("EEXIST", make(own)))) throw new Error(`this very process (${self.pid}) holds it already`);
    const rival = await findRival(path, self);
    if (rival === undefined) return { release: () => fs.unlink(own) };
    await fs.unlink(own);
    if (attempt === MAX_ATTEMPTS) {
      throw new Error(
        `process ${rival.pid} holds it: stop that process, or give this one a directory of its own ` +
          `(if no such process is of ours, remove ${path}.${nameOf(rival)})`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, Math.random() * MAX_PAUSE_MS));
  }
}

/** The living process that holds the path, if one does; changes nothing. */
export async function lockHolder(path: string): Promise<number | undefined> {
  const self = await whoAmI();
  const names = (await unless("ENOENT", fs.readdir(dirname(path)))) ?? [];
  for (const name of names) {
    const claim = name.startsWith(`${basename(path)}.`) ? parseName(name.slice(basename(path).length + 1)) : undefined;
    if (claim !== undefined && (await isAlive(claim, self))) return claim.pid;
  }
  return undefined;
}

async function make(path: string): Promise<true> {
  await (await fs.open(path, "wx", 0o600)).close();
  return true;
}

/** A living process that has a claim; claims of dead ones are removed. */
async function findRival(path: string, self: Claim): Promise<Claim | undefined> {
  for (const name of await fs.readdir(dirname(path))) {
    if (!name.startsWith(`${basename(path)}.`)) continue;
    const claim = parseName(name.slice(basename(path).length + 1));
    if (claim === undefined || nameOf(claim) === nameOf(self)) continue;
    if (await isAlive(claim, self)) return claim;
    await unless("ENOENT", fs.unlink(join(dirname(path), name)));
  }
  return undefined;
}

async function whoAmI(): Promise<Claim> {
  const bootId = await unless("ENOENT", fs.readFile("/proc/sys/kernel/random/boot_id", "utf8"));
  const pidNamespace = await unless("ENOENT", fs.readlink("/proc/self/ns/pid"));
  return {
    bootId: bootId?.replaceAll(/[^0-9a-f]/g, "") ?? UNKNOWN,
    pidNamespace: pidNamespace?.replaceAll(/[^0-9]/g, "") ?? UNKNOWN,
    pid: process.pid,
    startTime: (await startTimeOf("self")) ?? UNKNOWN,
  };
}

async function isAlive(claim: Claim, self: Claim): Promise<boolean> {
  if (claim.bootId !== self.bootId || claim.pidNamespace !== self.pidNamespace) return false;
  if (self.startTime !== UNKNOWN) return (await startTimeOf(String(claim.pid))) === claim.startTime;
  try {
    process.kill(claim.pid, 0);
    return true;
  } catch (error) {
    return hasCode(error, "EPERM");
  }
}

/**
 * The 22nd field of /proc/<pid>/stat; the second is a name in parentheses that may hold anything. Undefined when no such
 * process runs; one that was killed and only waits for its parent's notice (Z) does not.
 */
async function startTimeOf(pid: string): Promise<string | undefined> {
  const stat = await unless("ESRCH", unless("ENOENT", fs.readFile(`/proc/${pid}/stat`, "latin1")));
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields?.[0] === "Z" ? undefined : fields?.[19];
}

function nameOf({ bootId, pidNamespace, pid, startTime }: Claim): string {
  return `${bootId}-${pidNamespace}-${pid}-${startTime}`;
}

function parseName(name: string): Claim | undefined {
  const fields = /^([0-9a-f]+|x)-([0-9]+|x)-([0-9]+)-([0-9]+|x)$/.exec(name);
  if (fields === null) return undefined;
  const [bootId, pidNamespace, pid, startTime] = fields.slice(1) as [string, string, string, string];
  return { bootId, pidNamespace, pid: Number(pid), startTime };
}

/** The result, or undefined when it failed with this code. */
async function unless<T>(code: string, result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (hasCode(error, code)) return undefined;
    throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
