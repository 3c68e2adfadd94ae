import type { History, Life, Operation, Stamp } from "../history.ts";

/** The life of the asked member that lasted from before the call until after the answer (or `end`), if one did. */
export function lifeThroughout(
  { lives }: History,
  { member, invoked, returned }: Pick<Operation, "member" | "invoked" | "returned">,
  end: Stamp | undefined = returned,
): Life | undefined {
  const until = end?.seq ?? Number.POSITIVE_INFINITY;
  return lives.find(
    (life) =>
      life.member === member && life.started.seq < invoked.seq && (life.ended === undefined || life.ended.seq > until),
  );
}
