import { afterEach, beforeEach, expect, test } from "vitest";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import { parseConfig } from "../../src/config.ts";
import type { PeerTransport } from "../../src/peer/transport.ts";
import { bootstrap } from "../../src/server/bootstrap.ts";
import { limitsOf } from "../../src/server/call-limits.ts";
import { type Member, startMember } from "../../src/server/member.ts";
import { promised } from "../../src/server/waiter.ts";
import type { Command, StateMachine } from "../../src/state/machine.ts";
import { createMemoryBackend, type MemoryBackend } from "../../storage/memory-backend.ts";
import { bucketRows } from "../state/harness.ts";
import { MemoryDisk } from "../storage/memory-disk.ts";
import { FakeEnv } from "./fake-env.ts";

/** A whole member, the only one of its cluster, on a disk in memory. */
let env: FakeEnv;
let member: Member;
let backend: MemoryBackend;
/** By so much less than it has applied does the state machine say that it has. */
let hidden: number;
let faults: unknown[];

const patient = limitsOf(new AbortController().signal);
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

function withHidden(machine: StateMachine): StateMachine {
  return new Proxy(machine, {
    get: (target, name) => {
      if (name === "appliedIndex") return target.appliedIndex - hidden;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

beforeEach(async () => {
  env = new FakeEnv();
  backend = createMemoryBackend();
  hidden = 0;
  faults = [];
  const parsed = parseConfig(["--name=alone", "--data-dir=/alone"], {}, () => "");
  if (parsed.kind !== "run") throw new Error(`parsed as ${parsed.kind}`);
  const { config } = parsed;
  const transport: PeerTransport = {
    send: () => undefined,
    sendSnapshot: () => Promise.reject(new Error("there is nobody else")),
    setPeers: () => undefined,
    activeSince: () => undefined,
    roundTripMs: () => undefined,
    traffic: () => undefined,
    request: () => Promise.reject(new Error("there is nobody else")),
    addresses: [],
    close: async () => undefined,
  };
  const disk = new MemoryDisk();
  const booted = await bootstrap(config, {
    disk,
    log: silent,
    openBackend: async () => backend,
    askPeer: () => Promise.reject(new Error("there is nobody else")),
    resolveHost: async (host) => host,
  });
  member = await startMember(
    config,
    { ...booted, machine: withHidden(booted.machine) },
    {
      env,
      log: silent,
      disk,
      openBackend: () => Promise.reject(new Error("nobody sends a snapshot")),
      createTransport: async () => transport,
      onFatal: (error) => faults.push(error),
      onRemoved: () => faults.push("removed"),
      onReplaced: () => faults.push("replaced"),
    },
  );
  await env.advance(10_000);
  await member.ready;
});

afterEach(async () => {
  const stopping = member.stop();
  await env.advance(1_000);
  await stopping;
  expect(faults).toEqual([]);
});

async function propose(command: Command): Promise<unknown> {
  const outcome = member.server.propose(command, patient).catch((error: unknown) => error);
  await env.advance(100);
  return await outcome;
}

test("V-7: a fresh cluster of one: term 2, revision 1, and four entries: itself, its leader's, its name, its version", async () => {
  const { server } = member;
  expect(server.status()).toMatchObject({ leader: server.memberId, raftTerm: 2, committedIndex: 4, appliedIndex: 4 });
  expect(server.header(server.state.mvcc.currentRevision)).toMatchObject({ revision: 1, raftTerm: 2 });
  expect(server.state.cluster.members()).toMatchObject([{ name: "alone", clientURLs: ["http://localhost:2379"] }]);
  expect(server.state.cluster.version).toBe("3.6.0");
});

test("G-8: with more than 5000 entries committed and not applied, whatever would go through the log is refused", async () => {
  const commands: Command[] = [
    { put: pb.PutRequest.create({ key: "a" }) },
    { deleteRange: pb.DeleteRangeRequest.create({ key: "b" }) },
    { txn: pb.TxnRequest.create({}) },
    { leaseGrant: pb.LeaseGrantRequest.create({ ID: 7n, TTL: 60 }) },
    { leaseRevoke: pb.LeaseRevokeRequest.create({ ID: 7n }) },
    { alarm: pb.AlarmRequest.create({}) },
    { compaction: pb.CompactionRequest.create({ revision: 1 }) },
  ];
  hidden = 5_001;
  const { committedIndex } = member.server.status();
  for (const command of commands) {
    expect(await propose(command)).toMatchObject({ code: 2, message: "etcdserver: too many requests" });
  }
  expect(member.server.status().committedIndex).toBe(committedIndex);
  hidden = 5_000;
  const { memberId, clusterId } = member.server;
  for (const command of commands) {
    // H-1
    expect(await propose(command)).toMatchObject({ header: { memberId, clusterId, raftTerm: 2 } });
  }
  expect(member.server.status().committedIndex).toBe(committedIndex + commands.length);
});

test("L-4, L-10: a renewal through the whole member leaves nothing of a checkpoint", async () => {
  const { server } = member;
  await propose({ leaseGrant: pb.LeaseGrantRequest.create({ ID: 7n, TTL: 600 }) });
  await propose({ leaseCheckpoint: { checkpoints: [{ ID: 7n, remainingTTL: 321 }] } });
  expect(server.state.leases.get(7n)?.remainingSeconds).toBe(321);
  const renewal = promised<number>((waiter) => server.leaseKeepAlive(7n, patient, waiter));
  await env.advance(100);
  expect(await renewal).toBe(600);
  expect(server.state.leases.get(7n)).toMatchObject({ ttlSeconds: 600, remainingSeconds: 0 });
});

test("C-3: once a physical compaction is answered, what it removes is gone from the disk", async () => {
  const { server } = member;
  for (let n = 0; n < 5; n++) await propose({ put: pb.PutRequest.create({ key: "a", value: Buffer.from(`${n}`) }) });
  // No timer has its turn in what follows.
  const answered = server.propose(
    { compaction: pb.CompactionRequest.create({ revision: 6, physical: true }) },
    patient,
  );
  await env.settle();
  await answered;
  let isFinished = false;
  void server.compactionFinished(patient).then(() => {
    isFinished = true;
  });
  await env.settle();
  expect([isFinished, server.state.mvcc.pendingCompaction]).toEqual([true, undefined]);
  const rows = await bucketRows(backend.crash(), "key");
  expect(rows.length).toBe(1);
});

test("L-7: the list of leases begins with the one that ends soonest", async () => {
  for (const [ID, TTL] of [
    [1n, 500],
    [2n, 100],
    [3n, 1_000],
  ] as const) {
    await propose({ leaseGrant: pb.LeaseGrantRequest.create({ ID, TTL }) });
  }
  expect(member.server.leaseIds()).toEqual([2n, 1n, 3n]);
});

test("L-1, G-15: ids that the server chooses for leases are positive, free, and exact for readers of JSON", async () => {
  const ids = Array.from({ length: 1_000 }, () => member.server.nextLeaseId());
  expect(new Set(ids).size).toBe(1_000);
  expect(ids.every((id) => id > 0n && id <= BigInt(Number.MAX_SAFE_INTEGER))).toBe(true);
});
