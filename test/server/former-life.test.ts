import { describe, expect, test } from "vitest";
import { encode } from "../../proto/codec.ts";
import { InternalRaftRequest } from "../../proto/generated/etcdserverpb.ts";
import { ENTRY_NORMAL, type Entry } from "../../raft/types.ts";
import { PeerCallError, type PeerResponse, type PeerTransport } from "../../src/peer/transport.ts";
import { FormerLife, withAnnounced } from "../../src/server/former-life.ts";
import { type MemberRecord, memberJson } from "../../storage/stored-json.ts";
import { FakeEnv } from "./fake-env.ts";

const OTHERS = [2n, 3n];

/** Peers that are down until they are given an answer. */
function setUp() {
  const env = new FakeEnv();
  const answers = new Map<bigint, PeerResponse>();
  const refused: unknown[] = [];
  const request: PeerTransport["request"] = async (id) => {
    const answer = answers.get(id);
    if (answer === undefined) throw new PeerCallError("connection refused", false);
    return answer;
  };
  const nothing = (): void => undefined;
  const formerLife = new FormerLife({
    env,
    log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
    transport: () => ({ request }) as PeerTransport,
    electionMs: 1_000,
    isFounding: true,
    peers: OTHERS,
    check: (members) => {
      if (members.some(({ id, clientURLs }) => id === 1n && clientURLs.length > 0)) throw new Error("has run");
    },
    onRefused: (reason) => refused.push(reason),
  });
  const knows = (id: bigint, clientURLs: readonly string[]): void => {
    const row = memberJson({ id: 1n, name: "m1", peerURLs: ["http://m1"], clientURLs, isLearner: false });
    answers.set(id, { status: 200, headers: {}, body: Buffer.from(`[${row}]`) });
  };
  return { env, answers, refused, formerLife, knows };
}

describe("B-1: a member with nothing but the founding in its log", () => {
  test("listens to a peer only when that peer has said that it knows of no former life", async () => {
    const { env, refused, formerLife, knows } = setUp();
    formerLife.start();
    await env.advance(1_000);
    expect(OTHERS.map((id) => formerLife.admits(id))).toEqual([false, false]);
    knows(3n, []);
    await env.advance(250);
    expect(OTHERS.map((id) => formerLife.admits(id))).toEqual([false, true]);
    knows(2n, []);
    await env.advance(250);
    expect(OTHERS.map((id) => formerLife.admits(id))).toEqual([true, true]);
    expect(refused).toEqual([]);
  });

  test("ends when any of them knows that it has run before, however late that one comes", async () => {
    const { env, refused, formerLife, knows } = setUp();
    formerLife.start();
    knows(2n, []);
    await env.advance(60_000);
    knows(3n, ["http://m1:2379"]);
    await env.advance(250);
    expect(refused).toEqual([new Error("has run")]);
    expect(formerLife.admits(3n)).toBe(false);
  });

  // Three founders of which the third comes when the others have long begun. Whoever of them asks it last hears that it
  // knows their client URLs, from the log that the first sent it meanwhile.
  test("who comes late and knows what this life has announced is no witness of a former one", async () => {
    const { env, refused, formerLife, knows } = setUp();
    formerLife.start();
    knows(2n, []);
    await env.advance(250);
    expect(formerLife.mayAnnounce([])).toBe(true);
    knows(3n, ["http://m1:2379"]);
    await env.advance(1_000);
    expect([refused, formerLife.admits(3n)]).toEqual([[], true]);
  });

  test("what the log says of it when it is about to announce itself is of a former life", async () => {
    const { env, refused, formerLife, knows } = setUp();
    formerLife.start();
    knows(2n, []);
    await env.advance(250);
    const own = { id: 1n, name: "m1", peerURLs: ["http://m1"], clientURLs: ["http://m1:2379"], isLearner: false };
    expect(formerLife.mayAnnounce([own])).toBe(false);
    expect(refused).toEqual([new Error("has run")]);
  });

  test("takes no nonsense for an answer, and asks nobody any more once stopped", async () => {
    const { env, answers, refused, formerLife, knows } = setUp();
    formerLife.start();
    answers.set(2n, { status: 503, headers: {}, body: Buffer.from("[]") });
    answers.set(3n, { status: 200, headers: {}, body: Buffer.from("<html>") });
    await env.advance(5_000);
    expect(OTHERS.map((id) => formerLife.admits(id))).toEqual([false, false]);
    formerLife.stop();
    knows(2n, ["http://m1:2379"]);
    await env.advance(5_000);
    expect([refused, formerLife.admits(2n)]).toEqual([[], false]);
  });

  test("P-20: who announced itself in an entry that is not applied yet counts as one that has run", () => {
    const member = (id: bigint, clientURLs: readonly string[]): MemberRecord => ({
      id,
      name: `m${id}`,
      peerURLs: [`http://m${id}`],
      clientURLs,
      isLearner: false,
    });
    const announces = (memberID: bigint): Entry => {
      const clusterMemberAttrSet = { memberID, memberAttributes: { name: "m", clientUrls: [`http://c${memberID}`] } };
      const data = encode(InternalRaftRequest, InternalRaftRequest.create({ ID: 7n, clusterMemberAttrSet }));
      return { type: ENTRY_NORMAL, term: 2, index: 5, data };
    };
    const empty: Entry = { type: ENTRY_NORMAL, term: 2, index: 4, data: Buffer.alloc(0) };
    const applied = [member(1n, []), member(2n, ["http://c2"]), member(3n, [])];
    expect(withAnnounced(applied, () => [empty, announces(1n), announces(2n)])).toEqual([
      member(1n, ["http://c1"]),
      member(2n, ["http://c2"]),
      member(3n, []),
    ]);
  });

  test("a member with more in its log listens to everybody", () => {
    expect(setUp().formerLife.admits(9n)).toBe(true);
  });
});
