import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Inspected, type InspectedLog, inspectMember, judge } from "../../src/server/inspection.ts";
import { type RebuildDeps, rebuildState, type StateSource } from "../../src/server/rebuild.ts";
import { stateFiles } from "../../src/server/state-files.ts";
import { planBolt, writeBolt } from "../../storage/bbolt/writer.ts";
import type { Disk, DiskFile } from "../../storage/disk.ts";
import { openLevelBackend, openLevelShadow } from "../../storage/level-backend.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import { nodeDisk, readOnlyNodeDisk } from "../../storage/node-disk.ts";
import { CONF_STATE, CONSISTENT_INDEX, encodeUint64, memberKey, TERM } from "../../storage/schema.ts";
import { confStateJson, memberJson } from "../../storage/stored-json.ts";
import { createWal, openWal } from "../../storage/wal-log.ts";
import { lookAtWal } from "../../storage/wal-look.ts";
import { batch, entries, METADATA, SMALL, state } from "../storage/wal-fixtures.ts";

const OWN = METADATA.nodeID;
const OTHER = 7n;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "quorate-rebuild-"));
});
afterEach(() => rmSync(root, { recursive: true }));

/** A log of term 3 (term 1 up to 2), whose hard state knows `commit`; cut so that it begins at about `cutAt`. */
async function logOf(name: string, last: number, commit: number, cutAt = 0): Promise<string> {
  const memberDir = join(root, name, "member");
  await nodeDisk.makeDirectory(memberDir);
  const wal = await createWal(nodeDisk, join(memberDir, "wal"), METADATA, batch(entries(1, 2, 1), state(1, 2)), SMALL);
  for (let index = 3; index <= last; index++) {
    await wal.append(batch(entries(index, 1, 3, 200), state(3, Math.min(commit, index), OWN)));
  }
  if (cutAt > 0) await wal.cut(cutAt, 1);
  await wal.close();
  return memberDir;
}

/** What a member's store holds at this point. */
const rows = (index: number, term: number, members: readonly bigint[]) =>
  [
    ...members.map((id) => {
      const record = { id, name: `m${id % 10n}`, peerURLs: [`http://${id}`], clientURLs: [], isLearner: false };
      return ["members", memberKey(id), Buffer.from(memberJson(record))] as const;
    }),
    ["meta", CONSISTENT_INDEX, encodeUint64(index)],
    ["meta", TERM, encodeUint64(term)],
    ["meta", CONF_STATE, Buffer.from(confStateJson({ voters: [...members].sort(), learners: [] }))],
  ] as const;

async function sourceAt(
  index: number,
  term: number,
  options: { members?: readonly bigint[]; clusterId?: bigint; spoil?: boolean } = {},
): Promise<StateSource> {
  const backend = createMemoryBackend();
  for (const [bucket, key, value] of rows(index, term, options.members ?? [OWN, OTHER]))
    backend.put(bucket, key, value);
  const snapshot = backend.snapshot();
  const pieces: Buffer[] = [];
  for await (const piece of writeBolt(await planBolt(snapshot), snapshot)) pieces.push(Buffer.from(piece));
  const file = Buffer.concat(pieces);
  const sent = Buffer.concat([file, createHash("sha256").update(file).digest()]);
  if (options.spoil === true) sent[5000] = (sent[5000] as number) ^ 1;
  return {
    endpoint: `at-${index}`,
    identify: async () => ({ clusterId: options.clusterId ?? METADATA.clusterID, memberId: OTHER }),
    async *fetch() {
      for (let at = 0; at < sent.length; at += 3_000) yield sent.subarray(at, at + 3_000);
    },
    close: () => undefined,
  };
}

/** Its methods, which a spread leaves out. */
function bound(file: DiskFile): DiskFile {
  return {
    size: () => file.size(),
    read: (...args) => file.read(...args),
    write: (...args) => file.write(...args),
    writeSynced: (...args) => file.writeSynced(...args),
    allocate: (...args) => file.allocate(...args),
    sync: () => file.sync(),
    close: () => file.close(),
  };
}

function deps(disk: Disk = nodeDisk, signal = new AbortController().signal): RebuildDeps {
  return { disk, signal, openBackend: (path) => openLevelBackend(path), say: () => undefined, time: "now" };
}

const placesOf = (memberDir: string) => ({ memberDir, walDir: join(memberDir, "wal"), walOptions: SMALL });

