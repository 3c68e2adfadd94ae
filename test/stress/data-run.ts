/**
 * Much data in and out, beside a real etcd on the same machine: a backup, a restore of each one's backup by the other,
 * and a member that comes back and has to be given the whole state. Every state is compared by its HashKV.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { ApiClient } from "../e2e/client.ts";
import { type Cluster, freePorts, type MemberProcess, memberAt, quorate, startCluster } from "../e2e/cluster.ts";
import { etcdBinary, hasEtcdctl, hasEtcdutl } from "../e2e/etcdctl.ts";
import { until } from "../e2e/until.ts";
import { now } from "./clock.ts";
import { ownBytes, peakBytes } from "./members.ts";
import { count, mib, type Report, type Say } from "./report.ts";

export interface DataScale {
  readonly mebibytes: number;
  readonly valueBytes: number;
}

type Maker = "quorate" | "etcd";

/** What one step took. */
interface Step {
  readonly ms: number;
  /** Of the process that did the work, at most: all, with the files that it has mapped; and its own memory alone. */
  readonly peak: number | undefined;
  readonly own: number;
  readonly peakOfOther?: number | undefined;
}

interface Side {
  readonly load: Step;
  readonly save: Step;
  readonly fileBytes: number;
  /** Its backup restored by the other one's tool. */
  readonly restore: Step;
  readonly catchUp: Step;
}

const PATIENCE_MS = 600_000;
const LOOK_MS = 20;
const OPS_PER_TXN = 50;
const IN_FLIGHT = 8;
/** Little of the log is kept, so that whoever was away needs the state. */
const FLAGS: Readonly<Record<Maker, readonly string[]>> = {
  quorate: ["--max-wals=1", "--wal-segment-bytes=16000000", "--snapshot-catchup-entries=100"],
  etcd: ["--snapshot-count=200", "--experimental-snapshot-catchup-entries=100", "--quota-backend-bytes=8000000000"],
};

