import { beforeEach, describe, expect, test } from "vitest";
import { encode } from "../../proto/codec.ts";
import { ConfChange, ConfChangeType } from "../../proto/generated/raftpb.ts";
import { createRaft, step, takeReady } from "../../raft/raft.ts";
import { ENTRY_CONF_CHANGE, type Entry } from "../../raft/types.ts";
import { type Config, parseConfig } from "../../src/config.ts";
import { PeerCallError } from "../../src/peer/transport.ts";
import { Admission } from "../../src/server/admission.ts";
import { type BootDeps, type Booted, bootstrap } from "../../src/server/bootstrap.ts";
import { hexId } from "../../src/server/ids.ts";
import type { ClusterMember } from "../../src/state/machine.ts";
import { createMemoryBackend, type MemoryBackend } from "../../storage/memory-backend.ts";
import { memberJson } from "../../storage/stored-json.ts";
import { MemoryDisk } from "../storage/memory-disk.ts";
import { batch, chooser, entries, state } from "../storage/wal-fixtures.ts";

const URLS = [1, 2, 3].map((port) => `http://127.0.0.1:${port}`);
const PEERS = URLS.map((url, i) => `${"abc"[i]}=${url}`).join();

let disk: MemoryDisk;
let store: MemoryBackend;
let logged: { readonly fields: object; readonly message: string }[];
/** Peer URLs that answer, with which cluster id. */
let answering: Map<string, string>;

beforeEach(() => {
  disk = new MemoryDisk();
  store = createMemoryBackend();
  logged = [];
  answering = new Map();
});

function configOf(...flags: string[]): Config {
  const parsed = parseConfig(
    [
      "--data-dir=/a",
      "--name=a",
      `--initial-cluster=${PEERS}`,
      `--initial-advertise-peer-urls=${URLS[0]}`,
      `--listen-peer-urls=${URLS[0]}`,
      "--wal-segment-bytes=8192",
      ...flags,
    ],
    {},
    () => "",
  );
  if (parsed.kind !== "run") throw new Error(`parsed as ${parsed.kind}`);
  return parsed.config;
}

const note = (fields: object, message: string): void => void logged.push({ fields, message });

function deps(): BootDeps {
  return {
    disk,
    log: { debug: () => undefined, info: note, warn: note, error: note },
    openBackend: async () => {
      store = store.crash();
      return store;
    },
    askPeer: async (url) => {
      const clusterId = answering.get(url);
      if (clusterId === undefined) throw new PeerCallError("nobody there", false);
      return { status: 200, headers: { "x-etcd-cluster-id": clusterId }, body: Buffer.from("[]") };
    },
    resolveHost: async (host) => host,
  };
}

async function close({ wal, backend, unlock }: Booted): Promise<void> {
  await wal.close();
  await backend.close();
  await unlock();
}

/** Three members founded the cluster; then entries of term 3 up to 20, of which 12 are known to be committed. */
async function ran(apply = 0): Promise<Booted> {
  const booted = await bootstrap(configOf(), deps());
  await booted.wal.append(batch(entries(4, 17, 3), state(3, 12, 7n)));
  for (const entry of [...booted.restored.entries, ...entries(4, 17, 3)].slice(0, apply)) {
    booted.machine.apply(entry, () => false);
  }
  await booted.backend.flush();
  await close(booted);
  return booted;
}

const force = (): Promise<Booted> => bootstrap(configOf("--force-new-cluster"), deps());

const membersOf = ({ ahead }: Booted): bigint[] => ahead.cluster.members().map(({ id }) => id);

