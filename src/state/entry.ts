import { DecodeError, decode, Slabs, sizeBits, writeBits } from "../../proto/codec.ts";
import {
  InternalRaftRequest,
  Request,
  sizeInternalRaftRequest,
  writeInternalRaftRequest,
} from "../../proto/generated/etcdserverpb.ts";
import { ConfChange } from "../../proto/generated/raftpb.ts";
import { parseObject, StoredJsonError, stringOf, stringsOf } from "../../storage/stored-json.ts";
import type { Command } from "./machine.ts";

/** What the data of a normal entry says (P-20..P-23). */
export type EntryCommand =
  | { readonly kind: "empty" }
  | { readonly kind: "command"; readonly requestId: bigint; readonly request: InternalRaftRequest }
  | { readonly kind: "version"; readonly requestId: bigint; readonly version: string }
  | {
      readonly kind: "attributes";
      readonly requestId: bigint;
      readonly member: bigint;
      readonly name: string;
      readonly clientURLs: readonly string[];
    }
  | { readonly kind: "malformed"; readonly requestId: bigint };

/**
 * P-22: an InternalRaftRequest, or else one of the two requests that 3.5 members still write in the form of the v2 API,
 * bare or wrapped. Whoever waits for the entry waits for its id, also when the rest makes no sense.
 */
export function decodeCommand(data: Uint8Array): EntryCommand {
  if (data.length === 0) return { kind: "empty" };
  const request = tryDecode(InternalRaftRequest, data);
  if (request === undefined) {
    const v2 = tryDecode(Request, data);
    return v2 === undefined ? { kind: "malformed", requestId: 0n } : readV2(v2);
  }
  if (request.v2 !== undefined) return readV2(request.v2);
  return { kind: "command", requestId: request.ID || (request.header?.ID ?? 0n), request };
}

/** Tag of InternalRaftRequest.header (100), and of ID (1) in it. */
const HEADER_TAG = Buffer.of(0xa2, 0x06);
const HEADER_ID_TAG = 0x08;
/** Entries stay in the log's window, one as long as the next. */
const entrySlabs = new Slabs();

/**
 * The entry of a command with a request id: an InternalRaftRequest, without an object of its own. `undefined` when it would
 * be longer than `maxBytes`.
 */
export function encodeCommand(command: Command, requestId: bigint, maxBytes: number): Buffer | undefined {
  const size = sizeInternalRaftRequest(command);
  const idBytes = 1 + sizeBits(requestId);
  const total = size + HEADER_TAG.length + 1 + idBytes;
  if (total > maxBytes) return undefined;
  const out = entrySlabs.allocate(total);
  let at = writeInternalRaftRequest(command, out, 0);
  out[at++] = HEADER_TAG[0] as number;
  out[at++] = HEADER_TAG[1] as number;
  out[at++] = idBytes;
  out[at++] = HEADER_ID_TAG;
  writeBits(requestId, out, at);
  return out;
}

export function decodeConfChange(data: Uint8Array): ConfChange | undefined {
  return data.length === 0 ? undefined : tryDecode(ConfChange, data);
}

const ATTRIBUTES_PATH = /^\/0\/members\/([0-9a-fA-F]{1,16})\/attributes$/;
const VERSION_PATH = "/0/version";

function readV2({ ID: requestId, method, path, val: value }: Request): EntryCommand {
  if (method !== "PUT") return { kind: "malformed", requestId };
  if (path === VERSION_PATH) return { kind: "version", requestId, version: value };
  const member = ATTRIBUTES_PATH.exec(path)?.[1];
  if (member === undefined) return { kind: "malformed", requestId };
  try {
    const fields = parseObject(value);
    return {
      kind: "attributes",
      requestId,
      member: BigInt(`0x${member}`),
      name: stringOf(fields["name"], "name"),
      clientURLs: stringsOf(fields["clientURLs"], "clientURLs"),
    };
  } catch (error) {
    if (error instanceof StoredJsonError) return { kind: "malformed", requestId };
    throw error;
  }
}

function tryDecode<T>(codec: Parameters<typeof decode<T>>[0], data: Uint8Array): T | undefined {
  try {
    return decode(codec, data);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
