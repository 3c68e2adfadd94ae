/**
 * A peer that says anything: well-formed messages with hostile fields, from members, strangers and the receiver itself,
 * go through the codec and, if taken, into members of a running cluster. It may depose leaders, raise terms and make
 * members disagree, as a liar can in any Raft; but nothing throws, and nothing is written that the log on disk refuses.
 */

import { expect, test } from "vitest";
import { DecodeError, decode, encode } from "../../proto/codec.ts";
import * as raftpb from "../../proto/generated/raftpb.ts";
import { lastIndex } from "../../raft/log.ts";
import { canPropose, createRaft, type Raft, step, takeReady } from "../../raft/raft.ts";
import type { ConfChange, Entry, HardState, Input, Message, NodeId, Persist } from "../../raft/types.ts";
import { decodeMessage, fromWire, toWire } from "../../src/peer/message-codec.ts";
import { entryFault, hardStateFault, placeFault } from "../../storage/wal-rules.ts";

type Random = (n: number) => number;

function mulberry32(seed: number): Random {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * n);
  };
}

function pick<T>(random: Random, list: readonly T[]): T {
  return list[random(list.length)] as T;
}

const IDS: readonly NodeId[] = [1n, 2n, 3n];

/** A member whose disk keeps the rules of the real one and nothing else. */
interface Member {
  readonly raft: Raft;
  readonly writes: Persist[];
  readonly toApply: Entry[];
  hardState: HardState;
  last: number;
  lastTerms: number[];
  installed: number;
}

function newMember(id: NodeId, random: Random): Member {
  const raft = createRaft(
    {
      id,
      electionTicks: 5,
      heartbeatTicks: 1,
      preVote: true,
      checkQuorum: true,
      maxMessageBytes: 200,
      maxInflight: 4,
      maxInflightBytes: 400,
      maxCommittedBytes: 200,
      maxUncommittedBytes: 2_000,
      random,
    },
    {
      hardState: { term: 1, vote: 0n, commit: 0 },
      confState: { voters: IDS, learners: [] },
      applied: 0,
      before: { index: 0, term: 0 },
      entries: [],
      storedFrom: 1,
    },
  );
  const hardState = { term: 1, vote: 0n, commit: 0 };
  return { raft, writes: [], toApply: [], hardState, last: 0, lastTerms: [0], installed: 0 };
}

function none(fault: string | undefined): void {
  if (fault !== undefined) throw new Error(`the log on disk refuses ${fault}`);
}

/** What storage/wal-batch.ts asserts of a batch, and that the batch can be read back. */
function checkWrite(member: Member, persist: Persist): void {
  const { snapshot, entries, hardState } = persist;
  if (snapshot !== undefined) {
    const { index, term } = snapshot.metadata;
    none(index === 0 || term === 0 ? `a snapshot at ${index}@${term}` : undefined);
    member.last = index;
    member.installed = index;
    member.lastTerms = [term];
  }
  for (const [i, entry] of entries.entries()) {
    none(entryFault(entry) ?? placeFault(entry.index, member.installed + 1, member.last, member.hardState.commit));
    if (i > 0 && entry.index !== member.last + 1) throw new Error(`entry ${entry.index} behind entry ${member.last}`);
    member.lastTerms.length = entry.index - member.installed;
    if (entry.term < (member.lastTerms.at(-1) ?? 0)) throw new Error(`term ${entry.term} falls at ${entry.index}`);
    member.lastTerms.push(entry.term);
    member.last = entry.index;
    expect(decode(raftpb.Entry, encode(raftpb.Entry, { ...entry, data: Buffer.from(entry.data) }))).toEqual({
      ...entry,
      data: Buffer.from(entry.data),
    });
  }
  if (hardState === undefined) return;
  none(hardStateFault(member.hardState, hardState, member.last));
  decode(raftpb.HardState, encode(raftpb.HardState, hardState));
  member.hardState = hardState;
}

