/**
 * quorate rebuild: a member whose state store is damaged, or gone, and whose log is sound, gets the state of another
 * member of its cluster.
 *
 * Why that is safe. A member's promises are in its log: term, vote, and the entries that it acknowledged. They stay as
 * they are. The state is no promise but a consequence: what came of the committed entries up to some point C, the same on
 * every member. So whoever has a log that holds C goes on from there. One whose log ends before C, or has an entry of
 * another term there, never had what was committed at C, and its own entries from there on (if any) were never committed;
 * it starts its log anew behind C, as with a snapshot that a leader sends, and keeps term and vote. A log that begins
 * behind C was cut, because this member's own store was further than that; what lies between is nowhere here.
 */
import { createHash } from "node:crypto";
import type { Backend } from "../../storage/backend.ts";
import type { BoltReader } from "../../storage/bbolt/reader.ts";
import type { Disk, DiskFile } from "../../storage/disk.ts";
import { memberKey, successor } from "../../storage/schema.ts";
import type { LogPoint, WalOptions } from "../../storage/wal.ts";
import { openWal } from "../../storage/wal-log.ts";
import { lookAtWal, readWalStart } from "../../storage/wal-look.ts";
import type { LogContent } from "../../storage/wal-replay.ts";
import { hexId } from "./ids.ts";
import { dropUntaken, nameState, putAside, replaceState, settleState, stateFiles, takeBack } from "./state-files.ts";
import { adoptStore, FILE_HASH_BYTES, isOfFile, openStoreFile, pointOfFile } from "./store-file.ts";

/** Why it cannot be. Everything is as it was, but what an interrupted attempt had left is gone. */
export class RebuildError extends Error {
  override readonly name = "RebuildError";
}

/** A running member, as a client sees it. Whatever it rejects with says why its state cannot be had. */
export interface StateSource {
  readonly endpoint: string;
  identify(): Promise<{ readonly clusterId: bigint; readonly memberId: bigint }>;
  /** Its database file, and the SHA-256 of that behind it. */
  fetch(): AsyncIterable<Uint8Array>;
  close(): void;
}

export interface RebuildDeps {
  readonly disk: Disk;
  readonly openBackend: (path: string) => Promise<Backend>;
  readonly say: (text: string) => void;
  /** Nothing more is wanted: its reason is what the work rejects with, unless the new state is being put in place. */
  readonly signal: AbortSignal;
  /** What the damaged store is to be called beside the new one: `state.damaged-` and this. */
  readonly time: string;
}

export interface RebuildPlaces {
  readonly memberDir: string;
  readonly walDir: string;
  readonly walOptions: WalOptions;
}

export interface Rebuilt {
  readonly memberId: bigint;
  readonly from: string;
  readonly point: LogPoint;
  /** The log begins anew behind the point; else it goes on as it was. */
  readonly startsAnew: boolean;
  /** The damaged store's new name; undefined: there was none. */
  readonly aside: string | undefined;
}

/** Asks one source after the other until one has what this member needs. Throws RebuildError and WalDamagedError. */
export async function rebuildState(
  places: RebuildPlaces,
  sources: readonly StateSource[],
  deps: RebuildDeps,
): Promise<Rebuilt> {
  const { disk } = deps;
  const { memberDir, walDir, walOptions } = places;
  const nothingHere = new RebuildError(
    `there is no log of a member in ${walDir}: rebuild is for a member that has its log and lost its state. One that lost ` +
      "its log is to be removed, and added anew",
  );
  if ((await lookAtWal(disk, walDir, Number.POSITIVE_INFINITY)) === undefined) throw nothingHere;
  await disk.makeDirectory(memberDir);
  const locks = [await disk.lock(`${memberDir}/lock`)];
  try {
    locks.push(await disk.lock(`${walDir}/lock`));
    await settleState(disk, memberDir, () => readWalStart(disk, walDir, walOptions));
    const look = await lookAtWal(disk, walDir, Number.POSITIVE_INFINITY);
    if (look?.damage !== undefined) throw look.damage;
    if (look?.content === undefined) throw nothingHere;
    return await fromAny(places, sources, look.content, deps);
  } finally {
    for (const lock of locks) await lock.release();
  }
}

async function fromAny(
  places: RebuildPlaces,
  sources: readonly StateSource[],
  log: LogContent,
  deps: RebuildDeps,
): Promise<Rebuilt> {
  const failures: string[] = [];
  for (const source of sources) {
    try {
      return await from(source, places, log, deps);
    } catch (error) {
      if (!(error instanceof RebuildError)) throw error;
      failures.push(`${source.endpoint}: ${error.message}`);
    }
  }
  throw new RebuildError(`no endpoint has the state that this member needs; ${failures.join("; ")}`);
}

