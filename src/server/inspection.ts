/** What the data directories of stopped members say, and which of them has the most. Only reads. */
import { NONE } from "../../raft/types.ts";
import type { Backend, Bucket } from "../../storage/backend.ts";
import type { Disk } from "../../storage/disk.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import { restoreMvcc } from "../../storage/mvcc-walk.ts";
import { lookAtWal, mismatchOf, type WalLook } from "../../storage/wal-look.ts";
import { ClusterState } from "../state/cluster.ts";
import type { ClusterMember } from "../state/machine.ts";
import { storedPoint } from "../state/restore.ts";
import { membershipsOf, notOutdated } from "./members-ahead.ts";
import { stateToOpen } from "./state-files.ts";

export interface InspectedPlace {
  readonly dataDir: string;
  readonly walDir: string;
}

export interface InspectionDeps {
  readonly disk: Disk;
  /** Undefined when there is no store; rejects when it is damaged. */
  readonly openStore: (path: string) => Promise<Backend | undefined>;
  /** Of the process that uses what the path locks. */
  readonly lockHolder: (path: string) => Promise<number | undefined>;
}

export interface InspectedLog {
  /** First entry that is there; above `lastIndex` when it has none. */
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
  readonly term: number;
  readonly vote: bigint;
  readonly commit: number;
  readonly tornBytes: number;
}

export interface InspectedState {
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  readonly revision: number;
}

/** The voting members from an entry of the log on. */
export interface VotersFrom {
  readonly index: number;
  readonly ids: readonly bigint[];
}

export interface Inspected extends InspectedPlace {
  /** The process that runs this member: nothing else is looked at then. */
  readonly runsAs: number | undefined;
  readonly memberId: bigint | undefined;
  readonly clusterId: bigint | undefined;
  readonly log: InspectedLog | undefined;
  readonly state: InspectedState | undefined;
  /** When all that the log holds is applied; empty when the state store cannot be read. */
  readonly members: readonly ClusterMember[];
  /** Those that may be in force by this log, which may not know of the last that they are committed. */
  readonly voters: readonly VotersFrom[];
  readonly isRemoved: boolean;
  readonly damage: readonly string[];
}

const EVERYONE = Number.MAX_SAFE_INTEGER;

export async function inspectMember(place: InspectedPlace, deps: InspectionDeps): Promise<Inspected> {
  const { disk, openStore, lockHolder } = deps;
  const memberDir = `${place.dataDir}/member`;
  const nothing = {
    ...place,
    memberId: undefined,
    clusterId: undefined,
    log: undefined,
    state: undefined,
    members: [],
    voters: [],
    isRemoved: false,
    damage: [],
  };
  const runsAs = (await lockHolder(`${memberDir}/lock`)) ?? (await lockHolder(`${place.walDir}/lock`));
  if (runsAs !== undefined) return { ...nothing, runsAs };

  const damage: string[] = [];
  const path = await stateToOpen(disk, memberDir, async () => {
    const content = (await lookAtWal(disk, place.walDir, EVERYONE))?.content;
    return content?.start ?? { index: 0, term: 0 };
  });
  const store = await readStore(path, openStore);
  if (store.kind === "damaged") damage.push(store.why);
  const state = store.kind === "read" ? store.state : undefined;
  const appliedIndex = state?.appliedIndex ?? (store.kind === "missing" ? 0 : EVERYONE);
  const look = await lookAtWal(disk, place.walDir, appliedIndex);
  if (look?.damage !== undefined) damage.push(look.damage.message);
  if (look === undefined && state === undefined && damage.length === 0) {
    return { ...nothing, runsAs, damage: ["there is no data of a member here"] };
  }
  if (look === undefined) damage.push(`there is no log in ${place.walDir}`);
  const log = look && logOf(look);
  if (look?.content !== undefined && look.damage === undefined && store.kind !== "damaged") {
    const applied = { index: state?.appliedIndex ?? 0, term: state?.appliedTerm ?? 0 };
    const mismatch = mismatchOf(look.content.index, applied, look.tornBytes);
    if (mismatch !== undefined) damage.push(`state store and log do not belong together: ${mismatch.what}`);
  }
  const entries = look?.content?.entries ?? [];
  const memberships = store.kind === "damaged" ? [] : membershipsOf(store.cluster, entries, EVERYONE);
  const cluster = memberships.at(-1)?.cluster;
  const { nodeID: memberId, clusterID: clusterId } = look?.content?.metadata ?? {};
  return {
    ...place,
    runsAs,
    memberId,
    clusterId,
    log,
    state,
    members: cluster?.members() ?? [],
    voters: memberships.map(({ index, cluster }) => ({ index, ids: votersOf(cluster.members()) })),
    isRemoved: memberId !== undefined && cluster?.isRemoved(memberId) === true,
    damage,
  };
}

