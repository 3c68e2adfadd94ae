import { describe, expect, test } from "vitest";
import type { Outcome, RangeResponse, Response, TxnOp } from "../history.ts";
import { del, FakeCluster, get, put, tampered, txn } from "./fake-cluster.ts";
import { checkGeneral } from "./general.ts";
import { checkLinearizability } from "./linearizability.ts";
import { checkRevisions } from "./revisions.ts";
import { checkSerializable } from "./serializable.ts";
import type { Verdict } from "./verdict.ts";

const UNKNOWN: Outcome = { kind: "unknown", reason: "timed out" };

function check(cluster: FakeCluster): Verdict {
  const { truth, placement } = cluster.judged();
  return checkLinearizability(cluster.history, truth, placement);
}

function messages(verdict: Verdict): string {
  return verdict.violations.map(({ message }) => message).join("\n");
}

/** Every kind of operation, all answered right. */
function goodRun(): FakeCluster {
  const cluster = new FakeCluster();
  cluster.ask(put("a", "1"));
  cluster.ask(put("a", "2", { prevKv: true }));
  cluster.ask({ kind: "leaseGrant", id: 7n, ttlSeconds: 10 });
  cluster.ask(put("b", "x", { lease: 7n }));
  cluster.ask(put("c", "x", { lease: 9n }));
  cluster.ask(
    txn(
      [{ key: "a", rangeEnd: "", result: "equal", target: { kind: "value", value: "2" } }],
      [put("c", "y"), get("a", "z"), txn([], [del("a", "b", true)]), get("a", "z", { limit: 1, sortTarget: 1 })],
    ),
  );
  cluster.ask(get("a", "z"));
  cluster.ask(get("\0", "\0", { revision: 3 }));
  cluster.ask(del("nothing"));
  cluster.ask(txn([], [get("c"), get("b", "c", { serializable: true })]));
  cluster.ask({ kind: "compact", revision: 3, physical: false });
  cluster.ask({ kind: "compact", revision: 3, physical: false });
  cluster.ask({ kind: "leaseRevoke", id: 7n });
  cluster.ask(get("a", "z", { serializable: true }));
  cluster.ask({ kind: "leaseGrant", id: 0n, ttlSeconds: 5 }, () => UNKNOWN);
  return cluster;
}

