import { expect, test } from "vitest";
import { clusterIdOf, hexId, memberIdOf } from "../../src/server/ids.ts";

test("V-3, M-1: a cluster of one has the ids that etcd gives it", () => {
  const id = memberIdOf(["http://127.0.0.1:45380"], "etcd-cluster");
  expect([hexId(id), hexId(clusterIdOf([id]))]).toEqual(["ef12a2ed4f459e98", "2201b72faabfdd79"]);
});

test("V-4, M-1: a cluster of three has the ids that etcd gives it, in whatever order its members are named", () => {
  const ids = [43_180, 43_280, 43_380].map((port) => memberIdOf([`http://127.0.0.1:${port}`], "tk1"));
  expect(ids.map(hexId)).toEqual(["e988c1f577480cd9", "7d7473bb4e51a3a3", "23cf5bfe64551036"]);
  for (const order of [ids, ids.toReversed()]) expect(hexId(clusterIdOf(order))).toBe("9371bbf653f995af");
  const urls = ["http://b:1", "http://a:1"];
  expect(memberIdOf(urls, "t")).toBe(memberIdOf(urls.toReversed(), "t"));
});
