import { afterEach, describe, expect, it } from "vitest";
import type { Message, NodeId } from "../../raft/types.ts";
import { PeerCallError } from "../../src/peer/transport.ts";
import type { Member } from "./harness.ts";
import {
  append,
  closeMembers,
  connected,
  freePort,
  heartbeat,
  introduce,
  openMember,
  sleep,
  until,
} from "./harness.ts";

afterEach(closeMembers);

function commits(messages: readonly Message[]): number[] {
  return messages.flatMap((message) => (message.type === "MsgHeartbeat" ? [message.commit] : []));
}

function indexes(messages: readonly Message[]): number[] {
  return messages.flatMap((message) => (message.type === "MsgApp" ? [message.index] : []));
}

function countdown(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

async function pair(): Promise<[Member, Member]> {
  const members: [Member, Member] = [await openMember(1n), await openMember(2n)];
  introduce(...members);
  await connected(...members);
  return members;
}

describe("two members", () => {
  it("exchange thousands of messages in order, on both lanes, both ways", async () => {
    const [a, b] = await pair();
    const rounds = 3_000;
    const send = (from: Member, to: Member, i: number): void =>
      from.transport.send([append(from.id, to.id, i * 2, i % 3), heartbeat(from.id, to.id, i)]);
    for (let i = 0; i < rounds; i++) {
      send(a, b, i);
      send(b, a, i);
      if (i % 100 === 0) await sleep(0);
    }
    await until(() => [a, b].every(({ received }) => received.length === rounds * 2), "all messages");
    for (const { received } of [a, b]) {
      expect(commits(received)).toEqual(countdown(rounds));
      expect(indexes(received)).toEqual(countdown(rounds).map((i) => i * 2));
    }
    expect(b.received.find((m) => m.type === "MsgApp" && m.index === 4)).toEqual(append(1n, 2n, 4, 2));
    expect(a.unreachable).toEqual([]);
    expect(a.transport.traffic(2n)?.sentBytes).toBeGreaterThan(rounds * 100);
    expect(b.transport.traffic(1n)?.receivedBytes).toBeGreaterThan(rounds * 100);
  });

  it("notice that the other's process has ended, and only then", async () => {
    const [a, b] = await pair();
    a.transport.send([heartbeat(1n, 2n, 1)]);
    await until(() => b.received.length === 1, "the heartbeat");
    expect(a.gone).toEqual([]);
    await b.transport.close();
    await until(() => a.gone.length > 2, "the news");
    expect(new Set(a.gone)).toEqual(new Set([2n]));
    // Somebody listens again, as a member of another cluster: it does not serve us, but it is there.
    const back = await openMember(2n, { port: b.port, identity: { clusterId: 99n } });
    await until(
      () => a.lines.some(({ fields }) => String(fields["error"]).includes("cluster ID mismatch")),
      "a refusal",
    );
    const told = a.gone.length;
    await sleep(200);
    expect(a.gone.length).toBe(told);
    expect(back.received).toEqual([]);
  });

  it("hear only the newest of a batch's acknowledgements", async () => {
    const [a, b] = await pair();
    const ack = (index: number, reject = false, term = 5): Message => ({
      type: "MsgAppResp",
      from: 2n,
      to: 1n,
      term,
      index,
      reject,
      rejectHint: 0,
      logTerm: 0,
    });
    b.transport.send([ack(1), heartbeat(2n, 1n, 1), ack(2, false, 4), ack(9, true), ack(3), ack(4), ack(2)]);
    await until(() => a.received.length === 5, "what is left");
    await sleep(20);
    expect(a.received).toEqual([heartbeat(2n, 1n, 1), ack(2, false, 4), ack(9, true), ack(4), ack(2)]);
  });

  it("know since when the other is active, and its round trip", async () => {
    const a = await openMember(1n, { limits: { probeIntervalMs: 20 } });
    const b = await openMember(2n);
    const before = performance.now();
    introduce(a, b);
    await until(() => a.transport.activeSince(2n) !== undefined && a.transport.roundTripMs(2n) !== undefined, "active");
    expect(a.transport.activeSince(2n)).toBeGreaterThanOrEqual(before);
    expect(a.transport.roundTripMs(2n)).toBeGreaterThan(0);
    expect(a.transport.activeSince(3n)).toBeUndefined();
    expect(a.lines).toContainEqual({ level: "info", fields: { "peer-id": "2" }, msg: "peer became active" });
  });

  it("find each other again after one restarts", async () => {
    const [a, b] = await pair();
    await b.transport.close();
    await until(() => a.transport.activeSince(2n) === undefined, "b is gone");
    expect(a.unreachable).toContain(2n);
    expect(a.logged("peer became inactive (message send to peer failed)")).toBe(true);

    const again = await openMember(2n, { port: b.port });
    again.transport.setPeers([{ id: 1n, urls: [a.url] }]);
    await connected(again, a);
    await until(() => a.transport.activeSince(2n) !== undefined, "b is back");
    await sleep(50);
    a.transport.send([append(1n, 2n, 4, 1), heartbeat(1n, 2n, 9)]);
    again.transport.send([heartbeat(2n, 1n, 8)]);
    await until(() => again.received.length === 2 && a.received.length === 1, "messages flow again");
  });

  it("use the pipeline while there is no stream", async () => {
    const a = await openMember(1n);
    const b = await openMember(2n);
    // Only a knows b: b refuses a's streams and dials none, yet hears a, and can answer the unknown sender.
    a.transport.setPeers([{ id: 2n, urls: [b.url] }]);
    a.transport.send([heartbeat(1n, 2n, 1), append(1n, 2n, 0, 2)]);
    await until(() => b.received.length === 2, "two POSTs");
    expect([...b.received].sort((x, y) => x.type.localeCompare(y.type))).toEqual([
      append(1n, 2n, 0, 2),
      heartbeat(1n, 2n, 1),
    ]);
    b.transport.send([heartbeat(2n, 1n, 2)]);
    await until(() => a.received.length === 1, "an answer by pipeline");
    expect(a.unreachable).toEqual([]);
  });

  it("try a member's other URL", async () => {
    const dead = await freePort();
    const a = await openMember(1n);
    const b = await openMember(2n, { handle: async () => ({ status: 200, body: "b" }) });
    a.transport.setPeers([{ id: 2n, urls: [`http://127.0.0.1:${dead}`, b.url] }]);
    b.transport.setPeers([{ id: 1n, urls: [a.url] }]);
    const { body } = await a.transport.request(2n, { method: "POST", path: "/leases", timeoutMs: 1_000 });
    expect(body.toString()).toBe("b");
    await connected(a, b);
  });
});

describe("what cannot be sent", () => {
  it("is dropped and reported once a turn when the queue is full", async () => {
    const [a, b] = await pair();
    const messages = countdown(4_096 + 10).map((i) => heartbeat(1n, 2n, i));
    a.transport.send(messages);
    expect(a.unreachable).toEqual([]);
    await until(() => b.received.length === 4_096, "as many as the queue holds");
    expect(commits(b.received)).toEqual(countdown(4_096));
    expect(a.unreachable).toEqual([2n]);
    expect(a.transport.traffic(2n)?.sentFailures).toBe(10);
  });

  it("is dropped when its bytes are too many, though one message always goes", async () => {
    const a = await openMember(1n, { limits: { streamQueueBytes: 10_000 } });
    const b = await openMember(2n);
    introduce(a, b);
    await connected(a, b);
    a.transport.send([append(1n, 2n, 0, 1, 50_000), append(1n, 2n, 1, 1, 100), heartbeat(1n, 2n, 3)]);
    await until(() => b.received.length === 2, "the large one and the other lane's");
    await until(() => a.unreachable.length === 1, "the report");
    expect(indexes(b.received)).toEqual([0]);
  });

  it("goes nowhere when the member is down, and never blocks", async () => {
    const a = await openMember(1n);
    a.transport.setPeers([{ id: 2n, urls: [`http://127.0.0.1:${await freePort()}`] }]);
    a.transport.send(countdown(200).map((i) => heartbeat(1n, 2n, i)));
    // 4 in flight, 64 waiting, the rest dropped at once; then each failed POST is a report.
    expect(a.transport.traffic(2n)?.sentFailures).toBe(200 - 68);
    await until(() => a.unreachable.length > 1, "reports of failed POSTs");
    await until(() => a.transport.traffic(2n)?.sentFailures === 200, "all of them failed");
    expect(a.transport.activeSince(2n)).toBeUndefined();
  });

  it("is no one's business when the receiver is unknown", async () => {
    const a = await openMember(1n);
    a.transport.send([heartbeat(1n, 9n, 1)]);
    await sleep(20);
    expect(a.unreachable).toEqual([]);
  });

  it("includes a snapshot among messages: it has a way of its own", async () => {
    const [a, b] = await pair();
    const metadata = { index: 1, term: 1, confState: { voters: [1n], learners: [] } };
    a.transport.send([
      { type: "MsgSnap", from: 1n, to: 2n, term: 1, snapshot: { metadata, data: Buffer.alloc(0) } },
      heartbeat(1n, 2n, 1),
    ]);
    expect(a.unreachable).toEqual([]);
    await until(() => a.unreachable.length === 1 && b.received.length === 1, "the report, and the other message");
    expect(a.unreachable).toEqual([2n]);
    expect(b.received).toEqual([heartbeat(1n, 2n, 1)]);
  });
});

describe("a large append", () => {
  it("does not keep heartbeats waiting", async () => {
    const order: string[] = [];
    const a = await openMember(1n);
    const b = await openMember(2n, { onMessage: (message) => void order.push(message.type) });
    introduce(a, b);
    await connected(a, b);
    a.transport.send([append(1n, 2n, 0, 1, 20_000_000), heartbeat(1n, 2n, 1)]);
    await until(() => order.length === 2, "both");
    expect(order).toEqual(["MsgHeartbeat", "MsgApp"]);
  });
});

describe("membership", () => {
  it("of the transport follows setPeers", async () => {
    const [a, b] = await pair();
    a.transport.setPeers([]);
    expect(a.transport.activeSince(2n)).toBeUndefined();
    a.transport.send([heartbeat(1n, 2n, 1)]);
    await sleep(100);
    expect(b.received).toEqual([]);
    expect(b.transport.activeSince(1n)).toBeUndefined();
    introduce(a, b);
    await until(() => b.transport.activeSince(1n) !== undefined && a.transport.activeSince(2n) !== undefined, "back");
  });

  it("what was sent to a peer before it left still arrives: the commit of its own removal may be among it", async () => {
    const [a, b] = await pair();
    a.transport.send([append(1n, 2n, 0, 100, 50_000), heartbeat(1n, 2n, 7)]);
    a.transport.setPeers([]);
    await until(() => b.received.length === 2, "both lanes");
    expect(b.received.map(({ type }) => type).sort()).toEqual(["MsgApp", "MsgHeartbeat"]);
    await until(() => b.transport.activeSince(1n) === undefined, "the streams end");
    expect([a.unreachable, a.gone]).toEqual([[], []]);
  });

  it("a member that was removed is told so by streams and by pipeline, once", async () => {
    const a = await openMember(1n);
    const b = await openMember(2n);
    b.removedIds.add(1n);
    a.transport.setPeers([{ id: 2n, urls: [b.url] }]);
    a.transport.send([heartbeat(1n, 2n, 1)]);
    await until(() => a.removals.length > 0, "the news");
    await sleep(100);
    expect(a.removals).toHaveLength(1);
    expect(b.received).toEqual([]);
    expect(a.logged("the member has been permanently removed from the cluster")).toBe(true);
  });

  it("messages astray are dropped: for another member, or in another's name", async () => {
    const [a, b] = await pair();
    a.transport.send([heartbeat(3n, 2n, 1), append(3n, 2n, 0, 1), heartbeat(1n, 2n, 7)]);
    await until(() => b.received.length > 0, "the honest one");
    await sleep(50);
    expect(b.received).toEqual([heartbeat(1n, 2n, 7)]);
    expect(b.logged("dropped a message that does not belong on this stream")).toBe(true);
  });

  it("forwarded messages keep the name of who asked first", async () => {
    const [a, b] = await pair();
    const forwarded: readonly Message[] = [
      { type: "MsgTransferLeader", from: 3n, to: 2n, term: 0 },
      { type: "MsgProp", from: 3n, to: 2n, term: 0, entries: [{ type: 0, data: Buffer.from("p") }] },
    ];
    a.transport.send(forwarded);
    await until(() => b.received.length === 2, "both");
    expect(b.received).toEqual(forwarded);
  });
});

describe("request", () => {
  it("is served by the other side's handler", async () => {
    const a = await openMember(1n);
    const b = await openMember(2n, {
      handle: async (method, path, body, headers) => ({
        status: 200,
        contentType: "application/protobuf",
        body: Buffer.from(`${method} ${path} ${body} ${headers["x-extra"]} ${headers["x-server-from"]}`),
      }),
    });
    a.transport.setPeers([{ id: 2n, urls: [b.url] }]);
    const answer = await a.transport.request(2n, {
      method: "POST",
      path: "/leases?x=1",
      headers: { "X-Extra": "e" },
      body: Buffer.from("body"),
      timeoutMs: 1_000,
    });
    expect(answer.status).toBe(200);
    expect(answer.body.toString()).toBe("POST /leases body e 1");
    expect(answer.headers["content-type"]).toBe("application/protobuf");
    expect(answer.headers["x-etcd-cluster-id"]).toBe("cdf818194e3a8c32");
  });

  it("many at once share a few connections, and probes have one of their own", async () => {
    const a = await openMember(1n, { limits: { callSockets: 4, probeIntervalMs: 100 } });
    let underWay = 0;
    let most = 0;
    const waiting: (() => void)[] = [];
    const b = await openMember(2n, {
      handle: async () => {
        most = Math.max(most, ++underWay);
        await new Promise<void>((resolve) => waiting.push(resolve));
        underWay--;
        return { status: 200, body: "" };
      },
    });
    a.transport.setPeers([{ id: 2n, urls: [b.url] }]);
    const givingUp = new AbortController();
    const call = (signal?: AbortSignal): Promise<number> =>
      a.transport
        .request(2n, { method: "POST", path: "/leases", timeoutMs: 60_000, ...(signal !== undefined && { signal }) })
        .then(({ status }) => status);
    const calls = Array.from({ length: 4 }, () => call());
    await until(() => underWay === 4, "all connections are taken");
    const givenUp = Array.from({ length: 20 }, () => call(givingUp.signal));
    calls.push(...Array.from({ length: 40 }, () => call()));
    const before = a.transport.roundTripMs(2n);
    await until(() => a.transport.roundTripMs(2n) !== before, "a probe is answered meanwhile");
    givingUp.abort();
    for (const one of givenUp) await expect(one).rejects.toThrow("aborted");
    let answered = 0;
    for (const one of calls) void one.then(() => answered++);
    await until(() => {
      for (const resolve of waiting.splice(0)) resolve();
      return answered === 44;
    }, "all that were not given up are answered");
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 44 }, () => 200));
    expect(most).toBe(4);
  });

  it("rejects when a member of another cluster answers", async () => {
    const a = await openMember(1n);
    const foreign = await openMember(2n, {
      identity: { clusterId: 0xabcn },
      handle: async () => ({ status: 200, body: "[]" }),
    });
    a.transport.setPeers([{ id: 2n, urls: [foreign.url] }]);
    const asked = a.transport.request(2n, { method: "GET", path: "/members", timeoutMs: 5_000 });
    await expect(asked).rejects.toThrow("at the URL of member 2 answers one of cluster abc");
  });

  it("rejects when late, aborted, unknown, dead or closed", async () => {
    const a = await openMember(1n);
    const b = await openMember(2n, { handle: () => new Promise(() => undefined) });
    a.transport.setPeers([
      { id: 2n, urls: [b.url] },
      { id: 3n, urls: [`http://127.0.0.1:${await freePort()}`] },
      { id: 4n, urls: ["https://127.0.0.1:1"] },
    ]);
    const get = (id: NodeId, signal?: AbortSignal): Promise<unknown> =>
      a.transport.request(id, {
        method: "GET",
        path: "/version",
        timeoutMs: 100,
        ...(signal === undefined ? {} : { signal }),
      });
    await expect(get(2n)).rejects.toThrow("no answer in");
    await expect(get(2n, AbortSignal.timeout(20))).rejects.toThrow("aborted");
    await expect(get(3n)).rejects.toThrow("ECONNREFUSED");
    await expect(get(4n)).rejects.toThrow("unsupported scheme");
    await expect(get(5n)).rejects.toThrow("member 5 is not known");
    const pending = get(2n);
    const closed = expect(pending).rejects.toThrow(PeerCallError);
    await a.transport.close();
    await closed;
  });
});

