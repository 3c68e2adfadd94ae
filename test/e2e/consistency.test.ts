import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decode } from "../../proto/codec.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import type { ApiClient, ServiceError } from "./client.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { startWatch } from "./watching.ts";

/** The answer to the one request of a keep-alive stream, or the error that ends it. */
function keepAlive(client: ApiClient, ID: bigint): Promise<pb.LeaseKeepAliveResponse> {
  return new Promise((resolve, reject) => {
    const stream = client.bidi(rpcs.LeaseLeaseKeepAlive);
    stream.on("error", reject).on("data", (response: pb.LeaseKeepAliveResponse) => {
      resolve(response);
      stream.end();
    });
    stream.write({ ID });
  });
}

function rangeOp(key: string, serializable = false): pb.RequestOp {
  const value = pb.RangeRequest.create({ key, serializable });
  return { request: { kind: "requestRange", value } };
}

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

  test("G-13: what only a leader can do is done through a follower, too, and all members agree on it", async () => {
    const leader = cluster.client(await cluster.leader());
    const [one, two] = (await cluster.followers()).map((member) => cluster.client(member)) as [ApiClient, ApiClient];
    const seen = startWatch(two, { key: "x", rangeEnd: "y" });
    await seen.until(() => seen.responses.length === 1);

    const granted = await one.unary(rpcs.LeaseLeaseGrant, { TTL: 600 });
    const { ID } = granted;
    expect([granted.TTL, ID > 0n]).toEqual([600, true]);
    const put = await one.put("x1", "put", { lease: ID });
    const request = {
      kind: "requestPut",
      value: pb.PutRequest.create({ key: "x2", value: Buffer.from("txn") }),
    } as const;
    const txn = await two.unary(rpcs.KVTxn, { success: [{ request }] });
    expect(txn.header?.revision).toBe((put.header?.revision ?? 0) + 1);
    expect(await keepAlive(two, ID)).toMatchObject({ ID, TTL: 600 });
    for (const client of [one, two, leader]) {
      const { kvs } = await client.range({ key: "x", rangeEnd: "y" });
      expect(kvs.map((kv) => decode(KeyValue, kv).value.toString())).toEqual(["put", "txn"]);
      const time = await client.unary(rpcs.LeaseLeaseTimeToLive, { ID, keys: true });
      expect(time).toMatchObject({ ID, grantedTTL: 600, keys: ["x1"] });
      expect(time.TTL).toBeGreaterThan(590);
    }
    await one.unary(rpcs.LeaseLeaseRevoke, { ID });
    for (const client of [one, two, leader]) {
      expect((await keepAlive(client, ID)).TTL).toBe(0);
      expect((await client.unary(rpcs.LeaseLeaseTimeToLive, { ID })).TTL).toBe(-1);
    }
    const deleted = await two.unary(rpcs.KVDeleteRange, { key: "x", rangeEnd: "y" });
    expect(deleted.deleted).toBe(1);
    await seen.until(() => seen.events.length === 4);
    expect(seen.events).toEqual(["x1=put", "x2=txn", "-x1", "-x2"]);
    seen.close();
    await one.unary(rpcs.KVCompact, { revision: put.header?.revision ?? 0, physical: true });
    const old = leader.range({ key: "x1", revision: (put.header?.revision ?? 0) - 1 });
    await expect(old).rejects.toMatchObject({ code: 11 });
    expect((await two.unary(rpcs.MaintenanceAlarm, {})).alarms).toEqual([]);
  });

  test("R-10, G-14: what a member without a quorum answers, and how the rest times out", async () => {
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
    const client = cluster.client(lonely);
    const watching = startWatch(client, { key: "kept" });
    await watching.until(() => watching.responses.length === 1);
    await Promise.all(gone.map((member) => member.kill()));

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
    // One after the other would take a time-out each.
    const patient = { timeoutMs: 15_000 };
    const [reads, writes, renewals] = await Promise.all([
      Promise.all(
        [
          client.range({ key: "kept" }, patient.timeoutMs),
          client.unary(rpcs.KVTxn, { success: [rangeOp("kept")] }, patient),
          client.unary(rpcs.ClusterMemberList, { linearizable: true }, patient),
        ].map(refused),
      ),
      Promise.all(
        [
          client.put("kept", "lost", {}, patient.timeoutMs),
          client.unary(rpcs.KVDeleteRange, { key: "kept" }, patient),
          client.unary(
            rpcs.KVTxn,
            { success: [{ request: { kind: "requestTxn", value: pb.TxnRequest.create() } }] },
            patient,
          ),
          client.unary(rpcs.KVCompact, { revision: 2 }, patient),
          client.unary(rpcs.LeaseLeaseGrant, { TTL: 60 }, patient),
          client.unary(rpcs.LeaseLeaseRevoke, { ID: 7n }, patient),
          client.unary(rpcs.MaintenanceAlarm, {}, patient),
        ].map(refused),
      ),
      Promise.all([keepAlive(client, 7n), client.unary(rpcs.LeaseLeaseTimeToLive, { ID: 7n }, patient)].map(refused)),
    ]);
    const said = (errors: readonly ServiceError[]) => new Set(errors.map(({ code, details }) => `${code} ${details}`));
    expect(said(reads)).toEqual(new Set(["14 etcdserver: request timed out"]));
    expect(said(writes)).toEqual(new Set(["4 context deadline exceeded"]));
    expect(said(renewals)).toEqual(new Set(["14 etcdserver: no leader"]));

    expect((await client.get("kept", { serializable: true }))?.value.toString()).toBe("value");
    expect((await client.unary(rpcs.KVTxn, { success: [rangeOp("kept", true)] })).responses.length).toBe(1);
    expect((await client.unary(rpcs.ClusterMemberList, {})).members.length).toBe(3);
    expect((await client.status()).errors).toEqual(["etcdserver: no leader"]);
    expect((await client.hashKv()).hash).toBeGreaterThan(0);
    expect((await client.unary(rpcs.LeaseLeaseLeases, {})).leases).toEqual([]);
    expect([watching.events, watching.ended]).toEqual([[], []]);

    for (const member of gone) member.start();
    await cluster.ready();
    const after = await client.put("kept", "again");
    expect(after.header?.revision).toBeGreaterThan(0);
    expect((await client.get("kept"))?.value.toString()).toBe("again");
    await watching.until(() => watching.events.length === 1);
    expect([watching.events, watching.ended]).toEqual([["kept=again"], []]);
    watching.close();
  });
});
