import { type Etcd3, EtcdLockFailedError, type Lock } from "etcd3";
import { expect } from "vitest";
import { until } from "../until.ts";
import type { Feature } from "./feature.ts";

const KEY = "lock/mutex";
const CONTENDERS = 4;
const EACH = 6;

/** Until it is known to be gone: an answer may be missing because nobody led. */
const release = (lock: Lock): Promise<void> =>
  until("the lock is released", () =>
    lock.release().then(
      () => true,
      () => false,
    ),
  );

/** The package does not wait for a lock, it refuses: so contenders try until they have it. */
async function acquire(client: Etcd3): Promise<Lock> {
  let taken: Lock | undefined;
  await until("the lock is free", async () => {
    const lock = client.lock(KEY).ttl(20);
    try {
      taken = await lock.acquire();
      return true;
    } catch (error) {
      // Refused means that its lease is revoked already; else the lock may be held without anybody knowing.
      if (!(error instanceof EtcdLockFailedError)) await release(lock);
      return false;
    }
  });
  return taken as Lock;
}

export const locks: readonly Feature[] = [
  {
    name: "lock",
    shown: "a second is refused, free after release; do() releases on failure, too",
    async run(stage) {
      const one = stage.connect();
      const other = stage.connect();
      const lock = await one.lock("lock/plain").acquire();
      await expect(other.lock("lock/plain").acquire()).rejects.toBeInstanceOf(EtcdLockFailedError);
      await lock.release();
      expect(await other.lock("lock/plain").do(() => "held")).toBe("held");
      await expect(
        other.lock("lock/plain").do(() => {
          throw new Error("inside");
        }),
      ).rejects.toThrow("inside");
      expect(await one.get("lock/plain").exists()).toBe(false);
    },
  },
  {
    name: "lock, leader killed",
    shown: `${CONTENDERS} contenders, ${EACH} times each: never two at once, no increment lost`,
    async run(stage) {
      const leader = await stage.cluster.leader();
      const holders = new Set<number>();
      let sections = 0;
      const contend = async (place: number): Promise<void> => {
        const client = stage.connect();
        for (let n = 0; n < EACH; n++) {
          const lock = await acquire(client);
          holders.add(place);
          expect([...holders]).toEqual([place]);
          const lease = (await lock.leaseId()) ?? "";
          // Two requests that others could come between, were it not for the lock; it is repeated until it is known done.
          let before: number | undefined;
          await until("the counter is written", async () => {
            try {
              before ??= (await client.get("lock/counter").number()) ?? 0;
              const { succeeded } = await client
                .if(KEY, "Lease", "==", lease)
                .then(client.put("lock/counter").value(before + 1))
                .commit();
              if (!succeeded) throw new Error("the lock was lost");
              return true;
            } catch (error) {
              if ((error as Error).message === "the lock was lost") throw error;
              return false;
            }
          });
          sections++;
          holders.delete(place);
          await release(lock);
        }
      };
      const contenders = Promise.all(Array.from({ length: CONTENDERS }, (_, place) => contend(place)));
      const killed = until("some had it", () => sections >= CONTENDERS).then(() => stage.kill(leader));
      await Promise.all([contenders, killed]);
      expect(await stage.connect().get("lock/counter").number()).toBe(CONTENDERS * EACH);
    },
  },
];
