import { STMConflictError } from "etcd3";
import { expect } from "vitest";
import { until } from "../until.ts";
import type { Feature } from "./feature.ts";

const SERIALIZABLE = 1;
const REPEATABLE_READS = 2;
const CLIENTS = 4;
const EACH = 10;

export const stm: readonly Feature[] = [
  {
    name: "STM, conflicting",
    shown: `${CLIENTS} clients, one counter, ${EACH} times each, three isolations: the sum is exact`,
    async run(stage) {
      for (const isolation of [undefined, SERIALIZABLE, REPEATABLE_READS]) {
        const key = `stm/counter/${isolation}`;
        const clients = Array.from({ length: CLIENTS }, () => stage.connect());
        let conflicts = 0;
        await Promise.all(
          clients.map(async (client) => {
            for (let n = 0; n < EACH; n++) {
              let tries = 0;
              await client
                .stm({ retries: 1_000, ...(isolation === undefined ? {} : { isolation }) })
                .transact(async (tx) => {
                  tries++;
                  const before = (await tx.get(key).number()) ?? 0;
                  await tx.put(key).value(before + 1);
                });
              conflicts += tries - 1;
            }
          }),
        );
        expect(await clients[0]?.get(key).number()).toBe(CLIENTS * EACH);
        expect(conflicts).toBeGreaterThan(0);
      }
    },
  },
  {
    name: "STM, leader killed",
    shown: "with a mark a step against unknown outcomes: counter and marks agree",
    async run(stage) {
      const clients = Array.from({ length: CLIENTS }, () => stage.connect());
      const leader = await stage.cluster.leader();
      let done = 0;
      const step = async (client: (typeof clients)[number], mark: string): Promise<void> => {
        await client.stm({ retries: 1_000, isolation: SERIALIZABLE }).transact(async (tx) => {
          if ((await tx.get(mark)) !== null) return;
          const before = (await tx.get("stm/sum").number()) ?? 0;
          await tx.put("stm/sum").value(before + 1);
          await tx.put(mark).value("done");
        });
      };
      const workers = Promise.all(
        clients.map(async (client, place) => {
          for (let n = 0; n < EACH; n++) {
            const mark = `stm/mark/${place}/${n}`;
            // Whatever else fails (no leader for a while, a member behind the first read) is tried again, as any user would.
            await until(mark, () =>
              step(client, mark).then(
                () => true,
                (error: unknown) => {
                  if (error instanceof STMConflictError) throw error;
                  return false;
                },
              ),
            );
            done++;
          }
        }),
      );
      await until("a third is done", () => done >= (CLIENTS * EACH) / 3);
      await stage.kill(leader);
      await workers;
      const [client] = clients;
      expect(await client?.get("stm/sum").number()).toBe(CLIENTS * EACH);
      expect(await client?.getAll().prefix("stm/mark/").count()).toBe(CLIENTS * EACH);
    },
  },
];
