import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { encode } from "../../proto/codec.ts";
import * as raftpb from "../../proto/generated/raftpb.ts";
import type { Message } from "../../raft/types.ts";
import { toWire } from "../../src/peer/message-codec.ts";
import type { Member } from "./harness.ts";
import { CLUSTER, call, closeMembers, heartbeat, openMember, senderHeaders, until } from "./harness.ts";
import { strangersRefusals } from "./refusals.ts";

const SELF = 0x8e9e05c52164694dn;
const PEER = 0xabn;
const REMOVED = 0xdeadn;

describe("a member's peer listener refuses, as etcd does,", () => {
  let member: Member;
  beforeAll(async () => {
    member = await openMember(SELF);
  });
  afterAll(closeMembers);

  it.each(strangersRefusals(SELF, CLUSTER))("$name", async ({ method, path, headers, status, text }) => {
    const answer = await call(member.port, method, path, headers);
    expect([answer.status, answer.text]).toEqual([status, text]);
    expect(answer.headers["x-etcd-cluster-id"]).toBe(CLUSTER.toString(16));
    if (status === 405) expect(answer.headers["allow"]).toBe(method === "GET" ? "POST" : "GET");
    if (method === "GET" && path.startsWith("/raft/stream/")) {
      expect(answer.headers["x-server-version"]).toBe("3.6.14");
    }
  });
});

describe("a member's peer listener", () => {
  let member: Member;
  const good = senderHeaders(PEER, SELF);

  async function listen(): Promise<void> {
    member = await openMember(SELF, {
      handle: async (method, path, body) => {
        if (path === "/members") return { status: 200, contentType: "application/json", body: "[]" };
        if (path === "/echo") return { status: 200, body };
        if (path === "/broken") throw new Error(`${method} went wrong`);
        return undefined;
      },
    });
    member.transport.setPeers([{ id: PEER, urls: ["http://127.0.0.1:9"] }]);
    member.removedIds.add(REMOVED);
  }

  afterEach(closeMembers);

  const post = (message: Message | Uint8Array, headers = good): ReturnType<typeof call> =>
    call(
      member.port,
      "POST",
      "/raft",
      headers,
      message instanceof Uint8Array ? message : encode(raftpb.Message, toWire(message)),
    );

  it("refuses a stream meant for another member", async () => {
    await listen();
    const headers = { ...good, "X-Raft-To": "1" };
    const answer = await call(member.port, "GET", "/raft/stream/message/ab", headers);
    expect([answer.status, answer.text]).toEqual([412, "to field mismatch\n"]);
  });

  it("tells a removed member so: 410 on streams, 403 on POSTs", async () => {
    await listen();
    const headers = senderHeaders(REMOVED, SELF);
    for (const type of ["message", "msgapp"]) {
      const answer = await call(member.port, "GET", `/raft/stream/${type}/dead`, headers);
      expect([answer.status, answer.text]).toEqual([410, ""]);
    }
    expect((await post(heartbeat(REMOVED, SELF, 1), headers)).status).toBe(403);
    expect((await call(member.port, "POST", "/raft/snapshot", headers)).status).toBe(403);
    expect(member.received).toEqual([]);
  });

  it("takes a message by pipeline", async () => {
    await listen();
    const answer = await post(heartbeat(PEER, SELF, 4));
    expect([answer.status, answer.text]).toEqual([204, ""]);
    await until(() => member.received.length === 1, "the message");
    expect(member.received).toEqual([heartbeat(PEER, SELF, 4)]);
  });

  it("answers an unknown sender by pipeline to the URLs it names", async () => {
    await listen();
    const stranger = await openMember(0xcn);
    const headers = { ...senderHeaders(0xcn, SELF), "X-PeerURLs": stranger.url };
    const answer = await call(member.port, "GET", "/raft/stream/message/c", headers);
    expect(answer.status).toBe(404);
    member.transport.send([heartbeat(SELF, 0xcn, 5)]);
    await until(() => stranger.received.length === 1, "the answer");
  });

  it("remembers a bounded number of unknown senders", async () => {
    await listen();
    const last = await openMember(0xcn);
    const first = await openMember(0xdn);
    const meet = async (id: bigint, url: string): Promise<void> => {
      const headers = { ...senderHeaders(id, SELF), "X-PeerURLs": url };
      expect((await call(member.port, "GET", `/raft/stream/message/${id.toString(16)}`, headers)).status).toBe(404);
    };
    await meet(first.id, first.url);
    for (let id = 0x1000n; id < 0x1020n; id++) await meet(id, "http://127.0.0.1:9");
    await meet(last.id, last.url);
    member.transport.send([heartbeat(SELF, first.id, 1), heartbeat(SELF, last.id, 2)]);
    await until(() => last.received.length === 1, "the last one is known");
    expect(first.received).toEqual([]);
  });

  it.each<[string, number, string, (good: Record<string, string>) => ReturnType<typeof call>]>([
    ["garbage", 400, "error unmarshalling raft message\n", () => post(Buffer.from("garbage"))],
    ["nothing", 400, "error unmarshalling raft message\n", () => post(Buffer.alloc(0))],
    ["a message for another", 412, "to field mismatch\n", () => post(heartbeat(PEER, 1n, 1))],
    ["a message in another's name", 400, "from field mismatch\n", () => post(heartbeat(1n, SELF, 1))],
    [
      "no sender",
      400,
      "invalid from\n",
      (headers) => post(heartbeat(PEER, SELF, 1), { ...headers, "X-Server-From": "" }),
    ],
  ])("refuses %s by pipeline", async (_, status, text, send) => {
    await listen();
    const answer = await send(good);
    expect([answer.status, answer.text]).toEqual([status, text]);
    expect(member.received).toEqual([]);
  });

  it("answers probes with its clock", async () => {
    await listen();
    const answer = await call(member.port, "GET", "/raft/probing");
    const { OK, Now } = JSON.parse(answer.text) as { OK: boolean; Now: string };
    expect(OK).toBe(true);
    expect(Math.abs(Date.parse(Now) - Date.now())).toBeLessThan(5_000);
    expect(Now).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
  });

  it("serves the server's own paths, within bounds", async () => {
    await listen();
    const members = await call(member.port, "GET", "/members?x=y");
    expect([members.status, members.text, members.headers["content-type"]]).toEqual([200, "[]", "application/json"]);
    expect(members.headers["x-etcd-cluster-id"]).toBe(CLUSTER.toString(16));
    const most = Buffer.alloc(64 * 1024, 0x61);
    expect((await call(member.port, "POST", "/echo", {}, most)).text.length).toBe(most.length);
    expect((await call(member.port, "GET", "/echo", { "Content-Length": "2" }, Buffer.from("{}"))).text).toBe("{}");
    expect((await call(member.port, "POST", "/echo", {}, Buffer.alloc(64 * 1024 + 1))).status).toBe(413);
    expect((await call(member.port, "GET", "/broken")).status).toBe(500);
    expect(member.logged("failed to serve a peer request")).toBe(true);
    expect((await call(member.port, "GET", "/missing")).text).toBe("404 page not found\n");
  });
});
