import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ApiClient } from "./client.ts";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
export const quorate = join(root, "bin", "quorate");
const READY = "ready to serve client requests";

/**
 * Below the ports that a kernel gives to outgoing connections: any of those may be in use at any time. The README's test
 * takes some that are above these and below those.
 */
const PORTS = { from: 10_000, to: 22_000 } as const;
const PORT_TRIES = 1_000;

/** Ports that were free a moment ago; all different. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let tries = 0; ports.size < count; tries++) {
    if (tries === PORT_TRIES) throw new Error(`no free ports between ${PORTS.from} and ${PORTS.to}`);
    const port = randomInt(PORTS.from, PORTS.to);
    if (!ports.has(port) && (await isFree(port))) ports.add(port);
  }
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(false);
      else reject(error);
    });
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** One member as its own process, as an operator would start it. */
export class MemberProcess {
  readonly name: string;
  readonly dataDir: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly flags: readonly string[];
  /** `quorate`, or etcd to compare with. */
  readonly binary: string;
  /** Beside what this process has. */
  readonly env: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;
  #log = "";
  #logStart = 0;
  #exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }> | undefined;
  #wake: (() => void)[] = [];

  constructor(
    name: string,
    dataDir: string,
    clientPort: number,
    peerPort: number,
    flags: readonly string[],
    binary = quorate,
    env: Readonly<Record<string, string>> = {},
  ) {
    this.binary = binary;
    this.env = env;
    this.name = name;
    this.dataDir = dataDir;
    this.clientPort = clientPort;
    this.peerPort = peerPort;
    this.flags = flags;
  }

  get endpoint(): string {
    return `127.0.0.1:${this.clientPort}`;
  }

  get peerUrl(): string {
    return `http://127.0.0.1:${this.peerPort}`;
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`${this.name} does not run`);
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Everything it logged in this life. */
  get log(): string {
    return this.#log.slice(this.#logStart);
  }

