import { assert } from "../../raft/assert.ts";
import type { Backend } from "../backend.ts";
import { revisionKey, tombstoneKey } from "../schema.ts";
import type { KeyEvent } from "./mvcc.ts";
import { encodeDeleted, storedKey } from "./stored-pair.ts";

/**
 * Events from stored rows. Subs of a revision are dense, so they are found by asking for (main, 0), (main, 1), ...; only
 * at exactly the compact revision there may be holes, where a change-set put a key and deleted it again.
 */

/** How many changes each of the last revisions had: without it, the end of a revision shows by two misses in a row. */
export class RecentChanges {
  static readonly #SLOTS = 16_384;
  readonly #mains = new Float64Array(RecentChanges.#SLOTS);
  readonly #counts = new Uint32Array(RecentChanges.#SLOTS);

  set(main: number, count: number): void {
    const slot = main % RecentChanges.#SLOTS;
    this.#mains[slot] = main;
    this.#counts[slot] = count;
  }

  get(main: number): number | undefined {
    const slot = main % RecentChanges.#SLOTS;
    return this.#mains[slot] === main ? this.#counts[slot] : undefined;
  }
}

/**
 * Appends the events of one revision; returns their bytes. `count`: changes it had, if known. `holesThrough`: subs up to
 * it may have been compacted.
 */
export function readRevision(
  backend: Backend,
  main: number,
  count: number | undefined,
  holesThrough: number,
  events: KeyEvent[],
): number {
  let bytes = 0;
  for (let sub = 0; count === undefined || sub < count; sub++) {
    const event = readEvent(backend, main, sub);
    if (event !== undefined) {
      bytes += event.kv.length;
      // A row without a key is no change of anybody: `etcdutl snapshot restore --bump-revision` writes one.
      if (event.key !== "") events.push(event);
    } else if (sub > holesThrough) {
      assert(count === undefined, `the stored rows of revision ${main} end before its ${count} changes`);
      break;
    }
  }
  return bytes;
}

function readEvent(backend: Backend, main: number, sub: number): KeyEvent | undefined {
  const revision = { main, sub };
  const kv = backend.get("key", revisionKey(main, sub));
  if (kv !== undefined) return { type: "put", key: storedKey(kv), revision, kv };
  const row = backend.get("key", tombstoneKey(main, sub));
  if (row === undefined) return undefined;
  const key = storedKey(row);
  return { type: "delete", key, revision, kv: encodeDeleted(key, main) };
}
