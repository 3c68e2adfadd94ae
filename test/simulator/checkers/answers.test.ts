import { describe, expect, test } from "vitest";
import type { History, Operation, Response } from "../history.ts";
import { FakeCluster, put } from "./fake-cluster.ts";
import { checkHeaders } from "./headers.ts";
import { checkLeaseLists } from "./lease-lists.ts";
import { checkStatus } from "./status.ts";
import type { Verdict } from "./verdict.ts";

const said = ({ violations }: Verdict): string => violations.map(({ message }) => message).join("\n");

const NOTHING = { term: 0, vote: 0, commit: 0, appliedIndex: 0, firstIndex: 1, log: [] };

/** One life each of members 1 and 2, whose ids are these numbers. */
function begun(): FakeCluster {
  const cluster = new FakeCluster();
  for (const member of [1, 2]) cluster.probe({ member, life: 1, kind: "started", ...NOTHING });
  const list = [1n, 2n].map((id) => ({ id, name: `m${id}`, peerURLs: [], clientURLs: [], isLearner: false }));
  cluster.probe({ member: 1, life: 1, kind: "members", index: 0.5, term: 1, voters: [1, 2], learners: [], list });
  return cluster;
}

function restart({ history }: FakeCluster, member: number): void {
  history.probe({ member, life: 1, kind: "ended", how: "crash" });
  history.probe({ member, life: 2, kind: "started", ...NOTHING });
}

function answer(history: History, member: number, response: Response, header: { member: bigint; term: number }): void {
  settle(history, ask(history, member, response), response, header);
}

function ask(history: History, member: number, { kind }: Response): Operation {
  if (kind !== "status" && kind !== "leaseLeases") throw new Error(`not asked here: ${kind}`);
  return history.invoke(1, member, { kind });
}

function settle(
  history: History,
  operation: Operation,
  response: Response,
  header: { member: bigint; term: number },
): void {
  history.settle(operation, { kind: "ok", response, header: { cluster: 9n, ...header } });
}

