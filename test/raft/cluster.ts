/**
 * Members of a cluster without a world: each has a core, a disk that remembers only what was written, a small state
 * machine, and a queue of what is underway. Nothing happens unless it is asked for, so a test can put any order and any
 * accident between two things.
 */

import { assert, must } from "../../raft/assert.ts";
import type { Raft } from "../../raft/raft.ts";
import { createRaft, isCommitUntold, status, step, takeReady } from "../../raft/raft.ts";
import type {
  ConfChange,
  ConfState,
  Entry,
  HardState,
  Input,
  LogRead,
  Message,
  NodeId,
  Persist,
  RaftConfig,
  ReadPoint,
  Ready,
  Restored,
  SnapshotMetadata,
  SoftState,
} from "../../raft/types.ts";
import { NONE } from "../../raft/types.ts";

/** The state machine at a point: the commands so far, and the membership. */
export interface Image {
  readonly index: number;
  readonly term: number;
  readonly conf: ConfState;
  readonly commands: readonly string[];
}

/** What survives a crash. */
export interface Disk {
  hardState: HardState;
  /** Just before entries[0]. */
  start: { index: number; term: number };
  entries: Entry[];
  image: Image;
}

export interface Member {
  readonly id: NodeId;
  readonly config: RaftConfig;
  disk: Disk;
  /** Undefined while it is down. */
  raft: Raft | undefined;
  image: Image;
  /** Offered to the core as the snapshot to send. */
  offered: Image | undefined;
  writes: Persist[];
  toApply: Entry[];
  toRead: LogRead[];
  /** Done as soon as asked for, or when the test says so. */
  autoPersist: boolean;
  autoApply: boolean;
  autoRead: boolean;
  /** Followers hear of a commit at once. */
  autoTell: boolean;
  /** Inputs are gathered; what follows from them is asked for when it is over, as a driver does once a turn. */
  held: boolean;
}

export type Event =
  | { readonly kind: "sent"; readonly message: Message }
  | { readonly kind: "state"; readonly id: NodeId; readonly state: SoftState }
  | { readonly kind: "writing"; readonly id: NodeId; readonly persist: Persist }
  | { readonly kind: "written"; readonly id: NodeId; readonly persist: Persist }
  | { readonly kind: "applied"; readonly id: NodeId; readonly entry: Entry }
  | { readonly kind: "installed"; readonly id: NodeId; readonly image: Image }
  | { readonly kind: "read"; readonly id: NodeId; readonly point: ReadPoint }
  | { readonly kind: "logRead"; readonly id: NodeId; readonly read: LogRead };

export interface Cluster {
  readonly members: Map<NodeId, Member>;
  /** Sent and not yet delivered, oldest first. */
  network: Message[];
  /** Directed links that lose everything, as "from>to". */
  readonly cut: Set<string>;
  readonly observe: (event: Event) => void;
}

const text = new TextDecoder();
const bytes = new TextEncoder();

export function encodeText(value: string): Uint8Array {
  return bytes.encode(value);
}

export function decodeText(value: Uint8Array): string {
  return text.decode(value);
}

export function newCluster(observe: (event: Event) => void): Cluster {
  return { members: new Map(), network: [], cut: new Set(), observe };
}

export function blankDisk(conf: ConfState): Disk {
  return {
    hardState: { term: 0, vote: NONE, commit: 0 },
    start: { index: 0, term: 0 },
    entries: [],
    image: { index: 0, term: 0, conf, commands: [] },
  };
}

/** A member of a new cluster: its log begins with the entries that add the members, committed. */
export function bootstrapDisk(ids: readonly NodeId[]): Disk {
  const disk = blankDisk({ voters: [], learners: [] });
  disk.hardState = { term: 1, vote: NONE, commit: ids.length };
  disk.entries = ids.map((id, at) => ({ type: 1, term: 1, index: at + 1, data: encodeText(`addVoter:${id}`) }));
  return disk;
}

export function addMember(cluster: Cluster, config: RaftConfig, disk: Disk): Member {
  const member: Member = {
    id: config.id,
    config,
    disk,
    raft: undefined,
    image: disk.image,
    offered: undefined,
    writes: [],
    toApply: [],
    toRead: [],
    autoPersist: true,
    autoApply: true,
    autoRead: true,
    autoTell: true,
    held: false,
  };
  cluster.members.set(config.id, member);
  start(cluster, member);
  return member;
}

export function memberOf(cluster: Cluster, id: NodeId): Member {
  return must(cluster.members.get(id), `no member ${id}`);
}

export function linkOf(from: NodeId, to: NodeId): string {
  return `${from}>${to}`;
}

// Life and death.

export function crash(member: Member): void {
  member.raft = undefined;
  member.writes = [];
  member.toApply = [];
  member.toRead = [];
}