/** Any membership may come of a change whose data makes sense, and nothing of any other. */
function changeOf(data: Uint8Array): ConfChange {
  const node = BigInt(data[1] ?? 0);
  const kinds = ["none", "addVoter", "addLearner", "remove"] as const;
  const kind = kinds[(data[0] ?? 0) % kinds.length] ?? "none";
  return kind === "none" || node === 0n || node <= 2n ? { kind: "none" } : { kind, node };
}

class World {
  readonly random: Random;
  readonly members: ReadonlyMap<NodeId, Member>;
  readonly sent: Message[] = [];
  taken = 0;
  leaders = 0;
  applied = 0;

  constructor(seed: number) {
    this.random = mulberry32(seed);
    this.members = new Map(IDS.map((id) => [id, newMember(id, this.random)]));
  }

  give(member: Member, input: Input): void {
    step(member.raft, input);
    for (let ready = takeReady(member.raft); ready !== undefined; ready = takeReady(member.raft)) {
      if (ready.softState?.role === "leader") this.leaders++;
      this.send(ready.messages);
      if (ready.persist !== undefined) {
        checkWrite(member, ready.persist);
        member.writes.push(ready.persist);
      }
      member.toApply.push(...ready.committed);
      for (const { to } of ready.logReads) step(member.raft, { kind: "logRead", to, result: { kind: "compacted" } });
    }
  }

  /** What a member itself sends must come through its own codec, unless a lie has used up all terms. */
  send(messages: readonly Message[]): void {
    for (const message of messages) {
      const bytes = encode(raftpb.Message, toWire(message));
      if (message.term > LAST_TERM) expect(() => decodeMessage(bytes)).toThrow(DecodeError);
      else this.sent.push(decodeMessage(bytes));
    }
    if (this.sent.length > 200) this.sent.splice(0, 100);
  }

  /** One honest thing: a message arrives, a write is done, an entry applied, a tick, a proposal. */
  live(): void {
    const { random } = this;
    const member = pick(random, [...this.members.values()]);
    const dice = random(20);
    if (dice < 10) {
      const message = this.sent.shift();
      const to = message && this.members.get(message.to);
      if (to !== undefined && message !== undefined) this.give(to, { kind: "message", message });
    } else if (dice < 14) {
      const persist = member.writes.shift();
      if (persist === undefined) return;
      this.send(persist.thenSend);
      this.give(member, { kind: "persisted", seq: persist.seq });
    } else if (dice < 17) {
      const entry = member.toApply.shift();
      if (entry === undefined || entry.index <= member.installed) return;
      this.applied++;
      if (entry.type !== 0) step(member.raft, { kind: "confChange", change: changeOf(entry.data) });
      this.give(member, { kind: "applied", index: entry.index });
    } else if (dice < 19) this.give(member, { kind: "tick" });
    else if (canPropose(member.raft)) {
      this.give(member, { kind: "propose", proposals: [{ type: 0, data: Buffer.from("honest") }] });
    }
  }

  attack(): void {
    const to = pick(this.random, IDS);
    const victim = this.members.get(to) as Member;
    let message: Message;
    try {
      message = fromWire(decode(raftpb.Message, encode(raftpb.Message, hostile(this.random, victim.raft))));
    } catch (error) {
      if (error instanceof DecodeError) return;
      throw error;
    }
    // Each replaces a log, so that little happens where they are many.
    if (message.type === "MsgSnap" && this.random(8) > 0) return;
    this.taken++;
    this.give(victim, { kind: "message", message });
  }
}

const HUGE = Number.MAX_SAFE_INTEGER;
const LAST_TERM = 2 ** 52;

/** Mostly near the truth, for it is the plausible lie that gets far. */
function near(random: Random, truth: number): number {
  const dice = random(40);
  if (dice === 0) return pick(random, [0, HUGE, HUGE - 1, 2 ** 52, 2 ** 52 - 1, 2 ** 32]);
  return Math.max(0, truth + pick(random, [0, 0, 0, 0, -1, 1, -2, 2, -5, 5]));
}

