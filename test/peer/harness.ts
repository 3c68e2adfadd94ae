import * as http from "node:http";
import type { Message, NodeId } from "../../raft/types.ts";
import type { Env } from "../../src/env.ts";
import type { Logger } from "../../src/log.ts";
import { createNodeEnv } from "../../src/node-env.ts";
import { openPeerTransport } from "../../src/peer/http-transport.ts";
import type { PeerLimits } from "../../src/peer/limits.ts";
import type { PeerCallbacks, PeerHttpHandler, PeerIdentity, PeerTransport } from "../../src/peer/transport.ts";
import { SnapshotRefusedError } from "../../src/peer/transport.ts";

export const CLUSTER = 0xcdf818194e3a8c32n;
export const VERSION = "3.6.14";

export interface LogLine {
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly msg: string;
}

export function captureLog(): { readonly logger: Logger; readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: string) => (fields: object, msg: string) => {
    lines.push({ level, fields: { ...fields }, msg });
  };
  return { logger: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }, lines };
}

/** The real clock, and how many timers are pending. */
export function countingEnv(): { readonly env: Env; readonly pending: Set<object> } {
  const node = createNodeEnv();
  const pending = new Set<object>();
  const setTimer: Env["setTimer"] = (callback, delayMs) => {
    const key = {};
    pending.add(key);
    const timer = node.setTimer(() => {
      pending.delete(key);
      callback();
    }, delayMs);
    return {
      cancel: () => {
        pending.delete(key);
        timer.cancel();
      },
    };
  };
  return { env: { ...node, setTimer }, pending };
}

export interface Member {
  readonly id: NodeId;
  readonly url: string;
  readonly port: number;
  readonly transport: PeerTransport;
  readonly received: Message[];
  readonly unreachable: NodeId[];
  readonly gone: NodeId[];
  readonly removedIds: Set<NodeId>;
  readonly removals: number[];
  readonly lines: LogLine[];
  readonly timers: Set<object>;
  logged(msg: string): boolean;
}

export interface MemberOptions {
  readonly port?: number;
  readonly limits?: Partial<PeerLimits>;
  readonly identity?: Partial<PeerIdentity>;
  readonly handle?: PeerHttpHandler;
  readonly onMessage?: (message: Message) => void;
  readonly onSnapshot?: PeerCallbacks["onSnapshot"];
}

const open: Member[] = [];

export async function openMember(id: NodeId, options: MemberOptions = {}): Promise<Member> {
  const { logger, lines } = captureLog();
  const { env, pending } = countingEnv();
  const received: Message[] = [];
  const unreachable: NodeId[] = [];
  const gone: NodeId[] = [];
  const removedIds = new Set<NodeId>();
  const removals: number[] = [];
  const port = options.port ?? (await freePort());
  const url = `http://127.0.0.1:${port}`;
  const transport = await openPeerTransport({
    env,
    logger,
    identity: { memberId: id, clusterId: CLUSTER, serverVersion: VERSION, peerUrls: [url], ...options.identity },
    listenUrls: [url],
    limits: { dialIntervalMs: 20, ...options.limits },
    callbacks: {
      onMessage: options.onMessage ?? ((message) => void received.push(message)),
      onUnreachable: (peer) => void unreachable.push(peer),
      onGone: (peer) => void gone.push(peer),
      onSnapshot: options.onSnapshot ?? (async () => Promise.reject(new SnapshotRefusedError(503, "not in this test"))),
      onRemoved: () => void removals.push(env.now()),
      isRemoved: (peer) => removedIds.has(peer),
      handle: options.handle ?? (async () => undefined),
    },
  });
  const member: Member = {
    id,
    url,
    port,
    transport,
    received,
    unreachable,
    gone,
    removedIds,
    removals,
    lines,
    timers: pending,
    logged: (msg) => lines.some((line) => line.msg === msg),
  };
  open.push(member);
  return member;
}

/** For afterEach: whatever a failed test left open. */
export async function closeMembers(): Promise<void> {
  await Promise.all(open.splice(0).map((member) => member.transport.close()));
}

export function introduce(...members: readonly Member[]): void {
  const peers = members.map(({ id, url }) => ({ id, urls: [url] }));
  for (const member of members) member.transport.setPeers(peers);
}

/** Both lanes, both ways: the streams that the other side dialled have arrived. */
export async function connected(...members: readonly Member[]): Promise<void> {
  const wanted = (members.length - 1) * 4;
  const established = (member: Member): number =>
    member.lines.filter(({ msg }) => msg === "established TCP streaming connection with remote peer").length;
  await until(() => members.every((member) => established(member) >= wanted), "all streams are established");
}

export async function until(condition: () => boolean, what: string, timeoutMs = 30_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(5);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export async function freePort(): Promise<number> {
  const server = http.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

export function call(
  port: number,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body?: Uint8Array,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", port, method, path, headers, agent: false });
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: Buffer.concat(chunks).toString("utf8"),
        }),
      );
    });
    request.end(body);
  });
}

export function senderHeaders(from: NodeId, to: NodeId, cluster = CLUSTER): Record<string, string> {
  return {
    "X-Server-From": from.toString(16),
    "X-Server-Version": VERSION,
    "X-Min-Cluster-Version": "3.0.0",
    "X-Etcd-Cluster-ID": cluster.toString(16),
    "X-Raft-To": to.toString(16),
  };
}

export function append(from: NodeId, to: NodeId, index: number, count: number, dataBytes = 100): Message {
  const entries = Array.from({ length: count }, (_, i) => ({
    type: 0 as const,
    term: 5,
    index: index + 1 + i,
    data: Buffer.alloc(dataBytes, index + 1 + i),
  }));
  return { type: "MsgApp", from, to, term: 5, index, logTerm: index === 0 ? 0 : 5, entries, commit: index };
}

export function heartbeat(from: NodeId, to: NodeId, commit: number): Message {
  return { type: "MsgHeartbeat", from, to, term: 5, commit, context: Buffer.alloc(0) };
}