/** The state that is in place, and the log that goes on from it. */
async function startable(memberDir: string): Promise<{ applied: number; last: number; start: number; hard: string }> {
  const backend = await openLevelBackend(stateFiles(memberDir).state);
  const numbers = [CONSISTENT_INDEX, TERM].map((key) =>
    Buffer.from(backend.get("meta", key) ?? Buffer.alloc(8)).readUInt32BE(4),
  );
  await backend.close();
  const [index = 0, term = 0] = numbers;
  const replay = await openWal(nodeDisk, join(memberDir, "wal"), { index, term }, SMALL);
  if (replay === undefined) throw new Error("no log");
  await replay.wal.close();
  const { hardState } = replay;
  return {
    applied: index,
    last: replay.wal.lastIndex,
    start: replay.start.index,
    hard: `${hardState.term} ${hardState.vote} ${hardState.commit}`,
  };
}

async function damagedStore(memberDir: string): Promise<void> {
  const backend = await openLevelBackend(stateFiles(memberDir).state);
  backend.put("key", "a", Buffer.from("b"));
  await backend.flush();
  await backend.close();
}

describe("quorate rebuild", () => {
  test("a log that holds the point goes on as it is; the damaged store is put aside", async () => {
    const memberDir = await logOf("a", 20, 12);
    await damagedStore(memberDir);
    const rebuilt = await rebuildState(placesOf(memberDir), [await sourceAt(15, 3)], deps());
    expect(rebuilt).toMatchObject({ memberId: OWN, point: { index: 15, term: 3 }, startsAnew: false });
    expect(rebuilt.aside).toBe(`${memberDir}/state.damaged-now`);
    expect(await startable(memberDir)).toEqual({ applied: 15, last: 20, start: 0, hard: `3 ${OWN} 12` });
    expect(readdirSync(memberDir).sort()).toEqual(["state", "state.damaged-now", "wal"]);
  });

  test("a log that ends before the point, or has another entry there, begins anew behind it and keeps its promises", async () => {
    const short = await logOf("short", 20, 12);
    const rebuilt = await rebuildState(placesOf(short), [await sourceAt(30, 3)], deps());
    expect([rebuilt.startsAnew, rebuilt.aside]).toEqual([true, undefined]);
    expect(await startable(short)).toEqual({ applied: 30, last: 30, start: 30, hard: `3 ${OWN} 30` });

    const other = await logOf("other", 20, 12);
    await rebuildState(placesOf(other), [await sourceAt(15, 5)], deps());
    expect(await startable(other)).toEqual({ applied: 15, last: 15, start: 15, hard: "5 0 15" });
    await expect(rebuildState(placesOf(await logOf("odd", 20, 12)), [await sourceAt(12, 5)], deps())).rejects.toThrow(
      "do not belong to one history",
    );
  });

  test("a log that was cut behind the point: another member is asked, and the end of the cut is enough", async () => {
    const memberDir = await logOf("cut", 80, 80, 60);
    const first = (await lookAtWal(nodeDisk, join(memberDir, "wal"), 0))?.content?.index.first as number;
    expect(first).toBeGreaterThan(20);
    const behind = await sourceAt(first - 2, 3);
    await expect(rebuildState(placesOf(memberDir), [behind], deps())).rejects.toThrow(
      `was cut before entry ${first}: ask a member that is further`,
    );
    const rebuilt = await rebuildState(placesOf(memberDir), [behind, await sourceAt(first - 1, 3)], deps());
    expect(rebuilt).toMatchObject({ from: `at-${first - 1}`, startsAnew: false });
    expect(await startable(memberDir)).toMatchObject({ applied: first - 1, last: 80 });
  });

  test("what is refused leaves the member as it was", async () => {
    const memberDir = await logOf("a", 20, 12);
    await damagedStore(memberDir);
    const refused = async (source: StateSource, why: RegExp | string): Promise<void> => {
      await expect(rebuildState(placesOf(memberDir), [source], deps())).rejects.toThrow(why);
      expect(readdirSync(memberDir).sort()).toEqual(["state", "wal"]);
    };
    await refused(await sourceAt(15, 3, { clusterId: 5n }), "it is of the cluster 5, this member is of cdf8");
    await refused(await sourceAt(15, 3, { members: [OTHER] }), "it knows of no member 1122334455667788");
    await refused(await sourceAt(15, 3, { spoil: true }), "its checksum is not right");
    const interrupted = new AbortController();
    const source = await sourceAt(15, 3);
    const interrupting = {
      ...source,
      async *fetch() {
        yield* source.fetch();
        interrupted.abort(new Error("interrupted"));
      },
    };
    await expect(rebuildState(placesOf(memberDir), [interrupting], deps(nodeDisk, interrupted.signal))).rejects.toThrow(
      "interrupted",
    );
    expect(readdirSync(memberDir).sort()).toEqual(["state", "wal"]);
    await expect(rebuildState(placesOf(join(root, "none", "member")), [await sourceAt(15, 3)], deps())).rejects.toThrow(
      "there is no log of a member",
    );
  });

  test("a log that cannot be written leaves the damaged store where it was", async () => {
    const memberDir = await logOf("a", 20, 12);
    await damagedStore(memberDir);
    const full: Disk = {
      ...nodeDisk,
      open: async (path) => {
        const file = await nodeDisk.open(path);
        const write = (): Promise<void> => Promise.reject(new Error("ENOSPC: no space left on device"));
        return file && path.endsWith(".wal") ? { ...bound(file), write } : file;
      },
    };
    const done = rebuildState(placesOf(memberDir), [await sourceAt(30, 3)], deps(full));
    await expect(done).rejects.toThrow("no space left");
    expect(readdirSync(memberDir).sort()).toEqual(["state", "wal"]);
    const rebuilt = await rebuildState(placesOf(memberDir), [await sourceAt(30, 3)], deps());
    expect([rebuilt.startsAnew, rebuilt.aside]).toEqual([true, `${memberDir}/state.damaged-now`]);
  });
});

