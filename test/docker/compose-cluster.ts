import { execFileSync, spawnSync } from "node:child_process";
import {
  type ContainerRuntimeClient,
  DockerComposeEnvironment,
  getContainerRuntimeClient,
  type StartedDockerComposeEnvironment,
  Wait,
} from "testcontainers";
import { ApiClient } from "../e2e/client.ts";
import { freePorts, root } from "../e2e/cluster.ts";
import { run } from "../e2e/etcdctl.ts";

const works = (...args: string[]): boolean => spawnSync("docker", args, { stdio: "ignore" }).status === 0;

/** True when containers can be run here; `npm run test:docker` says what is missing. */
export const hasEngine = works("info") && works("compose", "version");
if (!hasEngine && process.env.QUORATE_DOCKER === "required") throw new Error("the Docker engine is gone");

const NAMES = ["quorate1", "quorate2", "quorate3"] as const;
const PROJECT_LABEL = "com.docker.compose.project";
const SERVICE_LABEL = "com.docker.compose.service";
/** A client's ping: what a container that is gone took with it must not look like a quiet stream for ever. */
const KEEPALIVE_MS = 3_000;
const DEADLINE_MS = 120_000;
/** Set by `npm run test:docker`. */
export const BASE = process.env.BASE_IMAGE ?? "node:24-slim";

type Container = ReturnType<ContainerRuntimeClient["container"]["getById"]>;

/** One member of the compose cluster, as its operator sees it: a service with a container that comes and goes. */
export class ContainerMember {
  readonly name: string;
  readonly clientPort: number;
  readonly client: ApiClient;
  readonly #cluster: ComposeCluster;

  constructor(cluster: ComposeCluster, name: string, clientPort: number) {
    this.#cluster = cluster;
    this.name = name;
    this.clientPort = clientPort;
    this.client = new ApiClient(this.endpoint, KEEPALIVE_MS);
  }

  get endpoint(): string {
    return `127.0.0.1:${this.clientPort}`;
  }

  /** The container as it is now: another one after it was recreated. */
  async container(): Promise<Container> {
    const { container } = this.#cluster.runtime;
    const [found] = await container.dockerode.listContainers({
      all: true,
      filters: { label: [`${PROJECT_LABEL}=${this.#cluster.project}`, `${SERVICE_LABEL}=${this.name}`] },
    });
    if (found === undefined) throw new Error(`${this.name} has no container`);
    return container.getById(found.Id);
  }

  async kill(): Promise<void> {
    await (await this.container()).kill({ signal: "SIGKILL" });
  }

  async start(): Promise<void> {
    await (await this.container()).start();
  }

  /** SIGTERM, and SIGKILL after the grace period; then a start. */
  async restart(): Promise<void> {
    await (await this.container()).restart({ t: 30 });
  }

  /** On cgroups of version 1 the engine gives up when a busy process does not freeze at once, and thaws it again. */
  async pause(): Promise<void> {
    const container = await this.container();
    await until(`${this.name} is paused`, async () => {
      try {
        await container.pause();
        return true;
      } catch (error) {
        if (String(error).includes("unable to freeze")) return false;
        throw error;
      }
    });
  }

  async unpause(): Promise<void> {
    await (await this.container()).unpause();
  }

