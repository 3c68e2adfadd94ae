import { expect, test, vi } from "vitest";
import {
  DeleteRangeRequest,
  RangeRequestSortOrder as Order,
  RangeRequest,
  RangeRequestSortTarget as Target,
  TxnRequest,
} from "../../proto/generated/etcdserverpb.ts";
import {
  ANSWER_BYTES,
  AnswerBytes,
  answerTooLarge,
  PAIR_CHARGE_BYTES,
  VISIT_CHARGE_BYTES,
} from "../../src/state/answer.ts";
import type { Command } from "../../src/state/machine.ts";
import { applyTxn } from "../../src/state/txn.ts";
import { dump, op, pairs, putRequest, Session } from "./harness.ts";

const VALUE = "x".repeat(1 << 20);
/** So many whole values are too much for one answer. */
const TOO_MANY = ANSWER_BYTES / VALUE.length;

async function store(count: number): Promise<Session> {
  const session = await Session.open();
  for (let i = 0; i < count; i++) session.put(`k${i}`, VALUE);
  return session;
}

test("an answer is made for the entry whose own id is waited for, whoever else waits", async () => {
  const session = await Session.open();
  const asked: bigint[] = [];
  const put = session.command({ put: putRequest("a") });
  const waiting = put.requestId + 2n;
  const isWaiting = (id: bigint): boolean => {
    asked.push(id);
    return id === waiting;
  };
  const value = vi.spyOn(session.machine.mvcc, "value");
  const again = { put: putRequest("a", "", { prevKv: true }) };
  const other = session.commandFor(again, isWaiting);
  expect([other.result.kind, value.mock.calls.length]).toEqual(["none", 0]);
  const own = session.commandFor(again, isWaiting);
  expect([own.result.kind, value.mock.calls.length]).toEqual(["response", 1]);
  expect(asked).toEqual([put.requestId + 1n, waiting]);
  expect(own.requestId).toBe(waiting);
});

test("a txn whose answer is too large is carried out; its client hears so, and no more values are fetched", async () => {
  const all = op.range("k", { rangeEnd: "l" });
  const session = await store(8);
  const quiet = await store(8);
  const txn = TxnRequest.create({ success: [op.put("a", "1"), ...Array(126).fill(all), op.put("b"), op.del("k0")] });
  const value = vi.spyOn(session.machine.mvcc, "value");
  const applied = session.command({ txn });
  expect(applied.result).toEqual({ kind: "error", error: answerTooLarge });
  expect(value).toHaveBeenCalledTimes(TOO_MANY);
  expect(applied.events.map(({ type, key }) => `${type} ${key}`)).toEqual(["put a", "put b", "delete k0"]);
  expect(applied.revision).toBe(10);
  value.mockRestore();
  expect(pairs(session.range("a", { rangeEnd: "c" }).kvs)).toEqual(["a=1", "b="]);

  // Nobody waits on the other member: it comes to the same state.
  const { result, ...rest } = quiet.command({ txn }, false);
  expect(result.kind).toBe("none");
  expect({ ...rest, requestId: applied.requestId, result: applied.result }).toEqual(applied);
  await Promise.all([session.backend.flush(), quiet.backend.flush()]);
  expect(await dump(quiet.backend)).toEqual(await dump(session.backend));
  expect(session.put("c").header?.revision).toBe(11);
});

test.each<[string, Command, string]>([
  [
    "DeleteRange with the pairs it deletes",
    { deleteRange: DeleteRangeRequest.create({ key: "k", rangeEnd: "l", prevKv: true }) },
    "",
  ],
  ["the same in a txn", { txn: TxnRequest.create({ success: [op.del("k", "l", true), op.put("a", "1")] }) }, "a=1"],
  [
    "a nested txn of puts with what was before",
    {
      txn: TxnRequest.create({
        success: Array.from({ length: TOO_MANY + 1 }, (_, i) =>
          op.txn({ success: [op.put(`k${i}`, "", { prevKv: true })] }),
        ).concat(op.del("k", "l")),
      }),
    },
    "",
  ],
])("%s: carried out without its answer", async (_, command, left) => {
  const session = await store(TOO_MANY + 1);
  const { result, events } = session.command(command);
  expect(result).toEqual({ kind: "error", error: answerTooLarge });
  expect(events.length).toBeGreaterThan(TOO_MANY);
  expect(session.all().join()).toBe(left);
});

test("a range of the log, plain or sorted by value, is bounded too, also when its limit leaves little", async () => {
  const session = await store(TOO_MANY + 1);
  const range = (options: Partial<RangeRequest>) =>
    session.command({ range: RangeRequest.create({ key: "k", rangeEnd: "l", ...options }) }).result;
  expect(range({})).toEqual({ kind: "error", error: answerTooLarge });
  expect(range({ sortTarget: Target.VALUE, sortOrder: Order.ASCEND, limit: 1 })).toEqual({
    kind: "error",
    error: answerTooLarge,
  });
  expect(range({ sortTarget: Target.MOD, limit: 1 })).toMatchObject({ kind: "response", response: { more: true } });
  expect(range({ countOnly: true })).toMatchObject({ response: { count: TOO_MANY + 1 } });
});

test("the bound is exact, and small pairs are charged for more than their bytes", async () => {
  const session = await Session.open();
  session.put("a", "1");
  const [kv] = session.range("a").kvs;
  const { mvcc, leases } = session.machine;
  const keyspace = { mvcc, lessor: leases as Parameters<typeof applyTxn>[0]["lessor"] };
  const request = TxnRequest.create({ success: [op.range("a"), op.range("a")] });
  const bytes = 2 * ((kv as Uint8Array).length + PAIR_CHARGE_BYTES + VISIT_CHARGE_BYTES);
  const enough = new AnswerBytes(bytes);
  expect(applyTxn(keyspace, request, enough)).toMatchObject({ response: { responses: [{}, {}] } });
  expect(enough.isTooLarge).toBe(false);
  const short = new AnswerBytes(bytes - 1);
  expect(applyTxn(keyspace, request, short)).toMatchObject({ kind: "done", response: undefined });
  expect(short.isTooLarge).toBe(true);
});

test("keys that are only counted or looked at count as well: many whole ranges in one transaction are given up", async () => {
  const session = await Session.open();
  for (let n = 0; n < 100; n++) session.put(`k${n}`, "1");
  const { mvcc, leases } = session.machine;
  const keyspace = { mvcc, lessor: leases as Parameters<typeof applyTxn>[0]["lessor"] };
  const count = RangeRequest.create({ key: "k", rangeEnd: "l", countOnly: true });
  const success = Array.from({ length: 10 }, () => ({ request: { kind: "requestRange" as const, value: count } }));
  const request = TxnRequest.create({ success });
  const enough = new AnswerBytes(10 * 100 * VISIT_CHARGE_BYTES);
  expect(applyTxn(keyspace, request, enough)).toMatchObject({ response: { succeeded: true } });
  const short = new AnswerBytes(9 * 100 * VISIT_CHARGE_BYTES);
  expect(applyTxn(keyspace, request, short)).toMatchObject({ kind: "done", response: undefined });
});
