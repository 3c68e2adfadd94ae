import { decode } from "../../proto/codec.ts";
import * as mvccpb from "../../proto/generated/mvccpb.ts";
import type { ApiClient } from "./client.ts";

export interface Acknowledged {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
  /** performance.now() when it was sent. */
  readonly sentAt: number;
  /** performance.now() of the answer. */
  readonly at: number;
}

/** Writers that put fresh keys one after the other through given clients until told to stop. */
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
    for (let n = 0; !this.#stopping; n++) {
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
    const goal = this.acknowledged.length + more;
    const deadline = Date.now() + timeoutMs;
    while (this.acknowledged.length < goal) {
      if (Date.now() > deadline) throw new Error(`only ${this.acknowledged.length} of ${goal} puts were acknowledged`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#writers);
  }

  /** Longest time between two answers one after the other, milliseconds, from `since` (performance.now()) on. */
  longestGap(since: number): number {
    const times = this.acknowledged.map(({ at }) => at).filter((at) => at >= since);
    let last = since;
    let longest = 0;
    for (const at of times) {
      longest = Math.max(longest, at - last);
      last = at;
    }
    return longest;
  }
}

/** Everything below a prefix as one member sees it. */
export async function readAll(client: ApiClient, prefix: string): Promise<Map<string, mvccpb.KeyValue>> {
  const end = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
  const { kvs } = await client.range({ key: prefix, rangeEnd: end }, 30_000);
  return new Map(kvs.map((bytes) => decode(mvccpb.KeyValue, bytes)).map((kv) => [kv.key, kv]));
}
