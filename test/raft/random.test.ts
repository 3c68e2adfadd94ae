/**
 * Random schedules: every message may be lost, repeated and overtaken, every write and every applied entry may take its
 * time, members crash and come back with what their disk has, links break, members are added and removed, the log is
 * trimmed and cut. checker.ts watches. In the end everything is mended, and the cluster must get on.
 *
 * One seed draws everything; a failure names its seed.
 */

import { expect, test } from "vitest";
import { canPropose, status } from "../../raft/raft.ts";
import type { Message, NodeId, RaftConfig } from "../../raft/types.ts";
import type { Checker } from "./checker.ts";
import { checkEvent, checkMember, checkStable, forget, newChecker } from "./checker.ts";
import type { Cluster, Member } from "./cluster.ts";
import {
  addMember,
  answerLogRead,
  applyNext,
  blankDisk,
  bootstrapDisk,
  compact,
  crash,
  deliver,
  encodeText,
  finishWrite,
  flushImage,
  give,
  leaders,
  linkOf,
  memberOf,
  newCluster,
  pump,
  start,
} from "./cluster.ts";

interface World {
  readonly cluster: Cluster;
  readonly checker: Checker;
  readonly members: readonly Member[];
  readonly random: (n: number) => number;
  readonly changesMembers: boolean;
  counter: number;
}

function mulberry32(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * n);
  };
}

function createWorld(seed: number, size: number): World {
  const random = mulberry32(seed);
  const checker = newChecker();
  const cluster: Cluster = newCluster((event) => checkEvent(checker, cluster, event));
  const checkQuorum = random(8) > 0;
  // Without check-quorum there is no lease, and a removed member could disturb the others as long as it likes.
  const changesMembers = checkQuorum && random(2) === 0;
  const common: Omit<RaftConfig, "id"> = {
    electionTicks: 6,
    heartbeatTicks: 1 + random(2),
    preVote: random(4) > 0,
    checkQuorum,
    maxMessageBytes: 20 + random(100),
    maxInflight: 1 + random(4),
    maxInflightBytes: 50 + random(200),
    maxCommittedBytes: 20 + random(200),
    // Now and then so little that followers, too, are over it much of the time.
    maxUncommittedBytes: random(2) === 0 ? 1 + random(80) : 200 + random(1_000),
    random,
  };
  const voters = Array.from({ length: size }, (_, at) => BigInt(at + 1));
  const spare = changesMembers ? [BigInt(size + 1), BigInt(size + 2)] : [];
  const bootstrap = random(2) === 0;
  const members = [...voters, ...spare].map((id) => {
    const blank = blankDisk({ voters: bootstrap ? [] : voters, learners: [] });
    const disk = bootstrap && voters.includes(id) ? bootstrapDisk(voters) : blank;
    const member = addMember(cluster, { ...common, id }, disk);
    member.autoPersist = false;
    member.autoApply = false;
    member.autoRead = false;
    member.autoTell = random(2) === 0;
    return member;
  });
  return { cluster, checker, members, random, changesMembers, counter: 0 };
}

function pick<T>(world: World, list: readonly T[]): T | undefined {
  return list[world.random(list.length)];
}

/** Sometimes the member only takes the input, and what follows is asked for later, with others'. */
function within(world: World, member: Member, act: () => void): void {
  member.held = world.random(4) === 0;
  act();
  pump(world.cluster, member);
  checkMember(world.checker, member);
}

const MAX_UNDERWAY = 150;

function arrive(world: World, message: Message): void {
  const { cluster } = world;
  const to = cluster.members.get(message.to);
  if (to === undefined) return;
  within(world, to, () => deliver(cluster, message));
  if (message.type === "MsgSnap") report(world, message, to.raft !== undefined);
}

function report(world: World, message: Message, ok: boolean): void {
  const sender = memberOf(world.cluster, message.from);
  within(world, sender, () => give(world.cluster, sender, { kind: "snapshotReport", to: message.to, ok }));
}

function moveMessage(world: World): void {
  const { cluster, random } = world;
  const { network } = cluster;
  if (network.length === 0) return;
  // Mostly in order, sometimes not.
  const at = random(3) > 0 ? random(Math.min(3, network.length)) : random(network.length);
  const message = network[at];
  if (message === undefined) return;
  const fate = random(100);
  const overflow = network.length > MAX_UNDERWAY;
  if (fate >= 8 || overflow) network.splice(at, 1);
  if (fate >= 4 && fate < 8) {
    network.splice(at, 1);
    if (message.type === "MsgSnap") report(world, message, false);
    return;
  }
  if (overflow && fate < 50) {
    if (message.type === "MsgSnap") report(world, message, false);
    return;
  }
  arrive(world, message);
}

