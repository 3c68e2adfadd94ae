import type { RangeRequest } from "../../proto/generated/etcdserverpb.ts";
import type { KeyValue } from "../../proto/generated/mvccpb.ts";

/** Go's sort is stable for so many. */
const STABLE = 12;
/** The sort targets of a Range, by number. */
const KEY = 0;
const VALUE = 4;
const SORTED_BY: readonly ((pair: KeyValue) => string)[] = [
  (pair) => pair.key,
  (pair) => `${pair.version}`,
  (pair) => `${pair.createRevision}`,
  (pair) => `${pair.modRevision}`,
  (pair) => Buffer.from(pair.value).toString("latin1"),
];

/**
 * The pairs of a Range, in an order that is certain: of more than a dozen that are sorted, those that are equal come as it
 * happens in etcd, by key here. Where a limit cut through some that are equal, only their number is certain.
 */
export function withoutTies(
  pairs: readonly KeyValue[],
  more: boolean,
  count: number,
  { sortTarget, keysOnly }: RangeRequest,
): readonly unknown[] {
  const by = SORTED_BY[sortTarget];
  // The values that it was sorted by are not told when only keys are asked for: such a Range is not drawn.
  if (by === undefined || sortTarget === KEY || count <= STABLE || (keysOnly && sortTarget === VALUE)) return pairs;
  const runs: KeyValue[][] = [];
  for (const pair of pairs) {
    const last = runs.at(-1);
    if (last?.[0] !== undefined && by(last[0]) === by(pair)) last.push(pair);
    else runs.push([pair]);
  }
  return runs.flatMap((run, i): readonly unknown[] => {
    if (more && i === runs.length - 1) return run.map((pair) => ({ equal: by(pair) }));
    return run.sort((one, other) => (one.key < other.key ? -1 : 1));
  });
}