/** Brings back what the disk has. The window starts where the state machine is, so that older entries are on disk only. */
export function start(cluster: Cluster, member: Member): void {
  const { disk } = member;
  member.image = disk.image;
  member.offered = undefined;
  const at = Math.max(disk.image.index, disk.start.index);
  const restored: Restored = {
    hardState: disk.hardState,
    confState: disk.image.conf,
    applied: at,
    before: { index: at, term: termOnDisk(disk, at) },
    entries: disk.entries.filter((entry) => entry.index > at),
    storedFrom: disk.start.index + 1,
  };
  member.raft = createRaft(member.config, restored);
  if (disk.start.index > 0) offerSnapshot(cluster, member, disk.start.index);
  pump(cluster, member);
}

function termOnDisk(disk: Disk, index: number): number {
  if (index === disk.start.index) return disk.start.term;
  return must(disk.entries[index - disk.start.index - 1], `entry ${index} is not on disk`).term;
}

// Inputs.

export function give(cluster: Cluster, member: Member, input: Input): void {
  if (member.raft === undefined) return;
  step(member.raft, input);
  pump(cluster, member);
}

/** Does what the core asks for, until it asks for nothing more. */
export function pump(cluster: Cluster, member: Member): void {
  const { raft, id } = member;
  if (raft === undefined || member.held) return;
  for (let ready = nextReady(member, raft); ready !== undefined; ready = nextReady(member, raft)) {
    if (ready.softState !== undefined) cluster.observe({ kind: "state", id, state: ready.softState });
    for (const message of ready.messages) send(cluster, member, message);
    for (const point of ready.reads) cluster.observe({ kind: "read", id, point });
    if (ready.persist !== undefined) {
      cluster.observe({ kind: "writing", id, persist: ready.persist });
      member.writes.push(ready.persist);
    }
    member.toApply.push(...ready.committed);
    for (const read of ready.logReads) {
      cluster.observe({ kind: "logRead", id, read });
      member.toRead.push(read);
    }
    if (member.autoPersist) while (member.writes.length > 0) finishWrite(cluster, member);
    if (member.autoApply) while (member.toApply.length > 0) applyNext(cluster, member);
    if (member.autoRead) while (member.toRead.length > 0) answerLogRead(member);
  }
}

function nextReady(member: Member, raft: Raft): Ready | undefined {
  const ready = takeReady(raft);
  if (ready !== undefined || !member.autoTell || !isCommitUntold(raft)) return ready;
  step(raft, { kind: "tellCommit" });
  return takeReady(raft);
}

function send(cluster: Cluster, member: Member, message: Message): void {
  const full = message.type === "MsgSnap" ? fillSnapshot(member, message) : message;
  cluster.observe({ kind: "sent", message: full });
  if (!cluster.cut.has(linkOf(full.from, full.to))) cluster.network.push(full);
  else if (full.type === "MsgSnap" && member.raft !== undefined) {
    step(member.raft, { kind: "snapshotReport", to: full.to, ok: false });
  }
}

function fillSnapshot(member: Member, message: Message & { readonly type: "MsgSnap" }): Message {
  const image = member.offered ?? member.disk.image;
  assert(image.index >= message.snapshot.metadata.index, "the snapshot asked for was never offered");
  const { index, term, conf } = image;
  const data = encodeText(JSON.stringify(image, (_key, value) => (typeof value === "bigint" ? `${value}` : value)));
  return { ...message, snapshot: { metadata: { index, term, confState: conf }, data } };
}

function readImage(data: Uint8Array, metadata: SnapshotMetadata): Image {
  const { commands } = JSON.parse(decodeText(data)) as { commands: string[] };
  return { index: metadata.index, term: metadata.term, conf: metadata.confState, commands };
}

/** The message reaches its receiver, unless that is down. */
export function deliver(cluster: Cluster, message: Message): void {
  if (cluster.cut.has(linkOf(message.from, message.to))) return;
  const member = cluster.members.get(message.to);
  if (member !== undefined) give(cluster, member, { kind: "message", message });
}

// The disk.

/** The oldest write reaches the disk: what waited for it is sent, then the core hears of it. */
export function finishWrite(cluster: Cluster, member: Member): void {
  const persist = must(member.writes.shift(), "no write underway");
  writeTo(member.disk, persist);
  if (persist.snapshot !== undefined) {
    member.image = member.disk.image;
    // The core may name it as the snapshot to send from now on.
    member.offered = member.image;
    cluster.observe({ kind: "installed", id: member.id, image: member.image });
  }
  cluster.observe({ kind: "written", id: member.id, persist });
  for (const message of persist.thenSend) send(cluster, member, message);
  if (member.raft !== undefined) step(member.raft, { kind: "persisted", seq: persist.seq });
}