export async function runData(scale: DataScale, say: Say): Promise<Report> {
  if (etcdBinary === undefined || !hasEtcdctl || !hasEtcdutl) {
    throw new Error("etcd, etcdctl and etcdutl are needed for this: put them on PATH");
  }
  const directory = await mkdtemp(join(tmpdir(), "quorate-stress-data-"));
  const problems: string[] = [];
  try {
    const ours = await measure("quorate", scale, directory, problems, say);
    const theirs = await measure("etcd", scale, directory, problems, say);
    return report(scale, ours, theirs, problems);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function measure(maker: Maker, scale: DataScale, directory: string, problems: string[], say: Say): Promise<Side> {
  const binary = maker === "quorate" ? quorate : (etcdBinary as string);
  const cluster = await startCluster(3, FLAGS[maker], binary);
  try {
    const leader = await cluster.leader();
    const load = await timed(leader, () => fill(cluster, scale, (done) => say(`${maker}: ${mib(done)} written`)));
    const file = join(directory, `${maker}.db`);
    say(`${maker}: saving a snapshot`);
    const save = await timed(leader, () =>
      command("etcdctl", [`--endpoints=${leader.endpoint}`, "snapshot", "save", file]),
    );
    const fileBytes = (await stat(file)).size;
    const hash = await hashOf(cluster.client(leader));
    say(`${maker}: restoring its snapshot into the other`);
    const restore = await restored(maker, file, directory, hash, problems);
    say(`${maker}: a member comes back to a log that no longer has what it lacks`);
    const catchUp = await caughtUp(cluster, scale, problems);
    return { load, save, fileBytes, restore, catchUp };
  } finally {
    await cluster.destroy();
  }
}

/** Values that no compression makes smaller, a few leases, and some keys that are deleted and written again. */
async function fill(
  cluster: Cluster,
  { mebibytes, valueBytes }: DataScale,
  done: (bytes: number) => void,
): Promise<void> {
  const clients = cluster.members.map((member) => cluster.client(member));
  const total = Math.ceil((mebibytes * (1 << 20)) / valueBytes);
  let next = 0;
  const writer = async (client: ApiClient): Promise<void> => {
    while (next < total) {
      const from = next;
      next = Math.min(total, next + OPS_PER_TXN);
      const values = randomBytes((next - from) * valueBytes);
      await putAll(client, from, next, (i) => values.subarray((i - from) * valueBytes, (i - from + 1) * valueBytes));
      done(next * valueBytes);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, (_, i) => writer(clients[i % clients.length] as ApiClient)));
  const [client] = clients as [ApiClient];
  for (let id = 1; id <= 50; id++) {
    await client.unary(rpcs.LeaseLeaseGrant, { ID: BigInt(id), TTL: 100_000 });
    await client.put(`leased/${id}`, "x", { lease: BigInt(id) });
  }
  await client.unary(rpcs.KVDeleteRange, { key: keyOf(0), rangeEnd: keyOf(20) });
  await putAll(client, 5, 10, () => Buffer.from("written again"));
}

function keyOf(i: number): string {
  return `data/${String(i).padStart(9, "0")}`;
}

async function putAll(client: ApiClient, from: number, to: number, value: (i: number) => Buffer): Promise<void> {
  const success = Array.from({ length: to - from }, (_, k) => {
    const put = pb.PutRequest.create({ key: keyOf(from + k), value: value(from + k) });
    return pb.RequestOp.create({ request: { kind: "requestPut", value: put } });
  });
  await client.unary(rpcs.KVTxn, { success }, { timeoutMs: 60_000 });
}

interface Hash {
  readonly revision: number;
  readonly hash: number;
}

async function hashOf(client: ApiClient): Promise<Hash> {
  const { header, hash } = await client.unary(rpcs.MaintenanceHashKV, { revision: 0 }, { timeoutMs: PATIENCE_MS });
  return { revision: header?.revision ?? 0, hash };
}

/** By the tool of the other maker, whose member is then started from it. */
async function restored(
  maker: Maker,
  file: string,
  directory: string,
  expected: Hash,
  problems: string[],
): Promise<Step> {
  const [client, peer] = (await freePorts(2)) as [number, number];
  const name = `restored-${maker}`;
  const initial = `${name}=http://127.0.0.1:${peer}`;
  const words = [
    `--name=${name}`,
    `--data-dir=${join(directory, name)}`,
    `--initial-cluster=${initial}`,
    `--initial-cluster-token=${directory}`,
    `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
  ];
  const step =
    maker === "quorate"
      ? await command("etcdutl", ["snapshot", "restore", file, ...words])
      : await command(quorate, ["restore", file, ...words]);
  const binary = maker === "quorate" ? (etcdBinary as string) : quorate;
  const member = memberAt(directory, { name, client, peer }, initial, [], binary);
  member.start();
  const api = new ApiClient(member.endpoint);
  try {
    await member.ready(PATIENCE_MS);
    await api.connected();
    const found = await api.unary(rpcs.MaintenanceHashKV, { revision: expected.revision }, { timeoutMs: PATIENCE_MS });
    if (found.hash !== expected.hash) problems.push(`${name}: HashKV ${found.hash} instead of ${expected.hash}`);
    const { leases } = await api.unary(rpcs.LeaseLeaseLeases, {});
    if (leases.length !== 50) problems.push(`${name}: ${leases.length} of 50 leases`);
  } finally {
    api.close();
    await member.kill();
    await rm(member.dataDir, { recursive: true, force: true });
  }
  return step;
}

/** A follower is away while more is written than the log holds; from its start until it has applied all of it. */
async function caughtUp(cluster: Cluster, { valueBytes }: DataScale, problems: string[]): Promise<Step> {
  const leader = await cluster.leader();
  const [follower] = await cluster.followers();
  if (follower === undefined) throw new Error("no follower");
  await follower.kill();
  const client = cluster.client(leader);
  // Several times what any of the logs keeps, in many entries.
  for (let i = 0; i < 1_500; i++)
    await client.put(`later/${i}`, randomBytes(Math.min(valueBytes, 20_000)).toString("latin1"));
  const last = await client.put("last", "one");
  const revision = last.header?.revision ?? 0;
  await resetPeak(leader);
  const startedAt = now();
  follower.start();
  const own = watchOwn(() => follower.pid);
  await follower.ready(PATIENCE_MS);
  const api = cluster.client(follower);
  await until(
    "the follower has everything",
    async () => {
      const found = await api.get("last", { serializable: true }).catch(() => undefined);
      return found?.modRevision === revision;
    },
    PATIENCE_MS,
  );
  const ms = now() - startedAt;
  const step = { ms, peak: peakBytes(follower.pid), own: own(), peakOfOther: peakBytes(leader.pid) };
  const [hash, expected] = await Promise.all([api.hashKv(revision), client.hashKv(revision)]);
  if (hash.hash !== expected.hash) problems.push(`after catching up: HashKV ${hash.hash} instead of ${expected.hash}`);
  if (!follower.log.includes("applied snapshot")) problems.push("the follower caught up without a snapshot");
  return step;
}

async function timed(member: MemberProcess, work: () => Promise<unknown>): Promise<Step> {
  await resetPeak(member);
  const own = watchOwn(() => member.pid);
  const startedAt = now();
  await work();
  return { ms: now() - startedAt, peak: peakBytes(member.pid), own: own() };
}

/** The most memory of its own that a process has until the returned function is called; 0 without a /proc. */
function watchOwn(pid: () => number): () => number {
  let most = 0;
  const look = setInterval(() => {
    most = Math.max(most, ownBytes(pid()) ?? 0);
  }, LOOK_MS);
  return () => {
    clearInterval(look);
    return most;
  };
}

/** The kernel's high-water mark starts anew. */
async function resetPeak({ pid }: MemberProcess): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, "5").catch(() => undefined);
}

/** Runs a tool to its end; rejects when it fails. */
function command(program: string, words: readonly string[]): Promise<Step> {
  return new Promise((resolve, reject) => {
    const startedAt = now();
    const child = spawn(program, words, { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    let peak: number | undefined;
    let own = 0;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-4_000);
    });
    const look = setInterval(() => {
      if (child.pid === undefined) return;
      peak = peakBytes(child.pid) ?? peak;
      own = Math.max(own, ownBytes(child.pid) ?? 0);
    }, LOOK_MS);
    child.on("error", (error) => {
      clearInterval(look);
      reject(error);
    });
    child.on("close", (code) => {
      clearInterval(look);
      if (code === 0) resolve({ ms: now() - startedAt, peak, own });
      else reject(new Error(`${program} ${words.join(" ")} ended with ${code}:\n${said}`));
    });
  });
}

function report(scale: DataScale, ours: Side, theirs: Side, problems: readonly string[]): Report {
  const rows: [string, string][] = [["", "quorate                     etcd"]];
  const row = (label: string, tell: (side: Side) => string): void => {
    rows.push([label, `${tell(ours).padEnd(28)}${tell(theirs)}`]);
  };
  const step = ({ ms, peak, own }: Step): string => `${(ms / 1000).toFixed(1)} s, ${mib(peak)} (${mib(own)})`;
  row("write it", ({ load }) => step(load));
  row("snapshot save", ({ save }) => step(save));
  row("  its file", ({ fileBytes }) => mib(fileBytes));
  // Each side's step was the work of the other one's tool.
  rows.push(["restore the other's file", `${step(theirs.restore).padEnd(28)}${step(ours.restore)}`]);
  row("catch up by snapshot", ({ catchUp }) => step(catchUp));
  row("  the leader meanwhile", ({ catchUp }) => mib(catchUp.peakOfOther));
  return {
    title: `Data in and out: ${count(scale.mebibytes)} MiB in values of ${count(scale.valueBytes)} bytes`,
    rows,
    problems,
    isFarFromRate: false,
    notes: [
      "each with the most memory that the process at work (the leader, the tool, the follower) took with the files that it " +
        "has mapped, and (in brackets) of its own alone",
    ],
    figures: { ...scale, quorate: ours, etcd: theirs },
  };
}
