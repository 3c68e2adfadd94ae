import { beforeEach, describe, expect, test } from "vitest";
import { ConfChangeType as Type } from "../../proto/generated/raftpb.ts";
import type { ConfChange } from "../../raft/types.ts";
import { errors } from "../../src/api/errors.ts";
import { bucketRows, Session, text } from "./harness.ts";

let session: Session;
beforeEach(async () => {
  session = await Session.open();
});

const BIG = 0xe988c1f577480cd9n;

function context(id: bigint, url: string | undefined, more = ""): Buffer {
  return Buffer.from(`{"id":${id},"peerURLs":${url === undefined ? "null" : `["${url}"]`}${more}}`);
}

function add(id: bigint, url = `http://m${id}:1`, more = ""): ReturnType<Session["confChange"]> {
  return session.confChange({ type: Type.ConfChangeAddNode, nodeId: id, context: context(id, url, more) });
}

function addLearner(id: bigint, url = `http://m${id}:1`): ReturnType<Session["confChange"]> {
  const more = ',"isLearner":true,"isPromote":false';
  return session.confChange({ type: Type.ConfChangeAddLearnerNode, nodeId: id, context: context(id, url, more) });
}

function promote(id: bigint): ReturnType<Session["confChange"]> {
  const more = ',"isPromote":true';
  return session.confChange({ type: Type.ConfChangeAddNode, nodeId: id, context: context(id, undefined, more) });
}

function update(id: bigint, url: string): ReturnType<Session["confChange"]> {
  return session.confChange({ type: Type.ConfChangeUpdateNode, nodeId: id, context: context(id, url) });
}

function remove(id: bigint): ReturnType<Session["confChange"]> {
  return session.confChange({ type: Type.ConfChangeRemoveNode, nodeId: id });
}

function expectRefused(applied: ReturnType<Session["confChange"]>, error: unknown): void {
  expect(applied.result).toEqual({ kind: "error", error });
  expect(applied.confChange).toEqual({ kind: "none" });
}

function names(): string {
  return session.machine.cluster
    .members()
    .map(({ id, isLearner }) => `${id}${isLearner ? "*" : ""}`)
    .join(" ");
}

async function rows(bucket: "members" | "members_removed" | "cluster" | "meta"): Promise<Record<string, string>> {
  return Object.fromEntries((await bucketRows(session.backend, bucket)).map(([key, value]) => [key, text(value)]));
}

