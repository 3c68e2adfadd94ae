/** A program: grants leases in parallel, attaches keys to them, keeps some alive. */
import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { LeaseKeepAliveRequest, LeaseKeepAliveResponse } from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { ApiClient } from "../e2e/client.ts";
import { now } from "./clock.ts";
import { serve } from "./helper.ts";
import { leaseKey, writeTimes } from "./lease-times.ts";

export interface GrantOrder {
  readonly endpoints: readonly string[];
  /** Ids from this one on. */
  readonly from: number;
  readonly count: number;
  /** A key for each lease, below this prefix. */
  readonly prefix?: string;
  /** A time-to-live, or (by the common clock, milliseconds) the beginning of the second in which all are to end. */
  readonly ttl: { readonly seconds: number } | { readonly endAt: number };
}

export interface GrantResult {
  readonly seconds: number;
  readonly failures: readonly string[];
  readonly failureCount: number;
  /** Granted when it was too late for them to end with the others. */
  readonly stragglers: number;
}

export interface KeepOrder {
  readonly endpoint: string;
  readonly from: number;
  readonly count: number;
  readonly ttlSeconds: number;
}

export interface Kept {
  /** When the last renewal of each lease was sent that was answered with its full time; ids as numbers. */
  readonly renewedAt: readonly (readonly [id: number, at: number])[];
  /** Renewals that reached the cluster when the lease may have been due: this program was late. */
  readonly lapses: number;
  readonly problems: readonly string[];
}

const IN_FLIGHT = 96;
const CALL_TIMEOUT_MS = 30_000;
/** L-1: no lease lives shorter at etcd's default timings. */
const MIN_TTL_SECONDS = 2;

let granted = 0;
let stragglers = 0;

async function grantAll({ endpoints, from, count, prefix, ttl }: GrantOrder): Promise<GrantResult> {
  const clients = endpoints.map((endpoint) => new ApiClient(endpoint));
  const failures: string[] = [];
  let failureCount = 0;
  const startedAt = now();
  stragglers = 0;
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) {
      const client = clients[next % clients.length] as ApiClient;
      const id = from + next++;
      try {
        await grant(client, id, prefix, ttl);
        granted++;
      } catch (error) {
        failureCount++;
        if (failures.length < 5) failures.push(`lease ${id}: ${error}`);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, count) }, work));
  for (const client of clients) client.close();
  return { seconds: (now() - startedAt) / 1_000, failures, failureCount, stragglers };
}

async function grant(client: ApiClient, id: number, prefix: string | undefined, ttl: GrantOrder["ttl"]): Promise<void> {
  const sentAt = now();
  const wanted = "seconds" in ttl ? ttl.seconds : Math.ceil((ttl.endAt - sentAt) / 1_000);
  const seconds = Math.max(wanted, MIN_TTL_SECONDS);
  if (wanted < seconds) stragglers++;
  const request = { ID: BigInt(id), TTL: seconds };
  await client.unary(rpcs.LeaseLeaseGrant, request, { timeoutMs: CALL_TIMEOUT_MS });
  if (prefix === undefined) return;
  const times = writeTimes({ sentAt, answeredAt: now(), ttlMs: seconds * 1_000 });
  await client.put(leaseKey(prefix, id), times, { lease: BigInt(id) }, CALL_TIMEOUT_MS);
}

/** Renews every lease three times in its time-to-live. */
class Keeper {
  readonly #order: KeepOrder;
  readonly #renewedAt = new Map<number, number>();
  /** Replies come in the order of the requests (L-4). */
  readonly #asked: { readonly id: number; readonly sentAt: number }[] = [];
  readonly #problems: string[] = [];
  readonly #client: ApiClient;
  readonly #stream: ClientDuplexStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>;
  readonly #timer: NodeJS.Timeout;
  #lapses = 0;
  #stopped = false;

  constructor(order: KeepOrder) {
    this.#order = order;
    this.#client = new ApiClient(order.endpoint);
    this.#stream = this.#client.bidi(rpcs.LeaseLeaseKeepAlive);
    this.#stream.on("data", (reply: LeaseKeepAliveResponse) => this.#answered(reply));
    this.#stream.on("error", (error) => {
      if (!this.#stopped) this.#problems.push(`the keep-alive stream failed: ${error}`);
    });
    this.#renewAll();
    this.#timer = setInterval(() => this.#renewAll(), (order.ttlSeconds * 1_000) / 3);
  }

  #renewAll(): void {
    const { from, count } = this.#order;
    for (let id = from; id < from + count; id++) {
      this.#asked.push({ id, sentAt: now() });
      this.#stream.write({ ID: BigInt(id) });
    }
  }

  #answered({ ID, TTL }: LeaseKeepAliveResponse): void {
    const { ttlSeconds } = this.#order;
    const asked = this.#asked.shift();
    if (asked === undefined || BigInt(asked.id) !== ID) {
      this.#problems.push(`a renewal of ${ID} is answered, not that of ${asked?.id}`);
      return;
    }
    if (TTL === ttlSeconds) {
      this.#renewedAt.set(asked.id, asked.sentAt);
      return;
    }
    const safeUntil = (this.#renewedAt.get(asked.id) ?? 0) + ttlSeconds * 1_000;
    if (TTL !== 0 || now() < safeUntil) this.#problems.push(`lease ${ID} was kept alive and is told TTL ${TTL}`);
    else this.#lapses++;
  }

  /** Every renewal that was sent is answered. */
  async stop(): Promise<Kept> {
    clearInterval(this.#timer);
    this.#stopped = true;
    await new Promise<void>((resolve) => {
      this.#stream.on("end", resolve).on("error", () => resolve());
      this.#stream.end();
    });
    this.#client.close();
    return { renewedAt: [...this.#renewedAt], lapses: this.#lapses, problems: this.#problems.slice(0, 5) };
  }
}

let keeper: Keeper | undefined;

const desk = {
  grant: grantAll,
  /** Since the beginning. */
  granted: (): number => granted,
  keep(order: KeepOrder): void {
    keeper = new Keeper(order);
  },
  async stopKeeping(): Promise<Kept> {
    if (keeper === undefined) throw new Error("nothing is kept alive");
    return keeper.stop();
  },
};
export type LeaseLoadDesk = typeof desk;

serve(desk);