function writeTo(disk: Disk, { snapshot, entries, hardState }: Persist): void {
  if (snapshot !== undefined) {
    const { index, term } = snapshot.metadata;
    disk.image = readImage(snapshot.data, snapshot.metadata);
    disk.start = { index, term };
    disk.entries = [];
  }
  const first = entries[0];
  if (first !== undefined) {
    const keep = first.index - disk.start.index - 1;
    assert(keep >= 0 && keep <= disk.entries.length, `write at ${first.index} leaves a gap on disk`);
    disk.entries.length = keep;
    for (const entry of entries) disk.entries.push(entry);
  }
  if (hardState !== undefined) disk.hardState = hardState;
}

export function answerLogRead(member: Member): void {
  const read = must(member.toRead.shift(), "no log read underway");
  const { disk, raft } = member;
  if (raft === undefined) return;
  const { to, from, through, maxBytes } = read;
  if (from <= disk.start.index) {
    step(raft, { kind: "logRead", to, result: { kind: "compacted" } });
    return;
  }
  const entries: Entry[] = [];
  let size = 0;
  for (const entry of disk.entries.slice(from - disk.start.index - 1, through - disk.start.index)) {
    size += entry.data.byteLength + 16;
    if (entries.length > 0 && size > maxBytes) break;
    entries.push(entry);
  }
  step(raft, { kind: "logRead", to, result: { kind: "entries", prevTerm: termOnDisk(disk, from - 1), entries } });
}

/** The state machine's files catch up with it. */
export function flushImage(member: Member): void {
  member.disk.image = member.image;
}

/** Cuts the log on disk up to `index`, which the state on disk covers, and offers that state as a snapshot. */
export function compact(cluster: Cluster, member: Member, index: number): void {
  const { disk } = member;
  assert(index <= disk.image.index, `the state on disk is at ${disk.image.index}`);
  if (index > disk.start.index) {
    const term = termOnDisk(disk, index);
    disk.entries.splice(0, index - disk.start.index);
    disk.start = { index, term };
  }
  offerSnapshot(cluster, member, index);
}

function offerSnapshot(cluster: Cluster, member: Member, storedBefore: number): void {
  const { index, term, conf } = member.disk.image;
  member.offered = member.disk.image;
  const metadata: SnapshotMetadata = { index, term, confState: conf };
  give(cluster, member, { kind: "snapshotAvailable", metadata, storedFrom: storedBefore + 1 });
}

// The state machine.

export function applyNext(cluster: Cluster, member: Member): void {
  const entry = must(member.toApply.shift(), "nothing to apply");
  // Handed out before a snapshot replaced the state.
  if (entry.index <= member.image.index) return;
  assert(entry.index === member.image.index + 1, `${member.id} skips from ${member.image.index} to ${entry.index}`);
  const { index, term } = entry;
  const data = decodeText(entry.data);
  const change = entry.type === 0 ? undefined : confChangeOf(member.image.conf, data);
  member.image = {
    index,
    term,
    conf: change === undefined ? member.image.conf : changeConf(member.image.conf, change),
    commands: entry.type === 0 && data !== "" ? [...member.image.commands, data] : member.image.commands,
  };
  cluster.observe({ kind: "applied", id: member.id, entry });
  if (member.raft === undefined) return;
  if (change !== undefined) step(member.raft, { kind: "confChange", change });
  step(member.raft, { kind: "applied", index });
}

/** Data of a change is "addVoter:4"; one that would leave no voters comes to nothing. */
export function confChangeOf(conf: ConfState, data: string): ConfChange {
  const [kind, id] = data.split(":");
  const node = BigInt(must(id, `no node in ${data}`));
  if (kind === "addVoter") return { kind, node };
  if (conf.voters.length === 1 && conf.voters[0] === node) return { kind: "none" };
  if (kind === "addLearner") return { kind, node };
  assert(kind === "remove", `unknown change ${data}`);
  return { kind, node };
}

function changeConf(conf: ConfState, change: ConfChange): ConfState {
  if (change.kind === "none") return conf;
  const voters = conf.voters.filter((id) => id !== change.node);
  const learners = conf.learners.filter((id) => id !== change.node);
  if (change.kind === "addVoter") voters.push(change.node);
  if (change.kind === "addLearner") learners.push(change.node);
  const order = (a: NodeId, b: NodeId) => (a < b ? -1 : 1);
  return { voters: voters.sort(order), learners: learners.sort(order) };
}

export function leaders(cluster: Cluster): readonly Member[] {
  return [...cluster.members.values()].filter((m) => m.raft !== undefined && status(m.raft).role === "leader");
}
