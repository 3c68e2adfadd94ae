import { expect, test } from "vitest";
import { History, type ListedMember, type MembersRequest, type Operation } from "../history.ts";
import { checkMembers } from "./members.ts";

const row = (number: number, isLearner = false): ListedMember => ({
  id: BigInt(number),
  name: `m${number}`,
  peerURLs: [`http://m${number}`],
  clientURLs: [],
  isLearner,
});

/** A list of members that changes, and clients that ask for it. */
class Stage {
  readonly history = new History(
    { electionMs: 1000, heartbeatMs: 100, maxDrift: 0, expiriesPerSecond: 1_000 },
    () => 0,
  );
  #index = 0;

  /** The next entry makes this list. The first one is the founding. */
  now(...list: readonly ListedMember[]): this {
    const term = this.#index === 0 ? 1 : 2;
    const numbers = (isLearner: boolean): number[] =>
      list.filter((member) => member.isLearner === isLearner).map(({ id }) => Number(id));
    const configuration = { voters: numbers(false), learners: numbers(true), list };
    const entry = { index: ++this.#index, term, hash: 0 };
    this.history.probe({ member: 1, life: 1, kind: "applied", entry, command: undefined, revision: 1 });
    this.history.probe({ member: 1, life: 1, kind: "members", index: entry.index, term, ...configuration });
    return this;
  }

  ask(request: MembersRequest): Operation {
    return this.history.invoke(1, 1, request);
  }

  answer(operation: Operation, list: readonly ListedMember[], added?: bigint): this {
    this.history.settle(operation, { kind: "ok", response: { kind: "members", revision: 0, list, added } });
    return this;
  }

  get messages(): string {
    return checkMembers(this.history)
      .violations.map(({ message }) => message)
      .join("\n");
  }
}

const list = (linearizable: boolean): MembersRequest => ({ kind: "members", change: "list", linearizable });
const add = (number: number): MembersRequest => ({
  kind: "members",
  change: "add",
  peerURL: `http://m${number}`,
  isLearner: false,
});
const remove = (number: number): MembersRequest => ({ kind: "members", change: "remove", id: BigInt(number) });

/** Member 2 is added, as asked. */
function grown(): Stage {
  const stage = new Stage().now(row(1));
  const asked = stage.ask(add(2));
  return stage.now(row(1), row(2)).answer(asked, [row(1), row(2)], 2n);
}

test("a list is one that there was; an old one may be read only by who did not ask for the newest", () => {
  const read = (linearizable: boolean, answer: readonly ListedMember[]): string => {
    const stage = grown();
    return stage.answer(stage.ask(list(linearizable)), answer).messages;
  };
  expect(read(true, [row(1), row(2)])).toBe("");
  expect(read(false, [row(1)])).toBe("");
  expect(read(true, [row(1)])).toContain("which is that of index 1");
  expect(read(false, [row(2)])).toContain("which nobody ever had");
});

test("nobody reads a list of the future", () => {
  const stage = new Stage().now(row(1));
  const early = stage.ask(list(false));
  stage.ask(add(2));
  stage.answer(early, [row(1), row(2)]).now(row(1), row(2));
  expect(stage.messages).toContain("which is that of index 2");
});

test("what was done was asked for, and what was answered was done", () => {
  expect(grown().now(row(1), row(2), row(3)).messages).toContain("nobody waits for it");
  const never = grown();
  expect(never.answer(never.ask(remove(2)), [row(1), row(2)]).messages).toContain("was answered, and not done");
  const refused = grown();
  refused.history.settle(refused.ask(remove(2)), { kind: "refused", reason: "unhealthy" });
  expect(refused.now(row(1)).messages).toContain("nobody waits for it");
  const unknown = grown();
  unknown.ask(remove(2));
  expect(unknown.now(row(1)).messages).toBe("");
});

test("an id that was removed never comes back", () => {
  const stage = grown();
  stage.ask(remove(2));
  stage.now(row(1)).ask(add(2));
  expect(stage.now(row(1), row(2)).messages).toContain("and was removed before");
});

test("a learner is promoted when it has nearly all that there is", () => {
  const promoted = (lastIndex: number): string => {
    const stage = new Stage().now(row(1));
    stage.ask({ kind: "members", change: "add", peerURL: "http://m2", isLearner: true });
    stage.now(row(1), row(2, true));
    for (let at = 0; at < 8; at++) stage.now(row(1), row(2, true));
    const log = { index: lastIndex, term: 2, hash: 0 };
    stage.history.probe({ member: 2, life: 1, kind: "persist", hardState: undefined, entries: [log] });
    stage.ask({ kind: "members", change: "promote", id: 2n });
    return stage.now(row(1), row(2)).messages;
  };
  expect(promoted(9)).toBe("");
  expect(promoted(8)).toContain("is promoted with a log to 8, where 10 had been applied");
});