describe("linearizability by revision order", () => {
  test("a good run passes, and everything in it is looked at", () => {
    const cluster = goodRun();
    const verdict = check(cluster);
    expect(messages(verdict)).toBe("");
    expect(verdict.counts).toEqual({
      writes: 7,
      txns: 1,
      reads: 3,
      "reads at old revisions": 1,
      refused: 2,
      "unknown, placed": 1,
      "unknown, never happened": 0,
    });
    expect(checkSerializable(cluster.history, cluster.truth())).toEqual({ violations: [], counts: { reads: 1 } });
    expect(checkRevisions(cluster.history, cluster.truth())).toMatchObject({ violations: [], counts: { changes: 5 } });
  });

  const wrongAnswers: readonly (readonly [string, (cluster: FakeCluster) => void])[] = [
    [
      "another revision",
      (c) =>
        c.ask(
          put("a", "1"),
          tampered((r) => ({ ...r, revision: r.revision + 1 })),
        ),
    ],
    ["a lost prev_kv", (c) => c.ask(put("k", "2", { prevKv: true }), tampered(without("prevKv")))],
    [
      "a wrong deleted count",
      (c) =>
        c.ask(
          del("k"),
          tampered((r) => ({ ...r, deleted: 2 }) as Response),
        ),
    ],
    [
      "a wrong branch",
      (c) =>
        c.ask(
          txn([], [put("k", "z")]),
          tampered((r) => ({ ...r, succeeded: false }) as Response),
        ),
    ],
    ["a wrong inner answer", (c) => c.ask(txn([], [put("k", "z"), get("k")]), tampered(emptied))],
    [
      "a wrong value read",
      (c) =>
        c.ask(
          get("k"),
          tampered((r) => firstPair(r, { value: "other" })),
        ),
    ],
    [
      "a wrong version read",
      (c) =>
        c.ask(
          get("k"),
          tampered((r) => firstPair(r, { version: 9 })),
        ),
    ],
    [
      "a wrong create revision",
      (c) =>
        c.ask(
          get("k"),
          tampered((r) => firstPair(r, { createRevision: 1 })),
        ),
    ],
    [
      "a wrong mod revision",
      (c) =>
        c.ask(
          get("k"),
          tampered((r) => firstPair(r, { modRevision: 1 })),
        ),
    ],
    [
      "a wrong lease",
      (c) =>
        c.ask(
          get("k"),
          tampered((r) => firstPair(r, { lease: 3n })),
        ),
    ],
    ["a missing key", (c) => c.ask(get("a", "z"), tampered(without("kvs", [])))],
    ["a wrong count", (c) => c.ask(get("k", "", { countOnly: true }), tampered(without("count", 5)))],
    ["a wrong more", (c) => c.ask(get("a", "z", { limit: 1 }), tampered(without("more", true)))],
    [
      "an ok for a lease that is not there",
      (c) => c.ask(put("q", "1", { lease: 5n }), ok({ kind: "put", revision: 3, prevKv: undefined })),
    ],
    ["a refusal without reason", (c) => c.ask(put("q", "1"), refused("etcdserver: requested lease not found"))],
    ["an effect of what was refused", (c) => c.ask(put("q", "1"), refused("etcdserver: too many requests"))],
    ["an effect that nobody asked for", (c) => c.execute(put("q", "1"))],
  ];

  test.each(wrongAnswers)("refuses %s", (_what, act) => {
    const cluster = new FakeCluster();
    cluster.ask(put("k", "1"));
    expect(messages(check(cluster))).toBe("");
    act(cluster);
    expect(check(cluster).violations.length).toBeGreaterThan(0);
  });

  test("an acknowledged write that is not in the log is lost", () => {
    const cluster = new FakeCluster();
    const operation = cluster.history.invoke(1, 1, put("a", "1"));
    cluster.history.settle(operation, { kind: "ok", response: { kind: "put", revision: 2, prevKv: undefined } });
    expect(messages(check(cluster))).toContain("no step of the log");
  });

  test("a command that took effect twice", () => {
    const cluster = new FakeCluster();
    cluster.ask(put("a", "1"));
    cluster.execute(put("a", "1"));
    expect(messages(check(cluster))).toContain("once more than clients asked for it");
  });

  test("an effect before the call, and one after the return", () => {
    const before = new FakeCluster();
    const { outcome } = before.execute(put("a", "1"));
    before.history.settle(before.history.invoke(1, 1, put("a", "1")), outcome);
    expect(check(before).violations.length).toBeGreaterThan(0);

    const after = new FakeCluster();
    after.history.settle(after.history.invoke(1, 1, put("a", "1")), outcome);
    after.execute(put("a", "1"));
    expect(check(after).violations.length).toBeGreaterThan(0);
  });

  test("unknown operations may be there, late, or not", () => {
    const cluster = new FakeCluster();
    const lost = cluster.history.invoke(1, 1, put("a", "lost"));
    cluster.history.settle(lost, UNKNOWN);
    const late = cluster.history.invoke(1, 1, put("a", "late"));
    cluster.history.settle(late, UNKNOWN);
    cluster.ask(put("a", "1"));
    cluster.execute(put("a", "late"));
    cluster.ask(get("a"));
    const verdict = check(cluster);
    expect(messages(verdict)).toBe("");
    expect(verdict.counts).toMatchObject({ "unknown, placed": 1, "unknown, never happened": 1 });
  });

  test("equal requests find their places by answer and time", () => {
    const cluster = new FakeCluster();
    cluster.ask(put("a", "1"));
    const first = cluster.history.invoke(1, 1, del("a"));
    const second = cluster.history.invoke(2, 1, del("a"));
    const won = cluster.execute(del("a")).outcome;
    const lost = cluster.execute(del("a")).outcome;
    cluster.history.settle(first, lost);
    cluster.history.settle(second, won);
    expect(messages(check(cluster))).toBe("");
  });

  test("a stale read, one from the future, and one of compacted history", () => {
    const stale = new FakeCluster();
    stale.ask(put("a", "1"));
    const old = stale.answer(get("a"));
    stale.ask(put("a", "2"));
    stale.ask(get("a"), () => old);
    expect(messages(check(stale))).toContain("stale read");

    const early = new FakeCluster();
    early.ask(
      get("a"),
      tampered((r) => ({ ...r, revision: 2 })),
    );
    early.ask(put("b", "1"));
    expect(messages(check(early))).toContain("when 1 was the highest");

    const compacted = new FakeCluster();
    for (const value of ["1", "2", "3"]) compacted.ask(put("a", value));
    compacted.ask({ kind: "compact", revision: 3, physical: false });
    compacted.ask(get("a", "", { revision: 2 }));
    expect(messages(check(compacted))).toContain("below the compact revision");
  });

  test("a read that was refused without need", () => {
    const cluster = new FakeCluster();
    cluster.ask(put("a", "1"));
    cluster.ask(get("a", "", { revision: 2 }), refused("mvcc: required revision has been compacted"));
    cluster.ask(get("a", "", { revision: 2 }), refused("mvcc: required revision is a future revision"));
    expect(check(cluster).violations.length).toBe(2);
  });

  test("ties of a sort may stand in any order, and nothing else may", () => {
    const cluster = new FakeCluster();
    cluster.ask(txn([], [put("a", "1"), put("b", "1"), put("c", "1")]));
    const request = get("a", "z", { sortTarget: 3, limit: 2 });
    cluster.ask(
      request,
      tampered((r) => ({ ...r, kvs: [...(r as RangeResponse).kvs].reverse() }) as Response),
    );
    expect(messages(check(cluster))).toBe("");
    cluster.ask(put("a", "2"));
    cluster.ask(
      request,
      tampered((r) => ({ ...r, kvs: [...(r as RangeResponse).kvs].reverse() }) as Response),
    );
    expect(messages(check(cluster))).toBe("");
    cluster.ask(
      get("a", "z", { sortTarget: 3 }),
      tampered((r) => ({ ...r, kvs: [...(r as RangeResponse).kvs].reverse() }) as Response),
    );
    expect(check(cluster).violations.length).toBe(1);
  });
});

