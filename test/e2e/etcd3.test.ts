import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, test } from "vitest";
import { type Cluster, root, startCluster } from "./cluster.ts";
import { checkSection, table } from "./compatibility.ts";
import { elections } from "./etcd3/election.ts";
import { leases } from "./etcd3/lease.ts";
import { locks } from "./etcd3/lock.ts";
import { requests } from "./etcd3/requests.ts";
import { ClusterStage } from "./etcd3/stage.ts";
import { stm } from "./etcd3/stm.ts";
import { watchers } from "./etcd3/watcher.ts";

const features = [...requests, ...stm, ...watchers, ...leases, ...locks, ...elections];

describe("the npm package etcd3 against three members", () => {
  let cluster: Cluster;
  let stage: ClusterStage;
  const working = new Set<string>();

  beforeAll(async () => {
    cluster = await startCluster(3);
    await cluster.leader();
    stage = await ClusterStage.of(cluster);
  });
  afterEach(() => stage.clear());
  afterAll(() => cluster?.destroy());

  for (const feature of features) {
    test(feature.name, async () => {
      await feature.run(stage);
      working.add(feature.name);
    });
  }

  test("docs/compatibility.md says so", () => {
    const { version } = JSON.parse(readFileSync(join(root, "node_modules", "etcd3", "package.json"), "utf8")) as {
      version: string;
    };
    const rows = features.map(({ name, shown }) => [name, working.has(name) ? "works" : "FAILS", shown]);
    checkSection("etcd3", `etcd3 ${version}.`, table(["feature", "", "what was seen"], rows));
  });
});
