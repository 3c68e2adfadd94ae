/** Members that tell how long their event loop stood still and how much memory they took at most. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Cluster, type MemberProcess, root, startCluster } from "../e2e/cluster.ts";
import { until } from "../e2e/until.ts";

const MONITOR = pathToFileURL(join(root, "test", "stress", "loop-monitor.mjs")).href;

export interface Measured {
  readonly cluster: Cluster;
  /** Longest pause of the member's event loop since the last call, milliseconds. */
  longestPauseMs(member: MemberProcess): Promise<number>;
  /** What the member has in memory after its heap was swept. */
  liveBytes(member: MemberProcess): Promise<number>;
  destroy(): Promise<void>;
}

/** Members, and programs beside them, for as long as the work takes. */
export async function withMeasured<H extends Readonly<Record<keyof H, { end(): Promise<void> }>>, T>(
  count: number,
  startHelpers: () => H,
  work: (measured: Measured, helpers: H) => Promise<T>,
): Promise<T> {
  const measured = await startMeasured(count);
  try {
    const helpers = startHelpers();
    try {
      return await work(measured, helpers);
    } finally {
      await Promise.all(Object.values<{ end(): Promise<void> }>(helpers).map((helper) => helper.end()));
    }
  } finally {
    await measured.destroy();
  }
}

async function startMeasured(count: number): Promise<Measured> {
  const directory = await mkdtemp(join(tmpdir(), "quorate-stress-"));
  const env = {
    QUORATE_STRESS_PAUSES: directory,
    NODE_OPTIONS: `${process.env["NODE_OPTIONS"] ?? ""} --import=${MONITOR}`.trim(),
  };
  try {
    const cluster = await startCluster(count, [], undefined, env);
    const measured: Measured = {
      cluster,
      longestPauseMs: async (member) => (await told(directory, member)).longestMs,
      async liveBytes(member) {
        const order = join(directory, `${member.pid}.sweep`);
        await writeFile(order, "");
        const { liveBytes = 0 } = await told(directory, member);
        await rm(order);
        return liveBytes;
      },
      async destroy() {
        await cluster.destroy();
        await rm(directory, { recursive: true, force: true });
      },
    };
    // How long it took to load its code is not asked for.
    await Promise.all(cluster.members.map((member) => measured.longestPauseMs(member)));
    return measured;
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

interface Told {
  readonly longestMs: number;
  readonly liveBytes?: number;
}

async function told(directory: string, member: MemberProcess): Promise<Told> {
  const file = join(directory, `${member.pid}.json`);
  await rm(file, { force: true });
  member.signal("SIGUSR2");
  let text: string | undefined;
  await until(`${member.name} tells its pauses`, () => {
    text = textOf(file);
    return text !== undefined;
  });
  return JSON.parse(text as string) as Told;
}

/** VmHWM: the most memory that the process ever had resident. Undefined where there is no /proc. */
export function peakBytes(pid: number): number | undefined {
  return statusBytes(pid, "VmHWM");
}

/** RssAnon: resident and no part of a file. Undefined where there is no /proc. */
export function ownBytes(pid: number): number | undefined {
  return statusBytes(pid, "RssAnon");
}

function statusBytes(pid: number, field: string): number | undefined {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(textOf(`/proc/${pid}/status`) ?? "");
  return match === null ? undefined : Number(match[1]) * 1024;
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
