import { expect, test } from "vitest";
import { createPeerRoutes, type PeerRouteDeps } from "../../src/server/peer-routes.ts";

const CLUSTER = 0xcdf818194e3a8c32n;

const routes = createPeerRoutes({
  clusterId: CLUSTER,
  hashKv: async (revision, isFresh) => ({ hash: isFresh ? 8 : 7, compactRevision: 2, hashRevision: revision }),
  currentRevision: () => 10,
} as PeerRouteDeps);

async function ask(cluster: string | undefined, body = '{"revision":9}'): Promise<[number | undefined, string]> {
  const headers = cluster === undefined ? {} : { "x-etcd-cluster-id": cluster };
  const answer = await routes("GET", "/members/hashkv", Buffer.from(body), headers);
  return [answer?.status, Buffer.from(answer?.body ?? "").toString()];
}

test("P-35, P-38: hashkv is told to members of this cluster, and to who does not say of which it is", async () => {
  const told = '{"header":{"revision":10},"hash":7,"compact_revision":2,"hash_revision":9}\n';
  expect(await ask(undefined)).toEqual([200, told]);
  expect(await ask("cdf818194e3a8c32")).toEqual([200, told]);
  expect(await ask("cdf818194e3a8c32", '{"revision":9,"fresh":true}')).toEqual([200, told.replace("7", "8")]);
  expect(await ask("abc")).toEqual([412, "cluster ID mismatch\n"]);
  expect(await ask(undefined, '{"revision":"9"}')).toEqual([400, "error unmarshalling request\n"]);
});
