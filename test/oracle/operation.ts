import { createHash } from "node:crypto";
import type {
  CompactionRequest,
  DeleteRangeRequest,
  HashKVRequest,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  LeaseTimeToLiveRequest,
  PutRequest,
  RangeRequest,
  TxnRequest,
  WatchCreateRequest,
} from "../../proto/generated/etcdserverpb.ts";

/** What is asked of both sides, in the same order. Plain data, so that a sequence can be cut down and printed. */
export type Operation = (
  | { readonly kind: "range"; readonly request: RangeRequest }
  | { readonly kind: "put"; readonly request: PutRequest }
  | { readonly kind: "deleteRange"; readonly request: DeleteRangeRequest }
  | { readonly kind: "txn"; readonly request: TxnRequest }
  | { readonly kind: "compact"; readonly request: CompactionRequest }
  | { readonly kind: "hashKv"; readonly request: HashKVRequest }
  | { readonly kind: "leaseGrant"; readonly request: LeaseGrantRequest }
  | { readonly kind: "leaseRevoke"; readonly request: LeaseRevokeRequest }
  | { readonly kind: "leaseKeepAlive"; readonly id: bigint }
  | { readonly kind: "leaseTimeToLive"; readonly request: LeaseTimeToLiveRequest }
  | { readonly kind: "leaseLeases" }
  | { readonly kind: "watchCreate"; readonly stream: number; readonly request: WatchCreateRequest }
  | { readonly kind: "watchCancel"; readonly stream: number; readonly watchId: bigint }
  | { readonly kind: "watchProgress"; readonly stream: number }
  /** Both sides are waited for until their watches have shown the same. */
  | { readonly kind: "settle" }
) & {
  /** Position of the member that is asked, where there are several. */
  readonly member: number;
};

export type Outcome =
  | {
      readonly kind: "ok";
      readonly revision: number | undefined;
      readonly answer: unknown;
      /** Seconds that are left of a lease: they pass while one asks, so that they need only be close. */
      readonly secondsLeft?: number;
    }
  | { readonly kind: "error"; readonly code: number; readonly message: string };

export type OperationKind = Operation["kind"];

/** Lease ids from here on stand for "the n-th lease whose id the server chose itself". */
export const CHOSEN_BY_SERVER = 1n << 62n;

/** One line a operation: empty and default fields left out, bytes readable. */
export function describe(operation: Operation): string {
  const { kind, member, ...rest } = operation;
  return `${kind}${member > 0 ? `@${member}` : ""} ${show("request" in rest ? rest.request : rest)}${
    "stream" in rest ? ` on stream ${rest.stream}` : ""
  }`.trimEnd();
}

const LONG_BYTES = 1_024;

/**
 * Also for answers: two that print alike are alike, so nothing is ever left out but what is at its default. Long values are
 * told by their digest.
 */
export function show(value: unknown): string {
  if (value instanceof Uint8Array) {
    if (value.length <= LONG_BYTES) return JSON.stringify(Buffer.from(value).toString("latin1"));
    return `<${value.length} bytes ${createHash("sha256").update(value).digest("hex").slice(0, 32)}>`;
  }
  if (typeof value === "bigint") return `${value}`;
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).filter(([, field]) => !isDefault(field));
    return `{${fields.map(([name, field]) => `${name}: ${show(field)}`).join(", ")}}`;
  }
  return String(value);
}

function isDefault(field: unknown): boolean {
  if (field instanceof Uint8Array || typeof field === "string" || Array.isArray(field)) return field.length === 0;
  return field === undefined || field === 0 || field === 0n || field === false;
}

const ABRIDGED = 400;

/** For people, of two long texts the place where they part. Never to compare by. */
export function abridged(one: string, other: string): readonly [string, string] {
  if (Math.max(one.length, other.length) <= ABRIDGED) return [one, other];
  let same = 0;
  while (same < one.length && one[same] === other[same]) same++;
  const from = Math.max(0, same - ABRIDGED / 4);
  const part = (text: string): string => {
    const to = from + ABRIDGED;
    return `${from > 0 ? "..." : ""}${text.slice(from, to)}${to < text.length ? `... ${text.length} in all` : ""}`;
  };
  return [part(one), part(other)];
}
