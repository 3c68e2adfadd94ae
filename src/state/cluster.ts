import { type ConfChange, ConfChangeType } from "../../proto/generated/raftpb.ts";
import { must } from "../../raft/assert.ts";
import type { Backend } from "../../storage/backend.ts";
import {
  CLUSTER_VERSION,
  DOWNGRADE,
  memberKey,
  parseMemberKey,
  REMOVED_MEMBER,
  STORAGE_VERSION,
} from "../../storage/schema.ts";
import {
  booleanOf,
  downgradeJson,
  memberJson,
  memberOf,
  parseDowngradeJson,
  parseMemberJson,
  parseObject,
  StoredJsonError,
} from "../../storage/stored-json.ts";
import { type ApiError, errors } from "../api/errors.ts";
import type { Cluster, ClusterMember } from "./machine.ts";

/** What a ConfChange entry does to the member list, once it has been found valid at apply. */
export type MemberChange =
  | { readonly kind: "add"; readonly member: ClusterMember }
  | { readonly kind: "promote"; readonly id: bigint }
  | { readonly kind: "update"; readonly id: bigint; readonly peerURLs: readonly string[] }
  | { readonly kind: "remove"; readonly id: bigint };

export type MemberChangePlan =
  | { readonly kind: "valid"; readonly change: MemberChange }
  | { readonly kind: "error"; readonly error: ApiError };

/** From this cluster version on, the store says which version its format is of. */
const FIRST_VERSION_WITH_STORAGE_VERSION = [3, 6] as const;

/** The replicated members, those removed, and the cluster's version (M-3, N-8, P-23, P-24). */
export class ClusterState implements Cluster {
  readonly #backend: Backend;
  readonly #maxLearners: number;
  readonly #members = new Map<bigint, ClusterMember>();
  readonly #removed = new Set<bigint>();
  #sorted: readonly ClusterMember[] | undefined;
  #version: string | undefined;
  #downgrade: Cluster["downgrade"];

  constructor(
    backend: Backend,
    maxLearners: number,
    members: Iterable<readonly [key: string, value: Uint8Array]>,
    removed: Iterable<readonly [key: string, value: Uint8Array]>,
  ) {
    this.#backend = backend;
    this.#maxLearners = maxLearners;
    for (const [key, value] of members) {
      this.#members.set(parseMemberKey(key), parseMemberJson(text(value)));
    }
    for (const [key] of removed) this.#removed.add(parseMemberKey(key));
    const version = backend.get("cluster", CLUSTER_VERSION);
    this.#version = version && text(version);
    const downgrade = backend.get("cluster", DOWNGRADE);
    this.#downgrade =
      downgrade === undefined ? { enabled: false, targetVersion: "" } : parseDowngradeJson(text(downgrade));
  }

  members(): readonly ClusterMember[] {
    this.#sorted ??= [...this.#members.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    return this.#sorted;
  }

  member(id: bigint): ClusterMember | undefined {
    return this.#members.get(id);
  }

