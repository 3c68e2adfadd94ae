import { posix } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { type Config, parseConfig } from "../../src/config.ts";
import { PeerCallError } from "../../src/peer/transport.ts";
import { type BootDeps, bootstrap } from "../../src/server/bootstrap.ts";
import type { Backend } from "../../storage/backend.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import { CONSISTENT_INDEX, encodeUint64, TERM } from "../../storage/schema.ts";
import { WalDamagedError } from "../../storage/wal.ts";
import { MemoryDisk } from "../storage/memory-disk.ts";
import { batch, entries, state } from "../storage/wal-fixtures.ts";

const PEERS = ["a=http://127.0.0.1:1", "b=http://127.0.0.1:2"].join();
const SEGMENT = "/a/member/wal/0000000000000000-0000000000000000.wal";

let disk: MemoryDisk;
let logged: string[];
let backends: Backend[];
let closed: number;
let applied: { readonly index: number; readonly term: number };
let members: string;

beforeEach(() => {
  disk = new MemoryDisk();
  logged = [];
  backends = [];
  closed = 0;
  applied = { index: 0, term: 0 };
  members = "";
});

function configOf(...flags: string[]): Config {
  const parsed = parseConfig(
    [
      "--data-dir=/a",
      "--name=a",
      `--initial-cluster=${PEERS}`,
      "--initial-advertise-peer-urls=http://127.0.0.1:1",
      "--listen-peer-urls=http://127.0.0.1:1",
      ...flags,
    ],
    {},
    () => "",
  );
  if (parsed.kind !== "run") throw new Error(`parsed as ${parsed.kind}`);
  return parsed.config;
}

const note = (_fields: object, message: string): void => void logged.push(message);

function bodyOf(path: string): string {
  return path === "/version" ? '{"etcdcluster":"3.6.0"}' : path === "/members" ? members : "false";
}

function deps(): BootDeps {
  return {
    disk,
    log: { debug: note, info: note, warn: note, error: note } as unknown as BootDeps["log"],
    openBackend: async (path) => {
      await disk.makeDirectory(path);
      const backend = createMemoryBackend();
      backend.put("meta", CONSISTENT_INDEX, encodeUint64(applied.index));
      backend.put("meta", TERM, encodeUint64(applied.term));
      const close = backend.close.bind(backend);
      backend.close = async () => {
        closed++;
        await close();
      };
      backends.push(backend);
      return backend;
    },
    askPeer: async (_url, path) => {
      if (members === "") throw new PeerCallError("nobody there", false);
      return { status: 200, headers: { "x-etcd-cluster-id": "abc" }, body: Buffer.from(bodyOf(path)) };
    },
    resolveHost: async (host) => host,
  };
}

/** A member that ran: entries up to `last` of term 2 behind the two of the start. */
async function ran(last: number): Promise<void> {
  const { wal, backend, unlock } = await bootstrap(configOf(), deps());
  await wal.append(batch(entries(3, last - 3, 2), state(2, 2)));
  await wal.append(batch(entries(last, 1, 2)));
  await wal.close();
  await backend.close();
  await unlock();
  closed = 0;
  logged = [];
}

async function names(path: string): Promise<readonly string[]> {
  return (await disk.list(path)).map((name) => posix.basename(name));
}

describe("a log that is not the state store's", () => {
  test("the last write looks torn, but the store has it: refused, nothing changed, nothing called unacknowledged", async () => {
    await ran(6);
    const content = disk.peek(SEGMENT);
    let end = content.length;
    while (content[end - 1] === 0) end--;
    disk.poke(SEGMENT, (bytes) => bytes.fill(0, end - 3));
    const torn = disk.peek(SEGMENT);
    applied = { index: 6, term: 2 };
    const failed = bootstrap(configOf(), deps());
    await expect(failed).rejects.toThrow(WalDamagedError);
    await expect(failed).rejects.toThrow(/do not belong together.*--wal-dir.*The log was not changed/s);
    expect(disk.peek(SEGMENT).equals(torn)).toBe(true);
    expect(logged).toEqual([]);
    expect(closed).toBe(1);

    // What the store does not have may be a torn write.
    applied = { index: 3, term: 2 };
    const booted = await bootstrap(configOf(), deps());
    expect(booted.restored.before).toEqual({ index: 3, term: 2 });
    expect(logged).toEqual([expect.stringContaining("cut off a torn write")]);
  });

  test("long enough, but with another entry where the store ends", async () => {
    await ran(6);
    const before = disk.peek(SEGMENT);
    applied = { index: 5, term: 3 };
    await expect(bootstrap(configOf(), deps())).rejects.toThrow("its entry 5 is of term 2, that of the state store of");
    expect(disk.peek(SEGMENT).equals(before)).toBe(true);
    applied = { index: 5, term: 2 };
    expect((await bootstrap(configOf(), deps())).restored.applied).toBe(5);
  });

  test("none at all: refused without making a directory for one", async () => {
    await ran(6);
    applied = { index: 5, term: 2 };
    await expect(bootstrap(configOf("--wal-dir=/other"), deps())).rejects.toThrow("there is no log in /other");
    expect(await names("/")).toEqual(["a"]);
  });
});

