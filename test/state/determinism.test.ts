import { describe, expect, test } from "vitest";
import { ENTRY_NORMAL, type Entry } from "../../raft/types.ts";
import { decodeCommand } from "../../src/state/entry.ts";
import type { Applied, StateMachine } from "../../src/state/machine.ts";
import { createMemoryBackend, type MemoryBackend } from "../../storage/memory-backend.ts";
import { createRandom } from "../storage/random.ts";
import { drawEntry, mutate } from "./commands.ts";
import { dump, openMachine, Session } from "./harness.ts";

interface Member {
  backend: MemoryBackend;
  machine: StateMachine;
}

async function member(backend = createMemoryBackend()): Promise<Member> {
  return { backend, machine: await openMachine(backend) };
}

function finishCompaction({ machine: { mvcc } }: Member): void {
  while (!mvcc.compactSlice(2));
}

/** What leaves the machine, for comparing; a replayed entry says nothing. */
function visible(machine: StateMachine): unknown {
  return {
    revision: machine.mvcc.currentRevision,
    compacted: machine.mvcc.compactRevision,
    keys: machine.mvcc.keyCount,
    leases: machine.leases.ids().map((id) => {
      const lease = machine.leases.get(id);
      return [id, lease?.ttlSeconds, [...(lease?.keys ?? [])].sort()];
    }),
    members: machine.cluster.members(),
    version: machine.cluster.version,
    downgrade: machine.cluster.downgrade,
    alarms: machine.alarms.list(0),
    confState: machine.confState,
    applied: [machine.appliedIndex, machine.appliedTerm],
  };
}

function isRange({ data, type }: Entry): boolean {
  const command = type === ENTRY_NORMAL ? decodeCommand(data) : undefined;
  return command?.kind === "command" && command.request.range !== undefined;
}

const ENTRIES = 250;

describe("P-25, X-2: the same entries make the same state", () => {
  test.each(Array.from({ length: 25 }, (_, seed) => seed))("seed %i", async (seed) => {
    const random = createRandom(seed);
    const log: Entry[] = [];
    const steady = await member();
    const unwanted = await member();
    let restarted = await member();
    const outcomes: Applied[] = [];

    for (let index = 1; index <= ENTRIES; index++) {
      const entry = drawEntry(random, index, steady.machine.mvcc.currentRevision);
      log.push(entry);
      const outcome = steady.machine.apply(entry, () => true);
      outcomes.push(outcome);

      // P-26: without a waiter there is no answer, and a Range is not even looked at; the rest is the same.
      const { result: quietResult, ...quiet } = unwanted.machine.apply(entry, () => false);
      const { result, ...rest } = outcome;
      expect(quiet).toEqual(rest);
      if (!isRange(entry)) expect(quietResult).toEqual(result.kind === "error" ? result : { kind: "none" });

      // The restarted member applies late, so that flushes fall anywhere between the others' entries.
      if (random.chance(0.9)) continue;
      for (const late of log.slice(restarted.machine.appliedIndex)) {
        expect(restarted.machine.apply(late, () => true)).toEqual(outcomes[late.index - 1]);
        if (random.chance(0.05)) await restarted.backend.flush();
        if (random.chance(0.1)) restarted.machine.mvcc.compactSlice(1 + random.below(3));
      }
      if (random.chance(0.5)) await restarted.backend.flush();
      // A crash keeps what was flushed: some earlier entry's whole state, from which the log goes on.
      if (random.chance(0.5)) restarted = await member(restarted.backend.crash());
    }
    for (const late of log.slice(restarted.machine.appliedIndex)) restarted.machine.apply(late, () => true);

    for (const each of [steady, unwanted, restarted]) finishCompaction(each);
    expect(visible(unwanted.machine)).toEqual(visible(steady.machine));
    expect(visible(restarted.machine)).toEqual(visible(steady.machine));
    const content = await dump(steady.backend);
    expect(await dump(unwanted.backend)).toEqual(content);
    expect(await dump(restarted.backend)).toEqual(content);
    const reopened = await openMachine(steady.backend);
    expect(visible(reopened)).toEqual(visible(steady.machine));
  });
});

test("X-2: entries that come again after a crash leave what is there as it is", async () => {
  const random = createRandom(7);
  const first = await member();
  const log: Entry[] = [];
  for (let index = 1; index <= ENTRIES; index++) {
    log.push(drawEntry(random, index, first.machine.mvcc.currentRevision));
    first.machine.apply(log[index - 1] as Entry, () => true);
  }
  await first.backend.flush();
  const second = await member(first.backend.crash());
  const before = await dump(second.backend);
  for (const entry of log) expect(second.machine.apply(entry, () => true).result).toEqual({ kind: "none" });
  expect(await dump(second.backend)).toEqual(before);
});

describe("nothing in a log makes apply throw", () => {
  test("random bytes, as either kind of entry", async () => {
    const session = await Session.open();
    const random = createRandom(1);
    for (let i = 0; i < 20_000; i++) {
      const data = Buffer.from(Array.from({ length: random.below(24) }, () => random.below(256)));
      session.apply(data, random.pick([0, 0, 1, 2] as const));
    }
    expect(session.machine.appliedIndex).toBe(20_000);
  });

  test("valid entries with a few bytes changed or cut off, and the state stays sound", async () => {
    const session = await Session.open();
    const random = createRandom(2);
    for (let index = 1; index <= 10_000; index++) {
      const entry = drawEntry(random, index, session.revision);
      const data = Buffer.from(entry.data);
      if (random.chance(0.7)) mutate(random, data);
      const cut = random.chance(0.2) ? random.below(data.length + 1) : data.length;
      session.machine.apply({ ...entry, data: data.subarray(0, cut) }, () => random.chance(0.8));
    }
    const before = visible(session.machine);
    await session.reopen();
    expect(visible(session.machine)).toEqual(before);
  });
});
