import { createHash } from "node:crypto";

/** M-1: a member of the initial cluster is its sorted peer URLs and the cluster token. */
export function memberIdOf(peerUrls: readonly string[], token: string): bigint {
  return firstEight(createHash("sha1").update([...peerUrls].sort().join("") + token));
}

/** M-1: a member added to a running cluster is its sorted peer URLs and the second in which it was added. */
export function addedMemberIdOf(peerUrls: readonly string[], wallClockMs: number): bigint {
  return memberIdOf(peerUrls, String(Math.floor(wallClockMs / 1000)));
}

/**
 * M-1: a cluster is its first members. One that begins with a content (a restored one) is that, too: members restored from
 * different files, or one that was not restored at all, then refuse each other instead of holding different things.
 */
export function clusterIdOf(memberIds: readonly bigint[], content?: number): bigint {
  const hash = createHash("sha1");
  if (content !== undefined) hash.update(`restored ${content}`);
  for (const id of [...memberIds].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(id);
    hash.update(bytes);
  }
  return firstEight(hash);
}

/** As in logs, URLs and headers: lower-case hex without padding (P-1). */
export function hexId(id: bigint): string {
  return id.toString(16);
}

function firstEight(hash: ReturnType<typeof createHash>): bigint {
  return hash.digest().readBigUInt64BE(0);
}
