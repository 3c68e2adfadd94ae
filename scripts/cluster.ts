import { type ChildProcess, spawn } from "node:child_process";
import { createConnection } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { clusterMembers, removeClusterFile, writeClusterFile } from "./cluster-file.ts";
import { engineFlags } from "./engine-flags.ts";
import { findLeader } from "./find-leader.ts";

const USAGE = `Usage: npm start -- [--members 1|3|5] [--data-dir DIR] [--base-port PORT]

Runs a Quorate cluster on this machine in the foreground. Ctrl-C stops it; its data stays and is found again.
  --members    how many members (3)
  --data-dir   where their data is kept (./data)
  --base-port  client port of the first member (2379); the others follow 10000 apart where that fits (22379,
               32379, ...), else 10 apart; a member's peer port is its client port + 1`;

export interface MemberPlan {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly dataDir: string;
}

export interface ClusterPlan {
  readonly dataDir: string;
  readonly members: readonly MemberPlan[];
}

class UsageError extends Error {}

/** Throws UsageError. */
export function planCluster(argv: readonly string[]): ClusterPlan | "help" {
  let values: { members?: string; "data-dir"?: string; "base-port"?: string; help?: boolean };
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        members: { type: "string" },
        "data-dir": { type: "string" },
        "base-port": { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (values.help === true) return "help";
  const count = Number(values.members ?? "3");
  if (![1, 3, 5].includes(count)) throw new UsageError(`--members must be 1, 3 or 5, not ${values.members}`);
  const base = Number(values["base-port"] ?? "2379");
  if (!Number.isInteger(base) || base < 1 || base > 65_535 - 10 * count) {
    throw new UsageError(`--base-port must be a port number with room for the others, not ${values["base-port"]}`);
  }
  const dataDir = values["data-dir"] ?? "data";
  return { dataDir, members: Array.from({ length: count }, (_, i) => plan(i, count, base, dataDir)) };
}

/** 2379, 22379, 32379 (as in etcd's own examples); five members go on with 42379 and 52379. */
function plan(position: number, count: number, base: number, dataDir: string): MemberPlan {
  const wide = base + 10_000 * count + 1 <= 65_535;
  const step = wide ? (position === 0 ? 0 : 10_000 * (position + 1)) : 10 * position;
  const name = `quorate${position + 1}`;
  return { name, clientPort: base + step, peerPort: base + step + 1, dataDir: join(dataDir, name) };
}

export function memberFlags(cluster: ClusterPlan, member: MemberPlan): string[] {
  const url = (port: number): string => `http://127.0.0.1:${port}`;
  return [
    `--name=${member.name}`,
    `--data-dir=${member.dataDir}`,
    `--listen-client-urls=${url(member.clientPort)}`,
    `--advertise-client-urls=${url(member.clientPort)}`,
    `--listen-peer-urls=${url(member.peerPort)}`,
    `--initial-advertise-peer-urls=${url(member.peerPort)}`,
    `--initial-cluster=${cluster.members.map(({ name, peerPort }) => `${name}=${url(peerPort)}`).join(",")}`,
    "--initial-cluster-token=quorate-local",
  ];
}

const READY = "ready to serve client requests";
const program = fileURLToPath(new URL("../../bin/quorate", import.meta.url));

/** A member that somebody killed is started again after this long: time to see the others go on without it. */
const RESTART_DELAY_MS = 5_000;
/** Signals that come from outside. Any other end is a fault of the member itself, which a restart would only repeat. */
const KILLS: readonly string[] = ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"];
/** When a launcher was killed, its members notice and end by themselves. */
const OLD_MEMBERS_LIMIT_MS = 30_000;

interface Running {
  readonly plan: MemberPlan;
  process: ChildProcess;
  isReady: boolean;
  /** Set while it waits to be started again. */
  restart: NodeJS.Timeout | undefined;
}

/** Runs until every member has ended. Resolves to the exit code. */
export async function runCluster(argv: readonly string[]): Promise<number> {
  let cluster: ClusterPlan | "help";
  try {
    cluster = planCluster(argv);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n\n${USAGE}\n`);
    return 2;
  }
  if (cluster === "help") {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const taken = (await Promise.all(cluster.members.flatMap((m) => [m.clientPort, m.peerPort]).map(portInUse))).flatMap(
    (port) => (port === undefined ? [] : [port]),
  );
  if (taken.length > 0) {
    process.stderr.write(
      `port ${taken.join(", ")} of 127.0.0.1 is in use.\n` +
        "Is a cluster running already? Stop it, or choose other ports with --base-port.\n",
    );
    return 1;
  }
  if (!(await oldMembersEnded(cluster.dataDir))) return 1;
  try {
    writeClusterFile(cluster.dataDir, []);
  } catch (error) {
    process.stderr.write(`--data-dir ${cluster.dataDir} cannot be used: ${messageOf(error)}\n`);
    return 1;
  }
  return await superviseCluster(cluster);
}

/** False, and said, when another cluster runs on this data. */
async function oldMembersEnded(dataDir: string): Promise<boolean> {
  const deadline = Date.now() + OLD_MEMBERS_LIMIT_MS;
  let living = clusterMembers(dataDir).filter(({ runs }) => runs);
  if (living.length > 0) process.stderr.write(`${dataDir} is in use: waiting for its members to end\n`);
  while (living.length > 0 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    living = clusterMembers(dataDir).filter(({ runs }) => runs);
  }
  if (living.length === 0) return true;
  const pids = living.map(({ name, pid }) => `${name} (pid ${pid})`).join(", ");
  process.stderr.write(`a cluster runs on ${dataDir} already: ${pids}. Stop it, or choose another --data-dir.\n`);
  return false;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

let silent = false;

function print(text: string): void {
  if (!silent) process.stdout.write(text);
}

function superviseCluster(cluster: ClusterPlan): Promise<number> {
  return new Promise((resolve) => {
    let stopping = false;
    let failed = false;
    let announced = false;
    let members: Running[] = [];
    const say = (name: string, line: string): void => print(`${name} | ${line}\n`);

    const record = (): void => {
      const running = members.flatMap(({ plan: { name, clientPort }, process: { pid } }) =>
        pid === undefined ? [] : [{ name, clientPort, pid }],
      );
      try {
        writeClusterFile(cluster.dataDir, running);
      } catch (error) {
        // Only scripts/kill-leader.sh reads it: no reason to end a cluster that serves.
        print(`cannot say which members run in ${cluster.dataDir}: ${messageOf(error)}\n`);
      }
    };

    const spawnMember = (plan: MemberPlan): ChildProcess => {
      // Its own process group: Ctrl-C reaches this program alone, which then stops the members itself. The channel tells
      // a member when this program is gone without having done so.
      const child = spawn(process.execPath, [...engineFlags(program), program, ...memberFlags(cluster, plan)], {
        stdio: ["ignore", "pipe", "pipe", "ipc"],
        detached: true,
      });
      for (const stream of [child.stdout, child.stderr]) {
        if (stream == null) continue;
        createInterface({ input: stream }).on("line", (line) => {
          say(plan.name, line);
          if (line.includes(`"${READY}"`)) onReady(plan);
        });
      }
      child.on("error", (error) => {
        say(plan.name, `${child.pid === undefined ? "cannot start" : "cannot be reached"}: ${error.message}`);
        if (child.pid === undefined) onEnded(plan, child, 1, null);
      });
      child.on("exit", (code, signal) => onEnded(plan, child, code, signal));
      return child;
    };

    const onReady = (plan: MemberPlan): void => {
      const member = members.find((candidate) => candidate.plan === plan);
      if (member !== undefined) member.isReady = true;
      if (announced || !members.every(({ isReady }) => isReady)) return;
      announced = true;
      void announce(members);
    };

    const onEnded = (plan: MemberPlan, child: ChildProcess, code: number | null, signal: string | null): void => {
      const member = members.find((candidate) => candidate.process === child);
      if (!stopping && member !== undefined && signal !== null && KILLS.includes(signal)) {
        say(plan.name, `was ended by ${signal}; it is started again in ${RESTART_DELAY_MS / 1000} s`);
        member.restart = setTimeout(() => {
          member.restart = undefined;
          member.process = spawnMember(plan);
          record();
        }, RESTART_DELAY_MS);
        return;
      }
      if (!stopping) {
        failed = true;
        say(plan.name, `ended by itself with ${signal ?? `exit code ${code ?? 1}`}; the others go on`);
      } else if (code !== 0 && signal !== "SIGTERM") {
        failed = true;
      }
      finish();
    };

    const hasEnded = ({ process: child, restart }: Running): boolean =>
      restart === undefined && (child.pid === undefined || child.exitCode !== null || child.signalCode !== null);

    const finish = (): void => {
      if (!members.every(hasEnded)) return;
      removeClusterFile(cluster.dataDir);
      print(stopping ? "stopped; the data is kept for the next start\n" : "every member has ended\n");
      resolve(failed ? 1 : 0);
    };

    const stop = (signal: NodeJS.Signals): void => {
      if (stopping) {
        print("\nstopping already; waiting for the members to finish\n");
        return;
      }
      stopping = true;
      print(`\n${signal}: stopping ${members.length} member${members.length === 1 ? "" : "s"}\n`);
      for (const member of members) {
        clearTimeout(member.restart);
        member.restart = undefined;
        member.process.kill("SIGTERM");
      }
      finish();
    };
    // Nobody reads any more, as after `npm start | head`: every further line would fail in the same way.
    process.stdout.on("error", () => {
      silent = true;
      stop("SIGPIPE");
    });
    process.on("SIGINT", () => stop("SIGINT"));
    process.on("SIGTERM", () => stop("SIGTERM"));
    process.on("SIGHUP", () => stop("SIGHUP"));

    members = cluster.members.map((plan) => ({
      plan,
      process: spawnMember(plan),
      isReady: false,
      restart: undefined,
    }));
    record();
  });
}

async function announce(members: readonly Running[]): Promise<void> {
  const leader = await findLeader(members.map(({ plan }) => plan));
  const rows = members.map(({ plan }) => [
    plan.name,
    `127.0.0.1:${plan.clientPort}`,
    `127.0.0.1:${plan.peerPort}`,
    plan.name === leader?.name ? "leader" : "follower",
    plan.dataDir,
  ]);
  const table = [["MEMBER", "CLIENTS", "PEERS", "ROLE", "DATA"], ...rows];
  const widths = (table[0] as string[]).map((_, column) => Math.max(...table.map((row) => (row[column] ?? "").length)));
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const endpoints = members.map(({ plan }) => `127.0.0.1:${plan.clientPort}`).join(",");
  print(
    `\n${lines.join("\n")}\n\nReady. Try in another terminal:\n` +
      `  export ETCDCTL_ENDPOINTS=${endpoints}\n` +
      `  etcdctl put greeting hello && etcdctl get greeting\n` +
      "  etcdctl endpoint status --write-out=table\n\nCtrl-C stops the cluster.\n\n",
  );
}

function portInUse(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: "127.0.0.1", port });
    socket.on("connect", () => {
      socket.destroy();
      resolve(port);
    });
    socket.on("error", () => resolve(undefined));
  });
}