describe("P-24: membership changes", () => {
  test("P-30, N-8: bootstrap entries, with the name in the context; ids beyond 2^63 as decimals and hex", async () => {
    const { confChange, requestId, result, leaderEntry } = add(BIG, "http://127.0.0.1:43180", ',"name":"n1"');
    expect(confChange).toEqual<ConfChange>({ kind: "addVoter", node: BIG });
    expect([requestId, leaderEntry]).toEqual([0n, false]);
    const member = {
      ID: BIG,
      name: "n1",
      peerURLs: ["http://127.0.0.1:43180"],
      clientURLs: [],
      isLearner: false,
    };
    // H-3, M-2: no revision, all members.
    expect(result).toMatchObject({
      kind: "response",
      response: { header: { revision: 0 }, member, members: [member] },
    });
    expect(session.machine.confState).toEqual({ voters: [BIG], learners: [] });
    expect(await rows("members")).toEqual({
      e988c1f577480cd9: `{"id":${BIG},"peerURLs":["http://127.0.0.1:43180"],"name":"n1"}`,
    });
    expect((await rows("meta"))["confState"]).toBe(`{"voters":[${BIG}],"auto_leave":false}`);
  });

  test("add, add as learner, promote, update, remove: members, confState and what raft is told", async () => {
    add(3n);
    add(1n);
    expect(addLearner(2n).confChange).toEqual({ kind: "addLearner", node: 2n });
    expect(names()).toBe("1 2* 3");
    expect(session.machine.confState).toEqual({ voters: [1n, 3n], learners: [2n] });
    expect((await rows("meta"))["confState"]).toBe('{"voters":[1,3],"learners":[2],"auto_leave":false}');

    const promoted = promote(2n);
    expect(promoted.confChange).toEqual({ kind: "addVoter", node: 2n });
    expect(promoted.result).toMatchObject({
      response: { members: [{ ID: 1n }, { ID: 2n, isLearner: false }, { ID: 3n }] },
    });
    expect(session.machine.confState).toEqual({ voters: [1n, 2n, 3n], learners: [] });
    expect(session.machine.cluster.member(2n)?.peerURLs).toEqual(["http://m2:1"]);

    expect(update(1n, "http://new:1").confChange).toEqual({ kind: "none" });
    expect(session.machine.cluster.member(1n)?.peerURLs).toEqual(["http://new:1"]);

    const removed = remove(3n);
    expect(removed.confChange).toEqual({ kind: "remove", node: 3n });
    expect(removed.result).toMatchObject({ response: { members: [{ ID: 1n }, { ID: 2n }] } });
    expect(names()).toBe("1 2");
    expect(session.machine.confState).toEqual({ voters: [1n, 2n], learners: [] });
    expect(await rows("members_removed")).toEqual({ "3": "removed" });
  });

  test("M-6: an update changes the peer URLs and nothing else, of a learner too", () => {
    add(1n);
    addLearner(2n);
    session.answer({
      clusterMemberAttrSet: { memberID: 2n, memberAttributes: { name: "l", clientUrls: ["http://c:1"] } },
    });
    update(2n, "http://new:1");
    expect(session.machine.cluster.member(2n)).toEqual({
      id: 2n,
      name: "l",
      peerURLs: ["http://new:1"],
      clientURLs: ["http://c:1"],
      isLearner: true,
    });
  });

  test("M-3: a removed id is refused for good, for every kind of change", async () => {
    add(1n);
    add(2n);
    remove(2n);
    for (const again of [
      () => add(2n),
      () => addLearner(2n),
      () => promote(2n),
      () => update(2n, "u"),
      () => remove(2n),
    ]) {
      expectRefused(again(), errors.memberNotFound);
    }
    await session.reopen();
    expect([session.machine.cluster.isRemoved(2n), session.machine.cluster.isRemoved(1n)]).toEqual([true, false]);
    expectRefused(add(2n), errors.memberNotFound);
    expect(names()).toBe("1");
  });

  test("what is invalid at apply is no change to raft and an error to the proposer", () => {
    add(1n);
    add(2n);
    addLearner(3n);
    expectRefused(add(1n, "http://other:1"), errors.memberExists);
    expectRefused(add(9n, "http://m2:1"), errors.peerUrlExists);
    expectRefused(addLearner(9n, "http://m2:1"), errors.peerUrlExists);
    expectRefused(addLearner(9n), errors.tooManyLearners);
    expectRefused(promote(9n), errors.memberNotFound);
    expectRefused(promote(1n), errors.memberNotLearner);
    expectRefused(update(9n, "http://x:1"), errors.memberNotFound);
    expectRefused(update(1n, "http://m2:1"), errors.peerUrlExists);
    expectRefused(remove(9n), errors.memberNotFound);
    expect(update(1n, "http://m1:1").result.kind).toBe("response");
    expect(names()).toBe("1 2 3*");
    expect(session.machine.confState).toEqual({ voters: [1n, 2n], learners: [3n] });
  });

  test("more learners when the flag allows them", async () => {
    session = await Session.open(2, 2);
    add(1n);
    addLearner(2n);
    addLearner(3n);
    expectRefused(addLearner(4n), errors.tooManyLearners);
    expect(names()).toBe("1 2* 3*");
  });

  test("the last voter stays: a cluster without one could never agree again", () => {
    add(1n);
    addLearner(2n);
    expectRefused(remove(1n), errors.notEnoughStartedMembers);
    expect(remove(2n).confChange).toEqual({ kind: "remove", node: 2n });
  });

  test("contexts and types that make no sense are refused, never thrown at", () => {
    add(1n);
    const at = (type: number, nodeId: bigint, json: string) =>
      session.confChange({ type, nodeId, context: Buffer.from(json), id: 77n });
    for (const json of [
      "",
      "{",
      "[]",
      "null",
      "7",
      '{"id":"2"}',
      '{"id":2.5}',
      '{"id":3,"peerURLs":[]}',
      "\xff\xfe",
      '{"id":2,"peerURLs":["a",1]}',
      '{"id":-2}',
      '{"id":2,"isLearner":1}',
      '{"id":2,"peerURLs":[],"isLearner":true}',
    ]) {
      expectRefused(at(Type.ConfChangeAddNode, 2n, json), errors.malformedEntry);
    }
    expectRefused(at(Type.ConfChangeAddLearnerNode, 2n, '{"id":2}'), errors.malformedEntry);
    expectRefused(at(Type.ConfChangeUpdateNode, 1n, '{"id":2}'), errors.malformedEntry);
    expectRefused(at(9, 2n, '{"id":2}'), errors.malformedEntry);
    expectRefused(at(Type.ConfChangeAddNode, 0n, '{"id":0}'), errors.malformedEntry);
    const { requestId } = at(9, 2n, "");
    expect(requestId).toBe(77n);
    expectRefused(session.apply(new Uint8Array(), 1), errors.malformedEntry);
    expectRefused(session.apply(Buffer.from([0xff]), 1), errors.malformedEntry);
    expectRefused(session.apply(Buffer.from([0xff]), 2), errors.malformedEntry);
    expect(names()).toBe("1");
  });
});

