import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Reachable } from "./find-leader.ts";

/** What `npm start` tells other programs about the members that it runs; it is there only while it runs. */
export interface RunningMember extends Reachable {
  readonly pid: number;
}

const fileOf = (dataDir: string): string => join(dataDir, "cluster.json");

export function writeClusterFile(dataDir: string, members: readonly RunningMember[]): void {
  mkdirSync(dataDir, { recursive: true });
  const path = fileOf(dataDir);
  writeFileSync(`${path}.new`, `${JSON.stringify({ members }, undefined, 2)}\n`);
  renameSync(`${path}.new`, path);
}

export function removeClusterFile(dataDir: string): void {
  rmSync(fileOf(dataDir), { force: true });
}

/** The members with their data there, and whether each runs now; empty when no cluster does. */
export function clusterMembers(dataDir: string): readonly (RunningMember & { readonly runs: boolean })[] {
  let text: string;
  try {
    text = readFileSync(fileOf(dataDir), "utf8");
  } catch {
    // No file, or none that can be read: nothing is known to run there.
    return [];
  }
  const members = membersIn(text).map((member) => ({
    ...member,
    runs: commandLine(member.pid).includes(`--name=${member.name} `),
  }));
  return members.some(({ runs }) => runs) ? members : [];
}

/** Empty when the file was not written by us. */
function membersIn(text: string): readonly RunningMember[] {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return [];
  }
  const members = typeof content === "object" && content !== null && "members" in content ? content.members : [];
  return Array.isArray(members) ? members.filter(isMember) : [];
}

function isMember(item: unknown): item is RunningMember {
  if (typeof item !== "object" || item === null) return false;
  const { name, pid, clientPort } = item as Partial<Record<keyof RunningMember, unknown>>;
  return typeof name === "string" && Number(pid) > 0 && Number.isInteger(pid) && Number.isInteger(clientPort);
}

/** "" when there is no such process. Its number alone says little: it may be somebody else's by now. */
function commandLine(pid: number): string {
  try {
    return execFileSync("ps", ["-ww", "-o", "args=", "-p", String(pid)], { encoding: "utf8" });
  } catch {
    return "";
  }
}
