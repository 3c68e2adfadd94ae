/** Against a real etcd (ETCD_BIN, or `etcd` on the PATH): its answers are ours, and a learner of ours follows it. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Entry, Message } from "../../raft/types.ts";
import type { SnapshotMessage } from "../../src/peer/transport.ts";
import { SnapshotRefusedError } from "../../src/peer/transport.ts";
import type { Member } from "./harness.ts";
import { call, closeMembers, freePort, openMember, sleep, until } from "./harness.ts";
import { strangersRefusals } from "./refusals.ts";

function findEtcd(): string | undefined {
  const onPath = (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "etcd"));
  return [process.env["ETCD_BIN"], ...onPath].find((path) => path !== undefined && isExecutable(path));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const binary = findEtcd();
if (binary === undefined) console.warn("SKIPPED: no etcd found; set ETCD_BIN to test the peer protocol against it");

function catchUpFlag(path: string): string {
  const version = execFileSync(path, ["--version"], { encoding: "utf8" });
  return `${version.startsWith("etcd Version: 3.5.") ? "experimental-" : ""}snapshot-catchup-entries`;
}

/** Just enough of a follower to be sent the log. */
function follow(member: () => Member, log: Entry[]): (message: Message) => void {
  return (message) => {
    const reply = { from: message.to, to: message.from, term: message.term };
    if (message.type === "MsgHeartbeat") {
      member().transport.send([{ ...reply, type: "MsgHeartbeatResp", context: message.context }]);
    }
    if (message.type !== "MsgApp") return;
    member().received.push(message);
    const known = message.index === 0 || log[message.index - 1]?.term === message.logTerm;
    if (!known) {
      const rejectHint = Math.min(log.length, message.index - 1);
      const logTerm = log[rejectHint - 1]?.term ?? 0;
      const { index } = message;
      member().transport.send([{ ...reply, type: "MsgAppResp", index, reject: true, rejectHint, logTerm }]);
      return;
    }
    log.length = message.index;
    log.push(...message.entries);
    const index = log.length;
    member().transport.send([{ ...reply, type: "MsgAppResp", index, reject: false, rejectHint: 0, logTerm: 0 }]);
  };
}