describe("locks", () => {
  test("two members with one --wal-dir: the second is refused, and may start when the first has ended", async () => {
    const first = await bootstrap(configOf("--wal-dir=/wal"), deps());
    const second = configOf("--data-dir=/b", "--wal-dir=/wal");
    await expect(bootstrap(second, deps())).rejects.toThrow("EBUSY: /wal/lock");
    await first.wal.close();
    await first.backend.close();
    await first.unlock();
    const later = await bootstrap(second, deps());
    await later.unlock();
  });

  test("a claim in the WAL directory is no log", async () => {
    await disk.makeDirectory("/wal");
    await (await disk.create("/wal/lock.x-x-1-x")).close();
    const { wal } = await bootstrap(configOf("--wal-dir=/wal"), deps());
    expect(wal.lastIndex).toBe(2);
  });

  test("a start that fails gives everything back", async () => {
    members = `[{"id":${(await bootstrap(configOf(), deps())).memberId},"peerURLs":[],"clientURLs":["http://x"]}]`;
    disk = new MemoryDisk();
    backends = [];
    await expect(bootstrap(configOf(), deps())).rejects.toThrow("has already been bootstrapped");
    expect([await names("/"), backends]).toEqual([[], []]);
    // The same with what a crash in the middle of a first start has left.
    await disk.makeDirectory("/a/member/state");
    await (await disk.create("/a/member/state/LOG")).close();
    await expect(bootstrap(configOf(), deps())).rejects.toThrow("has already been bootstrapped");
    expect(closed).toBe(1);
    members = "";
    await bootstrap(configOf(), deps());
  });
});

test.each(['[{"id":1,"peerURLs":7}]', "[7]", "[null]", "{}", "x"])(
  "a peer that answers %s does not matter",
  async (answer) => {
    members = answer;
    expect((await bootstrap(configOf(), deps())).wal.lastIndex).toBe(2);
    expect(logged).toEqual(["could not ask a peer for its members"]);
  },
);

test("B-2, P-31: a joining member starts with an empty log and the ids that the cluster gave it, and keeps them", async () => {
  members =
    '[{"id":18446744073709551615,"peerURLs":["http://127.0.0.1:1"]},{"id":7,"peerURLs":["http://127.0.0.1:2"]}]';
  const joining = configOf("--initial-cluster-state=existing");
  const first = await bootstrap(joining, deps());
  expect([first.memberId, first.clusterId]).toEqual([0xffffffffffffffffn, 0xabcn]);
  expect(first.joined.map(({ id }) => id)).toEqual([0xffffffffffffffffn, 7n]);
  expect(first.restored).toMatchObject({
    hardState: { term: 0, vote: 0n, commit: 0 },
    confState: { voters: [], learners: [] },
    entries: [],
    storedFrom: 1,
  });
  await first.wal.close();
  await first.unlock();

  // Killed before anything came: nobody is asked again (B-3), and what the leader sends is taken.
  members = "";
  const second = await bootstrap(joining, deps());
  expect([second.memberId, second.clusterId, second.joined]).toEqual([0xffffffffffffffffn, 0xabcn, []]);
  expect(second.restored).toEqual(first.restored);
  await second.wal.append(batch(entries(1, 3, 5), state(5, 2)));
  await second.wal.close();
  await second.unlock();
  const third = await bootstrap(joining, deps());
  expect(third.restored.entries.map(({ index }) => index)).toEqual([1, 2, 3]);
});

test.each([
  ["--name=c", "couldn't find local name"],
  ["--initial-cluster-state=existing", "cannot fetch cluster info from peer urls"],
])("a first start with %s leaves nothing behind", async (flag, message) => {
  await expect(bootstrap(configOf(flag), deps())).rejects.toThrow(message);
  expect(await names("/")).toEqual([]);
  expect(backends).toEqual([]);
});
