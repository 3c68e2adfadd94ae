import type { ConfState } from "../raft/types.ts";

/**
 * The values that etcd stores (and sends to peers) as JSON: members, confState, downgrade. Ids are unsigned 64-bit
 * decimal numbers; they never pass through a double. Printed byte for byte as Go's encoding/json does, because the
 * hash of the store covers them.
 */
export class StoredJsonError extends Error {
  override readonly name = "StoredJsonError";
}

export interface MemberRecord {
  readonly id: bigint;
  /** "" until the member has published itself. */
  readonly name: string;
  readonly peerURLs: readonly string[];
  readonly clientURLs: readonly string[];
  readonly isLearner: boolean;
}

export interface DowngradeRecord {
  readonly targetVersion: string;
  readonly enabled: boolean;
}

export function memberJson(member: MemberRecord): string {
  let out = `{"id":${BigInt.asUintN(64, member.id)},"peerURLs":${list(member.peerURLs)}`;
  if (member.isLearner) out += `,"isLearner":true`;
  if (member.name !== "") out += `,"name":${text(member.name)}`;
  if (member.clientURLs.length > 0) out += `,"clientURLs":${list(member.clientURLs)}`;
  return `${out}}`;
}

export function parseMemberJson(json: string): MemberRecord {
  return memberOf(parseObject(json));
}

/** As members tell each other (P-33). */
export function parseMembersJson(json: string): readonly MemberRecord[] {
  const list = parseJson(json);
  if (!Array.isArray(list)) throw new StoredJsonError("not a list of members");
  return list.map((item) => {
    if (!isFields(item)) throw new StoredJsonError("a member that is no object");
    return memberOf(item);
  });
}

/** For JSON that holds a member among other fields (P-24). */
export function memberOf(fields: Fields): MemberRecord {
  return {
    id: idOf(fields["id"], "id"),
    name: stringOf(fields["name"], "name"),
    peerURLs: stringsOf(fields["peerURLs"], "peerURLs"),
    clientURLs: stringsOf(fields["clientURLs"], "clientURLs"),
    isLearner: booleanOf(fields["isLearner"], "isLearner"),
  };
}

export function confStateJson(confState: ConfState): string {
  let out = "{";
  if (confState.voters.length > 0) out += `"voters":[${confState.voters.join()}],`;
  if (confState.learners.length > 0) out += `"learners":[${confState.learners.join()}],`;
  return `${out}"auto_leave":false}`;
}

export function parseConfStateJson(json: string): ConfState {
  const fields = parseObject(json);
  if (idsOf(fields["voters_outgoing"], "voters_outgoing").length > 0) {
    throw new StoredJsonError("the stored configuration is a joint one, which no etcd 3.x server makes");
  }
  return { voters: idsOf(fields["voters"], "voters"), learners: idsOf(fields["learners"], "learners") };
}

export function downgradeJson(downgrade: DowngradeRecord): string {
  return `{"target-version":${text(downgrade.targetVersion)},"enabled":${downgrade.enabled}}`;
}

export function parseDowngradeJson(json: string): DowngradeRecord {
  const fields = parseObject(json);
  return {
    targetVersion: stringOf(fields["target-version"], "target-version"),
    enabled: booleanOf(fields["enabled"], "enabled"),
  };
}

/** Parsed JSON, except that every number is a NumberText. */
export type Fields = { readonly [field: string]: unknown };

interface NumberText {
  readonly number: string;
}

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

export function parseObject(json: string): Fields {
  const parsed = parseJson(json);
  if (!isFields(parsed)) throw new StoredJsonError(`not a JSON object: ${json}`);
  return parsed;
}

/** JSON.parse that keeps the digits of numbers. */
export function parseJson(json: string): unknown {
  const exact = json.replace(STRING_OR_NUMBER, (token) => (token.startsWith('"') ? token : `{"number":"${token}"}`));
  try {
    return JSON.parse(exact);
  } catch {
    throw new StoredJsonError(`not JSON: ${json}`);
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isNumberText(value: unknown): value is NumberText {
  return isFields(value) && typeof value["number"] === "string";
}

export function idOf(value: unknown, field: string): bigint {
  if (isNumberText(value) && /^\d+$/.test(value.number)) {
    const id = BigInt(value.number);
    if (id < 1n << 64n) return id;
  }
  throw new StoredJsonError(`${field} is no unsigned 64-bit number`);
}

function idsOf(value: unknown, field: string): bigint[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new StoredJsonError(`${field} is no list`);
  return value.map((id) => idOf(id, field));
}

export function stringOf(value: unknown, field: string): string {
  if (value === undefined || value === null) return "";
  if (typeof value !== "string") throw new StoredJsonError(`${field} is no string`);
  return value;
}

export function stringsOf(value: unknown, field: string): string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new StoredJsonError(`${field} is no list`);
  return value.map((item) => {
    if (typeof item !== "string") throw new StoredJsonError(`${field} holds what is no string`);
    return item;
  });
}

export function booleanOf(value: unknown, field: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== "boolean") throw new StoredJsonError(`${field} is no boolean`);
  return value;
}

function list(items: readonly string[]): string {
  return `[${items.map(text).join()}]`;
}

/** Go escapes these besides what JSON must. */
const GO_ESCAPES = /[<>&\u2028\u2029]/g;

function text(value: string): string {
  return JSON.stringify(value).replace(GO_ESCAPES, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