describe("P-22, P-23: what members say of themselves and of the cluster", () => {
  beforeEach(() => {
    add(1n);
    add(BIG, "http://big:1");
  });

  test("cluster_member_attr_set", async () => {
    session.answer({
      clusterMemberAttrSet: {
        memberID: BIG,
        memberAttributes: { name: "n<1>", clientUrls: ["http://c:1", "http://d:1"] },
      },
    });
    expect(session.machine.cluster.member(BIG)).toMatchObject({
      name: "n<1>",
      clientURLs: ["http://c:1", "http://d:1"],
    });
    expect((await rows("members"))["e988c1f577480cd9"]).toBe(
      `{"id":${BIG},"peerURLs":["http://big:1"],"name":"n\\u003c1\\u003e","clientURLs":["http://c:1","http://d:1"]}`,
    );
    remove(BIG);
    const attributes = { memberID: BIG, memberAttributes: { name: "late", clientUrls: [] } };
    expect(session.error({ clusterMemberAttrSet: attributes })).toBe(errors.memberNotFound);
    session.answer({ clusterMemberAttrSet: { memberID: 1n, memberAttributes: undefined } });
  });

  test("X-8, N-8: cluster version, and from 3.6 on the version of the store's format", async () => {
    expect(session.machine.cluster.version).toBeUndefined();
    session.answer({ clusterVersionSet: { ver: "3.5.0" } });
    expect(await rows("cluster")).toEqual({ clusterVersion: "3.5.0" });
    expect((await rows("meta"))["storageVersion"]).toBeUndefined();
    session.answer({ clusterVersionSet: { ver: "3.6.0" } });
    expect((await rows("meta"))["storageVersion"]).toBe("3.6.0");
    await session.reopen();
    expect(session.machine.cluster.version).toBe("3.6.0");
    session.answer({ clusterVersionSet: { ver: "3.5.0" } });
    expect((await rows("meta"))["storageVersion"]).toBeUndefined();
    for (const ver of ["", "3", "3.6", "3.06.0", "a.b.c", "3.6.0-alpha", "3.6.0\n", "99999999.0.0"]) {
      expect(session.error({ clusterVersionSet: { ver } })).toBe(errors.malformedEntry);
    }
    expect(session.machine.cluster.version).toBe("3.5.0");
  });

  test("N-15: downgrade info", async () => {
    expect(session.machine.cluster.downgrade).toEqual({ enabled: false, targetVersion: "" });
    session.answer({ downgradeInfoSet: { enabled: true, ver: "3.5.0" } });
    expect((await rows("cluster"))["downgrade"]).toBe('{"target-version":"3.5.0","enabled":true}');
    await session.reopen();
    expect(session.machine.cluster.downgrade).toEqual({ enabled: true, targetVersion: "3.5.0" });
    session.answer({ downgradeInfoSet: { enabled: false, ver: "3.5.0" } });
    expect((await rows("cluster"))["downgrade"]).toBe('{"target-version":"","enabled":false}');
    session.answer({ downgradeVersionTest: { ver: "3.4.0" } });
  });
});

test("a restart finds members, versions and confState again", async () => {
  add(BIG, "http://a:1", ',"name":"n1"');
  add(5n);
  addLearner(6n);
  session.answer({
    clusterMemberAttrSet: { memberID: 5n, memberAttributes: { name: "ü\u2028", clientUrls: ["http://c:1"] } },
  });
  const before = [session.machine.cluster.members(), session.machine.confState, session.machine.appliedIndex];
  await session.reopen();
  expect([session.machine.cluster.members(), session.machine.confState, session.machine.appliedIndex]).toEqual(before);
});
