import { majority } from "../../raft/quorum.ts";
import { type ApiError, errors } from "../api/errors.ts";
import type { ClusterMember } from "../state/machine.ts";

/**
 * The strict checks before a change of the membership is proposed (M-4): a cluster must not be led into a membership
 * that has no majority of members which run. They look at this member's view of a moment, so they protect from mistakes,
 * not from everything; what may never happen is decided when the change is applied (src/state/cluster.ts).
 */
export interface View {
  readonly members: readonly ClusterMember[];
  /** This member itself, or connected to it for long enough to be counted on. */
  readonly isActive: (id: bigint) => boolean;
  /** Connected at this moment, or this member itself. */
  readonly isReachable: (id: bigint) => boolean;
}

export function refusalOfAdd({ members, isActive }: View, asLearner: boolean): ApiError | undefined {
  const voters = votersOf(members);
  const started = voters.filter(isStarted).length;
  const after = voters.length + 1;
  // One voter that grows to two: there is no other way to grow.
  const first = started === 1 && voters.length === 1;
  if (!asLearner && !first && started < majority(after)) return errors.notEnoughStartedMembers;
  const active = voters.filter(({ id }) => isActive(id)).length;
  if (voters.length > 1 && active < majority(after)) return errors.unhealthy;
  return undefined;
}

/** Of an id that is no member the change itself will tell. */
export function refusalOfRemoval({ members, isActive, isReachable }: View, id: bigint): ApiError | undefined {
  const voters = votersOf(members);
  if (members.some((member) => member.id === id && member.isLearner)) return undefined;
  const remaining = voters.filter((voter) => voter.id !== id);
  if (remaining.filter(isStarted).length < majority(remaining.length)) return errors.notEnoughStartedMembers;
  // One that is down is no part of the majority that works now.
  if (!isReachable(id)) return undefined;
  const active = voters.filter((voter) => isActive(voter.id)).length;
  return active - 1 < majority(voters.length - 1) ? errors.unhealthy : undefined;
}

/** The learner itself counts as started: it has the log. */
export function refusalOfPromotion({ members }: View): ApiError | undefined {
  const voters = votersOf(members);
  const started = voters.filter(isStarted).length + 1;
  return started < majority(voters.length + 1) ? errors.notEnoughStartedMembers : undefined;
}

function votersOf(members: readonly ClusterMember[]): readonly ClusterMember[] {
  return members.filter(({ isLearner }) => !isLearner);
}

/** It has published its name, which it does once it takes part. */
function isStarted({ name }: ClusterMember): boolean {
  return name !== "";
}
