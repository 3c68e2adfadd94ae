import type { Env, Timer } from "../env.ts";
import type { Logger } from "../log.ts";
import type { PeerTransport } from "../peer/transport.ts";
import type { Cluster, Command } from "../state/machine.ts";
import { hexId } from "./ids.ts";

export interface ClusterVersionDeps {
  readonly env: Env;
  readonly log: Logger;
  readonly memberId: bigint;
  readonly serverVersion: string;
  readonly cluster: Cluster;
  readonly transport: Pick<PeerTransport, "request">;
  readonly pollMs: number;
  readonly propose: (command: Command) => Promise<unknown>;
}

/** When not every member could be asked at a cluster's first start. */
const UNDECIDED = "3.0.0";

/**
 * Leader's duty: the cluster speaks the lowest version of its members, X.Y.0 (X-8, P-34). It is raised when the last
 * member was upgraded and never lowered here.
 */
export class ClusterVersion {
  readonly #deps: ClusterVersionDeps;
  #leading = false;
  #busy = false;
  #timer: Timer | undefined;

  constructor(deps: ClusterVersionDeps) {
    this.#deps = deps;
  }

  lead(): void {
    this.#leading = true;
    this.#poll();
  }

  stop(): void {
    this.#leading = false;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #poll(): void {
    this.#timer?.cancel();
    this.#timer = this.#deps.env.setTimer(() => this.#poll(), this.#deps.pollMs);
    if (this.#busy) return;
    this.#busy = true;
    this.#decide()
      .catch((error: unknown) => {
        // Environment: no leader now, or a slow disk. The next poll tries again.
        this.#deps.log.warn({ error: String(error) }, "failed to decide the cluster version");
      })
      .finally(() => {
        this.#busy = false;
      });
  }

  async #decide(): Promise<void> {
    const { cluster, log } = this.#deps;
    const versions = await Promise.all(cluster.members().map((member) => this.#versionOf(member.id)));
    if (!this.#leading) return;
    const { enabled, targetVersion } = cluster.downgrade;
    // N-15: all that was to be done is done.
    if (
      enabled &&
      versions.every((version) => version !== undefined && compareVersions(version, targetVersion) === 0)
    ) {
      await this.#deps.propose({ downgradeInfoSet: { enabled: false, ver: "" } });
      log.info({ "cluster-version": targetVersion }, "the cluster has been downgraded");
    }
    const unknown = versions.includes(undefined);
    const lowest = versions
      .map((version) => version ?? UNDECIDED)
      .reduce((low, version) => (compareVersions(version, low) < 0 ? version : low));
    const [major, minor] = lowest.split(".");
    const ver = `${major}.${minor}.0`;
    const current = cluster.version;
    if (current === undefined || (!unknown && compareVersions(ver, current) > 0)) {
      await this.#deps.propose({ clusterVersionSet: { ver } });
      this.#deps.log.info(
        { "cluster-version": ver },
        current === undefined ? "set initial cluster version" : "updated cluster version",
      );
    }
  }

  async #versionOf(id: bigint): Promise<string | undefined> {
    if (id === this.#deps.memberId) return this.#deps.serverVersion;
    try {
      const request = { method: "GET", path: "/version", timeoutMs: this.#deps.pollMs } as const;
      const answer = await this.#deps.transport.request(id, request);
      const { etcdserver } = JSON.parse(answer.body.toString("utf8")) as { etcdserver?: unknown };
      return typeof etcdserver === "string" && /^\d+\.\d+\.\d+/.test(etcdserver) ? etcdserver : undefined;
    } catch (error) {
      this.#deps.log.debug({ "remote-peer-id": hexId(id), error: String(error) }, "failed to get a member's version");
      return undefined;
    }
  }
}

/** By major, then minor. */
export function compareVersions(a: string, b: string): number {
  const [aMajor = 0, aMinor = 0] = a.split(".").map(Number);
  const [bMajor = 0, bMinor = 0] = b.split(".").map(Number);
  return aMajor - bMajor || aMinor - bMinor;
}
