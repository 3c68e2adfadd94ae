import { describe, expect, test } from "vitest";
import { History, type LogEntry, type Probe, type ProbeChecker, type WorldEvent } from "../history.ts";
import { createCommit } from "./commit.ts";
import { createDurability } from "./durability.ts";
import { createLeaderPerTerm } from "./leader-per-term.ts";
import { createLeaderLiveness } from "./liveness.ts";
import { createLogMatching } from "./log-matching.ts";
import { createStateHash } from "./state-hash.ts";

type Body = Probe extends infer P ? (P extends Probe ? Omit<P, "member" | "life"> : never) : never;

const e = (index: number, term: number, hash = index * 100 + term): LogEntry => ({ index, term, hash });

/** One checker, told what members do. */
class Stage {
  now = 0;
  readonly history = new History(
    { electionMs: 1000, heartbeatMs: 100, maxDrift: 0, expiriesPerSecond: 1_000 },
    () => this.now,
  );
  readonly checker: ProbeChecker;
  readonly #lives = new Map<number, number>();

  constructor(create: (history: History) => ProbeChecker) {
    this.checker = create(this.history);
    this.history.attach(this.checker);
  }

  tell(member: number, ...bodies: readonly Body[]): this {
    for (const body of bodies) {
      if (body.kind === "started") this.#lives.set(member, (this.#lives.get(member) ?? 0) + 1);
      this.history.probe({ ...body, member, life: this.#lives.get(member) ?? 1 } as Probe);
    }
    return this;
  }

  world(event: WorldEvent): this {
    this.history.world(event);
    return this;
  }

  get messages(): string {
    return this.history.violations.map(({ message }) => message).join("\n");
  }
}

const started = (log: readonly LogEntry[] = [], more: Partial<Probe & { readonly kind: "started" }> = {}): Body => ({
  kind: "started",
  term: 1,
  vote: 0,
  commit: 0,
  appliedIndex: 0,
  firstIndex: 1,
  log,
  ...more,
});
const synced = (...entries: readonly LogEntry[]): Body => ({ kind: "synced", entries });
/** The hard state of a write without entries. */
const wrote = (term: number, commit: number): Body => ({
  kind: "persist",
  hardState: { term, vote: 0, commit },
  entries: [],
});
const persist = (...entries: readonly LogEntry[]): Body => ({ kind: "persist", hardState: undefined, entries });
const acknowledged = (index: number, term: number): Body => ({ kind: "acknowledged", term, index, to: 1 });
const committed = (entry: LogEntry): Body => ({ kind: "committed", entry });
const leader = (term: number): Body => ({ kind: "leader", term });
const applied = (entry: LogEntry, revision = 1): Body => ({ kind: "applied", entry, command: undefined, revision });
const crash: Body = { kind: "ended", how: "crash" };

describe("leader-per-term", () => {
  const stage = (): Stage => new Stage(createLeaderPerTerm);

  test("one leader a term, over lives, and one vote", () => {
    const good = stage()
      .tell(1, started(), { kind: "voted", term: 2, vote: 1 }, leader(2), crash, started(), leader(3))
      .tell(2, { kind: "voted", term: 2, vote: 1 }, { kind: "voted", term: 2, vote: 1 }, leader(4));
    expect(good.messages).toBe("");
    expect(good.checker.counts()).toEqual({ leaders: 3, votes: 3, majorities: 0 });
  });

  test("refuses two leaders and two votes", () => {
    expect(stage().tell(1, leader(2)).tell(2, leader(2)).messages).toContain("two leaders");
    const voted = (vote: number): Body => ({ kind: "voted", term: 2, vote });
    expect(stage().tell(1, voted(1), crash, started(), voted(2)).messages).toContain("voted for 1 and for 2");
    expect(stage().tell(1, voted(1), { kind: "damaged", what: "lost" }, voted(2)).messages).toBe("");
  });
});

/** As members tell it: the list matters to its own checker only. */
const members = (index: number, voters: readonly number[], learners: readonly number[] = [], term = 2): Body => ({
  kind: "members",
  index,
  term,
  voters,
  learners,
  list: voters.concat(learners).map((number) => ({
    id: BigInt(number),
    name: "",
    peerURLs: [],
    clientURLs: [],
    isLearner: learners.includes(number),
  })),
});
const voted = (term: number, vote: number): Body => ({ kind: "voted", term, vote });
const change = (index: number, term: number): LogEntry => ({ ...e(index, term), isChange: true });

describe("leader-per-term, by the membership", () => {
  const stage = (): Stage => new Stage(createLeaderPerTerm);

  test("a leader has a majority of the voters that it counts by", () => {
    const four = stage().tell(1, started(), members(4, [1, 2, 3, 4]));
    four.tell(2, voted(2, 1)).tell(3, voted(2, 1)).tell(1, leader(2));
    expect(four.messages).toBe("");
    const lost = stage().tell(1, started(), members(4, [1, 2, 3]));
    lost.tell(2, voted(2, 1), { kind: "damaged", what: "lost" }).tell(1, leader(2));
    expect(lost.messages).toBe("");
    const half = stage().tell(1, started(), members(4, [1, 2, 3, 4]));
    expect(half.tell(2, voted(2, 1)).tell(1, leader(2)).messages).toContain("votes of 1,2, where 1,2,3,4");
    const learner = stage().tell(1, started(), members(4, [1, 2, 3], [4]));
    expect(learner.tell(4, voted(2, 1)).tell(1, leader(2)).messages).toContain("votes of 1, where 1,2,3");
  });

  test("it steps down in the turn in which it applies its removal", () => {
    const down = stage().tell(1, started(), members(4, [1]), leader(2));
    down.now = 5;
    down.tell(1, applied(change(5, 2)), members(5, [2]), { kind: "deposed", term: 2 });
    down.now = 6;
    expect(down.tell(1, persist(e(6, 3))).messages).toBe("");
    const stays = stage().tell(1, started(), members(4, [1]), leader(2));
    stays.now = 5;
    stays.tell(1, applied(change(5, 2)), members(5, [2]));
    stays.now = 6;
    expect(stays.tell(1, persist(e(6, 2))).messages).toContain("has applied that it is no voter");
  });

  test("nobody wins while a change that it knows to be committed is not applied", () => {
    const commit = (index: number): Body => ({
      kind: "persist",
      hardState: { term: 2, vote: 0, commit: index },
      entries: [],
    });
    const ready = (): Stage => stage().tell(1, started(), members(4, [1]), persist(change(5, 2), change(6, 2)));
    expect(ready().tell(1, commit(5), applied(change(5, 2)), leader(3)).messages).toBe("");
    expect(ready().tell(1, commit(5), leader(3)).messages).toContain("knows that change 5");
  });
});

describe("one change at a time", () => {
  test("a leader begins the next when it has the one before", () => {
    const stage = (): Stage => new Stage(createLogMatching).tell(1, started(), leader(2), persist(change(1, 2)));
    expect(stage().tell(1, persist(e(2, 2)), committed(change(1, 2)), persist(change(3, 2))).messages).toBe("");
    expect(stage().tell(1, persist(e(2, 2)), persist(change(3, 2))).messages).toContain("while change 1");
  });
});

describe("what is committed was on the disks of a majority of the voters in force", () => {
  const synced = (...entries: readonly LogEntry[]): Body => ({ kind: "synced", entries });
  const stage = (voters: readonly number[], learners: readonly number[] = []): Stage => {
    const result = new Stage(createDurability);
    for (const member of [1, 2, 3, 4]) result.tell(member, started(), members(1, voters, learners, 1));
    return result.tell(1, leader(2), persist(e(2, 2)), synced(e(2, 2))).tell(2, persist(e(2, 2)));
  };

  test("of three voters two, of four three, and learners do not count", () => {
    expect(
      stage([1, 2, 3])
        .tell(2, synced(e(2, 2)))
        .tell(1, committed(e(2, 2))).messages,
    ).toBe("");
    expect(stage([1, 2, 3]).tell(1, committed(e(2, 2))).messages).toContain("on the disks of 1, where 1,2,3");
    expect(
      stage([1, 2, 3, 4])
        .tell(2, synced(e(2, 2)))
        .tell(1, committed(e(2, 2))).messages,
    ).toContain("disks of 1,2");
    expect(
      stage([1, 3], [2])
        .tell(2, synced(e(2, 2)))
        .tell(1, committed(e(2, 2))).messages,
    ).toContain("disks of 1,2");
  });

  test("who had not applied the newest membership when an entry began may have counted by the one before", () => {
    // Entry 3 is behind the change, entry 2, that adds member 3.
    const third = (stage: Stage): Stage => stage.tell(1, persist(e(3, 2)), synced(e(3, 2)));
    const applies = (stage: Stage): Stage => stage.tell(1, committed(e(2, 2)), members(2, [1, 3]));
    expect(applies(third(stage([1]))).tell(1, committed(e(3, 2))).messages).toBe("");
    expect(third(applies(stage([1]))).tell(1, committed(e(3, 2))).messages).toContain("on the disks of 1, where 1,3");
  });
});

describe("log-matching", () => {
  const stage = (): Stage => new Stage(createLogMatching);

  test("replication, conflicts and elections that are right", () => {
    const good = stage()
      .tell(1, started(), leader(2), persist(e(1, 2)), persist(e(2, 2), e(3, 2)), committed(e(1, 2)))
      .tell(2, started(), persist(e(1, 2)), persist(e(2, 2)), committed(e(1, 2)))
      // Member 1 is cut off with entry 3; member 2 takes over and replaces it there.
      .tell(2, leader(3), persist(e(3, 3)), committed(e(2, 2)), committed(e(3, 3)))
      .tell(1, { kind: "deposed", term: 2 }, persist(e(3, 3)), committed(e(2, 2)), committed(e(3, 3)))
      .tell(1, crash, started([e(1, 2), e(2, 2), e(3, 3)]), leader(4));
    expect(good.messages).toBe("");
    expect(good.checker.counts()).toMatchObject({ commits: 6, elections: 3 });
  });

  test("an old leader may append what others commit differently, while it does not know", () => {
    const good = stage()
      .tell(1, started(), leader(2), persist(e(1, 2)), committed(e(1, 2)))
      .tell(2, started(), persist(e(1, 2)), leader(3), persist(e(2, 3)), committed(e(1, 2)), committed(e(2, 3)))
      .tell(1, persist(e(2, 2)));
    expect(good.messages).toBe("");
  });

  test("refuses what must not be", () => {
    const other = stage()
      .tell(1, persist(e(1, 2)))
      .tell(2, persist(e(1, 2, 77)));
    expect(other.messages).toContain("different entries");

    const prefix = stage()
      .tell(1, persist(e(1, 1), e(2, 2)))
      .tell(2, persist(e(1, 2, 9), e(2, 2)));
    expect(prefix.messages).toContain("stands behind one of term 1");

    const own = stage().tell(1, leader(2), persist(e(1, 2), e(2, 2)), persist(e(2, 2)));
    expect(own.messages).toContain("replaces its own log");

    const twice = stage()
      .tell(1, persist(e(1, 1)), committed(e(1, 1)))
      .tell(2, persist(e(1, 2)), committed(e(1, 2)));
    expect(twice.messages).toContain("committed in term 1");

    const over = stage().tell(1, persist(e(1, 1)), committed(e(1, 1)), persist(e(1, 2)));
    expect(over.messages).toContain("knows that 1 is committed");

    const incomplete = stage().tell(1, persist(e(1, 1), e(2, 1)), committed(e(1, 1)), committed(e(2, 1)));
    expect(incomplete.tell(2, persist(e(1, 1)), leader(2)).messages).toContain("without entry 2");

    expect(stage().tell(1, persist(e(1, 1)), persist(e(3, 1))).messages).toContain("writes index 3");
  });
});

describe("commit", () => {
  /** Member 1 leads term 2 with an entry of it. */
  const stage = (): Stage =>
    new Stage(createCommit).tell(1, started([e(1, 1)]), leader(2), wrote(2, 0), persist(e(2, 2)));

  test("a leader commits with an entry of its term, and hands it out from its own disk", () => {
    const good = stage().tell(1, synced(e(2, 2)), wrote(2, 2), committed(e(1, 1)), committed(e(2, 2)));
    expect(good.messages).toBe("");
    expect(good.checker.counts()).toEqual({ "leaders' own": 1, "handed out": 2 });
    // Who does not lead has it from a leader, and may have had it when it was elected.
    expect(new Stage(createCommit).tell(2, started([e(1, 1)]), wrote(2, 1), leader(3)).messages).toBe("");
    expect(new Stage(createCommit).tell(2, started([e(1, 1)]), leader(3), wrote(3, 1)).messages).toBe("");
  });

  test("refuses what another leader could replace, and what is not there after a crash", () => {
    expect(stage().tell(1, wrote(2, 1)).messages).toContain("leader 1 of term 2 commits 1, which is of term 1");
    expect(stage().tell(1, committed(e(2, 2))).messages).toContain("before it is on its own disk");
    // The disk still has what is being replaced.
    const replaced = stage().tell(1, synced(e(2, 2)), { kind: "deposed", term: 2 }, wrote(3, 0), persist(e(2, 3)));
    expect(replaced.tell(1, committed(e(2, 3))).messages).toContain("before it is on its own disk");
  });
});

describe("durability", () => {
  const stage = (): Stage => new Stage(createDurability);

  test("what was not acknowledged may be lost, in part or in whole", () => {
    const good = stage()
      .tell(1, started(), persist(e(1, 1), e(2, 1)), acknowledged(1, 1), persist(e(3, 1)), crash)
      .tell(1, started([e(1, 1)]), persist(e(2, 1)), acknowledged(2, 1), { kind: "voted", term: 3, vote: 2 }, crash)
      .tell(1, started([e(1, 1), e(2, 1)], { term: 3, vote: 2 }));
    expect(good.messages).toBe("");
    expect(good.checker.counts()).toMatchObject({ acknowledgements: 2, restarts: 2, "entries found again": 3 });
  });

  test("a replaced write leaves either entries, and its late acknowledgement promises nothing of the new ones", () => {
    const replaced = (log: readonly LogEntry[]): Stage =>
      stage().tell(
        1,
        started(),
        persist(e(1, 1), e(2, 1), e(3, 1)),
        persist(e(2, 2)),
        acknowledged(3, 1),
        crash,
        started(log),
      );
    expect(replaced([e(1, 1), e(2, 1), e(3, 1)]).messages).toBe("");
    expect(replaced([e(1, 1), e(2, 2)]).messages).toBe("");
    expect(replaced([]).messages).toContain("without entry 1");
  });

  test("refuses losses", () => {
    const promised = (): Stage => stage().tell(1, started(), persist(e(1, 1), e(2, 1)), acknowledged(2, 1), crash);
    expect(promised().tell(1, started([e(1, 1)])).messages).toContain("without entry 2");
    expect(promised().tell(1, started([e(1, 1), e(2, 1, 5)])).messages).toContain("without entry 2");
    expect(promised().tell(1, { kind: "damaged", what: "lost" }, started([])).messages).toBe("");

    // A leader counts itself without a message; what it hands out as committed it has on its disk.
    const alone = stage().tell(1, started(), persist(e(1, 1)), committed(e(1, 1)), crash, started([]));
    expect(alone.messages).toContain("without entry 1");

    const voted = (more: object): string =>
      stage().tell(1, started(), { kind: "voted", term: 3, vote: 2 }, crash, started([], more)).messages;
    expect(voted({ term: 2 })).toContain("having spoken in term 3");
    expect(voted({ term: 3, vote: 0 })).toContain("having voted for 2");
    expect(voted({ term: 3, vote: 2 })).toBe("");
    expect(voted({ term: 4, vote: 1 })).toBe("");

    expect(stage().tell(1, started(), persist(e(1, 1)), acknowledged(2, 1)).messages).toContain("its log ends at 1");
  });

  test("within a term nothing acknowledged is replaced, by a newer one it may be", () => {
    const promised = (): Stage =>
      stage().tell(1, started(), wrote(2, 0), persist(e(1, 1), e(2, 1)), acknowledged(2, 2));
    expect(promised().tell(1, persist(e(2, 2))).messages).toContain("acknowledged 2 in the same term 2");
    expect(promised().tell(1, wrote(3, 0), persist(e(2, 3))).messages).toBe("");
    expect(promised().tell(1, wrote(3, 0), acknowledged(2, 2), persist(e(2, 3))).messages).toBe("");
  });

  test("in the end everybody has applied what was applied long ago", () => {
    const end = (secondApplies: number): Stage => {
      const result = stage()
        .tell(1, started(), applied(e(1, 1)), applied(e(2, 1)))
        .tell(2, started());
      for (let index = 1; index <= secondApplies; index++) result.tell(2, applied(e(index, 1)));
      result.now = 10_000;
      result.tell(1, applied(e(3, 1)));
      result.now += 100;
      return result.world({ kind: "settled" });
    };
    expect(end(2).messages).toBe("");
    expect(end(2).checker.counts()).toMatchObject({ "members in the end": 2 });
    expect(end(1).messages).toContain("member 2 has applied 1");
  });
});

describe("state-hash", () => {
  const stage = (): Stage => new Stage(createStateHash);
  const state = (appliedIndex: number, hash: number, what = "keys"): Body => ({
    kind: "state",
    appliedIndex,
    hash,
    what,
  });

  test("equal members, by apply and by replay", () => {
    const good = stage()
      .tell(1, started(), applied(e(1, 1)), state(1, 5), applied(e(2, 1), 2), state(2, 6), state(2, 9, "leases"))
      .tell(2, started(), applied(e(1, 1)), state(1, 5), crash, started([], { appliedIndex: 0 }), applied(e(1, 1)))
      .tell(2, applied(e(2, 1), 2), state(2, 6));
    expect(good.messages).toBe("");
    expect(good.checker.counts()).toEqual({ applied: 5, hashes: 5, "hashes compared": 2 });
  });

  test("refuses differences", () => {
    const first = (): Stage =>
      stage()
        .tell(1, started(), applied(e(1, 1)), state(1, 5))
        .tell(2, started());
    expect(first().tell(2, applied(e(1, 1)), state(1, 6)).messages).toContain("keys at applied index 1");
    expect(first().tell(2, applied(e(1, 1), 2)).messages).toContain("the revision at applied index 1");
    expect(first().tell(2, applied(e(1, 2))).messages).toContain("another of term 2");
    expect(first().tell(1, applied(e(3, 1))).messages).toContain("applies 3 after 1");
    expect(first().tell(1, applied(e(1, 1))).messages).toContain("applies 1 after 1");
  });
});

describe("liveness", () => {
  const quorum = (...members: readonly number[]): WorldEvent => ({ kind: "quorum", members });

  function pass(stage: Stage, milliseconds: number): Stage {
    stage.now += milliseconds;
    stage.history.tick();
    return stage;
  }

  test("a leader in time, again and again", () => {
    const stage = new Stage(createLeaderLiveness).world(quorum(1, 2));
    pass(stage, 4_900).tell(1, leader(2));
    pass(stage, 60_000).tell(1, { kind: "deposed", term: 2 });
    pass(stage, 4_000).tell(2, leader(3));
    pass(stage, 1_000).world(quorum());
    pass(stage, 60_000).tell(2, crash).world(quorum(1, 3));
    pass(stage, 4_000).world(quorum(1, 3));
    pass(stage, 4_000).tell(1, leader(4));
    expect(stage.messages).toBe("");
    expect(stage.checker.counts()["looks at a quorum with a leader"]).toBeGreaterThan(1);
  });

  test("refuses a quorum that finds no leader, and one whose only leader is cut off from it", () => {
    expect(pass(new Stage(createLeaderLiveness).world(quorum(1, 2)), 5_100).messages).toContain("no one of them leads");
    const elsewhere = new Stage(createLeaderLiveness).tell(3, leader(2)).world(quorum(1, 2));
    expect(pass(elsewhere, 5_100).messages).toContain("no one of them leads");
  });
});