describe("serializable reads", () => {
  const check = (cluster: FakeCluster): Verdict => checkSerializable(cluster.history, cluster.truth());

  test("may be old, and are a prefix", () => {
    const cluster = new FakeCluster();
    cluster.ask(put("a", "1"));
    cluster.ask(put("b", "1"));
    const old = cluster.answer(get("a", "z", { serializable: true }));
    cluster.ask(put("a", "2"));
    cluster.ask(get("a", "z", { serializable: true }), () => old);
    expect(check(cluster)).toEqual({ violations: [], counts: { reads: 1 } });
    // Half of revision 4: b is old, a is new.
    cluster.ask(get("a", "z", { serializable: true }), () => tampered((r) => ({ ...r, revision: 4 }))(old));
    expect(check(cluster).violations.length).toBe(1);
  });
});

describe("revisions", () => {
  test("a revision that is skipped, and one that moves for nothing", () => {
    const skipped = new FakeCluster();
    skipped.execute(put("a", "1"), 3);
    expect(messages(checkRevisions(skipped.history, skipped.truth()))).toContain("from 1 to 3");

    const moved = new FakeCluster();
    moved.execute(del("a"), 2);
    expect(messages(checkRevisions(moved.history, moved.truth()))).toContain("is 2 and should be 1");
  });
});