describe("headers", () => {
  const list: Response = { kind: "leaseLeases", revision: 1, ids: [] };

  /** Each answer: whom it was asked of, and what it says. */
  function judge(...answers: readonly (readonly [number, { member: bigint; term: number }])[]): string {
    const cluster = begun();
    cluster.execute(put("a", "1"));
    for (const [member, header] of answers) answer(cluster.history, member, list, header);
    return said(checkHeaders(cluster.history, cluster.truth()));
  }

  test("each member has its name, and an applied term", () => {
    expect(judge([1, { member: 11n, term: 2 }], [2, { member: 12n, term: 2 }], [1, { member: 11n, term: 2 }])).toBe("");
  });

  test("two names of one member, and one name of two", () => {
    expect(judge([1, { member: 11n, term: 2 }], [1, { member: 12n, term: 2 }])).toContain("answered as 12");
    expect(judge([1, { member: 11n, term: 2 }], [2, { member: 11n, term: 2 }])).toContain("answered as 11");
    expect(judge([1, { member: 0n, term: 2 }])).toContain("answered as 0, being 0");
  });

  test("a term of which nothing was applied, and one that falls", () => {
    expect(judge([1, { member: 11n, term: 3 }])).toContain("of which nobody has applied anything");
    expect(judgeTerms(2, 1)).toContain("falls back from term 2 to 1");
  });

  /** Terms 1 and 2 were applied. */
  function judgeTerms(...terms: readonly (number | "restart")[]): string {
    const cluster = begun();
    for (const term of [1, 2]) {
      const entry = { index: term, term, hash: 0 };
      cluster.probe({ member: 1, life: 1, kind: "applied", entry, command: undefined, revision: 1 });
    }
    for (const term of terms) {
      if (term === "restart") restart(cluster, 1);
      else answer(cluster.history, 1, list, { member: 11n, term });
    }
    return said(checkHeaders(cluster.history, cluster.truth()));
  }

  test("a term may fall with a new life, and between answers that were under way together", () => {
    expect(judgeTerms(2, "restart", 1)).toBe("");
    const cluster = begun();
    cluster.execute(put("a", "1"));
    const entry = { index: 9, term: 3, hash: 0 };
    cluster.probe({ member: 1, life: 1, kind: "applied", entry, command: undefined, revision: 1 });
    const early = ask(cluster.history, 1, list);
    answer(cluster.history, 1, list, { member: 11n, term: 3 });
    settle(cluster.history, early, list, { member: 11n, term: 2 });
    expect(said(checkHeaders(cluster.history, cluster.truth()))).toBe("");
  });

  test("a revision that falls, and one that nobody had reached", () => {
    const judgeRevisions = (...revisions: readonly number[]): string => {
      const cluster = begun();
      cluster.execute(put("a", "1"));
      for (const revision of revisions) {
        answer(cluster.history, 1, { kind: "leaseLeases", revision, ids: [] }, { member: 11n, term: 2 });
      }
      return said(checkHeaders(cluster.history, cluster.truth()));
    };
    expect(judgeRevisions(1, 2, 2)).toBe("");
    expect(judgeRevisions(2, 1)).toContain("names revision 1, not one from 2 on up to 2");
    expect(judgeRevisions(3)).toContain("names revision 3, not one up to 2");
  });

  test("an answer, or a message of a watch, without a header", () => {
    const cluster = begun();
    cluster.history.settle(ask(cluster.history, 1, list), { kind: "ok", response: list });
    const stream = cluster.history.openStream(1, 1);
    const message = { revision: 1, watchId: 0n, created: true, canceled: false, compactRevision: 0 };
    cluster.history.watchResponse(stream, { ...message, cancelReason: "", fragment: false, events: [] });
    expect(said(checkHeaders(cluster.history, cluster.truth()))).toBe(
      "member 1: leaseLeases answered without a header\nmember 1: watch answered without a header",
    );
  });

  test("another cluster", () => {
    const cluster = begun();
    cluster.execute(put("a", "1"));
    answer(cluster.history, 1, list, { member: 11n, term: 2 });
    const operation = cluster.history.invoke(1, 2, { kind: "leaseLeases" });
    const header = { cluster: 8n, member: 12n, term: 2 };
    cluster.history.settle(operation, { kind: "ok", response: list, header });
    expect(said(checkHeaders(cluster.history, cluster.truth()))).toContain(
      "member 2: leaseLeases of cluster 8, others of 9",
    );
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

  test("may go back with a new life", () => {
    const cluster = begun();
    cluster.execute({ kind: "leaseGrant", id: 1n, ttlSeconds: 10 });
    const header = { member: 1n, term: 2 };
    answer(cluster.history, 1, { kind: "leaseLeases", revision: 1, ids: [1n] }, header);
    restart(cluster, 1);
    answer(cluster.history, 1, { kind: "leaseLeases", revision: 1, ids: [] }, header);
    expect(said(checkLeaseLists(cluster.history, cluster.truth()))).toBe("");
  });

  test("never go behind a grant or a revoke that the member has answered", () => {
    const judgeAfter = (ids: readonly bigint[], ...kinds: readonly ("leaseGrant" | "leaseRevoke")[]): string => {
      const cluster = begun();
      for (const kind of kinds)
        cluster.ask(kind === "leaseGrant" ? { kind, id: 1n, ttlSeconds: 10 } : { kind, id: 1n });
      answer(cluster.history, 1, { kind: "leaseLeases", revision: 1, ids }, { member: 1n, term: 2 });
      return said(checkLeaseLists(cluster.history, cluster.truth()));
    };
    expect(judgeAfter([1n], "leaseGrant")).toBe("");
    expect(judgeAfter([], "leaseGrant")).toContain("never so from change 1");
    expect(judgeAfter([], "leaseGrant", "leaseRevoke")).toBe("");
    expect(judgeAfter([1n], "leaseGrant", "leaseRevoke")).toContain("never so from change 2");
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

  test("indexes may fall with a new life", () => {
    const cluster = begun();
    cluster.execute(put("a", "1"));
    const status = { kind: "status", term: 2, leader: 0n } as const;
    const later = { ...status, revision: 2, commitIndex: 1, appliedIndex: 1 };
    answer(cluster.history, 1, later, { member: 1n, term: 2 });
    restart(cluster, 1);
    answer(cluster.history, 1, { ...status, revision: 1, commitIndex: 0, appliedIndex: 0 }, { member: 1n, term: 0 });
    expect(said(checkStatus(cluster.history, cluster.truth()))).toBe("");
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
    expect(judge({ term: 1 })).toContain("names 1 the leader of term 1, who never stood");
    expect(judge({ leader: 7n })).toContain("names 7 the leader, who is no member");
  });

  test("one who lost the election, or won it and was deposed before anybody looked", () => {
    const cluster = begun();
    const status = { kind: "status", revision: 1, leader: 1n, commitIndex: 0, appliedIndex: 0 } as const;
    cluster.probe({ member: 1, life: 1, kind: "voted", term: 3, vote: 1 });
    answer(cluster.history, 1, { ...status, term: 3 }, { member: 1n, term: 0 });
    expect(said(checkStatus(cluster.history, cluster.truth()))).toBe("");
    cluster.probe({ member: 2, life: 1, kind: "leader", term: 3 });
    answer(cluster.history, 1, { ...status, term: 3 }, { member: 1n, term: 0 });
    expect(said(checkStatus(cluster.history, cluster.truth()))).toContain("the leader of term 3, won by 2");
  });

  test("the term of another index", () => {
    const cluster = begun();
    cluster.execute(put("a", "1"));
    const status = { kind: "status", revision: 2, term: 2, leader: 0n, commitIndex: 1, appliedIndex: 1 } as const;
    answer(cluster.history, 1, status, { member: 1n, term: 3 });
    expect(said(checkStatus(cluster.history, cluster.truth()))).toContain("header of term 3 at index 1@2");
  });
});
