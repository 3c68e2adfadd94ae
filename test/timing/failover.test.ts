import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cluster, startCluster } from "../e2e/cluster.ts";
import { Load } from "../e2e/load.ts";

describe("a lost leader, at etcd's default timings", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster(3);
  });
  afterAll(() => cluster?.destroy());

  async function gapAfter(signal: "SIGKILL" | "SIGTERM"): Promise<number> {
    const leader = await cluster.leader();
    const others = cluster.members.filter((member) => member !== leader);
    const load = new Load(
      others.map((member) => cluster.client(member)),
      2,
      `failover/${signal}/${performance.now()}`,
    );
    await load.progress(100);
    const since = performance.now();
    await leader.kill(signal);
    await load.progress(200);
    await load.stop();
    leader.start();
    await cluster.ready([leader]);
    return load.longestGap(since);
  }

  test("kill -9: writes are accepted again within 2 s", async () => {
    const gaps: number[] = [];
    for (let round = 0; round < 5; round++) gaps.push(await gapAfter("SIGKILL"));
    console.log(
      `failover: longest gap between two acknowledged puts after kill -9: ${gaps.map(Math.round).join(", ")} ms`,
    );
    expect(Math.max(...gaps)).toBeLessThan(2_000);
  });

  test("SIGTERM: leadership is handed over first, writes go on within 200 ms", async () => {
    const gaps: number[] = [];
    for (let round = 0; round < 5; round++) gaps.push(await gapAfter("SIGTERM"));
    console.log(
      `failover: longest gap between two acknowledged puts after SIGTERM: ${gaps.map(Math.round).join(", ")} ms`,
    );
    // One hiccup of a shared machine says nothing about the product; a hand-over that has to wait for a time-out does.
    expect(median(gaps)).toBeLessThan(200);
    expect(Math.max(...gaps)).toBeLessThan(1_000);
  });
});

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