describe("general linearizability", () => {
  test("a good run passes", () => {
    const verdict = checkGeneral(goodRun().history);
    expect(messages(verdict)).toBe("");
    expect(verdict.counts).toMatchObject({ keys: 3, undecided: 0 });
    expect(verdict.counts["operations"]).toBeGreaterThan(8);
  });

  test("TX-11: a transaction without any range may compare with an old state, one with a range may not", () => {
    const seen = (ops: readonly TxnOp[]): string => {
      const c = goodRun();
      c.ask(put("b", "old"));
      c.ask(put("b", "new"));
      const isOld = [{ key: "b", rangeEnd: "", result: "equal", target: { kind: "value", value: "old" } }] as const;
      c.ask(
        txn(isOld, ops),
        tampered((r) => (r.kind === "txn" ? { ...r, succeeded: true } : r)),
      );
      return messages(checkGeneral(c.history));
    };
    expect(seen([])).toBe("");
    expect(seen([get("b")])).not.toBe("");
  });

  const wrongHistories: readonly (readonly [string, (cluster: FakeCluster) => void])[] = [
    [
      "a stale read",
      (c) => {
        const old = c.answer(get("a"));
        c.ask(put("a", "2"));
        c.ask(get("a"), () => old);
      },
    ],
    [
      "a lost write",
      (c) => c.ask(put("a", "2"), () => ({ kind: "ok", response: { kind: "put", revision: 2, prevKv: undefined } })),
    ],
    [
      "a value that nobody wrote",
      (c) =>
        c.ask(
          get("a"),
          tampered((r) => firstPair(r, { value: "?" })),
        ),
    ],
    ["a write of what was refused", (c) => c.ask(put("a", "2"), refused("etcdserver: too many requests"))],
    [
      "a compare that cannot have held",
      (c) =>
        c.ask(
          txn([{ key: "a", rangeEnd: "", result: "equal", target: { kind: "value", value: "9" } }], [put("a", "2")]),
          ok({
            kind: "txn",
            revision: 3,
            succeeded: true,
            responses: [{ kind: "put", revision: 3, prevKv: undefined }],
          }),
        ),
    ],
    [
      "a key that comes back",
      (c) => {
        c.ask(del("a"));
        c.ask(
          get("a"),
          ok({
            kind: "range",
            revision: 2,
            more: false,
            count: 1,
            kvs: [{ key: "a", value: "1", createRevision: 2, modRevision: 2, version: 1, lease: 0n }],
          }),
        );
      },
    ],
  ];

  test.each(wrongHistories)("refuses %s", (what, act) => {
    const cluster = new FakeCluster();
    cluster.ask(put("a", "1"));
    act(cluster);
    // A lost write shows when somebody reads; nothing was executed, so the fake cluster reads the value before.
    if (what === "a lost write") {
      const before = { key: "a", value: "1", createRevision: 2, modRevision: 2, version: 1, lease: 0n };
      cluster.ask(get("a"), ok({ kind: "range", revision: 2, kvs: [before], more: false, count: 1 }));
    } else {
      cluster.ask(get("a"));
    }
    expect(checkGeneral(cluster.history).violations.length).toBe(1);
  });

  test("concurrent writes in either order, unknown ones at any later time, leased keys that vanish", () => {
    const cluster = new FakeCluster();
    const { history } = cluster;
    cluster.ask({ kind: "leaseGrant", id: 7n, ttlSeconds: 10 });
    const a = history.invoke(1, 1, put("k", "a"));
    const b = history.invoke(2, 1, put("k", "b"));
    const late = history.invoke(3, 1, put("k", "late", { lease: 7n }));
    history.settle(late, UNKNOWN);
    const second = cluster.execute(put("k", "b")).outcome;
    const first = cluster.execute(put("k", "a")).outcome;
    history.settle(a, first);
    history.settle(b, second);
    cluster.ask(get("k"));
    cluster.execute(put("k", "late", { lease: 7n }));
    cluster.ask(get("k"));
    cluster.execute({ kind: "leaseRevoke", id: 7n });
    cluster.ask(get("k"));
    expect(messages(checkGeneral(history))).toBe("");
  });

  test("a delete that finds nothing may also have come later, and found something", () => {
    const cluster = new FakeCluster();
    const { history } = cluster;
    const removal = history.invoke(1, 1, del("k", "l"));
    cluster.ask(put("k", "1"), undefined, 2);
    history.settle(removal, cluster.execute(del("k", "l")).outcome);
    cluster.ask(get("k"));
    expect(messages(checkGeneral(history))).toBe("");
  });

  test("says so when it cannot decide in time", () => {
    const cluster = new FakeCluster();
    for (let i = 0; i < 40; i++) {
      const write = cluster.history.invoke(i, 1, put("k", `${i}`));
      cluster.history.settle(write, UNKNOWN);
    }
    const pair = { key: "k", createRevision: 2, modRevision: 2, lease: 0n };
    for (let i = 0; i < 12; i++) {
      // Version 30 with the value of the write i: some order of thirty of them, and then of thirty others.
      const kv = { ...pair, value: `${i}`, version: 30 - i };
      cluster.ask(get("k"), ok({ kind: "range", revision: 2, kvs: [kv], more: false, count: 1 }));
    }
    const verdict = checkGeneral(cluster.history);
    expect(verdict).toMatchObject({ violations: [], counts: { undecided: 1, keys: 0 } });
  });
});

test("ten thousand operations take well under a second", () => {
  const cluster = new FakeCluster();
  for (let i = 0; i < 10_000; i++) {
    const key = `k${i % 20}`;
    if (i % 3 === 0) cluster.ask(get(key));
    else if (i % 7 === 0) cluster.ask(get("k1", "k3"));
    else cluster.ask(put(key, `${i}`, { prevKv: i % 2 === 0 }));
  }
  const start = process.cpuUsage();
  expect(messages(check(cluster))).toBe("");
  const verdict = checkGeneral(cluster.history);
  expect(messages(verdict)).toBe("");
  expect(verdict.counts).toMatchObject({ keys: 20, undecided: 0 });
  const { user, system } = process.cpuUsage(start);
  expect((user + system) / 1000).toBeLessThan(3_000);
});

function ok(response: Response): () => Outcome {
  return () => ({ kind: "ok", response });
}

function refused(reason: string): () => Outcome {
  return () => ({ kind: "refused", reason });
}

function without(field: string, value?: unknown): (response: Response) => Response {
  return (response) => ({ ...response, [field]: value }) as Response;
}

/** The last range of a transaction finds nothing. */
function emptied(response: Response): Response {
  if (response.kind !== "txn") return response;
  const responses = response.responses.map((inner) =>
    inner.kind === "range" ? { ...inner, kvs: [], count: 0 } : inner,
  );
  return { ...response, responses };
}

function firstPair(response: Response, change: object): Response {
  if (response.kind !== "range") return response;
  return { ...response, kvs: response.kvs.map((kv) => ({ ...kv, ...change })) };
}
