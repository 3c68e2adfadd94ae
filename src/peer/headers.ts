/** What members tell of themselves in HTTP headers, and what a receiver demands of it. */
import type { NodeId } from "../../raft/types.ts";
import type { HttpHeaders, PeerIdentity } from "./transport.ts";

/** Lower-case hex without padding, as ids are written in URLs, headers and logs. */
export function formatId(id: bigint): string {
  return id.toString(16);
}

export function parseId(text: string): NodeId | undefined {
  return /^[0-9a-fA-F]{1,16}$/.test(text) ? BigInt(`0x${text}`) : undefined;
}

const MIN_CLUSTER_VERSION = "3.0.0";
/** What a member is that names no version. */
const NO_VERSION = "2.0.0";

export function requestHeaders(identity: PeerIdentity): Record<string, string> {
  return {
    "X-Server-From": formatId(identity.memberId),
    "X-Server-Version": identity.serverVersion,
    "X-Min-Cluster-Version": MIN_CLUSTER_VERSION,
    "X-Etcd-Cluster-ID": formatId(identity.clusterId),
    "X-PeerURLs": identity.peerUrls.map(inAscii).join(","),
  };
}

/** A header has no other letters. A name that has is the same host in the spelling that name servers know. */
function inAscii(url: string): string {
  return /^[\x21-\x7e]*$/.test(url) ? url : new URL(url).origin;
}

export function streamHeaders(identity: PeerIdentity, to: NodeId): Record<string, string> {
  return { ...requestHeaders(identity), "X-Raft-To": formatId(to) };
}

export function header(headers: HttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : value?.[0];
}

export const INCOMPATIBLE_VERSION = "incompatible version";
export const CLUSTER_ID_MISMATCH = "cluster ID mismatch";

/** Why a request of this sender must be refused with 412, or undefined. */
export function senderMismatch(identity: PeerIdentity, headers: HttpHeaders): string | undefined {
  const version = minor(header(headers, "x-server-version") ?? NO_VERSION);
  const demanded = minor(header(headers, "x-min-cluster-version") ?? NO_VERSION);
  const own = minor(identity.serverVersion) ?? 0;
  if (version === undefined || demanded === undefined) return INCOMPATIBLE_VERSION;
  if (version < (minor(MIN_CLUSTER_VERSION) as number) || demanded > own) return INCOMPATIBLE_VERSION;
  if (header(headers, "x-etcd-cluster-id") !== formatId(identity.clusterId)) return CLUSTER_ID_MISMATCH;
  return undefined;
}

/** Why a stream must not be read that was answered with these headers, or undefined. */
export function answerMismatch(identity: PeerIdentity, headers: HttpHeaders): string | undefined {
  const version = minor(header(headers, "x-server-version") ?? NO_VERSION);
  if (version === undefined || version < (minor(MIN_CLUSTER_VERSION) as number)) return INCOMPATIBLE_VERSION;
  const cluster = header(headers, "x-etcd-cluster-id");
  if (cluster !== undefined && cluster !== formatId(identity.clusterId)) return CLUSTER_ID_MISMATCH;
  return undefined;
}

/** Major and minor version as one number that compares. */
function minor(version: string): number | undefined {
  const match = /^(\d{1,4})\.(\d{1,4})(?:\.|$)/.exec(version);
  return match === null ? undefined : Number(match[1]) * 10_000 + Number(match[2]);
}

const MAX_URLS = 16;
const MAX_URL_LENGTH = 512;

/** The peer URLs that a sender claims; undefined when it claims none or they are of no use. */
export function claimedUrls(headers: HttpHeaders): readonly string[] | undefined {
  const urls = header(headers, "x-peerurls")?.split(",") ?? [];
  const usable = urls.length > 0 && urls.length <= MAX_URLS && urls.every(isPeerUrl);
  return usable ? urls : undefined;
}

function isPeerUrl(url: string): boolean {
  return url.length <= MAX_URL_LENGTH && URL.canParse(url) && new URL(url).protocol === "http:";
}