/** What raft and the state machine make of it: leads, alone, with everything applied. */
function lead(booted: Booted): void {
  const raft = createRaft(
    {
      id: booted.memberId,
      electionTicks: 10,
      heartbeatTicks: 1,
      preVote: true,
      checkQuorum: true,
      maxMessageBytes: 1e6,
      maxInflight: 8,
      maxInflightBytes: 1e6,
      maxCommittedBytes: 1e6,
      maxUncommittedBytes: 1e6,
      random: () => 0,
    },
    booted.restored,
  );
  let role = "";
  for (let tick = 0; tick < 30; tick++) {
    step(raft, { kind: "tick" });
    for (let ready = takeReady(raft); ready !== undefined; ready = takeReady(raft)) {
      role = ready.softState?.role ?? role;
      if (ready.persist !== undefined) step(raft, { kind: "persisted", seq: ready.persist.seq });
      for (const entry of ready.committed) {
        const { confChange } = booted.machine.apply(entry, () => false);
        if (confChange !== undefined) step(raft, { kind: "confChange", change: confChange });
        step(raft, { kind: "applied", index: entry.index });
      }
    }
  }
  expect(role).toBe("leader");
  expect(booted.machine.confState).toEqual({ voters: [booted.memberId], learners: [] });
}

describe("--force-new-cluster", () => {
  test.each([0, 5, 12, 20])(
    "keeps the whole log as committed and removes the others (applied: %i)",
    async (applied) => {
      const { memberId, clusterId } = await ran(applied);
      const booted = await force();
      expect([booted.memberId, booted.clusterId]).toEqual([memberId, clusterId]);
      expect(booted.restored.hardState).toEqual({ term: 1_003, vote: memberId, commit: 22 });
      expect(booted.restored.entries.slice(-2)).toMatchObject([
        { type: ENTRY_CONF_CHANGE, term: 1_003, index: 21 },
        { type: ENTRY_CONF_CHANGE, term: 1_003, index: 22 },
      ]);
      expect(membersOf(booted)).toEqual([memberId]);
      expect(booted.forcedBehind).toEqual({ index: 20, term: 3 });
      expect(booted.isFounding).toBe(false);
      expect(logged.map(({ message }) => message)).toEqual([expect.stringContaining("forcing a new cluster")]);
      lead(booted);
      expect(booted.machine.cluster.removed()).toHaveLength(2);
      await close(booted);

      // It is on the disk: the next start needs no flag, and the flag does nothing.
      disk = disk.crash(() => 0);
      logged = [];
      const again = await bootstrap(configOf(), deps());
      expect(again.restored.hardState).toEqual(booted.restored.hardState);
      expect(membersOf(again)).toEqual([memberId]);
      await close(again);
      const flagged = await force();
      expect(flagged.restored.hardState).toEqual(booted.restored.hardState);
      expect(flagged.forcedBehind).toBeUndefined();
      expect(logged.map(({ message }) => message)).toEqual([expect.stringContaining("a cluster of one already")]);
      await close(flagged);
    },
  );

  test("a learner becomes the voter first", async () => {
    const { memberId, clusterId } = await bootstrap(configOf(), deps());
    disk = new MemoryDisk();
    store = createMemoryBackend();
    answering.set(URLS[1] as string, hexId(clusterId));
    const joining = { ...deps() };
    const list = `[${memberJson({ id: memberId, name: "", peerURLs: [URLS[0] as string], clientURLs: [], isLearner: true })},{"id":7,"peerURLs":["${URLS[1]}"]}]`;
    joining.askPeer = async (_url, path) => ({
      status: 200,
      headers: { "x-etcd-cluster-id": hexId(clusterId) },
      body: Buffer.from(path === "/members" ? list : path === "/version" ? '{"etcdcluster":"3.6.0"}' : "false"),
    });
    const two = `--initial-cluster=a=${URLS[0]},b=${URLS[1]}`;
    const booted = await bootstrap(configOf("--initial-cluster-state=existing", two), joining);
    const added = (index: number, id: bigint, url: string, isLearner: boolean): Entry => ({
      type: ENTRY_CONF_CHANGE,
      term: 2,
      index,
      data: encode(
        ConfChange,
        ConfChange.create({
          type: isLearner ? ConfChangeType.ConfChangeAddLearnerNode : ConfChangeType.ConfChangeAddNode,
          nodeId: id,
          context: Buffer.from(memberJson({ id, name: "", peerURLs: [url], clientURLs: [], isLearner })),
        }),
      ),
    });
    const log = [added(1, 7n, URLS[1] as string, false), added(2, memberId, URLS[0] as string, true)];
    await booted.wal.append(batch(log.slice(0, 1), state(2, 1)));
    await close(booted);
    answering.clear();
    await expect(force()).rejects.toThrow("its log does not reach its own addition");

    const more = await bootstrap(configOf(), deps());
    await more.wal.append(batch(log.slice(1), state(2, 2)));
    await close(more);
    const forced = await force();
    expect(forced.restored.hardState.commit).toBe(4);
    lead(forced);
  });

  test("without data, and of a member that was removed: refused, nothing changed", async () => {
    await expect(force()).rejects.toThrow("there is no log of one in /a/member/wal");
    expect(await disk.list("/")).toEqual([]);
    const { memberId } = await ran();
    const booted = await bootstrap(configOf(), deps());
    const data = encode(ConfChange, ConfChange.create({ type: ConfChangeType.ConfChangeRemoveNode, nodeId: memberId }));
    await booted.wal.append(batch([{ type: ENTRY_CONF_CHANGE, term: 3, index: 21, data }]));
    await close(booted);
    await expect(force()).rejects.toThrow("it was removed from its cluster");
    await close(await bootstrap(configOf(), deps()));
  });

  test("while a quorum answers: refused; one of five, or another cluster there, is none", async () => {
    const { clusterId } = await ran();
    answering.set(URLS[1] as string, hexId(clusterId));
    await expect(force()).rejects.toThrow("the quorum is not lost");
    answering.set(URLS[1] as string, "abc");
    await close(await force());
  });

  test("while a quorum of the members before a change that is not committed answers, or after it: refused", async () => {
    const { memberId, clusterId, ahead } = await ran();
    const others = ahead.cluster.members().filter(({ id }) => id !== memberId);
    const [second, third] = others as [ClusterMember, ClusterMember];
    const add: Partial<ConfChange> = {
      type: ConfChangeType.ConfChangeAddNode,
      nodeId: 99n,
      context: Buffer.from(
        memberJson({ id: 99n, name: "", peerURLs: ["http://127.0.0.1:9"], clientURLs: [], isLearner: false }),
      ),
    };
    const remove = { type: ConfChangeType.ConfChangeRemoveNode, nodeId: third.id };
    const before = { disk, store };
    for (const [change, answers] of [
      // Two of the three that it was before; of the four that it would be, two would be too few.
      [add, second],
      // It would not even be asked.
      [remove, third],
    ] as const) {
      disk = before.disk.crash(() => 0);
      store = before.store;
      answering.clear();
      const booted = await bootstrap(configOf(), deps());
      const data = encode(ConfChange, ConfChange.create(change));
      await booted.wal.append(batch([{ type: ENTRY_CONF_CHANGE, term: 3, index: 21, data }]));
      await close(booted);
      answering.set(answers.peerURLs[0] as string, hexId(clusterId));
      await expect(force()).rejects.toThrow(`the quorum is not lost: ${hexId(answers.id)}`);
      answering.clear();
      await close(await force());
    }
  });

  test("who joined after a force and crashes while it gets those entries starts as ever", async () => {
    const { restored: founded } = await ran(5);
    const whole = await force();
    const written = whole.restored.entries;
    await close(whole);
    disk = new MemoryDisk();
    store = createMemoryBackend();
    const list = `[{"id":7,"peerURLs":["${URLS[1]}"]},{"id":8,"peerURLs":["${URLS[0]}"]}]`;
    const joining = {
      ...deps(),
      askPeer: async (_url: string, path: string) => ({
        status: 200,
        headers: { "x-etcd-cluster-id": hexId(whole.clusterId) },
        body: Buffer.from(path === "/members" ? list : path === "/version" ? '{"etcdcluster":"3.6.0"}' : "false"),
      }),
    };
    const two = `--initial-cluster=a=${URLS[0]},b=${URLS[1]}`;
    const booted = await bootstrap(configOf("--initial-cluster-state=existing", two), joining);
    expect(booted.memberId).toBe(8n);
    const log = [...founded.entries, ...entries(4, 17, 3), ...written.slice(-2)];
    await booted.wal.append({ hardState: undefined, entries: log.slice(0, -1), mustSync: true });
    await close(booted);
    const again = await bootstrap(configOf(), deps());
    expect(again.restored.entries).toHaveLength(21);
    await close(again);
  });

  test("a crash at any operation leaves a member that starts, and that the flag makes what it was to become", async () => {
    const { memberId } = await ran(5);
    const before = disk.crash(() => 0);
    for (let at = 1; ; at++) {
      let isOver = false;
      for (const seed of [1, 2, 3]) {
        disk = before.crash(() => 0);
        let operations = 0;
        disk.before = () => {
          if (++operations > at) throw new Error("power failure");
        };
        const done = await force().then(
          () => true,
          () => false,
        );
        isOver ||= done;
        const choose = chooser(1_000 * at + seed);
        const survivor = disk.crash(choose);
        disk = survivor.crash(() => 0);
        const plain = await bootstrap(configOf(), deps()).catch((error: unknown) => error);
        if (plain instanceof Error) {
          expect(done).toBe(false);
          expect(plain.message).toMatch(/start this member with --force-new-cluster once more/);
        } else {
          const booted = plain as Booted;
          expect(booted.restored.entries.at(-1)?.index).toBeGreaterThanOrEqual(20);
          if (done) expect(membersOf(booted)).toEqual([memberId]);
        }
        disk = survivor;
        const forced = await force();
        expect(membersOf(forced)).toEqual([memberId]);
        expect(forced.restored.entries.map(({ index }) => index).slice(0, 15)).toEqual(
          Array.from({ length: 15 }, (_, i) => 6 + i),
        );
        lead(forced);
      }
      if (isOver) break;
    }
  });

  test("without the flag a log that ends in a part of that one write is refused; with it, it is done", async () => {
    const { memberId } = await ran(5);
    const whole = await force();
    const written = whole.restored.entries.slice(-2);
    await close(whole);
    // As a tear leaves it: an entry, and not the hard state behind it.
    disk = new MemoryDisk();
    store = createMemoryBackend();
    await ran(5);
    const booted = await bootstrap(configOf(), deps());
    await booted.wal.append({ hardState: undefined, entries: written.slice(0, 1), mustSync: true });
    await close(booted);
    await expect(bootstrap(configOf(), deps())).rejects.toThrow(/ends within what --force-new-cluster began to write/);
    expect(membersOf(await force())).toEqual([memberId]);
  });

  test("who was removed is refused before its removal is applied, and a stranger is no member", async () => {
    const { memberId } = await ran(5);
    const booted = await force();
    const others = booted.machine.cluster.members().filter(({ id }) => id !== memberId);
    const admission = new Admission(memberId, booted.machine, booted.ahead);
    for (const { id } of others) {
      expect(booted.machine.cluster.isRemoved(id)).toBe(false);
      expect([admission.isRemoved(id), admission.admits(id)]).toEqual([true, false]);
    }
    expect([admission.isRemoved(99n), admission.admits(99n)]).toEqual([false, false]);
    // Before the flag it was one of three: then a stranger may be a member that it has not heard of.
    const plain = new Admission(memberId, booted.machine, { index: 0, cluster: booted.machine.cluster });
    expect([plain.isRemoved(99n), plain.admits(99n)]).toEqual([false, true]);
  });
});

test("a state store that is gone, and a log that was cut: the error names the way", async () => {
  await ran(20);
  const booted = await bootstrap(configOf(), deps());
  for (let index = 21; index < 120; index++) {
    await booted.wal.append(batch(entries(index, 1, 3, 300), state(3, index, 7n)));
  }
  await booted.wal.cut(110, 1);
  expect(booted.wal.firstIndex).toBeGreaterThan(21);
  await close(booted);
  await expect(bootstrap(configOf(), deps())).rejects.toThrow(
    /begins at entry \d+, and the state store ends at entry 20/,
  );
  store = createMemoryBackend();
  await expect(bootstrap(configOf(), deps())).rejects.toThrow(
    /the state store is missing or new\..*quorate rebuild --data-dir DATA-DIR --endpoints/,
  );
});
