import { encode } from "../proto/codec.ts";
import { AlarmMember } from "../proto/generated/etcdserverpb.ts";
import { assert } from "../raft/assert.ts";
import type { Bucket } from "./backend.ts";

/**
 * Every key that is stored, as etcd stores it (N-8). Keys are latin1 strings, one char a byte; names that
 * people chose (users, roles) are UTF-8 inside them. The JSON values are in stored-json.ts.
 */

/** In the order of their names, which is the order of Hash (N-6) and of a database file. */
export const BUCKETS: readonly Bucket[] = [
  "alarm",
  "auth",
  "authRoles",
  "authUsers",
  "cluster",
  "key",
  "lease",
  "members",
  "members_removed",
  "meta",
];

/** The smallest key behind `key`. */
export function successor(key: string): string {
  return `${key}\0`;
}

// meta

export const CONSISTENT_INDEX = "consistent_index";
export const TERM = "term";
export const CONF_STATE = "confState";
export const SCHEDULED_COMPACT_REVISION = "scheduledCompactRev";
export const FINISHED_COMPACT_REVISION = "finishedCompactRev";
export const STORAGE_VERSION = "storageVersion";

// cluster

export const CLUSTER_VERSION = "clusterVersion";
export const DOWNGRADE = "downgrade";

// auth

export const AUTH_ENABLED = "authEnabled";
export const AUTH_REVISION = "authRevision";

// key: main (8 bytes, big endian) `_` sub (8 bytes), and `t` behind it for a tombstone

export const REVISION_KEY_BYTES = 17;
const TOMBSTONE_MARK = "t";
const TWO_32 = 0x1_0000_0000;

function revisionText(main: number, sub: number): string {
  const high = Math.floor(main / TWO_32);
  const subHigh = Math.floor(sub / TWO_32);
  return String.fromCharCode(
    high >>> 24,
    (high >>> 16) & 0xff,
    (high >>> 8) & 0xff,
    high & 0xff,
    (main >>> 24) & 0xff,
    (main >>> 16) & 0xff,
    (main >>> 8) & 0xff,
    main & 0xff,
    0x5f,
    subHigh >>> 24,
    (subHigh >>> 16) & 0xff,
    (subHigh >>> 8) & 0xff,
    subHigh & 0xff,
    (sub >>> 24) & 0xff,
    (sub >>> 16) & 0xff,
    (sub >>> 8) & 0xff,
    sub & 0xff,
  );
}

/** Where the pair of a put at this revision is stored; also the lower bound of everything from this revision on. */
export function revisionKey(main: number, sub: number): string {
  return revisionText(main, sub);
}

export function tombstoneKey(main: number, sub: number): string {
  return revisionText(main, sub) + TOMBSTONE_MARK;
}

export function isTombstoneKey(key: string): boolean {
  return key.length === REVISION_KEY_BYTES + 1;
}

export function mainOf(revisionKey: string): number {
  return uint64At(revisionKey, 0);
}

export function subOf(revisionKey: string): number {
  return uint64At(revisionKey, 9);
}

/** What is no key of the `key` bucket was not written by any store of this format. */
export function isRevisionKey(key: string): boolean {
  if (key.charCodeAt(8) !== 0x5f) return false;
  return key.length === REVISION_KEY_BYTES || (isTombstoneKey(key) && key.endsWith(TOMBSTONE_MARK));
}

function uint64At(key: string, at: number): number {
  const high = uint32At(key, at);
  assert(high <= 0x1f_ffff, "a stored revision is beyond the safe integers");
  const low = uint32At(key, at + 4);
  // A product makes a double of the sum, however small, and of every object that holds it one of another shape.
  return high === 0 ? low : high * TWO_32 + low;
}

function uint32At(key: string, at: number): number {
  return (
    ((key.charCodeAt(at) << 24) |
      (key.charCodeAt(at + 1) << 16) |
      (key.charCodeAt(at + 2) << 8) |
      key.charCodeAt(at + 3)) >>>
    0
  );
}

/** A revision as a value: scheduledCompactRev, finishedCompactRev. */
export function encodeRevision(main: number): Buffer {
  return Buffer.from(revisionText(main, 0), "latin1");
}

export function decodeRevision(value: Uint8Array): number {
  const key = latin1(value);
  assert(isRevisionKey(key), `a stored revision has ${value.length} bytes that are no revision`);
  return mainOf(key);
}

// numbers as values: consistent_index, term, authRevision

export function encodeUint64(value: number): Buffer {
  const out = Buffer.allocUnsafe(8);
  out.writeUInt32BE(value < TWO_32 ? 0 : Math.floor(value / TWO_32), 0);
  out.writeUInt32BE(value >>> 0, 4);
  return out;
}

export function decodeUint64(value: Uint8Array): number {
  assert(value.length === 8, `a stored number has ${value.length} bytes, not 8`);
  return uint64At(latin1(value), 0);
}

// lease

export function leaseKey(id: bigint): string {
  const out = Buffer.allocUnsafe(8);
  out.writeBigInt64BE(BigInt.asIntN(64, id));
  return out.toString("latin1", 0, 8);
}

/** As signed 64-bit, which is what lease ids are in the API. */
export function parseLeaseKey(key: string): bigint {
  assert(key.length === 8, `a stored lease id has ${key.length} bytes, not 8`);
  return Buffer.from(key, "latin1").readBigInt64BE();
}

// members and members_removed

export const REMOVED_MEMBER: Uint8Array = Buffer.from("removed");

export function memberKey(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}

export function parseMemberKey(key: string): bigint {
  assert(/^[0-9a-f]{1,16}$/.test(key), `a stored member id is no hexadecimal number: ${JSON.stringify(key)}`);
  return BigInt(`0x${key}`);
}

// alarm: everything is in the key

export const ALARM_VALUE: Uint8Array = Buffer.alloc(0);

export function alarmKey(memberID: bigint, alarm: number): string {
  return latin1(encode(AlarmMember, { memberID, alarm }));
}

// authUsers and authRoles

export function userKey(name: string): string {
  return utf8AsLatin1(name);
}

export function roleKey(name: string): string {
  return utf8AsLatin1(name);
}

function utf8AsLatin1(text: string): string {
  return latin1(Buffer.from(text, "utf8"));
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
