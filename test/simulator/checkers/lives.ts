import type { History, Life, Operation, Stamp } from "../history.ts";

/** The life of the asked member that lasted from before the call until after the answer (or `end`), if one did. */
export function lifeThroughout(
  { lives }: History,
  { member, invoked, returned }: Operation,
  end: Stamp | undefined = returned,
): Life | undefined {
  const until = end?.seq ?? Number.POSITIVE_INFINITY;
  return lives.find(
    (life) =>
      life.member === member && life.started.seq < invoked.seq && (life.ended === undefined || life.ended.seq > until),
  );
}

/**
 * What answers of one life say of something that never falls. Two answers are in order when the one had come before the
 * other was asked for.
 */
export class Rising {
  readonly #answers = new Map<Life, { readonly returned: Stamp; readonly value: number }[]>();

  /** The highest value that this life had told before the operation began; undefined if none. */
  floor(life: Life, { invoked }: Operation): number | undefined {
    let floor: number | undefined;
    for (const { returned, value } of this.#answers.get(life) ?? []) {
      if (returned.seq < invoked.seq && (floor === undefined || value > floor)) floor = value;
    }
    return floor;
  }

  /** By order of return. */
  told(life: Life, { returned }: Operation, value: number): void {
    if (returned === undefined) return;
    const answers = this.#answers.get(life);
    if (answers === undefined) this.#answers.set(life, [{ returned, value }]);
    // Only what is more than all before can ever be a floor.
    else if (value > (answers.at(-1)?.value ?? 0)) answers.push({ returned, value });
  }
}

/** Answered ones, in the order of their answers. */
export function inOrderOfReturn(history: History): readonly Operation[] {
  return history.operations
    .filter(({ outcome, returned }) => outcome.kind === "ok" && returned !== undefined)
    .sort((a, b) => (a.returned?.seq ?? 0) - (b.returned?.seq ?? 0));
}