function propose(world: World, member: Member): void {
  if (member.raft === undefined || !canPropose(member.raft)) return;
  const proposals = Array.from({ length: 1 + world.random(3) }, () => ({
    type: 0 as const,
    data: encodeText(`c${world.counter++}`),
  }));
  within(world, member, () => give(world.cluster, member, { kind: "propose", proposals }));
}

function changeMembers(world: World, member: Member): void {
  if (!world.changesMembers || member.raft === undefined || !canPropose(member.raft)) return;
  const target = pick(world, world.members);
  const kind = pick(world, ["addVoter", "addVoter", "addLearner", "remove"]);
  const data = encodeText(`${kind}:${target?.id}`);
  within(world, member, () => give(world.cluster, member, { kind: "propose", proposals: [{ type: 1, data }] }));
}

function read(world: World, member: Member): void {
  const name = `r${world.counter++}`;
  world.checker.reads.set(name, world.checker.committed.length);
  within(world, member, () => give(world.cluster, member, { kind: "readIndex", id: encodeText(name) }));
}

function breakLinks(world: World): void {
  const { cluster, members, random } = world;
  cluster.cut.clear();
  const kind = random(4);
  if (kind === 0) return;
  const side = new Set(members.filter(() => random(2) === 0).map((member) => member.id));
  for (const { id: from } of members) {
    for (const { id: to } of members) {
      const apart = kind === 1 ? random(4) === 0 : side.has(from) !== side.has(to);
      if (apart && from !== to) cluster.cut.add(linkOf(from, to));
    }
  }
}

function restart(world: World, member: Member): void {
  forget(world.checker, member.id);
  member.held = false;
  start(world.cluster, member);
  checkMember(world.checker, member);
}

function cutLog(world: World, member: Member): void {
  const { raft, disk } = member;
  if (raft === undefined) return;
  flushImage(member);
  const { applied } = status(raft);
  if (world.random(2) === 0 && disk.image.index > 0 && disk.image.index <= applied) {
    compact(world.cluster, member, Math.max(disk.start.index, disk.image.index - world.random(6)));
  }
  within(world, member, () => give(world.cluster, member, { kind: "trim", index: world.random(applied + 1) }));
}

function stepOnce(world: World): void {
  const { cluster, members, random } = world;
  const member = pick(world, members);
  if (member === undefined) return;
  const dice = random(1_000);
  if (dice < 460) moveMessage(world);
  else if (dice < 570) within(world, member, () => give(cluster, member, { kind: "tick" }));
  else if (dice < 740) writeSome(world);
  else if (dice < 850) applySome(world);
  else if (dice < 870) answerSome(world);
  else if (dice < 930) propose(world, member);
  else if (dice < 950) read(world, member);
  else if (dice < 960) changeMembers(world, member);
  else if (dice < 970) cutLog(world, member);
  // A break lasts about as long as it takes to elect another leader, and for that to commit.
  else if (dice < 972) breakLinks(world);
  else if (dice < 975) crash(member);
  else if (dice < 986) restartSome(world);
  else if (dice < 988) member.toRead.shift();
  else if (dice < 992) {
    const to = pick(world, members)?.id ?? member.id;
    within(world, member, () => give(cluster, member, { kind: "transferLeader", to }));
  } else if (dice < 995) {
    const node = pick(world, members)?.id ?? member.id;
    within(world, member, () => give(cluster, member, { kind: dice < 994 ? "unreachable" : "gone", node }));
  } else within(world, member, () => give(cluster, member, { kind: "campaign" }));
}

function pickWhere(world: World, wanted: (member: Member) => boolean): Member | undefined {
  return pick(world, world.members.filter(wanted));
}

function writeSome(world: World): void {
  const member = pickWhere(world, (each) => each.writes.length > 0);
  if (member === undefined) return;
  within(world, member, () => finishWrite(world.cluster, member));
  checkStable(member);
}

function applySome(world: World): void {
  const member = pickWhere(world, (each) => each.toApply.length > 0);
  if (member !== undefined) within(world, member, () => applyNext(world.cluster, member));
}

function answerSome(world: World): void {
  const member = pickWhere(world, (each) => each.toRead.length > 0);
  if (member !== undefined) within(world, member, () => answerLogRead(member));
}

function restartSome(world: World): void {
  const member = pickWhere(world, (each) => each.raft === undefined);
  if (member !== undefined) restart(world, member);
}