  async disconnect(): Promise<void> {
    const { id } = await this.container();
    await (await this.#cluster.network()).disconnect({ Container: id });
  }

  async connect(): Promise<void> {
    const { id } = await this.container();
    const EndpointConfig = { Aliases: [this.name] };
    await (await this.#cluster.network()).connect({ Container: id, EndpointConfig });
  }

  /** A new container on the old volume, with another address perhaps. */
  async recreate(): Promise<void> {
    await this.#cluster.compose("up", "--detach", "--no-deps", "--force-recreate", this.name);
  }

  async restartCount(): Promise<number> {
    return (await (await this.container()).inspect()).RestartCount;
  }

  async log(): Promise<string> {
    const { id } = await this.container();
    const { stdout, stderr } = await run("docker", ["logs", id]);
    return stdout + stderr;
  }

  async health(): Promise<string> {
    return (await (await this.container()).inspect()).State.Health?.Status ?? "none";
  }

  /** Sends a signal to the member from inside its container, as an engine does not see it coming. */
  async signalInside(signal: "SIGTERM"): Promise<void> {
    const { id } = await this.container();
    await run("docker", ["exec", id, "node", "-e", `process.kill(1, ${JSON.stringify(signal)})`]);
  }

  /** Resolves when it serves and has applied everything that the others had committed when this was called. */
  async caughtUp(others: readonly ContainerMember[]): Promise<void> {
    const statuses = await Promise.allSettled(others.map((other) => other.client.status(2_000)));
    const goal = Math.max(0, ...statuses.map((seen) => (seen.status === "fulfilled" ? seen.value.raftIndex : 0)));
    await until(`${this.name} has caught up to ${goal}`, async () => {
      try {
        const { raftAppliedIndex, leader } = await this.client.status(2_000);
        return leader !== 0n && raftAppliedIndex >= goal;
      } catch {
        return false;
      }
    });
  }
}

/** The cluster of docker-compose.yml as a project of its own: own image name, own volumes, free ports. */
export class ComposeCluster {
  readonly project: string;
  readonly members: readonly ContainerMember[];
  readonly runtime: ContainerRuntimeClient;
  readonly #environment: Record<string, string>;
  #started: StartedDockerComposeEnvironment | undefined;

  constructor(project: string, ports: readonly number[], runtime: ContainerRuntimeClient) {
    this.project = project;
    this.runtime = runtime;
    this.members = NAMES.map((name, place) => new ContainerMember(this, name, ports[place] as number));
    this.#environment = {
      QUORATE_IMAGE: this.image,
      BASE_IMAGE: BASE,
      ...Object.fromEntries(
        this.members.map(({ name, clientPort }) => [`${name.toUpperCase()}_PORT`, `${clientPort}`]),
      ),
    };
  }

  get image(): string {
    return `${this.project}-image`;
  }

  get endpoints(): string[] {
    return this.members.map(({ endpoint }) => endpoint);
  }

  /** Builds the image and starts all members; resolves when every health check says healthy. */
  async up(): Promise<void> {
    this.#started = await new DockerComposeEnvironment(root, "docker-compose.yml")
      .withProjectName(this.project)
      .withEnvironment(this.#environment)
      .withBuild()
      .withAutoCleanup(false)
      .withDefaultWaitStrategy(Wait.forHealthCheck())
      .withStartupTimeout(DEADLINE_MS)
      .up();
  }

  /** Ends containers, network, volumes and image. */
  async destroy(): Promise<void> {
    for (const { client } of this.members) client.close();
    try {
      await this.#started?.down({ removeVolumes: true, timeout: 60_000 });
    } finally {
      await run("docker", ["image", "rm", "--force", this.image]);
    }
  }

  /** docker compose with this project's settings; rejects when it fails. */
  async compose(...args: string[]): Promise<string> {
    const result = await run("docker", ["compose", "--project-directory", root, ...args], {
      timeoutMs: DEADLINE_MS,
      env: this.environment,
    });
    if (result.code !== 0) throw new Error(`docker compose ${args.join(" ")}: ${result.stdout}${result.stderr}`);
    return result.stdout;
  }

  get environment(): Record<string, string> {
    return { ...this.#environment, COMPOSE_PROJECT_NAME: this.project };
  }

  async network() {
    const { dockerode } = this.runtime.container;
    const [found] = await dockerode.listNetworks({ filters: { label: [`${PROJECT_LABEL}=${this.project}`] } });
    if (found === undefined) throw new Error("the cluster has no network");
    return dockerode.getNetwork(found.Id);
  }

  /** The member that these, which answer, take for the leader. */
  async leader(among: readonly ContainerMember[] = this.members): Promise<ContainerMember> {
    let leader: ContainerMember | undefined;
    await until("the members agree on a leader", async () => {
      const statuses = await Promise.allSettled(among.map(({ client }) => client.status(2_000)));
      const seen = statuses.flatMap((status) => (status.status === "fulfilled" ? [status.value] : []));
      const place = statuses.findIndex(
        (status) => status.status === "fulfilled" && status.value.leader === status.value.header?.memberId,
      );
      leader = among[place];
      return seen.length === among.length && new Set(seen.map((status) => status.leader)).size === 1 && place >= 0;
    });
    return leader as ContainerMember;
  }

  imageBytes(name: string): number {
    return Number(execFileSync("docker", ["image", "inspect", "--format", "{{.Size}}", name], { encoding: "utf8" }));
  }
}

export async function createComposeCluster(): Promise<ComposeCluster> {
  const runtime = await getContainerRuntimeClient();
  await removeOrphans(runtime);
  return new ComposeCluster(`quorate-test-${process.pid}-${Date.now()}`, await freePorts(3), runtime);
}

/** What a test run left behind that was killed: its members would be started again with every engine. */
async function removeOrphans({ container: { dockerode } }: ContainerRuntimeClient): Promise<void> {
  const containers = await dockerode.listContainers({ all: true, filters: { label: [PROJECT_LABEL] } });
  for (const project of new Set(containers.map(({ Labels }) => Labels[PROJECT_LABEL] ?? ""))) {
    const pid = Number(/^quorate-test-(\d+)-/.exec(project)?.[1]);
    if (pid > 0 && !isAlive(pid)) await run("docker", ["compose", "-p", project, "down", "--volumes", "-t", "0"]);
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Polls for at most two minutes. */
export async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`not within ${DEADLINE_MS / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