describe("quorate inspect", () => {
  const look = (name: string): Promise<Inspected> =>
    inspectMember(
      { dataDir: join(root, name), walDir: join(root, name, "member", "wal") },
      { disk: readOnlyNodeDisk, openStore: openLevelShadow, lockHolder: async () => undefined },
    );
  const withStore = async (memberDir: string, index: number): Promise<void> => {
    const backend = await openLevelBackend(stateFiles(memberDir).state);
    for (const [bucket, key, value] of rows(index, 3, [OWN, OTHER, 8n])) backend.put(bucket, key, value);
    await backend.flush();
    await backend.close();
  };

  test("says what is there, which has the most, and changes nothing", async () => {
    await withStore(await logOf("a", 20, 12), 10);
    await withStore(await logOf("b", 22, 12), 12);
    const before = readdirSync(root, { recursive: true }).sort();
    const a = await look("a");
    expect(a).toMatchObject({
      memberId: OWN,
      clusterId: METADATA.clusterID,
      log: { firstIndex: 1, lastIndex: 20, lastTerm: 3, term: 3, vote: OWN, commit: 12, tornBytes: 0 },
      state: { appliedIndex: 10, appliedTerm: 3, revision: 1 },
      damage: [],
    });
    expect(a.members.map(({ id }) => id)).toEqual([OTHER, 8n, OWN]);
    const verdict = judge([a, await look("b")]);
    expect([verdict.best?.dataDir, verdict.hasQuorum, verdict.remarks]).toEqual([join(root, "b"), false, []]);
    expect(readdirSync(root, { recursive: true }).sort()).toEqual(before);
  });

  test("damage is told with file and offset, and what is damaged is not what to start with", async () => {
    await withStore(await logOf("a", 20, 12), 10);
    const memberDir = await logOf("b", 60, 12);
    await withStore(memberDir, 10);
    const wal = join(memberDir, "wal");
    const segment = join(wal, readdirSync(wal).sort()[2] as string);
    const file = await nodeDisk.open(segment);
    await file?.write(Buffer.from([0xff]), 1_000);
    await file?.close();
    const b = await look("b");
    expect(b.damage).toEqual([expect.stringMatching(new RegExp(`${segment} is damaged at offset \\d+`))]);
    expect(b.log?.lastIndex).toBeGreaterThan(20);
    const verdict = judge([await look("a"), b]);
    expect(verdict.best?.dataDir).toBe(join(root, "a"));
    expect(verdict.remarks).toEqual([expect.stringContaining("has more")]);

    const empty = judge([await look("nowhere")]);
    expect([empty.best, (await look("nowhere")).damage]).toEqual([undefined, ["there is no data of a member here"]]);
  });

  test("a majority that is whole needs no force", async () => {
    const a = { ...(await withLog("a")), memberId: OWN };
    const b = { ...(await withLog("b")), memberId: OTHER };
    expect(judge([a, b]).hasQuorum).toBe(true);
    expect(judge([a, { ...b, clusterId: 1n }]).best).toBeUndefined();
    expect(judge([a, { ...b, runsAs: 5, log: undefined, memberId: undefined }]).remarks).toEqual([
      expect.stringContaining("in use by process 5"),
    ]);

    // A change that may not be committed counts as both: as made, and as not.
    const alone = { ...a, voters: [...a.voters, { index: 20, ids: [OWN] }] };
    expect([judge([alone, b]).hasQuorum, judge([alone]).hasQuorum]).toEqual([true, false]);
    const known = { ...alone, log: { ...alone.log, commit: 20 } as InspectedLog };
    expect(judge([known]).hasQuorum).toBe(true);

    async function withLog(name: string): Promise<Inspected> {
      await withStore(await logOf(name, 20, 12), 10);
      return await look(name);
    }
  });
});
