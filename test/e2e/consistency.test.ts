import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ServiceError } from "./client.ts";
import { type Cluster, startCluster } from "./cluster.ts";

describe("what a client sees through any of the three endpoints", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster(3);
  });
  afterAll(() => cluster?.destroy());

  test("X-1: a read on any member right after an acknowledged write on any other sees it", async () => {
    for (let n = 0; n < 150; n++) {
      const writer = cluster.member(n % 3);
      const reader = cluster.member((n + 1 + (n % 2)) % 3);
      const { header } = await cluster.client(writer).put("fresh", String(n));
      const response = await cluster.client(reader).range({ key: "fresh" });
      const kv = await cluster.client(reader).get("fresh");
      expect(kv?.value.toString()).toBe(String(n));
      expect(response.header?.revision).toBeGreaterThanOrEqual(header?.revision ?? Number.POSITIVE_INFINITY);
    }
  });

  test("H-1: headers name the responding member and one cluster", async () => {
    const answers = await Promise.all(cluster.members.map((member) => cluster.client(member).put("who", "?")));
    expect(new Set(answers.map(({ header }) => header?.clusterId)).size).toBe(1);
    expect(new Set(answers.map(({ header }) => header?.memberId)).size).toBe(3);
    expect(new Set(answers.map(({ header }) => header?.raftTerm)).size).toBe(1);
    expect(new Set(answers.map(({ header }) => header?.revision)).size).toBe(3);
  });

  test("R-10, G-14: a minority member serves serializable reads; linearizable ones and writes time out", async () => {
    await cluster.client(cluster.member(0)).put("kept", "value");
    const [lonely, ...gone] = await cluster
      .followers()
      .then(async (followers) => [
        followers[0] as (typeof followers)[0],
        followers[1] as (typeof followers)[0],
        await cluster.leader(),
      ]);
    if (lonely === undefined) throw new Error("no follower");
    // What the others acknowledged is on this member before they go.
    expect((await cluster.client(lonely).get("kept"))?.value.toString()).toBe("value");
    await Promise.all(gone.map((member) => member.kill()));

    const client = cluster.client(lonely);
    // From here on its proposals wait in its own queue: none is on its way to a leader that is gone.
    while ((await client.status()).leader !== 0n) await new Promise((resolve) => setTimeout(resolve, 20));
    const serializable = await client.get("kept", { serializable: true });
    expect(serializable?.value.toString()).toBe("value");
    const refused = async (call: Promise<unknown>): Promise<ServiceError> => {
      const outcome = await call.then(
        () => undefined,
        (error: ServiceError) => error,
      );
      if (outcome === undefined) throw new Error("a member without a quorum answered");
      return outcome;
    };
    const [read, write] = await Promise.all([
      refused(client.range({ key: "kept" }, 15_000)),
      refused(client.put("kept", "lost", {}, 15_000)),
    ]);
    expect([read.code, read.details]).toEqual([14, "etcdserver: request timed out"]);
    expect([write.code, write.details]).toEqual([4, "context deadline exceeded"]);
    expect((await client.get("kept", { serializable: true }))?.value.toString()).toBe("value");

    for (const member of gone) member.start();
    await cluster.ready();
    const after = await client.put("kept", "again");
    expect(after.header?.revision).toBeGreaterThan(0);
    expect((await client.get("kept"))?.value.toString()).toBe("again");
  });
});
