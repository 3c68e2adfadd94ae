import { expect, test } from "vitest";
import { del, FakeCluster, put } from "./fake-cluster.ts";
import { checkHashKv, hashKv } from "./hash-kv.ts";

test("the hashes of V-1, seen on etcd", () => {
  const cluster = new FakeCluster();
  expect(hashKv(cluster.truth().changes, 1, -1)).toBe(1084519789);
  cluster.ask(put("a", "1"));
  expect(hashKv(cluster.truth().changes, 2, -1)).toBe(2587454935);
  cluster.ask(put("a", "2"));
  cluster.ask(put("b", "x"));
  expect(hashKv(cluster.truth().changes, 4, -1)).toBe(1523780942);
  cluster.ask(del("a"));
  expect(hashKv(cluster.truth().changes, 5, -1)).toBe(3909293975);
  expect(hashKv(cluster.truth().changes, 5, 4)).toBe(3373979763);
  expect(hashKv(cluster.truth().changes, 5, 5)).toBe(3966414695);
});

test("a store that keeps something else is seen", () => {
  const cluster = new FakeCluster();
  cluster.ask(put("a", "1"));
  const { history } = cluster;
  const answer = (hash: number): void => {
    const operation = history.invoke(1, 1, { kind: "hashKv", revision: 0 });
    const response = { kind: "hashKv", revision: 2, hash, hashRevision: 2, compactRevision: -1 } as const;
    history.settle(operation, { kind: "ok", response });
  };
  answer(2587454935);
  expect(checkHashKv(history, cluster.truth())).toMatchObject({ violations: [], counts: { hashes: 1 } });
  answer(2587454936);
  expect(checkHashKv(history, cluster.truth()).violations).toHaveLength(1);
});