describe("standing still ourselves", () => {
  it("is not taken for the peer's silence", async () => {
    const a = await openMember(1n, { limits: { readTimeoutMs: 300, writeTimeoutMs: 300 } });
    const b = await openMember(2n, { limits: { readTimeoutMs: 300, writeTimeoutMs: 300 } });
    introduce(a, b);
    await connected(a, b);
    a.transport.send([append(1n, 2n, 0, 1), heartbeat(1n, 2n, 1)]);
    b.transport.send([append(2n, 1n, 0, 1), heartbeat(2n, 1n, 1)]);
    // Let all of it reach the sockets, and then let more than the time-out pass before anybody can read it.
    await Promise.resolve();
    await new Promise<void>((resolve) => process.nextTick(resolve));
    const end = performance.now() + 500;
    while (performance.now() < end);
    await until(() => a.received.length === 2 && b.received.length === 2, "what was said meanwhile");
    await sleep(50);
    expect([a, b].some((member) => member.logged("lost TCP streaming connection with remote peer"))).toBe(false);
  });
});

describe("close", () => {
  it("leaves no socket, no timer, no call-back behind", async () => {
    const handles = (): string[] =>
      process.getActiveResourcesInfo().filter((name) => /TCP|GetAddrInfo|HTTP/i.test(name));
    await until(() => handles().length === 0, "earlier tests' sockets are closed");
    const [a, b] = await pair();
    a.transport.send([append(1n, 2n, 0, 1, 1_000_000), heartbeat(1n, 2n, 1)]);
    const dead = `http://127.0.0.1:${await freePort()}`;
    a.transport.setPeers([
      { id: 2n, urls: [b.url] },
      { id: 3n, urls: [dead] },
    ]);
    a.transport.send(countdown(100).map((i) => heartbeat(1n, 3n, i)));
    expect(handles().length).toBeGreaterThan(0);
    await Promise.all([a.transport.close(), b.transport.close()]);
    const reports = a.unreachable.length;
    await until(() => handles().length === 0, "handles are closed", 1_000);
    expect(a.timers.size).toBe(0);
    expect(b.timers.size).toBe(0);
    a.transport.send([heartbeat(1n, 2n, 1)]);
    a.transport.setPeers([{ id: 2n, urls: [b.url] }]);
    await sleep(50);
    expect(a.unreachable.length).toBe(reports);
    expect(a.timers.size).toBe(0);
  });

  it("frees the port, and listening on a taken one is refused", async () => {
    const a = await openMember(1n);
    await expect(openMember(2n, { port: a.port })).rejects.toThrow("EADDRINUSE");
    await a.transport.close();
    await openMember(2n, { port: a.port });
  });
});
