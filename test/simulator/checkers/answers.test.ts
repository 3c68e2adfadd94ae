import { describe, expect, test } from "vitest";
import type { History, Outcome, Response } from "../history.ts";
import { FakeCluster, put } from "./fake-cluster.ts";
import { checkHeaders } from "./headers.ts";
import { checkLeaseLists } from "./lease-lists.ts";
import { checkStatus } from "./status.ts";
import type { Verdict } from "./verdict.ts";

const said = ({ violations }: Verdict): string => violations.map(({ message }) => message).join("\n");

/** One life each of members 1 and 2. */
function begun(): FakeCluster {
  const cluster = new FakeCluster();
  for (const member of [1, 2]) {
    const nothing = { term: 0, vote: 0, commit: 0, appliedIndex: 0, firstIndex: 1, log: [] };
    cluster.probe({ member, life: 1, kind: "started", ...nothing });
  }
  return cluster;
}

function answer(history: History, member: number, response: Response, header: { member: bigint; term: number }): void {
  const operation = history.invoke(1, member, { kind: response.kind } as { readonly kind: "status" });
  const outcome: Outcome = { kind: "ok", response, header: { cluster: 9n, ...header } };
  history.settle(operation, outcome);
}

describe("headers", () => {
  const list: Response = { kind: "leaseLeases", revision: 1, ids: [] };

  /** Each answer: whom it was asked of, and what it says. */
  function judge(...answers: readonly (readonly [number, { member: bigint; term: number }])[]): string {
    const cluster = begun();
    cluster.execute(put("a", "1"));
    for (const [member, header] of answers) answer(cluster.history, member, list, header);
    return said(checkHeaders(cluster.history));
  }

  test("each member has its name, and an applied term", () => {
    expect(judge([1, { member: 11n, term: 2 }], [2, { member: 12n, term: 2 }], [1, { member: 11n, term: 2 }])).toBe("");
  });

  test("two names of one member, and one name of two", () => {
    expect(judge([1, { member: 11n, term: 2 }], [1, { member: 12n, term: 2 }])).toContain(
      "answered a leaseLeases as 12",
    );
    expect(judge([1, { member: 11n, term: 2 }], [2, { member: 11n, term: 2 }])).toContain(
      "answered a leaseLeases as 11",
    );
    expect(judge([1, { member: 0n, term: 2 }])).toContain("answered a leaseLeases as 0");
  });

  test("a term of which nothing was applied, and one that falls", () => {
    expect(judge([1, { member: 11n, term: 3 }])).toContain("of which nobody has applied anything");
    const cluster = begun();
    for (const [index, term] of [
      [1, 1],
      [2, 2],
    ] as const) {
      cluster.probe({
        member: 1,
        life: 1,
        kind: "applied",
        entry: { index, term, hash: 0 },
        command: undefined,
        revision: 1,
      });
    }
    answer(cluster.history, 1, list, { member: 11n, term: 2 });
    answer(cluster.history, 1, list, { member: 11n, term: 1 });
    expect(said(checkHeaders(cluster.history))).toContain("falls back from term 2 to 1");
  });

  test("another cluster", () => {
    const cluster = begun();
    cluster.execute(put("a", "1"));
    answer(cluster.history, 1, list, { member: 11n, term: 2 });
    const operation = cluster.history.invoke(1, 2, { kind: "leaseLeases" });
    const header = { cluster: 8n, member: 12n, term: 2 };
    cluster.history.settle(operation, { kind: "ok", response: list, header });
    expect(said(checkHeaders(cluster.history))).toContain("member 2 is of cluster 8");
  });
});

describe("L-7: lists of leases", () => {
  /** Leases 1 and 2 come, a key is put, and 1 goes. */
  function judge(...lists: readonly (readonly [number, number, readonly bigint[]])[]): string {
    const cluster = begun();
    cluster.execute({ kind: "leaseGrant", id: 1n, ttlSeconds: 10 });
    cluster.execute({ kind: "leaseGrant", id: 2n, ttlSeconds: 10 });
    cluster.execute(put("a", "1", { lease: 1n }));
    cluster.execute({ kind: "leaseRevoke", id: 1n });
    for (const [member, revision, ids] of lists) {
      answer(cluster.history, member, { kind: "leaseLeases", revision, ids }, { member: BigInt(member), term: 2 });
    }
    return said(checkLeaseLists(cluster.history, cluster.truth()));
  }

  test("may be old, each member going its own way", () => {
    expect(judge([1, 3, [2n]], [2, 1, []], [2, 1, [1n]], [2, 2, [2n, 1n]], [2, 3, [2n]])).toBe("");
  });

  test("never have one too few, too many, or one twice", () => {
    expect(judge([1, 2, [1n]])).toContain("lists leases");
    expect(judge([1, 3, [1n, 2n]])).toContain("lists leases");
    expect(judge([1, 3, [2n, 2n]])).toContain("lists leases");
    expect(judge([1, 3, []])).toContain("lists leases");
  });

  test("never go back", () => {
    expect(judge([1, 2, [1n, 2n]], [1, 1, [1n]])).toContain("never so from change 2 of the leases on");
  });

  test("never come from the future", () => {
    const cluster = begun();
    answer(cluster.history, 1, { kind: "leaseLeases", revision: 1, ids: [1n] }, { member: 1n, term: 2 });
    cluster.execute({ kind: "leaseGrant", id: 1n, ttlSeconds: 10 });
    expect(said(checkLeaseLists(cluster.history, cluster.truth()))).toContain("never so");
  });
});

describe("N-1: status", () => {
  interface Said {
    readonly applied?: number;
    readonly commit?: number;
    readonly leader?: bigint;
    readonly term?: number;
    readonly revision?: number;
  }

  /** Two puts; member 1 leads term 2, and has the id 1. */
  function judge(...all: readonly Said[]): string {
    const cluster = begun();
    cluster.probe({ member: 1, life: 1, kind: "leader", term: 2 });
    cluster.execute(put("a", "1"));
    cluster.execute(put("a", "2"));
    for (const { applied = 2, commit = 2, leader = 1n, term = 2, revision = 3 } of all) {
      const status = { kind: "status", revision, term, leader, commitIndex: commit, appliedIndex: applied } as const;
      answer(cluster.history, 1, status, { member: 1n, term: 2 });
    }
    return said(checkStatus(cluster.history, cluster.truth()));
  }

  test("what is true", () => {
    expect(judge({ applied: 1, revision: 2 }, {}, { commit: 5 }, { commit: 5, leader: 0n, term: 3 })).toBe("");
  });

  test("indexes that cannot be, or fall", () => {
    expect(judge({ commit: 1 })).toContain("applied 2, and committed only 1");
    expect(judge({ applied: 3, commit: 3 })).toContain("applied 3, which nobody had");
    expect(judge({}, { applied: 1, revision: 2 })).toContain("applied falls from 2 to 1");
    expect(judge({ commit: 4 }, { commit: 3 })).toContain("committed falls from 4 to 3");
  });

  test("the revision of another index", () => {
    expect(judge({ applied: 1 })).toContain("revision 3 at index 1, which makes 2");
  });

  test("a leader that was not elected", () => {
    expect(judge({ term: 1 })).toContain("names 1 in term 1, who never led by then");
  });
});
