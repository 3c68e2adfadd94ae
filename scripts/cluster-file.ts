import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Reachable } from "./find-leader.ts";

/** What `npm start` tells other programs about the members that it runs; it is there only while it runs. */
export interface RunningMember extends Reachable {
  readonly pid: number;
}

export function clusterFile(dataDir: string): string {
  return join(dataDir, "cluster.json");
}

export function writeClusterFile(dataDir: string, members: readonly RunningMember[]): void {
  mkdirSync(dataDir, { recursive: true });
  const path = clusterFile(dataDir);
  writeFileSync(`${path}.new`, `${JSON.stringify({ members }, undefined, 2)}\n`);
  renameSync(`${path}.new`, path);
}

/** Empty when no cluster runs there. */
export function readClusterFile(dataDir: string): readonly RunningMember[] {
  let text: string;
  try {
    text = readFileSync(clusterFile(dataDir), "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
  const { members } = JSON.parse(text) as { members: readonly RunningMember[] };
  return members;
}
