/**
 * The data directory of an etcd that must not run. Nothing of it is changed; whether it runs can only be guessed from
 * outside, for etcd holds kernel locks that Node cannot ask for: Linux lists them, and what is written meanwhile shows.
 */
import { lstat, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { RestoreError } from "./new-member.ts";

export interface EtcdDirectory {
  readonly path: string;
  readonly database: string;
  readonly walDir: string;
}

/** Throws RestoreError when this is no data directory of an etcd. */
export async function findEtcd(path: string, walDir: string | undefined): Promise<EtcdDirectory> {
  const member = join(path, "member");
  const names = await namesIn(member);
  if (names.includes("state")) {
    throw new RestoreError(`${path} is a data directory of Quorate: start a member with --data-dir ${path} instead`);
  }
  const database = join(member, "snap", "db");
  if (!(await namesIn(join(member, "snap"))).includes("db")) {
    throw new RestoreError(`${path} is no data directory of an etcd: there is no ${database}`);
  }
  const found = walDir ?? join(member, "wal");
  if (!(await namesIn(found)).some((name) => name.endsWith(".wal"))) {
    throw new RestoreError(`there is no log of an etcd in ${found}: say where it is (--etcd-wal-dir)`);
  }
  return { path, database, walDir: found };
}

/** Throws RestoreError when a process holds one of etcd's files locked. */
export async function refuseRunning({ path, database, walDir }: EtcdDirectory): Promise<void> {
  const held = await lockedInodes();
  for (const file of await filesOf(database, walDir)) {
    const { dev, ino } = await stat(file, { bigint: true });
    const pid = held.get(`${device(dev)}:${ino}`);
    if (pid !== undefined) {
      throw new RestoreError(
        `an etcd runs on ${path} (${pid === "-1" ? "a process" : `process ${pid}`} holds ${file}): stop it first`,
      );
    }
  }
}

/** What the files look like from outside: it must be the same before and after they were read. */
export async function lookOf({ database, walDir }: EtcdDirectory): Promise<string> {
  const looks: string[] = [];
  for (const file of await filesOf(database, walDir)) {
    const { ino, size, mtimeNs } = await stat(file, { bigint: true });
    looks.push(`${file} ${ino} ${size} ${mtimeNs}`);
  }
  return looks.join("\n");
}

async function filesOf(database: string, walDir: string): Promise<string[]> {
  const segments = (await namesIn(walDir)).filter((name) => name.endsWith(".wal")).sort();
  return [database, ...segments.map((name) => join(walDir, name))];
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    if (!(await lstat(directory)).isDirectory() && !(await stat(directory)).isDirectory()) return [];
    return await readdir(directory);
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return [];
    throw error;
  }
}

/** Process ids by "MAJOR:MINOR:INODE"; none where there is no such list. */
async function lockedInodes(): Promise<ReadonlyMap<string, string>> {
  let text: string;
  try {
    text = await readFile("/proc/locks", "latin1");
  } catch {
    // Environment: not Linux, or hidden. What is written meanwhile has to do.
    return new Map();
  }
  const held = new Map<string, string>();
  for (const line of text.split("\n")) {
    // "3: FLOCK  ADVISORY  WRITE 28510 fe:00:10052229 0 EOF"; those that wait have "->" before the kind.
    const found = /^\d+: (?:FLOCK|OFDLCK|POSIX)\s+\S+\s+WRITE\s+(-?\d+)\s+([0-9a-f]+:[0-9a-f]+:\d+)\s/.exec(line);
    if (found !== null) held.set(found[2] as string, found[1] as string);
  }
  return held;
}

/** As Linux prints it, from the number that `stat` gives. */
function device(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  const hex = (number: bigint): string => number.toString(16).padStart(2, "0");
  return `${hex(major)}:${hex(minor)}`;
}