function hostile(random: Random, victim: Raft): raftpb.Message {
  const { log } = victim;
  // A term once raised stays: jumps are rare, or all else would be of the past.
  const jump = random(400) === 0 ? random(3) : 0;
  const term =
    random(2_000) === 0
      ? pick(random, [2 ** 40, LAST_TERM, LAST_TERM + 1, HUGE - 1, HUGE])
      : Math.max(0, victim.term + jump - (random(10) === 0 ? 1 : 0));
  const base = random(3) === 0 ? lastIndex(log) : log.commit;
  const index = near(random, base);
  const termAtIndex = index === log.before.index ? log.before.term : log.entries[index - log.before.index - 1]?.term;
  let at = index;
  let entryTerm = termAtIndex ?? near(random, victim.term);
  const logTerm = random(10) === 0 ? near(random, entryTerm) : entryTerm;
  const entries = Array.from({ length: random(3) === 0 ? 0 : random(5) }, () => {
    at = Math.min(HUGE, random(30) === 0 ? near(random, at) : at + 1);
    entryTerm = random(10) === 0 ? near(random, entryTerm) : Math.max(entryTerm, random(3) === 0 ? term : 0);
    const type = random(12) === 0 ? random(4) : random(3) === 0 ? 1 : 0;
    return { type, term: entryTerm, index: at, data: Buffer.alloc(random(random(20) === 0 ? 300 : 4), random(256)) };
  });
  const conf = {
    voters: IDS.filter(() => random(4) > 0),
    learners: random(3) === 0 ? [pick(random, [3n, 4n, 0n])] : [],
  };
  const types = [3, 3, 3, 4, 4, 8, 9, ...Array.from({ length: 20 }, (_, type) => type)];
  const context = random(20) === 0 ? Buffer.from("CampaignTransfer") : Buffer.alloc(pick(random, [0, 7, 8, 9, 65]), 1);
  return raftpb.Message.create({
    type: pick(random, types),
    from: pick(random, [1n, 2n, 3n, 2n, 3n, 1n, 4n, 0n, 0xffff_ffff_ffff_ffffn]),
    to: random(50) === 0 ? pick(random, [0n, 9n]) : victim.id,
    term,
    index,
    logTerm,
    entries,
    commit: near(random, base),
    reject: random(3) === 0,
    rejectHint: near(random, base),
    context,
    snapshot:
      random(2) === 0
        ? undefined
        : {
            data: Buffer.alloc(0),
            metadata: {
              index: near(random, base),
              term: random(6) === 0 ? 0 : near(random, term),
              confState: raftpb.ConfState.create(conf),
            },
          },
  });
}

const SEEDS = Number(process.env["RAFT_SEEDS"] ?? 40);
const MESSAGES = 500;

test("nothing that a peer says makes a member throw, or write what its log on disk refuses", {
  timeout: 60_000,
}, () => {
  let taken = 0;
  let leaders = 0;
  let applied = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const world = new World(seed);
    let at = 0;
    try {
      for (; at < 200; at++) world.live();
      for (at = 0; at < MESSAGES; at++) {
        world.attack();
        for (let n = world.random(6); n > 0; n--) world.live();
      }
    } catch (cause) {
      throw new Error(`seed ${seed}, message ${at}: ${cause instanceof Error ? cause.stack : cause}`, { cause });
    }
    taken += world.taken;
    leaders += world.leaders;
    applied += world.applied;
  }
  if (process.env["RAFT_SEEDS"] !== undefined) console.info({ taken, leaders, applied });
  // Hostility that is refused at the door, or meets a cluster that does nothing, proves nothing.
  expect(taken).toBeGreaterThan((SEEDS * MESSAGES) / 4);
  expect(leaders).toBeGreaterThan(SEEDS);
  expect(applied).toBeGreaterThan(SEEDS * 10);
});
