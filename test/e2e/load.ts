import { status } from "@grpc/grpc-js";
import { decode } from "../../proto/codec.ts";
import * as mvccpb from "../../proto/generated/mvccpb.ts";
import type { ApiClient, ServiceError } from "./client.ts";
import type { Cluster, MemberProcess } from "./cluster.ts";

export interface Acknowledged {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
  /** performance.now() when it was sent. */
  readonly sentAt: number;
  /** performance.now() of the answer. */
  readonly at: number;
}

/** Writers that put fresh keys one after the other through given clients until told to stop, or the clients are closed. */
export class Load {
  readonly acknowledged: Acknowledged[] = [];
  /** Every key ever sent: what is in the store must be among them. */
  readonly sent = new Set<string>();
  failures = 0;
  #stopping = false;
  readonly #timeoutMs: number;
  readonly #writers: Promise<void>[];

  constructor(clients: readonly ApiClient[], writersPerClient: number, prefix: string, timeoutMs = 10_000) {
    this.#timeoutMs = timeoutMs;
    this.#writers = clients.flatMap((client, place) =>
      Array.from({ length: writersPerClient }, (_, writer) => this.#write(client, `${prefix}/${place}.${writer}`)),
    );
  }

  async #write(client: ApiClient, prefix: string): Promise<void> {
    for (let n = 0; !this.#stopping && !client.closed; n++) {
      const key = `${prefix}/${n}`;
      const value = `value of ${key}`;
      this.sent.add(key);
      const sentAt = performance.now();
      try {
        const { header } = await client.put(key, value, {}, this.#timeoutMs);
        this.acknowledged.push({ key, value, revision: header?.revision ?? 0, sentAt, at: performance.now() });
      } catch {
        // Unknown outcome (G-7): the key may or may not be there; a fresh one is written next.
        this.failures++;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }

  /** Resolves when so many more puts than now were acknowledged. */
  async progress(more: number, timeoutMs = 60_000): Promise<void> {
    await reached(() => this.acknowledged.length, more, timeoutMs);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#writers);
  }

  longestGap(since: number): number {
    return longestGap(this.acknowledged, since);
  }
}

/** Longest time between two answers one after the other, milliseconds, from `since` (performance.now()) on. */
function longestGap(acknowledged: readonly Acknowledged[], since: number): number {
  const times = acknowledged.map(({ at }) => at).filter((at) => at >= since);
  let last = since;
  let longest = 0;
  for (const at of times) {
    longest = Math.max(longest, at - last);
    last = at;
  }
  return longest;
}

const RETRYABLE: readonly number[] = [status.UNAVAILABLE];

/**
 * Writers that do as any client library does: a put that fails with Unavailable is sent again, to the next member there
 * is. Whatever else goes wrong is a problem. They end with the cluster.
 */
export class RetriedLoad {
  readonly acknowledged: Acknowledged[] = [];
  readonly problems: string[] = [];
  retries = 0;
  #stopping = false;
  readonly #cluster: Cluster;
  readonly #writers: Promise<void>[];

  constructor(cluster: Cluster, writers: number, prefix: string) {
    this.#cluster = cluster;
    this.#writers = Array.from({ length: writers }, (_, writer) => this.#write(writer, `${prefix}/${writer}`));
  }

  async #write(writer: number, prefix: string): Promise<void> {
    let turn = writer;
    for (let n = 0; !this.#stopping && !this.#cluster.destroyed; n++) {
      const key = `${prefix}/${n}`;
      const value = `value of ${key}`;
      const sentAt = performance.now();
      const deadline = sentAt + 30_000;
      for (;;) {
        const { members } = this.#cluster;
        const member = members[turn % members.length] as MemberProcess;
        try {
          const { header } = await this.#cluster.client(member).put(key, value, {}, 15_000);
          this.acknowledged.push({ key, value, revision: header?.revision ?? 0, sentAt, at: performance.now() });
          break;
        } catch (error) {
          const { code = -1, details } = error as Partial<ServiceError>;
          this.retries++;
          turn++;
          if (this.#cluster.destroyed) break;
          if (RETRYABLE.includes(code) && performance.now() < deadline) {
            await new Promise((resolve) => setTimeout(resolve, 20));
            continue;
          }
          this.problems.push(`${key} at ${member.name}: ${code} ${details ?? error}`);
          break;
        }
      }
    }
  }

  async progress(more: number, timeoutMs = 60_000): Promise<void> {
    await reached(() => this.acknowledged.length, more, timeoutMs);
  }

  longestGap(since: number): number {
    return longestGap(this.acknowledged, since);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#writers);
  }
}

async function reached(count: () => number, more: number, timeoutMs: number): Promise<void> {
  const goal = count() + more;
  const deadline = Date.now() + timeoutMs;
  while (count() < goal) {
    if (Date.now() > deadline) throw new Error(`only ${count()} of ${goal} puts were acknowledged`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Everything below a prefix as one member sees it. */
export async function readAll(client: ApiClient, prefix: string): Promise<Map<string, mvccpb.KeyValue>> {
  const end = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
  const { kvs } = await client.range({ key: prefix, rangeEnd: end }, 30_000);
  return new Map(kvs.map((bytes) => decode(mvccpb.KeyValue, bytes)).map((kv) => [kv.key, kv]));
}