async function from(source: StateSource, places: RebuildPlaces, log: LogContent, deps: RebuildDeps): Promise<Rebuilt> {
  const { disk, say, signal } = deps;
  const { memberDir } = places;
  const { metadata } = log;
  const { clusterId, memberId } = await source.identify().catch(unanswered);
  if (clusterId !== metadata.clusterID) {
    throw new RebuildError(
      `it is of the cluster ${hexId(clusterId)}, this member is of ${hexId(metadata.clusterID)}; ask one of that`,
    );
  }
  if (memberId === metadata.nodeID) throw new RebuildError("that is this very member; ask another one");
  say(`fetching the state of member ${hexId(memberId)} at ${source.endpoint}`);
  await dropUntaken(disk, memberDir);
  try {
    const file = await disk.create(stateFiles(memberDir).part);
    try {
      await store(source.fetch(), file, signal);
      const { bolt, point } = await lookInto(file, metadata.nodeID, signal);
      const startsAnew = decide(point, log);
      await build(bolt, stateFiles(memberDir).building, deps);
      const aside = await takeOver(point, startsAnew, places, log, deps);
      return { memberId: metadata.nodeID, from: source.endpoint, point, startsAnew, aside };
    } catch (error) {
      throw isOfFile(error) ? new RebuildError(`its file makes no sense: ${error.message}`) : error;
    } finally {
      await file.close();
    }
  } finally {
    // What the log was decided to start from is put in its place; anything else was not taken.
    await settleState(disk, memberDir, () => readWalStart(disk, places.walDir, places.walOptions));
    await takeBack(disk, memberDir, asideName(deps));
  }
}

function unanswered(error: unknown): never {
  throw new RebuildError(error instanceof Error ? error.message : String(error));
}

/** Environment: what goes wrong with the other end is a reason to ask the next. */
async function* answered(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await iterator.next().catch(unanswered);
      if (done === true) return;
      yield value;
    }
  } finally {
    await iterator.return?.();
  }
}

/** To the disk, without the checksum at its end, which must be right. */
async function store(chunks: AsyncIterable<Uint8Array>, file: DiskFile, signal: AbortSignal): Promise<void> {
  const hash = createHash("sha256");
  let bytes = 0;
  let tail: Buffer = Buffer.alloc(0);
  for await (const chunk of answered(chunks)) {
    signal.throwIfAborted();
    const all = Buffer.concat([tail, chunk]);
    const content = all.subarray(0, Math.max(0, all.length - FILE_HASH_BYTES));
    tail = all.subarray(content.length);
    hash.update(content);
    await file.write(content, bytes);
    bytes += content.length;
  }
  if (tail.length < FILE_HASH_BYTES || !hash.digest().equals(tail)) {
    throw new RebuildError("the state did not arrive whole: its checksum is not right; try again");
  }
  await file.sync();
}

async function lookInto(
  file: DiskFile,
  memberId: bigint,
  signal: AbortSignal,
): Promise<{ readonly bolt: BoltReader; readonly point: LogPoint }> {
  const bolt = await openStoreFile(file, () => signal.throwIfAborted());
  const { index, term } = await pointOfFile(bolt);
  const has = async (bucket: string): Promise<boolean> => {
    const key = memberKey(memberId);
    return (await bolt.range(bucket, key, successor(key), 1)).length > 0;
  };
  if (await has("members_removed")) {
    throw new RebuildError(
      `member ${hexId(memberId)} was removed from the cluster: its data is of no use any more, add a new member instead`,
    );
  }
  if (!(await has("members"))) {
    throw new RebuildError(`it knows of no member ${hexId(memberId)}: ask one that is further`);
  }
  return { bolt, point: { index, term } };
}

/** Whether the log is to start anew behind the point. Throws RebuildError. */
function decide(point: LogPoint, { index, hardState }: LogContent): boolean {
  if (point.index + 1 < index.first) {
    throw new RebuildError(
      `its state is at entry ${point.index}, and the log of this member was cut before entry ${index.first}: ask a ` +
        "member that is further",
    );
  }
  if (point.index > index.last) return true;
  const term = index.termAt(point.index);
  // Just behind a cut the term is not known; there is nothing to compare.
  if (term === undefined || term === point.term) return false;
  if (point.index > hardState.commit) return true;
  throw new RebuildError(
    `entry ${point.index} is committed here with term ${term} and there with term ${point.term}: these two do not belong ` +
      "to one history. Do not start this member; remove it, and add a new one",
  );
}

async function build(bolt: BoltReader, path: string, { openBackend, say, signal }: RebuildDeps): Promise<void> {
  say("making a state store of it");
  const backend = await openBackend(path);
  try {
    await adoptStore(bolt, backend, () => signal.throwIfAborted());
  } finally {
    await backend.close();
  }
}

function asideName({ time }: RebuildDeps): string {
  return `state.damaged-${time}`;
}

/** The order is that of state-files.ts: a crash at any point leaves the old state, the new one, or none and a log that says so. */
async function takeOver(
  point: LogPoint,
  startsAnew: boolean,
  { memberDir, walDir, walOptions }: RebuildPlaces,
  { index, hardState }: LogContent,
  deps: RebuildDeps,
): Promise<string | undefined> {
  const { disk } = deps;
  const { state } = stateFiles(memberDir);
  const name = asideName(deps);
  const aside = (await disk.list(state)).length > 0 ? `${memberDir}/${name}` : undefined;
  if (!startsAnew) {
    await replaceState(disk, memberDir, name);
    return aside;
  }
  await putAside(disk, memberDir, name);
  await nameState(disk, memberDir, point);
  const end = { index: index.last, term: index.termAt(index.last) ?? 0 };
  const replay = await openWal(disk, walDir, end, walOptions);
  if (replay === undefined) throw new RebuildError(`the log in ${walDir} has vanished`);
  const term = Math.max(hardState.term, point.term);
  const vote = term === hardState.term ? hardState.vote : 0n;
  try {
    await replay.wal.append({
      snapshot: point,
      hardState: { term, vote, commit: point.index },
      entries: [],
      mustSync: true,
    });
  } finally {
    await replay.wal.close();
  }
  return aside;
}