function logOf({ content, tornBytes }: WalLook): InspectedLog | undefined {
  if (content === undefined) return undefined;
  const { index, hardState } = content;
  const { first: firstIndex, last: lastIndex } = index;
  return { firstIndex, lastIndex, lastTerm: index.termAt(lastIndex) ?? 0, tornBytes, ...hardState };
}

type Store =
  | { readonly kind: "missing"; readonly cluster: ClusterState }
  | { readonly kind: "damaged"; readonly why: string }
  | { readonly kind: "read"; readonly state: InspectedState; readonly cluster: ClusterState };

async function readStore(path: string, openStore: InspectionDeps["openStore"]): Promise<Store> {
  let backend: Backend | undefined;
  try {
    backend = await openStore(path);
    if (backend === undefined) {
      return { kind: "missing", cluster: new ClusterState(createMemoryBackend(), EVERYONE, [], []) };
    }
    const { mvcc } = await restoreMvcc(backend);
    const rows = backend.snapshot();
    const all = (bucket: Bucket) => rows.range(bucket, "", undefined, 100_000);
    const cluster = new ClusterState(backend, EVERYONE, await all("members"), await all("members_removed"));
    await rows.close();
    const { index: appliedIndex, term: appliedTerm } = storedPoint(backend);
    const state = { appliedIndex, appliedTerm, revision: mvcc.currentRevision };
    return { kind: "read", state, cluster };
  } catch (error) {
    // Whatever it is that it cannot be read for, it is what there is to tell.
    return { kind: "damaged", why: error instanceof Error ? error.message : String(error) };
  } finally {
    await backend?.close();
  }
}

export interface Judgement {
  /** The one to go on with. */
  readonly best: Inspected | undefined;
  /** Enough members are here and whole: nothing is lost. */
  readonly hasQuorum: boolean;
  readonly remarks: readonly string[];
}

/** As Raft compares logs: the later last term, then the longer log. */
export function compareLogs(a: InspectedLog, b: InspectedLog): number {
  return a.lastTerm - b.lastTerm || a.lastIndex - b.lastIndex;
}

export function judge(inspected: readonly Inspected[]): Judgement {
  const remarks: string[] = [];
  for (const { dataDir, runsAs } of inspected) {
    if (runsAs !== undefined)
      remarks.push(`${dataDir} is in use by process ${runsAs}: stop that one to look at its data`);
  }
  const clusters = new Set(inspected.flatMap(({ clusterId }) => (clusterId === undefined ? [] : [clusterId])));
  if (clusters.size > 1) {
    remarks.push("these are members of different clusters: look at one cluster at a time");
    return { best: undefined, hasQuorum: false, remarks };
  }
  const usable = inspected.filter((member) => member.damage.length === 0 && isMember(member));
  const [best] = [...usable].sort((a, b) => compareLogs(logIn(b), logIn(a)));
  for (const member of inspected) {
    const { dataDir, log, damage } = member;
    if (member.isRemoved) remarks.push(`${dataDir} is of a member that was removed from its cluster`);
    if (best === undefined || log === undefined || damage.length === 0) continue;
    if (compareLogs(log, logIn(best)) > 0) {
      remarks.push(
        `${dataDir} has more (entry ${log.lastIndex} of term ${log.lastTerm}), but is damaged: mend that before you give ` +
          "up what only it has",
      );
    }
  }
  if (best === undefined) return { best, hasQuorum: false, remarks };
  const commit = Math.max(...usable.map((member) => logIn(member).commit));
  const hasQuorum = notOutdated(best.voters, commit).every(({ ids }) => {
    const here = ids.filter((id) => usable.some(({ memberId }) => memberId === id));
    return here.length > ids.length / 2;
  });
  return { best, hasQuorum, remarks };
}

function votersOf(members: readonly ClusterMember[]): bigint[] {
  return members.filter(({ isLearner }) => !isLearner).map(({ id }) => id);
}

function isMember({ memberId, members, log }: Inspected): boolean {
  return memberId !== undefined && memberId !== NONE && log !== undefined && members.some(({ id }) => id === memberId);
}

function logIn({ log }: Inspected): InspectedLog {
  if (log === undefined) throw new Error("a member without a log was compared");
  return log;
}
