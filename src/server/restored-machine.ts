import type { Backend, Bucket } from "../../storage/backend.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import { createMvccRestore } from "../../storage/mvcc/store.ts";
import { restoreMvcc } from "../../storage/mvcc-walk.ts";
import { slices } from "../../storage/row-slices.ts";
import { BUCKETS } from "../../storage/schema.ts";
import type { Config } from "../config.ts";
import type { Logger } from "../log.ts";
import type { StateMachine } from "../state/machine.ts";
import { type BucketRows, openStateMachine } from "../state/restore.ts";
import { everyTime } from "./every-time.ts";

/** About two seconds of reading. */
const PROGRESS_ROWS = 200_000;
const SLICE_ROWS = 1_000;

/** Reads the whole store. */
export async function restoreMachine(backend: Backend, config: Config, log: Logger): Promise<StateMachine> {
  const onProgress = everyTime(PROGRESS_ROWS, (rows) => log.info({ rows }, "reading the state store"));
  const { mvcc, leased } = await restoreMvcc(backend, onProgress);
  const rows = await rowsBesideKeys(backend);
  return openStateMachine(backend, mvcc, leased, rows, minLeaseTtlSeconds(config), config.maxLearners);
}

/** Throws what a start from these rows, which are of a store without its keys, would throw. */
export function checkRowsBesideKeys(rows: BucketRows): void {
  const nothing = createMemoryBackend();
  openStateMachine(nothing, createMvccRestore(nothing).finish().mvcc, new Map(), rows, 1);
}

/** All that the state machine holds in memory beside the index of the keys. */
export async function rowsBesideKeys(backend: Backend): Promise<BucketRows> {
  const snapshot = backend.snapshot();
  try {
    const rows: Record<string, (readonly [string, Uint8Array])[]> = {};
    for (const bucket of BUCKETS.filter((name) => name !== ("key" satisfies Bucket))) {
      const all: (readonly [string, Uint8Array])[] = [];
      rows[bucket] = all;
      for await (const slice of slices(snapshot, bucket, undefined, SLICE_ROWS)) all.push(...slice);
    }
    return rows;
  } finally {
    await snapshot.close();
  }
}

/** L-1: ceil(floor(3 x election ticks / 2) x heartbeat). */
export function minLeaseTtlSeconds(config: Config): number {
  const ticks = Math.floor((3 * Math.floor(config.electionMs / config.heartbeatMs)) / 2);
  return Math.ceil((ticks * config.heartbeatMs) / 1000);
}
