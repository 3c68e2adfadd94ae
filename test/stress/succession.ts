/** How long nobody served after a leader was lost. */
import { rpcs } from "../../proto/generated/services.ts";
import { ApiClient } from "../e2e/client.ts";
import type { MemberProcess } from "../e2e/cluster.ts";
import { now, pause } from "./clock.ts";

export interface Service {
  /** When the first put was answered, by the common clock. */
  readonly servedAt: number;
  /** From the loss to the first answer. */
  readonly putMs: number;
  readonly ttlMs: number;
  /** What was wrong with the time-to-live of a lease. */
  readonly ttlProblem: string | undefined;
}

const TRY_MS = 500;
const BETWEEN_TRIES_MS = 10;
const PATIENCE_MS = 60_000;

/** Asks all survivors, each again and again, for a write and for the time of one lease. */
export async function firstService(
  survivors: readonly MemberProcess[],
  lease: number,
  lostAt: number,
): Promise<Service> {
  let over = false;
  const insist = <T>(attempt: (timeoutMs: number) => Promise<T>): Promise<T> => persist(attempt, () => over);
  const clients = survivors.map(({ endpoint }) => new ApiClient(endpoint));
  try {
    const servedAt = Promise.any(
      clients.map(async (client) => {
        await insist((timeoutMs) => client.put("after the leader", "", {}, timeoutMs));
        return now();
      }),
    );
    const told = Promise.any(
      clients.map(async (client) => {
        const ask = { ID: BigInt(lease) };
        const { TTL } = await insist((timeoutMs) => client.unary(rpcs.LeaseLeaseTimeToLive, ask, { timeoutMs }));
        return { at: now(), TTL };
      }),
    );
    const [put, time] = await Promise.all([servedAt, told]);
    const ttlProblem = time.TTL > 0 ? undefined : `lease ${lease} has TTL ${time.TTL} after the leader was lost`;
    return { servedAt: put, putMs: put - lostAt, ttlMs: time.at - lostAt, ttlProblem };
  } finally {
    over = true;
    for (const client of clients) client.close();
  }
}

async function persist<T>(attempt: (timeoutMs: number) => Promise<T>, isOver: () => boolean): Promise<T> {
  const end = now() + PATIENCE_MS;
  for (;;) {
    try {
      return await attempt(TRY_MS);
    } catch (error) {
      // Nobody leads yet; who still fails when patience is over has a fault.
      if (isOver() || now() > end) throw error;
      await pause(BETWEEN_TRIES_MS);
    }
  }
}
