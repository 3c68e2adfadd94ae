import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { decode } from "../../proto/codec.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import * as mvccpb from "../../proto/generated/mvccpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import type { ApiClient, ServiceError } from "./client.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { startWatch } from "./watching.ts";

describe("bad input gets the contract's error, and changes and stops nothing", () => {
  let cluster: Cluster;
  let client: ApiClient;
  let pids: number[];
  let revision: number;
  let hash: number;

  beforeAll(async () => {
    cluster = await startCluster(3);
    client = cluster.client(cluster.member(0));
    for (const key of ["a", "k", "k1", "k2", "z"]) await client.put(key, `value of ${key}`);
    pids = cluster.members.map((member) => member.pid);
  });
  afterAll(() => cluster?.destroy());

  beforeEach(async () => {
    const state = await client.hashKv();
    revision = state.header?.revision ?? 0;
    hash = state.hash;
    // The same members still run, and still serve.
    return async () => {
      expect(cluster.members.map((member) => member.running)).toEqual([true, true, true]);
      expect(cluster.members.map((member) => member.pid)).toEqual(pids);
      for (const member of cluster.members) {
        await cluster.client(member).range({ key: "a" });
        const after = await cluster.client(member).hashKv();
        expect([after.header?.revision, after.hash]).toEqual([revision, hash]);
      }
    };
  });

  async function refused(call: Promise<unknown>): Promise<[number, string]> {
    const outcome = await call.then(
      () => undefined,
      (error: ServiceError) => error,
    );
    if (outcome === undefined) throw new Error("the request was not refused");
    return [outcome.code, outcome.details];
  }

  const put = (key: string, init: Partial<pb.PutRequest> = {}): pb.RequestOp =>
    pb.RequestOp.create({
      request: { kind: "requestPut", value: pb.PutRequest.create({ key, value: Buffer.from("v"), ...init }) },
    });
  const del = (key: string, rangeEnd = ""): pb.RequestOp =>
    pb.RequestOp.create({
      request: { kind: "requestDeleteRange", value: pb.DeleteRangeRequest.create({ key, rangeEnd }) },
    });

  test("G-1: an empty key", async () => {
    const expected = [3, "etcdserver: key is not provided"];
    expect(await refused(client.put("", "v"))).toEqual(expected);
    expect(await refused(client.range({ key: "" }))).toEqual(expected);
    expect(await refused(client.unary(rpcs.KVDeleteRange, { key: "" }))).toEqual(expected);
    expect(await refused(client.unary(rpcs.KVTxn, { success: [put("")] }))).toEqual(expected);
  });

  test("G-9: an over-large request, by its command and by its message", async () => {
    const value = (bytes: number): Partial<pb.PutRequest> => ({ value: Buffer.alloc(bytes) });
    expect(await refused(client.put("big", "", value(1_572_864)))).toEqual([3, "etcdserver: request is too large"]);
    expect(await refused(client.put("big", "", value(3 << 20)))).toEqual([
      8,
      expect.stringMatching(/^grpc: received message larger than max \(31457\d\d vs\. 2097152\)$/),
    ]);
  });

  test("P-1: an unknown lease, in a put, a transaction and a revoke", async () => {
    const expected = [5, "etcdserver: requested lease not found"];
    expect(await refused(client.put("k", "v", { lease: 4711n }))).toEqual(expected);
    expect(await refused(client.unary(rpcs.KVTxn, { success: [put("k", { lease: 4711n })] }))).toEqual(expected);
    expect(await refused(client.unary(rpcs.LeaseLeaseRevoke, { ID: 4711n }))).toEqual(expected);
    const ttl = await client.unary(rpcs.LeaseLeaseTimeToLive, { ID: 4711n });
    expect(ttl.TTL).toBe(-1);
  });

  test("R-4, C-1: a future revision", async () => {
    const expected = [11, "etcdserver: mvcc: required revision is a future revision"];
    expect(await refused(client.range({ key: "k", revision: revision + 1 }))).toEqual(expected);
    expect(await refused(client.unary(rpcs.KVCompact, { revision: revision + 1 }))).toEqual(expected);
    expect(await refused(client.hashKv(revision + 1))).toEqual(expected);
  });

  test("TX-10: more than the allowed txn operations, at the top and nested", async () => {
    const expected = [3, "etcdserver: too many operations in txn request"];
    const many = (count: number): pb.RequestOp[] => Array.from({ length: count }, (_, n) => put(`op${n}`));
    expect(await refused(client.unary(rpcs.KVTxn, { success: many(129) }))).toEqual(expected);
    const nested = pb.RequestOp.create({
      request: { kind: "requestTxn", value: pb.TxnRequest.create({ success: many(128) }) },
    });
    expect(await refused(client.unary(rpcs.KVTxn, { success: [nested] }))).toEqual(expected);
  });

  test("TX-9: the same key put twice", async () => {
    expect(await refused(client.unary(rpcs.KVTxn, { success: [put("k"), put("k")] }))).toEqual([
      3,
      "etcdserver: duplicate key given in txn request",
    ]);
  });

  test("TX-7: an open-ended delete followed by a put of one of its keys with ignore_value is refused whole", async () => {
    const again = put("k1", { value: Buffer.alloc(0), ignoreValue: true });
    const success = [put("zz"), del("k", "\0"), again];
    for (const member of cluster.members) {
      expect(await refused(cluster.client(member).unary(rpcs.KVTxn, { success }))).toEqual([
        3,
        "etcdserver: key not found",
      ]);
    }
    const nested = pb.RequestOp.create({
      request: { kind: "requestTxn", value: pb.TxnRequest.create({ success: [again] }) },
    });
    expect(await refused(client.unary(rpcs.KVTxn, { success: [del("k", "\0"), nested] }))).toEqual([
      3,
      "etcdserver: key not found",
    ]);
    // It is in every log; a restart replays it.
    for (const member of cluster.members) {
      await member.kill();
      member.start();
      await cluster.ready([member]);
    }
    pids = cluster.members.map((member) => member.pid);
    const kv = await client.get("k1");
    expect(kv?.value.toString()).toBe("value of k1");
  });

  test("malformed protobuf on every unary method", async () => {
    const bad = [
      Buffer.from("0affffffff0f", "hex"),
      Buffer.from("07", "hex"),
      // An end of a group that never began: whatever follows, no message. (Random bytes alone may by chance be one.)
      Buffer.concat([Buffer.of(0x0c), randomBytes(63)]),
      Buffer.alloc(300, 0x0b),
    ];
    for (const rpc of Object.values(rpcs).filter(({ stream }) => stream === "unary")) {
      for (const bytes of bad) {
        const [code, details] = await refused(client.raw(rpc.path, bytes));
        expect([12, 13], `${rpc.path}: ${details}`).toContain(code);
        expect(details).not.toBe("");
      }
    }
  });

  test("transactions nested 100,000 deep", async () => {
    let body = Buffer.alloc(0);
    const parts: Buffer[] = [];
    let size = 0;
    for (let level = 0; level < 100_000; level++) {
      // TxnRequest.success { RequestOp.request_txn { ... } }, innermost first, lengths as fixed four-byte varints.
      const op = Buffer.concat([Buffer.from([0x22]), varint4(size)]);
      size += op.length;
      const success = Buffer.concat([Buffer.from([0x12]), varint4(size)]);
      size += success.length;
      parts.push(op, success);
    }
    body = Buffer.concat(parts.reverse());
    const [code] = await refused(client.raw(rpcs.KVTxn.path, body));
    expect([3, 13]).toContain(code);
  });

  test("unknown methods and services", async () => {
    expect(await refused(client.raw("/etcdserverpb.KV/Nothing", Buffer.alloc(0)))).toEqual([
      12,
      "unknown method Nothing for service etcdserverpb.KV",
    ]);
    expect(await refused(client.raw("/no.Such/Thing", Buffer.alloc(0)))).toEqual([12, "unknown service no.Such"]);
  });

  // docs/facts.md leaves facts untested because of these: whoever serves one of them looks there, too.
  test("methods of the API that are not served yet", async () => {
    const later = Object.values(rpcs).filter(({ path }) => /\.(Auth|Election|Lock)\//.test(path));
    expect(later.length).toBe(24);
    for (const { path, service, method } of later) {
      const text = `quorate: method ${method} of service ${service} is not implemented yet`;
      expect(await refused(client.raw(path, Buffer.alloc(0)))).toEqual([12, text]);
    }
  });

  test("garbage bytes and half-open connections on each port", async () => {
    const held: Socket[] = [];
    for (const member of cluster.members) {
      for (const port of [member.clientPort, member.peerPort]) {
        for (const bytes of [
          randomBytes(4_096),
          Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").subarray(0, 11),
          Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), randomBytes(512)]),
          Buffer.from(`GET /${"x".repeat(100_000)} HTTP/1.1\r\n`),
          Buffer.from("POST /raft HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"),
          Buffer.from("GET /raft/stream/msgapp/1 HTTP/1.1\r\nHost: x\r\n\r\n"),
          Buffer.alloc(0),
        ]) {
          const socket = createConnection({ port, host: "127.0.0.1" });
          socket.on("error", () => undefined);
          await new Promise((resolve) => socket.once("connect", resolve));
          socket.write(bytes);
          held.push(socket);
        }
      }
    }
    // While they all hang there the cluster works.
    for (const member of cluster.members) {
      const answer = await fetch(`http://${member.endpoint}/health`);
      expect([answer.status, await answer.text()]).toEqual([200, '{"health":"true","reason":""}']);
      const kv = await cluster.client(member).get("k");
      expect(kv?.value.toString()).toBe("value of k");
    }
    for (const socket of held) socket.destroy();
  });

  test("connections that break the rules of HTTP/2 give their sockets back within seconds", async () => {
    const member = cluster.member(0);
    const open = (): number => readdirSync(`/proc/${member.pid}/fd`).length;
    const before = open();
    const broken = Buffer.concat([
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      Buffer.from("000000040000000000", "hex"),
      // SETTINGS of 7 bytes, which is no multiple of 6.
      Buffer.from("00000704000000000001020304050607", "hex"),
    ]);
    const sockets = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const socket = createConnection({ port: member.clientPort, host: "127.0.0.1" });
        socket.on("error", () => undefined);
        await new Promise((resolve) => socket.once("connect", resolve));
        socket.write(broken);
        return socket;
      }),
    );
    await client.get("k");
    for (const socket of sockets) socket.destroy();
    const deadline = Date.now() + 60_000;
    while (open() > before + 10) {
      if (Date.now() > deadline) throw new Error(`${open()} descriptors are open, ${before} were before`);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  });

  test("a client that floods one stream with watches and never reads", async () => {
    const stream = client.watch();
    stream.on("error", () => undefined);
    stream.pause();
    for (let n = 0; n < 2_000; n++) {
      stream.write(
        pb.WatchRequest.create({
          requestUnion: {
            kind: "createRequest",
            value: pb.WatchCreateRequest.create({ key: "\0", rangeEnd: "\0", startRevision: 1, prevKv: true }),
          },
        }),
      );
    }
    expect((await client.get("k"))?.value.toString()).toBe("value of k");
    stream.cancel();
  });

  test("R-4, C-1, W-6: a compacted revision (last: it moves the compaction)", async () => {
    await client.unary(rpcs.KVCompact, { revision, physical: true });
    const expected = [11, "etcdserver: mvcc: required revision has been compacted"];
    expect(await refused(client.range({ key: "k", revision: revision - 1 }))).toEqual(expected);
    expect(await refused(client.unary(rpcs.KVCompact, { revision }))).toEqual(expected);
    const behind = startWatch(client, { key: "k", startRevision: revision - 1 });
    await behind.until(() => behind.responses.length === 2);
    expect(behind.responses).toMatchObject([
      { watchId: 0n, created: true, canceled: false },
      {
        watchId: 0n,
        created: false,
        canceled: true,
        compactRevision: revision,
        cancelReason: "",
        header: { revision: 0 },
      },
    ]);
    expect(behind.ended).toEqual([]);
    behind.close();
    const { kvs } = await client.range({ key: "k", revision });
    expect(decode(mvccpb.KeyValue, kvs[0] ?? Buffer.alloc(0)).key).toBe("k");
    const after = await client.hashKv();
    hash = after.hash;
  });
});

function varint4(value: number): Buffer {
  return Buffer.from([
    (value & 0x7f) | 0x80,
    ((value >> 7) & 0x7f) | 0x80,
    ((value >> 14) & 0x7f) | 0x80,
    (value >> 21) & 0x7f,
  ]);
}