/** The membership that the committed entries make, wherever they are applied. */
function votersNow(world: World): readonly NodeId[] {
  const images = world.members.map((member) => member.image).sort((a, b) => b.index - a.index);
  return images[0]?.conf.voters ?? [];
}

/**
 * A removed member is told so by the others' transports, and stops; not before all of them know that it is removed. (Its
 * vote may be needed until then: of two voters, one of which has removed itself and gone, the other may not have heard
 * that it is now alone.)
 */
function isGone(world: World, voters: readonly NodeId[], { id }: Member): boolean {
  return voters.every((voter) => {
    const { conf } = memberOf(world.cluster, voter).image;
    return voter !== id && !conf.voters.includes(id) && !conf.learners.includes(id);
  });
}

const ROUNDS_TO_RECOVER = 400;

/** Mends everything; then the voters must agree on a leader, and on everything. */
function recover(world: World): void {
  const { cluster, members } = world;
  cluster.cut.clear();
  for (const member of members) {
    member.held = false;
    if (member.raft === undefined) restart(world, member);
    member.autoPersist = true;
    member.autoApply = true;
    member.autoRead = true;
    member.autoTell = true;
    while (member.writes.length > 0) finishWrite(cluster, member);
    while (member.toApply.length > 0) applyNext(cluster, member);
    while (member.toRead.length > 0) answerLogRead(member);
    pump(cluster, member);
    checkMember(world.checker, member);
  }
  let proposedIn = 0;
  for (let round = 0; round < ROUNDS_TO_RECOVER; round++) {
    const voters = votersNow(world);
    for (const member of members) {
      if (isGone(world, voters, member)) crash(member);
      else if (member.raft === undefined) restart(world, member);
      give(cluster, member, { kind: "tick" });
      checkMember(world.checker, member);
    }
    for (let message = cluster.network.shift(); message !== undefined; message = cluster.network.shift()) {
      arriveMended(world, message);
    }
    const leader = leaders(cluster).at(-1);
    if (leader?.raft === undefined || leaders(cluster).length !== 1) continue;
    // A leader that fell may have taken its proposal with it.
    if (proposedIn !== leader.raft.term && canPropose(leader.raft)) {
      give(cluster, leader, { kind: "propose", proposals: [{ type: 0, data: encodeText("last") }] });
      proposedIn = leader.raft.term;
    }
    const up = members.filter((member) => voters.includes(member.id));
    if (proposedIn > 0 && up.every((member) => member.image.commands.at(-1) === "last")) return;
  }
  const view = members.map((member) => (member.raft === undefined ? "down" : JSON.stringify(show(member))));
  throw new Error(`no progress after everything was mended:\n${view.join("\n")}`);
}

function show(member: Member): unknown {
  if (member.raft === undefined) return "down";
  return JSON.parse(
    JSON.stringify(status(member.raft), (_key, value) => (typeof value === "bigint" ? `${value}` : value)),
  );
}

function arriveMended(world: World, message: Message): void {
  const { cluster, checker } = world;
  const to = cluster.members.get(message.to);
  if (to?.raft === undefined) return;
  deliver(cluster, message);
  checkMember(checker, to);
  if (message.type !== "MsgSnap") return;
  const sender = memberOf(cluster, message.from);
  give(cluster, sender, { kind: "snapshotReport", to: message.to, ok: true });
}

const STEPS = 3_000;

interface Tally {
  elections: number;
  commits: number;
  reads: number;
}

function run(seed: number, size: number): Tally {
  const world = createWorld(seed, size);
  let at = 0;
  try {
    for (; at < STEPS; at++) stepOnce(world);
    recover(world);
  } catch (cause) {
    throw new Error(`seed ${seed}, ${size} members, step ${at}: ${cause instanceof Error ? cause.stack : cause}`, {
      cause,
    });
  }
  const { leaderOf, committed, answeredReads } = world.checker;
  return { elections: leaderOf.size, commits: committed.length, reads: answeredReads };
}

const SEEDS = Number(process.env["RAFT_SEEDS"] ?? 120);

for (const size of [3, 5]) {
  test(`${size} members keep Raft's promises under random schedules`, () => {
    const sum: Tally = { elections: 0, commits: 0, reads: 0 };
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { elections, commits, reads } = run(seed, size);
      sum.elections += elections;
      sum.commits += commits;
      sum.reads += reads;
    }
    if (process.env["RAFT_SEEDS"] !== undefined) console.info(size, sum);
    // A schedule in which nothing happens proves nothing.
    expect(sum.elections).toBeGreaterThan(SEEDS * 2);
    expect(sum.commits).toBeGreaterThan(SEEDS * 20);
    expect(sum.reads).toBeGreaterThan(SEEDS);
  });
}