  removed(): readonly bigint[] {
    return [...this.#removed].sort((a, b) => (a < b ? -1 : 1));
  }

  isRemoved(id: bigint): boolean {
    return this.#removed.has(id);
  }

  get version(): string | undefined {
    return this.#version;
  }

  get downgrade(): Cluster["downgrade"] {
    return this.#downgrade;
  }

  /** Whether the cluster has agreed on at least this version. */
  isAtLeast(major: number, minor: number): boolean {
    if (this.#version === undefined) return false;
    const [ownMajor = 0, ownMinor = 0] = this.#version.split(".").map(Number);
    return ownMajor > major || (ownMajor === major && ownMinor >= minor);
  }

  /** P-24: the checks every member makes alike, in etcd's order. Changes nothing. */
  plan(change: ConfChange): MemberChangePlan {
    const id = change.nodeId;
    if (this.#removed.has(id)) return refused(errors.memberNotFound);
    const known = this.#members.get(id);
    switch (change.type) {
      case ConfChangeType.ConfChangeAddNode:
      case ConfChangeType.ConfChangeAddLearnerNode: {
        const context = parseContext(change);
        if (context === undefined) return refused(errors.malformedEntry);
        const asLearner = change.type === ConfChangeType.ConfChangeAddLearnerNode;
        if (context.isPromote) {
          if (known === undefined) return refused(errors.memberNotFound);
          if (!known.isLearner) return refused(errors.memberNotLearner);
          return asLearner ? refused(errors.malformedEntry) : valid({ kind: "promote", id });
        }
        if (known !== undefined) return refused(errors.memberExists);
        const { member } = context;
        if (member.isLearner !== asLearner) return refused(errors.malformedEntry);
        if (this.#isPeerUrlOfOther(id, member.peerURLs)) return refused(errors.peerUrlExists);
        if (asLearner && this.#learnerCount() >= this.#maxLearners) return refused(errors.tooManyLearners);
        return valid({ kind: "add", member });
      }
      case ConfChangeType.ConfChangeRemoveNode:
        if (known === undefined) return refused(errors.memberNotFound);
        // A cluster without voters could never agree on anything again.
        if (!known.isLearner && this.#voterCount() === 1) return refused(errors.notEnoughStartedMembers);
        return valid({ kind: "remove", id });
      case ConfChangeType.ConfChangeUpdateNode: {
        if (known === undefined) return refused(errors.memberNotFound);
        const context = parseContext(change);
        if (context === undefined) return refused(errors.malformedEntry);
        const { peerURLs } = context.member;
        if (this.#isPeerUrlOfOther(id, peerURLs)) return refused(errors.peerUrlExists);
        return valid({ kind: "update", id, peerURLs });
      }
      default:
        return refused(errors.malformedEntry);
    }
  }

  perform(change: MemberChange): void {
    switch (change.kind) {
      case "add":
        this.#store(change.member);
        break;
      case "promote":
        this.#store({ ...this.#known(change.id), isLearner: false });
        break;
      case "update":
        this.#store({ ...this.#known(change.id), peerURLs: change.peerURLs });
        break;
      case "remove":
        this.#members.delete(change.id);
        this.#removed.add(change.id);
        this.#sorted = undefined;
        this.#backend.delete("members", memberKey(change.id));
        this.#backend.put("members_removed", memberKey(change.id), REMOVED_MEMBER);
        break;
    }
  }

  /** What a member says of itself (P-23). Of one that is unknown or removed it is too late to say anything. */
  setAttributes(id: bigint, name: string, clientURLs: readonly string[]): ApiError | undefined {
    const known = this.#members.get(id);
    if (known === undefined) return errors.memberNotFound;
    this.#store({ ...known, name, clientURLs });
    return undefined;
  }

  setVersion(version: string): ApiError | undefined {
    if (!isVersion(version)) return errors.malformedEntry;
    if (this.#version === version) return undefined;
    this.#version = version;
    this.#backend.put("cluster", CLUSTER_VERSION, Buffer.from(version));
    if (this.isAtLeast(...FIRST_VERSION_WITH_STORAGE_VERSION)) {
      this.#backend.put("meta", STORAGE_VERSION, Buffer.from(version));
    } else if (this.#backend.get("meta", STORAGE_VERSION) !== undefined) {
      this.#backend.delete("meta", STORAGE_VERSION);
    }
    return undefined;
  }

  setDowngrade(enabled: boolean, targetVersion: string): ApiError | undefined {
    if (enabled && !isVersion(targetVersion)) return errors.malformedEntry;
    this.#downgrade = { enabled, targetVersion: enabled ? targetVersion : "" };
    this.#backend.put("cluster", DOWNGRADE, Buffer.from(downgradeJson(this.#downgrade)));
    return undefined;
  }

  #known(id: bigint): ClusterMember {
    return must(this.#members.get(id), `member ${id} left between plan and change`);
  }

  #store(member: ClusterMember): void {
    this.#members.set(member.id, member);
    this.#sorted = undefined;
    this.#backend.put("members", memberKey(member.id), Buffer.from(memberJson(member)));
  }

  #isPeerUrlOfOther(id: bigint, urls: readonly string[]): boolean {
    for (const member of this.#members.values()) {
      if (member.id !== id && member.peerURLs.some((url) => urls.includes(url))) return true;
    }
    return false;
  }

  #learnerCount(): number {
    return this.members().filter((member) => member.isLearner).length;
  }

  #voterCount(): number {
    return this.#members.size - this.#learnerCount();
  }
}

function valid(change: MemberChange): MemberChangePlan {
  return { kind: "valid", change };
}

function refused(error: ApiError): MemberChangePlan {
  return { kind: "error", error };
}

/** Undefined for what is no member, or another one than the change is about. */
function parseContext(change: ConfChange): { readonly member: ClusterMember; readonly isPromote: boolean } | undefined {
  try {
    const fields = parseObject(text(change.context));
    const member = memberOf(fields);
    if (member.id !== change.nodeId || member.id === 0n) return undefined;
    return { member, isPromote: booleanOf(fields["isPromote"], "isPromote") };
  } catch (error) {
    if (error instanceof StoredJsonError) return undefined;
    throw error;
  }
}

function isVersion(version: string): boolean {
  return /^(?:0|[1-9]\d{0,5})(?:\.(?:0|[1-9]\d{0,5})){2}$/.test(version);
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