describe.skipIf(binary === undefined)("a real etcd", () => {
  let etcd: ChildProcess;
  let folder: string;
  let clientPort: number;
  let peerPort: number;
  let leader: bigint;
  let cluster: bigint;
  let version: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "quorate-peer-"));
    clientPort = await freePort();
    peerPort = await freePort();
    const peerUrl = `http://127.0.0.1:${peerPort}`;
    const clientUrl = `http://127.0.0.1:${clientPort}`;
    const flags = {
      name: "real",
      "data-dir": folder,
      "listen-peer-urls": peerUrl,
      "initial-advertise-peer-urls": peerUrl,
      "listen-client-urls": clientUrl,
      "advertise-client-urls": clientUrl,
      "initial-cluster": `real=${peerUrl}`,
      "log-level": "error",
      // Few enough that a test gets there, and more than the ones before it need.
      "snapshot-count": "200",
      [catchUpFlag(binary as string)]: "10",
    };
    const words = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    etcd = spawn(binary as string, words, { stdio: "ignore" });
    const deadline = performance.now() + 20_000;
    while (!(await healthy())) {
      if (performance.now() > deadline) throw new Error("etcd does not start");
      await sleep(50);
    }
    const { header } = (await gateway("cluster/member/list", {})) as { header: Record<string, string> };
    leader = BigInt(header["member_id"] as string);
    cluster = BigInt(header["cluster_id"] as string);
    version = (JSON.parse((await call(peerPort, "GET", "/version")).text) as { etcdserver: string }).etcdserver;
  });

  afterAll(async () => {
    await closeMembers();
    const ended = new Promise((resolve) => etcd.once("exit", resolve));
    etcd.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true });
  });

  const healthy = (): Promise<boolean> =>
    call(clientPort, "GET", "/health").then(
      ({ status }) => status === 200,
      () => false,
    );

  async function gateway(path: string, body: object): Promise<unknown> {
    const { status, text } = await call(clientPort, "POST", `/v3/${path}`, {}, Buffer.from(JSON.stringify(body)));
    if (status !== 200) throw new Error(`${path}: ${status} ${text}`);
    return JSON.parse(text);
  }

  it("refuses strangers in the words that we use", async () => {
    for (const { name, method, path, headers, status, text } of strangersRefusals(leader, cluster)) {
      const answer = await call(peerPort, method, path, headers);
      expect([name, answer.status, answer.text]).toEqual([name, status, text]);
    }
  });

  it("feeds its log to a learner of ours, over streams both ways, and tells it when it is removed", async () => {
    const port = await freePort();
    const log: Entry[] = [];
    const url = `http://127.0.0.1:${port}`;
    const added = (await gateway("cluster/member/add", { peerURLs: [url], isLearner: true })) as {
      member: { ID: string };
    };
    const id = BigInt(added.member.ID);
    let member: Member | undefined;
    const self = (): Member => member as Member;
    member = await openMember(id, {
      port,
      identity: { clusterId: cluster, serverVersion: version },
      limits: { probeIntervalMs: 50 },
      onMessage: follow(self, log),
    });
    member.transport.setPeers([{ id: leader, urls: [`http://127.0.0.1:${peerPort}`] }]);

    await until(() => log.length > 0, "the log so far");
    const before = log.length;
    const puts = 50;
    for (let i = 0; i < puts; i++) {
      const key = Buffer.from(`key-${i}`).toString("base64");
      await gateway("kv/put", { key, value: Buffer.alloc(5_000, i).toString("base64") });
    }
    await until(() => log.length >= before + puts, "the puts' entries");
    expect(log.map(({ index }) => index)).toEqual(log.map((_, i) => i + 1));
    for (let i = 0; i < puts; i++) {
      const entry = log[before + i] as Entry;
      expect(Buffer.from(entry.data).includes(`key-${i}`)).toBe(true);
      expect(Buffer.from(entry.data).includes(Buffer.alloc(5_000, i))).toBe(true);
    }

    const established = self()
      .lines.filter(({ msg }) => msg === "established TCP streaming connection with remote peer")
      .map(({ fields }) => fields["stream-reader-type"] ?? `to ${fields["stream-writer-type"]}`);
    expect(new Set(established)).toEqual(new Set(["message", "msgapp", "to message", "to msgapp"]));
    expect(self().transport.activeSince(leader)).toBeDefined();
    await until(() => self().transport.roundTripMs(leader) !== undefined, "a probe");
    const members = await self().transport.request(leader, { method: "GET", path: "/members", timeoutMs: 1_000 });
    expect(members.headers["x-etcd-cluster-id"]).toBe(cluster.toString(16));
    expect(members.body.toString()).toContain(`"id":${id}`);

    await gateway("cluster/member/remove", { ID: added.member.ID });
    await until(() => self().removals.length > 0, "the news of its removal");
  });

  it("sends a snapshot to a learner of ours that is behind its log", async () => {
    for (let i = 0; i < 220; i++) {
      await gateway("kv/put", { key: Buffer.from(`more-${i}`).toString("base64"), value: "eA==" });
    }
    const port = await freePort();
    const added = (await gateway("cluster/member/add", {
      peerURLs: [`http://127.0.0.1:${port}`],
      isLearner: true,
    })) as {
      member: { ID: string };
    };
    const id = BigInt(added.member.ID);
    const snapshots: { readonly message: SnapshotMessage; readonly file: Buffer }[] = [];
    let member: Member | undefined;
    const self = (): Member => member as Member;
    let offered = 0;
    const followed = follow(self, []);
    const appends: Message[] = [];
    member = await openMember(id, {
      port,
      identity: { clusterId: cluster, serverVersion: version },
      onMessage: (message) => {
        if (snapshots.length === 0 || message.type === "MsgHeartbeat") followed(message);
        else if (message.type === "MsgApp") appends.push(message);
      },
      onSnapshot: async (message, file) => {
        if (++offered === 1) throw new SnapshotRefusedError(503, "try again");
        const pieces: Buffer[] = [];
        for await (const piece of file) pieces.push(piece);
        snapshots.push({ message, file: Buffer.concat(pieces) });
      },
    });
    member.transport.setPeers([{ id: leader, urls: [`http://127.0.0.1:${peerPort}`] }]);
    await until(() => snapshots.length === 1, "the snapshot");

    const [{ message, file } = { message: undefined, file: Buffer.alloc(0) }] = snapshots;
    const { index, term, confState } = (message as SnapshotMessage).snapshot.metadata;
    expect([message?.from, message?.to]).toEqual([leader, id]);
    expect(index).toBeGreaterThan(200);
    expect(term).toBeGreaterThan(0);
    expect(confState).toEqual({ voters: [leader], learners: [id] });
    const store = JSON.parse(Buffer.from((message as SnapshotMessage).snapshot.data).toString()) as object;
    expect(store).toMatchObject({ Root: { Path: "/" } });
    // A bbolt database: the magic number of its first meta page, and whole pages.
    expect(file.readUInt32LE(16)).toBe(0xed0cdaed);
    expect([file.length > 0, file.length % 4096]).toEqual([true, 0]);
    expect(file.includes("more-219")).toBe(true);

    const reply = { from: id, to: leader, term: (message as SnapshotMessage).term };
    const ack: Message = { ...reply, type: "MsgAppResp", index, reject: false, rejectHint: 0, logTerm: 0 };
    self().transport.send([ack]);
    await gateway("kv/put", { key: "eA==", value: "eA==" });
    await until(() => appends.length > 0, "the log goes on behind it");
    expect(appends[0]).toMatchObject({ index });

    // It takes ours as well; a leader has no use for it, and says that it has it.
    async function* pieces(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < file.length; at += 10_000) yield file.subarray(at, at + 10_000);
    }
    const back = { ...(message as SnapshotMessage), from: id, to: leader };
    await self().transport.sendSnapshot(leader, { message: back, file: pieces() }, new AbortController().signal);
    await gateway("cluster/member/remove", { ID: added.member.ID });
    await expect(
      self().transport.sendSnapshot(leader, { message: back, file: pieces() }, new AbortController().signal),
    ).rejects.toThrow("cannot process message from removed member");
  });
});
