import { beforeEach, describe, expect, test } from "vitest";
import { type Config, parseConfig } from "../../src/config.ts";
import { PeerCallError, type PeerResponse } from "../../src/peer/transport.ts";
import { type JoinDeps, joinCluster } from "../../src/server/join.ts";
import { memberJson } from "../../storage/stored-json.ts";

/** A running cluster of a and b, to which member 3 at c:1 was added; it starts as c. */
const A = { id: 1n, name: "a", peerURLs: ["http://a:1"], clientURLs: ["http://a:2"], isLearner: false };
const B = { id: 2n, name: "b", peerURLs: ["http://b:1", "http://b:9"], clientURLs: ["http://b:2"], isLearner: false };
const C = { id: 0xffffffffffffffffn, name: "", peerURLs: ["http://c:1"], clientURLs: [], isLearner: true };

type Say = (path: string) => PeerResponse | undefined;
let peers: Map<string, Say>;
let asked: string[];
let hosts: Map<string, string>;
let warnings: string[];

function respond(status: number, body: string, headers: Record<string, string> = {}): PeerResponse {
  return { status, body: Buffer.from(body), headers };
}

function member(members: readonly Parameters<typeof memberJson>[0][], version = "3.6.0", downgrade = "false"): Say {
  return (path) => {
    switch (path) {
      case "/members":
        return respond(200, `[${members.map(memberJson).join()}]\n`, { "x-etcd-cluster-id": "cdf818194e3a8c32" });
      case "/version":
        return respond(200, JSON.stringify({ etcdserver: "3.6.14", etcdcluster: version }));
      case "/downgrade/enabled":
        return respond(200, downgrade);
      default:
        return respond(404, "404 page not found\n");
    }
  };
}

beforeEach(() => {
  asked = [];
  warnings = [];
  hosts = new Map();
  peers = new Map([
    ["http://a:1", member([A, B, C])],
    ["http://b:1", member([A, B, C])],
  ]);
});

const deps: JoinDeps = {
  log: {
    debug: () => undefined,
    info: () => undefined,
    warn: (_fields: object, message: string) => void warnings.push(message),
    error: () => undefined,
  },
  askPeer: async (url, path) => {
    asked.push(url + path);
    const answer = peers.get(url)?.(path);
    if (answer === undefined) throw new PeerCallError(`${url}: nobody there`, false);
    return answer;
  },
  resolveHost: async (host) => hosts.get(host) ?? host,
};

function configOf(cluster: string, ...flags: string[]): Config {
  const parsed = parseConfig(
    ["--name=c", `--initial-cluster=${cluster}`, "--initial-cluster-state=existing", ...flags],
    {},
    () => "",
  );
  if (parsed.kind !== "run") throw new Error(`parsed as ${parsed.kind}`);
  return parsed.config;
}

const ALL = "a=http://a:1,b=http://b:9,b=http://b:1,c=http://c:1";

test("B-2: ids and members come from the cluster, beyond 2^53 too; names meet them by their URLs", async () => {
  expect(await joinCluster(configOf(ALL), deps)).toEqual({
    clusterId: 0xcdf818194e3a8c32n,
    memberId: C.id,
    members: [A, B, C],
  });
  // The names of the command line need not be those of the cluster; only the own one is looked for.
  const others = ALL.replace("a=", "x=").replaceAll("b=", "y=");
  expect((await joinCluster(configOf(others), deps)).memberId).toBe(C.id);
  expect(asked.some((url) => url.startsWith("http://c:1"))).toBe(false);
});

test("a URL's host may be spelt in another way", async () => {
  hosts.set("localhost", "127.0.0.1");
  const local = { ...C, peerURLs: ["http://localhost:7"] };
  peers.set("http://a:1", member([A, B, local]));
  const joined = await joinCluster(configOf(ALL.replace("http://c:1", "http://127.0.0.1:7")), deps);
  expect(joined.memberId).toBe(C.id);
});

test("a member that has not heard of the cluster's version yet says nothing against it", async () => {
  peers.set("http://b:1", member([A, B, C], "not_decided"));
  expect((await joinCluster(configOf(ALL), deps)).memberId).toBe(C.id);
});

test("the first member to be asked is not there, the next has not heard of the new one, the third has", async () => {
  peers.delete("http://a:1");
  peers.set("http://b:1", member([A, B]));
  peers.set("http://b:9", member([A, B, C]));
  expect((await joinCluster(configOf(ALL), deps)).memberId).toBe(C.id);
  expect(asked.slice(0, 3)).toEqual(["http://a:1/members", "http://b:1/members", "http://b:9/members"]);
  expect(warnings).toContain("failed to get cluster response");
});

describe("refused", () => {
  const cases: readonly (readonly [what: string, cluster: string, message: string])[] = [
    ["nobody to ask", "c=http://c:1", "could not retrieve cluster information from the given URLs"],
    ["nobody answers", "x=http://x:1,c=http://c:1", "cannot fetch cluster info from peer urls"],
    ["one too many", `${ALL},d=http://d:1`, "member count is unequal"],
    ["one too few", "a=http://a:1,c=http://c:1", "member count is unequal"],
    ["another in its place", ALL.replace("http://b:9", "http://b:8"), "no match found for existing member (2,"],
  ];
  test.each(cases)("%s", async (_what, cluster, message) => {
    await expect(joinCluster(configOf(cluster), deps)).rejects.toThrow(message);
    await expect(joinCluster(configOf(cluster), deps)).rejects.toThrow("etcdctl member add");
  });

  test.each([
    respond(500, "[]", { "x-etcd-cluster-id": "1" }),
    respond(200, "[]", { "x-etcd-cluster-id": "1" }),
    respond(200, `[${memberJson(A)}]`),
    respond(200, `[${memberJson(A)}]`, { "x-etcd-cluster-id": "xyz" }),
    respond(200, "{", { "x-etcd-cluster-id": "1" }),
    respond(200, '[{"id":-1}]', { "x-etcd-cluster-id": "1" }),
  ])("an answer that is none: %j", async (answer) => {
    peers = new Map([["http://a:1", () => answer]]);
    await expect(joinCluster(configOf(ALL), deps)).rejects.toThrow("could not retrieve cluster information");
  });

  test("a second life under the same id, with and without a vote", async () => {
    for (const isLearner of [true, false]) {
      peers.set("http://a:1", member([A, B, { ...C, isLearner, name: "c", clientURLs: ["http://c:2"] }]));
      await expect(joinCluster(configOf(ALL), deps)).rejects.toThrow("has already been bootstrapped");
    }
  });

  test("P-31: a cluster of a version that this member does not speak, or of none yet", async () => {
    for (const version of ["3.7.0", "2.3.0", "4.0.0"]) {
      peers.set("http://a:1", member([A, B, C], version));
      await expect(joinCluster(configOf(ALL), deps)).rejects.toThrow("incompatible with current running cluster");
    }
    for (const url of ["http://a:1", "http://b:1"]) peers.set(url, member([A, B, C], "not_decided"));
    await expect(joinCluster(configOf(ALL), deps)).rejects.toThrow("its version is not known");
    // One above its own while the cluster is being downgraded; and one member that tells is enough.
    peers.set("http://a:1", member([A, B, C], "3.7.0", "true"));
    peers.delete("http://b:1");
    expect((await joinCluster(configOf(ALL), deps)).memberId).toBe(C.id);
    peers.set("http://a:1", (path) => (path === "/members" ? member([A, B, C])(path) : undefined));
    await expect(joinCluster(configOf(ALL), deps)).rejects.toThrow("its version is not known");
  });
});