  start(): void {
    if (this.running) throw new Error(`${this.name} runs already`);
    if (!existsSync(join(root, "dist", "src", "main.js"))) throw new Error("not built: run npm run build");
    this.#logStart = this.#log.length;
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("ETCD"));
    const env = { ...Object.fromEntries(inherited), ...this.env };
    const child = spawn(this.binary, this.flags, { stdio: ["ignore", "pipe", "pipe"], env });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.#log += text;
        for (const wake of this.#wake.splice(0)) wake();
      });
    }
    this.#exit = new Promise((resolve) => child.on("exit", (code, signal) => resolve({ code, signal })));
  }

  /** Resolves when the log of this life holds the text. */
  async logged(text: string, timeoutMs = 60_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!this.log.includes(text)) {
      if (!this.running) throw new Error(`${this.name} ended before it logged "${text}":\n${this.log}`);
      if (Date.now() > deadline) throw new Error(`${this.name} never logged "${text}":\n${this.log}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 250);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  ready(timeoutMs = 60_000): Promise<void> {
    return this.logged(READY, timeoutMs);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async exited(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    if (this.#exit === undefined) throw new Error(`${this.name} was never started`);
    return this.#exit;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    this.signal(signal);
    return this.exited();
  }
}

export class Cluster {
  readonly directory: string;
  #members: readonly MemberProcess[];
  readonly #former: MemberProcess[] = [];
  readonly #clients = new Map<MemberProcess, ApiClient>();
  #destroyed = false;

  constructor(members: readonly MemberProcess[], directory: string) {
    this.#members = members;
    this.directory = directory;
  }

  get members(): readonly MemberProcess[] {
    return this.#members;
  }

  /** One that was added to the cluster and is to be started. */
  include(member: MemberProcess): void {
    this.#members = [...this.#members, member];
  }

  /** One that was removed from the cluster; its process ends with the cluster at the latest. */
  exclude(member: MemberProcess): void {
    this.#members = this.#members.filter((other) => other !== member);
    this.#former.push(member);
  }

  get endpoints(): string[] {
    return this.members.map((member) => member.endpoint);
  }

  member(position: number): MemberProcess {
    const member = this.members[position];
    if (member === undefined) throw new Error(`no member ${position}`);
    return member;
  }

  client(member: MemberProcess): ApiClient {
    let client = this.#clients.get(member);
    if (client === undefined) {
      client = new ApiClient(member.endpoint);
      this.#clients.set(member, client);
    }
    return client;
  }

  get destroyed(): boolean {
    return this.#destroyed;
  }

  /** Resolves when these members serve, and their clients here reach them. */
  async ready(members = this.members.filter((member) => member.running)): Promise<void> {
    await Promise.all(
      members.map(async (member) => {
        await member.ready();
        await this.client(member).connected();
      }),
    );
  }

  /** The member that every running member takes for the leader. */
  async leader(timeoutMs = 30_000): Promise<MemberProcess> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const running = this.members.filter((member) => member.running);
      const seen = await Promise.all(
        running.map(async (member) => {
          try {
            const status = await this.client(member).status(2_000);
            return { member, id: status.header?.memberId ?? 0n, leader: status.leader };
          } catch {
            return undefined;
          }
        }),
      );
      const leaders = new Set(seen.map((item) => item?.leader));
      const found = seen.find((item) => item !== undefined && item.id === item.leader && item.leader !== 0n);
      if (leaders.size === 1 && found !== undefined) return found.member;
      if (Date.now() > deadline) throw new Error("the members agree on no leader");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async followers(): Promise<MemberProcess[]> {
    const leader = await this.leader();
    return this.members.filter((member) => member !== leader && member.running);
  }

  /** Ends every process and removes the data. */
  async destroy(): Promise<void> {
    this.#destroyed = true;
    for (const client of this.#clients.values()) client.close();
    const all = [...this.#members, ...this.#former];
    await Promise.all(all.filter((member) => member.running).map((member) => member.kill()));
    await rm(this.directory, { recursive: true, force: true });
  }
}

export interface Place {
  readonly name: string;
  readonly client: number;
  readonly peer: number;
}

/** `initial`: the value of --initial-cluster. */
export function memberAt(
  directory: string,
  { name, client, peer }: Place,
  initial: string,
  extraFlags: readonly string[] = [],
  binary = quorate,
  env: Readonly<Record<string, string>> = {},
): MemberProcess {
  const dataDir = join(directory, name);
  const flags = [
    `--name=${name}`,
    `--data-dir=${dataDir}`,
    `--listen-client-urls=http://127.0.0.1:${client}`,
    `--advertise-client-urls=http://127.0.0.1:${client}`,
    `--listen-peer-urls=http://127.0.0.1:${peer}`,
    `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
    `--initial-cluster=${initial}`,
    `--initial-cluster-token=${directory}`,
    ...extraFlags,
  ];
  return new MemberProcess(name, dataDir, client, peer, flags, binary, env);
}

/** Members with free ports and a directory of their own, not started. */
export async function createCluster(
  count: number,
  extraFlags: readonly string[] = [],
  binary = quorate,
  env: Readonly<Record<string, string>> = {},
): Promise<Cluster> {
  const directory = await mkdtemp(join(tmpdir(), "quorate-e2e-"));
  const ports = await freePorts(2 * count);
  const places = Array.from({ length: count }, (_, i) => ({
    name: `m${i + 1}`,
    client: ports[2 * i] as number,
    peer: ports[2 * i + 1] as number,
  }));
  const initial = places.map(({ name, peer }) => `${name}=http://127.0.0.1:${peer}`).join(",");
  const members = places.map((place) => memberAt(directory, place, initial, extraFlags, binary, env));
  return new Cluster(members, directory);
}

export async function startCluster(
  count: number,
  extraFlags: readonly string[] = [],
  binary = quorate,
  env: Readonly<Record<string, string>> = {},
): Promise<Cluster> {
  const cluster = await createCluster(count, extraFlags, binary, env);
  try {
    for (const member of cluster.members) member.start();
    await cluster.ready();
  } catch (error) {
    await cluster.destroy();
    throw error;
  }
  return cluster;
}
