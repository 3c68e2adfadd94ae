import type { History } from "../history.ts";
import type { Change } from "./model.ts";
import type { Truth } from "./truth.ts";
import { Findings, type Verdict } from "./verdict.ts";

/**
 * N-4: the hash over everything that a store keeps, as the model says that it has to be kept: the one look that clients
 * have at old versions and tombstones. What a compaction took too much, or a member keeps otherwise, shows here.
 */
export function checkHashKv(history: History, truth: Truth): Verdict {
  const findings = new Findings("hash-kv", ["hashes", "hashes after a compaction"]);
  const known = new Map<string, readonly number[]>();
  for (const { outcome, invoked, client, member } of history.operations) {
    if (outcome.kind !== "ok" || outcome.response.kind !== "hashKv") continue;
    const { hash, hashRevision, compactRevision } = outcome.response;
    findings.count("hashes");
    if (compactRevision > 0) findings.count("hashes after a compaction");
    const key = `${hashRevision},${compactRevision}`;
    const right = known.get(key) ?? hashKv(truth.changes, hashRevision, compactRevision);
    known.set(key, right);
    if (right.includes(hash)) continue;
    findings.report(
      `client ${client} at member ${member}: the hash of revision ${hashRevision}, compacted at ${compactRevision}, is ${hash} and should be ${right.join(" or ")}`,
      invoked.at,
    );
  }
  return findings.verdict();
}

/**
 * CRC-32C of "key", then of every kept version up to `revision`: its key in the store and its bytes.
 *
 * Where nothing lives at `revision`, the keep-set is empty and the rule that goes by it does not hold. Then what counts of
 * the compacted part is what a compaction leaves of it. The hash that a compaction to `revision` stores (N-5) has
 * tombstones of that revision in its keep-set, which so is not empty: two hashes are right then.
 */
export function hashKv(changes: Truth["changes"], revision: number, compactRevision: number): readonly number[] {
  const newest = newestOfEach(changes, revision);
  if (newest.size > 0) return [hashOf(changes, revision, compactRevision, newest)];
  const right = [hashOf(changes, revision, compactRevision, newestOfEach(changes, compactRevision))];
  const isTombstoneLast = changes[revision]?.some(({ kind }) => kind === "delete") === true;
  return isTombstoneLast ? [...right, hashOf(changes, revision, compactRevision, newest)] : right;
}

function hashOf(
  changes: Truth["changes"],
  revision: number,
  compactRevision: number,
  kept: ReadonlyMap<string, Change>,
): number {
  let crc = append(~0, "key");
  for (let main = 2; main <= revision; main++) {
    for (const [sub, change] of (changes[main] ?? []).entries()) {
      if (main <= compactRevision && kept.get(change.kv.key) !== change) continue;
      if (main === compactRevision && change.kind === "delete") continue;
      crc = append(crc, `${int64(main)}_${int64(sub)}${change.kind === "delete" ? "t" : ""}${pairBytes(change)}`);
    }
  }
  return ~crc >>> 0;
}

/** The keep-set: of each key the newest version, unless that is a tombstone. */
function newestOfEach(changes: Truth["changes"], revision: number): Map<string, Change> {
  const newest = new Map<string, Change>();
  for (let main = 2; main <= revision; main++) {
    for (const change of changes[main] ?? []) {
      if (change.kind === "put") newest.set(change.kv.key, change);
      else newest.delete(change.kv.key);
    }
  }
  return newest;
}

/** mvccpb.KeyValue as stored (N-8): fields ascending, zeros left out, of a tombstone the key alone. */
function pairBytes({ kind, kv }: Change): string {
  const key = field(1, kv.key);
  if (kind === "delete") return key;
  const { createRevision, modRevision, version, value, lease } = kv;
  const numbers = number(2, createRevision) + number(3, modRevision) + number(4, version);
  const text = value === "" ? "" : field(5, value);
  return key + numbers + text + (lease === 0n ? "" : String.fromCharCode(6 << 3) + varint(BigInt.asUintN(64, lease)));
}

function field(id: number, bytes: string): string {
  return String.fromCharCode((id << 3) | 2) + varint(BigInt(bytes.length)) + bytes;
}

function number(id: number, value: number): string {
  return value === 0 ? "" : String.fromCharCode(id << 3) + varint(BigInt(value));
}

function varint(value: bigint): string {
  let bytes = "";
  let rest = value;
  for (; rest > 127n; rest >>= 7n) bytes += String.fromCharCode(Number(rest & 127n) | 128);
  return bytes + String.fromCharCode(Number(rest));
}

/** Big-endian. */
function int64(value: number): string {
  return Array.from({ length: 8 }, (_, at) => String.fromCharCode(Math.floor(value / 256 ** (7 - at)) & 255)).join("");
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

function append(crc: number, bytes: string): number {
  let state = crc;
  for (let at = 0; at < bytes.length; at++) {
    state = (TABLE[(state ^ bytes.charCodeAt(at)) & 255] as number) ^ (state >>> 8);
  }
  return state;
}
