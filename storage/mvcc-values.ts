import { AssertionError } from "../raft/assert.ts";
import type { Backend } from "./backend.ts";
import type { KeyVersion } from "./mvcc/mvcc.ts";
import { revisionKey } from "./schema.ts";

/**
 * As Mvcc.value of each, in their order, off the event loop where they are not in memory. Rows are written once and
 * dropped by compactions alone: a pin keeps them until this is called, and the backend answers as of the call.
 */
export async function mvccValues(backend: Backend, versions: readonly KeyVersion[]): Promise<readonly Uint8Array[]> {
  const keys = versions.map(({ mod: { main, sub } }) => revisionKey(main, sub));
  const rows = await backend.getMany("key", keys);
  return versions.map(({ key, mod: { main, sub } }, i) => {
    const row = rows[i];
    if (row !== undefined) return row;
    throw new AssertionError(`the index has revision ${main}.${sub} of key ${JSON.stringify(key)}, the store has not`);
  });
}
