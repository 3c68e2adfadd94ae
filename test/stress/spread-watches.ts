/** Which watch is of which keys, through which member. Pure. */
import { assert } from "../../raft/assert.ts";

/** Watches of the same keys. */
const ROUNDS = 2;

export interface StreamPlan {
  /** Position of the member that it is opened at. */
  readonly member: number;
  /** A watch each. */
  readonly groups: readonly number[];
}

export function groupCount(watchers: number): number {
  return Math.max(1, Math.ceil(watchers / ROUNDS));
}

/** A stream a round and member; two watches see each put, through different members. */
export function spreadWatches(watchers: number, members: number): StreamPlan[] {
  const groups = groupCount(watchers);
  const streams = Array.from({ length: ROUNDS * members }, (_, s) => ({ member: s % members, groups: [] as number[] }));
  const seenAt = new Map<number, number>();
  for (let i = 0; i < watchers; i++) {
    const [round, group] = [Math.floor(i / groups), i % groups];
    const member = (group + round) % members;
    assert(seenAt.get(group) !== member, `both watches of group ${group} are at member ${member}`);
    seenAt.set(group, member);
    streams[round * members + member]?.groups.push(group);
  }
  return streams;
}
