/** Values that tell which put of their key they are and when it was sent: whoever sees one needs no other word of it. */
import { now } from "./clock.ts";

const VALUE_BYTES = 512;

/** The n-th put of its key, n from 1. */
export function stamp(n: number): string {
  return `${n} ${now().toFixed(3)} `.padEnd(VALUE_BYTES, ".");
}

export function readStamp(value: Uint8Array): { readonly n: number; readonly sentAt: number } {
  const head = Buffer.from(value.buffer, value.byteOffset, Math.min(48, value.byteLength));
  const [n = "", sentAt = ""] = head.toString("latin1").split(" ");
  return { n: Number(n), sentAt: Number(sentAt) };
}

/** About what an event with its previous pair takes on the wire. */
export const EVENT_BYTES = 2 * (VALUE_BYTES + 48);

export const PREFIX = "stress/";
const MIN_KEYS_A_GROUP = 4;
/** So many puts may be under way together at least, for each key is put by one at a time. */
const MIN_KEYS = 1_000;

/** The end of the range of all keys that begin with a prefix. */
export function endOf(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

export function groupPrefix(group: number): string {
  return `${PREFIX}${String(group).padStart(6, "0")}/`;
}

/** Neighbours are of different groups, so that the puts come to all watchers alike. */
export function keysOf(groups: number): string[] {
  const each = Math.max(MIN_KEYS_A_GROUP, Math.ceil(MIN_KEYS / groups));
  return Array.from({ length: groups * each }, (_, i) => `${groupPrefix(i % groups)}${Math.floor(i / groups)}`);
}
