import { beforeEach, describe, expect, test } from "vitest";
import { decode } from "../../proto/codec.ts";
import {
  AlarmRequest,
  LeaseCheckpointRequest,
  LeaseGrantRequest,
  LeaseRevokeRequest,
} from "../../proto/generated/etcdserverpb.ts";
import * as leasepb from "../../proto/generated/leasepb.ts";
import { errors } from "../../src/api/errors.ts";
import type { Applied } from "../../src/state/machine.ts";
import { leaseKey } from "../../storage/schema.ts";
import { bucketRows, op, putRequest, Session } from "./harness.ts";

let session: Session;
beforeEach(async () => {
  session = await Session.open();
});

const grant = (ID: bigint, TTL: number) => ({ leaseGrant: LeaseGrantRequest.create({ ID, TTL }) });
const revoke = (ID: bigint) => ({ leaseRevoke: LeaseRevokeRequest.create({ ID }) });
const checkpoint = (...pairs: [bigint, number][]) => ({
  leaseCheckpoint: LeaseCheckpointRequest.create({
    checkpoints: pairs.map(([ID, remainingTTL]) => ({ ID, remainingTTL })),
  }),
});
const version = (ver: string) => ({ clusterVersionSet: { ver } });

async function stored(): Promise<leasepb.Lease[]> {
  return (await bucketRows(session.backend, "lease")).map(([, value]) => decode(leasepb.Lease, value));
}

function deleted({ events }: Applied): string[] {
  return events.map(({ type, key, revision: { main, sub } }) => `${type} ${key} ${main}.${sub}`);
}

describe("Grant", () => {
  test("L-1, L-12: the effective TTL is answered, stored and told to the timers", async () => {
    const { result, leases, events, revision } = session.command(grant(5n, 60));
    expect(result).toMatchObject({
      kind: "response",
      response: { ID: 5n, TTL: 60, error: "", header: { revision: 1 } },
    });
    expect(leases).toEqual([{ kind: "granted", id: 5n, ttlSeconds: 60 }]);
    expect([events.length, revision]).toEqual([0, 1]);
    expect(await stored()).toEqual([{ ID: 5n, TTL: 60, remainingTTL: 0 }]);
  });

  test("L-1: a TTL below the minimum, zero or negative is raised to it", () => {
    for (const [id, ttl] of [
      [1n, 1],
      [2n, 0],
      [3n, -5],
      [4n, 2],
    ] as const) {
      expect(session.command(grant(id, ttl)).leases).toEqual([{ kind: "granted", id, ttlSeconds: 2 }]);
    }
  });

  test("L-1: above 9e9 is an error, and an id in use is one; the TTL is looked at first", () => {
    session.grant(5n);
    expect(session.error(grant(6n, 9_000_000_001))).toBe(errors.leaseTtlTooLarge);
    expect(session.answer(grant(6n, 9_000_000_000))).toMatchObject({ TTL: 9_000_000_000 });
    expect(session.error(grant(5n, 60))).toBe(errors.leaseExists);
    expect(session.error(grant(5n, 9_000_000_001))).toBe(errors.leaseTtlTooLarge);
    expect(session.error(grant(0n, 60))).toBe(errors.leaseNotFound);
    expect(session.machine.leases.size).toBe(2);
  });

  test("L-1: negative ids are leases like others; L-7: ids ascend as signed numbers", async () => {
    for (const id of [7n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 3n]) session.grant(id);
    const ids = [-(2n ** 63n), -1n, 3n, 7n, 2n ** 63n - 1n];
    expect(session.machine.leases.ids()).toEqual(ids);
    session.put("k", "", { lease: -1n });
    await session.reopen();
    expect(session.machine.leases.ids()).toEqual(ids);
    expect(session.machine.leases.ofKey("k")).toBe(-1n);
    expect(session.backend.get("lease", leaseKey(-1n))).toBeDefined();
  });
});

describe("Revoke", () => {
  test("L-3: all keys go in one revision, in key order, with the lease; H-2: header after the deletion", async () => {
    session.grant(5n);
    session.grant(6n);
    for (const key of ["c", "a", "\xff", "b"]) session.put(key, "", { lease: 5n });
    session.put("other", "", { lease: 6n });
    const applied = session.command(revoke(5n));
    expect(deleted(applied)).toEqual(["delete a 7.0", "delete b 7.1", "delete c 7.2", "delete \xff 7.3"]);
    expect(applied.result).toMatchObject({ response: { header: { revision: 7 } } });
    expect(applied.leases).toEqual([{ kind: "revoked", id: 5n }]);
    expect(session.machine.leases.get(5n)).toBeUndefined();
    expect(session.machine.leases.ofKey("a")).toBe(0n);
    expect((await stored()).map(({ ID }) => ID)).toEqual([6n]);
    expect(session.all()).toEqual(["other="]);
    expect(session.error(revoke(5n))).toBe(errors.leaseNotFound);
  });

  test("L-3: without keys there is no revision", () => {
    session.grant(5n);
    const { revision, events, leases } = session.command(revoke(5n));
    expect([revision, events.length, leases.length]).toEqual([1, 0, 1]);
  });

  test("P-25: a grant of the same id afterwards is a new lease without keys", () => {
    session.grant(5n);
    session.put("a", "", { lease: 5n });
    session.command(revoke(5n));
    session.grant(5n, 9);
    expect([...(session.machine.leases.get(5n)?.keys ?? ["?"])]).toEqual([]);
    expect(session.machine.leases.get(5n)?.ttlSeconds).toBe(9);
  });
});

