import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { type Config, parseConfig } from "../../src/config.ts";
import { PeerCallError } from "../../src/peer/transport.ts";
import { type Booted, bootstrap } from "../../src/server/bootstrap.ts";
import { type RebuildDeps, rebuildState, type StateSource } from "../../src/server/rebuild.ts";
import type { Backend } from "../../storage/backend.ts";
import { CONF_STATE, CONSISTENT_INDEX, encodeUint64, memberKey, TERM } from "../../storage/schema.ts";
import { confStateJson, memberJson } from "../../storage/stored-json.ts";
import { createWal } from "../../storage/wal-log.ts";
import { SimStores } from "../simulator/sim-stores.ts";
import { sourceOf, writtenFile } from "../storage/bolt-files.ts";
import { MemoryDisk } from "../storage/memory-disk.ts";
import { batch, chooser, entries, METADATA, state } from "../storage/wal-fixtures.ts";

const OWN = METADATA.nodeID;
const OTHER = 7n;
const MEMBER_DIR = "/a/member";
const WAL_DIR = `${MEMBER_DIR}/wal`;
const DAMAGED = `${MEMBER_DIR}/state/DAMAGED`;
const LAST = 20;

const config: Config = (() => {
  const parsed = parseConfig(["--data-dir=/a", "--name=a", "--wal-segment-bytes=8192"], {}, () => "");
  if (parsed.kind !== "run") throw new Error(`parsed as ${parsed.kind}`);
  return parsed.config;
})();
const walOptions = { segmentBytes: config.walSegmentBytes };

/** Another member at this point of the history. */
async function sourceAt(index: number): Promise<StateSource> {
  const member = (id: bigint) => ({ id, name: `m${id}`, peerURLs: [`http://${id}`], clientURLs: [], isLearner: false });
  const file = await writtenFile(
    sourceOf({
      members: [OTHER, OWN].map((id) => [memberKey(id), Buffer.from(memberJson(member(id)))] as const),
      meta: [
        [CONF_STATE, Buffer.from(confStateJson({ voters: [OTHER, OWN], learners: [] }))],
        [CONSISTENT_INDEX, encodeUint64(index)],
        [TERM, encodeUint64(3)],
      ],
    }),
  );
  return {
    endpoint: "other",
    identify: async () => ({ clusterId: METADATA.clusterID, memberId: OTHER }),
    async *fetch() {
      yield file;
      yield createHash("sha256").update(file).digest();
    },
    close: () => undefined,
  };
}

/** The member's machine; its store says that it is damaged for as long as the directory has a file of that name. */
class Machine {
  readonly disk: MemoryDisk;
  readonly #stores: SimStores;

  constructor(disk: MemoryDisk, stores = new SimStores()) {
    this.disk = disk;
    this.#stores = stores;
  }

  /** After a power failure; `choose` as MemoryDisk.crash. */
  crash(choose: (n: number) => number): Machine {
    return new Machine(this.disk.crash(choose), this.#stores);
  }

  readonly openBackend = async (path: string): Promise<Backend> => {
    if ((await this.disk.open(`${path}/DAMAGED`)) !== undefined) throw new Error("the state store is damaged");
    return await this.#stores.open(this.disk, path, {});
  };

  async rebuild(source: StateSource, time: string): Promise<void> {
    const { disk, openBackend } = this;
    const { signal } = new AbortController();
    const deps: RebuildDeps = { disk, openBackend, signal, time, say: () => undefined };
    await rebuildState({ memberDir: MEMBER_DIR, walDir: WAL_DIR, walOptions }, [source], deps);
  }

  async start(): Promise<Booted> {
    const ignore = (): void => undefined;
    return await bootstrap(config, {
      disk: this.disk,
      log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
      openBackend: this.openBackend,
      askPeer: async () => {
        throw new PeerCallError("nobody there", false);
      },
      resolveHost: async (host) => host,
    });
  }
}

async function damagedMember(): Promise<Machine> {
  const machine = new Machine(new MemoryDisk());
  const { disk } = machine;
  await disk.makeDirectory(MEMBER_DIR);
  const wal = await createWal(disk, WAL_DIR, METADATA, batch(entries(1, 2, 1), state(1, 2)), walOptions);
  await wal.append(batch(entries(3, LAST - 2, 3), state(3, 12, OWN)));
  await wal.close();
  await (await machine.openBackend(`${MEMBER_DIR}/state`)).close();
  const mark = await disk.create(DAMAGED);
  await mark.sync();
  await mark.close();
  await disk.syncDirectory(`${MEMBER_DIR}/state`);
  await disk.syncDirectory(MEMBER_DIR);
  return machine;
}

/** What it goes on from, and what it has promised. */
async function told(machine: Machine): Promise<unknown> {
  const booted = await machine.start();
  const { applied, hardState, entries: kept, before } = booted.restored;
  await booted.wal.close();
  await booted.backend.close();
  await booted.unlock();
  return { applied, term: hardState.term, vote: hardState.vote, last: kept.at(-1)?.index ?? before.index };
}

test.each([
  ["goes on", 15, { applied: 15, term: 3, vote: OWN, last: LAST }],
  ["begins anew", 30, { applied: 30, term: 3, vote: OWN, last: 30 }],
])(
  "a power failure at any operation leaves a member that starts with all it promised, or says why not and can be rebuilt (the log %s)",
  async (_, point, whole) => {
    const origin = await damagedMember();
    const source = await sourceAt(point);
    const seen = new Set<string>();
    for (let at = 1, isOver = false; !isOver; at++) {
      for (const seed of [1, 2, 3]) {
        const machine = origin.crash(() => 0);
        let operations = 0;
        machine.disk.before = () => {
          if (++operations > at) throw new Error("power failure");
        };
        const done = await machine.rebuild(source, "now").then(
          () => true,
          () => false,
        );
        isOver ||= done;
        const survivor = machine.crash(chooser(1_000 * at + seed));
        const plain = await told(survivor.crash(() => 0)).catch((error: unknown) => error);
        if (plain instanceof Error) {
          expect(done).toBe(false);
          // Refused: nothing that it has is wrong, and it says what is missing.
          expect(plain.message).toMatch(/state store is damaged|and the state store is missing or new/);
          seen.add("refused");
        } else if ((plain as { applied: number }).applied === 0) {
          // The store is aside, and none in its place yet: made anew from the log, which is whole.
          expect(plain).toEqual({ ...whole, applied: 0, last: LAST });
          seen.add("from the log");
        } else {
          expect(plain).toEqual(whole);
          seen.add("rebuilt");
        }
        await survivor.rebuild(source, "again");
        expect(await told(survivor)).toEqual(whole);
      }
    }
    expect(seen).toContain("refused");
    expect(seen).toContain("rebuilt");
  },
);
