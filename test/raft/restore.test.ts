import { expect, test } from "vitest";
import { createRaft, status, step, takeReady } from "../../raft/raft.ts";
import { ENTRY_CONF_CHANGE, ENTRY_NORMAL, type Entry, type EntryType, type RaftConfig } from "../../raft/types.ts";

const config: RaftConfig = {
  id: 1n,
  electionTicks: 10,
  heartbeatTicks: 1,
  preVote: true,
  checkQuorum: true,
  maxMessageBytes: 1_000,
  maxInflight: 10,
  maxInflightBytes: 10_000,
  maxCommittedBytes: 10_000,
  maxUncommittedBytes: 10_000,
  random: () => 0,
};
const entry = (index: number, type: EntryType): Entry => ({ index, term: 2, type, data: new Uint8Array(0) });

/** Of three voters, with everything up to 3 applied. */
function restored(...types: readonly EntryType[]): ReturnType<typeof createRaft> {
  return createRaft(config, {
    hardState: { term: 2, vote: 0n, commit: 3 },
    confState: { voters: [1n, 2n, 3n], learners: [] },
    applied: 3,
    before: { index: 3, term: 2 },
    entries: types.map((type, position) => entry(4 + position, type)),
    storedFrom: 1,
  });
}

test("a change with another one behind it is committed, whatever a torn write left of the commit index", () => {
  const raft = restored(ENTRY_CONF_CHANGE, ENTRY_NORMAL, ENTRY_CONF_CHANGE);
  expect(status(raft).commit).toBe(4);
  step(raft, { kind: "campaign" });
  expect(status(raft).role).toBe("follower");
  expect(takeReady(raft)?.committed.map(({ index }) => index)).toEqual([4]);
  step(raft, { kind: "confChange", change: { kind: "addVoter", node: 4n } });
  step(raft, { kind: "applied", index: 4 });
  step(raft, { kind: "campaign" });
  expect(status(raft).role).toBe("precandidate");
});

test("of the last change nothing is known", () => {
  expect(status(restored(ENTRY_NORMAL, ENTRY_CONF_CHANGE)).commit).toBe(3);
});

test("a commit index that puts a change in force is synced, unlike others", () => {
  const synced = (type: EntryType): boolean | undefined => {
    const raft = restored(type);
    const told = { type: "MsgApp", from: 2n, to: 1n, term: 2, logTerm: 2, index: 4, entries: [], commit: 4 } as const;
    step(raft, { kind: "message", message: told });
    const atOnce = takeReady(raft)?.persist;
    expect(atOnce?.hardState?.commit).toBe(type === ENTRY_CONF_CHANGE ? 4 : undefined);
    step(raft, { kind: "tick" });
    const persist = atOnce ?? takeReady(raft)?.persist;
    expect(persist?.hardState?.commit).toBe(4);
    return persist?.mustSync;
  };
  expect(synced(ENTRY_CONF_CHANGE)).toBe(true);
  expect(synced(ENTRY_NORMAL)).toBe(false);
});
