/**
 * A lock between processes without a kernel lock, which Node does not offer: a file that says who holds it.
 *
 * The file appears with its whole content in one step (written aside, then hard-linked), so whoever sees it can read it.
 * A holder that was killed leaves it behind. It is stale when its boot is over, or when its process id is free or
 * belongs to a process that started at another time.
 *
 * A holder in another pid namespace (a container that shares the directory) cannot be seen from here and would be taken
 * for dead; otherwise a container that was killed could never start again on its volume. Between such processes only
 * the kernel's lock on the state store inside the directory decides.
 */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs/promises";

interface Holder {
  readonly pid: number;
  /** Clock ticks since boot, from /proc; absent where there is no /proc. */
  readonly startTime?: string;
  readonly bootId?: string;
  readonly pidNamespace?: string;
}

/** Takeovers lost to other processes before giving up. */
const MAX_ATTEMPTS = 10;

export async function lockPath(path: string): Promise<{ release(): Promise<void> }> {
  const own = `${JSON.stringify(await self())}\n`;
  const aside = `${path}.${process.pid}.${randomBytes(6).toString("hex")}`;
  await fs.writeFile(aside, own, { flag: "wx", mode: 0o600 });
  try {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      if (await unless("EEXIST", fs.link(aside, path).then(yes))) return { release: () => release(path, own) };
      const found = await unless("ENOENT", fs.readFile(path, "utf8"));
      if (found === undefined) continue;
      const holder = parse(found);
      if (holder !== undefined && (await isAlive(holder))) {
        throw new Error(
          `process ${holder.pid} holds it (${holder.pid === process.pid ? "this very process" : "it is running"}): ` +
            `stop that process, or give this one a directory of its own`,
        );
      }
      await removeStale(path, found);
    }
    throw new Error(`other processes keep taking it: start only one process on this directory`);
  } finally {
    await fs.unlink(aside);
  }
}

/**
 * Two processes may both have found the same stale file, and the slower one must not remove the lock that the faster
 * one has taken since: rename picks exactly one file, and what it picked is looked at before it is thrown away.
 */
async function removeStale(path: string, stale: string): Promise<void> {
  const grave = `${path}.stale.${process.pid}.${randomBytes(6).toString("hex")}`;
  if (!(await unless("ENOENT", fs.rename(path, grave).then(yes)))) return;
  if ((await fs.readFile(grave, "utf8")) !== stale) await unless("EEXIST", fs.link(grave, path));
  await fs.unlink(grave);
}

async function release(path: string, own: string): Promise<void> {
  if ((await unless("ENOENT", fs.readFile(path, "utf8"))) === own) await fs.unlink(path);
}

async function self(): Promise<Holder> {
  const startTime = await startTimeOf("self");
  const bootId = await unless("ENOENT", fs.readFile("/proc/sys/kernel/random/boot_id", "utf8"));
  const pidNamespace = await unless("ENOENT", fs.readlink("/proc/self/ns/pid"));
  return {
    pid: process.pid,
    ...(startTime === undefined ? {} : { startTime }),
    ...(bootId === undefined ? {} : { bootId: bootId.trim() }),
    ...(pidNamespace === undefined ? {} : { pidNamespace }),
  };
}

async function isAlive(holder: Holder): Promise<boolean> {
  const here = await self();
  if (holder.bootId !== here.bootId || holder.pidNamespace !== here.pidNamespace) return false;
  if (here.startTime !== undefined) return (await startTimeOf(String(holder.pid))) === holder.startTime;
  try {
    process.kill(holder.pid, 0);
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

/** Undefined for what no holder wrote: the file of a machine that lost power before the content was on the disk. */
function parse(text: string): Holder | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("pid" in value) || typeof value.pid !== "number") {
      return undefined;
    }
    const field = (name: string): string | undefined => {
      const found = Object.getOwnPropertyDescriptor(value, name)?.value as unknown;
      return typeof found === "string" ? found : undefined;
    };
    const startTime = field("startTime");
    const bootId = field("bootId");
    const pidNamespace = field("pidNamespace");
    return {
      pid: value.pid,
      ...(startTime === undefined ? {} : { startTime }),
      ...(bootId === undefined ? {} : { bootId }),
      ...(pidNamespace === undefined ? {} : { pidNamespace }),
    };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
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

const yes = (): true => true;
