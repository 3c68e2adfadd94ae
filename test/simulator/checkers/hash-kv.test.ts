import { expect, test } from "vitest";
import { del, FakeCluster, put } from "./fake-cluster.ts";
import { checkHashKv, hashKv } from "./hash-kv.ts";

test("the hashes of V-1, seen on etcd", () => {
  const cluster = new FakeCluster();
  expect(hashKv(cluster.truth().changes, 1, -1)).toEqual([1084519789]);
  cluster.ask(put("a", "1"));
  expect(hashKv(cluster.truth().changes, 2, -1)).toEqual([2587454935]);
  cluster.ask(put("a", "2"));
  cluster.ask(put("b", "x"));
  expect(hashKv(cluster.truth().changes, 4, -1)).toEqual([1523780942]);
  cluster.ask(del("a"));
  expect(hashKv(cluster.truth().changes, 5, -1)).toEqual([3909293975]);
  expect(hashKv(cluster.truth().changes, 5, 4)).toEqual([3373979763]);
  expect(hashKv(cluster.truth().changes, 5, 5)).toEqual([3966414695]);
});

test("where nothing lives, what compaction leaves counts, or nothing for the hash that a compaction stores", () => {
  const cluster = new FakeCluster();
  cluster.ask(put("a", "1"));
  cluster.ask(put("b", "1"));
  cluster.ask(del("a", "c"));
  const [asked, stored] = hashKv(cluster.truth().changes, 4, 3);
  expect(asked).not.toBe(stored);
  cluster.ask(put("a", "1"));
  expect(hashKv(cluster.truth().changes, 4, 3)).toEqual([asked, stored]);
  expect(hashKv(cluster.truth().changes, 5, 3)).toHaveLength(1);
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