describe("keys", () => {
  test("L-11: the last put wins", () => {
    session.grant(5n);
    session.grant(6n);
    session.put("a", "", { lease: 5n });
    session.put("a", "", { lease: 6n });
    expect(session.machine.leases.ofKey("a")).toBe(6n);
    expect(deleted(session.command(revoke(5n)))).toEqual([]);
    expect(deleted(session.command(revoke(6n)))).toEqual(["delete a 4.0"]);
  });

  test("L-11: a restart finds the keys of each lease in their newest versions", async () => {
    session.grant(5n);
    session.grant(6n);
    for (const key of ["moved", "left", "kept", "deleted", "back"]) session.put(key, "", { lease: 5n });
    session.put("moved", "", { lease: 6n });
    session.put("left");
    session.delete("deleted");
    session.delete("back");
    session.put("back", "", { lease: 5n });
    await session.reopen();
    expect([...(session.machine.leases.get(5n)?.keys ?? [])].sort()).toEqual(["back", "kept"]);
    expect([...(session.machine.leases.get(6n)?.keys ?? [])]).toEqual(["moved"]);
    expect(deleted(session.command(revoke(5n)))).toEqual(["delete back 12.0", "delete kept 12.1"]);
  });

  test("in a txn, attaching and detaching follow the ops", () => {
    session.grant(5n);
    session.txn({ success: [op.put("a", "", { lease: 5n }), op.put("b", "", { lease: 5n }), op.del("a")] });
    expect([...(session.machine.leases.get(5n)?.keys ?? [])]).toEqual(["b"]);
    session.txn({ success: [op.del("b"), op.put("b")] });
    expect(session.machine.leases.get(5n)?.keys.size).toBe(0);
  });

  test("a stored key whose lease does not exist hangs on none", async () => {
    session.grant(5n);
    session.put("a", "1", { lease: 5n });
    session.backend.delete("lease", leaseKey(5n));
    await session.reopen();
    expect([session.machine.leases.ofKey("a"), session.machine.leases.size]).toEqual([0n, 0]);
    session.put("a", "2", { ignoreLease: true });
    expect(session.machine.leases.ofKey("a")).toBe(0n);
    expect(session.kv("a")?.lease).toBe(5n);
  });
});

describe("Checkpoint", () => {
  test("L-10: remembered for leases that exist; the others are passed over", async () => {
    session.grant(5n, 600);
    const { leases, result } = session.command(checkpoint([5n, 321], [9n, 1]));
    expect(result.kind).toBe("response");
    expect(leases).toEqual([{ kind: "checkpointed", id: 5n, remainingSeconds: 321 }]);
    expect(session.machine.leases.get(5n)?.remainingSeconds).toBe(321);
    expect((await stored())[0]?.remainingTTL).toBe(0);
  });

  test.each([
    ["3.5.0", 0],
    ["3.6.0", 321],
    ["3.10.0", 321],
    ["4.0.0", 321],
  ])("L-10: in cluster version %s a restart finds %i", async (ver, remaining) => {
    session.answer(version(ver));
    session.grant(5n, 600);
    session.command(checkpoint([5n, 321]));
    await session.reopen();
    expect(session.machine.leases.get(5n)).toMatchObject({ ttlSeconds: 600, remainingSeconds: remaining });
  });
});

test("L-12: the minimal TTL applies again on load", async () => {
  session.grant(5n, 3);
  session.grant(6n, 100);
  await session.reopen(30);
  expect(session.machine.leases.get(5n)?.ttlSeconds).toBe(30);
  expect(session.machine.leases.get(6n)?.ttlSeconds).toBe(100);
});

test("N-11, N-13: NOSPACE forbids a grant, CORRUPT also a revoke", () => {
  session.grant(5n);
  session.answer({ alarm: AlarmRequest.create({ action: 1, memberID: 1n, alarm: 1 }) });
  expect(session.error(grant(6n, 60))).toBe(errors.noSpace);
  session.answer({ alarm: AlarmRequest.create({ action: 1, memberID: 1n, alarm: 2 }) });
  expect(session.error(revoke(5n))).toBe(errors.corrupt);
  expect(session.error(grant(6n, 60))).toBe(errors.corrupt);
  expect(session.error({ put: putRequest("a") })).toBe(errors.corrupt);
});
