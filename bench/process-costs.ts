/** What a process has taken, as Linux tells it; undefined where there is no /proc, or no such process any more. */
import { readFileSync } from "node:fs";

/** USER_HZ, which Linux never shows programs as anything else. */
const TICKS_PER_SECOND = 100;
/** Of the words behind the name in /proc/PID/stat. */
const UTIME = 11;
const STIME = 12;

/** User and system time of all its threads so far. */
export function cpuMicroseconds(pid: number): number | undefined {
  const text = textOf(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  const words = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return ((Number(words[UTIME]) + Number(words[STIME])) * 1e6) / TICKS_PER_SECOND;
}

export function residentBytes(pid: number): number | undefined {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(textOf(`/proc/${pid}/status`) ?? "");
  return match === null ? undefined : Number(match[1]) * 1024;
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
